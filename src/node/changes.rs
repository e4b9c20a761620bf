//! How long the ways are that lead from our last listings to one another. The bytes are the driver's: here only
//! lengths are known, by which it is decided what is offered to whom.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::ids::ListingId;
use crate::wire::{CHANGES_STEP, ChangesId, ListingDigest};

/// Listings of ours that the changes since are kept of.
pub const LISTINGS_REMEMBERED: usize = 64;
/// Bytes of changes that are kept, all steps together.
pub const CHANGES_KEPT: u64 = 1 << 20;

/// A listing of ours.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Made {
    listing: ListingId,
    digest: ListingDigest,
    /// Where the way to it ends, in bytes from the first one on.
    end: u64,
}

/// What leads from one of our listings to a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) from: ListingId,
    pub(crate) to: ListingId,
    /// Bytes as they are sent: a multiple of [`CHANGES_STEP`].
    pub(crate) length: u64,
}

/// Our last listings, the oldest first. What is forgotten here, and when, the driver forgets by the same rule.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct ListingChanges {
    made: VecDeque<Made>,
}

impl ListingChanges {
    /// A listing was made that is another than the one before. How long the way from there is, if it is
    /// known.
    pub(crate) fn made(&mut self, listing: ListingId, digest: ListingDigest, changes: Option<u64>) {
        let end = self
            .made
            .back()
            .zip(changes)
            .and_then(|(before, length)| before.end.checked_add(length).filter(|_| length > 0));
        if end.is_none() {
            self.made.clear();
        }
        let end = end.unwrap_or(0);
        self.made.push_back(Made { listing, digest, end });
        while self.made.len() > LISTINGS_REMEMBERED
            || self.made.front().is_some_and(|oldest| end - oldest.end > CHANGES_KEPT)
        {
            self.made.pop_front();
        }
    }

    /// The way from one listing to a later one.
    pub(crate) fn between(&self, old: ListingDigest, new: ListingDigest) -> Option<Way> {
        self.ways_to(new).find(|(from, _)| *from == old).map(|(_, way)| way)
    }

    /// The way with this name, of those that lead to a listing.
    pub(crate) fn named(&self, name: ChangesId, new: ListingDigest) -> Option<Way> {
        self.ways_to(new)
            .find(|(from, _)| ChangesId::between(*from, new) == name)
            .map(|(_, way)| way)
    }

    pub(crate) fn check_invariants(&self) {
        assert!(self.made.len() <= LISTINGS_REMEMBERED);
        let ends = self.made.iter().map(|made| made.end);
        assert!(ends.clone().zip(ends.skip(1)).all(|(end, next)| end < next));
        if let (Some(oldest), Some(newest)) = (self.made.front(), self.made.back()) {
            assert!(newest.end - oldest.end <= CHANGES_KEPT);
        }
    }

    /// From where to a listing, the nearest first. What was offered before may be offered again: the newest
    /// of equal listings counts.
    fn ways_to(&self, new: ListingDigest) -> impl Iterator<Item = (ListingDigest, Way)> {
        let place = self.made.iter().rposition(|made| made.digest == new);
        let to = place.and_then(|place| self.made.get(place));
        let before = self.made.iter().take(place.unwrap_or(0)).rev();
        before.filter_map(move |from| {
            let length = (to?.end - from.end).next_multiple_of(CHANGES_STEP);
            Some((from.digest, Way { from: from.listing, to: to?.listing, length }))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u64) -> ListingDigest {
        ListingDigest([number as u8; 20])
    }

    fn length(changes: &ListingChanges, old: u64, new: u64) -> Option<u64> {
        let way = changes.between(digest(old), digest(new));
        assert_eq!(
            changes.named(ChangesId::between(digest(old), digest(new)), digest(new)),
            way,
            "{old} to {new}"
        );
        way.map(|way| way.length)
    }

    #[test]
    fn ways_are_as_long_as_their_steps() {
        let mut changes = ListingChanges::default();
        for (number, step) in [(1, Some(50)), (2, Some(60)), (3, Some(70))] {
            changes.made(ListingId(number), digest(number), step);
        }
        assert_eq!(length(&changes, 1, 2), Some(64));
        assert_eq!(length(&changes, 2, 3), Some(128));
        assert_eq!(length(&changes, 1, 3), Some(192));
        assert_eq!(length(&changes, 3, 1), None, "not back");
        assert_eq!(length(&changes, 2, 2), None);
        assert_eq!(length(&changes, 9, 3), None);
        // What was offered once more: from the newest of equals.
        changes.made(ListingId(4), digest(1), Some(10));
        changes.made(ListingId(5), digest(5), Some(10));
        assert_eq!(length(&changes, 1, 5), Some(64));
        assert_eq!(length(&changes, 3, 1), Some(64));
        changes.made(ListingId(6), digest(6), None);
        assert_eq!(length(&changes, 5, 6), None, "the way there is not known");
        changes.made(ListingId(7), digest(7), Some(1));
        assert_eq!((length(&changes, 6, 7), length(&changes, 5, 7)), (Some(64), None));
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut changes = ListingChanges::default();
        for number in 0..200 {
            changes.made(ListingId(number), digest(number), Some(9));
            changes.check_invariants();
        }
        let oldest = 200 - LISTINGS_REMEMBERED as u64;
        assert!(
            length(&changes, oldest, 199).is_some() && length(&changes, oldest - 1, 199).is_none()
        );
        for number in 200..204 {
            changes.made(ListingId(number), digest(number), Some(CHANGES_KEPT / 2));
            changes.check_invariants();
        }
        assert_eq!(length(&changes, 201, 203), Some(CHANGES_KEPT));
        assert_eq!(length(&changes, 200, 203), None);
        changes.made(ListingId(204), digest(204), Some(CHANGES_KEPT + 1));
        assert_eq!(length(&changes, 203, 204), None);
        changes.check_invariants();
    }
}
