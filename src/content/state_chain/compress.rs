//! SHA-1's compression over any run of bytes, and its padding (FIPS 180-4, 5.1.1 and 6.1.2).

use sha1::block_api::compress;
use sha1::digest::array::Array;
use sha1::digest::typenum::U64;

use super::ChainState;
use super::collision::Watch;
use super::lanes::fulfilled_by_eight;
use crate::content::ContentId;
use crate::content::block_layout::CONTENT_SIZE_MAX;

/// What SHA-1 takes at once, in bytes.
pub(super) const PIECE_LENGTH: usize = 64;

/// Takes as many whole 64-byte pieces as there are; gives back the rest, which is shorter than one. Suspect
/// pieces are
/// told to the watch, under the run's number.
pub(super) fn absorb_pieces<'a>(
    state: &mut ChainState,
    bytes: &'a [u8],
    run: usize,
    watch: &mut Watch,
) -> &'a [u8] {
    let mut groups = bytes.chunks_exact(8 * PIECE_LENGTH);
    for group in &mut groups {
        // The chunk has this length.
        if let Ok(eight) = group.try_into() {
            absorb_few(state, group, run, &fulfilled_by_eight(eight), watch);
        }
    }
    let (group, rest) = groups.remainder().split_at(bytes.len() / PIECE_LENGTH % 8 * PIECE_LENGTH);
    if !group.is_empty() {
        let mut eight = [0; 8 * PIECE_LENGTH];
        eight[..group.len()].copy_from_slice(group);
        absorb_few(state, group, run, &fulfilled_by_eight(&eight), watch);
    }
    rest
}

/// Takes the at most eight pieces of a group, of which those are suspect whose masks are not zero.
fn absorb_few(
    state: &mut ChainState,
    group: &[u8],
    run: usize,
    masks: &[u32; 8],
    watch: &mut Watch,
) {
    let mut taken = 0;
    let suspect = masks.iter().zip(group.chunks_exact(PIECE_LENGTH)).enumerate();
    for (place, (mask, piece)) in suspect.filter(|it| *it.1.0 != 0) {
        compress_plainly(state, &group[taken..place * PIECE_LENGTH]);
        taken = place * PIECE_LENGTH;
        watch.suspect(run, *state, &words_of(piece), *mask);
    }
    compress_plainly(state, &group[taken..]);
}

fn words_of(piece: &[u8]) -> [u32; 16] {
    let mut words = [0; 16];
    for (word, four) in words.iter_mut().zip(piece.chunks_exact(4)) {
        *word = u32::from_be_bytes([four[0], four[1], four[2], four[3]]);
    }
    words
}

/// Takes as many whole pieces as there are, and nobody watches; gives back the rest.
pub(super) fn compress_plainly<'a>(state: &mut ChainState, bytes: &'a [u8]) -> &'a [u8] {
    let (pieces, rest) = Array::<u8, U64>::slice_as_chunks(bytes);
    compress(&mut state.0, Array::cast_slice_to_core(pieces));
    rest
}

/// The name of a content of `size` bytes: the state before its last `tail.len()` bytes, these, and
/// the padding. None where the padding of that size does not belong behind a tail of this length,
/// or the size is no content's.
///
/// The last piece is not watched: its end is the padding, and no attack has so little to choose from.
pub(super) fn close(mut state: ChainState, tail: &[u8], size: u64) -> Option<ContentId> {
    if size > CONTENT_SIZE_MAX || size % PIECE_LENGTH as u64 != tail.len() as u64 {
        return None;
    }
    let mut padded = [0; 2 * PIECE_LENGTH];
    padded[..tail.len()].copy_from_slice(tail);
    padded[tail.len()] = 0x80;
    // One piece, if the mark and the eight bytes of the length still fit behind the tail.
    let end = if tail.len() + 9 <= PIECE_LENGTH { PIECE_LENGTH } else { 2 * PIECE_LENGTH };
    padded[end - 8..end].copy_from_slice(&(size * 8).to_be_bytes());
    compress_plainly(&mut state, &padded[..end]);
    Some(ContentId(state.to_bytes()))
}

/// A state that takes bytes in runs of any length.
#[derive(Clone, Debug)]
pub(super) struct Compressor {
    state: ChainState,
    /// Bytes that do not fill a piece yet: the first `kept_length` of these.
    kept: [u8; PIECE_LENGTH],
    kept_length: usize,
    watch: Watch,
}

impl Compressor {
    pub(super) const fn new(state: ChainState) -> Self {
        Self { state, kept: [0; PIECE_LENGTH], kept_length: 0, watch: Watch::new() }
    }

    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        if self.kept_length > 0 {
            let take = bytes.len().min(PIECE_LENGTH - self.kept_length);
            let (head, rest) = bytes.split_at(take);
            self.kept[self.kept_length..][..take].copy_from_slice(head);
            self.kept_length += take;
            bytes = rest;
            if self.kept_length < PIECE_LENGTH {
                return;
            }
            absorb_pieces(&mut self.state, &self.kept, 0, &mut self.watch);
        }
        let rest = absorb_pieces(&mut self.state, bytes, 0, &mut self.watch);
        self.kept[..rest.len()].copy_from_slice(rest);
        self.kept_length = rest.len();
    }

    /// The state after all whole pieces, and the bytes behind them.
    pub(super) fn state_and_tail(&self) -> (ChainState, &[u8]) {
        (self.state, &self.kept[..self.kept_length])
    }

    /// Whether one of the pieces was made so that another content has the same name.
    pub(super) fn collides(&mut self) -> bool {
        self.watch.try_all();
        self.watch.is_found(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha1::{Digest, Sha1};

    #[test]
    fn any_cut_gives_what_the_crate_gives() {
        let content: Vec<u8> = (0..300_u32).map(|at| (at * 7 + 3) as u8).collect();
        for size in 0..content.len() {
            let expected = ContentId(Sha1::digest(&content[..size]).into());
            for slice in [1, 3, 63, 64, 65, 130, 300] {
                let mut compressor = Compressor::new(ChainState::INITIAL);
                content[..size].chunks(slice).for_each(|bytes| compressor.update(bytes));
                let (state, tail) = compressor.state_and_tail();
                let size = size as u64;
                assert_eq!(close(state, tail, size), Some(expected), "{size} by {slice}");
                assert_eq!(close(state, tail, size + 1), None);
            }
        }
    }

    #[test]
    fn a_size_that_is_no_contents_closes_nothing() {
        assert_eq!(close(ChainState::INITIAL, &[], 0), Some(ContentId::EMPTY));
        assert_eq!(close(ChainState::INITIAL, &[], u64::MAX - 63), None);
        assert_eq!(close(ChainState::INITIAL, &[], 1 << 61), None);
    }
}
