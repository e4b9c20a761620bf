//! Who gave what of the blocks in memory, and what that means for whom they are asked of.

use std::net::SocketAddr;

use super::Assembly;
use crate::node::fetch::block::{Block, Stage};
use crate::node::ids::BufferId;

impl Assembly {
    /// Who gave a block, if one source alone did.
    pub(crate) fn sole_giver(&self, buffer: BufferId) -> Option<SocketAddr> {
        self.blocks.get(&buffer).filter(|block| !block.mixed)?.first_from
    }

    /// Who gave the first of a block.
    pub(crate) fn first_giver(&self, buffer: BufferId) -> Option<SocketAddr> {
        self.blocks.get(&buffer)?.first_from
    }

    /// A block that several sources had a share in was bad: it is fetched again, from one of them.
    pub(crate) fn fetch_alone(&mut self, block: u64) {
        self.alone.insert(block..block + 1);
    }

    /// Whether a block may be shared between sources.
    pub(crate) fn may_share(&self, block: &Block) -> bool {
        !self.alone.contains(block.block)
    }

    /// Starts over with a block of which some came from somebody else, where it must come from one.
    pub(crate) fn forget_received(&mut self, buffer: BufferId) {
        if let Some(block) = self.blocks.get_mut(&buffer) {
            block.forget_received();
        }
    }

    /// What has come from a liar of blocks that others are to finish is worth nothing. Those that have been asked for the
    /// rest of one, and now lack all of it.
    pub(crate) fn forget_giver(&mut self, liar: SocketAddr) -> Vec<(BufferId, SocketAddr)> {
        let mut lack = Vec::new();
        for (&buffer, block) in &mut self.blocks {
            if block.stage == Stage::Gathering && block.first_from == Some(liar) && !block.mixed {
                block.forget_received();
                lack.extend(block.owner.map(|owner| (buffer, owner)));
            }
        }
        lack
    }

    /// Blocks that a source has been asked for, or has given, and that have not been found to be good or bad.
    pub(crate) fn on_trial(&self, source: SocketAddr) -> usize {
        let unproven = |block: &&Block| {
            matches!(block.stage, Stage::Gathering | Stage::Gathered | Stage::Verifying)
        };
        let blocks = self.blocks.values().filter(unproven);
        blocks.filter(|block| block.owner == Some(source)).count()
    }
}
