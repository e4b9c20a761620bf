//! Finding each other: announcing ourselves, and keeping the table of hosts and what they offer.
//!
//! An announcement says little and proves nothing. Whoever hears of a listing that it does not know asks
//! for it by unicast; what enters the directory has come from an address that answered our question, and
//! is what its digest says.

mod announcing;
mod keeping;
mod kept;
pub(crate) mod looking;
mod room;
mod shares;
#[cfg(test)]
mod tests;
pub(super) mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use log::{debug, info};
use serde::{Deserialize, Serialize};

use super::context::{Context, Interfaces};
use super::counters::DropReason;
use super::deadline::{Deadline, Earliest};
use super::directory::{Directory, Disputes, Shown, directory, host_text};
use super::ids::ListingId;
use super::input::ListingReading;
use super::output::Output;
use super::random::Random;
use super::remote::{Read, Remote};
use super::time::Instant;
use crate::wire::{
    Announce, Ask, Data, Farewell, FarewellSecret, InstanceId, ListingDigest, ListingSummary,
    RefuseReason, Tell,
};
use kept::{Kept, KeptHost};
use looking::Looking;
use told::Told;

/// Hosts that are known at once; further ones are dropped, unproven ones first.
pub(crate) const REMOTES_MAX: usize = 1_024;
/// And of them at one IP address, but for loopback and for those that a person named: several hosts may stand behind it.
pub(crate) const REMOTES_EACH: usize = 64;
/// Listings that are fetched at once.
const DOWNLOADS_MAX: usize = 8;
/// And of them from one IP address.
const DOWNLOADS_EACH: usize = 2;
/// How long a host waits before it asks about an announcement: all that heard it would ask at once.
const ASK_JITTER: Duration = Duration::from_millis(30);
/// How long changes are gathered before the directory is made anew,
const DIRECTORY_DELAY: Duration = Duration::from_millis(20);
/// and the least time between two changes of it: a single one shows at once, many do not keep the disk busy.
const DIRECTORY_REST: Duration = Duration::from_secs(1);
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
    told: Told,
    announced: Option<ListingDigest>,
    announce_at: Instant,
    announcements_again: usize,
    /// We have been here for so long that whoever is there has heard of us.
    #[serde(default)]
    is_known: bool,
    turn: u64,
    sweep_at: Instant,
    next_listing: u64,
    shown: BTreeMap<InstanceId, Shown>,
    /// What follows from that, once it was asked for.
    #[serde(skip)]
    directory: Option<Directory>,
    directory_due: Option<Instant>,
    #[serde(default, skip_serializing_if = "Disputes::is_empty")]
    disputes: Disputes,
    /// When it changed last.
    #[serde(default)]
    directory_made: Option<Instant>,
    kept: Kept,
    /// Hosts whose listing is on its way, and some of which it was.
    #[serde(default)]
    downloading: BTreeSet<SocketAddr>,
    /// When we were back after a sleep in which others had to take us for gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    back_at: Option<Instant>,
    /// What the listings of a machine may cost, where not all has room; and whether that is so.
    #[serde(default = "no_limit", skip_serializing_if = "is_no_limit")]
    share: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_cut: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_cut_told: bool,
    /// When the next listing may be fetched that costs more, and whether one waits for that.
    #[serde(default)]
    heavy_at: Instant,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    heavy_waits: bool,
    /// There in one that only looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    looking: Option<Looking>,
}

const fn no_limit() -> u64 {
    u64::MAX
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_no_limit(share: &u64) -> bool {
    *share == u64::MAX
}

/// As it is told.
pub(crate) fn seconds_since(moment: Instant, now: Instant) -> u32 {
    u32::try_from(now.since(moment).as_secs()).unwrap_or(u32::MAX)
}

impl Discovery {
    /// `named` are the hosts that a person named, trackers included.
    pub(crate) fn new<'a>(
        now: Instant,
        named: impl Iterator<Item = &'a SocketAddr>,
        random: &mut Random,
    ) -> Self {
        let secret = FarewellSecret(random.bytes16());
        let named = named.take(REMOTES_MAX / 2);
        let remotes: BTreeMap<_, _> =
            named.map(|&peer| (peer, Remote::new(peer, true, now, random))).collect();
        let mut kept = Kept::default();
        for &address in remotes.keys() {
            kept.set(address, Some(KeptHost { due: Some(now), ..KeptHost::default() }));
        }
        Self {
            secret,
            instance: InstanceId::of(&secret),
            remotes,
            listeners: BTreeMap::new(),
            told: Told::new(),
            announced: None,
            announce_at: now,
            announcements_again: 0,
            is_known: false,
            turn: 0,
            sweep_at: now,
            next_listing: 0,
            shown: BTreeMap::new(),
            directory: None,
            directory_due: None,
            disputes: Disputes::default(),
            directory_made: None,
            kept,
            downloading: BTreeSet::new(),
            back_at: None,
            share: no_limit(),
            is_cut: false,
            is_cut_told: false,
            heavy_at: Instant::ORIGIN,
            heavy_waits: false,
            looking: None,
        }
    }

    pub(crate) const fn instance(&self) -> InstanceId {
        self.instance
    }

    /// For how many seconds we have been here.
    pub(crate) fn age(&self, now: Instant) -> u32 {
        seconds_since(self.back_at.unwrap_or(Instant::ORIGIN), now)
    }

    /// The hosts as the directory shows them.
    pub(crate) const fn shown(&self) -> &BTreeMap<InstanceId, Shown> {
        &self.shown
    }

    /// When that changed last.
    pub(crate) const fn shown_since(&self) -> Option<Instant> {
        self.directory_made
    }

    /// The other hosts that keep in step, as they say, shown or not, each at all its addresses.
    pub(crate) const fn in_step(&self) -> &BTreeSet<(InstanceId, SocketAddr)> {
        self.kept.in_step()
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
            remote.announced(ctx.now, announce, ask_at);
        }
        self.look_at(ctx, from);
    }

    pub(crate) fn on_farewell(&mut self, ctx: &mut Context<'_>, farewell: &Farewell) {
        let instance = InstanceId::of(&farewell.secret);
        let mut anyone = false;
        let leaving: Vec<SocketAddr> = self.kept.addresses_of(instance).collect();
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
        if proven && ask.tell_hosts {
            self.tell_of_others(ctx, from, ask.nonce, ask.hosts_from);
        }
        let is_host = ask.instance != InstanceId::NONE && ask.instance != self.instance;
        if !is_host {
            return;
        }
        // It may not have got our answer yet, and ask no more: then we have to introduce ourselves.
        if !proven {
            return;
        }
        if let Some(remote) = self.remote(ctx, from) {
            remote.introduced(ctx.now);
        }
        let is_tracker = ctx.config.trackers.contains(&from);
        if is_tracker || !ctx.interfaces.is_broadcast_reach(from.ip()) {
            let room = self.listeners.len() < LISTENERS_MAX || self.listeners.contains_key(&from);
            if room {
                self.listeners.insert(from, ctx.now);
            }
        }
        self.look_at(ctx, from);
    }

    /// Whether an answer to a question of ours came: a listing, how long the changes are that lead to it, and whether its host
    /// keeps in step.
    pub(crate) fn on_tell(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        tell: &Tell,
        (listing, changes, in_step): (ListingSummary, u64, bool),
    ) {
        let &Tell { nonce, cookie, instance, age, .. } = tell;
        if self.has_looked() || self.call_answered(ctx, from, nonce) {
            return;
        }
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
        remote.told(ctx, instance, cookie, listing, changes);
        remote.in_step = in_step;
        remote.told_age(ctx.now, age);
        let is_new = before != Some(instance);
        if is_new {
            debug!("{} is here", host_text(from));
            self.directory_changed(ctx);
        }
        let is_looking = self.is_looking();
        let remote = self.remotes.get_mut(&from).expect("it was there above");
        // The answer to a repeated question does not say how long the way is; where that is not known, what is
        // lost of its listing is missed late.
        let is_unmeasured = is_new && remote.measured_round_trip().is_none();
        if !remote.knows_us || is_unmeasured || is_looking && remote.may_ask_of_others(ctx.now) {
            remote.knows_us = true;
            remote.ask(ctx, self.instance);
        }
        self.look_at(ctx, from);
        self.start_downloads(ctx);
    }

    /// A packet that may be of a listing. Whether it was.
    pub(crate) fn on_meta(&mut self, ctx: &mut Context<'_>, from: SocketAddr, data: &Data<'_>) {
        let Some(remote) = self.remotes.get_mut(&from) else {
            return ctx.counters.drop(DropReason::StrayData);
        };
        let (header, length) = (data.header, data.payload.len() as u64);
        match remote.received(ctx, header.nonce, header.offset, length) {
            Err(stray) => ctx.counters.drop(stray.into()),
            Ok(all_is_here) => {
                if let Some(looking) = &mut self.looking {
                    looking.listing_moves(ctx.now);
                }
                if all_is_here {
                    let room = self.room_for(ctx.now, ctx.interfaces, from);
                    self.remotes
                        .get_mut(&from)
                        .into_iter()
                        .for_each(|remote| remote.read(ctx, room));
                }
            }
        }
        self.look_at(ctx, from);
    }

    /// The answer to [`Output::ReadListing`].
    pub(crate) fn on_listing_read(
        &mut self,
        ctx: &mut Context<'_>,
        listing: ListingId,
        outcome: &ListingReading,
    ) {
        let downloading: Vec<SocketAddr> = self.downloading.iter().copied().collect();
        let read = downloading.into_iter().find_map(|address| {
            let remote = self.remotes.get_mut(&address)?;
            Some((address, remote.listing_read(ctx.now, listing, outcome)?))
        });
        // Where there is none, its host is gone or offers something else by now.
        let Some((address, read)) = read else { return };
        if let Some(looking) = &mut self.looking {
            looking.listing_moves(ctx.now);
        }
        match read {
            Read::Bad => ctx.counters.drop(DropReason::BadListing),
            // It is fetched whole at once.
            Read::BadChanges => ctx.counters.drop(DropReason::BadChanges),
            Read::Genuine { refused_names } => {
                ctx.counters.drop_many(DropReason::HostileName, u64::from(refused_names));
                self.keep(ctx.now, ctx.interfaces, address);
                let listed = self.remotes.get(&address).and_then(|remote| remote.listed.as_ref());
                if listed.is_some_and(|listed| listed.weight < listed.whole) {
                    ctx.counters.drop(DropReason::TooManyListings);
                    self.is_cut = true;
                    self.say_that_not_all_has_room();
                }
                self.share_room(ctx);
                self.directory_changed(ctx);
            }
        }
        self.look_at(ctx, address);
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
        self.look_at(ctx, from);
    }

    pub(crate) fn deadline(&self, now: Instant) -> Option<Deadline> {
        let mut earliest = Earliest::default();
        if self.has_looked() {
            return None;
        } else if self.is_looking() {
            self.look_deadline(now, &mut earliest);
        } else {
            earliest.at(Some(self.sweep_at), "the sweep");
            earliest.at(Some(self.announce_at), "an announcement");
        }
        earliest.at(self.directory_due, "the directory is made anew");
        earliest.at(self.heavy_due(now), "more of what lists too much may be fetched");
        earliest.at(self.kept.first_due(), "something is due at a host");
        earliest.get()
    }

    pub(crate) fn handle_timeout(&mut self, ctx: &mut Context<'_>, listing: ListingSummary) {
        match () {
            () if self.has_looked() => return,
            () if self.is_looking() => self.look_on(ctx),
            () => self.announce_due(ctx, listing),
        }
        self.see_to_hosts(ctx);
        self.start_downloads(ctx);
        let now = ctx.now;
        self.listeners.retain(|_, asked_at| now.since(*asked_at) < LISTENER_KEPT);
        if self.directory_due.is_some_and(|due| due <= ctx.now) {
            self.directory_due = None;
            self.make_directory(ctx);
        }
        if self.sweep_at <= ctx.now && !self.is_looking() {
            self.sweep(ctx);
        }
    }

    pub(crate) fn check_invariants(&self, now: Instant, interfaces: &Interfaces) {
        self.check_kept(now, interfaces);
        assert!(self.remotes.len() <= REMOTES_MAX);
        assert!(self.listeners.len() <= LISTENERS_MAX);
        let downloads = self.remotes.values().filter(|remote| remote.is_downloading()).count();
        assert!(downloads <= DOWNLOADS_MAX);
        self.remotes.values().for_each(Remote::check_invariants);
    }

    /// The table's entry for an address, made if there is room.
    fn remote(&mut self, ctx: &mut Context<'_>, address: SocketAddr) -> Option<&mut Remote> {
        if !self.knows(address) && !self.make_room(ctx, address) {
            return None;
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
                self.look_at(ctx, address);
            } else {
                self.remove(ctx, address);
            }
            self.directory_changed(ctx);
        }
    }

    fn remove(&mut self, ctx: &mut Context<'_>, address: SocketAddr) {
        if let Some(mut remote) = self.remotes.remove(&address) {
            remote.stop_download(ctx);
            self.kept.set(address, None);
        }
    }

    fn directory_changed(&mut self, ctx: &Context<'_>) {
        if self.is_looking() {
            return;
        }
        let rested = self.directory_made.map_or(ctx.now, |made| made + DIRECTORY_REST);
        let due = rested.max(ctx.now + DIRECTORY_DELAY);
        self.directory_due = Some(self.directory_due.map_or(due, |known| known.min(due)));
    }

    fn make_directory(&mut self, ctx: &mut Context<'_>) {
        let (visible, due, disputed) = self.disputes.shown(&self.remotes, &self.shown, ctx.now);
        self.directory_due = due;
        for address in disputed {
            if let Some(remote) = self.remotes.get_mut(&address) {
                remote.ask_by(ctx.now);
            }
            self.look_at(ctx, address);
        }
        if visible != self.shown {
            self.shown = visible;
            self.directory = None;
            self.directory_made = Some(ctx.now);
            self.sweep(ctx);
        }
    }

    fn sweep(&mut self, ctx: &mut Context<'_>) {
        self.share_room(ctx);
        let hosts = self.directory.get_or_insert_with(|| directory(&self.shown));
        ctx.emit(Output::Directory { hosts: hosts.clone() });
        self.sweep_at = ctx.now + ctx.config.sweep;
    }
}
