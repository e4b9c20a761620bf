//! What the watcher has told of `share/`: folders with their files, and which of both are on their
//! way out. Plain values; nothing here looks at a disk.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::driver::folder_events::WatchId;
use crate::node::Instant;
use crate::node::input::FileSignature;

/// A path below `share/`; empty for `share/` itself.
pub(super) type Path = Box<str>;

/// A file as it was told.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownFile {
    pub(super) signature: FileSignature,
    pub(super) told_at: Instant,
    /// It was found changed, too soon after it was told; a look is due.
    pub(super) is_deferred: bool,
    /// The look in which it was last there.
    pub(super) look: u64,
}

/// A folder that is watched and listed.
#[derive(Debug, Default)]
pub(super) struct KnownFolder {
    /// Device and inode.
    pub(super) identity: (u64, u64),
    pub(super) watch: Option<WatchId>,
    pub(super) files: BTreeMap<Box<str>, KnownFile>,
    /// The folders in it, each with the look in which it was last there.
    pub(super) folders: BTreeMap<Box<str>, u64>,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Known {
    folders: BTreeMap<Path, KnownFolder>,
    watched: BTreeMap<WatchId, Path>,
    leaving: Vec<(Path, KnownFolder)>,
    file_count: usize,
}

/// `name` in `folder`.
pub(super) fn join(folder: &str, name: &str) -> Path {
    if folder.is_empty() { name.into() } else { format!("{folder}/{name}").into() }
}

/// A path's folder and its last component.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

impl Known {
    pub(super) fn folder(&self, path: &str) -> Option<&KnownFolder> {
        self.folders.get(path)
    }

    pub(super) fn folder_mut(&mut self, path: &str) -> Option<&mut KnownFolder> {
        self.folders.get_mut(path)
    }

    /// The first folder behind this one in the order of paths; the very first where there is none.
    pub(super) fn folder_behind(&self, path: Option<&str>) -> Option<&str> {
        let behind = path.map_or(Bound::Unbounded, Bound::Excluded);
        let (path, _) = self.folders.range::<str, _>((behind, Bound::Unbounded)).next()?;
        Some(path)
    }

    pub(super) fn folder_count(&self) -> usize {
        self.folders.len()
    }

    pub(super) fn file_count(&self) -> usize {
        self.file_count
    }

    pub(super) fn add_folder(&mut self, path: &str, identity: (u64, u64), look: u64) {
        let (parent, name) = split(path);
        if !path.is_empty() {
            if let Some(parent) = self.folders.get_mut(parent) {
                parent.folders.insert(name.into(), look);
            }
        }
        self.folders.insert(path.into(), KnownFolder { identity, ..KnownFolder::default() });
    }

    pub(super) fn file_mut(&mut self, folder: &str, name: &str) -> Option<&mut KnownFile> {
        self.folders.get_mut(folder)?.files.get_mut(name)
    }

    pub(super) fn add_file(&mut self, folder: &str, name: &str, file: KnownFile) {
        if let Some(folder) = self.folders.get_mut(folder) {
            if folder.files.insert(name.into(), file).is_none() {
                self.file_count += 1;
            }
        }
    }

    /// Forgets a file. Whether it was known.
    pub(super) fn remove_file(&mut self, folder: &str, name: &str) -> bool {
        let known =
            self.folders.get_mut(folder).is_some_and(|folder| folder.files.remove(name).is_some());
        self.file_count -= usize::from(known);
        known
    }

    /// The folder that is watched under this number.
    pub(super) fn watched(&self, watch: WatchId) -> Option<&str> {
        self.watched.get(&watch).map(|path| &**path)
    }

    /// Remembers that a folder is watched. Hands back another one that had this number: it was
    /// moved here, and is not watched where it was.
    pub(super) fn set_watch(&mut self, path: &str, watch: WatchId) -> Option<Path> {
        if let Some(folder) = self.folders.get_mut(path) {
            folder.watch = Some(watch);
        }
        let before = self.watched.insert(watch, path.into());
        let moved = before.filter(|before| &**before != path)?;
        if let Some(folder) = self.folders.get_mut(&moved) {
            folder.watch = None;
        }
        Some(moved)
    }

    /// Forgets a folder's watch, and hands it back where it is still this folder's.
    pub(super) fn clear_watch(&mut self, path: &str) -> Option<WatchId> {
        let watch = self.folders.get_mut(path)?.watch.take()?;
        self.forget_watch(path, watch)
    }

    fn forget_watch(&mut self, path: &str, watch: WatchId) -> Option<WatchId> {
        if self.watched(watch) != Some(path) {
            return None;
        }
        self.watched.remove(&watch);
        Some(watch)
    }

    /// Takes a folder with all below it out, for [`leave`](Self::leave) to do away with. Whether it
    /// was known.
    pub(super) fn remove_folder(&mut self, path: &str) -> bool {
        let (parent, name) = split(path);
        if let Some(parent) = self.folders.get_mut(parent) {
            parent.folders.remove(name);
        }
        let Some(folder) = self.folders.remove(path) else {
            return false;
        };
        self.leaving.push((path.into(), folder));
        true
    }

    /// Whether anything is on its way out. Nothing may be added before it is.
    pub(super) fn is_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// Does away with at most `count` files of folders that were removed, telling each, and the
    /// watch of each folder.
    pub(super) fn leave(
        &mut self,
        count: usize,
        mut file: impl FnMut(Path),
        mut unwatch: impl FnMut(WatchId),
    ) {
        let Some((path, mut folder)) = self.leaving.pop() else {
            return;
        };
        for _ in 0..count {
            let Some((name, _)) = folder.files.pop_first() else {
                break;
            };
            self.file_count -= 1;
            file(join(&path, &name));
        }
        if !folder.files.is_empty() {
            self.leaving.push((path, folder));
            return;
        }
        if let Some(watch) = folder.watch.and_then(|watch| self.forget_watch(&path, watch)) {
            unwatch(watch);
        }
        for name in folder.folders.keys() {
            let path = join(&path, name);
            if let Some(inner) = self.folders.remove(&path) {
                self.leaving.push((path, inner));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> KnownFile {
        KnownFile {
            signature: FileSignature {
                device: 1,
                inode: 2,
                size: 3,
                modified_ns: 4,
                changed_ns: 5,
            },
            told_at: Instant::ORIGIN,
            is_deferred: false,
            look: 0,
        }
    }

    fn tree() -> Known {
        let mut known = Known::default();
        for path in ["", "a", "a/b", "a-b", "ab"] {
            known.add_folder(path, (0, 0), 0);
            known.add_file(path, "f", file());
        }
        known
    }

    #[test]
    fn a_folder_leaves_with_all_below_it_and_nothing_beside_it() {
        let mut known = tree();
        assert!(known.remove_folder("a") && !known.remove_folder("a"));
        let mut gone = Vec::new();
        while known.is_leaving() {
            known.leave(1, |path| gone.push(path), |_| ());
        }
        assert_eq!(gone.iter().map(|path| &**path).collect::<Vec<_>>(), ["a/f", "a/b/f"]);
        assert_eq!((known.file_count(), known.folder_count()), (3, 3));
        let root: Vec<_> = known.folder("").unwrap().folders.keys().collect();
        assert_eq!(root, [&Box::from("a-b"), &Box::from("ab")]);
    }

    #[test]
    fn a_moved_folder_takes_its_watch_along() {
        let mut known = tree();
        assert_eq!(known.set_watch("a", 7), None);
        assert_eq!(known.set_watch("ab", 7).as_deref(), Some("a"));
        assert_eq!(known.watched(7), Some("ab"));
        assert_eq!(known.clear_watch("a"), None, "it is not its own any more");
        known.remove_folder("a");
        known.leave(9, |_| (), |watch| panic!("{watch} is of use elsewhere"));
        known.remove_folder("ab");
        let mut unwatched = Vec::new();
        while known.is_leaving() {
            known.leave(9, |_| (), |watch| unwatched.push(watch));
        }
        assert_eq!(unwatched, [7]);
    }

    #[test]
    fn files_are_counted_once() {
        let mut known = tree();
        known.add_file("a", "f", file());
        assert_eq!(known.file_count(), 5);
        assert!(known.remove_file("a", "f") && !known.remove_file("a", "f"));
        assert!(!known.remove_file("nowhere", "f"));
        assert_eq!(known.file_count(), 4);
    }
}
