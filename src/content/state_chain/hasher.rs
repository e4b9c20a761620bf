//! The chain of a content, learned while the content is hashed once.

use super::compress::{Compressor, close};
use super::{ChainState, STATE_LENGTH};
use crate::content::{BlockLayout, ContentId};

/// Hashes a content that comes in slices and notes the state at every block boundary.
#[derive(Clone, Debug)]
pub struct ChainHasher {
    layout: BlockLayout,
    taken: u64,
    /// There were more bytes than the content has.
    overrun: bool,
    // Its watch is larger than all that holds a hasher.
    compressor: Box<Compressor>,
    states: Vec<u8>,
}

impl ChainHasher {
    /// A hasher for a content of `size` bytes, which decides where its boundaries are.
    pub fn new(size: u64) -> Self {
        // The list grows as bytes come: a size that somebody only claims costs no memory.
        Self {
            layout: BlockLayout::new(size),
            taken: 0,
            overrun: false,
            compressor: Box::new(Compressor::new(ChainState::INITIAL)),
            states: Vec::new(),
        }
    }

    /// How many bytes it has taken.
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    /// Takes the next bytes, as many as there are. Beyond the size nothing is hashed.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let block = self.layout.block_range(self.layout.block_at(self.taken));
            let room = block.end.saturating_sub(self.taken);
            if room == 0 {
                self.overrun = true;
                return;
            }
            let take = usize::try_from(room).map_or(bytes.len(), |room| room.min(bytes.len()));
            let (head, rest) = bytes.split_at(take);
            self.compressor.update(head);
            self.taken += take as u64;
            bytes = rest;
            if self.taken == block.end && self.taken < self.layout.size() {
                let (state, tail) = self.compressor.state_and_tail();
                debug_assert!(tail.is_empty(), "all blocks but the last are whole pieces");
                self.states.extend_from_slice(&state.to_bytes());
            }
        }
    }

    /// Whether the bytes so far were made so that other ones have the same name.
    pub fn collides(&mut self) -> bool {
        self.compressor.collides()
    }

    /// The content's name and its chain's states, 20 bytes each. None if the bytes were not as many
    /// as the size said.
    pub fn finish(self) -> Option<(ContentId, Vec<u8>)> {
        if self.overrun || self.taken != self.layout.size() {
            return None;
        }
        debug_assert_eq!(self.states.len() as u64, self.layout.state_count() * STATE_LENGTH as u64);
        let (state, tail) = self.compressor.state_and_tail();
        Some((close(state, tail, self.taken)?, self.states))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::block_layout::BLOCK_LENGTH_MIN as BLOCK;

    #[test]
    fn bytes_that_are_not_as_many_as_said_have_no_chain() {
        for size in [0_u64, 1, 64, BLOCK, BLOCK + 1] {
            for more in [-1, 1, BLOCK as i64] {
                let Some(fed) = size.checked_add_signed(more) else {
                    continue;
                };
                let mut hasher = ChainHasher::new(size);
                hasher.update(&vec![7; fed as usize]);
                assert_eq!(hasher.finish(), None, "{fed} bytes of {size}");
            }
        }
    }

    #[test]
    fn a_claimed_size_costs_no_memory() {
        let mut hasher = ChainHasher::new(1 << 50);
        hasher.update(&[0; 100]);
        assert_eq!((hasher.taken(), hasher.states.capacity()), (100, 0));
    }
}
