//! The disturbance vectors of collision attacks on SHA-1: all 32 that are known to be good enough for one.
//!
//! A vector is 80 words that follow SHA-1's message expansion. Each one bit in it stands for a local
//! collision that begins at that step: a difference that the next five steps take back. The
//! vector therefore says by what the messages of the two files differ, word by word. With few bits in the
//! later steps,
//! most of which can be had for nothing in two ways, there are two types, and all else is a shift of these.
//!
//! S. Manuel, Classification and generation of disturbance vectors for collision attacks against SHA-1,
//! Designs, Codes and Cryptography 2011; the choice of 32 is that of `sha1collisiondetection`.

use Kind::{One, Two};

/// How many there are.
pub(super) const VECTORS: usize = 32;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    One,
    Two,
}

/// Type, first of the 16 words that define it, and by how many bits it is turned. The order is that of the bits in
/// the masks of [`super::conditions`].
const NAMES: [(Kind, usize, u32); VECTORS] = [
    (One, 43, 0),
    (One, 44, 0),
    (One, 45, 0),
    (One, 46, 0),
    (One, 46, 2),
    (One, 47, 0),
    (One, 47, 2),
    (One, 48, 0),
    (One, 48, 2),
    (One, 49, 0),
    (One, 49, 2),
    (One, 50, 0),
    (One, 50, 2),
    (One, 51, 0),
    (One, 51, 2),
    (One, 52, 0),
    (Two, 45, 0),
    (Two, 46, 0),
    (Two, 46, 2),
    (Two, 47, 0),
    (Two, 48, 0),
    (Two, 49, 0),
    (Two, 49, 2),
    (Two, 50, 0),
    (Two, 50, 2),
    (Two, 51, 0),
    (Two, 51, 2),
    (Two, 52, 0),
    (Two, 53, 0),
    (Two, 54, 0),
    (Two, 55, 0),
    (Two, 56, 0),
];

/// By what the 16 words of a piece differ from those of its twin, for each vector.
pub(super) static DIFFERENCES: [[u32; 16]; VECTORS] = {
    let mut all = [[0; 16]; VECTORS];
    let mut at = 0;
    while at < VECTORS {
        all[at] = difference(NAMES[at]);
        at += 1;
    }
    all
};

/// Whether all local collisions of a vector that began before step 65 are over there; if not, those before
/// step 58 are
/// over at that. The states of a piece and its twin are the same then.
pub(super) fn is_clean_at_65(vector: usize) -> bool {
    matches!(NAMES[vector], (Two, 50.., _))
}

/// The vector, from five words before the first one on, and what follows from it for the message's words.
const fn difference((kind, first, turn): (Kind, usize, u32)) -> [u32; 16] {
    const BEFORE: usize = 5;
    let mut vector = [0_u32; BEFORE + 80];
    let start = BEFORE + first;
    vector[start + 15] = 1_u32.rotate_left(turn);
    if matches!(kind, Two) {
        vector[start + 1] = 1_u32.rotate_right(1).rotate_left(turn);
        vector[start + 3] = vector[start + 1];
    }
    let mut at = start;
    while at > 0 {
        at -= 1;
        vector[at] =
            vector[at + 16].rotate_right(1) ^ vector[at + 13] ^ vector[at + 8] ^ vector[at + 2];
    }
    let mut words = [0; 16];
    let mut step = 0;
    while step < 16 {
        let now = BEFORE + step;
        words[step] = vector[now]
            ^ vector[now - 1].rotate_left(5)
            ^ vector[now - 2]
            ^ (vector[now - 3] ^ vector[now - 4] ^ vector[now - 5]).rotate_left(30);
        step += 1;
    }
    words
}
