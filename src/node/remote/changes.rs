//! How the listing that a host offers follows from the one that we have: whether that is known, and when it is
//! asked for.

use super::Remote;
use crate::node::listed::Listed;
use crate::node::time::Instant;

/// What became of a listing that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// It is genuine, but for so many names.
    Genuine {
        /// Names that nobody should have sent.
        refused_names: u32,
    },
    /// It is not what the host announced, or no listing.
    Bad,
    /// It came as changes, which do not lead to what the host announced.
    BadChanges,
}

impl Remote {
    /// The listing from which changes can be told.
    pub(super) fn base(&self) -> Option<&Listed> {
        self.listed.as_ref().filter(|listed| listed.is_complete && !self.whole_next)
    }

    /// Whether it has not been asked yet how the listing that is wanted follows from the one that we have.
    pub(super) fn is_way_unknown(&self) -> bool {
        let known = self.changes.map(|changes| changes.old);
        self.base().is_some_and(|base| known != Some(base.digest))
    }

    /// Asks for the way from what has come meanwhile to what is wanted, if that is another by now.
    pub(super) fn ask_for_changes(&mut self, now: Instant) {
        let wanted = self.wanted.map(|wanted| wanted.digest);
        let has = self.base().map(|base| base.digest);
        if has.is_some() && has != wanted && self.download.is_none() && self.is_way_unknown() {
            self.ask_by(now);
        }
    }
}
