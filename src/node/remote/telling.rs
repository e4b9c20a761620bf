//! Hosts of which others tell, and hosts that are asked of whom they know.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Remote;
use crate::node::time::Instant;
use crate::wire::Cookie;

/// A host that a person named is asked of whom it knows this often.
const ASK_OF_OTHERS: Duration = Duration::from_secs(10);
/// And where it has told that it knows more, and that does not come, again after this long.
const ASK_ON: Duration = Duration::from_secs(1);
/// The first place in the order in which a host tells of others.
const FIRST: u16 = 1;

/// What a host has told beside its listing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Telling {
    /// The place from which on it is to be asked of others; 0 once it has told of all.
    others_from: Option<u16>,
    /// For how many seconds it had been there, and when it said so.
    age: Option<(Instant, u32)>,
}

impl Telling {
    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn hosts_from(&self) -> u16 {
        self.others_from.unwrap_or(FIRST)
    }
}

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

    /// It has told of others, and knows more from this place on, or none if it is 0. Those are asked for after `pause`.
    pub(crate) fn told_others(&mut self, now: Instant, next: u16, pause: Duration) {
        // One that does not get on is not followed.
        let asked = self.telling.hosts_from();
        self.telling.others_from = Some(if next > asked { next } else { 0 });
        if self.tells_more() {
            self.others_at = now + pause;
        }
    }

    /// Not all that it has told of could be asked: it is asked of them again.
    pub(crate) fn told_too_many(&mut self, now: Instant) {
        self.telling.others_from = Some(self.telling.hosts_from().max(FIRST));
        self.others_at = now + ASK_ON;
    }

    /// Whether it knows more hosts, as it says, and has not told of them yet.
    pub(crate) fn tells_more(&self) -> bool {
        self.configured && self.telling.others_from.is_some_and(|from| from > 0)
    }

    /// When those are asked for.
    pub(crate) fn others_due(&self) -> Option<Instant> {
        (self.tells_more() && self.cookie != Cookie::NONE).then_some(self.others_at)
    }

    /// It has told for how many seconds it has been there.
    pub(crate) fn told_age(&mut self, now: Instant, age: Option<u32>) {
        self.telling.age = age.map(|age| (now, age)).or(self.telling.age);
    }

    /// For how long it has been there, as it said.
    pub(crate) fn age(&self, now: Instant) -> Option<Duration> {
        let (told_at, age) = self.telling.age?;
        Some(Duration::from_secs(age.into()) + now.since(told_at))
    }

    /// Whether it is time to ask it of whom it knows.
    pub(crate) fn may_ask_of_others(&self, now: Instant) -> bool {
        self.configured && self.cookie != Cookie::NONE && now >= self.others_at
    }

    /// Whether it is asked of whom it knows with this question, by which it tells us under this nonce.
    pub(super) fn asks_of_others(&mut self, now: Instant, nonce: u64) -> bool {
        if self.others_nonce != Some(nonce) && self.may_ask_of_others(now) {
            self.others_nonce = Some(nonce);
            self.others_at = now + if self.tells_more() { ASK_ON } else { ASK_OF_OTHERS };
        }
        self.others_nonce == Some(nonce)
    }
}
