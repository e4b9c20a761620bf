//! Which packet length a way takes, found by trying: datagram packetization layer path MTU discovery
//! (RFC 8899) with four rungs and the data itself as probes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::node::time::Instant;
use crate::wire::{PAYLOAD_LENGTH_FIRST, PAYLOAD_LENGTHS};

/// After so many probes in vain (RFC 8899 section 5.1.2: MAX_PROBES), the next rung is left alone.
const PROBES_MAX: u32 = 3;
/// A probe takes at most this part of the window: it may be lost, and then holds its place for a round trip.
const WINDOW_SHARE: u64 = 16;
/// Grants between two probes.
const GRANTS_BETWEEN: u64 = 4;
/// After so many silences without a packet of full length, shorter ones are asked for.
const SILENCES_MAX: u32 = 3;
/// How long a rung that did not pass is left alone (RFC 8899 suggests 600 s; hosts move sooner).
const REST: Duration = Duration::from_secs(60);

/// The state of the search on one way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ladder {
    rung: usize,
    /// The highest rung that is worth trying.
    top: usize,
    failures: u32,
    /// How often nothing came in time, since the last packet of full length.
    #[serde(default)]
    silences: u32,
    next_probe: u64,
    /// A probe is on its way: the next one waits for what becomes of it.
    #[serde(default)]
    is_probing: bool,
    rest_until: Option<Instant>,
}

impl Ladder {
    pub(crate) const fn new() -> Self {
        Self {
            rung: PAYLOAD_LENGTH_FIRST,
            top: PAYLOAD_LENGTHS.len() - 1,
            failures: 0,
            silences: 0,
            next_probe: 1,
            is_probing: false,
            rest_until: None,
        }
    }

    /// Bytes of payload that are known to pass.
    pub(crate) const fn payload_length(&self) -> u64 {
        PAYLOAD_LENGTHS[self.rung] as u64
    }

    /// What the grant with this number is to ask for, of `bytes` that are wanted, and whether that is a probe:
    /// only a packet of full length proves anything.
    pub(crate) fn for_grant(
        &mut self,
        now: Instant,
        sequence: u64,
        bytes: u64,
        window: u64,
    ) -> (u64, bool) {
        if self.rest_until.is_some_and(|until| now >= until) {
            self.rest_until = None;
            self.failures = 0;
        }
        let may = self.rest_until.is_none() && !self.is_probing && sequence >= self.next_probe;
        if self.rung < self.top && may {
            let longer = u64::from(PAYLOAD_LENGTHS[self.rung + 1]);
            if bytes >= longer && window >= longer * WINDOW_SHARE {
                self.next_probe = sequence + GRANTS_BETWEEN;
                self.is_probing = true;
                return (longer, true);
            }
        }
        (self.payload_length(), false)
    }

    /// A probe of this payload length came through.
    pub(crate) fn passed(&mut self, payload_length: u64) {
        self.is_probing = false;
        if let Some(rung) =
            PAYLOAD_LENGTHS.iter().position(|&length| u64::from(length) == payload_length)
        {
            self.rung = self.rung.max(rung.min(self.top));
            self.failures = 0;
        }
    }

    /// A probe was lost.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.is_probing = false;
        self.failures += 1;
        if self.failures >= PROBES_MAX {
            self.rest_until = Some(now + REST);
        }
    }

    /// The source cannot send packets of this payload length.
    pub(crate) fn too_long(&mut self, payload_length: u64) {
        self.is_probing = false;
        while self.top > 0 && u64::from(PAYLOAD_LENGTHS[self.top]) >= payload_length {
            self.top -= 1;
        }
        self.rung = self.rung.min(self.top);
    }

    /// A packet of this length has come.
    pub(crate) const fn came(&mut self, length: u64) {
        if length >= self.payload_length() {
            self.silences = 0;
        }
    }

    /// A probe was given up before anything was known of it.
    pub(crate) const fn abandoned(&mut self) {
        self.is_probing = false;
    }

    /// Nothing came in time; `stalled`, not even after it was asked for once more.
    pub(crate) fn silent(&mut self, now: Instant, stalled: bool) {
        self.silences += 1;
        // Short packets may still come where long ones do not any more.
        if stalled || self.silences >= SILENCES_MAX {
            self.silences = 0;
            self.retreat(now);
        }
    }

    /// Nothing comes: perhaps because the packets are too long now (a black hole). The shortest are tried
    /// only when those that one begins with do not come either.
    fn retreat(&mut self, now: Instant) {
        if self.rung > 0 {
            self.rung = if self.rung > PAYLOAD_LENGTH_FIRST { PAYLOAD_LENGTH_FIRST } else { 0 };
            self.rest_until = Some(now + REST / 10);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn climbs_by_probes_and_stops_where_they_fail() {
        let start = Instant::ORIGIN;
        let mut ladder = Ladder::new();
        assert_eq!(ladder.for_grant(start, 0, 65_536, 1 << 20), (1152, false));
        assert_eq!(ladder.for_grant(start, 1, 65_536, 1 << 20), (1408, true));
        assert_eq!(ladder.for_grant(start, 2, 65_536, 1 << 20), (1152, false));
        ladder.passed(1408);
        assert_eq!(ladder.for_grant(start, 3, 65_536, 1 << 20), (1408, false));
        assert_eq!(ladder.for_grant(start, 5, 65_536, 1 << 20), (8896, true));
        for _ in 0..3 {
            ladder.failed(start);
        }
        assert_eq!(ladder.for_grant(start, 100, 65_536, 1 << 20), (1408, false));
        assert_eq!(ladder.for_grant(start + REST, 101, 65_536, 1 << 20), (8896, true));
        ladder.too_long(8896);
        assert_eq!(ladder.for_grant(start + REST, 200, 65_536, 1 << 20), (1408, false));
        ladder.too_long(1408);
        assert_eq!(ladder.for_grant(start + REST, 201, 65_536, 1 << 20), (1152, false));
    }

    #[test]
    fn what_is_shorter_is_no_probe() {
        let mut ladder = Ladder::new();
        assert_eq!(ladder.for_grant(Instant::ORIGIN, 1, 1_407, 1 << 20), (1152, false));
        assert_eq!(ladder.for_grant(Instant::ORIGIN, 2, 1_408, 1 << 20), (1408, true));
    }

    #[test]
    fn silence_leads_down_and_probes_lead_up_again() {
        let start = Instant::ORIGIN;
        let mut ladder = Ladder::new();
        ladder.passed(8896);
        ladder.retreat(start);
        assert_eq!(ladder.for_grant(start, 10, 65_536, 1 << 20), (1152, false));
        ladder.retreat(start);
        assert_eq!(ladder.for_grant(start, 20, 65_536, 1 << 20), (512, false));
        ladder.retreat(start);
        assert_eq!(ladder.for_grant(start + REST, 30, 65_536, 1 << 20), (1152, true));
    }
}
