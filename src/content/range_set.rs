//! A set of `u64`s, kept as sorted, disjoint, half-open ranges: which bytes or blocks are there.
//!
//! Ranges that touch are one. Nothing here bounds the number of ranges; who inserts does, by
//! inserting whole blocks of a bounded content.

use std::iter;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// A set of numbers as ranges. `u64::MAX` itself cannot be in it, as no half-open range holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeSet {
    /// Sorted; none is empty, and between two of them at least one number is missing.
    ranges: Vec<Range<u64>>,
    /// The sum of their lengths.
    total: u64,
}

impl RangeSet {
    /// The empty set.
    pub const fn new() -> Self {
        Self { ranges: Vec::new(), total: 0 }
    }

    /// Adds a range, and tells how many of its numbers were not in the set before.
    pub fn insert(&mut self, added: Range<u64>) -> u64 {
        if added.is_empty() {
            return 0;
        }
        // All that overlap the new range or touch it become one with it.
        let first = self.ranges.partition_point(|range| range.end < added.start);
        let touched = self.ranges[first..].partition_point(|range| range.start <= added.end);
        let met = &self.ranges[first..first + touched];
        let known: u64 = met.iter().map(length).sum();
        let start = met.first().map_or(added.start, |range| range.start.min(added.start));
        let end = met.last().map_or(added.end, |range| range.end.max(added.end));
        self.ranges.splice(first..first + touched, iter::once(start..end));
        let newly = (end - start) - known;
        self.total += newly;
        newly
    }

    /// Adds a range where the set then has `ranges_max` ranges at most. Whether all of it is in the set now.
    pub fn insert_within(&mut self, added: Range<u64>, ranges_max: usize) -> bool {
        let first = self.ranges.partition_point(|range| range.end < added.start);
        let touches = self.ranges.get(first).is_some_and(|range| range.start <= added.end);
        let fits = added.is_empty() || touches || self.ranges.len() < ranges_max;
        if fits {
            self.insert(added);
        }
        fits
    }

    /// Takes a range out, whatever of it is in the set.
    pub fn remove(&mut self, removed: Range<u64>) {
        if removed.is_empty() {
            return;
        }
        let (first, end) = self.overlapping(&removed);
        let met = &self.ranges[first..end];
        let (Some(lowest), Some(highest)) = (met.first(), met.last()) else {
            return;
        };
        let before = lowest.start..removed.start;
        let after = removed.end..highest.end;
        let known: u64 = met.iter().map(length).sum();
        let rest = [before, after].into_iter().filter(|range| !range.is_empty());
        self.total -= known - rest.clone().map(|range| length(&range)).sum::<u64>();
        self.ranges.splice(first..end, rest);
    }

    /// Whether `number` is in the set.
    pub fn contains(&self, number: u64) -> bool {
        let at = self.ranges.partition_point(|range| range.end <= number);
        self.ranges.get(at).is_some_and(|range| range.start <= number)
    }

    /// Whether every number of `wanted` is in the set. An empty range always is.
    pub fn covers(&self, wanted: &Range<u64>) -> bool {
        let at = self.ranges.partition_point(|range| range.end <= wanted.start);
        wanted.is_empty()
            || self
                .ranges
                .get(at)
                .is_some_and(|range| range.start <= wanted.start && wanted.end <= range.end)
    }

    /// Whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many numbers are in the set.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.ranges.iter().cloned()
    }

    /// The highest range.
    pub fn last(&self) -> Option<Range<u64>> {
        self.ranges.last().cloned()
    }

    /// What of `within` is missing: ranges, ascending, none empty.
    pub fn gaps(&self, within: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let (first, end) = self.overlapping(&within);
        let mut position = within.start;
        self.ranges[first..end]
            .iter()
            .cloned()
            .chain(iter::once(within.end..within.end))
            .map(move |range| {
                let gap = position..range.start;
                position = range.end;
                gap
            })
            .filter(|gap| !gap.is_empty())
    }

    /// The lowest missing range of `within`.
    pub fn first_gap(&self, within: Range<u64>) -> Option<Range<u64>> {
        self.gaps(within).next()
    }

    /// Takes everything out.
    pub fn clear(&mut self) {
        self.ranges.clear();
        self.total = 0;
    }

    /// Which of the ranges share a number with `other`: indices, from and up to.
    fn overlapping(&self, other: &Range<u64>) -> (usize, usize) {
        let first = self.ranges.partition_point(|range| range.end <= other.start);
        let count = self.ranges[first..].partition_point(|range| range.start < other.end);
        (first, first + count)
    }
}

impl FromIterator<Range<u64>> for RangeSet {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        let mut set = Self::new();
        for range in ranges {
            set.insert(range);
        }
        set
    }
}

const fn length(range: &Range<u64>) -> u64 {
    range.end - range.start
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACE: u64 = 96;

    /// The same set, as plainly as it can be.
    struct Bitmap([bool; SPACE as usize]);

    impl Bitmap {
        fn ranges(&self, wanted: bool, within: Range<u64>) -> Vec<Range<u64>> {
            let mut ranges: Vec<Range<u64>> = Vec::new();
            for at in within.filter(|at| self.0[*at as usize] == wanted) {
                match ranges.last_mut() {
                    Some(last) if last.end == at => last.end = at + 1,
                    _ => ranges.push(at..at + 1),
                }
            }
            ranges
        }
    }

    /// SplitMix64.
    fn random(seed: &mut u64) -> u64 {
        *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    #[test]
    fn does_what_a_bitmap_does() {
        for mut seed in 0..40 {
            let mut set = RangeSet::new();
            let mut model = Bitmap([false; SPACE as usize]);
            for _ in 0..200 {
                let start = random(&mut seed) % SPACE;
                let end = start + random(&mut seed) % (SPACE - start + 1).min(20);
                let insert = random(&mut seed) % 5 < 3;
                let changed = (start..end).filter(|at| model.0[*at as usize] != insert).count();
                model.0[start as usize..end as usize].fill(insert);
                if insert {
                    assert_eq!(set.insert(start..end), changed as u64);
                } else {
                    set.remove(start..end);
                }

                let expected = model.ranges(true, 0..SPACE);
                assert_eq!(set.iter().collect::<Vec<_>>(), expected);
                assert_eq!(set.total(), expected.iter().map(length).sum::<u64>());
                assert_eq!(set.is_empty(), expected.is_empty());
                let from = random(&mut seed) % SPACE;
                let to = from + random(&mut seed) % (SPACE - from + 1);
                let missing = model.ranges(false, from..to);
                assert_eq!(set.gaps(from..to).collect::<Vec<_>>(), missing);
                assert_eq!(set.first_gap(from..to), missing.first().cloned());
                assert_eq!(set.covers(&(from..to)), missing.is_empty());
                assert_eq!(set.contains(from), model.0[from as usize]);
                assert_eq!(set, expected.into_iter().rev().collect());
            }
            set.clear();
            assert_eq!(set, RangeSet::default());
        }
    }

    #[test]
    fn no_more_ranges_than_are_allowed() {
        let mut set = RangeSet::new();
        assert!(set.insert_within(10..11, 2) && set.insert_within(20..21, 2));
        assert!(!set.insert_within(0..1, 2) && !set.insert_within(15..16, 2));
        assert!(!set.insert_within(30..31, 2) && set.insert_within(5..5, 2));
        assert!(set.insert_within(11..12, 2) && set.insert_within(19..20, 2));
        assert_eq!(set.iter().collect::<Vec<_>>(), [10..12, 19..21]);
        assert!(set.insert_within(12..19, 2) && set.insert_within(0..1, 2));
    }

    #[test]
    fn the_ends_of_the_number_line() {
        let mut set = RangeSet::new();
        assert_eq!(set.insert(0..u64::MAX), u64::MAX);
        assert_eq!(set.insert(5..u64::MAX), 0);
        assert!(set.contains(u64::MAX - 1) && !set.contains(u64::MAX));
        set.remove(1..u64::MAX - 1);
        assert_eq!(set.iter().collect::<Vec<_>>(), [0..1, u64::MAX - 1..u64::MAX]);
        assert_eq!(set.first_gap(0..u64::MAX), Some(1..u64::MAX - 1));
    }

    #[test]
    #[expect(clippy::reversed_empty_ranges, reason = "that is what is tested")]
    fn a_reversed_range_is_empty() {
        let mut set: RangeSet = iter::once(3..9).collect();
        assert_eq!(set.insert(20..10), 0);
        set.remove(8..4);
        assert!(set.covers(&(7..2)) && set.gaps(30..1).next().is_none());
        assert_eq!(set.gaps(9..3).count(), 0);
        assert_eq!(set.total(), 6);
    }
}
