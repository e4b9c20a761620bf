//! Whose listings a tracker fetches, and in which order: one machine, however many ports it has, and whoever keeps it waiting
//! do not keep others from being known.

use std::net::SocketAddr;

use super::{Arriving, DOWNLOADS_MAX, LISTING_MAX, LISTING_REST, Tracker};
use crate::node::context::Context;
use crate::node::download::Download;
use crate::node::flow::Flow;
use crate::node::ids::ListingId;
use crate::node::output::Output;

impl Tracker {
    /// Has a host's listing fetched, if another one is known.
    pub(super) fn want_listing(&mut self, ctx: &Context<'_>, address: SocketAddr) {
        let Some(host) = self.hosts.get_mut(&address) else { return };
        let Some(wanted) = host.wanted else { return };
        let is_wanted = host.known != Some(wanted.digest)
            && wanted.length <= LISTING_MAX
            && host.listing_not_before <= ctx.now;
        if is_wanted && host.waits.is_none() {
            host.waits = Some(self.next_waiting);
            self.waiting.insert((host.listings_failed, self.next_waiting, address));
            self.next_waiting += 1;
        }
    }

    /// Fetches listings, as many at once as may be, and of each machine one.
    pub(super) fn start_downloads(&mut self, ctx: &mut Context<'_>) {
        while self.arriving.len() < DOWNLOADS_MAX {
            let arriving = self.arriving.iter().map(|arriving| arriving.host.ip());
            let busy: Vec<_> = arriving.map(|ip| ctx.interfaces.machine(ip)).collect();
            let is_free = |host: &SocketAddr| !busy.iter().any(|machine| machine.contains(host));
            let next = self.waiting.iter().find(|(.., host)| is_free(host));
            let Some(&(failed, waits, address)) = next else { return };
            self.waiting.remove(&(failed, waits, address));
            let Some(host) = self.hosts.get_mut(&address) else { continue };
            host.waits = None;
            let (cookie, Some(wanted)) = (host.cookie, host.wanted) else { continue };
            if host.known == Some(wanted.digest) {
                continue;
            }
            if wanted.length == 0 {
                host.known = Some(wanted.digest);
                self.holdings.set(address, std::iter::empty());
                self.unknown.remove(&address);
                continue;
            }
            let mut flow = Flow::new(address, ctx.random);
            flow.set_cookie(cookie);
            let id = ListingId(self.next_listing);
            self.next_listing += 1;
            let mut download = Download::new(id, wanted, None, ctx.now);
            download.pump(ctx, address, &mut flow);
            self.arriving.push(Arriving { host: address, download, flow });
        }
    }

    /// A host's listing did not come, or was none: it has a rest, and its machine, whatever port it comes from, comes last.
    pub(super) fn listing_failed(&mut self, ctx: &Context<'_>, address: SocketAddr) {
        let machine = self.hosts.range(ctx.interfaces.machine(address.ip()));
        let machine: Vec<(SocketAddr, u32)> =
            machine.map(|(&beside, host)| (beside, host.listings_failed)).collect();
        for (beside, failed) in machine {
            self.set_listings_failed(beside, failed.saturating_add(1));
        }
        self.change(address, |host| host.listing_not_before = ctx.now + LISTING_REST);
    }

    pub(super) fn set_listings_failed(&mut self, address: SocketAddr, failed: u32) {
        let Some(host) = self.hosts.get_mut(&address) else { return };
        if let Some(waits) = host.waits {
            self.waiting.remove(&(host.listings_failed, waits, address));
            self.waiting.insert((failed, waits, address));
        }
        host.listings_failed = failed;
    }

    pub(super) fn give_up(&mut self, ctx: &mut Context<'_>, place: usize) {
        let arriving = self.arriving.swap_remove(place);
        ctx.emit(Output::DropListing { listing: arriving.download.id });
    }
}
