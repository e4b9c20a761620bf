//! A host's listing on its way to us, or what has changed of it: what has come, what is still to be asked for,
//! and when it is given up. Its bytes are the driver's: here only lengths are known, and in the end what it says.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::context::Context;
use super::deadline::Earliest;
use super::flow::{Flow, Piece};
use super::ids::ListingId;
use super::output::Output;
use super::time::Instant;
use crate::content::RangeSet;
use crate::wire::{ChangesId, ListingDigest, ListingSummary, Object};

/// A listing of which nothing comes for this long is given up, and asked for anew later.
const LISTING_STALLED: Duration = Duration::from_secs(5);
/// A listing has this long, and a second more for each so many bytes of it; others wait for their turn.
const LISTING_TIME: Duration = Duration::from_secs(10);
const LISTING_BYTES_A_SECOND: u64 = 16 * 1024;
/// Bytes of one listing that may be in flight.
const LISTING_IN_FLIGHT: u64 = 64 * 1024;

/// How a listing follows from an earlier one, as its host says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChangesFrom {
    /// The earlier one.
    pub(crate) old: ListingDigest,
    /// Bytes of changes; none where they are not offered.
    pub(crate) length: u64,
}

/// A listing that is *gathered* packet by packet, and then *read* by the driver.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Download {
    pub(crate) id: ListingId,
    pub(crate) summary: ListingSummary,
    /// It comes as changes of this one.
    #[serde(default)]
    pub(crate) changes: Option<ChangesFrom>,
    received: RangeSet,
    wanted: VecDeque<Piece<ListingId>>,
    progress_at: Instant,
    ends_at: Instant,
    is_read: bool,
}

impl Download {
    pub(crate) fn new(
        id: ListingId,
        summary: ListingSummary,
        changes: Option<ChangesFrom>,
        now: Instant,
    ) -> Self {
        let length = changes.map_or(summary.length, |changes| changes.length);
        let seconds = length / LISTING_BYTES_A_SECOND;
        Self {
            id,
            summary,
            changes,
            received: RangeSet::new(),
            wanted: VecDeque::from([Piece { tag: id, offset: 0, length }]),
            progress_at: now,
            ends_at: now + LISTING_TIME + Duration::from_secs(seconds),
            is_read: false,
        }
    }

    /// Whether all has come.
    pub(crate) const fn is_read(&self) -> bool {
        self.is_read
    }

    /// Bytes of it.
    pub(crate) fn length(&self) -> u64 {
        self.object().1
    }

    /// What is fetched, and how long it is.
    fn object(&self) -> (Object, u64) {
        let new = self.summary.digest;
        match self.changes {
            None => (Object::Listing(new), self.summary.length),
            Some(way) => (Object::Changes(ChangesId::between(way.old, new)), way.length),
        }
    }

    /// A piece has come. What is of a listing that was given up before is left alone. Whether all is here:
    /// then it is to be read.
    pub(crate) fn received(
        &mut self,
        ctx: &mut Context<'_>,
        piece: Piece<ListingId>,
        address: SocketAddr,
        flow: &mut Flow<ListingId>,
    ) -> bool {
        if self.is_read || piece.tag != self.id {
            return false;
        }
        ctx.emit(Output::KeepListing { listing: self.id, offset: piece.offset });
        self.received.insert(piece.offset..piece.offset + piece.length);
        self.progress_at = ctx.now;
        if self.received.total() < self.object().1 {
            self.pump(ctx, address, flow);
            return false;
        }
        flow.abandon(ctx.now);
        self.is_read = true;
        true
    }

    /// These pieces are to be asked for again.
    pub(crate) fn lost(&mut self, pieces: Vec<Piece<ListingId>>) {
        for piece in pieces.into_iter().filter(|piece| piece.tag == self.id) {
            self.wanted.push_front(piece);
        }
    }

    /// Asks for what is missing, as much as may be on its way.
    pub(crate) fn pump(
        &mut self,
        ctx: &mut Context<'_>,
        address: SocketAddr,
        flow: &mut Flow<ListingId>,
    ) {
        if self.is_read {
            return;
        }
        let mut lost = Vec::new();
        flow.take_lost(ctx.now, &mut lost);
        self.lost(lost);
        let (object, _) = self.object();
        loop {
            let room = flow.room(ctx.now, LISTING_IN_FLIGHT);
            let Some(piece) = self.wanted.front_mut().filter(|_| room > 0) else { break };
            let (bytes, granted) = flow.grant(ctx.now, object, &[*piece], room);
            piece.offset += granted;
            piece.length -= granted;
            if piece.length == 0 {
                self.wanted.pop_front();
            }
            ctx.send_bytes(address, bytes);
        }
        if self.wanted.is_empty() {
            flow.mark_limited();
        }
    }

    /// Whether nothing has come for too long, or all of it takes too long.
    pub(crate) fn is_given_up(&self, now: Instant) -> bool {
        self.gives_up_at().is_some_and(|at| at <= now)
    }

    /// When something is due; nothing while it is read.
    pub(crate) fn deadlines(&self, earliest: &mut Earliest, flow: &Flow<ListingId>) {
        if self.is_read {
            return;
        }
        earliest.consider(flow.deadline());
        earliest.at(self.gives_up_at(), "a listing does not come");
        if !self.wanted.is_empty() && flow.in_flight() == 0 {
            earliest.at(Some(flow.paced_until()), "more of a listing may be asked for");
        }
    }

    /// Reading takes as long as it takes: the driver always answers.
    fn gives_up_at(&self) -> Option<Instant> {
        (!self.is_read).then(|| self.ends_at.min(self.progress_at + LISTING_STALLED))
    }
}
