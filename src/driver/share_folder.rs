//! A folder held open by a handle, and files reached from it component by component. It never
//! goes by a path again once it is open, follows no link below itself, and opens nothing but
//! regular files and folders. The folder itself may be reached through a link: that is its
//! owner's choice; what lies in it may come from strangers.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::content::ShareName;
use crate::node::input::FileSignature;

/// A held folder: `share/`, `chunks/`, or any other.
#[derive(Debug)]
pub struct ShareFolder {
    path: PathBuf,
    held: OwnedFd,
    device: u64,
    inode: u64,
}

/// Where a file is to appear: see [`ShareFolder::parent_for_writing`].
#[derive(Debug)]
pub struct WritableParent {
    /// The folder that the file goes into.
    pub folder: OwnedFd,
    /// The folders on the way to it, itself first, the held one last: to be synced in this order
    /// once the file has its name there, since any of them may be new.
    pub to_sync: Vec<OwnedFd>,
}

impl ShareFolder {
    /// Opens the folder at `path`, made (with all above it) when missing.
    pub fn open_or_make(path: &Path) -> io::Result<Self> {
        let _ = path;
        todo!()
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The held handle, for `*at` calls.
    pub fn handle(&self) -> BorrowedFd<'_> {
        self.held.as_fd()
    }

    /// Opens the file `name` below the folder for reading: no component may be a link, the last
    /// one must be a regular file. The handle does not block, whatever the file is.
    pub fn open(&self, name: &ShareName) -> io::Result<File> {
        let _ = name;
        todo!()
    }

    /// The signature of the regular file `name` below the folder.
    pub fn signature_of(&self, name: &ShareName) -> io::Result<FileSignature> {
        let _ = name;
        todo!()
    }

    /// Makes the folders on the way to `name` that are missing, and hands back the last one, with
    /// all those that must be synced for the name to survive a power cut.
    pub fn parent_for_writing(&self, name: &ShareName) -> io::Result<WritableParent> {
        let _ = name;
        todo!()
    }

    /// Whether another folder, or none, stands at the path now.
    pub fn is_replaced(&self) -> bool {
        todo!()
    }

    /// Opens, or makes, what stands at the path now, if it is not the held folder any more.
    /// Tells whether it was another.
    pub fn reopen_if_replaced(&mut self) -> io::Result<bool> {
        todo!()
    }
}

/// What identifies the state of an open file.
pub fn signature(file: impl AsFd) -> io::Result<FileSignature> {
    let _ = file;
    todo!()
}
