//! What is in a folder, a few entries at a time.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, RawDir};
use rustix::io::Errno;

/// Room for one entry with a name of 255 bytes, or some eight of usual length. The kernel may have to fetch what it knows of
/// each from a disk, or from memory that has gone cold: two dozen at once have been seen to take 9 ms.
const BATCH_LENGTH: usize = 288;
/// Some file systems have longer names.
const BATCH_LENGTH_MAX: usize = 64 << 10;

/// The entries of a folder that is held open. What it is called, and where it is by now, is of no account.
#[derive(Debug)]
pub(super) struct Entries {
    folder: OwnedFd,
    batch: Vec<u8>,
    /// Names that are text, of what may be a file or a folder.
    read: VecDeque<Box<str>>,
}

impl Entries {
    /// Of a folder that was opened for reading just now.
    pub(super) const fn of(folder: OwnedFd) -> Self {
        Self { folder, batch: Vec::new(), read: VecDeque::new() }
    }

    pub(super) fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// The next name of those that were read.
    pub(super) fn next(&mut self) -> Option<Box<str>> {
        self.read.pop_front()
    }

    /// Whether [`read`](Self::read) is to be called.
    pub(super) fn is_empty(&self) -> bool {
        self.read.is_empty()
    }

    /// Reads some, with one system call. Whether there was anything more; a folder that was removed has nothing.
    ///
    /// # Errors
    ///
    /// The system's: what is in the folder is not known, then.
    pub(super) fn read(&mut self) -> rustix::io::Result<bool> {
        if self.batch.capacity() == 0 {
            self.batch.reserve_exact(BATCH_LENGTH);
        }
        loop {
            match self.read_batch() {
                Err(Errno::INVAL) if self.batch.capacity() < BATCH_LENGTH_MAX => {
                    self.batch.reserve_exact(4 * self.batch.capacity());
                }
                Err(Errno::NOENT) => return Ok(false),
                outcome => return outcome,
            }
        }
    }

    fn read_batch(&mut self) -> rustix::io::Result<bool> {
        let mut batch = RawDir::new(&self.folder, self.batch.spare_capacity_mut());
        let mut is_more = false;
        while let Some(entry) = batch.next() {
            is_more = true;
            let entry = entry?;
            let kind = entry.file_type();
            let is_of_interest =
                matches!(kind, FileType::RegularFile | FileType::Directory | FileType::Unknown);
            match entry.file_name().to_str() {
                Ok(name) if is_of_interest && name != "." && name != ".." => {
                    self.read.push_back(name.into());
                }
                _ => {}
            }
            if batch.is_buffer_empty() {
                break;
            }
        }
        Ok(is_more)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs::{self, File};

    use super::*;

    fn open(path: &std::path::Path) -> Entries {
        Entries::of(File::open(path).unwrap().into())
    }

    #[test]
    fn what_is_in_a_folder_comes_once_in_small_batches() {
        let folder = tempfile::tempdir().unwrap();
        let mut names: BTreeSet<Box<str>> = (0..300)
            .map(|number| format!("{number:03} {}", "x".repeat(number % 250)).into())
            .collect();
        names.insert("y".repeat(255).into());
        for name in &names {
            File::create(folder.path().join(&**name)).unwrap();
        }
        std::os::unix::fs::symlink("nowhere", folder.path().join("link")).unwrap();
        let (mut entries, mut found) = (open(folder.path()), BTreeSet::new());
        while entries.read().unwrap() {
            assert!(entries.read.len() <= 12, "{}", entries.read.len());
            while let Some(name) = entries.next() {
                assert!(found.insert(name), "twice");
            }
        }
        assert_eq!(found, names);
    }

    #[test]
    fn a_name_that_has_no_room_gets_it() {
        let folder = tempfile::tempdir().unwrap();
        File::create(folder.path().join("z".repeat(200))).unwrap();
        let mut entries = open(folder.path());
        entries.batch.reserve_exact(64);
        let mut found = 0;
        while entries.read().unwrap() {
            found += std::iter::from_fn(|| entries.next()).count();
        }
        assert_eq!(found, 1);
    }

    #[test]
    fn a_folder_that_was_removed_has_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let mut entries = open(&inner);
        fs::remove_dir(&inner).unwrap();
        assert_eq!(entries.read(), Ok(false));
    }
}
