//! What publishing does with the chunk files: joins them, and gives the one that is left its name.
//!
//! Nothing is proven once more before it is published. So it must be seen if somebody else writes to a chunk
//! file: of each it is remembered how we left it, and what is not so any more is left for the core to check.

use std::fs::File;
use std::io;

use log::warn;
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::{ChunkStore, Open, names, partial_chain, scan};
use crate::content::ContentId;
use crate::driver::share_folder::{self, ShareFolder, entry};
use crate::node::input::{Extent, FileSignature, StoreOpening};

/// For publishing.
impl ChunkStore {
    /// The folder `chunks/`, while the store is ours and nobody emptied it.
    pub(in crate::driver) fn folder(&self) -> io::Result<&ShareFolder> {
        match &self.open {
            Some(open) if open.is_ours() => Ok(&open.folder),
            _ => Err(Errno::NOENT.into()),
        }
    }

    /// What is remembered to be on disk.
    pub(in crate::driver) fn extents(&self) -> Vec<Extent> {
        self.open.as_ref().map_or_else(Vec::new, Open::extents)
    }

    /// Where the file of the chunk that begins there begins, if that is being joined, and how many bytes of
    /// it the first chunk file has.
    pub(in crate::driver) fn rest_at(&self, start: u64) -> Option<(u64, u64)> {
        let rest = self.open.as_ref()?.chunks.get(&start)?.rest?;
        Some((rest.file, rest.joined))
    }

    /// Opens a chunk file, if nobody else has written to it since it was last written or opened: an
    /// error of kind `NotFound` otherwise.
    pub(in crate::driver) fn open_chunk(&self, start: u64) -> io::Result<File> {
        let open = self.open.as_ref().ok_or(Errno::NOENT)?;
        let file = open.chunk_file(self.content, start, OFlags::RDWR)?;
        if self.is_as_left(start, &file) { Ok(file) } else { Err(Errno::NOENT.into()) }
    }

    /// Whether this is the chunk file that begins there, and nobody else has written to it.
    pub(in crate::driver) fn is_as_left(&self, start: u64, file: &File) -> bool {
        let chunk = self.open.as_ref().and_then(|open| open.chunks.get(&start));
        let now = share_folder::signature(file);
        chunk.zip(now.ok()).is_some_and(|(chunk, now)| chunk.is_as_left(&now))
    }

    /// We have written to the chunk file that begins there.
    pub(in crate::driver) fn written(&mut self, start: u64, file: &File) -> io::Result<()> {
        let state = share_folder::signature(file)?;
        let chunk = self.open.as_mut().and_then(|open| open.chunks.get_mut(&start));
        let chunk = chunk.ok_or(Errno::NOENT)?;
        *chunk = chunk.written(state);
        Ok(())
    }

    /// The file of this name, which was a chunk, is being joined to the first one, and is in this state now; or
    /// it is gone.
    pub(in crate::driver) fn joining(&mut self, file: Option<(&str, FileSignature)>) {
        if let Some(open) = self.open.as_mut() {
            open.joining = file.map(|(name, state)| (name.to_owned(), state));
        }
    }

    /// Whether the file that is being joined is as we left it.
    pub(in crate::driver) fn is_joining(&self, file: &File) -> bool {
        let joining = self.open.as_ref().and_then(|open| open.joining.as_ref());
        let now = share_folder::signature(file);
        joining.zip(now.ok()).is_some_and(|((_, state), now)| is_unwritten(state, &now))
    }

    /// Whether somebody has written to what is here, and it was not listed since.
    pub(in crate::driver) fn is_touched(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.touched)
    }

    /// Looks again at what is on disk, a join that was cut short among it, and takes it as it is. Where the folder
    /// or the attrs are gone they are made again.
    pub(in crate::driver) fn look_again(&mut self) -> StoreOpening {
        let (content, size) = (self.content, self.size);
        if let Some(open) = self.open.as_mut().filter(|open| open.is_ours()) {
            if let Ok(chunks) = scan::chunks(&open.folder, content, size) {
                open.chunks = chunks;
                open.held.clear();
                (open.joining, open.touched) = (None, false);
                return StoreOpening::Ours { extents: open.extents(), chain: None };
            }
        }
        self.open()
    }

    /// The same where nobody is told what there is: what is not as we left it stays to be checked.
    pub(in crate::driver) fn put_right(&mut self) {
        let content = self.content;
        let is_as_left = |open: &Open| !open.touched && open.is_ours() && open.is_intact(content);
        let touched = !self.open.as_ref().is_some_and(is_as_left);
        let _ = self.look_again();
        if let Some(open) = self.open.as_mut() {
            open.touched = touched;
        }
    }

    /// Forgets a chunk file that was renamed.
    pub(in crate::driver) fn forget_chunk(&mut self, start: u64) {
        if let Some(open) = self.open.as_mut() {
            open.chunks.remove(&start);
            open.held.forget(start);
        }
    }

    /// Removes all there is of this content: chunk files, chain, and the attrs last. Nothing, if
    /// the store is not ours.
    pub(in crate::driver) fn remove_all(&mut self) {
        let Some(open) = self.open.take().filter(|open| open.is_ours()) else {
            return;
        };
        partial_chain::remove(&self.root, self.content);
        match scan::remove_all(&open.folder, self.content) {
            Ok(()) => {
                let own = names::attrs(self.content);
                if let Err(error) = entry::remove(open.folder.handle(), &own) {
                    warn!("cannot remove chunks/{own}: {error}");
                }
            }
            Err(error) => warn!("chunks of {} are left: {error}", self.content),
        }
    }
}

impl Open {
    /// Whether every file stands under its name as we left it.
    fn is_intact(&self, content: ContentId) -> bool {
        let look = |name: &str| entry::look(self.folder.handle(), name).ok();
        let chunks = self.chunks.iter().all(|(start, chunk)| {
            look(&chunk.file_name(content, *start))
                .is_some_and(|there| chunk.is_as_left(&there.state))
        });
        let joining = self.joining.as_ref().is_none_or(|(name, state)| {
            look(name).is_some_and(|there| is_unwritten(state, &there.state))
        });
        chunks && joining
    }
}

/// Whether a file is the same, and was not written to between two looks; its name may be another one.
fn is_unwritten(before: &FileSignature, now: &FileSignature) -> bool {
    FileSignature { changed_ns: now.changed_ns, ..*before } == *now
}
