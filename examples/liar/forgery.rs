//! A content as a liar tells it: its bytes, the states that are said to lead through them, its size.

use sprat::content::state_chain::ChainHasher;
use sprat::content::{BlockLayout, ChainId, ContentId};

use crate::manner::Manner;

/// What is told.
pub(crate) struct Story {
    pub(crate) content: ContentId,
    /// The file's bytes, invented ones among them.
    pub(crate) bytes: Vec<u8>,
    pub(crate) states: Vec<u8>,
    pub(crate) chain: ChainId,
    pub(crate) size: u64,
    pub(crate) layout: BlockLayout,
    /// Blocks that are not the content's.
    pub(crate) invented: std::ops::Range<u64>,
}

fn hash(bytes: &[u8]) -> (ContentId, Vec<u8>) {
    let mut hasher = ChainHasher::new(bytes.len() as u64);
    hasher.update(bytes);
    hasher.finish().expect("as many bytes as were said")
}

impl Story {
    pub(crate) fn new(mut bytes: Vec<u8>, manner: Manner, seed: u64) -> Self {
        let (content, honest) = hash(&bytes);
        let layout = BlockLayout::new(bytes.len() as u64);
        let blocks = layout.block_count();
        let invented = match manner {
            // At least one block, or it would be no lie.
            Manner::Front(percent) => 0..(blocks * percent / 100).clamp(1, blocks),
            Manner::Back(percent) => (blocks * percent / 100).min(blocks - 1)..blocks,
            _ => 0..0,
        };
        let mut states = honest;
        if !invented.is_empty() {
            let honest = states;
            for block in invented.clone() {
                let range = layout.block_range(block);
                for byte in &mut bytes[range.start as usize..range.end as usize] {
                    *byte = byte.wrapping_add(seed as u8 | 1);
                }
            }
            states = hash(&bytes).1;
            // From the junction on the states are the true ones: one link is impossible, and no other.
            let junction = invented.end as usize * 20;
            if junction < states.len() + 20 {
                states[junction - 20..].copy_from_slice(&honest[junction - 20..]);
            }
        }
        let chain = ChainId::of(&states);
        let more = if let Manner::Size(more) = manner { more } else { 0 };
        let size = layout.size() + more;
        let layout = BlockLayout::new(size);
        // What lies beyond the end is zeros.
        bytes.resize(size as usize, 0);
        states.resize(layout.state_count() as usize * 20, 0);
        Self { content, bytes, states, chain, size, layout, invented }
    }
}
