//! The attrs of a fetch: what tells a front end of it, and the lock that keeps it to one process.
//!
//! They are written and locked under another name and get their own in one step, so that nobody
//! ever reads half of them or finds them unlocked while their owner lives. The lock is on the file,
//! not on the name: having it, one looks whether the name still stands for the file.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::os::unix::fs::FileExt;

use log::warn;
use rustix::fs::{FlockOperation, OFlags, flock, renameat};
use rustix::io::Errno;

use super::attrs_text::ATTRS_LENGTH_MAX;
use super::names;
use crate::content::ContentId;
use crate::driver::share_folder::{ShareFolder, entry, signature};
use crate::node::input::FileSignature;

/// How often others may get in between before we come back later.
const ATTEMPTS_MAX: u32 = 16;

/// The attrs of this content, locked by us. The lock goes with this value, or with the process.
#[derive(Debug)]
pub(super) struct LockedAttrs {
    /// Held for its lock, and so that no other file gets its inode number.
    _file: File,
    name: String,
    device: u64,
    inode: u64,
    are_new: bool,
    /// The text of those that they were put in the place of.
    replaced: Option<String>,
}

impl LockedAttrs {
    /// Makes or takes over the attrs, with this text. None while another process has them.
    pub(super) fn take(
        folder: &ShareFolder,
        content: ContentId,
        text: &str,
    ) -> io::Result<Option<Self>> {
        let own = names::attrs(content);
        for attempt in 0..ATTEMPTS_MAX {
            let file = match entry::open_file(folder.handle(), own.as_str(), OFlags::RDONLY) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    match Self::make(folder, content, text, attempt, Standing::Nothing) {
                        Err(error) if lost_a_race(&error) => continue,
                        made => return made.map(Some),
                    }
                }
                Err(error) if is_no_file(&error) => {
                    warn!("chunks/{own} is no regular file; it is removed");
                    entry::remove(folder.handle(), &own)?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            if !lock(&file)? {
                return Ok(None);
            }
            if !entry::is_same_file(folder.handle(), own.as_str(), &file)? {
                continue;
            }
            if holds(&file, text) {
                return Self::holding(file, own, false).map(Some);
            }
            // An earlier run's, for another name or size, or torn. Ours replace them while theirs are
            // locked.
            match Self::make(folder, content, text, attempt, Standing::Locked) {
                Err(error) if lost_a_race(&error) => {}
                Ok(made) => {
                    let mut before = String::new();
                    // What cannot be read, or is no text, is not missed.
                    let replaced = file.take(ATTRS_LENGTH_MAX).read_to_string(&mut before);
                    return Ok(Some(Self { replaced: replaced.ok().map(|_| before), ..made }));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn make(
        folder: &ShareFolder,
        content: ContentId,
        text: &str,
        attempt: u32,
        standing: Standing,
    ) -> io::Result<Self> {
        let (own, new) = (names::attrs(content), names::new_attrs(content, attempt));
        let at = folder.handle();
        // One of this name is left over from a process that had our number.
        entry::remove(at, &new)?;
        let create = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let mut file = entry::open_file(at, new.as_str(), create).map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound && folder_stands(folder) {
                // Some file systems say so of a name that they do not take (exFAT by FUSE).
                return Errno::INVAL.into();
            }
            error
        })?;
        let named = (|| {
            lock(&file)?;
            file.write_all(text.as_bytes())?;
            // Without this a power cut may leave the name and not the text.
            file.sync_all()?;
            match standing {
                Standing::Nothing => entry::rename_to_free(at, &new, at, &own),
                Standing::Locked => Ok(renameat(at, new.as_str(), at, own.as_str())?),
            }
        })();
        if let Err(error) = named {
            let _ = entry::remove(at, &new);
            return Err(error);
        }
        Self::holding(file, own, matches!(standing, Standing::Nothing))
    }

    fn holding(file: File, name: String, are_new: bool) -> io::Result<Self> {
        let FileSignature { device, inode, .. } = signature(&file)?;
        Ok(Self { _file: file, name, device, inode, are_new, replaced: None })
    }

    /// Whether there were none before.
    pub(super) const fn are_new(&self) -> bool {
        self.are_new
    }

    /// Hands out what those said in whose place these were put, if there were any.
    pub(super) fn take_replaced(&mut self) -> Option<String> {
        self.replaced.take()
    }

    /// Has the attrs say something else, while they are ours.
    pub(super) fn restate(
        &self,
        folder: &ShareFolder,
        content: ContentId,
        text: &str,
    ) -> io::Result<()> {
        Self::make(folder, content, text, 0, Standing::Locked).map(drop)
    }

    /// Whether the name in the folder still stands for what we have locked.
    pub(super) fn stand_in(&self, folder: &ShareFolder) -> bool {
        entry::look(folder.handle(), self.name.as_str())
            .is_ok_and(|there| (there.state.device, there.state.inode) == (self.device, self.inode))
    }
}

/// What stands under the attrs' name.
#[derive(Clone, Copy)]
enum Standing {
    /// Nothing; what appears meanwhile is not to be replaced.
    Nothing,
    /// Attrs that we have locked.
    Locked,
}

/// Whether we have the lock now.
fn lock(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(Errno::NOLCK | Errno::NOTSUP | Errno::NOSYS | Errno::INVAL) => {
            warn!("the file system of chunks/ has no locks: fetch nothing twice at the same time");
            Ok(true)
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether the folder has not been removed.
fn folder_stands(folder: &ShareFolder) -> bool {
    rustix::fs::fstat(folder.handle()).is_ok_and(|stat| stat.st_nlink > 0)
}

fn holds(file: &File, text: &str) -> bool {
    let mut there = vec![0; text.len()];
    file.metadata().is_ok_and(|metadata| metadata.len() == text.len() as u64)
        && file.read_exact_at(&mut there, 0).is_ok()
        && there == text.as_bytes()
}

/// Somebody else's attrs came first, or who has the attrs took ours for left-overs.
fn lost_a_race(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AlreadyExists)
        || Errno::from_io_error(error) == Some(Errno::NOENT)
}

/// What opening says of links, folders, sockets and the like.
pub(super) fn is_no_file(error: &io::Error) -> bool {
    match Errno::from_io_error(error) {
        Some(number) => {
            matches!(number, Errno::LOOP | Errno::ISDIR | Errno::NXIO | Errno::NODEV)
        }
        None => error.kind() == io::ErrorKind::InvalidInput,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    const ID: ContentId = ContentId::EMPTY;

    fn folder() -> (tempfile::TempDir, ShareFolder) {
        let root = tempfile::tempdir().unwrap();
        let folder = ShareFolder::open_or_make(&root.path().join("chunks")).unwrap();
        (root, folder)
    }

    fn read(folder: &ShareFolder) -> String {
        fs::read_to_string(folder.path().join(names::attrs(ID))).unwrap()
    }

    #[test]
    fn one_has_it_at_a_time_and_the_next_takes_over() {
        let (_root, folder) = folder();
        let first = LockedAttrs::take(&folder, ID, "one").unwrap().unwrap();
        assert_eq!(read(&folder), "one");
        assert!(LockedAttrs::take(&folder, ID, "one").unwrap().is_none());
        assert!(LockedAttrs::take(&folder, ID, "two").unwrap().is_none());
        assert_eq!(read(&folder), "one");
        drop(first);
        let second = LockedAttrs::take(&folder, ID, "two").unwrap().unwrap();
        assert_eq!(read(&folder), "two");
        assert!(second.stand_in(&folder));
        assert!(
            LockedAttrs::take(&folder, ID, "two").unwrap().is_none(),
            "rewritten, still locked"
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn torn_attrs_links_and_folders_are_replaced() {
        let (root, folder) = folder();
        let own = folder.path().join(names::attrs(ID));
        let victim = root.path().join("victim");
        fs::write(&victim, "mine").unwrap();
        let kinds: [&dyn Fn(); 4] = [
            &|| fs::write(&own, "").unwrap(),
            &|| fs::write(&own, "one and more").unwrap(),
            &|| symlink(&victim, &own).unwrap(),
            &|| fs::create_dir(&own).unwrap(),
        ];
        for make in kinds {
            make();
            let taken = LockedAttrs::take(&folder, ID, "one").unwrap().unwrap();
            assert!(taken.stand_in(&folder));
            assert_eq!(read(&folder), "one");
            fs::remove_file(&own).unwrap();
            assert!(!taken.stand_in(&folder));
        }
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    }

    #[test]
    fn removed_attrs_are_made_anew_while_the_old_lock_lives() {
        let (_root, folder) = folder();
        let first = LockedAttrs::take(&folder, ID, "one").unwrap().unwrap();
        fs::remove_file(folder.path().join(names::attrs(ID))).unwrap();
        let second = LockedAttrs::take(&folder, ID, "one").unwrap().unwrap();
        assert!(second.stand_in(&folder) && !first.stand_in(&folder));
    }
}
