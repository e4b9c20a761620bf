//! Whether one link holds.

use super::compress::{Compressor, close};
use super::{ChainState, Link, LinkEnd};

/// What checking a link came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The bytes do not lead from its start to its end.
    False,
    /// They do.
    Genuine,
    /// They do, and were made so that other ones do so as well: see `collision`.
    Colliding,
}

impl Proof {
    /// From whether the link holds, and whether the bytes were made to collide.
    pub const fn of(holds: bool, collides: bool) -> Self {
        match (holds, collides) {
            (false, _) => Self::False,
            (true, false) => Self::Genuine,
            (true, true) => Self::Colliding,
        }
    }

    /// Whether the link holds.
    pub const fn holds(self) -> bool {
        !matches!(self, Self::False)
    }
}

/// Whether the bytes lead from the link's start to its end. Bytes of another length do not.
pub fn verify(link: &Link, bytes: &[u8]) -> bool {
    let mut check = LinkCheck::new(*link);
    check.update(bytes);
    check.finish().holds()
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
        Self { link, taken: 0, compressor: Compressor::new(link.from) }
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
    pub fn finish(&mut self) -> Proof {
        let collides = self.compressor.collides();
        let (state, tail) = self.compressor.state_and_tail();
        let fits = self.taken == u64::from(self.link.length);
        Proof::of(fits && ends_right(&self.link, state, tail), collides)
    }
}

/// Whether a state that all whole pieces of a block have led to, and the bytes behind these, lead
/// to the link's end. The block's length has been found right.
pub(super) fn ends_right(link: &Link, state: ChainState, tail: &[u8]) -> bool {
    match link.to {
        LinkEnd::State(end) => tail.is_empty() && state == end,
        // The last block is no longer than the content.
        LinkEnd::Name { content, size } => {
            size >= u64::from(link.length) && close(state, tail, size) == Some(content)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::ContentId;

    /// The free-start collision of Stevens, Karpman and Peyrin (2016): two states and two pieces
    /// that lead to one and the same state. It is why a link that holds below an unproven state
    /// proves nothing: both of these hold. A given content's states are none that somebody
    /// could choose.
    #[test]
    fn an_unproven_end_proves_nothing() {
        let hex = |text: &str| -> Vec<u8> {
            let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
            (0..text.len()).step_by(2).map(digit).collect()
        };
        let state = |text| ChainState::from_bytes(hex(text).try_into().unwrap());
        let to = LinkEnd::State(state("f020486f071bf11053547a86f4a7153b3c950f4b"));
        let one = hex(concat!(
            "9d443828a5ea3df086eaa0fa7783a7363324484daf702aaaa3dab679d8a69e2d",
            "543820eda7fffb52d3ff493fc3ff551efbffd97f55feeef2085af312088688a9",
        ));
        let two = hex(concat!(
            "3f44383881ea3deca0eaa0ee5183a72c3324485dab702ab66fdab66dd4a69e2f",
            "943820fd13fffb4eefff493b7fff5504dbffd96f71feeeeee45af306048688ab",
        ));
        let first =
            Link { from: state("506b0178ff6d1890202291fd3ade3871b2c665ea"), to, length: 64 };
        let second =
            Link { from: state("506b0178ff6d1891a02291fd3ade3871b2c665ea"), to, length: 64 };
        assert!(verify(&first, &one) && verify(&second, &two));
        assert!(!verify(&first, &two) && !verify(&second, &one));
    }

    #[test]
    fn slices_of_any_length_and_no_more_bytes_than_the_link_has() {
        let bytes: Vec<u8> = (0..1000_u32).map(|at| (at * at) as u8).collect();
        let id = ContentId(<sha1::Sha1 as sha1::Digest>::digest(&bytes).into());
        let to = LinkEnd::Name { content: id, size: 1000 };
        let link = Link { from: ChainState::INITIAL, to, length: 1000 };
        for slice in [1, 63, 64, 65, 999, 1000] {
            let mut check = LinkCheck::new(link);
            bytes.chunks(slice).for_each(|bytes| check.update(bytes));
            assert!(check.finish().holds());
            check.update(&[]);
            assert!(check.finish().holds());
            check.update(&[0]);
            assert!(!check.finish().holds());
        }
        // The padding of this size belongs behind 40 bytes more than whole pieces; so it does here,
        // but the content would be shorter than its last block.
        let to = LinkEnd::Name { content: id, size: 1000 - 64 };
        assert!(!verify(&Link { to, ..link }, &bytes));
    }
}
