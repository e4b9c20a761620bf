//! How hosts have kept their word: who offers and gives comes first, who offers and gives nothing comes behind.
//!
//! Nobody is shut out: who rests is tried again, with one download, and who gives again rises step by step.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::LISTS_MAX;
use crate::node::time::Instant;

/// Who gave nothing rests for so long, twice as long each time, up to the longest.
const REST: Duration = Duration::from_secs(10);
const REST_MAX: Duration = Duration::from_secs(600);

/// How a host is treated; the better one is the smaller one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// It gives what it offers.
    Gives,
    /// It is not known to: it is tried.
    Untried,
    /// It has let us down: it is tried again, and only one such host at a time.
    Doubtful,
    /// It is left alone for now.
    Rests,
}

impl Class {
    /// Nothing speaks against it.
    pub(super) fn is_trusted(self) -> bool {
        self <= Self::Untried
    }
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Standing {
    /// When it last gave bytes that were proven.
    gave_at: Option<Instant>,
    /// How often it gave nothing; half as many with each time it gives.
    let_downs: u32,
    rests_until: Instant,
}

/// What is known of hosts. By address and not by instance, which costs a liar nothing to change.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Standings(BTreeMap<IpAddr, Standing>);

impl Standings {
    pub(super) fn class(&self, host: IpAddr, now: Instant) -> Class {
        match self.0.get(&host) {
            None => Class::Untried,
            Some(standing) if standing.rests_until > now => Class::Rests,
            Some(standing) if standing.let_downs > 0 => Class::Doubtful,
            Some(_) => Class::Gives,
        }
    }

    /// When its rest ends, or has ended: who has waited for longest is tried first.
    pub(super) fn rests_until(&self, host: IpAddr) -> Instant {
        self.0.get(&host).map_or(Instant::ORIGIN, |standing| standing.rests_until)
    }

    /// It gave bytes that were proven.
    pub(super) fn gave(&mut self, host: IpAddr, now: Instant) {
        let standing = self.of(host);
        standing.gave_at = Some(now);
        standing.rests_until = now;
        standing.let_downs /= 2;
    }

    /// It offered a download that began at `since`, to which nothing came. Whether it rests now, and did not before.
    pub(super) fn let_down(&mut self, host: IpAddr, since: Instant, now: Instant) -> bool {
        let standing = self.of(host);
        // One file that does not come says little of a host from which others come meanwhile.
        if standing.gave_at.is_some_and(|gave_at| gave_at >= since) || standing.rests_until > now {
            return false;
        }
        let rest = REST * (1 << standing.let_downs.min(6));
        standing.let_downs = standing.let_downs.saturating_add(1);
        standing.rests_until = now + rest.min(REST_MAX);
        true
    }

    pub(super) fn check_invariants(&self) {
        assert!(self.0.len() <= LISTS_MAX);
    }

    /// What is noted of a host; who would be tried first as it is makes room.
    fn of(&mut self, host: IpAddr) -> &mut Standing {
        if self.0.len() >= LISTS_MAX && !self.0.contains_key(&host) {
            let first = self.0.iter().min_by_key(|(_, standing)| standing.rests_until);
            let first = first.map(|(&host, _)| host);
            first.and_then(|host| self.0.remove(&host));
        }
        self.0.entry(host).or_default()
    }
}
