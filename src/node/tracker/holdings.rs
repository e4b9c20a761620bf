//! Who holds what, as far as a tracker keeps it: of each content the first 8 bytes of its SHA-1, and by whom. Two
//! contents that begin alike are one here; who is told of a host that does not have it has asked in vain once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::content::ContentId;
use crate::node::time::Instant;
use crate::wire::Portions;

/// Contents of all hosts together: some 32 MiB.
pub(crate) const ENTRIES_MAX: usize = 1 << 20;
/// Unfinished contents of one host, and of all.
pub(crate) const PARTS_EACH: usize = 16;
pub(crate) const PARTS_MAX: usize = 1 << 16;
/// How long what a host said of an unfinished content stands.
pub(crate) const PART_KEPT: Duration = Duration::from_secs(30);
/// One that is told again sooner than this before its end is renewed.
const PART_RENEWED: Duration = Duration::from_secs(25);

/// What a content begins with.
type Prefix = u64;

fn prefix(content: ContentId) -> Prefix {
    content.0[..8].iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// A part of a content, somewhere.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Part {
    portions: Portions,
    until: Instant,
}

/// The table.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Holdings {
    /// By a number each, or an entry would take three times as much.
    of_host: BTreeMap<SocketAddr, (u32, Box<[Prefix]>)>,
    hosts: BTreeMap<u32, SocketAddr>,
    next_number: u32,
    holders: BTreeSet<(Prefix, u32)>,
    parts: BTreeMap<SocketAddr, Vec<(ContentId, Part)>>,
    /// The same by content: who asks for one does not have all of them looked at.
    part_holders: BTreeSet<(ContentId, SocketAddr)>,
    /// And by when it ends: one end for each part, which goes with it.
    ends: BTreeSet<(Instant, SocketAddr, ContentId)>,
}

impl Holdings {
    /// A host offers these contents and no others. Who it has cost their entry: the heaviest, until there is room.
    pub(super) fn set(
        &mut self,
        host: SocketAddr,
        contents: impl Iterator<Item = ContentId>,
    ) -> Vec<SocketAddr> {
        self.forget_offers(host);
        let mut prefixes: Vec<Prefix> = contents.map(prefix).collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        while self.hosts.contains_key(&self.next_number) {
            self.next_number = self.next_number.wrapping_add(1);
        }
        let number = self.next_number;
        self.next_number = number.wrapping_add(1);
        self.holders.extend(prefixes.iter().map(|&prefix| (prefix, number)));
        self.hosts.insert(number, host);
        self.of_host.insert(host, (number, prefixes.into()));
        let mut dropped = Vec::new();
        while self.holders.len() > ENTRIES_MAX {
            let heaviest = self.of_host.iter().max_by_key(|(_, (_, prefixes))| prefixes.len());
            let Some((&heaviest, _)) = heaviest else { break };
            self.forget_offers(heaviest);
            dropped.push(heaviest);
        }
        dropped
    }

    /// Whether it is known what a host offers.
    pub(super) fn knows(&self, host: SocketAddr) -> bool {
        self.of_host.contains_key(&host)
    }

    /// A host has these parts of an unfinished content.
    pub(super) fn hold(
        &mut self,
        now: Instant,
        host: SocketAddr,
        content: ContentId,
        portions: Portions,
    ) {
        if portions == Portions::NONE {
            return self.forget_part(host, content);
        }
        let there = self.parts.entry(host).or_default();
        if let Some((_, part)) = there.iter_mut().find(|(known, _)| *known == content) {
            part.portions = portions;
            if part.until < now + PART_RENEWED {
                self.ends.remove(&(part.until, host, content));
                part.until = now + PART_KEPT;
                self.ends.insert((part.until, host, content));
            }
        } else if there.len() < PARTS_EACH && self.part_holders.len() < PARTS_MAX {
            let until = now + PART_KEPT;
            there.push((content, Part { portions, until }));
            self.part_holders.insert((content, host));
            self.ends.insert((until, host, content));
        } else if there.is_empty() {
            self.parts.remove(&host);
        }
    }

    /// Who has all of a content, and then who has which parts of it. The first begin somewhere, as `turn` has it, and
    /// go round.
    pub(super) fn who_has(
        &self,
        content: ContentId,
        turn: u32,
    ) -> impl Iterator<Item = (SocketAddr, Portions)> + '_ {
        let prefix = prefix(content);
        // Where numbers begin and end with the hosts that there are, any turn begins among them.
        let first = turn.checked_rem(self.next_number).unwrap_or(turn);
        let behind = self.holders.range((prefix, first)..=(prefix, u32::MAX));
        let before = self.holders.range((prefix, 0)..(prefix, first));
        let whole = behind.chain(before).filter_map(|(_, number)| self.hosts.get(number));
        let whole = whole.map(|&host| (host, Portions::WHOLE));
        let lowest = SocketAddr::from(([0, 0, 0, 0], 0));
        let of_part = self.part_holders.range((content, lowest)..);
        let of_part = of_part.take_while(move |(held, _)| *held == content);
        whole.chain(of_part.filter_map(move |&(_, host)| {
            let parts = self.parts.get(&host)?;
            let (_, part) = parts.iter().find(|(held, _)| *held == content)?;
            Some((host, part.portions))
        }))
    }

    /// When something ends.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.ends.first().map(|&(at, ..)| at)
    }

    /// Forgets what was not told again.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some(&(at, host, content)) = self.ends.first() {
            if at > now {
                return;
            }
            self.forget_part(host, content);
        }
    }

    /// A host is gone.
    pub(super) fn forget(&mut self, host: SocketAddr) {
        self.forget_offers(host);
        for (content, part) in self.parts.remove(&host).unwrap_or_default() {
            self.part_holders.remove(&(content, host));
            self.ends.remove(&(part.until, host, content));
        }
    }

    fn forget_part(&mut self, host: SocketAddr, content: ContentId) {
        let Some(there) = self.parts.get_mut(&host) else { return };
        let place = there.iter().position(|(known, _)| *known == content);
        let Some(place) = place else { return };
        let (_, part) = there.remove(place);
        if there.is_empty() {
            self.parts.remove(&host);
        }
        self.part_holders.remove(&(content, host));
        self.ends.remove(&(part.until, host, content));
    }

    fn forget_offers(&mut self, host: SocketAddr) {
        let Some((number, prefixes)) = self.of_host.remove(&host) else { return };
        self.hosts.remove(&number);
        for prefix in prefixes {
            self.holders.remove(&(prefix, number));
        }
    }

    pub(super) fn check_invariants(&self) {
        assert!(self.holders.len() <= ENTRIES_MAX);
        assert_eq!(
            self.of_host.values().map(|(_, held)| held.len()).sum::<usize>(),
            self.holders.len()
        );
        assert_eq!(self.hosts.len(), self.of_host.len());
        let parts = self.parts.values().map(Vec::len).sum::<usize>();
        assert!(parts <= PARTS_MAX && parts == self.part_holders.len());
        assert_eq!(parts, self.ends.len());
        assert!(self.parts.values().all(|parts| parts.len() <= PARTS_EACH && !parts.is_empty()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(number: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], number))
    }

    fn content(number: u8) -> ContentId {
        ContentId([number; 20])
    }

    fn who(holdings: &Holdings, number: u8, turn: u32) -> Vec<u16> {
        let all = holdings.who_has(content(number), turn);
        all.map(|(host, _)| host.port()).collect()
    }

    #[test]
    fn who_has_what_goes_round() {
        let mut holdings = Holdings::default();
        for number in 1..=4 {
            holdings.set(host(number), [content(7), content(number as u8)].into_iter());
        }
        assert_eq!(who(&holdings, 7, 0), [1, 2, 3, 4]);
        assert_eq!(who(&holdings, 7, 2), [3, 4, 1, 2]);
        assert_eq!(who(&holdings, 7, 4), [1, 2, 3, 4]);
        assert_eq!(who(&holdings, 3, 1), [3]);
        assert_eq!(who(&holdings, 9, 0), [0; 0]);
        holdings.set(host(2), [content(9)].into_iter());
        assert_eq!((who(&holdings, 7, 0), who(&holdings, 9, 0)), (vec![1, 3, 4], vec![2]));
        holdings.forget(host(3));
        assert_eq!(who(&holdings, 7, 0), [1, 4]);
        holdings.check_invariants();
    }

    #[test]
    fn parts_end_unless_they_are_told_again() {
        let mut holdings = Holdings::default();
        let at = |seconds: u64| Instant::from_micros(seconds * 1_000_000);
        holdings.hold(at(0), host(1), content(7), Portions(1));
        holdings.hold(at(0), host(2), content(7), Portions(2));
        holdings.hold(at(10), host(2), content(7), Portions(3));
        assert_eq!(who(&holdings, 7, 0), [1, 2]);
        holdings.expire(at(30));
        assert_eq!(holdings.who_has(content(7), 0).collect::<Vec<_>>(), [(host(2), Portions(3))]);
        holdings.expire(at(39));
        assert_eq!(who(&holdings, 7, 0), [2]);
        holdings.hold(at(39), host(2), content(7), Portions::NONE);
        assert_eq!(who(&holdings, 7, 0), [0; 0]);
        holdings.check_invariants();
    }

    /// One packet each time, as fast as a host can send: that must not add up.
    #[test]
    fn a_part_that_comes_and_goes_leaves_nothing_behind() {
        let mut holdings = Holdings::default();
        for micros in 0..100_000 {
            let now = Instant::from_micros(micros);
            holdings.hold(now, host(1), content(7), Portions(1));
            holdings.hold(now, host(1), content(7), Portions::NONE);
        }
        assert_eq!((holdings.ends.len(), holdings.deadline()), (0, None));
        holdings.hold(Instant::ORIGIN, host(1), content(7), Portions(1));
        holdings.forget(host(1));
        assert_eq!(holdings.deadline(), None);
        holdings.check_invariants();
    }

    #[test]
    fn a_host_has_so_many_parts_and_all_together_so_many_contents() {
        let mut holdings = Holdings::default();
        for number in 0..=PARTS_EACH as u8 {
            holdings.hold(Instant::ORIGIN, host(1), content(number), Portions(1));
        }
        assert_eq!(holdings.part_holders.len(), PARTS_EACH);
        let many = |from: u32, count: u32| {
            (from..from + count).map(|number| {
                let mut id = [0; 20];
                id[..4].copy_from_slice(&number.to_be_bytes());
                ContentId(id)
            })
        };
        assert_eq!(holdings.set(host(2), many(0, 900_000)), []);
        assert_eq!(holdings.set(host(3), many(0, 100)), []);
        assert_eq!(holdings.set(host(4), many(0, 200_000)), [host(2)], "the heaviest");
        assert!(holdings.knows(host(3)) && !holdings.knows(host(2)));
        holdings.check_invariants();
    }
}
