//! Tells the core what stands in `share/`: every regular file that is to be offered, with its
//! signature, once, and again when it differs. It reads no file and decides nothing.
//!
//! What is there is only ever found out by looking (`fstatat`, never through a link). Looking is
//! due for single entries that the kernel tells of ([`FolderEvents`]), and for whole folders that
//! are new. A scan of everything, rarely, finds what the kernel did not tell; where it tells
//! nothing, or not of every folder, scans are all there is and come more often.

mod entries;
mod known;
mod looking;
mod step;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Display;
use std::os::fd::BorrowedFd;
use std::time::{Duration, SystemTime};

use rustix::fs::fstat;

use self::known::{Known, Path, join};
use self::looking::Listing;
use self::step::{Step, identity};
use crate::driver::clock::Slice;
use crate::driver::folder_events::{FolderEvent, FolderEvents};
use crate::driver::share_folder::ShareFolder;
use crate::node::{Input, Instant};

/// The most entries that one step looks at.
const ENTRIES_A_STEP: usize = 1_000;
/// How long a step works at most, one system call more or less.
const STEP: Duration = Duration::from_millis(1);
/// How many entries are looked at between two looks at the clock.
const ENTRIES_A_PIECE: usize = 2;
/// Between two looks whether `share/` is still the same folder.
const PLACE_INTERVAL: Duration = Duration::from_secs(1);
/// Between two scans, where events tell of every folder.
const SCAN_INTERVAL: Duration = Duration::from_secs(60);
/// Between two scans, where they do not.
const SCAN_INTERVAL_WITHOUT_EVENTS: Duration = Duration::from_secs(1);
/// And no less than the last scan's cost times this, so that it takes 1 % of a processor at most, with what its turns
/// cost beside it.
const SCAN_REST: u32 = 200;
/// The most entries that wait to be looked at; if there are more, everything is.
const DUE_MAX: usize = 1 << 14;

/// What is known of `share/`, and the work that is due to know it better.
#[derive(Debug)]
pub struct ShareWatcher {
    events: Option<FolderEvents>,
    known: Known,
    /// Counts listings, so that what was seen since one began can be told from what was not.
    look: u64,
    due: BTreeSet<Path>,
    deferred: BTreeSet<(Instant, Path)>,
    /// Folders to be listed, and whether their known folders are to be listed as well.
    to_list: BTreeMap<Path, bool>,
    listing: Option<Listing>,
    place: (u64, u64),
    place_due: Instant,
    scan_due: Instant,
    /// The look at everything that is under way.
    scan: Option<Scan>,
    /// Whether the scan under way, or else the last one, has a watch on every folder.
    is_all_watched: bool,
    is_settled: bool,
    complaints: BTreeSet<&'static str>,
}

/// A look at everything: folder after folder, as they are known, in the order of their paths. So a folder comes before what is
/// in it, and nothing has to be kept of those that are still to come.
#[derive(Debug, Default)]
struct Scan {
    /// The time that it has taken so far.
    cost: Duration,
    /// How far it is: the folder that was begun last.
    at: Option<Path>,
    /// Whether all folders were begun.
    is_through: bool,
}

impl Scan {
    /// Whether this folder is still to come.
    fn comes_to(&self, path: &str) -> bool {
        !self.is_through && self.at.as_deref().is_none_or(|at| at < path)
    }
}

impl Default for ShareWatcher {
    fn default() -> Self {
        Self::new()
    }
}

impl ShareWatcher {
    /// A watcher that has seen nothing yet: a whole scan is due at once. Where the kernel gives no
    /// folder events, rescans have to do; that is logged once.
    pub fn new() -> Self {
        let events = FolderEvents::new()
            .inspect_err(|error| {
                log::warn!("no folder events ({error}); new files are found by looking for them");
            })
            .ok();
        Self::with_events(events)
    }

    fn with_events(events: Option<FolderEvents>) -> Self {
        Self {
            events,
            known: Known::default(),
            look: 0,
            due: BTreeSet::new(),
            deferred: BTreeSet::new(),
            to_list: BTreeMap::new(),
            listing: None,
            place: (0, 0),
            place_due: Instant::ORIGIN,
            scan_due: Instant::ORIGIN,
            scan: None,
            is_all_watched: false,
            is_settled: false,
            complaints: BTreeSet::new(),
        }
    }

    /// What to register with the loop for readability; none without folder events. It stays the
    /// same.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.events.as_ref().map(FolderEvents::fd)
    }

    /// The handle became readable: [`next_due`](Self::next_due) is soon. Events are left to gather
    /// in the kernel for 50 ms, which merges those of a file that is being written.
    pub fn on_readable(&mut self, now: Instant) {
        if let Some(events) = &mut self.events {
            events.on_readable(now);
        }
    }

    /// When [`step`](Self::step) has to be called. To call it earlier, at any turn of the loop,
    /// costs next to nothing, and at most once a second a look whether `share/` is still the same
    /// folder.
    pub fn next_due(&self) -> Option<Instant> {
        if self.has_work() {
            return Some(Instant::ORIGIN);
        }
        let events = self.events.as_ref().and_then(FolderEvents::due);
        let deferred = self.deferred.first().map(|(due, _)| *due);
        // Without a folder there is nothing to scan, and nothing tells that there is one again.
        let scan = match self.known.folder("") {
            Some(_) => self.scan_due,
            None => self.place_due,
        };
        [events, deferred, Some(scan)].into_iter().flatten().min()
    }

    /// A file is not as it was told, and no event said so: that it has another name elsewhere, say, changes its times, of
    /// which its folder hears nothing. It is looked at again.
    pub fn look_again(&mut self, name: &str) {
        self.due.insert(name.into());
    }

    /// Does at most 1,000 entries' or a millisecond's worth of what is due, and appends `FileSeen` and
    /// `FileGone`. Whether there is more to do at once. Reopens `share` where it was deleted or
    /// replaced.
    pub fn step(
        &mut self,
        now: Instant,
        wall: SystemTime,
        share: &mut ShareFolder,
        inputs: &mut VecDeque<Input<'static>>,
    ) -> bool {
        let slice = Slice::of(STEP);
        self.check_place(now, share);
        self.read_events(now);
        if now >= self.scan_due && self.scan.is_none() {
            self.begin_scan();
        }
        while let Some((due, _)) = self.deferred.first() {
            if *due > now {
                break;
            }
            self.due.extend(self.deferred.pop_first().map(|(_, path)| path));
        }
        let mut step = Step::new(now, wall, share, inputs);
        let mut entries = 0;
        while self.has_work() && entries < ENTRIES_A_STEP && !slice.is_over() {
            self.work(&mut step);
            entries += ENTRIES_A_PIECE;
        }
        let has_work = self.has_work();
        if let Some(scan) = &mut self.scan {
            scan.cost += slice.elapsed();
            if !has_work {
                self.end_scan(now);
            }
        }
        has_work
    }

    /// Whether everything was looked at once, so that a missing name is a missing file.
    pub fn is_settled(&self) -> bool {
        self.is_settled
    }

    fn has_work(&self) -> bool {
        self.known.is_leaving()
            || !self.due.is_empty()
            || self.listing.is_some()
            || !self.to_list.is_empty()
            || self.scan.as_ref().is_some_and(|scan| !scan.is_through)
    }

    /// Does one piece of what is due. What is on its way out goes first: its names may be new
    /// again.
    fn work(&mut self, step: &mut Step<'_>) {
        if self.known.is_leaving() {
            let events = &self.events;
            self.known.leave(
                ENTRIES_A_PIECE,
                |path| step.gone(&path),
                |watch| events.iter().for_each(|events| events.unwatch(watch)),
            );
        } else if !self.due.is_empty() {
            for _ in 0..ENTRIES_A_PIECE {
                match self.due.pop_first() {
                    Some(path) if !self.known.is_leaving() => self.look_at(step, &path),
                    Some(path) => {
                        self.due.insert(path);
                        return;
                    }
                    None => return,
                }
            }
        } else if let Some(listing) = self.listing.take() {
            self.go_on_listing(step, listing);
        } else if let Some((path, is_deep)) = self.to_list.pop_first() {
            self.begin_listing(step, path, is_deep);
        } else if let Some(scan) = &mut self.scan {
            scan.at = self.known.folder_behind(scan.at.as_deref()).map(Path::from);
            match scan.at.clone() {
                Some(path) => self.begin_listing(step, path, false),
                None => scan.is_through = true,
            }
        }
    }

    fn complain(&mut self, what: &'static str, detail: &dyn Display) {
        if self.complaints.insert(what) {
            log::warn!("{what}: {detail}");
        }
    }

    // When to look.

    fn check_place(&mut self, now: Instant, share: &mut ShareFolder) {
        if now < self.place_due {
            return;
        }
        self.place_due = now + PLACE_INTERVAL;
        let place = share.reopen_if_replaced().and_then(|_| Ok(identity(&fstat(share.handle())?)));
        match place {
            Ok(place) if self.place == place && self.known.folder("").is_some() => {}
            Ok(place) => {
                if self.place != place {
                    self.complaints.clear();
                }
                self.place = place;
                // All there was is gone, and all there is is new, be it the same: while another
                // folder stood there, the core may have found files missing.
                self.listing = None;
                self.to_list.clear();
                self.known.remove_folder("");
                self.known.add_folder("", place, 0);
                self.begin_scan();
            }
            Err(error) => {
                self.complain("there is no share/ and none can be made", &error);
                self.known.remove_folder("");
            }
        }
    }

    fn read_events(&mut self, now: Instant) {
        let Some(events) = &mut self.events else {
            return;
        };
        let (known, due, to_list) = (&mut self.known, &mut self.due, &mut self.to_list);
        let (place_due, mut is_lost) = (&mut self.place_due, false);
        events.read(now, |event| match event {
            FolderEvent::Entry(watch, name) => {
                if let Some(folder) = known.watched(watch) {
                    due.insert(join(folder, name));
                }
            }
            // The folder above tells of the same; share/ has none that is watched.
            FolderEvent::Folder(watch) => {
                if known.watched(watch) == Some("") {
                    *place_due = now;
                }
            }
            FolderEvent::Unwatched(watch) => {
                if let Some(folder) = known.watched(watch).map(Path::from) {
                    known.clear_watch(&folder);
                    to_list.entry(folder).or_insert(false);
                }
            }
            FolderEvent::Lost => is_lost = true,
        });
        if is_lost || self.due.len() > DUE_MAX {
            log::debug!("more events than can be followed one by one: looking at everything");
            self.due.clear();
            self.begin_scan();
        }
    }

    fn begin_scan(&mut self) {
        if self.known.folder("").is_some() {
            self.scan = Some(Scan::default());
            self.is_all_watched = self.events.is_some();
        }
    }

    fn end_scan(&mut self, now: Instant) {
        let cost = self.scan.take().unwrap_or_default().cost;
        let interval =
            if self.is_all_watched { SCAN_INTERVAL } else { SCAN_INTERVAL_WITHOUT_EVENTS };
        self.scan_due = now + interval.max(cost.saturating_mul(SCAN_REST));
        self.is_settled = true;
        log::debug!(
            "scanned share/ in {cost:?}: {} files in {} folders",
            self.known.file_count(),
            self.known.folder_count()
        );
    }
}

#[cfg(test)]
mod tests;
