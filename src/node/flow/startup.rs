//! The beginning, when the rate of a way is not known: how much may be in flight, growing with what comes, and when
//! enough is known.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::loss::PACKET;
use super::round_trip::RoundTrip;

/// Ten datagrams (RFC 6928), in bytes of payload.
const INITIAL_WINDOW: u64 = 10 * PACKET;
/// Grown to this at the most.
const WINDOW_MAX: u64 = 1 << 26;
/// It ends after this many round trips without a quarter more (BBR).
const FULL_ROUNDS: u8 = 3;
/// So many round trips, measured one after the other, say whether a queue fills (HyStart++ has 8; grants are fewer).
const TRIPS_TELLING: u32 = 6;
/// While trains of packets show that a way takes far more, the window leaps to so many times as much, up to so many
/// bytes.
const LEAP: u64 = 12;
const LEAP_MAX: u64 = 1_024 * PACKET;
/// A train shorter than this was measured by our own clock rather than by the way.
const TRAIN_MIN: Duration = Duration::from_micros(150);

/// The state of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Startup {
    window: u64,
    full_rate: u64,
    full_rounds: u8,
    /// The slowest train of packets so far, in bytes a second: how fast the way is at its narrowest.
    train_rate: Option<u64>,
    /// What has to come before the next leap, in bytes: what was in flight at the last one.
    #[serde(default)]
    before_leap: u64,
    /// So many round trips in a row were longer than the bare one.
    long_trips: u32,
}

impl Startup {
    pub(super) const fn new() -> Self {
        Self {
            window: INITIAL_WINDOW,
            full_rate: 0,
            full_rounds: 0,
            train_rate: None,
            before_leap: 0,
            long_trips: 0,
        }
    }

    /// Bytes that may be in flight.
    pub(super) const fn window(&self) -> u64 {
        self.window
    }

    /// Twice the window in a round trip, in bytes a second: what was measured of the first few packets is mostly waiting.
    pub(super) fn pace(&self, trip: &RoundTrip) -> u64 {
        let micros = u64::try_from(trip.smoothed().as_micros()).unwrap_or(u64::MAX).max(100);
        self.window.saturating_mul(2_000_000) / micros
    }

    /// Bytes have come.
    pub(super) fn delivered(&mut self, bytes: u64) {
        self.window = self.window.saturating_add(bytes).min(WINDOW_MAX);
        self.before_leap = self.before_leap.saturating_sub(bytes);
    }

    /// All packets of a grant came, one after the other, `bytes` within `span` after the first: sent at once, they came as
    /// the narrowest part of the way lets them through (packet trains: Jain and Routhier 1986). If that is far more than
    /// the window, it leaps to half of that, once in a round trip, which pacing spreads over half of the next one: a train
    /// that was measured right makes no queue, and one that was measured too fast by twice makes one of half of what the
    /// way holds. The round trip after that fills the way.
    pub(super) fn train(&mut self, bytes: u64, span: Duration, trip: &RoundTrip) {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        // What comes all at once was gathered on its way, and says nothing.
        if span < TRAIN_MIN {
            return;
        }
        let rate = bytes.saturating_mul(1_000_000) / micros;
        let slowest = self.train_rate.map_or(rate, |slowest| slowest.min(rate));
        self.train_rate = Some(slowest);
        let micros = u64::try_from(trip.minimum().as_micros()).unwrap_or(u64::MAX);
        let holds = slowest.saturating_mul(micros) / 1_000_000;
        let leap = (holds / 2).min(LEAP_MAX).min(self.window.saturating_mul(LEAP));
        if leap > self.window && self.before_leap == 0 {
            self.before_leap = self.window;
            self.window = leap;
        }
    }

    /// A round trip was measured. True once it shows that a queue begins to fill (HyStart++, RFC 9406, section 4.2).
    pub(super) fn is_filling(&mut self, sample: Duration, trip: &RoundTrip) -> bool {
        let bare = trip.minimum();
        let rise = (bare / 8).clamp(Duration::from_millis(4), Duration::from_millis(16));
        self.long_trips = if sample > bare + rise { self.long_trips + 1 } else { 0 };
        self.long_trips >= TRIPS_TELLING
    }

    /// A round trip has gone by in which there was enough to ask for. True once it brings no more.
    pub(super) const fn is_full(&mut self, rate: u64) -> bool {
        if rate >= self.full_rate + self.full_rate / 4 {
            self.full_rate = rate;
            self.full_rounds = 0;
        } else {
            self.full_rounds += 1;
        }
        self.full_rounds >= FULL_ROUNDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::time::Instant;

    fn trip(millis: u64) -> RoundTrip {
        let mut trip = RoundTrip::new();
        trip.sample(Instant::ORIGIN, Duration::from_millis(millis));
        trip
    }

    #[test]
    fn doubles_in_a_round_trip_and_leaps_where_trains_show_room() {
        let trip = trip(80);
        let mut startup = Startup::new();
        startup.delivered(INITIAL_WINDOW);
        assert_eq!(startup.window(), 2 * INITIAL_WINDOW);
        // What came all at once says nothing; 12.5 MB/s for 80 ms are a megabyte.
        startup.train(4_224, Duration::from_micros(3), &trip);
        assert_eq!(startup.window(), 2 * INITIAL_WINDOW);
        startup.train(4_224, Duration::from_micros(338), &trip);
        assert_eq!(startup.window(), LEAP * 2 * INITIAL_WINDOW);
        startup.train(4_224, Duration::from_micros(338), &trip);
        assert_eq!(startup.window(), LEAP * 2 * INITIAL_WINDOW, "once in a round trip");
        startup.delivered(2 * INITIAL_WINDOW);
        startup.train(4_224, Duration::from_micros(338), &trip);
        let half = startup.window();
        assert!((495_000..501_000).contains(&half), "{half}");
        startup.delivered(half);
        assert_eq!(startup.window(), 2 * half);
        // The slowest train counts, and no leap goes to more than so many times as much.
        let mut startup = Startup::new();
        startup.train(4_224, Duration::from_millis(40), &trip);
        startup.train(4_224, Duration::from_micros(338), &trip);
        assert_eq!(startup.window(), INITIAL_WINDOW);
        let mut startup = Startup::new();
        startup.train(64_000, Duration::from_micros(512), &trip);
        assert_eq!(startup.window(), LEAP * INITIAL_WINDOW);
    }

    #[test]
    fn ends_where_nothing_grows_or_a_queue_does() {
        let mut startup = Startup::new();
        let full = [100, 200, 240, 249].map(|rate| startup.is_full(rate));
        assert_eq!(full, [false; 4]);
        assert!(startup.is_full(249));
        let (trip, mut startup) = (trip(40), Startup::new());
        let filling = |startup: &mut Startup, millis| {
            startup.is_filling(Duration::from_millis(millis), &trip)
        };
        assert!((0..5).all(|_| !filling(&mut startup, 50)));
        assert!(!filling(&mut startup, 44), "one that is not longer, and all begins anew");
        assert!((0..5).all(|_| !filling(&mut startup, 50)));
        assert!(filling(&mut startup, 50));
    }
}
