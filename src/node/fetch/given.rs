//! The hosts that were named to a fetch. However many they are, each is used; where there are too many to be asked at
//! once, who does not answer makes room for who has not been asked yet, round after round.

use std::collections::btree_map::Entry;
use std::net::SocketAddr;

use super::source::Source;
use super::{Fetch, SOURCES_MAX};
use crate::node::context::Context;

/// So many of those that were named are sources at a time: half of the room, for nobody is to be kept out by a list of the dead.
const GIVEN_AT_ONCE: usize = SOURCES_MAX / 2;
/// Who was asked so often and said nothing makes room for another: 1.5 s at the least, more than a way by satellite takes; it
/// gets its turn again.
const ASKED_IN_VAIN: usize = 5;

impl Fetch {
    /// Those who were named, as far as there is room.
    pub(super) fn take_given(&mut self, ctx: &mut Context<'_>) {
        let room = GIVEN_AT_ONCE.saturating_sub(self.given_sources().count());
        let nobody_else = ctx.config.peers.iter().filter(|_| !self.request.alone);
        let named = self.request.sources.len() + nobody_else.clone().count();
        if named == 0 {
            return;
        }
        let all = self.request.sources.iter().chain(nobody_else).copied().cycle();
        let mut taken = Vec::new();
        // Once around at the most.
        for address in all.skip(self.turns % named).take(named) {
            if taken.len() == room {
                break;
            }
            self.turns = (self.turns + 1) % named;
            if !self.sources.contains_key(&address) {
                taken.push(address);
            }
        }
        for address in taken {
            // Named twice, it is one.
            if let Entry::Vacant(place) = self.sources.entry(address) {
                place.insert(Source::new(address, true, ctx));
            }
        }
    }

    /// Where more were named than are asked at once, who gives nothing makes room for the next.
    pub(super) fn take_turns(&mut self, ctx: &mut Context<'_>) {
        let peers = if self.request.alone { 0 } else { ctx.config.peers.len() };
        if self.request.sources.len() + peers <= GIVEN_AT_ONCE {
            return;
        }
        let idle = self.given_sources().filter(|source| source.has_nothing(ASKED_IN_VAIN));
        let idle: Vec<SocketAddr> = idle.map(|source| source.address).collect();
        for address in idle {
            self.let_go(ctx, address);
            self.sources.remove(&address);
        }
        self.take_given(ctx);
    }

    fn given_sources(&self) -> impl Iterator<Item = &Source> {
        self.sources.values().filter(|source| source.given)
    }
}
