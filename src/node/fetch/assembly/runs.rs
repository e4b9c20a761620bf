//! Where the next block is taken from while many fetch the same file: in few runs, each of which becomes
//! a chunk file that grows, and which are joined when the file is published.

use std::ops::Range;

use super::{Assembly, WINDOW};
use crate::content::RangeSet;
use crate::node::random::Random;

/// Chunk files of one download, those that are about to begin among them. Beyond that only what continues
/// one is asked for.
pub(crate) const CHUNK_FILES_MAX: usize = 96;

impl Assembly {
    /// What is neither on disk nor in memory.
    pub(crate) fn missing(&self) -> RangeSet {
        let mut missing = RangeSet::new();
        missing.insert(0..self.layout.block_count());
        for range in self.stored.iter().chain(self.unchecked.iter()) {
            missing.remove(range);
        }
        for &block in self.by_block.keys() {
            missing.remove(block..block + 1);
        }
        missing
    }

    /// Whether something of these blocks is not on disk.
    pub(crate) fn is_not_all_on_disk(&self, range: Range<u64>) -> bool {
        self.stored.gaps(range).any(|gap| self.unchecked.first_gap(gap).is_some())
    }

    /// Of the missing blocks, the one to ask next of a source that holds these: one that continues a run
    /// of ours, or the first, if another run may begin.
    pub(crate) fn next_of_part(&self, missing: &RangeSet, held: &RangeSet) -> Option<u64> {
        let continues = missing.iter().map(|gap| gap.start).find(|&block| held.contains(block));
        if continues.is_some() || !self.may_begin() {
            return continues;
        }
        held.iter().find_map(|range| {
            let known = missing.gaps(range.clone()).next();
            match known {
                None => Some(range.start),
                Some(known) if known.start > range.start => Some(range.start),
                Some(known) => (known.end < range.end).then_some(known.end),
            }
        })
    }

    /// Where in these missing blocks to begin: somewhere, by chance; where no further run may begin, at
    /// the lowest that continues one.
    pub(crate) fn place_to_begin(&self, new: &RangeSet, random: &mut Random) -> Option<u64> {
        if self.may_begin() {
            let mut nth = random.below(new.total());
            for range in new.iter() {
                let length = range.end - range.start;
                if nth < length {
                    return Some(range.start + nth);
                }
                nth -= length;
            }
        }
        let missing = self.missing();
        let mut continues = missing.iter().map(|gap| gap.start);
        continues.find(|&block| new.contains(block))
    }

    /// Whether memory allows another block: the first missing one may take from the reserve.
    pub(crate) fn has_room_for(&self, missing: &RangeSet, block: u64) -> bool {
        let length = self.layout.block_length();
        let is_first = missing.iter().next().is_some_and(|range| range.start == block);
        let in_window = self.in_window();
        in_window + length <= WINDOW || is_first && in_window < WINDOW + self.reserve()
    }

    /// A block is about to be asked for: where it continues nothing, a chunk file begins with it.
    pub(crate) fn begin_run(&mut self, block: u64) {
        let before = block.checked_sub(1);
        let continues = before.is_none_or(|before| !self.is_missing(before));
        if !continues && self.may_begin() {
            self.begins.insert(block);
        }
    }

    /// Whether there may be another chunk file.
    pub(super) fn may_begin(&self) -> bool {
        self.chunk_files.len() + self.begins.len() < CHUNK_FILES_MAX
    }
}
