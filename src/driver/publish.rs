//! Giving a finished download its name in `share/`, in an order of which every prefix, whatever cuts
//! it short, leads to the same end; and never under any name before it is whole and synced.
//!
//! The work is cut into steps of a few milliseconds, but for the syncs, which take what the disk takes.

use crate::content::ShareName;
use crate::driver::chunk_store::ChunkStore;
use crate::driver::share_folder::ShareFolder;
use crate::node::input::Publishing;

/// The work for one `Output::Publish` or `Output::PublishCopy`. Dropping it at any moment leaves the
/// disk in a state that the next one goes on from.
#[derive(Debug)]
pub struct PublishJob {}

impl PublishJob {
    /// For `Output::Publish`.
    pub fn publish() -> Self {
        todo!()
    }

    /// For `Output::PublishCopy`.
    pub fn copy(from: ShareName) -> Self {
        let _ = from;
        todo!()
    }

    /// Does the next piece: at most a mebibyte copied or half of it hashed. The answer, once there
    /// is one; it is not to be called again after that.
    pub fn step(&mut self, store: &mut ChunkStore, share: &ShareFolder) -> Option<Publishing> {
        let _ = (store, share);
        todo!()
    }
}
