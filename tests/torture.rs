//! The quick share of each part of `scripts/torture`, against the program of this build: a part is a module of
//! `scripts/lib/torture/`. Its full run takes minutes to hours, and its figures stand in `docs/reliability.md`.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![allow(clippy::print_stdout, reason = "what a failed test shows")]
#![allow(clippy::disallowed_methods, reason = "tests live outside")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A test for each part.
macro_rules! parts {
    ($($part:ident)*) => {
        $(#[test]
        fn $part() {
            quickly(stringify!($part));
        })*
        const PARTS: &[&str] = &[$(stringify!($part)),*];
    };
}

parts! {
    arguments
    changes
    disk
    faults
    kills
    liars
    limits
    names
    networks
    pairs
    power
    soak
    strangers
    zoo
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where cargo puts the examples, beside the program.
fn tools() -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_sprat")).parent().unwrap().join("examples");
    let one = folder.join("link_emulator");
    assert!(one.exists(), "no examples in {}: cargo build --examples", folder.display());
    folder
}

/// Runs a part; what it could not do is said aloud.
fn quickly(part: &str) {
    let mut command = Command::new(repository().join("scripts/torture"));
    command.args(["--quick", "--sprat", env!("CARGO_BIN_EXE_sprat"), "--tools"]).arg(tools());
    let ran = command.arg(part).output().unwrap();
    let text = String::from_utf8_lossy(&ran.stdout);
    println!("{text}{}", String::from_utf8_lossy(&ran.stderr));
    for line in text.lines().filter(|line| line.starts_with("SKIPPED")) {
        // Not through println: the test runner keeps that to itself.
        drop(writeln!(std::io::stderr(), "\n{line}"));
    }
    let broken: Vec<_> = text.lines().filter(|line| line.contains("NOT AS PROMISED")).collect();
    assert!(ran.status.success(), "{part}: {:?}: {broken:#?}", ran.status);
}

#[test]
fn every_part_is_a_test_and_every_test_a_part() {
    let folder = std::fs::read_dir(repository().join("scripts/lib/torture")).unwrap();
    let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let modules = names.filter_map(|name| name.strip_suffix(".py").map(str::to_owned));
    let mut parts: Vec<_> = modules.filter(|name| !name.starts_with('_')).collect();
    parts.sort();
    let mut tested = PARTS.to_vec();
    tested.sort_unstable();
    assert_eq!(tested, parts);
}
