//! Hosts that find each other by other means than broadcast, and hosts that keep in step, from the outside: real
//! processes on hosts that are network namespaces.

#![allow(clippy::disallowed_methods, reason = "tests live outside: they have a clock")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![allow(clippy::print_stdout, reason = "what a failed test shows")]

mod support;

mod meeting {
    mod names;
    mod syncing;
    mod trackers;
}
