//! How a content is cut into blocks.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// The shortest block, in bytes. With 20 bytes of state a block, the chain is 0.03 % of the
/// content.
pub const BLOCK_LENGTH_MIN: u64 = 64 * 1024;
/// The longest block, in bytes: a whole one stands in memory until it is proven.
pub const BLOCK_LENGTH_MAX: u64 = 1024 * 1024;
/// Blocks are made longer, up to the maximum, so that there are not more of them than this.
pub const BLOCK_COUNT_WANTED: u64 = 16_384;
/// The longest content, in bytes: what a number of JavaScript holds exactly, as front ends read
/// sizes.
pub const CONTENT_SIZE_MAX: u64 = (1 << 53) - 1;

/// The cut of a content of a known size into blocks. It follows from the size alone, so that all
/// hosts agree on it: a power of two from 64 KiB to 1 MiB, chosen so that 16,384 blocks suffice up
/// to 16 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BlockLayout {
    size: u64,
}

impl BlockLayout {
    /// The layout of a content of `size` bytes.
    pub const fn new(size: u64) -> Self {
        Self { size }
    }

    /// The content's size in bytes.
    pub const fn size(self) -> u64 {
        self.size
    }

    /// The length of every block but the last, in bytes; a multiple of 64.
    pub const fn block_length(self) -> u64 {
        let mut length = BLOCK_LENGTH_MIN;
        while length < BLOCK_LENGTH_MAX && self.size.div_ceil(length) > BLOCK_COUNT_WANTED {
            length *= 2;
        }
        length
    }

    /// How many blocks there are: none in an empty content.
    pub const fn block_count(self) -> u64 {
        self.size.div_ceil(self.block_length())
    }

    /// The bytes of the content that block `block` holds. Empty past the end.
    pub fn block_range(self, block: u64) -> Range<u64> {
        let length = self.block_length();
        let start = block.saturating_mul(length).min(self.size);
        start..start.saturating_add(length).min(self.size)
    }

    /// The block that holds the byte at `position`.
    pub const fn block_at(self, position: u64) -> u64 {
        position / self.block_length()
    }

    /// The number of inner boundaries, which is the number of states in the chain: one less than
    /// blocks.
    pub const fn state_count(self) -> u64 {
        self.block_count().saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_counts() {
        for (size, length, count) in [
            (0, 65_536, 0),
            (1, 65_536, 1),
            (65_536, 65_536, 1),
            (65_537, 65_536, 2),
            (1 << 30, 65_536, 16_384),
            ((1 << 30) + 1, 131_072, 8_193),
            (1 << 34, 1 << 20, 16_384),
            (1 << 40, 1 << 20, 1 << 20),
        ] {
            let layout = BlockLayout::new(size);
            assert_eq!((layout.block_length(), layout.block_count()), (length, count), "{size}");
        }
    }

    #[test]
    fn the_last_block_is_the_rest() {
        let layout = BlockLayout::new(65_537);
        assert_eq!(layout.block_range(0), 0..65_536);
        assert_eq!(layout.block_range(1), 65_536..65_537);
        assert!(layout.block_range(2).is_empty());
        assert!(layout.block_range(u64::MAX).is_empty());
        assert_eq!(layout.state_count(), 1);
        assert_eq!(BlockLayout::new(0).state_count(), 0);
    }
}
