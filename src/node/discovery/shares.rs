//! How much of what others list is kept: as much as there is room for, shared fairly.
//!
//! Machines share the room, and the listings of a machine share what it gets: who wants less than an equal share gets all that
//! he wants, and what he leaves is shared by the others. So who lists more than there is room for takes it from those who list as
//! much, never from who lists little; what comes of it hangs on who lists what, and not on who came first.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use log::{debug, warn};

use super::Discovery;
use crate::node::context::{Context, Interfaces};
use crate::node::counters::DropReason;
use crate::node::directory::host_text;
use crate::node::listed::{each_of, least_cost};
use crate::node::time::Instant;
use crate::wire::{InstanceId, ListingDigest, ListingSummary};

/// What all listings may cost together: `d.json` is not longer than this, and they take half of it in memory.
pub(super) const ROOM: u64 = (16 << 20) - (64 << 10);
/// And in one that only looks, which writes no document and ends soon.
const ROOM_LOOKING: u64 = 256 << 20;
/// Listings of more than this are long,
const LONG: u64 = 256 << 10;
/// and all long ones that are on their way together are no longer than this, or it is one. Where only a part of it would have room, a
/// longer one is not fetched.
const LONG_TOGETHER: u64 = 8 << 20;
/// Of listings for which there is no room but for a part of them, so many bytes a second are fetched.
const HEAVY_A_SECOND: u64 = 1 << 20;
/// A listing is fetched again if so much more of it, or a quarter more, can be kept.
const WORTH_IT: u64 = 64 << 10;

/// A listing: of whom, and which.
type Which = (InstanceId, ListingDigest);

/// What each of these gets who want so much: no more than this.
fn share_of_each(wants: impl Iterator<Item = u64>, room: u64) -> u64 {
    let mut wants: Vec<u64> = wants.collect();
    wants.sort_unstable();
    let (mut left, mut count) = (room, wants.len() as u64);
    for want in wants {
        let share = left / count;
        if want > share {
            return share;
        }
        left -= want;
        count -= 1;
    }
    u64::MAX
}

impl Discovery {
    pub(super) const fn room(&self) -> u64 {
        if self.is_looking() { ROOM_LOOKING } else { ROOM }
    }

    /// What others than the host at this address leave of the room.
    fn left_by_others(&self, now: Instant, address: SocketAddr) -> u64 {
        let weight = |at| self.kept.get(at).map_or(0, |host| host.weight);
        let instance = self.remotes.get(&address).and_then(|remote| remote.instance);
        let its = instance.into_iter().flat_map(|instance| self.kept.addresses_of(instance));
        let elsewhere = its.filter(|at| *at != address && !self.disputes.is_another(*at, now));
        let own = weight(address) + elsewhere.map(weight).sum::<u64>();
        self.room().saturating_sub(self.kept.weight() - own)
    }

    /// How much of a listing of this host may be kept, which has been fetched.
    pub(super) fn room_for(
        &self,
        now: Instant,
        interfaces: &Interfaces,
        address: SocketAddr,
    ) -> u64 {
        let left = self.left_by_others(now, address);
        let remote = self.remotes.get(&address);
        let files = remote.map_or(0, |remote| remote.download_files());
        // What it costs at the most: names have 1,024 bytes, each of them may be a quote.
        if left >= u64::from(files) * 4_096 {
            return left;
        }
        let instance = remote.and_then(|remote| remote.instance).unwrap_or(InstanceId::NONE);
        let which = (instance, ListingDigest::NONE);
        let shares = self.shares(now, interfaces, Some((which, address)));
        left.max(shares.of_listing(&which))
    }

    /// Whether there is room for no more than a part of what this host lists, as it says.
    fn is_heavy(&self, now: Instant, address: SocketAddr, listing: ListingSummary) -> bool {
        let cost = least_cost(listing, each_of(&host_text(address)));
        cost > self.left_by_others(now, address) && cost > self.share.min(self.room() / 2)
    }

    /// Whether a listing that is lacking may be fetched now, as far as its length goes.
    pub(super) fn may_fetch(
        &mut self,
        now: Instant,
        address: SocketAddr,
        listing: ListingSummary,
    ) -> bool {
        if self.is_looking() {
            return true;
        }
        let on_their_way =
            self.downloading.iter().filter_map(|at| Some(self.remotes.get(at)?.download_length()));
        let long: u64 = on_their_way.filter(|length| *length > LONG).sum();
        if listing.length > LONG && long > 0 && long + listing.length > LONG_TOGETHER {
            return false;
        }
        if !self.is_heavy(now, address, listing) {
            return true;
        }
        // Of what is so long there would be little to show, and all of it would have to come.
        let is_crowded = self.left_by_others(now, address) < self.room() / 2;
        if listing.length > LONG_TOGETHER && is_crowded {
            return false;
        }
        if now < self.heavy_at {
            self.heavy_waits = true;
            return false;
        }
        self.heavy_at =
            now + Duration::from_micros(listing.length.saturating_mul(1_000_000) / HEAVY_A_SECOND);
        true
    }

    /// When the next listing may be fetched of which there is room for no more than a part.
    pub(super) fn heavy_due(&self, now: Instant) -> Option<Instant> {
        (self.heavy_waits && self.heavy_at > now).then_some(self.heavy_at)
    }

    /// Sees to it that listings together cost no more than there is room for, and notes of which there could be more.
    pub(super) fn share_room(&mut self, ctx: &mut Context<'_>) {
        let is_much = self.kept.weight() > self.room();
        if !is_much && !self.is_cut {
            return;
        }
        let shares = self.shares(ctx.now, ctx.interfaces, None);
        self.share = shares.level;
        let (mut cut, mut is_cut) = (0, false);
        for (&address, remote) in &mut self.remotes {
            let Some((instance, listed)) = remote.instance.zip(remote.listed.as_ref()) else {
                continue;
            };
            let which = (instance, listed.digest);
            let (most, passes) = (shares.of_listing(&which), shares.passing.contains(&which));
            if passes {
                remote.cut_passing(most);
            } else if remote.cut_listed(ctx.now, most) {
                debug!("not all that {} lists has room", host_text(address));
                cut += 1;
            }
            if let Some(listed) = &mut remote.listed {
                is_cut |= listed.weight < listed.whole;
                let more = most.min(listed.whole).saturating_sub(listed.weight);
                listed.wants_more = !passes && more > WORTH_IT.max(listed.weight / 4);
            }
        }
        ctx.counters.drop_many(DropReason::TooManyListings, cut);
        if cut > 0 {
            self.say_that_not_all_has_room();
            self.directory_changed(ctx);
        }
        self.is_cut = is_cut;
        self.look_at_all(ctx);
    }

    /// Once.
    pub(super) fn say_that_not_all_has_room(&mut self) {
        if !std::mem::replace(&mut self.is_cut_told, true) && !self.is_looking() {
            warn!(
                "more files are offered on this network than there is room for in d.json: of hosts that offer most, \
                 only the first files are shown"
            );
        }
    }

    /// What a machine gets at the most, and each listing; `newcomer` is one that has not been read, and might be any length.
    fn shares(
        &self,
        now: Instant,
        interfaces: &Interfaces,
        newcomer: Option<(Which, SocketAddr)>,
    ) -> Shares {
        let mut listings: BTreeMap<Which, Claim> = BTreeMap::new();
        for (&address, remote) in &self.remotes {
            let Some((instance, listed)) = remote.instance.zip(remote.listed.as_ref()) else {
                continue;
            };
            if newcomer.is_some_and(|((new, _), at)| new == instance && at == address) {
                continue;
            }
            let is_shown = self.shown.get(&instance).is_some_and(|shown| shown.address == address);
            let claim = Claim {
                rank: (!is_shown, remote.proven_since(), address),
                whole: listed.whole,
                is_another: self.disputes.is_another(address, now),
            };
            let known = listings.entry((instance, listed.digest)).or_insert(claim);
            known.is_another |= claim.is_another;
            if claim.rank < known.rank {
                (known.rank, known.whole) = (claim.rank, claim.whole);
            }
        }
        if let Some((which, address)) = newcomer {
            let rank = (false, Instant::ORIGIN, address);
            listings.insert(which, Claim { rank, whole: self.room(), is_another: false });
        }
        Shares::of(listings, interfaces, self.room())
    }
}

/// A listing, for which there is to be room, at however many addresses it is had.
#[derive(Clone, Copy)]
struct Claim {
    /// Of those of one host the first counts: the one that is shown, or else that of the address that has shown longest that it
    /// is there.
    rank: (bool, Instant, SocketAddr),
    /// What all of it costs.
    whole: u64,
    /// Whether it is another host's that says to be this one.
    is_another: bool,
}

/// How much room each gets.
struct Shares {
    /// A machine gets no more than this.
    level: u64,
    each: BTreeMap<Which, u64>,
    /// What a host lists at one of its addresses beside what it lists at the one that counts: one of both will be gone in a
    /// moment, as addresses learn of a change one after the other. Until then it gets what all others leave.
    passing: BTreeSet<Which>,
}

impl Shares {
    fn of(listings: BTreeMap<Which, Claim>, interfaces: &Interfaces, room: u64) -> Self {
        let mut first: BTreeMap<InstanceId, (_, ListingDigest)> = BTreeMap::new();
        for (&(instance, digest), claim) in &listings {
            let known = first.entry(instance).or_insert((claim.rank, digest));
            *known = (*known).min((claim.rank, digest));
        }
        let counts = |&(instance, digest): &Which, claim: &Claim| {
            claim.is_another || first.get(&instance).is_some_and(|(_, first)| *first == digest)
        };
        let mut machines: BTreeMap<SocketAddr, Vec<(Which, u64)>> = BTreeMap::new();
        let mut passing = Vec::new();
        for (which, claim) in listings {
            let machine = *interfaces.machine(claim.rank.2.ip()).start();
            let of = if counts(&which, &claim) {
                machines.entry(machine).or_default()
            } else {
                &mut passing
            };
            of.push((which, claim.whole));
        }
        let all = |listings: &Vec<(Which, u64)>| {
            listings.iter().fold(0_u64, |sum, (_, whole)| sum.saturating_add(*whole))
        };
        let level = share_of_each(machines.values().map(all), room);
        let mut each = BTreeMap::new();
        let mut give = |listings: &[(Which, u64)], together: u64| {
            let share = share_of_each(listings.iter().map(|(_, whole)| *whole), together);
            each.extend(listings.iter().map(|&(which, whole)| (which, whole.min(share))));
        };
        machines.values().for_each(|listings| give(listings, all(listings).min(level)));
        let given: u64 = machines.values().map(|listings| all(listings).min(level)).sum();
        give(&passing, room.saturating_sub(given));
        Self { level, each, passing: passing.into_iter().map(|(which, _)| which).collect() }
    }

    /// How much of this listing.
    fn of_listing(&self, which: &Which) -> u64 {
        self.each.get(which).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_wants_little_gets_it_and_the_others_share_the_rest() {
        for (wants, room, expected) in [
            (&[][..], 10, u64::MAX),
            (&[10], 10, u64::MAX),
            (&[11], 10, 10),
            (&[1, 2, 7], 10, u64::MAX),
            (&[1, 2, 8], 10, 7),
            (&[100, 100, 1], 9, 4),
            (&[5, 5, 5, 0], 9, 3),
        ] {
            assert_eq!(share_of_each(wants.iter().copied(), room), expected, "{wants:?} of {room}");
            let given: u64 = wants.iter().map(|want| expected.min(*want)).sum();
            assert!(given <= room);
        }
    }
}
