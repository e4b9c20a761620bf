//! The hosts that were named to a fetch. However many they are, each is used; where there are too many to be asked at
//! once, who gives nothing makes room for who has not been asked yet, round after round.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::source::{Shame, Source};
use super::{Fetch, SOURCES_MAX};
use crate::node::context::Context;
use crate::node::time::Instant;

/// So many of those that were named are sources at a time: half of the room, for nobody is to be kept out by a list of the dead.
const GIVEN_AT_ONCE: usize = SOURCES_MAX / 2;
/// Who was asked so often and said nothing makes room for another: 1.5 s at the least, more than a way by satellite takes; it
/// gets its turn again.
const ASKED_IN_VAIN: usize = 5;
/// Once all have had their turn, they take the next ones so slowly: some hundred questions a second, however long it takes.
const NEXT_ROUNDS: Duration = Duration::from_secs(10);

/// Whose turn it is among those that were named.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Turns {
    /// How many turns there have been, one after the other and round after round.
    taken: usize,
    /// In rounds after the first, none makes room before then.
    #[serde(default)]
    next_at: Option<Instant>,
    /// Who made room after bad blocks, and what it stands for when its turn comes again; none that was not named.
    #[serde(default)]
    shamed: BTreeMap<SocketAddr, Shame>,
}

impl Turns {
    pub(super) fn check_invariants(&self, sources: &BTreeMap<SocketAddr, Source>) {
        let given = sources.values().filter(|source| source.given);
        assert!(given.count() <= GIVEN_AT_ONCE);
        assert!(self.shamed.keys().all(|address| !sources.contains_key(address)));
    }
}

impl Fetch {
    /// Those who were named, as far as there is room.
    pub(super) fn take_given(&mut self, ctx: &mut Context<'_>) {
        let config = ctx.config;
        let others = config.peers.iter().filter(|_| !self.request.alone);
        let named = self.request.sources.len() + others.clone().count();
        let mut room = GIVEN_AT_ONCE.saturating_sub(self.given_sources().count());
        let all = self.request.sources.iter().chain(others).cycle();
        // Once around at the most. A list that is empty has no turns.
        for &address in all.skip(self.turns.taken % named.max(1)).take(named) {
            if room == 0 {
                break;
            }
            self.turns.taken += 1;
            let shame = self.turns.shamed.get(&address);
            if shame.is_some_and(|shame| shame.lasts(ctx.now)) {
                continue;
            }
            if let Entry::Vacant(place) = self.sources.entry(address) {
                let mut source = Source::new(address, true, ctx);
                source.bear(self.turns.shamed.remove(&address));
                place.insert(source);
                room -= 1;
            }
        }
        let all_had_one = self.turns.taken >= named;
        self.turns.next_at = all_had_one.then_some(ctx.now + NEXT_ROUNDS);
    }

    /// Where more were named than are asked at once, who gives nothing makes room for the next.
    pub(super) fn take_turns(&mut self, ctx: &mut Context<'_>) {
        let others = if self.request.alone { 0 } else { ctx.config.peers.len() };
        let all_fit = self.request.sources.len() + others <= GIVEN_AT_ONCE;
        if all_fit || self.turns.next_at.is_some_and(|at| at > ctx.now) {
            return;
        }
        let idle = self.given_sources().filter(|source| source.is_idle(ctx.now, ASKED_IN_VAIN));
        let idle: Vec<SocketAddr> = idle.map(|source| source.address).collect();
        for address in idle {
            self.let_go(ctx, address);
            let shame = self.sources.remove(&address).and_then(|source| source.shame());
            self.turns.shamed.extend(shame.map(|shame| (address, shame)));
        }
        self.take_given(ctx);
    }

    fn given_sources(&self) -> impl Iterator<Item = &Source> {
        self.sources.values().filter(|source| source.given)
    }
}
