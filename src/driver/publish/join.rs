//! Making one file out of several chunk files: the later ones are moved to the end of the first, block by
//! block.
//!
//! Each is taken out of the `:chunk:` names before any of its bytes is copied, so that no byte ever
//! stands in two chunk files. The kernel copies, and where the file system can share blocks between files it
//! only notes that they are shared. A block that was copied is freed where it came from, so that at most
//! one block more than the file's size is on disk at once; where the file system cannot free parts of a file, as
//! much as the longest chunk file but the first. Cut short at any point, opening the store leaves it so that
//! the join is gone on with (`chunk_store/scan.rs`); what a power cut takes of it is fetched again.

use std::fs::File;
use std::io;

use log::debug;
use rustix::fs::{FallocateFlags, OFlags, fallocate};

use super::copy::copy_slice;
use crate::content::BlockLayout;
use crate::driver::chunk_store::{ChunkStore, names};
use crate::driver::share_folder::{self, entry};

/// How much is moved in one step, in bytes; a block more or less.
const STEP_LENGTH: u64 = 1024 * 1024;

/// A join being made.
#[derive(Debug)]
pub(super) struct Join {
    /// The first chunk file.
    base: File,
    /// How long it is.
    end: u64,
    moving: Option<Moving>,
}

/// A file whose bytes are being moved.
#[derive(Debug)]
struct Moving {
    file: File,
    name: String,
    length: u64,
    /// Where in it goes on what is to be copied.
    copied: u64,
    /// Up to where it was freed.
    freed: u64,
}

/// Why a join cannot be made.
#[derive(Debug)]
pub(super) enum JoinError {
    /// What is on disk is not what was there a moment ago.
    Lost,
    /// The system would not do it.
    Io(io::Error),
}

impl From<io::Error> for JoinError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound { Self::Lost } else { Self::Io(error) }
    }
}

impl Join {
    /// Moves all other chunk files to this one, the first, which has `length` bytes.
    pub(super) fn new(base: File, length: u64) -> Self {
        Self { base, end: length, moving: None }
    }

    /// Does the next piece. True once all is joined; nothing of it is synced.
    pub(super) fn step(&mut self, store: &mut ChunkStore) -> Result<bool, JoinError> {
        let Some(moving) = &mut self.moving else {
            let next = store.extents().into_iter().find(|extent| extent.start == self.end);
            let Some(next) = next else { return Ok(true) };
            self.moving = Some(take(store, next.start, next.length)?);
            return Ok(false);
        };
        if !store.is_as_left(0, &self.base) || !store.is_joining(&moving.file) {
            return Err(JoinError::Lost);
        }
        let block = BlockLayout::new(store.size()).block_length();
        let moved = moving.step(&self.base, &mut self.end, block);
        // Also where that failed half way.
        store.written(0, &self.base)?;
        store.joining(Some((&moving.name, share_folder::signature(&moving.file)?)));
        moved?;
        if moving.copied == moving.length {
            entry::remove(store.folder()?.handle(), &moving.name)?;
            store.joining(None);
            self.moving = None;
        }
        Ok(false)
    }

    /// The first chunk file, which is the whole content once the join is made.
    pub(super) fn into_base(self) -> File {
        self.base
    }
}

impl Moving {
    /// Moves a piece to the end of the first chunk file.
    fn step(&mut self, base: &File, end: &mut u64, block: u64) -> Result<(), JoinError> {
        let stop = *end + STEP_LENGTH;
        while *end < stop && self.copied < self.length {
            let boundary = *end - *end % block + block;
            let left = (boundary - *end).min(self.length - self.copied);
            let copied = copy_slice((&self.file, self.copied), (base, *end), left)?;
            if copied == 0 {
                return Err(JoinError::Lost);
            }
            self.copied += copied;
            *end += copied;
            // Only what is whole in the first file: the rest of a join that is cut short begins there.
            if *end == boundary && self.copied < self.length {
                self.free();
            }
        }
        Ok(())
    }

    /// Frees what was copied. The file stays as long as it was.
    fn free(&mut self) {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if let Err(error) = fallocate(&self.file, flags, self.freed, self.copied - self.freed) {
            debug!("cannot free parts of {}: {error}", self.name);
        }
        self.freed = self.copied;
    }
}

/// Takes a chunk file out of the `:chunk:` names, if it is not out of them already.
fn take(store: &mut ChunkStore, start: u64, length: u64) -> Result<Moving, JoinError> {
    let content = store.content();
    let folder = store.folder()?.handle();
    let (name, joined) = match store.rest_at(start) {
        Some((file, joined)) => (names::joining(content, file), joined),
        None => {
            let (old, new) = (names::chunk(content, start), names::joining(content, start));
            entry::rename_to_free(folder, &old, folder, &new)?;
            (new, 0)
        }
    };
    let file = entry::open_file(folder, name.as_str(), OFlags::RDWR)?;
    let length = joined + length;
    if file.metadata()?.len() != length || !store.is_as_left(start, &file) {
        return Err(JoinError::Lost);
    }
    store.forget_chunk(start);
    store.joining(Some((&name, share_folder::signature(&file)?)));
    Ok(Moving { file, name, length, copied: joined, freed: joined })
}
