//! SHA-1 of several runs of bytes side by side, one in each lane of the processor's vector
//! registers.
//!
//! Within one content SHA-1 is strictly serial: each round waits for the one before. Blocks of a
//! chain do not wait for each other, so the same round is done for several of them at once. There
//! are no intrinsics here: the body of [`compress_piece`]'s loop is one straight line of 80 rounds
//! over scalars, which the compiler's loop vectoriser turns into vectors of as many lanes as the
//! target has. That it stays a straight line matters: written as loops over the rounds, or with the
//! lanes as the inner loop of each round, it is four times slower. So it does if a closure on the way
//! (in `array::map`, say) is left a call of its own: such a call is compiled for the target alone.
//!
//! On x86 the functions are compiled twice, for vectors of 128 bits and with AVX2 for 256, and chosen
//! when the program runs.

#![expect(clippy::needless_range_loop, reason = "iterators are vectorised on some builds only")]

use multiversion::multiversion;

use super::ChainState;
use super::collision::Watch;
use super::collision::conditions::fulfilled;
use super::compress::PIECE_LENGTH;
use super::rounds::{choose, expand, majority, parity};

/// Takes the bytes of eight lanes into their states, as [`absorb_lanes`] does.
#[multiversion(targets("x86_64+avx2", "x86+avx2"), dispatcher = "direct")]
pub(super) fn absorb_eight(
    states: &mut [ChainState; 8],
    runs: &[&[u8]; 8],
    members: &[usize],
    watch: &mut Watch,
) {
    absorb_lanes(states, runs, members, watch);
}

/// Takes the bytes of four lanes into their states, as [`absorb_lanes`] does.
pub(super) fn absorb_four(
    states: &mut [ChainState; 4],
    runs: &[&[u8]; 4],
    members: &[usize],
    watch: &mut Watch,
) {
    absorb_lanes(states, runs, members, watch);
}

/// Of which vectors the eight pieces of a run of 512 bytes fulfil the conditions.
#[multiversion(targets("x86_64+avx2", "x86+avx2"), dispatcher = "direct")]
pub(super) fn fulfilled_by_eight(run: &[u8; 8 * PIECE_LENGTH]) -> [u32; 8] {
    let mut pieces = [&run[..0]; 8];
    for lane in 0..8 {
        pieces[lane] = &run[lane * PIECE_LENGTH..];
    }
    let words = turn(&pieces, 0);
    let mut masks = [0; 8];
    for lane in 0..8 {
        let mut w = [0; 16];
        for at in 0..16 {
            w[at] = u32::from_be(words[at][lane]);
        }
        masks[lane] = fulfilled(&expand(w));
    }
    masks
}

/// Takes the bytes of each lane into its state. All runs are equally long, in whole pieces; what
/// exceeds the shortest or a whole number of pieces is not taken. Suspect pieces are told to the watch,
/// by the numbers of the lanes' runs; lanes without one are not looked at.
#[inline(always)]
fn absorb_lanes<const N: usize>(
    states: &mut [ChainState; N],
    runs: &[&[u8]; N],
    members: &[usize],
    watch: &mut Watch,
) {
    let mut turned = [[0; N]; 5];
    let mut pieces = usize::MAX;
    for lane in 0..N {
        for word in 0..5 {
            turned[word][lane] = states[lane].0[word];
        }
        pieces = pieces.min(runs[lane].len() / PIECE_LENGTH);
    }
    for piece in 0..pieces {
        let words = turn(runs, piece * PIECE_LENGTH);
        let before = turned;
        let masks = compress_piece(&mut turned, &words);
        let mut any = 0;
        for lane in 0..N {
            any |= masks[lane];
        }
        if any != 0 {
            tell(members, &masks, &before, &words, watch);
        }
    }
    for lane in 0..N {
        for word in 0..5 {
            states[lane].0[word] = turned[word][lane];
        }
    }
}

/// Tells the watch of suspect pieces.
#[inline(never)]
fn tell<const N: usize>(
    members: &[usize],
    masks: &[u32; N],
    before: &[[u32; N]; 5],
    words: &[[u32; N]; 16],
    watch: &mut Watch,
) {
    for (lane, run) in members.iter().enumerate() {
        if masks[lane] != 0 {
            let before = ChainState(std::array::from_fn(|at| before[at][lane]));
            let words = std::array::from_fn(|at| u32::from_be(words[at][lane]));
            watch.suspect(*run, before, &words, masks[lane]);
        }
    }
}

/// The words of each lane's piece that begins at `start`, so that the same word of all lanes lies
/// together; their bytes in the order of the run, whatever the machine's is.
#[inline(always)]
fn turn<const N: usize>(runs: &[&[u8]; N], start: usize) -> [[u32; N]; 16] {
    let mut pieces = [&[0; PIECE_LENGTH]; N];
    for lane in 0..N {
        if let Some(piece) = runs[lane][start..].first_chunk() {
            pieces[lane] = piece;
        }
    }
    let mut words = [[0; N]; 16];
    for at in 0..16 {
        for lane in 0..N {
            let (piece, first) = (pieces[lane], 4 * at);
            let four = [piece[first], piece[first + 1], piece[first + 2], piece[first + 3]];
            words[at][lane] = u32::from_ne_bytes(four);
        }
    }
    words
}

/// FIPS 180-4, section 6.1.2, for every lane; and of which vectors its piece fulfils the conditions.
#[inline(always)]
fn compress_piece<const N: usize>(states: &mut [[u32; N]; 5], words: &[[u32; N]; 16]) -> [u32; N] {
    let mut masks = [0; N];
    let [state_a, state_b, state_c, state_d, state_e] = states;
    for lane in 0..N {
        let mut w = [0; 80];
        for at in 0..16 {
            w[at] = u32::from_be(words[at][lane]);
        }
        let (mut a, mut b, mut c, mut d, mut e) =
            (state_a[lane], state_b[lane], state_c[lane], state_d[lane], state_e[lane]);
        macro_rules! rounds {
            ($function:ident, $constant:literal: $($t:literal)*) => {$(
                if $t >= 16 {
                    // What the index is where there is none does not matter.
                    w[$t] = (w[($t + 77) % 80]
                        ^ w[($t + 72) % 80]
                        ^ w[($t + 66) % 80]
                        ^ w[($t + 64) % 80])
                        .rotate_left(1);
                }
                let new = a
                    .rotate_left(5)
                    .wrapping_add($function(b, c, d))
                    .wrapping_add(e)
                    .wrapping_add($constant)
                    .wrapping_add(w[$t]);
                (a, b, c, d, e) = (new, a, b.rotate_left(30), c, d);
            )*};
        }
        rounds!(choose, 0x5a82_7999: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19);
        rounds!(parity, 0x6ed9_eba1: 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39);
        rounds!(majority, 0x8f1b_bcdc: 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59);
        rounds!(parity, 0xca62_c1d6: 60 61 62 63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79);
        masks[lane] = fulfilled(&w);
        state_a[lane] = state_a[lane].wrapping_add(a);
        state_b[lane] = state_b[lane].wrapping_add(b);
        state_c[lane] = state_c[lane].wrapping_add(c);
        state_d[lane] = state_d[lane].wrapping_add(d);
        state_e[lane] = state_e[lane].wrapping_add(e);
    }
    masks
}

#[cfg(test)]
mod tests {
    use super::super::compress::compress_plainly;
    use super::*;

    fn agrees<const N: usize>(
        absorb: impl Fn(&mut [ChainState; N], &[&[u8]; N], &[usize], &mut Watch),
    ) {
        for pieces in 0..5 {
            let content: Vec<u8> = (0..N * 4 * 64).map(|at| (at * at / 7 + 5) as u8).collect();
            let runs: [&[u8]; N] =
                std::array::from_fn(|lane| &content[lane * 256..][..pieces * PIECE_LENGTH]);
            let starts: [ChainState; N] = std::array::from_fn(|lane| {
                ChainState(ChainState::INITIAL.0.map(|word| word.rotate_left(lane as u32)))
            });
            let mut expected = starts;
            for (state, run) in expected.iter_mut().zip(&runs) {
                assert!(compress_plainly(state, run).is_empty());
            }
            let mut states = starts;
            absorb(&mut states, &runs, &[0], &mut Watch::new());
            assert_eq!(states, expected, "{N} lanes, {pieces} pieces");
        }
    }

    #[test]
    fn each_lane_does_what_the_crate_does() {
        // Few kinds: each is thousands of instructions, which take long to compile.
        agrees::<1>(absorb_lanes);
        agrees::<8>(absorb_lanes);
        // As this processor has it.
        agrees(absorb_four);
        agrees(absorb_eight);
    }
}
