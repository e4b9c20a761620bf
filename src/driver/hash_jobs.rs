//! Reading and computing for `Output::Hash` and `Output::CheckPartial`, a slice a turn.

use std::collections::VecDeque;

use crate::content::state_chain::Link;
use crate::content::{ContentId, ShareName};
use crate::driver::hash_cache::HashCache;
use crate::driver::partial_watcher::PartialWatcher;
use crate::driver::share_folder::ShareFolder;
use crate::node::Input;
use crate::node::input::FileSignature;

/// What was asked for and is not answered yet.
#[derive(Debug, Default)]
pub struct HashJobs {}

impl HashJobs {
    /// Nothing to do.
    pub fn new() -> Self {
        todo!()
    }

    /// Takes an `Output::Hash`.
    pub fn hash(&mut self, name: ShareName, signature: FileSignature) {
        let _ = (name, signature);
        todo!()
    }

    /// Takes an `Output::CheckPartial`.
    pub fn check_partial(&mut self, content: ContentId, block: u64, link: Link) {
        let _ = (content, block, link);
        todo!()
    }

    /// Works for at most 3 ms and appends `Hashed` and `PartialChecked`. Whether there is more to do.
    pub fn step(
        &mut self,
        share: &ShareFolder,
        partials: &PartialWatcher,
        cache: &mut HashCache,
        inputs: &mut VecDeque<Input<'static>>,
    ) -> bool {
        let _ = (share, partials, cache, inputs);
        todo!()
    }
}
