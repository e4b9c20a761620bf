//! What the fuzzers keep (`fuzz/corpus/`), and mutations of it from a fixed seed, through every fuzz target. The
//! targets are those of `fuzz/`, which needs a nightly Rust to do more than this; `docs/fuzzing.md` says what they do.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[path = "simulation/model/mod.rs"]
mod model;
#[path = "../fuzz/src/targets/mod.rs"]
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use sprat::node::Random;
use targets::Target;

/// Mutations of each target; `SPRAT_FUZZ_MUTATIONS=NUMBER` makes others, and as many.
const MUTATIONS: u64 = 1_000;

/// All that is kept for a target, by its file's name.
fn corpus(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target.name);
    let mut kept: Vec<(String, Vec<u8>)> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    kept.sort();
    assert!(!kept.is_empty(), "{} is empty", folder.display());
    kept
}

/// Another input: two that are kept, joined somewhere, with some bytes changed.
fn mutated(random: &mut Random, kept: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut below = |bound: usize| random.below(bound.max(1) as u64) as usize;
    let (first, second) = (&kept[below(kept.len())].1, &kept[below(kept.len())].1);
    let mut bytes = first[..below(first.len() + 1)].to_vec();
    bytes.extend_from_slice(&second[below(second.len() + 1)..]);
    for _ in 0..below(8) {
        let at = below(bytes.len());
        let (value, bit) = (below(256) as u8, 1 << below(8));
        match bytes.get_mut(at) {
            Some(byte) if value % 2 == 0 => *byte ^= bit,
            Some(byte) => *byte = value,
            None => bytes.push(value),
        }
    }
    bytes
}

/// Runs one target, and says what to do with an input that fails.
fn check(target: &Target) {
    let run = |what: &str, bytes: &[u8]| {
        if catch_unwind(AssertUnwindSafe(|| (target.body)(bytes))).is_err() {
            let path = std::env::temp_dir().join(format!("sprat-fuzz-{}", target.name));
            fs::write(&path, bytes).unwrap();
            panic!("{what} fails; it is in {}", path.display());
        }
    };
    let kept = corpus(target);
    for (name, bytes) in &kept {
        run(&format!("fuzz/corpus/{}/{name}", target.name), bytes);
    }
    let asked = std::env::var("SPRAT_FUZZ_MUTATIONS").ok();
    let asked = asked.map(|number| number.parse().expect("SPRAT_FUZZ_MUTATIONS is a number"));
    let mut random = Random::new(if asked.is_none() { [7; 32] } else { [8; 32] });
    for number in 0..asked.unwrap_or(MUTATIONS) {
        run(&format!("mutation {number} of {}", target.name), &mutated(&mut random, &kept));
    }
}

/// All targets with names between these; several tests, so that they share the cores.
fn check_all(names: impl Fn(&str) -> bool) {
    targets::ALL.iter().filter(|target| names(target.name)).for_each(check);
}

const MACHINES: [&str; 3] = ["peer", "fetch", "limits"];

#[test]
fn kept_inputs_of_values_pass() {
    check_all(|name| name != "pair" && !MACHINES.contains(&name));
}

#[test]
fn kept_inputs_of_machines_pass() {
    check_all(|name| MACHINES.contains(&name));
}

#[test]
fn kept_inputs_of_pairs_pass() {
    check_all(|name| name == "pair");
}
