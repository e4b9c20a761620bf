//! `flock`s on files and folders: the kernel frees them however a process ends. They are on the
//! file, not on one of its names.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::{Timespec, poll};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::Errno;

use super::clock::Slice;

/// The time between two attempts.
const ATTEMPT_INTERVAL: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
/// After so long it is told what is waited for.
const TOLD_AFTER: Duration = Duration::from_secs(1);

/// What came of asking for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lock {
    Ours,
    Taken,
    /// The file system has none.
    Unsupported,
}

/// Asks once; `operation` is one that does not block.
pub(super) fn try_lock(file: impl AsFd, operation: FlockOperation) -> Lock {
    loop {
        match flock(&file, operation) {
            Ok(()) => return Lock::Ours,
            Err(Errno::WOULDBLOCK) => return Lock::Taken,
            Err(Errno::INTR) => {}
            Err(_) => return Lock::Unsupported,
        }
    }
}

/// Opens a folder, for its lock; what else stands there is an error, and does not block.
pub(super) fn open_folder(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    open(path, flags, Mode::empty())
}

/// A lock that is held until this goes, or one that was not to be had.
#[derive(Debug)]
pub(super) struct Held {
    /// What came of asking for it.
    pub(super) lock: Lock,
    file: OwnedFd,
}

impl Held {
    /// Asks again and again for so long; `what` says who is waited for, to people.
    pub(super) fn within(
        file: impl AsFd,
        operation: FlockOperation,
        patience: Duration,
        what: impl FnOnce() -> String,
    ) -> io::Result<Self> {
        let file = file.as_fd().try_clone_to_owned()?;
        let (wait, mut what) = (Slice::of(patience), Some(what));
        loop {
            let lock = try_lock(&file, operation);
            if lock != Lock::Taken || wait.is_over() {
                return Ok(Self { lock, file });
            }
            if wait.elapsed() >= TOLD_AFTER {
                if let Some(what) = what.take() {
                    log::warn!("waiting for {}", what());
                }
            }
            // An interrupted wait is a short one.
            let _ = poll(&mut [], Some(&ATTEMPT_INTERVAL));
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.lock == Lock::Ours {
            // Our caller may have the same open file for longer, and it would stay locked.
            let _ = flock(&self.file, FlockOperation::Unlock);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn one_has_it_until_it_goes_and_another_one_waits_so_long() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (File::open(folder.path()).unwrap(), File::open(folder.path()).unwrap());
        let operation = FlockOperation::NonBlockingLockExclusive;
        let of =
            |file: &File, patience| Held::within(file, operation, patience, String::new).unwrap();
        let held = of(&one, Duration::ZERO);
        assert_eq!(held.lock, Lock::Ours);
        assert_eq!(of(&other, Duration::from_millis(30)).lock, Lock::Taken);
        assert_eq!(try_lock(&other, operation), Lock::Taken, "who waited in vain frees nothing");
        drop(held);
        assert_eq!(of(&other, Duration::ZERO).lock, Lock::Ours);
    }
}
