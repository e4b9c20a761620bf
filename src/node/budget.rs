//! A token bucket: so much, and not more, per second.

use serde::{Deserialize, Serialize};

use super::time::Instant;

/// Allows a steady number of things a second, and a second's worth at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Budget {
    per_second: u64,
    /// In millionths of a thing.
    held: u64,
    filled_at: Instant,
}

impl Budget {
    pub(crate) const fn new(per_second: u64) -> Self {
        Self { per_second, held: per_second * 1_000_000, filled_at: Instant::ORIGIN }
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let micros = u64::try_from(now.since(self.filled_at).as_micros()).unwrap_or(u64::MAX);
        self.filled_at = self.filled_at.max(now);
        let most = self.per_second * 1_000_000;
        self.held = self.held.saturating_add(micros.saturating_mul(self.per_second)).min(most);
        if self.held < 1_000_000 {
            return false;
        }
        self.held -= 1_000_000;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_at_once_then_steadily() {
        let mut budget = Budget::new(10);
        let start = Instant::from_micros(1_000_000);
        assert_eq!((0..100).filter(|_| budget.take(start)).count(), 10);
        let later = Instant::from_micros(1_300_000);
        assert_eq!((0..100).filter(|_| budget.take(later)).count(), 3);
    }
}
