//! What there is to add: a file, or all that can be offered below a folder.

use std::ffi::{CString, OsStr};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{CWD, Dir, Mode, OFlags};

use crate::content::ShareName;
use crate::driver::share_folder::{ShareFolder, entry};

/// Something that was found where a person pointed.
#[derive(Debug)]
pub(super) enum Found {
    /// A file, and the name that it gets.
    File {
        /// Where it is.
        source: Source,
        /// What it will be called.
        name: ShareName,
    },
    /// In a folder, something that nobody would be offered: why.
    LeftOut(String),
    /// What was named itself cannot be added: why.
    Refused(String),
}

/// Where a file is that was found. Until it is its turn to be read, somebody else may put another there.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    /// The folder that a person named, and the file's name below it; none, where the file itself was named.
    below: Option<(Rc<ShareFolder>, ShareName)>,
    device: u64,
    inode: u64,
}

impl Source {
    fn of(path: PathBuf, below: Option<(Rc<ShareFolder>, ShareName)>, metadata: &Metadata) -> Self {
        Self { path, below, device: metadata.dev(), inode: metadata.ino() }
    }

    /// Where it was found.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file that was found: no other, and, below a folder, through no link. Does not block.
    pub(super) fn open(&self) -> io::Result<File> {
        let file = match &self.below {
            Some((folder, name)) => folder.open(name)?,
            None => {
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
                rustix::fs::open(&self.path, flags, Mode::empty())?.into()
            }
        };
        let metadata = file.metadata()?;
        let is_it = (metadata.dev(), metadata.ino()) == (self.device, self.inode);
        if metadata.is_file() && is_it {
            Ok(file)
        } else {
            Err(io::Error::other(
                "something else stands there by now; add it again if it is to be shared",
            ))
        }
    }
}

/// What stands at a path, in the order of names.
pub(super) fn found(path: &Path, share: &ShareFolder) -> Vec<Found> {
    let shown = path.display();
    let refused = |why: String| vec![Found::Refused(format!("{shown}: {why}"))];
    let whole = match path.canonicalize() {
        Ok(whole) => whole,
        Err(error) => return refused(error.to_string()),
    };
    // A link that a person names is followed, and keeps its own name.
    let last = path.file_name().or_else(|| whole.file_name());
    let Some(name) = last.and_then(|name| name.to_str()) else {
        return refused(match last {
            Some(_) => "its name is no UTF-8 text; rename it".to_owned(),
            None => "it has no name of its own; name the files or folders in it".to_owned(),
        });
    };
    let share = share.path().canonicalize();
    let share_is_within = share.as_ref().is_ok_and(|share| share.starts_with(&whole));
    match fs::metadata(&whole) {
        Err(error) => refused(error.to_string()),
        Ok(metadata) if metadata.is_dir() && share_is_within => {
            refused("share/ itself lies in this folder; name what is to be added".to_owned())
        }
        Ok(metadata) if metadata.is_dir() => {
            let top =
                match entry::open_folder(CWD, &whole).and_then(|at| ShareFolder::of(&whole, at)) {
                    Ok(top) => Rc::new(top),
                    Err(error) => return refused(error.to_string()),
                };
            let mut found = Vec::new();
            below(&whole, name, (&top, ""), &mut found);
            found
        }
        Ok(metadata) if metadata.is_file() => match offered(name) {
            Ok(name) => {
                let source = Source::of(path.to_owned(), None, &metadata);
                vec![Found::File { source, name }]
            }
            Err(why) => refused(why),
        },
        Ok(_) => refused("it is neither a file nor a folder".to_owned()),
    }
}

/// What of a folder can be offered, under the name that the folder gets. It has the name `within` below `top`.
fn below(
    folder: &Path,
    name: &str,
    (top, within): (&Rc<ShareFolder>, &str),
    found: &mut Vec<Found>,
) {
    let listed = top.open_folder(within).and_then(|folder| {
        let inner = Dir::read_from(&folder)?.map(|entry| Ok(entry?.file_name().to_owned()));
        Ok((inner.collect::<rustix::io::Result<Vec<CString>>>()?, folder))
    });
    let (mut names, opened) = match listed {
        Ok(listed) => listed,
        Err(error) => {
            let why = io::Error::from(error);
            return found.push(Found::Refused(format!("{}: {why}", folder.display())));
        }
    };
    names.retain(|name| !matches!(name.to_bytes(), b"." | b".."));
    names.sort_unstable();
    for entry_name in names {
        let path = folder.join(OsStr::from_bytes(entry_name.to_bytes()));
        let left_out = |why: &str| Found::LeftOut(format!("{} is left out: {why}", path.display()));
        let slash = if within.is_empty() { "" } else { "/" };
        let Some((inner, within)) = entry_name
            .to_str()
            .ok()
            .map(|it| (format!("{name}/{it}"), format!("{within}{slash}{it}")))
        else {
            found.push(left_out("its name is no UTF-8 text"));
            continue;
        };
        let it = match entry::metadata(&opened, &entry_name) {
            Ok(it) => it,
            Err(error) => {
                found.push(left_out(&error.to_string()));
                continue;
            }
        };
        // A folder may be called what no file is that is offered: `old.part/x`.
        let name = offered(&if it.is_dir() { format!("{inner}/x") } else { inner.clone() });
        match name {
            // Names are 32 folders deep at most, so this ends.
            Ok(_) if it.is_dir() => below(&path, &inner, (top, &within), found),
            Ok(name) if it.is_file() => match ShareName::parse(&within) {
                Ok(within) => {
                    let below = Some((Rc::clone(top), within));
                    found.push(Found::File { source: Source::of(path, below, &it), name });
                }
                Err(problem) => found.push(left_out(&problem.to_string())),
            },
            Ok(_) => found.push(left_out("it is neither a file nor a folder")),
            Err(why) => found.push(left_out(&why)),
        }
    }
}

/// The name, if a file of this name is offered to others.
fn offered(name: &str) -> Result<ShareName, String> {
    let name = ShareName::parse(name).map_err(|problem| problem.to_string())?;
    if name.is_offered() {
        Ok(name)
    } else {
        Err("files with such a name are not offered (a dot first, *.part, *~ and the like)"
            .to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_folder_and_what_is_not_offered() {
        let root = tempfile::tempdir().unwrap();
        let share = ShareFolder::open_or_make(&root.path().join("share")).unwrap();
        let folder = root.path().join("photos");
        fs::create_dir_all(folder.join("2026")).unwrap();
        fs::create_dir_all(folder.join("old.part")).unwrap();
        for name in ["b.jpg", "a.jpg", ".hidden", "c.part", "2026/d.jpg", "old.part/e.jpg"] {
            fs::write(folder.join(name), name).unwrap();
        }
        std::os::unix::fs::symlink("a.jpg", folder.join("link")).unwrap();
        let (mut names, mut left_out) = (Vec::new(), 0);
        for found in found(&folder, &share) {
            match found {
                Found::File { name, .. } => names.push(name.to_string()),
                Found::LeftOut(_) => left_out += 1,
                Found::Refused(why) => panic!("{why}"),
            }
        }
        assert_eq!(
            names,
            ["photos/2026/d.jpg", "photos/a.jpg", "photos/b.jpg", "photos/old.part/e.jpg"]
        );
        assert_eq!(left_out, 3);
        for refused in [root.path(), &root.path().join("none"), &folder.join(".hidden")] {
            let found = found(refused, &share);
            assert!(matches!(found[..], [Found::Refused(_)]), "{found:?}");
        }
    }
}
