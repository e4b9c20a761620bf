//! The one place that reads a clock. The core's time counts from the moment the driver started, and goes on
//! while the machine sleeps, so that the core knows that it did; wall time is only for what leaves the
//! program (`d.json`) and for judging the times of files.

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

use crate::node;

/// The driver's clock, and the origin of the core's time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Since the machine was started.
    origin: Duration,
}

impl Clock {
    /// A clock whose origin is now.
    pub fn start() -> Self {
        Self { origin: since_boot() }
    }

    /// The time since the origin. Never goes back.
    pub fn now(&self) -> node::Instant {
        node::Instant::ORIGIN + since_boot().saturating_sub(self.origin)
    }
}

/// A share of a turn: work is cut into slices, and looks here now and then whether its slice is over.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    began: std::time::Instant,
    length: Duration,
}

impl Slice {
    /// A slice that begins now.
    pub fn of(length: Duration) -> Self {
        Self { began: monotonic(), length }
    }

    /// Whether it is over. A look costs some 30 ns.
    pub fn is_over(&self) -> bool {
        self.elapsed() >= self.length
    }

    /// The time since it began.
    pub fn elapsed(&self) -> Duration {
        monotonic().saturating_duration_since(self.began)
    }
}

/// The processor time that this thread has taken so far, in the kernel as well. A look is a system call.
pub(super) fn processor_time() -> Duration {
    of_clock(ClockId::ThreadCPUTime)
}

/// Wall time, which may jump either way.
#[expect(clippy::disallowed_methods, reason = "this is the place that reads the clock")]
pub fn wall_now() -> SystemTime {
    SystemTime::now()
}

/// The monotonic clock that counts the time of sleep, too: the standard library's stands still then.
fn since_boot() -> Duration {
    of_clock(ClockId::Boottime)
}

fn of_clock(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[expect(clippy::disallowed_methods, reason = "this is the place that reads the clock")]
fn monotonic() -> std::time::Instant {
    std::time::Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_begins_at_the_origin_and_never_goes_back() {
        let clock = Clock::start();
        let first = clock.now();
        assert!(first.since(node::Instant::ORIGIN) < Duration::from_secs(5));
        assert!(clock.now() >= first);
    }

    #[test]
    fn a_slice_of_nothing_is_over_at_once_and_a_long_one_is_not() {
        assert!(Slice::of(Duration::ZERO).is_over());
        assert!(!Slice::of(Duration::from_secs(3600)).is_over());
    }
}
