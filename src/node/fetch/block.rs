//! A block in memory: what it is for, how far it is, and who is asked for it.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::content::RangeSet;
use crate::node::time::Instant;

/// A block may be moved to another source so often.
const MOVES_MAX: u8 = 2;
/// Less than this of a block's or a chain's time says nothing about the rest of it.
const TELLING: Duration = Duration::from_secs(1);

/// What a block in memory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Purpose {
    /// The file.
    Content,
    /// Proving one chain against another.
    Challenge {
        /// The claim it speaks for.
        claim: usize,
    },
    /// Proving that the content has another size than the caller said.
    Size {
        /// That size in bytes.
        size: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    Gathering,
    Gathered,
    Verifying,
    Held,
    Storing,
}

/// A block in memory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Block {
    pub(crate) purpose: Purpose,
    pub(crate) block: u64,
    pub(crate) start: u64,
    pub(crate) length: u64,
    pub(crate) stage: Stage,
    /// Who is asked for what is missing; nobody for the moment, where there is none.
    pub(crate) owner: Option<SocketAddr>,
    /// Bytes of it came from more than one source: if it is bad, nobody is to blame.
    pub(crate) mixed: bool,
    pub(super) first_from: Option<SocketAddr>,
    pub(super) received: RangeSet,
    pub(super) moves: u8,
    /// When its owner became its owner, and how much had come by then.
    pub(super) owned_at: Instant,
    pub(super) had: u64,
}

impl Block {
    /// What is missing, as positions in the object.
    pub(crate) fn missing(&self) -> Vec<Range<u64>> {
        let start = self.start;
        self.received.gaps(0..self.length).map(|gap| gap.start + start..gap.end + start).collect()
    }

    pub(crate) fn missing_bytes(&self) -> u64 {
        self.length - self.received.total()
    }

    /// Whether none of these positions in the object has come.
    pub(crate) fn first_missing(&self, within: Range<u64>) -> Option<Range<u64>> {
        let gap = self.received.first_gap(within.start - self.start..within.end - self.start)?;
        Some(gap.start + self.start..gap.end + self.start)
    }

    /// Starts over with it.
    pub(super) fn forget_received(&mut self) {
        self.received.clear();
        self.first_from = None;
        self.mixed = false;
    }

    pub(crate) const fn may_move(&self) -> bool {
        self.moves < MOVES_MAX
    }

    /// How long the rest takes its owner, going by what has come from it.
    pub(crate) fn finishes_in(&self, now: Instant) -> Duration {
        let came = self.received.total().saturating_sub(self.had);
        at_this_pace(now.since(self.owned_at), came, self.missing_bytes())
    }
}

/// How long `missing` bytes take where `came` have come in this time; zero before it is long enough to
/// tell. Who gives a packet now and then is not silent, and must not hold up everybody for that.
pub(super) fn at_this_pace(elapsed: Duration, came: u64, missing: u64) -> Duration {
    if elapsed < TELLING {
        return Duration::ZERO;
    }
    let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(micros.saturating_mul(missing) / came.max(1))
}
