//! How much may be on its way from one source: a model of the path, in the manner of BBR (Cardwell et
//! al. 2016; draft-ietf-ccwg-bbr), kept by the receiver, who sees every arrival and grants all sending.
//!
//! Two things are measured: the delivery rate (the largest of the last ten round trips) and the round
//! trip (the smallest of the last ten seconds). Their product is what the path holds without a queue; a
//! little over twice that may be in flight, paced at the rate. Random loss says nothing about the
//! rate and changes nothing; loss of more than a tenth of a round trip's packets does.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::round_trip::RoundTrip;
use crate::node::time::Instant;

/// Ten datagrams (RFC 6928), in bytes of payload.
pub(crate) const INITIAL_WINDOW: u64 = 10 * 1408;
/// Four full datagrams: less gives no loss detection by gaps.
const WINDOW_MIN: u64 = 4 * 1408;
/// Filling grows fast enough to double each round trip: 2/ln 2 is 2.885; BBRv3 has 2.773.
const STARTUP_GAIN: Gain = Gain(277);
const DRAIN_GAIN: Gain = Gain(36);
/// One round trip of trying for more, one of giving back, six of cruising (BBRv1).
const CYCLE: [Gain; 8] =
    [Gain(125), Gain(75), Gain(100), Gain(100), Gain(100), Gain(100), Gain(100), Gain(100)];
/// Startup ends after this many round trips without a quarter more.
const FULL_ROUNDS: u8 = 3;
/// Round trips for which a measured rate stands.
const RATE_ROUNDS: u64 = 10;
/// How long little is in flight, to measure the bare round trip.
const PROBE_ROUND_TRIP: Duration = Duration::from_millis(200);
/// The longest wait between two grants; on a way that is slower, the window is what limits.
const PACING_MAX: Duration = Duration::from_secs(2);
/// What receiver and sender need to notice and answer: loops turn in milliseconds at worst.
const SCHEDULING: Duration = Duration::from_millis(1);

/// A factor in hundredths: integers, so that every machine computes the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Gain(u64);

impl Gain {
    const fn of(self, value: u64) -> u64 {
        value.saturating_mul(self.0) / 100
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Mode {
    /// Looking for the rate.
    Startup,
    /// Emptying the queue that looking for it has made.
    Drain,
    /// Around the rate, in a cycle.
    Cruise { phase: usize, since: Instant },
    /// Little in flight, to see the bare round trip.
    ProbeRoundTrip { until: Instant },
}

/// What is remembered with each grant, to compute the delivery rate when it is answered.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    delivered: u64,
    delivered_at: Instant,
    /// The source had nothing more to be asked for: the rate says little.
    limited: bool,
}

/// The model of one source's path.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Congestion {
    mode: Mode,
    /// (round, bytes per second): the largest of each of the last rounds, newest last.
    rates: Vec<(u64, u64)>,
    delivered: u64,
    delivered_at: Instant,
    round: u64,
    round_ends_at: u64,
    round_delivered: u64,
    round_lost: u64,
    full_rate: u64,
    full_rounds: u8,
    /// The window while no rate is known, growing with what is delivered.
    startup_window: u64,
    /// A ceiling that heavy loss has set.
    ceiling: Option<u64>,
    /// When the next grant may go.
    next_at: Instant,
    /// When it last started again from little: what was granted before says nothing about the way as it is now.
    #[serde(default)]
    began_at: Instant,
}

impl Congestion {
    pub(crate) fn new() -> Self {
        Self {
            mode: Mode::Startup,
            rates: Vec::new(),
            delivered: 0,
            delivered_at: Instant::ORIGIN,
            round: 0,
            round_ends_at: 0,
            round_delivered: 0,
            round_lost: 0,
            full_rate: 0,
            full_rounds: 0,
            startup_window: INITIAL_WINDOW,
            ceiling: None,
            next_at: Instant::ORIGIN,
            began_at: Instant::ORIGIN,
        }
    }

    /// The delivery rate in bytes per second; 0 before it is known.
    pub(crate) fn rate(&self) -> u64 {
        self.rates.iter().map(|&(_, rate)| rate).max().unwrap_or(0)
    }

    /// What may be in flight, in bytes.
    pub(crate) fn window(&self, trip: &RoundTrip) -> u64 {
        let holds = self.path_holds(trip);
        let window = match self.mode {
            Mode::Startup => self.startup_window.max(Gain(200).of(holds)),
            Mode::Drain | Mode::Cruise { .. } => Gain(200).of(holds),
            Mode::ProbeRoundTrip { .. } => holds / 2,
        };
        window.min(self.ceiling.unwrap_or(u64::MAX)).max(WINDOW_MIN)
    }

    /// What one grant ought to ask for at the most: two milliseconds' worth, so that the source's burst
    /// stays short, but never so little that grants cost more than they bring, or that more of them are
    /// under way than a source keeps.
    pub(crate) fn quantum(&self, trip: &RoundTrip) -> u64 {
        (self.rate() / 500).max(self.window(trip) / 32).clamp(8 * 1408, 64 * 1024)
    }

    /// When the next grant may go.
    pub(crate) const fn next_at(&self) -> Instant {
        self.next_at
    }

    /// A grant of `bytes` goes now: what it needs to be remembered with.
    pub(crate) fn granted(
        &mut self,
        now: Instant,
        bytes: u64,
        in_flight_before: u64,
        trip: &RoundTrip,
    ) -> Snapshot {
        if in_flight_before == 0 {
            // After idling the clock of deliveries starts anew.
            self.delivered_at = now;
        }
        let pace = self.pace(trip).max(1);
        // A loop that wakes late may catch up, but not by more than two milliseconds.
        let from = self.next_at.max(now - Duration::from_millis(2));
        let wait = Duration::from_micros(bytes.saturating_mul(1_000_000) / pace);
        // A way that was very slow for a while may be fast again: it is tried.
        self.next_at = from + wait.min(PACING_MAX);
        Snapshot { delivered: self.delivered, delivered_at: self.delivered_at, limited: false }
    }

    /// `bytes` granted under `snapshot` have arrived.
    pub(crate) fn delivered(
        &mut self,
        now: Instant,
        bytes: u64,
        snapshot: Snapshot,
        in_flight: u64,
        trip: &mut RoundTrip,
    ) {
        self.delivered += bytes;
        self.delivered_at = now;
        self.round_delivered += bytes;
        if self.mode == Mode::Startup {
            self.startup_window = self.startup_window.saturating_add(bytes).min(1 << 26);
        }
        let interval = now.since(snapshot.delivered_at).max(trip.minimum());
        let micros = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX).max(1);
        let rate = (self.delivered - snapshot.delivered).saturating_mul(1_000_000) / micros;
        let is_old = snapshot.delivered_at < self.began_at;
        if !is_old && (!snapshot.limited || rate > self.rate()) {
            self.note_rate(rate);
        }
        if snapshot.delivered >= self.round_ends_at {
            self.end_round(snapshot.limited, trip);
        }
        self.step(now, in_flight, trip);
    }

    /// `bytes` are taken for lost.
    pub(crate) const fn lost(&mut self, bytes: u64) {
        self.round_lost += bytes;
    }

    /// Nothing at all comes any more: start again from little.
    pub(crate) fn collapsed(&mut self, now: Instant) {
        let next_at = self.next_at;
        let delivered = self.delivered;
        *self = Self::new();
        self.next_at = next_at;
        self.delivered = delivered;
        self.round_ends_at = delivered;
        self.began_at = now;
        self.delivered_at = now;
    }

    fn path_holds(&self, trip: &RoundTrip) -> u64 {
        let trip = trip.minimum().max(SCHEDULING) + SCHEDULING;
        let micros = u64::try_from(trip.as_micros()).unwrap_or(u64::MAX);
        u64::try_from(u128::from(self.rate()) * u128::from(micros) / 1_000_000).unwrap_or(u64::MAX)
    }

    /// Bytes per second at which grants go out.
    fn pace(&self, trip: &RoundTrip) -> u64 {
        let gain = match self.mode {
            Mode::Startup => STARTUP_GAIN,
            Mode::Drain => DRAIN_GAIN,
            Mode::Cruise { phase, .. } => CYCLE[phase],
            Mode::ProbeRoundTrip { .. } => Gain(100),
        };
        if self.rate() == 0 {
            let micros = u64::try_from(trip.smoothed().as_micros()).unwrap_or(u64::MAX).max(100);
            return gain.of(self.startup_window.saturating_mul(1_000_000) / micros);
        }
        gain.of(self.rate())
    }

    fn note_rate(&mut self, rate: u64) {
        let oldest = self.round.saturating_sub(RATE_ROUNDS);
        self.rates.retain(|&(round, _)| round > oldest || round == self.round);
        match self.rates.last_mut() {
            Some((round, largest)) if *round == self.round => *largest = (*largest).max(rate),
            _ => self.rates.push((self.round, rate)),
        }
    }

    fn end_round(&mut self, limited: bool, trip: &RoundTrip) {
        self.round += 1;
        self.round_ends_at = self.delivered;
        let (delivered, lost) = (self.round_delivered, self.round_lost);
        self.round_delivered = 0;
        self.round_lost = 0;
        let heavy = lost > 8 * 1408 && lost * 10 > delivered + lost;
        if heavy {
            let holds = self.path_holds(trip);
            self.ceiling = Some(Gain(85).of(Gain(200).of(holds)).max(WINDOW_MIN));
        } else if let Some(ceiling) = self.ceiling {
            // Given back slowly: a sixteenth a round trip.
            let raised = ceiling + (ceiling / 16).max(1408);
            self.ceiling = (raised < 1 << 26).then_some(raised);
        }
        if self.mode != Mode::Startup {
            return;
        }
        if heavy {
            self.enter_drain();
        } else if !limited {
            let rate = self.rate();
            if rate >= Gain(125).of(self.full_rate) {
                self.full_rate = rate;
                self.full_rounds = 0;
            } else {
                self.full_rounds += 1;
                if self.full_rounds >= FULL_ROUNDS {
                    self.enter_drain();
                }
            }
        }
    }

    const fn enter_drain(&mut self) {
        self.mode = Mode::Drain;
    }

    fn step(&mut self, now: Instant, in_flight: u64, trip: &mut RoundTrip) {
        match self.mode {
            Mode::Startup => {}
            Mode::Drain => {
                if in_flight <= self.path_holds(trip) {
                    self.mode = Mode::Cruise { phase: 2, since: now };
                }
            }
            Mode::Cruise { phase, since } => {
                if trip.minimum_is_stale(now) {
                    self.mode = Mode::ProbeRoundTrip { until: now + PROBE_ROUND_TRIP };
                } else if now.since(since) >= trip.minimum().max(SCHEDULING) + SCHEDULING {
                    let phase = (phase + 1) % CYCLE.len();
                    self.mode = Mode::Cruise { phase, since: now };
                }
            }
            Mode::ProbeRoundTrip { until } => {
                if now >= until {
                    trip.refresh_minimum(now);
                    self.mode = Mode::Cruise { phase: 2, since: now };
                }
            }
        }
    }
}

impl Snapshot {
    /// Marks that after this grant there was nothing left to ask this source for.
    pub(crate) const fn limit(&mut self) {
        self.limited = true;
    }
}
