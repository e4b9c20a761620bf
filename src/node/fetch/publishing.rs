//! The crash rules: in which order a finished download gets its name in `share/`. Whatever cuts this
//! short leads to the same end, and nothing ever stands under any name before it is whole and synced.
//!
//! Each state asks the driver for one step, and each answer leads to the next state:
//!
//! | state | asks | then |
//! |---|---|---|
//! | looking | what stands under the name? | nothing: gathering, or naming where that was done; the same content: keeping; other content: looking, at the name beside it |
//! | gathering | make one whole file that has no name in `share/` yet | syncing |
//! | syncing | sync it | naming |
//! | naming | give it the name, if that is still free | keeping; taken meanwhile: looking; on another file system: copying |
//! | copying | copy it to the file system of the name | syncing |
//! | keeping | sync the file, if it is not the one that was just synced, and the folders above it | clearing |
//! | clearing | remove chunks and chain, the attrs last | done |
//!
//! So a name is given only to what was synced, and nothing is removed from `chunks/` before the
//! name was. What could not be synced may be gone from memory as well, and a second sync would not
//! tell: it is fetched again.
//!
//! A [`Publishing`] is handed answers and says what is [`Next`]; what becomes of the fetch where a
//! step fails is said at the end of this file.

use log::warn;
use serde::{Deserialize, Serialize};

use super::{Fetch, Phase};
use crate::content::{ContentId, ShareName};
use crate::node::context::Context;
use crate::node::input::{
    DiskFault, DiskFaultKind, Extent, FetchRequest, Gathering, NameLook, Naming, StepOutcome,
};
use crate::node::output::{FetchEnding, GatherFrom, Output, PublishStep};

/// How many names beside the wanted one are looked at.
const ATTEMPTS_MAX: u32 = 1000;
/// How often what was gathered may be gone before all that is on disk is looked at anew.
const RESTARTS_MAX: u32 = 3;

/// One file on its way to its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Publishing {
    content: ContentId,
    wanted: ShareName,
    /// What the whole file is made from; nothing, where it stands in `share/` already.
    from: Option<GatherFrom>,
    /// The name that is tried.
    name: ShareName,
    /// Which one beside the wanted one it is; 0 is the wanted one.
    attempt: u32,
    restarts: u32,
    state: State,
}

/// Which answer is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    /// What stands under the name; and what was gathered before, if it was.
    Looking(Option<Whole>),
    Gathering,
    Syncing(Whole),
    Naming(Whole),
    Copying,
    Keeping,
    Clearing,
}

/// A whole file without a name in `share/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Whole {
    /// The first chunk file, which has become all of them.
    Chunk,
    /// A file of its own; if it is lost, nothing is.
    Copy,
}

/// What follows from an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// This is to be done next.
    Ask(PublishStep),
    /// The file has this name, and all else is removed.
    Done(ShareName),
    /// The file that was to be copied is not this content.
    Changed,
    /// What the chunk files hold is not what was stored; these are left.
    Lost(Vec<Extent>),
    /// The first chunk file cannot be synced: it must go, and its bytes are to be fetched again.
    Unsynced(DiskFault),
    /// It cannot be, for now or for ever.
    Failed(DiskFault),
}

impl Publishing {
    /// Publishes the chunk files, all of whose blocks are proven and stored; for the empty content,
    /// which has none, a new file.
    pub(crate) fn of_chunks(request: &FetchRequest) -> Self {
        let from = if request.size == 0 { GatherFrom::Nothing } else { GatherFrom::Chunks };
        Self::new(request, Some(from), State::Looking(None))
    }

    /// Publishes a copy of a file of `share/`.
    pub(crate) fn of_copy(request: &FetchRequest, from: ShareName) -> Self {
        Self::new(request, Some(GatherFrom::Shared(from)), State::Looking(None))
    }

    /// The wanted name is this content already.
    pub(crate) fn in_place(request: &FetchRequest) -> Self {
        Self::new(request, None, State::Keeping)
    }

    fn new(request: &FetchRequest, from: Option<GatherFrom>, state: State) -> Self {
        Self {
            content: request.content,
            wanted: request.name.clone(),
            from,
            name: request.name.clone(),
            attempt: 0,
            restarts: 0,
            state,
        }
    }

    /// Whether it copies what stands elsewhere in `share/`.
    pub(crate) const fn is_copy(&self) -> bool {
        matches!(self.from, Some(GatherFrom::Shared(_)))
    }

    /// The first step.
    pub(crate) fn begin(&mut self) -> Next {
        self.go(self.state)
    }

    /// The step that was asked for was taken. Nothing, where another one is awaited.
    pub(crate) fn stepped(&mut self, outcome: StepOutcome) -> Option<Next> {
        Some(match (self.state, outcome) {
            (State::Looking(whole), StepOutcome::Looked(look)) => self.looked(whole, look),
            (State::Gathering, StepOutcome::Gathered(gathering)) => {
                let whole = match self.from {
                    Some(GatherFrom::Chunks) => Whole::Chunk,
                    _ => Whole::Copy,
                };
                self.gathered(whole, gathering)
            }
            (State::Copying, StepOutcome::Gathered(gathering)) => {
                self.gathered(Whole::Copy, gathering)
            }
            (State::Syncing(whole), StepOutcome::Synced(outcome)) => match (outcome, whole) {
                (Ok(()), _) => self.go(State::Naming(whole)),
                (Err(fault), Whole::Chunk) => Next::Unsynced(fault),
                (Err(fault), Whole::Copy) => Next::Failed(fault),
            },
            (State::Naming(whole), StepOutcome::Named(naming)) => self.named(whole, naming),
            (State::Keeping, StepOutcome::Kept(outcome)) => match outcome {
                Ok(()) => self.go(State::Clearing),
                Err(fault) if self.from.is_some() => Next::Failed(fault),
                Err(fault) => {
                    warn!("{}; what was fetched is kept", fault.message);
                    Next::Done(self.name.clone())
                }
            },
            (State::Clearing, StepOutcome::Cleared) => Next::Done(self.name.clone()),
            _ => return None,
        })
    }

    fn looked(&mut self, whole: Option<Whole>, look: NameLook) -> Next {
        match look {
            NameLook::Free => self.go(whole.map_or(State::Gathering, State::Naming)),
            NameLook::Same => self.go(State::Keeping),
            NameLook::Other if self.attempt == ATTEMPTS_MAX => never(format!(
                "share/{} and all names beside it are taken: make one free",
                self.wanted
            )),
            NameLook::Other => {
                self.attempt += 1;
                let name = self.wanted.beside(self.content, self.attempt);
                warn!("share/{} is other content; trying share/{name}", self.name);
                self.name = name;
                self.go(State::Looking(whole))
            }
            NameLook::Failed(fault) => Next::Failed(fault),
        }
    }

    fn gathered(&mut self, whole: Whole, gathering: Gathering) -> Next {
        match gathering {
            Gathering::Whole => self.go(State::Syncing(whole)),
            Gathering::Lost { extents } => Next::Lost(extents),
            Gathering::Changed => Next::Changed,
            Gathering::OtherFileSystem => on_two_file_systems(),
            Gathering::Failed(fault) => Next::Failed(fault),
        }
    }

    fn named(&mut self, whole: Whole, naming: Naming) -> Next {
        match (naming, whole) {
            (Naming::Named, _) => self.go(State::Keeping),
            (Naming::Taken, _) => self.go(State::Looking(Some(whole))),
            (Naming::Gone, _) if self.restarts == RESTARTS_MAX => Next::Failed(DiskFault {
                kind: DiskFaultKind::Vanished,
                message: format!("somebody keeps removing what is to be share/{}", self.wanted),
            }),
            (Naming::Gone, _) => {
                self.restarts += 1;
                self.name = self.wanted.clone();
                self.attempt = 0;
                self.go(State::Looking(None))
            }
            (Naming::OtherFileSystem, Whole::Chunk) => self.go(State::Copying),
            (Naming::OtherFileSystem, Whole::Copy) => on_two_file_systems(),
            (Naming::Failed(fault), _) => Next::Failed(fault),
        }
    }

    /// Enters a state, and asks what it waits for.
    fn go(&mut self, state: State) -> Next {
        let before = std::mem::replace(&mut self.state, state);
        let name = self.name.clone();
        Next::Ask(match state {
            State::Looking(_) => PublishStep::LookAtName { name },
            State::Gathering => {
                let from = self.from.clone().unwrap_or(GatherFrom::Nothing);
                PublishStep::GatherWhole { from, name }
            }
            State::Copying => PublishStep::GatherWhole { from: GatherFrom::Gathered, name },
            State::Syncing(_) => PublishStep::SyncWhole,
            State::Naming(_) => PublishStep::GiveName { name },
            State::Keeping => {
                // A chunk file was synced before it was moved; a link to a file without a name is a
                // change of the file.
                let file_too = !matches!(before, State::Naming(Whole::Chunk));
                PublishStep::SyncShared { name, file_too }
            }
            State::Clearing => PublishStep::ClearStore,
        })
    }
}

/// What no second attempt will change.
fn never(message: impl Into<String>) -> Next {
    Next::Failed(DiskFault { kind: DiskFaultKind::Final, message: message.into() })
}

fn on_two_file_systems() -> Next {
    never(
        "share/ is on another file system than chunks/, and on one that holds no files without a \
         name; put both on one, then call again",
    )
}

impl Fetch {
    /// All blocks are stored.
    pub(super) fn publish(&mut self, ctx: &mut Context<'_>) {
        for source in self.sources.values_mut() {
            source.flow.abandon(ctx.now);
            source.todo.clear();
        }
        self.begin_publishing(ctx, Publishing::of_chunks(&self.request));
    }

    /// Takes the first step.
    pub(super) fn begin_publishing(&mut self, ctx: &mut Context<'_>, mut publishing: Publishing) {
        let next = publishing.begin();
        self.phase = Phase::Publishing(publishing);
        self.go_on_publishing(ctx, next);
    }

    /// A step was taken.
    pub(crate) fn publish_stepped(&mut self, ctx: &mut Context<'_>, outcome: StepOutcome) {
        let Phase::Publishing(publishing) = &mut self.phase else { return };
        if let Some(next) = publishing.stepped(outcome) {
            self.go_on_publishing(ctx, next);
        }
    }

    fn go_on_publishing(&mut self, ctx: &mut Context<'_>, next: Next) {
        let fetch = self.request.fetch;
        match next {
            Next::Ask(step) => ctx.emit(Output::Publish { fetch, step }),
            Next::Done(name) => self.end(ctx, FetchEnding::Done(name)),
            Next::Changed => self.go_on_fetching(ctx),
            Next::Lost(extents) => {
                warn!("somebody has touched the chunk files: fetching again what is missing");
                self.assembly.load(ctx, &extents);
                self.go_on_fetching(ctx);
            }
            Next::Unsynced(fault) => {
                ctx.emit(Output::TruncateExtent { fetch, extent: 0, length: 0 });
                self.publishing_failed(ctx, fault);
            }
            Next::Failed(fault) => self.publishing_failed(ctx, fault),
        }
    }

    fn publishing_failed(&mut self, ctx: &mut Context<'_>, fault: DiskFault) {
        if fault.kind != DiskFaultKind::NoRoom {
            return self.disk_fault(ctx, fault);
        }
        warn!("{}", fault.message);
        if matches!(&self.phase, Phase::Publishing(publishing) if publishing.is_copy()) {
            // Without room for a copy there is none for a download; but room may be made.
            self.go_on_fetching(ctx);
        } else {
            self.phase = Phase::Unpublished { retry_at: self.no_room_retry(ctx.now) };
        }
    }
}
