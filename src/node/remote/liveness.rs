//! Whether a host is still there: when it is asked, when it counts as gone, and which of its addresses need not be
//! asked.

use std::net::SocketAddr;
use std::time::Duration;

use super::{ASK_OUT_OF_REACH, ASK_TOLD_OF, Remote};
use crate::node::context::Interfaces;
use crate::node::time::Instant;

/// A host is asked whether it is still there a little later than it said that it would be heard again; but not
/// sooner than this after it was last heard, and not later.
const SILENT_AFTER_MIN: Duration = Duration::from_millis(4_500);
const SILENT_AFTER_MAX: Duration = Duration::from_millis(6_900);
/// Where it does not say.
pub(crate) const SILENT_AFTER: Duration = Duration::from_secs(6);
/// So much later than a host said.
const LATE: Duration = Duration::from_millis(400);
/// A spare address is kept for so long after it was last heard.
const SPARE_KEPT: Duration = Duration::from_secs(300);
/// A host that was not heard for this long is gone.
pub(crate) const GONE_AFTER: Duration = Duration::from_millis(8_400);
/// Until then it is asked so many times. Where a thousand hosts lose one packet in ten, each loses a hundred
/// announcements in six seconds; after four questions one of a thousand of these would be taken for gone.
const QUESTIONS: u32 = 10;
/// A host whose announcements are heard is nevertheless asked this often: they could be anyone's.
const PROVE_AGAIN_AFTER: Duration = Duration::from_secs(45);

impl Remote {
    /// Whether it has shown that it is there, and was heard not long ago.
    pub(crate) fn is_heard(&self, now: Instant) -> bool {
        self.is_proven() && now < self.heard_at + self.silent_after()
    }

    /// Whether its announcements may not reach us: whoever names a host has a reason to.
    pub(crate) fn is_out_of_reach(&self, address: SocketAddr, interfaces: &Interfaces) -> bool {
        self.configured || !interfaces.is_broadcast_reach(address.ip())
    }

    /// When the next question is due, if any.
    pub(super) fn question_due(&self, out_of_reach: bool) -> Option<Instant> {
        let may = self.is_proven() || self.configured || self.credit > 0;
        if !may {
            return None;
        }
        let routine = self.proven_at.map(|proven_at| {
            let after_proof = match (out_of_reach, self.configured) {
                (true, true) => ASK_OUT_OF_REACH,
                (true, false) => ASK_TOLD_OF,
                (false, _) => PROVE_AGAIN_AFTER,
            };
            (proven_at + after_proof).min(self.heard_at + self.silent_after())
        });
        let routine = routine.filter(|_| !self.spare);
        match (self.ask_at, routine) {
            // A question is out: its own patience counts, not the routine.
            (Some(at), _) => Some(at),
            (None, routine) => routine.into_iter().chain(self.others_due()).min(),
        }
    }

    /// When it counts as gone.
    pub(crate) fn gone_at(&self) -> Instant {
        if self.spare {
            return self.heard_at + SPARE_KEPT;
        }
        let silent = self.heard_at + GONE_AFTER;
        // Announcements alone do not keep it: they could be anyone's.
        let unproven = self.proven_at.map(|at| at + PROVE_AGAIN_AFTER + GONE_AFTER);
        unproven.map_or(silent, |unproven| unproven.min(silent))
    }

    /// After how long a silence it is asked.
    fn silent_after(&self) -> Duration {
        if self.announces_within.is_zero() {
            return SILENT_AFTER;
        }
        (self.announces_within + LATE).clamp(SILENT_AFTER_MIN, SILENT_AFTER_MAX)
    }

    /// How long an answer is waited for where it is asked because it is silent; none where it is not.
    pub(super) fn patience_with_silence(&self, now: Instant) -> Option<Duration> {
        let silent_after = self.silent_after();
        let is_silent = self.is_proven() && now >= self.heard_at + silent_after;
        is_silent.then(|| (GONE_AFTER - silent_after) / QUESTIONS)
    }

    /// Whether its host is there at no better address.
    pub(crate) const fn is_main(&self) -> bool {
        self.proven_at.is_some() && !self.spare
    }

    /// Whether its host is there at a better address. One that was spare until now has to show that it is
    /// there, as one that was not heard for a while. Whether that is new.
    pub(crate) fn set_spare(&mut self, spare: bool, now: Instant) -> bool {
        if self.spare && !spare {
            self.heard_at = self.heard_at.max(now - SILENT_AFTER_MAX);
            self.proven_at = self.proven_at.map(|at| at.max(now - PROVE_AGAIN_AFTER));
            self.ask_by(now);
        }
        std::mem::replace(&mut self.spare, spare) != spare
    }

    pub(crate) fn is_question_due(&self, now: Instant, out_of_reach: bool) -> bool {
        self.question_due(out_of_reach).is_some_and(|due| due <= now)
    }
}
