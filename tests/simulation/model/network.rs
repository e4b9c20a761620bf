//! A network of machines in virtual time, by one seed. A process is known by the address of its machine (IPv4) and
//! its port; processes with one address share a disk.

mod travel;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use sprat::node::{Instant, Random, Restraint};
use sprat::wire::{DEFAULT_PORT, GROUP_V4, GROUP_V6};

pub(crate) use super::addresses::{Machine, by_v6, machine};
#[allow(unused_imports, reason = "the sweep draws its own addresses")]
pub(crate) use super::addresses::{fetcher, peer};
use super::clock::Clock;
use super::cubic::Cubic;
use super::digest::Log;
use super::gate::Gate;
use super::host::{Death, Host, Sent, SharedDisk, Start};
use super::link::Link;

/// Datagrams that a socket holds while its process is stopped: 425,984 bytes as the kernel charges them.
const SOCKET_HOLDS: usize = 184;
/// Datagrams that somebody on the path remembers.
const OVERHEARD_MAX: usize = 256;

#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) struct Network {
    pub(crate) now: Instant,
    pub(crate) hosts: BTreeMap<SocketAddr, Host>,
    pub(crate) disks: BTreeMap<Machine, SharedDisk>,
    pub(crate) link: Link,
    /// Ways that differ from the others, each for one direction.
    pub(crate) links: BTreeMap<(Machine, Machine), Link>,
    /// Bottlenecks that ways have in common, and the one that each such way leads through.
    pub(crate) gates: Vec<Gate>,
    pub(crate) through: BTreeMap<(Machine, Machine), usize>,
    /// Transfers by TCP beside ours.
    pub(crate) cubics: Vec<Cubic>,
    /// Ways that are cut, each in one direction.
    pub(crate) cuts: BTreeSet<(Machine, Machine)>,
    /// What is said to many reaches nobody: each host is on a network of its own.
    pub(crate) no_broadcast: bool,
    /// Hosts that hear and say nothing for now.
    pub(crate) cut_off: Vec<SocketAddr>,
    /// Hosts that are stopped until then: nothing runs, and the socket holds what fits.
    pub(crate) frozen: BTreeMap<SocketAddr, Instant>,
    /// Hosts that are further away than the others, by this much.
    pub(crate) far: BTreeMap<SocketAddr, Duration>,
    /// What was said to many, by whom.
    pub(crate) calls: VecDeque<(SocketAddr, Vec<u8>)>,
    /// Whether somebody listens on the path, and what was last sent, for who repeats it later.
    pub(crate) listened_to: bool,
    pub(crate) overheard: VecDeque<Flight>,
    /// What arrived where no process of ours is: it may be a stranger's.
    pub(crate) elsewhere: VecDeque<Flight>,
    /// Processes that died, and of what; taken by whoever starts them anew.
    pub(crate) deaths: Vec<(SocketAddr, Death)>,
    /// Somebody died, ended or stopped, and whoever lets time pass is to see to it.
    pub(crate) attention: bool,
    /// Everything that happened.
    pub(crate) log: Log,
    /// Bytes that came in to each host, and went out of it.
    pub(crate) bytes_in: BTreeMap<SocketAddr, u64>,
    pub(crate) bytes_out: BTreeMap<SocketAddr, u64>,
    /// Datagrams that went out of it.
    pub(crate) sent: BTreeMap<SocketAddr, u64>,
    /// Datagrams delivered, and damaged on their way.
    pub(crate) delivered: u64,
    pub(crate) corrupted: u64,
    /// The longest that it takes until a peer notices a change on its disk.
    pub(crate) notice: Duration,
    pub(crate) random: Random,
    pub(crate) traced: Option<std::path::PathBuf>,
    starts: BTreeMap<SocketAddr, u8>,
    processes: u64,
    seed: u64,
    flights: BTreeMap<(Instant, u64), Flight>,
    held: BTreeMap<SocketAddr, Vec<Flight>>,
    sequence: u64,
    /// Bytes per second out of single machines; the others send as fast as they like.
    pub(crate) rates_out: BTreeMap<Machine, u64>,
    free_at: BTreeMap<Machine, Instant>,
    sent_at: BTreeMap<Machine, Instant>,
    /// What waits to leave a machine.
    departures: BTreeMap<(Instant, u64), (Flight, Duration, Link)>,
    bad_ways: BTreeMap<(Machine, Machine), bool>,
}

thread_local! {
    /// The world's time, for log lines.
    pub(crate) static NOW: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

impl Network {
    pub(crate) fn new(seed: u64, link: Link) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        Self {
            now: Instant::from_micros(1_000_000),
            hosts: BTreeMap::new(),
            disks: BTreeMap::new(),
            link,
            links: BTreeMap::new(),
            gates: Vec::new(),
            through: BTreeMap::new(),
            cubics: Vec::new(),
            cuts: BTreeSet::new(),
            no_broadcast: false,
            cut_off: Vec::new(),
            frozen: BTreeMap::new(),
            far: BTreeMap::new(),
            calls: VecDeque::new(),
            listened_to: false,
            overheard: VecDeque::new(),
            elsewhere: VecDeque::new(),
            deaths: Vec::new(),
            attention: false,
            log: Log::default(),
            bytes_in: BTreeMap::new(),
            bytes_out: BTreeMap::new(),
            sent: BTreeMap::new(),
            delivered: 0,
            corrupted: 0,
            notice: Duration::ZERO,
            random: Random::new(bytes),
            traced: None,
            starts: BTreeMap::new(),
            processes: 0,
            seed,
            flights: BTreeMap::new(),
            held: BTreeMap::new(),
            sequence: 0,
            rates_out: BTreeMap::new(),
            free_at: BTreeMap::new(),
            sent_at: BTreeMap::new(),
            departures: BTreeMap::new(),
            bad_ways: BTreeMap::new(),
        }
    }

    /// Starts a process: a peer on the usual port, a fetch on any other.
    pub(crate) fn add(&mut self, address: SocketAddr) -> &mut Host {
        self.add_restrained(address, Restraint::default())
    }

    /// The same, of one that holds back.
    pub(crate) fn add_restrained(&mut self, at: SocketAddr, restraint: Restraint) -> &mut Host {
        let address = at;
        let serves = address.port() == DEFAULT_PORT;
        self.start(Start {
            address,
            also: None,
            serves,
            seed: [0; 32],
            peers: Vec::new(),
            trackers: Vec::new(),
            tracks: false,
            clock: Clock::of_the_world(),
            restraint,
        })
    }

    /// Starts a process; its seed is made of the network's, its address and how often it was started.
    pub(crate) fn start(&mut self, mut start: Start) -> &mut Host {
        let address = start.address;
        let times = self.starts.entry(address).or_default();
        start.seed = [self.seed as u8; 32];
        start.seed[0] = address.port() as u8;
        start.seed[1] = match address {
            SocketAddr::V4(v4) => v4.ip().octets()[3],
            SocketAddr::V6(_) => 0,
        };
        start.seed[2] = *times;
        start.seed[3..11].copy_from_slice(&self.seed.to_be_bytes());
        let recording = self.traced.as_ref().map(|folder| (folder.clone(), *times));
        *times += 1;
        self.processes += 1;
        let disk = self.disk_of(address);
        let mut host = Host::new(start, self.now, disk, self.processes);
        host.record(address, recording);
        self.frozen.remove(&address);
        self.held.remove(&address);
        self.hosts.insert(address, host);
        self.host(address)
    }

    /// The disk of a process's machine.
    pub(crate) fn disk_of(&mut self, address: SocketAddr) -> SharedDisk {
        self.disks
            .entry(machine(address.ip()))
            .or_insert_with(|| Rc::new(RefCell::default()))
            .clone()
    }

    pub(crate) fn host(&mut self, address: SocketAddr) -> &mut Host {
        let host = self.hosts.get_mut(&address).expect("it runs");
        host.touched();
        host
    }

    /// Ends a process; what it wrote is left.
    pub(crate) fn crash(&mut self, address: SocketAddr) {
        if let Some(host) = self.hosts.remove(&address) {
            host.disk().release(host.process);
            self.log.number(host.log.value());
        }
    }

    /// Cuts a machine's power, with all processes that run on it.
    pub(crate) fn cut_power(&mut self, machine: Machine) {
        let there: Vec<SocketAddr> =
            self.hosts.keys().filter(|address| address.ip() == machine).copied().collect();
        for address in there {
            self.crash(address);
            if !self.deaths.iter().any(|(dead, _)| *dead == address) {
                self.deaths.push((address, Death::PowerCut));
            }
        }
        if let Some(disk) = self.disks.get(&machine) {
            disk.borrow_mut().power_cut(&mut self.random);
        }
    }

    /// Lets time pass.
    pub(crate) fn run_for(&mut self, duration: Duration) {
        let until = self.now + duration;
        self.run_while(duration, |network| network.now < until);
        self.now = self.now.max(until);
    }

    /// Lets time pass until `done`, or fails when that takes too long.
    pub(crate) fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> Duration {
        let start = self.now;
        self.run_while(limit, |network| !done(network));
        assert!(done(self), "seed {}: not done within {limit:?}", self.seed);
        self.now.since(start)
    }

    /// Lets time pass for as long as it is said to, and at most for so long.
    pub(crate) fn run_while(&mut self, limit: Duration, go_on: impl Fn(&Self) -> bool) {
        let end = self.now + limit;
        for address in self.hosts.keys().copied().collect::<Vec<_>>() {
            self.run_host(address);
        }
        while go_on(self) {
            let flight = self.flights.first_key_value().map(|(&(at, _), _)| at);
            let deadline = self.next_deadline();
            let departure = self.departures.first_key_value().map(|(&(at, _), _)| at);
            let tcp = self.cubics.iter().filter_map(Cubic::next_at).min();
            let due = deadline.map(|(at, _)| at);
            let next = [flight, departure, tcp, due].into_iter().flatten().min();
            let Some(next) = next.filter(|&next| next <= end) else { break };
            self.now = self.now.max(next);
            NOW.set(self.now.as_micros());
            if departure == Some(next) {
                let (_, (flight, delay, link)) = self.departures.pop_first().expect("there is one");
                self.enter(flight, delay, &link);
            } else if flight == Some(next) {
                let (_, flight) = self.flights.pop_first().expect("there is one");
                self.deliver(flight);
            } else if tcp == Some(next) {
                self.run_cubics(None);
            } else if let Some((_, address)) = deadline {
                self.run_host(address);
            }
        }
    }

    /// Hands a segment to the transfer by TCP that it belongs to, and sends what all of them have to send.
    fn run_cubics(&mut self, segment: Option<&Flight>) {
        let now = self.now;
        let mut cubics = std::mem::take(&mut self.cubics);
        for cubic in &mut cubics {
            for flight in cubic.run(now, segment) {
                self.fly(flight.from, flight.to, flight.bytes);
            }
        }
        self.cubics = cubics;
    }

    fn next_deadline(&mut self) -> Option<(Instant, SocketAddr)> {
        let (frozen, held) = (&self.frozen, &self.held);
        let deadlines = self.hosts.iter_mut().filter_map(|(address, host)| {
            let at = host.next_at();
            match frozen.get(address) {
                None => Some((at?, *address)),
                Some(&thaws) if held.contains_key(address) => Some((thaws, *address)),
                Some(&thaws) => Some((at?.max(thaws), *address)),
            }
        });
        deadlines.min()
    }

    fn run_host(&mut self, address: SocketAddr) {
        let now = self.now;
        if self.frozen.get(&address).is_some_and(|&thaws| now < thaws) {
            return;
        }
        self.frozen.remove(&address);
        for flight in self.held.remove(&address).into_iter().flatten() {
            self.deliver(flight);
        }
        let Some(host) = self.hosts.get_mut(&address) else { return };
        let sent = host.run(now);
        self.after(address, sent);
    }

    fn deliver(&mut self, flight: Flight) {
        let Flight { from, to, bytes } = &flight;
        let local = to.ip().is_loopback().then_some(from);
        let address = local.map_or_else(
            || SocketAddr::new(machine(to.ip()), to.port()),
            |from| SocketAddr::new(machine(from.ip()), to.port()),
        );
        if self.cut_off.contains(&address) || self.cut_off.contains(from) {
            return;
        }
        if self.frozen.get(&address).is_some_and(|&thaws| self.now < thaws) {
            let held = self.held.entry(address).or_default();
            if held.len() < SOCKET_HOLDS {
                held.push(flight);
            }
            return;
        }
        let Some(host) = self.hosts.get_mut(&address) else {
            if self.cubics.iter().any(|cubic| cubic.concerns(&flight)) {
                return self.run_cubics(Some(&flight));
            }
            self.elsewhere.push_back(flight);
            if self.elsewhere.len() > OVERHEARD_MAX {
                self.elsewhere.pop_front();
            }
            return;
        };
        self.delivered += 1;
        *self.bytes_in.entry(address).or_default() += bytes.len() as u64;
        let from = local.map_or(*from, |from| SocketAddr::from(([127, 0, 0, 1], from.port())));
        let sent = host.datagram(self.now, from, bytes);
        self.after(address, sent);
    }

    /// A process has taken a step.
    fn after(&mut self, address: SocketAddr, sent: Vec<Sent>) {
        for sent in sent {
            self.send(address, sent);
        }
        let Some(host) = self.hosts.get(&address) else { return };
        self.attention |= host.died.is_some() || host.ending.is_some() || host.stopped;
        if let Some(death) = host.died {
            match death {
                Death::Killed => self.crash(address),
                Death::PowerCut => self.cut_power(address.ip()),
            }
            self.deaths.retain(|(dead, _)| *dead != address);
            self.deaths.push((address, death));
        }
        self.notice_changes(address.ip());
    }

    /// Peers look at their disk some time after somebody has changed it.
    fn notice_changes(&mut self, at: Machine) {
        let Some(disk) = self.disks.get(&at) else { return };
        let generation = disk.borrow().generation;
        let (now, notice) = (self.now, self.notice);
        for (address, host) in &mut self.hosts {
            if address.ip() == at
                && host.serves
                && host.seen_generation != generation
                && host.look_at.is_none()
            {
                host.look_at = Some(now + self.random.jitter(notice));
                host.touched();
            }
        }
    }

    /// A person has changed files.
    pub(crate) fn notice_everywhere(&mut self) {
        for machine in self.disks.keys().copied().collect::<Vec<_>>() {
            self.notice_changes(machine);
        }
    }

    /// Puts a datagram on the wire by hand.
    pub(crate) fn inject(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.fly(from, to, bytes);
    }

    fn send(&mut self, process: SocketAddr, Sent { to, bytes }: Sent) {
        *self.bytes_out.entry(process).or_default() += bytes.len() as u64;
        *self.sent.entry(process).or_default() += 1;
        self.note(process, to, &bytes);
        let also = self.hosts.get(&process).and_then(|host| host.also);
        let from = match to {
            SocketAddr::V6(_) if also.is_none() => return,
            SocketAddr::V6(_) => by_v6(process),
            SocketAddr::V4(_) => process,
        };
        if to.ip().is_loopback() {
            return self.take_off(self.now + Duration::from_micros(30), Flight { from, to, bytes });
        }
        let everybody =
            to.ip() == IpAddr::from([10, 0, 0, 255]) || to.ip() == IpAddr::from(GROUP_V4);
        let by_group_v6 = to.ip() == IpAddr::from(GROUP_V6);
        if !everybody && !by_group_v6 {
            return self.fly(from, to, bytes);
        }
        self.calls.push_back((from, bytes.clone()));
        if self.calls.len() > OVERHEARD_MAX {
            self.calls.pop_front();
        }
        let hears = |(address, host): (&SocketAddr, &Host)| {
            let hears = address.port() == to.port()
                && *address != process
                && (everybody || host.also.is_some());
            let hears = hears && !self.no_broadcast;
            hears.then_some(if everybody { *address } else { by_v6(*address) })
        };
        let receivers: Vec<SocketAddr> = self.hosts.iter().filter_map(hears).collect();
        for to in receivers {
            self.fly(from, to, bytes.clone());
        }
    }

    fn note(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        self.log.number(self.now.as_micros());
        for address in [from, to] {
            match address.ip() {
                IpAddr::V4(ip) => self.log.number(u64::from(ip.to_bits())),
                IpAddr::V6(ip) => self.log.bytes(&ip.octets()),
            }
            self.log.number(u64::from(address.port()));
        }
        self.log.bytes(bytes);
    }
}
