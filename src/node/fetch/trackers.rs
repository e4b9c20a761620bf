//! Asking trackers who has the content. What they tell are addresses to ask, and no more.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Fetch;
use super::source::Source;
use crate::node::context::Context;
use crate::node::counters::DropReason;
use crate::node::discovery::told::is_tellable;
use crate::node::serve::is_forbidden;
use crate::node::time::Instant;
use crate::wire::{About, Ask, Cookie, Hosts, InstanceId, Message, Tell};

/// So many questions are put to an address that a tracker told of.
const HEARSAY_QUESTIONS: usize = 2;
/// Waits for an answer, one after the other; the last one again and again.
const PATIENCE: [Duration; 5] = [
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_secs(2),
    Duration::from_secs(5),
];
/// A tracker that has answered is asked again after this long: others may have come.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// One tracker.
#[derive(Debug, Serialize, Deserialize)]
struct Contact {
    address: SocketAddr,
    cookie: Cookie,
    nonce: Option<u64>,
    /// The question was one to which hosts may be told, and none have been yet.
    tells: bool,
    unanswered: usize,
    ask_at: Instant,
}

/// The trackers that a fetch asks.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Trackers(Vec<Contact>);

impl Trackers {
    /// Asks from now on.
    pub(super) fn begin(&mut self, ctx: &Context<'_>) {
        self.0.clear();
        self.named_are(ctx);
    }

    /// The trackers are elsewhere now.
    fn named_are(&mut self, ctx: &Context<'_>) {
        let trackers = &ctx.config.trackers;
        self.0.retain(|contact| trackers.contains(&contact.address));
        for &address in trackers {
            if self.0.iter().all(|contact| contact.address != address) {
                self.0.push(Contact {
                    address,
                    cookie: Cookie::NONE,
                    nonce: None,
                    tells: false,
                    unanswered: 0,
                    ask_at: ctx.now,
                });
            }
        }
    }

    pub(super) fn ask_at(&self) -> Option<Instant> {
        self.0.iter().map(|contact| contact.ask_at).min()
    }

    pub(super) fn ask_due(&mut self, ctx: &mut Context<'_>, about: About) {
        let now = ctx.now;
        for contact in self.0.iter_mut().filter(|contact| contact.ask_at <= now) {
            contact.ask(ctx, about);
        }
    }

    /// A tracker has answered, perhaps. With a first cookie it is asked again at once, for with it comes who has
    /// the content.
    fn on_tell(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        tell: &Tell,
        about: About,
    ) -> bool {
        let awaited =
            |contact: &&mut Contact| contact.address == from && contact.nonce == Some(tell.nonce);
        let Some(contact) = self.0.iter_mut().find(awaited) else { return false };
        let proven = contact.cookie != Cookie::NONE;
        contact.cookie = tell.cookie;
        contact.unanswered = 0;
        contact.ask_at = ctx.now + ASK_AGAIN;
        if !proven {
            contact.nonce = None;
            contact.ask(ctx, about);
        }
        true
    }

    /// Whether these hosts answer a question of ours: once.
    fn takes(&mut self, from: SocketAddr, nonce: u64) -> bool {
        let mut contacts = self.0.iter_mut();
        contacts.any(|contact| {
            contact.address == from
                && contact.nonce == Some(nonce)
                && std::mem::take(&mut contact.tells)
        })
    }
}

impl Contact {
    fn ask(&mut self, ctx: &mut Context<'_>, about: About) {
        // One that is repeated keeps its nonce until it is answered.
        let nonce = match self.nonce {
            Some(nonce) if self.unanswered > 0 => nonce,
            _ => ctx.random.next_u64(),
        };
        self.nonce = Some(nonce);
        self.tells = self.cookie != Cookie::NONE;
        let ask = Ask {
            about,
            to_many: false,
            tell_hosts: self.tells,
            hosts_from: 0,
            tell_age: false,
            nonce,
            instance: InstanceId::NONE,
            cookie: self.cookie,
        };
        ctx.send(self.address, &Message::Ask(ask));
        // After two in vain its cookie may be an old one.
        if self.unanswered == 1 {
            self.cookie = Cookie::NONE;
        }
        self.ask_at = ctx.now + PATIENCE[self.unanswered.min(PATIENCE.len() - 1)];
        self.unanswered = self.unanswered.saturating_add(1);
    }
}

impl Fetch {
    /// Hosts that were named are elsewhere now. Sources of before stay.
    pub(crate) fn named_are(&mut self, ctx: &mut Context<'_>) {
        if self.has_ended() || self.seek.at().is_none() {
            // It has not begun, and will ask where they are then.
            return;
        }
        for &address in &ctx.config.peers {
            let is_new = !self.sources.contains_key(&address) && !is_forbidden(ctx, address);
            if is_new && self.has_room_for_source(ctx) {
                self.sources.insert(address, Source::new(address, true, ctx));
            }
        }
        self.trackers.named_are(ctx);
        self.handle_timeout(ctx);
    }

    /// An answer of a tracker, perhaps.
    pub(super) fn on_tracker_tell(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        tell: &Tell,
    ) -> bool {
        let about = self.about();
        self.trackers.on_tell(ctx, from, tell, about)
    }

    /// A tracker tells who has the content. False where we have not asked it.
    pub(crate) fn on_hosts(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        hosts: &Hosts<'_>,
    ) -> bool {
        if !self.trackers.takes(from, hosts.nonce) {
            return false;
        }
        for told in hosts.hosts.iter() {
            let may_be = is_tellable(told.address, from) && !is_forbidden(ctx, told.address);
            if !may_be || self.sources.contains_key(&told.address) {
                continue;
            }
            if !self.has_room_for_source(ctx) {
                ctx.counters.drop(DropReason::TooManySources);
                break;
            }
            self.sources
                .insert(told.address, Source::hearsay(told.address, HEARSAY_QUESTIONS, ctx));
        }
        self.ask_due(ctx);
        true
    }
}
