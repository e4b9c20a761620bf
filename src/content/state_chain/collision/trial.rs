//! Whether pieces and their twins lead to the same states, several at a time.

#![expect(clippy::needless_range_loop, reason = "iterators are vectorised on some builds only")]

use super::super::ChainState;
use super::super::rounds::{back, expand, forth};

/// Pieces, the states before them, and their twins; the same word of all of them lies together.
#[derive(Clone, Debug)]
pub(super) struct Trial<const N: usize> {
    before: [[u32; N]; 5],
    words: [[u32; N]; 16],
    twins: [[u32; N]; 16],
}

impl<const N: usize> Trial<N> {
    pub(super) const EMPTY: Self =
        Self { before: [[0; N]; 5], words: [[0; N]; 16], twins: [[0; N]; 16] };

    /// Puts a piece in its place; its twin's words differ by this.
    pub(super) fn set(
        &mut self,
        place: usize,
        before: ChainState,
        words: &[u32; 16],
        difference: &[u32; 16],
    ) {
        for at in 0..5 {
            self.before[at][place] = before.0[at];
        }
        for at in 0..16 {
            self.words[at][place] = words[at];
            self.twins[at][place] = words[at] ^ difference[at];
        }
    }
}

/// For twins whose states are the same before step 58.
pub(super) fn try_from_58(trial: &Trial<8>) -> [bool; 8] {
    try_from::<58, 8>(trial)
}

/// For twins whose states are the same before step 65.
pub(super) fn try_from_65(trial: &Trial<8>) -> [bool; 8] {
    try_from::<65, 8>(trial)
}

/// From the piece's state before step `SAME`, goes with the twin's words back to the state before the twin, and on
/// to the one after it: is it the piece's?
#[inline(always)]
fn try_from<const SAME: usize, const N: usize>(trial: &Trial<N>) -> [bool; N] {
    let mut differs = [0; N];
    for lane in 0..N {
        let (mut before, mut words, mut twin) = ([0; 5], [0; 16], [0; 16]);
        for at in 0..5 {
            before[at] = trial.before[at][lane];
        }
        for at in 0..16 {
            words[at] = trial.words[at][lane];
            twin[at] = trial.twins[at][lane];
        }
        let (words, twin) = (expand(words), expand(twin));
        let same = forth::<0, SAME>(before, &words);
        let end = forth::<SAME, 80>(same, &words);
        let twin_before = back::<SAME>(same, &twin);
        let twin_end = forth::<SAME, 80>(same, &twin);
        let mut difference = 0;
        for at in 0..5 {
            let after = before[at].wrapping_add(end[at]);
            difference |= after ^ twin_before[at].wrapping_add(twin_end[at]);
        }
        differs[lane] = difference;
    }
    let mut collides = [false; N];
    for lane in 0..N {
        collides[lane] = differs[lane] == 0;
    }
    collides
}
