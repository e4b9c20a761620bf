//! The chains that sources claim for one content, and which of them is gone by.
//!
//! A claim is *wanted* (only its name is known), *known* (its states have come and have that name) or
//! *refuted* (a block has proven another one). Sources with the same claim stand and fall together. One claim is
//! gone by; another one that becomes known is weighed against it by one block: see `docs/state-chain.md`.

use std::net::SocketAddr;

use crate::content::state_chain::Chain;
use crate::content::{BlockLayout, ChainId, ContentId, RangeSet};
use crate::node::flow::Piece;

use super::source::Tag;

/// Different chains that are weighed; sources that claim yet another are not used.
pub(crate) const CLAIMS_MAX: usize = 16;
/// The longest chain in bytes: of a content of about 3.5 TB.
pub(crate) const CHAIN_LENGTH_MAX: u64 = 64 * 1024 * 1024;

/// Where a claim stands.
#[derive(Clone, Debug)]
pub(crate) enum ClaimState {
    /// Its states are on their way, or still to be asked for.
    Wanted {
        bytes: Vec<u8>,
        received: RangeSet,
        /// Who is asked for them, and has given all that has come.
        asked: Option<SocketAddr>,
    },
    /// They are known.
    Known(Chain),
    /// They are false.
    Refuted,
}

#[derive(Clone, Debug)]
pub(crate) struct Claim {
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
#[derive(Debug)]
pub(crate) struct Claims {
    content: ContentId,
    layout: BlockLayout,
    claims: Vec<Claim>,
    /// The one that is gone by.
    current: Option<usize>,
}

impl Claims {
    pub(crate) const fn new(content: ContentId, size: u64) -> Self {
        Self { content, layout: BlockLayout::new(size), claims: Vec::new(), current: None }
    }

    pub(crate) const fn length(&self) -> u64 {
        self.layout.state_count() * 20
    }

    pub(crate) fn count(&self) -> usize {
        self.claims.len()
    }

    pub(crate) const fn current(&self) -> Option<usize> {
        self.current
    }

    /// The chain that is gone by, once its states are there.
    pub(crate) fn current_chain(&self) -> Option<&Chain> {
        self.chain(self.current?)
    }

    pub(crate) fn chain(&self, claim: usize) -> Option<&Chain> {
        match &self.claims.get(claim)?.state {
            ClaimState::Known(chain) => Some(chain),
            ClaimState::Wanted { .. } | ClaimState::Refuted => None,
        }
    }

    pub(crate) fn is_refuted(&self, claim: usize) -> bool {
        matches!(self.claims.get(claim), Some(Claim { state: ClaimState::Refuted, .. }))
    }

    pub(crate) fn is_wanted(&self, claim: usize) -> bool {
        matches!(self.claims.get(claim), Some(Claim { state: ClaimState::Wanted { .. }, .. }))
    }

    /// The number of the claim with this name; a new one where there is room.
    pub(crate) fn find_or_add(&mut self, id: ChainId) -> Option<usize> {
        if let Some(index) = self.claims.iter().position(|claim| claim.id == id) {
            return Some(index);
        }
        if self.claims.len() >= CLAIMS_MAX {
            return None;
        }
        let bare = Chain::from_bytes(self.content, self.layout.size(), Vec::new());
        let state = match bare.filter(|_| self.layout.state_count() == 0) {
            // One block or none: there are no states, and nothing to be claimed.
            Some(chain) => ClaimState::Known(chain),
            None => {
                ClaimState::Wanted { bytes: Vec::new(), received: RangeSet::new(), asked: None }
            }
        };
        self.claims.push(Claim { id, state });
        Some(self.claims.len() - 1)
    }

    /// Adds a chain whose states are at hand.
    pub(crate) fn add_known(&mut self, chain: Chain) -> Option<usize> {
        let index = self.find_or_add(chain.id())?;
        self.claims[index].state = ClaimState::Known(chain);
        Some(index)
    }

    pub(crate) const fn go_by(&mut self, claim: usize) {
        self.current = Some(claim);
    }

    pub(crate) fn refute(&mut self, claim: usize) {
        if let Some(refuted) = self.claims.get_mut(claim) {
            refuted.state = ClaimState::Refuted;
        }
        if self.current == Some(claim) {
            self.current = None;
        }
    }

    /// Claims that are known and not gone by.
    pub(crate) fn challengers(&self) -> Vec<usize> {
        (0..self.claims.len())
            .filter(|&claim| Some(claim) != self.current && self.chain(claim).is_some())
            .collect()
    }

    /// The pieces of a wanted claim's chain to ask this source for, if nobody else is being asked.
    pub(crate) fn ask(&mut self, claim: usize, source: SocketAddr) -> Vec<Piece<Tag>> {
        let whole = 0..self.length();
        let Some(Claim { state: ClaimState::Wanted { bytes, received, asked }, .. }) =
            self.claims.get_mut(claim)
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
        let length = whole.end - whole.start;
        vec![Piece { tag: Tag::Chain(claim), offset: whole.start, length }]
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
        matches!(self.claims.get(claim), Some(Claim { state: ClaimState::Wanted { asked, .. }, .. })
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
        let Some(Claim { id, state }) = self.claims.get_mut(claim) else { return ChainBytes::More };
        let ClaimState::Wanted { bytes, received, asked } = state else { return ChainBytes::More };
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
        match Chain::from_bytes(self.content, self.layout.size(), states) {
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
