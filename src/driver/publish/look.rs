//! What stands under a name of `share/`. Nothing that stands there is ever touched.

use std::io;

use log::debug;
use rustix::fs::OFlags;

use crate::content::ShareName;
use crate::driver::chunk_store::ChunkStore;
use crate::driver::chunk_store::fault::fault;
use crate::driver::file_hash::{FileHash, Hashing};
use crate::driver::share_folder::{ShareFolder, WritableParent, entry};
use crate::node::input::{DiskFault, NameLook};

/// A look at one name.
#[derive(Debug)]
pub(super) struct Look {
    name: ShareName,
    /// The file of the right size that stands there.
    hash: Option<FileHash>,
}

impl Look {
    /// Will look at this name.
    pub(super) fn at(name: ShareName) -> Self {
        Self { name, hash: None }
    }

    /// Looks, or hashes the next slice of what stands there.
    pub(super) fn work(
        &mut self,
        store: &ChunkStore,
        share: &ShareFolder,
    ) -> Result<Option<NameLook>, DiskFault> {
        if let Some(hash) = &mut self.hash {
            return Ok(match hash.step() {
                Ok(Hashing::More) => None,
                Ok(Hashing::Content(content)) if content == store.content() => Some(NameLook::Same),
                Ok(_) => Some(NameLook::Other),
                Err(error) => {
                    debug!("cannot read share/{}: {error}", self.name);
                    Some(NameLook::Other)
                }
            });
        }
        let folder = parent(&fresh(share)?, &self.name)?.folder;
        let metadata = match entry::metadata(&folder, self.name.file_name()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Some(NameLook::Free));
            }
            Err(error) => {
                return Err(fault(&format!("look at the name share/{}", self.name), &error));
            }
            Ok(metadata) => metadata,
        };
        if !metadata.is_file() || metadata.len() != store.size() {
            return Ok(Some(NameLook::Other));
        }
        let file = entry::open_file(&folder, self.name.file_name(), OFlags::RDONLY);
        self.hash = file.and_then(FileHash::new).ok();
        Ok(self.hash.is_none().then_some(NameLook::Other))
    }
}

/// What stands at the path of `share/` now, since that may be another folder than before.
pub(super) fn fresh(share: &ShareFolder) -> Result<ShareFolder, DiskFault> {
    ShareFolder::open_or_make(share.path())
        .map_err(|error| fault(&format!("open {}", share.path().display()), &error))
}

/// The folder of a name; those on the way to it that are missing are made.
pub(super) fn parent(share: &ShareFolder, name: &ShareName) -> Result<WritableParent, DiskFault> {
    share
        .parent_for_writing(name)
        .map_err(|error| fault(&format!("make the folders of share/{name}"), &error))
}
