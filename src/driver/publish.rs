//! Giving a finished download its name in `share/`, in an order of which every prefix, whatever
//! cuts it short, leads to the same end; and never under any name before it is whole and synced:
//!
//! 1. see that the chunk files are as they were when each block of them had been proven and stored;
//!    where they are not, the core is told and checks them again;
//! 2. join them to the first one, and sync it;
//! 3. make the folders of the name, and look what stands there: the same content, then we are done;
//!    other content, then it stays and the name beside it is looked at;
//! 4. rename the file to the free name, if it is still free (across file systems: copy it to a file
//!    without a name there, sync that, and give it the name);
//! 5. sync the folders;
//! 6. remove what is left in `chunks/`, the attrs last.
//!
//! The work is cut into steps of a few milliseconds, but for the syncs, which take what the disk
//! takes.

mod copy;
mod join;
mod target;

use std::fs::File;
use std::io;

use log::debug;
use rustix::fs::OFlags;
use rustix::io::Errno;

use self::copy::{Filled, Filling};
use self::join::{Join, JoinError};
use self::target::{Place, Target};
use crate::content::{ContentId, ShareName};
use crate::driver::chunk_store::fault::{fault, own_fault};
use crate::driver::chunk_store::{ChunkStore, names};
use crate::driver::file_hash::{FileHash, Hashing};
use crate::driver::share_folder::{ShareFolder, entry};
use crate::node::input::{DiskFault, DiskFaultKind, Publishing, StoreOpening};

/// How often what was there a moment ago may be gone before that is told.
const RESTARTS_MAX: u32 = 3;

/// The work for one `Output::Publish` or `Output::PublishCopy`. Dropping it at any moment leaves
/// the disk in a state that the next one goes on from.
#[derive(Debug)]
pub struct PublishJob {
    /// The file of `share/` to copy; none where the chunk files are published.
    copy_from: Option<ShareName>,
    stage: Stage,
    /// The finished file, once there is one.
    whole: Option<Whole>,
    target: Option<Target>,
    restarts: u32,
}

/// What is to be done next.
#[derive(Debug)]
enum Stage {
    Check,
    Join(Join),
    MakeFolders,
    LookAtName,
    Compare(FileHash),
    Fill(Filling),
    SyncFilled(File),
    GiveName,
    SyncFolders,
    CleanUp,
}

/// A file that is whole, proven and synced, and has no name in `share/` yet.
#[derive(Debug)]
enum Whole {
    /// The first chunk file.
    Chunk(File),
    /// A file without any name, in the folder that it is to appear in.
    Nameless(File),
    /// A file of ours in `chunks/`, where the other kind is not to be had.
    Hidden,
}

/// What ends a job early.
enum Stop {
    /// What is on disk is not what was stored: look at what is left.
    Lost,
    /// This is the answer.
    Answer(Publishing),
}

impl From<DiskFault> for Stop {
    fn from(fault: DiskFault) -> Self {
        Self::Answer(Publishing::Failed(fault))
    }
}

impl PublishJob {
    /// For `Output::Publish`.
    pub fn publish() -> Self {
        Self { copy_from: None, stage: Stage::Check, whole: None, target: None, restarts: 0 }
    }

    /// For `Output::PublishCopy`.
    pub fn copy(from: ShareName) -> Self {
        Self { copy_from: Some(from), ..Self::publish() }
    }

    /// Does the next piece: at most a mebibyte copied or half of it hashed. The answer, once there
    /// is one; it is not to be called again after that.
    pub fn step(&mut self, store: &mut ChunkStore, share: &ShareFolder) -> Option<Publishing> {
        let stage = std::mem::replace(&mut self.stage, Stage::Check);
        match self.advance(stage, store, share) {
            Ok(next) => {
                self.stage = next;
                None
            }
            Err(Stop::Answer(answer)) => {
                if !matches!(answer, Publishing::Done(_)) {
                    // A join that was begun is undone, so that the sum of chunks is the progress.
                    let _ = store.look_again();
                }
                Some(answer)
            }
            Err(Stop::Lost) => Some(match store.look_again() {
                StoreOpening::Ours { extents, .. } => Publishing::Incomplete { extents },
                StoreOpening::Failed(fault) => Publishing::Failed(fault),
                StoreOpening::Taken => Publishing::Failed(own_fault(
                    DiskFaultKind::Vanished,
                    "the attrs were removed and another process has made them anew",
                )),
            }),
        }
    }

    fn advance(
        &mut self,
        stage: Stage,
        store: &mut ChunkStore,
        share: &ShareFolder,
    ) -> Result<Stage, Stop> {
        match stage {
            Stage::Check => self.check(store),
            Stage::Join(join) => self.join(join, store),
            Stage::MakeFolders => {
                self.target = Some(Target::new(share, store)?);
                Ok(Stage::LookAtName)
            }
            Stage::LookAtName => self.look_at_name(store, share),
            Stage::Compare(hash) => self.compare(hash, store),
            Stage::Fill(filling) => self.fill(filling, store),
            Stage::SyncFilled(file) => {
                file.sync_all().map_err(|error| fault("sync the copy in share/", &error))?;
                self.whole = Some(match self.target().fills_hidden {
                    true => Whole::Hidden,
                    false => Whole::Nameless(file),
                });
                Ok(Stage::GiveName)
            }
            Stage::GiveName => self.give_name(store),
            Stage::SyncFolders => {
                let more = self.target_mut().sync_next_folder();
                let more = more.map_err(|error| fault("sync the folders of share/", &error))?;
                Ok(if more { Stage::SyncFolders } else { Stage::CleanUp })
            }
            Stage::CleanUp => {
                store.remove_all();
                let name = self.target().name().clone();
                Err(Stop::Answer(Publishing::Done(name)))
            }
        }
    }

    fn target(&self) -> &Target {
        self.target.as_ref().expect("the folders were made before")
    }

    fn target_mut(&mut self) -> &mut Target {
        self.target.as_mut().expect("the folders were made before")
    }

    /// Something was gone: it is looked at from the start, unless that happens again and again.
    fn restart(&mut self) -> Result<Stage, Stop> {
        self.restarts += 1;
        self.whole = None;
        self.target = None;
        if self.restarts > RESTARTS_MAX { Err(Stop::Lost) } else { Ok(Stage::Check) }
    }

    fn check(&mut self, store: &mut ChunkStore) -> Result<Stage, Stop> {
        if store.folder().is_err() {
            return Err(Stop::Lost);
        }
        if self.copy_from.is_some() {
            return Ok(Stage::MakeFolders);
        }
        if store.size() == 0 {
            if store.content() == ContentId::EMPTY {
                return Ok(Stage::MakeFolders);
            }
            let message = format!("no file of 0 bytes has the SHA-1 {}", store.content());
            return Err(own_fault(DiskFaultKind::Final, message).into());
        }
        let (mut end, mut base) = (0, None);
        for extent in store.extents() {
            if extent.start != end {
                return Err(Stop::Lost);
            }
            end += extent.length;
            let file = store.open_chunk(extent.start).map_err(|error| {
                if error.kind() == io::ErrorKind::NotFound {
                    return Stop::Lost;
                }
                fault("open the chunk files again", &error).into()
            })?;
            base = base.or(Some((file, extent.length)));
        }
        match base {
            Some((base, length)) if end == store.size() => Ok(Stage::Join(Join::new(base, length))),
            _ => Err(Stop::Lost),
        }
    }

    fn join(&mut self, mut join: Join, store: &mut ChunkStore) -> Result<Stage, Stop> {
        match join.step(store) {
            Ok(false) => Ok(Stage::Join(join)),
            Ok(true) => {
                let base = join.into_base();
                let length = base.metadata().map_or(0, |metadata| metadata.len());
                if length != store.size() {
                    return Err(Stop::Lost);
                }
                self.whole = Some(Whole::Chunk(base));
                Ok(Stage::MakeFolders)
            }
            Err(JoinError::Lost) => Err(Stop::Lost),
            Err(JoinError::Io(error)) => Err(fault("join the chunk files", &error).into()),
            Err(JoinError::Sync(error)) => {
                // What the disk did not take may be gone from memory as well, and a second sync
                // would not tell.
                store.remove_chunk(0);
                Err(fault("sync the finished file", &error).into())
            }
        }
    }

    fn look_at_name(&mut self, store: &ChunkStore, share: &ShareFolder) -> Result<Stage, Stop> {
        match self.target_mut().look(store.size())? {
            Place::Taken => {
                self.target_mut().go_beside(store)?;
                Ok(Stage::LookAtName)
            }
            Place::Compare(hash) => Ok(Stage::Compare(hash)),
            Place::Free if self.whole.is_some() => Ok(Stage::GiveName),
            Place::Free => self.start_filling(store, share),
        }
    }

    fn compare(&mut self, mut hash: FileHash, store: &ChunkStore) -> Result<Stage, Stop> {
        match hash.step() {
            Ok(Hashing::More) => return Ok(Stage::Compare(hash)),
            Ok(Hashing::Content(content)) if content == store.content() => {
                let synced = hash.into_file().sync_all();
                synced.map_err(|error| fault("sync the file in share/", &error))?;
                return Ok(Stage::SyncFolders);
            }
            Ok(_) => {}
            Err(error) => debug!("cannot read share/{}: {error}", self.target().name()),
        }
        self.target_mut().go_beside(store)?;
        Ok(Stage::LookAtName)
    }

    /// The empty file, or a copy of one in `share/`.
    fn start_filling(&mut self, store: &ChunkStore, share: &ShareFolder) -> Result<Stage, Stop> {
        let source = match &self.copy_from {
            Some(from) => match share.open(from) {
                Ok(file) => Some(file),
                Err(error) => {
                    debug!("share/{from} cannot be copied: {error}");
                    return Err(Stop::Answer(Publishing::Changed));
                }
            },
            None => None,
        };
        let failed = |error| fault("make a new file for share/", &error);
        let to = match copy::nameless(self.target().folder()).map_err(failed)? {
            Some(file) => file,
            None => {
                self.target_mut().fills_hidden = true;
                let folder = store.folder().map_err(|_| Stop::Lost)?.handle();
                let name = names::whole(store.content());
                entry::remove(folder, &name).map_err(failed)?;
                let create = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
                entry::open_file(folder, name, create).map_err(failed)?
            }
        };
        Ok(Stage::Fill(match source {
            Some(file) => Filling::proving(file, to, store.size()).map_err(failed)?,
            None => Filling::trusting(None, to, store.size()),
        }))
    }

    fn fill(&mut self, mut filling: Filling, store: &ChunkStore) -> Result<Stage, Stop> {
        let step = filling.step(store.content());
        match step.map_err(|error| fault("copy the file into share/", &error))? {
            Filled::More => Ok(Stage::Fill(filling)),
            Filled::Whole => Ok(Stage::SyncFilled(filling.to)),
            Filled::Changed if self.copy_from.is_some() => Err(Stop::Answer(Publishing::Changed)),
            Filled::Changed => Err(Stop::Lost),
        }
    }

    fn give_name(&mut self, store: &mut ChunkStore) -> Result<Stage, Stop> {
        let target = self.target();
        let (content, size) = (store.content(), store.size());
        let given = match self.whole.as_ref() {
            Some(Whole::Nameless(file)) => {
                copy::name_it(file, target.folder(), target.name().file_name())
            }
            Some(Whole::Chunk(file)) => store.folder().and_then(|chunks| {
                let name = names::chunk(content, 0);
                let is_it = entry::is_same_file(chunks.handle(), name.as_str(), file)?
                    && file.metadata()?.len() == size;
                if is_it { target.rename_here(chunks, &name) } else { Err(Errno::NOENT.into()) }
            }),
            Some(Whole::Hidden) => {
                store.folder().and_then(|chunks| target.rename_here(chunks, &names::whole(content)))
            }
            None => return self.restart(),
        };
        let Err(error) = given else {
            if let Some(Whole::Chunk(_)) = self.whole {
                store.forget_chunk(0);
            }
            return Ok(Stage::SyncFolders);
        };
        match (error.kind(), &self.whole) {
            (io::ErrorKind::AlreadyExists, _) => Ok(Stage::LookAtName),
            (io::ErrorKind::NotFound, _) => self.restart(),
            (io::ErrorKind::CrossesDevices, Some(Whole::Chunk(file))) => {
                let failed = |error| fault("copy the finished file into share/", &error);
                let file = file.try_clone().map_err(failed)?;
                match copy::nameless(target.folder()).map_err(failed)? {
                    Some(to) => Ok(Stage::Fill(Filling::trusting(Some(file), to, size))),
                    None => Err(no_nameless_files().into()),
                }
            }
            (io::ErrorKind::CrossesDevices, _) => Err(no_nameless_files().into()),
            _ => Err(fault(&format!("name the file share/{}", target.name()), &error).into()),
        }
    }
}

fn no_nameless_files() -> DiskFault {
    let message = "share/ is on another file system than chunks/, and on one that holds no files \
                   without a name; put both on one, then call again";
    own_fault(DiskFaultKind::Final, message)
}

#[cfg(test)]
mod tests;
