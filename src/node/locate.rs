//! Finding out who holds which blocks of one content: everybody is called, whoever answers is asked, and who has
//! a part is asked for its bitmap. Nothing of the content itself is fetched, and nothing that is told here is
//! proven: it is an answer for people.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::context::Context;
use super::counters::DropReason;
use super::deadline::{Deadline, Earliest};
use super::directory::preference;
use super::fetch::SIZE_MAX;
use super::fetch::contact::CALLED_QUESTIONS;
use super::fetch::seek::Seek;
use super::fetch::source::{Held, Source, Tag, Told};
use super::flow::{Piece, Stray};
use super::input::LocateRequest;
use super::output::Output;
use super::time::Instant;
use crate::content::{BlockLayout, ChainId, RangeSet};
use crate::wire::{About, Answer, Data, DataKind, Holding, InstanceId, Object, RefuseReason, Tell};

/// Hosts of which it is found out; further ones are dropped.
const HOLDERS_MAX: usize = 256;
/// Calls: packets get lost.
const CALLS: usize = 2;
/// For so long after the beginning, and after the last host that was new, another may answer.
const QUIET: Duration = Duration::from_millis(600);
/// For so long each host is waited for that was named, and each bitmap.
const PATIENCE: Duration = Duration::from_secs(1);
/// Runs of blocks that are told of one host: all hosts together take 16 MiB.
const RUNS_MAX: usize = 4_096;
/// Bytes of one bitmap that may be in flight.
const IN_FLIGHT: u64 = 64 * 1024;

/// Who holds what of a content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderSeen {
    /// Where.
    pub host: SocketAddr,
    /// Which run of which host; zeros, where it says none.
    pub instance: InstanceId,
    /// The content's size in bytes, as it says.
    pub size: u64,
    /// The name of the content's chain, as it says, where it knows it.
    pub chain: Option<ChainId>,
    /// Which blocks it has, as far as it told; none where it has all.
    pub blocks: Option<RangeSet>,
    /// It has more runs of blocks than are told of.
    pub has_more: bool,
}

/// One host that was asked.
#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    source: Source,
    chain: ChainId,
    /// What of its bitmap has come.
    bitmap: RangeSet,
    /// It says that it has more runs of blocks than are told of.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    has_more: bool,
    /// Until then its answer, or its bitmap, may come.
    waits_until: Option<Instant>,
}

/// One search for holders.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Locate {
    request: LocateRequest,
    began_at: Instant,
    newest_at: Instant,
    calls: usize,
    seek: Seek,
    holders: BTreeMap<SocketAddr, Holder>,
    is_over: bool,
}

impl Locate {
    pub(crate) fn new(ctx: &mut Context<'_>, request: LocateRequest) -> Self {
        let mut seek = Seek::new();
        seek.begin(ctx.now, false);
        let named = request.sources.iter().chain(&ctx.config.peers).copied();
        let named: Vec<SocketAddr> = named.take(HOLDERS_MAX / 2).collect();
        let mut locate = Self {
            request,
            began_at: ctx.now,
            newest_at: ctx.now,
            calls: 0,
            seek,
            holders: BTreeMap::new(),
            is_over: false,
        };
        for address in named {
            let source = Source::new(address, true, ctx);
            locate.holders.entry(address).or_insert_with(|| Holder::of(source, ctx.now));
        }
        locate
    }

    const fn about(&self) -> About {
        About::Content { content: self.request.content, size: self.request.size }
    }

    /// An answer. Whether it was one to a question of this search.
    pub(crate) fn on_tell(&mut self, ctx: &mut Context<'_>, from: SocketAddr, tell: &Tell) -> bool {
        let Answer::Content { holding, chain, size, .. } = tell.answer else { return false };
        let known = self.holders.get_mut(&from);
        let awaited = known.filter(|holder| holder.source.awaits(tell.nonce));
        let Some(holder) = awaited else {
            let is_call = self.seek.awaits(tell.nonce);
            if is_call && !self.is_over {
                self.on_answer_to_call(ctx, from);
            }
            return is_call;
        };
        holder.source.answered(ctx.now, tell, holding != Holding::Nothing);
        holder.source.proven = true;
        holder.chain = chain;
        let held = match holding {
            Holding::Nothing => None,
            Holding::Whole => Some(Held::Whole),
            Holding::Part => Some(Held::Part { blocks: RangeSet::new(), look_at: ctx.now }),
        };
        holder.source.told = held.map(|held| Told { size, claim: None, held });
        holder.waits_until = None;
        // What nobody could fetch is not asked about further, nor what is not the content that is meant.
        let is_meant = size <= SIZE_MAX && [0, size].contains(&self.request.size);
        let length = if is_meant { bitmap_length(size) } else { 0 };
        if let Some(piece) = holder.source.look_at_part(ctx.now, length) {
            holder.source.todo.push_back(piece);
            holder.waits_until = Some(ctx.now + PATIENCE);
        }
        self.pump(ctx, from);
        true
    }

    /// Anybody could have answered a call in its name: it is asked itself.
    fn on_answer_to_call(&mut self, ctx: &mut Context<'_>, from: SocketAddr) {
        let about = self.about();
        if !self.holders.contains_key(&from) {
            if self.holders.len() >= HOLDERS_MAX {
                return ctx.counters.drop(DropReason::TooManySources);
            }
            let source = Source::hearsay(from, CALLED_QUESTIONS, ctx);
            self.holders.insert(from, Holder::of(source, ctx.now));
            self.newest_at = ctx.now;
        }
        let Some(Holder { source, .. }) = self.holders.get_mut(&from) else { return };
        if !source.flow.is_open() && source.is_worth_asking(ctx.now) {
            source.ask(ctx, about);
        }
    }

    /// Whether this search would read this packet's payload; nothing, where it is none of its packets.
    pub(crate) fn reads_payload(&self, from: SocketAddr, data: &Data<'_>) -> Option<bool> {
        let (header, length) = (data.header, data.payload.len() as u64);
        match self.holders.get(&from)?.source.flow.tag_of(header.nonce, header.offset, length) {
            Ok(_) => Some(header.kind == DataKind::Meta),
            Err(Stray::Nonce) => None,
            Err(Stray::Cut | Stray::Duplicate) => Some(false),
        }
    }

    /// A packet of a bitmap, perhaps. False where it is none of this search's.
    pub(crate) fn on_data(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        data: &Data<'_>,
    ) -> bool {
        let Some(holder) = self.holders.get_mut(&from) else { return false };
        let (header, length) = (data.header, data.payload.len() as u64);
        match holder.source.flow.arrived(ctx.now, header.nonce, header.offset, length) {
            Ok(piece) if header.kind == DataKind::Meta => {
                let size = holder.source.told.as_ref().map_or(0, |told| told.size);
                let count = BlockLayout::new(size).block_count();
                holder.has_more |=
                    !holder.source.note_held(piece.offset, data.payload, count, RUNS_MAX);
                if holder.has_more {
                    holder.source.todo.clear();
                }
                holder.bitmap.insert(piece.offset..piece.offset + length);
                let whole = holder.has_more || holder.bitmap.total() >= bitmap_length(size);
                holder.waits_until = (!whole).then_some(ctx.now + PATIENCE);
            }
            Ok(_) => ctx.counters.drop(DropReason::WrongCut),
            Err(Stray::Nonce) => return false,
            Err(stray) => ctx.counters.drop(stray.into()),
        }
        self.pump(ctx, from);
        true
    }

    /// A refusal, perhaps of a grant of this search. False where it is not.
    pub(crate) fn on_refuse(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        nonce: u64,
        reason: RefuseReason,
    ) -> bool {
        let Some(holder) = self.holders.get_mut(&from) else { return false };
        let too_long = reason == RefuseReason::TooLong;
        let Some(pieces) = holder.source.flow.refused(nonce, too_long) else { return false };
        if too_long {
            pieces.into_iter().for_each(|piece| holder.source.todo.push_front(piece));
            self.pump(ctx, from);
        } else {
            // What it has is other by now: what has come of it stays.
            holder.source.todo.clear();
            holder.waits_until = None;
        }
        true
    }

    pub(crate) fn deadline(&self, now: Instant) -> Option<Deadline> {
        let mut earliest = Earliest::default();
        if self.is_over {
            return None;
        }
        earliest.at(self.call_at(), "everybody is called");
        earliest.at(Some(self.ends_at()), "nothing more is expected of a search");
        for holder in self.holders.values() {
            earliest.consider(holder.source.deadline(now));
        }
        earliest.get()
    }

    pub(crate) fn handle_timeout(&mut self, ctx: &mut Context<'_>) {
        if self.is_over {
            return;
        }
        if self.call_at().is_some_and(|at| at <= ctx.now) {
            self.calls += 1;
            self.seek.call(ctx, self.about());
        }
        if self.ends_at() <= ctx.now {
            self.is_over = true;
            return ctx.emit(Output::Located { content: self.request.content });
        }
        let about = self.about();
        for holder in self.holders.values_mut() {
            if holder.source.is_question_due(ctx.now) {
                holder.source.ask(ctx, about);
            }
        }
        let addresses: Vec<SocketAddr> = self.holders.keys().copied().collect();
        addresses.into_iter().for_each(|address| self.pump(ctx, address));
    }

    fn call_at(&self) -> Option<Instant> {
        self.seek.at().filter(|_| self.calls < CALLS)
    }

    /// When it is over, as it looks now: when nothing more may be learned, and not before everybody was called as
    /// often as is meant; at the latest when the caller's patience is.
    fn ends_at(&self) -> Instant {
        let latest = self.began_at + self.request.patience;
        if self.call_at().is_some() {
            return latest;
        }
        let of_each = self.holders.values().filter_map(|holder| holder.waits_until);
        of_each.fold(self.newest_at + QUIET, Instant::max).min(latest)
    }

    /// Asks for what is missing of a bitmap.
    fn pump(&mut self, ctx: &mut Context<'_>, address: SocketAddr) {
        let content = self.request.content;
        let Some(Holder { source, .. }) = self.holders.get_mut(&address) else { return };
        let mut lost: Vec<Piece<Tag>> = Vec::new();
        source.flow.take_lost(ctx.now, &mut lost);
        lost.into_iter().rev().for_each(|piece| source.todo.push_front(piece));
        loop {
            let room = source.flow.room(ctx.now, IN_FLIGHT);
            let Some(piece) = source.todo.front_mut().filter(|_| room > 0) else { break };
            let object = Object::Have(content);
            let (bytes, granted) = source.flow.grant(ctx.now, object, &[*piece], room);
            piece.offset += granted;
            piece.length -= granted;
            if piece.length == 0 {
                source.todo.pop_front();
            }
            ctx.send_bytes(address, bytes);
        }
        source.flow.mark_limited();
    }

    /// Who holds something, by address as the directory prefers them: each host once.
    pub(crate) fn holders_seen(&self) -> Vec<HolderSeen> {
        let mut holders: Vec<HolderSeen> =
            self.holders.iter().filter_map(|(&host, holder)| holder.seen(host)).collect();
        holders.sort_by_key(|holder| preference(holder.host));
        // Who says to be a host and to hold something else than it hides nobody.
        let mut seen: BTreeSet<(InstanceId, u64, bool)> = BTreeSet::new();
        holders.retain(|holder| {
            let is_new = seen.insert((holder.instance, holder.size, holder.blocks.is_none()));
            is_new || holder.instance == InstanceId::NONE
        });
        holders
    }

    pub(crate) fn check_invariants(&self) {
        assert!(self.holders.len() <= HOLDERS_MAX);
        self.holders.values().for_each(|holder| holder.source.flow.check_invariants());
    }
}

impl Holder {
    fn of(source: Source, now: Instant) -> Self {
        Self {
            source,
            chain: ChainId([0; 20]),
            bitmap: RangeSet::new(),
            has_more: false,
            waits_until: Some(now + PATIENCE),
        }
    }

    fn seen(&self, host: SocketAddr) -> Option<HolderSeen> {
        let told = self.source.told.as_ref()?;
        let blocks = match &told.held {
            Held::Whole => None,
            Held::Part { blocks, .. } => Some(blocks.clone()),
        };
        let chain = (self.chain != ChainId([0; 20])).then_some(self.chain);
        let (instance, size, has_more) = (self.source.instance, told.size, self.has_more);
        Some(HolderSeen { host, instance, size, chain, blocks, has_more })
    }
}

/// The bytes of the bitmap of a content of this size.
fn bitmap_length(size: u64) -> u64 {
    BlockLayout::new(size).block_count().div_ceil(8)
}

#[cfg(test)]
mod tests;
