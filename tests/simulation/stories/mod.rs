//! Stories written by hand, by subject.

mod discovery;
mod disks;
mod liars;
pub(crate) mod story;
mod strangers;
mod transfers;
mod trouble;
