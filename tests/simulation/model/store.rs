//! What a process that fetches does for its node: buffers, the store in `chunks/`, and the steps by which a
//! finished file gets its name. Each is as the driver does it, operation by operation.

use std::net::SocketAddr;

use sprat::content::state_chain::{Link, verify};
use sprat::content::{BlockLayout, ContentId};
use sprat::node::input::{
    DiskFault, DiskFaultKind, Extent, FetchRequest, ShareSearch, StoreOpening,
};
use sprat::node::output::FetchEnding;
use sprat::node::{BufferId, FetchId, Input, Output};
use sprat::wire::DATA_HEADER_LENGTH;

use super::contents::attrs;
use super::disk::{Disk, Path};
use super::host::{Buffer, Host, Queue};
use super::peer::read_partial;
use super::shadow;

/// What the store does to the disk.
type Step<T = ()> = Result<T, DiskFault>;

impl Host {
    pub(super) fn execute_for_fetch(
        &mut self,
        output: Output,
        in_hand: Option<(SocketAddr, &[u8])>,
    ) {
        match output {
            Output::Reserve { buffer, length } => {
                let bytes = vec![0; length as usize];
                let before = self.buffers.insert(buffer, Buffer { bytes, proven: false });
                assert!(before.is_none(), "a buffer is reserved twice");
                let all: usize = self.buffers.values().map(|buffer| buffer.bytes.len()).sum();
                assert!(all <= BUFFERS_MAX, "{all} bytes of blocks in memory");
            }
            Output::Keep { buffer, offset } => self.keep(buffer, offset, in_hand),
            Output::Release { buffer } => {
                self.buffers.remove(&buffer).expect("a buffer is released once");
            }
            Output::Verify { fetch, buffer, link } => {
                let held = self.buffers.get_mut(&buffer).expect("a reserved buffer is verified");
                let genuine = verify(&link, &held.bytes);
                held.proven = genuine;
                self.answer_from(
                    Queue::Proof,
                    Input::Verified { fetch, buffer, genuine, collides: false },
                );
            }
            _ => self.execute_on_disk(output),
        }
    }

    fn keep(&mut self, buffer: BufferId, offset: u32, in_hand: Option<(SocketAddr, &[u8])>) {
        let (from, datagram) = in_hand.expect("only a datagram's payload is kept");
        self.ledger.keeps(from, datagram);
        let payload = &datagram[DATA_HEADER_LENGTH..];
        let at = offset as usize;
        let held = self.buffers.get_mut(&buffer).expect("kept in a reserved buffer");
        held.bytes[at..at + payload.len()].copy_from_slice(payload);
        held.proven = false;
    }

    /// The outputs that concern a fetch's store.
    fn execute_on_disk(&mut self, output: Output) {
        let request = self.request.clone().expect("only a fetch has a store");
        self.disk().shadow.acting_for = Some(request.content);
        match output {
            Output::OpenStore { fetch, .. } => {
                let outcome = self.open_store(&request).unwrap_or_else(StoreOpening::Failed);
                if let StoreOpening::Ours { extents, .. } = &outcome {
                    self.remember(request.content, extents);
                }
                self.answer(Input::StoreOpened { fetch, outcome });
            }
            Output::SearchShare { fetch, effort } => {
                let outcome = self.search(&request, effort);
                self.answer_from(Queue::Slow, Input::ShareSearched { fetch, outcome });
            }
            Output::CheckStored { fetch, block, link } => {
                self.check_stored(fetch, block, &link, &request);
            }
            Output::TruncateExtent { extent, length, .. } => {
                // It may have been removed by somebody; what fails is found out by the next look.
                self.truncate_extent(request.content, extent, length);
            }
            Output::Store { fetch, buffer, extent, position } => {
                let outcome = self.append(request.content, buffer, extent, position);
                self.answer(Input::Stored { fetch, buffer, outcome });
            }
            Output::SaveChain { states, .. } => {
                let _ = self.disk().replace(Path::States(request.content), &states);
            }
            Output::Publish { fetch, step } => {
                let outcome = self.publish(&request, step);
                self.answer_from(Queue::Slow, Input::PublishStepped { fetch, outcome });
            }
            Output::FetchEnded { ending, .. } => self.fetch_ended(&request, ending),
            other => panic!("{other:?} is not expected here"),
        }
    }

    fn open_store(&mut self, request: &FetchRequest) -> Step<StoreOpening> {
        let (content, size) = (request.content, request.size);
        let process = self.process;
        let mut disk = self.disk();
        disk.operation("open the attrs")?;
        if !disk.lock(content, process) {
            return Ok(StoreOpening::Taken);
        }
        let path = Path::Attrs(content);
        let text = attrs(request.name.as_str(), size);
        if disk.file(&path).is_none_or(|file| *file.bytes != text) {
            let written = disk.replace(path.clone(), &text).and_then(|()| {
                let number = disk.names[&path];
                disk.sync_file(number)
            });
            if let Err(fault) = written {
                disk.locks.remove(&content);
                return Err(fault);
            }
        }
        let extents = disk.tidy(content, size)?;
        let chain = disk.file(&Path::States(content)).map(|file| file.bytes.to_vec());
        Ok(StoreOpening::Ours { extents, chain })
    }

    /// Of other names, as many files of this size are looked at as may be hashed.
    fn search(&mut self, request: &FetchRequest, effort: Option<u64>) -> ShareSearch {
        let mut disk = self.disk();
        let found: Vec<_> = disk.share().map(|(name, number)| (name.clone(), number)).collect();
        let is_it = |number: &u64, disk: &mut Disk| {
            let file = disk.files.get_mut(number).expect("a name leads to a file");
            file.bytes.len() as u64 == request.size && file.hash().0 == request.content
        };
        let wanted = found.iter().find(|(name, _)| *name == request.name);
        if wanted.is_some_and(|(_, number)| is_it(number, &mut disk)) {
            return ShareSearch::InPlace;
        }
        let mut left = effort.unwrap_or(u64::MAX);
        let of_size = |number| disk.files[&number].bytes.len() as u64 == request.size;
        let offered = found.into_iter().filter(|(name, _)| name.is_offered());
        let offered: Vec<_> = offered.filter(|&(_, number)| of_size(number)).collect();
        for (name, number) in offered {
            if left == 0 {
                return ShareSearch::Unfinished;
            }
            // Opening one costs as much as hashing some.
            left = left.saturating_sub(request.size.max(200_000));
            if is_it(&number, &mut disk) {
                return ShareSearch::Elsewhere(name);
            }
        }
        ShareSearch::Absent
    }

    fn check_stored(&mut self, fetch: FetchId, block: u64, link: &Link, request: &FetchRequest) {
        let genuine = {
            let mut disk = self.disk();
            let range = BlockLayout::new(request.size).block_range(block);
            let length = range.end - range.start;
            let readable = disk.operation("read").is_ok();
            let bytes = read_partial(&disk, request.content, range.start, length);
            readable && bytes.is_some_and(|bytes| verify(link, &bytes))
        };
        self.answer(Input::StoredChecked { fetch, block, genuine, collides: false });
    }

    fn append(&mut self, content: ContentId, buffer: BufferId, extent: u64, position: u64) -> Step {
        let held = self.buffers.get(&buffer).expect("a reserved buffer is stored");
        assert!(held.proven, "bytes are stored that were not proven");
        let path = Path::Chunk(content, extent);
        let mut disk = self.disk.borrow_mut();
        let number = disk.names.get(&path).copied();
        let known = self.remembered.get(&extent).copied();
        let now = number.map(|number| (number, disk.files[&number].version));
        let number = match number {
            Some(number) if known == now => number,
            None if position == extent => disk.create(path.clone())?,
            _ => {
                let message = "somebody touched it".to_owned();
                return Err(DiskFault { kind: DiskFaultKind::Vanished, message });
            }
        };
        let length = disk.files[&number].bytes.len() as u64;
        assert_eq!(extent + length, position, "appended, not patched");
        let outcome = disk.append(number, &held.bytes);
        if outcome.is_err() && length == 0 {
            let _ = disk.remove(&path);
        } else {
            self.remembered.insert(extent, (number, disk.files[&number].version));
        }
        outcome
    }

    /// Rather no file than one with bytes that are not proven.
    fn truncate_extent(&mut self, content: ContentId, extent: u64, length: u64) {
        let path = Path::Chunk(content, extent);
        let Some(&(known, version)) = self.remembered.get(&extent) else { return };
        self.remembered.remove(&extent);
        let mut disk = self.disk.borrow_mut();
        let number = disk.names.get(&path).copied();
        let ours =
            number.is_some_and(|number| number == known && disk.files[&number].version == version);
        if let Some(number) = number.filter(|_| ours && length > 0) {
            if disk.truncate(number, length as usize).is_ok() {
                self.remembered.insert(extent, (number, disk.files[&number].version));
                return;
            }
        }
        let _ = disk.remove(&path);
    }

    /// What was remembered of the chunk files is what stands there now.
    pub(super) fn remember(&mut self, content: ContentId, extents: &[Extent]) {
        self.ledger.kept += extents.iter().map(|extent| extent.length).sum::<u64>();
        let disk = self.disk.borrow();
        let chunks = extents.iter().map(|extent| {
            let number = disk.names[&Path::Chunk(content, extent.start)];
            (extent.start, (number, disk.files[&number].version))
        });
        self.remembered = chunks.collect();
    }

    fn fetch_ended(&mut self, request: &FetchRequest, ending: FetchEnding) {
        assert!(self.buffers.is_empty(), "{} buffers are left at the end", self.buffers.len());
        let content = request.content;
        match &ending {
            FetchEnding::Done(_) if !self.is_kept => {}
            FetchEnding::Done(name) => {
                shadow::promised(&mut self.disk(), name, content);
            }
            FetchEnding::WrongSize { .. } | FetchEnding::Colliding => {
                let mut disk = self.disk();
                disk.shadow.acting_for = None;
                let _ = disk.clear(content);
            }
            FetchEnding::TimedOut | FetchEnding::GivenUp | FetchEnding::Failed(_) => {}
        }
        let process = self.process;
        self.disk().release(process);
        self.ending = Some(ending);
    }
}

/// Six mebibytes, the reserve, and a trial for each claim.
const BUFFERS_MAX: usize = (6 << 20) + 24 * 65_536;

impl Disk {
    /// A file in the place of what stands there, in one step.
    fn replace(&mut self, path: Path, bytes: &[u8]) -> Step {
        let number = self.create_nameless()?;
        self.append(number, bytes)?;
        self.rename_over(number, path)
    }

    /// What stands in `chunks/` of a content, after what can be no part of it was removed and joins that
    /// were cut short were settled.
    pub(super) fn tidy(&mut self, content: ContentId, size: u64) -> Step<Vec<Extent>> {
        self.operation("look at chunks/")?;
        self.remove(&Path::Whole(content))?;
        self.settle_joins(content)?;
        let mut end = 0;
        let mut left = Vec::new();
        for Extent { start, length } in self.extents(content) {
            let path = Path::Chunk(content, start);
            let number = self.names[&path];
            let names = self.names.values().filter(|&&other| other == number).count();
            if start >= size || start < end || length == 0 || names != 1 {
                self.remove(&path)?;
                continue;
            }
            if length > size - start {
                self.truncate(number, (size - start) as usize)?;
            }
            let length = length.min(size - start);
            end = start + length;
            left.push(Extent { start, length });
        }
        Ok(left)
    }

    fn settle_joins(&mut self, content: ContentId) -> Step {
        let joining = Path::Joining(content, 0)..=Path::Joining(content, u64::MAX);
        let joining: Vec<Path> = self.names.range(joining).map(|(path, _)| path.clone()).collect();
        for path in joining {
            let Path::Joining(_, start) = path else { continue };
            let length = self.file(&path).map_or(0, |file| file.bytes.len() as u64);
            let base = self.names.get(&Path::Chunk(content, 0)).copied();
            let base = base
                .filter(|&base| self.names.values().filter(|&&other| other == base).count() == 1);
            let end = base.map_or(0, |base| self.files[&base].bytes.len() as u64);
            if end >= start + length {
                self.remove(&path)?;
                continue;
            }
            if let Some(base) = base.filter(|_| end > start) {
                self.truncate(base, start as usize)?;
            }
            if !self.rename_to_free(&path, Path::Chunk(content, start))? {
                self.remove(&path)?;
            }
        }
        Ok(())
    }

    /// Removes all of a download, the attrs last.
    pub(super) fn clear(&mut self, content: ContentId) -> Step {
        let of_it = |path: &&Path| match path {
            Path::Chunk(id, _) | Path::Joining(id, _) | Path::States(id) | Path::Whole(id) => {
                *id == content
            }
            Path::Attrs(_) | Path::Share(_) | Path::Folder(_) => false,
        };
        let left: Vec<Path> = self.names.keys().filter(of_it).cloned().collect();
        for path in left {
            self.remove(&path)?;
        }
        self.remove(&Path::Attrs(content))
    }
}
