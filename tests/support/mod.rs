//! What the black-box tests stand on: real processes, real files, hosts that are network namespaces
//! on a bridge. Nothing in here knows how the program works; it knows the contract.

#![allow(dead_code, unused_imports, reason = "each test program uses its own part of it")]
#![allow(unreachable_pub, reason = "a module of several test programs, not of a library")]
#![allow(clippy::disallowed_methods, reason = "tests live outside: they have a clock and threads")]
#![allow(clippy::disallowed_types, reason = "tests live outside")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what a failed test shows")]

pub mod document;
pub mod files;
pub mod host;
pub mod lab;
pub mod process;
pub mod stranger;
pub mod wait;
pub mod watcher;

pub use document::{Document, Entry, Location};
pub use files::Content;
pub use host::Host;
pub use lab::{Lab, in_lab};
pub use process::{Ending, Running};
pub use wait::{LONG, SHORT, holds_for, wait_for, wait_until};
