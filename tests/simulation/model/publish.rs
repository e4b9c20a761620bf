//! The steps by which a finished file gets its name, operation by operation as the driver does them
//! (`src/driver/publish/`). Which step comes when is the core's to say.

use std::rc::Rc;

use sprat::content::{ContentId, ShareName};
use sprat::node::input::{
    DiskFault, DiskFaultKind, FetchRequest, Gathering, NameLook, Naming, StepOutcome,
};
use sprat::node::output::{GatherFrom, PublishStep};

use super::disk::{Disk, Folder, Path, folders_of};
use super::host::Host;

/// A whole file without a name in `share/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InHand {
    /// The first chunk file.
    Chunk(u64),
    /// A file without any name.
    Nameless(u64),
    /// A file of ours in `chunks/`.
    Hidden(u64),
}

/// Why there is no whole file.
enum Stop {
    Lost,
    Answer(Gathering),
}

impl From<DiskFault> for Stop {
    fn from(fault: DiskFault) -> Self {
        Self::Answer(Gathering::Failed(fault))
    }
}

type Step<T = ()> = Result<T, DiskFault>;

fn vanished() -> DiskFault {
    let message = "nothing is in hand".to_owned();
    DiskFault { kind: DiskFaultKind::Vanished, message }
}

impl Host {
    pub(super) fn publish(&mut self, request: &FetchRequest, step: PublishStep) -> StepOutcome {
        let content = request.content;
        let outcome = match step {
            PublishStep::LookAtName { name } => {
                let look = look(&mut self.disk(), &name, request);
                StepOutcome::Looked(look.unwrap_or_else(NameLook::Failed))
            }
            PublishStep::GatherWhole { from, name } => {
                let before = self.in_hand.take();
                StepOutcome::Gathered(match self.gather(request, from, &name, before) {
                    Ok(whole) => {
                        self.in_hand = Some(whole);
                        Gathering::Whole
                    }
                    Err(Stop::Answer(answer)) => answer,
                    Err(Stop::Lost) => self.lost(request),
                })
            }
            PublishStep::SyncWhole => StepOutcome::Synced(match self.in_hand {
                Some(InHand::Chunk(file) | InHand::Nameless(file) | InHand::Hidden(file)) => {
                    self.disk().sync_file(file)
                }
                None => Err(vanished()),
            }),
            PublishStep::GiveName { name } => {
                let path = Path::Share(name.clone());
                let is_free = name == request.name && !self.disk().names.contains_key(&path);
                if let Some(rival) = self.rival.take_if(|_| is_free) {
                    self.disk().place(path, rival);
                }
                let naming = self.give_name(request, &name);
                StepOutcome::Named(naming.unwrap_or_else(Naming::Failed))
            }
            PublishStep::SyncShared { name, file_too } => {
                let kept = sync_shared(&mut self.disk(), &name, file_too);
                self.is_kept = kept.is_ok();
                StepOutcome::Kept(kept)
            }
            PublishStep::ClearStore => {
                self.in_hand = None;
                let _ = self.disk().clear(content);
                StepOutcome::Cleared
            }
        };
        if has_failed(&outcome) {
            self.in_hand = None;
            let left = self.disk().tidy(content, request.size);
            if let Ok(extents) = left {
                self.remember(content, &extents);
            }
        }
        outcome
    }

    fn lost(&mut self, request: &FetchRequest) -> Gathering {
        let left = self.disk().tidy(request.content, request.size);
        match left {
            Ok(extents) => {
                self.remember(request.content, &extents);
                Gathering::Lost { extents }
            }
            Err(fault) => Gathering::Failed(fault),
        }
    }

    fn gather(
        &mut self,
        request: &FetchRequest,
        from: GatherFrom,
        name: &ShareName,
        before: Option<InHand>,
    ) -> Result<InHand, Stop> {
        let content = request.content;
        match (from, before) {
            (GatherFrom::Chunks, _) => self.join(content, request.size),
            (GatherFrom::Nothing, _) => self.fill(content, &[], name, false),
            (GatherFrom::Shared(from), _) => {
                let bytes = {
                    let mut disk = self.disk();
                    disk.operation("read")?;
                    let file = disk.file_mut(&Path::Share(from));
                    file.and_then(|file| {
                        let genuine =
                            file.bytes.len() as u64 == request.size && file.hash().0 == content;
                        genuine.then(|| file.bytes.clone())
                    })
                };
                let bytes = bytes.ok_or(Stop::Answer(Gathering::Changed))?;
                self.fill(content, &bytes, name, false)
            }
            (GatherFrom::Gathered, Some(InHand::Chunk(file))) => {
                let bytes = self.disk().files[&file].bytes.clone();
                self.fill(content, &bytes, name, true)
            }
            (GatherFrom::Gathered, _) => Err(Stop::Lost),
        }
    }

    /// A copy, in the file system of the name where that can be.
    fn fill(
        &mut self,
        content: ContentId,
        bytes: &[u8],
        name: &ShareName,
        of_ours: bool,
    ) -> Result<InHand, Stop> {
        let mut disk = self.disk.borrow_mut();
        disk.make_folders(name)?;
        if !disk.no_nameless {
            let file = disk.create_nameless()?;
            disk.append(file, bytes)?;
            return Ok(InHand::Nameless(file));
        }
        if of_ours {
            return Err(Stop::Answer(Gathering::OtherFileSystem));
        }
        let path = Path::Whole(content);
        disk.remove(&path)?;
        let file = disk.create(path)?;
        disk.append(file, bytes)?;
        Ok(InHand::Hidden(file))
    }

    /// Makes the first chunk file all of it.
    fn join(&mut self, content: ContentId, size: u64) -> Result<InHand, Stop> {
        let mut disk = self.disk.borrow_mut();
        let extents = disk.extents(content);
        let mut end = 0;
        for extent in &extents {
            let file = disk.names[&Path::Chunk(content, extent.start)];
            let now = (file, disk.files[&file].version);
            if extent.start != end || self.remembered.get(&extent.start) != Some(&now) {
                return Err(Stop::Lost);
            }
            end += extent.length;
        }
        let base = disk.names.get(&Path::Chunk(content, 0)).copied();
        let base = base.filter(|_| end == size).ok_or(Stop::Lost)?;
        for extent in extents.iter().skip(1) {
            let from = Path::Chunk(content, extent.start);
            let to = Path::Joining(content, extent.start);
            disk.rename_to_free(&from, to.clone())?;
            self.remembered.remove(&extent.start);
            let bytes: Rc<Vec<u8>> = disk.file(&to).ok_or(Stop::Lost)?.bytes.clone();
            disk.append(base, &bytes)?;
            // That it goes block by block is seen on real files (`src/driver/publish/tests`).
            disk.remove(&to)?;
        }
        let whole = disk.files[&base].bytes.len() as u64 == size;
        if whole { Ok(InHand::Chunk(base)) } else { Err(Stop::Lost) }
    }

    fn give_name(&mut self, request: &FetchRequest, name: &ShareName) -> Step<Naming> {
        let content = request.content;
        let mut disk = self.disk.borrow_mut();
        disk.make_folders(name)?;
        let to = Path::Share(name.clone());
        let given = match self.in_hand {
            Some(InHand::Nameless(file)) => disk.link_to_free(file, to)?,
            Some(InHand::Chunk(file)) => {
                let from = Path::Chunk(content, 0);
                let there = disk.names.get(&from) == Some(&file);
                if !there || disk.files[&file].bytes.len() as u64 != request.size {
                    self.in_hand = None;
                    return Ok(Naming::Gone);
                }
                if disk.two_systems {
                    return Ok(Naming::OtherFileSystem);
                }
                disk.rename_to_free(&from, to)?
            }
            Some(InHand::Hidden(file)) => {
                let from = Path::Whole(content);
                if disk.names.get(&from) != Some(&file) {
                    self.in_hand = None;
                    return Ok(Naming::Gone);
                }
                if disk.two_systems {
                    return Ok(Naming::OtherFileSystem);
                }
                disk.rename_to_free(&from, to)?
            }
            None => return Ok(Naming::Gone),
        };
        if !given {
            return Ok(Naming::Taken);
        }
        if let Some(InHand::Chunk(_)) = self.in_hand.take() {
            self.remembered.remove(&0);
        }
        Ok(Naming::Named)
    }
}

fn look(disk: &mut Disk, name: &ShareName, request: &FetchRequest) -> Step<NameLook> {
    disk.make_folders(name)?;
    disk.operation("look at a name")?;
    Ok(match disk.file_mut(&Path::Share(name.clone())) {
        None => NameLook::Free,
        Some(file) => {
            let same = file.bytes.len() as u64 == request.size && file.hash().0 == request.content;
            if same { NameLook::Same } else { NameLook::Other }
        }
    })
}

fn sync_shared(disk: &mut Disk, name: &ShareName, file_too: bool) -> Step {
    let number = disk.names.get(&Path::Share(name.clone())).copied();
    let number = number.ok_or_else(vanished)?;
    if file_too {
        disk.sync_file(number)?;
    }
    for folder in folders_of(name) {
        disk.sync_folder(&Folder::Share(folder))?;
    }
    Ok(())
}

/// Whether this ends the attempt, so that a join that was begun is undone.
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
