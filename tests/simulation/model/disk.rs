//! A disk: files (inodes) and the names that lead to them, kept apart as file systems do, and of both what is
//! certain to survive a power cut apart from what processes see.
//!
//! Every method that a process uses is one *operation*: it may fail by order of the plan, and the shadow model
//! looks at the disk after it. What a person does (`place`, `discard`) counts as long since synced.

use std::collections::BTreeMap;
use std::rc::Rc;

use sprat::content::{ContentId, ShareName};
use sprat::node::input::{DiskFault, DiskFaultKind, Extent, FileSignature};

use super::contents::hash_shared;
use super::host::Death;
use super::shadow;

/// Which process: two on one disk are told apart by it.
pub(crate) type Process = u64;

/// Where a file stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Path {
    /// In `share/`.
    Share(ShareName),
    /// A folder of `share/`, by its path there.
    Folder(String),
    /// `chunks/SHA1:attrs`.
    Attrs(ContentId),
    /// `chunks/SHA1:chunk:OFFSET`.
    Chunk(ContentId, u64),
    /// A chunk file that is being joined to the first one.
    Joining(ContentId, u64),
    /// A finished copy that has no name in `share/` yet.
    Whole(ContentId),
    /// The chain that a fetch saved.
    States(ContentId),
}

/// A folder, for syncing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Folder {
    /// `chunks/`.
    Chunks,
    /// `share/` or one below it.
    Share(String),
}

impl Path {
    /// The folder that the name stands in.
    pub(crate) fn folder(&self) -> Folder {
        let parent = |path: &str| path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        match self {
            Self::Share(name) => Folder::Share(parent(name.as_str())),
            Self::Folder(path) => Folder::Share(parent(path)),
            _ => Folder::Chunks,
        }
    }
}

/// All folders of a name below `share/`, innermost first; `share/` itself is the last.
pub(crate) fn folders_of(name: &ShareName) -> Vec<String> {
    let mut folders = Vec::new();
    let mut rest = name.as_str();
    while let Some((folder, _)) = rest.rsplit_once('/') {
        folders.push(folder.to_owned());
        rest = folder;
    }
    folders.push(String::new());
    folders
}

/// One file, whatever its names.
#[derive(Clone, Debug)]
pub(crate) struct File {
    /// As processes see it.
    pub(crate) bytes: Rc<Vec<u8>>,
    /// As it was when it was last synced.
    pub(crate) synced: Rc<Vec<u8>>,
    /// Whether `bytes` may differ from `synced`.
    pub(crate) dirty: bool,
    /// Goes up with every change.
    pub(crate) version: u64,
    /// What a liar claims it to be: a content and a chain that it is not.
    pub(crate) claimed: Option<(ContentId, Rc<Vec<u8>>)>,
    /// For the computer's good only: what it hashes to in this version.
    known: Option<(u64, ContentId, Rc<Vec<u8>>)>,
}

impl File {
    /// Content id and chain of what processes see.
    pub(crate) fn hash(&mut self) -> (ContentId, Rc<Vec<u8>>) {
        if let Some((version, content, chain)) = &self.known {
            if *version == self.version {
                return (*content, chain.clone());
            }
        }
        let (content, chain) = hash_shared(&self.bytes);
        self.known = Some((self.version, content, chain.clone()));
        (content, chain)
    }
}

/// A change of names that no sync has covered yet.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Give { path: Path, file: u64 },
    Take { path: Path },
    Move { from: Path, to: Path, file: u64 },
}

/// A disk.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) files: BTreeMap<u64, File>,
    /// As processes see it.
    pub(crate) names: BTreeMap<Path, u64>,
    /// What a power cut certainly leaves.
    pub(crate) certain: BTreeMap<Path, u64>,
    /// What it may leave or not, in the order in which it happened.
    pub(crate) pending: Vec<Change>,
    /// Who holds the lock on a content's attrs.
    pub(crate) locks: BTreeMap<ContentId, Process>,
    /// Further bytes that fit, if that is limited.
    pub(crate) room: Option<u64>,
    /// The operation after this many more ones fails in this way.
    pub(crate) fault: Option<(u64, DiskFaultKind)>,
    /// Who does the operation after this many more ones dies before it is done.
    pub(crate) fuse: Option<(u64, Death)>,
    /// Somebody has died in the middle, of this; nothing more happens until it is buried.
    pub(crate) broken: Option<Death>,
    /// Whether `share/` is on another file system than `chunks/`.
    pub(crate) two_systems: bool,
    /// Whether the file system of `share/` has files without a name.
    pub(crate) no_nameless: bool,
    /// Goes up whenever a process beside could notice something.
    pub(crate) generation: u64,
    /// Operations so far.
    pub(crate) operations: u64,
    /// What must hold of it.
    pub(crate) shadow: shadow::DiskShadow,
    next_file: u64,
}

type Outcome<T = ()> = Result<T, DiskFault>;

fn fault(kind: DiskFaultKind, message: &str) -> DiskFault {
    DiskFault { kind, message: message.to_owned() }
}

impl Disk {
    // Looking.

    /// What processes see under a name.
    pub(crate) fn file(&self, path: &Path) -> Option<&File> {
        self.files.get(self.names.get(path)?)
    }

    pub(crate) fn file_mut(&mut self, path: &Path) -> Option<&mut File> {
        self.files.get_mut(self.names.get(path)?)
    }

    /// The bytes of a file of `share/`.
    pub(crate) fn shared(&self, name: &str) -> Option<Rc<Vec<u8>>> {
        let path = Path::Share(ShareName::parse(name).ok()?);
        Some(self.file(&path)?.bytes.clone())
    }

    /// The names in `share/`.
    pub(crate) fn share(&self) -> impl Iterator<Item = (&ShareName, u64)> {
        self.names.iter().filter_map(|(path, &file)| match path {
            Path::Share(name) => Some((name, file)),
            _ => None,
        })
    }

    /// What identifies the state of a file.
    pub(crate) fn signature(&self, number: u64) -> FileSignature {
        let file = &self.files[&number];
        let time = file.version.min(1 << 62) as i64;
        let size = file.bytes.len() as u64;
        FileSignature { device: 1, inode: number, size, modified_ns: time, changed_ns: time }
    }

    /// The chunk files of a content.
    pub(crate) fn extents(&self, content: ContentId) -> Vec<Extent> {
        let chunks = Path::Chunk(content, 0)..=Path::Chunk(content, u64::MAX);
        let extent = |(path, file): (&Path, &u64)| match path {
            Path::Chunk(_, start) => {
                Some(Extent { start: *start, length: self.files[file].bytes.len() as u64 })
            }
            _ => None,
        };
        self.names.range(chunks).filter_map(extent).collect()
    }

    /// The contents that somebody downloads here.
    pub(crate) fn downloads(&self) -> Vec<ContentId> {
        let attrs = self.names.keys().filter_map(|path| match path {
            Path::Attrs(content) => Some(*content),
            _ => None,
        });
        attrs.collect()
    }

    /// Whether anything is left in `chunks/` of this content.
    pub(crate) fn has_remains_of(&self, content: ContentId) -> bool {
        self.names.keys().any(|path| match path {
            Path::Attrs(id) | Path::Whole(id) | Path::States(id) => *id == content,
            Path::Chunk(id, _) | Path::Joining(id, _) => *id == content,
            Path::Share(_) | Path::Folder(_) => false,
        })
    }

    /// The number of chunk files.
    pub(crate) fn chunk_file_count(&self) -> usize {
        self.names.keys().filter(|path| matches!(path, Path::Chunk(..))).count()
    }

    /// All bytes in `chunks/`.
    pub(crate) fn chunk_bytes(&self) -> u64 {
        let chunks = self.names.iter().filter(|(path, _)| matches!(path, Path::Chunk(..)));
        chunks.map(|(_, file)| self.files[file].bytes.len() as u64).sum()
    }

    // What processes do.

    /// Counts an operation, and lets it fail where the plan says so.
    pub(crate) fn operation(&mut self, what: &str) -> Outcome {
        let died = || Err(fault(DiskFaultKind::Final, "it died of this"));
        if self.broken.is_some() {
            return died();
        }
        match &mut self.fuse {
            Some((0, death)) => {
                self.broken = Some(*death);
                self.fuse = None;
                return died();
            }
            Some((left, _)) => *left -= 1,
            None => {}
        }
        self.operations += 1;
        if let Some((left, kind)) = &mut self.fault {
            if *left == 0 {
                let kind = *kind;
                self.fault = None;
                return Err(fault(kind, &format!("{what}: ordered to fail")));
            }
            *left -= 1;
        }
        Ok(())
    }

    /// Makes a file, empty and without a durable name.
    pub(crate) fn create(&mut self, path: Path) -> Outcome<u64> {
        self.operation("create")?;
        assert!(!self.names.contains_key(&path), "{path:?} is made twice");
        let file = self.new_file(Rc::default());
        self.give(path, file);
        Ok(file)
    }

    /// Makes a file that has no name at all.
    pub(crate) fn create_nameless(&mut self) -> Outcome<u64> {
        self.operation("create a nameless file")?;
        Ok(self.new_file(Rc::default()))
    }

    /// Appends to a file: all of it or, where there is no room, nothing.
    pub(crate) fn append(&mut self, number: u64, bytes: &[u8]) -> Outcome {
        self.operation("append")?;
        if let Some(room) = &mut self.room {
            if *room < bytes.len() as u64 {
                return Err(fault(DiskFaultKind::NoRoom, "no room"));
            }
            *room -= bytes.len() as u64;
        }
        self.change(number, |content| content.extend_from_slice(bytes));
        Ok(())
    }

    pub(crate) fn truncate(&mut self, number: u64, length: usize) -> Outcome {
        self.operation("truncate")?;
        self.change(number, |content| content.truncate(length));
        Ok(())
    }

    /// Takes a name away, if it is there.
    pub(crate) fn remove(&mut self, path: &Path) -> Outcome {
        self.operation("remove")?;
        if self.names.remove(path).is_some() {
            self.pending.push(Change::Take { path: path.clone() });
            self.generation += 1;
            shadow::removed(self, path);
        }
        Ok(())
    }

    /// Moves a name to one that must be free; false where it is taken.
    pub(crate) fn rename_to_free(&mut self, from: &Path, to: Path) -> Outcome<bool> {
        self.operation("rename")?;
        let Some(&file) = self.names.get(from) else {
            return Err(fault(DiskFaultKind::Vanished, "it is gone"));
        };
        if self.names.contains_key(&to) {
            return Ok(false);
        }
        self.names.remove(from);
        self.names.insert(to.clone(), file);
        self.pending.push(Change::Move { from: from.clone(), to: to.clone(), file });
        self.generation += 1;
        shadow::named(self, &to);
        Ok(true)
    }

    /// Gives a nameless file a name that must be free; false where it is taken.
    pub(crate) fn link_to_free(&mut self, file: u64, to: Path) -> Outcome<bool> {
        self.operation("link")?;
        if self.names.contains_key(&to) {
            return Ok(false);
        }
        self.give(to.clone(), file);
        shadow::named(self, &to);
        Ok(true)
    }

    /// Gives a file of `chunks/` a name, in the place of what stands there.
    pub(crate) fn rename_over(&mut self, file: u64, to: Path) -> Outcome {
        self.operation("rename")?;
        assert_eq!(to.folder(), Folder::Chunks, "nothing in share/ is ever replaced");
        self.give(to, file);
        Ok(())
    }

    /// Makes the folders of a name.
    pub(crate) fn make_folders(&mut self, name: &ShareName) -> Outcome {
        self.operation("make folders")?;
        for folder in folders_of(name).into_iter().rev().filter(|folder| !folder.is_empty()) {
            let path = Path::Folder(folder);
            if !self.names.contains_key(&path) {
                let file = self.new_file(Rc::default());
                self.give(path, file);
            }
        }
        Ok(())
    }

    /// What a file holds now survives a power cut; its name need not.
    pub(crate) fn sync_file(&mut self, number: u64) -> Outcome {
        self.operation("sync a file")?;
        if let Some(file) = self.files.get_mut(&number) {
            file.synced = file.bytes.clone();
            file.dirty = false;
        }
        Ok(())
    }

    /// The names in this folder survive a power cut. A file that was moved here may keep its old name
    /// in another folder as well.
    pub(crate) fn sync_folder(&mut self, folder: &Folder) -> Outcome {
        self.operation("sync a folder")?;
        let mut left = Vec::new();
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Give { path, file } if path.folder() == *folder => {
                    self.certain.insert(path, file);
                }
                Change::Take { path } if path.folder() == *folder => {
                    self.certain.remove(&path);
                }
                Change::Move { from, to, file } => {
                    match (from.folder() == *folder, to.folder() == *folder) {
                        (true, true) => {
                            self.certain.remove(&from);
                            self.certain.insert(to, file);
                        }
                        (false, true) => {
                            self.certain.insert(to, file);
                            left.push(Change::Take { path: from });
                        }
                        // That the file has no name at all does not happen.
                        (true, false) | (false, false) => {
                            left.push(Change::Move { from, to, file });
                        }
                    }
                }
                other => left.push(other),
            }
        }
        self.pending = left;
        Ok(())
    }

    /// Takes the lock on a content's attrs; false where another process has it.
    pub(crate) fn lock(&mut self, content: ContentId, process: Process) -> bool {
        *self.locks.entry(content).or_insert(process) == process
    }

    /// A process is gone, and with it its locks.
    pub(crate) fn release(&mut self, process: Process) {
        self.locks.retain(|_, holder| *holder != process);
    }

    // What people do.

    /// Puts a file somewhere, in the place of what stands there.
    pub(crate) fn place(&mut self, path: Path, bytes: Rc<Vec<u8>>) -> &mut File {
        self.discard(&path);
        if let Path::Share(name) = &path {
            for folder in folders_of(name).into_iter().filter(|folder| !folder.is_empty()) {
                let folder = Path::Folder(folder);
                if !self.certain.contains_key(&folder) {
                    let file = self.new_file(Rc::default());
                    let file = *self.names.entry(folder.clone()).or_insert(file);
                    self.certain.insert(folder, file);
                }
            }
        }
        let number = self.new_file(bytes.clone());
        self.names.insert(path.clone(), number);
        self.certain.insert(path.clone(), number);
        self.generation += 1;
        shadow::placed(self, &path);
        let file = self.files.get_mut(&number).expect("it was just made");
        file.synced = bytes;
        file.dirty = false;
        file
    }

    /// Removes a file.
    pub(crate) fn discard(&mut self, path: &Path) {
        shadow::discarded(self, path);
        self.names.remove(path);
        self.certain.remove(path);
        self.pending.retain(|change| match change {
            Change::Give { path: given, .. } => given != path,
            Change::Take { .. } => true,
            Change::Move { to, .. } => to != path,
        });
        self.generation += 1;
    }

    /// Changes bytes of a file behind everybody's back: a damaged sector. Its signature stays.
    pub(crate) fn damage(&mut self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let Some(file) = self.file_mut(path) else { return };
        let bytes = Rc::make_mut(&mut file.bytes);
        change(bytes);
        file.synced = file.bytes.clone();
        file.known = None;
    }

    /// Another process writes to a file: all can see that it did.
    pub(crate) fn overwrite(&mut self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        self.damage(path, change);
        if let Some(file) = self.file_mut(path) {
            file.version += 1;
        }
        self.generation += 1;
    }

    // Within.

    fn new_file(&mut self, bytes: Rc<Vec<u8>>) -> u64 {
        self.next_file += 1;
        let file = File {
            synced: Rc::default(),
            dirty: !bytes.is_empty(),
            bytes,
            version: self.next_file << 20,
            claimed: None,
            known: None,
        };
        self.files.insert(self.next_file, file);
        self.next_file
    }

    fn give(&mut self, path: Path, file: u64) {
        self.names.insert(path.clone(), file);
        self.pending.push(Change::Give { path, file });
        self.generation += 1;
    }

    fn change(&mut self, number: u64, change: impl FnOnce(&mut Vec<u8>)) {
        let Some(file) = self.files.get_mut(&number) else { return };
        // What was synced is kept apart from here on.
        change(Rc::make_mut(&mut file.bytes));
        file.dirty = true;
        file.version += 1;
        self.generation += 1;
        shadow::written(self, number);
    }
}
