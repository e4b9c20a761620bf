//! Sharing the work with others who keep in step: who fetches a content from its first host, and who waits to have it
//! from those. All know the same hosts, so all come to the same order without a word: that of digests of content
//! and host (rendezvous hashing), which is another one for each content.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::looking::Sight;
use super::turns::{Waiting, Wanted};
use super::{Class, Instant, Running, Sync, TRIALS_MAX};
use crate::content::ContentId;
use crate::node::digest::Digest;
use crate::wire::InstanceId;

/// How long each waits for the one before.
const TURN: Duration = Duration::from_millis(2_500);
/// Nobody waits for more than so many.
const PLACES_MAX: u32 = 4;
/// Hosts among whom a content has its order; of more, those behind it where hosts and contents stand in one circle.
const AMONG: usize = 32;
/// And so many of their addresses are looked at for that.
const ADDRESSES_MAX: usize = 2 * AMONG;

/// Who is there and keeps in step, ourselves and those that list nothing included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Around<'a> {
    /// We.
    pub(crate) us: InstanceId,
    /// The others that do, as they say, each at all their addresses. Who says so and does not is waited for as who is slow.
    pub(crate) others: &'a BTreeSet<(InstanceId, SocketAddr)>,
}

impl Around<'_> {
    /// Those who come before us.
    fn before_us(&self, content: ContentId) -> impl Iterator<Item = InstanceId> {
        let start: [u8; 16] = std::array::from_fn(|at| content.0[at]);
        let from = (InstanceId(start), SocketAddr::from(([0; 4], 0)));
        let circle = self.others.range(from..).chain(self.others.range(..from));
        let mut among: Vec<InstanceId> = Vec::with_capacity(AMONG);
        for &(host, _) in circle.take(ADDRESSES_MAX) {
            if among.last() != Some(&host) && among.len() < AMONG {
                among.push(host);
            }
        }
        let behind =
            |host: InstanceId| u128::from_be_bytes(host.0).wrapping_sub(u128::from_be_bytes(start));
        // All of them are nearer than we: none of this content's is our turn.
        let is_far = among.len() == AMONG
            && among.last().is_some_and(|&last| behind(last) < behind(self.us));
        let mut digest = Digest::default();
        digest.bytes(&content.0);
        let rank = move |host: InstanceId| {
            let mut digest = digest;
            digest.bytes(&host.0);
            (digest.get(), host)
        };
        let ours = rank(self.us);
        among.into_iter().filter(move |&host| is_far || rank(host) < ours)
    }
}

/// Whom a download asks.
pub(super) struct Asked {
    pub(super) sources: Vec<SocketAddr>,
    /// Who is tried by it.
    pub(super) trial: Option<IpAddr>,
    /// There are others, who could be asked as well.
    pub(super) has_others: bool,
}

impl Sync {
    /// How long to leave to others what is found in this list. Not at all where somebody else lists it, too.
    pub(super) fn wait_for_others(
        &self,
        wanted: &Wanted,
        home: InstanceId,
        sight: Sight<'_>,
    ) -> Duration {
        let mut place = 0;
        for host in sight.around.before_us(wanted.0).filter(|&host| host != home) {
            let list = self.lists.get(&host);
            if list.is_some_and(|list| list.offers(wanted)) {
                if self.class(host, sight.now).is_some_and(Class::is_trusted) {
                    return Duration::ZERO;
                }
                continue;
            }
            place += 1;
            if place == PLACES_MAX {
                break;
            }
        }
        TURN * place
    }

    /// Whom to ask for something: not who listed it first, where others do by now, who give or have yet to be tried.
    /// All of them where that has failed.
    pub(super) fn whom_to_ask(
        &self,
        waiting: &Waiting,
        offer: &[(InstanceId, SocketAddr)],
        best: InstanceId,
        now: Instant,
    ) -> Asked {
        let is_first = |list: InstanceId| list == waiting.first;
        let is_listed_by_first = offer.iter().any(|&(list, _)| is_first(list));
        if waiting.failures == 0 && is_listed_by_first {
            let of = |class| {
                let others = offer.iter().filter(move |&&(list, _)| !is_first(list));
                let others = others.filter(move |&&(list, _)| self.class(list, now) == Some(class));
                others.map(|&(_, address)| address)
            };
            let sources: Vec<SocketAddr> = of(Class::Gives).collect();
            if !sources.is_empty() {
                return Asked { sources, trial: None, has_others: true };
            }
            let trials = || self.running.values().filter_map(|running: &Running| running.trial);
            let is_tried = |host: IpAddr| trials().any(|trial| trial == host);
            let mut untried = of(Class::Untried).filter(|address| !is_tried(address.ip()));
            if let Some(address) = untried.next().filter(|_| trials().count() < TRIALS_MAX) {
                let (sources, trial) = (vec![address], Some(address.ip()));
                return Asked { sources, trial, has_others: true };
            }
        }
        let host = self.lists.get(&best).map(|list| list.address.ip());
        Asked {
            sources: offer.iter().map(|&(_, address)| address).collect(),
            trial: host.filter(|_| self.class(best, now) != Some(Class::Gives)),
            has_others: false,
        }
    }
}
