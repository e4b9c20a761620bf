//! Looking whether `share/` holds the content already, so that it is copied and not fetched.
//!
//! Under the wanted name this is known before anything is sent. Under other names only so much is looked
//! at first as costs less than fetching: where thousands of files have one size, hashing all of
//! them for each that is fetched would take longer than the network. The rest is looked through where
//! nothing comes from there.

use std::time::Duration;

use log::info;
use serde::{Deserialize, Serialize};

use super::publishing::Publishing;
use super::{Fetch, Phase};
use crate::content::terminal_text::printable;
use crate::node::context::Context;
use crate::node::input::ShareSearch;
use crate::node::output::{FetchEnding, Output};
use crate::node::time::Instant;

/// What the first look may cost, in bytes hashed, besides [`SIZES_AT_FIRST`]: half a millisecond with
/// SHA instructions, about what a process takes to start.
const EFFORT_AT_FIRST: u64 = 1 << 20;
/// And so many files of the wanted size: hashing them takes no longer than a fast network does for one.
const SIZES_AT_FIRST: u64 = 4;
/// How long nothing comes before the rest is looked through.
const NOTHING_CAME: Duration = Duration::from_secs(1);

/// What is left of the search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Unsearched {
    #[default]
    Nothing,
    /// Something, which is looked through if nothing comes; so long was waited at least.
    Some { since: Instant },
    /// It is being looked through, beside fetching.
    Begun,
}

impl Fetch {
    pub(super) fn begin_search(&mut self, ctx: &mut Context<'_>) {
        self.searched = true;
        self.phase = Phase::Searching;
        let effort =
            EFFORT_AT_FIRST.saturating_add(self.request.size.saturating_mul(SIZES_AT_FIRST));
        ctx.emit(Output::SearchShare { fetch: self.request.fetch, effort: Some(effort) });
    }

    /// The answer to [`Output::SearchShare`].
    pub(crate) fn share_searched(&mut self, ctx: &mut Context<'_>, outcome: ShareSearch) {
        let beside = self.phase == Phase::Fetching && self.unsearched == Unsearched::Begun;
        if self.phase != Phase::Searching && !beside {
            // The store was opened anew meanwhile.
            if self.unsearched == Unsearched::Begun {
                self.unsearched = Unsearched::Some { since: ctx.now };
            }
            return;
        }
        self.unsearched = match outcome {
            ShareSearch::Unfinished => Unsearched::Some { since: ctx.now },
            _ => Unsearched::Nothing,
        };
        let publishing = match outcome {
            ShareSearch::InPlace => {
                info!("share/{} is this file already", printable(self.request.name.as_str()));
                Publishing::in_place(&self.request)
            }
            ShareSearch::Elsewhere(from) => {
                info!("copying from share/{}", printable(from.as_str()));
                Publishing::of_copy(&self.request, from)
            }
            ShareSearch::Colliding => return self.end(ctx, FetchEnding::Colliding),
            ShareSearch::Absent | ShareSearch::Unfinished if beside => return,
            ShareSearch::Absent | ShareSearch::Unfinished => return self.go_on_fetching(ctx),
        };
        let sources: Vec<_> = self.sources.keys().copied().collect();
        for source in sources {
            self.let_go(ctx, source);
        }
        self.begin_publishing(ctx, publishing);
    }

    /// When the rest is looked through, if nothing comes until then.
    pub(super) fn search_on_at(&self) -> Option<Instant> {
        match self.unsearched {
            Unsearched::Some { since } => {
                Some(self.bytes_moved_at.map_or(since, |at| at.max(since)) + NOTHING_CAME)
            }
            Unsearched::Nothing | Unsearched::Begun => None,
        }
    }

    /// Has the rest looked through, if it is time.
    pub(super) fn search_on(&mut self, ctx: &mut Context<'_>) {
        if self.search_on_at().is_some_and(|at| at <= ctx.now) {
            self.unsearched = Unsearched::Begun;
            ctx.emit(Output::SearchShare { fetch: self.request.fetch, effort: None });
        }
    }
}
