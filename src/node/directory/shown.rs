//! Which hosts are shown, under which address, and who it is that two claim to be.
//!
//! A host is known by its instance, which anybody who has heard it can repeat. Addresses of one host list the same; so where
//! two that say to be one host go on to list different files, they are taken for two, and both are shown: whoever steals
//! a name hides nobody.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::preference;
use crate::node::digest::Digest;
use crate::node::listed::Listed;
use crate::node::remote::Remote;
use crate::node::time::Instant;
use crate::wire::listing::ListingEntries;
use crate::wire::{InstanceId, ListingDigest};

/// How long two addresses of a host may list different files: one learns of a change later than the other, but both are
/// asked at once where they differ.
const DISPUTED_FOR: Duration = Duration::from_secs(6);

/// What is shown of one host, and where it is reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Shown {
    pub(crate) address: SocketAddr,
    pub(super) digest: ListingDigest,
    pub(in crate::node) entries: ListingEntries,
}

#[cfg(test)]
impl Shown {
    /// A host that lists these.
    pub(crate) const fn new(address: SocketAddr, entries: ListingEntries) -> Self {
        Self { address, digest: ListingDigest::NONE, entries }
    }
}

impl PartialEq for Shown {
    fn eq(&self, other: &Self) -> bool {
        let key = |it: &Self| (it.address, it.digest, it.entries.len());
        key(self) == key(other)
    }
}

/// Addresses that list other files than the host that they say to be, as it is shown, and since when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Disputes(BTreeMap<SocketAddr, Instant>);

/// An address that says to be a host, and what it lists.
type Claim<'a> = ((u8, Instant, SocketAddr), &'a Listed);

impl Disputes {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether what this address lists has long been other than what the host lists that it says to be: it is another host.
    pub(crate) fn is_another(&self, address: SocketAddr, now: Instant) -> bool {
        self.0.get(&address).is_some_and(|&since| now >= since + DISPUTED_FOR)
    }

    /// When the next dispute has lasted long enough to show both.
    fn due(&self, now: Instant) -> Option<Instant> {
        self.0.values().map(|&since| since + DISPUTED_FOR).filter(|&due| due > now).min()
    }

    /// The hosts that are shown: each that lists anything once, under its preferred address; when this is to be looked at again, if
    /// nothing happens; and the addresses that are newly in dispute, which are to be asked. `before` is what was shown
    /// last: who is shown as a host stays so as long as he is there.
    pub(crate) fn shown(
        &mut self,
        remotes: &BTreeMap<SocketAddr, Remote>,
        before: &BTreeMap<InstanceId, Shown>,
        now: Instant,
    ) -> (BTreeMap<InstanceId, Shown>, Option<Instant>, Vec<SocketAddr>) {
        let mut claims: BTreeMap<InstanceId, Vec<Claim<'_>>> = BTreeMap::new();
        for (&address, remote) in remotes {
            if let (Some(instance), Some(listed)) = (remote.instance, &remote.listed) {
                let (class, address) = preference(address);
                let rank = (class, remote.proven_since(), address);
                claims.entry(instance).or_default().push((rank, listed));
            }
        }
        let (mut visible, mut disputes, mut new) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for (instance, mut claims) in claims {
            claims.sort_by_key(|&(rank, _)| rank);
            let address = before.get(&instance).map(|shown| shown.address);
            let known = claims.iter().find(|((_, _, at), _)| Some(*at) == address);
            let digest = known.or_else(|| claims.first()).map(|(_, listed)| listed.digest);
            let (its, others): (Vec<_>, Vec<_>) =
                claims.into_iter().partition(|(_, listed)| Some(listed.digest) == digest);
            visible.extend(its.first().map(|claim| (instance, Shown::of(claim))));
            for claim in others {
                let address = claim.0.2;
                let since = self.0.get(&address).copied().unwrap_or_else(|| {
                    new.push(address);
                    now
                });
                disputes.insert(address, since);
                if now >= since + DISPUTED_FOR {
                    visible.insert(apart(instance, address), Shown::of(&claim));
                }
            }
        }
        visible.retain(|_, shown| !shown.entries.is_empty());
        self.0 = disputes;
        (visible, self.due(now), new)
    }
}

impl Shown {
    fn of(((_, _, address), listed): &Claim<'_>) -> Self {
        Self { address: *address, digest: listed.digest, entries: listed.entries.clone() }
    }
}

/// Another who says to be this instance: he gets one of his own.
fn apart(instance: InstanceId, address: SocketAddr) -> InstanceId {
    let mut digest = Digest::default();
    digest.bytes(&instance.0);
    digest.bytes(address.to_string().as_bytes());
    let first = digest.get();
    digest.bytes(&[0]);
    let both = u128::from(first) << 64 | u128::from(digest.get());
    InstanceId(both.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::tests::remote;
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn who_says_to_be_another_hides_nobody() {
        // By IPv4, which is preferred, and with a lower address.
        let (honest, thief) = (at("[2001:db8::7]:27183"), at("10.0.0.1:27183"));
        let mut remotes = BTreeMap::from([(honest, remote(honest, 1, 1))]);
        let mut disputes = Disputes::default();
        let second = |n: u64| Instant::from_micros(n * 1_000_000);
        let (before, due, new) = disputes.shown(&remotes, &BTreeMap::new(), second(1));
        assert!(due.is_none() && new.is_empty() && disputes.is_empty());
        remotes.insert(thief, remote(thief, 1, 2));
        let (shown, due, new) = disputes.shown(&remotes, &before, second(2));
        assert_eq!((due, new), (Some(second(2) + DISPUTED_FOR), vec![thief]));
        assert_eq!(shown, before, "who is known stays");
        let (shown, due, new) = disputes.shown(&remotes, &before, second(2) + DISPUTED_FOR);
        assert_eq!((due, new), (None, vec![]));
        let addresses = |shown: &BTreeMap<InstanceId, Shown>| -> Vec<SocketAddr> {
            let mut all: Vec<_> = shown.values().map(|shown| shown.address).collect();
            all.sort();
            all
        };
        assert_eq!(addresses(&shown), [thief, honest], "both are shown");
        // Whoever comes new has heard the thief first, and sees both, too; he may change his listing as often as he likes.
        let mut disputes = Disputes::default();
        let mut shown = BTreeMap::new();
        for n in 2..10 {
            remotes.insert(thief, remote(thief, 1, n));
            shown = disputes.shown(&remotes, &shown, second(u64::from(n))).0;
        }
        assert_eq!(addresses(&shown), [thief, honest]);
    }

    #[test]
    fn a_change_that_one_address_tells_later_is_no_dispute() {
        let (by_v4, by_v6) = (at("10.0.0.1:27183"), at("[2001:db8::7]:27183"));
        let of =
            |v4, v6| BTreeMap::from([(by_v4, remote(by_v4, 1, v4)), (by_v6, remote(by_v6, 1, v6))]);
        let mut disputes = Disputes::default();
        let second = |n: u64| Instant::from_micros(n * 1_000_000);
        let mut shown = BTreeMap::new();
        for (n, v4, v6) in [(1, 1, 1), (2, 2, 1), (3, 2, 1), (4, 2, 2), (11, 3, 2), (12, 3, 3)] {
            shown = disputes.shown(&of(v4, v6), &shown, second(n)).0;
            let seen: Vec<_> =
                shown.values().map(|host| (host.address, host.digest.0[0])).collect();
            assert_eq!(seen, [(by_v4, v4)], "second {n}");
        }
        assert!(disputes.is_empty());
    }
}
