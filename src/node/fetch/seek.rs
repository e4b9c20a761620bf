//! Calling for sources: one question to many, again and again. While bytes flow as well: others who begin
//! to fetch the same file have soon something to give.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::node::context::{Context, Ways};
use crate::node::time::Instant;
use crate::wire::{About, Ask, Cookie, InstanceId, Message};

/// Waits between the first calls; the last one again and again.
const WAITS: [Duration; 5] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(3),
];
/// How long the sources that the caller named have before anybody else is called.
const HEAD_START: Duration = Duration::from_millis(100);
/// And where they are to be spared who would answer.
const LONG_HEAD_START: Duration = Duration::from_secs(2);

/// The calls of one fetch.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Seek {
    at: Option<Instant>,
    count: usize,
    /// The nonces of the last two calls: answers to older ones are stray.
    nonces: [Option<u64>; 2],
    /// The sources that were named have a long head start.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_late: bool,
}

impl Seek {
    pub(crate) const fn new() -> Self {
        Self { at: None, count: 0, nonces: [None; 2], is_late: false }
    }

    /// Others are called late: those that were named are to give it.
    pub(crate) const fn late(&mut self) {
        self.is_late = true;
    }

    /// Calls at once, or after a head start for the sources that were named.
    pub(crate) fn begin(&mut self, now: Instant, sources_named: bool) {
        let head_start = if self.is_late { LONG_HEAD_START } else { HEAD_START };
        self.at = Some(if sources_named { now + head_start } else { now });
    }

    pub(crate) const fn at(&self) -> Option<Instant> {
        self.at
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.at.is_some_and(|at| at <= now)
    }

    /// Whether an answer with this nonce is one to a call.
    pub(crate) fn awaits(&self, nonce: u64) -> bool {
        self.nonces.contains(&Some(nonce))
    }

    /// Calls on all networks, and on this machine.
    pub(crate) fn call(&mut self, ctx: &mut Context<'_>, about: About) {
        let nonce = ctx.random.next_u64();
        self.nonces = [Some(nonce), self.nonces[0]];
        let ask = Message::Ask(Ask {
            about,
            to_many: true,
            tell_hosts: false,
            hosts_from: 0,
            tell_age: false,
            nonce,
            instance: InstanceId::NONE,
            cookie: Cookie::NONE,
        });
        ctx.send_to_all(&ask, Ways::ALL);
        // A peer on this machine hears no broadcast where there is no network.
        let loopback = IpAddr::from([127, 0, 0, 1]);
        ctx.send(std::net::SocketAddr::new(loopback, ctx.config.default_port), &ask);
        let wait = WAITS[self.count.min(WAITS.len() - 1)];
        self.count = self.count.saturating_add(1);
        self.at = Some(ctx.now + wait);
    }
}
