//! Who makes room where the tables of a fetch are full: first what nobody stands for, then what has
//! proven nothing. Anybody on the network can answer a call, as often and in as many names as it
//! likes; that must not keep an honest source out.

use std::net::SocketAddr;

use super::claims::CLAIMS_MAX;
use super::{Fetch, SOURCES_MAX};
use crate::content::ChainId;
use crate::node::context::Context;

impl Fetch {
    /// Whether there is room for another source, made if need be.
    pub(super) fn has_room_for_source(&mut self, ctx: &mut Context<'_>) -> bool {
        if self.sources.len() < SOURCES_MAX {
            return true;
        }
        let turned_up = || self.sources.values().filter(|source| !source.given);
        let mut idle: Vec<SocketAddr> =
            turned_up().filter(|source| !source.proven).map(|source| source.address).collect();
        if idle.is_empty() {
            let silent = turned_up().filter(|source| source.flow.is_stalled());
            idle = silent.map(|source| source.address).collect();
        }
        // By chance, so that nobody can tell whom a flood drives out.
        let Some(&victim) = idle.get(ctx.random.below(idle.len() as u64) as usize) else {
            return false;
        };
        self.let_go(ctx, victim);
        self.sources.remove(&victim);
        true
    }

    /// The number of the claim with this name; none, where there are too many that may yet be true.
    pub(super) fn claim_of(&mut self, ctx: &mut Context<'_>, id: ChainId) -> Option<usize> {
        if let Some(claim) = self.claims.find_or_add(id) {
            return Some(claim);
        }
        debug_assert!(self.claims.numbers().count() == CLAIMS_MAX);
        let others = self.claims.numbers().filter(|&claim| Some(claim) != self.claims.current());
        let others: Vec<(u8, usize)> = others
            .map(|claim| (self.standing(claim), claim))
            .filter(|&(standing, _)| standing < 3)
            .collect();
        let lowest = others.iter().map(|&(standing, _)| standing).min()?;
        let least: Vec<usize> = others
            .iter()
            .filter(|&&(standing, _)| standing == lowest)
            .map(|&(_, claim)| claim)
            .collect();
        let victim = *least.get(ctx.random.below(least.len() as u64) as usize)?;
        self.forget_claim(ctx, victim);
        self.claims.find_or_add(id)
    }

    /// What speaks for keeping a claim: nothing; that it is made; that somebody who receives at its
    /// address makes it; that somebody does who is not silent.
    fn standing(&self, claim: usize) -> u8 {
        if self.claims.is_refuted(claim) {
            return 0;
        }
        let sources = self.sources.values().filter(|source| source.claim() == Some(claim));
        let standing = sources.map(|source| match (source.proven, source.flow.is_stalled()) {
            (false, _) => 1,
            (true, true) => 2,
            (true, false) => 3,
        });
        standing.max().unwrap_or(0)
    }
}
