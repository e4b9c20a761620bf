//! What has come a moment ago, and was not read in `share/` yet. Nothing has to wait until it was: what it is is known.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::content::{ContentId, ShareName};
use crate::node::shelf::Shelf;
use crate::node::time::Instant;

/// So much of it at a time; with more, all is waited for.
const UNREAD_MAX: usize = 64;
/// And for so long: somebody may have deleted it.
const UNREAD_FOR: Duration = Duration::from_secs(60);

/// What has come and was not read yet, the oldest first.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Unread(VecDeque<(Instant, ContentId, ShareName)>);

impl Unread {
    /// This has come, and stands under this name.
    pub(super) fn came(&mut self, now: Instant, content: ContentId, name: ShareName) {
        if self.0.len() == UNREAD_MAX {
            self.0.pop_front();
        }
        self.0.push_back((now, content, name));
    }

    /// Under how many names this content is among them.
    pub(super) fn names_of(&self, content: ContentId) -> usize {
        self.0.iter().filter(|(_, its, _)| *its == content).count()
    }

    /// Whether nothing else in `share/` has to be read.
    pub(super) fn is_all(&mut self, now: Instant, shelf: &Shelf) -> bool {
        self.0.retain(|(came_at, content, name)| {
            now.since(*came_at) < UNREAD_FOR && shelf.names_of(*content).all(|its| its != name)
        });
        let is_known = |name| self.0.iter().any(|(_, _, its)| its == name);
        shelf.unread().enumerate().all(|(count, name)| count < UNREAD_MAX && is_known(name))
    }

    pub(super) fn check_invariants(&self) {
        assert!(self.0.len() <= UNREAD_MAX);
    }
}
