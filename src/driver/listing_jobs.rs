//! Listings as bytes: making the one of what we offer, and reading those of other hosts, a piece at a time,
//! so that 100,000 names never hold up the loop. The core speaks of names and knows no listing's bytes;
//! here nothing is decided but whether bytes are a listing.

mod applying;
mod steps;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use self::applying::Applying;
use self::steps::Steps;
use super::clock::Slice;
use crate::content::{ContentId, ShareName};
use crate::node::input::ListingReading;
use crate::node::{CHANGES_KEPT, Input, ListingId};
use crate::wire::identity::ListingHasher;
use crate::wire::listing::changes::StepWriter;
use crate::wire::listing::{
    EncodedListing, ListingEntries, ListingEntriesBuilder, ListingLimits, ListingReader,
    ListingRoom, ListingWriter,
};
use crate::wire::{LISTING_LENGTH_MAX, ListingDigest, ListingSummary};

/// Names that are gone through between two looks at the clock: some hundredths of a millisecond on a Pi, and a
/// hundred times that in memory that has gone cold.
const NAMES: u32 = 16;
/// A content's 20 bytes, a size, and a name without what it has in common with the one before.
const EXPECTED_ENTRY_LENGTH: usize = 64;
/// Bytes that are hashed between two looks at the clock: a quarter of a millisecond's worth on a Pi.
const BYTES: usize = 32 * 1024;
/// The listings of ours that are served: the present one, and the one before for receivers that are in
/// the middle of it.
const KEPT: usize = 2;

/// What is known of an offered file.
type File = (ContentId, u64);

/// Our listing, and those of others until they are read.
#[derive(Debug, Default)]
pub struct ListingJobs {
    /// What the listing that was made last, or is being made, consists of.
    files: BTreeMap<ShareName, File>,
    /// What has changed since; nothing stands for a file that was taken off.
    changes: BTreeMap<ShareName, Option<File>>,
    making: Option<(ListingId, Making)>,
    /// What has changed since the listing before the one that is being made.
    difference: Option<StepWriter>,
    /// Whether all files had room in the listing that was made last.
    all_fit: bool,
    /// The newest first.
    kept: VecDeque<(ListingDigest, Vec<u8>)>,
    /// What leads from one of our last listings to another.
    steps: Steps,
    /// Listings, and changes of them, that come packet by packet.
    coming: BTreeMap<ListingId, Vec<u8>>,
    /// The first one is worked on.
    reading: VecDeque<(ListingId, Reading)>,
}

/// A listing of ours that is being made.
#[derive(Debug)]
enum Making {
    /// What has changed enters the files.
    Changing(BTreeMap<ShareName, Option<File>>),
    /// The files are written, from behind this name on.
    Writing(ListingWriter, Option<ShareName>),
    /// What was written is hashed.
    Hashing(EncodedListing, Hashing),
}

/// What a listing of another host is read from.
#[derive(Debug)]
enum Reading {
    Whole(Whole),
    Changes(Applying),
}

/// A listing of another host that came whole.
#[derive(Debug)]
struct Whole {
    digest: ListingDigest,
    bytes: Vec<u8>,
    /// Until it is known to be genuine.
    hashing: Option<Hashing>,
    reader: ListingReader,
    entries: ListingEntriesBuilder,
}

impl ListingJobs {
    /// With nothing offered.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes an `Output::AddToListing`.
    pub fn add(&mut self, name: ShareName, content: ContentId, size: u64) {
        self.changes.insert(name, Some((content, size)));
    }

    /// Takes an `Output::TakeOffListing`.
    pub fn take_off(&mut self, name: ShareName) {
        self.changes.insert(name, None);
    }

    /// Takes an `Output::MakeListing`.
    pub fn make(&mut self, listing: ListingId) {
        debug_assert!(self.making.is_none(), "listings are made one after the other");
        let changes = std::mem::take(&mut self.changes);
        self.difference = Some(StepWriter::new(CHANGES_KEPT as usize));
        self.making = Some((listing, Making::Changing(changes)));
    }

    /// The changes between two listings of ours, if they are kept.
    pub fn changes(&self, from: ListingId, to: ListingId) -> Option<Vec<u8>> {
        self.steps.between(from, to)
    }

    /// The bytes of a listing of ours, if it is one of those that are kept.
    pub fn kept(&self, digest: ListingDigest) -> Option<&[u8]> {
        let (_, bytes) = self.kept.iter().find(|(kept, _)| *kept == digest)?;
        Some(bytes)
    }

    /// Takes an `Output::KeepListing`, with the payload that it speaks of.
    pub fn keep(&mut self, listing: ListingId, offset: u64, payload: &[u8]) {
        let end = offset.saturating_add(payload.len() as u64);
        if end > LISTING_LENGTH_MAX {
            // It will not be what its digest says.
            return debug_assert!(false, "{listing:?} ends at {end}");
        }
        let bytes = self.coming.entry(listing).or_default();
        let (start, end) = (offset as usize, end as usize);
        // It grows with what really comes: a length that was only said takes no memory.
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[start..end].copy_from_slice(payload);
    }

    /// Takes an `Output::ReadListing`.
    pub fn read(&mut self, listing: ListingId, digest: ListingDigest, room: ListingRoom) {
        let whole = Whole {
            digest,
            bytes: self.coming.remove(&listing).unwrap_or_default(),
            hashing: Some(Hashing::default()),
            reader: ListingReader::new(ListingLimits::default()),
            entries: ListingEntriesBuilder::within(room),
        };
        self.reading.push_back((listing, Reading::Whole(whole)));
    }

    /// Takes an `Output::ReadChanges`.
    pub fn read_changes(&mut self, listing: ListingId, digest: ListingDigest, old: ListingEntries) {
        let changes = self.coming.remove(&listing).unwrap_or_default();
        let applying = Applying::new(old, changes, digest);
        self.reading.push_back((listing, Reading::Changes(applying)));
    }

    /// Takes an `Output::DropListing`.
    pub fn forget(&mut self, listing: ListingId) {
        self.coming.remove(&listing);
        self.reading.retain(|(reading, _)| *reading != listing);
    }

    /// How many listings of others there is something of.
    pub fn gathered(&self) -> usize {
        self.coming.len() + self.reading.len()
    }

    /// Works until the slice is over, for one piece at least, and appends `ListingMade` and `ListingRead`.
    /// Whether there is more to do. Our own listing comes first: all others wait for it.
    pub fn step(&mut self, slice: &Slice, inputs: &mut VecDeque<Input<'static>>) -> bool {
        while self.making.is_some() || !self.reading.is_empty() {
            if let Some((listing, making)) = self.making.take() {
                match self.make_on(making) {
                    Step::On(making) => self.making = Some((listing, making)),
                    Step::Over((encoded, digest)) => {
                        inputs.push_back(self.made(listing, encoded, digest));
                    }
                }
            } else if let Some((listing, reading)) = self.reading.pop_front() {
                match reading.go_on() {
                    Step::On(reading) => self.reading.push_front((listing, reading)),
                    Step::Over(outcome) => {
                        inputs.push_back(Input::ListingRead { listing, outcome });
                    }
                }
            }
            if slice.is_over() {
                break;
            }
        }
        self.making.is_some() || !self.reading.is_empty()
    }

    fn make_on(&mut self, making: Making) -> Step<Making, (EncodedListing, ListingDigest)> {
        match making {
            Making::Changing(mut changes) => {
                for _ in 0..NAMES {
                    let Some((name, file)) = changes.pop_first() else {
                        let writer = ListingWriter::with_capacity(self.expected_length());
                        return Step::On(Making::Writing(writer, None));
                    };
                    self.change(name, file);
                }
                Step::On(Making::Changing(changes))
            }
            Making::Writing(mut writer, behind) => {
                let rest = behind.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
                let mut last = None;
                let rest = self.files.range::<ShareName, _>((rest, Bound::Unbounded));
                for (name, &(content, size)) in rest.take(NAMES as usize) {
                    writer.push(name, content, size);
                    last = Some(name.clone());
                }
                Step::On(match last {
                    Some(last) => Making::Writing(writer, Some(last)),
                    None => Making::Hashing(writer.finish(), Hashing::default()),
                })
            }
            Making::Hashing(encoded, hashing) => match hashing.go_on(&encoded.bytes) {
                Step::On(hashing) => Step::On(Making::Hashing(encoded, hashing)),
                Step::Over(digest) => Step::Over((encoded, digest)),
            },
        }
    }

    /// About how many bytes the listing that is being made will have: to move a long one each time that it
    /// grows would take milliseconds. What is not written takes no memory.
    fn expected_length(&self) -> usize {
        let length = match self.kept.front() {
            Some((_, before)) => before.len() + before.len() / 8,
            None => self.files.len() * EXPECTED_ENTRY_LENGTH,
        };
        length.min(LISTING_LENGTH_MAX as usize)
    }

    /// What a name is in the listing that is being made.
    fn change(&mut self, name: ShareName, file: Option<File>) {
        let before = self.files.get(&name).copied();
        match (file, &mut self.difference) {
            (file, _) if file == before => return,
            (Some((content, size)), Some(difference)) => difference.come(&name, content, size),
            (None, Some(difference)) => difference.gone(&name),
            (_, None) => {}
        }
        match file {
            Some(file) => self.files.insert(name, file),
            None => self.files.remove(&name),
        };
    }

    /// A listing is whole: it is kept, and so is the way to it from the one before. What had no room in one
    /// of them would make another way than that of the files.
    fn made(
        &mut self,
        listing: ListingId,
        encoded: EncodedListing,
        digest: ListingDigest,
    ) -> Input<'static> {
        let EncodedListing { bytes, files, left_out } = encoded;
        let summary = ListingSummary { digest, length: bytes.len() as u64, files };
        let step = self.difference.take().and_then(StepWriter::finish);
        let fitted = std::mem::replace(&mut self.all_fit, left_out == 0);
        let mut changes = None;
        if self.kept.front().is_none_or(|(newest, _)| *newest != digest) {
            self.kept.truncate(KEPT - 1);
            self.kept.push_front((digest, bytes));
            let step = step.filter(|_| fitted && self.all_fit);
            changes = self.steps.push(listing, step.as_deref());
        }
        Input::ListingMade { listing, summary, left_out, changes }
    }
}

impl Reading {
    fn go_on(self) -> Step<Self, ListingReading> {
        match self {
            Self::Whole(whole) => match whole.go_on() {
                Step::On(whole) => Step::On(Self::Whole(whole)),
                Step::Over(reading) => Step::Over(reading),
            },
            Self::Changes(applying) => match applying.go_on() {
                Step::On(applying) => Step::On(Self::Changes(applying)),
                Step::Over(reading) => Step::Over(reading),
            },
        }
    }
}

impl Whole {
    fn go_on(mut self) -> Step<Self, ListingReading> {
        if let Some(hashing) = self.hashing.take() {
            return match hashing.go_on(&self.bytes) {
                Step::On(hashing) => Step::On(Self { hashing: Some(hashing), ..self }),
                Step::Over(digest) if digest == self.digest => Step::On(self),
                Step::Over(_) => self.bad("it has another digest"),
            };
        }
        match self.reader.read(&self.bytes, NAMES, &mut self.entries) {
            Ok(false) => Step::On(self),
            Ok(true) => {
                let left_out = self.entries.left_out();
                let entries = self.entries.finish();
                Step::Over(ListingReading::Genuine {
                    names_length: entries.names_length(),
                    sizes: entries.sizes().to_vec(),
                    entries,
                    refused_names: self.reader.refused_names(),
                    left_out,
                })
            }
            Err(error) => self.bad(&error.to_string()),
        }
    }

    fn bad(self, why: &str) -> Step<Self, ListingReading> {
        log::debug!("listing {}, {} bytes, is none: {why}", self.digest, self.bytes.len());
        Step::Over(ListingReading::Bad)
    }
}

/// A digest that is being computed.
#[derive(Debug, Default)]
struct Hashing {
    hasher: ListingHasher,
    done: usize,
}

impl Hashing {
    /// The next piece of `bytes`, which are the same at each call.
    fn go_on(mut self, bytes: &[u8]) -> Step<Self, ListingDigest> {
        let end = bytes.len().min(self.done + BYTES);
        self.hasher.update(&bytes[self.done..end]);
        self.done = end;
        if end < bytes.len() { Step::On(self) } else { Step::Over(self.hasher.finish()) }
    }
}

/// What became of a job by one piece more of it.
#[derive(Debug)]
enum Step<J, R> {
    On(J),
    Over(R),
}

#[cfg(test)]
mod tests;
