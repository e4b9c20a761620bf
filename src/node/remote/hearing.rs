//! What shows that a host may be there: it is heard, it asks, it answers a call. None of it is believed; all of it is worth
//! questions, of which there are not more than it gave reason for.

use std::time::Duration;

use super::Remote;
use crate::node::time::Instant;
use crate::wire::Announce;

/// Questions that announcements allow to an address that has proven nothing, saved up: one each.
const CREDIT_MAX: u32 = 3;
/// And to one that has shown a cookie of ours: it asked for them, and half of them may be lost.
pub(super) const CREDIT_SHOWN: u32 = 10;

impl Remote {
    /// An announcement in its name was heard. It is a hint: what it says is asked for, not believed.
    pub(crate) fn announced(&mut self, now: Instant, announce: &Announce, ask_at: Instant) {
        let &Announce { instance, listing, again_within } = announce;
        if self.instance.is_none_or(|known| known == instance) {
            self.heard_at = now;
            self.announces_within = Duration::from_millis(100) * u32::from(again_within);
        }
        self.earn_credit();
        let known = self.instance == Some(instance) && self.wanted == Some(listing);
        // Who has proven nothing is not asked again before its answer can be missed, however often it is heard.
        if !known && (self.is_proven() || self.question.is_none()) {
            self.ask_by(ask_at);
        }
    }

    /// We slept for `gap`: what was heard before it counts as heard so much later.
    pub(crate) fn woke(&mut self, now: Instant, gap: Duration, ask_at: Instant) {
        self.heard_at = (self.heard_at + gap).min(now);
        self.proven_at = self.proven_at.map(|at| (at + gap).min(now));
        if self.is_proven() || self.configured {
            // It is asked with the patience of a first question.
            self.unanswered = 0;
            self.ask_at = Some(ask_at);
        }
    }

    /// It has shown that it is there and receives at its address: it deserves a question.
    pub(crate) fn introduced(&mut self, now: Instant) {
        self.heard_at = now;
        self.knows_us = true;
        self.credit = CREDIT_SHOWN;
        if self.proven_at.is_none() {
            self.ask_by(now);
        }
    }

    /// It has answered a question to many: it deserves one of its own, unless one is out.
    pub(crate) fn answered_call(&mut self, now: Instant) {
        self.heard_at = now;
        self.knows_us = true;
        self.earn_credit();
        if self.proven_at.is_none() && self.question.is_none() {
            self.ask_by(now);
        }
    }

    /// It was heard: that is worth one question.
    fn earn_credit(&mut self) {
        self.credit = (self.credit + 1).min(CREDIT_MAX.max(self.credit));
    }
}
