//! A folder held open by a handle, and files reached from it by name ([`beneath`]). It never
//! goes by a path again once it is open, follows no link below itself, and opens nothing but
//! regular files and folders. The folder itself may be reached through a link: that is its
//! owner's choice; what lies in it may come from strangers.

mod beneath;
pub mod entry;

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, Stat, fstat, mkdirat, openat};
use rustix::io::Errno;

use self::beneath::Way;
use crate::content::ShareName;
use crate::node::input::FileSignature;

/// A held folder: `share/`, `chunks/`, or any other.
#[derive(Debug)]
pub struct ShareFolder {
    path: PathBuf,
    held: OwnedFd,
    device: u64,
    inode: u64,
    /// How names below it are opened.
    way: Cell<Way>,
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
        let folder = match open_at_path(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_with_parents(path)?;
                open_at_path(path)?
            }
            other => other?,
        };
        Self::of(path, folder)
    }

    /// Holds this folder, which was opened at `path`.
    pub fn of(path: &Path, folder: impl Into<File>) -> io::Result<Self> {
        let folder = folder.into();
        let metadata = folder.metadata()?;
        let (device, inode) = (metadata.dev(), metadata.ino());
        let way = Cell::default();
        Ok(Self { path: path.to_owned(), held: folder.into(), device, inode, way })
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
        let flags = OFlags::RDONLY | entry::FILE;
        entry::regular(beneath::open(self.held.as_fd(), &self.way, name.as_str(), flags)?)
    }

    /// Opens a folder below this one for listing, or this one anew where the path is empty.
    pub fn open_folder(&self, path: &str) -> rustix::io::Result<OwnedFd> {
        let path = if path.is_empty() { "." } else { path };
        beneath::open(self.held.as_fd(), &self.way, path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// The signature of the regular file `name` below the folder.
    pub fn signature_of(&self, name: &ShareName) -> io::Result<FileSignature> {
        signature(&self.open(name)?)
    }

    /// Makes the folders on the way to `name` that are missing, and hands back the last one, with
    /// all those that must be synced for the name to survive a power cut. What stands in the way (a
    /// file or link where a folder is to be) is named in the error and left alone.
    pub fn parent_for_writing(&self, name: &ShareName) -> io::Result<WritableParent> {
        let mut folder = self.held.try_clone()?;
        let mut to_sync = vec![folder.try_clone()?];
        let mut components = name.components().peekable();
        while let Some(component) = components.next() {
            if components.peek().is_none() {
                break;
            }
            match mkdirat(&folder, component, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            folder = entry::open_folder(&folder, component).map_err(|error| {
                io::Error::new(error.kind(), format!("the folder {component:?}: {error}"))
            })?;
            to_sync.insert(0, folder.try_clone()?);
        }
        Ok(WritableParent { folder, to_sync })
    }

    /// Whether another folder, or none, stands at the path now.
    pub fn is_replaced(&self) -> bool {
        std::fs::metadata(&self.path)
            .map_or(true, |metadata| (metadata.dev(), metadata.ino()) != (self.device, self.inode))
    }

    /// Opens, or makes, what stands at the path now, if it is not the held folder any more.
    /// Tells whether it was another.
    pub fn reopen_if_replaced(&mut self) -> io::Result<bool> {
        let replaced = self.is_replaced();
        if replaced {
            *self = Self::open_or_make(&self.path)?;
        }
        Ok(replaced)
    }
}

/// What identifies the state of an open file.
pub fn signature(file: &File) -> io::Result<FileSignature> {
    Ok(signature_from(&fstat(file)?))
}

/// What identifies the state of a file of which the system says this.
#[allow(clippy::unnecessary_cast, reason = "the widths differ between architectures")]
pub fn signature_from(stat: &Stat) -> FileSignature {
    // Seconds so far off that the nanoseconds do not fit stay told apart from all sensible ones.
    let nanoseconds =
        |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
    FileSignature {
        device: stat.st_dev as u64,
        inode: stat.st_ino as u64,
        size: stat.st_size as u64,
        modified_ns: nanoseconds(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
        changed_ns: nanoseconds(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
    }
}

/// Whether an error of opening or reading means that the file is not, or not any more, what was
/// expected there, rather than that reading it fails.
pub fn is_gone(error: &io::Error) -> bool {
    // A link, or a socket, stands where the file or one of its folders stood.
    let special = [Errno::LOOP, Errno::NXIO]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()));
    let kinds = [
        io::ErrorKind::NotFound,
        io::ErrorKind::UnexpectedEof,
        io::ErrorKind::NotADirectory,
        io::ErrorKind::IsADirectory,
        // What stands there now is no regular file.
        io::ErrorKind::InvalidInput,
    ];
    special || kinds.contains(&error.kind())
}

fn open_at_path(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(rustix::fs::CWD, path, flags, Mode::empty())?.into())
}

/// Like `create_dir_all`, and each new folder's name is synced: what is put into it later would go
/// with it in a power cut.
fn make_with_parents(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Ok(()),
    };
    let made = match std::fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_with_parents(parent)?;
            std::fs::create_dir(path)
        }
        other => other,
    };
    match made {
        Ok(()) => entry::sync_folder(&open_at_path(parent)?),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use super::*;

    fn name(text: &str) -> ShareName {
        ShareName::parse(text).unwrap()
    }

    fn held() -> (tempfile::TempDir, ShareFolder) {
        let root = tempfile::tempdir().unwrap();
        let share = ShareFolder::open_or_make(&root.path().join("a/share")).unwrap();
        (root, share)
    }

    #[test]
    fn nested_files_are_opened_and_their_signature_tells_states_apart() {
        let (_root, share) = held();
        fs::create_dir_all(share.path().join("animals/small")).unwrap();
        let path = share.path().join("animals/small/fox.txt");
        fs::write(&path, "quick").unwrap();
        let mut text = String::new();
        let mut file = share.open(&name("animals/small/fox.txt")).unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "quick");

        let before = signature(&file).unwrap();
        assert_eq!(
            (before.size, before),
            (5, share.signature_of(&name("animals/small/fox.txt")).unwrap())
        );
        fs::write(&path, "quicker").unwrap();
        assert_ne!(before, signature(&file).unwrap());
        let absent = share.open(&name("animals/cat")).unwrap_err();
        assert_eq!(absent.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn links_folders_and_pipes_are_no_files() {
        let (root, share) = held();
        let secret = root.path().join("secret");
        fs::create_dir(&secret).unwrap();
        fs::write(secret.join("key"), "k").unwrap();
        symlink(&secret, share.path().join("folder-link")).unwrap();
        symlink(secret.join("key"), share.path().join("file-link")).unwrap();
        fs::create_dir(share.path().join("folder")).unwrap();
        rustix::fs::mknodat(
            share.handle(),
            "pipe",
            rustix::fs::FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        for refused in ["folder-link/key", "file-link", "folder", "pipe", "pipe/x"] {
            assert!(share.open(&name(refused)).is_err(), "{refused}");
        }
        assert!(share.parent_for_writing(&name("folder-link/new")).is_err());
        assert!(share.parent_for_writing(&name("folder-link/deeper/new")).is_err());
        assert_eq!(
            fs::read_dir(&secret).unwrap().count(),
            1,
            "nothing was written beyond the link"
        );
    }

    #[test]
    fn missing_folders_are_made_and_all_on_the_way_are_to_be_synced() {
        let (_root, share) = held();
        let parent = share.parent_for_writing(&name("a/b/c.txt")).unwrap();
        assert!(share.path().join("a/b").is_dir());
        let inode = |fd: &OwnedFd| File::from(fd.try_clone().unwrap()).metadata().unwrap().ino();
        let expected: Vec<u64> = ["a/b", "a", "."]
            .map(|folder| fs::metadata(share.path().join(folder)).unwrap().ino())
            .to_vec();
        assert_eq!(parent.to_sync.iter().map(inode).collect::<Vec<_>>(), expected);
        assert_eq!(inode(&parent.folder), expected[0]);

        fs::write(share.path().join("file"), "").unwrap();
        let error = share.parent_for_writing(&name("file/x")).unwrap_err();
        assert!(error.to_string().contains("\"file\""), "{error}");
    }

    #[test]
    fn a_replaced_folder_is_noticed() {
        let (root, mut share) = held();
        assert!(!share.reopen_if_replaced().unwrap());
        fs::rename(share.path(), root.path().join("old")).unwrap();
        assert!(share.is_replaced());
        assert!(share.reopen_if_replaced().unwrap());
        assert!(share.path().is_dir() && !share.is_replaced());
        fs::write(share.path().join("new"), "n").unwrap();
        assert!(share.open(&name("new")).is_ok());
    }
}
