//! Many hosts on one network that loses packets, while some vanish, leave and come: the nodes that ship, in virtual
//! time. The network of `tests/simulation.rs` models disks, links and liars; this one models nothing but a crowd,
//! so that a thousand fit in.
//!
//!     SPRAT_CROWD=1000 cargo test --profile sweep --test crowd -- --nocapture
//!
//! prints what it costs; `scripts/crowd` does that. Where a list is wrong for too long, it is told what passed between
//! the two hosts.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![allow(clippy::print_stdout, reason = "what a crowd costs is told")]

#[path = "crowd/passed.rs"]
mod passed;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::rc::Rc;
use std::time::Duration;

use passed::Passed;
use sprat::content::{ChainId, ContentId, ShareName};
use sprat::driver::clock::Slice;
use sprat::driver::listing_jobs::ListingJobs;
use sprat::node::input::{Command, FileSignature, HashOutcome, InterfaceAddress, ServeOutcome};
use sprat::node::output::ServeSource;
use sprat::node::{Input, Instant, Node, NodeConfig, Output, Random};
use sprat::wire::{DATA_HEADER_LENGTH, DEFAULT_PORT, DataHeader, DataKind, InstanceId};

const SECOND: Duration = Duration::from_secs(1);
const BROADCAST: [u8; 4] = [10, 0, 255, 255];
/// Lost, of a thousand, where nobody says otherwise.
const LOST: u64 = 100;
/// How long a packet takes, and up to how much longer: it reorders.
const DELAY: Duration = Duration::from_micros(500);
const JITTER: u64 = 2_000;
/// Headers of IP and UDP.
const HEADERS: u64 = 28;
const HEADERS_V6: u64 = 48;
/// The interface that each has.
const LINK: u32 = 2;

/// What is to happen.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Wake(usize),
    Packet { from: usize, to: usize, by_v6: bool, bytes: Rc<[u8]> },
    ToAll { from: usize, by_v6: bool, bytes: Rc<[u8]> },
}

struct Host {
    node: Node,
    listings: ListingJobs,
    inbox: VecDeque<Input<'static>>,
    instance: InstanceId,
    files: usize,
    /// When it is to be woken next, as far as an event stands for it.
    wakes_at: Option<Instant>,
}

struct Crowd {
    now: Instant,
    hosts: Vec<Option<Host>>,
    events: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    sequence: u64,
    random: Random,
    /// Lost, of a thousand.
    lost: u64,
    /// Whether each has an address of the link beside its other one.
    with_v6: bool,
    starts: u64,
    /// Bytes with headers: sent to one, sent to all.
    unicast: u64,
    to_all: u64,
    /// What passed, once it is of interest.
    passed: Passed,
}

fn address(host: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, (host / 250) as u8, (host % 250 + 1) as u8], DEFAULT_PORT))
}

/// Its address of the link.
fn address_v6(host: usize) -> SocketAddr {
    let ip = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, host as u16 + 1);
    SocketAddrV6::new(ip, DEFAULT_PORT, 0, LINK).into()
}

fn host_at(address: SocketAddr) -> Option<usize> {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(ip) => return usize::from(ip.segments()[7]).checked_sub(1),
    };
    let [10, 0, third, fourth] = ip.octets() else { return None };
    Some(usize::from(third) * 250 + usize::from(fourth).checked_sub(1)?)
}

impl Crowd {
    fn new(count: usize, seed: u8) -> Self {
        Self {
            now: Instant::from_micros(1_000_000),
            hosts: (0..count).map(|_| None).collect(),
            events: BinaryHeap::new(),
            sequence: 0,
            random: Random::new([seed; 32]),
            lost: LOST,
            with_v6: false,
            starts: u64::from(seed) << 32,
            unicast: 0,
            to_all: 0,
            passed: Passed::default(),
        }
    }

    fn push(&mut self, at: Instant, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((at, self.sequence, event)));
    }

    fn there(&self) -> impl Iterator<Item = usize> + '_ {
        self.hosts.iter().enumerate().filter_map(|(at, host)| host.as_ref().map(|_| at))
    }

    /// A host comes, as nobody has seen it before, with one file, or two, or three.
    fn start(&mut self, at: usize) {
        self.starts += 1;
        self.passed.happened(self.now, at, "comes");
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.starts.to_be_bytes());
        let config = NodeConfig { serves: true, ..NodeConfig::new(seed) };
        let node = Node::new(config, self.now);
        let own = InterfaceAddress {
            index: LINK,
            address: address(at).ip(),
            prefix_length: 16,
            broadcast: Some(IpAddr::from(BROADCAST)),
            loopback: false,
        };
        let by_v6 = InterfaceAddress {
            address: address_v6(at).ip(),
            prefix_length: 64,
            broadcast: None,
            ..own
        };
        let addresses = if self.with_v6 { vec![own, by_v6] } else { vec![own] };
        let files = 1 + self.starts as usize % 3;
        let mut inbox = VecDeque::from([Input::Interfaces { addresses }]);
        inbox.extend((0..files).map(|file| seen(&format!("{at} {file} {}", self.starts))));
        let instance = node.instance().unwrap();
        let listings = ListingJobs::new();
        self.hosts[at] = Some(Host { node, listings, inbox, instance, files, wakes_at: None });
        self.work(at);
    }

    /// It offers one file more.
    fn share(&mut self, at: usize) {
        let text = format!("{at} more {}", self.now);
        self.passed.happened(self.now, at, "has one more");
        let host = self.hosts[at].as_mut().unwrap();
        host.files += 1;
        host.inbox.push_back(seen(&text));
        self.work(at);
    }

    /// It vanishes, or leaves.
    fn end(&mut self, at: usize, politely: bool) {
        self.passed.happened(self.now, at, if politely { "leaves" } else { "vanishes" });
        if politely {
            let host = self.hosts[at].as_mut().unwrap();
            host.inbox.push_back(Input::Command(Command::Stop));
            self.work(at);
        }
        self.hosts[at] = None;
    }

    /// Hands in what waits, and carries out what comes of it.
    fn work(&mut self, at: usize) {
        let now = self.now;
        loop {
            let Some(host) = &mut self.hosts[at] else { return };
            let Some(input) = host.inbox.pop_front() else { break };
            host.node.handle_input(now, input);
            self.drain(at, &[]);
        }
        let Some(host) = &mut self.hosts[at] else { return };
        let due = host.node.poll_timeout().map(|due| due.at.max(now));
        if let Some(due) = due.filter(|due| host.wakes_at != Some(*due)) {
            host.wakes_at = Some(due);
            self.push(due, Event::Wake(at));
        }
    }

    fn drain(&mut self, at: usize, in_hand: &[u8]) {
        while let Some(output) = self.hosts[at].as_mut().and_then(|host| host.node.poll_output()) {
            self.execute(at, output, in_hand);
        }
    }

    fn execute(&mut self, at: usize, output: Output, in_hand: &[u8]) {
        let host = self.hosts[at].as_mut().unwrap();
        let listings = &mut host.listings;
        match output {
            Output::Transmit { to, bytes, .. } => return self.send(at, to, &bytes),
            Output::Serve { job, to, nonce, source, offset, length, payload_length } => {
                let bytes = match source {
                    ServeSource::Listing { digest } => listings.kept(digest).map(<[u8]>::to_vec),
                    ServeSource::Changes { from, to } => listings.changes(from, to),
                    other => panic!("nobody asks for {other:?}"),
                };
                let range = offset as usize..offset as usize + length as usize;
                let range = bytes.as_deref().and_then(|bytes| bytes.get(range)).map(<[u8]>::to_vec);
                let served = range.is_some();
                let step = usize::from(payload_length);
                for (number, payload) in range.unwrap_or_default().chunks(step).enumerate() {
                    let offset = offset + (number * step) as u64;
                    let mut packet = [0; DATA_HEADER_LENGTH];
                    DataHeader { kind: DataKind::Meta, nonce, offset }.write(&mut packet);
                    self.send(at, to, &[&packet[..], payload].concat());
                }
                let outcome = if served { ServeOutcome::Sent } else { ServeOutcome::Changed };
                let host = self.hosts[at].as_mut().unwrap();
                return host.inbox.push_back(Input::Served { job, outcome });
            }
            Output::Hash { name, signature } => {
                let (content, chain) = (content_of(&name), ChainId([7; 20]));
                let outcome = HashOutcome::Whole { content, chain };
                return host.inbox.push_back(Input::Hashed { name, signature, outcome });
            }
            Output::AddToListing { name, content, size } => listings.add(name, content, size),
            Output::TakeOffListing { name } => listings.take_off(name),
            Output::MakeListing { listing } => listings.make(listing),
            Output::KeepListing { listing, offset } => {
                listings.keep(listing, offset, &in_hand[DATA_HEADER_LENGTH..]);
            }
            Output::ReadListing { listing, digest, room } => listings.read(listing, digest, room),
            Output::ReadChanges { listing, digest, old } => {
                listings.read_changes(listing, digest, old);
            }
            Output::DropListing { listing } => listings.forget(listing),
            _ => return,
        }
        while listings.step(&Slice::of(Duration::from_millis(1)), &mut host.inbox) {}
    }

    fn send(&mut self, from: usize, to: SocketAddr, bytes: &[u8]) {
        let by_v6 = to.is_ipv6();
        let length = bytes.len() as u64 + if by_v6 { HEADERS_V6 } else { HEADERS };
        let bytes: Rc<[u8]> = bytes.into();
        let at = self.now + DELAY + Duration::from_micros(self.random.below(JITTER));
        if to.ip() == IpAddr::from(BROADCAST) || to.ip().is_multicast() {
            self.to_all += length;
            return self.push(at, Event::ToAll { from, by_v6, bytes });
        }
        self.unicast += length;
        if let Some(to) = host_at(to).filter(|to| *to < self.hosts.len()) {
            if !self.is_lost(from, to, &bytes) {
                self.push(at, Event::Packet { from, to, by_v6, bytes });
            }
        }
    }

    fn is_lost(&mut self, from: usize, to: usize, bytes: &[u8]) -> bool {
        let is_lost = self.random.below(1_000) < self.lost;
        self.passed.passed(self.now, from, to, bytes, is_lost);
        is_lost
    }

    fn deliver(&mut self, from: usize, to: usize, by_v6: bool, bytes: &[u8]) {
        let Some(host) = &mut self.hosts[to] else { return };
        let from = if by_v6 { address_v6(from) } else { address(from) };
        host.node.handle_input(self.now, Input::Datagram { from, bytes });
        self.drain(to, bytes);
        self.work(to);
    }

    /// Lets time pass.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.events.peek().is_some_and(|Reverse((at, ..))| *at <= end) {
            let Some(Reverse((at, _, event))) = self.events.pop() else { break };
            self.now = at;
            match event {
                Event::Packet { from, to, by_v6, bytes } => self.deliver(from, to, by_v6, &bytes),
                Event::ToAll { from, by_v6, bytes } => {
                    for to in 0..self.hosts.len() {
                        if to != from && !self.is_lost(from, to, &bytes) {
                            self.deliver(from, to, by_v6, &bytes);
                        }
                    }
                }
                Event::Wake(host) => self.wake(host),
            }
        }
        self.now = end;
    }

    fn wake(&mut self, at: usize) {
        let now = self.now;
        let Some(host) = &mut self.hosts[at] else { return };
        if host.wakes_at == Some(now) {
            host.wakes_at = None;
        }
        if host.node.poll_timeout().is_some_and(|due| due.at <= now) {
            host.node.handle_timeout(now);
            self.drain(at, &[]);
        }
        self.work(at);
    }

    /// Pairs of hosts of which the one does not show what the other offers, or shows what nobody does.
    fn wrong(&self) -> Vec<(usize, usize)> {
        let all: BTreeMap<SocketAddr, (InstanceId, usize)> = self
            .there()
            .map(|at| (address(at), self.hosts[at].as_ref().unwrap()))
            .map(|(address, host)| (address, (host.instance, host.files)))
            .collect();
        let mut wrong = Vec::new();
        for at in self.there() {
            let host = self.hosts[at].as_ref().unwrap();
            let mut lacking = all.clone();
            lacking.remove(&address(at));
            let views = host.node.host_views();
            for view in views.iter().filter(|view| view.files > 0 && view.host.is_ipv4()) {
                if lacking.remove(&view.host) != view.instance.zip(Some(view.files)) {
                    wrong.push((at, host_at(view.host).unwrap()));
                }
            }
            wrong.extend(lacking.keys().map(|&other| (at, host_at(other).unwrap())));
        }
        wrong
    }

    /// Lets time pass until all lists are right; how long it took.
    fn settle(&mut self, limit: Duration) -> Duration {
        let begin = self.now;
        loop {
            let wrong = self.wrong();
            let waited = self.now.since(begin);
            if wrong.is_empty() {
                return waited;
            }
            if waited >= limit {
                for &(at, other) in wrong.iter().take(5) {
                    self.passed.print(at, other);
                }
                panic!("{} are wrong after {waited:?}", wrong.len());
            }
            self.run(SECOND / 4);
        }
    }

    /// Tells what each host sends in a second, on average since the last call, which was so many seconds ago. What all say
    /// to all in a second.
    fn traffic(&mut self, what: &str, seconds: f64) -> f64 {
        let there = self.there().count() as f64;
        let each = |bytes: u64| bytes as f64 / there / seconds;
        let said = self.to_all as f64 / seconds;
        println!(
            "{what}: a host sends {:.0} bytes a second to one and {:.1} to all; all of them {said:.0} to all",
            each(self.unicast),
            each(self.to_all),
        );
        (self.unicast, self.to_all) = (0, 0);
        said
    }
}

/// A file that has settled long ago, by its name.
fn seen(text: &str) -> Input<'static> {
    let name = ShareName::parse(text).unwrap();
    let inode = u64::from_be_bytes(content_of(&name).0[..8].try_into().unwrap());
    let signature = FileSignature { device: 1, inode, size: 9, modified_ns: 0, changed_ns: 0 };
    Input::FileSeen { name, signature, unchanged_for: SECOND * 9 }
}

/// Made up from the name.
fn content_of(name: &ShareName) -> ContentId {
    ContentId(sprat::wire::ListingDigest::of(name.as_str().as_bytes()).0)
}

/// A hundred hosts with both kinds of addresses: what they say to all, with the headers of IP and UDP.
#[test]
fn a_hundred_quiet_hosts_say_little() {
    let mut crowd = Crowd::new(100, 78);
    (crowd.lost, crowd.with_v6) = (0, true);
    for at in 0..100 {
        crowd.start(at);
        crowd.run(Duration::from_millis(30));
    }
    crowd.settle(SECOND * 5);
    crowd.run(SECOND * 20);
    crowd.traffic("while they came", 28.0);
    crowd.run(SECOND * 120);
    let said = crowd.traffic("quiet", 120.0);
    assert!((1_000.0..=2_000.0).contains(&said), "{said} bytes a second");
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

#[test]
fn lists_are_right_soon_after_the_churn() {
    let count = number_from("SPRAT_CROWD").unwrap_or(60) as usize;
    let mut crowd = Crowd::new(count, number_from("SPRAT_CROWD_SEED").unwrap_or(77) as u8);
    crowd.lost = number_from("SPRAT_CROWD_LOST").unwrap_or(LOST);
    for at in 0..count {
        crowd.start(at);
        crowd.run(Duration::from_millis(3_000 / count as u64));
    }
    let took = crowd.settle(SECOND * 20);
    println!(
        "{count} hosts, {} packets of 1,000 lost: all know all {took:?} after the last has come",
        crowd.lost
    );
    crowd.traffic("while they came", 3.0 + took.as_secs_f64());
    crowd.run(SECOND * 30);
    crowd.traffic("quiet", 30.0);

    // One of a hundred ends in each second, every other one without a word, one comes back,
    // and one has something new.
    let mut ended: VecDeque<usize> = VecDeque::new();
    let each_second = (count / 100).max(1);
    for second in 0..20 {
        if second == 10 {
            crowd.passed.keep();
        }
        for _ in 0..each_second {
            // Spread over the second: the last of all ends when the churn does.
            crowd.run(SECOND / each_second as u32);
            let there: Vec<usize> = crowd.there().collect();
            let one = there[crowd.random.below(there.len() as u64) as usize];
            let politely = crowd.random.below(2) == 0;
            crowd.end(one, politely);
            ended.push_back(one);
            let there: Vec<usize> = crowd.there().collect();
            let one = there[crowd.random.below(there.len() as u64) as usize];
            crowd.share(one);
            if second >= 3 {
                let back = ended.pop_front().unwrap();
                crowd.start(back);
            }
        }
    }
    crowd.traffic("with churn", 20.0);
    let wrong = crowd.wrong().len();
    let took = crowd.settle(SECOND * 10);
    println!("{wrong} places were wrong when the churn stopped, and none {took:?} later");
    for at in crowd.there() {
        crowd.hosts[at].as_ref().unwrap().node.check_invariants();
    }
}
