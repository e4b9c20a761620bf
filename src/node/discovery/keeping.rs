//! The table of hosts, kept without going through all of it each time that one of them is heard: when something is
//! due at a host, who is to be asked, whose listing is fetched, and whose addresses are spare.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::{DOWNLOADS_EACH, DOWNLOADS_MAX, Discovery};
use crate::node::context::{Context, Interfaces};
use crate::node::ids::ListingId;
use crate::node::listed::Listed;
use crate::node::remote::Remote;
use crate::node::time::Instant;
use crate::wire::{InstanceId, ListingSummary};

impl Discovery {
    /// Something has changed at a host: it is asked if that is due, and we wake when it wants us to. To be
    /// called by whatever changes one; what was forgotten is found at the next timeout.
    pub(super) fn look_at(&mut self, ctx: &mut Context<'_>, address: SocketAddr) {
        let Some(remote) = self.remotes.get_mut(&address) else { return };
        let out_of_reach = remote.is_out_of_reach(address, ctx.interfaces);
        if remote.is_question_due(ctx.now, out_of_reach) {
            remote.ask(ctx, self.instance);
        }
        let due = remote.deadline(ctx.now, out_of_reach).map(|due| due.at);
        self.hosts_due = self.hosts_due.into_iter().chain(due).min();
        if remote.lacks_listing() {
            self.lacking.insert(address);
        }
        if remote.is_downloading() {
            self.downloading.insert(address);
        }
    }

    /// The same of all of them, who are not asked by it.
    pub(super) fn look_at_all(&mut self, ctx: &Context<'_>) {
        self.hosts_due = self.earliest_due(ctx.now, ctx.interfaces);
        let of = |is: fn(&Remote) -> bool| {
            let those = self.remotes.iter().filter(move |(_, remote)| is(remote));
            those.map(|(&address, _)| address).collect()
        };
        self.lacking = of(Remote::lacks_listing);
        self.downloading = of(Remote::is_downloading);
    }

    /// We may have other addresses now: who is asked when may have changed.
    pub(crate) fn interfaces_changed(&mut self, now: Instant) {
        self.hosts_due = self.hosts_due.into_iter().chain([now]).min();
    }

    fn earliest_due(&self, now: Instant, interfaces: &Interfaces) -> Option<Instant> {
        let due = self.remotes.iter().filter_map(|(address, remote)| {
            remote.deadline(now, remote.is_out_of_reach(*address, interfaces))
        });
        due.map(|due| due.at).min()
    }

    pub(super) fn check_kept(&self, now: Instant, interfaces: &Interfaces) {
        let due = self.earliest_due(now, interfaces);
        assert!(due.is_none_or(|due| self.hosts_due.is_some_and(|kept| kept <= due)), "{due:?}");
        for (address, remote) in &self.remotes {
            assert!(!remote.lacks_listing() || self.lacking.contains(address), "{address}");
            assert!(!remote.is_downloading() || self.downloading.contains(address), "{address}");
        }
    }

    /// Link-local IPv6 addresses of hosts that are there by IPv4 are spare: nobody is shown them, so nobody needs to
    /// know from moment to moment that they would do.
    pub(super) fn find_spares(&mut self, now: Instant) {
        // IPv4 comes first in the order of addresses.
        if self.remotes.last_key_value().is_none_or(|(last, _)| last.is_ipv4()) {
            return;
        }
        let by_v4 = self.remotes.iter().filter(|(at, remote)| at.is_ipv4() && remote.is_heard(now));
        let by_v4: BTreeSet<InstanceId> = by_v4.filter_map(|(_, remote)| remote.instance).collect();
        for (address, remote) in &mut self.remotes {
            let IpAddr::V6(ip) = address.ip() else { continue };
            let is_there = remote.instance.is_some_and(|instance| by_v4.contains(&instance));
            let spare = ip.is_unicast_link_local() && is_there && remote.is_proven();
            remote.set_spare(spare && !remote.configured, now);
        }
    }

    pub(super) fn ask_due(&mut self, ctx: &mut Context<'_>) {
        for (address, remote) in &mut self.remotes {
            let out_of_reach = remote.is_out_of_reach(*address, ctx.interfaces);
            if remote.is_question_due(ctx.now, out_of_reach) {
                remote.ask(ctx, self.instance);
            }
        }
    }

    /// Fetches listings that are wanted, as many at once as may be; one that the same host has already
    /// given from another of its addresses is not fetched again.
    pub(super) fn start_downloads(&mut self, ctx: &mut Context<'_>) {
        if self.has_looked() {
            return;
        }
        let remotes = &self.remotes;
        self.downloading.retain(|at| remotes.get(at).is_some_and(Remote::is_downloading));
        if self.downloading.len() >= DOWNLOADS_MAX {
            return;
        }
        self.lacking.retain(|at| remotes.get(at).is_some_and(Remote::lacks_listing));
        let lacking = self.lacking.iter().filter_map(|address| {
            Some((*address, self.remotes.get(address)?.missing_listing(ctx.now)?))
        });
        let mut missing: Vec<(SocketAddr, ListingSummary)> = lacking.collect();
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
            if self.downloading.len() >= DOWNLOADS_MAX {
                break;
            }
            // One machine with many ports does not get all the turns.
            let beside = self.downloading.iter().filter(|other| other.ip() == address.ip());
            if beside.count() >= DOWNLOADS_EACH {
                continue;
            }
            if let Some(remote) = self.remotes.get_mut(&address) {
                let listing = ListingId(self.next_listing);
                self.next_listing += 1;
                remote.start_download(ctx, listing, summary);
                self.look_at(ctx, address);
            }
        }
    }
}
