//! What moves between hosts, and which ranges of it a grant asks for. A [`Ranges`] that exists is
//! within all limits of the protocol.

use std::fmt;
use std::ops::{Deref, Range};

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use super::error::DecodeError;
use super::identity::{ChangesId, ListingDigest};
use super::{
    GRANT_BYTES_MAX, GRANT_PACKETS_MAX, GRANT_RANGES_MAX, NEWS_RANGE_LENGTH, NEWS_RANGES_MAX,
    OBJECT_END_MAX, PAYLOAD_LENGTH_MAX, PAYLOAD_LENGTH_MIN, PAYLOAD_LENGTH_STEP,
};
use crate::content::ContentId;

/// The kinds of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum ObjectKind {
    /// A file's bytes.
    File = 0,
    /// The states of its chain at the inner block boundaries, 20 bytes each.
    Chain = 1,
    /// Which of its blocks the host has: bit `i`, from the highest bit of the first byte on, is
    /// block `i`; bits after the last block are zero.
    Have = 2,
    /// What the host offers; see [`listing`](super::listing).
    Listing = 3,
    /// How one of its listings differs from an earlier one; see
    /// [`changes`](super::listing::changes).
    Changes = 4,
}

impl ObjectKind {
    /// The kind with this code on the wire.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::File),
            1 => Some(Self::Chain),
            2 => Some(Self::Have),
            3 => Some(Self::Listing),
            4 => Some(Self::Changes),
            _ => None,
        }
    }

    /// The kind's code on the wire.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// Something that can be fetched by grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Object {
    /// The bytes of this content.
    File(ContentId),
    /// The chain of this content.
    Chain(ContentId),
    /// The bitmap of the blocks of this content that the host has.
    Have(ContentId),
    /// The listing with this digest.
    Listing(ListingDigest),
    /// The changes of this name.
    Changes(ChangesId),
}

impl Object {
    /// Its kind.
    pub const fn kind(&self) -> ObjectKind {
        match self {
            Self::File(_) => ObjectKind::File,
            Self::Chain(_) => ObjectKind::Chain,
            Self::Have(_) => ObjectKind::Have,
            Self::Listing(_) => ObjectKind::Listing,
            Self::Changes(_) => ObjectKind::Changes,
        }
    }

    /// Its name: the content's or the listing's SHA-1, or that of two listings' digests.
    pub const fn id(&self) -> [u8; 20] {
        match self {
            Self::File(content) | Self::Chain(content) | Self::Have(content) => content.0,
            Self::Listing(digest) => digest.0,
            Self::Changes(changes) => changes.0,
        }
    }

    /// The object of this kind and name.
    pub const fn new(kind: ObjectKind, id: [u8; 20]) -> Self {
        match kind {
            ObjectKind::File => Self::File(ContentId(id)),
            ObjectKind::Chain => Self::Chain(ContentId(id)),
            ObjectKind::Have => Self::Have(ContentId(id)),
            ObjectKind::Listing => Self::Listing(ListingDigest(id)),
            ObjectKind::Changes => Self::Changes(ChangesId(id)),
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(content) => write!(f, "file {content}"),
            Self::Chain(content) => write!(f, "chain {content}"),
            Self::Have(content) => write!(f, "have {content}"),
            Self::Listing(digest) => write!(f, "listing {digest}"),
            Self::Changes(changes) => write!(f, "changes {changes}"),
        }
    }
}

/// A run of an object's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectRange {
    /// Where in the object it begins.
    pub offset: u64,
    /// Bytes; 1 to 65,536.
    pub length: u32,
}

impl ObjectRange {
    /// How many packets of `payload_length` bytes, the last perhaps shorter, carry it.
    pub const fn packets(&self, payload_length: u16) -> u32 {
        self.length.div_ceil(payload_length as u32)
    }
}

/// The ranges of one grant and the payload length in which they are to come. Each range is cut by
/// itself, from its own offset on. All limits hold: 1 to 16 ranges, none empty, none ending above
/// [`OBJECT_END_MAX`], at most [`GRANT_BYTES_MAX`] bytes in at most [`GRANT_PACKETS_MAX`] packets.
#[derive(Clone, Copy)]
pub struct Ranges {
    ranges: [ObjectRange; GRANT_RANGES_MAX],
    count: u8,
    payload_length: u16,
}

impl Ranges {
    /// These ranges in payloads of this length, if they are within the limits.
    ///
    /// # Errors
    /// `PayloadLength`, `Count`, `Range` or `Demand`, whichever limit is broken first in this
    /// order.
    pub fn new(ranges: &[ObjectRange], payload_length: u16) -> Result<Self, DecodeError> {
        if !(PAYLOAD_LENGTH_MIN..=PAYLOAD_LENGTH_MAX).contains(&payload_length)
            || payload_length % PAYLOAD_LENGTH_STEP != 0
        {
            return Err(DecodeError::PayloadLength);
        }
        if ranges.is_empty() || ranges.len() > GRANT_RANGES_MAX {
            return Err(DecodeError::Count);
        }
        let mut kept = [ObjectRange::default(); GRANT_RANGES_MAX];
        let (mut bytes, mut packets) = (0u32, 0u32);
        for (slot, range) in kept.iter_mut().zip(ranges) {
            let end = range.offset.checked_add(u64::from(range.length));
            if range.length == 0 || end.is_none_or(|end| end > OBJECT_END_MAX) {
                return Err(DecodeError::Range);
            }
            bytes = bytes.saturating_add(range.length);
            packets = packets.saturating_add(range.packets(payload_length));
            *slot = *range;
        }
        if bytes > GRANT_BYTES_MAX || packets > GRANT_PACKETS_MAX {
            return Err(DecodeError::Demand);
        }
        Ok(Self { ranges: kept, count: ranges.len() as u8, payload_length })
    }

    /// The bytes of the object in each packet but the last of a range.
    pub const fn payload_length(&self) -> u16 {
        self.payload_length
    }

    /// The bytes of all ranges together.
    pub fn bytes(&self) -> u32 {
        self.iter().map(|range| range.length).sum()
    }

    /// The packets that carry them.
    pub fn packets(&self) -> u32 {
        self.iter().map(|range| range.packets(self.payload_length)).sum()
    }
}

impl Deref for Ranges {
    type Target = [ObjectRange];

    fn deref(&self) -> &[ObjectRange] {
        &self.ranges[..usize::from(self.count)]
    }
}

impl Serialize for Ranges {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut fields = to.serialize_struct("Ranges", 2)?;
        fields.serialize_field("ranges", &**self)?;
        fields.serialize_field("payload_length", &self.payload_length)?;
        fields.end()
    }
}

impl PartialEq for Ranges {
    fn eq(&self, other: &Self) -> bool {
        self.payload_length == other.payload_length && **self == **other
    }
}

impl Eq for Ranges {}

impl fmt::Debug for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} by {}", &**self, self.payload_length)
    }
}

/// Ranges of blocks as they travel: never none, at most [`NEWS_RANGES_MAX`], none empty.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BlockRanges<'a> {
    bytes: &'a [u8],
}

impl<'a> BlockRanges<'a> {
    /// What these bytes say: for each range its first block and how many there are, 4 bytes each.
    ///
    /// # Errors
    /// None or too many ranges, an empty one, or half a one.
    pub fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let count = bytes.len() / NEWS_RANGE_LENGTH;
        if count == 0 || count > NEWS_RANGES_MAX || bytes.len() % NEWS_RANGE_LENGTH != 0 {
            return Err(DecodeError::Count);
        }
        let ranges = Self { bytes };
        if ranges.iter().any(|range| range.is_empty()) {
            return Err(DecodeError::Range);
        }
        Ok(ranges)
    }

    /// Adds a range to bytes that are to become a [`BlockRanges`]. False where there is no room for it, or
    /// where its numbers are beyond what travels.
    pub fn push(bytes: &mut Vec<u8>, range: &Range<u64>) -> bool {
        let first = u32::try_from(range.start);
        let (Ok(first), Ok(blocks)) = (first, u32::try_from(range.end - range.start)) else {
            return false;
        };
        if bytes.len() / NEWS_RANGE_LENGTH >= NEWS_RANGES_MAX {
            return false;
        }
        bytes.extend_from_slice(&first.to_be_bytes());
        bytes.extend_from_slice(&blocks.to_be_bytes());
        true
    }

    /// How many ranges there are.
    pub const fn count(&self) -> usize {
        self.bytes.len() / NEWS_RANGE_LENGTH
    }

    /// As they travel.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The ranges, as they stand there; they may overlap.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> + 'a {
        let number =
            |bytes: &[u8]| bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte));
        self.bytes.chunks_exact(NEWS_RANGE_LENGTH).map(move |range| {
            let first = number(&range[..4]);
            first..first + number(&range[4..])
        })
    }
}

impl fmt::Debug for BlockRanges<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}

impl Serialize for BlockRanges<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(|range| (range.start, range.end - range.start)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(offset: u64, length: u32) -> ObjectRange {
        ObjectRange { offset, length }
    }

    fn check(ranges: &[ObjectRange], payload_length: u16) -> Result<(), DecodeError> {
        Ranges::new(ranges, payload_length).map(|_| ())
    }

    #[test]
    fn payload_lengths_below_at_and_above() {
        let one = [range(0, 1)];
        for good in [512, 576, 1_152, 1_408, 8_896, 65_408] {
            assert_eq!(check(&one, good), Ok(()), "{good}");
        }
        for bad in [0, 1, 64, 448, 511, 513, 1_400, 65_407, 65_409, 65_472, u16::MAX] {
            assert_eq!(check(&one, bad), Err(DecodeError::PayloadLength), "{bad}");
        }
    }

    #[test]
    fn counts_below_at_and_above() {
        assert_eq!(check(&[], 1_408), Err(DecodeError::Count));
        assert_eq!(check(&[range(0, 1); 15], 1_408), Ok(()));
        assert_eq!(check(&[range(0, 1); 16], 1_408), Ok(()));
        assert_eq!(check(&[range(0, 1); 17], 1_408), Err(DecodeError::Count));
    }

    #[test]
    fn ends_below_at_and_above() {
        assert_eq!(check(&[range(OBJECT_END_MAX - 2, 1)], 512), Ok(()));
        assert_eq!(check(&[range(OBJECT_END_MAX - 1, 1)], 512), Ok(()));
        assert_eq!(check(&[range(OBJECT_END_MAX, 1)], 512), Err(DecodeError::Range));
        assert_eq!(check(&[range(u64::MAX, 1)], 512), Err(DecodeError::Range));
        assert_eq!(check(&[range(5, 0)], 512), Err(DecodeError::Range));
    }

    #[test]
    fn bytes_below_at_and_above() {
        assert_eq!(check(&[range(0, 65_535)], 8_896), Ok(()));
        assert_eq!(check(&[range(0, 65_536)], 8_896), Ok(()));
        assert_eq!(check(&[range(0, 65_537)], 8_896), Err(DecodeError::Demand));
        assert_eq!(check(&[range(0, 32_768); 2], 8_896), Ok(()));
        assert_eq!(check(&[range(0, 32_768), range(0, 32_769)], 8_896), Err(DecodeError::Demand));
        assert_eq!(check(&[range(0, u32::MAX); 16], 65_408), Err(DecodeError::Demand));
    }

    #[test]
    fn packets_below_at_and_above() {
        assert_eq!(check(&[range(0, 63 * 512)], 512), Ok(()));
        assert_eq!(check(&[range(0, 64 * 512)], 512), Ok(()));
        assert_eq!(check(&[range(0, 64 * 512 + 1)], 512), Err(DecodeError::Demand));
        // Each range is cut by itself: two of 33 packets, though one of their length would have 65.
        assert_eq!(check(&[range(0, 32 * 512 + 1); 2], 512), Err(DecodeError::Demand));
        assert_eq!(Ranges::new(&[range(0, 513), range(7, 1)], 512).unwrap().packets(), 3);
    }

    #[test]
    fn a_whole_block_is_one_grant_at_every_length_that_receivers_try_but_the_shortest() {
        for payload_length in crate::wire::PAYLOAD_LENGTHS.into_iter().skip(1) {
            let ranges = Ranges::new(&[range(1 << 40, 65_536)], payload_length).unwrap();
            assert_eq!(ranges.bytes(), 65_536);
            assert!(ranges.packets() <= GRANT_PACKETS_MAX);
        }
    }

    #[test]
    fn kinds_and_codes_agree() {
        for code in 0..=u8::MAX {
            let kind = ObjectKind::from_code(code);
            assert_eq!(kind.is_some(), code <= 4, "{code}");
            let Some(kind) = kind else { continue };
            let object = Object::new(kind, [code; 20]);
            assert_eq!(
                (object.kind(), object.kind().code(), object.id()),
                (kind, code, [code; 20])
            );
        }
    }
}
