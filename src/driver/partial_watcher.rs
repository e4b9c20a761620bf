//! Tells the core of the unfinished downloads that a `fetch` beside this peer has in `chunks/`.
//! Only reads; what it finds wrong there it leaves to the fetch.
//!
//! The folder holds few files, so it is listed as a whole, a moment after something happened in it:
//! a running download changes it all the time, and others wait for what it has got. Chunk files are
//! sized then, not read.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, Dir, FileType, OFlags, statat};

use crate::content::ContentId;
use crate::driver::chunk_store::names::{self, ChunkFolderEntry};
use crate::driver::chunk_store::{attrs_text, partial_chain};
use crate::driver::clock::Slice;
use crate::driver::folder_events::{FolderEvents, WatchId};
use crate::driver::share_folder::{self, ShareFolder, entry};
use crate::node::input::{Extent, FileSignature};
use crate::node::{Input, Instant};

/// How long a step works at most, one system call more or less.
const STEP: Duration = Duration::from_millis(2);
/// Between two listings while something happens, where events tell of it.
const LISTING_INTERVAL: Duration = Duration::from_millis(50);
/// Between two listings where none do, or where something went wrong.
const BLIND_INTERVAL: Duration = Duration::from_secs(1);
/// Between two listings while nothing does, where events tell of it.
const IDLE_INTERVAL: Duration = Duration::from_secs(60);
/// And no less than the last listing's cost times this; while something happens, times that.
const LISTING_REST: u32 = 100;
const BUSY_REST: u32 = 20;
/// Between two looks whether `chunks/` is still the same folder.
const PLACE_INTERVAL: Duration = Duration::from_secs(1);
/// The most downloads that are told.
const PARTIALS_MAX: usize = 256;
/// The most chunk files of one download.
const EXTENTS_MAX: usize = 16_384;

/// What is known of `chunks/`.
#[derive(Debug)]
pub struct PartialWatcher {
    root: PathBuf,
    events: Option<FolderEvents>,
    watch: Option<WatchId>,
    /// `chunks/`, made where it was missing; none if it cannot be.
    folder: Option<ShareFolder>,
    place_due: Instant,
    listing_due: Instant,
    /// Not before then.
    may_list_at: Instant,
    listing: Option<Listing>,
    told: BTreeMap<ContentId, Partial>,
}

/// An unfinished download as it was told.
#[derive(Debug)]
struct Partial {
    size: u64,
    extents: Vec<Extent>,
    chain: Option<SavedChain>,
}

/// The chain that a fetch saved.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SavedChain {
    /// The file's state: as long as it is the same, the file need not be read again.
    signature: FileSignature,
    states: Vec<u8>,
}

/// A listing that is under way.
#[derive(Debug)]
struct Listing {
    /// None at the end, when what was found is compared with what was told.
    entries: Option<Dir>,
    found: BTreeMap<ContentId, Found>,
    cost: Duration,
}

/// What a listing found of one download so far.
#[derive(Debug, Default)]
struct Found {
    has_attrs: bool,
    extents: Vec<Extent>,
}

impl PartialWatcher {
    /// A watcher of `chunks/` below the folder `root` that has seen nothing yet.
    pub fn new(root: &Path) -> Self {
        // Where there are no events, the watcher of share/ says so.
        Self::with_events(root, FolderEvents::new().ok())
    }

    fn with_events(root: &Path, events: Option<FolderEvents>) -> Self {
        Self {
            root: root.to_path_buf(),
            events,
            watch: None,
            folder: None,
            place_due: Instant::ORIGIN,
            listing_due: Instant::ORIGIN,
            may_list_at: Instant::ORIGIN,
            listing: None,
            told: BTreeMap::new(),
        }
    }

    /// What to register with the loop for readability; none without folder events. It stays the
    /// same.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.events.as_ref().map(FolderEvents::fd)
    }

    /// The handle became readable: [`next_due`](Self::next_due) is soon.
    pub fn on_readable(&mut self, now: Instant) {
        if let Some(events) = &mut self.events {
            events.on_readable(now);
        }
    }

    /// When [`step`](Self::step) has to be called. To call it earlier costs next to nothing, and at
    /// most once a second a look whether `chunks/` is still the same folder.
    pub fn next_due(&self) -> Option<Instant> {
        if self.listing.is_some() {
            return Some(Instant::ORIGIN);
        }
        if self.folder.is_none() {
            return Some(self.place_due);
        }
        // Events wait in the kernel, merged, until they could be of use.
        let events = self.events.as_ref().and_then(FolderEvents::due);
        let due = events.map_or(self.listing_due, |events| events.min(self.listing_due));
        Some(due.max(self.may_list_at))
    }

    /// Looks again at what is due, and appends `PartialSeen`, `PartialGrown` (20 a second for each
    /// download at most) and `PartialGone`. Whether there is more to do at once.
    pub fn step(&mut self, now: Instant, inputs: &mut VecDeque<Input<'static>>) -> bool {
        let slice = Slice::of(STEP);
        self.check_place(now, inputs);
        if self.listing.is_none() && now >= self.may_list_at {
            self.read_events(now);
            if now >= self.listing_due {
                self.begin(now);
            }
        }
        if let Some(mut listing) = self.listing.take() {
            let is_over = self.go_on(&mut listing, &slice, inputs);
            listing.cost += slice.elapsed();
            if is_over {
                let interval = if self.watch.is_some() { IDLE_INTERVAL } else { BLIND_INTERVAL };
                let rest = listing.cost.saturating_mul(LISTING_REST);
                self.listing_due = now + interval.max(rest);
                let rest = listing.cost.saturating_mul(BUSY_REST);
                self.may_list_at = self.may_list_at.max(now + rest);
            } else {
                self.listing = Some(listing);
            }
        }
        self.listing.is_some()
    }

    /// Opens the chunk file that holds this range of a content, and tells where in it the range
    /// begins. An error of kind `NotFound` if no single chunk file that was told does.
    pub fn open_range(
        &self,
        content: ContentId,
        position: u64,
        length: u64,
    ) -> io::Result<(File, u64)> {
        let extents = self.told.get(&content).map_or(&[][..], |partial| &partial.extents);
        let after = extents.partition_point(|extent| extent.start <= position);
        let extent = after.checked_sub(1).and_then(|at| extents.get(at));
        let end = position.checked_add(length);
        let (Some(folder), Some(extent)) = (
            &self.folder,
            extent.filter(|extent| end.is_some_and(|end| end <= extent.start + extent.length)),
        ) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let name = names::chunk(content, extent.start);
        let file = entry::open_file(folder.handle(), name.as_str(), OFlags::RDONLY)?;
        Ok((file, position - extent.start))
    }

    /// Whether the chunk file that holds this position is still this file.
    pub fn is_in_place(&self, content: ContentId, position: u64, file: &File) -> bool {
        let extents = self.told.get(&content).map_or(&[][..], |partial| &partial.extents);
        let after = extents.partition_point(|extent| extent.start <= position);
        let extent = after.checked_sub(1).and_then(|at| extents.get(at));
        let (Some(folder), Some(extent)) = (&self.folder, extent) else { return false };
        let name = names::chunk(content, extent.start);
        entry::is_same_file(folder.handle(), name.as_str(), file).unwrap_or(false)
    }

    /// The size of a content that was told.
    pub fn size(&self, content: ContentId) -> Option<u64> {
        self.told.get(&content).map(|partial| partial.size)
    }

    fn check_place(&mut self, now: Instant, inputs: &mut VecDeque<Input<'static>>) {
        if now < self.place_due {
            return;
        }
        self.place_due = now + PLACE_INTERVAL;
        if self.folder.as_ref().is_some_and(|folder| !folder.is_replaced()) {
            return;
        }
        if let (Some(events), Some(watch)) = (&self.events, self.watch.take()) {
            events.unwatch(watch);
        }
        self.listing = None;
        self.listing_due = now;
        self.folder = ShareFolder::open_or_make(&self.root.join("chunks"))
            .inspect_err(|error| log::debug!("there is no chunks/ and none can be made: {error}"))
            .ok();
        if self.folder.is_none() {
            self.forget_all_but(&BTreeMap::new(), inputs);
        }
    }

    fn read_events(&mut self, now: Instant) {
        let mut is_any = false;
        if let Some(events) = &mut self.events {
            events.read(now, |_| is_any = true);
        }
        if is_any {
            self.listing_due = now;
        }
    }

    fn begin(&mut self, now: Instant) {
        let Some(folder) = &self.folder else {
            return;
        };
        // Watched first, listed then: what comes after the listing is told by an event.
        self.watch =
            self.events.as_ref().and_then(|events| events.watch_held(folder.handle()).ok());
        let pause = if self.watch.is_some() { LISTING_INTERVAL } else { BLIND_INTERVAL };
        self.may_list_at = now + pause;
        match Dir::read_from(folder.handle()) {
            Ok(entries) => {
                let (found, cost) = (BTreeMap::new(), Duration::ZERO);
                self.listing = Some(Listing { entries: Some(entries), found, cost });
            }
            Err(error) => {
                log::debug!("cannot list chunks/: {error}");
                self.listing_due = now + BLIND_INTERVAL;
            }
        }
    }

    /// Whether the listing is over.
    fn go_on(
        &mut self,
        listing: &mut Listing,
        slice: &Slice,
        inputs: &mut VecDeque<Input<'static>>,
    ) -> bool {
        while let Some(entries) = &mut listing.entries {
            match entries.read() {
                Some(Ok(item)) => self.note(&mut listing.found, item.file_name().to_bytes()),
                Some(Err(error)) => {
                    // What was not seen may be there.
                    log::debug!("cannot list chunks/: {error}");
                    return true;
                }
                None => {
                    self.forget_all_but(&listing.found, inputs);
                    listing.entries = None;
                }
            }
            if slice.is_over() {
                return false;
            }
        }
        while let Some((content, found)) = listing.found.pop_first() {
            self.compare(content, found, inputs);
            if slice.is_over() {
                break;
            }
        }
        listing.found.is_empty()
    }

    fn note(&self, found: &mut BTreeMap<ContentId, Found>, name: &[u8]) {
        let Some((content, kind)) = names::parse(name) else {
            return;
        };
        let is_room = found.len() < PARTIALS_MAX || found.contains_key(&content);
        match kind {
            ChunkFolderEntry::Attrs if is_room => {
                found.entry(content).or_default().has_attrs = true
            }
            ChunkFolderEntry::Chunk { start } if is_room => {
                let extents = &mut found.entry(content).or_default().extents;
                if let Some(length) = self.length_of(name).filter(|length| *length > 0) {
                    if extents.len() < EXTENTS_MAX {
                        extents.push(Extent { start, length });
                    }
                }
            }
            _ => {}
        }
    }

    /// The length of a regular file.
    fn length_of(&self, name: &[u8]) -> Option<u64> {
        let folder = self.folder.as_ref()?.handle();
        let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        u64::try_from(stat.st_size).ok().filter(|_| is_file)
    }

    fn forget_all_but(
        &mut self,
        found: &BTreeMap<ContentId, Found>,
        inputs: &mut VecDeque<Input<'static>>,
    ) {
        self.told.retain(|&content, _| {
            let is_there = found.get(&content).is_some_and(|found| found.has_attrs);
            if !is_there {
                inputs.push_back(Input::PartialGone { content });
            }
            is_there
        });
    }

    /// Compares what is there of a download with what was told, and tells it if it differs.
    fn compare(&mut self, content: ContentId, found: Found, inputs: &mut VecDeque<Input<'static>>) {
        let size = found.has_attrs.then(|| self.read_size(content)).flatten();
        let Some(size) = size else {
            if self.told.remove(&content).is_some() {
                inputs.push_back(Input::PartialGone { content });
            }
            return;
        };
        let extents = without_overlaps(found.extents, size);
        let before = self.told.get(&content);
        let chain_before = before.and_then(|before| before.chain.as_ref());
        let chain = self.read_chain(content, size, chain_before);
        let is_known = before.is_some_and(|before| (before.size, &before.chain) == (size, &chain));
        let is_same = is_known && before.is_some_and(|before| before.extents == extents);
        if is_same {
            return;
        }
        inputs.push_back(if is_known && chain.is_some() {
            Input::PartialGrown { content, extents: extents.clone() }
        } else {
            let chain = chain.as_ref().map(|chain| chain.states.clone());
            Input::PartialSeen { content, size, extents: extents.clone(), chain }
        });
        self.told.insert(content, Partial { size, extents, chain });
    }

    fn read_size(&self, content: ContentId) -> Option<u64> {
        let folder = self.folder.as_ref()?.handle();
        let file = entry::open_file(folder, names::attrs(content), OFlags::RDONLY).ok()?;
        let mut text = Vec::new();
        file.take(attrs_text::ATTRS_LENGTH_MAX).read_to_end(&mut text).ok()?;
        attrs_text::size(&text)
    }

    fn read_chain(
        &self,
        content: ContentId,
        size: u64,
        before: Option<&SavedChain>,
    ) -> Option<SavedChain> {
        let path = partial_chain::folder(&self.root).join(partial_chain::file_name(content));
        let file = entry::open_file(rustix::fs::CWD, path, OFlags::RDONLY).ok()?;
        let signature = share_folder::signature(&file).ok()?;
        if let Some(before) = before.filter(|before| before.signature == signature) {
            return Some(before.clone());
        }
        let states = partial_chain::read(&self.root, content, size)?;
        Some(SavedChain { signature, states })
    }
}

/// Sorts extents and cuts them where the next one begins, or the content ends.
fn without_overlaps(mut extents: Vec<Extent>, size: u64) -> Vec<Extent> {
    extents.sort_unstable();
    let mut limit = size;
    for extent in extents.iter_mut().rev() {
        let room = limit.saturating_sub(extent.start);
        extent.length = extent.length.min(room);
        limit = limit.min(extent.start);
    }
    extents.retain(|extent| extent.length > 0);
    extents
}

#[cfg(test)]
mod tests;
