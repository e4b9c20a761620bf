//! Finding each other: announcing ourselves, and keeping the table of hosts and what they offer.
//!
//! An announcement says little and proves nothing. Whoever hears of a listing that it does not know asks
//! for it by unicast; what enters the directory has come from an address that answered our question, and
//! is what its digest says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use log::{debug, info};
use serde::{Deserialize, Serialize};

use super::context::{Context, Interfaces, Ways};
use super::counters::DropReason;
use super::deadline::{Deadline, Earliest};
use super::directory::{
    HostFiles, Shown, bound_listings, differences, discovered_files, host_text, shown,
};
use super::ids::ListingId;
use super::input::ListingReading;
use super::listed::Listed;
use super::output::Output;
use super::random::Random;
use super::remote::{Read, Remote};
use super::time::Instant;
use crate::wire::listing::ListingEntry;
use crate::wire::{
    Announce, Ask, Cookie, Data, Farewell, FarewellSecret, InstanceId, ListingDigest,
    ListingSummary, Message, RefuseReason,
};

/// Hosts that are known at once; further ones are dropped, unproven ones first.
pub(crate) const REMOTES_MAX: usize = 1_024;
/// Listings that are fetched at once.
const DOWNLOADS_MAX: usize = 8;
/// And of them from one IP address.
const DOWNLOADS_EACH: usize = 2;
/// How often a host announces itself when nothing changes; shortened by up to a fifth by chance, so that
/// hosts do not fall into step.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(5);
/// After the start and after a change, announcements are repeated, because broadcasts get lost.
const ANNOUNCE_AGAIN: [Duration; 2] = [Duration::from_millis(400), Duration::from_millis(1_200)];
/// How long a host waits before it asks about an announcement: all that heard it would ask at once.
const ASK_JITTER: Duration = Duration::from_millis(30);
/// How long changes are gathered before the directory is made anew, and how much longer for each file.
const DIRECTORY_DELAY: Duration = Duration::from_millis(20);
const DIRECTORY_DELAY_EACH: Duration = Duration::from_micros(10);
/// Hosts beyond the reach of broadcasts that are told of changes one by one.
const LISTENERS_MAX: usize = 64;
/// For how long after its last question such a host is told.
const LISTENER_KEPT: Duration = Duration::from_secs(30);

/// Who is on the network.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Discovery {
    secret: FarewellSecret,
    instance: InstanceId,
    pub(super) remotes: BTreeMap<SocketAddr, Remote>,
    listeners: BTreeMap<SocketAddr, Instant>,
    announced: Option<ListingDigest>,
    announce_at: Instant,
    announcements_again: usize,
    turn: u64,
    sweep_at: Instant,
    next_listing: u64,
    shown: BTreeMap<InstanceId, Shown>,
    directory: Arc<str>,
    directory_due: Option<Instant>,
}

impl Discovery {
    pub(crate) fn new(now: Instant, peers: &[SocketAddr], random: &mut Random) -> Self {
        let secret = FarewellSecret(random.bytes16());
        let peers = peers.iter().take(REMOTES_MAX / 2);
        Self {
            secret,
            instance: InstanceId::of(&secret),
            remotes: peers.map(|&peer| (peer, Remote::new(peer, true, now, random))).collect(),
            listeners: BTreeMap::new(),
            announced: None,
            announce_at: now,
            announcements_again: 0,
            turn: 0,
            sweep_at: now,
            next_listing: 0,
            shown: BTreeMap::new(),
            directory: "[]".into(),
            directory_due: None,
        }
    }

    pub(crate) const fn instance(&self) -> InstanceId {
        self.instance
    }

    /// Whether this address is that of a host whose answers or listing we await.
    pub(crate) fn knows(&self, address: SocketAddr) -> bool {
        self.remotes.contains_key(&address)
    }

    pub(crate) fn on_announce(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        announce: &Announce,
    ) {
        if announce.instance == self.instance {
            return ctx.counters.drop(DropReason::Ourselves);
        }
        if !self.knows(from) && !ctx.interfaces.is_on_link(from.ip()) {
            return ctx.counters.drop(DropReason::OffLink);
        }
        let ask_at = if self.remotes.get(&from).is_some_and(Remote::is_proven) {
            ctx.now
        } else {
            ctx.soon(ASK_JITTER)
        };
        if let Some(remote) = self.remote(ctx, from) {
            remote.announced(ctx.now, announce.instance, announce.listing, ask_at);
        }
        self.ask_due(ctx);
    }

    pub(crate) fn on_farewell(&mut self, ctx: &mut Context<'_>, farewell: &Farewell) {
        let instance = InstanceId::of(&farewell.secret);
        let mut anyone = false;
        let leaving =
            self.remotes.iter_mut().filter(|(_, remote)| remote.instance == Some(instance));
        let leaving: Vec<SocketAddr> = leaving.map(|(&address, _)| address).collect();
        for address in leaving {
            anyone = true;
            info!("{} leaves", host_text(address));
            self.forget(ctx, address);
        }
        if !anyone && instance != self.instance {
            ctx.counters.drop(DropReason::ForgedFarewell);
        }
    }

    /// Somebody asked about our listing. With a proof that it receives where it asks from, that is a
    /// host that we ought to know.
    pub(crate) fn on_ask(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        ask: &Ask,
        proven: bool,
    ) {
        let is_host = ask.instance != InstanceId::NONE && ask.instance != self.instance;
        if !is_host {
            return;
        }
        if let Some(remote) = self.remotes.get_mut(&from) {
            remote.knows_us = true;
        }
        if !proven {
            return;
        }
        if let Some(remote) = self.remote(ctx, from) {
            remote.introduced(ctx.now);
        }
        if !ctx.interfaces.is_broadcast_reach(from.ip()) {
            let room = self.listeners.len() < LISTENERS_MAX || self.listeners.contains_key(&from);
            if room {
                self.listeners.insert(from, ctx.now);
            }
        }
        self.ask_due(ctx);
    }

    /// Whether an answer to a question of ours came.
    pub(crate) fn on_tell(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        nonce: u64,
        instance: InstanceId,
        cookie: Cookie,
        listing: ListingSummary,
    ) {
        let Some(remote) = self.remotes.get_mut(&from).filter(|remote| remote.awaits(nonce)) else {
            return ctx.counters.drop(DropReason::StrayAnswer);
        };
        if instance == self.instance {
            self.remove(ctx, from);
            return ctx.counters.drop(DropReason::Ourselves);
        } else if instance == InstanceId::NONE {
            return ctx.counters.drop(DropReason::StrayAnswer);
        }
        let before = remote.instance;
        remote.told(ctx, instance, cookie, listing);
        if before != Some(instance) {
            debug!("{} is here", host_text(from));
            self.directory_changed(ctx);
        }
        let remote = self.remotes.get_mut(&from).expect("it was there above");
        if !remote.knows_us {
            remote.knows_us = true;
            remote.ask(ctx, self.instance);
        }
        self.start_downloads(ctx);
    }

    /// A packet that may be of a listing. Whether it was.
    pub(crate) fn on_meta(&mut self, ctx: &mut Context<'_>, from: SocketAddr, data: &Data<'_>) {
        let Some(remote) = self.remotes.get_mut(&from) else {
            return ctx.counters.drop(DropReason::StrayData);
        };
        let (header, length) = (data.header, data.payload.len() as u64);
        if let Err(stray) = remote.received(ctx, header.nonce, header.offset, length) {
            ctx.counters.drop(stray.into());
        }
    }

    /// The answer to [`Output::ReadListing`].
    pub(crate) fn on_listing_read(
        &mut self,
        ctx: &mut Context<'_>,
        listing: ListingId,
        outcome: &ListingReading,
    ) {
        let mut remotes = self.remotes.values_mut();
        match remotes.find_map(|remote| remote.listing_read(ctx.now, listing, outcome)) {
            // Its host is gone, or offers something else by now.
            None => return,
            Some(Read::Bad) => ctx.counters.drop(DropReason::BadListing),
            Some(Read::Genuine { refused_names }) => {
                ctx.counters.drop_many(DropReason::HostileName, u64::from(refused_names));
                let dropped = bound_listings(&mut self.remotes, ctx.now);
                ctx.counters.drop_many(DropReason::TooManyListings, dropped);
                self.directory_changed(ctx);
            }
        }
        self.start_downloads(ctx);
    }

    pub(crate) fn on_refuse(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        nonce: u64,
        reason: RefuseReason,
    ) {
        let ours =
            self.remotes.get_mut(&from).is_some_and(|remote| remote.refused(ctx, nonce, reason));
        if !ours {
            ctx.counters.drop(DropReason::StrayAnswer);
        }
        self.ask_due(ctx);
    }

    pub(crate) fn deadline(&self, now: Instant, interfaces: &Interfaces) -> Option<Deadline> {
        let mut earliest = Earliest::default();
        earliest.at(Some(self.sweep_at), "the sweep");
        earliest.at(Some(self.announce_at), "an announcement");
        earliest.at(self.directory_due, "the directory is made anew");
        for (address, remote) in &self.remotes {
            let out_of_reach = remote.is_out_of_reach(*address, interfaces);
            earliest.consider(remote.deadline(now, out_of_reach));
        }
        earliest.get()
    }

    pub(crate) fn handle_timeout(&mut self, ctx: &mut Context<'_>, listing: ListingSummary) {
        self.announce_due(ctx, listing);
        let gone: Vec<SocketAddr> = self
            .remotes
            .iter()
            .filter(|(_, remote)| !remote.configured || remote.is_proven())
            .filter(|(_, remote)| remote.gone_at() <= ctx.now)
            .map(|(&address, _)| address)
            .collect();
        for address in gone {
            if self.remotes.get(&address).is_some_and(Remote::is_proven) {
                info!("{} is gone", host_text(address));
            }
            self.forget(ctx, address);
        }
        self.ask_due(ctx);
        for remote in self.remotes.values_mut() {
            remote.handle_timeout(ctx);
        }
        self.start_downloads(ctx);
        let now = ctx.now;
        self.listeners.retain(|_, asked_at| now.since(*asked_at) < LISTENER_KEPT);
        if self.directory_due.is_some_and(|due| due <= ctx.now) {
            self.directory_due = None;
            self.make_directory(ctx);
        }
        if self.sweep_at <= ctx.now {
            self.sweep(ctx);
        }
    }

    /// Tells everybody that we leave.
    pub(crate) fn say_farewell(&self, ctx: &mut Context<'_>) {
        let farewell = Message::Farewell(Farewell { secret: self.secret });
        ctx.send_to_all(&farewell, Ways::ALL);
        for (&address, remote) in &self.remotes {
            if remote.is_proven() {
                ctx.send(address, &farewell);
            }
        }
    }

    pub(crate) fn check_invariants(&self) {
        assert!(self.remotes.len() <= REMOTES_MAX);
        assert!(self.listeners.len() <= LISTENERS_MAX);
        let downloads = self.remotes.values().filter(|remote| remote.is_downloading()).count();
        assert!(downloads <= DOWNLOADS_MAX);
        self.remotes.values().for_each(Remote::check_invariants);
    }

    /// The table's entry for an address, made if there is room.
    fn remote(&mut self, ctx: &mut Context<'_>, address: SocketAddr) -> Option<&mut Remote> {
        if !self.knows(address) && self.remotes.len() >= REMOTES_MAX {
            let oldest = self
                .remotes
                .iter()
                .filter(|(_, remote)| !remote.is_proven() && !remote.configured)
                .min_by_key(|(_, remote)| remote.heard_at())
                .map(|(&oldest, _)| oldest);
            ctx.counters.drop(DropReason::TooManyHosts);
            self.remove(ctx, oldest?);
        }
        let (now, random) = (ctx.now, &mut *ctx.random);
        Some(
            self.remotes.entry(address).or_insert_with(|| Remote::new(address, false, now, random)),
        )
    }

    fn forget(&mut self, ctx: &mut Context<'_>, address: SocketAddr) {
        if let Some(remote) = self.remotes.get_mut(&address) {
            if remote.configured {
                remote.forget(ctx);
            } else {
                self.remove(ctx, address);
            }
            self.directory_changed(ctx);
        }
    }

    fn remove(&mut self, ctx: &mut Context<'_>, address: SocketAddr) {
        if let Some(mut remote) = self.remotes.remove(&address) {
            remote.stop_download(ctx);
        }
    }

    /// Announces our listing if it is another one or if it is time.
    pub(crate) fn announce_due(&mut self, ctx: &mut Context<'_>, listing: ListingSummary) {
        let changed = self.announced != Some(listing.digest);
        if !changed && ctx.now < self.announce_at {
            return;
        }
        let message = Message::Announce(Announce { instance: self.instance, listing });
        if changed {
            self.announced = Some(listing.digest);
            self.announcements_again = 0;
            for &listener in self.listeners.keys() {
                ctx.send(listener, &message);
            }
        }
        let again = ANNOUNCE_AGAIN.get(self.announcements_again).copied();
        self.announcements_again += 1;
        if changed || again.is_some() {
            ctx.send_to_all(&message, Ways::ALL);
        } else {
            self.turn += 1;
            ctx.send_to_all(&message, Ways::in_turn(self.turn));
        }
        let until_next = again.unwrap_or(ANNOUNCE_EVERY - ctx.random.jitter(ANNOUNCE_EVERY / 5));
        self.announce_at = ctx.now + until_next;
    }

    fn ask_due(&mut self, ctx: &mut Context<'_>) {
        for (address, remote) in &mut self.remotes {
            let out_of_reach = remote.is_out_of_reach(*address, ctx.interfaces);
            if remote.is_question_due(ctx.now, out_of_reach) {
                remote.ask(ctx, self.instance);
            }
        }
    }

    /// Fetches listings that are wanted, as many at once as may be; one that the same host has already
    /// given from another of its addresses is not fetched again.
    fn start_downloads(&mut self, ctx: &mut Context<'_>) {
        let mut missing: Vec<(SocketAddr, ListingSummary)> = self
            .remotes
            .iter()
            .filter_map(|(&address, remote)| Some((address, remote.missing_listing(ctx.now)?)))
            .collect();
        // Who has kept us waiting before comes last.
        missing.sort_by_key(|(address, _)| {
            self.remotes.get(address).map_or(0, |remote| remote.listings_failed())
        });
        for (address, summary) in missing {
            let instance = self.remotes.get(&address).and_then(|remote| remote.instance);
            let known = self.remotes.values().find_map(|other| {
                let listed = other.listed.as_ref()?;
                (other.instance == instance && listed.digest == summary.digest).then_some(listed)
            });
            if let Some(listed) = known.cloned().or_else(|| Listed::empty(summary)) {
                if let Some(remote) = self.remotes.get_mut(&address) {
                    remote.set_listed(listed);
                }
                self.directory_changed(ctx);
                continue;
            }
            let running = self.remotes.values().filter(|remote| remote.is_downloading()).count();
            if running >= DOWNLOADS_MAX {
                break;
            }
            // One machine with many ports does not get all the turns.
            let beside = self
                .remotes
                .iter()
                .filter(|(other, remote)| other.ip() == address.ip() && remote.is_downloading());
            if beside.count() >= DOWNLOADS_EACH {
                continue;
            }
            if let Some(remote) = self.remotes.get_mut(&address) {
                let listing = ListingId(self.next_listing);
                self.next_listing += 1;
                remote.start_download(ctx, listing, summary);
            }
        }
    }

    fn directory_changed(&mut self, ctx: &Context<'_>) {
        let files: usize = self
            .remotes
            .values()
            .filter_map(|remote| Some(remote.listed.as_ref()?.entries.len()))
            .sum();
        let each = DIRECTORY_DELAY_EACH * u32::try_from(files).unwrap_or(u32::MAX);
        self.directory_due.get_or_insert(ctx.now + DIRECTORY_DELAY + each);
    }

    fn make_directory(&mut self, ctx: &mut Context<'_>) {
        let visible = shown(&self.remotes);
        let nothing: Arc<[ListingEntry]> = Arc::from([]);
        for instance in
            self.shown.keys().chain(visible.keys().filter(|new| !self.shown.contains_key(new)))
        {
            let old = self.shown.get(instance);
            let new = visible.get(instance);
            let entries_of = |shown: Option<&Shown>| {
                shown.map_or_else(|| Arc::clone(&nothing), |shown| Arc::clone(&shown.entries))
            };
            let (before, after) = (entries_of(old), entries_of(new));
            if Arc::ptr_eq(&before, &after) {
                continue;
            }
            for (appeared, entry) in differences(&before, &after) {
                let shown = if appeared { new.or(old) } else { old.or(new) };
                let Some(shown) = shown else { continue };
                ctx.emit(Output::Discovered {
                    appeared,
                    host: host_text(shown.address),
                    content: entry.content,
                    size: entry.size,
                    name: entry.name.clone(),
                });
            }
        }
        let hosts: Vec<HostFiles<'_>> = visible
            .values()
            .map(|shown| HostFiles { host: shown.address, entries: &shown.entries })
            .collect();
        let directory = discovered_files(&hosts);
        self.shown = visible;
        if directory != self.directory {
            self.directory = directory;
            self.sweep(ctx);
        }
    }

    fn sweep(&mut self, ctx: &mut Context<'_>) {
        ctx.emit(Output::Directory { discovered_files: Arc::clone(&self.directory) });
        self.sweep_at = ctx.now + ctx.config.sweep;
    }
}
