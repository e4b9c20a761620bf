//! A host's listing, once it has been read.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::wire::listing::ListingEntry;
use crate::wire::{ListingDigest, ListingSummary};

/// About how many bytes of memory an entry takes, its name's bytes not counted. It is not what this
/// machine needs for it: decisions hang on it, and a run decides alike on every machine.
const ENTRY_WEIGHT: u64 = 48;

/// A listing that has arrived and is what its digest says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Listed {
    pub(crate) digest: ListingDigest,
    pub(crate) entries: Arc<[ListingEntry]>,
    /// About how many bytes of memory it takes.
    pub(crate) weight: u64,
}

impl Listed {
    /// The listing of a host that offers nothing needs no transfer.
    pub(crate) fn empty(summary: ListingSummary) -> Option<Self> {
        (summary.length == 0).then(|| Self::new(summary.digest, Arc::from([]), 0))
    }

    /// These entries, whose names have so many bytes together.
    pub(crate) fn new(
        digest: ListingDigest,
        entries: Arc<[ListingEntry]>,
        names_length: u64,
    ) -> Self {
        let weight = ENTRY_WEIGHT * entries.len() as u64 + names_length;
        Self { digest, entries, weight }
    }
}
