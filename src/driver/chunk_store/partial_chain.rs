//! The states that an unfinished download goes by, kept in `.sprat/chains/SHA1.partial`: 20 bytes
//! each, one for every inner boundary. For the next run, and for the peer beside us. What is
//! damaged in length counts as missing; what it is worth, only its links tell.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, renameat};

use crate::content::state_chain::STATE_LENGTH;
use crate::content::{BlockLayout, ContentId};
use crate::driver::share_folder::{ShareFolder, entry};

/// The folder of chains below the root folder.
pub fn folder(root: &Path) -> PathBuf {
    root.join(".sprat").join("chains")
}

/// The file's name in it.
pub fn file_name(content: ContentId) -> String {
    format!("{content}.partial")
}

/// The states that were saved, where they are as many as a content of this size has.
pub fn read(root: &Path, content: ContentId, size: u64) -> Option<Vec<u8>> {
    let folder = entry::open_folder(rustix::fs::CWD, folder(root)).ok()?;
    let file = entry::open_file(&folder, file_name(content), OFlags::RDONLY).ok()?;
    let length = BlockLayout::new(size).state_count().checked_mul(STATE_LENGTH as u64)?;
    if file.metadata().ok()?.len() != length {
        return None;
    }
    let mut states = Vec::new();
    file.take(length).read_to_end(&mut states).ok()?;
    (states.len() as u64 == length).then_some(states)
}

/// Saves states; the file is replaced in one step.
pub(super) fn write(root: &Path, content: ContentId, states: &[u8]) -> io::Result<()> {
    let folder = ShareFolder::open_or_make(&folder(root))?;
    let (name, new) = (file_name(content), format!("{content}.partial-new"));
    entry::remove(folder.handle(), &new)?;
    let create = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    let written = entry::open_file(folder.handle(), new.as_str(), create)
        .and_then(|mut file| file.write_all(states))
        .and_then(|()| Ok(renameat(folder.handle(), new.as_str(), folder.handle(), name)?));
    if written.is_err() {
        let _ = entry::remove(folder.handle(), &new);
    }
    written
}

/// Removes what was saved.
pub(super) fn remove(root: &Path, content: ContentId) {
    if let Ok(folder) = entry::open_folder(rustix::fs::CWD, folder(root)) {
        let _ = entry::remove(&folder, &file_name(content));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn saved_states_come_back_and_damaged_ones_do_not() {
        let root = tempfile::tempdir().unwrap();
        let id = ContentId::EMPTY;
        assert_eq!(read(root.path(), id, 200_000), None);
        write(root.path(), id, &[1; 60]).unwrap();
        write(root.path(), id, &[2; 60]).unwrap();
        assert_eq!(read(root.path(), id, 200_000), Some(vec![2; 60]));
        assert_eq!(read(root.path(), id, 300_000), None, "of another size");

        let path = folder(root.path()).join(file_name(id));
        fs::write(&path, [3; 59]).unwrap();
        assert_eq!(read(root.path(), id, 200_000), None, "torn");
        fs::remove_dir_all(root.path().join(".sprat")).unwrap();
        write(root.path(), id, &[4; 60]).unwrap();
        assert!(path.exists(), "made again after it was deleted");
        remove(root.path(), id);
        assert!(!path.exists());
    }
}
