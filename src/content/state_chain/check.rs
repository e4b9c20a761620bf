//! Whether links hold.

use super::compress::Compressor;
use super::{Link, LinkEnd};

/// Whether the bytes lead from the link's start to its end. Bytes of another length do not.
pub fn verify(link: &Link, bytes: &[u8]) -> bool {
    let mut check = LinkCheck::new(*link);
    check.update(bytes);
    check.finish()
}

/// [`verify`] for many at once, each answer in its link's place.
pub fn verify_many(jobs: &[(Link, &[u8])]) -> Vec<bool> {
    jobs.iter()
        .map(|(link, bytes)| verify(link, bytes))
        .collect()
}

/// The check of one link whose bytes come in slices.
#[derive(Clone, Debug)]
pub struct LinkCheck {
    link: Link,
    taken: u64,
    compressor: Compressor,
}

impl LinkCheck {
    /// A check that has seen no bytes yet.
    pub const fn new(link: Link) -> Self {
        Self {
            link,
            taken: 0,
            compressor: Compressor::new(link.from),
        }
    }

    /// Takes the next bytes, as many as there are.
    pub fn update(&mut self, bytes: &[u8]) {
        self.taken += bytes.len() as u64;
        // What is too long is false; it need not be hashed.
        if self.taken <= u64::from(self.link.length) {
            self.compressor.update(bytes);
        }
    }

    /// Whether all bytes together lead from the link's start to its end.
    pub fn finish(&self) -> bool {
        if self.taken != u64::from(self.link.length) {
            return false;
        }
        match self.link.to {
            LinkEnd::State(state) => self.compressor.state() == Some(state),
            // The last block is no longer than the content.
            LinkEnd::Name { content, size } => {
                size >= self.taken && self.compressor.close(size) == Some(content)
            }
        }
    }
}
