//! Making one whole file that has no name in `share/`: out of the chunk files, or as a copy.

use std::fs::File;
use std::io;

use log::debug;
use rustix::fs::OFlags;

use super::Whole;
use super::copy::{self, Filled, Filling};
use super::join::{Join, JoinError};
use super::look::{fresh, parent};
use crate::content::ShareName;
use crate::driver::chunk_store::fault::fault;
use crate::driver::chunk_store::{ChunkStore, names};
use crate::driver::share_folder::{ShareFolder, entry};
use crate::node::input::{DiskFault, Gathering};
use crate::node::output::GatherFrom;

/// A file being made.
#[derive(Debug)]
pub(super) enum Gather {
    /// From this, for this name.
    Begin(GatherFrom, ShareName),
    Join(Join),
    /// A copy, which may be trusted if it is one of ours.
    Fill {
        filling: Filling,
        of_ours: bool,
        hidden: bool,
    },
}

/// Why there is no whole file.
pub(super) enum GatherStop {
    /// What is on disk is not what was stored: look at what is left.
    Lost,
    /// This is the answer.
    Answer(Gathering),
}

impl From<DiskFault> for GatherStop {
    fn from(fault: DiskFault) -> Self {
        Self::Answer(Gathering::Failed(fault))
    }
}

impl Gather {
    /// For `PublishStep::GatherWhole`.
    pub(super) fn begin(from: GatherFrom, name: ShareName) -> Self {
        Self::Begin(from, name)
    }

    /// Does the next piece. Nothing is left to do once the whole file is in hand.
    pub(super) fn work(
        self,
        store: &mut ChunkStore,
        share: &ShareFolder,
        whole: &mut Option<Whole>,
    ) -> Result<Option<Self>, GatherStop> {
        match self {
            Self::Begin(from, name) => {
                if store.folder().is_err() {
                    return Err(GatherStop::Lost);
                }
                match (from, whole.take()) {
                    (GatherFrom::Chunks, _) => begin_join(store),
                    (GatherFrom::Nothing, _) => fill(None, false, &name, store, share),
                    (GatherFrom::Shared(from), _) => match fresh(share)?.open(&from) {
                        Ok(file) => fill(Some(file), false, &name, store, share),
                        Err(error) => {
                            debug!("share/{from} cannot be copied: {error}");
                            Err(GatherStop::Answer(Gathering::Changed))
                        }
                    },
                    (GatherFrom::Gathered, Some(Whole::Chunk(file)))
                        if store.is_as_left(0, &file) =>
                    {
                        fill(Some(file), true, &name, store, share)
                    }
                    (GatherFrom::Gathered, _) => Err(GatherStop::Lost),
                }
                .map(Some)
            }
            Self::Join(mut join) => match join.step(store) {
                Ok(false) => Ok(Some(Self::Join(join))),
                Ok(true) => {
                    let base = join.into_base();
                    let length = base.metadata().map_or(0, |metadata| metadata.len());
                    if length != store.size() || !store.is_as_left(0, &base) {
                        return Err(GatherStop::Lost);
                    }
                    *whole = Some(Whole::Chunk(base));
                    Ok(None)
                }
                Err(JoinError::Lost) => Err(GatherStop::Lost),
                Err(JoinError::Io(error)) => Err(fault("join the chunk files", &error).into()),
            },
            Self::Fill { mut filling, of_ours, hidden } => {
                let step = filling.step(store.content());
                match step.map_err(|error| fault("copy the file into share/", &error))? {
                    Filled::More => Ok(Some(Self::Fill { filling, of_ours, hidden })),
                    // It was proven when it was stored, and not since.
                    Filled::Whole
                        if of_ours && !filling.is_of(|from| store.is_as_left(0, from)) =>
                    {
                        Err(GatherStop::Lost)
                    }
                    Filled::Whole if hidden => {
                        *whole = Some(Whole::Hidden(filling.to));
                        Ok(None)
                    }
                    Filled::Whole => {
                        *whole = Some(Whole::Nameless(filling.to));
                        Ok(None)
                    }
                    Filled::Changed if of_ours => Err(GatherStop::Lost),
                    Filled::Changed => Err(GatherStop::Answer(Gathering::Changed)),
                }
            }
        }
    }
}

/// Sees that the chunk files are as they were stored, one behind the other.
fn begin_join(store: &ChunkStore) -> Result<Gather, GatherStop> {
    if store.is_touched() {
        return Err(GatherStop::Lost);
    }
    let (mut end, mut base) = (0, None);
    for extent in store.extents() {
        if extent.start != end {
            return Err(GatherStop::Lost);
        }
        end += extent.length;
        let file = store.open_chunk(extent.start).map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                return GatherStop::Lost;
            }
            fault("open the chunk files again", &error).into()
        })?;
        base = base.or(Some((file, extent.length)));
    }
    match base {
        Some((base, length)) if end == store.size() => Ok(Gather::Join(Join::new(base, length))),
        _ => Err(GatherStop::Lost),
    }
}

/// Makes the file that is to be filled, from nothing or from a file, which is ours or must be proven.
fn fill(
    from: Option<File>,
    of_ours: bool,
    name: &ShareName,
    store: &ChunkStore,
    share: &ShareFolder,
) -> Result<Gather, GatherStop> {
    let failed = |error| fault("make a new file for share/", &error);
    let folder = parent(&fresh(share)?, name)?.folder;
    let (to, hidden) = match copy::nameless(&folder).map_err(failed)? {
        Some(file) => (file, false),
        // It is copied to get to another file system, and `chunks/` is not on that.
        None if of_ours => return Err(GatherStop::Answer(Gathering::OtherFileSystem)),
        None => {
            let chunks = store.folder().map_err(|_| GatherStop::Lost)?.handle();
            let name = names::whole(store.content());
            entry::remove(chunks, &name).map_err(failed)?;
            let create = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
            (entry::open_file(chunks, name, create).map_err(failed)?, true)
        }
    };
    let filling = match from {
        Some(from) if !of_ours => Filling::proving(from, to, store.size()).map_err(failed)?,
        from => Filling::trusting(from, to, store.size()),
    };
    Ok(Gather::Fill { filling, of_ours, hidden })
}
