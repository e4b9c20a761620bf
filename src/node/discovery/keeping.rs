//! The table of hosts, kept without going through all of it each time that one of them is heard: when something is
//! due at a host, who is to be asked, whose listing is fetched, and whose addresses are spare.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use log::info;

use super::kept::KeptHost;
use super::{DOWNLOADS_EACH, DOWNLOADS_MAX, Discovery};
use crate::node::context::{Context, Interfaces};
use crate::node::directory::host_text;
use crate::node::ids::ListingId;
use crate::node::listed::Listed;
use crate::node::remote::Remote;
use crate::node::time::Instant;
use crate::wire::{InstanceId, ListingDigest};

/// What is to be kept of a host.
fn as_it_is(
    address: SocketAddr,
    remote: &Remote,
    now: Instant,
    interfaces: &Interfaces,
) -> KeptHost {
    let due = remote.deadline(now, remote.is_out_of_reach(address, interfaces));
    KeptHost {
        due: due.map(|due| due.at),
        instance: remote.instance,
        in_step: remote.in_step,
        lacks: remote.lacks_listing().then(|| remote.listings_failed()),
        weight: remote.listed.as_ref().map_or(0, |listed| listed.weight),
    }
}

impl Discovery {
    /// Something has changed at a host: it is asked if that is due, and we wake when it wants us to. To be
    /// called by whatever changes one.
    pub(super) fn look_at(&mut self, ctx: &mut Context<'_>, address: SocketAddr) {
        self.ask_if_due(ctx, address);
        self.keep(ctx.now, ctx.interfaces, address);
    }

    /// The same of all of them, who are not asked by it.
    pub(super) fn look_at_all(&mut self, ctx: &Context<'_>) {
        for address in self.remotes.keys().copied().collect::<Vec<_>>() {
            self.keep(ctx.now, ctx.interfaces, address);
        }
    }

    /// We may have other addresses now: who is asked when may have changed.
    pub(crate) fn interfaces_changed(&mut self, now: Instant) {
        for &address in self.remotes.keys() {
            let host = self.kept.get(address).unwrap_or_default();
            let due = host.due.map_or(now, |due| due.min(now));
            self.kept.set(address, Some(KeptHost { due: Some(due), ..host }));
        }
    }

    /// Notes what has become of a host.
    pub(super) fn keep(&mut self, now: Instant, interfaces: &Interfaces, address: SocketAddr) {
        let remote = self.remotes.get(&address);
        self.kept.set(address, remote.map(|remote| as_it_is(address, remote, now, interfaces)));
        if remote.is_some_and(Remote::is_downloading) {
            self.downloading.insert(address);
        }
    }

    pub(super) fn check_kept(&self, now: Instant, interfaces: &Interfaces) {
        assert_eq!(self.kept.len(), self.remotes.len());
        for (&address, remote) in &self.remotes {
            let (is, kept) = (as_it_is(address, remote, now, interfaces), self.kept.get(address));
            let kept = kept.expect("each is kept");
            let in_time = is.due.is_none_or(|due| kept.due.is_some_and(|kept| kept <= due));
            let same = KeptHost { due: None, ..is } == KeptHost { due: None, ..kept };
            assert!(in_time && same, "{address}: {is:?} {kept:?}");
            assert!(!remote.is_downloading() || self.downloading.contains(&address), "{address}");
        }
    }

    /// Sees to the hosts at which something is due.
    pub(super) fn see_to_hosts(&mut self, ctx: &mut Context<'_>) {
        let mut due = self.kept.due_by(ctx.now);
        let gone: Vec<SocketAddr> = due
            .iter()
            .filter_map(|address| Some((address, self.remotes.get(address)?)))
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
        due.append(&mut self.find_spares(ctx.now));
        for &address in &due {
            self.ask_if_due(ctx, address);
        }
        for address in self.downloading.clone() {
            if let Some(remote) = self.remotes.get_mut(&address) {
                remote.handle_timeout(ctx);
                due.insert(address);
            }
        }
        for address in due {
            self.keep(ctx.now, ctx.interfaces, address);
        }
    }

    /// Link-local IPv6 addresses of hosts that are there by IPv4 are spare: nobody is shown them, so nobody needs to
    /// know from moment to moment that they would do. Those of which that is new.
    fn find_spares(&mut self, now: Instant) -> BTreeSet<SocketAddr> {
        // IPv4 comes first in the order of addresses.
        if self.remotes.last_key_value().is_none_or(|(last, _)| last.is_ipv4()) {
            return BTreeSet::new();
        }
        let by_v4 = self.remotes.iter().filter(|(at, remote)| at.is_ipv4() && remote.is_heard(now));
        let by_v4: BTreeSet<InstanceId> = by_v4.filter_map(|(_, remote)| remote.instance).collect();
        let mut changed = BTreeSet::new();
        for (address, remote) in &mut self.remotes {
            let IpAddr::V6(ip) = address.ip() else { continue };
            let is_there = remote.instance.is_some_and(|instance| by_v4.contains(&instance));
            let spare = ip.is_unicast_link_local() && is_there && remote.is_proven();
            if remote.set_spare(spare && !remote.configured, now) {
                changed.insert(*address);
            }
        }
        changed
    }

    fn ask_if_due(&mut self, ctx: &mut Context<'_>, address: SocketAddr) {
        let Some(remote) = self.remotes.get_mut(&address) else { return };
        let out_of_reach = remote.is_out_of_reach(address, ctx.interfaces);
        if remote.is_question_due(ctx.now, out_of_reach) {
            remote.ask(ctx, self.instance);
        }
    }

    /// This listing, where the host has given it from one of its addresses; as much of it as there is.
    fn listing_of(&self, instance: InstanceId, digest: ListingDigest) -> Option<Listed> {
        let addresses = self.kept.addresses_of(instance);
        let listed = addresses.filter_map(|at| self.remotes.get(&at)?.listed.as_ref());
        let these = listed.filter(|listed| listed.digest == digest);
        these.max_by_key(|listed| listed.entries.len()).cloned()
    }

    /// Fetches listings that are wanted, as many at once as may be; one that the same host has already
    /// given from another of its addresses is not fetched again.
    pub(super) fn start_downloads(&mut self, ctx: &mut Context<'_>) {
        if self.has_looked() {
            return;
        }
        let remotes = &self.remotes;
        self.downloading.retain(|at| remotes.get(at).is_some_and(Remote::is_downloading));
        let mut last = None;
        self.heavy_waits = false;
        while self.downloading.len() < DOWNLOADS_MAX {
            last = self.kept.lacking_behind(last);
            let Some((_, address)) = last else { break };
            let Some(remote) = self.remotes.get(&address) else { continue };
            let (Some(summary), instance) = (remote.lacking(), remote.instance) else { continue };
            let missing = remote.missing_listing(ctx.now);
            let known = instance.and_then(|instance| self.listing_of(instance, summary.digest));
            let known = known.filter(|listed| !listed.wants_more);
            if let Some(listed) = known.or_else(|| Listed::empty(summary)) {
                if let Some(remote) = self.remotes.get_mut(&address) {
                    remote.set_listed(listed);
                }
                self.keep(ctx.now, ctx.interfaces, address);
                self.directory_changed(ctx);
                continue;
            }
            let Some(summary) = missing else { continue };
            // One machine with many ports does not get all the turns.
            let beside = self.downloading.iter().filter(|other| other.ip() == address.ip());
            if beside.count() >= DOWNLOADS_EACH || !self.may_fetch(ctx.now, address, summary) {
                continue;
            }
            if let Some(remote) = self.remotes.get_mut(&address) {
                let listing = ListingId(self.next_listing);
                self.next_listing += 1;
                remote.start_download(ctx, listing, summary);
                if let Some(looking) = &mut self.looking {
                    looking.listing_asked(ctx.now, address);
                }
                self.look_at(ctx, address);
            }
        }
    }
}
