//! SHA-1 of several runs of bytes side by side, one in each lane of the processor's vector
//! registers.
//!
//! Within one content SHA-1 is strictly serial: each round waits for the one before. Blocks of a
//! chain do not wait for each other, so the same round is done for several of them at once. There
//! are no intrinsics here: the body of [`compress_piece`]'s loop is one straight line of 80 rounds
//! over scalars, which the compiler's loop vectoriser turns into vectors of as many lanes as the
//! target has. That it stays a straight line matters: written as loops over the rounds, or with the
//! lanes as the inner loop of each round, it is four times slower.

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

/// Takes the bytes of each lane into its state. All runs are equally long, in whole pieces; what
/// exceeds the shortest or a whole number of pieces is not taken.
pub(super) fn absorb_lanes<const N: usize>(states: &mut [ChainState; N], runs: &[&[u8]; N]) {
    let mut turned: [[u32; N]; 5] = std::array::from_fn(|word| states.map(|state| state.0[word]));
    let pieces = runs.iter().map(|run| run.len() / PIECE_LENGTH).min().unwrap_or(0);
    for piece in 0..pieces {
        let start = piece * PIECE_LENGTH;
        let words = turn(&runs.map(|run| &run[start..start + PIECE_LENGTH]));
        compress_piece(&mut turned, &words);
    }
    for (lane, state) in states.iter_mut().enumerate() {
        *state = ChainState(turned.map(|word| word[lane]));
    }
}

/// The words of each lane's piece, so that the same word of all lanes lies together.
#[inline(always)]
fn turn<const N: usize>(pieces: &[&[u8]; N]) -> [[u32; N]; 16] {
    let mut words = [[0; N]; 16];
    for (lane, piece) in pieces.iter().enumerate() {
        for (word, four) in words.iter_mut().zip(piece.chunks_exact(4)) {
            word[lane] = u32::from_be_bytes([four[0], four[1], four[2], four[3]]);
        }
    }
    words
}

/// FIPS 180-4, section 6.1.2 (with the message schedule in 16 words, as in 6.1.3), for every lane.
#[inline(always)]
fn compress_piece<const N: usize>(states: &mut [[u32; N]; 5], words: &[[u32; N]; 16]) {
    let [state_a, state_b, state_c, state_d, state_e] = states;
    for lane in 0..N {
        let mut w: [u32; 16] = std::array::from_fn(|at| words[at][lane]);
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

    fn agrees<const N: usize>() {
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
            absorb_lanes(&mut states, &runs);
            assert_eq!(states, expected, "{N} lanes, {pieces} pieces");
        }
    }

    #[test]
    fn each_lane_does_what_the_crate_does() {
        agrees::<1>();
        agrees::<4>();
        agrees::<8>();
        agrees::<13>();
    }
}
