//! What to ask of whom, and when: each source that has room is given the lowest block that nobody has
//! been asked for; where there is none, it takes over one that a slower source would finish later.

use std::net::SocketAddr;
use std::time::Duration;

use log::info;

use super::block::{Purpose, Stage};
use super::claims::Claims;
use super::source::{Source, Tag};
use super::{Fetch, Phase};
use crate::content::{ContentId, RangeSet};
use crate::node::context::Context;
use crate::node::directory::host_text;
use crate::node::flow::Piece;
use crate::node::ids::BufferId;
use crate::node::output::FetchEnding;
use crate::node::time::Instant;
use crate::wire::{GRANT_RANGES_MAX, Object};

/// A block is taken over only where that is this much sooner: bytes that come twice are the price.
const WORTH_MOVING: Duration = Duration::from_millis(10);
/// A source from which nothing comes is not asked for anything for this long, then tried again.
const STALLED_REST: Duration = Duration::from_secs(1);
/// One that was moved often enough, or has to come from one source alone, is taken over only where that is
/// this much sooner, and four times as soon.
const FAR_SOONER: Duration = Duration::from_secs(2);
/// How long a source is left alone that was far slower than another.
const SLOW_REST: Duration = Duration::from_secs(10);
/// So many blocks are asked of a source at once before it has given a good one.
const ON_TRIAL_MAX: usize = 2;
/// How soon those that were set aside are tried again when there is nobody else left.
const RELENT: Duration = Duration::from_millis(500);

impl Fetch {
    /// Does all that can be done now.
    pub(super) fn advance(&mut self, ctx: &mut Context<'_>) {
        if self.phase != Phase::Fetching {
            return;
        }
        if self.assembly.collides() {
            return self.end(ctx, FetchEnding::Colliding);
        }
        // No bytes are the empty content, and no other.
        let empty = self.request.size == 0;
        if self.assembly.is_complete() && (!empty || self.request.content == ContentId::EMPTY) {
            return self.publish(ctx);
        }
        if self.no_room_until.is_none() {
            self.assembly.store_ready(ctx);
        }
        if let Some(chain) = self.claims.current_chain() {
            self.assembly.check_next(ctx, chain);
        }
        self.choose_claim(ctx);
        self.weigh_claims(ctx);
        self.try_sizes(ctx);
        self.relent(ctx.now, false);
        // Who let us down last comes last, or a few that take turns in not giving starve who would give.
        let mut addresses: Vec<(u32, SocketAddr)> =
            self.sources.values().map(|source| (source.let_downs, source.address)).collect();
        addresses.sort_unstable();
        for (_, address) in addresses {
            self.pump(ctx, address);
        }
    }

    /// Who was set aside while there were others is tried again when there is nobody else: the last source of
    /// anything is never dropped, whenever it has become the last. Whether those who hold parts have all that
    /// is missing is only looked at where `thorough`.
    pub(super) fn relent(&mut self, now: Instant, thorough: bool) {
        let useful = |source: &&Source| self.gives(source, now);
        let mut held = RangeSet::new();
        for source in self.sources.values().filter(useful) {
            match source.held_blocks() {
                Some(blocks) if thorough => blocks.iter().for_each(|range| {
                    held.insert(range);
                }),
                _ => return,
            }
        }
        let blocks = 0..self.assembly.layout().block_count();
        let lacking = |block: u64| !self.assembly.is_stored(block);
        if held.gaps(blocks).flatten().any(lacking) {
            for source in self.sources.values_mut() {
                source.relent(now + RELENT);
            }
        }
    }

    /// Sees to one source: what is lost, and what it can be asked for.
    pub(super) fn pump(&mut self, ctx: &mut Context<'_>, address: SocketAddr) {
        if self.phase != Phase::Fetching {
            return;
        }
        let Some(source) = self.sources.get_mut(&address) else { return };
        let mut lost = Vec::new();
        source.flow.take_lost(ctx.now, &mut lost);
        let fell_silent = source.flow.is_stalled() && !lost.is_empty();
        for piece in lost.into_iter().rev() {
            source.todo.push_front(piece);
        }
        if fell_silent {
            if source.let_downs == 0 {
                info!("{} is silent: others get what it was asked for", host_text(address));
            }
            // It rests, or it would be given again at once what it has just been relieved of.
            source.rest(ctx.now + STALLED_REST);
            // Nothing may be wanted of it but its answer: that shows that it is back.
            source.ask_again(ctx.now + STALLED_REST);
            self.let_go(ctx, address);
            return self.advance(ctx);
        }
        loop {
            let spare = self.spare(ctx, address);
            let Some(source) = self.sources.get_mut(&address) else { return };
            let mut room = source.flow.room(ctx.now, spare);
            if room == 0 || source.is_sidelined(ctx.now) {
                return;
            }
            let has_more = !source.todo.is_empty();
            let payload_length = source.flow.payload_length();
            if self.is_second_way(address, ctx.now) {
                self.note_second_way(address, ctx.now);
                if has_more {
                    self.let_go(ctx, address);
                    self.advance(ctx);
                }
                return;
            }
            if let Some(pace) = ctx.asking {
                let piece = pace.piece(ctx.now, address, payload_length);
                if piece == 0 {
                    // What comes tells of the limit then, and nothing of the way.
                    if let Some(source) = self.sources.get_mut(&address) {
                        source.flow.mark_limited();
                    }
                    return;
                }
                room = room.min(piece);
            }
            if !self.grant(ctx, address, room) {
                self.repeat_last(ctx, address);
                if let Some(source) = self.sources.get_mut(&address) {
                    source.flow.mark_limited();
                }
                return;
            }
        }
    }

    /// What may be in flight besides what is, from this source. Who has more than an equal part of it
    /// leaves a quarter to the others, so that a long way does not keep a short one from starting.
    fn spare(&self, ctx: &Context<'_>, address: SocketAddr) -> u64 {
        let in_flight: u64 = self.sources.values().map(|source| source.flow.in_flight()).sum();
        let spare = ctx.in_flight_max.saturating_sub(in_flight);
        let ours = self.sources.get(&address).map_or(0, |source| source.flow.in_flight());
        let givers =
            self.sources.values().filter(|source| self.gives(source, ctx.now)).count() as u64;
        if givers > 1 && ours * givers >= ctx.in_flight_max {
            return spare.saturating_sub(ctx.in_flight_max / 4);
        }
        spare
    }

    /// Grants what the source is to be asked for, from the first piece on that is still wanted: of one object, and as
    /// much as there is room for. False where there is nothing.
    fn grant(&mut self, ctx: &mut Context<'_>, address: SocketAddr, room: u64) -> bool {
        let mut wanted: Vec<Piece<Tag>> = Vec::new();
        let (mut object, mut length) = (None, 0);
        while length < room && wanted.len() < GRANT_RANGES_MAX {
            let Some((of, piece)) = self.next_wanted(address) else {
                if self.assign(ctx, address) {
                    continue;
                }
                break;
            };
            if *object.get_or_insert(of) != of {
                if let Some(source) = self.sources.get_mut(&address) {
                    source.todo.push_front(piece);
                }
                break;
            }
            length += piece.length;
            wanted.push(piece);
        }
        let (Some(source), Some(object)) = (self.sources.get_mut(&address), object) else {
            return false;
        };
        let (bytes, mut granted) = source.flow.grant(ctx.now, object, &wanted, room);
        if let Some(pace) = ctx.asking {
            pace.take(ctx.now, address, granted, source.flow.payload_length());
        }
        ctx.send_bytes(address, bytes);
        for piece in &mut wanted {
            let asked = granted.min(piece.length);
            granted -= asked;
            piece.offset += asked;
            piece.length -= asked;
        }
        for piece in wanted.into_iter().filter(|piece| piece.length > 0).rev() {
            source.todo.push_front(piece);
        }
        true
    }

    /// Asks once more for what was asked for last, at the end of the file and of a way that loses packets.
    fn repeat_last(&mut self, ctx: &mut Context<'_>, address: SocketAddr) {
        let Some(source) = self.sources.get_mut(&address) else { return };
        let mut pieces = source.flow.last_asked();
        pieces.retain(|piece| matches!(piece.tag, Tag::Block(_)));
        if pieces.is_empty() || ctx.asking.is_some() || !self.assembly.has_begun_all() {
            return;
        }
        let object = Object::File(self.request.content);
        let (bytes, asked) = source.flow.grant(ctx.now, object, &pieces, u64::MAX);
        source.flow.mark_repeated(asked);
        ctx.send_bytes(address, bytes);
    }

    /// Takes the next piece that is still wanted off the list of what the source is to be asked for.
    fn next_wanted(&mut self, address: SocketAddr) -> Option<(Object, Piece<Tag>)> {
        let content = self.request.content;
        let source = self.sources.get_mut(&address)?;
        while let Some(piece) = source.todo.pop_front() {
            match piece.tag {
                Tag::Block(buffer) => {
                    let block = self.assembly.get(buffer);
                    let block = block.filter(|block| block.stage == Stage::Gathering);
                    let end = piece.offset + piece.length;
                    let gap = block.and_then(|block| block.first_missing(piece.offset..end));
                    let Some(gap) = gap else { continue };
                    // What lies behind a part that has come meanwhile is asked for after this.
                    if gap.end < end {
                        let rest = Piece { offset: gap.end, length: end - gap.end, ..piece };
                        source.todo.push_front(rest);
                    }
                    let piece = Piece { offset: gap.start, length: gap.end - gap.start, ..piece };
                    return Some((Object::File(content), piece));
                }
                Tag::Chain(claim) if !wants_chain(&self.claims, claim, source) => {}
                Tag::Chain(_) | Tag::LastState { .. } => {
                    return Some((Object::Chain(content), piece));
                }
                Tag::Have => return Some((Object::Have(content), piece)),
            }
        }
        None
    }

    /// Gives a source something to be asked for; false where there is nothing.
    fn assign(&mut self, ctx: &mut Context<'_>, address: SocketAddr) -> bool {
        let bitmap_length = self.assembly.layout().block_count().div_ceil(8);
        let now = ctx.now;
        let Some(source) = self.sources.get_mut(&address) else { return false };
        if !source.is_usable(now) {
            return false;
        }
        if let Some(piece) = source.look_at_part(now, bitmap_length) {
            source.todo.push_back(piece);
            return true;
        }
        let Some(claim) = source.claim() else { return false };
        // A block that a silent source was given is taken over by others; the chain comes from one.
        let stalled = source.flow.is_stalled();
        let others = stalled && self.has_better_supporter(claim, address, now);
        if !others {
            self.take_slow_chain(ctx, claim, address);
        }
        let pieces = if others { Vec::new() } else { self.claims.ask(claim, address, now) };
        if let Some(source) = self.sources.get_mut(&address).filter(|_| !pieces.is_empty()) {
            source.todo.extend(pieces);
            return true;
        }
        if Some(claim) != self.claims.current() || self.is_on_trial(address, now) {
            return false;
        }
        self.assign_orphan(address, now)
            || self.assign_missing(ctx, address)
            || !self.leaves_it_to_others(address, now) && self.move_block(ctx, address)
    }

    /// Whether a source has enough to show what it is worth: before its first good block it is asked for few where there are
    /// others, and after a bad one for one; or a liar gives as much as its way holds before it is found out.
    fn is_on_trial(&self, address: SocketAddr, now: Instant) -> bool {
        let Some(source) = self.sources.get(&address).filter(|source| !source.has_proven_itself)
        else {
            return false;
        };
        let on_trial = self.assembly.on_trial(address);
        if source.bad_blocks > 0 {
            return on_trial >= 1;
        }
        on_trial >= ON_TRIAL_MAX
            && self.sources.values().any(|it| it.address != address && self.gives(it, now))
    }

    /// Takes a chain from somebody who gives it far more slowly than this source would.
    fn take_slow_chain(&mut self, ctx: &mut Context<'_>, claim: usize, address: SocketAddr) {
        let Some((asked, pace)) = self.claims.asked(claim, ctx.now) else { return };
        if self.is_far_slower(asked, pace, address, self.claims.length()) {
            self.relieve(ctx, asked);
        }
    }

    /// Whether this source would give so many bytes far sooner than another one finishes, going by the
    /// other's measured rate and by the pace at which this very thing has come from it.
    pub(super) fn is_far_slower(
        &self,
        slow: SocketAddr,
        pace: Duration,
        than: SocketAddr,
        bytes: u64,
    ) -> bool {
        let (Some(slower), Some(source)) = (self.sources.get(&slow), self.sources.get(&than))
        else {
            return false;
        };
        slow != than && slower.finishes_in(0).max(pace) > source.finishes_in(bytes) * 4 + FAR_SOONER
    }

    /// Takes everything from a source that holds others up, and leaves it alone for a while, so that it
    /// is not the first to be given the same again.
    pub(super) fn relieve(&mut self, ctx: &mut Context<'_>, slow: SocketAddr) {
        info!("{} is slow: others get what it was asked for", host_text(slow));
        self.let_go(ctx, slow);
        if let Some(source) = self.sources.get_mut(&slow) {
            source.rest(ctx.now + SLOW_REST);
        }
    }

    /// Whether a source that is not silent makes the same claim.
    fn has_better_supporter(&self, claim: usize, than: SocketAddr, now: Instant) -> bool {
        self.sources.values().any(|source| {
            source.address != than
                && source.claim() == Some(claim)
                && source.is_usable(now)
                && !source.flow.is_stalled()
        })
    }

    /// The last block, where it was bad under the chain that is gone by: who has it is asked for that before anything else.
    fn doubted_block(&self, address: SocketAddr) -> Option<u64> {
        let source = self.sources.get(&address)?;
        let is_doubted = self.doubted.is_some() && self.doubted == self.claims.current();
        self.assembly.last_of_several().filter(|&last| is_doubted && source.holds(last))
    }

    /// A block whose source was lost.
    fn assign_orphan(&mut self, address: SocketAddr, now: Instant) -> bool {
        let only = self.doubted_block(address);
        let Some(source) = self.sources.get_mut(&address) else { return false };
        let orphan = self.assembly.iter().find(|(_, block)| {
            block.owner.is_none()
                && only.is_none_or(|only| block.block == only)
                && block.stage == Stage::Gathering
                && block.purpose == Purpose::Content
                && source.holds(block.block)
        });
        let Some((buffer, block)) = orphan else { return false };
        if !self.assembly.may_share(block) {
            self.assembly.forget_received(buffer);
        }
        self.assembly.take_over(buffer, address, now);
        self.ask_for_missing(buffer, address);
        true
    }

    fn assign_missing(&mut self, ctx: &mut Context<'_>, address: SocketAddr) -> bool {
        let Some(source) = self.sources.get(&address) else { return false };
        let urgent = self.decisive_block().filter(|&block| self.assembly.is_missing(block));
        let urgent = urgent.or_else(|| self.assembly.missing_proof());
        let urgent = urgent.filter(|&block| source.holds(block));
        if urgent.is_none() && (self.doubted_block(address).is_some() || self.is_contested(ctx.now))
        {
            return false;
        }
        let next = match urgent {
            Some(_) => self.assembly.next_missing(source.held_blocks(), urgent),
            None => self.choose_block(ctx, address),
        };
        let Some(block) = next else {
            // Memory may be full of blocks that wait for one which no source has.
            if self.no_room_until.is_none() {
                let is_alone = self.is_alone(ctx.now);
                self.assembly.store_early(ctx, is_alone);
            }
            return false;
        };
        let buffer = self.assembly.start(ctx, Purpose::Content, block, address);
        self.ask_for_missing(buffer, address);
        true
    }

    /// Takes over the block that would be finished last where it is.
    fn move_block(&mut self, ctx: &mut Context<'_>, address: SocketAddr) -> bool {
        let Some(source) = self.sources.get(&address) else { return false };
        let candidate = self
            .assembly
            .iter()
            .filter(|(_, block)| block.stage == Stage::Gathering && !Self::is_trial(block.purpose))
            .filter(|(_, block)| source.holds(block.block))
            .filter_map(|(buffer, block)| {
                let owner = block.owner.filter(|&owner| owner != address)?;
                let theirs = self.sources.get(&owner)?.finishes_in(0);
                let ours = source.finishes_in(block.missing_bytes());
                let sooner = theirs > ours * 2 + WORTH_MOVING
                    && block.may_move()
                    && self.assembly.may_share(block);
                let pace = block.finishes_in(ctx.now);
                let far_sooner = self.is_far_slower(owner, pace, address, block.length);
                (sooner || far_sooner).then_some((theirs.max(pace), buffer, owner, far_sooner))
            })
            .max();
        let Some((_, buffer, owner, far_sooner)) = candidate else { return false };
        if far_sooner {
            self.relieve(ctx, owner);
            return self.assign_orphan(address, ctx.now);
        }
        if let Some(loser) = self.sources.get_mut(&owner) {
            loser.todo.retain(|piece| piece.tag != Tag::Block(buffer));
        }
        self.assembly.take_over(buffer, address, ctx.now);
        self.ask_for_missing(buffer, address);
        true
    }

    /// Puts what is missing of a block on the list of its owner.
    pub(super) fn ask_for_missing(&mut self, buffer: BufferId, address: SocketAddr) {
        let (Some(block), Some(source)) =
            (self.assembly.get(buffer), self.sources.get_mut(&address))
        else {
            return;
        };
        for range in block.missing() {
            source.todo.push_back(Piece {
                tag: Tag::Block(buffer),
                offset: range.start,
                length: range.end - range.start,
            });
        }
    }

    /// Takes from a source all that it was to be asked for; others may have it.
    pub(super) fn let_go(&mut self, ctx: &mut Context<'_>, address: SocketAddr) {
        let Some(source) = self.sources.get_mut(&address) else { return };
        source.flow.abandon(ctx.now);
        source.todo.clear();
        self.claims.unask(address);
        if self.size_trial.runs_with(address) {
            self.end_size_trial(ctx, false);
        }
        let owned: Vec<(BufferId, Purpose)> = self
            .assembly
            .iter()
            .filter(|(_, block)| block.owner == Some(address))
            .filter(|(_, block)| block.stage == Stage::Gathering)
            .map(|(buffer, block)| (buffer, block.purpose))
            .collect();
        for (buffer, purpose) in owned {
            if Self::is_trial(purpose) {
                self.assembly.release(ctx, buffer);
            } else if let Some(block) = self.assembly.get_mut(buffer) {
                block.owner = None;
            }
        }
    }
}

fn wants_chain(claims: &Claims, claim: usize, source: &Source) -> bool {
    claims.wants(claim, source.address)
}
