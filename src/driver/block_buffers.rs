//! Memory in which blocks are put together until they are proven, and the proving itself, which is
//! quickest for several blocks side by side.
//!
//! Memory that was used is kept for the next block, so that the kernel hands out each page once.

use std::collections::{BTreeMap, VecDeque};

use super::clock::Slice;
use crate::content::state_chain::{Link, Proof, verify_many};
use crate::node::{BufferId, FetchId, Input};

/// Blocks that are proven side by side, at most.
const TOGETHER_MAX: usize = 16;
/// Bytes that are proven in one go, at most, but for a single block: some milliseconds on the slowest
/// machine.
const TOGETHER_BYTES_MAX: usize = 2 << 20;
/// Bytes that are kept for later use, at most.
const SPARE_BYTES_MAX: usize = 4 << 20;

/// A block that is to be proven.
#[derive(Debug)]
struct Unproven {
    fetch: FetchId,
    buffer: BufferId,
    link: Link,
}

/// The buffers of all fetches.
#[derive(Debug, Default)]
pub struct BlockBuffers {
    buffers: BTreeMap<BufferId, Vec<u8>>,
    spare: Vec<Vec<u8>>,
    spare_bytes: usize,
    unproven: VecDeque<Unproven>,
}

impl BlockBuffers {
    /// For `Output::Reserve`.
    pub fn reserve(&mut self, buffer: BufferId, length: u32) {
        let length = length as usize;
        let fitting = self.spare.iter().rposition(|spare| spare.capacity() >= length);
        let mut bytes = match fitting {
            Some(at) => self.spare.swap_remove(at),
            None => Vec::new(),
        };
        self.spare_bytes -= bytes.capacity();
        bytes.resize(length, 0);
        let before = self.buffers.insert(buffer, bytes);
        debug_assert!(before.is_none(), "{buffer:?} is reserved twice");
    }

    /// For `Output::Keep`.
    pub fn keep(&mut self, buffer: BufferId, offset: u32, payload: &[u8]) {
        let start = offset as usize;
        let place = self
            .buffers
            .get_mut(&buffer)
            .and_then(|bytes| bytes.get_mut(start..start.checked_add(payload.len())?));
        match place {
            Some(place) => place.copy_from_slice(payload),
            // The block will not be proven, and is fetched again.
            None => debug_assert!(false, "{buffer:?} has no room at {offset}"),
        }
    }

    /// The bytes of a buffer.
    pub fn get(&self, buffer: BufferId) -> Option<&[u8]> {
        self.buffers.get(&buffer).map(Vec::as_slice)
    }

    /// For `Output::Release`.
    pub fn release(&mut self, buffer: BufferId) {
        let Some(bytes) = self.buffers.remove(&buffer) else {
            debug_assert!(false, "{buffer:?} is released twice");
            return;
        };
        if self.spare_bytes + bytes.capacity() <= SPARE_BYTES_MAX {
            self.spare_bytes += bytes.capacity();
            self.spare.push(bytes);
        }
    }

    /// For `Output::Verify`: to be proven at the next occasion.
    pub fn queue_proof(&mut self, fetch: FetchId, buffer: BufferId, link: Link) {
        self.unproven.push_back(Unproven { fetch, buffer, link });
    }

    /// Whether something is to be proven.
    pub fn has_some_to_prove(&self) -> bool {
        !self.unproven.is_empty()
    }

    /// Whether so much is to be proven that waiting for more gains nothing.
    pub fn has_many_to_prove(&self) -> bool {
        self.unproven.len() >= TOGETHER_MAX
    }

    /// Proves what is to be proven, until the slice is over, and appends the answers. At least one
    /// group is proven.
    pub fn prove(&mut self, slice: &Slice, inputs: &mut VecDeque<Input<'static>>) {
        while !self.unproven.is_empty() {
            let count = self.group_length();
            let group: Vec<Unproven> = self.unproven.drain(..count).collect();
            let jobs: Vec<(Link, &[u8])> = group
                .iter()
                .map(|block| {
                    // A buffer that was released meanwhile proves nothing.
                    let bytes = self.buffers.get(&block.buffer).map_or(&[][..], Vec::as_slice);
                    (block.link, bytes)
                })
                .collect();
            let verdicts = verify_many(&jobs);
            for (block, proof) in group.iter().zip(verdicts) {
                let Unproven { fetch, buffer, .. } = *block;
                let (genuine, collides) = (proof.holds(), proof == Proof::Colliding);
                inputs.push_back(Input::Verified { fetch, buffer, genuine, collides });
            }
            if slice.is_over() {
                break;
            }
        }
    }

    /// How many blocks are proven in one go.
    fn group_length(&self) -> usize {
        let mut bytes = 0;
        let fitting = self.unproven.iter().take(TOGETHER_MAX).take_while(|block| {
            bytes += self.buffers.get(&block.buffer).map_or(0, Vec::len);
            bytes <= TOGETHER_BYTES_MAX
        });
        fitting.count().max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::state_chain::Chain;
    use crate::content::state_chain::ChainHasher;
    use std::time::Duration;

    const FETCH: FetchId = FetchId(1);

    /// A content of `blocks` blocks and its chain.
    fn content(blocks: usize) -> (Vec<u8>, Chain) {
        let bytes: Vec<u8> = (0..blocks * 65_536).map(|at| (at / 3) as u8).collect();
        let mut hasher = ChainHasher::new(bytes.len() as u64);
        hasher.update(&bytes);
        let (content, states) = hasher.finish().unwrap();
        let chain = Chain::from_bytes(content, bytes.len() as u64, states).unwrap();
        (bytes, chain)
    }

    #[test]
    fn blocks_put_together_from_pieces_are_proven_and_others_are_not() {
        let (bytes, chain) = content(40);
        let mut buffers = BlockBuffers::default();
        for (block, part) in bytes.chunks(65_536).enumerate() {
            let buffer = BufferId(block as u64);
            buffers.reserve(buffer, 65_536);
            for (piece, payload) in part.chunks(1_408).enumerate().rev() {
                buffers.keep(buffer, piece as u32 * 1_408, payload);
            }
            if block == 7 {
                buffers.keep(buffer, 9, &[1, 2, 3]);
            }
            buffers.queue_proof(FETCH, buffer, chain.link(block as u64));
        }
        let mut inputs = VecDeque::new();
        buffers.prove(&Slice::of(Duration::ZERO), &mut inputs);
        assert_eq!(inputs.len(), TOGETHER_MAX, "a slice that is over proves one group");
        buffers.prove(&Slice::of(Duration::from_secs(3600)), &mut inputs);
        assert!(!buffers.has_some_to_prove());
        let genuine: Vec<u64> = inputs
            .iter()
            .filter_map(|input| match input {
                Input::Verified { buffer, genuine: true, collides: false, fetch: FETCH } => {
                    Some(buffer.0)
                }
                _ => None,
            })
            .collect();
        assert_eq!(genuine, (0..40).filter(|block| *block != 7).collect::<Vec<_>>());
    }

    #[test]
    fn a_buffer_released_before_its_proof_is_answered() {
        let (_, chain) = content(1);
        let mut buffers = BlockBuffers::default();
        buffers.reserve(BufferId(1), 65_536);
        buffers.queue_proof(FETCH, BufferId(1), chain.link(0));
        buffers.release(BufferId(1));
        let mut inputs = VecDeque::new();
        buffers.prove(&Slice::of(Duration::ZERO), &mut inputs);
        assert!(matches!(inputs[0], Input::Verified { genuine: false, .. }));
    }

    #[test]
    fn memory_is_used_again_and_not_hoarded() {
        let mut buffers = BlockBuffers::default();
        for round in 0..3 {
            for at in 0..8 {
                buffers.reserve(BufferId(round * 8 + at), 1 << 20);
            }
            for at in 0..8 {
                buffers.release(BufferId(round * 8 + at));
            }
            assert_eq!(buffers.spare.len(), SPARE_BYTES_MAX >> 20);
        }
        buffers.reserve(BufferId(100), 5);
        assert_eq!(buffers.get(BufferId(100)).map(<[u8]>::len), Some(5));
    }
}
