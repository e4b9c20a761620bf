//! The 80 steps of SHA-1 forth and back, over scalars: for loops over lanes, whose bodies they are. All of it is
//! straight line code once it is compiled.

/// The first 20 steps' function: `y` where `x` has a one, `z` where it has a zero.
#[inline(always)]
pub(super) const fn choose(x: u32, y: u32, z: u32) -> u32 {
    z ^ (x & (y ^ z))
}

#[inline(always)]
pub(super) const fn parity(x: u32, y: u32, z: u32) -> u32 {
    x ^ y ^ z
}

#[inline(always)]
pub(super) const fn majority(x: u32, y: u32, z: u32) -> u32 {
    (x & y) | (z & (x | y))
}

/// The message schedule: FIPS 180-4, section 6.1.2, step 1.
#[inline(always)]
pub(super) fn expand(words: [u32; 16]) -> [u32; 80] {
    let mut w = [0; 80];
    macro_rules! copy {
        ($($t:literal)*) => {$( w[$t] = words[$t]; )*};
    }
    macro_rules! expand {
        ($($t:literal)*) => {$(
            w[$t] = (w[$t - 3] ^ w[$t - 8] ^ w[$t - 14] ^ w[$t - 16]).rotate_left(1);
        )*};
    }
    copy!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    expand!(16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40 41 42 43);
    expand!(44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64 65 66 67 68 69 70 71);
    expand!(72 73 74 75 76 77 78 79);
    w
}

/// The state before step `TO`, from the one before step `FROM`.
#[inline(always)]
pub(super) fn forth<const FROM: usize, const TO: usize>(
    state: [u32; 5],
    w: &[u32; 80],
) -> [u32; 5] {
    let [mut a, mut b, mut c, mut d, mut e] = state;
    macro_rules! steps {
        ($function:ident, $constant:literal: $($t:literal)*) => {$(
            if $t >= FROM && $t < TO {
                let new = a
                    .rotate_left(5)
                    .wrapping_add($function(b, c, d))
                    .wrapping_add(e)
                    .wrapping_add($constant)
                    .wrapping_add(w[$t]);
                (a, b, c, d, e) = (new, a, b.rotate_left(30), c, d);
            }
        )*};
    }
    steps!(choose, 0x5a82_7999: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19);
    steps!(parity, 0x6ed9_eba1: 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39);
    steps!(majority, 0x8f1b_bcdc: 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59);
    steps!(parity, 0xca62_c1d6: 60 61 62 63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79);
    [a, b, c, d, e]
}

/// The state before step 0, from the one before step `FROM`, which is at most 70.
#[inline(always)]
pub(super) fn back<const FROM: usize>(state: [u32; 5], w: &[u32; 80]) -> [u32; 5] {
    let [mut a, mut b, mut c, mut d, mut e] = state;
    macro_rules! steps {
        ($function:ident, $constant:literal: $($t:literal)*) => {$(
            if $t < FROM {
                let before = (b, c.rotate_left(2), d, e);
                let first = a
                    .wrapping_sub(b.rotate_left(5))
                    .wrapping_sub($function(before.1, before.2, before.3))
                    .wrapping_sub($constant)
                    .wrapping_sub(w[$t]);
                (a, b, c, d, e) = (before.0, before.1, before.2, before.3, first);
            }
        )*};
    }
    steps!(parity, 0xca62_c1d6: 69 68 67 66 65 64 63 62 61 60);
    steps!(majority, 0x8f1b_bcdc: 59 58 57 56 55 54 53 52 51 50 49 48 47 46 45 44 43 42 41 40);
    steps!(parity, 0x6ed9_eba1: 39 38 37 36 35 34 33 32 31 30 29 28 27 26 25 24 23 22 21 20);
    steps!(choose, 0x5a82_7999: 19 18 17 16 15 14 13 12 11 10 9 8 7 6 5 4 3 2 1 0);
    [a, b, c, d, e]
}

#[cfg(test)]
mod tests {
    use super::super::ChainState;
    use super::super::compress::compress_plainly;
    use super::*;

    #[test]
    fn forth_is_what_the_crate_does_and_back_leads_back() {
        let bytes: [u8; 64] = std::array::from_fn(|at| (at * at + 7) as u8);
        let words = std::array::from_fn(|at| {
            u32::from_be_bytes([
                bytes[4 * at],
                bytes[4 * at + 1],
                bytes[4 * at + 2],
                bytes[4 * at + 3],
            ])
        });
        let w = expand(words);
        let start = ChainState::INITIAL;
        let mut expected = start;
        compress_plainly(&mut expected, &bytes);
        let end = forth::<0, 80>(start.0, &w);
        assert_eq!(std::array::from_fn(|at| start.0[at].wrapping_add(end[at])), expected.0);
        let middle = forth::<0, 65>(start.0, &w);
        assert_eq!(forth::<65, 80>(middle, &w), end);
        assert_eq!(back::<65>(middle, &w), start.0);
        assert_eq!(back::<58>(forth::<0, 58>(start.0, &w), &w), start.0);
    }
}
