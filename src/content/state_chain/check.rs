//! Whether one link holds.

use super::compress::{Compressor, close};
use super::{ChainState, Link, LinkEnd};

/// Whether the bytes lead from the link's start to its end. Bytes of another length do not.
pub fn verify(link: &Link, bytes: &[u8]) -> bool {
    let mut check = LinkCheck::new(*link);
    check.update(bytes);
    check.finish()
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
        let (state, tail) = self.compressor.state_and_tail();
        self.taken == u64::from(self.link.length) && ends_right(&self.link, state, tail)
    }
}

/// Whether a state that all whole pieces of a block have led to, and the bytes behind these, lead to
/// the link's end. The block's length has been found right.
pub(super) fn ends_right(link: &Link, state: ChainState, tail: &[u8]) -> bool {
    match link.to {
        LinkEnd::State(end) => tail.is_empty() && state == end,
        // The last block is no longer than the content.
        LinkEnd::Name { content, size } => {
            size >= u64::from(link.length) && close(state, tail, size) == Some(content)
        }
    }
}
