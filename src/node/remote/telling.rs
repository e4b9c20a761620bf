//! Hosts of which others tell, and hosts that are asked of whom they know.

use std::time::Duration;

use super::Remote;
use crate::node::time::Instant;
use crate::wire::Cookie;

/// A host that a person named is asked of whom it knows this often.
const ASK_OF_OTHERS: Duration = Duration::from_secs(10);

impl Remote {
    /// Somebody names it, from now on.
    pub(crate) fn named(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.configured, true) {
            self.ask_by(now);
        }
    }

    /// Somebody told of it: it deserves one question.
    pub(crate) fn told_of(&mut self, now: Instant) {
        self.heard_at = now;
        self.credit = 1;
        self.ask_by(now);
    }

    /// What grants and questions to it show.
    pub(crate) const fn cookie(&self) -> Cookie {
        self.cookie
    }

    /// Whether hosts that it tells of under this nonce were asked for: once.
    pub(crate) fn takes_hosts(&mut self, nonce: u64) -> bool {
        self.others_nonce.take_if(|asked| *asked == nonce).is_some()
    }

    /// Whether it is time to ask it of whom it knows.
    pub(crate) fn may_ask_of_others(&self, now: Instant) -> bool {
        self.configured && self.cookie != Cookie::NONE && now >= self.others_at
    }

    /// Whether it is asked of whom it knows with this question, by which it tells us under this nonce.
    pub(super) fn asks_of_others(&mut self, now: Instant, nonce: u64) -> bool {
        if self.others_nonce != Some(nonce) && self.may_ask_of_others(now) {
            self.others_nonce = Some(nonce);
            self.others_at = now + ASK_OF_OTHERS;
        }
        self.others_nonce == Some(nonce)
    }
}
