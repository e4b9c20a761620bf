//! So much, and not more, per second: things that are dropped beyond it, and bytes that wait for it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::time::Instant;
use crate::wire::DATA_HEADER_LENGTH;

/// What goes at once, in time: short for the queues on the way, long enough for few system calls and grants.
const PIECE: Duration = Duration::from_millis(5);
/// A piece is not longer than a grant may be.
const PIECE_MAX: u64 = 64 * 1024;
/// A loop that wakes late, or had nothing to send for a while, catches up with this much: poll counts
/// in milliseconds, and a turn may take five.
const CATCH_UP: Duration = Duration::from_millis(10);
/// What a packet is besides its payload: our header, UDP's, and IP's of either version.
const HEADERS_V4: u64 = DATA_HEADER_LENGTH as u64 + 8 + 20;
const HEADERS_V6: u64 = DATA_HEADER_LENGTH as u64 + 8 + 40;

/// Allows a steady number of things a second, and a second's worth at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Budget {
    per_second: u64,
    /// In millionths of a thing.
    held: u64,
    filled_at: Instant,
}

impl Budget {
    pub(crate) const fn new(per_second: u64) -> Self {
        Self { per_second, held: per_second * 1_000_000, filled_at: Instant::ORIGIN }
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.held = self.since_filled(now).min(self.per_second * 1_000_000);
        self.filled_at = self.filled_at.max(now);
        if self.held < 1_000_000 {
            return false;
        }
        self.held -= 1_000_000;
        true
    }

    /// One that was taken was well spent.
    fn give_back(&mut self) {
        self.held = self.held.saturating_add(1_000_000).min(self.per_second * 1_000_000);
    }

    /// Whether all that there can be is there by now.
    fn is_full(&self, now: Instant) -> bool {
        self.since_filled(now) >= self.per_second * 1_000_000
    }

    fn since_filled(&self, now: Instant) -> u64 {
        let micros = u64::try_from(now.since(self.filled_at).as_micros()).unwrap_or(u64::MAX);
        self.held.saturating_add(micros.saturating_mul(self.per_second))
    }
}

/// The same for each of many who are told apart by a number alone, of which there are not too many: whoever shares one shares
/// what it allows. Of who has taken nothing for a second, nothing is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BudgetEach {
    per_second: u64,
    of: BTreeMap<u16, Budget>,
    tidied_at: Instant,
}

impl BudgetEach {
    pub(crate) const fn new(per_second: u64) -> Self {
        Self { per_second, of: BTreeMap::new(), tidied_at: Instant::ORIGIN }
    }

    /// Whether all have all that they can have, as far as is kept.
    pub(crate) fn is_idle(&self) -> bool {
        self.of.is_empty()
    }

    /// How many are kept.
    pub(crate) fn len(&self) -> usize {
        self.of.len()
    }

    /// Takes one of this one's, if there is one.
    pub(crate) fn take(&mut self, now: Instant, whose: u16) -> bool {
        if now.since(self.tidied_at) >= Duration::from_secs(1) {
            self.tidied_at = now;
            self.of.retain(|_, budget| !budget.is_full(now));
        }
        let per_second = self.per_second;
        self.of.entry(whose).or_insert_with(|| Budget::new(per_second)).take(now)
    }

    /// What this one took was well spent.
    pub(crate) fn give_back(&mut self, whose: u16) {
        self.of.get_mut(&whose).into_iter().for_each(Budget::give_back);
    }
}

/// Paces data packets, so that no more bytes than that leave, or are asked for, in a second. Counted as the
/// network does: packets with all their headers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Pace {
    per_second: u64,
    /// When the next piece may go.
    next_at: Instant,
    /// What dividing has left, in millionths of a byte: it is made good the next time.
    remainder: u64,
}

impl Pace {
    /// At least a byte a second.
    pub(crate) fn new(per_second: u64) -> Self {
        Self { per_second: per_second.max(1), next_at: Instant::ORIGIN, remainder: 0 }
    }

    /// When the next piece may go.
    pub(crate) const fn next_at(&self) -> Instant {
        self.next_at
    }

    /// What may go at once, in bytes with all headers: five milliseconds' worth.
    pub(crate) fn burst(&self) -> u64 {
        let micros = u64::try_from(PIECE.as_micros()).unwrap_or(u64::MAX);
        (self.per_second.saturating_mul(micros) / 1_000_000).min(PIECE_MAX)
    }

    /// How much payload may go at once to or from this address: five milliseconds' worth, and at least a
    /// packet. Nothing before the next piece may go.
    pub(crate) fn piece(&self, now: Instant, at: SocketAddr, payload_length: u64) -> u64 {
        if now < self.next_at {
            return 0;
        }
        (self.burst() / (payload_length + headers(at))).max(1) * payload_length
    }

    /// So much payload goes.
    pub(crate) fn take(&mut self, now: Instant, at: SocketAddr, length: u64, payload_length: u64) {
        let bytes = length + length.div_ceil(payload_length.max(1)) * headers(at);
        let from = self.next_at.max(now - CATCH_UP);
        let due = bytes.saturating_mul(1_000_000).saturating_add(self.remainder);
        self.remainder = due % self.per_second;
        self.next_at = from + Duration::from_micros(due / self.per_second);
    }
}

const fn headers(at: SocketAddr) -> u64 {
    if at.is_ipv4() { HEADERS_V4 } else { HEADERS_V6 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_kept_to_the_byte_and_after_a_pause_it_catches_up_by_milliseconds() {
        let v4 = SocketAddr::from(([192, 0, 2, 1], 9));
        let v6 = SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 9));
        for (per_second, at, packet) in [
            (10_000_000, v4, 1_408 + HEADERS_V4),
            (10_000_000, v6, 1_408 + HEADERS_V6),
            (123_456_789, v4, 1_408 + HEADERS_V4),
            (1_000, v4, 1_408 + HEADERS_V4),
        ] {
            let mut pace = Pace::new(per_second);
            let start = Instant::from_micros(50_000_000);
            let (mut now, mut packets) = (start, 0);
            while now.since(start) < Duration::from_secs(10) {
                // Sometimes a loop wakes late.
                now = now.max(pace.next_at()) + Duration::from_micros(packets % 900);
                let piece = pace.piece(now, at, 1_408);
                assert!(piece >= 1_408 && piece % 1_408 == 0);
                assert!(piece <= 1_408 || piece * 200 <= per_second, "5 ms at most");
                pace.take(now, at, piece, 1_408);
                packets += piece / 1_408;
            }
            let (went, may) = (packets * packet, per_second * 10);
            assert!(went.abs_diff(may) <= may / 300 + 2 * packet, "{went} of {may}");
            // A second of nothing is worth ten milliseconds.
            let later = pace.next_at() + Duration::from_secs(1);
            let mut at_once = 0;
            while pace.piece(later, at, 1_408) > 0 {
                let piece = pace.piece(later, at, 1_408);
                pace.take(later, at, piece, 1_408);
                at_once += piece / 1_408 * packet;
            }
            assert!(at_once <= per_second / 60 + packet, "{at_once} at once");
        }
    }

    #[test]
    fn what_dividing_leaves_is_made_good() {
        let at = SocketAddr::from(([192, 0, 2, 1], 9));
        let (mut pace, start) = (Pace::new(100_000_000), Instant::from_micros(1_000_000));
        for _ in 0..10_000 {
            pace.take(start, at, 1_408, 1_408);
        }
        // 14.56 microseconds each, after ten milliseconds that are caught up with.
        let bytes = 10_000 * (1_408 + HEADERS_V4);
        assert_eq!(pace.next_at().since(start).as_micros(), u128::from(bytes / 100) - 10_000);
    }

    #[test]
    fn each_has_its_own_and_who_spends_well_goes_on() {
        let mut each = BudgetEach::new(10);
        let at = |millis: u64| Instant::from_micros(5_000_000 + millis * 1_000);
        let taken = |each: &mut BudgetEach, millis, whose| {
            (0..100).filter(|_| each.take(at(millis), whose)).count()
        };
        assert_eq!((taken(&mut each, 0, 1), taken(&mut each, 0, 2)), (10, 10));
        assert_eq!((taken(&mut each, 500, 1), taken(&mut each, 600, 1)), (5, 1));
        (0..100).for_each(|_| each.give_back(1));
        assert_eq!((taken(&mut each, 600, 1), taken(&mut each, 600, 3)), (10, 10));
        assert_eq!(each.len(), 3);
        // Who was left alone for a second is as good as new, and not kept.
        assert_eq!((taken(&mut each, 2_000, 1), each.len()), (10, 1));
    }

    #[test]
    fn a_second_at_once_then_steadily() {
        let mut budget = Budget::new(10);
        let start = Instant::from_micros(1_000_000);
        assert_eq!((0..100).filter(|_| budget.take(start)).count(), 10);
        let later = Instant::from_micros(1_300_000);
        assert_eq!((0..100).filter(|_| budget.take(later)).count(), 3);
    }
}
