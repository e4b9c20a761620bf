//! Putting files into `share/`, and taking them out of it. The network is only asked whether somebody else
//! has what is to go.

mod folders;
mod proving;
mod removing;

use std::fs::{self, File};
use std::io::{self, BufWriter, Read};
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use self::folders::{Found, found};
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
                Found::File { path, name } => {
                    put(path, name, &share).map(|put| (name, put)).map_err(|error| {
                        let full = error.kind() == io::ErrorKind::StorageFull
                            || error.kind() == io::ErrorKind::QuotaExceeded;
                        let code = if full { NOT_NOW } else { FAILED };
                        Trouble { sentence: format!("{}: {error}", path.display()), code }
                    })
                }
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
fn put(path: &Path, name: &ShareName, share: &ShareFolder) -> io::Result<(ContentId, u64, How)> {
    let file = File::open(path)?;
    let before = signature(&file)?;
    let content = content_of(&file, before.size)?;
    if signature(&file)? != before {
        return Err(io::Error::other("it is being changed; add it when that is over"));
    }
    let WritableParent { folder, to_sync } = share.parent_for_writing(name)?;
    let placed = match placing::link(&file, &folder, name.file_name()) {
        Ok(()) => Ok(How::Link),
        Err(error) if placing::may_copy(&error) => {
            placing::copy(&file, &folder, name.file_name(), false)
        }
        Err(error) => Err(error),
    };
    let how = match placed {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let there = entry::open_file(&folder, name.file_name(), rustix::fs::OFlags::RDONLY)?;
            let size = signature(&there)?.size;
            if size != before.size || content_of(&there, size)? != content {
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
    Ok((content, before.size, how))
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
    let mut folders = vec![(share.path().to_owned(), String::new())];
    while let Some((path, before)) = folders.pop() {
        let Ok(entries) = fs::read_dir(path) else { continue };
        for entry in entries.flatten() {
            let name = format!("{before}{}", entry.file_name().to_string_lossy());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push((entry.path(), format!("{name}/"))),
                Ok(kind) if kind.is_file() => names.push(name),
                _ => {}
            }
        }
    }
    names
}
