//! One peer for a root folder, and the newest wins.

use std::path::Path;

/// The ownership of a root folder, held until it is dropped or the process ends in any way.
#[derive(Debug)]
pub struct RootLock {}

impl RootLock {
    /// Becomes the owner of the folder `root`. An older peer there is asked to end, and waited for,
    /// 2.5 s at most; this call blocks that long. If it does not: one sentence.
    pub fn take(root: &Path) -> Result<Self, String> {
        let _ = root;
        todo!()
    }

    /// Whether a newer peer waits for this one to end. Does not block; to be called about once a second.
    pub fn somebody_knocks(&self) -> bool {
        todo!()
    }
}
