//! What a power cut leaves of a disk.
//!
//! The rules, from POSIX and from what file systems do with them (ext4, XFS, btrfs, F2FS):
//!
//! - What a file held when it was last synced is there. Of what was written since, each page of 4,096 bytes is
//!   there, or is as before, or reads as zeros; the length is any between the synced one and the last.
//! - A name that was given, taken or moved is certain once its folder was synced. Before that each such change is
//!   there or not. A journal keeps their order (a prefix of them is there); POSIX promises no order, so
//!   half of all power cuts keep any of them. A rename happens as a whole or not at all, except that a
//!   file that was moved to a folder that was synced may have kept its old name as well.
//! - A file without a name is gone.
//! - No lock is left.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use sprat::node::Random;

use super::disk::{Change, Disk, File, Folder, Path};
use super::shadow;

const PAGE: usize = 4_096;

impl Disk {
    /// The power fails, and comes back.
    pub(crate) fn power_cut(&mut self, random: &mut Random) {
        let pending = std::mem::take(&mut self.pending);
        let ordered = random.below(2) == 0;
        let kept = random.below(pending.len() as u64 + 1);
        for (index, change) in pending.into_iter().enumerate() {
            let happened = if ordered { (index as u64) < kept } else { random.below(2) == 0 };
            if happened {
                self.make_certain(change);
            }
        }
        self.forget_the_unreachable();
        self.names = self.certain.clone();
        let named: BTreeSet<u64> = self.names.values().copied().collect();
        self.files.retain(|number, _| named.contains(number));
        for file in self.files.values_mut().filter(|file| file.dirty) {
            tear(file, random);
        }
        self.locks.clear();
        self.generation += 1;
        shadow::power_came_back(self);
    }

    /// What stands in a folder whose own name was forgotten is gone with it.
    fn forget_the_unreachable(&mut self) {
        let reachable = |path: &Path, certain: &BTreeMap<Path, u64>| {
            let (Path::Share(_) | Path::Folder(_)) = path else { return true };
            let Folder::Share(mut folder) = path.folder() else { return true };
            while !folder.is_empty() {
                if !certain.contains_key(&Path::Folder(folder.clone())) {
                    return false;
                }
                folder = folder.rsplit_once('/').map_or("", |(above, _)| above).to_owned();
            }
            true
        };
        let certain = self.certain.clone();
        self.certain.retain(|path, _| reachable(path, &certain));
    }

    fn make_certain(&mut self, change: Change) {
        match change {
            Change::Give { path, file } => {
                self.certain.insert(path, file);
            }
            Change::Take { path } => {
                self.certain.remove(&path);
            }
            Change::Move { from, to, file } => {
                if self.certain.get(&from) == Some(&file) {
                    self.certain.remove(&from);
                }
                self.certain.insert(to, file);
            }
        }
    }
}

fn tear(file: &mut File, random: &mut Random) {
    let (before, after) = (file.synced.clone(), file.bytes.clone());
    let (short, long) =
        (before.len().min(after.len()) as u64, before.len().max(after.len()) as u64);
    let length = match random.below(4) {
        0 => short,
        1 => long,
        _ => short + random.below(long - short + 1),
    };
    let mut left = vec![0; length as usize];
    for (index, page) in left.chunks_mut(PAGE).enumerate() {
        let at = index * PAGE;
        let from = match random.below(4) {
            0 => &before,
            1 if at >= before.len() => continue,
            _ => &after,
        };
        if at < from.len() {
            let end = from.len().min(at + page.len());
            page[..end - at].copy_from_slice(&from[at..end]);
        }
    }
    file.bytes = Rc::new(left);
    file.synced = file.bytes.clone();
    file.dirty = false;
    file.version += 1;
}
