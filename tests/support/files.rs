//! Contents to share, and their names.

use std::fs;
use std::io::Read;
use std::path::Path;

use sha1::{Digest, Sha1};

/// The bytes of one file and what they are called.
#[derive(Clone)]
pub struct Content {
    pub bytes: Vec<u8>,
    pub sha1: String,
}

impl Content {
    /// Exactly these bytes.
    pub fn of(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        let sha1 = sha1_of(&bytes);
        Self { bytes, sha1 }
    }

    /// `length` bytes that no compression and no repetition can stand in for, the same for each seed.
    pub fn random(seed: u64, length: usize) -> Self {
        let mut bytes = Vec::with_capacity(length + 8);
        let mut random = Random::new(seed);
        while bytes.len() < length {
            bytes.extend_from_slice(&random.next().to_le_bytes());
        }
        bytes.truncate(length);
        Self::of(bytes)
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
}

/// Forty lower-case digits.
pub fn sha1_of(bytes: &[u8]) -> String {
    hex(&Sha1::digest(bytes))
}

/// Size and name of what a file holds, or none if it is gone.
pub fn identify(path: &Path) -> Option<(u64, String)> {
    let mut file = fs::File::open(path).ok()?;
    let mut sha1 = Sha1::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut size = 0;
    loop {
        match file.read(&mut buffer).ok()? {
            0 => return Some((size, hex(&sha1.finalize()))),
            length => {
                sha1.update(&buffer[..length]);
                size += length as u64;
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// A small reproducible generator (splitmix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A seed that is another one each time; whoever takes it prints it.
    pub fn unforeseen() -> u64 {
        let mut bytes = [0; 4];
        fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
        u32::from_le_bytes(bytes).into()
    }

    #[allow(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
