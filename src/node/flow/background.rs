//! Less than best effort: a window for who gives way to everything else on the path. It bounds the one of the
//! model, in the manner of LEDBAT++ (draft-irtf-iccrg-ledbat-plus-plus) at the receiver (RFC 9840): it
//! grows while packets come without waiting anywhere, and shrinks as soon as they have to wait.
//!
//! Where it differs from LEDBAT++, and why:
//!
//! - A packet may wait an eighth of the bare round trip, and not 60 ms always: 60 ms is what gives way to
//!   TCP, which fills queues. Who keeps queues short, as our own fetches do, would be pushed aside.
//! - It grows by parts of itself, not by a packet a round trip, until something was lost: a fast path
//!   would be left idle for minutes.
//! - It slows down a twentieth of the time, not a tenth, and shrinks by a quarter a round trip at most: alone it
//!   is to take nearly all there is, and what a round trip later is still too long shrinks it again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Flow;
use super::congestion::Snapshot;
use crate::node::time::Instant;

/// A full packet.
const PACKET: u64 = 1408;
/// Two packets are the draft's, and on a local network much; there it is one in [`ROUND_MIN`].
const WINDOW_MIN: u64 = PACKET;
/// More than any path of ours holds.
const WINDOW_MAX: u64 = 1 << 26;
/// A loop that wakes late may catch up with so much.
const CATCH_UP: Duration = Duration::from_millis(2);
/// How long a packet may wait, as a part of the bare round trip, and in absolute numbers: hosts are
/// scheduled in parts of a millisecond, and 60 ms are the draft's.
const TARGET_PART: u32 = 8;
const TARGET_MIN: Duration = Duration::from_micros(500);
/// A round is not shorter than this, so that a short way has more than one sample in it.
const ROUND_MIN: Duration = Duration::from_millis(5);
const TARGET_MAX: Duration = Duration::from_millis(60);
/// Over so long, and as long before, the bare round trip is the shortest that was seen.
const BASE_WINDOW: Duration = Duration::from_secs(120);
/// For how long after a loss, but for those of rising too far, it grows by a packet a round trip, as TCP would,
/// beyond half of where that happened.
const CAREFUL: Duration = Duration::from_secs(10);
/// Slowing down takes two round trips; it is done again after so many times of what it took altogether,
const SLOW_ROUNDS: u32 = 2;
const SLOW_EVERY: u32 = 19;
/// and not sooner than this.
const SLOW_APART: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Mode {
    /// Growing by half each round trip; or by all of it, up to the window that there was before.
    Rise {
        to: Option<u64>,
        since: Instant,
    },
    Steady,
    /// Next to nothing in flight, so that the bare round trip shows.
    Slow {
        until: Instant,
        back_to: u64,
        since: Instant,
    },
}

/// The window of one flow that gives way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Background {
    window: u64,
    mode: Mode,
    /// The shortest round trips of this stretch of time and of the one before.
    base: Duration,
    base_before: Duration,
    base_since: Instant,
    /// The latest.
    trip: Duration,
    /// Of this round trip: when it is over, the shortest sample, the most that was in flight, whether
    /// something was lost.
    round_ends_at: Instant,
    shortest: Option<Duration>,
    most_in_flight: u64,
    has_lost: bool,
    /// The window was halved in the round before.
    recovers: bool,
    careful_until: Instant,
    careful_above: u64,
    next_at: Instant,
    slow_at: Option<Instant>,
}

impl Background {
    pub(super) const fn new() -> Self {
        Self {
            window: WINDOW_MIN,
            mode: Mode::Rise { to: None, since: Instant::ORIGIN },
            base: Duration::MAX,
            base_before: Duration::MAX,
            base_since: Instant::ORIGIN,
            trip: Duration::ZERO,
            round_ends_at: Instant::ORIGIN,
            shortest: None,
            most_in_flight: 0,
            has_lost: false,
            recovers: false,
            careful_until: Instant::ORIGIN,
            careful_above: 0,
            next_at: Instant::ORIGIN,
            slow_at: None,
        }
    }

    /// What may be in flight, in bytes.
    pub(super) const fn window(&self) -> u64 {
        match self.mode {
            Mode::Slow { .. } => WINDOW_MIN,
            Mode::Rise { .. } | Mode::Steady => self.window,
        }
    }

    /// So many bytes were asked for; so many are in flight now.
    pub(super) fn granted(&mut self, now: Instant, bytes: u64, in_flight: u64) {
        self.most_in_flight = self.most_in_flight.max(in_flight);
        let from = self.next_at.max(now - CATCH_UP);
        // A window in four fifths of a round trip (RFC 9002, section 7.7): what it has grown by does not
        // come all at once.
        let wait = part(bytes, self.trip * 4 / 5, Duration::from_micros(self.window()));
        self.next_at = from + Duration::from_micros(wait);
        if self.window() == WINDOW_MIN {
            self.next_at = now + ROUND_MIN;
        }
    }

    /// When something may be asked for again: on a short way, even a packet a round trip is much.
    pub(super) const fn next_at(&self) -> Instant {
        self.next_at
    }

    /// A round trip was measured.
    pub(super) fn sample(&mut self, now: Instant, sample: Duration) {
        if now.since(self.base_since) >= BASE_WINDOW {
            self.base_before = std::mem::replace(&mut self.base, Duration::MAX);
            self.base_since = now;
        }
        self.trip = sample;
        self.base = self.base.min(sample);
        self.shortest = Some(self.shortest.map_or(sample, |shortest| shortest.min(sample)));
        if now >= self.round_ends_at {
            self.end_round(now, sample);
        }
    }

    /// Something was lost.
    pub(super) const fn lost(&mut self) {
        self.has_lost = true;
    }

    /// Nothing comes any more: all begins anew, but for the bare round trip.
    pub(super) const fn collapsed(&mut self, now: Instant) {
        self.window = WINDOW_MIN;
        self.mode = Mode::Rise { to: None, since: now };
        self.slow_at = None;
    }

    fn end_round(&mut self, now: Instant, sample: Duration) {
        let bare = self.base.min(self.base_before);
        let waits = self.shortest.take().unwrap_or(sample).saturating_sub(bare);
        let target = (bare / TARGET_PART).clamp(TARGET_MIN, TARGET_MAX);
        let has_lost = std::mem::take(&mut self.has_lost);
        let used = std::mem::take(&mut self.most_in_flight);
        self.round_ends_at = now + sample.max(ROUND_MIN);
        let is_same = self.recovers;
        self.recovers = has_lost && !is_same;
        if has_lost && is_same {
            // Of one queue that was full, losses are noticed for two rounds.
        } else if has_lost {
            self.window /= 2;
            if self.mode == Mode::Steady {
                self.careful_until = now + CAREFUL;
                self.careful_above = self.window;
            }
        } else if waits > target {
            // In proportion to how much too long it is, a quarter of it at most.
            let over = (waits - target).min(target);
            self.window -= part(self.window / 4, over, target);
        }
        match self.mode {
            Mode::Slow { until, back_to, since } => {
                if now >= until {
                    self.window = WINDOW_MIN;
                    self.mode = Mode::Rise { to: Some(back_to), since };
                }
            }
            Mode::Rise { to, since } => {
                let there = to.is_some_and(|to| self.window >= to);
                if has_lost || there || waits > target * 3 / 4 {
                    self.steady(now, since, sample, to.is_some());
                } else {
                    // To where it was before it slowed down, as fast as any startup.
                    self.grow(self.window / if to.is_some() { 1 } else { 2 }, used);
                }
            }
            Mode::Steady if self.slow_at.is_some_and(|at| at <= now) => {
                let until = now + sample * SLOW_ROUNDS;
                self.mode = Mode::Slow { until, back_to: self.window, since: now };
            }
            Mode::Steady if has_lost || waits > target => {}
            Mode::Steady if now < self.careful_until && self.window >= self.careful_above => {
                self.grow(PACKET, used);
            }
            Mode::Steady => {
                let more = part(self.window / 8, target - waits, target);
                self.grow(more + PACKET / 4, used);
            }
        }
        self.window = self.window.clamp(WINDOW_MIN, WINDOW_MAX);
    }

    /// Has risen: goes on around here, and slows down some time.
    fn steady(&mut self, now: Instant, since: Instant, trip: Duration, was_slow: bool) {
        self.mode = Mode::Steady;
        let took = now.since(since);
        let wait = if was_slow { (took * SLOW_EVERY).max(SLOW_APART) } else { trip * 2 };
        self.slow_at = Some(now + wait);
    }

    /// Only where what there is was made use of.
    fn grow(&mut self, more: u64, used: u64) {
        if used * 2 >= self.window {
            self.window += more;
        }
    }
}

impl<T: Copy> Flow<T> {
    /// Whether it gives way to everything else on its path; to be said before anything is granted.
    pub(crate) fn set_background(&mut self, background: bool) {
        self.background = background.then(Background::new);
    }

    /// What may be in flight, in bytes.
    pub(crate) fn window(&self, now: Instant) -> u64 {
        let most = self.background.as_ref().map_or(u64::MAX, Background::window);
        self.congestion.window(now, &self.trip).min(most)
    }

    /// When more may be asked for because of pacing, should there be room then.
    pub(crate) fn paced_until(&self) -> Instant {
        let at = self.congestion.next_at();
        self.background.as_ref().map_or(at, |background| at.max(background.next_at()))
    }

    /// A grant of so many bytes goes.
    pub(super) fn note_background_grant(
        &mut self,
        now: Instant,
        bytes: u64,
        snapshot: &mut Snapshot,
    ) {
        let Some(background) = &mut self.background else { return };
        if background.window() < self.congestion.window(now, &self.trip) {
            // It is we who hold back: that says nothing of the way.
            snapshot.limit();
        }
        background.granted(now, bytes, self.in_flight + bytes);
    }
}

fn part(of: u64, numerator: Duration, denominator: Duration) -> u64 {
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    of.saturating_mul(micros(numerator)) / micros(denominator).max(1)
}
