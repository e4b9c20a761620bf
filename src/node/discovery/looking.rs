//! Looking the network over without being a host: everybody is called on every way, whoever answers is asked
//! and its listing fetched as a host would. It announces nothing and keeps no directory, and it is over
//! when nothing more is to be expected.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::told::Told;
use super::{DOWNLOADS_MAX, Discovery};
use crate::node::context::{Context, Interfaces, Ways};
use crate::node::counters::DropReason;
use crate::node::deadline::Earliest;
use crate::node::directory::preference;
use crate::node::output::Output;
use crate::node::random::Random;
use crate::node::remote::Remote;
use crate::node::time::Instant;
use crate::wire::listing::ListingEntries;
use crate::wire::{About, Ask, Cookie, InstanceId, ListingDigest, Message};

/// When everybody is called, from the beginning on: broadcasts get lost.
const CALLS: [Duration; 3] =
    [Duration::ZERO, Duration::from_millis(150), Duration::from_millis(400)];
/// For so long after the last call, and after the last host that was new, another may answer.
const QUIET: Duration = Duration::from_millis(350);
/// For so long somebody is waited for where nobody answers, and so long for each who was named.
const PATIENCE: Duration = Duration::from_secs(1);
/// A listing that is refused because it has just changed is asked for again within this time.
const LISTING_AGAIN: Duration = Duration::from_millis(300);

/// For so long after the last byte of a listing, from whomever, and a host's round trip twice, more may come of it.
const LISTING_SILENT: Duration = Duration::from_secs(1);

/// How a host was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// It answered a broadcast.
    Broadcast,
    /// It answered a datagram to the IPv4 group.
    MulticastV4,
    /// It answered a datagram to the IPv6 group.
    MulticastV6,
    /// It answered on this machine's own address.
    Loopback,
    /// Somebody named it.
    Named,
    /// Another host told of it: a tracker, or one that was named.
    Told,
}

impl Way {
    const CALLED: [(Self, Ways); 3] = {
        let none = Ways {
            broadcast: false,
            group_v4: false,
            group_v4_alone: false,
            group_v6: false,
            group_v6_alone: false,
        };
        [
            (Self::Broadcast, Ways { broadcast: true, ..none }),
            (Self::MulticastV4, Ways { group_v4: true, ..none }),
            (Self::MulticastV6, Ways { group_v6: true, ..none }),
        ]
    };
}

/// A host that a look has found. It has answered a question of ours at each of its addresses.
#[derive(Clone, Debug)]
pub struct HostSeen {
    /// Which run of it.
    pub instance: InstanceId,
    /// Where, the preferred address first; never empty.
    pub addresses: Vec<AddressSeen>,
    /// None, where its listing did not come.
    entries: Option<ListingEntries>,
    /// For how long it has been there, as it says; none, where it does not.
    pub age: Option<Duration>,
}

impl HostSeen {
    /// What it offers; none, where its listing did not come.
    pub const fn files(&self) -> Option<&ListingEntries> {
        self.entries.as_ref()
    }
}

/// One address of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressSeen {
    /// The address.
    pub host: SocketAddr,
    /// Whether it is one of this machine's.
    pub is_here: bool,
    /// How it was reached.
    pub ways: BTreeSet<Way>,
    /// How long question and answer took; none, where it was not measured.
    pub round_trip: Option<Duration>,
}

/// A look, and how far it is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Looking {
    began_at: Instant,
    /// The caller's patience ends.
    ends_at: Instant,
    calls: usize,
    /// The calls' nonces: who knows one was reached on its way.
    nonces: BTreeMap<u64, Way>,
    reached: BTreeMap<SocketAddr, BTreeSet<Way>>,
    /// When somebody answered who was not known.
    newest_at: Option<Instant>,
    /// When something of a listing last came, or one was asked for that had not been before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    moved_at: Option<Instant>,
    /// Whose listing was asked for.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    asked: BTreeSet<SocketAddr>,
    is_over: bool,
}

impl Looking {
    fn new(now: Instant, patience: Duration) -> Self {
        Self {
            began_at: now,
            ends_at: now + patience,
            calls: 0,
            nonces: BTreeMap::new(),
            reached: BTreeMap::new(),
            newest_at: None,
            moved_at: None,
            asked: BTreeSet::new(),
            is_over: false,
        }
    }

    fn call_at(&self) -> Option<Instant> {
        CALLS.get(self.calls).map(|&after| self.began_at + after)
    }

    /// Something of a listing has come.
    pub(super) const fn listing_moves(&mut self, now: Instant) {
        self.moved_at = Some(now);
    }

    /// A listing is asked for; who refuses it, and is asked again, gains no time by that.
    pub(super) fn listing_asked(&mut self, now: Instant, address: SocketAddr) {
        if self.asked.insert(address) {
            self.moved_at = Some(now);
        }
    }

    /// Calls on each way under a nonce of its own.
    fn call(&mut self, ctx: &mut Context<'_>) {
        self.calls += 1;
        let mut ask = |way: Way, ctx: &mut Context<'_>| {
            let nonce = ctx.random.next_u64();
            self.nonces.insert(nonce, way);
            let (instance, cookie) = (InstanceId::NONE, Cookie::NONE);
            Message::Ask(Ask {
                about: About::Listing { has: ListingDigest::NONE },
                to_many: true,
                tell_hosts: false,
                hosts_from: 0,
                tell_age: false,
                nonce,
                instance,
                cookie,
            })
        };
        for (way, ways) in Way::CALLED {
            let message = ask(way, ctx);
            ctx.send_to_all(&message, ways);
        }
        // A peer on this machine hears no broadcast where there is no network.
        let loopback = SocketAddr::new(IpAddr::from([127, 0, 0, 1]), ctx.config.default_port);
        let message = ask(Way::Loopback, ctx);
        ctx.send(loopback, &message);
    }
}

impl Discovery {
    /// One that looks for `patience` at most and is no host.
    pub(crate) fn looking<'a>(
        now: Instant,
        named: impl Iterator<Item = &'a SocketAddr>,
        random: &mut Random,
        patience: Duration,
    ) -> Self {
        let mut discovery = Self::new(now, named, random);
        discovery.instance = InstanceId::NONE;
        discovery.told = Told::of_look();
        // Who is no host does not introduce itself.
        discovery.remotes.values_mut().for_each(|remote| remote.knows_us = true);
        discovery.looking = Some(Looking::new(now, patience));
        discovery
    }

    pub(super) const fn is_looking(&self) -> bool {
        self.looking.is_some()
    }

    /// Whether this was a look, and it is over.
    pub(super) fn has_looked(&self) -> bool {
        self.looking.as_ref().is_some_and(|looking| looking.is_over)
    }

    /// Takes an answer to a call. Everybody hears a call, so anybody could have answered it: who it says it
    /// comes from is asked what only that address hears. Whether it was one.
    pub(super) fn call_answered(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        nonce: u64,
    ) -> bool {
        let way = self.looking.as_ref().and_then(|looking| looking.nonces.get(&nonce)).copied();
        let Some(way) = way else { return false };
        let is_known = self.knows(from);
        if !is_known && !ctx.interfaces.is_on_link(from.ip()) {
            ctx.counters.drop(DropReason::OffLink);
            return true;
        }
        let Some(remote) = self.remote(ctx, from) else { return true };
        remote.answered_call(ctx.now);
        if let Some(looking) = &mut self.looking {
            if !is_known {
                looking.newest_at = Some(ctx.now);
            }
            looking.reached.entry(from).or_default().insert(way);
            // Those who had to make room for others are not shown either.
            looking.reached.retain(|address, _| self.remotes.contains_key(address));
        }
        self.look_at(ctx, from);
        true
    }

    /// Calls where it is time to, and ends where nothing more is to be expected.
    pub(super) fn look_on(&mut self, ctx: &mut Context<'_>) {
        let until = self.expects_until(ctx.now);
        let Some(looking) = &mut self.looking else { return };
        if looking.call_at().is_some_and(|at| at <= ctx.now) {
            looking.call(ctx);
        } else if until.is_some_and(|until| until <= ctx.now) {
            looking.is_over = true;
            self.remotes.values_mut().for_each(|remote| remote.stop_download(ctx));
            self.look_at_all(ctx);
            ctx.emit(Output::LookEnded);
        }
    }

    pub(super) fn look_deadline(&self, now: Instant, earliest: &mut Earliest) {
        let call_at = self.looking.as_ref().and_then(Looking::call_at);
        earliest.at(call_at, "everybody is called");
        if call_at.is_none() {
            // Whose listing was given up just now may have been the last that was waited for.
            let until = self.expects_until(now).map(|at| at.max(now + Duration::from_micros(1)));
            earliest.at(until, "nothing more is expected of a look");
        }
    }

    /// Until when something may still be learned, as it looks now.
    fn expects_until(&self, now: Instant) -> Option<Instant> {
        let looking = self.looking.as_ref().filter(|looking| !looking.is_over)?;
        let at_least = match looking.newest_at {
            Some(newest_at) => (newest_at + QUIET).max(looking.began_at + CALLS[2] + QUIET),
            None => looking.began_at + PATIENCE,
        };
        let of_each = self.remotes.values().map(|remote| {
            let is_missing = remote.missing_listing(now + LISTING_AGAIN).is_some()
                && remote.listings_failed() == 0;
            match () {
                () if remote.is_reading() => looking.ends_at,
                () if is_missing && self.downloading.len() >= DOWNLOADS_MAX => looking.ends_at,
                () if is_missing || remote.is_downloading() => {
                    let moved_at = looking.moved_at.max(looking.newest_at);
                    let trip = remote.measured_round_trip().unwrap_or_default();
                    moved_at.unwrap_or(looking.began_at) + LISTING_SILENT + trip * 2
                }
                // Of whom it tells is asked next; if that is lost, once more.
                () if remote.tells_more() => {
                    remote.others_due().map_or(looking.ends_at, |due| due + PATIENCE)
                }
                () if remote.is_proven() => looking.began_at,
                () if remote.configured => looking.began_at + PATIENCE,
                () => remote.heard_at() + QUIET,
            }
        });
        Some(of_each.fold(at_least, Instant::max).min(looking.ends_at))
    }

    /// The hosts that were found, each with all its addresses; by their preferred addresses.
    pub(crate) fn hosts_seen(&self, now: Instant, interfaces: &Interfaces) -> Vec<HostSeen> {
        // Two that say to be one host and list different files are two.
        let mut hosts: BTreeMap<_, Vec<(SocketAddr, &Remote)>> = BTreeMap::new();
        for (&address, remote) in self.remotes.iter().filter(|(_, remote)| remote.is_proven()) {
            if let Some(instance) = remote.instance {
                let digest = remote.listed.as_ref().map(|listed| listed.digest);
                hosts.entry((instance, digest)).or_default().push((address, remote));
            }
        }
        let listing: BTreeSet<InstanceId> =
            hosts.keys().filter_map(|(instance, digest)| digest.map(|_| *instance)).collect();
        let bare: Vec<_> = hosts
            .keys()
            .filter(|(instance, digest)| digest.is_none() && listing.contains(instance))
            .copied()
            .collect();
        for key in bare {
            let remotes = hosts.remove(&key).unwrap_or_default();
            let listed = hosts.range_mut(key..).find(|((instance, _), _)| *instance == key.0);
            listed.into_iter().for_each(|(_, host)| host.extend(&remotes));
        }
        let mut seen: Vec<HostSeen> = hosts
            .into_iter()
            .map(|((instance, _), mut remotes)| {
                remotes.sort_by_key(|&(address, _)| preference(address));
                let listed = remotes.iter().find_map(|(_, remote)| remote.listed.as_ref());
                let entries = listed.map(|listed| listed.entries.clone());
                let addresses = remotes
                    .iter()
                    .map(|(address, remote)| self.address_seen(*address, remote, interfaces))
                    .collect();
                let age = remotes.iter().filter_map(|(_, remote)| remote.age(now)).max();
                HostSeen { instance, addresses, entries, age }
            })
            .collect();
        seen.sort_by_key(|host| host.addresses.first().map(|first| preference(first.host)));
        seen
    }

    fn address_seen(
        &self,
        host: SocketAddr,
        remote: &Remote,
        interfaces: &Interfaces,
    ) -> AddressSeen {
        let reached = self.looking.as_ref().and_then(|looking| looking.reached.get(&host));
        let mut ways = reached.cloned().unwrap_or_default();
        if remote.configured {
            ways.insert(Way::Named);
        } else if ways.is_empty() {
            ways.insert(Way::Told);
        }
        let is_here = interfaces.is_own(host.ip());
        AddressSeen { host, is_here, ways, round_trip: remote.measured_round_trip() }
    }
}
