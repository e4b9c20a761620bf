//! What came of one input, boiled down: every output as its kind and a digest, the deadline, and one digest
//! of it all. The same code counts while a run is recorded and while it is replayed.
//!
//! The digest of an output is FNV-1a (64 bits) of its JSON, as serde writes it. The digest of an input's
//! *results* is FNV-1a of those digests, 8 bytes each, big-endian, and then of the deadline: its microseconds as
//! 8 such bytes and its reason, or `-` where there is none. The *sum* of a run is FNV-1a of the
//! digests of all results, 8 bytes each, big-endian.

use super::line::Sum;
use super::masking::Masking;
use crate::node::{Deadline, Digest, Output};

/// The kinds of outputs that a transfer is made of, and the letter that stands for each in a run.
const LETTERS: [(&str, u8); 8] = [
    ("keep", b'k'),
    ("transmit", b't'),
    ("reserve", b'r'),
    ("verify", b'v'),
    ("store", b's'),
    ("release", b'l'),
    ("serve", b'g'),
    ("check_partial", b'c'),
];

/// The kind of output that a letter stands for.
pub(crate) fn kind_of(letter: u8) -> Option<&'static str> {
    LETTERS.iter().find(|(_, known)| *known == letter).map(|(kind, _)| *kind)
}

/// What came of one input, as far as it has come.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Each kind's letter; `?` for those without.
    pub(crate) letters: Vec<u8>,
    /// Where each kind ends in `kinds`, and the output's digest.
    ends: Vec<(usize, u64)>,
    kinds: String,
    digest: Digest,
    /// The JSON of the output in hand.
    json: Vec<u8>,
}

impl Tally {
    /// Begins anew.
    pub(crate) fn clear(&mut self) {
        self.letters.clear();
        self.ends.clear();
        self.kinds.clear();
        self.digest = Digest::default();
    }

    /// Takes one output, whose names are masked if they are to be.
    pub(crate) fn output(&mut self, output: &Output, masking: &mut Masking) {
        self.json.clear();
        masking.write(output, &mut self.json);
        let kind = kind(&self.json);
        let letter = LETTERS.iter().find(|(known, _)| *known == kind);
        self.letters.push(letter.map_or(b'?', |(_, letter)| *letter));
        self.kinds.push_str(kind);
        let mut digest = Digest::default();
        digest.bytes(&self.json);
        self.digest.bytes(&digest.get().to_be_bytes());
        self.ends.push((self.kinds.len(), digest.get()));
    }

    /// How many outputs there were.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Each output: its kind and its digest.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&str, u64)> {
        let mut start = 0;
        self.ends.iter().map(move |&(end, digest)| {
            let kind = &self.kinds[start..end];
            start = end;
            (kind, digest)
        })
    }

    /// All outputs were taken: the digest of these results.
    pub(crate) fn finish(&mut self, deadline: Option<Deadline>) -> u64 {
        match deadline {
            Some(due) => {
                self.digest.bytes(&due.at.as_micros().to_be_bytes());
                self.digest.bytes(due.reason.as_bytes());
            }
            None => self.digest.bytes(b"-"),
        }
        self.digest.get()
    }
}

/// The name of the variant, which JSON begins with: `{"keep":...}` or `"stopped"`.
fn kind(json: &[u8]) -> &str {
    let name = json.split(|byte| *byte == b'"').nth(1);
    name.and_then(|name| std::str::from_utf8(name).ok()).unwrap_or("unknown")
}

/// The sum over a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RunningSum(Digest);

impl RunningSum {
    /// Takes the digest of an input's results.
    pub(crate) fn add(&mut self, digest: u64) {
        self.0.bytes(&digest.to_be_bytes());
    }

    /// The sum so far.
    pub(crate) const fn get(self) -> Sum {
        Sum(self.0.get())
    }
}

impl From<Sum> for RunningSum {
    /// Goes on from there.
    fn from(sum: Sum) -> Self {
        Self(Digest::resume(sum.0))
    }
}
