//! Hosts told by hosts: whom we tell of others, and what becomes of what we are told.
//!
//! Nothing of it enters the directory. An address that was told gets one question, like one whose announcement was heard;
//! and only those are listened to who were named by a person, with `--peer` or `--tracker`.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::ops::Bound;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Discovery, REMOTES_MAX};
use crate::content::ContentId;
use crate::node::budget::Budget;
use crate::node::context::Context;
use crate::node::counters::DropReason;
use crate::node::remote::Remote;
use crate::node::serve::is_forbidden;
use crate::wire::hosts::TOLD_HOSTS_MAX;
use crate::wire::{Hold, Hosts, Message, Portions, ToldHost, ToldHosts};

/// Questions a second to hosts that were told of; in a look, which takes seconds and is over.
const QUESTIONS_A_SECOND: u64 = 32;
const QUESTIONS_OF_LOOK: u64 = 256;
/// Who knows more hosts than it can tell at once is asked for the next ones when these may be asked, about.
const NEXT_AFTER: Duration = Duration::from_millis(1_500);
const NEXT_OF_LOOK: Duration = Duration::from_millis(180);

/// What is kept of telling and being told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Told {
    /// Whom the last answer ended with: the next one goes on behind.
    last: Option<SocketAddr>,
    /// Questions to those that we are told of.
    questions: Budget,
}

impl Told {
    pub(super) const fn new() -> Self {
        Self { last: None, questions: Budget::new(QUESTIONS_A_SECOND) }
    }

    pub(super) const fn of_look() -> Self {
        Self { last: None, questions: Budget::new(QUESTIONS_OF_LOOK) }
    }
}

/// Whether an address means the same to the asker as to us: a loopback address does only on this machine, a link-local one on
/// its link, and that is not told.
pub(crate) fn is_tellable(host: SocketAddr, asker: SocketAddr) -> bool {
    let on_link = match host.ip() {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    host != asker && !on_link && (!host.ip().is_loopback() || asker.ip().is_loopback())
}

/// Those of the hosts, in their order, who come from this place on, counted from 1, as they travel, and from which place on
/// there are more; 0 where there are none.
pub(crate) fn page(
    hosts: impl Iterator<Item = SocketAddr>,
    asker: SocketAddr,
    from: u16,
) -> (Vec<u8>, u16) {
    let mut bytes = Vec::new();
    for (address, place) in hosts.zip(1..u16::MAX).skip(usize::from(from).saturating_sub(1)) {
        if !is_tellable(address, asker) {
            continue;
        }
        if !ToldHosts::push(&mut bytes, &ToldHost { address, portions: Portions::NONE }) {
            return (bytes, place);
        }
    }
    (bytes, 0)
}

impl Discovery {
    /// Tells who has shown a cookie, and asks for it, of others: of those that have proven themselves to us, in turns, or
    /// from the place on that the asker names.
    pub(super) fn tell_of_others(
        &mut self,
        ctx: &mut Context<'_>,
        asker: SocketAddr,
        nonce: u64,
        from: u16,
    ) {
        if from > 0 {
            let proven = self.remotes.iter().filter(|(_, remote)| remote.is_proven());
            let (bytes, next) = page(proven.map(|(&address, _)| address), asker, from);
            if let Ok(hosts) = ToldHosts::new(&bytes) {
                ctx.send(asker, &Message::Hosts(Hosts { nonce, next, hosts }));
            }
            return;
        }
        let behind = self.told.last.unwrap_or(asker);
        let rest = self.remotes.range((Bound::Excluded(behind), Bound::Unbounded));
        let around = rest.chain(self.remotes.range(..=behind));
        let others =
            around.filter(|(address, remote)| remote.is_proven() && is_tellable(**address, asker));
        let mut bytes = Vec::new();
        let mut last = None;
        for (&address, _) in others.take(TOLD_HOSTS_MAX) {
            ToldHosts::push(&mut bytes, &ToldHost { address, portions: Portions::NONE });
            last = Some(address);
        }
        if let (Ok(hosts), Some(last)) = (ToldHosts::new(&bytes), last) {
            self.told.last = Some(last);
            ctx.send(asker, &Message::Hosts(Hosts { nonce, next: 0, hosts }));
        }
    }

    /// We are told of others. Whether that is an answer to a question of ours.
    pub(crate) fn on_hosts(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        hosts: &Hosts<'_>,
    ) -> bool {
        let teller = self.remotes.get_mut(&from).filter(|remote| remote.configured);
        if !teller.is_some_and(|teller| teller.takes_hosts(hosts.nonce)) {
            return false;
        }
        let mut all = true;
        for ToldHost { address, .. } in hosts.hosts.iter() {
            // What means something else where we are was not to be told.
            let may_be = is_tellable(address, from) && !is_forbidden(ctx, address);
            if self.knows(address) || !may_be {
                continue;
            }
            if !self.told.questions.take(ctx.now) {
                ctx.counters.drop(DropReason::TooManyHosts);
                all = false;
                break;
            }
            if let Some(remote) = self.remote(ctx, address) {
                remote.told_of(ctx.now);
                self.look_at(ctx, address);
            }
        }
        let next = if self.remotes.len() < REMOTES_MAX { hosts.next } else { 0 };
        let pause = if self.is_looking() { NEXT_OF_LOOK } else { NEXT_AFTER };
        if let Some(teller) = self.remotes.get_mut(&from) {
            if all {
                teller.told_others(ctx.now, next, pause);
            } else {
                teller.told_too_many(ctx.now);
            }
        }
        self.look_at(ctx, from);
        true
    }

    /// Those who were named are elsewhere now. Who answered where nobody is named any more stays as long as it answers.
    pub(crate) fn named_are(&mut self, ctx: &mut Context<'_>) {
        let named = ctx.config.trackers.iter().chain(&ctx.config.peers);
        let named = named.filter(|&&address| !is_forbidden(ctx, address)).take(REMOTES_MAX / 2);
        let named: BTreeSet<SocketAddr> = named.copied().collect();
        let mut gone = Vec::new();
        for (&address, remote) in &mut self.remotes {
            if remote.configured && !named.contains(&address) {
                remote.configured = false;
                gone.push((address, remote.is_proven()));
            }
        }
        for (address, is_proven) in gone {
            if is_proven {
                self.look_at(ctx, address);
            } else {
                self.remove(ctx, address);
            }
        }
        for address in named {
            let now = ctx.now;
            self.remote(ctx, address).into_iter().for_each(|remote| remote.named(now));
            self.look_at(ctx, address);
        }
    }

    /// Tells the trackers what there is of unfinished contents.
    pub(crate) fn tell_trackers(
        &self,
        ctx: &mut Context<'_>,
        holds: &[(ContentId, u64, Portions)],
    ) {
        let trackers = ctx.config.trackers.iter().filter_map(|tracker| {
            let remote: &Remote = self.remotes.get(tracker)?;
            remote.is_proven().then_some((*tracker, remote.cookie()))
        });
        for (tracker, cookie) in trackers.collect::<Vec<_>>() {
            for &(content, size, portions) in holds {
                ctx.send(tracker, &Message::Hold(Hold { cookie, content, size, portions }));
            }
        }
    }
}
