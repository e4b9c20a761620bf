//! Work in slices: each call does some milliseconds of one kind of work and goes on with the next kind
//! the next time, so that none waits for another.

use std::time::Duration;

use super::clock::{self, Slice};
use super::executor::{Executor, PeerWork, Task};
use super::hash_cache::HashCache;
use crate::node::input::{HashOutcome, ShareSearch};
use crate::node::{Input, Instant};

/// How long a step of making and reading listings works at most, one piece more or less.
const LISTINGS_STEP: Duration = Duration::from_micros(1_500);
/// The same for a step of making `d.json` and telling what came and went.
const DIRECTORY_STEP: Duration = Duration::from_micros(1_500);

impl Executor {
    /// Does what is due or was begun, kind after kind, until the slice is over.
    pub fn work(&mut self, now: Instant, slice: &Slice) {
        for _ in Task::ALL {
            let task = Task::ALL[self.next_task];
            if self.is_due(task, now) {
                let more = self.work_on(task, now);
                self.task_has_more[self.next_task] = more;
            }
            self.next_task = (self.next_task + 1) % Task::ALL.len();
            if slice.is_over() {
                break;
            }
        }
    }

    /// The first look at `share/`, before the first turn: for its watch the kernel goes through all names
    /// that it remembers of the folder, which takes longer than a turn may where they are thousands.
    pub fn begin_work(&mut self, now: Instant) {
        self.task_has_more[Task::ScanShare as usize] = self.work_on(Task::ScanShare, now);
    }

    /// Whether something was begun that can go on at once.
    pub fn has_more_work(&self) -> bool {
        self.task_has_more.contains(&true)
    }

    /// When there is something to do again.
    pub fn next_work(&self) -> Option<Instant> {
        let peer = self.peer.as_ref()?;
        [peer.watcher.next_due(), peer.partials.next_due(), peer.cache.next_due()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Once a second: what nobody asked for lately is closed, and the watched folders are looked at,
    /// whether they are still the same: the kernel does not tell while we hold the old ones.
    pub fn tidy(&mut self, now: Instant) {
        self.serving.close_idle(now);
        self.note_work(Task::ScanShare);
        self.note_work(Task::LookAtPartials);
        if self.peer.as_ref().is_some_and(|peer| peer.cache.has_lost()) {
            self.note_work(Task::Hash);
        }
    }

    pub(super) fn note_work(&mut self, task: Task) {
        self.task_has_more[task as usize] = true;
    }

    fn is_due(&self, task: Task, now: Instant) -> bool {
        let due = self.peer.as_ref().and_then(|peer| match task {
            Task::ScanShare => peer.watcher.next_due(),
            Task::LookAtPartials => peer.partials.next_due(),
            Task::WriteCache => peer.cache.next_due(),
            Task::Hash | Task::Listings | Task::ShowDirectory | Task::WorkForFetches => None,
        });
        self.task_has_more[task as usize] || due.is_some_and(|due| due <= now)
    }

    fn work_on(&mut self, task: Task, now: Instant) -> bool {
        if task == Task::WorkForFetches {
            return self.work_for_fetches();
        } else if task == Task::Listings {
            return self.listings.step(&Slice::of(LISTINGS_STEP), &mut self.inbox);
        }
        let Some(peer) = &mut self.peer else {
            return false;
        };
        let inputs = &mut self.inbox;
        match task {
            Task::ScanShare => {
                let begun = inputs.len();
                let more = peer.watcher.step(now, clock::wall_now(), &mut self.share, inputs);
                for input in inputs.range(begun..) {
                    if let Input::FileGone { name } = input {
                        peer.cache.forget(name, now);
                    }
                }
                more
            }
            Task::LookAtPartials => peer.partials.step(now, inputs),
            Task::Hash => peer.jobs.step(&self.share, &peer.partials, &mut peer.cache, inputs),
            Task::WriteCache => peer.cache.step(now),
            Task::ShowDirectory => {
                let PeerWork { directory, discoveries, .. } = peer;
                let slice = Slice::of(DIRECTORY_STEP);
                discoveries.together(|lines| directory.step(&slice, |line| lines.line(line)))
            }
            Task::Listings | Task::WorkForFetches => false,
        }
    }

    /// One step for each fetch that searches or publishes.
    fn work_for_fetches(&mut self) -> bool {
        let mut more = false;
        for (fetch, work) in &mut self.fetches {
            let fetch = *fetch;
            let search = work.search.as_mut().filter(|search| search.is_at_work());
            if let Some(search) = search {
                let (peer, own, root) = (&mut self.peer, &mut self.search_cache, &self.root);
                let mut known = |name: &_, signature: &_| {
                    let cache = match peer {
                        Some(peer) => &mut peer.cache,
                        None => own.get_or_insert_with(|| HashCache::open(root)),
                    };
                    match cache.lookup(name, signature) {
                        Some(HashOutcome::Whole { content, .. }) => Some(content),
                        // One that was made to collide is hashed again, and told then.
                        _ => None,
                    }
                };
                match search.step(&self.share, &mut known) {
                    None => more = true,
                    Some(outcome) => {
                        if outcome != ShareSearch::Unfinished {
                            work.search = None;
                            self.search_cache = None;
                        }
                        self.inbox.push_back(Input::ShareSearched { fetch, outcome });
                    }
                }
            }
            if let Some(outcome) = work.publisher.work(&mut work.store, &self.share) {
                self.inbox.push_back(Input::PublishStepped { fetch, outcome });
            }
            more |= work.publisher.is_at_work();
        }
        more
    }
}
