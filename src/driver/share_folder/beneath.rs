//! Opening a name with folders below a held folder, so that nothing on the way is a link and the way leads nowhere
//! else, whoever changes the folders meanwhile.
//!
//! `openat2` does it in one system call, and the kernel itself watches over the way. Where there is none (before
//! Linux 5.6) or it is forbidden (filters of system calls often do not know it), each folder is opened below the one
//! before, which takes a call each and keeps the same rule.

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

/// How the way is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Way {
    /// In one system call.
    #[default]
    AtOnce,
    /// Folder by folder.
    Stepwise,
}

/// Opens what stands at `path` below the folder: names with `/` between them, none of them `..`. Whatever the flags
/// say, no link is followed and the handle goes to no other program.
pub(super) fn open(
    folder: BorrowedFd<'_>,
    way: &Cell<Way>,
    path: &str,
    flags: OFlags,
) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // No name has it, and where it would lead is nobody's business.
    if path.split('/').any(|component| component == "..") {
        return Err(Errno::XDEV);
    }
    if way.get() == Way::AtOnce {
        let opened = at_once(folder, path, flags);
        if !opened.as_ref().is_err_and(|error| may_be_forbidden(*error)) {
            return opened;
        }
    }
    let opened = stepwise(folder, path, flags)?;
    // What can be opened so, and could not at once, is not what stood in the way.
    way.set(Way::Stepwise);
    Ok(opened)
}

/// Whether this may be said of the system call, and not of the file. `AGAIN` is a file that others move around.
const fn may_be_forbidden(error: Errno) -> bool {
    matches!(
        error,
        Errno::NOSYS | Errno::PERM | Errno::ACCESS | Errno::INVAL | Errno::TOOBIG | Errno::AGAIN
    )
}

fn at_once(folder: BorrowedFd<'_>, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let rules = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(folder, path, flags, Mode::empty(), rules)
}

fn stepwise(folder: BorrowedFd<'_>, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let on_the_way = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let (folders, name) = path.rsplit_once('/').map_or((None, path), |(at, name)| (Some(at), name));
    let mut inner: Option<OwnedFd> = None;
    for component in folders.into_iter().flat_map(|folders| folders.split('/')) {
        let folder = inner.as_ref().map_or(folder, AsFd::as_fd);
        inner = Some(openat(folder, component, on_the_way, Mode::empty())?);
    }
    openat(inner.as_ref().map_or(folder, AsFd::as_fd), name, flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Read as _;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    /// A folder with all that can stand on a way, and a secret beside it.
    fn folder() -> (tempfile::TempDir, File) {
        let root = tempfile::tempdir().unwrap();
        let (inside, outside) = (root.path().join("in"), root.path().join("out"));
        fs::create_dir_all(inside.join("a/b")).unwrap();
        fs::create_dir(&outside).unwrap();
        for file in ["in/file", "in/a/file", "in/a/b/file", "out/secret", "out/file"] {
            fs::write(root.path().join(file), file).unwrap();
        }
        symlink("../out", inside.join("link")).unwrap();
        symlink(&outside, inside.join("a/absolute")).unwrap();
        symlink("b", inside.join("a/harmless")).unwrap();
        symlink("file", inside.join("a/file-link")).unwrap();
        symlink("/proc/self/root", inside.join("a/magic")).unwrap();
        symlink("loop", inside.join("loop")).unwrap();
        let held = File::open(inside).unwrap();
        (root, held)
    }

    /// Either way opens the same files, and refuses the same, each with an error that says so.
    #[test]
    fn both_ways_are_the_same() {
        let (_root, held) = folder();
        let file = OFlags::RDONLY | OFlags::NONBLOCK;
        let to = |path: &str, flags, way| {
            let opened = open(held.as_fd(), &Cell::new(way), path, flags);
            opened.map(|opened| File::from(opened).metadata().unwrap().ino())
        };
        for path in ["file", "a/file", "a/b/file", "a", "a/b", "."] {
            let found = to(path, file, Way::AtOnce);
            assert!(found.is_ok(), "{path}: {found:?}");
            assert_eq!(found, to(path, file, Way::Stepwise), "{path}");
        }
        for path in ["a", "a/b", "."] {
            let found = to(path, OFlags::DIRECTORY, Way::AtOnce);
            assert!(found.is_ok(), "{path}: {found:?}");
            assert_eq!(found, to(path, OFlags::DIRECTORY, Way::Stepwise), "{path}");
        }
        let is_no_way = |error: Result<u64, Errno>| {
            let expected = [Errno::LOOP, Errno::NOTDIR, Errno::XDEV, Errno::NOENT];
            error.is_err_and(|error| expected.contains(&error))
        };
        for path in [
            "link",
            "link/secret",
            "link/file",
            "a/absolute/secret",
            "a/harmless/file",
            "a/file-link",
            "a/magic/etc/passwd",
            "loop",
            "loop/x",
            "file/x",
            "..",
            "../out/secret",
            "a/../../out/secret",
            "a/..",
            "a/b/../../../out/secret",
            "absent",
            "a/absent/x",
        ] {
            for flags in [file, OFlags::DIRECTORY] {
                assert!(is_no_way(to(path, flags, Way::AtOnce)), "{path} at once");
                assert!(is_no_way(to(path, flags, Way::Stepwise)), "{path} step by step");
            }
        }
        assert!(to("file", OFlags::DIRECTORY, Way::AtOnce).is_err());
    }

    /// What only the system call is to blame for does not come again; what the file is to blame for does.
    #[test]
    fn it_goes_step_by_step_from_when_it_has_to() {
        let (_root, held) = folder();
        let has_it = at_once(held.as_fd(), "a/b", OFlags::DIRECTORY).is_ok();
        for way in [Way::AtOnce, Way::Stepwise] {
            let remembered = Cell::new(way);
            let open = |path| open(held.as_fd(), &remembered, path, OFlags::RDONLY);
            let mut text = String::new();
            File::from(open("a/b/file").unwrap()).read_to_string(&mut text).unwrap();
            assert_eq!(text, "in/a/b/file");
            for refused in ["link/secret", "a/absolute/secret", "a/absent"] {
                assert!(open(refused).is_err(), "{refused}");
            }
            assert_eq!(remembered.get(), if has_it { way } else { Way::Stepwise });
        }
        for error in [Errno::NOSYS, Errno::PERM, Errno::ACCESS] {
            assert!(may_be_forbidden(error));
        }
        for error in [Errno::LOOP, Errno::NOTDIR, Errno::NOENT, Errno::XDEV, Errno::MFILE] {
            assert!(!may_be_forbidden(error));
        }
    }
}
