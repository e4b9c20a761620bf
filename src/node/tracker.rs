//! The rendezvous: a host that offers nothing, knows who is there and who holds what, and tells those who ask. For networks
//! where no broadcast brings hosts together.
//!
//! A peer registers by asking about the tracker's listing with a cookie; the tracker asks it back, and fetches its
//! listing as any host would, of which it keeps the contents alone ([`holdings`]). All that is kept has a bound and
//! an end: a peer that is not heard for [`KEPT`] is forgotten. A tracker knows nothing for certain, and nobody
//! who asks it believes it: who is told of a host asks that host.

mod gathering;
pub(crate) mod holdings;
mod registering;
mod telling;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use log::{debug, info};
use serde::{Deserialize, Serialize};

use super::budget::Budget;
use super::context::Context;
use super::counters::DropReason;
use super::deadline::{Deadline, Earliest};
use super::directory::host_text;
use super::discovery::seconds_since;
use super::discovery::told::page;
use super::download::Download;
use super::flow::Flow;
use super::ids::ListingId;
use super::input::ListingReading;
use super::output::Output;
use super::random::Random;
use super::time::Instant;
use crate::wire::listing::ListingRoom;
use crate::wire::{
    About, Announce, Answer, Ask, Cookie, Data, Farewell, FarewellSecret, Hold, Holding, Hosts,
    InstanceId, ListingDigest, ListingSummary, Message, RefuseReason, Tell, ToldHosts,
};
use holdings::Holdings;

/// Hosts that are known at once; further ones are told to, but not told of.
pub(crate) const HOSTS_MAX: usize = 10_240;
/// And of them at one IP address, behind which many may stand.
const HOSTS_EACH: usize = 256;
/// Answers a second that tell of hosts from some place on: with a full table each takes some 50 µs.
const PAGES_A_SECOND: u64 = 1_000;
/// In a full table so many newcomers a second have it gone through for one who makes room.
const SEARCHES_A_SECOND: u64 = 50;
/// How long a host that is not heard is told of: peers ask every 10 s.
pub(crate) const KEPT: Duration = Duration::from_secs(35);
/// A listing longer than this is not fetched; its host is asked by those who look for something.
const LISTING_MAX: u64 = 1 << 20;
/// Listings that are on their way at once.
const DOWNLOADS_MAX: usize = 4;
/// After a listing did not come, or was none, its host is asked for it again after this long.
const LISTING_REST: Duration = Duration::from_secs(30);
/// Waits for an answer; afterwards it is asked when it asks.
const PATIENCE: [Duration; 4] = [
    Duration::from_millis(150),
    Duration::from_millis(300),
    Duration::from_millis(600),
    Duration::from_secs(1),
];
/// A host that asks is asked this often itself: its announcements may not come.
const ASKED_EVERY: Duration = Duration::from_secs(15);
/// Anybody can announce in anybody's name: a host is asked because of it this often at most.
const ASKED_AGAIN: Duration = Duration::from_secs(1);

/// A host that is there.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Registered {
    instance: InstanceId,
    heard_at: Instant,
    /// What it offers, and what of it is known.
    wanted: Option<ListingSummary>,
    known: Option<ListingDigest>,
    listing_not_before: Instant,
    /// Listings of its machine that did not come. Where it has come itself, they count anew.
    listings_failed: u32,
    /// Its place among those whose listings are to be fetched.
    waits: Option<u64>,
    cookie: Cookie,
    nonce: Option<u64>,
    asked: usize,
    asked_at: Instant,
    ask_at: Option<Instant>,
}

impl Registered {
    fn due(&self) -> Instant {
        let gone = self.heard_at + KEPT;
        self.ask_at.map_or(gone, |ask| ask.min(gone))
    }
}

/// A listing on its way.
#[derive(Debug, Serialize, Deserialize)]
struct Arriving {
    host: SocketAddr,
    download: Download,
    flow: Flow<ListingId>,
}

/// The table of a tracker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Tracker {
    secret: FarewellSecret,
    instance: InstanceId,
    hosts: BTreeMap<SocketAddr, Registered>,
    due: BTreeSet<(Instant, SocketAddr)>,
    holdings: Holdings,
    /// Those of whom it is not known what they have, too.
    unknown: BTreeSet<SocketAddr>,
    /// Whose listings are to be fetched: who has kept us waiting before comes last, and else who came first is first.
    waiting: BTreeSet<(u32, u64, SocketAddr)>,
    next_waiting: u64,
    arriving: Vec<Arriving>,
    next_listing: u64,
    /// Whom the last answer ended with: the next one goes on behind.
    told: Option<SocketAddr>,
    /// The same for those of whom it is not known what they have.
    told_unknown: Option<SocketAddr>,
    /// Answers that begin at a place that the asker names.
    pages: Budget,
    /// Searches for a host that makes room for another one.
    searches: Budget,
}

impl Tracker {
    pub(crate) fn new(random: &mut Random) -> Self {
        let secret = FarewellSecret(random.bytes16());
        Self {
            secret,
            instance: InstanceId::of(&secret),
            hosts: BTreeMap::new(),
            due: BTreeSet::new(),
            holdings: Holdings::default(),
            unknown: BTreeSet::new(),
            waiting: BTreeSet::new(),
            next_waiting: 0,
            arriving: Vec::new(),
            next_listing: 0,
            told: None,
            told_unknown: None,
            pages: Budget::new(PAGES_A_SECOND),
            searches: Budget::new(SEARCHES_A_SECOND),
        }
    }

    pub(crate) const fn instance(&self) -> InstanceId {
        self.instance
    }

    /// The answer to a question: a tracker offers nothing.
    pub(crate) fn answer(&self, now: Instant, ask: &Ask, cookie: Cookie) -> Tell {
        let nothing = ListingSummary { digest: ListingDigest::of(&[]), length: 0, files: 0 };
        let answer = match ask.about {
            About::Listing { .. } => {
                Answer::Listing { listing: nothing, changes: 0, in_step: false }
            }
            About::Content { .. } => Answer::Content {
                holding: Holding::Nothing,
                chain: crate::content::ChainId([0; 20]),
                size: 0,
                blocks_held: 0,
            },
        };
        let age = ask.tell_age.then(|| seconds_since(Instant::ORIGIN, now));
        Tell { nonce: ask.nonce, cookie, instance: self.instance, age, answer }
    }

    /// Somebody who has shown a cookie asks: a host is registered, and everybody is told of others.
    pub(crate) fn on_ask(&mut self, ctx: &mut Context<'_>, from: SocketAddr, ask: &Ask) {
        if ask.instance != InstanceId::NONE && ask.instance != self.instance {
            self.register(ctx, from, ask.instance);
        }
        let (hosts, next) = match ask.about {
            _ if !ask.tell_hosts => (Vec::new(), 0),
            About::Listing { .. } if ask.hosts_from > 0 => {
                // Counting to a place costs more than going on from one.
                let may = self.pages.take(ctx.now);
                let page = || page(self.hosts.keys().copied(), from, ask.hosts_from);
                if may { page() } else { (Vec::new(), 0) }
            }
            About::Listing { .. } => (self.some_hosts(from), 0),
            About::Content { content, .. } => {
                let turn = ctx.random.next_u64() as u32;
                (self.who_has(ctx.interfaces, from, content, turn), 0)
            }
        };
        if !hosts.is_empty() {
            let hosts = ToldHosts::new(&hosts).expect("as many as fit, and not none");
            ctx.send(from, &Message::Hosts(Hosts { nonce: ask.nonce, next, hosts }));
        }
        self.start_downloads(ctx);
    }

    pub(crate) fn on_announce(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        announce: &Announce,
    ) {
        let Some(host) = self.hosts.get(&from) else {
            return ctx.counters.drop(DropReason::OffLink);
        };
        let is_new = host.instance != announce.instance || host.wanted != Some(announce.listing);
        if is_new && host.ask_at.is_none() {
            let at = ctx.now.max(host.asked_at + ASKED_AGAIN);
            self.change(from, |host| {
                host.asked = 0;
                host.ask_at = Some(at);
            });
            self.handle_due(ctx);
        }
    }

    pub(crate) fn on_tell(&mut self, ctx: &mut Context<'_>, from: SocketAddr, tell: &Tell) {
        let awaited = self.hosts.get(&from).is_some_and(|host| host.nonce == Some(tell.nonce));
        let Answer::Listing { listing, .. } = tell.answer else {
            return ctx.counters.drop(DropReason::StrayAnswer);
        };
        if !awaited || tell.instance == InstanceId::NONE || tell.instance == self.instance {
            return ctx.counters.drop(DropReason::StrayAnswer);
        }
        self.change(from, |host| {
            host.nonce = None;
            // Once with its cookie, by which it knows that we are there: it tells us of changes then.
            let introduce = host.cookie == Cookie::NONE;
            host.asked = 0;
            host.ask_at = introduce.then_some(ctx.now);
            host.instance = tell.instance;
            host.cookie = tell.cookie;
            host.wanted = Some(listing);
            host.heard_at = ctx.now;
        });
        self.want_listing(ctx, from);
        self.handle_due(ctx);
        self.start_downloads(ctx);
    }

    pub(crate) fn on_farewell(&mut self, ctx: &mut Context<'_>, from: SocketAddr, bye: &Farewell) {
        let instance = InstanceId::of(&bye.secret);
        if self.hosts.get(&from).is_some_and(|host| host.instance == instance) {
            info!("{} leaves", host_text(from));
            return self.forget(ctx, from);
        }
        if instance != self.instance {
            ctx.counters.drop(DropReason::ForgedFarewell);
        }
    }

    /// Somebody who has shown a cookie has a part of a content.
    pub(crate) fn on_hold(&mut self, ctx: &mut Context<'_>, from: SocketAddr, hold: &Hold) {
        if self.hosts.contains_key(&from) {
            self.holdings.hold(ctx.now, from, hold.content, hold.portions);
        }
    }

    /// A packet that may be of a listing.
    pub(crate) fn on_meta(&mut self, ctx: &mut Context<'_>, from: SocketAddr, data: &Data<'_>) {
        let Some(arriving) = self.arriving.iter_mut().find(|arriving| arriving.host == from) else {
            return ctx.counters.drop(DropReason::StrayData);
        };
        let (header, length) = (data.header, data.payload.len() as u64);
        match arriving.flow.arrived(ctx.now, header.nonce, header.offset, length) {
            Ok(piece) => {
                if arriving.download.received(ctx, piece, from, &mut arriving.flow) {
                    // A tracker keeps no names: what has changed is nothing to it without the rest.
                    let Download { id: listing, summary, .. } = &arriving.download;
                    let (listing, digest) = (*listing, summary.digest);
                    ctx.emit(Output::ReadListing { listing, digest, room: ListingRoom::ALL });
                }
            }
            Err(stray) => ctx.counters.drop(stray.into()),
        }
    }

    pub(crate) fn on_refuse(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        nonce: u64,
        reason: RefuseReason,
    ) {
        let place = self.arriving.iter_mut().position(|arriving| {
            arriving.host == from
                && arriving.flow.refused(nonce, reason == RefuseReason::TooLong).is_some()
        });
        let Some(place) = place else { return ctx.counters.drop(DropReason::StrayAnswer) };
        // Its listing is another by now, or our cookie is old: both are told when it is asked.
        self.give_up(ctx, place);
        self.change(from, |host| {
            host.asked = 0;
            host.ask_at = Some(ctx.now + ASKED_AGAIN);
            host.listing_not_before = ctx.now;
        });
    }

    /// The answer to [`Output::ReadListing`].
    pub(crate) fn on_listing_read(
        &mut self,
        ctx: &mut Context<'_>,
        listing: ListingId,
        outcome: &ListingReading,
    ) {
        let place = self.arriving.iter().position(|arriving| arriving.download.id == listing);
        let Some(place) = place else { return };
        let Arriving { host: address, download, .. } = self.arriving.swap_remove(place);
        match outcome {
            ListingReading::Genuine { entries, .. } if self.hosts.contains_key(&address) => {
                debug!("{} has {} files", host_text(address), entries.len());
                let dropped = self.holdings.set(address, entries.iter().map(|entry| entry.content));
                ctx.counters.drop_many(DropReason::TooManyListings, dropped.len() as u64);
                self.unknown.remove(&address);
                self.unknown.extend(dropped);
                self.change(address, |host| host.known = Some(download.summary.digest));
                self.set_listings_failed(address, 0);
            }
            ListingReading::Genuine { .. } => {}
            ListingReading::Bad => {
                ctx.counters.drop(DropReason::BadListing);
                self.listing_failed(ctx, address);
            }
        }
        self.start_downloads(ctx);
    }

    pub(crate) fn deadline(&self) -> Option<Deadline> {
        let mut earliest = Earliest::default();
        earliest.at(self.due.first().map(|&(at, _)| at), "a host is asked or gone");
        earliest.at(self.holdings.deadline(), "an unfinished content was not told again");
        for arriving in &self.arriving {
            arriving.download.deadlines(&mut earliest, &arriving.flow);
        }
        earliest.get()
    }

    pub(crate) fn handle_timeout(&mut self, ctx: &mut Context<'_>) {
        self.handle_due(ctx);
        self.holdings.expire(ctx.now);
        let mut place = 0;
        while let Some(arriving) = self.arriving.get_mut(place) {
            if arriving.download.is_given_up(ctx.now) {
                let host = arriving.host;
                self.give_up(ctx, place);
                self.listing_failed(ctx, host);
            } else {
                arriving.download.pump(ctx, arriving.host, &mut arriving.flow);
                place += 1;
            }
        }
        self.start_downloads(ctx);
    }

    pub(crate) fn check_invariants(&self) {
        assert!(self.hosts.len() <= HOSTS_MAX && self.due.len() == self.hosts.len());
        for (&address, host) in &self.hosts {
            assert!(self.due.contains(&(host.due(), address)), "{address}");
            assert_eq!(self.unknown.contains(&address), !self.holdings.knows(address), "{address}");
        }
        assert!(self.arriving.len() <= DOWNLOADS_MAX);
        for &(failed, waits, address) in &self.waiting {
            let host = self.hosts.get(&address);
            let place = host.map(|host| (host.listings_failed, host.waits));
            assert_eq!(place, Some((failed, Some(waits))), "{address}");
        }
        assert!(self.unknown.len() <= self.hosts.len());
        self.holdings.check_invariants();
    }

    /// Changes what is known of a host, and when it is due.
    fn change(&mut self, address: SocketAddr, change: impl FnOnce(&mut Registered)) {
        if let Some(host) = self.hosts.get_mut(&address) {
            let before = host.due();
            change(host);
            self.due.remove(&(before, address));
            self.due.insert((host.due(), address));
        }
    }

    fn handle_due(&mut self, ctx: &mut Context<'_>) {
        while let Some(&(at, address)) = self.due.first() {
            if at > ctx.now {
                return;
            }
            let Some(host) = self.hosts.get(&address) else { return };
            if host.heard_at + KEPT <= ctx.now {
                info!("{} is gone", host_text(address));
                self.forget(ctx, address);
            } else {
                self.ask(ctx, address);
            }
        }
    }

    /// Asks a host for its listing's digest, if it was not asked often enough.
    fn ask(&mut self, ctx: &mut Context<'_>, address: SocketAddr) {
        let (nonce, instance) = (ctx.random.next_u64(), self.instance);
        let mut question = None;
        self.change(address, |host| {
            let Some(&patience) = PATIENCE.get(host.asked) else {
                host.ask_at = None;
                return;
            };
            let nonce = *host.nonce.get_or_insert(nonce);
            host.asked += 1;
            host.asked_at = ctx.now;
            host.ask_at = Some(ctx.now + patience);
            let cookie = host.cookie;
            question = Some(Ask {
                about: About::Listing { has: ListingDigest::NONE },
                to_many: false,
                tell_hosts: false,
                hosts_from: 0,
                tell_age: false,
                nonce,
                instance,
                cookie,
            });
        });
        if let Some(ask) = question {
            ctx.send(address, &Message::Ask(ask));
        }
    }

    fn forget(&mut self, ctx: &mut Context<'_>, address: SocketAddr) {
        if let Some(host) = self.hosts.remove(&address) {
            self.due.remove(&(host.due(), address));
            if let Some(waits) = host.waits {
                self.waiting.remove(&(host.listings_failed, waits, address));
            }
            self.holdings.forget(address);
            self.unknown.remove(&address);
            if let Some(place) = self.arriving.iter().position(|arriving| arriving.host == address)
            {
                self.give_up(ctx, place);
            }
        }
    }
}
