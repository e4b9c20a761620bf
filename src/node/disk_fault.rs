//! Trouble with the disk, as the core is told of it.

use serde::{Deserialize, Serialize};

/// Why the disk did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskFault {
    /// What kind of trouble it is.
    pub kind: DiskFaultKind,
    /// One sentence for a person: what was tried, what the system said, what to do.
    pub message: String,
}

/// The kinds of disk trouble that are treated differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskFaultKind {
    /// No room (ENOSPC, EDQUOT): it may be made, so it is tried again.
    NoRoom,
    /// The chunk file or the folder `chunks/` is gone: what was there has to be fetched again.
    Vanished,
    /// Everything else is final.
    Final,
}
