//! How long the turns of the loop take, and what of: the figure that tells whether slow work is cut
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
        if self.told > statistics.longest {
            statistics.longest = self.told;
            statistics.longest_step = self.longest.1;
        }
        // No turn takes more processor time than time.
        if let Some(before) = self.processor.filter(|_| self.told > statistics.busiest) {
            let took = processor_time().saturating_sub(before);
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
}
