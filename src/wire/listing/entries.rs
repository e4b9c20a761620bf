//! A listing that has been read, packed: in pieces of 64 entries, the names of each in one piece of memory, and 32 bytes an
//! entry beside. A million files of a whole network take some 80 MB so, and none of them costs an allocation of its own. The first ones of
//! a listing are the same memory as the listing's.
//! Written down it is a sequence of [`ListingEntry`].

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use super::{ListingEntry, ListingError};
use crate::content::share_name::ShareNameRef;
use crate::content::{ContentId, ShareName};

/// The entries of a listing, strictly ascending by the bytes of their names. Cheap to clone.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<ListingEntry>")]
pub struct ListingEntries(Arc<Packed>);

#[derive(Default, PartialEq, Eq)]
struct Packed {
    pieces: Box<[Arc<Piece>]>,
    /// How much all are together up to the end of each piece.
    sizes: Box<[ListingSize]>,
}

/// So many entries, or the last ones.
#[derive(PartialEq, Eq)]
struct Piece {
    names: Box<str>,
    rows: Box<[Row]>,
}

/// Entries of a piece.
const PIECE: usize = 64;

/// How much entries are together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListingSize {
    /// How many.
    pub files: u32,
    /// Bytes of their names.
    pub names: u64,
    /// Bytes of their names and sizes as JSON, without the quotes around.
    pub text: u64,
}

/// How much of a listing is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListingRoom {
    /// As [`ListingSize::cost`] counts.
    pub cost: u64,
    /// What each entry takes as text beside its name and size.
    pub each: u64,
}

impl ListingRoom {
    /// For all there may be.
    pub const ALL: Self = Self { cost: u64::MAX, each: 0 };
}

impl ListingSize {
    /// Whether it is the size of no entries.
    pub fn is_nothing(&self) -> bool {
        self.files == 0
    }

    /// What they cost who keeps them, and shows them in a document in which each takes so much beside its name and size: the
    /// text, or twice the memory where that is more.
    pub fn cost(&self, each: u64) -> u64 {
        let files = u64::from(self.files);
        (2 * (size_of::<Row>() as u64 * files + self.names)).max(each * files + self.text)
    }

    fn add(&mut self, entry: &ListingEntryRef<'_>) {
        let name = entry.name.as_str();
        // Of what a name may have, quotes alone are longer as JSON.
        let quotes = name.bytes().filter(|byte| *byte == b'"').count();
        let digits = entry.size.checked_ilog10().unwrap_or(0) + 1;
        self.files += 1;
        self.names += name.len() as u64;
        self.text += (name.len() + quotes) as u64 + u64::from(digits);
    }
}

/// An entry but for its name.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Row {
    content: ContentId,
    /// Where its name ends in those of its piece; it begins where the one before ends.
    name_end: u32,
    size: u64,
}

/// One offered file of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename = "ListingEntry")]
pub struct ListingEntryRef<'a> {
    /// Its content.
    pub content: ContentId,
    /// Its size in bytes.
    pub size: u64,
    /// Where it stands below that host's `share/`; checked.
    pub name: ShareNameRef<'a>,
}

impl ListingEntries {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.sizes.last().map_or(0, |all| all.files as usize)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.pieces.is_empty()
    }

    /// Bytes of all names together.
    pub fn names_length(&self) -> u64 {
        self.0.sizes.last().map_or(0, |all| all.names)
    }

    /// How much the first of them are together, in steps; the last one is of all.
    pub fn sizes(&self) -> &[ListingSize] {
        &self.0.sizes
    }

    /// The first ones alone: so many as one of the [`sizes`](Self::sizes) speaks of, or none.
    #[must_use]
    pub fn first(&self, files: u32) -> Self {
        let Some(last) = self.0.sizes.iter().rposition(|size| size.files <= files) else {
            return Self::default();
        };
        let (pieces, sizes) = (&self.0.pieces[..=last], &self.0.sizes[..=last]);
        Self(Arc::new(Packed { pieces: pieces.into(), sizes: sizes.into() }))
    }

    /// The entry at this place, counted from 0.
    pub fn get(&self, place: usize) -> Option<ListingEntryRef<'_>> {
        let Piece { names, rows } = &**self.0.pieces.get(place / PIECE)?;
        let Row { content, name_end, size } = *rows.get(place % PIECE)?;
        let before = (place % PIECE).checked_sub(1).and_then(|before| rows.get(before));
        let start = before.map_or(0, |before| before.name_end as usize);
        let name = ShareNameRef::known(&names[start..name_end as usize]);
        Some(ListingEntryRef { content, size, name })
    }

    /// The one with this name.
    pub fn find(&self, name: ShareNameRef<'_>) -> Option<ListingEntryRef<'_>> {
        let (mut from, mut to) = (0, self.len());
        while from < to {
            let middle = from + (to - from) / 2;
            let entry = self.get(middle)?;
            match entry.name.as_str().cmp(name.as_str()) {
                Ordering::Less => from = middle + 1,
                Ordering::Equal => return Some(entry),
                Ordering::Greater => to = middle,
            }
        }
        None
    }

    /// Whether these are the very same, not only equal.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = ListingEntryRef<'_>> + Clone {
        let all = 0..self.len();
        all.map(|place| self.get(place).expect("there are so many"))
    }
}

impl fmt::Debug for ListingEntries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Serialize for ListingEntries {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter())
    }
}

impl TryFrom<Vec<ListingEntry>> for ListingEntries {
    type Error = ListingError;

    /// Entries that somebody else put together: their names have to be in order.
    fn try_from(entries: Vec<ListingEntry>) -> Result<Self, ListingError> {
        let mut builder = ListingEntriesBuilder::default();
        for ListingEntry { content, size, name } in &entries {
            builder.push(ListingEntryRef {
                content: *content,
                size: *size,
                name: name.borrowed(),
            })?;
        }
        Ok(builder.finish())
    }
}

impl ListingEntryRef<'_> {
    /// The same with a name of its own.
    pub fn to_owned(self) -> ListingEntry {
        let name: ShareName = self.name.to_owned();
        ListingEntry { content: self.content, size: self.size, name }
    }
}

/// Entries that come one by one.
#[derive(Default)]
pub struct ListingEntriesBuilder {
    pieces: Vec<Arc<Piece>>,
    /// Of the piece that is not full.
    names: String,
    rows: Vec<Row>,
    /// Where its last name begins.
    last: usize,
    /// The last name of the piece before.
    before: Box<str>,
    size: ListingSize,
    sizes: Vec<ListingSize>,
    room: Option<ListingRoom>,
    left_out: ListingSize,
}

impl ListingEntriesBuilder {
    /// Of those that come, the first for which there is this much room are kept; the others are counted.
    pub fn within(room: ListingRoom) -> Self {
        Self { room: Some(room), ..Self::default() }
    }

    /// What came and is not kept.
    pub const fn left_out(&self) -> ListingSize {
        self.left_out
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// Its name does not come after the one before.
    pub fn push(&mut self, entry: ListingEntryRef<'_>) -> Result<(), ListingError> {
        let name = entry.name.as_str();
        let last = if self.rows.is_empty() { &*self.before } else { &self.names[self.last..] };
        if self.size.files > 0 && name <= last {
            return Err(ListingError::Order);
        }
        let mut size = self.size;
        size.add(&entry);
        let fits = self.room.is_none_or(|room| size.cost(room.each) <= room.cost);
        if self.left_out.files > 0 || !fits {
            self.left_out.add(&entry);
            return Ok(());
        }
        self.last = self.names.len();
        self.names.push_str(name);
        // Names are not so long that 64 of them had 4 GiB.
        let name_end = self.names.len() as u32;
        self.rows.push(Row { content: entry.content, name_end, size: entry.size });
        self.size = size;
        if self.rows.len() == PIECE {
            self.end_piece();
        }
        Ok(())
    }

    fn end_piece(&mut self) {
        self.before = self.names[self.last..].into();
        let names = std::mem::take(&mut self.names).into();
        let rows = std::mem::take(&mut self.rows).into();
        self.pieces.push(Arc::new(Piece { names, rows }));
        self.sizes.push(self.size);
    }

    /// All that came.
    pub fn finish(mut self) -> ListingEntries {
        if !self.rows.is_empty() {
            self.end_piece();
        }
        let Self { pieces, sizes, .. } = self;
        ListingEntries(Arc::new(Packed { pieces: pieces.into(), sizes: sizes.into() }))
    }
}

impl fmt::Debug for ListingEntriesBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} entries so far", self.size.files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u8, text: &str) -> ListingEntry {
        let name = ShareName::parse(text).unwrap();
        ListingEntry { content: ContentId([number; 20]), size: u64::from(number) << 40, name }
    }

    #[test]
    fn an_entry_takes_as_many_bytes_as_is_said() {
        assert_eq!(size_of::<Row>(), 32);
    }

    #[test]
    fn what_goes_in_comes_out() {
        let all = vec![entry(1, "a"), entry(2, "animals/é.txt"), entry(1, "z")];
        let packed = ListingEntries::try_from(all.clone()).unwrap();
        assert_eq!(packed.iter().map(ListingEntryRef::to_owned).collect::<Vec<_>>(), all);
        assert_eq!((packed.len(), packed.names_length()), (3, 16));
        assert_eq!((packed.get(1).unwrap().name.as_str(), packed.get(3)), ("animals/é.txt", None));
        assert!(!packed.is_empty() && ListingEntries::default().is_empty());
    }

    #[test]
    fn what_has_no_room_is_counted_and_the_first_can_be_had_alone() {
        let all: Vec<_> = (0..200).map(|at| entry(1, &format!("{at:03} \"é\""))).collect();
        let packed = ListingEntries::try_from(all.clone()).unwrap();
        // Eight bytes and the two of é; each quote has one more as text, and the size has 13 digits.
        let of =
            |files| ListingSize { files, names: 8 * u64::from(files), text: 23 * u64::from(files) };
        assert_eq!(packed.sizes(), [of(64), of(128), of(192), of(200)]);
        assert_eq!((of(2).cost(0), of(2).cost(200)), (160, 446));
        for (files, kept) in [(0, 0), (63, 0), (64, 64), (191, 128), (200, 200), (999, 200)] {
            let first = packed.first(files);
            assert!(first.iter().map(ListingEntryRef::to_owned).eq(all[..kept].iter().cloned()));
            assert_eq!(first.sizes(), &packed.sizes()[..kept.div_ceil(64)]);
            let same = first.0.pieces.iter().zip(&packed.0.pieces).all(|(a, b)| Arc::ptr_eq(a, b));
            assert!(same, "no memory of their own");
        }
        for (cost, kept) in [(0, 0), (79, 0), (80, 1), (160, 2), (80 * 199, 199), (u64::MAX, 200)] {
            let mut builder = ListingEntriesBuilder::within(ListingRoom { cost, each: 0 });
            packed.iter().for_each(|entry| builder.push(entry).unwrap());
            assert_eq!(builder.left_out(), of(200 - kept));
            let entries = builder.finish();
            assert_eq!(entries.len(), kept as usize);
            assert_eq!(entries.sizes().last().copied().unwrap_or_default(), of(kept));
        }
    }

    #[test]
    fn names_are_in_order_whoever_made_it() {
        let pair = |one, two| ListingEntries::try_from(vec![entry(1, one), entry(2, two)]);
        assert!(pair("a", "aa").is_ok());
        assert_eq!(pair("a", "a"), Err(ListingError::Order));
        assert_eq!(pair("b", "a"), Err(ListingError::Order));
        // From one piece to the next as well.
        let mut many: Vec<_> = (0..65).map(|at| entry(1, &format!("{at:03}"))).collect();
        assert_eq!(ListingEntries::try_from(many.clone()).map(|all| all.len()), Ok(65));
        many[64] = many[63].clone();
        assert_eq!(ListingEntries::try_from(many), Err(ListingError::Order));
    }

    #[test]
    fn written_down_it_is_a_sequence_of_entries() {
        let all = vec![entry(1, "a\"b"), entry(2, "b")];
        let packed = ListingEntries::try_from(all.clone()).unwrap();
        let json = serde_json::to_string(&packed).unwrap();
        assert_eq!(json, serde_json::to_string(&all).unwrap());
        assert_eq!(serde_json::from_str::<ListingEntries>(&json).unwrap(), packed);
        let turned = serde_json::to_string(&[&all[1], &all[0]]).unwrap();
        assert!(serde_json::from_str::<ListingEntries>(&turned).is_err());
    }
}
