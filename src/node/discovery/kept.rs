//! What is kept of each host of the table beside it, in the orders in which it is asked for: who is due next, which
//! addresses are those of one host, whose listing is lacking, and how much all listings weigh. With a thousand hosts, going through the
//! table for any of these would be most of what there is to do.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::Bound;

use serde::{Deserialize, Serialize};

use crate::node::time::Instant;
use crate::wire::InstanceId;

/// What is kept of all hosts.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    hosts: BTreeMap<SocketAddr, KeptHost>,
    due: BTreeSet<(Instant, SocketAddr)>,
    instances: BTreeSet<(InstanceId, SocketAddr)>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    in_step: BTreeSet<(InstanceId, SocketAddr)>,
    lacking: BTreeSet<(u32, SocketAddr)>,
    weight: u64,
}

/// What is kept of one host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeptHost {
    /// When something is due at it, or before.
    pub(super) due: Option<Instant>,
    /// Who it is.
    pub(super) instance: Option<InstanceId>,
    /// And whether that keeps in step, as it says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) in_step: bool,
    /// Its listing is neither there nor on its way, and so many times in a row it did not come.
    pub(super) lacks: Option<u32>,
    /// What its listing weighs.
    pub(super) weight: u64,
}

impl Kept {
    /// This is how a host is now; none where it is not in the table any more.
    pub(super) fn set(&mut self, address: SocketAddr, host: Option<KeptHost>) {
        let before = match host {
            Some(host) => self.hosts.insert(address, host),
            None => self.hosts.remove(&address),
        };
        if before == host {
            return;
        }
        if let Some(before) = before {
            before.due.map(|due| self.due.remove(&(due, address)));
            before.instance.map(|instance| self.instances.remove(&(instance, address)));
            before.instance.map(|instance| self.in_step.remove(&(instance, address)));
            before.lacks.map(|failed| self.lacking.remove(&(failed, address)));
            self.weight -= before.weight;
        }
        if let Some(host) = host {
            host.due.map(|due| self.due.insert((due, address)));
            host.instance.map(|instance| self.instances.insert((instance, address)));
            let in_step = host.instance.filter(|_| host.in_step);
            in_step.map(|instance| self.in_step.insert((instance, address)));
            host.lacks.map(|failed| self.lacking.insert((failed, address)));
            self.weight += host.weight;
        }
    }

    pub(super) fn get(&self, address: SocketAddr) -> Option<KeptHost> {
        self.hosts.get(&address).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.hosts.len()
    }

    /// When something is due at one of the hosts, or before.
    pub(super) fn first_due(&self) -> Option<Instant> {
        self.due.first().map(|&(due, _)| due)
    }

    /// The hosts at which something is due now.
    pub(super) fn due_by(&self, now: Instant) -> BTreeSet<SocketAddr> {
        let due = self.due.iter().take_while(|(due, _)| *due <= now);
        due.map(|&(_, address)| address).collect()
    }

    /// Which hosts keep in step, each at all its addresses.
    pub(super) const fn in_step(&self) -> &BTreeSet<(InstanceId, SocketAddr)> {
        &self.in_step
    }

    /// The addresses at which this host is.
    pub(super) fn addresses_of(
        &self,
        instance: InstanceId,
    ) -> impl Iterator<Item = SocketAddr> + '_ {
        let first = SocketAddr::from(([0; 4], 0));
        let those = self.instances.range((instance, first)..);
        those.take_while(move |(other, _)| *other == instance).map(|&(_, address)| address)
    }

    /// The host behind this one among those whose listing is lacking. Who has kept us waiting before comes last.
    pub(super) fn lacking_behind(
        &self,
        last: Option<(u32, SocketAddr)>,
    ) -> Option<(u32, SocketAddr)> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        self.lacking.range((from, Bound::Unbounded)).next().copied()
    }

    /// What all listings weigh, where a host with several addresses counts as several.
    pub(super) const fn weight(&self) -> u64 {
        self.weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_each_host() {
        let at = Instant::from_micros;
        let address = |number: u8| SocketAddr::from(([192, 0, 2, number], 9));
        let one = InstanceId([1; 16]);
        let host = |due: u64, weight| KeptHost {
            due: Some(at(due)),
            instance: Some(one),
            lacks: Some(weight as u32 % 2),
            in_step: weight == 5,
            weight,
        };
        let mut kept = Kept::default();
        kept.set(address(2), Some(host(20, 5)));
        kept.set(address(1), Some(host(30, 7)));
        kept.set(address(3), Some(KeptHost { instance: Some(InstanceId([2; 16])), ..host(10, 1) }));
        assert_eq!((kept.first_due(), kept.weight(), kept.len()), (Some(at(10)), 13, 3));
        assert_eq!(kept.due_by(at(20)), BTreeSet::from([address(2), address(3)]));
        assert!(kept.addresses_of(one).eq([address(1), address(2)]));
        assert_eq!(kept.in_step(), &BTreeSet::from([(one, address(2))]));
        kept.set(address(4), Some(KeptHost { lacks: Some(0), ..KeptHost::default() }));
        let lacking = std::iter::successors(kept.lacking_behind(None), |&last| {
            kept.lacking_behind(Some(last))
        });
        let expected = [(0, address(4)), (1, address(1)), (1, address(2)), (1, address(3))];
        assert_eq!(lacking.collect::<Vec<_>>(), expected);
        kept.set(address(4), None);

        kept.set(address(3), Some(KeptHost { due: None, ..KeptHost::default() }));
        kept.set(address(2), Some(host(40, 5)));
        kept.set(address(1), None);
        assert_eq!((kept.first_due(), kept.weight(), kept.len()), (Some(at(40)), 5, 2));
        assert!(kept.addresses_of(one).eq([address(2)]) && kept.due_by(at(39)).is_empty());
        assert_eq!(kept.get(address(2)), Some(host(40, 5)));
        kept.set(address(2), None);
        assert!(kept.in_step().is_empty());
        assert_eq!((kept.first_due(), kept.weight(), kept.get(address(2))), (None, 0, None));
    }
}
