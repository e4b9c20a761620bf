//! What waits for its turn: by the list that it was found in, in the order in which it was found. It never has to be
//! gone through: the next turn of each list is at hand, and so is what is due (again), after it failed or was left to others first.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::content::{ContentId, ShareName};
use crate::node::time::Instant;
use crate::wire::InstanceId;

/// A content under a name.
pub(super) type Wanted = (ContentId, ShareName);

/// What is wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Waiting {
    pub(super) wanted: Wanted,
    pub(super) size: u64,
    pub(super) failures: u32,
    /// The list under which it waits.
    pub(super) home: InstanceId,
    /// The list in which it was found.
    pub(super) first: InstanceId,
    /// It failed, or is left to others first, and does not wait for its turn before then.
    pub(super) not_before: Option<Instant>,
}

impl Waiting {
    /// Others are to have it first.
    pub(super) const fn leaves_others_the_turn(&self) -> bool {
        self.failures == 0 && self.not_before.is_some()
    }
}

/// All that is wanted.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Turns {
    next: u64,
    /// What waits, by its turn.
    items: BTreeMap<u64, Waiting>,
    /// The turns of each list, none of them empty.
    homes: BTreeMap<InstanceId, BTreeSet<u64>>,
    /// What failed or is left to others, and when it is to wait for its turn (again).
    later: BTreeSet<(Instant, u64)>,
    /// How much of each list is left to others.
    left: BTreeMap<InstanceId, usize>,
    /// What waits or is under way, with its turn.
    known: BTreeSet<(ContentId, ShareName, u64)>,
    /// Under how many names each content is known.
    names: BTreeMap<ContentId, usize>,
}

impl Turns {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// How many are known, waiting or under way.
    pub(super) fn known(&self) -> usize {
        self.known.len()
    }

    /// How many wait for their turn under this list, or for others to have had theirs.
    pub(super) fn of(&self, home: InstanceId) -> usize {
        let left = self.left.get(&home).copied().unwrap_or(0);
        left + self.homes.get(&home).map_or(0, BTreeSet::len)
    }

    /// Under how many names this content waits, or is under way.
    pub(super) fn names_of(&self, content: ContentId) -> usize {
        self.names.get(&content).copied().unwrap_or(0)
    }

    /// When something is to wait for its turn (again).
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.later.first().map(|&(at, _)| at)
    }

    /// The lists under which something waits, each with its next turn.
    pub(super) fn heads(&self) -> impl Iterator<Item = (InstanceId, u64)> {
        let head = |(&home, turns): (&InstanceId, &BTreeSet<u64>)| Some((home, *turns.first()?));
        self.homes.iter().filter_map(head)
    }

    /// The first turn of this list that is not before this one.
    pub(super) fn next_of(&self, home: InstanceId, from: u64) -> Option<u64> {
        self.homes.get(&home)?.range(from..).next().copied()
    }

    /// The turn of what is known to be wanted.
    pub(super) fn turn_of(&self, (content, name): &Wanted) -> Option<u64> {
        let from = (*content, name.clone(), 0);
        let (its_content, its_name, turn) = self.known.range(from..).next()?;
        (its_content == content && its_name == name).then_some(*turn)
    }

    pub(super) fn get(&self, turn: u64) -> Option<&Waiting> {
        self.items.get(&turn)
    }

    /// Puts something behind all others of its list, or where what failed waits for its time.
    pub(super) fn put(&mut self, waiting: Waiting) -> u64 {
        self.forget(&waiting.wanted);
        let turn = self.next;
        self.next += 1;
        let (content, name) = waiting.wanted.clone();
        self.known.insert((content, name, turn));
        *self.names.entry(content).or_default() += 1;
        if waiting.leaves_others_the_turn() {
            *self.left.entry(waiting.home).or_default() += 1;
        }
        match waiting.not_before {
            Some(at) => self.later.insert((at, turn)),
            None => self.homes.entry(waiting.home).or_default().insert(turn),
        };
        self.items.insert(turn, waiting);
        turn
    }

    /// Takes what failed, or was left to others, and is due now; it stays known.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Waiting> {
        let &(_, turn) = self.later.first().filter(|&&(at, _)| at <= now)?;
        self.take(turn)
    }

    /// Takes something out; it stays known.
    pub(super) fn take(&mut self, turn: u64) -> Option<Waiting> {
        let waiting = self.items.remove(&turn)?;
        if waiting.leaves_others_the_turn() {
            take_one(&mut self.left, waiting.home);
        }
        match waiting.not_before {
            Some(at) => {
                self.later.remove(&(at, turn));
            }
            None => self.leave_home(waiting.home, turn),
        }
        Some(waiting)
    }

    /// Has it wait under another list: at the same turn, or behind all others if it was not waiting for one. Then
    /// it waits for it at once, and the list may be the same.
    pub(super) fn move_to(&mut self, turn: u64, home: InstanceId) {
        let Some(waiting) = self.items.get_mut(&turn) else { return };
        if waiting.not_before.is_some() {
            let Some(waiting) = self.take(turn) else { return };
            self.put(Waiting { home, not_before: None, ..waiting });
            return;
        }
        let before = std::mem::replace(&mut waiting.home, home);
        self.leave_home(before, turn);
        self.homes.entry(home).or_default().insert(turn);
    }

    /// It is wanted no more.
    pub(super) fn forget(&mut self, wanted: &Wanted) {
        if let Some(turn) = self.turn_of(wanted) {
            self.known.remove(&(wanted.0, wanted.1.clone(), turn));
            take_one(&mut self.names, wanted.0);
        }
    }

    pub(super) fn check_invariants(&self) {
        let at_home: usize = self.homes.values().map(BTreeSet::len).sum();
        assert_eq!(at_home + self.later.len(), self.items.len());
        assert!(self.homes.values().all(|turns| !turns.is_empty()));
        assert!(self.left.values().sum::<usize>() <= self.later.len());
        assert!(self.names.len() <= self.known.len());
        assert!(self.left.values().all(|&count| count > 0));
    }

    fn leave_home(&mut self, home: InstanceId, turn: u64) {
        let Some(turns) = self.homes.get_mut(&home) else { return };
        turns.remove(&turn);
        if turns.is_empty() {
            self.homes.remove(&home);
        }
    }
}

/// One less of these; none are not kept.
fn take_one<K: Ord>(counts: &mut BTreeMap<K, usize>, of: K) {
    if let Entry::Occupied(mut count) = counts.entry(of) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}
