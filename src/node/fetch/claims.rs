//! The chains that sources claim for one content, and which of them is gone by.
//!
//! A claim is *wanted* (only its name is known), *known* (its states have come and have that name) or
//! *refuted* (a block has proven another one). Sources with the same claim stand and fall together. One claim is
//! gone by; another one that becomes known is weighed against it by one block: see `docs/state-chain.md`.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::content::state_chain::Chain;
use crate::content::{BlockLayout, ChainId, ContentId, RangeSet};
use crate::node::flow::Piece;
use crate::node::time::Instant;

use super::block::at_this_pace;
use super::source::Tag;

/// Different chains that are weighed at once; one that nobody stands for any more makes room.
pub(crate) const CLAIMS_MAX: usize = 16;
/// The longest chain in bytes: of a content of about 3.5 TB.
pub(crate) const CHAIN_LENGTH_MAX: u64 = 64 * 1024 * 1024;

/// Where a claim stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum ClaimState {
    /// Its states are on their way, or still to be asked for.
    Wanted {
        #[serde(with = "crate::content::hex")]
        bytes: Vec<u8>,
        received: RangeSet,
        /// Who is asked for them, and has given all that has come.
        asked: Option<SocketAddr>,
        asked_at: Instant,
    },
    /// They are known.
    Known(Chain),
    /// They are false.
    Refuted,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// By which others speak of it; none is used twice.
    number: usize,
    pub(crate) id: ChainId,
    pub(crate) state: ClaimState,
}

/// What became of some bytes of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChainBytes {
    /// There is more to come, or they were not wanted.
    More,
    /// The claim is known now.
    Known,
    /// All have come, and they do not have the claim's name: who gave them lied.
    False,
}

/// All claims of one content and size.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    content: ContentId,
    layout: BlockLayout,
    claims: Vec<Claim>,
    /// How many there have ever been.
    made: usize,
    /// The one that is gone by.
    current: Option<usize>,
}

impl Claims {
    pub(crate) const fn new(content: ContentId, size: u64) -> Self {
        Self { content, layout: BlockLayout::new(size), claims: Vec::new(), made: 0, current: None }
    }

    pub(crate) const fn length(&self) -> u64 {
        self.layout.state_count() * 20
    }

    /// How many different claims there have been, the forgotten ones included.
    pub(crate) const fn made(&self) -> usize {
        self.made
    }

    /// The claims that there are.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = usize> + '_ {
        self.claims.iter().map(|claim| claim.number)
    }

    fn get(&self, claim: usize) -> Option<&Claim> {
        self.claims.iter().find(|known| known.number == claim)
    }

    fn get_mut(&mut self, claim: usize) -> Option<&mut Claim> {
        self.claims.iter_mut().find(|known| known.number == claim)
    }

    pub(crate) const fn current(&self) -> Option<usize> {
        self.current
    }

    /// The chain that is gone by, once its states are there.
    pub(crate) fn current_chain(&self) -> Option<&Chain> {
        self.chain(self.current?)
    }

    pub(crate) fn chain(&self, claim: usize) -> Option<&Chain> {
        match &self.get(claim)?.state {
            ClaimState::Known(chain) => Some(chain),
            ClaimState::Wanted { .. } | ClaimState::Refuted => None,
        }
    }

    pub(crate) fn is_refuted(&self, claim: usize) -> bool {
        matches!(self.get(claim), Some(Claim { state: ClaimState::Refuted, .. }))
    }

    pub(crate) fn is_wanted(&self, claim: usize) -> bool {
        matches!(self.get(claim), Some(Claim { state: ClaimState::Wanted { .. }, .. }))
    }

    /// The number of the claim with this name; a new one where there is room.
    pub(crate) fn find_or_add(&mut self, id: ChainId) -> Option<usize> {
        // One block or none: there are no states, and nothing to be claimed.
        let one_for_all = self.layout.state_count() == 0;
        if let Some(known) = self.claims.iter().find(|claim| one_for_all || claim.id == id) {
            return Some(known.number);
        }
        if self.claims.len() >= CLAIMS_MAX {
            return None;
        }
        let bare = Chain::from_bytes(self.content, self.layout.size(), Vec::new());
        let state = match bare.filter(|_| one_for_all) {
            Some(chain) => ClaimState::Known(chain),
            None => {
                let (bytes, received) = (Vec::new(), RangeSet::new());
                ClaimState::Wanted { bytes, received, asked: None, asked_at: Instant::ORIGIN }
            }
        };
        let number = self.made;
        self.made += 1;
        self.claims.push(Claim { number, id, state });
        Some(number)
    }

    /// Forgets a claim that is not gone by: there is room for another.
    pub(crate) fn forget(&mut self, claim: usize) {
        debug_assert_ne!(self.current, Some(claim));
        self.claims.retain(|known| known.number != claim);
    }

    /// Adds a chain whose states are at hand.
    pub(crate) fn add_known(&mut self, chain: Chain) -> Option<usize> {
        let index = self.find_or_add(chain.id())?;
        if let Some(claim) = self.get_mut(index) {
            claim.state = ClaimState::Known(chain);
        }
        Some(index)
    }

    pub(crate) const fn go_by(&mut self, claim: usize) {
        self.current = Some(claim);
    }

    pub(crate) fn refute(&mut self, claim: usize) {
        if let Some(refuted) = self.get_mut(claim) {
            refuted.state = ClaimState::Refuted;
        }
        if self.current == Some(claim) {
            self.current = None;
        }
    }

    /// Claims that are known and not gone by.
    pub(crate) fn challengers(&self) -> Vec<usize> {
        self.numbers()
            .filter(|&claim| Some(claim) != self.current && self.chain(claim).is_some())
            .collect()
    }

    /// The pieces of a wanted claim's chain to ask this source for, if nobody else is being asked.
    pub(crate) fn ask(
        &mut self,
        claim: usize,
        source: SocketAddr,
        now: Instant,
    ) -> Vec<Piece<Tag>> {
        let whole = 0..self.length();
        let Some(Claim { state: ClaimState::Wanted { bytes, received, asked, asked_at }, .. }) =
            self.get_mut(claim)
        else {
            return Vec::new();
        };
        if asked.is_some() {
            return Vec::new();
        }
        // All from one source: if they are false, it is to blame.
        bytes.clear();
        received.clear();
        *asked = Some(source);
        *asked_at = now;
        let length = whole.end - whole.start;
        vec![Piece { tag: Tag::Chain(claim), offset: whole.start, length }]
    }

    /// Who is being asked for a claim's chain, and how long the rest takes, going by what has come.
    pub(crate) fn asked(&self, claim: usize, now: Instant) -> Option<(SocketAddr, Duration)> {
        match &self.get(claim)?.state {
            ClaimState::Wanted { received, asked, asked_at, .. } => {
                let missing = self.length() - received.total();
                Some(((*asked)?, at_this_pace(now.since(*asked_at), received.total(), missing)))
            }
            ClaimState::Known(_) | ClaimState::Refuted => None,
        }
    }

    /// This source is not asked any more.
    pub(crate) fn unask(&mut self, source: SocketAddr) {
        for claim in &mut self.claims {
            if let ClaimState::Wanted { asked, .. } = &mut claim.state {
                asked.take_if(|asked| *asked == source);
            }
        }
    }

    /// Whether bytes of this claim's chain are still wanted of this source.
    pub(crate) fn wants(&self, claim: usize, source: SocketAddr) -> bool {
        matches!(self.get(claim), Some(Claim { state: ClaimState::Wanted { asked, .. }, .. })
            if *asked == Some(source))
    }

    /// Some bytes of a chain have come.
    pub(crate) fn receive(
        &mut self,
        claim: usize,
        from: SocketAddr,
        offset: u64,
        payload: &[u8],
    ) -> ChainBytes {
        let whole = self.length();
        if !self.wants(claim, from) {
            return ChainBytes::More;
        }
        let (content, size) = (self.content, self.layout.size());
        let Some(Claim { id, state, .. }) = self.get_mut(claim) else { return ChainBytes::More };
        let ClaimState::Wanted { bytes, received, asked, .. } = state else {
            return ChainBytes::More;
        };
        let end = offset + payload.len() as u64;
        if end > whole {
            return ChainBytes::More;
        }
        if (bytes.len() as u64) < end {
            bytes.resize(end as usize, 0);
        }
        bytes[offset as usize..end as usize].copy_from_slice(payload);
        received.insert(offset..end);
        if received.total() < whole {
            return ChainBytes::More;
        }
        let states = std::mem::take(bytes);
        received.clear();
        *asked = None;
        if ChainId::of(&states) != *id {
            return ChainBytes::False;
        }
        match Chain::from_bytes(content, size, states) {
            Some(chain) => {
                *state = ClaimState::Known(chain);
                ChainBytes::Known
            }
            None => ChainBytes::False,
        }
    }

    pub(crate) fn check_invariants(&self) {
        assert!(self.claims.len() <= CLAIMS_MAX);
        if let Some(current) = self.current {
            assert!(!self.is_refuted(current), "a refuted chain is not gone by");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 4 * 65_536;
    const NOW: Instant = Instant::from_micros(1_000_000);

    fn host(number: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, number], 9))
    }

    #[test]
    fn a_chain_comes_from_one_source_and_has_the_name_that_was_claimed() {
        let states: Vec<u8> = (0..60).collect();
        let mut claims = Claims::new(ContentId::EMPTY, SIZE);
        let claim = claims.find_or_add(ChainId::of(&states)).unwrap();
        assert_eq!(claims.find_or_add(ChainId::of(&states)), Some(claim));
        assert_eq!(claims.ask(claim, host(1), NOW).len(), 1);
        assert!(claims.ask(claim, host(2), NOW).is_empty(), "somebody else is being asked");
        for (from, offset, length, expected) in [
            (2, 0, 60, ChainBytes::More),
            (1, 0, 40, ChainBytes::More),
            (1, 0, 40, ChainBytes::More),
            (1, 50, 60, ChainBytes::More),
            (1, 40, 20, ChainBytes::Known),
            (1, 40, 20, ChainBytes::More),
        ] {
            let payload: Vec<u8> = (offset as u8..offset as u8 + length).collect();
            assert_eq!(claims.receive(claim, host(from), offset, &payload), expected);
        }
        assert!(claims.chain(claim).is_some());
        let other = claims.find_or_add(ChainId([9; 20])).unwrap();
        claims.ask(other, host(1), NOW);
        assert_eq!(claims.receive(other, host(1), 0, &[0; 60]), ChainBytes::False);
        assert!(claims.is_wanted(other), "another source may have it");
    }

    #[test]
    fn numbers_are_not_used_twice_and_one_block_has_one_claim() {
        let mut claims = Claims::new(ContentId::EMPTY, SIZE);
        let added: Vec<_> = (0..20).map(|id| claims.find_or_add(ChainId([id; 20]))).collect();
        assert_eq!(added.iter().flatten().count(), CLAIMS_MAX);
        claims.forget(3);
        assert_eq!(claims.find_or_add(ChainId([99; 20])), Some(CLAIMS_MAX));
        assert!(!claims.is_wanted(3) && claims.chain(3).is_none());
        assert!(claims.ask(3, host(1), NOW).is_empty());
        let mut claims = Claims::new(ContentId::EMPTY, 65_536);
        let added: Vec<_> = (0..20).map(|id| claims.find_or_add(ChainId([id; 20]))).collect();
        assert_eq!(added, [Some(0); 20]);
        assert!(claims.chain(0).is_some());
    }

    #[test]
    fn the_rest_is_expected_at_the_pace_of_what_came() {
        let mut claims = Claims::new(ContentId::EMPTY, SIZE);
        let claim = claims.find_or_add(ChainId([1; 20])).unwrap();
        claims.ask(claim, host(1), NOW);
        assert_eq!(claims.asked(claim, NOW), Some((host(1), Duration::ZERO)));
        claims.receive(claim, host(1), 0, &[0; 20]);
        let later = NOW + Duration::from_secs(2);
        assert_eq!(claims.asked(claim, later), Some((host(1), Duration::from_secs(4))));
        claims.unask(host(1));
        assert_eq!(claims.asked(claim, later), None);
    }
}
