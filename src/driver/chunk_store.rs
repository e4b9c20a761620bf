//! The part of one fetch that is on disk until it is whole: its attrs, its chunk files and the chain
//! it goes by. It keeps the contract's promises about `chunks/` (names, attrs to the letter, chunk
//! files that never overlap) and decides nothing: what to store, to trust or to throw away is the
//! core's to say.
//!
//! Chunk files are opened by name at each use and compared with what is remembered of them, so that
//! their number is not bounded by that of open files, and a folder emptied under a running fetch is
//! noticed at once (`DiskFaultKind::Vanished`; open the store again to learn what is left).

use std::path::Path;

use crate::content::state_chain::Link;
use crate::content::{ContentId, ShareName};
use crate::driver::share_folder::ShareFolder;
use crate::node::input::{DiskFault, StoreOpening};
use crate::node::output::FetchEnding;

/// What one fetch has on disk.
#[derive(Debug)]
pub struct ChunkStore {}

impl ChunkStore {
    /// The store of a fetch below the folder `root`. Touches nothing yet.
    pub fn new(root: &Path, content: ContentId, size: u64, name: ShareName) -> Self {
        let _ = (root, content, size, name);
        todo!()
    }

    /// What is fetched.
    pub fn content(&self) -> ContentId {
        todo!()
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        todo!()
    }

    /// Where it is to appear.
    pub fn name(&self) -> &ShareName {
        todo!()
    }

    /// For `Output::OpenStore`: makes or opens the attrs, locks them, lists what is there. May be
    /// called again: after `Taken`, and after anything has vanished.
    pub fn open(&mut self) -> StoreOpening {
        todo!()
    }

    /// For `Output::CheckStored`: reads one block (a mebibyte at most) and computes. False as well
    /// where it cannot be read.
    pub fn check_stored(&mut self, block: u64, link: &Link) -> bool {
        let _ = (block, link);
        todo!()
    }

    /// For `Output::TruncateExtent`: cuts the chunk file that begins at `extent` to `length` bytes,
    /// and removes it where that is zero.
    pub fn truncate_extent(&mut self, extent: u64, length: u64) {
        let _ = (extent, length);
        todo!()
    }

    /// For `Output::Store`: appends proven bytes to the chunk file that begins at `extent`, which
    /// ends at `position` now; makes the file where both are the same. After an error the file is as
    /// it was before.
    pub fn store(&mut self, extent: u64, position: u64, bytes: &[u8]) -> Result<(), DiskFault> {
        let _ = (extent, position, bytes);
        todo!()
    }

    /// For `Output::SaveChain`.
    pub fn save_chain(&mut self, states: &[u8]) {
        let _ = states;
        todo!()
    }

    /// For `Output::FetchEnded`: removes what is to go, and closes. After `Done` nothing is left in
    /// `chunks/`; after `WrongSize` neither; otherwise all stays for the next run.
    pub fn end(self, ending: &FetchEnding, share: &ShareFolder) {
        let _ = (ending, share);
        todo!()
    }

    /// Removes chunk files and attrs: for a fetch that is refused, so that no front end starts it
    /// again for ever. (Reading the arguments should have refused it before there was a store.)
    pub fn discard(self) {
        todo!()
    }
}
