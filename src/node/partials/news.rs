//! Who is told at once what a download beside us has got: receivers that asked for its have-bitmap of late,
//! and those who called for sources when there was nothing to tell yet.
//!
//! A grant of the bitmap was answered with the bitmap; what is proven afterwards follows in NEWS, a few
//! times a second, under the nonce of that grant, for a bounded number of datagrams. Nothing is
//! kept of who does not ask again, and nothing is sent twice: what is lost is in the next bitmap.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::content::{ContentId, RangeSet};
use crate::node::context::Context;
use crate::node::time::Instant;
use crate::wire::{BlockRanges, Message, News};

/// Receivers that are told of one download; further ones ask for the bitmap from time to time.
pub(super) const LISTENERS_MAX: usize = 64;
/// What a grant of a bitmap opens: so many datagrams, as many as any grant.
const NEWS_EACH: u8 = 64;
/// And for so long.
const LISTENS: Duration = Duration::from_secs(3);
/// Between two news of one download: what came meanwhile is told together. It is a fraction of what
/// it takes to have a block on disk noticed and proven.
const NEWS_INTERVAL: Duration = Duration::from_millis(25);
/// And no less than this for each listener, so that a host sends at most 250 of them a second.
const NEWS_COST: Duration = Duration::from_millis(4);
/// Calls that are remembered while there is nothing to tell; the oldest goes.
pub(super) const CALLERS_MAX: usize = 64;
/// And for how long: the caller has called again by then, or waits no more.
const CALLS_LAST: Duration = Duration::from_secs(1);

/// A receiver that asked for the bitmap of late.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Listener {
    nonce: u64,
    left: u8,
    until: Instant,
}

/// The listeners of one download, and what they have not been told.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Listeners {
    listeners: BTreeMap<SocketAddr, Listener>,
    fresh: RangeSet,
    told_at: Option<Instant>,
}

impl Listeners {
    /// It has been granted the bitmap, which has all that is proven by now.
    pub(super) fn listens(&mut self, now: Instant, who: SocketAddr, nonce: u64) {
        self.listeners.retain(|_, listener| listener.left > 0 && listener.until > now);
        if self.listeners.len() < LISTENERS_MAX || self.listeners.contains_key(&who) {
            let listener = Listener { nonce, left: NEWS_EACH, until: now + LISTENS };
            self.listeners.insert(who, listener);
        }
    }

    /// A block is proven.
    pub(super) fn note(&mut self, block: u64) {
        if !self.listeners.is_empty() {
            self.fresh.insert(block..block + 1);
        }
    }

    /// When there is something to tell.
    pub(super) fn due(&self) -> Option<Instant> {
        let pause = NEWS_INTERVAL.max(NEWS_COST * self.listeners.len() as u32);
        let told_at = self.told_at.unwrap_or(Instant::ORIGIN);
        (!self.fresh.is_empty()).then(|| told_at + pause)
    }

    /// Tells it, if it is time.
    pub(super) fn tell(&mut self, ctx: &mut Context<'_>) {
        if self.due().is_none_or(|due| due > ctx.now) {
            return;
        }
        let mut bytes = Vec::new();
        let told: Vec<Range<u64>> =
            self.fresh.iter().take_while(|range| BlockRanges::push(&mut bytes, range)).collect();
        match told.last() {
            Some(last) => self.fresh.remove(0..last.end),
            // Beyond what travels: the bitmap tells.
            None => self.fresh.clear(),
        }
        self.told_at = Some(ctx.now);
        let now = ctx.now;
        self.listeners.retain(|_, listener| listener.left > 0 && listener.until > now);
        let Ok(blocks) = BlockRanges::new(&bytes) else { return };
        for (&who, listener) in &mut self.listeners {
            listener.left -= 1;
            ctx.send(who, &Message::News(News { nonce: listener.nonce, blocks }));
        }
        if self.listeners.is_empty() {
            self.fresh.clear();
        }
    }

    pub(super) fn check_invariants(&self) {
        assert!(self.listeners.len() <= LISTENERS_MAX);
    }
}

/// Somebody called for sources of a content when we had nothing of it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Caller {
    content: ContentId,
    who: SocketAddr,
    nonce: u64,
    at: Instant,
}

/// Calls that may yet be answered: each once, by one datagram that is no longer than the call.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Callers {
    callers: VecDeque<Caller>,
}

impl Callers {
    pub(super) fn called(&mut self, now: Instant, content: ContentId, who: SocketAddr, nonce: u64) {
        self.callers.retain(|caller| (caller.content, caller.who) != (content, who));
        if self.callers.len() == CALLERS_MAX {
            self.callers.pop_front();
        }
        self.callers.push_back(Caller { content, who, nonce, at: now });
    }

    /// Who called for this content and still waits, with the nonces of their calls.
    pub(super) fn take(&mut self, now: Instant, content: ContentId) -> Vec<(SocketAddr, u64)> {
        self.callers.retain(|caller| now < caller.at + CALLS_LAST);
        let callers = self.callers.iter().filter(|caller| caller.content == content);
        let taken = callers.map(|caller| (caller.who, caller.nonce)).collect();
        self.callers.retain(|caller| caller.content != content);
        taken
    }

    pub(super) fn check_invariants(&self) {
        assert!(self.callers.len() <= CALLERS_MAX);
    }
}

#[cfg(test)]
mod tests;
