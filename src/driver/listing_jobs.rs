//! Listings as bytes: making the one of what we offer, and reading those of other hosts, a piece at a time,
//! so that 100,000 names never hold up the loop. The core speaks of names and knows no listing's bytes;
//! here nothing is decided but whether bytes are a listing.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use super::clock::Slice;
use crate::content::{ContentId, ShareName};
use crate::node::input::ListingReading;
use crate::node::{Input, ListingId};
use crate::wire::identity::ListingHasher;
use crate::wire::listing::{
    EncodedListing, ListingEntry, ListingLimits, ListingReader, ListingWriter,
};
use crate::wire::{LISTING_LENGTH_MAX, ListingDigest, ListingSummary};

/// Names that are gone through between two looks at the clock: some tenths of a millisecond on a Pi.
const NAMES: u32 = 256;
/// Bytes that are hashed between two looks at the clock: less than a millisecond's worth on a Pi.
const BYTES: usize = 128 * 1024;
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
    /// The newest first.
    kept: VecDeque<(ListingDigest, Vec<u8>)>,
    /// Listings that come packet by packet.
    coming: BTreeMap<ListingId, Vec<u8>>,
    /// The first one is worked on.
    reading: VecDeque<Reading>,
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

/// A listing of another host that is being read.
#[derive(Debug)]
struct Reading {
    listing: ListingId,
    digest: ListingDigest,
    bytes: Vec<u8>,
    /// Until it is known to be genuine.
    hashing: Option<Hashing>,
    reader: ListingReader,
    entries: Vec<ListingEntry>,
    names_length: u64,
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
        self.making = Some((listing, Making::Changing(changes)));
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
    pub fn read(&mut self, listing: ListingId, digest: ListingDigest) {
        self.reading.push_back(Reading {
            listing,
            digest,
            bytes: self.coming.remove(&listing).unwrap_or_default(),
            hashing: Some(Hashing::default()),
            reader: ListingReader::new(ListingLimits::default()),
            entries: Vec::new(),
            names_length: 0,
        });
    }

    /// Takes an `Output::DropListing`.
    pub fn forget(&mut self, listing: ListingId) {
        self.coming.remove(&listing);
        self.reading.retain(|reading| reading.listing != listing);
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
                    Step::Over((summary, left_out)) => {
                        inputs.push_back(Input::ListingMade { listing, summary, left_out });
                    }
                }
            } else if let Some(reading) = self.reading.pop_front() {
                match reading.read_on() {
                    Step::On(reading) => self.reading.push_front(reading),
                    Step::Over(answer) => inputs.push_back(answer),
                }
            }
            if slice.is_over() {
                break;
            }
        }
        self.making.is_some() || !self.reading.is_empty()
    }

    fn make_on(&mut self, making: Making) -> Step<Making, (ListingSummary, u32)> {
        match making {
            Making::Changing(mut changes) => {
                for _ in 0..NAMES {
                    match changes.pop_first() {
                        None => return Step::On(Making::Writing(ListingWriter::new(), None)),
                        Some((name, Some(file))) => self.files.insert(name, file),
                        Some((name, None)) => self.files.remove(&name),
                    };
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
                Step::Over(digest) => {
                    let EncodedListing { bytes, files, left_out } = encoded;
                    let length = bytes.len() as u64;
                    if self.kept.front().is_none_or(|(newest, _)| *newest != digest) {
                        self.kept.truncate(KEPT - 1);
                        self.kept.push_front((digest, bytes));
                    }
                    Step::Over((ListingSummary { digest, length, files }, left_out))
                }
            },
        }
    }
}

impl Reading {
    fn read_on(mut self) -> Step<Self, Input<'static>> {
        if let Some(hashing) = self.hashing.take() {
            return match hashing.go_on(&self.bytes) {
                Step::On(hashing) => Step::On(Self { hashing: Some(hashing), ..self }),
                Step::Over(digest) if digest == self.digest => Step::On(self),
                Step::Over(_) => self.bad("it has another digest"),
            };
        }
        let known = self.entries.len();
        let all = self.reader.read(&self.bytes, NAMES, &mut self.entries);
        let names = self.entries[known..].iter().map(|entry| entry.name.as_str().len() as u64);
        self.names_length += names.sum::<u64>();
        match all {
            Ok(false) => Step::On(self),
            Ok(true) => {
                let outcome = ListingReading::Genuine {
                    entries: self.entries.into(),
                    names_length: self.names_length,
                    refused_names: self.reader.refused_names(),
                };
                Step::Over(Input::ListingRead { listing: self.listing, outcome })
            }
            Err(error) => self.bad(&error.to_string()),
        }
    }

    fn bad(self, why: &str) -> Step<Self, Input<'static>> {
        log::debug!("listing {}, {} bytes, is none: {why}", self.digest, self.bytes.len());
        Step::Over(Input::ListingRead { listing: self.listing, outcome: ListingReading::Bad })
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
