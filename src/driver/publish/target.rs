//! The name that a file is to appear under: the wanted one, or one beside it where that is another
//! content's. Nothing that stands there is ever touched.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use log::warn;
use rustix::fs::OFlags;

use crate::content::ShareName;
use crate::driver::chunk_store::ChunkStore;
use crate::driver::chunk_store::fault::{fault, own_fault};
use crate::driver::file_hash::FileHash;
use crate::driver::share_folder::{ShareFolder, WritableParent, entry};
use crate::node::input::{DiskFault, DiskFaultKind};

/// How many names beside the wanted one are looked at.
const ATTEMPTS_MAX: u32 = 1000;

/// Where a file is to appear.
#[derive(Debug)]
pub(super) struct Target {
    share: ShareFolder,
    parent: WritableParent,
    name: ShareName,
    attempt: u32,
    /// How many folders are synced.
    synced: usize,
    /// Whether the file is made in `chunks/`, because its own folder takes no nameless ones.
    pub(super) fills_hidden: bool,
}

/// What stands under the name.
#[derive(Debug)]
pub(super) enum Place {
    /// Nothing.
    Free,
    /// A file of our size: is it the same?
    Compare(FileHash),
    /// Something else.
    Taken,
}

impl Target {
    /// The wanted name; folders that are missing are made. `share/` is opened again, since it may
    /// be another folder by now.
    pub(super) fn new(share: &ShareFolder, store: &ChunkStore) -> Result<Self, DiskFault> {
        let share = ShareFolder::open_or_make(share.path())
            .map_err(|error| fault(&format!("open {}", share.path().display()), &error))?;
        let name = store.name().clone();
        let parent = parent(&share, &name)?;
        Ok(Self { share, parent, name, attempt: 0, synced: 0, fills_hidden: false })
    }

    /// The name as it stands.
    pub(super) fn name(&self) -> &ShareName {
        &self.name
    }

    /// The folder that the file goes into.
    pub(super) fn folder(&self) -> BorrowedFd<'_> {
        self.parent.folder.as_fd()
    }

    /// Looks at what stands under the name.
    pub(super) fn look(&self, size: u64) -> Result<Place, DiskFault> {
        let metadata = match entry::metadata(self.folder(), self.name.file_name()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Place::Free),
            Err(error) => {
                return Err(fault(&format!("look at the name share/{}", self.name), &error));
            }
            Ok(metadata) => metadata,
        };
        if !metadata.is_file() || metadata.len() != size {
            return Ok(Place::Taken);
        }
        let file = entry::open_file(self.folder(), self.name.file_name(), OFlags::RDONLY);
        Ok(file.and_then(FileHash::new).map_or(Place::Taken, Place::Compare))
    }

    /// Goes on to the next name beside the wanted one.
    pub(super) fn go_beside(&mut self, store: &ChunkStore) -> Result<(), DiskFault> {
        let wanted = store.name();
        if self.attempt == ATTEMPTS_MAX {
            let message =
                format!("share/{wanted} and all names beside it are taken: make one free");
            return Err(own_fault(DiskFaultKind::Final, message));
        }
        self.attempt += 1;
        let name = wanted.beside(store.content(), self.attempt);
        warn!("share/{} is other content; trying share/{name}", self.name);
        self.parent = parent(&self.share, &name)?;
        self.name = name;
        Ok(())
    }

    /// Renames a file of `chunks/` to the name, if that is free.
    pub(super) fn rename_here(&self, chunks: &ShareFolder, old: &str) -> io::Result<()> {
        entry::rename_to_free(chunks.handle(), old, self.folder(), self.name.file_name())
    }

    /// Syncs the next folder on the way up; whether there are more.
    pub(super) fn sync_next_folder(&mut self) -> io::Result<bool> {
        if let Some(folder) = self.parent.to_sync.get(self.synced) {
            entry::sync_folder(folder)?;
            self.synced += 1;
        }
        Ok(self.synced < self.parent.to_sync.len())
    }
}

fn parent(share: &ShareFolder, name: &ShareName) -> Result<WritableParent, DiskFault> {
    share
        .parent_for_writing(name)
        .map_err(|error| fault(&format!("make the folders of share/{name}"), &error))
}
