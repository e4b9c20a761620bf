//! How much may be on its way from one source: a model of the path, in the manner of BBR (Cardwell et
//! al. 2016; draft-ietf-ccwg-bbr), kept by the receiver, who sees every arrival and grants all sending.
//!
//! Two things are measured: the delivery rate (the largest of the last ten round trips) and the round
//! trip (the smallest of the last ten seconds). Their product is what the path holds without a queue; up
//! to twice that may be in flight, paced at the rate. What loss says is [`loss`](super::loss)'s: what is lost
//! by chance is sent in addition, what is lost because it was too much makes us give way.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::loss::{Ceiling, Chance, PACKET};
use super::round_trip::RoundTrip;
use super::startup::Startup;
use crate::node::time::Instant;

/// Four full datagrams: less gives no loss detection by gaps.
const WINDOW_MIN: u64 = 4 * PACKET;
/// Filling grows fast enough to double each round trip: 2/ln 2 is 2.885; BBRv3 has 2.773.
const STARTUP_GAIN: Gain = Gain(277);
const DRAIN_GAIN: Gain = Gain(36);
/// Trying for more, giving back what that has queued, cruising (BBRv1's cycle).
const UP_GAIN: Gain = Gain(125);
const DOWN_GAIN: Gain = Gain(85);
/// Cruising where a queue stands though nobody else is there: a rate that trembles is measured as its largest.
const EASED_GAIN: Gain = Gain(96);
/// Round trips of cruising between two tries; twice as many after each one that only lost packets, up to that.
const CRUISE_ROUNDS: u32 = 6;
const CRUISE_ROUNDS_MAX: u32 = 48;
/// Emptying the queue takes so many round trips at the most.
const DOWN_ROUNDS: u32 = 3;
/// Round trips for which a measured rate stands.
const RATE_ROUNDS: u64 = 10;
/// How long little is in flight, to measure the bare round trip.
const PROBE_ROUND_TRIP: Duration = Duration::from_millis(200);
/// The longest wait between two grants; on a way that is slower, the window is what limits.
const PACING_MAX: Duration = Duration::from_secs(2);
/// What receiver and sender need to notice and answer: loops turn in milliseconds at worst.
const SCHEDULING: Duration = Duration::from_millis(1);
/// So many round trips, measured one after the other, say whether a queue stands.
const QUEUED_TELLING: u32 = 8;
/// A grant asks for at least this much, if the window is large enough: fewer cost more than half a hundredth of the
/// bytes upstream, 130 bytes on the wire each.
const QUANTUM_MIN: u64 = 20 * PACKET;
/// What is lost by chance is not known in the beginning: a sixth of a round trip and more than so much is too much
/// whatever the reason.
const FAR_TOO_MUCH_MIN: u64 = 8 * PACKET;
/// The longest queue that trying for more is to build.
const UP_QUEUE: Duration = Duration::from_millis(10);

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
    /// A little more than the rate: is there more?
    Up { since: Instant, rate: u64 },
    /// A little less: what that has queued goes. `rate` is what was known before.
    Down { since: Instant, rate: u64 },
    /// At the rate, for some round trips.
    Cruise { until: Instant },
    /// Little in flight, to see the bare round trip.
    ProbeRoundTrip { until: Instant },
}

/// What is remembered with each grant, to compute the delivery rate when it is answered.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    delivered: u64,
    delivered_at: Instant,
    /// When the grant was sent that had been answered last.
    #[serde(default)]
    answered_sent_at: Instant,
    /// The source had nothing more to be asked for: the rate says little.
    limited: bool,
    /// It was sent below the rate: what of it is lost is lost by chance.
    #[serde(default)]
    below: bool,
    /// It was sent above the rate: what of it is lost may have been too much.
    #[serde(default)]
    above: bool,
}

/// What one round trip has brought so far.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Round {
    delivered: u64,
    lost: u64,
    /// The most that was in flight.
    in_flight: u64,
}

/// The model of one source's path.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Congestion {
    mode: Mode,
    /// (round, bytes per second): the largest of each of the last rounds, newest last.
    rates: Vec<(u64, u64)>,
    delivered: u64,
    delivered_at: Instant,
    answered_sent_at: Instant,
    rounds: u64,
    round_ends_at: u64,
    round: Round,
    startup: Startup,
    /// So many round trips in a row were longer than our own trying makes them, and than the bare one.
    queued_trips: u32,
    standing_trips: u32,
    /// What was sent and lost while trying for more, the last time.
    tried: u64,
    tried_lost: u64,
    cruise_rounds: u32,
    chance: Chance,
    /// Set when more was lost than chance takes.
    ceiling: Option<Ceiling>,
    /// When the next grant may go.
    next_at: Instant,
    /// When it last started again from little: what was granted before says nothing about the way as it is now.
    began_at: Instant,
}

impl Congestion {
    pub(crate) fn new() -> Self {
        Self {
            mode: Mode::Startup,
            rates: Vec::new(),
            delivered: 0,
            delivered_at: Instant::ORIGIN,
            answered_sent_at: Instant::ORIGIN,
            rounds: 0,
            round_ends_at: 0,
            round: Round::default(),
            startup: Startup::new(),
            queued_trips: 0,
            standing_trips: 0,
            tried: 0,
            tried_lost: 0,
            cruise_rounds: CRUISE_ROUNDS,
            chance: Chance::default(),
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
    pub(crate) fn window(&self, now: Instant, trip: &RoundTrip) -> u64 {
        let window = self.wide_window(trip);
        let ceiling = self.ceiling.map_or(u64::MAX, |ceiling| ceiling.value(now));
        // With less than what the path holds, and what is granted ahead, the path would stand idle: that helps nobody.
        let holds = self.path_holds(trip);
        let least = holds + (holds / 8).max(self.quantum(trip) * 2);
        window.min(ceiling.max(least)).max(WINDOW_MIN)
    }

    fn wide_window(&self, trip: &RoundTrip) -> u64 {
        let holds = self.path_holds(trip);
        match self.mode {
            Mode::Startup => self.startup.window().max(Gain(200).of(holds)),
            Mode::Drain | Mode::Up { .. } | Mode::Down { .. } | Mode::Cruise { .. } => {
                Gain(200).of(holds)
            }
            Mode::ProbeRoundTrip { .. } => holds / 2,
        }
    }

    /// What one grant ought to ask for at the most: some milliseconds' worth, so that the source's burst stays
    /// short, but never so little that grants cost more than they bring, or that more of them are under way
    /// than a source keeps.
    pub(crate) fn quantum(&self, trip: &RoundTrip) -> u64 {
        let window = self.wide_window(trip);
        if self.delivered == 0 {
            // The first packets may go at once (RFC 6928), and a small file takes no longer than its round trips.
            return window;
        }
        let least = QUANTUM_MIN.min(window / 6).max(WINDOW_MIN);
        (self.rate() / 400).max(window / 32).max(least).min(64 * 1024)
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
            self.answered_sent_at = now;
        }
        let pace = self.pace(trip).max(1);
        // A loop that wakes late may catch up, but not by more than two milliseconds.
        let from = self.next_at.max(now - Duration::from_millis(2));
        let wait = Duration::from_micros(bytes.saturating_mul(1_000_000) / pace);
        // A way that was very slow for a while may be fast again: it is tried.
        self.next_at = from + wait.min(PACING_MAX);
        if matches!(self.mode, Mode::Up { .. }) {
            self.tried += bytes;
        }
        self.round.in_flight = self.round.in_flight.max(in_flight_before + bytes);
        Snapshot {
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            answered_sent_at: self.answered_sent_at,
            limited: false,
            below: matches!(self.mode, Mode::Drain | Mode::Down { .. }),
            above: matches!(self.mode, Mode::Up { .. }),
        }
    }

    /// A round trip was measured.
    pub(crate) fn measured(&mut self, sample: Duration, trip: &RoundTrip) {
        let bare = trip.minimum();
        let count = |is_long: bool, count: u32| if is_long { count.saturating_add(1) } else { 0 };
        // Trying for more adds a quarter; a way that trembles is no queue.
        let wait = (bare / 3).max(trip.variation() * 2) + SCHEDULING;
        self.queued_trips = count(sample > bare + wait, self.queued_trips);
        let little = (bare / 8).max(SCHEDULING);
        self.standing_trips = count(sample > bare + little, self.standing_trips);
        if self.mode == Mode::Startup && self.startup.is_filling(sample, trip) {
            self.mode = Mode::Drain;
        }
    }

    /// All packets of a grant came, `bytes` within `span` after the first.
    pub(crate) fn train(&mut self, bytes: u64, span: Duration, trip: &RoundTrip) {
        if self.mode == Mode::Startup {
            self.startup.train(bytes, span, trip);
        }
    }

    /// `bytes` granted at `sent_at` under `snapshot` have arrived.
    pub(crate) fn delivered(
        &mut self,
        now: Instant,
        bytes: u64,
        (sent_at, snapshot): (Instant, Snapshot),
        in_flight: u64,
        trip: &mut RoundTrip,
    ) {
        self.delivered += bytes;
        self.delivered_at = now;
        self.answered_sent_at = self.answered_sent_at.max(sent_at);
        self.round.delivered += bytes;
        if snapshot.below && self.queued_trips == 0 {
            self.chance.note(bytes, true);
        }
        if self.mode == Mode::Startup {
            self.startup.delivered(bytes);
        }
        // Of sending and arriving, the slower (draft-ietf-ccwg-bbr, section 4.1.1): what was held up somewhere comes
        // all at once, and is no faster for that.
        let interval =
            now.since(snapshot.delivered_at).max(sent_at.since(snapshot.answered_sent_at));
        let interval = interval.max(trip.minimum());
        let micros = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX).max(1);
        let rate = (self.delivered - snapshot.delivered).saturating_mul(1_000_000) / micros;
        let is_old = snapshot.delivered_at < self.began_at;
        if !is_old && (!snapshot.limited || rate > self.rate()) {
            self.note_rate(rate);
        }
        if snapshot.delivered >= self.round_ends_at {
            self.end_round(now, snapshot.limited, trip);
        }
        self.step(now, in_flight, trip);
        // A way that has become far faster is not waited for as if it had not.
        let full = self.window(now, trip).saturating_mul(1_000_000) / self.pace(trip).max(1);
        self.next_at = self.next_at.min(now + Duration::from_micros(full));
    }

    /// `bytes` granted under `snapshot` are taken for lost.
    pub(crate) const fn lost(&mut self, bytes: u64, snapshot: Snapshot) {
        self.round.lost += bytes;
        if snapshot.above {
            self.tried_lost += bytes;
        }
        if snapshot.below && self.queued_trips == 0 {
            self.chance.note(bytes, false);
        }
    }

    /// They were only late.
    pub(crate) const fn take_back(&mut self, bytes: u64, snapshot: Snapshot) {
        self.round.lost = self.round.lost.saturating_sub(bytes);
        if snapshot.below {
            self.chance.take_back(bytes);
        }
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
        self.answered_sent_at = now;
    }

    fn path_holds(&self, trip: &RoundTrip) -> u64 {
        self.holds_for(trip.minimum().max(SCHEDULING) + SCHEDULING)
    }

    fn bare_path_holds(&self, trip: &RoundTrip) -> u64 {
        self.holds_for(trip.minimum())
    }

    fn holds_for(&self, trip: Duration) -> u64 {
        let micros = u64::try_from(trip.as_micros()).unwrap_or(u64::MAX);
        let holds = u128::from(self.rate()) * u128::from(micros) / 1_000_000;
        self.chance.compensated(u64::try_from(holds).unwrap_or(u64::MAX))
    }

    /// Bytes per second at which grants go out.
    fn pace(&self, trip: &RoundTrip) -> u64 {
        let gain = match self.mode {
            Mode::Startup => STARTUP_GAIN,
            Mode::Drain => DRAIN_GAIN,
            Mode::Up { .. } => UP_GAIN,
            Mode::Down { .. } => DOWN_GAIN,
            Mode::Cruise { .. } if self.is_eased() => EASED_GAIN,
            Mode::Cruise { .. } | Mode::ProbeRoundTrip { .. } => Gain(100),
        };
        // What goes out to learn what is lost by chance must be below the rate for certain.
        let below = matches!(self.mode, Mode::Drain | Mode::Down { .. });
        let rate = gain.of(self.rate());
        let mut pace = if below { rate } else { self.chance.compensated(rate) };
        if self.rate() == 0 || self.mode == Mode::Startup {
            pace = pace.max(self.startup.pace(trip));
        }
        // No slower than the smallest window allows: a way that was hardly one for a while may be good again.
        let micros = u64::try_from(trip.smoothed().as_micros()).unwrap_or(u64::MAX).max(100);
        pace.max(WINDOW_MIN * 1_000_000 / micros)
    }

    fn note_rate(&mut self, rate: u64) {
        let oldest = self.rounds.saturating_sub(RATE_ROUNDS);
        self.rates.retain(|&(round, _)| round > oldest || round == self.rounds);
        match self.rates.last_mut() {
            Some((round, largest)) if *round == self.rounds => *largest = (*largest).max(rate),
            _ => self.rates.push((self.rounds, rate)),
        }
    }

    fn end_round(&mut self, now: Instant, limited: bool, trip: &RoundTrip) {
        self.rounds += 1;
        self.round_ends_at = self.delivered;
        let round = std::mem::take(&mut self.round);
        let too_much = self.chance.is_exceeded(round.lost, round.delivered + round.lost);
        if let Some(ceiling) = &mut self.ceiling {
            ceiling.grow(self.queued_trips == 0 && !too_much);
        }
        let far_too_much = round.lost > FAR_TOO_MUCH_MIN && round.lost * 5 > round.delivered;
        if too_much && self.is_queued() || far_too_much {
            self.ceiling = Some(Ceiling::after(round.in_flight, self.ceiling, now));
        }
        let window = self.wide_window(trip);
        self.ceiling = self.ceiling.filter(|ceiling| !ceiling.is_forgotten(window, now));
        if self.mode != Mode::Startup {
            return;
        }
        let overflows = too_much && self.is_queued() || far_too_much;
        if overflows || !limited && self.startup.is_full(self.rate()) {
            self.mode = Mode::Drain;
        }
    }

    /// Whether a small queue stands, and nobody else is known to be there: then it is our own.
    const fn is_eased(&self) -> bool {
        self.standing_trips >= QUEUED_TELLING && self.ceiling.is_none()
    }

    /// Whether a queue stands that is longer than our own trying makes it: somebody else's, or too much of ours.
    const fn is_queued(&self) -> bool {
        self.queued_trips >= QUEUED_TELLING
    }

    /// More was tried, and what that has queued is gone.
    fn after_trying(&mut self, now: Instant, rate_before: u64, one: Duration) {
        if self.rate() > Gain(115).of(rate_before) {
            // There is a good deal more: on with it.
            self.cruise_rounds = CRUISE_ROUNDS;
            (self.tried, self.tried_lost) = (0, 0);
            self.mode = Mode::Up { since: now, rate: self.rate() };
            return;
        }
        let in_vain = self.chance.is_exceeded(self.tried_lost, self.tried);
        let rounds = if in_vain { self.cruise_rounds * 2 } else { CRUISE_ROUNDS };
        self.cruise_rounds = rounds.min(CRUISE_ROUNDS_MAX);
        self.mode = Mode::Cruise { until: now + one * self.cruise_rounds };
    }

    fn step(&mut self, now: Instant, in_flight: u64, trip: &mut RoundTrip) {
        let one = trip.minimum().max(SCHEDULING) + SCHEDULING;
        if trip.minimum_is_stale(now) && !matches!(self.mode, Mode::ProbeRoundTrip { .. }) {
            trip.begin_anew();
            let one = trip.smoothed().min(PACING_MAX);
            self.mode = Mode::ProbeRoundTrip { until: now + PROBE_ROUND_TRIP + one };
        }
        match self.mode {
            Mode::Startup => {}
            Mode::Drain => {
                if in_flight <= self.path_holds(trip) {
                    self.mode = Mode::Cruise { until: now + one };
                }
            }
            Mode::Cruise { until } => {
                if now >= until {
                    (self.tried, self.tried_lost) = (0, 0);
                    self.mode = Mode::Up { since: now, rate: self.rate() };
                }
            }
            Mode::Up { since, rate } => {
                let queues = trip.latest() > trip.minimum() + UP_QUEUE.max(trip.minimum() / 4);
                let overflows = self.chance.is_exceeded(self.tried_lost, self.tried);
                if queues || overflows || now.since(since) >= one {
                    self.mode = Mode::Down { since: now, rate };
                }
            }
            Mode::Down { since, rate } => {
                let is_empty = in_flight <= self.bare_path_holds(trip) + self.quantum(trip);
                let lasted = now.since(since);
                if lasted >= one / 2 && is_empty || lasted >= one * DOWN_ROUNDS {
                    self.after_trying(now, rate, one);
                }
            }
            Mode::ProbeRoundTrip { until } => {
                // A shorter one than was known is all that was wanted.
                let is_known = !trip.minimum_is_stale(now);
                if is_known || now >= until {
                    trip.end_anew(now);
                    self.mode = Mode::Cruise { until: now + one };
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
