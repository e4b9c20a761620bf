//! `tests/contract.md` names every test, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Every test in the folder, as `module::name`.
fn tests_that_exist() -> BTreeSet<String> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut paths: Vec<_> =
        fs::read_dir(tests.join("contract")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.push(tests.join("kill.rs"));
    let mut found = BTreeSet::new();
    for path in paths {
        let module = path.file_stem().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if line == "#[test]" {
                let name = lines.next().unwrap().trim_start_matches("fn ");
                found.insert(format!("{module}::{}", name.split('(').next().unwrap()));
            }
        }
    }
    found
}

/// A sentence of the contract without a test, or a test that says of no sentence that it stands for
/// it, is found when somebody reads the page; that the page is true is found here.
#[test]
fn every_test_is_named_and_every_name_is_a_test() {
    let page = include_str!("../contract.md");
    let named: BTreeSet<_> =
        page.split('`').filter(|word| word.contains("::")).map(str::to_owned).collect();
    assert_eq!(named, tests_that_exist());
}
