//! Making one file out of several chunk files: the later ones are appended to the first.
//!
//! Each is taken out of the `:chunk:` names before any of its bytes is copied, so that no byte ever
//! stands in two chunk files, and is removed only after the first file, with its bytes, was synced:
//! the last ones when the file has its name, with all that is left in `chunks/`. Cut short at any
//! point, opening the store undoes what was not completed (`chunk_store/scan.rs`). At most
//! [`UNSYNCED_MAX`] bytes and one extent more than the file's size are on disk at once.

use std::fs::File;
use std::io;

use rustix::fs::OFlags;

use super::copy::copy_slice;
use crate::driver::chunk_store::{ChunkStore, names};
use crate::driver::share_folder::entry;

/// After how many appended bytes the first file is synced and the files they came from removed.
const UNSYNCED_MAX: u64 = if cfg!(test) { 128 * 1024 } else { 64 * 1024 * 1024 };

/// A join being made.
#[derive(Debug)]
pub(super) struct Join {
    /// The first chunk file.
    base: File,
    /// How long it is.
    end: u64,
    moving: Option<Moving>,
    /// Bytes of the base since it was last synced.
    unsynced: u64,
    /// Files whose bytes the base has, by their starts.
    joined: Vec<u64>,
    synced: bool,
}

/// A file whose bytes are being appended.
#[derive(Debug)]
struct Moving {
    file: File,
    length: u64,
    copied: u64,
}

/// Why a join cannot be made.
#[derive(Debug)]
pub(super) enum JoinError {
    /// What is on disk is not what was there a moment ago.
    Lost,
    /// The system would not do it.
    Io(io::Error),
    /// The first file could not be synced: nothing in it is to be relied on.
    Sync(io::Error),
}

impl From<io::Error> for JoinError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound { Self::Lost } else { Self::Io(error) }
    }
}

impl Join {
    /// Appends all other chunk files to this one, the first, which has `length` bytes.
    pub(super) fn new(base: File, length: u64) -> Self {
        Self { base, end: length, moving: None, unsynced: 0, joined: Vec::new(), synced: false }
    }

    /// Does the next piece. True once all is joined; the last of it is not synced.
    pub(super) fn step(&mut self, store: &mut ChunkStore) -> Result<bool, JoinError> {
        if let Some(moving) = &mut self.moving {
            let left = moving.length - moving.copied;
            let copied = copy_slice((&moving.file, moving.copied), (&self.base, self.end), left)?;
            if copied == 0 {
                return Err(JoinError::Lost);
            }
            moving.copied += copied;
            self.end += copied;
            self.unsynced += copied;
            self.synced = false;
            if moving.copied == moving.length {
                self.moving = None;
            }
            return Ok(false);
        }
        let next = store.extents().into_iter().find(|extent| extent.start == self.end);
        match next {
            None => return Ok(true),
            Some(next) if self.unsynced < UNSYNCED_MAX => {
                self.take(store, next.start, next.length)?;
            }
            Some(_) if !self.synced => {
                self.base.sync_all().map_err(JoinError::Sync)?;
                self.synced = true;
            }
            Some(_) => {
                self.remove_joined(store)?;
                self.unsynced = 0;
            }
        }
        Ok(false)
    }

    /// Takes a chunk file out of the `:chunk:` names.
    fn take(&mut self, store: &mut ChunkStore, start: u64, length: u64) -> Result<(), JoinError> {
        let content = store.content();
        let folder = store.folder()?.handle();
        let (old, new) = (names::chunk(content, start), names::joining(content, start));
        entry::rename_to_free(folder, &old, folder, &new)?;
        let file = entry::open_file(folder, new.as_str(), OFlags::RDONLY)?;
        if file.metadata()?.len() != length {
            return Err(JoinError::Lost);
        }
        store.forget_chunk(start);
        self.joined.push(start);
        self.moving = Some(Moving { file, length, copied: 0 });
        Ok(())
    }

    /// The earliest first: where a cut leaves some, the base is cut back to the first of these, and
    /// nothing is lost.
    fn remove_joined(&mut self, store: &ChunkStore) -> Result<(), JoinError> {
        let folder = store.folder()?.handle();
        for start in self.joined.drain(..) {
            entry::remove(folder, &names::joining(store.content(), start))?;
        }
        Ok(())
    }

    /// The first chunk file, which is the whole content once the join is made.
    pub(super) fn into_base(self) -> File {
        self.base
    }
}
