//! A whole file gets a place: by a hard link, by sharing its blocks on disk (reflink), or by a copy. Until all of it
//! is there it has no name at all, or one that begins with a dot.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{OFlags, fsync, ioctl_ficlone, renameat};
use rustix::io::Errno;
use serde::Serialize;

use super::publish::copy::{copy_slice, name_it, nameless};
use super::share_folder::{entry, signature};

/// So many hidden names are tried.
const HIDDEN_NAMES_MAX: u32 = 1_024;

/// How a file came to its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// It was there.
    There,
    /// Another name of the same file.
    Link,
    /// A file of its own that shares its blocks on disk.
    Reflink,
    /// A file of its own.
    Copy,
}

/// Gives an open file a second name, which must be free.
pub fn link(file: &File, folder: impl AsFd, name: &str) -> io::Result<()> {
    name_it(file, &folder, name)?;
    entry::sync_folder(folder)
}

/// Whether an error of [`link`] means that a copy may do.
pub fn may_copy(error: &io::Error) -> bool {
    let known =
        [Errno::XDEV, Errno::PERM, Errno::MLINK, Errno::NOTSUP, Errno::ACCESS, Errno::NOENT];
    Errno::from_io_error(error).is_some_and(|errno| known.contains(&errno))
}

/// Makes a copy under this name: whole and on disk, or not at all. What has the name stays, and is an
/// error (`AlreadyExists`), unless it is to be `replaced`.
pub fn copy(from: &File, folder: impl AsFd, name: &str, replaced: bool) -> io::Result<How> {
    let folder = folder.as_fd();
    let how = match nameless(folder)? {
        Some(to) => {
            let how = fill(from, &to)?;
            if replaced {
                // Nothing but a rename replaces what has a name, and it takes one.
                let (hidden, ()) = under_hidden_name(|hidden| name_it(&to, folder, hidden))?;
                rename_hidden(folder, (&hidden, name), replaced)?;
            } else {
                name_it(&to, folder, name)?;
            }
            how
        }
        None => copy_by_renaming(from, folder, name, replaced)?,
    };
    entry::sync_folder(folder)?;
    Ok(how)
}

fn copy_by_renaming(
    from: &File,
    folder: BorrowedFd<'_>,
    name: &str,
    replaced: bool,
) -> io::Result<How> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
    let (hidden, to) = under_hidden_name(|hidden| entry::open_file(folder, hidden, flags))?;
    let how = fill(from, &to).inspect_err(|_| remove_hidden(folder, &hidden))?;
    rename_hidden(folder, (&hidden, name), replaced)?;
    Ok(how)
}

/// Makes something under the first hidden name that is free. The process number alone would not
/// do: in containers that share a folder several have the same, and so has what was left behind.
fn under_hidden_name<T>(make: impl Fn(&str) -> io::Result<T>) -> io::Result<(String, T)> {
    let process = std::process::id();
    for number in 1..=HIDDEN_NAMES_MAX {
        let hidden = match number {
            1 => format!(".sprat-{process}"),
            _ => format!(".sprat-{process}-{number}"),
        };
        match make(&hidden) {
            Ok(made) => return Ok((hidden, made)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other(format!(
        "{HIDDEN_NAMES_MAX} files .sprat-{process}-... stand there; remove those that nobody writes"
    )))
}

fn rename_hidden(
    folder: BorrowedFd<'_>,
    (hidden, name): (&str, &str),
    replaced: bool,
) -> io::Result<()> {
    let renamed = if replaced {
        renameat(folder, hidden, folder, name).map_err(io::Error::from)
    } else {
        entry::rename_to_free(folder, hidden, folder, name)
    };
    renamed.inspect_err(|_| remove_hidden(folder, hidden))
}

/// Removes what this call has made, and nothing else has that name.
fn remove_hidden(folder: BorrowedFd<'_>, hidden: &str) {
    // The error of the copy says more than one of tidying up.
    let _ = entry::remove(folder, hidden);
}

/// Fills an empty file with another's bytes, and syncs it. A file that changes meanwhile is an error.
fn fill(from: &File, to: &File) -> io::Result<How> {
    let before = signature(from)?;
    let how = if ioctl_ficlone(to, from).is_ok() {
        How::Reflink
    } else {
        let mut copied = 0;
        while copied < before.size {
            match copy_slice((from, copied), (to, copied), before.size - copied)? {
                0 => break,
                more => copied += more,
            }
        }
        How::Copy
    };
    fsync(to)?;
    if signature(from)? != before {
        return Err(io::Error::other("it is being changed; try again when that is over"));
    }
    Ok(how)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_copy_is_whole_and_replaces_nothing_unasked() {
        let root = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
        fs::write(root.path().join("from"), &bytes).unwrap();
        let (from, folder) =
            (File::open(root.path().join("from")).unwrap(), File::open(root.path()).unwrap());
        let at = |name: &str| root.path().join(name);
        copy(&from, &folder, "to", false).unwrap();
        assert!(fs::read(at("to")).unwrap() == bytes);
        fs::write(at("other"), "mine").unwrap();
        let error = copy(&from, &folder, "other", false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(at("other")).unwrap(), b"mine");
        copy(&from, &folder, "other", true).unwrap();
        assert!(fs::read(at("other")).unwrap() == bytes);
        link(&from, &folder, "second").unwrap();
        assert!(link(&from, &folder, "other").is_err());
        assert_eq!(entry::look(&folder, "second").unwrap().links, 2);
        let names = fs::read_dir(root.path()).unwrap().count();
        assert_eq!(names, 4, "nothing else is left behind");
    }

    #[test]
    fn hidden_names_that_others_have_stay_theirs() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::write(at("from"), "new").unwrap();
        fs::create_dir(at("taken")).unwrap();
        let theirs = at(&format!(".sprat-{}", std::process::id()));
        fs::write(&theirs, "theirs").unwrap();
        let (from, folder) = (File::open(at("from")).unwrap(), File::open(root.path()).unwrap());
        for replaced in [false, true] {
            let to = format!("to-{replaced}");
            copy_by_renaming(&from, folder.as_fd(), &to, replaced).unwrap();
            assert_eq!(fs::read(at(&to)).unwrap(), b"new");
            assert!(copy_by_renaming(&from, folder.as_fd(), "taken", replaced).is_err());
        }
        copy(&from, &folder, "to-true", true).unwrap();
        assert!(copy(&from, &folder, "taken", true).is_err());
        assert_eq!(fs::read(theirs).unwrap(), b"theirs");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 5, "nothing else is left behind");
        let error = under_hidden_name(|_| Err::<(), _>(Errno::EXIST.into())).unwrap_err();
        assert_ne!(error.kind(), io::ErrorKind::AlreadyExists, "that would be another sentence");
    }
}
