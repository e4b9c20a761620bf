//! SHA-1 as a chain of states: the proof that one block of a content is genuine, with nothing to go
//! by but the content's name.
//!
//! SHA-1 maps a 20-byte state and 64 bytes of content to the next state. The first state is a
//! published constant; the last one, after padding that holds the size, is the name. A host that
//! hands out the states at the block boundaries (the *chain*) makes every block checkable alone: do
//! the bytes lead from the state at the block's start to the state at its end?
//!
//! **What a link that holds proves.** If the state at its end is authentic, so are its bytes and
//! the state at its start. Authenticity begins at the name and goes towards the start of the
//! content. A link that holds below a state that nobody has proven yet proves nothing.
//!
//! `docs/state-chain.md` has the reasons, the costs and the limits.
//!
//! - here: the values, and what follows from comparing them;
//! - `check`: whether one link holds;
//! - `batch`: whether many do, side by side and in steps;
//! - `hasher`: the chain of a content, learned while it is hashed once;
//! - `compress`: SHA-1's compression over any run of bytes, and its padding;
//! - `lanes`: the same for several runs side by side;
//! - `rounds`: its steps, forth and back;
//! - `collision`: recognising contents that were made so that another one has the same name.

mod batch;
mod check;
mod collision;
mod compress;
mod hasher;
mod lanes;
mod rounds;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::block_layout::CONTENT_SIZE_MAX;
use super::{BlockLayout, ContentId};

pub use batch::{BatchCheck, Engine, verify_many};
pub use check::{LinkCheck, Proof, verify};
pub use hasher::ChainHasher;

/// The length of a state in bytes, on the wire and on disk.
pub const STATE_LENGTH: usize = 20;

/// SHA-1's five words between two 64-byte pieces of a content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChainState(pub [u32; 5]);

impl ChainState {
    /// The state before the first byte, as FIPS 180-4 section 5.3.1 has it.
    pub const INITIAL: Self =
        Self([0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0]);

    /// The five words, each with its highest byte first: as SHA-1 writes a digest.
    pub fn to_bytes(self) -> [u8; STATE_LENGTH] {
        let mut bytes = [0; STATE_LENGTH];
        for (four, word) in bytes.chunks_exact_mut(4).zip(self.0) {
            four.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }

    /// The state that [`to_bytes`](Self::to_bytes) wrote. Any 20 bytes are one.
    pub fn from_bytes(bytes: [u8; STATE_LENGTH]) -> Self {
        let mut words = [0; 5];
        for (word, four) in words.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = u32::from_be_bytes([four[0], four[1], four[2], four[3]]);
        }
        Self(words)
    }
}

impl fmt::Debug for ChainState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.to_bytes())
    }
}

/// The name of a chain: the SHA-1 of its states as they stand one after the other. Hosts that claim
/// the same chain claim the same id; that a chain is true it does not prove.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChainId(#[serde(with = "crate::content::hex")] pub [u8; 20]);

impl ChainId {
    /// The id of the chain that consists of these states, 20 bytes each.
    pub fn of(states: &[u8]) -> Self {
        Self(<sha1::Sha1 as sha1::Digest>::digest(states).into())
    }
}

impl fmt::Display for ChainId {
    /// 40 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

/// Where a link leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkEnd {
    /// To the state at the block's end.
    State(ChainState),
    /// Through the padding, which contains the size, to the content's name: the last block.
    Name {
        /// The name.
        content: ContentId,
        /// The whole content's size in bytes.
        size: u64,
    },
}

/// One link of a chain, to be checked: do the bytes lead from the one state to the next?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The state before the bytes.
    pub from: ChainState,
    /// Where they must lead.
    pub to: LinkEnd,
    /// How many bytes there are. In all links but the last a multiple of 64.
    pub length: u32,
}

/// What somebody says the states at a content's block boundaries are.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    content: ContentId,
    layout: BlockLayout,
    #[serde(with = "crate::content::hex")]
    states: Arc<[u8]>,
}

impl Chain {
    /// Takes states, 20 bytes each and one for every inner boundary, for the chain of a content of
    /// this size. Nothing but their number can be wrong with them at this point; what
    /// they are worth, the links tell. None, too, if the size is more than [`CONTENT_SIZE_MAX`].
    pub fn from_bytes(content: ContentId, size: u64, states: impl Into<Arc<[u8]>>) -> Option<Self> {
        let (layout, states) = (BlockLayout::new(size), states.into());
        let fits = size <= CONTENT_SIZE_MAX
            && states.len() as u64 == layout.state_count() * STATE_LENGTH as u64;
        fits.then_some(Self { content, layout, states })
    }

    /// The content's name.
    pub const fn content(&self) -> ContentId {
        self.content
    }

    /// How the content is cut.
    pub const fn layout(&self) -> BlockLayout {
        self.layout
    }

    /// The claimed state at a boundary: boundary `n` is where block `n` begins, so that 0 is the
    /// initial state. The end of the last block is none: there stands the name.
    ///
    /// # Panics
    ///
    /// If there is no such block.
    pub fn state(&self, boundary: u64) -> ChainState {
        if boundary == 0 {
            return ChainState::INITIAL;
        }
        let at = usize::try_from(boundary - 1)
            .ok()
            .and_then(|index| index.checked_mul(STATE_LENGTH))
            .and_then(|start| self.states.get(start..start.checked_add(STATE_LENGTH)?))
            .and_then(|state| state.try_into().ok());
        ChainState::from_bytes(at.expect("the caller asks for a boundary of this content"))
    }

    /// The link that block `block` must close. An empty content has one, for block 0: no bytes,
    /// from the initial state to the name.
    ///
    /// # Panics
    ///
    /// If there is no such block.
    pub fn link(&self, block: u64) -> Link {
        let range = self.layout.block_range(block);
        let last = block + 1 == self.layout.block_count().max(1);
        Link {
            from: self.state(block),
            to: if last {
                LinkEnd::Name { content: self.content, size: self.layout.size() }
            } else {
                LinkEnd::State(self.state(block + 1))
            },
            // A block has at most 1 MiB.
            length: (range.end - range.start) as u32,
        }
    }

    /// The chain's own name.
    pub fn id(&self) -> ChainId {
        ChainId::of(&self.states)
    }

    /// The states as they travel: 20 bytes each, from the end of block 0 on.
    pub const fn bytes(&self) -> &Arc<[u8]> {
        &self.states
    }

    /// The decisive block between two chains of one content: the highest one whose start states
    /// differ while its end states agree. Its true bytes close the link of one of the two at
    /// most; going by what is above it, which both share, the other is false from here down.
    ///
    /// None if the chains are equal, or not of the same content and size.
    pub fn highest_difference(&self, other: &Self) -> Option<u64> {
        if (self.content, self.layout) != (other.content, other.layout) {
            return None;
        }
        let ours = self.states.chunks_exact(STATE_LENGTH);
        let theirs = other.states.chunks_exact(STATE_LENGTH);
        // State `n` of the list stands at the start of block `n + 1`.
        ours.zip(theirs).rposition(|(one, two)| one != two).map(|index| index as u64 + 1)
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain")
            .field("content", &self.content)
            .field("size", &self.layout.size())
            .field("id", &self.id())
            .finish()
    }
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_twenty_bytes_highest_first() {
        let bytes = ChainState::INITIAL.to_bytes();
        assert_eq!(bytes[..6], [0x67, 0x45, 0x23, 0x01, 0xef, 0xcd]);
        assert_eq!(ChainState::from_bytes(bytes), ChainState::INITIAL);
    }

    #[test]
    fn a_chain_has_one_state_for_every_inner_boundary() {
        let take = |size, states: usize| Chain::from_bytes(ContentId::EMPTY, size, vec![0; states]);
        assert!(take(0, 0).is_some() && take(1, 0).is_some() && take(65_536, 0).is_some());
        assert!(take(65_537, 20).is_some() && take(4 * 65_536, 60).is_some());
        assert!(take(1, 20).is_none() && take(65_537, 0).is_none() && take(65_537, 19).is_none());
        assert!(take(CONTENT_SIZE_MAX + 1, 0).is_none() && take(u64::MAX, 20).is_none());
    }

    #[test]
    fn links_join_up() {
        let states: Vec<u8> = (0..60).collect();
        let size = 3 * 65_536 + 5;
        let chain = Chain::from_bytes(ContentId::EMPTY, size, states).unwrap();
        assert_eq!(chain.link(0).from, ChainState::INITIAL);
        for block in 0..3 {
            assert_eq!(chain.link(block).to, LinkEnd::State(chain.link(block + 1).from));
            assert_eq!(chain.link(block).length, 65_536);
        }
        let last = Link {
            from: ChainState::from_bytes(std::array::from_fn(|at| 40 + at as u8)),
            to: LinkEnd::Name { content: ContentId::EMPTY, size },
            length: 5,
        };
        assert_eq!(chain.link(3), last);
    }

    #[test]
    fn the_highest_difference_is_the_block_that_decides() {
        let size = 5 * 65_536;
        let chain = |states: [u8; 4]| {
            let states: Vec<u8> = states.iter().flat_map(|byte| [*byte; STATE_LENGTH]).collect();
            Chain::from_bytes(ContentId::EMPTY, size, states).unwrap()
        };
        let one = chain([1, 2, 3, 4]);
        for (other, expected) in [
            ([1, 2, 3, 4], None),
            ([9, 2, 3, 4], Some(1)),
            ([9, 2, 9, 4], Some(3)),
            ([1, 2, 3, 9], Some(4)),
            ([9, 9, 9, 9], Some(4)),
        ] {
            assert_eq!(one.highest_difference(&chain(other)), expected);
            assert_eq!(chain(other).highest_difference(&one), expected);
        }
        let longer = Chain::from_bytes(ContentId::EMPTY, size - 1, vec![7; 80]).unwrap();
        assert_eq!(one.highest_difference(&longer), None);
    }
}
