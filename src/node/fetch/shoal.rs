//! Many fetches of one file beside each other. Who has not all of it, and has a block that we had not or is
//! getting more, is a *companion*. As long as there is one, what companions have is
//! asked of them, and who has everything is asked for what nobody else has. While one of them is getting
//! more, each fetch begins somewhere else, so that what it gets is worth something to the others.
//! `docs/shoal.md` has the arithmetic.
//!
//! Without companions nothing of this happens: the file is fetched from its beginning to its end.

use std::net::SocketAddr;
use std::time::Duration;

use super::Fetch;
use super::source::Source;
use crate::content::RangeSet;
use crate::node::context::Context;
use crate::node::time::Instant;
use crate::wire::News;

/// Who has everything is asked for what companions have as well where they would take this much longer
/// than twice its time for all that is missing.
const TOO_SLOW: Duration = Duration::from_millis(500);
/// Who has told of a block within this time is getting more.
const GROWING: Duration = Duration::from_secs(3);
/// The rate, in bytes per second, of a companion that has given nothing yet.
const RATE_UNKNOWN: u64 = 64 * 1024;

impl Fetch {
    /// A host that downloads tells what it has got. False where nobody asked it to.
    pub(crate) fn on_news(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        news: &News<'_>,
    ) -> bool {
        let Some(source) = self.sources.get_mut(&from) else { return false };
        if !source.flow.gave(news.nonce) {
            return false;
        }
        let count = self.assembly.layout().block_count();
        for range in news.blocks.iter() {
            source.note_blocks(range.start..range.end.min(count));
        }
        // The peer beside us grows as we do; it has nothing for us.
        if !ctx.interfaces.is_own(from.ip()) {
            source.grew_at = Some(ctx.now);
        }
        self.meet(ctx.now, from);
        self.pump(ctx, from);
        true
    }

    /// Looks whether a source has what we have not, now that more is known of what it has.
    pub(super) fn meet(&mut self, now: Instant, address: SocketAddr) {
        let Some(source) = self.sources.get_mut(&address).filter(|it| !it.had_more) else { return };
        let assembly = &self.assembly;
        let held = source.held_blocks().into_iter().flat_map(RangeSet::iter);
        let is_new = held.into_iter().any(|range| assembly.is_not_all_on_disk(range));
        source.had_more |= is_new;
        source.met_at.get_or_insert(now);
    }

    /// Whether nobody else downloads the file, as far as we know.
    pub(super) fn is_alone(&self, now: Instant) -> bool {
        self.companions(now).next().is_none()
    }

    /// The companions that give.
    fn companions(&self, now: Instant) -> impl Iterator<Item = &Source> {
        let companions = self.sources.values().filter(move |it| it.had_more || it.is_growing(now));
        let part = companions.filter(|source| source.held_blocks().is_some());
        part.filter(move |source| self.gives(source, now))
    }

    /// The block to ask this source for next; none where it has nothing that is to be asked of it.
    pub(super) fn choose_block(
        &mut self,
        ctx: &mut Context<'_>,
        address: SocketAddr,
    ) -> Option<u64> {
        if self.is_alone(ctx.now) {
            let source = self.sources.get(&address)?;
            return self.assembly.next_missing(source.held_blocks(), None);
        }
        let source = self.sources.get(&address)?;
        let missing = self.assembly.missing();
        let block = match source.held_blocks() {
            Some(held) => self.assembly.next_of_part(&missing, held),
            None => {
                let new = self.held_by_nobody(&missing, ctx.now);
                match source.run_at.filter(|&at| new.contains(at)) {
                    Some(next) => Some(next),
                    None if new.is_empty() && self.leaves_it_to_others(address, ctx.now) => None,
                    None if new.is_empty() => missing.iter().next().map(|range| range.start),
                    None if self.companions(ctx.now).any(|it| it.may_grow(ctx.now)) => {
                        self.assembly.place_to_begin(&new, ctx.random)
                    }
                    // What they have is all they will have: in order, then.
                    None => new.iter().next().map(|range| range.start),
                }
            }
        };
        let block = block.filter(|&block| self.assembly.has_room_for(&missing, block))?;
        self.assembly.begin_run(block);
        if let Some(source) = self.sources.get_mut(&address) {
            source.run_at = Some(block + 1);
        }
        Some(block)
    }

    /// Of what is missing, that which no companion has.
    fn held_by_nobody(&self, missing: &RangeSet, now: Instant) -> RangeSet {
        let mut new = missing.clone();
        for range in self.companions(now).filter_map(Source::held_blocks).flat_map(RangeSet::iter) {
            new.remove(range);
        }
        new
    }

    /// Whether a source that has everything is not to be asked for what others have: they are there, and
    /// not far slower than it.
    pub(super) fn leaves_it_to_others(&self, address: SocketAddr, now: Instant) -> bool {
        let Some(source) = self.sources.get(&address) else { return false };
        let rates = self.companions(now).map(|it| it.flow.rate().max(RATE_UNKNOWN));
        let (count, rate) = rates.fold((0, 0), |(count, sum), rate| (count + 1, sum + rate));
        if count == 0 || source.held_blocks().is_some() {
            return false;
        }
        let bytes = self.assembly.layout().size().saturating_sub(self.assembly.stored_bytes());
        let time = |rate: u64| Duration::from_micros(bytes.saturating_mul(1_000_000) / rate.max(1));
        time(rate) <= time(source.flow.rate().max(RATE_UNKNOWN)) * 2 + TOO_SLOW
    }
}

impl Source {
    /// It is getting more, or has been known too short a time to tell.
    fn may_grow(&self, now: Instant) -> bool {
        self.is_growing(now) || self.met_at.is_some_and(|at| now.since(at) < GROWING)
    }

    fn is_growing(&self, now: Instant) -> bool {
        self.grew_at.is_some_and(|at| now.since(at) < GROWING)
    }
}
