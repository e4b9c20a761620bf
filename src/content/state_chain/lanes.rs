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
use super::compress::PIECE_LENGTH;

/// The first 20 rounds' function: `y` where `x` has a one, `z` where it has a zero.
#[inline(always)]
const fn choose(x: u32, y: u32, z: u32) -> u32 {
    z ^ (x & (y ^ z))
}

#[inline(always)]
const fn parity(x: u32, y: u32, z: u32) -> u32 {
    x ^ y ^ z
}

#[inline(always)]
const fn majority(x: u32, y: u32, z: u32) -> u32 {
    (x & y) | (z & (x | y))
}

/// Takes the bytes of eight lanes into their states, as [`absorb_lanes`] does.
#[multiversion(targets("x86_64+avx2", "x86+avx2"), dispatcher = "direct")]
pub(super) fn absorb_eight(states: &mut [ChainState; 8], runs: &[&[u8]; 8]) {
    absorb_lanes(states, runs);
}

/// Takes the bytes of four lanes into their states, as [`absorb_lanes`] does.
#[multiversion(targets("x86_64+avx2", "x86+avx2"), dispatcher = "direct")]
pub(super) fn absorb_four(states: &mut [ChainState; 4], runs: &[&[u8]; 4]) {
    absorb_lanes(states, runs);
}

/// Takes the bytes of each lane into its state. All runs are equally long, in whole pieces; what
/// exceeds the shortest or a whole number of pieces is not taken.
#[inline(always)]
fn absorb_lanes<const N: usize>(states: &mut [ChainState; N], runs: &[&[u8]; N]) {
    let mut turned = [[0; N]; 5];
    let mut pieces = usize::MAX;
    for lane in 0..N {
        for word in 0..5 {
            turned[word][lane] = states[lane].0[word];
        }
        pieces = pieces.min(runs[lane].len() / PIECE_LENGTH);
    }
    for piece in 0..pieces {
        compress_piece(&mut turned, &turn(runs, piece * PIECE_LENGTH));
    }
    for lane in 0..N {
        for word in 0..5 {
            states[lane].0[word] = turned[word][lane];
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

/// FIPS 180-4, section 6.1.2 (with the message schedule in 16 words, as in 6.1.3), for every lane.
#[inline(always)]
fn compress_piece<const N: usize>(states: &mut [[u32; N]; 5], words: &[[u32; N]; 16]) {
    let [state_a, state_b, state_c, state_d, state_e] = states;
    for lane in 0..N {
        let mut w = [0; 16];
        for at in 0..16 {
            w[at] = u32::from_be(words[at][lane]);
        }
        let (mut a, mut b, mut c, mut d, mut e) =
            (state_a[lane], state_b[lane], state_c[lane], state_d[lane], state_e[lane]);
        macro_rules! rounds {
            ($function:ident, $constant:literal: $($t:literal)*) => {$(
                if $t >= 16 {
                    w[$t & 15] = (w[($t + 13) & 15]
                        ^ w[($t + 8) & 15]
                        ^ w[($t + 2) & 15]
                        ^ w[$t & 15])
                        .rotate_left(1);
                }
                let new = a
                    .rotate_left(5)
                    .wrapping_add($function(b, c, d))
                    .wrapping_add(e)
                    .wrapping_add($constant)
                    .wrapping_add(w[$t & 15]);
                (a, b, c, d, e) = (new, a, b.rotate_left(30), c, d);
            )*};
        }
        rounds!(choose, 0x5a82_7999: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19);
        rounds!(parity, 0x6ed9_eba1: 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39);
        rounds!(majority, 0x8f1b_bcdc: 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59);
        rounds!(parity, 0xca62_c1d6: 60 61 62 63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79);
        state_a[lane] = state_a[lane].wrapping_add(a);
        state_b[lane] = state_b[lane].wrapping_add(b);
        state_c[lane] = state_c[lane].wrapping_add(c);
        state_d[lane] = state_d[lane].wrapping_add(d);
        state_e[lane] = state_e[lane].wrapping_add(e);
    }
}

#[cfg(test)]
mod tests {
    use super::super::compress::absorb_pieces;
    use super::*;

    fn agrees<const N: usize>(absorb: impl Fn(&mut [ChainState; N], &[&[u8]; N])) {
        for pieces in 0..5 {
            let content: Vec<u8> = (0..N * 4 * 64).map(|at| (at * at / 7 + 5) as u8).collect();
            let runs: [&[u8]; N] =
                std::array::from_fn(|lane| &content[lane * 256..][..pieces * PIECE_LENGTH]);
            let starts: [ChainState; N] = std::array::from_fn(|lane| {
                ChainState(ChainState::INITIAL.0.map(|word| word.rotate_left(lane as u32)))
            });
            let mut expected = starts;
            for (state, run) in expected.iter_mut().zip(&runs) {
                assert!(absorb_pieces(state, run).is_empty());
            }
            let mut states = starts;
            absorb(&mut states, &runs);
            assert_eq!(states, expected, "{N} lanes, {pieces} pieces");
        }
    }

    #[test]
    fn each_lane_does_what_the_crate_does() {
        agrees::<1>(absorb_lanes);
        agrees::<4>(absorb_lanes);
        agrees::<8>(absorb_lanes);
        agrees::<13>(absorb_lanes);
        // As this processor has it.
        agrees(absorb_four);
        agrees(absorb_eight);
    }
}
