//! What must hold of a disk, looked at after every operation.
//!
//! - A file appears in `share/` only whole, proven and synced: its bytes hash to what the fetch was asked for.
//! - Nothing that stands in `share/`, whoever put it there, is ever written to, overwritten or removed by a
//!   process, nor is a file that may turn up there again after a power cut.
//! - What a fetch said is done is there, whole, at any later time, whatever the power does.
//! - The attrs of a download go only when its file is sure to survive a power cut: until then there is a way back.
//! - What a person put there is never lost.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use sprat::content::{ContentId, ShareName};

use super::contents::hash;
use super::disk::{Change, Disk, Path, folders_of};

/// Whose a file of `share/` is.
#[derive(Clone, Debug)]
enum Owner {
    /// A person's, with these bytes.
    Person(Rc<Vec<u8>>),
    /// A fetch gave it its name, for this content.
    Fetch(ContentId),
}

/// What is known of one disk.
#[derive(Debug, Default)]
pub(crate) struct DiskShadow {
    owners: BTreeMap<ShareName, (u64, Owner)>,
    /// All names that files ever had here.
    pub(crate) ever: BTreeSet<String>,
    /// Names that a person has taken from what a fetch had given them to.
    replaced: BTreeSet<ShareName>,
    /// What was said to be done.
    promised: BTreeMap<ShareName, ContentId>,
    /// Files that have, or may have after a power cut, a name in `share/`.
    shown: BTreeSet<u64>,
    /// The content for which operations are carried out at the moment.
    pub(crate) acting_for: Option<ContentId>,
    /// A person has removed or replaced files of `share/` while processes were at work.
    meddled: bool,
}

/// A process has given a file a name.
pub(super) fn named(disk: &mut Disk, path: &Path) {
    let Path::Share(name) = path else { return };
    let number = disk.names[path];
    let wanted = disk.shadow.acting_for.expect("only a fetch gives names");
    let file = disk.files.get_mut(&number).expect("a name leads to a file");
    assert!(!file.dirty, "share/{name} appears before its bytes are synced");
    let (content, _) = file.hash();
    assert_eq!(content, wanted, "share/{name} appears with other bytes than were asked for");
    disk.shadow.replaced.remove(name);
    disk.shadow.owners.insert(name.clone(), (number, Owner::Fetch(wanted)));
    disk.shadow.ever.insert(name.as_str().to_owned());
    disk.shadow.shown.insert(number);
}

/// A process has taken a name away.
pub(super) fn removed(disk: &mut Disk, path: &Path) {
    if let Path::Share(name) = path {
        panic!("share/{name} was removed by a process at operation {}", disk.operations);
    }
    // Where the size was wrong nobody is acted for.
    let given_up = matches!(path, Path::Attrs(content) if disk.shadow.acting_for == Some(*content));
    if given_up && !disk.shadow.meddled {
        let certain = disk.certain.iter().filter(|(path, _)| matches!(path, Path::Share(_)));
        let certain: Vec<u64> = certain.map(|(_, number)| *number).collect();
        let content = disk.shadow.acting_for;
        let safe = certain.iter().any(|number| {
            let file = disk.files.get_mut(number);
            file.is_some_and(|file| !file.dirty && Some(file.hash().0) == content)
        });
        assert!(safe, "a download is given up, and a power cut may take the file that came of it");
    }
}

/// A process has changed a file.
pub(super) fn written(disk: &Disk, number: u64) {
    assert!(!disk.shadow.shown.contains(&number), "a file of share/ was written to");
}

/// A person has put a file.
pub(super) fn placed(disk: &mut Disk, path: &Path) {
    if let Path::Share(name) = path {
        let number = disk.names[path];
        let owner = Owner::Person(disk.files[&number].bytes.clone());
        disk.shadow.owners.insert(name.clone(), (number, owner));
        disk.shadow.ever.insert(name.as_str().to_owned());
        disk.shadow.shown.insert(number);
    }
}

/// A person removes a file.
pub(super) fn discarded(disk: &mut Disk, path: &Path) {
    if let Path::Share(name) = path {
        disk.shadow.meddled |= disk.operations > 0 && disk.shadow.owners.contains_key(name);
        if let Some((_, Owner::Fetch(_))) = disk.shadow.owners.remove(name) {
            disk.shadow.replaced.insert(name.clone());
        }
        disk.shadow.promised.remove(name);
    }
}

/// A fetch says that it is done.
pub(crate) fn promised(disk: &mut Disk, name: &ShareName, content: ContentId) {
    if disk.shadow.replaced.contains(name) {
        // Between its last step and its last word.
        return;
    }
    let path = Path::Share(name.clone());
    let number = *disk.names.get(&path).expect("what is done is in share/");
    for folder in folders_of(name).into_iter().filter(|folder| !folder.is_empty()) {
        let certain = disk.certain.contains_key(&Path::Folder(folder.clone()));
        assert!(certain, "share/{name} is done, and a power cut may take the folder {folder}");
    }
    let certain = disk.certain.get(&path) == Some(&number);
    assert!(certain, "share/{name} is done, and a power cut may take its name");
    let file = disk.files.get_mut(&number).expect("a name leads to a file");
    assert!(!file.dirty, "share/{name} is done, and a power cut may take its bytes");
    assert_eq!(file.hash().0, content, "share/{name} is done with other bytes");
    disk.shadow.promised.insert(name.clone(), content);
}

/// All that stands in `share/`, after the power was cut: of what a fetch named, all or nothing.
pub(super) fn power_came_back(disk: &mut Disk) {
    let owners = std::mem::take(&mut disk.shadow.owners);
    for (name, (number, owner)) in owners {
        let there = disk.names.get(&Path::Share(name.clone())) == Some(&number);
        let bytes = disk.files.get(&number).filter(|_| there).map(|file| file.bytes.clone());
        match (&owner, bytes) {
            (Owner::Person(own), Some(bytes)) => {
                assert_eq!(*own, bytes, "share/{name} was a person's and has changed");
            }
            (Owner::Person(_), None) => panic!("share/{name} was a person's and is gone"),
            (Owner::Fetch(content), Some(bytes)) => {
                let whole = hash(&bytes).0 == *content;
                assert!(whole, "share/{name} is not whole after a power cut");
            }
            (Owner::Fetch(_), None) => {
                let promised = disk.shadow.promised.contains_key(&name);
                assert!(!promised, "share/{name} was done and a power cut took it");
                continue;
            }
        }
        disk.shadow.owners.insert(name, (number, owner));
    }
    for (path, number) in &disk.names {
        if let Path::Share(name) = path {
            let known = disk.shadow.owners.get(name).map(|(owned, _)| owned);
            assert_eq!(known, Some(number), "share/{name} came from nowhere");
        }
    }
    refresh_shown(disk);
}

fn refresh_shown(disk: &mut Disk) {
    let names = disk.names.iter().chain(&disk.certain);
    let moved = disk.pending.iter().filter_map(|change| match change {
        Change::Give { path, file } => Some((path, file)),
        Change::Move { to, file, .. } => Some((to, file)),
        Change::Take { .. } => None,
    });
    let shown = names.chain(moved).filter(|(path, _)| matches!(path, Path::Share(_)));
    disk.shadow.shown = shown.map(|(_, number)| *number).collect();
}

/// The files of `share/` that a fetch has given names, as they stand now.
pub(crate) fn check_all(disk: &mut Disk) {
    let owners = disk.shadow.owners.clone();
    for (name, (number, owner)) in owners {
        let path = Path::Share(name.clone());
        assert_eq!(disk.names.get(&path), Some(&number), "share/{name} was replaced");
        let file = disk.files.get_mut(&number).expect("a name leads to a file");
        match owner {
            Owner::Person(own) => assert_eq!(own, file.bytes, "share/{name} was changed"),
            Owner::Fetch(content) => {
                assert_eq!(file.hash().0, content, "share/{name} is not whole");
            }
        }
    }
}
