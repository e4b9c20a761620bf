//! Looking whether `share/` already holds a content: under the wanted name first, then under any
//! offered one of the same size, in the order of their names. Follows no links and reads no more
//! than it has to, nor under other names than the wanted one more than it was told it may.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use log::{debug, warn};
use rustix::fs::{Dir, FileType, OFlags};

use super::file_hash::{FileHash, Hashing};
use crate::content::{ContentId, ShareName};
use crate::driver::share_folder::{self, ShareFolder, entry};
use crate::node::input::{FileSignature, ShareSearch};

/// How many entries of folders are read at once.
const STEP_ENTRIES: u64 = 256;
/// How much is done in one step, in bytes hashed, a file more or less: as much as [`FileHash`] does.
const STEP_EFFORT: u64 = 512 * 1024;
/// How many names of one folder are looked at; they are sorted in memory.
const FOLDER_ENTRIES_MAX: usize = 1_000_000;

/// What work other than hashing costs, in bytes that are hashed in the time: an entry of a folder that
/// is read, and one that is looked at; a file that is opened. (On tmpfs and ext4 about 0.1, 1 and 8 µs,
/// against 2 bytes hashed a nanosecond.)
const EFFORT_READ: u64 = 256;
const EFFORT_LOOK: u64 = 2 * 1024;
const EFFORT_OPEN: u64 = 16 * 1024;
/// Reading what the hash cache knows takes longer than hashing some files that are not longer than this.
const HASHED_SOONER: u64 = 64 * 1024;

/// What the hash cache knows of a file in this state.
pub type Known<'a> = dyn FnMut(&ShareName, &FileSignature) -> Option<ContentId> + 'a;

/// The work for one `Output::SearchShare`.
#[derive(Debug)]
pub struct SearchJob {
    content: ContentId,
    size: u64,
    wanted: ShareName,
    /// What looking under other names may still cost.
    effort: u64,
    is_at_work: bool,
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
        Self { content, size, wanted, effort: 0, is_at_work: false, hashing: None, walk: None }
    }

    /// May go on, and look under other names than the wanted one until so much effort is spent.
    pub fn go_on(&mut self, effort: Option<u64>) {
        self.effort = effort.unwrap_or(u64::MAX);
        self.is_at_work = true;
    }

    /// Whether it may go on, and has not answered since.
    pub fn is_at_work(&self) -> bool {
        self.is_at_work
    }

    /// Does the next piece: a few hundred folder entries, or half a mebibyte hashed. The answer,
    /// once there is one.
    pub fn step(&mut self, share: &ShareFolder, known: &mut Known<'_>) -> Option<ShareSearch> {
        let mut left = STEP_EFFORT;
        let answer = loop {
            let (answer, spent) = match (self.hashing.take(), self.walk.is_some()) {
                (Some((name, hash)), _) if name == self.wanted || self.effort > 0 => {
                    self.hash_on(name, hash)
                }
                (None, false) => (self.look_at_wanted(share, known), EFFORT_OPEN),
                (None, true) if self.effort > 0 => self.step_walk(known),
                (hashing, _) => {
                    self.hashing = hashing;
                    break Some(ShareSearch::Unfinished);
                }
            };
            left = left.saturating_sub(spent);
            if answer.is_some() || left == 0 {
                break answer;
            }
        };
        self.is_at_work &= answer.is_none();
        answer
    }

    /// Hashes on, and says how much.
    fn hash_on(&mut self, name: ShareName, mut hash: FileHash) -> (Option<ShareSearch>, u64) {
        let spent = self.size.min(STEP_EFFORT);
        if name != self.wanted {
            self.spend(spent);
        }
        match hash.step() {
            Ok(Hashing::More) => self.hashing = Some((name, hash)),
            Ok(Hashing::Content(content)) if content == self.content => {
                return (Some(self.found(name)), spent);
            }
            Ok(Hashing::Colliding(content)) if content == self.content => {
                // Under its own name it is somebody's already, and nothing is published.
                let is_in_place = name == self.wanted;
                let answer =
                    if is_in_place { ShareSearch::InPlace } else { ShareSearch::Colliding };
                return (Some(answer), spent);
            }
            Ok(_) => {}
            Err(error) => debug!("cannot read share/{name}: {error}"),
        }
        (None, spent)
    }

    fn look_at_wanted(
        &mut self,
        share: &ShareFolder,
        known: &mut Known<'_>,
    ) -> Option<ShareSearch> {
        self.walk = Some(Level::open(share.handle(), String::new()).into_iter().collect());
        match share.open(&self.wanted).and_then(|file| self.look(&self.wanted, file, known)) {
            Ok(Look::Found) => return Some(ShareSearch::InPlace),
            Ok(Look::Hash(hash)) => self.hashing = Some((self.wanted.clone(), hash)),
            Ok(Look::Other) => {}
            Err(error) => debug!("share/{} is not it: {error}", self.wanted),
        }
        None
    }

    /// Without limit, none is ever spent.
    fn spend(&mut self, effort: u64) {
        if self.effort != u64::MAX {
            self.effort = self.effort.saturating_sub(effort);
        }
    }

    fn found(&self, name: ShareName) -> ShareSearch {
        if name == self.wanted { ShareSearch::InPlace } else { ShareSearch::Elsewhere(name) }
    }

    fn look(&self, name: &ShareName, file: File, known: &mut Known<'_>) -> io::Result<Look> {
        let state = share_folder::signature(&file)?;
        if state.size != self.size {
            return Ok(Look::Other);
        }
        let asks = self.size > HASHED_SOONER || self.effort == u64::MAX;
        Ok(match asks.then(|| known(name, &state)).flatten() {
            Some(content) if content == self.content => Look::Found,
            Some(_) => Look::Other,
            None => Look::Hash(FileHash::new(file)?),
        })
    }

    /// Looks at the next entry, or reads some; and says what that cost.
    fn step_walk(&mut self, known: &mut Known<'_>) -> (Option<ShareSearch>, u64) {
        let walk = self.walk.as_mut().expect("the walk has begun");
        let Some(level) = walk.last_mut() else {
            return (Some(ShareSearch::Absent), 0);
        };
        if level.listing.is_some() {
            let spent = level.read_some() * EFFORT_READ;
            self.spend(spent);
            return (None, spent);
        }
        let Some((name, kind)) = level.names.pop() else {
            walk.pop();
            return (None, 0);
        };
        if kind == FileType::Directory {
            if let Some(inner) = level.inner(&name) {
                walk.push(inner);
            }
            self.spend(EFFORT_OPEN);
            return (None, EFFORT_OPEN);
        }
        let candidate = level.candidate(&name, self.size);
        self.spend(EFFORT_LOOK);
        let Some((name, file)) = candidate.filter(|(name, _)| *name != self.wanted) else {
            return (None, EFFORT_LOOK);
        };
        self.spend(EFFORT_OPEN);
        let answer = match self.look(&name, file, known) {
            Ok(Look::Found) => Some(self.found(name)),
            Ok(Look::Hash(hash)) => {
                self.hashing = Some((name, hash));
                None
            }
            Ok(Look::Other) => None,
            Err(error) => {
                debug!("cannot read share/{name}: {error}");
                None
            }
        };
        (answer, EFFORT_LOOK + EFFORT_OPEN)
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

    /// Reads some names, and sorts them after the last. How many there were.
    fn read_some(&mut self) -> u64 {
        let Some(listing) = self.listing.as_mut() else {
            return 0;
        };
        for count in 0..STEP_ENTRIES {
            let item = match listing.next() {
                Some(Ok(item)) if self.names.len() < FOLDER_ENTRIES_MAX => item,
                _ => {
                    self.listing = None;
                    self.names.sort_unstable_by(|one, other| other.0.cmp(&one.0));
                    return count;
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
        STEP_ENTRIES
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
        if !path.is_offered() || entry::file_size(&self.folder, name).ok()? != Some(size) {
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
            self.search_with(None, text, wanted)
        }

        fn search_with(&mut self, effort: Option<u64>, text: &str, wanted: &str) -> ShareSearch {
            self.hashed.clear();
            let size = text.len() as u64;
            let mut job = SearchJob::new(id(text.as_bytes()), size, name(wanted));
            job.go_on(effort);
            while job.is_at_work() {
                let hashed = &mut self.hashed;
                let mut known = |name: &ShareName, state: &FileSignature| {
                    assert_eq!(state.size, size);
                    hashed.push(name.to_string());
                    name.as_str().starts_with("known").then(|| id(text.as_bytes()))
                };
                if let Some(answer) = job.step(&self.share, &mut known) {
                    assert!(!job.is_at_work());
                    return answer;
                }
            }
            panic!("it stopped without an answer");
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
    fn what_was_made_to_collide_is_not_copied_and_stays_where_it_is() {
        let attack = include_bytes!("../../tests/collisions/shambles-1.bin");
        let it = Fixture::new(&[]);
        fs::write(it.share.path().join("b"), attack).unwrap();
        for (wanted, expected) in [("a", ShareSearch::Colliding), ("b", ShareSearch::InPlace)] {
            let mut job = SearchJob::new(id(attack), attack.len() as u64, name(wanted));
            job.go_on(None);
            let mut known = |_: &ShareName, _: &FileSignature| None;
            let mut step = || job.step(&it.share, &mut known);
            let answer = std::iter::repeat_with(&mut step).find_map(|answer| answer);
            assert_eq!(answer, Some(expected));
        }
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

    #[test]
    fn effort_bounds_what_is_hashed_under_other_names_and_it_goes_on_from_there() {
        let files: Vec<(String, String)> =
            (0..100).map(|at| (format!("{at:02}"), format!("text {at:02}"))).collect();
        let files: Vec<_> = files.iter().map(|it| (it.0.as_str(), it.1.as_str())).collect();
        let mut it = Fixture::new(&files);
        let effort = 20 * (EFFORT_OPEN + EFFORT_LOOK);
        let search = it.search_with(Some(effort), "text 99", "98");
        assert_eq!(search, ShareSearch::Unfinished);
        assert_eq!(it.hashed, [""; 0], "hashing these is sooner done than asking what is known");
        assert_eq!(it.search_with(Some(0), "text 98", "98"), ShareSearch::InPlace);
        assert_eq!(
            it.search_with(Some(effort), "text 03", "98"),
            ShareSearch::Elsewhere(name("03"))
        );

        let mut job = SearchJob::new(id(b"text 99"), 7, name("98"));
        let (mut times, mut asked) = (0, 0);
        let found = loop {
            job.go_on((times < 3).then_some(effort));
            let mut known = |_: &ShareName, _: &FileSignature| {
                asked += 1;
                None
            };
            let mut step = || job.step(&it.share, &mut known);
            let answer = std::iter::repeat_with(&mut step).find_map(|answer| answer).unwrap();
            times += 1;
            if answer != ShareSearch::Unfinished {
                break answer;
            }
        };
        assert_eq!((found, times), (ShareSearch::Elsewhere(name("99")), 4));
        assert!((30..60).contains(&asked), "{asked} of 100 were left for the last time");
    }
}
