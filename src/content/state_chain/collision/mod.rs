//! Recognising files that were made so that another one has the same SHA-1.
//!
//! All collision attacks on SHA-1 that are known end in a piece of 64 bytes, and a state before it, whose twin can be
//! computed: by what the two pieces differ follows from one of 32 disturbance vectors, and somewhere in
//! the middle of the 80 steps their states are the same. So from one of the two files the other one's
//! piece and state are known, and whether both lead to one state is seen by trying (M. Stevens,
//! Counter-cryptanalysis, CRYPTO 2013). To a piece that nobody chose so, this happens with a probability
//! of 2^-155.
//!
//! Trying costs two SHA-1 for each vector. But of all pieces only few fulfil what those of an attack cannot
//! avoid (`conditions`), and these are tried eight at a time (`trial`).
//!
//! - here: pieces that are suspect are gathered and tried, and it is kept whose pieces collide;
//! - `conditions`: which pieces are suspect;
//! - `vectors`: the disturbance vectors;
//! - `trial`: whether suspect pieces and their twins lead to the same state.

pub(super) mod conditions;
mod trial;
mod vectors;

use self::trial::{Trial, try_from_58, try_from_65};
use self::vectors::{DIFFERENCES, VECTORS, is_clean_at_65};
use super::ChainState;

/// How many pieces are tried together.
const TOGETHER: usize = 8;

/// Suspect pieces of several runs of bytes, and which of these runs have been found to collide.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    /// Those whose states are the same as their twins' before step 58, and before step 65.
    waiting: [Waiting; 2],
    found: Vec<usize>,
}

/// Pieces that have not been tried yet.
#[derive(Clone, Debug)]
struct Waiting {
    trial: Trial<TOGETHER>,
    runs: [usize; TOGETHER],
    count: usize,
}

impl Waiting {
    const NONE: Self = Self { trial: Trial::EMPTY, runs: [0; TOGETHER], count: 0 };
}

impl Watch {
    /// Nothing is suspect.
    pub(super) const fn new() -> Self {
        Self { waiting: [Waiting::NONE; 2], found: Vec::new() }
    }

    /// A piece of the run with this number, read into words, fulfils the conditions of these vectors.
    #[cold]
    pub(super) fn suspect(
        &mut self,
        run: usize,
        before: ChainState,
        words: &[u32; 16],
        mut fulfilled: u32,
    ) {
        while fulfilled != 0 {
            let vector = fulfilled.trailing_zeros() as usize % VECTORS;
            fulfilled &= fulfilled - 1;
            if self.found.contains(&run) {
                return;
            }
            let clean_at_65 = is_clean_at_65(vector);
            let waiting = &mut self.waiting[usize::from(clean_at_65)];
            waiting.runs[waiting.count] = run;
            waiting.trial.set(waiting.count, before, words, &DIFFERENCES[vector]);
            waiting.count += 1;
            if waiting.count == TOGETHER {
                self.try_waiting(clean_at_65);
            }
        }
    }

    /// Whether the run with this number is known to collide: for certain, once all have been tried.
    pub(super) fn is_found(&self, run: usize) -> bool {
        self.found.contains(&run)
    }

    /// Tries all that wait.
    pub(super) fn try_all(&mut self) {
        self.try_waiting(false);
        self.try_waiting(true);
    }

    fn try_waiting(&mut self, clean_at_65: bool) {
        let waiting = &mut self.waiting[usize::from(clean_at_65)];
        if waiting.count == 0 {
            return;
        }
        let try_them = if clean_at_65 { try_from_65 } else { try_from_58 };
        let collides = try_them(&waiting.trial);
        for (run, _) in waiting.runs[..waiting.count].iter().zip(collides).filter(|it| it.1) {
            if !self.found.contains(run) {
                self.found.push(*run);
            }
        }
        waiting.count = 0;
    }
}

#[cfg(test)]
mod tests;
