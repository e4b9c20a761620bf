//! Whom a tracker tells of.

use std::net::SocketAddr;
use std::ops::Bound;

use super::Tracker;
use crate::content::ContentId;
use crate::node::discovery::told::is_tellable;
use crate::wire::hosts::TOLD_HOSTS_MAX;
use crate::wire::{Portions, ToldHost, ToldHosts};

/// Of those of whom it is not known what they have, so many are told to who looks for something.
const UNKNOWN_MAX: usize = 8;

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
    pub(super) fn who_has(&self, asker: SocketAddr, content: ContentId, turn: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let holders = self.holdings.who_has(content, turn);
        let unknown = self.unknown.iter().map(|&host| (host, Portions::NONE)).take(UNKNOWN_MAX);
        let known = holders.take(TOLD_HOSTS_MAX - UNKNOWN_MAX);
        for (address, portions) in known.chain(unknown) {
            if is_tellable(address, asker) {
                ToldHosts::push(&mut bytes, &ToldHost { address, portions });
            }
        }
        bytes
    }
}
