//! Stories written by hand, by subject.

mod background;
mod changes;
mod discovery;
mod disks;
mod liars;
mod limits;
mod shoal;
mod small_files;
pub(crate) mod story;
mod strangers;
mod trackers;
mod transfers;
mod trouble;
