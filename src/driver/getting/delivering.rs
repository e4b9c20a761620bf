//! Putting a file that has come elsewhere as well: to standard output, into a folder, or under a name.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use super::choosing::Choice;
use crate::config::{Destination, GetConfig};
use crate::content::ShareName;
use crate::driver::placing;
use crate::driver::run::{FAILED, NOT_NOW, Trouble};
use crate::driver::share_folder::ShareFolder;

/// Where files go beside `share/`.
pub(super) struct Delivery {
    to: To,
    replaces: bool,
}

enum To {
    Nowhere,
    Standard,
    Folder(PathBuf),
    File(PathBuf),
}

impl Delivery {
    /// Looks what stands there, before anything is fetched for it.
    pub(super) fn prepare(get: &GetConfig) -> Result<Self, Trouble> {
        let to = match &get.output {
            None => To::Nowhere,
            Some(Destination::Standard) => To::Standard,
            Some(Destination::Path(path)) => {
                let is_folder =
                    path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/");
                let open = |wanted: &crate::config::Wanted| match wanted {
                    crate::config::Wanted::Name(text) => {
                        crate::content::Pattern::new(text).is_open()
                    }
                    crate::config::Wanted::Content(_) => false,
                };
                if is_folder || get.wanted.len() > 1 || get.wanted.iter().any(open) {
                    To::Folder(path.clone())
                } else if path.symlink_metadata().is_ok() && !get.force {
                    return Err(stands_there(path));
                } else {
                    To::File(path.clone())
                }
            }
        };
        Ok(Self { to, replaces: get.force })
    }

    /// Puts one file there.
    pub(super) fn deliver(
        &self,
        share: &ShareFolder,
        name: &ShareName,
        choice: &Choice,
    ) -> Result<(), Trouble> {
        let open = || share.open(name).map_err(|error| trouble(Path::new("share"), &error));
        match &self.to {
            To::Nowhere => Ok(()),
            To::Standard => match io::copy(&mut open()?, &mut io::stdout().lock()) {
                // Who reads no more has what it wanted.
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    Err(trouble(Path::new("standard output"), &error))
                }
                _ => Ok(()),
            },
            To::Folder(folder) => self.put_below(&open()?, folder, &choice.below),
            To::File(path) => self.put(&open()?, path),
        }
    }

    /// Puts a copy below a folder, whole or not at all. The name is a stranger's: it leads through no link that may
    /// stand in that folder.
    fn put_below(&self, from: &File, folder: &Path, name: &ShareName) -> Result<(), Trouble> {
        let path = folder.join(name.as_str());
        let parent = ShareFolder::open_or_make(folder)
            .and_then(|folder| folder.parent_for_writing(name))
            .map_err(|error| trouble(&path, &error))?;
        self.copy(from, parent.folder, (name.file_name(), &path))
    }

    /// Puts a copy to a path, whole or not at all.
    fn put(&self, from: &File, path: &Path) -> Result<(), Trouble> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let failed = |error: io::Error| trouble(path, &error);
        fs::create_dir_all(folder).map_err(failed)?;
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        self.copy(from, File::open(folder).map_err(failed)?, (name, path))
    }

    fn copy(
        &self,
        from: &File,
        folder: impl AsFd,
        (name, path): (&str, &Path),
    ) -> Result<(), Trouble> {
        match placing::copy(from, folder, name, self.replaces) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(stands_there(path)),
            Err(error) => Err(trouble(path, &error)),
            Ok(_) => Ok(()),
        }
    }
}

fn stands_there(path: &Path) -> Trouble {
    format!("{} is there already, and stays; --force replaces it", path.display()).into()
}

fn trouble(path: &Path, error: &io::Error) -> Trouble {
    let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    let code = if full { NOT_NOW } else { FAILED };
    let sentence = format!("it is in share/, but not at {}: {error}", path.display());
    Trouble { sentence, code }
}
