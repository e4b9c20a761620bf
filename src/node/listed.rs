//! A host's listing, once it has arrived and is what its digest says.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::wire::listing::{ListingEntry, ListingLimits, decode_listing};
use crate::wire::{ListingDigest, ListingSummary};

/// A listing that has arrived and is what its digest says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Listed {
    pub(crate) digest: ListingDigest,
    pub(crate) entries: Arc<[ListingEntry]>,
    pub(crate) refused_names: u32,
    /// About how many bytes of memory it takes.
    pub(crate) weight: u64,
}

impl Listed {
    /// The listing of a host that offers nothing needs no transfer.
    pub(crate) fn empty(summary: ListingSummary) -> Option<Self> {
        let (digest, entries) = (summary.digest, Arc::from([]));
        (summary.length == 0).then_some(Self { digest, entries, refused_names: 0, weight: 0 })
    }

    /// The listing in these bytes, if they are what the summary says.
    pub(crate) fn genuine(bytes: &[u8], summary: ListingSummary) -> Option<Self> {
        if ListingDigest::of(bytes) != summary.digest {
            return None;
        }
        let (entries, refused_names) = decode_listing(bytes, ListingLimits::default()).ok()?;
        let weight = entries
            .iter()
            .map(|entry| size_of_val(entry) + entry.name.as_str().len())
            .sum::<usize>();
        let (digest, weight) = (summary.digest, weight as u64);
        Some(Self { digest, entries: entries.into(), refused_names, weight })
    }
}
