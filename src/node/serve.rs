//! Serving: grants come in, ranges of objects go out, one receiver after the other.
//!
//! Each grant is *asked* (queued), then *reading and sending* (one [`Output::Serve`] at a time), then
//! gone: nothing is kept of a receiver but what it has asked for and not yet got. A grant is served
//! once; a receiver that wants a packet again asks again.
//!
//! Receivers take turns by bytes, not by grants (deficit round robin, Shreedhar and Varghese 1995): who
//! asks for little at a time, because its way is slow or lossy, is not pushed aside by who asks for much.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::budget::{Budget, BudgetEach, Pace};
use super::context::Context;
use super::cookie::CookieJar;
use super::counters::DropReason;
use super::deadline::Deadline;
use super::ids::JobId;
use super::input::ServeOutcome;
use super::output::{Output, ServeSource};
use crate::wire::{Cookie, GRANT_BYTES_MAX, Grant, Message, ObjectRange, Refuse, RefuseReason};

/// Receivers that may have grants waiting; those of further ones are dropped.
pub(crate) const CLIENTS_MAX: usize = 1_024;
/// Grants that one receiver may have waiting; further ones are dropped. 64 of 64 KiB are more than a
/// receiver with a socket buffer of 4 MiB can want.
pub(crate) const GRANTS_WAITING_MAX: usize = 128;
/// What a receiver may be sent before it is another one's turn, in bytes of payload: as much as one grant
/// asks for at most, so that each turn is worth a system call.
pub(crate) const TURN_BYTES: u64 = GRANT_BYTES_MAX as u64;
/// What a range counts for at the least: of single bytes, it is the packets and the reading that cost.
const RANGE_MIN: u64 = 1_024;
/// The same as a turn under a limit, however low it is: about a packet.
const TURN_MIN: u64 = 1_024;
/// Answers a second to addresses that have not proven themselves. None is longer than the question.
const UNPROVEN_REPLIES_PER_SECOND: u64 = 10_000;
/// And of them to one machine, so that with what it holds back, and the questions that announcements bring, a neighbour
/// in whose name others ask gets less than 4 KiB a second from each host. Whoever shows a cookie has one more.
const UNPROVEN_REPLIES_EACH: u64 = 20;
/// Machines that are told apart for that; of more, some share what one is allowed.
const MACHINES_APART: u16 = 1_024;

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

/// What waits of one receiver.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Client {
    jobs: VecDeque<Job>,
    /// What it may be sent before its turn is over, in bytes of payload.
    allowance: u64,
}

/// What is being served to whom.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Server {
    jar: CookieJar,
    waiting: BTreeMap<SocketAddr, Client>,
    /// Who waits, in the order of their turns; the first one's is on.
    turns: VecDeque<SocketAddr>,
    /// How fast it may go, where that is limited.
    #[serde(default)]
    pace: Option<Pace>,
    current: Option<(JobId, SocketAddr, ObjectRange, Job)>,
    blocked: bool,
    /// The socket was said to take datagrams again after the current job was handed out: should that
    /// have been blocked, it need not wait for being told again.
    room_told: bool,
    next_job: u64,
    unproven: Budget,
    #[serde(default = "nobody_yet", skip_serializing_if = "BudgetEach::is_idle")]
    unproven_each: BudgetEach,
}

const fn nobody_yet() -> BudgetEach {
    BudgetEach::new(UNPROVEN_REPLIES_EACH)
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
    pub(crate) const fn new(jar: CookieJar, pace: Option<Pace>) -> Self {
        Self {
            jar,
            waiting: BTreeMap::new(),
            turns: VecDeque::new(),
            pace,
            current: None,
            blocked: false,
            room_told: false,
            next_job: 0,
            unproven: Budget::new(UNPROVEN_REPLIES_PER_SECOND),
            unproven_each: nobody_yet(),
        }
    }

    pub(crate) fn cookie_for(&self, ctx: &Context<'_>, to: SocketAddr) -> Cookie {
        self.jar.bake(to, ctx.now)
    }

    /// Whether this cookie was given to this address of late.
    pub(crate) fn accepts(&mut self, ctx: &Context<'_>, from: SocketAddr, cookie: &Cookie) -> bool {
        let accepted = self.jar.accepts(cookie, from, ctx.now);
        if accepted && !self.unproven_each.is_idle() {
            self.unproven_each.give_back(self.number_of(ctx, from));
        }
        accepted
    }

    /// Whether a question from this address, which has not proven itself, may be answered now.
    pub(crate) fn may_answer(&mut self, ctx: &mut Context<'_>, to: SocketAddr) -> bool {
        let now = ctx.now;
        // Nobody else can speak in the name of a loopback address.
        let own = to.ip().is_loopback();
        let may = (own || self.unproven_each.take(now, self.number_of(ctx, to)))
            && self.unproven.take(now);
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
        if self.accepts(ctx, from, &grant.cookie) {
            return true;
        }
        ctx.counters.drop(DropReason::StaleCookie);
        if self.may_answer(ctx, from) {
            refuse(ctx, from, grant.nonce, RefuseReason::StaleCookie);
        }
        false
    }

    /// The number under which what its machine may be answered is counted.
    fn number_of(&self, ctx: &Context<'_>, host: SocketAddr) -> u16 {
        let machine = ctx.interfaces.machine(host.ip());
        self.jar.number(machine.start().ip(), MACHINES_APART)
    }

    /// Takes a proven grant on.
    pub(crate) fn enqueue(
        &mut self,
        ctx: &mut Context<'_>,
        from: SocketAddr,
        grant: &Grant,
        source: ServeSource,
    ) {
        // One place is kept for whoever is being served, and may have to be put back.
        let full = self.waiting.len() >= CLIENTS_MAX - 1;
        let is_full = full && !self.waiting.contains_key(&from);
        if is_full && !self.make_room(ctx, from) {
            return;
        }
        let turn = self.turn_bytes();
        let client = self.waiting.entry(from).or_default();
        if client.jobs.len() >= GRANTS_WAITING_MAX {
            ctx.counters.drop(DropReason::TooManyGrants);
            return;
        }
        if client.jobs.is_empty() {
            client.allowance = turn;
            self.turns.push_back(from);
        }
        client.jobs.push_back(Job {
            nonce: grant.nonce,
            source,
            ranges: grant.ranges.iter().copied().collect(),
            payload_length: grant.ranges.payload_length(),
        });
        self.serve_next(ctx);
    }

    /// Where too many wait, one of the machine of which most do makes room for one of a machine of which fewer do.
    fn make_room(&mut self, ctx: &mut Context<'_>, newcomer: SocketAddr) -> bool {
        ctx.counters.drop(DropReason::TooManyGrants);
        let beside = self.waiting.range(ctx.interfaces.machine(newcomer.ip())).count();
        let most = ctx.interfaces.most_crowded(self.waiting.keys().copied());
        let most = most.filter(|(_, count)| beside + 1 < *count);
        let goes = most.and_then(|(machine, _)| Some(*self.waiting.range(machine).next_back()?.0));
        if let Some(goes) = goes {
            self.waiting.remove(&goes);
            self.turns.retain(|waiting| *waiting != goes);
        }
        goes.is_some()
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
        let nonce = served.nonce;
        let mut verdict = Verdict::Fine;
        let refusal = match outcome {
            ServeOutcome::Sent => None,
            ServeOutcome::Blocked { sent } => {
                self.blocked = !self.room_told;
                let sent = sent.min(range.length);
                if sent < range.length {
                    served.ranges.push_front(ObjectRange {
                        offset: range.offset + u64::from(sent),
                        length: range.length - sent,
                    });
                    self.put_back(to, served);
                }
                None
            }
            ServeOutcome::Changed => {
                verdict = Verdict::Changed(served.source);
                Some(RefuseReason::Changed)
            }
            ServeOutcome::TooLong => Some(RefuseReason::TooLong),
            ServeOutcome::Failed => Some(RefuseReason::UnknownObject),
        };
        if let Some(reason) = refusal {
            self.take_back(to, nonce);
            refuse(ctx, to, nonce, reason);
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

    /// When the limit lets more be sent.
    pub(crate) fn deadline(&self) -> Option<Deadline> {
        let waits = !self.turns.is_empty() && self.current.is_none() && !self.blocked;
        let pace = self.pace.as_ref().filter(|_| waits)?;
        Some(Deadline::new(pace.next_at(), "the limit lets more be sent"))
    }

    pub(crate) fn handle_timeout(&mut self, ctx: &mut Context<'_>) {
        self.serve_next(ctx);
    }

    pub(crate) fn check_invariants(&self) {
        assert!(self.waiting.len() <= CLIENTS_MAX);
        assert!(self.unproven_each.len() <= usize::from(MACHINES_APART));
        assert_eq!(self.turns.len(), self.waiting.len(), "each waiting receiver has one turn");
        for (address, client) in &self.waiting {
            let jobs = &client.jobs;
            assert!(!jobs.is_empty() && jobs.len() <= GRANTS_WAITING_MAX + 1, "{address}");
            assert!(jobs.iter().all(|job| !job.ranges.is_empty()), "{address}");
            assert!(client.allowance <= 2 * TURN_BYTES, "{address}");
            assert!(self.turns.contains(address));
        }
        let idle = self.current.is_none() && !self.blocked && self.pace.is_none();
        assert!(!idle || self.turns.is_empty(), "something waits and nothing is being served");
    }

    /// What could not be sent is the first that its receiver gets.
    fn put_back(&mut self, to: SocketAddr, unsent: Job) {
        let turn = self.turn_bytes();
        let client = self.waiting.entry(to).or_default();
        if client.jobs.is_empty() {
            client.allowance = turn;
            self.turns.push_back(to);
        }
        match client.jobs.front_mut().filter(|rest| rest.nonce == unsent.nonce) {
            Some(rest) => {
                unsent.ranges.iter().rev().for_each(|range| rest.ranges.push_front(*range))
            }
            None => client.jobs.push_front(unsent),
        }
    }

    /// What is left of a grant that is refused is not served.
    fn take_back(&mut self, to: SocketAddr, nonce: u64) {
        let Some(client) = self.waiting.get_mut(&to) else { return };
        if client.jobs.front().is_some_and(|rest| rest.nonce == nonce) {
            client.jobs.pop_front();
        }
        if client.jobs.is_empty() {
            self.waiting.remove(&to);
            self.turns.retain(|waiting| *waiting != to);
        }
    }

    /// What one turn is worth. Under a limit a turn takes time: who has little in flight because it knows of little
    /// would wait longer for the others' turns than its own takes, and never learn of more.
    fn turn_bytes(&self) -> u64 {
        self.pace.as_ref().map_or(TURN_BYTES, |pace| pace.burst().clamp(TURN_MIN, TURN_BYTES))
    }

    /// Whose turn it is, and how many bytes of the first range that waits there may go now.
    fn next_turn(&mut self, ctx: &Context<'_>) -> Option<(SocketAddr, u32)> {
        let turn = self.turn_bytes();
        loop {
            let to = *self.turns.front()?;
            let client = self.waiting.get_mut(&to).expect("who has a turn waits");
            let job = client.jobs.front().expect("who waits has a job");
            let mut length = job.ranges.front().expect("a job has a range left").length;
            if let Some(pace) = &self.pace {
                match pace.piece(ctx.now, to, u64::from(job.payload_length)) {
                    0 => return None,
                    piece => length = length.min(u32::try_from(piece).unwrap_or(length)),
                }
            }
            let cost = u64::from(length).max(RANGE_MIN.min(turn));
            if client.allowance >= cost {
                client.allowance -= cost;
                return Some((to, length));
            }
            client.allowance += turn;
            self.turns.rotate_left(1);
        }
    }

    fn serve_next(&mut self, ctx: &mut Context<'_>) {
        if self.blocked || self.current.is_some() {
            return;
        }
        let Some((to, length)) = self.next_turn(ctx) else { return };
        let client = self.waiting.get_mut(&to).expect("who has a turn waits");
        let job = client.jobs.front_mut().expect("who waits has a job");
        let whole = job.ranges.pop_front().expect("a job has a range left");
        let range = ObjectRange { length, ..whole };
        if length < whole.length {
            let offset = whole.offset + u64::from(length);
            job.ranges.push_front(ObjectRange { offset, length: whole.length - length });
        }
        let (source, ranges) = (job.source.clone(), VecDeque::new());
        let (nonce, payload_length) = (job.nonce, job.payload_length);
        if job.ranges.is_empty() {
            client.jobs.pop_front();
            if client.jobs.is_empty() {
                self.waiting.remove(&to);
                self.turns.pop_front();
            }
        }
        if let Some(pace) = &mut self.pace {
            pace.take(ctx.now, to, u64::from(length), u64::from(payload_length));
        }
        let id = JobId(self.next_job);
        self.next_job += 1;
        self.room_told = false;
        ctx.emit(Output::Serve {
            job: id,
            to,
            nonce,
            source: source.clone(),
            offset: range.offset,
            length,
            payload_length,
        });
        self.current = Some((id, to, range, Job { nonce, source, ranges, payload_length }));
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
