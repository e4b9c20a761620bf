//! A short name for bytes, by which two runs are compared: FNV-1a with 64 bits
//! (<http://www.isthe.com/chongo/tech/comp/fnv/>). It tells apart what chance or a change of the code
//! made different; it is no proof against somebody who wants two things to look alike.

use std::io;

use serde::Serialize;

const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// Writes a value as its JSON, on one line. All that is written goes to one kind of writer, so that the code that writes the
/// state is in the program once.
///
/// # Panics
///
/// Where a map has keys that are neither numbers nor texts, or the writer fails; memory does not.
fn write_json<T: Serialize + ?Sized>(value: &T, to: &mut dyn io::Write) {
    serde_json::to_writer(to, value).expect("maps have keys that are numbers or texts");
}

/// The same, as a text.
pub fn json_of<T: Serialize + ?Sized>(value: &T) -> String {
    let mut json = Vec::new();
    write_json(value, &mut json);
    String::from_utf8(json).expect("JSON is text")
}

/// Takes bytes in any number of pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(OFFSET_BASIS)
    }
}

impl Digest {
    /// The digest of a value: of its JSON, which is the same on every machine.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> u64 {
        let mut digest = Self::default();
        digest.value(value);
        digest.get()
    }

    /// Takes bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(PRIME);
        }
    }

    /// Takes a value, as its JSON.
    pub fn value<T: Serialize + ?Sized>(&mut self, value: &T) {
        write_json(value, self);
    }

    /// Goes on from the digest of what was taken before.
    pub const fn resume(digest: u64) -> Self {
        Self(digest)
    }

    /// The digest of what was taken so far.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl io::Write for Digest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_vectors() {
        for (text, expected) in [
            ("", 0xcbf2_9ce4_8422_2325),
            ("a", 0xaf63_dc4c_8601_ec8c),
            ("foobar", 0x8594_4171_f739_67e8),
        ] {
            let mut digest = Digest::default();
            digest.bytes(text.as_bytes());
            assert_eq!(digest.get(), expected, "{text:?}");
        }
        assert_ne!(Digest::of(&Some(1)), Digest::of(&None::<u8>));
    }
}
