//! Serving: grants come in, ranges of objects go out, one receiver after the other.
//!
//! Each grant is *asked* (queued), then *reading and sending* (one [`Output::Serve`] at a time), then
//! gone: nothing is kept of a receiver but what it has asked for and not yet got. A grant is served
//! once; a receiver that wants a packet again asks again.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::budget::Budget;
use super::context::Context;
use super::cookie::CookieJar;
use super::counters::DropReason;
use super::ids::JobId;
use super::input::ServeOutcome;
use super::output::{Output, ServeSource};
use crate::wire::{Cookie, Grant, Message, ObjectRange, Refuse, RefuseReason};

/// Receivers that may have grants waiting; those of further ones are dropped.
pub(crate) const CLIENTS_MAX: usize = 1_024;
/// Grants that one receiver may have waiting; further ones are dropped. 64 of 64 KiB are more than a
/// receiver with a socket buffer of 4 MiB can want.
pub(crate) const GRANTS_WAITING_MAX: usize = 128;
/// Answers a second to addresses that have not proven themselves. None is longer than the question.
const UNPROVEN_REPLIES_PER_SECOND: u64 = 10_000;

/// Ports whose services answer whatever comes, so that two hosts could be made to talk for ever
/// (echo, discard, daytime, quotd, chargen, domain, tftp, ntp, snmp, ldap, ssdp, ws-discovery, mdns,
/// memcached).
const ECHOING_PORTS: [u16; 14] =
    [7, 9, 13, 17, 19, 53, 69, 123, 161, 389, 1_900, 3_702, 5_353, 11_211];

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Job {
    nonce: u64,
    source: ServeSource,
    ranges: VecDeque<ObjectRange>,
    payload_length: u16,
}

/// What is being served to whom.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Server {
    jar: CookieJar,
    waiting: BTreeMap<SocketAddr, VecDeque<Job>>,
    turns: VecDeque<SocketAddr>,
    current: Option<(JobId, SocketAddr, ObjectRange, Job)>,
    blocked: bool,
    /// The socket was said to take datagrams again after the current job was handed out: should that
    /// have been blocked, it need not wait for being told again.
    room_told: bool,
    next_job: u64,
    unproven: Budget,
}

/// What a served job says about the thing served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing.
    Fine,
    /// It is not what it was.
    Changed(ServeSource),
}

impl Server {
    pub(crate) const fn new(jar: CookieJar) -> Self {
        Self {
            jar,
            waiting: BTreeMap::new(),
            turns: VecDeque::new(),
            current: None,
            blocked: false,
            room_told: false,
            next_job: 0,
            unproven: Budget::new(UNPROVEN_REPLIES_PER_SECOND),
        }
    }

    pub(crate) fn cookie_for(&self, ctx: &Context<'_>, to: SocketAddr) -> Cookie {
        self.jar.bake(to, ctx.now)
    }

    /// Whether this cookie was given to this address of late.
    pub(crate) fn accepts(&self, ctx: &Context<'_>, from: SocketAddr, cookie: &Cookie) -> bool {
        self.jar.accepts(cookie, from, ctx.now)
    }

    /// Whether a question from an address that has not proven itself may be answered now.
    pub(crate) fn may_answer(&mut self, ctx: &mut Context<'_>) -> bool {
        let may = self.unproven.take(ctx.now);
        if !may {
            ctx.counters.drop(DropReason::ReplyBudget);
        }
        may
    }

    /// Whether the grant shows that its sender receives at this address. If not, it is told so.
    pub(crate) fn is_proven(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        grant: &Grant,
    ) -> bool {
        if self.jar.accepts(&grant.cookie, from, ctx.now) {
            return true;
        }
        ctx.counters.drop(DropReason::StaleCookie);
        if self.may_answer(ctx) {
            refuse(ctx, from, grant.nonce, RefuseReason::StaleCookie);
        }
        false
    }

    /// Takes a proven grant on.
    pub(crate) fn enqueue(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        grant: &Grant,
        source: ServeSource,
    ) {
        let full = self.waiting.len() >= CLIENTS_MAX && !self.waiting.contains_key(&from);
        if full {
            ctx.counters.drop(DropReason::TooManyGrants);
            return;
        }
        let jobs = self.waiting.entry(from).or_default();
        if jobs.len() >= GRANTS_WAITING_MAX {
            ctx.counters.drop(DropReason::TooManyGrants);
            return;
        }
        if jobs.is_empty() {
            self.turns.push_back(from);
        }
        jobs.push_back(Job {
            nonce: grant.nonce,
            source,
            ranges: grant.ranges.iter().copied().collect(),
            payload_length: grant.ranges.payload_length(),
        });
        self.serve_next(ctx);
    }

    /// The answer to [`Output::Serve`].
    pub(crate) fn served(
        &mut self,
        ctx: &mut Context<'_>,
        job: JobId,
        outcome: ServeOutcome,
    ) -> Verdict {
        let current = self.current.take_if(|(current, ..)| *current == job);
        let Some((_, to, range, mut served)) = current else { return Verdict::Fine };
        let mut verdict = Verdict::Fine;
        match outcome {
            ServeOutcome::Sent => self.put_back(to, served),
            ServeOutcome::Blocked { sent } => {
                self.blocked = !self.room_told;
                let sent = sent.min(range.length);
                if sent < range.length {
                    served.ranges.push_front(ObjectRange {
                        offset: range.offset + u64::from(sent),
                        length: range.length - sent,
                    });
                }
                self.put_back(to, served);
            }
            ServeOutcome::Changed => {
                refuse(ctx, to, served.nonce, RefuseReason::Changed);
                verdict = Verdict::Changed(served.source);
                self.put_back_client(to);
            }
            ServeOutcome::TooLong => {
                refuse(ctx, to, served.nonce, RefuseReason::TooLong);
                self.put_back_client(to);
            }
            ServeOutcome::Failed => {
                refuse(ctx, to, served.nonce, RefuseReason::UnknownObject);
                self.put_back_client(to);
            }
        }
        self.serve_next(ctx);
        verdict
    }

    /// The socket takes datagrams again.
    pub(crate) fn writable(&mut self, ctx: &mut Context<'_>) {
        self.blocked = false;
        self.room_told = true;
        self.serve_next(ctx);
    }

    pub(crate) fn check_invariants(&self) {
        assert!(self.waiting.len() <= CLIENTS_MAX);
        assert_eq!(self.turns.len(), self.waiting.len(), "each waiting receiver has one turn");
        for (client, jobs) in &self.waiting {
            assert!(!jobs.is_empty() && jobs.len() <= GRANTS_WAITING_MAX + 1, "{client}");
            assert!(self.turns.contains(client));
        }
        let idle = self.current.is_none() && !self.blocked;
        assert!(!idle || self.turns.is_empty(), "something waits and nothing is being served");
    }

    /// A job with more ranges goes to the front of its receiver's queue; the receiver to the back of
    /// the line.
    fn put_back(&mut self, to: SocketAddr, job: Job) {
        if job.ranges.is_empty() {
            return self.put_back_client(to);
        }
        let jobs = self.waiting.entry(to).or_default();
        jobs.push_front(job);
        if jobs.len() == 1 || !self.turns.contains(&to) {
            self.turns.push_back(to);
        }
    }

    fn put_back_client(&mut self, to: SocketAddr) {
        let waits = self.waiting.get(&to).is_some_and(|jobs| !jobs.is_empty());
        if waits && !self.turns.contains(&to) {
            self.turns.push_back(to);
        }
    }

    fn serve_next(&mut self, ctx: &mut Context<'_>) {
        if self.blocked || self.current.is_some() {
            return;
        }
        let Some(to) = self.turns.pop_front() else { return };
        let jobs = self.waiting.get_mut(&to).expect("who has a turn waits");
        let mut job = jobs.pop_front().expect("who waits has a job");
        if jobs.is_empty() {
            self.waiting.remove(&to);
        } else {
            self.turns.push_back(to);
        }
        let range = job.ranges.pop_front().expect("a job has a range left");
        let id = JobId(self.next_job);
        self.next_job += 1;
        self.room_told = false;
        ctx.emit(Output::Serve {
            job: id,
            to,
            nonce: job.nonce,
            source: job.source.clone(),
            offset: range.offset,
            length: range.length,
            payload_length: job.payload_length,
        });
        self.current = Some((id, to, range, job));
    }
}

/// Says why a grant is not served. Shorter than any grant.
pub(crate) fn refuse(ctx: &mut Context<'_>, to: SocketAddr, nonce: u64, reason: RefuseReason) {
    ctx.send(to, &Message::Refuse(Refuse { reason, nonce }));
}

/// Whether nothing must ever be sent to this address because of something that came from it.
pub(crate) fn is_forbidden(ctx: &Context<'_>, from: SocketAddr) -> bool {
    let ip = from.ip();
    let many = match ip {
        IpAddr::V4(ip) => ip.is_broadcast() || ctx.interfaces.is_broadcast(ip.into()),
        IpAddr::V6(_) => false,
    };
    many || ip.is_multicast()
        || ip.is_unspecified()
        || from.port() == 0
        || ECHOING_PORTS.contains(&from.port())
}
