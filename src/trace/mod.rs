//! A run as a file: what a core was handed, when, and what came of it, so that it can be handed the same
//! again without a network, a disk or waiting. `docs/trace.md` has the format.
//!
//! | file | what it does |
//! |---|---|
//! | [`line`](mod@line) | the lines of a trace as values |
//! | [`tally`] | what came of one input, as digests |
//! | [`run`] | what a transfer is made of, in a few characters each |
//! | [`datagram`] | datagrams as a trace keeps them |
//! | [`recorder`], [`ring`] | writing: everything, or what happened of late |
//! | [`masking`], [`pseudonyms`] | names of files that nobody needs to know |
//! | [`reader`] | lines back to steps; what comes from elsewhere is believed to be damaged |
//! | [`replay`] | the steps through a core, with every difference told |
//! | [`print`] | what happened, for people and for scripts |
//!
//! It refuses to open a file, to look at a clock and to decide anything: the driver hands in where to write
//! and what the time was, and whoever replays decides what a difference means.

pub mod datagram;
pub mod line;
pub mod masking;
pub mod print;
pub mod pseudonyms;
pub mod reader;
pub mod recorder;
pub mod replay;
pub mod ring;
pub mod run;
pub mod tally;

pub use line::{End, Header, How};
pub use print::Printer;
pub use reader::{Event, ReadError, Reader, Record, Step};
pub use recorder::Recorder;
pub use replay::{Difference, Played, Replay, Rigour};
