//! The listing: what a host offers, as bytes. It is built and read a piece at a time, so that
//! 100,000 names never hold up the loop. Names that a stranger should not have sent are skipped
//! here and get no further.
//!
//! A listing is its entries, nothing before, between or after them, strictly ascending by the bytes
//! of their names. Each entry is
//!
//! | bytes | meaning |
//! |---|---|
//! | 20 | the content's SHA-1 |
//! | 1 to 8 | the content's size, varint |
//! | 1 to 2 | how many bytes of the previous entry's name this name begins with, varint |
//! | 1 to 2 | how many bytes follow, varint |
//! | as said | the rest of the name |
//!
//! A varint is unsigned LEB128: seven bits a byte, lowest first, the high bit set on all but the
//! last; always the shortest form, so that equal listings have equal digests.

pub mod changes;
mod differences;
mod entries;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{LISTING_FILES_MAX, LISTING_LENGTH_MAX};
use crate::content::block_layout::CONTENT_SIZE_MAX;
use crate::content::share_name::{NAME_LENGTH_MAX, ShareNameRef};
use crate::content::{ContentId, ShareName};
pub use differences::Differences;
pub use entries::{
    ListingEntries, ListingEntriesBuilder, ListingEntryRef, ListingRoom, ListingSize,
};

/// One offered file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListingEntry {
    /// Its content.
    pub content: ContentId,
    /// Its size in bytes.
    pub size: u64,
    /// Where it stands below that host's `share/`; checked.
    pub name: ShareName,
}

/// How much of a listing is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListingLimits {
    /// Entries, the refused ones included.
    pub files: u32,
    /// Bytes of the listing, and also bytes of all names written out in full: shared beginnings
    /// must not make a small listing a large one.
    pub bytes: u64,
}

impl Default for ListingLimits {
    /// The protocol's own limits.
    fn default() -> Self {
        Self { files: LISTING_FILES_MAX, bytes: LISTING_LENGTH_MAX }
    }
}

/// Why bytes are no listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListingError {
    /// They end within an entry.
    Short,
    /// A number is not in its shortest form, or larger than any number may be.
    Number,
    /// A name takes more from the previous name than that has, or is too long.
    Name,
    /// A name does not come after the previous one.
    Order,
    /// There are more entries or bytes than the limits allow.
    Limit,
}

impl fmt::Display for ListingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Short => "the listing ends within an entry",
            Self::Number => "a number in the listing is too large or not in its shortest form",
            Self::Name => "a name in the listing is too long or continues nothing",
            Self::Order => "the names in the listing are not in order",
            Self::Limit => "the listing is too long",
        })
    }
}

impl std::error::Error for ListingError {}

/// Builds a listing, entry by entry.
#[derive(Debug, Default)]
pub struct ListingWriter {
    limits: ListingLimits,
    bytes: Vec<u8>,
    previous: String,
    names_bytes: u64,
    files: u32,
    left_out: u32,
}

/// A listing ready to be served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncodedListing {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// How many entries they hold.
    pub files: u32,
    /// How many entries did not fit the limits.
    pub left_out: u32,
}

impl ListingWriter {
    /// An empty listing.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty listing that has room for so many bytes, and is not moved until it is longer.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Adds a file; names come strictly ascending. What breaks a limit, or comes out of order, is
    /// left out and counted.
    pub fn push(&mut self, name: &ShareName, content: ContentId, size: u64) {
        self.push_entry(ListingEntryRef { content, size, name: name.borrowed() });
    }

    /// The same of an entry of another listing.
    pub fn push_entry(&mut self, entry: ListingEntryRef<'_>) {
        let ListingEntryRef { content, size, name } = entry;
        let name = name.as_str();
        let in_order = self.files == 0 || self.previous.as_str() < name;
        debug_assert!(in_order, "{name:?} does not come after {:?}", self.previous);
        let names_bytes = self.names_bytes + name.len() as u64;
        let fits = self.files < self.limits.files
            && names_bytes <= self.limits.bytes
            && name.len() <= NAME_LENGTH_MAX
            && size <= CONTENT_SIZE_MAX;
        if !in_order || !fits {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        let length_before = self.bytes.len();
        self.bytes.extend_from_slice(&content.0);
        put_varint(&mut self.bytes, size);
        put_name(&mut self.bytes, &self.previous, name);
        if self.bytes.len() as u64 > self.limits.bytes {
            self.bytes.truncate(length_before);
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        self.names_bytes = names_bytes;
        self.files += 1;
        self.previous.clear();
        self.previous.push_str(name);
    }

    /// The listing.
    pub fn finish(self) -> EncodedListing {
        EncodedListing { bytes: self.bytes, files: self.files, left_out: self.left_out }
    }
}

/// The listing of these files, at once; names come strictly ascending.
pub fn encode_listing<'a>(
    files: impl IntoIterator<Item = (&'a ShareName, ContentId, u64)>,
) -> EncodedListing {
    let mut writer = ListingWriter::new();
    for (name, content, size) in files {
        writer.push(name, content, size);
    }
    writer.finish()
}

/// Reads a listing, some entries at a time; the bytes stay with the caller.
#[derive(Debug)]
pub struct ListingReader {
    limits: ListingLimits,
    position: usize,
    previous: Vec<u8>,
    names_bytes: u64,
    files: u32,
    refused_names: u32,
}

impl ListingReader {
    /// A reader at the start of a listing.
    pub fn new(limits: ListingLimits) -> Self {
        Self {
            limits,
            position: 0,
            previous: Vec::new(),
            names_bytes: 0,
            files: 0,
            refused_names: 0,
        }
    }

    /// Reads up to `at_most` entries from where the last call ended; `listing` is the same at each
    /// call. Entries with refused names are not among those handed back. True once all is read.
    ///
    /// # Errors
    /// The listing is not one; nothing of it deserves belief, and the reader is of no more use.
    pub fn read(
        &mut self,
        listing: &[u8],
        at_most: u32,
        entries: &mut ListingEntriesBuilder,
    ) -> Result<bool, ListingError> {
        if listing.len() as u64 > self.limits.bytes {
            return Err(ListingError::Limit);
        }
        for _ in 0..at_most {
            let Some(rest) = listing.get(self.position..).filter(|rest| !rest.is_empty()) else {
                return Ok(true);
            };
            let mut cursor = Cursor { rest };
            let entry = self.entry(&mut cursor)?;
            match entry {
                Some(entry) => entries.push(entry)?,
                None => self.refused_names += 1,
            }
            self.position = listing.len() - cursor.rest.len();
        }
        Ok(self.position >= listing.len())
    }

    /// How many names were refused so far.
    pub const fn refused_names(&self) -> u32 {
        self.refused_names
    }

    /// The next entry, or nothing where its name is refused.
    fn entry(
        &mut self,
        cursor: &mut Cursor<'_>,
    ) -> Result<Option<ListingEntryRef<'_>>, ListingError> {
        let content = ContentId(cursor.array()?);
        let size = cursor.varint(CONTENT_SIZE_MAX)?;
        let shared = cursor.name_length()?;
        let suffix_length = cursor.name_length()?;
        let suffix = cursor.slice(suffix_length)?;
        let length = shared + suffix_length;
        if shared > self.previous.len() || length > NAME_LENGTH_MAX {
            return Err(ListingError::Name);
        }
        // With `shared` bytes equal, the order hangs on what follows them.
        if self.files > 0 && suffix <= &self.previous[shared..] {
            return Err(ListingError::Order);
        }
        self.names_bytes += length as u64;
        if self.files == self.limits.files || self.names_bytes > self.limits.bytes {
            return Err(ListingError::Limit);
        }
        self.files += 1;
        self.previous.truncate(shared);
        self.previous.extend_from_slice(suffix);
        let name = std::str::from_utf8(&self.previous)
            .ok()
            .and_then(|text| ShareNameRef::parse(text).ok())
            .filter(|name| name.is_offered());
        Ok(name.map(|name| ListingEntryRef { content, size, name }))
    }
}

/// The entries of a listing, at once, and how many names were refused.
///
/// # Errors
/// The bytes are no listing, or one beyond the limits.
pub fn decode_listing(
    listing: &[u8],
    limits: ListingLimits,
) -> Result<(ListingEntries, u32), ListingError> {
    let mut reader = ListingReader::new(limits);
    let mut entries = ListingEntriesBuilder::default();
    while !reader.read(listing, u32::MAX, &mut entries)? {}
    Ok((entries.finish(), reader.refused_names()))
}

/// What is left of a listing.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn slice(&mut self, length: usize) -> Result<&'a [u8], ListingError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(ListingError::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ListingError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(ListingError::Short)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// A number in its shortest form, `at_most` at most; it is read for 8 bytes, which is 56 bits.
    fn varint(&mut self, at_most: u64) -> Result<u64, ListingError> {
        let mut value = 0;
        for shift in (0..56).step_by(7) {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let shortest = byte != 0 || shift == 0;
                let allowed = shortest && value <= at_most;
                return if allowed { Ok(value) } else { Err(ListingError::Number) };
            }
        }
        Err(ListingError::Number)
    }

    fn name_length(&mut self) -> Result<usize, ListingError> {
        let length = self.varint(u64::from(u32::MAX))?;
        usize::try_from(length)
            .ok()
            .filter(|length| *length <= NAME_LENGTH_MAX)
            .ok_or(ListingError::Name)
    }
}

fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// A name after another one: how much it shares with that, and the rest.
fn put_name(bytes: &mut Vec<u8>, previous: &str, name: &str) {
    let shared = shared_length(previous.as_bytes(), name.as_bytes());
    let suffix = &name.as_bytes()[shared..];
    put_varint(bytes, shared as u64);
    put_varint(bytes, suffix.len() as u64);
    bytes.extend_from_slice(suffix);
}

fn shared_length(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests;
