//! How our last listings differ from one another: the step from each to the next, one behind the other in one
//! piece of memory, so that the changes between any two of them are a piece of it.

use std::collections::VecDeque;

use crate::node::{CHANGES_KEPT, LISTINGS_REMEMBERED, ListingId};
use crate::wire::CHANGES_STEP;

/// The steps between our last listings.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// The listings, the oldest first, and where the steps that lead to each end, counted from the first
    /// that ever was.
    ends: VecDeque<(ListingId, u64)>,
    /// From the end of the oldest listing's on.
    bytes: VecDeque<u8>,
}

impl Steps {
    /// A listing was made; nothing stands for a way to it that is not known. How long the way is.
    pub(super) fn push(&mut self, listing: ListingId, step: Option<&[u8]>) -> Option<u64> {
        let newest = self.ends.back().map(|&(_, end)| end);
        let (Some(newest), Some(step)) = (newest, step) else {
            self.ends.clear();
            self.bytes.clear();
            self.ends.push_back((listing, 0));
            return None;
        };
        self.bytes.extend(step);
        let length = step.len() as u64;
        self.ends.push_back((listing, newest + length));
        while self.ends.len() > LISTINGS_REMEMBERED || self.bytes.len() as u64 > CHANGES_KEPT {
            let Some((_, before)) = self.ends.pop_front() else { break };
            let start = self.ends.front().map_or(before, |&(_, end)| end);
            self.bytes.drain(..((start - before) as usize).min(self.bytes.len()));
        }
        Some(length)
    }

    /// The changes that lead from one listing to another, as they are sent.
    pub(super) fn between(&self, from: ListingId, to: ListingId) -> Option<Vec<u8>> {
        let end_of = |listing| self.ends.iter().find(|(known, _)| *known == listing);
        let (&(_, first), &(_, start), &(_, end)) =
            (self.ends.front()?, end_of(from)?, end_of(to)?);
        let range = (start - first) as usize..(end.checked_sub(first)?) as usize;
        if range.is_empty() {
            return None;
        }
        let mut changes: Vec<u8> = self.bytes.range(range).copied().collect();
        changes.resize(changes.len().next_multiple_of(CHANGES_STEP as usize), 0);
        Some(changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [ListingId; 3] = [ListingId(4), ListingId(5), ListingId(9)];

    #[test]
    fn the_way_between_any_two_is_a_piece_of_the_whole() {
        let mut steps = Steps::default();
        assert_eq!(steps.push(IDS[0], Some(b"unknown from where")), None);
        assert_eq!(steps.push(IDS[1], Some(b"abc")), Some(3));
        assert_eq!(steps.push(IDS[2], Some(&[7; 62])), Some(62));
        let padded = |bytes: &[u8], length: usize| {
            let mut bytes = bytes.to_vec();
            bytes.resize(length, 0);
            Some(bytes)
        };
        assert_eq!(steps.between(IDS[0], IDS[1]), padded(b"abc", 64));
        assert_eq!(steps.between(IDS[1], IDS[2]), padded(&[7; 62], 64));
        assert_eq!(steps.between(IDS[0], IDS[2]), padded(&[&b"abc"[..], &[7; 62]].concat(), 128));
        for (from, to) in [(1, 0), (2, 0), (1, 1)] {
            assert_eq!(steps.between(IDS[from], IDS[to]), None);
        }
        assert_eq!(steps.between(ListingId(6), IDS[2]), None);
        assert_eq!(steps.push(ListingId(10), None), None);
        assert_eq!(steps.between(IDS[0], IDS[1]), None);
        assert_eq!(steps.push(ListingId(11), Some(b"x")), Some(1));
        assert!(steps.between(ListingId(10), ListingId(11)).is_some());
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut steps = Steps::default();
        steps.push(ListingId(0), None);
        for number in 1..=200 {
            steps.push(ListingId(number), Some(&number.to_be_bytes()));
        }
        assert_eq!(steps.ends.len(), LISTINGS_REMEMBERED);
        let oldest = 200 - LISTINGS_REMEMBERED as u64 + 1;
        assert_eq!(steps.between(ListingId(oldest - 1), ListingId(200)), None);
        let all = steps.between(ListingId(oldest), ListingId(200)).unwrap();
        assert_eq!(all[..8], (oldest + 1).to_be_bytes());
        // And by their length.
        let long = vec![1; CHANGES_KEPT as usize / 2];
        steps.push(ListingId(201), Some(&long));
        steps.push(ListingId(202), Some(&long));
        assert_eq!((steps.bytes.len(), steps.ends.len()), (2 * long.len(), 3));
        steps.push(ListingId(203), Some(&[1; 9]));
        assert_eq!((steps.bytes.len(), steps.ends.len()), (long.len() + 9, 3));
        steps.push(ListingId(204), Some(&vec![1; CHANGES_KEPT as usize + 1]));
        assert_eq!((steps.bytes.len(), steps.ends.len()), (0, 1));
    }
}
