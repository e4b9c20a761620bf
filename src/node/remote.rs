//! One host of the network, as another host sees it: what it has announced, what it has told from an
//! address where it receives, and its listing, on its way or arrived.

mod view;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::context::{Context, Interfaces};
use super::deadline::{Deadline, Earliest};
use super::download::{Download, LISTING_STALLED};
use super::flow::{Flow, Stray};
use super::ids::ListingId;
use super::input::ListingReading;
use super::listed::Listed;
use super::output::Output;
use super::random::Random;
use super::time::Instant;
use crate::wire::{
    About, Ask, Cookie, InstanceId, ListingSummary, Message, PAYLOAD_LENGTHS, RefuseReason,
};

/// A host that was not heard for this long is asked whether it is still there.
pub(crate) const SILENT_AFTER: Duration = Duration::from_secs(6);
/// A host that was not heard for this long is gone.
pub(crate) const GONE_AFTER: Duration = Duration::from_millis(9_500);
/// A host whose announcements are heard is nevertheless asked this often: they could be anyone's.
const PROVE_AGAIN_AFTER: Duration = Duration::from_secs(45);
/// A host that broadcasts do not reach is asked this often.
const ASK_OUT_OF_REACH: Duration = Duration::from_secs(2);
/// A configured host that never answers is asked this seldom.
const ASK_ABSENT: Duration = Duration::from_secs(5);
/// Waits for an answer, one after the other; the last one again and again.
const PATIENCE: [Duration; 4] = [
    Duration::from_millis(150),
    Duration::from_millis(300),
    Duration::from_millis(600),
    Duration::from_secs(1),
];
/// A listing for which there was no room is asked for again after this long.
const LISTING_HAS_NO_ROOM: Duration = Duration::from_secs(60);
/// How long a host that refuses its listing is left alone: it might refuse again, for ever.
const REFUSED_REST: Duration = Duration::from_millis(250);
/// After so long at the most, a listing that did not come in time is tried again.
const LISTING_REST_MAX: Duration = Duration::from_secs(600);
/// Questions that one announcement allows to an address that has proven nothing.
const CREDIT_MAX: u32 = 3;

/// A question under way.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Question {
    nonce: u64,
    sent_at: Instant,
    /// Sent more than once: its answer says nothing about the round trip.
    repeated: bool,
}

/// What became of a listing that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// It is genuine, but for so many names.
    Genuine {
        /// Names that nobody should have sent.
        refused_names: u32,
    },
    /// It is not what the host announced, or no listing.
    Bad,
}

/// One host.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Remote {
    address: SocketAddr,
    /// Somebody named it: it is never forgotten and asked without being heard.
    pub(crate) configured: bool,
    /// Who it said it is, from where it receives.
    pub(crate) instance: Option<InstanceId>,
    pub(crate) listed: Option<Listed>,
    wanted: Option<ListingSummary>,
    heard_at: Instant,
    proven_at: Option<Instant>,
    proven_since: Instant,
    question: Option<Question>,
    unanswered: usize,
    ask_at: Option<Instant>,
    credit: u32,
    cookie: Cookie,
    /// It has asked us, so it knows of us; or we have introduced ourselves.
    pub(crate) knows_us: bool,
    flow: Flow<ListingId>,
    download: Option<Download>,
    /// After a listing that was broken or stalled.
    listing_not_before: Instant,
    /// Listings, one after the other, that did not come.
    listings_failed: u32,
}

impl Remote {
    pub(crate) fn new(
        address: SocketAddr,
        configured: bool,
        now: Instant,
        random: &mut Random,
    ) -> Self {
        Self {
            address,
            configured,
            instance: None,
            listed: None,
            wanted: None,
            heard_at: now,
            proven_at: None,
            proven_since: now,
            question: None,
            unanswered: 0,
            ask_at: configured.then_some(now),
            credit: 0,
            cookie: Cookie::NONE,
            knows_us: false,
            flow: Flow::new(address, random),
            download: None,
            listing_not_before: Instant::ORIGIN,
            listings_failed: 0,
        }
    }

    pub(crate) const fn is_proven(&self) -> bool {
        self.proven_at.is_some()
    }

    /// Since when it has been this instance, as it proved.
    pub(crate) const fn proven_since(&self) -> Instant {
        self.proven_since
    }

    pub(crate) const fn heard_at(&self) -> Instant {
        self.heard_at
    }

    /// An announcement in its name was heard. It is a hint: what it says is asked for, not believed.
    pub(crate) fn announced(
        &mut self,
        now: Instant,
        instance: InstanceId,
        listing: ListingSummary,
        ask_at: Instant,
    ) {
        if self.instance.is_none_or(|known| known == instance) {
            self.heard_at = now;
        }
        self.credit = (self.credit + 1).min(CREDIT_MAX);
        let known = self.instance == Some(instance) && self.wanted == Some(listing);
        if !known {
            self.ask_by(ask_at);
        }
    }

    /// It has shown that it is there and receives at its address: it deserves a question.
    pub(crate) fn introduced(&mut self, now: Instant) {
        self.heard_at = now;
        self.knows_us = true;
        self.credit = (self.credit + 1).min(CREDIT_MAX);
        if self.proven_at.is_none() {
            self.ask_by(now);
        }
    }

    /// Whether an answer with this nonce is awaited.
    pub(crate) fn awaits(&self, nonce: u64) -> bool {
        self.question.is_some_and(|question| question.nonce == nonce)
    }

    /// It has answered our question.
    pub(crate) fn told(
        &mut self,
        ctx: &mut Context<'_>,
        instance: InstanceId,
        cookie: Cookie,
        listing: ListingSummary,
    ) {
        let now = ctx.now;
        if let Some(question) = self.question.take().filter(|question| !question.repeated) {
            self.flow.sample_round_trip(now, now.since(question.sent_at));
        }
        self.unanswered = 0;
        self.ask_at = None;
        if self.proven_at.is_none() || self.instance != Some(instance) {
            self.proven_since = now;
        }
        self.instance = Some(instance);
        self.heard_at = now;
        self.proven_at = Some(now);
        self.cookie = cookie;
        self.flow.set_cookie(cookie);
        self.wanted = Some(listing);
        if self.download.as_ref().is_some_and(|download| download.summary != listing) {
            self.stop_download(ctx);
        }
    }

    /// The listing that is wanted and not there yet.
    pub(crate) fn missing_listing(&self, now: Instant) -> Option<ListingSummary> {
        let wanted = self.wanted.filter(|_| self.is_proven())?;
        let there = self.listed.as_ref().is_some_and(|listed| listed.digest == wanted.digest);
        let on_its_way = self.download.is_some();
        (!there && !on_its_way && now >= self.listing_not_before).then_some(wanted)
    }

    /// How many listings of it, one after the other, did not come.
    pub(crate) const fn listings_failed(&self) -> u32 {
        self.listings_failed
    }

    pub(crate) const fn is_downloading(&self) -> bool {
        self.download.is_some()
    }

    pub(crate) fn set_listed(&mut self, listed: Listed) {
        self.listed = Some(listed);
    }

    /// There is no room for its listing.
    pub(crate) fn drop_listed(&mut self, now: Instant) {
        self.listed = None;
        self.listing_not_before = now + LISTING_HAS_NO_ROOM;
    }

    pub(crate) fn start_download(
        &mut self,
        ctx: &mut Context<'_>,
        id: ListingId,
        summary: ListingSummary,
    ) {
        self.download = Some(Download::new(id, summary, ctx.now));
        self.pump(ctx);
    }

    /// A packet of its listing, perhaps.
    pub(crate) fn received(
        &mut self,
        ctx: &mut Context<'_>,
        nonce: u64,
        offset: u64,
        length: u64,
    ) -> Result<(), Stray> {
        let piece = self.flow.arrived(ctx.now, nonce, offset, length)?;
        if let Some(download) = &mut self.download {
            download.received(ctx, piece, self.address, &mut self.flow);
        }
        Ok(())
    }

    /// Its listing has been read, if this is the one that it is awaited of.
    pub(crate) fn listing_read(
        &mut self,
        now: Instant,
        id: ListingId,
        outcome: &ListingReading,
    ) -> Option<Read> {
        let download = self.download.take_if(|download| download.id == id)?;
        Some(match outcome {
            ListingReading::Genuine { entries, names_length, refused_names } => {
                let (digest, entries) = (download.summary.digest, Arc::clone(entries));
                self.listed = Some(Listed::new(digest, entries, *names_length));
                self.listings_failed = 0;
                Read::Genuine { refused_names: *refused_names }
            }
            ListingReading::Bad => {
                self.listing_not_before = now + ASK_ABSENT * 2;
                Read::Bad
            }
        })
    }

    /// It refuses a grant of ours. Whether it was ours.
    pub(crate) fn refused(
        &mut self,
        ctx: &mut Context<'_>,
        nonce: u64,
        reason: RefuseReason,
    ) -> bool {
        let asked = self.flow.asked_payload_length(nonce);
        let shorter = asked.is_some_and(|length| length > u64::from(PAYLOAD_LENGTHS[0]));
        let Some(pieces) = self.flow.refused(nonce, reason == RefuseReason::TooLong) else {
            return false;
        };
        if let Some(download) = &mut self.download {
            download.lost(pieces);
        }
        match reason {
            RefuseReason::TooLong if shorter => self.pump(ctx),
            // Its listing is another by now, or our cookie is old: both are told when asked. Asked again
            // at once, one that is busy would answer as fast as the way is short.
            RefuseReason::TooLong
            | RefuseReason::Busy
            | RefuseReason::StaleCookie
            | RefuseReason::UnknownObject
            | RefuseReason::BadRange
            | RefuseReason::Changed => {
                self.stop_download(ctx);
                self.listing_not_before = ctx.now + REFUSED_REST;
                self.ask_by(ctx.now);
            }
        }
        true
    }

    /// Asks it for its listing's digest, by which it also shows that it is there.
    pub(crate) fn ask(&mut self, ctx: &mut Context<'_>, instance: InstanceId) {
        // A repeated question keeps its nonce: the way may be longer than our patience.
        let question = match self.question {
            Some(question) => Question { repeated: true, ..question },
            None => Question { nonce: ctx.random.next_u64(), sent_at: ctx.now, repeated: false },
        };
        let nonce = question.nonce;
        self.question = Some(question);
        self.credit = self.credit.saturating_sub(1);
        let ask =
            Ask { about: About::Listing, to_many: false, nonce, instance, cookie: self.cookie };
        ctx.send(self.address, &Message::Ask(ask));
        let patience = PATIENCE[self.unanswered.min(PATIENCE.len() - 1)];
        let slow = self.unanswered >= PATIENCE.len() && self.configured && !self.is_proven();
        self.unanswered += 1;
        self.ask_at = Some(ctx.now + if slow { ASK_ABSENT } else { patience });
    }

    /// Whether its announcements may not reach us: whoever names a host has a reason to.
    pub(crate) fn is_out_of_reach(&self, address: SocketAddr, interfaces: &Interfaces) -> bool {
        self.configured || !interfaces.is_broadcast_reach(address.ip())
    }

    /// When the next question is due, if any.
    fn question_due(&self, out_of_reach: bool) -> Option<Instant> {
        let may = self.is_proven() || self.configured || self.credit > 0;
        if !may {
            return None;
        }
        let routine = self.proven_at.map(|proven_at| {
            let after_proof = if out_of_reach { ASK_OUT_OF_REACH } else { PROVE_AGAIN_AFTER };
            (proven_at + after_proof).min(self.heard_at + SILENT_AFTER)
        });
        match (self.ask_at, routine) {
            // A question is out: its own patience counts, not the routine.
            (Some(at), _) => Some(at),
            (None, routine) => routine,
        }
    }

    /// When it counts as gone.
    pub(crate) fn gone_at(&self) -> Instant {
        let silent = self.heard_at + GONE_AFTER;
        // Announcements alone do not keep it: they could be anyone's.
        let unproven = self.proven_at.map(|at| at + PROVE_AGAIN_AFTER + GONE_AFTER);
        unproven.map_or(silent, |unproven| unproven.min(silent))
    }

    pub(crate) fn is_question_due(&self, now: Instant, out_of_reach: bool) -> bool {
        self.question_due(out_of_reach).is_some_and(|due| due <= now)
    }

    pub(crate) fn deadline(&self, now: Instant, out_of_reach: bool) -> Option<Deadline> {
        let mut earliest = Earliest::default();
        earliest.at(self.question_due(out_of_reach), "a host is asked");
        let expires = !self.configured || self.is_proven();
        earliest.at(expires.then(|| self.gone_at()), "a host is gone");
        if let Some(download) = &self.download {
            download.deadlines(&mut earliest, &self.flow);
        } else if self.listing_not_before > now
            && self.missing_listing(self.listing_not_before).is_some()
        {
            // One that is due but has to wait for its turn is started when another has come.
            earliest.at(Some(self.listing_not_before), "a listing is asked for again");
        }
        earliest.get()
    }

    /// Sees to losses and to a listing that does not come.
    pub(crate) fn handle_timeout(&mut self, ctx: &mut Context<'_>) {
        if self.download.as_ref().is_some_and(|download| download.is_given_up(ctx.now)) {
            self.stop_download(ctx);
            let rest = LISTING_STALLED * (1 << self.listings_failed.min(8));
            self.listings_failed = self.listings_failed.saturating_add(1);
            self.listing_not_before = ctx.now + rest.min(LISTING_REST_MAX);
        } else {
            self.pump(ctx);
        }
    }

    /// It vanished, or said goodbye; what is left is only that somebody named it.
    pub(crate) fn forget(&mut self, ctx: &mut Context<'_>) {
        let asked = ctx.now + ASK_OUT_OF_REACH;
        self.stop_download(ctx);
        *self = Self::new(self.address, self.configured, ctx.now, ctx.random);
        self.ask_at = self.configured.then_some(asked);
    }

    pub(crate) fn check_invariants(&self) {
        self.flow.check_invariants();
        assert!(self.credit <= CREDIT_MAX);
    }

    fn ask_by(&mut self, at: Instant) {
        self.ask_at = Some(self.ask_at.map_or(at, |asked| asked.min(at)));
    }

    /// Gives up the listing that is on its way, if one is.
    pub(crate) fn stop_download(&mut self, ctx: &mut Context<'_>) {
        if let Some(download) = self.download.take() {
            ctx.emit(Output::DropListing { listing: download.id });
        }
        self.flow.abandon(ctx.now);
    }

    fn pump(&mut self, ctx: &mut Context<'_>) {
        if let Some(download) = &mut self.download {
            download.pump(ctx, self.address, &mut self.flow);
        }
    }
}
