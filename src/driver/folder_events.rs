//! The kernel's word that something in a folder changed (inotify). Events only ever say where to
//! look again: what is there is found out by looking, so that a lost or misleading event costs time
//! and nothing else.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use crate::node::Instant;

/// How long events gather in the kernel before they are read. It merges those that say the same, so
/// that a file that is written in a thousand pieces does not wake the loop a thousand times.
const GATHERING: Duration = Duration::from_millis(50);
/// About 500 events.
const BUFFER_LENGTH: usize = 16 * 1024;
/// The most buffers that are read in one go.
const BUFFERS_MAX: usize = 4;

/// The number by which the kernel speaks of a watched folder. Not used again for another one.
pub type WatchId = i32;

/// A place to look at.
#[derive(Debug, PartialEq, Eq)]
pub enum FolderEvent<'a> {
    /// Something happened to this entry of a folder. Names that are not UTF-8 are left out.
    Entry(WatchId, &'a str),
    /// Something happened to the folder itself.
    Folder(WatchId),
    /// The folder is not watched any more.
    Unwatched(WatchId),
    /// Events were lost: look everywhere.
    Lost,
}

/// Why a folder is not watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotWatched {
    /// It is not there, or no folder, or not ours to read.
    NoFolder,
    /// The system gives no more watches (`fs.inotify.max_user_watches`), or none at all.
    Refused(Errno),
}

/// A queue of events.
#[derive(Debug)]
pub struct FolderEvents {
    queue: OwnedFd,
    due: Option<Instant>,
}

impl FolderEvents {
    /// A queue with no folder in it.
    pub fn new() -> Result<Self, Errno> {
        let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(Self { queue, due: None })
    }

    /// What to register for readability.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }

    /// The handle became readable.
    pub fn on_readable(&mut self, now: Instant) {
        self.due.get_or_insert(now + GATHERING);
    }

    /// When to [`read`](Self::read).
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Watches a folder. One that is watched already, under whatever path, keeps its number.
    fn watch(&self, folder: &Path, follow_link: bool) -> Result<WatchId, NotWatched> {
        let mut flags = WatchFlags::ONLYDIR
            | WatchFlags::EXCL_UNLINK
            | WatchFlags::ATTRIB
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MODIFY
            | WatchFlags::MOVE
            | WatchFlags::MOVE_SELF;
        if !follow_link {
            flags |= WatchFlags::DONT_FOLLOW;
        }
        inotify::add_watch(&self.queue, folder, flags).map_err(|error| match error {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS => NotWatched::NoFolder,
            error => NotWatched::Refused(error),
        })
    }

    /// Watches a folder that is held open, wherever it stands by now: no path leads there but its handle.
    pub fn watch_held(&self, folder: BorrowedFd<'_>) -> Result<WatchId, NotWatched> {
        const HANDLES: &str = "/proc/self/fd";
        let handle = format!("{HANDLES}/{}", folder.as_raw_fd());
        match self.watch(Path::new(&handle), true) {
            // The folder is there, but no way to say so.
            Err(NotWatched::NoFolder) if !Path::new(HANDLES).exists() => {
                Err(NotWatched::Refused(Errno::NOENT))
            }
            watched => watched,
        }
    }

    /// Watches a folder no more.
    pub fn unwatch(&self, watch: WatchId) {
        // It fails where the folder is gone, which is as good.
        let _ = inotify::remove_watch(&self.queue, watch);
    }

    /// Reads what has gathered, if it is due; at most some 2,000 events. What is left is due at
    /// once.
    pub fn read(&mut self, now: Instant, mut each: impl FnMut(FolderEvent<'_>)) {
        if self.due.is_none_or(|due| now < due) {
            return;
        }
        let mut buffer = [MaybeUninit::uninit(); BUFFER_LENGTH];
        let mut reader = Reader::new(&self.queue, &mut buffer);
        let mut buffers = 0;
        loop {
            if reader.is_buffer_empty() {
                if buffers == BUFFERS_MAX {
                    self.due = Some(now);
                    return;
                }
                buffers += 1;
            }
            match reader.next() {
                Ok(event) => told(&event, &mut each),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => break,
                Err(error) => {
                    log::warn!("cannot read folder events: {error}");
                    each(FolderEvent::Lost);
                    break;
                }
            }
        }
        self.due = None;
    }
}

fn told(event: &inotify::Event<'_>, each: &mut impl FnMut(FolderEvent<'_>)) {
    let kind = event.events();
    if kind.contains(ReadFlags::QUEUE_OVERFLOW) {
        each(FolderEvent::Lost);
    } else if kind.contains(ReadFlags::IGNORED) {
        each(FolderEvent::Unwatched(event.wd()));
    } else if let Some(name) = event.file_name() {
        if let Ok(name) = name.to_str() {
            each(FolderEvent::Entry(event.wd(), name));
        }
    } else {
        each(FolderEvent::Folder(event.wd()));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const LATER: Instant = Instant::from_micros(1_000_000);

    fn read(events: &mut FolderEvents) -> Vec<String> {
        events.on_readable(Instant::ORIGIN);
        let mut seen = Vec::new();
        events.read(LATER, |event| seen.push(format!("{event:?}")));
        seen.dedup();
        seen
    }

    #[test]
    fn events_name_their_entries_once_they_have_gathered() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = FolderEvents::new().unwrap();
        let watch = events.watch(folder.path(), false).unwrap();
        fs::write(folder.path().join("a"), "1").unwrap();

        assert_eq!(events.due(), None);
        events.on_readable(Instant::ORIGIN);
        events.on_readable(Instant::ORIGIN + Duration::from_millis(40));
        assert_eq!(events.due(), Some(Instant::ORIGIN + GATHERING));
        events.read(Instant::ORIGIN, |event| panic!("too early: {event:?}"));

        assert_eq!(read(&mut events), [format!("Entry({watch}, \"a\")")]);
        assert_eq!(events.due(), None);
        assert!(read(&mut events).is_empty());
        fs::remove_dir_all(folder.path()).unwrap();
        let seen = read(&mut events);
        assert_eq!(seen.last(), Some(&format!("Unwatched({watch})")), "{seen:?}");
    }

    #[test]
    fn a_full_buffer_leaves_the_rest_for_the_next_time() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = FolderEvents::new().unwrap();
        events.watch(folder.path(), false).unwrap();
        for number in 0..2_000 {
            fs::write(folder.path().join(number.to_string()), "").unwrap();
        }
        events.on_readable(Instant::ORIGIN);
        let mut seen = std::collections::BTreeSet::new();
        let mut turns = 0;
        while events.due().is_some() {
            turns += 1;
            events.read(LATER, |event| match event {
                FolderEvent::Entry(_, name) => drop(seen.insert(name.to_owned())),
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(seen.len(), 2_000);
        assert!(turns > 1, "{turns}");
    }

    #[test]
    fn what_is_no_folder_is_not_watched() {
        let folder = tempfile::tempdir().unwrap();
        let events = FolderEvents::new().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("link")).unwrap();
        for name in ["file", "link", "missing"] {
            let refused = events.watch(&folder.path().join(name), false);
            assert_eq!(refused, Err(NotWatched::NoFolder), "{name}");
        }
        assert!(events.watch(&folder.path().join("link"), true).is_ok());
    }
}
