//! Single entries of a held folder: opened, looked at, named and removed without ever following a
//! link. A name here is one component.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RenameFlags, fsync, linkat, openat, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::path::Arg;

use super::{signature, signature_from};
use crate::node::input::FileSignature;

/// How files are opened, beside reading or writing: not through a link, without waiting, and for this program alone.
pub(super) const FILE: OFlags =
    OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Opens a regular file; `mode` is how, say `OFlags::RDWR`. Anything else is an error, and does not
/// block. A file that is made gets the usual rights, less the umask.
pub fn open_file(folder: impl AsFd, name: impl Arg, mode: OFlags) -> io::Result<File> {
    regular(openat(folder, name, mode | FILE, Mode::from_raw_mode(0o666))?)
}

/// What was opened, if it is a regular file.
pub(super) fn regular(opened: OwnedFd) -> io::Result<File> {
    let file = File::from(opened);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
    }
}

/// Opens a folder, not through a link.
pub fn open_folder(folder: impl AsFd, name: impl Arg) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(folder, name, flags, Mode::empty())?)
}

/// What a look at a name says of what stands there, be it a link.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Which file it is, and in which state.
    pub state: FileSignature,
    /// Whether it is a regular file.
    pub is_file: bool,
    /// How many names it has.
    pub links: u64,
}

/// Looks at what stands under a name, in one system call.
#[allow(clippy::useless_conversion, reason = "the widths differ between architectures")]
pub fn look(folder: impl AsFd, name: impl Arg) -> io::Result<Look> {
    let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    Ok(Look { state: signature_from(&stat), is_file, links: stat.st_nlink.into() })
}

/// What stands under a name, be it a link.
pub fn metadata(folder: impl AsFd, name: impl Arg) -> io::Result<Metadata> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    File::from(openat(folder, name, flags, Mode::empty())?).metadata()
}

/// The size of the regular file that stands under a name; none, where something else does. One system
/// call.
pub fn file_size(folder: impl AsFd, name: impl Arg) -> io::Result<Option<u64>> {
    let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    Ok(u64::try_from(stat.st_size).ok().filter(|_| is_file))
}

/// Whether the name still stands for this open file.
pub fn is_same_file(folder: impl AsFd, name: impl Arg, file: &File) -> io::Result<bool> {
    let (there, held) = match look(folder, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        there => (there?.state, signature(file)?),
    };
    Ok((there.device, there.inode) == (held.device, held.inode))
}

/// Removes a file, link, pipe or empty folder. What is not there is removed already.
pub fn remove(folder: impl AsFd, name: &str) -> io::Result<()> {
    let folder = folder.as_fd();
    match unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR | Errno::PERM) if metadata(folder, name).is_ok_and(|it| it.is_dir()) => {
            Ok(unlinkat(folder, name, AtFlags::REMOVEDIR)?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Gives an entry another name that must be free: `AlreadyExists` where it is not. Where the file
/// system has no such renaming there is a moment at which the file has both names.
pub fn rename_to_free(from: impl AsFd, old: &str, to: impl AsFd, new: &str) -> io::Result<()> {
    let (from, to) = (from.as_fd(), to.as_fd());
    match rustix::fs::renameat_with(from, old, to, new, RenameFlags::NOREPLACE) {
        Err(unsupported @ (Errno::INVAL | Errno::NOSYS | Errno::NOTSUP)) => {
            match linkat(from, old, to, new, AtFlags::empty()) {
                Ok(()) => Ok(unlinkat(from, old, AtFlags::empty())?),
                Err(error @ (Errno::EXIST | Errno::XDEV | Errno::NOENT)) => Err(error.into()),
                Err(_) => Err(unsupported.into()),
            }
        }
        other => Ok(other?),
    }
}

/// Syncs a folder, so that the names in it survive a power cut. A file system that has nothing to
/// sync there is content.
pub fn sync_folder(folder: impl AsFd) -> io::Result<()> {
    match fsync(folder) {
        Err(Errno::INVAL | Errno::NOTSUP) => Ok(()),
        other => Ok(other?),
    }
}
