//! What loss says about a way. Two things are told apart, because they ask for opposite answers: packets that a
//! noisy way loses by chance, and packets that did not fit into a queue.
//!
//! *By chance* is what is lost while less is sent than the way is known to carry: no queue of ours can overflow then.
//! *Too much* is what a round trip loses beyond that. Then all that may be in flight gets a ceiling, which is given back as
//! CUBIC gives it back (RFC 9438), so that beside CUBIC both meet the same losses and answer alike.

use serde::{Deserialize, Serialize};

use crate::node::time::Instant;

/// A full packet, in bytes of payload.
pub(super) const PACKET: u64 = 1_408;
/// What is believed at the most to be lost by chance, in thousandths: beyond it a way is broken rather than noisy.
const CHANCE_MAX: u64 = 250;
/// So many bytes sent below the rate say how much is lost by chance; after twice as many the older half weighs half.
const TELLING: u64 = 64 * PACKET;
const MEMORY: u64 = 1_024 * PACKET;

/// What is lost by chance, learned from what was sent below the rate.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Chance {
    sent: u64,
    lost: u64,
}

impl Chance {
    /// Bytes that were sent below the rate, and whether they came.
    pub(super) const fn note(&mut self, bytes: u64, came: bool) {
        self.sent += bytes;
        if !came {
            self.lost += bytes;
        }
        if self.sent > MEMORY {
            self.sent /= 2;
            self.lost /= 2;
        }
    }

    /// They were only late.
    pub(super) const fn take_back(&mut self, bytes: u64) {
        self.lost = self.lost.saturating_sub(bytes);
    }

    /// Thousandths that are lost by chance; 0 before it can be said.
    pub(super) fn thousandths(&self) -> u64 {
        if self.sent < TELLING { 0 } else { (self.lost * 1_000 / self.sent).min(CHANCE_MAX) }
    }

    /// What has to be sent so that so much comes.
    pub(super) fn compensated(&self, wanted: u64) -> u64 {
        wanted.saturating_mul(1_000) / (1_000 - self.thousandths())
    }

    /// Whether a round trip that lost so much of so much has lost more than chance takes: a fiftieth more
    /// (BBRv3's threshold) and three standard deviations, in packets.
    pub(super) fn is_exceeded(&self, lost: u64, sent: u64) -> bool {
        let expected = sent * self.thousandths() / 1_000 / PACKET;
        let deviation = (expected + 1).isqrt();
        lost / PACKET > sent / 50 / PACKET + expected + deviation * 3
    }
}

/// CUBIC's constants (RFC 9438, sections 4.1, 4.3 and 4.6): the part that is left after a cut, and how steeply it is
/// given back, in packets a second cubed, both in tenths.
const BETA_TENTHS: u64 = 7;
const C_TENTHS: u64 = 4;
/// A ceiling that is this many times what the window would be anyway is none any more.
const FORGOTTEN: u64 = 2;

/// A ceiling for what is in flight, after more was lost than chance takes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Ceiling {
    /// What was in flight when it was too much, in bytes.
    largest: u64,
    since: Instant,
    /// What it grows by at least, counted from what was left: as Reno would have, in bytes.
    steady: u64,
}

impl Ceiling {
    /// So much was too much.
    pub(super) fn after(in_flight: u64, before: Option<Self>, now: Instant) -> Self {
        // Fast convergence (RFC 9438, section 4.7): who has less than before lets others have more.
        let shrinks = before.is_some_and(|before| in_flight < before.largest);
        let largest = if shrinks { in_flight * (10 + BETA_TENTHS) / 20 } else { in_flight };
        Self { largest, since: now, steady: in_flight * BETA_TENTHS / 10 }
    }

    /// A round trip has gone by; `alone` where no queue was seen: then there is nobody to be fair to.
    pub(super) const fn grow(&mut self, alone: bool) {
        // RFC 9438, section 4.3: 3 (1 - beta) / (1 + beta) of a packet.
        self.steady += if alone { self.steady / 8 + PACKET } else { PACKET * 53 / 100 };
    }

    /// Bytes that may be in flight.
    pub(super) fn value(&self, now: Instant) -> u64 {
        let packets = self.largest / PACKET;
        let wait = cube_root(packets * (10 - BETA_TENTHS) * 1_000_000_000 / C_TENTHS);
        let millis = i128::try_from(now.since(self.since).as_millis()).unwrap_or(i128::MAX);
        let away = millis.min(1 << 30) - i128::from(wait);
        let grown = away * away * away * i128::from(C_TENTHS * PACKET) / 10_000_000_000;
        let value = u64::try_from(i128::from(self.largest) + grown).unwrap_or(0);
        value.max(self.steady)
    }

    /// Whether it limits nothing any more where the window would be so large.
    pub(super) fn is_forgotten(&self, window: u64, now: Instant) -> bool {
        self.value(now) > window * FORGOTTEN
    }
}

/// The whole part of a cube root.
fn cube_root(of: u64) -> u64 {
    let (mut low, mut high) = (0u64, 1u64 << 21);
    while high - low > 1 {
        let middle = low.midpoint(high);
        if middle * middle * middle <= of { low = middle } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn chance_is_what_is_lost_below_the_rate() {
        let mut chance = Chance::default();
        chance.note(PACKET, false);
        assert_eq!(chance.thousandths(), 0, "one packet says nothing");
        for packet in 1..4_000 {
            chance.note(PACKET, packet % 20 != 0);
        }
        assert!((45..=55).contains(&chance.thousandths()), "{chance:?}");
        assert!((1_045..=1_060).contains(&chance.compensated(1_000)));
        // Of a hundred packets five are lost by chance; it takes more than a few more to mean something.
        for (lost, exceeded) in [(0, false), (5, false), (12, false), (20, true), (50, true)] {
            assert_eq!(chance.is_exceeded(lost * PACKET, 100 * PACKET), exceeded, "{lost}");
        }
        let clean = Chance::default();
        for (lost, exceeded) in [(3, false), (5, false), (6, true)] {
            assert_eq!(clean.is_exceeded(lost * PACKET, 100 * PACKET), exceeded, "{lost}");
        }
    }

    #[test]
    fn a_ceiling_is_cut_and_given_back_as_cubic_does() {
        let start = Instant::from_micros(1);
        let mut ceiling = Ceiling::after(200 * PACKET, None, start);
        let after = |seconds| start + Duration::from_secs(seconds);
        let packets = |ceiling: &Ceiling, at| ceiling.value(at) / PACKET;
        assert!((139..=140).contains(&packets(&ceiling, start)));
        // The cube root of 200 * 0.3 / 0.4 is 5.3: by then it is as before, and goes on beyond.
        assert!((190..200).contains(&packets(&ceiling, after(4))));
        assert!((199..=201).contains(&packets(&ceiling, after(5))));
        assert!(packets(&ceiling, after(12)) > 300);
        assert!(!ceiling.is_forgotten(200 * PACKET, after(5)));
        assert!(ceiling.is_forgotten(200 * PACKET, after(16)));
        let again = Ceiling::after(150 * PACKET, Some(ceiling), start);
        assert_eq!(again.largest / PACKET, 127);
        for _ in 0..400 {
            ceiling.grow(false);
        }
        assert!(packets(&ceiling, start) > 300, "never slower than Reno");
        let mut ceiling = Ceiling::after(200 * PACKET, None, start);
        (0..8).for_each(|_| ceiling.grow(true));
        assert!(packets(&ceiling, start) > 300, "soon forgotten where nobody else is");
    }

    #[test]
    fn cube_roots() {
        for (of, root) in
            [(0, 0), (1, 1), (7, 1), (8, 2), (26, 2), (27, 3), (u64::MAX >> 1, 2_097_151)]
        {
            assert_eq!(cube_root(of), root);
        }
    }
}
