//! Chunk files that were written to lately, held open for the next block. Opening one by its name is
//! what takes longest about a small write; a look at what the name stands for does not take long, and
//! is as good: no other file can have the inode number of one that is held.

use std::fs::File;

use crate::driver::share_folder::{ShareFolder, entry};
use crate::node::input::FileSignature;

/// Files that are held, at most: as many as are likely to grow side by side.
const HELD_MAX: usize = 4;

/// A chunk file that is open for writing.
#[derive(Debug)]
pub(super) struct HeldFile {
    pub(super) file: File,
    start: u64,
    name: String,
    device: u64,
    inode: u64,
}

impl HeldFile {
    /// The file, of which the system said this when it was opened.
    pub(super) fn new(file: File, start: u64, name: String, state: &FileSignature) -> Self {
        Self { file, start, name, device: state.device, inode: state.inode }
    }
}

/// Those that are held, the latest last.
#[derive(Debug, Default)]
pub(super) struct HeldFiles {
    files: Vec<HeldFile>,
}

impl HeldFiles {
    /// Takes the chunk file that begins there out, if its name still stands for it, it has no other
    /// name, and `is_as_known` says so of its state.
    pub(super) fn take(
        &mut self,
        folder: &ShareFolder,
        start: u64,
        is_as_known: impl FnOnce(&FileSignature) -> bool,
    ) -> Option<HeldFile> {
        let at = self.files.iter().position(|held| held.start == start)?;
        let held = self.files.remove(at);
        let there = entry::look(folder.handle(), held.name.as_str()).ok()?;
        let same = (there.state.device, there.state.inode) == (held.device, held.inode);
        (same && there.is_file && there.links == 1 && is_as_known(&there.state)).then_some(held)
    }

    /// Holds a file for the next time.
    pub(super) fn put(&mut self, held: HeldFile) {
        if self.files.len() >= HELD_MAX {
            self.files.remove(0);
        }
        self.files.push(held);
    }

    /// Lets go of the one that begins there.
    pub(super) fn forget(&mut self, start: u64) {
        self.files.retain(|held| held.start != start);
    }

    /// Lets go of all.
    pub(super) fn clear(&mut self) {
        self.files.clear();
    }
}
