//! One download's bytes: which blocks are on disk and proven, which are being put together in memory,
//! and where the next proven one goes.
//!
//! A block in memory is *gathering* (its packets are on their way), *gathered* (all are there, the chain
//! is not), *verifying*, *held* (genuine, waiting for what stands before it) and *storing*. Blocks are
//! appended to few,
//! growing chunk files, so that publishing is a rename: one that has come too early waits in memory.

mod givers;
mod on_disk;
mod runs;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::content::block_layout::BLOCK_LENGTH_MAX;
use crate::content::state_chain::{Chain, Link, Proof};
use crate::content::{BlockLayout, RangeSet};
use crate::node::context::Context;
use crate::node::ids::{BufferId, FetchId};
use crate::node::input::Extent;
use crate::node::output::Output;
use crate::node::partials::blocks_within;
use crate::node::time::Instant;

use super::block::{Block, Purpose, Stage};

/// Bytes of blocks that may be in memory at once. What is asked for ahead of a slow block is limited
/// by it, and so is the memory of a fetch.
pub(crate) const WINDOW: u64 = 6 * 1024 * 1024;
/// Blocks above the window that may be begun when nothing below can go on without them, and the bytes
/// that they take, at most: one of the longest suffices.
const RESERVE: u64 = 4;
const RESERVE_BYTES_MAX: u64 = BLOCK_LENGTH_MAX;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct ChunkFile {
    length: u64,
    writing: bool,
}

/// A block from an earlier run that the driver is checking.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Checking {
    block: u64,
    /// The chain that it is checked against was refuted meanwhile: the answer says nothing.
    stale: bool,
}

/// One download's bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Assembly {
    fetch: FetchId,
    layout: BlockLayout,
    chunk_files: BTreeMap<u64, ChunkFile>,
    stored: RangeSet,
    /// On disk from an earlier run.
    unchecked: RangeSet,
    checking: Option<Checking>,
    blocks: BTreeMap<BufferId, Block>,
    by_block: BTreeMap<u64, BufferId>,
    /// Blocks that were bad when several sources had a share in them: one source alone, this time.
    alone: RangeSet,
    /// Blocks, far from others, with which a chunk file may begin.
    #[serde(default)]
    begins: BTreeSet<u64>,
    /// Proven blocks that were made so that others would do as well.
    #[serde(default, skip_serializing_if = "RangeSet::is_empty")]
    colliding: RangeSet,
    in_memory: u64,
    next_buffer: u64,
}

impl Assembly {
    pub(crate) fn new(fetch: FetchId, size: u64) -> Self {
        Self {
            fetch,
            layout: BlockLayout::new(size),
            chunk_files: BTreeMap::new(),
            stored: RangeSet::new(),
            unchecked: RangeSet::new(),
            checking: None,
            blocks: BTreeMap::new(),
            by_block: BTreeMap::new(),
            alone: RangeSet::new(),
            begins: BTreeSet::new(),
            colliding: RangeSet::new(),
            in_memory: 0,
            next_buffer: u64::from(fetch.0) << 40,
        }
    }

    pub(crate) const fn layout(&self) -> BlockLayout {
        self.layout
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.stored.total() == self.layout.block_count()
    }

    pub(crate) fn is_stored(&self, block: u64) -> bool {
        self.stored.contains(block)
    }

    /// Bytes proven and on disk.
    pub(crate) fn stored_bytes(&self) -> u64 {
        let full = self.stored.total() * self.layout.block_length();
        let blocks = self.layout.block_count();
        if blocks > 0 && self.stored.contains(blocks - 1) {
            full - (blocks * self.layout.block_length() - self.layout.size())
        } else {
            full
        }
    }

    /// Bytes that have come, stored or not.
    pub(crate) fn received_bytes(&self) -> u64 {
        let gathering = self.by_block.values().filter_map(|buffer| self.blocks.get(buffer));
        self.stored_bytes() + gathering.map(|block| block.received.total()).sum::<u64>()
    }

    /// Bytes of memory that blocks take.
    pub(crate) const fn in_memory(&self) -> u64 {
        self.in_memory
    }

    pub(crate) fn get(&self, buffer: BufferId) -> Option<&Block> {
        self.blocks.get(&buffer)
    }

    pub(crate) fn get_mut(&mut self, buffer: BufferId) -> Option<&mut Block> {
        self.blocks.get_mut(&buffer)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (BufferId, &Block)> {
        self.blocks.iter().map(|(&buffer, block)| (buffer, block))
    }

    pub(crate) fn buffer_of(&self, block: u64) -> Option<BufferId> {
        self.by_block.get(&block).copied()
    }

    /// Takes over what is on disk. What cannot be a run of whole blocks is cut away.
    pub(crate) fn load(&mut self, ctx: &mut Context<'_>, extents: &[Extent]) {
        self.chunk_files.clear();
        self.stored.clear();
        self.unchecked.clear();
        self.checking = None;
        for extent in extents {
            let blocks = blocks_within(self.layout, std::slice::from_ref(extent));
            let aligned = extent.start % self.layout.block_length() == 0;
            let kept = blocks
                .iter()
                .next()
                .filter(|_| aligned)
                .map_or(0, |range| self.layout.block_range(range.end - 1).end - extent.start);
            if kept > 0 {
                let chunk_file = ChunkFile { length: kept, writing: false };
                self.chunk_files.insert(extent.start, chunk_file);
                blocks.iter().for_each(|range| {
                    self.unchecked.insert(range);
                });
            }
            if kept < extent.length {
                self.truncate(ctx, extent.start, kept);
            }
        }
        // What turns out to be on disk is not put together in memory a second time.
        let twice: Vec<BufferId> = self
            .by_block
            .iter()
            .filter(|&(&b, _)| self.unchecked.contains(b))
            .map(|(_, &b)| b)
            .collect();
        for buffer in twice {
            self.release(ctx, buffer);
        }
    }

    /// Asks for the next block from an earlier run to be checked, one at a time.
    pub(crate) fn check_next(&mut self, ctx: &mut Context<'_>, chain: &Chain) {
        if self.checking.is_some() {
            return;
        }
        let next = self.unchecked.iter().next();
        if let Some(block) = next.map(|range| range.start) {
            self.checking = Some(Checking { block, stale: false });
            let link = chain.link(block);
            ctx.emit(Output::CheckStored { fetch: self.fetch, block, link });
        }
    }

    /// The answer to `CheckStored`.
    pub(crate) fn checked(&mut self, ctx: &mut Context<'_>, block: u64, proof: Proof) {
        let asked = self.checking.take_if(|checking| checking.block == block);
        if asked.is_none_or(|checking| checking.stale) || !self.unchecked.contains(block) {
            return;
        }
        self.unchecked.remove(block..block + 1);
        if proof.holds() {
            self.note_collision(block, proof);
            self.stored.insert(block..block + 1);
        } else {
            self.cut_at(ctx, block);
        }
    }

    pub(crate) fn has_unchecked(&self) -> bool {
        !self.unchecked.is_empty()
    }

    /// Whether a block is neither on disk nor in memory.
    pub(crate) fn is_missing(&self, block: u64) -> bool {
        !self.stored.contains(block)
            && !self.unchecked.contains(block)
            && !self.by_block.contains_key(&block)
    }

    /// Whether each block is on disk or asked for.
    pub(crate) fn has_begun_all(&self) -> bool {
        self.first_missing(None).is_none()
    }

    /// The last block, where it is missing and not the only one. It is fetched first: its link ends in the name, so that
    /// whoever claims a chain that is false all through is found out by it. It waits in memory for what stands before it.
    pub(crate) fn missing_proof(&self) -> Option<u64> {
        self.last_of_several().filter(|&last| self.is_missing(last))
    }

    /// Whether the last block has been seen to end in the name: what comes is true, or does not fit what stands above it.
    pub(crate) fn has_proof(&self) -> bool {
        let Some(last) = self.last_of_several() else { return true };
        let block = self.by_block.get(&last).and_then(|buffer| self.blocks.get(buffer));
        let held = block.is_some_and(|it| matches!(it.stage, Stage::Held | Stage::Storing));
        held || self.stored.contains(last)
    }

    /// The last block, where it is not the only one.
    pub(crate) const fn last_of_several(&self) -> Option<u64> {
        match self.layout.block_count() {
            0 | 1 => None,
            count => Some(count - 1),
        }
    }

    /// Bytes of blocks in memory without the last one, which was fetched first and waits there to the end.
    fn in_window(&self) -> u64 {
        let last = self.last_of_several().and_then(|last| self.by_block.get(&last));
        let last = last.and_then(|buffer| self.blocks.get(buffer));
        self.in_memory - last.map_or(0, |block| block.length)
    }

    /// The block to ask for next, if memory allows another one: the missing one that is urgent, or the
    /// first that is missing of those that `held` has (all, where there is none).
    pub(crate) fn next_missing(&self, held: Option<&RangeSet>, urgent: Option<u64>) -> Option<u64> {
        let reserve = self.reserve();
        if urgent.is_some() {
            return urgent.filter(|_| self.in_window() < WINDOW + reserve);
        }
        let in_window = self.in_window();
        let within = in_window + self.layout.block_length() <= WINDOW;
        if !within && in_window >= WINDOW + reserve {
            return None;
        }
        let first = self.first_missing(held)?;
        let is_frontier = || held.is_none() || self.first_missing(None) == Some(first);
        (within || is_frontier()).then_some(first)
    }

    /// Bytes above the window.
    fn reserve(&self) -> u64 {
        (RESERVE * self.layout.block_length()).min(RESERVE_BYTES_MAX)
    }

    fn first_missing(&self, held: Option<&RangeSet>) -> Option<u64> {
        let count = self.layout.block_count();
        let mut from = 0;
        while from < count {
            // The next number that is in none of the sets, set by set.
            let gap = self.stored.first_gap(from..count)?;
            let gap = self.unchecked.first_gap(gap)?;
            let mut block = gap.start;
            for (&in_memory, _) in self.by_block.range(gap.start..) {
                if in_memory != block {
                    break;
                }
                block += 1;
            }
            if block >= gap.end {
                from = block;
                continue;
            }
            match held {
                None => return Some(block),
                Some(held) if held.contains(block) => return Some(block),
                Some(held) => {
                    let next = held.iter().find(|range| range.end > block)?;
                    from = next.start.max(block + 1);
                }
            }
        }
        None
    }

    /// Begins a block.
    pub(crate) fn start(
        &mut self,
        ctx: &mut Context<'_>,
        purpose: Purpose,
        block: u64,
        owner: SocketAddr,
    ) -> BufferId {
        let layout = match purpose {
            Purpose::Size { size } => BlockLayout::new(size),
            Purpose::Content | Purpose::Challenge { .. } => self.layout,
        };
        let range = layout.block_range(block);
        let length = range.end - range.start;
        let buffer = BufferId(self.next_buffer);
        self.next_buffer += 1;
        if purpose == Purpose::Content {
            self.by_block.insert(block, buffer);
        }
        self.in_memory += length;
        self.blocks.insert(
            buffer,
            Block {
                purpose,
                block,
                start: range.start,
                length,
                stage: Stage::Gathering,
                owner: Some(owner),
                mixed: false,
                first_from: None,
                received: RangeSet::new(),
                moves: 0,
                owned_at: ctx.now,
                had: 0,
            },
        );
        ctx.emit(Output::Reserve { buffer, length: length as u32 });
        buffer
    }

    /// The payload of the datagram in hand belongs here. True when that was the last of the block.
    pub(crate) fn keep(
        &mut self,
        ctx: &mut Context<'_>,
        buffer: BufferId,
        from: SocketAddr,
        offset: u64,
        length: u64,
        is_liar: bool,
    ) -> bool {
        let Some(block) = self.blocks.get_mut(&buffer) else { return false };
        // What is still on its way from a liar must not spoil what others have been asked for meanwhile.
        if is_liar && block.owner != Some(from) {
            return false;
        }
        // One that has to come from one source alone takes nothing late from another.
        let alone = self.alone.contains(block.block) && block.purpose == Purpose::Content;
        if block.stage != Stage::Gathering || alone && block.owner != Some(from) {
            return false;
        }
        let into = offset - block.start;
        if block.received.insert(into..into + length) == 0 {
            // Came from another source before.
            return false;
        }
        match block.first_from {
            None => block.first_from = Some(from),
            Some(first) if first == from => {}
            Some(_) => block.mixed = true,
        }
        ctx.emit(Output::Keep { buffer, offset: into as u32 });
        if block.received.total() < block.length {
            return false;
        }
        block.stage = Stage::Gathered;
        true
    }

    /// Has a gathered block checked.
    pub(crate) fn verify(&mut self, ctx: &mut Context<'_>, buffer: BufferId, link: Link) {
        if let Some(block) = self.blocks.get_mut(&buffer) {
            debug_assert_eq!(block.stage, Stage::Gathered);
            block.stage = Stage::Verifying;
            ctx.emit(Output::Verify { fetch: self.fetch, buffer, link });
        }
    }

    /// A genuine block of the file: it is held until it can be stored.
    pub(crate) fn hold(&mut self, buffer: BufferId, proof: Proof) {
        let Some(block) = self.blocks.get_mut(&buffer) else { return };
        block.stage = Stage::Held;
        let block = block.block;
        self.note_collision(block, proof);
    }

    /// What was proven of a block takes the place of what was proven of other bytes under another chain.
    fn note_collision(&mut self, block: u64, proof: Proof) {
        if proof == Proof::Colliding {
            self.colliding.insert(block..block + 1);
        } else {
            self.colliding.remove(block..block + 1);
        }
    }

    /// Whether a block is known to be one of a collision, and to be the file's: all from there on to the name is
    /// stored, so that it is not the work of somebody who invents a chain.
    pub(crate) fn collides(&self) -> bool {
        let last = self.colliding.last().map(|range| range.end - 1);
        last.is_some_and(|last| self.stored.covers(&(last..self.layout.block_count())))
    }

    /// Gives a block up.
    pub(crate) fn release(&mut self, ctx: &mut Context<'_>, buffer: BufferId) {
        let Some(block) = self.blocks.remove(&buffer) else { return };
        if block.purpose == Purpose::Content {
            self.by_block.remove(&block.block);
        }
        self.in_memory -= block.length;
        ctx.emit(Output::Release { buffer });
    }

    /// Moves a block to another source.
    pub(crate) fn take_over(&mut self, buffer: BufferId, owner: SocketAddr, now: Instant) {
        if let Some(block) = self.blocks.get_mut(&buffer) {
            block.owned_at = now;
            block.had = block.received.total();
            block.owner = Some(owner);
            block.moves = block.moves.saturating_add(1);
        }
    }

    pub(crate) fn check_invariants(&self) {
        let lengths: u64 = self.blocks.values().map(|block| block.length).sum();
        assert_eq!(lengths, self.in_memory);
        // The window, its reserve, the last block, one trial for each of the bounded number of claims, and one for a
        // size, whose blocks may be longer.
        let most = WINDOW + 24 * self.layout.block_length() + BLOCK_LENGTH_MAX;
        assert!(self.in_memory <= most, "memory is bounded");
        for (&block, buffer) in &self.by_block {
            assert!(!self.stored.contains(block), "block {block} in memory and on disk");
            assert_eq!(self.blocks.get(buffer).map(|block| block.block), Some(block));
        }
        let mut end = 0;
        for (&start, file) in &self.chunk_files {
            assert!(start >= end, "chunk files do not overlap");
            end = start + file.length;
        }
        let on_disk: u64 = self.chunk_files.values().map(|file| file.length).sum();
        let known = self.stored.total() + self.unchecked.total();
        assert!(
            known * self.layout.block_length() >= on_disk,
            "every byte on disk is accounted for"
        );
    }
}

#[cfg(test)]
mod tests;
