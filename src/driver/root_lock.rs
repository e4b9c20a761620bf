//! One peer for a root folder, and the newest wins.
//!
//! Two locks, both `flock`s on folders, so that there is no lock file that somebody could delete,
//! and the kernel frees them however a process ends:
//!
//! - *the house*: exclusive, on the root folder. Who holds it is the owner, for life.
//! - *the door*: exclusive, on `share/`. A newcomer holds it while it waits for the house; that is
//!   its knock. The owner tries the door now and then, and ends when it finds it held.
//!
//! A newcomer first takes the door and then the house. So of several newcomers one stands at the
//! door, it alone gets the house when the owner leaves, and then frees the door for the next. The
//! house can have no two owners because the kernel gives the lock once. It is not left without one
//! because who knocked waits longer than an owner takes to hear it and to end.
//!
//! `share/` is opened anew each time: it may be deleted and made again while a peer runs.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, fstat, stat};

use crate::driver::clock::Slice;
use crate::driver::file_locks::{Lock, open_folder, try_lock};

/// How long a newcomer waits while another one stands at the door.
const DOOR_WAIT: Duration = Duration::from_millis(2_500);
/// How long a newcomer waits for the owner to end after it has knocked. An owner looks once a
/// second and ends within two; it may need longer on a slow disk, and to give up on one that has
/// heard the knock would leave the folder without a peer.
const HOUSE_WAIT: Duration = Duration::from_secs(5);
/// The time between two attempts.
const ATTEMPT_INTERVAL: Duration = Duration::from_millis(20);

/// The ownership of a root folder, held until it is dropped or the process ends in any way.
#[derive(Debug)]
pub struct RootLock {
    share: PathBuf,
    /// None where the file system has no locks.
    _house: Option<OwnedFd>,
}

impl RootLock {
    /// Becomes the owner of the folder `root`, in which `share/` should exist. An older peer there
    /// is asked to end, and waited for; this call blocks that long, usually not at all. If it does
    /// not end: one sentence.
    pub fn take(root: &Path) -> Result<Self, String> {
        Self::take_within(root, DOOR_WAIT, HOUSE_WAIT)
    }

    fn take_within(root: &Path, door_wait: Duration, house_wait: Duration) -> Result<Self, String> {
        let cannot =
            |error: io::Error| format!("cannot open the folder {}: {error}", root.display());
        let mut newcomer = Newcomer::new(root).map_err(cannot)?;
        let mut pause = mio::Poll::new().map_err(cannot)?;
        let mut no_events = mio::Events::with_capacity(1);
        let mut told = false;
        let (mut knocking, mut wait) = (false, Slice::of(door_wait));
        loop {
            match newcomer.attempt() {
                Attempt::Owner(lock) => return Ok(lock),
                Attempt::Knocking if !knocking => {
                    (knocking, wait) = (true, Slice::of(house_wait));
                }
                Attempt::Knocking | Attempt::Queueing => {}
            }
            if wait.is_over() {
                // Somebody else may hold the door for reasons of its own.
                return newcomer.take_house().ok_or_else(|| {
                    format!(
                        "another sprat peer runs in {} and does not end; end that process, or name \
                         another folder with --root",
                        root.display()
                    )
                });
            }
            if !told {
                told = true;
                log::info!("another peer runs in {}; taking over from it", root.display());
            }
            // An interrupted wait is a short one.
            let _ = pause.poll(&mut no_events, Some(ATTEMPT_INTERVAL));
        }
    }

    /// Whether a newer peer waits for this one to end. Does not block; to be called about once a
    /// second.
    pub fn somebody_knocks(&self) -> bool {
        // Dropping the handle frees the door again.
        open_folder(&self.share)
            .is_ok_and(|door| try_lock(&door, FlockOperation::NonBlockingLockShared) == Lock::Taken)
    }
}

/// Whether a peer runs in the folder `root`. Where the file system has no locks, none is seen.
pub fn is_taken(root: &Path) -> bool {
    open_folder(root)
        .is_ok_and(|house| try_lock(&house, FlockOperation::NonBlockingLockShared) == Lock::Taken)
}

/// A peer that wants to be the owner.
#[derive(Debug)]
struct Newcomer {
    house: Option<OwnedFd>,
    share: PathBuf,
    door: Option<OwnedFd>,
}

#[derive(Debug)]
enum Attempt {
    Owner(RootLock),
    /// The door is held, the house not yet.
    Knocking,
    /// Another newcomer holds the door.
    Queueing,
}

impl Newcomer {
    fn new(root: &Path) -> io::Result<Self> {
        Ok(Self { house: Some(open_folder(root)?), share: root.join("share"), door: None })
    }

    fn attempt(&mut self) -> Attempt {
        if !self.door.as_ref().is_some_and(|door| self.is_still_the_door(door)) {
            self.door = None;
            // Without share/, or locks on it, there is nothing to knock on; the house decides.
            if let Ok(door) = open_folder(&self.share) {
                match try_lock(&door, FlockOperation::NonBlockingLockExclusive) {
                    Lock::Ours => self.door = Some(door),
                    Lock::Taken => return Attempt::Queueing,
                    Lock::Unsupported => {}
                }
            }
        }
        self.take_house().map_or(Attempt::Knocking, Attempt::Owner)
    }

    /// Takes the house if it is free.
    fn take_house(&mut self) -> Option<RootLock> {
        let house = self.house.take()?;
        let held = match try_lock(&house, FlockOperation::NonBlockingLockExclusive) {
            Lock::Ours => Some(house),
            Lock::Taken => {
                self.house = Some(house);
                return None;
            }
            Lock::Unsupported => {
                log::warn!(
                    "the file system of this folder has no locks: see to it yourself that only one \
                     peer runs here"
                );
                None
            }
        };
        // The next newcomer may knock.
        self.door = None;
        Some(RootLock { share: self.share.clone(), _house: held })
    }

    fn is_still_the_door(&self, door: &OwnedFd) -> bool {
        match (fstat(door), stat(&self.share)) {
            (Ok(held), Ok(now)) => (held.st_dev, held.st_ino) == (now.st_dev, now.st_ino),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("share")).unwrap();
        root
    }

    fn owner(attempt: Attempt) -> RootLock {
        match attempt {
            Attempt::Owner(lock) => lock,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nobody_knocks_until_a_newcomer_does_and_it_gets_the_house_when_the_owner_goes() {
        let root = root();
        let old = RootLock::take(root.path()).unwrap();
        assert!(!old.somebody_knocks());
        assert!(!old.somebody_knocks(), "listening is not knocking");
        assert!(is_taken(root.path()) && !is_taken(&root.path().join("share")));
        assert!(!old.somebody_knocks(), "neither is looking who is there");

        let mut newcomer = Newcomer::new(root.path()).unwrap();
        assert!(matches!(newcomer.attempt(), Attempt::Knocking));
        assert!(old.somebody_knocks());
        drop(old);
        let new = owner(newcomer.attempt());
        assert!(!new.somebody_knocks(), "its own knock is over");
    }

    #[test]
    fn of_two_newcomers_the_first_at_the_door_is_next_and_the_other_one_after_it() {
        let root = root();
        let old = RootLock::take(root.path()).unwrap();
        let mut first = Newcomer::new(root.path()).unwrap();
        let mut second = Newcomer::new(root.path()).unwrap();
        assert!(matches!(first.attempt(), Attempt::Knocking));
        assert!(matches!(second.attempt(), Attempt::Queueing));
        drop(old);
        assert!(
            matches!(second.attempt(), Attempt::Queueing),
            "the house is free, but not for who came second"
        );
        let lock = owner(first.attempt());
        assert!(matches!(second.attempt(), Attempt::Knocking));
        assert!(lock.somebody_knocks());
        drop(lock);
        owner(second.attempt());
    }

    #[test]
    fn a_newcomer_that_dies_leaves_the_owner_in_peace() {
        let root = root();
        let old = RootLock::take(root.path()).unwrap();
        let mut newcomer = Newcomer::new(root.path()).unwrap();
        newcomer.attempt();
        drop(newcomer);
        assert!(!old.somebody_knocks());
        let short = Duration::from_millis(1);
        let sentence = RootLock::take_within(root.path(), short, short).unwrap_err();
        assert!(sentence.contains("another sprat peer"), "{sentence}");
    }

    #[test]
    fn the_knock_follows_a_share_that_is_deleted_and_made_again() {
        let root = root();
        let share = root.path().join("share");
        let old = RootLock::take(root.path()).unwrap();
        let mut newcomer = Newcomer::new(root.path()).unwrap();
        newcomer.attempt();
        fs::remove_dir(&share).unwrap();
        assert!(!old.somebody_knocks(), "nothing there is nobody there");
        fs::create_dir(&share).unwrap();
        assert!(!old.somebody_knocks());
        assert!(matches!(newcomer.attempt(), Attempt::Knocking));
        assert!(old.somebody_knocks());
    }

    #[test]
    fn a_door_held_by_a_stranger_does_not_keep_a_free_house_empty() {
        let root = root();
        let stranger = open_folder(&root.path().join("share")).unwrap();
        assert_eq!(try_lock(&stranger, FlockOperation::NonBlockingLockExclusive), Lock::Ours);
        let short = Duration::from_millis(1);
        RootLock::take_within(root.path(), short, short).unwrap();
    }

    #[test]
    fn a_root_that_is_not_there_is_a_sentence() {
        let root = root();
        let sentence = RootLock::take(&root.path().join("missing")).unwrap_err();
        assert!(sentence.contains("missing"), "{sentence}");
    }
}
