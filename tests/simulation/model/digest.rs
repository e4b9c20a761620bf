//! What tells one run from all others: a digest of everything that happened, in order. Fixed width, no
//! pointers, no hash seeds, so that it is the same on every machine.

/// FNV-1a over 64-bit words, with a rotation so that high bits matter too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Log(u64);

impl Default for Log {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Log {
    pub(crate) fn number(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x100_0000_01b3).rotate_left(23);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.number(u64::from_be_bytes(word.try_into().expect("eight bytes")));
        }
        for &byte in words.remainder() {
            self.number(u64::from(byte));
        }
    }

    pub(crate) const fn value(self) -> u64 {
        self.0
    }
}
