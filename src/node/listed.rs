//! A host's listing, once it has been read.

use serde::{Deserialize, Serialize};

use crate::wire::listing::ListingEntries;
use crate::wire::{ListingDigest, ListingSummary};

/// About how many bytes of memory an entry takes, its name's bytes not counted. It is not what this
/// machine needs for it: decisions hang on it, and a run decides alike on every machine.
const ENTRY_WEIGHT: u64 = 48;

/// A listing that has arrived and is what its digest says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Listed {
    pub(crate) digest: ListingDigest,
    pub(crate) entries: ListingEntries,
    /// These are all entries that it has: none was left out for its name.
    #[serde(default)]
    pub(crate) is_complete: bool,
    /// About how many bytes of memory it takes.
    pub(crate) weight: u64,
}

impl Listed {
    /// The listing of a host that offers nothing needs no transfer.
    pub(crate) fn empty(summary: ListingSummary) -> Option<Self> {
        (summary.length == 0).then(|| Self::new(summary.digest, ListingEntries::default(), 0, true))
    }

    /// These entries, whose names have so many bytes together.
    pub(crate) fn new(
        digest: ListingDigest,
        entries: ListingEntries,
        names_length: u64,
        is_complete: bool,
    ) -> Self {
        let weight = ENTRY_WEIGHT * entries.len() as u64 + names_length;
        Self { digest, entries, is_complete, weight }
    }
}
