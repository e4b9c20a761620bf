//! Round-trip time: smoothed, variation, minimum. RFC 6298 section 2 and RFC 9002 section 5.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::node::time::Instant;

/// Before the first sample: a local network, generously.
const INITIAL: Duration = Duration::from_millis(100);
/// How long a minimum stands before a larger one may replace it (BBR: 10 s).
const MINIMUM_WINDOW: Duration = Duration::from_secs(10);

/// The estimate of one way's round trip.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RoundTrip {
    smoothed: Option<Duration>,
    variation: Duration,
    latest: Duration,
    minimum: Duration,
    minimum_at: Instant,
}

impl RoundTrip {
    pub(crate) fn new() -> Self {
        Self {
            smoothed: None,
            variation: INITIAL / 2,
            latest: INITIAL,
            minimum: Duration::MAX,
            minimum_at: Instant::ORIGIN,
        }
    }

    /// Takes a measured round trip into account.
    pub(crate) fn sample(&mut self, now: Instant, sample: Duration) {
        self.latest = sample;
        if sample <= self.minimum || now.since(self.minimum_at) > MINIMUM_WINDOW {
            self.minimum = sample;
            self.minimum_at = now;
        }
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

    /// The smoothed round trip; 100 ms before the first sample.
    pub(crate) fn smoothed(&self) -> Duration {
        self.smoothed.unwrap_or(INITIAL)
    }

    /// The shortest seen in the last 10 s or so; 100 ms before the first sample.
    pub(crate) fn minimum(&self) -> Duration {
        self.minimum.min(self.smoothed())
    }

    /// Whether the minimum is older than its window, so that it ought to be measured anew.
    pub(crate) fn minimum_is_stale(&self, now: Instant) -> bool {
        self.smoothed.is_some() && now.since(self.minimum_at) > MINIMUM_WINDOW
    }

    /// The minimum was measured anew with little in flight, whatever it came to.
    pub(crate) const fn refresh_minimum(&mut self, now: Instant) {
        self.minimum_at = now;
    }

    /// How long silence may last before something must be wrong: RFC 9002 section 6.2.1, with a floor
    /// because hosts are scheduled in milliseconds.
    pub(crate) fn probe_timeout(&self) -> Duration {
        (self.smoothed() + (self.variation * 4).max(Duration::from_millis(1)))
            .max(Duration::from_millis(20))
    }

    /// How long a packet may be overtaken before it counts as lost: a quarter of the round trip, as
    /// RACK (RFC 8985 section 6.2) starts out with, and at least a millisecond.
    pub(crate) fn reordering_window(&self) -> Duration {
        (self.smoothed().max(self.latest) / 4).max(Duration::from_millis(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        trip.sample(Instant::ORIGIN + Duration::from_secs(11), ms(50));
        assert_eq!(trip.minimum().as_millis().max(30), trip.minimum().as_millis());
        assert!(trip.probe_timeout() > trip.smoothed());
    }
}
