//! `d.json` as a strict front end reads it: every key there, none besides, no other types.

use std::path::Path;

use serde::Deserialize;

/// The whole document.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    pub discovered_timestamp: u64,
    pub discovered_files: Vec<Entry>,
}

/// One content.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub sha1: String,
    pub size: u64,
    pub locations: Vec<Location>,
}

/// One place where it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Location {
    pub ip: String,
    pub filename: String,
}

impl Document {
    /// The document at `path`; none where there is no file. Fails the test where it is not valid.
    #[track_caller]
    pub fn read(path: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(path).ok()?;
        match serde_json::from_str(&text) {
            Ok(document) => Some(document),
            Err(error) => panic!("{}: {error}\n{text}", path.display()),
        }
    }

    /// The entry of a content.
    pub fn entry(&self, sha1: &str) -> Option<&Entry> {
        self.discovered_files.iter().find(|entry| entry.sha1 == sha1)
    }

    /// Every file name in it.
    pub fn filenames(&self) -> Vec<&str> {
        let locations = self.discovered_files.iter().flat_map(|entry| &entry.locations);
        locations.map(|location| location.filename.as_str()).collect()
    }
}
