//! The steps of giving a finished download its name in `share/`. Which step comes when, and under
//! which name the file is to appear, is the core's to say (`node/fetch/publishing.rs`); here is how
//! each is done: in slices of a few milliseconds, but for the syncs, which take what the disk takes.
//!
//! Cut short at any point, or dropped, all this leaves `chunks/` so that opening the store puts it
//! right (`chunk_store/scan.rs`).

pub(super) mod copy;
mod gather;
mod join;
mod look;

use std::fs::File;
use std::io;

use rustix::io::Errno;

use self::gather::{Gather, GatherStop};
use self::look::{Look, fresh, parent};
use crate::content::ShareName;
use crate::driver::chunk_store::fault::{fault, own_fault};
use crate::driver::chunk_store::{ChunkStore, names};
use crate::driver::share_folder::{ShareFolder, WritableParent, entry};
use crate::node::input::{
    DiskFault, DiskFaultKind, Gathering, NameLook, Naming, StepOutcome, StoreOpening,
};
use crate::node::output::PublishStep;

/// What is in hand of one fetch that is publishing.
#[derive(Debug, Default)]
pub struct Publisher {
    whole: Option<Whole>,
    task: Option<Task>,
}

/// A file that is whole and proven, and has no name in `share/` yet.
#[derive(Debug)]
enum Whole {
    /// The first chunk file.
    Chunk(File),
    /// A file without any name, in the folder that it is to appear in.
    Nameless(File),
    /// A file of ours in `chunks/`, where the other kind is not to be had.
    Hidden(File),
}

/// A step that was begun.
#[derive(Debug)]
enum Task {
    Look(Look),
    Gather(Gather),
    SyncWhole,
    GiveName(ShareName),
    SyncShared(SyncShared),
    ClearStore,
}

/// The file of `share/` comes first, and then a folder at a time.
#[derive(Debug)]
struct SyncShared {
    name: ShareName,
    /// Whether the file is to be synced.
    file_too: bool,
    /// The folders, innermost first, and how many of them are synced.
    folders: Option<(WritableParent, usize)>,
}

impl Publisher {
    /// For `Output::Publish`.
    pub fn begin(&mut self, step: PublishStep) {
        debug_assert!(self.task.is_none(), "one step at a time: {:?}", self.task);
        self.task = Some(match step {
            PublishStep::LookAtName { name } => Task::Look(Look::at(name)),
            PublishStep::GatherWhole { from, name } => Task::Gather(Gather::begin(from, name)),
            PublishStep::SyncWhole => Task::SyncWhole,
            PublishStep::GiveName { name } => Task::GiveName(name),
            PublishStep::SyncShared { name, file_too } => {
                Task::SyncShared(SyncShared { name, file_too, folders: None })
            }
            PublishStep::ClearStore => Task::ClearStore,
        });
    }

    /// Whether a step was begun that is not answered yet.
    pub fn is_at_work(&self) -> bool {
        self.task.is_some()
    }

    /// Does the next piece: at most a mebibyte or two copied, half of it hashed, or one sync. The answer,
    /// once there is one.
    pub fn work(&mut self, store: &mut ChunkStore, share: &ShareFolder) -> Option<StepOutcome> {
        let task = self.task.take()?;
        let outcome = match task {
            Task::Look(mut look) => match look.work(store, share) {
                Ok(None) => return self.go_on(Task::Look(look)),
                Ok(Some(found)) => StepOutcome::Looked(found),
                Err(fault) => StepOutcome::Looked(NameLook::Failed(fault)),
            },
            Task::Gather(gather) => match gather.work(store, share, &mut self.whole) {
                Ok(Some(gather)) => return self.go_on(Task::Gather(gather)),
                Ok(None) => StepOutcome::Gathered(Gathering::Whole),
                Err(GatherStop::Answer(answer)) => StepOutcome::Gathered(answer),
                Err(GatherStop::Lost) => StepOutcome::Gathered(lost(store)),
            },
            Task::SyncWhole => StepOutcome::Synced(self.sync_whole()),
            Task::GiveName(name) => StepOutcome::Named(self.give_name(&name, store, share)),
            Task::SyncShared(mut sync) => match sync.work(share) {
                Ok(true) => return self.go_on(Task::SyncShared(sync)),
                Ok(false) => StepOutcome::Kept(Ok(())),
                Err(fault) => StepOutcome::Kept(Err(fault)),
            },
            Task::ClearStore => {
                self.whole = None;
                store.remove_all();
                StepOutcome::Cleared
            }
        };
        if has_failed(&outcome) {
            self.whole = None;
            store.put_right();
        }
        Some(outcome)
    }

    /// What was begun is given up: a join is left so that it can be gone on with.
    pub fn give_up(&mut self, store: &mut ChunkStore) {
        let gathering = matches!(self.task.take(), Some(Task::Gather(_)));
        if self.whole.take().is_some() || gathering {
            store.put_right();
        }
    }

    fn go_on(&mut self, task: Task) -> Option<StepOutcome> {
        self.task = Some(task);
        None
    }

    fn sync_whole(&self) -> Result<(), DiskFault> {
        let (file, what) = match &self.whole {
            Some(Whole::Chunk(file)) => (file, "sync the finished file"),
            Some(Whole::Nameless(file) | Whole::Hidden(file)) => (file, "sync the copy in share/"),
            None => return Err(own_fault(DiskFaultKind::Vanished, "nothing is in hand to sync")),
        };
        file.sync_all().map_err(|error| fault(what, &error))
    }

    fn give_name(
        &mut self,
        name: &ShareName,
        store: &mut ChunkStore,
        share: &ShareFolder,
    ) -> Naming {
        let target = match fresh(share).and_then(|share| parent(&share, name)) {
            Ok(parent) => parent.folder,
            Err(fault) => return Naming::Failed(fault),
        };
        let content = store.content();
        let given = match &self.whole {
            Some(Whole::Nameless(file)) => copy::name_it(file, &target, name.file_name()),
            Some(Whole::Chunk(file)) => store.folder().and_then(|chunks| {
                let old = names::chunk(content, 0);
                let is_it = entry::is_same_file(chunks.handle(), old.as_str(), file)?
                    && file.metadata()?.len() == store.size()
                    && store.is_as_left(0, file);
                if !is_it {
                    return Err(Errno::NOENT.into());
                }
                entry::rename_to_free(chunks.handle(), &old, &target, name.file_name())
            }),
            Some(Whole::Hidden(_)) => store.folder().and_then(|chunks| {
                let old = names::whole(content);
                entry::rename_to_free(chunks.handle(), &old, &target, name.file_name())
            }),
            None => Err(Errno::NOENT.into()),
        };
        match given.map_err(|error| (error.kind(), error)) {
            Ok(()) => {
                if let Some(Whole::Chunk(_)) = self.whole.take() {
                    store.forget_chunk(0);
                }
                Naming::Named
            }
            Err((io::ErrorKind::AlreadyExists, _)) => Naming::Taken,
            Err((io::ErrorKind::CrossesDevices, _)) => Naming::OtherFileSystem,
            Err((io::ErrorKind::NotFound, _)) => {
                self.whole = None;
                Naming::Gone
            }
            Err((_, error)) => {
                Naming::Failed(fault(&format!("name the file share/{name}"), &error))
            }
        }
    }
}

impl SyncShared {
    /// Syncs the next thing; whether there are more.
    fn work(&mut self, share: &ShareFolder) -> Result<bool, DiskFault> {
        let name = &self.name;
        let Some((parent, synced)) = &mut self.folders else {
            let share = fresh(share)?;
            let file = share.open(name);
            let synced = file.and_then(|file| if self.file_too { file.sync_all() } else { Ok(()) });
            synced.map_err(|error| fault(&format!("sync share/{name}"), &error))?;
            self.folders = Some((parent(&share, name)?, 0));
            return Ok(true);
        };
        if let Some(folder) = parent.to_sync.get(*synced) {
            let failed = |error| fault(&format!("sync the folders of share/{name}"), &error);
            entry::sync_folder(folder).map_err(failed)?;
            *synced += 1;
        }
        Ok(*synced < parent.to_sync.len())
    }
}

/// What is left, where the chunk files are not what was stored.
fn lost(store: &mut ChunkStore) -> Gathering {
    match store.look_again() {
        StoreOpening::Ours { extents, .. } => Gathering::Lost { extents },
        StoreOpening::Failed(fault) => Gathering::Failed(fault),
        StoreOpening::Taken => Gathering::Failed(own_fault(
            DiskFaultKind::Vanished,
            "the attrs were removed and another process has made them anew",
        )),
    }
}

/// Whether this ends the attempt, so that a join that was begun is undone. Where the chunk file was
/// not the one that was gathered, it is not looked at again: it would be taken for ours.
fn has_failed(outcome: &StepOutcome) -> bool {
    match outcome {
        StepOutcome::Looked(NameLook::Failed(_))
        | StepOutcome::Named(Naming::Failed(_))
        | StepOutcome::Synced(Err(_))
        | StepOutcome::Kept(Err(_)) => true,
        StepOutcome::Gathered(answer) => {
            !matches!(answer, Gathering::Whole | Gathering::Lost { .. })
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
