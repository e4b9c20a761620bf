//! Changes of a listing as bytes: what leads from an earlier listing of a host to a later one. They are one or
//! more *steps*, and then zeros up to a multiple of [`CHANGES_STEP`](crate::wire::CHANGES_STEP). A step is
//!
//! | bytes | meaning |
//! |---|---|
//! | 1 to 3 | how many names went, varint |
//! | 1 to 3 | how many entries came, or are another content or size now, varint |
//! | as said | the names that went: shared length, length, rest of the name, as in a listing |
//! | as said | the entries, as in a listing |
//!
//! In both the names are strictly ascending, and the first one shares nothing. No step is without a name. Steps
//! are taken in order. That they lead where they should is proven by the digest of what comes out, so a name
//! that goes without having been there is no error here.

use std::collections::BTreeMap;

use super::{Cursor, ListingError, ListingLimits, put_name, put_varint};
use crate::content::block_layout::CONTENT_SIZE_MAX;
use crate::content::share_name::NAME_LENGTH_MAX;
use crate::content::{ContentId, ShareName};

/// What became of names: the file that each is now, or nothing where it went.
pub type ChangedNames = BTreeMap<ShareName, Option<(ContentId, u64)>>;

/// Puts one step together, name by name.
#[derive(Debug)]
pub struct StepWriter {
    gone: Part,
    come: Part,
    most: usize,
}

/// The names that went, or the entries that came.
#[derive(Debug, Default)]
struct Part {
    bytes: Vec<u8>,
    previous: String,
    count: u64,
}

/// Bytes from which on a part takes all the room that it may need at once.
const LONG: usize = 64 << 10;

impl Part {
    /// The name after the one before it, of a step of at most so many bytes.
    fn push(&mut self, name: &ShareName, most: usize) {
        // To move hundreds of kilobytes each time that it grows would take milliseconds.
        if self.bytes.len() > LONG && self.bytes.capacity() < most {
            self.bytes.reserve_exact(most - self.bytes.len() + LONG);
        }
        debug_assert!(self.count == 0 || self.previous.as_str() < name.as_str());
        put_name(&mut self.bytes, &self.previous, name.as_str());
        self.previous.clear();
        self.previous.push_str(name.as_str());
        self.count += 1;
    }
}

impl StepWriter {
    /// A step of at most so many bytes.
    pub fn new(most: usize) -> Self {
        Self { gone: Part::default(), come: Part::default(), most }
    }

    /// This name went. Names that went come strictly ascending.
    pub fn gone(&mut self, name: &ShareName) {
        if !self.is_too_long() {
            self.gone.push(name, self.most);
        }
    }

    /// This entry came, or is another file now. Entries that came come strictly ascending.
    pub fn come(&mut self, name: &ShareName, content: ContentId, size: u64) {
        if !self.is_too_long() {
            self.come.bytes.extend_from_slice(&content.0);
            put_varint(&mut self.come.bytes, size);
            self.come.push(name, self.most);
        }
    }

    /// The step, but for one of no names, or of too many bytes.
    pub fn finish(self) -> Option<Vec<u8>> {
        let mut step = Vec::new();
        put_varint(&mut step, self.gone.count);
        put_varint(&mut step, self.come.count);
        step.extend_from_slice(&self.gone.bytes);
        step.extend_from_slice(&self.come.bytes);
        let is_one = self.gone.count + self.come.count > 0 && step.len() <= self.most;
        is_one.then_some(step)
    }

    fn is_too_long(&self) -> bool {
        self.gone.bytes.len() + self.come.bytes.len() > self.most
    }
}

/// Reads changes, some names at a time; the bytes stay with the caller.
#[derive(Debug)]
pub struct ChangesReader {
    limits: ListingLimits,
    position: usize,
    previous: Vec<u8>,
    /// Names of this step that are still to be read: those that went, then those that came.
    gone: u64,
    come: u64,
    is_first: bool,
    names: u32,
    names_bytes: u64,
}

impl ChangesReader {
    /// A reader at the start of changes, of which no more is read than of a listing within `limits`.
    pub fn new(limits: ListingLimits) -> Self {
        Self {
            limits,
            position: 0,
            previous: Vec::new(),
            gone: 0,
            come: 0,
            is_first: true,
            names: 0,
            names_bytes: 0,
        }
    }

    /// Reads up to `at_most` names from where the last call ended; `changes` are the same at each call.
    /// True once all is read.
    ///
    /// # Errors
    /// These are no changes, or they bring a name that nobody should send.
    pub fn read(
        &mut self,
        changes: &[u8],
        at_most: u32,
        into: &mut ChangedNames,
    ) -> Result<bool, ListingError> {
        for _ in 0..at_most {
            let mut cursor = Cursor { rest: changes.get(self.position..).unwrap_or_default() };
            if self.gone + self.come == 0 {
                if cursor.rest.iter().all(|byte| *byte == 0) {
                    return Ok(true);
                }
                self.begin_step(&mut cursor)?;
            }
            let (name, file) = self.name(&mut cursor)?;
            into.insert(name, file);
            self.position = changes.len() - cursor.rest.len();
        }
        Ok(false)
    }

    fn begin_step(&mut self, cursor: &mut Cursor<'_>) -> Result<(), ListingError> {
        let most = u64::from(self.limits.files);
        self.gone = cursor.varint(most)?;
        self.come = cursor.varint(most)?;
        self.is_first = true;
        // What is left is not all zeros.
        if self.gone + self.come == 0 { Err(ListingError::Short) } else { Ok(()) }
    }

    /// The next name, and the file that it is now.
    fn name(
        &mut self,
        cursor: &mut Cursor<'_>,
    ) -> Result<(ShareName, Option<(ContentId, u64)>), ListingError> {
        let came = self.gone == 0;
        let file = if came {
            let content = ContentId(cursor.array()?);
            Some((content, cursor.varint(CONTENT_SIZE_MAX)?))
        } else {
            None
        };
        if self.is_first {
            self.previous.clear();
        }
        let shared = cursor.name_length()?;
        let length = cursor.name_length()?;
        let rest = cursor.slice(length)?;
        if shared > self.previous.len() || shared + length > NAME_LENGTH_MAX {
            return Err(ListingError::Name);
        }
        if !self.is_first && rest <= &self.previous[shared..] {
            return Err(ListingError::Order);
        }
        self.names_bytes += (shared + length) as u64;
        if self.names == self.limits.files || self.names_bytes > self.limits.bytes {
            return Err(ListingError::Limit);
        }
        self.names += 1;
        self.previous.truncate(shared);
        self.previous.extend_from_slice(rest);
        let left = if came { &mut self.come } else { &mut self.gone };
        *left -= 1;
        self.is_first = !came && *left == 0;
        let name = std::str::from_utf8(&self.previous)
            .ok()
            .and_then(|text| ShareName::parse(text).ok())
            .filter(ShareName::is_offered)
            .ok_or(ListingError::Name)?;
        Ok((name, file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ShareName {
        ShareName::parse(text).unwrap()
    }

    fn read(changes: &[u8], at_most: u32) -> Result<ChangedNames, ListingError> {
        let mut reader = ChangesReader::new(ListingLimits::default());
        let mut into = ChangedNames::new();
        while !reader.read(changes, at_most, &mut into)? {}
        Ok(into)
    }

    fn step(gone: &[&str], come: &[(&str, u8)]) -> Vec<u8> {
        let mut writer = StepWriter::new(1_000);
        for text in gone {
            writer.gone(&name(text));
        }
        for (text, number) in come {
            writer.come(&name(text), ContentId([*number; 20]), u64::from(*number) * 300);
        }
        writer.finish().unwrap()
    }

    #[test]
    fn what_is_written_is_read_and_later_steps_win() {
        let mut changes = step(&["a", "ab", "b/c"], &[("b/d", 1), ("b/e", 2)]);
        changes.extend(step(&["b/e"], &[("a", 3)]));
        changes.extend(step(&[], &[("z", 4)]));
        let file = |number: u8| Some((ContentId([number; 20]), u64::from(number) * 300));
        let expected = [
            ("a", file(3)),
            ("ab", None),
            ("b/c", None),
            ("b/d", file(1)),
            ("b/e", None),
            ("z", file(4)),
        ];
        let expected: ChangedNames =
            expected.into_iter().map(|(text, file)| (name(text), file)).collect();
        for zeros in [0, 1, 63] {
            let padded = [&changes[..], &vec![0; zeros]].concat();
            for at_most in [1, 2, 100] {
                assert_eq!(read(&padded, at_most), Ok(expected.clone()), "{zeros} {at_most}");
            }
        }
        assert_eq!(read(&[0; 64], 1), Ok(ChangedNames::new()));
    }

    #[test]
    fn a_step_of_nothing_or_of_too_much_is_none() {
        assert_eq!(StepWriter::new(1_000).finish(), None);
        for (most, fits) in [(5, true), (4, false)] {
            let mut writer = StepWriter::new(most);
            writer.gone(&name("a"));
            assert_eq!(writer.finish().is_some(), fits, "{most}");
        }
        let mut writer = StepWriter::new(100);
        for number in 0..100_000 {
            writer.come(&name(&format!("{number:06}")), ContentId([0; 20]), 1);
        }
        assert!(writer.come.bytes.len() < 200, "no more is kept than is needed to see it");
        assert_eq!(writer.finish(), None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let good = step(&["a", "b"], &[("c", 1)]);
        let wrong = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            read(&bytes, 7)
        };
        assert_eq!(read(&good[..good.len() - 1], 7), Err(ListingError::Short));
        assert_eq!(read(&[&good[..], &[0, 0, 1]].concat(), 7), Err(ListingError::Short));
        // 02 01 | 00 01 61 | 00 01 62 | content, size, 00 01 63
        assert_eq!(wrong(7, b'a'), Err(ListingError::Order));
        assert_eq!(wrong(7, b'A'), Err(ListingError::Order));
        assert_eq!(wrong(2, 1), Err(ListingError::Name), "it shares with nothing");
        assert_eq!(wrong(4, b'.'), Err(ListingError::Name), "nobody should send that");
        assert_eq!(wrong(4, 0xff), Err(ListingError::Name), "no UTF-8");
        assert_eq!(wrong(good.len() - 3, 1), Err(ListingError::Name), "nor across the parts");
        assert_eq!(read(&[0x80, 0x00, 1], 7), Err(ListingError::Number));
        assert_eq!(read(&[0xff, 0xff, 0x7f, 1], 7), Err(ListingError::Number));
    }

    #[test]
    fn limits_hold_over_all_steps() {
        let one = step(&["aaaa"], &[]);
        let read = |files, bytes| {
            let mut reader = ChangesReader::new(ListingLimits { files, bytes });
            let changes = one.repeat(10);
            let mut into = ChangedNames::new();
            while !reader.read(&changes, 3, &mut into)? {}
            Ok(into.len())
        };
        assert_eq!(read(10, 40), Ok(1));
        assert_eq!(read(9, 40), Err(ListingError::Limit));
        assert_eq!(read(10, 39), Err(ListingError::Limit));
    }

    #[test]
    fn damage_never_panics() {
        let good = step(&["a", "b/longer name", "b/longer still"], &[("c", 1), ("cc", 200)]);
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut damaged = good.clone();
                damaged[at] ^= 1 << bit;
                let _ = read(&damaged, 3);
                let _ = read(&damaged[..at], 3);
            }
        }
    }
}
