//! Unfinished downloads of the fetches beside us: what is proven of them is offered as well.
//!
//! The fetch is another process; all that is known of it is what it has on disk. Each block is checked
//! against the chain that the fetch saved before it is offered, one check at a time.

mod news;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::context::Context;
use super::deadline::{Deadline, Earliest};
use super::input::Extent;
use super::output::Output;
use super::time::Instant;
use super::tracker::holdings::PARTS_EACH;
use crate::content::state_chain::{Chain, Link};
use crate::content::{BlockLayout, ChainId, ContentId, RangeSet};
use crate::wire::Portions;
use news::{Callers, Listeners};

/// How often trackers are told what is there: they keep it three times as long.
const TELL_TRACKERS: Duration = Duration::from_secs(10);
/// And how soon after the first of something.
const TELL_TRACKERS_FIRST: Duration = Duration::from_secs(1);
/// Unfinished downloads that are offered; further ones are not.
const PARTIALS_MAX: usize = 256;

#[derive(Debug, Serialize, Deserialize)]
struct Partial {
    layout: BlockLayout,
    chain: Chain,
    extents: Vec<Extent>,
    proven: RangeSet,
    unchecked: RangeSet,
    #[serde(default)]
    listeners: Listeners,
}

impl Partial {
    /// These are its chunk files: what was proven of them is so still.
    fn is_now(&mut self, extents: Vec<Extent>) {
        let held = blocks_within(self.layout, &extents);
        let (mut proven, mut unchecked) = (RangeSet::new(), RangeSet::new());
        for range in held.iter() {
            let mut from = range.start;
            for gap in self.proven.gaps(range.clone()) {
                proven.insert(from..gap.start);
                from = gap.end;
                unchecked.insert(gap);
            }
            proven.insert(from..range.end);
        }
        self.proven = proven;
        self.unchecked = unchecked;
        self.extents = extents;
    }
}

/// The unfinished downloads beside us.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Partials {
    partials: BTreeMap<ContentId, Partial>,
    /// With the link that is checked: the chain may be another one by the time of the answer.
    checking: Option<(ContentId, u64, Link)>,
    #[serde(default)]
    callers: Callers,
    /// When trackers are told, where there are any.
    #[serde(default)]
    tell_trackers_at: Option<Instant>,
}

impl Partials {
    pub(crate) fn seen(
        &mut self,
        ctx: &mut Context<'_>,
        content: ContentId,
        size: u64,
        extents: Vec<Extent>,
        chain: Option<Vec<u8>>,
    ) {
        let chain = chain.and_then(|states| Chain::from_bytes(content, size, states));
        let Some(chain) = chain.filter(|_| size > 0) else {
            self.partials.remove(&content);
            return;
        };
        let full = self.partials.len() >= PARTIALS_MAX;
        if full && !self.partials.contains_key(&content) {
            return;
        }
        let layout = BlockLayout::new(size);
        let partial = self.partials.entry(content).or_insert_with(|| Partial {
            layout,
            chain: chain.clone(),
            extents: Vec::new(),
            proven: RangeSet::new(),
            unchecked: RangeSet::new(),
            listeners: Listeners::default(),
        });
        if partial.chain.id() != chain.id() || partial.layout != layout {
            partial.proven.clear();
            partial.chain = chain;
            partial.layout = layout;
        }
        partial.is_now(extents);
        if !ctx.config.trackers.is_empty() {
            self.tell_trackers_at.get_or_insert(ctx.now + TELL_TRACKERS_FIRST);
        }
        self.check_next(ctx);
    }

    /// What trackers are to be told now, if it is time: of each unfinished content its size, and which parts are proven.
    pub(crate) fn told_to_trackers(
        &mut self,
        ctx: &Context<'_>,
    ) -> Option<Vec<(ContentId, u64, Portions)>> {
        self.tell_trackers_at.take_if(|at| *at <= ctx.now)?;
        self.tell_trackers_at = (!self.partials.is_empty()).then(|| ctx.now + TELL_TRACKERS);
        let there = self.partials.iter().filter(|(_, partial)| !partial.proven.is_empty());
        let holds = there.map(|(&content, partial)| {
            let portions = Portions::of(&partial.proven, partial.layout.block_count());
            (content, partial.layout.size(), portions)
        });
        Some(holds.take(PARTS_EACH).collect())
    }

    /// The chunk files of a download that was [`seen`](Self::seen) are these now.
    pub(crate) fn grown(
        &mut self,
        ctx: &mut Context<'_>,
        content: ContentId,
        extents: Vec<Extent>,
    ) {
        if let Some(partial) = self.partials.get_mut(&content) {
            partial.is_now(extents);
            self.check_next(ctx);
        }
    }

    pub(crate) fn gone(&mut self, content: ContentId) {
        self.partials.remove(&content);
    }

    /// The answer to [`Output::CheckPartial`]. Who called for this content when there was nothing of it, and
    /// waits for an answer, with the nonces of the calls.
    pub(crate) fn checked(
        &mut self,
        ctx: &mut Context<'_>,
        content: ContentId,
        block: u64,
        genuine: bool,
    ) -> Vec<(SocketAddr, u64)> {
        let asked = self.checking.take_if(|(whose, which, _)| (*whose, *which) == (content, block));
        let Some((.., link)) = asked else { return Vec::new() };
        let mut callers = Vec::new();
        if let Some(partial) = self.partials.get_mut(&content) {
            if partial.unchecked.contains(block) && partial.chain.link(block) == link {
                partial.unchecked.remove(block..block + 1);
                if genuine {
                    partial.proven.insert(block..block + 1);
                    partial.listeners.note(block);
                    partial.listeners.tell(ctx);
                    callers = self.callers.take(ctx.now, content);
                }
            }
        }
        self.check_next(ctx);
        callers
    }

    /// Somebody called for a content of which there is nothing.
    pub(crate) fn called(
        &mut self,
        ctx: &Context<'_>,
        content: ContentId,
        who: SocketAddr,
        nonce: u64,
    ) {
        self.callers.called(ctx.now, content, who, nonce);
    }

    /// A receiver that has shown a cookie was granted the bitmap under this nonce.
    pub(crate) fn listens(
        &mut self,
        ctx: &Context<'_>,
        content: ContentId,
        who: SocketAddr,
        nonce: u64,
    ) {
        if let Some(partial) = self.partials.get_mut(&content) {
            partial.listeners.listens(ctx.now, who, nonce);
        }
    }

    pub(crate) fn deadline(&self) -> Option<Deadline> {
        let mut earliest = Earliest::default();
        for partial in self.partials.values() {
            earliest.at(partial.listeners.due(), "what has come is told");
        }
        earliest.at(self.tell_trackers_at, "trackers are told what there is");
        earliest.get()
    }

    pub(crate) fn handle_timeout(&mut self, ctx: &mut Context<'_>) {
        for partial in self.partials.values_mut() {
            partial.listeners.tell(ctx);
        }
    }

    pub(crate) fn check_invariants(&self) {
        assert!(self.partials.len() <= PARTIALS_MAX);
        self.callers.check_invariants();
        for partial in self.partials.values() {
            partial.listeners.check_invariants();
        }
    }

    /// What is held of a content: how many blocks, of which size and chain.
    pub(crate) fn holding(&self, content: ContentId) -> Option<(u64, u64, ChainId)> {
        let partial = self.partials.get(&content).filter(|partial| !partial.proven.is_empty())?;
        Some((partial.proven.total(), partial.layout.size(), partial.chain.id()))
    }

    /// The length of a download's chain in bytes, if there is such a download.
    pub(crate) fn chain_length(&self, content: ContentId) -> Option<u64> {
        let partial = self.partials.get(&content).filter(|partial| !partial.proven.is_empty())?;
        Some(partial.chain.bytes().len() as u64)
    }

    /// The bitmap of the proven blocks, as it travels.
    pub(crate) fn bitmap(&self, content: ContentId) -> Option<Vec<u8>> {
        let partial = self.partials.get(&content).filter(|partial| !partial.proven.is_empty())?;
        let length = usize::try_from(partial.layout.block_count().div_ceil(8)).ok()?;
        let mut bitmap = vec![0; length];
        for block in partial.proven.iter().flatten() {
            bitmap[(block / 8) as usize] |= 0x80 >> (block % 8);
        }
        Some(bitmap)
    }

    /// Whether all these bytes are proven and lie in one chunk file.
    pub(crate) fn covers(&self, content: ContentId, offset: u64, length: u64) -> bool {
        let Some(partial) = self.partials.get(&content) else { return false };
        let end = offset.saturating_add(length);
        let blocks =
            partial.layout.block_at(offset)..partial.layout.block_at(end.saturating_sub(1)) + 1;
        end <= partial.layout.size()
            && partial.proven.covers(&blocks)
            && partial
                .extents
                .iter()
                .any(|extent| extent.start <= offset && end <= extent.start + extent.length)
    }

    /// The files on disk are not what they were: nothing of it is offered until it is told anew.
    pub(crate) fn changed(&mut self, content: ContentId) {
        if let Some(partial) = self.partials.get_mut(&content) {
            partial.is_now(Vec::new());
        }
    }

    fn check_next(&mut self, ctx: &mut Context<'_>) {
        if self.checking.is_some() {
            return;
        }
        let next = self.partials.iter().find_map(|(content, partial)| {
            let block = partial.unchecked.iter().next()?.start;
            Some((*content, block, partial.chain.link(block)))
        });
        if let Some((content, block, link)) = next {
            self.checking = Some((content, block, link));
            ctx.emit(Output::CheckPartial { content, block, link });
        }
    }
}

/// The blocks that lie wholly within one extent.
pub(crate) fn blocks_within(layout: BlockLayout, extents: &[Extent]) -> RangeSet {
    let mut blocks = RangeSet::new();
    for extent in extents {
        let first = extent.start.div_ceil(layout.block_length());
        let end = extent.start.saturating_add(extent.length).min(layout.size());
        let last = if end == layout.size() { layout.block_count() } else { layout.block_at(end) };
        if first < last {
            blocks.insert(first..last);
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_blocks_of_one_extent_count() {
        let layout = BlockLayout::new(3 * 65_536 + 5);
        let extent = |start, length| Extent { start, length };
        for (extents, expected) in [
            (vec![extent(0, 65_535)], vec![]),
            (vec![extent(0, 65_536)], vec![0]),
            (vec![extent(1, 131_071)], vec![1]),
            (vec![extent(0, 70_000), extent(70_000, 61_072)], vec![0]),
            (vec![extent(3 * 65_536, 5)], vec![3]),
            (vec![extent(0, 3 * 65_536 + 5)], vec![0, 1, 2, 3]),
        ] {
            let blocks = blocks_within(layout, &extents);
            assert_eq!(blocks.iter().flatten().collect::<Vec<_>>(), expected, "{extents:?}");
        }
    }
}
