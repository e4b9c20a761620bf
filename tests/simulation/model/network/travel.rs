//! A datagram's way from one machine to another: out of the one, through a bottleneck perhaps, over the link, into the
//! other; or to nowhere.

use std::net::SocketAddr;
use std::time::Duration;

use sprat::node::Instant;

use super::{Flight, Machine, Network, OVERHEARD_MAX, machine};
use crate::model::link::Link;

impl Network {
    pub(super) fn fly(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        if self.listened_to {
            self.overheard.push_back(Flight { from, to, bytes: bytes.clone() });
            if self.overheard.len() > OVERHEARD_MAX {
                self.overheard.pop_front();
            }
        }
        let way = (machine(from.ip()), machine(to.ip()));
        let link = self.links.get(&way).copied().unwrap_or(self.link);
        if link.repeated > 0 && self.random.below(1_000) < link.repeated {
            self.fly_once(from, to, bytes.clone(), way, &link);
        }
        self.fly_once(from, to, bytes, way, &link);
    }

    fn fly_once(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        mut bytes: Vec<u8>,
        way: (Machine, Machine),
        link: &Link,
    ) {
        // What is lost behind a bottleneck has taken its time there.
        let mut passed = self.now;
        if let Some(&gate) = self.through.get(&way) {
            let Some(at) = self.gates[gate].pass(self.now, bytes.len() as u64) else { return };
            passed = at;
        }
        let lost = link.loses(&mut self.random, self.bad_ways.entry(way).or_default());
        let too_long = link.longest > 0 && bytes.len() > link.longest;
        if lost || too_long || self.cuts.contains(&way) {
            return;
        }
        let length = bytes.len() as u64;
        self.corrupted += u64::from(link.corrupts(&mut self.random, &mut bytes));
        let further = |host: SocketAddr| {
            let host = SocketAddr::new(machine(host.ip()), host.port());
            self.far.get(&host).copied().unwrap_or(Duration::ZERO)
        };
        let delay = link.delay + further(from) + further(to) + passed.since(self.now);
        let flight = Flight { from, to, bytes };
        match self.leaves(way.0, length) {
            Some(leaves) if leaves > self.now => {
                self.sequence += 1;
                self.departures.insert((leaves, self.sequence), (flight, delay, *link));
            }
            Some(_) => self.enter(flight, delay, link),
            None => {}
        }
    }

    /// A datagram has left its machine, and goes the rest of its way.
    pub(super) fn enter(&mut self, flight: Flight, delay: Duration, link: &Link) {
        let (to, length) = (machine(flight.to.ip()), flight.bytes.len() as u64);
        let mut at = self.now + delay + self.random.jitter(link.jitter);
        if link.rate > 0 {
            let free_at = self.free_at.get(&to).copied().unwrap_or(self.now).max(self.now);
            let waiting = free_at.since(self.now).as_micros() as u64 * link.rate / 1_000_000;
            if waiting > link.queue {
                return;
            }
            let wire = (length + 66) * 1_000_000 / link.rate;
            let free_at = free_at + Duration::from_micros(wire);
            self.free_at.insert(to, free_at);
            at = at + free_at.since(self.now);
        }
        self.take_off(at, flight);
    }

    /// When so many bytes are out of a machine; not at all where too many wait before them.
    fn leaves(&mut self, machine: Machine, length: u64) -> Option<Instant> {
        let Some(&rate) = self.rates_out.get(&machine) else { return Some(self.now) };
        let free_at = self.sent_at.get(&machine).copied().unwrap_or(self.now).max(self.now);
        let waiting = free_at.since(self.now).as_micros() as u64 * rate / 1_000_000;
        if waiting > self.link.queue {
            return None;
        }
        let wire = (length + 66) * 1_000_000 / rate;
        let leaves = free_at + Duration::from_micros(wire);
        self.sent_at.insert(machine, leaves);
        Some(leaves)
    }

    pub(super) fn take_off(&mut self, at: Instant, flight: Flight) {
        self.sequence += 1;
        self.flights.insert((at, self.sequence), flight);
    }
}
