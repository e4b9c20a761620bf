//! Whether a host has a content that it lists: some of it is fetched, from that host alone, to a
//! folder below `.sprat/` that goes again. Nothing is taken at its word: a block counts that is
//! proven against the SHA-1.

use std::fs::{self, DirBuilder};
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::DecimalBytes;
use rustix::fs::{FlockOperation, statvfs};

use crate::config::Config;
use crate::content::{ContentId, ShareName};
use crate::driver::clock::Clock;
use crate::driver::event_loop::{EventLoop, Turn};
use crate::driver::executor::Executor;
use crate::driver::file_locks::{Held, Lock, open_folder, try_lock};
use crate::driver::looking::Look;
use crate::driver::run::{
    NOT_NOW, Trouble, loop_failed, no_place, node_config, open_loop, open_share, open_socket,
};
use crate::driver::share_folder::ShareFolder;
use crate::node::FetchId;
use crate::node::input::{Command, FetchRequest};
use crate::node::output::FetchEnding;

/// So much of it is enough to see, in bytes; a shorter content is fetched whole.
const ENOUGH: u64 = 16 << 20;
/// After so long, a block is enough.
const PATIENCE: Duration = Duration::from_secs(10);
/// A host that gives nothing for so long gives no more.
const SILENCE: Duration = Duration::from_secs(2);
/// Who tidies is waited for so long.
const TIDYING: Duration = Duration::from_secs(10);
/// So many places are tried: of calls that run, and of killed ones where nobody may tidy.
const PLACES_MAX: u32 = 1_024;
/// What the names of places begin with, before a number.
const PLACE: &str = "proof-";

/// Whether the host at these addresses has this content.
pub(super) fn has(
    config: &Config,
    (content, size): (ContentId, u64),
    sources: Vec<SocketAddr>,
) -> Result<Look<bool>, Trouble> {
    let folder = Passing::make(&config.root)?;
    folder.check_room(size.min(ENOUGH))?;
    // The look before it is what is recorded.
    let config = Config { root: folder.path.clone(), trace: None, ..config.clone() };
    let clock = Clock::start();
    let share = open_share(&config.root)?;
    let socket = open_socket(&config, 0)?;
    let node_config = node_config(&config, false, &socket)?;
    let executor = Executor::new(&config.root, share, socket, None);
    let mut run = open_loop(&config, clock, node_config, executor)?;
    let name = ShareName::parse("proof").map_err(|problem| problem.to_string())?;
    run.begin(Some(Command::Fetch(FetchRequest {
        fetch: FetchId(1),
        content,
        size,
        name,
        sources,
        timeout: Some(PATIENCE),
        alone: true,
    })));
    let seen = see(&mut run)?;
    run.stop();
    while run.turn().map_err(loop_failed)? != Turn::Over {}
    Ok(seen)
}

/// Lets the fetch run until it is seen.
fn see(run: &mut EventLoop) -> Result<Look<bool>, Trouble> {
    let (mut stored, mut received, mut moved_at) = (0, 0, run.now());
    loop {
        let turn = run.turn().map_err(loop_failed)?;
        if let Some((_, ending)) = run.executor.endings.pop() {
            let is_done = matches!(ending, FetchEnding::Done(_));
            let is_slow = ending == FetchEnding::TimedOut && stored > 0;
            return Ok(Look::Seen(is_done || is_slow));
        } else if let Some(progress) = run.node.fetch_progress(FetchId(1)) {
            stored = progress.stored;
            if progress.received != received {
                (received, moved_at) = (progress.received, run.now());
            }
        }
        if run.ended_by.is_some() || turn == Turn::Over {
            return Ok(Look::Ended(run.ended_by));
        } else if stored >= ENOUGH {
            return Ok(Look::Seen(true));
        } else if run.now().since(moved_at) >= SILENCE {
            return Ok(Look::Seen(false));
        }
    }
}

/// A folder for files that pass by: `.sprat/proof-1`, or the next number that is free.
///
/// Who has one shares a lock on `.sprat/`. Who gets that lock for itself alone knows that nobody
/// has one, and that what lies there was left behind.
struct Passing {
    path: PathBuf,
    _lock: Held,
}

impl Passing {
    fn make(root: &Path) -> Result<Self, Trouble> {
        let ours = root.join(".sprat");
        let failed = |path: &Path, error: &io::Error| {
            no_place("make the folder", path, error, "see to its rights, and to those around it")
        };
        let lock = ShareFolder::open_or_make(&ours)
            .and_then(|folder| lock_shared(folder.handle(), &ours))
            .map_err(|error| failed(&ours, &error))?;
        // Where there are no locks, nobody tidies.
        if lock.lock == Lock::Taken {
            let sentence = format!("another program holds a lock on {}: end it", ours.display());
            return Err(Trouble { sentence, code: NOT_NOW });
        }
        for number in 1..=PLACES_MAX {
            let path = ours.join(format!("{PLACE}{number}"));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { path, _lock: lock }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(&path, &error)),
            }
        }
        Err(format!("{} holds too many folders {PLACE}...: remove them", ours.display()).into())
    }

    /// A fetch would wait until there is room, and that looks as if the host gave nothing.
    fn check_room(&self, needed: u64) -> Result<(), Trouble> {
        let free = match statvfs(&self.path) {
            // Not all file systems tell.
            Ok(room) if room.f_blocks > 0 => room.f_bavail.saturating_mul(room.f_frsize),
            Ok(_) | Err(_) => return Ok(()),
        };
        if free >= needed {
            return Ok(());
        }
        let sentence = format!(
            "there is no room at {} to see who else has it: {} are needed for a moment, {} are \
             free; make room and try again, or sprat rm --force deletes it for good",
            self.path.display(),
            DecimalBytes(needed),
            DecimalBytes(free),
        );
        Err(Trouble { sentence, code: NOT_NOW })
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            log::warn!("{} is left behind: {error}", self.path.display());
        }
    }
}

fn lock_shared(folder: BorrowedFd<'_>, path: &Path) -> io::Result<Held> {
    let operation = FlockOperation::NonBlockingLockShared;
    Held::within(folder, operation, TIDYING, || format!("who tidies {}", path.display()))
}

/// Removes what killed calls have left below `.sprat/`, unless a call runs that has a place there.
pub(super) fn tidy(root: &Path) {
    let ours = root.join(".sprat");
    let Ok(folder) = open_folder(&ours) else { return };
    if try_lock(&folder, FlockOperation::NonBlockingLockExclusive) != Lock::Ours {
        return;
    }
    let Ok(entries) = fs::read_dir(&ours) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(PLACE));
        if number.is_some_and(|number| number.parse::<u32>().is_ok()) {
            if let Err(error) = fs::remove_dir_all(entry.path()) {
                log::warn!("{} is left behind: {error}", entry.path().display());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_apart_and_what_is_left_behind_goes_when_nobody_has_one() {
        let root = tempfile::tempdir().unwrap();
        tidy(root.path());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0, "nothing is made for that");
        let made = || Passing::make(root.path()).ok().unwrap();
        let left = root.path().join(".sprat/proof-7");
        let (first, second) = (made(), made());
        assert_eq!(first.path.file_name().unwrap(), "proof-1");
        assert_eq!(second.path.file_name().unwrap(), "proof-2");
        drop(first);
        fs::create_dir_all(left.join("chunks")).unwrap();
        fs::write(left.join("chunks/half"), "half").unwrap();
        fs::write(root.path().join(".sprat/hashes"), "").unwrap();
        tidy(root.path());
        assert!(left.exists() && second.path.exists(), "it could be one that is in use");
        drop(second);
        tidy(root.path());
        let names = fs::read_dir(root.path().join(".sprat")).unwrap();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["hashes"]);
    }

    #[test]
    fn a_disk_without_room_is_no_host_that_gives_nothing() {
        let root = tempfile::tempdir().unwrap();
        let place = Passing::make(root.path()).ok().unwrap();
        assert!(place.check_room(1).is_ok());
        let trouble = place.check_room(u64::MAX).err().unwrap();
        assert!(trouble.sentence.contains("no room"), "{}", trouble.sentence);
        assert_eq!(trouble.code, NOT_NOW);
    }
}
