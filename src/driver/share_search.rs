//! Looking whether `share/` already holds a content: under the wanted name first, then under any
//! offered one of the same size, in the order of their names. Follows no links and reads no more
//! than it has to.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use log::{debug, warn};
use rustix::fs::{Dir, FileType, OFlags};

use super::file_hash::{FileHash, Hashing};
use crate::content::{ContentId, ShareName};
use crate::driver::share_folder::{self, ShareFolder, entry};
use crate::node::input::{FileSignature, ShareSearch};

/// How many entries of folders are read or looked at in one step.
const STEP_ENTRIES: usize = 256;
/// How many names of one folder are looked at; they are sorted in memory.
const FOLDER_ENTRIES_MAX: usize = 1_000_000;

/// What the hash cache knows of a file in this state.
pub type Known<'a> = dyn FnMut(&ShareName, &FileSignature) -> Option<ContentId> + 'a;

/// The work for one `Output::SearchShare`.
#[derive(Debug)]
pub struct SearchJob {
    content: ContentId,
    size: u64,
    wanted: ShareName,
    hashing: Option<(ShareName, FileHash)>,
    /// The folders that are being walked, outermost first; none before the wanted name was seen to.
    walk: Option<Vec<Level>>,
}

/// One folder being walked.
struct Level {
    folder: OwnedFd,
    /// What its files' names begin with: empty, or ending in `/`.
    prefix: String,
    /// While it is read.
    listing: Option<Dir>,
    /// What is still to be looked at, last first once it is read.
    names: Vec<(String, FileType)>,
}

impl std::fmt::Debug for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} with {} to go", self.prefix, self.names.len())
    }
}

/// What looking at one file came to.
enum Look {
    /// It is the content.
    Found,
    /// It is not.
    Other,
    /// It has to be hashed.
    Hash(FileHash),
}

impl SearchJob {
    /// Looks for `content`, which has `size` bytes, under `wanted` first.
    pub fn new(content: ContentId, size: u64, wanted: ShareName) -> Self {
        Self { content, size, wanted, hashing: None, walk: None }
    }

    /// Does the next piece: a few hundred folder entries, or half a mebibyte hashed. The answer,
    /// once there is one.
    pub fn step(&mut self, share: &ShareFolder, known: &mut Known<'_>) -> Option<ShareSearch> {
        if let Some((name, mut hash)) = self.hashing.take() {
            match hash.step() {
                Ok(Hashing::More) => self.hashing = Some((name, hash)),
                Ok(Hashing::Content(content)) if content == self.content => {
                    return Some(self.found(name));
                }
                Ok(_) => {}
                Err(error) => debug!("cannot read share/{name}: {error}"),
            }
            return None;
        }
        if self.walk.is_some() {
            return self.step_walk(known);
        }
        self.walk = Some(Level::open(share.handle(), String::new()).into_iter().collect());
        match share.open(&self.wanted).and_then(|file| self.look(&self.wanted, file, known)) {
            Ok(Look::Found) => return Some(ShareSearch::InPlace),
            Ok(Look::Hash(hash)) => self.hashing = Some((self.wanted.clone(), hash)),
            Ok(Look::Other) => {}
            Err(error) => debug!("share/{} is not it: {error}", self.wanted),
        }
        None
    }

    fn found(&self, name: ShareName) -> ShareSearch {
        if name == self.wanted { ShareSearch::InPlace } else { ShareSearch::Elsewhere(name) }
    }

    fn look(&self, name: &ShareName, file: File, known: &mut Known<'_>) -> io::Result<Look> {
        let state = share_folder::signature(&file)?;
        if state.size != self.size {
            return Ok(Look::Other);
        }
        Ok(match known(name, &state) {
            Some(content) if content == self.content => Look::Found,
            Some(_) => Look::Other,
            None => Look::Hash(FileHash::new(file)?),
        })
    }

    fn step_walk(&mut self, known: &mut Known<'_>) -> Option<ShareSearch> {
        for _ in 0..STEP_ENTRIES {
            let walk = self.walk.as_mut().expect("the walk has begun");
            let Some(level) = walk.last_mut() else {
                return Some(ShareSearch::Absent);
            };
            if level.listing.is_some() {
                level.read_some();
                return None;
            }
            let Some((name, kind)) = level.names.pop() else {
                walk.pop();
                continue;
            };
            if kind == FileType::Directory {
                if let Some(inner) = level.inner(&name) {
                    walk.push(inner);
                }
                continue;
            }
            let Some((name, file)) = level.candidate(&name, self.size) else {
                continue;
            };
            if name == self.wanted {
                continue;
            }
            match self.look(&name, file, known) {
                Ok(Look::Found) => return Some(self.found(name)),
                Ok(Look::Hash(hash)) => {
                    self.hashing = Some((name, hash));
                    return None;
                }
                Ok(Look::Other) => {}
                Err(error) => debug!("cannot read share/{name}: {error}"),
            }
        }
        None
    }
}

impl Level {
    fn open(folder: impl AsFd, prefix: String) -> Option<Self> {
        let opened = entry::open_folder(folder, ".")
            .and_then(|folder| Ok((Dir::read_from(&folder)?, folder)));
        match opened {
            Ok((listing, folder)) => {
                Some(Self { folder, prefix, listing: Some(listing), names: Vec::new() })
            }
            Err(error) => {
                warn!("cannot read the folder share/{prefix}: {error}");
                None
            }
        }
    }

    /// Reads some names, and sorts them after the last.
    fn read_some(&mut self) {
        let Some(listing) = self.listing.as_mut() else {
            return;
        };
        for _ in 0..STEP_ENTRIES {
            let item = match listing.next() {
                Some(Ok(item)) if self.names.len() < FOLDER_ENTRIES_MAX => item,
                _ => {
                    self.listing = None;
                    self.names.sort_unstable_by(|one, other| other.0.cmp(&one.0));
                    return;
                }
            };
            let Ok(name) = item.file_name().to_str() else {
                continue;
            };
            if name == "." || name == ".." {
                continue;
            }
            let kind = match item.file_type() {
                FileType::Unknown => kind_of(&self.folder, name),
                kind => kind,
            };
            if matches!(kind, FileType::Directory | FileType::RegularFile) {
                self.names.push((name.to_owned(), kind));
            }
        }
    }

    /// A folder in this one, if files in it are offered.
    fn inner(&self, name: &str) -> Option<Self> {
        let prefix = format!("{}{name}/", self.prefix);
        let offered = ShareName::parse(&format!("{prefix}x")).is_ok_and(|name| name.is_offered());
        let folder = entry::open_folder(&self.folder, name).ok().filter(|_| offered)?;
        Self::open(folder, prefix)
    }

    /// An offered file of this size in this folder.
    fn candidate(&self, name: &str, size: u64) -> Option<(ShareName, File)> {
        let path = ShareName::parse(&format!("{}{name}", self.prefix)).ok()?;
        let metadata = entry::metadata(&self.folder, name).ok()?;
        if !path.is_offered() || !metadata.is_file() || metadata.len() != size {
            return None;
        }
        Some((path, entry::open_file(&self.folder, name, OFlags::RDONLY).ok()?))
    }
}

/// For file systems whose folders do not tell.
fn kind_of(folder: &OwnedFd, name: &str) -> FileType {
    match entry::metadata(folder, name) {
        Ok(metadata) if metadata.is_dir() => FileType::Directory,
        Ok(metadata) if metadata.is_file() => FileType::RegularFile,
        _ => FileType::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::content::state_chain::ChainHasher;

    fn name(text: &str) -> ShareName {
        ShareName::parse(text).unwrap()
    }

    fn id(bytes: &[u8]) -> ContentId {
        let mut hasher = ChainHasher::new(bytes.len() as u64);
        hasher.update(bytes);
        hasher.finish().unwrap().0
    }

    struct Fixture {
        _root: tempfile::TempDir,
        share: ShareFolder,
        hashed: Vec<String>,
    }

    impl Fixture {
        fn new(files: &[(&str, &str)]) -> Self {
            let root = tempfile::tempdir().unwrap();
            let share = ShareFolder::open_or_make(&root.path().join("share")).unwrap();
            for (path, text) in files {
                let path = share.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Self { _root: root, share, hashed: Vec::new() }
        }

        fn search(&mut self, text: &str, wanted: &str) -> ShareSearch {
            self.hashed.clear();
            let size = text.len() as u64;
            let mut job = SearchJob::new(id(text.as_bytes()), size, name(wanted));
            loop {
                let hashed = &mut self.hashed;
                let mut known = |name: &ShareName, state: &FileSignature| {
                    assert_eq!(state.size, size);
                    hashed.push(name.to_string());
                    name.as_str().starts_with("known").then(|| id(text.as_bytes()))
                };
                if let Some(answer) = job.step(&self.share, &mut known) {
                    return answer;
                }
            }
        }
    }

    #[test]
    fn the_wanted_name_comes_first() {
        let mut it = Fixture::new(&[("a", "fox"), ("b", "cat"), ("z/z", "fox"), (".h", "fox")]);
        assert_eq!(it.search("fox", "z/z"), ShareSearch::InPlace);
        assert_eq!(it.hashed, ["z/z"]);
        assert_eq!(it.search("fox", "b"), ShareSearch::Elsewhere(name("a")));
        assert_eq!(it.hashed, ["b", "a"]);
        assert_eq!(it.search("cow", "b"), ShareSearch::Absent);
        assert_eq!(it.hashed, ["b", "a", "z/z"]);
        assert_eq!(it.search("horse", "none"), ShareSearch::Absent);
        assert_eq!(it.hashed, [""; 0], "no other size is read");
        assert_eq!(it.search("fox", ".h"), ShareSearch::InPlace, "the wanted one may be hidden");
    }

    #[test]
    fn what_is_not_offered_is_not_found_and_links_are_not_followed() {
        let mut it = Fixture::new(&[
            (".hidden", "fox"),
            (".git/x", "fox"),
            ("x.part", "fox"),
            ("real.tmp/b", "cat"),
        ]);
        let outside = Fixture::new(&[("fox", "fox")]);
        symlink(outside.share.path(), it.share.path().join("linked")).unwrap();
        symlink(outside.share.path().join("fox"), it.share.path().join("link")).unwrap();
        assert_eq!(it.search("fox", "link"), ShareSearch::Absent);
        assert_eq!(it.search("fox", "linked/fox"), ShareSearch::Absent);
        assert_eq!(it.hashed, ["real.tmp/b"]);
    }

    #[test]
    fn what_the_cache_knows_is_not_hashed_and_large_folders_are_walked() {
        let files: Vec<(String, String)> =
            (0..700).map(|at| (format!("d/{at:03}"), format!("text {at:03}"))).collect();
        let files: Vec<_> = files.iter().map(|it| (it.0.as_str(), it.1.as_str())).collect();
        let mut it = Fixture::new(&files);
        assert_eq!(it.search("text 699", "x"), ShareSearch::Elsewhere(name("d/699")));
        assert_eq!(it.hashed.len(), 700);
        assert_eq!(it.search("text 000", "x"), ShareSearch::Elsewhere(name("d/000")));
        assert_eq!(it.hashed, ["d/000"]);
        fs::write(it.share.path().join("known"), "not fox!").unwrap();
        assert_eq!(it.search("text 500", "d/004"), ShareSearch::Elsewhere(name("d/500")));
        assert_eq!(it.search("the fox!", "x"), ShareSearch::Elsewhere(name("known")));
    }
}
