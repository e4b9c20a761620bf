//! Looking through the lists: what of them is wanted, under which of them it waits, and what of it waits no more.

use super::sharing::Around;
use super::turns::{Waiting, Wanted};
use super::{
    Class, DOWNLOADS_MAX, ENTRIES_A_STEP, InstanceId, Instant, LISTS_MAX, ListingEntry, Shelf,
    Sync, WAITING_EACH, WAITING_MAX, WAITING_UNTRIED,
};
use crate::content::ContentId;

/// An entry that is new costs as much as so many that are not: it is looked who comes first.
const NEW_ENTRY: usize = 4;
/// One content is taken under so many names: a list of thousands of names of one would fill the disk, and costs nobody
/// anything. Where it is empty it fills none.
pub(super) const NAMES_MAX: usize = 8;

/// What is looked at beside the lists.
#[derive(Clone, Copy)]
pub(super) struct Sight<'a> {
    pub(super) now: Instant,
    pub(super) shelf: &'a Shelf,
    pub(super) around: Around<'a>,
}

impl Sync {
    /// Looks at the next entries that were not looked at. Whether there are more.
    pub(super) fn look_on(&mut self, sight: Sight<'_>) -> bool {
        let mut left = ENTRIES_A_STEP;
        let instances: Vec<_> = self.lists.keys().copied().collect();
        for instance in instances {
            let gives = self.class(instance, sight.now) == Some(Class::Gives);
            let each = if gives { WAITING_EACH } else { WAITING_UNTRIED };
            let most =
                WAITING_MAX - DOWNLOADS_MAX - if gives { LISTS_MAX * WAITING_UNTRIED } else { 0 };
            while left > 0 && self.turns.of(instance) < each && self.turns.len() < most {
                let Some(list) = self.lists.get_mut(&instance) else { break };
                let Some(entry) = list.entries.get(list.looked) else {
                    list.tell_left_out();
                    break;
                };
                list.looked += 1;
                left -= 1;
                let wanted = self.rules.want(&entry).then(|| entry.to_owned());
                if wanted.is_some_and(|entry| self.consider(entry, instance, sight)) {
                    left = left.saturating_sub(NEW_ENTRY);
                }
            }
        }
        left == 0
    }

    /// A list has this. Whether it was new.
    fn consider(&mut self, entry: ListingEntry, home: InstanceId, sight: Sight<'_>) -> bool {
        let ListingEntry { content, size, name } = entry;
        let wanted = (content, name);
        if let Some(turn) = self.turns.turn_of(&wanted) {
            let Some(waiting) = self.turns.get(turn) else { return false };
            let (waits_at, first) = (waiting.home, waiting.first);
            if self.is_better(home, waits_at, sight.now) {
                self.turns.move_to(turn, home);
            } else if waiting.leaves_others_the_turn()
                && home != first
                && self.class(home, sight.now).is_some_and(Class::is_trusted)
            {
                self.turns.move_to(turn, waits_at);
            }
            return false;
        }
        if !self.is_lacking(sight.shelf, &wanted) {
            return false;
        }
        if size > 0 && self.names_of(sight.shelf, content) >= NAMES_MAX {
            self.lists.entry(home).and_modify(|list| list.left_out += 1);
            return false;
        }
        let wait = self.wait_for_others(&wanted, home, sight);
        let not_before = (!wait.is_zero()).then(|| sight.now + wait);
        self.turns.put(Waiting { wanted, size, failures: 0, home, first: home, not_before });
        true
    }

    /// Under how many names a content is here, or is to come.
    fn names_of(&self, shelf: &Shelf, content: ContentId) -> usize {
        let here = shelf.names_of(content).take(NAMES_MAX).count();
        here + self.turns.names_of(content) + self.unread.names_of(content)
    }

    /// What waits under lists that are gone, or whose hosts rest now, is moved to others who offer it.
    pub(super) fn look_at_orphans(&mut self, now: Instant, looks: &mut usize) {
        while *looks > 0 {
            let Some((home, from)) = self.orphaned.pop_first() else { break };
            let Some(turn) = self.turns.next_of(home, from) else { continue };
            self.orphaned.insert(home, turn + 1);
            *looks -= 1;
            self.place(turn, now);
        }
        while *looks > 0 {
            let Some(waiting) = self.turns.take_due(now) else { break };
            *looks -= 1;
            let turn = self.turns.put(Waiting { not_before: None, ..waiting });
            self.place(turn, now);
        }
    }

    /// Whether `share/` lacks it, and never had it from others.
    pub(super) fn is_lacking(&self, shelf: &Shelf, wanted: &Wanted) -> bool {
        let (content, name) = wanted;
        if self.came.contains(wanted) {
            return false;
        }
        let mut names = shelf.names_of(*content);
        if shelf.has_name(name) {
            // Another content has the name: this one gets one beside it, once.
            return names.next().is_none();
        }
        // What stands beside another content elsewhere is the one that we have under its own name.
        names.all(|ours| ours.beside(*content, 1) != *name)
    }

    /// Has something wait under the list under which it comes soonest; what nobody offers any more does not.
    fn place(&mut self, turn: u64, now: Instant) {
        let Some(waiting) = self.turns.get(turn) else { return };
        let offer = self.who_offers(&waiting.wanted);
        match offer.into_iter().min_by_key(|&(list, _)| self.class(list, now)) {
            Some((best, _)) if self.is_better(best, waiting.home, now) => {
                self.turns.move_to(turn, best);
            }
            Some(_) => {}
            None => {
                let waiting = self.turns.take(turn);
                waiting.iter().for_each(|waiting| self.turns.forget(&waiting.wanted));
            }
        }
    }
}
