//! Room in the table of hosts: one machine, however many ports it has, takes nobody's place.

use std::net::SocketAddr;
use std::ops::{RangeBounds, RangeInclusive};

use super::{Discovery, REMOTES_EACH, REMOTES_MAX};
use crate::node::context::{Context, ports_of};
use crate::node::counters::DropReason;
use crate::node::remote::Remote;

impl Discovery {
    /// Whether there is room for a host that is not known, made if need be: by one that has proven nothing, or where all have, by
    /// one of the machine that has most.
    pub(super) fn make_room(&mut self, ctx: &mut Context<'_>, newcomer: SocketAddr) -> bool {
        let ports = ports_of(newcomer.ip());
        let nobody_named = |of: RangeInclusive<SocketAddr>| {
            self.remotes.range(of).filter(|(_, remote)| !remote.configured).count()
        };
        let mut named = ctx.config.trackers.iter().chain(&ctx.config.peers);
        let is_crowded = nobody_named(ports.clone()) >= REMOTES_EACH
            && !newcomer.ip().is_loopback()
            && !named.any(|named| *named == newcomer);
        if !is_crowded && self.remotes.len() < REMOTES_MAX {
            return true;
        }
        ctx.counters.drop(DropReason::TooManyHosts);
        let goes = if is_crowded {
            self.unproven(ports)
        } else {
            let beside = nobody_named(ctx.interfaces.machine(newcomer.ip()));
            self.unproven(..).or_else(|| self.of_most_crowded(ctx, beside))
        };
        if let Some(goes) = goes {
            if self.remotes.get(&goes).is_some_and(Remote::is_proven) {
                self.directory_changed(ctx);
            }
            self.remove(ctx, goes);
        }
        goes.is_some()
    }

    /// Of those that have not answered, who was not heard for longest: who has shown a cookie of ours comes last, since no
    /// number of forged announcements shows one.
    fn unproven(&self, among: impl RangeBounds<SocketAddr> + Clone) -> Option<SocketAddr> {
        let unknown = self.oldest(among.clone(), |remote| remote.is_proven() || remote.knows_us);
        unknown.or_else(|| self.oldest(among, Remote::is_proven))
    }

    /// Of those that nobody named, who was not heard for longest.
    fn oldest(
        &self,
        among: impl RangeBounds<SocketAddr>,
        stays: fn(&Remote) -> bool,
    ) -> Option<SocketAddr> {
        let may_go = |remote: &Remote| !remote.configured && !stays(remote);
        let those = self.remotes.range(among).filter(|(_, remote)| may_go(remote));
        those.min_by_key(|(_, remote)| remote.heard_at()).map(|(&address, _)| address)
    }

    /// One of the machine that has most, if a machine with so many hosts has fewer with one more.
    fn of_most_crowded(&self, ctx: &Context<'_>, beside: usize) -> Option<SocketAddr> {
        let those = self
            .remotes
            .iter()
            .filter(|(address, remote)| !remote.configured && !address.ip().is_loopback());
        let most = ctx.interfaces.most_crowded(those.map(|(&address, _)| address));
        let (machine, _) = most.filter(|&(_, count)| beside + 1 < count)?;
        self.oldest(machine, |_| false)
    }
}
