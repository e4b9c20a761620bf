//! The contract with the outside, tested from the outside: real processes, real files, hosts that are
//! network namespaces on a bridge. Each test names, in its own documentation, the sentence it stands
//! for; `tests/contract.md` lists every sentence with its tests. While these run, `share/` of every host
//! is watched as fast as possible, and a test fails if anything is ever in it that is not whole.

#![allow(clippy::disallowed_methods, reason = "tests live outside: they have a clock")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![allow(clippy::print_stdout, reason = "what a failed test shows")]

#[path = "../support/mod.rs"]
mod support;

mod arguments;
mod directory;
mod ending;
mod example;
mod fetching;
mod large;
mod limits;
mod mapping;
mod offering;
mod rules;
mod sources;
mod strangers;
mod takeover;
