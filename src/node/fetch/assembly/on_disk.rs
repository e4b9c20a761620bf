//! The chunk files of a download: what is appended to which of them, and what is cut away again.

use super::{Assembly, ChunkFile, WINDOW};
use crate::content::state_chain::Chain;
use crate::node::context::Context;
use crate::node::fetch::block::Stage;
use crate::node::ids::BufferId;
use crate::node::output::Output;

impl Assembly {
    /// Stores what can be stored: held blocks that continue a chunk file, or begin one far from the
    /// others.
    pub(crate) fn store_ready(&mut self, ctx: &mut Context<'_>) {
        let held: Vec<(u64, BufferId)> = self
            .by_block
            .iter()
            .filter(|(_, buffer)| self.blocks[*buffer].stage == Stage::Held)
            .map(|(&block, &buffer)| (block, buffer))
            .collect();
        for (block, buffer) in held {
            let position = self.layout.block_range(block).start;
            let before = self.chunk_files.range(..=position).next_back();
            let (extent, end, writing) = before
                .map_or((0, 0, false), |(&start, file)| (start, start + file.length, file.writing));
            match position.checked_sub(end) {
                Some(0) if !writing => self.store(ctx, buffer, extent, position),
                Some(0) => {}
                // The last one came first.
                Some(_) if Some(block) == self.last_of_several() => {}
                Some(gap) if gap > 2 * WINDOW || self.begins.contains(&block) => {
                    self.store(ctx, buffer, position, position);
                }
                Some(_) | None => {}
            }
        }
    }

    /// Memory is full of blocks that wait for one that nobody gives: the lowest begins a chunk file. Where
    /// the file is not fetched from its beginning to its end, somebody may be giving it slowly.
    pub(crate) fn store_early(&mut self, ctx: &mut Context<'_>, in_order: bool) {
        let full = self.in_window() + self.layout.block_length() > WINDOW;
        let mut held = self.by_block.iter().filter(|(_, b)| self.blocks[*b].stage == Stage::Held);
        let Some((&block, &buffer)) = held.next().filter(|_| full) else { return };
        let before = self.stored.first_gap(0..block).map(|gap| gap.start);
        let awaited = before.and_then(|before| self.buffer_of(before));
        let is_given = awaited.is_some_and(|buffer| self.blocks[&buffer].owner.is_some());
        if is_given && (in_order || !self.may_begin()) {
            return;
        }
        let position = self.layout.block_range(block).start;
        let mut files = self.chunk_files.iter();
        if !files.any(|(&start, file)| start == position || start + file.length == position) {
            self.store(ctx, buffer, position, position);
        }
    }

    fn store(&mut self, ctx: &mut Context<'_>, buffer: BufferId, extent: u64, position: u64) {
        let file =
            self.chunk_files.entry(extent).or_insert(ChunkFile { length: 0, writing: false });
        file.writing = true;
        if let Some(block) = self.blocks.get_mut(&buffer) {
            block.stage = Stage::Storing;
            self.begins.remove(&block.block);
        }
        ctx.emit(Output::Store { fetch: self.fetch, buffer, extent, position });
    }

    /// The answer to `Store`: it is on disk, or it is held as before.
    pub(crate) fn stored(&mut self, ctx: &mut Context<'_>, buffer: BufferId, on_disk: bool) {
        let Some(block) = self.blocks.get_mut(&buffer) else { return };
        if block.stage != Stage::Storing {
            return;
        }
        let (index, start, length) = (block.block, block.start, block.length);
        block.stage = Stage::Held;
        let Some(extent) = self.written_at(start) else { return };
        if on_disk {
            if let Some(file) = self.chunk_files.get_mut(&extent) {
                file.writing = false;
                file.length += length;
            }
            self.stored.insert(index..index + 1);
            self.release(ctx, buffer);
        } else {
            self.finish_writing(extent);
        }
    }

    /// Everything on disk is lost, or is not known any more.
    pub(crate) fn forget_disk(&mut self) {
        self.chunk_files.clear();
        self.stored.clear();
        self.unchecked.clear();
        self.checking = None;
        self.begins.clear();
        for block in self.blocks.values_mut() {
            if block.stage == Stage::Storing {
                block.stage = Stage::Held;
            }
        }
    }

    /// A chain was refuted: what is stored under links that the true one does not have is cut away.
    pub(crate) fn drop_differing(&mut self, ctx: &mut Context<'_>, old: &Chain, new: &Chain) {
        if let Some(checking) = &mut self.checking {
            checking.stale |= old.link(checking.block) != new.link(checking.block);
        }
        let differing: Vec<u64> = self
            .stored
            .iter()
            .flatten()
            .filter(|&block| old.link(block) != new.link(block))
            .collect();
        for block in differing {
            if self.stored.contains(block) {
                self.cut_at(ctx, block);
            }
        }
    }

    /// Cuts the chunk file that holds this block so that it ends before it.
    pub(super) fn cut_at(&mut self, ctx: &mut Context<'_>, block: u64) {
        let position = self.layout.block_range(block).start;
        let Some((&extent, &file)) = self.chunk_files.range(..=position).next_back() else {
            return;
        };
        let end = extent + file.length;
        if end <= position {
            return;
        }
        let last = self.layout.block_at(end - 1);
        self.stored.remove(block..last + 1);
        self.unchecked.remove(block..last + 1);
        let kept = position - extent;
        if kept == 0 {
            self.chunk_files.remove(&extent);
        } else if let Some(file) = self.chunk_files.get_mut(&extent) {
            // What is being written behind the cut is cut away with it: its answer finds nothing.
            file.length = kept;
            file.writing = false;
        }
        self.truncate(ctx, extent, kept);
    }

    pub(super) fn truncate(&self, ctx: &mut Context<'_>, extent: u64, length: u64) {
        ctx.emit(Output::TruncateExtent { fetch: self.fetch, extent, length });
    }

    /// Gives up a block of a chain that was refuted. What is being written of it is cut away again, so
    /// that its chunk file goes on where it ended before.
    pub(crate) fn discard(&mut self, ctx: &mut Context<'_>, buffer: BufferId) {
        let storing = self.blocks.get(&buffer).filter(|block| block.stage == Stage::Storing);
        let file = storing.map(|block| block.start).and_then(|start| self.written_at(start));
        if let Some(extent) = file {
            let length = self.finish_writing(extent);
            self.truncate(ctx, extent, length);
        }
        self.release(ctx, buffer);
    }

    /// The chunk file that is being appended to at this position.
    fn written_at(&self, position: u64) -> Option<u64> {
        let mut files = self.chunk_files.iter().rev();
        let file = files.find(|(extent, file)| file.writing && *extent + file.length == position);
        file.map(|(&extent, _)| extent)
    }

    /// Nothing is being written to this chunk file any more; how long it is without what was.
    fn finish_writing(&mut self, extent: u64) -> u64 {
        let Some(file) = self.chunk_files.get_mut(&extent) else { return 0 };
        file.writing = false;
        let length = file.length;
        if length == 0 {
            self.chunk_files.remove(&extent);
        }
        length
    }
}
