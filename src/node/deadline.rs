//! When a machine wants to be woken, and why.

use serde::Serialize;

use super::time::Instant;

/// A moment at which something is due, with its reason: so that "why did we wake?" has an answer in
/// the log and in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Deadline {
    /// When.
    pub at: Instant,
    /// Why, in a few words.
    pub reason: &'static str,
}

impl Deadline {
    /// A deadline.
    pub const fn new(at: Instant, reason: &'static str) -> Self {
        Self { at, reason }
    }
}

/// Keeps the earliest of the deadlines it is shown.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Earliest(Option<Deadline>);

impl Earliest {
    /// Takes one into account; the first shown wins where two are equal.
    pub(crate) fn consider(&mut self, candidate: Option<Deadline>) {
        if let Some(candidate) = candidate {
            if self.0.is_none_or(|held| candidate.at < held.at) {
                self.0 = Some(candidate);
            }
        }
    }

    /// As [`consider`](Self::consider), from the parts.
    pub(crate) fn at(&mut self, at: Option<Instant>, reason: &'static str) {
        self.consider(at.map(|at| Deadline::new(at, reason)));
    }

    /// The earliest.
    pub(crate) const fn get(self) -> Option<Deadline> {
        self.0
    }
}
