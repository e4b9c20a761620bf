//! Who is registered, and who makes room where the table is full.

use std::net::SocketAddr;

use log::info;

use super::{ASKED_EVERY, HOSTS_EACH, HOSTS_MAX, Registered, Tracker};
use crate::node::context::{Context, ports_of};
use crate::node::counters::DropReason;
use crate::node::directory::host_text;
use crate::node::time::Instant;
use crate::wire::{Cookie, InstanceId};

impl Tracker {
    /// A host that has shown a cookie is there.
    pub(super) fn register(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        instance: InstanceId,
    ) {
        let (known, now) = (self.hosts.contains_key(&from), ctx.now);
        if !known {
            let ports = self.hosts.range(ports_of(from.ip())).count();
            let is_crowded = ports >= HOSTS_EACH && !from.ip().is_loopback();
            if is_crowded || self.hosts.len() >= HOSTS_MAX && !self.make_room(ctx, from) {
                return ctx.counters.drop(DropReason::TooManyHosts);
            }
            let beside = self.hosts.range(ctx.interfaces.machine(from.ip()));
            let failed = beside.map(|(_, host)| host.listings_failed).max();
            info!("{} is here", host_text(from));
            let host = Registered {
                instance,
                heard_at: now,
                wanted: None,
                known: None,
                listing_not_before: now,
                listings_failed: failed.unwrap_or(0),
                waits: None,
                cookie: Cookie::NONE,
                nonce: None,
                asked: 0,
                asked_at: Instant::ORIGIN,
                ask_at: Some(now),
            };
            self.due.insert((host.due(), from));
            self.hosts.insert(from, host);
            self.unknown.insert(from);
        }
        self.change(from, |host| {
            host.heard_at = now;
            let is_due = host.ask_at.is_none() && now >= host.asked_at + ASKED_EVERY;
            if host.instance != instance || is_due {
                host.instance = instance;
                host.asked = 0;
                host.ask_at = Some(now);
            }
        });
        self.want_listing(ctx, from);
        self.handle_due(ctx);
    }

    /// Makes room for a newcomer: who was not heard for longest of the machine that has most goes, if
    /// that one has more than the newcomer's.
    fn make_room(&mut self, ctx: &mut Context<'_>, newcomer: SocketAddr) -> bool {
        if !self.searches.take(ctx.now) {
            return false;
        }
        let beside = self.hosts.range(ctx.interfaces.machine(newcomer.ip())).count();
        let those = self.hosts.keys().copied().filter(|host| !host.ip().is_loopback());
        let most = ctx.interfaces.most_crowded(those);
        let Some((machine, _)) = most.filter(|&(_, count)| beside + 1 < count) else {
            return false;
        };
        let oldest = self.hosts.range(machine).min_by_key(|(_, host)| host.heard_at);
        let Some((&oldest, _)) = oldest else { return false };
        ctx.counters.drop(DropReason::TooManyHosts);
        self.forget(ctx, oldest);
        true
    }
}
