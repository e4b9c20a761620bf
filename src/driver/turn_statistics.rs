//! How long the turns of the loop take, and what of: the figures that tell whether slow work is cut
//! into slices that are thin enough.

use std::time::Duration;

use super::clock::{Slice, processor_time};

/// Turns longer than this are told of in the log, at its most talkative.
const WORTH_TELLING: Duration = Duration::from_millis(10);

/// What the loop did.
#[derive(Clone, Copy, Debug, Default)]
pub struct TurnStatistics {
    /// How many turns there were.
    pub turns: u64,
    /// The longest one, waiting not counted.
    pub longest: Duration,
    /// What took most of that one.
    pub longest_step: &'static str,
    /// What the one took that took most processor time. Where the machine is busy, a turn may be
    /// long for no reason of its own. Known where the log tells of it.
    pub busiest: Duration,
    /// What took longest in that one.
    pub busiest_step: &'static str,
    /// How long all of them took.
    pub spread: Spread,
    /// And how much processor time. Known where the log tells of it.
    pub processor_spread: Spread,
}

/// Quarters of powers of two, of microseconds, up to a minute.
const STEPS: usize = 4 * 26;

/// How often something took how long, to a fifth of that.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// For each step, how often it took so long and not longer.
    counts: [u64; STEPS],
}

impl Default for Spread {
    fn default() -> Self {
        Self { counts: [0; STEPS] }
    }
}

impl Spread {
    fn add(&mut self, took: Duration) {
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let step = (0..STEPS).position(|step| step_end(step) >= microseconds);
        self.counts[step.unwrap_or(STEPS - 1)] += 1;
    }

    /// Within which time so many of a thousand were.
    pub fn within(&self, of_a_thousand: u64) -> Duration {
        let total: u64 = self.counts.iter().sum();
        let wanted = total.saturating_mul(of_a_thousand).div_ceil(1_000);
        let mut counted = 0;
        let step = self.counts.iter().position(|count| {
            counted += count;
            counted >= wanted.max(1)
        });
        Duration::from_micros(step.map_or(0, step_end))
    }
}

/// The longest that counts for a step, in microseconds.
const fn step_end(step: usize) -> u64 {
    let (power, quarter) = (step / 4, step as u64 % 4);
    (1 << power) + (quarter << power) / 4
}

/// A turn that goes on.
#[derive(Debug)]
pub(super) struct TurnTimer {
    turn: Slice,
    told: Duration,
    /// Processor time before.
    processor: Option<Duration>,
    longest: (Duration, &'static str),
}

impl TurnTimer {
    /// The turn begins; it has done its share once it has taken `share`.
    pub(super) fn start(share: Duration) -> Self {
        let turn = Slice::of(share);
        let processor = log::log_enabled!(log::Level::Info).then(processor_time);
        Self { turn, told: Duration::ZERO, processor, longest: (Duration::ZERO, "nothing") }
    }

    /// This step is done.
    pub(super) fn step(&mut self, step: &'static str) {
        let now = self.turn.elapsed();
        self.longest = self.longest.max((now - self.told, step));
        self.told = now;
    }

    /// Whether the turn has done its share.
    pub(super) fn is_over(&self) -> bool {
        self.turn.is_over()
    }

    /// The turn is done.
    pub(super) fn end(self, statistics: &mut TurnStatistics) {
        statistics.turns += 1;
        statistics.spread.add(self.told);
        if self.told > statistics.longest {
            statistics.longest = self.told;
            statistics.longest_step = self.longest.1;
        }
        if let Some(before) = self.processor {
            let took = processor_time().saturating_sub(before);
            statistics.processor_spread.add(took);
            if took > statistics.busiest {
                (statistics.busiest, statistics.busiest_step) = (took, self.longest.1);
            }
        }
        if self.told > WORTH_TELLING {
            log::trace!(
                "a turn took {:?}, {} {:?} of it",
                self.told,
                self.longest.1,
                self.longest.0
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_turn_is_kept_with_its_longest_step() {
        let mut statistics = TurnStatistics::default();
        for step in ["first", "second"] {
            let mut timer = TurnTimer::start(Duration::ZERO);
            assert!(timer.is_over());
            timer.step(step);
            timer.end(&mut statistics);
        }
        assert_eq!(statistics.turns, 2);
        assert!(["first", "second"].contains(&statistics.longest_step));
        assert!(statistics.longest > Duration::ZERO);
    }

    #[test]
    fn of_a_thousand_all_but_one_were_within() {
        let mut spread = Spread::default();
        assert_eq!(spread.within(999), Duration::ZERO);
        for _ in 0..999 {
            spread.add(Duration::from_micros(100));
        }
        spread.add(Duration::from_millis(30));
        let (most, all) = (spread.within(999), spread.within(1_000));
        assert!((100..=125).contains(&most.as_micros()), "{most:?}");
        assert!((30..=37).contains(&all.as_millis()), "{all:?}");
        spread.add(Duration::from_secs(1 << 40));
        assert!(spread.within(1_000) > Duration::from_secs(30));
        assert!((1..STEPS).all(|step| step_end(step) >= step_end(step - 1)));
    }
}
