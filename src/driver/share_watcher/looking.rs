//! Looking: a folder's listing and what it says is gone, a single entry and what follows from it.

use std::ops::Bound;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::fs::{AtFlags, FileType, Stat, statat};
use rustix::io::Errno;

use super::entries::Entries;
use super::known::{KnownFile, Path, join, split};
use super::step::{Step, identity, is_absent};
use super::{ENTRIES_A_PIECE, ShareWatcher};
use crate::content::ShareName;
use crate::driver::folder_events::NotWatched;
use crate::driver::share_folder::signature_from;
use crate::node::input::FileSignature;

/// A file that changes all the time is told no more often than this.
const TELLING_INTERVAL: Duration = Duration::from_millis(200);
/// The most files that are told; many more than a listing takes.
const FILES_MAX: usize = 1 << 20;
/// The most folders that are looked into.
const FOLDERS_MAX: usize = 1 << 17;

/// A folder that is being listed.
#[derive(Debug)]
pub(super) struct Listing {
    path: Path,
    is_deep: bool,
    look: u64,
    entries: Entries,
    /// At the end: the last known entry that was asked whether it is still there.
    sweep: Option<Path>,
}

impl ShareWatcher {
    // Folders.

    pub(super) fn begin_listing(&mut self, step: &mut Step<'_>, path: Path, is_deep: bool) {
        if self.known.folder(&path).is_none() {
            return;
        }
        // Watched first, listed then: what comes after the listing is told by an event.
        let opened = step.share.open_folder(&path);
        if let Ok(folder) = &opened {
            self.watch(folder.as_fd(), &path);
        }
        self.look += 1;
        match opened.map(Entries::of) {
            Ok(entries) => {
                let (look, sweep) = (self.look, None);
                self.listing = Some(Listing { path, is_deep, look, entries, sweep });
            }
            Err(error) if is_absent(error) => {
                if error == Errno::ACCESS {
                    self.complain("a folder of share/ cannot be read", &path);
                }
                self.known.remove_folder(&path);
            }
            Err(error) => self.complain("a folder of share/ cannot be listed", &error),
        }
    }

    pub(super) fn go_on_listing(&mut self, step: &mut Step<'_>, mut listing: Listing) {
        if self.known.folder(&listing.path).is_none() {
            return;
        }
        if listing.sweep.is_some() {
            return self.sweep(listing);
        }
        if listing.entries.is_empty() {
            match listing.entries.read() {
                Ok(true) => {}
                Ok(false) => listing.sweep = Some(Path::default()),
                // What was not seen may be there: no sweep.
                Err(error) => {
                    return self.complain("a folder of share/ cannot be listed", &error);
                }
            }
            self.listing = Some(listing);
            return;
        }
        for _ in 0..ENTRIES_A_PIECE {
            if self.known.is_leaving() {
                break;
            }
            let Some(name) = listing.entries.next() else { break };
            let stat = statat(listing.entries.folder(), &*name, AtFlags::SYMLINK_NOFOLLOW);
            self.found(step, &listing.path, &name, stat, listing.is_deep);
        }
        self.listing = Some(listing);
    }

    /// Looks for what is known in a folder and was not seen by its listing: it is gone, or came and
    /// went meanwhile, or the listing missed it.
    fn sweep(&mut self, mut listing: Listing) {
        let Some(folder) = self.known.folder(&listing.path) else {
            return;
        };
        let look = listing.look;
        let after = listing.sweep.take().unwrap_or_default();
        let bounds = (Bound::Excluded(&*after), Bound::Unbounded);
        // Only folders can be many and all there, so only files are taken in pieces.
        if after.is_empty() {
            for (name, _) in folder.folders.iter().filter(|(_, seen)| **seen < look) {
                self.due.insert(join(&listing.path, name));
            }
        }
        let mut count = 0;
        for (name, file) in folder.files.range::<str, _>(bounds) {
            if file.look < look {
                self.due.insert(join(&listing.path, name));
            }
            count += 1;
            if count == ENTRIES_A_PIECE * 4 {
                listing.sweep = Some(name.clone());
                break;
            }
        }
        if listing.sweep.is_some() {
            self.listing = Some(listing);
        }
    }

    pub(super) fn watch(&mut self, folder: BorrowedFd<'_>, path: &str) {
        let Some(events) = &self.events else {
            return;
        };
        if self.known.folder(path).is_none_or(|folder| folder.watch.is_some()) {
            return;
        }
        match events.watch_held(folder) {
            Ok(watch) => {
                if let Some(moved) = self.known.set_watch(path, watch) {
                    self.due.insert(moved);
                }
            }
            Err(NotWatched::NoFolder) => {}
            Err(NotWatched::Refused(error)) => {
                self.is_all_watched = false;
                self.complain(
                    "not every folder of share/ is watched (fs.inotify.max_user_watches), new \
                     files there are found by looking for them",
                    &error,
                );
            }
        }
    }

    pub(super) fn unwatch(&mut self, path: &str) {
        if let (Some(watch), Some(events)) = (self.known.clear_watch(path), &self.events) {
            events.unwatch(watch);
        }
    }

    // Single entries.

    pub(super) fn look_at(&mut self, step: &mut Step<'_>, path: &str) {
        let (folder, name) = split(path);
        if path.is_empty() || self.known.folder(folder).is_none() {
            return;
        }
        let stat = match step.open_cached(folder) {
            Ok(opened) => statat(opened, name, AtFlags::SYMLINK_NOFOLLOW),
            Err(error) => Err(error),
        };
        self.found(step, folder, name, stat, false);
    }

    fn found(
        &mut self,
        step: &mut Step<'_>,
        folder: &str,
        name: &str,
        stat: rustix::io::Result<Stat>,
        is_deep: bool,
    ) {
        let stat = match stat {
            Ok(stat) => Some(stat),
            Err(error) if is_absent(error) => None,
            Err(error) => {
                return self.complain("a file of share/ cannot be looked at", &error);
            }
        };
        let kind = stat.map(|stat| FileType::from_raw_mode(stat.st_mode));
        let is_known_folder =
            self.known.folder(folder).is_some_and(|folder| folder.folders.contains_key(name));
        if is_known_folder && kind != Some(FileType::Directory) {
            let path = join(folder, name);
            self.known.remove_folder(&path);
            // A file in its place is told once all that was below it has left.
            self.due.insert(path);
            return;
        }
        if kind != Some(FileType::RegularFile) && self.known.remove_file(folder, name) {
            step.gone(&join(folder, name));
        }
        match (kind, stat) {
            (Some(FileType::RegularFile), Some(stat)) => {
                self.found_file(step, folder, name, signature_from(&stat));
            }
            (Some(FileType::Directory), Some(stat)) => {
                self.found_folder(folder, name, identity(&stat), is_deep);
            }
            _ => {}
        }
    }

    fn found_file(
        &mut self,
        step: &mut Step<'_>,
        folder: &str,
        name: &str,
        signature: FileSignature,
    ) {
        let look = self.look;
        if let Some(file) = self.known.file_mut(folder, name) {
            file.look = look;
            let next = file.told_at + TELLING_INTERVAL;
            if file.signature == signature {
                file.is_deferred = false;
                return;
            }
            if step.now < next {
                if !std::mem::replace(&mut file.is_deferred, true) {
                    self.deferred.insert((next, join(folder, name)));
                }
                return;
            }
        }
        let path = join(folder, name);
        let Some(offered) = ShareName::parse(&path).ok().filter(ShareName::is_offered) else {
            return;
        };
        if self.known.file_count() >= FILES_MAX {
            return self.complain("too many files in share/, not offered", &offered);
        }
        let told_at = step.now;
        let file = KnownFile { signature, told_at, is_deferred: false, look };
        self.known.add_file(folder, name, file);
        step.seen(offered, signature);
    }

    fn found_folder(&mut self, folder: &str, name: &str, identity: (u64, u64), is_deep: bool) {
        let path = join(folder, name);
        let look = self.look;
        if let Some(parent) = self.known.folder_mut(folder) {
            if let Some(seen) = parent.folders.get_mut(name) {
                *seen = look;
            }
        }
        match self.known.folder_mut(&path) {
            Some(known) if known.identity == identity => {
                if is_deep {
                    self.list_soon(path);
                }
            }
            Some(known) => {
                known.identity = identity;
                self.unwatch(&path);
                self.list_soon(path);
            }
            None => {
                // What could be offered in it, if nothing of its own stands against it?
                let inner = ShareName::parse(&format!("{path}/x"));
                if !inner.is_ok_and(|inner| inner.is_offered()) {
                    return;
                }
                if self.known.folder_count() >= FOLDERS_MAX {
                    return self.complain("too many folders in share/, not offered", &path);
                }
                self.known.add_folder(&path, identity, look);
                self.list_soon(path);
            }
        }
    }

    /// A folder is to be listed, with all below it: now, unless the look at everything comes to it anyway.
    fn list_soon(&mut self, path: Path) {
        if !self.scan.as_ref().is_some_and(|scan| scan.comes_to(&path)) {
            self.to_list.insert(path, true);
        }
    }
}
