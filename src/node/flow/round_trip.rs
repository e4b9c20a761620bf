//! Round-trip time: smoothed, variation, minimum. RFC 6298 section 2 and RFC 9002 section 5.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::node::time::Instant;

/// Before the first sample, where nothing is known at all: a local network, generously.
const INITIAL: Duration = Duration::from_millis(100);
/// Round trips in a period of which it is remembered how late packets were (RACK forgets after 16 recoveries).
const LATENESS_ROUNDS: u32 = 16;
/// How long a minimum stands before a larger one may replace it (BBR: 10 s).
const MINIMUM_WINDOW: Duration = Duration::from_secs(10);

/// The estimate of one way's round trip.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RoundTrip {
    smoothed: Option<Duration>,
    /// What it is taken for before the first sample.
    #[serde(default = "initial")]
    supposed: Duration,
    variation: Duration,
    latest: Duration,
    minimum: Duration,
    minimum_at: Instant,
    /// The shortest while the minimum is measured anew.
    #[serde(default)]
    anew: Option<Duration>,
    /// By how much packets were late at the most, in the last period and in this one, and when this one began.
    #[serde(default)]
    lateness: [Duration; 2],
    #[serde(default)]
    lateness_since: Instant,
}

impl RoundTrip {
    pub(crate) fn new() -> Self {
        Self {
            smoothed: None,
            supposed: INITIAL,
            variation: INITIAL / 2,
            latest: INITIAL,
            minimum: Duration::MAX,
            minimum_at: Instant::ORIGIN,
            anew: None,
            lateness: [Duration::ZERO; 2],
            lateness_since: Instant::ORIGIN,
        }
    }

    /// It is no longer than this, perhaps far shorter: a question that was repeated says no more (RFC 6298, section
    /// 3). Until something is measured it is waited for as if it were so long.
    pub(crate) fn suppose(&mut self, most: Duration) {
        if self.smoothed.is_none() {
            self.supposed = most.max(INITIAL);
            self.variation = (self.supposed / 8).max(INITIAL / 2);
            self.latest = self.supposed;
        }
    }

    /// Takes a measured round trip into account.
    pub(crate) fn sample(&mut self, now: Instant, sample: Duration) {
        self.latest = sample;
        if sample <= self.minimum {
            self.minimum = sample;
            self.minimum_at = now;
        }
        self.anew = self.anew.map(|shortest| shortest.min(sample));
        match self.smoothed {
            None => {
                self.smoothed = Some(sample);
                self.variation = sample / 2;
            }
            Some(smoothed) => {
                self.variation = (self.variation * 3 + smoothed.abs_diff(sample)) / 4;
                self.smoothed = Some((smoothed * 7 + sample) / 8);
            }
        }
    }

    /// The smoothed round trip; before the first sample what was supposed, or 100 ms.
    pub(crate) fn smoothed(&self) -> Duration {
        self.smoothed.unwrap_or(self.supposed)
    }

    /// The smoothed round trip, where there was a sample.
    pub(crate) const fn measured(&self) -> Option<Duration> {
        self.smoothed
    }

    /// The shortest seen since it was last measured anew, which it is every ten seconds where none is as short; before the
    /// first sample what was supposed.
    pub(crate) fn minimum(&self) -> Duration {
        self.minimum.min(self.smoothed())
    }

    /// How much it varies: RFC 6298's mean deviation.
    pub(crate) const fn variation(&self) -> Duration {
        self.variation
    }

    /// The last one measured; before the first sample what was supposed.
    pub(crate) const fn latest(&self) -> Duration {
        self.latest
    }

    /// Whether the minimum is older than its window, so that it ought to be measured anew.
    pub(crate) fn minimum_is_stale(&self, now: Instant) -> bool {
        self.smoothed.is_some() && now.since(self.minimum_at) > MINIMUM_WINDOW
    }

    /// Little is in flight from now on: what is measured is the bare round trip, if there is one.
    pub(crate) const fn begin_anew(&mut self) {
        self.anew = Some(Duration::MAX);
    }

    /// The minimum was measured anew, whatever it came to.
    pub(crate) fn end_anew(&mut self, now: Instant) {
        if let Some(shortest) = self.anew.take().filter(|&shortest| shortest < Duration::MAX) {
            self.minimum = if self.minimum_is_stale(now) { shortest } else { self.minimum };
        }
        self.minimum_at = now;
    }

    /// How long silence may last before something must be wrong: RFC 9002 section 6.2.1, with a floor
    /// because hosts are scheduled in milliseconds.
    pub(crate) fn probe_timeout(&self) -> Duration {
        (self.smoothed() + (self.variation * 4).max(Duration::from_millis(1)))
            .max(Duration::from_millis(20))
    }

    /// A packet came so long after others that were sent later.
    pub(crate) fn came_late(&mut self, now: Instant, by: Duration) {
        if now.since(self.lateness_since) > self.smoothed() * LATENESS_ROUNDS {
            self.lateness = [self.lateness[1], Duration::ZERO];
            self.lateness_since = now;
        }
        self.lateness[1] = self.lateness[1].max(by);
    }

    /// How long a packet may be overtaken before it counts as lost. RACK (RFC 8985 section 6.2) starts out with a
    /// quarter of the round trip and goes up to all of it where that was too short; here it is measured by how much
    /// packets are late, and never less than a millisecond.
    pub(crate) fn reordering_window(&self) -> Duration {
        let trip = self.smoothed().max(self.latest);
        let lateness = self.lateness[0].max(self.lateness[1]);
        let window = if lateness.is_zero() { trip / 4 } else { lateness * 5 / 4 };
        window.min(trip).max(Duration::from_millis(1))
    }
}

const fn initial() -> Duration {
    INITIAL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_supposed_is_waited_for_until_something_is_measured() {
        let ms = Duration::from_millis;
        let mut trip = RoundTrip::new();
        assert_eq!(trip.probe_timeout(), ms(300));
        trip.suppose(ms(1_500));
        assert_eq!((trip.smoothed(), trip.measured()), (ms(1_500), None));
        assert!((ms(2_000)..ms(2_500)).contains(&trip.probe_timeout()));
        trip.sample(Instant::from_micros(1), ms(10));
        assert_eq!((trip.smoothed(), trip.minimum()), (ms(10), ms(10)));
        trip.suppose(ms(1_500));
        assert_eq!((trip.smoothed(), trip.probe_timeout()), (ms(10), ms(30)));
        trip = RoundTrip::new();
        trip.suppose(ms(30));
        assert_eq!(trip.probe_timeout(), ms(300), "never less than where nothing is known");
    }

    #[test]
    fn follows_the_samples_and_keeps_the_minimum_for_its_window() {
        let ms = Duration::from_millis;
        let mut trip = RoundTrip::new();
        assert_eq!(trip.smoothed(), ms(100));
        trip.sample(Instant::from_micros(1), ms(10));
        assert_eq!((trip.smoothed(), trip.minimum()), (ms(10), ms(10)));
        for second in 1..=9 {
            trip.sample(Instant::ORIGIN + Duration::from_secs(second), ms(50));
        }
        assert_eq!(trip.minimum(), ms(10));
        assert!(trip.smoothed() > ms(30));
        let later = Instant::ORIGIN + Duration::from_secs(11);
        trip.sample(later, ms(50));
        assert!(trip.minimum_is_stale(later) && trip.minimum() == ms(10), "a queue is no way");
        trip.begin_anew();
        trip.sample(later, ms(25));
        trip.sample(later, ms(35));
        trip.end_anew(later);
        assert!(!trip.minimum_is_stale(later) && trip.minimum() == ms(25));
        assert!(trip.probe_timeout() > trip.smoothed());
    }
}
