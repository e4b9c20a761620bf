//! One host of the network, as another host sees it: what it has announced, what it has told from an
//! address where it receives, and its listing, on its way or arrived.

mod changes;
mod hearing;
pub(crate) mod liveness;
mod telling;
mod view;

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::context::Context;
use super::deadline::{Deadline, Earliest};
use super::directory::host_text;
use super::download::{ChangesFrom, Download};
use super::flow::{Flow, Stray};
use super::ids::ListingId;
use super::input::ListingReading;
use super::listed::{Listed, each_of};
use super::output::Output;
use super::random::Random;
use super::time::Instant;
use crate::wire::listing::{ListingRoom, ListingSize};
use crate::wire::{
    About, Ask, Cookie, InstanceId, ListingDigest, ListingSummary, Message, PAYLOAD_LENGTHS,
    RefuseReason,
};
pub(crate) use changes::Read;
use telling::Telling;

/// A host that broadcasts do not reach is asked this often.
const ASK_OUT_OF_REACH: Duration = Duration::from_secs(2);
/// One that nobody named, but some host told of, this often: there may be a thousand.
const ASK_TOLD_OF: Duration = Duration::from_secs(5);
/// A configured host that never answers is asked this seldom.
const ASK_ABSENT: Duration = Duration::from_secs(5);
/// Waits for an answer, one after the other; the last one again and again.
const PATIENCE: [Duration; 4] = [
    Duration::from_millis(150),
    Duration::from_millis(300),
    Duration::from_millis(600),
    Duration::from_secs(1),
];
/// A listing for all of which there was no room is fetched again after this long, if there is more by then or it is another.
const LISTING_HAS_NO_ROOM: Duration = Duration::from_secs(60);
/// How long a host that refuses its listing is left alone: it might refuse again, for ever.
const REFUSED_REST: Duration = Duration::from_millis(250);
/// How long a listing that has come lasts before the next one of that host is fetched, for each of its files: a
/// change is cheap to send, and not to take in.
const LISTING_LASTS_EACH: Duration = Duration::from_micros(5);
/// How long a listing that did not come in time is left alone; twice as long each time.
const LISTING_REST: Duration = Duration::from_secs(1);
/// After so long at the most, a listing that did not come in time is tried again.
const LISTING_REST_MAX: Duration = Duration::from_secs(600);
/// A question under way.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Question {
    nonce: u64,
    sent_at: Instant,
    /// Sent more than once: its answer says nothing about the round trip.
    repeated: bool,
    /// The listing of it that we had.
    #[serde(default = "nothing_known")]
    has: ListingDigest,
}

const fn nothing_known() -> ListingDigest {
    ListingDigest::NONE
}

/// One host.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Remote {
    address: SocketAddr,
    /// Somebody named it: it is never forgotten and asked without being heard.
    pub(crate) configured: bool,
    /// Who it said it is, from where it receives.
    pub(crate) instance: Option<InstanceId>,
    /// It keeps in step, as it said with its last answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) in_step: bool,
    pub(crate) listed: Option<Listed>,
    wanted: Option<ListingSummary>,
    /// How the listing that is wanted follows from one that we had.
    #[serde(default)]
    changes: Option<ChangesFrom>,
    /// Its host is there at a better address: this one is not shown, and not asked as long as that is so.
    #[serde(default)]
    spare: bool,
    /// It announces itself this often, as it says.
    #[serde(default)]
    announces_within: Duration,
    /// Changes did not lead where they should: the next listing comes whole.
    #[serde(default)]
    whole_next: bool,
    heard_at: Instant,
    proven_at: Option<Instant>,
    proven_since: Instant,
    question: Option<Question>,
    unanswered: usize,
    ask_at: Option<Instant>,
    credit: u32,
    cookie: Cookie,
    /// Under this nonce it was asked of whom it knows, and it has not told yet.
    #[serde(default)]
    others_nonce: Option<u64>,
    #[serde(default)]
    others_at: Instant,
    #[serde(default, skip_serializing_if = "Telling::is_nothing")]
    telling: Telling,
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
            in_step: false,
            listed: None,
            wanted: None,
            changes: None,
            spare: false,
            announces_within: Duration::ZERO,
            whole_next: false,
            heard_at: now,
            proven_at: None,
            proven_since: now,
            question: None,
            unanswered: 0,
            ask_at: configured.then_some(now),
            credit: 0,
            cookie: Cookie::NONE,
            others_nonce: None,
            others_at: now,
            telling: Telling::default(),
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
        changes: u64,
    ) {
        let now = ctx.now;
        let question = self.question.take();
        match &question {
            Some(question) if question.repeated => {
                self.flow.suppose_round_trip(now.since(question.sent_at));
            }
            Some(question) => self.flow.sample_round_trip(now, now.since(question.sent_at)),
            None => {}
        }
        self.unanswered = 0;
        self.ask_at = None;
        if self.proven_at.is_none() || self.instance != Some(instance) {
            self.proven_since = now;
        }
        let is_another = self.instance.is_some_and(|known| known != instance);
        // Who came in its place has not heard of us.
        self.knows_us &= !is_another;
        self.instance = Some(instance);
        self.heard_at = now;
        self.proven_at = Some(now);
        self.cookie = cookie;
        self.flow.set_cookie(cookie);
        self.wanted = Some(listing);
        self.changes = question.map(|question| ChangesFrom { old: question.has, length: changes });
        // What is on its way comes to its end, even if it is the listing before by now: from there the
        // way is short, and where a host changes all the time, each would be given up for the next.
        let is_damaged = |download: &Download| {
            download.summary.digest == listing.digest && download.summary != listing
        };
        if is_another || self.download.as_ref().is_some_and(is_damaged) {
            self.stop_download(ctx);
        }
        self.ask_for_changes(now);
    }

    /// Whether its listing is neither there nor on its way.
    pub(crate) fn lacks_listing(&self) -> bool {
        let there = self.listed.as_ref().filter(|listed| !listed.wants_more);
        let there = there.map(|listed| listed.digest);
        let wanted = self.wanted.filter(|_| self.is_proven()).map(|wanted| wanted.digest);
        wanted.is_some() && wanted != there && self.download.is_none()
    }

    /// The listing that is wanted and not there yet.
    pub(crate) fn lacking(&self) -> Option<ListingSummary> {
        self.wanted.filter(|_| self.lacks_listing())
    }

    /// The same where it may be fetched by now.
    pub(crate) fn missing_listing(&self, now: Instant) -> Option<ListingSummary> {
        let may = !self.is_way_unknown() && now >= self.listing_not_before;
        self.lacking().filter(|_| may)
    }

    /// The round trip, where it was measured.
    pub(crate) fn measured_round_trip(&self) -> Option<Duration> {
        self.flow.measured_round_trip()
    }

    /// How many listings of it, one after the other, did not come.
    pub(crate) const fn listings_failed(&self) -> u32 {
        self.listings_failed
    }

    pub(crate) const fn is_downloading(&self) -> bool {
        self.download.is_some()
    }

    /// Whether its listing has come, and is being read.
    pub(crate) fn is_reading(&self) -> bool {
        self.download.as_ref().is_some_and(Download::is_read)
    }

    pub(crate) fn set_listed(&mut self, listed: Listed) {
        self.listed = Some(listed);
    }

    /// There is room for so much of its listing. Whether that is less than there was.
    pub(crate) fn cut_listed(&mut self, now: Instant, most: u64) -> bool {
        let cut = self.listed.as_mut().is_some_and(|listed| listed.cut_to(most));
        if cut {
            self.listing_not_before = self.listing_not_before.max(now + LISTING_HAS_NO_ROOM);
        }
        cut
    }

    /// The same of a listing that is about to be another's; whether that was all of it is of no account.
    pub(crate) fn cut_passing(&mut self, most: u64) {
        self.listed.iter_mut().for_each(|listed| _ = listed.cut_to(most));
    }

    /// How many files are in what is on its way.
    pub(crate) fn download_files(&self) -> u32 {
        self.download.as_ref().map_or(0, |download| download.summary.files)
    }

    /// Bytes of what is on its way.
    pub(crate) fn download_length(&self) -> u64 {
        self.download.as_ref().map_or(0, Download::length)
    }

    pub(crate) fn start_download(
        &mut self,
        ctx: &mut Context<'_>,
        id: ListingId,
        summary: ListingSummary,
    ) {
        let way = self.changes.filter(|way| way.length > 0 && way.length < summary.length);
        let way = way.filter(|way| self.base().is_some_and(|base| base.digest == way.old));
        self.download = Some(Download::new(id, summary, way, ctx.now));
        self.pump(ctx);
    }

    /// A packet of its listing, perhaps. Whether all is here, and is to be [read](Self::read).
    pub(crate) fn received(
        &mut self,
        ctx: &mut Context<'_>,
        nonce: u64,
        offset: u64,
        length: u64,
    ) -> Result<bool, Stray> {
        let piece = self.flow.arrived(ctx.now, nonce, offset, length)?;
        let Some(download) = &mut self.download else { return Ok(false) };
        Ok(download.received(ctx, piece, self.address, &mut self.flow))
    }

    /// Has its listing read, for which there is so much room.
    pub(crate) fn read(&mut self, ctx: &mut Context<'_>, cost: u64) {
        let Some(download) = &mut self.download else { return };
        let (listing, digest) = (download.id, download.summary.digest);
        let room = ListingRoom { cost, each: each_of(&host_text(self.address)) };
        match download.changes {
            None => ctx.emit(Output::ReadListing { listing, digest, room }),
            Some(way) => match self.listed.as_ref().filter(|listed| listed.digest == way.old) {
                Some(listed) => {
                    let old = listed.entries.clone();
                    ctx.emit(Output::ReadChanges { listing, digest, old });
                }
                // There was no room to keep it.
                None => self.stop_download(ctx),
            },
        }
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
            ListingReading::Genuine { entries, names_length, refused_names, sizes, left_out } => {
                let (digest, entries) = (download.summary.digest, entries.clone());
                let files = u32::try_from(entries.len()).unwrap_or(u32::MAX);
                let mut sizes = sizes.clone();
                if sizes.is_empty() && files > 0 {
                    // As it was told once.
                    let (names, text) = (*names_length, names_length + 8 * u64::from(files));
                    sizes.push(ListingSize { files, names, text });
                }
                let (each, all) = (each_of(&host_text(self.address)), *refused_names == 0);
                self.listed = Some(Listed::new(digest, entries, sizes, *left_out, each, all));
                self.listings_failed = 0;
                self.whole_next = false;
                let lasts = LISTING_LASTS_EACH * files.saturating_add(left_out.files);
                let rest = if left_out.files > 0 { LISTING_HAS_NO_ROOM } else { Duration::ZERO };
                self.listing_not_before = now + lasts.max(rest);
                self.ask_for_changes(now);
                Read::Genuine { refused_names: *refused_names }
            }
            ListingReading::Bad if download.changes.is_some() => {
                self.whole_next = true;
                Read::BadChanges
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
        let has = self.base().map_or(ListingDigest::NONE, |base| base.digest);
        // A repeated question keeps its nonce: the way may be longer than our patience.
        let question = match self.question.filter(|question| question.has == has) {
            Some(question) => Question { repeated: true, ..question },
            None => {
                let (nonce, sent_at) = (ctx.random.next_u64(), ctx.now);
                Question { nonce, sent_at, repeated: false, has }
            }
        };
        let nonce = question.nonce;
        self.question = Some(question);
        self.credit = self.credit.saturating_sub(1);
        let tell_hosts = self.asks_of_others(ctx.now, nonce);
        let ask = Ask {
            about: About::Listing { has },
            to_many: false,
            tell_hosts,
            hosts_from: if tell_hosts { self.telling.hosts_from() } else { 0 },
            // Who is no host asks for people.
            tell_age: instance == InstanceId::NONE,
            nonce,
            instance,
            cookie: self.cookie,
        };
        ctx.send(self.address, &Message::Ask(ask));
        let patience = self
            .patience_with_silence(ctx.now)
            .unwrap_or(PATIENCE[self.unanswered.min(PATIENCE.len() - 1)]);
        let slow = self.unanswered >= PATIENCE.len() && self.configured && !self.is_proven();
        self.unanswered += 1;
        self.ask_at = Some(ctx.now + if slow { ASK_ABSENT } else { patience });
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
            let rest = LISTING_REST * (1 << self.listings_failed.min(10));
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
        assert!(self.credit <= hearing::CREDIT_SHOWN);
    }

    pub(super) fn ask_by(&mut self, at: Instant) {
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
