//! Putting files into `share/`, and taking them out of it. The network is only asked whether somebody else
//! has what is to go.

mod folders;
mod proving;
mod removing;

use std::fs::File;
use std::io::{self, BufWriter, Read};
use std::process::ExitCode;

use rustix::fs::{Dir, FileType};
use serde::Serialize;

use self::folders::{Found, Source, found};
pub use self::removing::run_remove;
use super::asking::{Answer, Answers};
use super::lines::complain;
use super::placing::{self, How};
use super::run::{End, FAILED, NOT_NOW, Trouble, finish, open_share};
use super::share_folder::{ShareFolder, WritableParent, entry, signature};
use crate::config::{AddConfig, Config, Verbosity};
use crate::content::state_chain::ChainHasher;
use crate::content::{ContentId, ShareName};

/// Bytes that are read at once.
const BUFFER_LENGTH: usize = 256 * 1024;

/// A file that stands in `share/` now.
#[derive(Serialize)]
struct AddAnswer<'a> {
    name: &'a str,
    size: u64,
    sha1: String,
    how: How,
}

impl Answer for AddAnswer<'_> {
    fn text(&self) -> String {
        format!("{}  {:>12} B  {}", self.sha1, self.size, self.name)
    }
}

/// Puts files and folders into `share/`.
pub fn run_add(config: &Config, add: &AddConfig) -> ExitCode {
    super::signals::outlive_file_size_limit();
    finish(add_all(config, add))
}

fn add_all(config: &Config, add: &AddConfig) -> Result<End, Trouble> {
    let share = open_share(&config.root)?;
    let mut out = Answers::new(BufWriter::new(io::stdout().lock()), add.json);
    let mut code = 0;
    for path in &add.paths {
        for item in found(path, &share) {
            let added = match &item {
                Found::File { source, name } => put(source, name, &share).map(|put| (name, put)),
                Found::LeftOut(sentence) => {
                    if config.verbosity > Verbosity::Quiet {
                        complain(sentence);
                    }
                    continue;
                }
                Found::Refused(sentence) => Err(sentence.clone().into()),
            };
            match added {
                Ok((name, (content, size, how))) => {
                    let sha1 = content.to_string();
                    let answer = AddAnswer { name: name.as_str(), size, sha1, how };
                    out.all(std::iter::once(answer))?;
                }
                Err(trouble) => {
                    complain(&trouble.sentence);
                    code = if code == FAILED { FAILED } else { trouble.code };
                }
            }
        }
    }
    Ok(End::Code(code))
}

/// Puts one file into `share/`, whole or not at all; what stands there is never replaced.
fn put(
    source: &Source,
    name: &ShareName,
    share: &ShareFolder,
) -> Result<(ContentId, u64, How), Trouble> {
    let unread = |error: io::Error| format!("{}: {error}", source.path().display());
    let file = source.open().map_err(unread)?;
    let before = signature(&file).map_err(unread)?;
    let content = content_of(&file, before.size).map_err(unread)?;
    if signature(&file).map_err(unread)? != before {
        return Err(
            unread(io::Error::other("it is being changed; add it when that is over")).into()
        );
    }
    let how = place(&file, (content, before.size), name, share)
        .map_err(|error| unplaced(source, name, share, &error))?;
    Ok((content, before.size, how))
}

/// Gives a file that has been read its place.
fn place(
    file: &File,
    (content, size): (ContentId, u64),
    name: &ShareName,
    share: &ShareFolder,
) -> io::Result<How> {
    let WritableParent { folder, to_sync } = share.parent_for_writing(name)?;
    let placed = match placing::link(file, &folder, name.file_name()) {
        Ok(()) => Ok(How::Link),
        Err(error) if placing::may_copy(&error) => {
            placing::copy(file, &folder, name.file_name(), false)
        }
        Err(error) => Err(error),
    };
    let how = match placed {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let there = entry::open_file(&folder, name.file_name(), rustix::fs::OFlags::RDONLY)?;
            let there_size = signature(&there)?.size;
            if there_size != size || content_of(&there, size)? != content {
                let other =
                    format!("share/{name} is another file, and stays; rename one of the two");
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, other));
            }
            How::There
        }
        placed => placed?,
    };
    for folder in to_sync {
        entry::sync_folder(folder)?;
    }
    Ok(how)
}

/// Why a file that could be read has no place in `share/`.
fn unplaced(source: &Source, name: &ShareName, share: &ShareFolder, error: &io::Error) -> Trouble {
    let (path, shown) = (source.path().display(), share.path().display());
    let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    let remedy = match error.kind() {
        io::ErrorKind::AlreadyExists => return format!("{path}: {error}").into(),
        io::ErrorKind::PermissionDenied => {
            format!("; see to whose it is and to its rights (ls -ld {shown}; chmod u+rwx)")
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "; name a folder that can be written to with --root".to_owned()
        }
        _ if full => "; make room on the disk and add it again".to_owned(),
        _ => String::new(),
    };
    let code = if full { NOT_NOW } else { FAILED };
    let sentence = format!("{path} cannot be put into {shown} as {name}: {error}{remedy}");
    Trouble { sentence, code }
}

/// Hashes a file from its beginning.
fn content_of(mut file: &File, size: u64) -> io::Result<ContentId> {
    let mut hasher = ChainHasher::new(size);
    let mut buffer = vec![0; BUFFER_LENGTH];
    io::Seek::rewind(&mut file)?;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => hasher.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if hasher.taken() > size {
            break;
        }
    }
    let changed = || io::Error::other("it is being changed; try again when that is over");
    hasher.finish().map(|(content, _)| content).ok_or_else(changed)
}

/// The names of all files in `share/`, for the sentence that says which are near.
fn names_in(share: &ShareFolder) -> Vec<String> {
    let mut names = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(path) = folders.pop() {
        let Ok(entries) = share.open_folder(&path).and_then(Dir::new) else { continue };
        let before = if path.is_empty() { path } else { path + "/" };
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().to_str() else { continue };
            // What could not be asked for need not be told; it also bounds how deep this goes.
            let Ok(name) = ShareName::parse(&format!("{before}{name}")) else { continue };
            match entry.file_type() {
                FileType::Directory => folders.push(name.as_str().to_owned()),
                FileType::RegularFile => names.push(name.as_str().to_owned()),
                _ => {}
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    fn found_in(path: &Path, share: &ShareFolder) -> Vec<(Source, ShareName)> {
        let files = found(path, share).into_iter().filter_map(|found| match found {
            Found::File { source, name } => Some((source, name)),
            _ => None,
        });
        files.collect()
    }

    /// While one file of a folder is hashed, others have time to put something else where the next one stood.
    #[test]
    fn what_stands_there_only_after_the_look_is_not_added() {
        let root = tempfile::tempdir().unwrap();
        let share = ShareFolder::open_or_make(&root.path().join("share")).unwrap();
        let (big, outside) = (root.path().join("big"), root.path().join("outside"));
        for folder in [&big.join("sub"), &outside] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(outside.join("key"), "secret").unwrap();
        for name in ["fifo", "link", "other", "same", "sub/key"] {
            fs::write(big.join(name), name).unwrap();
        }
        let files = found_in(&big, &share);
        assert_eq!(files.len(), 5);
        let named = found_in(&big.join("fifo"), &share);
        fs::remove_file(big.join("link")).unwrap();
        symlink(outside.join("key"), big.join("link")).unwrap();
        fs::rename(big.join("sub"), root.path().join("gone")).unwrap();
        symlink(&outside, big.join("sub")).unwrap();
        fs::rename(outside.join("key"), big.join("other")).unwrap();
        fs::write(outside.join("key"), "secret").unwrap();
        fs::remove_file(big.join("fifo")).unwrap();
        mknodat(CWD, big.join("fifo"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        for (source, name) in files.iter().chain(&named) {
            let put = put(source, name, &share);
            assert_eq!(put.is_ok(), name.as_str() == "big/same", "{name}");
        }
        assert_eq!(names_in(&share), ["big/same"]);
    }

    #[test]
    fn who_cannot_be_written_to_is_named() {
        let root = tempfile::tempdir().unwrap();
        let share = ShareFolder::open_or_make(&root.path().join("share")).unwrap();
        let path = root.path().join("fox.txt");
        fs::write(&path, "fox").unwrap();
        let (source, name) = found_in(&path, &share).remove(0);
        let of = |kind: io::ErrorKind| {
            let trouble = unplaced(&source, &name, &share, &io::Error::from(kind));
            (trouble.sentence, trouble.code)
        };
        let (denied, code) = of(io::ErrorKind::PermissionDenied);
        assert!(denied.contains("cannot be put into") && denied.contains("/share as fox.txt"));
        assert!(denied.contains("chmod") && code == FAILED, "{denied}");
        let (full, code) = of(io::ErrorKind::StorageFull);
        assert!(full.contains("make room") && code == NOT_NOW, "{full}");
    }
}
