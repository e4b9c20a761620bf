//! Whom a tracker tells of.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Bound;

use super::{HOSTS_EACH, Tracker};
use crate::content::ContentId;
use crate::node::context::Interfaces;
use crate::node::discovery::told::is_tellable;
use crate::wire::hosts::TOLD_HOSTS_MAX;
use crate::wire::{Portions, ToldHost, ToldHosts};

/// Of those of whom it is not known what they have, so many are told to who looks for something.
const UNKNOWN_MAX: usize = 8;
/// And so many machines are looked at for them: some may not be told to everybody.
const MACHINES_LOOKED_AT: usize = 32;
/// So many of those who have a content are looked at: more than there may be at one IP address, or it could hide all others.
const HOLDERS_LOOKED_AT: usize = HOSTS_EACH + TOLD_HOSTS_MAX;
/// Hosts of one machine that are told before others.
const MACHINE_MAX: usize = 8;

impl Tracker {
    /// Some of those who are there, as they travel; each answer goes on where the last one ended.
    pub(super) fn some_hosts(&mut self, asker: SocketAddr) -> Vec<u8> {
        let behind = self.told.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = self.hosts.range((behind, Bound::Unbounded));
        let before = self.told.map(|told| self.hosts.range(..=told));
        let around = rest.chain(before.into_iter().flatten());
        let mut bytes = Vec::new();
        let tellable = around.map(|(&address, _)| address).filter(|&host| is_tellable(host, asker));
        let mut last = None;
        for address in tellable.take(TOLD_HOSTS_MAX) {
            ToldHosts::push(&mut bytes, &ToldHost { address, portions: Portions::NONE });
            last = Some(address);
        }
        self.told = last.or(self.told);
        bytes
    }

    /// Who has a content or part of it, and some of those of whom it is not known.
    pub(super) fn who_has(
        &mut self,
        interfaces: &Interfaces,
        asker: SocketAddr,
        content: ContentId,
        turn: u32,
    ) -> Vec<u8> {
        let mut holders: Vec<(SocketAddr, Portions)> =
            self.holdings.who_has(content, turn).take(HOLDERS_LOOKED_AT).collect();
        let whole = holders.iter().take_while(|(_, held)| *held == Portions::WHOLE).count();
        let parts = &mut holders[whole..];
        parts.rotate_left((turn as usize).checked_rem(parts.len()).unwrap_or(0));
        holders.retain(|&(host, _)| is_tellable(host, asker));
        // The many ports of one machine come behind all others.
        let mut of_machine: BTreeMap<SocketAddr, usize> = BTreeMap::new();
        let (known, beyond): (Vec<_>, Vec<_>) = holders.into_iter().partition(|(host, _)| {
            let count = of_machine.entry(*interfaces.machine(host.ip()).start()).or_default();
            *count += 1;
            *count <= MACHINE_MAX
        });
        let known = known.into_iter().chain(beyond).take(TOLD_HOSTS_MAX - UNKNOWN_MAX);
        let unknown = self.some_unknown(interfaces, asker, turn);
        let mut bytes = Vec::new();
        for (address, portions) in
            known.chain(unknown.into_iter().map(|host| (host, Portions::NONE)))
        {
            ToldHosts::push(&mut bytes, &ToldHost { address, portions });
        }
        bytes
    }

    /// Some of those of whom it is not known what they have: one of each machine, with each answer of the machines that follow;
    /// and where there are few, more of each.
    fn some_unknown(
        &mut self,
        interfaces: &Interfaces,
        asker: SocketAddr,
        turn: u32,
    ) -> Vec<SocketAddr> {
        let mut machines: Vec<Vec<SocketAddr>> = Vec::new();
        let mut first = None;
        for _ in 0..MACHINES_LOOKED_AT {
            let behind = self.told_unknown.map_or(Bound::Unbounded, Bound::Excluded);
            let mut rest = self.unknown.range((behind, Bound::Unbounded));
            let Some(next) = rest.next().or_else(|| self.unknown.first()) else { break };
            let machine = interfaces.machine(next.ip());
            if machines.len() >= UNKNOWN_MAX || first == Some(*machine.start()) {
                break;
            }
            first.get_or_insert(*machine.start());
            self.told_unknown = Some(*machine.end());
            let there = self.unknown.range(machine).filter(|host| is_tellable(**host, asker));
            machines.push(there.copied().collect());
            machines.retain(|there| !there.is_empty());
        }
        let rounds = (0..UNKNOWN_MAX).flat_map(|round| {
            let having = machines.iter().filter(move |there| there.len() > round);
            having.map(move |there| there[(turn as usize % there.len() + round) % there.len()])
        });
        rounds.take(UNKNOWN_MAX).collect()
    }
}
