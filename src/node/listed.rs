//! A host's listing, once it has been read: as much of it as there is room for beside those of others.

use serde::{Deserialize, Serialize};

use super::input::ListingReading;
use crate::wire::listing::{ListingEntries, ListingSize};
use crate::wire::{ListingDigest, ListingSummary};

/// What an entry takes in `d.json` beside its name, its size and its host's address.
const EACH: u64 = 98;

/// A listing that has arrived and is what its digest says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Listed {
    pub(crate) digest: ListingDigest,
    pub(crate) entries: ListingEntries,
    /// These are all entries that it has: none was left out for its name, or for want of room.
    #[serde(default)]
    pub(crate) is_complete: bool,
    /// What the entries cost. Decisions hang on it, so it is not what this machine needs for them.
    pub(crate) weight: u64,
    /// What all would cost.
    #[serde(default)]
    pub(crate) whole: u64,
    /// There is room for more of it by now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) wants_more: bool,
    #[serde(default)]
    each: u64,
    /// How much the first ones are together.
    #[serde(default)]
    sizes: Vec<ListingSize>,
}

/// What an entry of a host takes in `d.json` beside its name and size.
pub(crate) const fn each_of(host: &str) -> u64 {
    EACH + host.len() as u64
}

/// What a listing costs at the least, by what is told of it before it comes.
pub(crate) fn least_cost(summary: ListingSummary, each: u64) -> u64 {
    // An entry takes 32 bytes at most beside its name's own part.
    let names = summary.length.saturating_sub(32 * u64::from(summary.files));
    ListingSize { files: summary.files, names, text: names }.cost(each)
}

impl Listed {
    /// The listing of a host that offers nothing needs no transfer.
    pub(crate) fn empty(summary: ListingSummary) -> Option<Self> {
        let nothing = || {
            let (entries, left_out) = (ListingEntries::default(), ListingSize::default());
            Self::new(summary.digest, entries, Vec::new(), left_out, 0, true)
        };
        (summary.length == 0).then(nothing)
    }

    /// These entries, whose sizes are so, of more; `has_all_names` where none was left out for its name.
    pub(crate) fn new(
        digest: ListingDigest,
        entries: ListingEntries,
        sizes: Vec<ListingSize>,
        left_out: ListingSize,
        each: u64,
        has_all_names: bool,
    ) -> Self {
        let kept = sizes.last().copied().unwrap_or_default();
        let whole = ListingSize {
            files: kept.files.saturating_add(left_out.files),
            names: kept.names.saturating_add(left_out.names),
            text: kept.text.saturating_add(left_out.text),
        };
        let is_complete = has_all_names && left_out.files == 0;
        let (weight, whole) = (kept.cost(each), whole.cost(each));
        Self { digest, entries, is_complete, weight, whole, wants_more: false, each, sizes }
    }

    /// Keeps no more than costs this. Whether that is less than there was.
    pub(crate) fn cut_to(&mut self, most: u64) -> bool {
        if self.weight <= most {
            return false;
        }
        let each = self.each;
        let fitting = self.sizes.iter().take_while(|size| size.cost(each) <= most).count();
        self.sizes.truncate(fitting);
        let kept = self.sizes.last().copied().unwrap_or_default();
        self.entries = self.entries.first(kept.files);
        (self.weight, self.is_complete) = (kept.cost(each), false);
        true
    }
}

impl ListingReading {
    /// All of these, and so many with names that nobody should have sent.
    pub fn all(entries: ListingEntries, refused_names: u32) -> Self {
        let (names_length, sizes) = (entries.names_length(), entries.sizes().to_vec());
        let left_out = ListingSize::default();
        Self::Genuine { entries, names_length, refused_names, sizes, left_out }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::{ContentId, ShareName};
    use crate::wire::listing::ListingEntry;

    #[test]
    fn it_is_cut_to_what_there_is_room_for() {
        let entry = |at| {
            let name = ShareName::parse(&format!("{at:06}")).unwrap();
            ListingEntry { content: ContentId([7; 20]), size: 43, name }
        };
        let all: Vec<_> = (0..1_000).map(entry).collect();
        let entries = ListingEntries::try_from(all).unwrap();
        let sizes = entries.sizes().to_vec();
        let digest = ListingDigest([1; 20]);
        let each = each_of("10.77.0.1");
        let mut listed = Listed::new(digest, entries, sizes, ListingSize::default(), each, true);
        let one = each + 6 + 2;
        assert_eq!((listed.weight, listed.whole), (1_000 * one, 1_000 * one));
        assert!(!listed.cut_to(1_000 * one) && listed.is_complete);
        assert!(listed.cut_to(1_000 * one - 1) && !listed.is_complete);
        assert_eq!((listed.entries.len(), listed.weight), (960, 960 * one));
        assert!(listed.cut_to(64 * one));
        assert_eq!((listed.entries.len(), listed.weight), (64, 64 * one));
        assert!(listed.cut_to(64 * one - 1));
        assert_eq!((listed.entries.len(), listed.weight), (0, 0));
        assert_eq!(listed.whole, 1_000 * one);
    }
}
