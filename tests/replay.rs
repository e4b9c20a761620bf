//! Recording and replay: traces that are kept, runs of the real program, and what is no trace at all.

#![allow(clippy::disallowed_methods, reason = "tests live outside: they have a clock")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![allow(clippy::print_stdout, reason = "what a failed test shows")]

mod support;

mod replay {
    pub(crate) mod damaged;
    pub(crate) mod kept;
    pub(crate) mod program;
    pub(crate) mod recorded;
    pub(crate) mod ring;
    pub(crate) mod shrink;
}
