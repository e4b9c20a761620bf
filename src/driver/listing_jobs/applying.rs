//! A listing of another host made of the one before it and of what has changed since: the changes are read,
//! taken into the entries, and the whole is written as the listing that it is to be, whose digest proves it.
//! A piece at a time, as everything about listings.

use super::{Hashing, NAMES, Step};
use crate::node::input::ListingReading;
use crate::wire::ListingDigest;
use crate::wire::listing::changes::{ChangedNames, ChangesReader};
use crate::wire::listing::{
    EncodedListing, ListingEntries, ListingEntriesBuilder, ListingEntryRef, ListingLimits,
    ListingWriter,
};

/// Changes that are taken into a listing.
#[derive(Debug)]
pub(super) struct Applying {
    old: ListingEntries,
    digest: ListingDigest,
    state: State,
}

#[derive(Debug)]
enum State {
    /// What has changed is read.
    Reading { changes: Vec<u8>, reader: ChangesReader, names: ChangedNames },
    /// The entries from this one on are gone through beside what has changed.
    Merging {
        at: usize,
        names: ChangedNames,
        entries: ListingEntriesBuilder,
        writer: ListingWriter,
    },
    /// What came of it is hashed.
    Hashing { entries: ListingEntries, listing: EncodedListing, hashing: Hashing },
}

impl Applying {
    /// These changes of these entries, which are to come to the listing with this digest.
    pub(super) fn new(old: ListingEntries, changes: Vec<u8>, digest: ListingDigest) -> Self {
        let reader = ChangesReader::new(ListingLimits::default());
        let state = State::Reading { changes, reader, names: ChangedNames::new() };
        Self { old, digest, state }
    }

    /// One piece more.
    pub(super) fn go_on(self) -> Step<Self, ListingReading> {
        let Self { old, digest, state } = self;
        let on = |old, state| Step::On(Self { old, digest, state });
        match state {
            State::Reading { changes, mut reader, mut names } => {
                match reader.read(&changes, NAMES, &mut names) {
                    Ok(false) => on(old, State::Reading { changes, reader, names }),
                    Ok(true) => {
                        let (entries, writer) = Default::default();
                        on(old, State::Merging { at: 0, names, entries, writer })
                    }
                    Err(error) => {
                        log::debug!("these are no changes of a listing: {error}");
                        Step::Over(ListingReading::Bad)
                    }
                }
            }
            State::Merging { mut at, mut names, mut entries, mut writer } => {
                for _ in 0..NAMES {
                    let Some(entry) = next(&old, &mut at, &mut names, &mut entries, &mut writer)
                    else {
                        let (entries, listing) = (entries.finish(), writer.finish());
                        let hashing = Hashing::default();
                        return on(old, State::Hashing { entries, listing, hashing });
                    };
                    if entry.is_err() {
                        return Step::Over(ListingReading::Bad);
                    }
                }
                on(old, State::Merging { at, names, entries, writer })
            }
            State::Hashing { entries, listing, hashing } => match hashing.go_on(&listing.bytes) {
                Step::On(hashing) => on(old, State::Hashing { entries, listing, hashing }),
                Step::Over(found) if found == digest && listing.left_out == 0 => {
                    Step::Over(ListingReading::all(entries, 0))
                }
                Step::Over(found) => {
                    log::debug!("the changes of a listing lead to {found} instead of {digest}");
                    Step::Over(ListingReading::Bad)
                }
            },
        }
    }
}

/// Takes the next name, whether it has changed or not. Nothing once all are through.
fn next(
    old: &ListingEntries,
    at: &mut usize,
    names: &mut ChangedNames,
    entries: &mut ListingEntriesBuilder,
    writer: &mut ListingWriter,
) -> Option<Result<(), ()>> {
    let mut push = |entry: ListingEntryRef<'_>| {
        writer.push_entry(entry);
        entries.push(entry).map_err(|_| ())
    };
    let kept = old.get(*at);
    let changed = names.first_key_value().map(|(name, _)| name.borrowed());
    match (kept, changed) {
        (None, None) => None,
        (Some(kept), changed) if changed.is_none_or(|changed| kept.name < changed) => {
            *at += 1;
            Some(push(kept))
        }
        (kept, _) => {
            let (name, file) = names.pop_first()?;
            if kept.is_some_and(|kept| kept.name == name.borrowed()) {
                *at += 1;
            }
            let Some((content, size)) = file else { return Some(Ok(())) };
            Some(push(ListingEntryRef { content, size, name: name.borrowed() }))
        }
    }
}
