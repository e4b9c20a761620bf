//! A network of hosts in virtual time: links that lose, delay, repeat and reorder, by one seed.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sprat::node::{Instant, Random};
use sprat::wire::{DEFAULT_PORT, GROUP_V4};

use super::host::{Disk, Host, Sent};

/// What every link does to a datagram. Chances are in thousandths.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    pub(crate) delay: Duration,
    /// Added by chance, up to this: it reorders.
    pub(crate) jitter: Duration,
    /// Bytes per second into each host; without limit where it is 0.
    pub(crate) rate: u64,
    /// Bytes that wait before it; what does not fit is lost.
    pub(crate) queue: u64,
}

impl Link {
    pub(crate) const CLEAN: Self = Self {
        lost: 0,
        repeated: 0,
        delay: Duration::from_micros(200),
        jitter: Duration::ZERO,
        rate: 125_000_000,
        queue: 1 << 20,
    };
}

struct Flight {
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

pub(crate) struct Network {
    pub(crate) now: Instant,
    pub(crate) hosts: BTreeMap<SocketAddr, Host>,
    pub(crate) link: Link,
    /// Hosts that hear and say nothing for now.
    pub(crate) cut_off: Vec<SocketAddr>,
    /// Hosts that are stopped until then: nothing runs, and what comes is lost.
    pub(crate) frozen: BTreeMap<SocketAddr, Instant>,
    /// Hosts that are further away than the others, by this much.
    pub(crate) far: BTreeMap<SocketAddr, Duration>,
    /// What was said to many, by whom.
    pub(crate) calls: Vec<(SocketAddr, Vec<u8>)>,
    /// Of all that was ever sent, when and to whom.
    pub(crate) fingerprint: u64,
    starts: BTreeMap<SocketAddr, u8>,
    /// Bytes that came in to each host, and went out of it.
    pub(crate) bytes_in: BTreeMap<SocketAddr, u64>,
    pub(crate) bytes_out: BTreeMap<SocketAddr, u64>,
    random: Random,
    seed: u64,
    flights: BTreeMap<(Instant, u64), Flight>,
    sequence: u64,
    free_at: BTreeMap<SocketAddr, Instant>,
}

/// The peer with this number.
pub(crate) fn peer(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], DEFAULT_PORT))
}

/// A fetch on the host with this number.
pub(crate) fn fetcher(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], 40_000))
}

impl Network {
    pub(crate) fn new(seed: u64, link: Link) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        Self {
            now: Instant::from_micros(1_000_000),
            hosts: BTreeMap::new(),
            link,
            cut_off: Vec::new(),
            frozen: BTreeMap::new(),
            far: BTreeMap::new(),
            calls: Vec::new(),
            fingerprint: 0,
            starts: BTreeMap::new(),
            bytes_in: BTreeMap::new(),
            bytes_out: BTreeMap::new(),
            random: Random::new(bytes),
            seed,
            flights: BTreeMap::new(),
            sequence: 0,
            free_at: BTreeMap::new(),
        }
    }

    pub(crate) fn add(&mut self, address: SocketAddr, disk: Disk) -> &mut Host {
        let serves = address.port() == DEFAULT_PORT;
        let starts = self.starts.entry(address).or_default();
        let host = Host::new(address, serves, (self.seed as u8, *starts), self.now, disk);
        *starts += 1;
        self.hosts.insert(address, host);
        self.hosts.get_mut(&address).unwrap()
    }

    pub(crate) fn host(&mut self, address: SocketAddr) -> &mut Host {
        self.hosts.get_mut(&address).unwrap()
    }

    /// Power off: what is on disk is left.
    pub(crate) fn crash(&mut self, address: SocketAddr) -> Disk {
        self.hosts.remove(&address).unwrap().disk
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

    fn run_while(&mut self, limit: Duration, go_on: impl Fn(&Self) -> bool) {
        let end = self.now + limit;
        for address in self.hosts.keys().copied().collect::<Vec<_>>() {
            self.run_host(address);
        }
        while go_on(self) {
            let flight = self.flights.first_key_value().map(|(&(at, _), _)| at);
            let deadlines = self.hosts.iter().filter_map(|(address, host)| {
                let thaws = self.frozen.get(address).copied().unwrap_or(Instant::ORIGIN);
                Some((host.next_at()?.max(thaws), *address))
            });
            let deadline = deadlines.min();
            let next = flight.into_iter().chain(deadline.map(|(at, _)| at)).min();
            let Some(next) = next.filter(|&next| next <= end) else { break };
            self.now = self.now.max(next);
            if flight == Some(next) {
                let (_, flight) = self.flights.pop_first().unwrap();
                self.deliver(&flight);
            } else if let Some((_, address)) = deadline {
                self.run_host(address);
            }
        }
    }

    fn run_host(&mut self, address: SocketAddr) {
        let now = self.now;
        if self.frozen.get(&address).is_some_and(|&thaws| now < thaws) {
            return;
        }
        let Some(host) = self.hosts.get_mut(&address) else { return };
        let sent = host.run(now);
        self.send(address, sent);
    }

    fn deliver(&mut self, flight: &Flight) {
        if self.cut_off.contains(&flight.to) || self.cut_off.contains(&flight.from) {
            return;
        }
        let now = self.now;
        if self.frozen.get(&flight.to).is_some_and(|&thaws| now < thaws) {
            return;
        }
        let Some(host) = self.hosts.get_mut(&flight.to) else { return };
        *self.bytes_in.entry(flight.to).or_default() += flight.bytes.len() as u64;
        let sent = host.datagram(now, flight.from, &flight.bytes);
        self.send(flight.to, sent);
    }

    /// Puts a datagram on the wire by hand.
    pub(crate) fn inject(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.send(from, vec![Sent { to, bytes }]);
    }

    fn send(&mut self, from: SocketAddr, sent: Vec<Sent>) {
        for Sent { to, bytes } in sent {
            *self.bytes_out.entry(from).or_default() += bytes.len() as u64;
            self.note(from, to, &bytes);
            let broadcast = to.ip() == IpAddr::from([10, 0, 0, 255]);
            let receivers: Vec<SocketAddr> = if broadcast || to.ip() == IpAddr::from(GROUP_V4) {
                self.calls.push((from, bytes.clone()));
                let everybody = self.hosts.keys().copied();
                everybody.filter(|host| host.port() == to.port() && *host != from).collect()
            } else {
                vec![to]
            };
            for to in receivers {
                self.fly(from, to, &bytes);
                if self.random.below(1_000) < self.link.repeated {
                    self.fly(from, to, &bytes);
                }
            }
        }
    }

    /// FNV-1a.
    fn note(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let head = format!("{} {from} {to}", self.now);
        for &byte in head.as_bytes().iter().chain(bytes) {
            self.fingerprint = (self.fingerprint ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    fn fly(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        if self.random.below(1_000) < self.link.lost {
            return;
        }
        let further = |host| self.far.get(host).copied().unwrap_or(Duration::ZERO);
        let delay = self.link.delay + further(&from) + further(&to);
        let mut at = self.now + delay + self.random.jitter(self.link.jitter);
        if self.link.rate > 0 {
            let free_at = self.free_at.get(&to).copied().unwrap_or(self.now).max(self.now);
            let waiting = free_at.since(self.now).as_micros() as u64 * self.link.rate / 1_000_000;
            if waiting > self.link.queue {
                return;
            }
            let wire = (bytes.len() as u64 + 66) * 1_000_000 / self.link.rate;
            let free_at = free_at + Duration::from_micros(wire);
            self.free_at.insert(to, free_at);
            at = at + free_at.since(self.now);
        }
        self.sequence += 1;
        let flight = Flight { from, to, bytes: bytes.to_vec() };
        self.flights.insert((at, self.sequence), flight);
    }
}
