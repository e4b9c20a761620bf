//! The part of one fetch that is on disk until it is whole: its attrs, its chunk files and the
//! chain it goes by. It keeps the contract's promises about `chunks/` (names, attrs to the letter,
//! chunk files that never overlap) and decides nothing: what to store, to trust or to throw away is
//! the core's to say.
//!
//! At each use a chunk file's name is looked at, and what stands there compared with what is remembered,
//! so that a folder emptied under a running fetch is noticed at once (`DiskFaultKind::Vanished`; open the
//! store again to learn what is left). A few of those that were written to last are held open; the
//! others are opened by name, so that their number is not bounded by that of open files.

mod attrs;
pub mod attrs_text;
pub(in crate::driver) mod fault;
mod held;
pub mod names;
pub mod partial_chain;
mod publishing;
mod scan;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use log::warn;
use rustix::fs::OFlags;
use rustix::io::Errno;

use self::attrs::LockedAttrs;
use self::fault::{fault, own_fault};
use self::held::{HeldFile, HeldFiles};
use crate::content::state_chain::{Link, LinkCheck, Proof};
use crate::content::{BlockLayout, ContentId, ShareName};
use crate::driver::share_folder::{self, ShareFolder, entry};
use crate::node::input::{DiskFault, DiskFaultKind, Extent, FileSignature, StoreOpening};
use crate::node::output::FetchEnding;

/// How many bytes of a block are read at once for checking.
const READ_LENGTH: usize = 64 * 1024;

/// What one fetch has on disk.
#[derive(Debug)]
pub struct ChunkStore {
    root: PathBuf,
    content: ContentId,
    size: u64,
    name: ShareName,
    open: Option<Open>,
    /// The attrs are of our making: nobody had wanted this content before.
    has_made_attrs: bool,
    /// The attrs that stood there before, if they said something else.
    found_attrs: Option<String>,
}

/// What is held while the store is ours.
#[derive(Debug)]
struct Open {
    folder: ShareFolder,
    attrs: LockedAttrs,
    chunks: BTreeMap<u64, Chunk>,
    held: HeldFiles,
    /// The chunk file that is being joined to the first one, which is none of `chunks` any more.
    joining: Option<(String, FileSignature)>,
    /// Somebody else has written to what is here since it was listed: all of it is to be checked before it is
    /// published.
    touched: bool,
}

/// What is remembered of one chunk file.
#[derive(Clone, Copy, Debug)]
pub(in crate::driver) struct Chunk {
    state: FileSignature,
    rest: Option<Rest>,
}

/// Of a chunk file that was being joined to the first one: what that does not have yet.
#[derive(Clone, Copy, Debug)]
struct Rest {
    /// Where the file begins, in bytes of the content.
    file: u64,
    /// How many bytes of it the first chunk file has.
    joined: u64,
}

impl Chunk {
    fn remember(state: FileSignature) -> Self {
        Self { state, rest: None }
    }

    /// The same after it was written to.
    fn written(&self, state: FileSignature) -> Self {
        Self { state, rest: self.rest }
    }

    pub(in crate::driver) fn length(&self) -> u64 {
        self.state.size.saturating_sub(self.joined())
    }

    /// Where in its file it begins.
    pub(in crate::driver) fn joined(&self) -> u64 {
        self.rest.map_or(0, |rest| rest.joined)
    }

    /// The name of its file, for one that begins at `start`.
    fn file_name(&self, content: ContentId, start: u64) -> String {
        match self.rest {
            Some(rest) => names::joining(content, rest.file),
            None => names::chunk(content, start),
        }
    }

    /// Whether this is the file, as long as it was.
    fn is(&self, now: &FileSignature) -> bool {
        let fixed = |state: &FileSignature| (state.device, state.inode, state.size);
        fixed(&self.state) == fixed(now)
    }

    /// Whether nobody has written to it either, as far as its times tell.
    fn is_as_left(&self, now: &FileSignature) -> bool {
        self.is(now) && self.state.modified_ns == now.modified_ns
    }
}

impl ChunkStore {
    /// The store of a fetch below the folder `root`. Touches nothing yet.
    pub fn new(root: &Path, content: ContentId, size: u64, name: ShareName) -> Self {
        let root = root.to_owned();
        Self { root, content, size, name, open: None, has_made_attrs: false, found_attrs: None }
    }

    /// What is fetched.
    pub fn content(&self) -> ContentId {
        self.content
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Where it is to appear.
    pub fn name(&self) -> &ShareName {
        &self.name
    }

    /// For `Output::OpenStore`: makes or opens the attrs, locks them, lists what is there. May be
    /// called again: after `Taken`, and after anything has vanished.
    pub fn open(&mut self) -> StoreOpening {
        // A lock on attrs that were removed is worth nothing; on those that stand, it is kept until
        // it is taken again in the same breath: who waits looks at the name after locking.
        self.open = None;
        match self.try_open() {
            Ok(Some(mut open)) => {
                self.has_made_attrs |= open.attrs.are_new();
                self.found_attrs = open.attrs.take_replaced().or(self.found_attrs.take());
                let extents = open.extents();
                self.open = Some(open);
                let chain = partial_chain::read(&self.root, self.content, self.size);
                StoreOpening::Ours { extents, chain }
            }
            Ok(None) => StoreOpening::Taken,
            Err(error) => {
                let path = self.root.join("chunks").join(names::attrs(self.content));
                StoreOpening::Failed(fault(&format!("make {}", path.display()), &error))
            }
        }
    }

    fn try_open(&self) -> io::Result<Option<Open>> {
        let folder = ShareFolder::open_or_make(&self.root.join("chunks"))?;
        let text = attrs_text::text(&self.name, self.size);
        let Some(attrs) = LockedAttrs::take(&folder, self.content, &text)? else {
            return Ok(None);
        };
        let chunks = scan::chunks(&folder, self.content, self.size)?;
        let (held, joining) = (HeldFiles::default(), None);
        Ok(Some(Open { folder, attrs, chunks, held, joining, touched: false }))
    }

    /// For `Output::CheckStored`: reads one block (a mebibyte at most) and computes. False as well
    /// where it cannot be read.
    pub fn check_stored(&mut self, block: u64, link: &Link) -> Proof {
        self.try_check(block, link).unwrap_or_else(|error| {
            warn!("cannot read block {block} of {} back: {error}", self.content);
            Proof::False
        })
    }

    fn try_check(&self, block: u64, link: &Link) -> io::Result<Proof> {
        let range = BlockLayout::new(self.size).block_range(block);
        let open = self.open.as_ref().ok_or(Errno::NOENT)?;
        let (start, chunk) = open.chunks.range(..=range.start).next_back().ok_or(Errno::NOENT)?;
        if range.end - start > chunk.length() {
            return Err(Errno::NOENT.into());
        }
        let file = open.chunk_file(self.content, *start, OFlags::RDONLY)?;
        let mut check = LinkCheck::new(*link);
        let mut buffer = [0; READ_LENGTH];
        let mut position = range.start;
        while position < range.end {
            let length = (range.end - position).min(READ_LENGTH as u64) as usize;
            file.read_exact_at(&mut buffer[..length], position - start + chunk.joined())?;
            check.update(&buffer[..length]);
            position += length as u64;
        }
        Ok(check.finish())
    }

    /// For `Output::TruncateExtent`: cuts the chunk file that begins at `extent` to `length` bytes,
    /// and removes it where that is zero.
    pub fn truncate_extent(&mut self, extent: u64, length: u64) {
        let content = self.content;
        let Some(open) = self.open.as_mut() else {
            return;
        };
        let Some(chunk) = open.chunks.get(&extent).copied() else {
            return;
        };
        if length >= chunk.length() {
            return;
        }
        let cut = open.chunk_file(content, extent, OFlags::RDWR).and_then(|file| {
            let as_left = chunk.is_as_left(&share_folder::signature(&file)?);
            file.set_len(chunk.joined() + length)?;
            Ok((share_folder::signature(&file)?, as_left))
        });
        match cut {
            Ok((state, as_left)) if length > 0 => {
                open.touched |= !as_left;
                open.chunks.insert(extent, chunk.written(state));
                return;
            }
            Ok(_) => {}
            Err(error) => warn!("cannot cut {}: {error}", chunk.file_name(content, extent)),
        }
        // Rather no file than one with bytes that are not proven.
        open.chunks.remove(&extent);
        open.held.forget(extent);
        let name = chunk.file_name(content, extent);
        if let Err(error) = entry::remove(open.folder.handle(), &name) {
            warn!("cannot remove {name}: {error}");
        }
    }

    /// For `Output::Store`: appends proven bytes to the chunk file that begins at `extent`, which
    /// ends at `position` now; makes the file where both are the same. After an error the file is
    /// as it was before.
    pub fn store(&mut self, extent: u64, position: u64, bytes: &[u8]) -> Result<(), DiskFault> {
        let content = self.content;
        let size = self.size;
        let folder = self.root.join("chunks");
        let Some(open) = self.open.as_mut().filter(|open| open.is_ours()) else {
            let message = format!("{} was emptied while it was used", folder.display());
            return Err(own_fault(DiskFaultKind::Vanished, message));
        };
        if !open.has_room(extent, position, bytes.len() as u64, size) {
            let message = format!("{position} is not where the chunk at {extent} goes on");
            return Err(own_fault(DiskFaultKind::Final, message));
        }
        let failed = |error| {
            let path = folder.join(names::chunk(content, extent));
            fault(&format!("write {}", path.display()), &error)
        };
        let held = if position == extent {
            open.make_chunk(content, extent).map_err(failed)?
        } else {
            open.chunk_to_write(content, extent).map_err(failed)?
        };
        let before = open.chunks.get(&extent).copied();
        let joined = before.as_ref().map_or(0, Chunk::joined);
        let written = held
            .file
            .write_all_at(bytes, position - extent + joined)
            .and_then(|()| share_folder::signature(&held.file));
        match written {
            Ok(state) => {
                let chunk = before.map_or(Chunk::remember(state), |before| before.written(state));
                open.chunks.insert(extent, chunk);
                open.held.put(held);
                Ok(())
            }
            Err(error) => {
                open.take_back(content, extent, position, &held.file);
                Err(failed(error))
            }
        }
    }

    /// For `Output::SaveChain`.
    pub fn save_chain(&mut self, states: &[u8]) {
        if self.open.is_none() {
            return;
        }
        if let Err(error) = partial_chain::write(&self.root, self.content, states) {
            let folder = partial_chain::folder(&self.root);
            warn!(
                "cannot save a chain in {}: {error}; a later run asks for it again",
                folder.display()
            );
        }
    }

    /// For `Output::FetchEnded`: after `WrongSize` and `Colliding` nothing is left in `chunks/`, but of an earlier
    /// run that had the true size; nor after `GivenUp` of which nothing has come; otherwise all stays for the next run.
    pub fn end(mut self, ending: &FetchEnding) {
        let has_none = self.open.as_ref().is_some_and(|open| open.chunks.is_empty());
        match ending {
            FetchEnding::WrongSize { size } if self.gave_back(*size) => {}
            FetchEnding::WrongSize { .. } | FetchEnding::Colliding => self.remove_all(),
            // A front end starts a fetch for each attrs that it finds. Those that stood there before are somebody's.
            FetchEnding::GivenUp if self.has_made_attrs && has_none => self.remove_all(),
            _ => {}
        }
    }

    /// Whether what is there was fetched by a run that knew the true size, and is that run's again.
    fn gave_back(&self, size: u64) -> bool {
        let found = self.found_attrs.as_deref();
        let found = found.filter(|found| attrs_text::size(found.as_bytes()) == Some(size));
        let (Some(found), Some(open)) = (found, &self.open) else { return false };
        open.is_ours() && open.attrs.restate(&open.folder, self.content, found).is_ok()
    }
}

impl Open {
    fn extents(&self) -> Vec<Extent> {
        let extent =
            |(start, chunk): (&u64, &Chunk)| Extent { start: *start, length: chunk.length() };
        self.chunks.iter().map(extent).collect()
    }

    /// Whether the folder and the attrs in it are still those that we have.
    fn is_ours(&self) -> bool {
        !self.folder.is_replaced() && self.attrs.stand_in(&self.folder)
    }

    /// Whether bytes may be appended there: at the extent's end, short of the next one and the
    /// size.
    fn has_room(&self, extent: u64, position: u64, length: u64, size: u64) -> bool {
        let end = self.chunks.get(&extent).map_or(extent, |chunk| extent + chunk.length());
        let next =
            self.chunks.range((std::ops::Bound::Excluded(extent), std::ops::Bound::Unbounded));
        let limit = next.map(|(start, _)| *start).next().unwrap_or(size);
        let before = self.chunks.range(..extent).next_back();
        let free_from = before.map_or(0, |(start, chunk)| start + chunk.length());
        position == end
            && free_from <= extent
            && position.checked_add(length).is_some_and(|end| end <= limit.min(size))
    }

    /// Opens a chunk file, if it is the one that is remembered.
    fn chunk_file(&self, content: ContentId, start: u64, mode: OFlags) -> io::Result<File> {
        let chunk = self.chunks.get(&start).ok_or(Errno::NOENT)?;
        let name = chunk.file_name(content, start);
        let file = entry::open_file(self.folder.handle(), name.as_str(), mode)?;
        if chunk.is(&share_folder::signature(&file)?) && file.metadata()?.nlink() == 1 {
            Ok(file)
        } else {
            let message = format!("{name} is another file than before");
            Err(io::Error::new(io::ErrorKind::NotFound, message))
        }
    }

    /// A chunk file to append to: the one that is held, or else opened by its name. It gets new times: that somebody
    /// had written to it would not be seen later.
    fn chunk_to_write(&mut self, content: ContentId, start: u64) -> io::Result<HeldFile> {
        let chunk = *self.chunks.get(&start).ok_or(Errno::NOENT)?;
        let mut as_left = true;
        let held = self.held.take(&self.folder, start, |state| {
            as_left = chunk.is_as_left(state);
            chunk.is(state)
        });
        let held = match held {
            Some(held) => held,
            None => {
                let file = self.chunk_file(content, start, OFlags::RDWR)?;
                as_left = chunk.is_as_left(&share_folder::signature(&file)?);
                HeldFile::new(file, start, chunk.file_name(content, start), &chunk.state)
            }
        };
        if !as_left {
            warn!("somebody has written to chunks/{}", chunk.file_name(content, start));
            self.touched = true;
        }
        Ok(held)
    }

    /// Makes a chunk file. What stands under its name was put there by somebody else, and goes.
    fn make_chunk(&mut self, content: ContentId, start: u64) -> io::Result<HeldFile> {
        self.held.forget(start);
        let name = names::chunk(content, start);
        let at = self.folder.handle();
        let create = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let file = match entry::open_file(at, name.as_str(), create) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                warn!("chunks/{name} is none of ours; it is removed");
                entry::remove(at, &name)?;
                entry::open_file(at, name.as_str(), create)?
            }
            other => other?,
        };
        let state = share_folder::signature(&file)?;
        Ok(HeldFile::new(file, start, name, &state))
    }

    /// Undoes a write that failed half way.
    fn take_back(&mut self, content: ContentId, extent: u64, position: u64, file: &File) {
        let before = self.chunks.get(&extent).copied().filter(|_| position > extent);
        let joined = before.as_ref().map_or(0, Chunk::joined);
        let cut = file.set_len(position - extent + joined);
        match (cut.and_then(|()| share_folder::signature(file)), before) {
            (Ok(state), Some(before)) => {
                self.chunks.insert(extent, before.written(state));
            }
            _ => {
                let name = before.map_or_else(
                    || names::chunk(content, extent),
                    |before| before.file_name(content, extent),
                );
                self.chunks.remove(&extent);
                let _ = entry::remove(self.folder.handle(), &name);
            }
        }
    }
}

#[cfg(test)]
mod tests;
