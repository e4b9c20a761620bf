//! The cheap half of recognising a collision attack: conditions on the expanded message words of a
//! 64-byte piece that it cannot but fulfil if it is the last one of an attack along a certain
//! disturbance vector. A piece that fulfils those of no vector is none. Of random pieces, 7 of a hundred
//! fulfil those of some vector, and are tried.
//!
//! Each condition is that two bits of two words are the same, or that they are not; its mask says for which
//! vectors. These are the 109 of 156 that exclude most for what they cost, and zeros: without the others
//! a few more pieces are tried, and none less.
//!
//! Why they are unavoidable: M. Stevens, D. Shumow, Speeding up detection of SHA-1 collision attacks
//! using unavoidable attack conditions, USENIX Security 2017. Which they are has been published by these
//! authors with their library `sha1collisiondetection`, the one that git uses.

/// All ones where that bit of the word is one, all zeros where it is zero.
#[inline(always)]
const fn spread(word: u32, bit: u32) -> u32 {
    (((word << (31 - bit)) as i32) >> 31) as u32
}

/// Hands all conditions to a macro of the caller's: bits of words, and for which vectors.
macro_rules! with_conditions {
    ($take:ident) => {
        $take! {
            (35, 1) != (36, 6): 0x0000_0410;
            (36, 0) != (41, 30): 0x0040_0000;
            (36, 1) != (37, 6): 0x0004_1040;
            (36, 4) != (38, 4): 0x2800_0000;
            (36, 4) == (40, 29): 0x0011_0208;
            (37, 0) != (42, 30): 0x0100_0000;
            (37, 1) == (37, 6): 0x0000_4000;
            (37, 1) != (38, 6): 0x0000_4100;
            (37, 4) != (39, 4): 0x5000_0001;
            (37, 4) == (40, 29): 0x5002_0021;
            (37, 4) == (41, 29): 0x0020_0800;
            (37, 5) == (41, 30): 0x0040_0000;
            (38, 0) != (43, 30): 0x0400_0000;
            (38, 1) != (40, 1): 0x0000_0400;
            (38, 4) != (40, 4): 0xa000_0002;
            (38, 4) == (41, 29): 0xa008_0082;
            (38, 4) == (42, 29): 0x0080_2000;
            (38, 5) == (42, 30): 0x0100_0000;
            (39, 1) != (40, 6): 0x0040_1010;
            (39, 4) != (41, 4): 0x4000_0005;
            (39, 4) == (42, 29): 0x4010_0205;
            (39, 4) == (43, 29): 0x0200_8000;
            (39, 5) == (43, 30): 0x0400_0000;
            (39, 6) == (40, 1): 0x0000_0400;
            (40, 1) != (41, 6): 0x0100_4040;
            (40, 4) != (42, 4): 0x8000_000a;
            (40, 4) == (43, 29): 0x8020_080a;
            (40, 4) == (44, 29): 0x0800_0000;
            (40, 6) == (41, 1): 0x0040_1000;
            (40, 6) == (42, 6): 0x0000_0010;
            (40, 29) == (41, 29): 0x800a_00a2;
            (41, 1) != (42, 6): 0x0404_0100;
            (41, 4) == (44, 29): 0x0081_2025;
            (41, 4) == (45, 29): 0x1000_0000;
            (41, 6) == (42, 1): 0x0100_4000;
            (41, 6) == (43, 6): 0x0000_0040;
            (41, 29) == (42, 29): 0x0018_0284;
            (42, 1) != (50, 1): 0x0000_0400;
            (42, 4) == (45, 29): 0x0202_808a;
            (42, 6) == (43, 1): 0x0404_0000;
            (42, 6) == (44, 6): 0x0000_0110;
            (42, 29) == (43, 29): 0x0030_0a08;
            (43, 1) != (51, 1): 0x0000_1000;
            (43, 4) == (46, 29): 0x0808_0225;
            (43, 6) == (45, 6): 0x0000_0440;
            (43, 29) == (44, 29): 0x00a1_2820;
            (44, 1) != (45, 6): 0x0040_4000;
            (44, 4) == (47, 29): 0x1010_088a;
            (44, 6) == (46, 6): 0x0000_1110;
            (44, 29) == (45, 29): 0x0283_a080;
            (44, 29) != (46, 29): 0x0000_0025;
            (45, 1) != (47, 1): 0x0100_0000;
            (45, 4) == (48, 29): 0x2020_2224;
            (45, 6) == (46, 1): 0x0040_0000;
            (45, 6) == (47, 6): 0x0000_4440;
            (45, 29) == (46, 29): 0x0a0a_8200;
            (45, 29) != (47, 29): 0x0000_008a;
            (46, 1) != (48, 1): 0x0400_0000;
            (46, 4) == (49, 29): 0x4080_8888;
            (46, 6) == (47, 1): 0x0100_0010;
            (46, 6) == (48, 6): 0x0000_1100;
            (46, 29) == (47, 29): 0x1818_0801;
            (46, 29) != (48, 29): 0x0000_0224;
            (47, 1) != (51, 1): 0x0004_0000;
            (47, 4) == (50, 29): 0x8201_2220;
            (47, 6) == (48, 1): 0x0400_0040;
            (47, 6) == (49, 6): 0x0000_4400;
            (47, 29) == (48, 29): 0x3030_2002;
            (47, 29) != (49, 29): 0x0000_0888;
            (48, 4) == (51, 29): 0x0802_8880;
            (48, 6) == (49, 1): 0x0000_0100;
            (48, 6) == (50, 6): 0x0004_1000;
            (48, 29) == (49, 29): 0x60a0_8004;
            (49, 4) == (52, 29): 0x1009_2200;
            (49, 6) == (50, 1): 0x0000_0400;
            (49, 6) == (51, 6): 0x0000_4000;
            (49, 29) == (50, 29): 0xc281_0008;
            (50, 1) != (54, 1): 0x0040_0000;
            (50, 4) == (53, 29): 0x2012_8800;
            (50, 6) == (51, 1): 0x0004_1000;
            (50, 29) == (51, 29): 0x8a02_0020;
            (50, 29) != (52, 29): 0x0001_2200;
            (51, 1) != (55, 1): 0x0100_0000;
            (51, 4) == (54, 29): 0x4028_2000;
            (51, 6) == (52, 1): 0x0000_4000;
            (51, 6) == (53, 6): 0x0040_0000;
            (51, 29) == (52, 29): 0x1808_0080;
            (51, 29) != (54, 29): 0x000a_0800;
            (52, 1) != (56, 1): 0x0400_0000;
            (52, 4) == (55, 29): 0x8090_8000;
            (52, 6) == (54, 6): 0x0100_0000;
            (52, 29) == (53, 29): 0x3011_0200;
            (53, 6) == (54, 1): 0x0040_0000;
            (53, 6) == (55, 6): 0x0400_0000;
            (53, 29) == (54, 29): 0x6022_0800;
            (53, 29) != (56, 29): 0x0030_8000;
            (54, 6) == (55, 1): 0x0100_0000;
            (54, 29) == (55, 29): 0xc088_2000;
            (55, 6) == (56, 1): 0x0400_0000;
            (55, 29) == (56, 29): 0x8210_8000;
            (55, 29) != (58, 29): 0x0080_0000;
            (56, 4) == (59, 29): 0x2800_0000;
            (56, 29) == (57, 29): 0x0820_0000;
            (56, 29) != (59, 29): 0x0a00_0000;
            (57, 29) == (58, 29): 0x1080_0000;
            (58, 29) == (59, 29): 0x2200_0000;
            (61, 2) != (62, 7): 0x0004_0010;
            (62, 2) != (63, 7): 0x0000_0040;
            (63, 2) != (64, 7): 0x0000_0100;
        }
    };
}

/// The vectors of which a piece with these expanded words fulfils the conditions: bit `n` stands for
/// vector `n` of [`super::vectors`]. One straight line without a branch, which is vectorised where it
/// stands in a loop over lanes.
#[inline(always)]
pub(in crate::content::state_chain) fn fulfilled(words: &[u32; 80]) -> u32 {
    let mut excluded = 0;
    macro_rules! fails {
        (==, $one:expr, $other:expr) => {
            $one ^ $other
        };
        (!=, $one:expr, $other:expr) => {
            !($one ^ $other)
        };
    }
    macro_rules! exclude {
        ($(($one:literal, $bit:literal) $relation:tt ($other:literal, $its:literal):
            $vectors:literal;)*) => {$(
            let (one, other) = (spread(words[$one], $bit), spread(words[$other], $its));
            excluded |= fails!($relation, one, other) & $vectors;
        )*};
    }
    with_conditions!(exclude);
    !excluded
}
