//! A listing that has been read, packed: all names in one piece of memory, and 32 bytes an entry beside.
//! A million files of a whole network take some 80 MB so, and none of them costs an allocation of its own.
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
    names: Box<str>,
    rows: Box<[Row]>,
}

/// An entry but for its name.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Row {
    content: ContentId,
    /// Where its name ends in the names; it begins where the one before ends.
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
        self.0.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.rows.is_empty()
    }

    /// Bytes of all names together.
    pub fn names_length(&self) -> u64 {
        self.0.names.len() as u64
    }

    /// The entry at this place, counted from 0.
    pub fn get(&self, place: usize) -> Option<ListingEntryRef<'_>> {
        let Row { content, name_end, size } = *self.0.rows.get(place)?;
        let before = place.checked_sub(1).and_then(|before| self.0.rows.get(before));
        let start = before.map_or(0, |before| before.name_end as usize);
        let name = ShareNameRef::known(&self.0.names[start..name_end as usize]);
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
    names: String,
    rows: Vec<Row>,
    /// Where the last name begins.
    last: usize,
}

impl ListingEntriesBuilder {
    /// Takes the next entry.
    ///
    /// # Errors
    /// Its name does not come after the one before, or 4 GiB of names are too much.
    pub fn push(&mut self, entry: ListingEntryRef<'_>) -> Result<(), ListingError> {
        let name = entry.name.as_str();
        if !self.rows.is_empty() && name <= &self.names[self.last..] {
            return Err(ListingError::Order);
        }
        let end = self.names.len() + name.len();
        let name_end = u32::try_from(end).map_err(|_| ListingError::Limit)?;
        self.last = self.names.len();
        self.names.push_str(name);
        self.rows.push(Row { content: entry.content, name_end, size: entry.size });
        Ok(())
    }

    /// All that came.
    pub fn finish(self) -> ListingEntries {
        let Self { names, rows, .. } = self;
        ListingEntries(Arc::new(Packed { names: names.into(), rows: rows.into() }))
    }
}

impl fmt::Debug for ListingEntriesBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} entries so far", self.rows.len())
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
    fn names_are_in_order_whoever_made_it() {
        let pair = |one, two| ListingEntries::try_from(vec![entry(1, one), entry(2, two)]);
        assert!(pair("a", "aa").is_ok());
        assert_eq!(pair("a", "a"), Err(ListingError::Order));
        assert_eq!(pair("b", "a"), Err(ListingError::Order));
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
