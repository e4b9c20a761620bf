//! The shape of `src/`, kept: who may use whom, what the core must not see, and how long things may
//! get. The checkers work on text, and each is tested on small texts first.

mod layering {
    pub(crate) mod dependencies;
    pub(crate) mod rules;
    pub(crate) mod source;
}

use layering::rules;
use layering::source::Source;

/// Every file below `src/`.
fn sources() -> Vec<Source> {
    let sources = Source::all_below(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
    assert!(sources.len() > 20, "the sources were not found: {}", sources.len());
    sources
}

/// Applies a rule to all files and shows everything that breaks it.
#[track_caller]
fn check(rule: impl Fn(&Source) -> Vec<String>) {
    let broken: Vec<String> = sources().iter().flat_map(rule).collect();
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn the_core_sees_no_system() {
    check(rules::forbidden_paths);
}

#[test]
fn arrows_point_one_way() {
    check(rules::wrong_arrows);
}

#[test]
fn the_driver_knows_only_the_node_s_face() {
    check(rules::reaches_into_the_node);
}

#[test]
fn files_and_functions_are_short() {
    check(rules::long_files);
    check(rules::long_functions);
}

#[test]
fn every_file_says_what_it_is() {
    check(rules::missing_opening);
}

#[test]
fn dependencies_are_what_was_agreed_to() {
    let complaints = layering::dependencies::Dependencies::of_this_project().complaints();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn nothing_gives_up_outside_tests() {
    check(rules::giving_up);
}
