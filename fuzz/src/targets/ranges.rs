//! Sets of ranges against the plainest set there is, and what is told of them.

use std::collections::BTreeSet;
use std::ops::Range;

use sprat::content::RangeSet;
use sprat::wire::Portions;

use super::choices::Choices;

/// Numbers of the plain set; of two spaces, so that the ends of what there is are there too.
const SPACE: u64 = 128;

pub(crate) fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    // At the beginning of all numbers, or at their end; one beyond the space is never in the set.
    let base = if choices.flag() { u64::MAX - SPACE } else { 0 };
    let mut set = RangeSet::new();
    let mut plain = BTreeSet::new();
    while !choices.is_over() {
        let act = choices.byte();
        let start = base + choices.below(SPACE as usize) as u64;
        let end = base + choices.below(SPACE as usize + 1) as u64;
        let range = start..end;
        match act % 5 {
            0 | 1 => {
                let before = plain.len();
                plain.extend(range.clone());
                assert_eq!(set.insert(range), (plain.len() - before) as u64);
            }
            2 => {
                set.remove(range.clone());
                plain.retain(|number| !range.contains(number));
            }
            3 => {
                let most = usize::from(act) / 5;
                let mut grown = plain.clone();
                grown.extend(range.clone());
                let fits = set.insert_within(range.clone(), most);
                if fits {
                    plain = grown;
                }
                let in_bounds = set.iter().count() <= most.max(runs(&plain));
                assert!(in_bounds);
                assert_eq!(fits, set.covers(&range));
            }
            _ => set = set.iter().collect(),
        }
        check(&set, &plain, base, start..end.max(start));
    }
}

fn runs(plain: &BTreeSet<u64>) -> usize {
    plain
        .iter()
        .filter(|number| number.checked_sub(1).is_none_or(|before| !plain.contains(&before)))
        .count()
}

fn check(set: &RangeSet, plain: &BTreeSet<u64>, base: u64, looked_at: Range<u64>) {
    assert_eq!(set.total(), plain.len() as u64);
    assert_eq!(set.is_empty(), plain.is_empty());
    assert!(set.iter().flatten().eq(plain.iter().copied()));
    assert_eq!(set.iter().count(), runs(plain), "ranges that touch are one");
    let missing = looked_at.clone().filter(|number| !plain.contains(number));
    assert!(set.gaps(looked_at.clone()).flatten().eq(missing));
    assert!(set.gaps(looked_at.clone()).all(|gap| !gap.is_empty()));
    assert_eq!(set.first_gap(looked_at.clone()), set.gaps(looked_at.clone()).next());
    assert_eq!(set.covers(&looked_at), looked_at.clone().all(|number| plain.contains(&number)));
    assert_eq!(set.contains(looked_at.start), plain.contains(&looked_at.start));
    if base == 0 {
        let blocks = looked_at.end;
        let Portions(bits) = Portions::of(set, blocks);
        for part in 0..64 {
            let range = (part * blocks).div_ceil(64)..((part + 1) * blocks).div_ceil(64);
            let is_there = bits >> (63 - part) & 1 == 1;
            assert_eq!(is_there, range.into_iter().all(|number| plain.contains(&number)));
        }
    }
}
