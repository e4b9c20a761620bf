//! Writes `d.json`, which front ends read: always a whole document, replaced in one step.

use std::path::Path;
use std::time::SystemTime;

/// The `d.json` of one root folder.
#[derive(Debug)]
pub struct DirectoryFile {}

impl DirectoryFile {
    /// Writes the first document, with an empty list. If that fails: one sentence that says why and
    /// what to do.
    pub fn create(root: &Path, wall: SystemTime) -> Result<Self, String> {
        let _ = (root, wall);
        todo!()
    }

    /// For `Output::Directory`: replaces the document. A failure is logged when it is new or another
    /// than the last; the old document stays.
    pub fn write(&mut self, discovered_files: &str, wall: SystemTime) {
        let _ = (discovered_files, wall);
        todo!()
    }
}
