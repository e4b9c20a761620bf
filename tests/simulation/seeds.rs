//! Runs of networks that are drawn by chance, each twice: it must hold what has to hold, and be the same.
//!
//! `SPRAT_SEED=123 cargo test --test simulation networks` repeats one of them; `scripts/seed-sweep` runs many more.

use std::ops::Range;

use crate::chance::run::run;

const SEEDS: Range<u64> = 0..500;
/// Beyond those, what has found something. 867: of a block that a liar had begun and another was to finish, only the
/// rest was asked for when the liar was found out, and the fetch waited for ever.
const FOUND: [u64; 1] = [867];

/// Says how to repeat a run that has failed.
struct Repeat(u64);

impl Drop for Repeat {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to repeat it: scripts/seed-sweep --from {} --count 1 --trace", self.0);
        }
    }
}

fn run_twice(seed: u64) {
    let _repeat = Repeat(seed);
    let outcome = run(seed);
    assert_eq!(outcome, run(seed), "seed {seed} runs differently the second time");
}

fn networks(part: u64, parts: u64) {
    match std::env::var("SPRAT_SEED") {
        Ok(seed) => run_twice(seed.parse().expect("SPRAT_SEED is a number")),
        Err(_) => {
            SEEDS.chain(FOUND).filter(|seed| seed % parts == part).for_each(run_twice);
        }
    }
}

#[test]
fn networks_drawn_by_chance_first_half() {
    networks(0, 2);
}

#[test]
fn networks_drawn_by_chance_second_half() {
    networks(1, 2);
}

#[test]
fn different_seeds_are_different_runs() {
    assert_ne!(run(1).digest, run(2).digest);
}
