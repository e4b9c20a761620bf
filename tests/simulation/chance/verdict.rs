//! When all faults are over: everything completes in time, and everybody knows what everybody has.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sprat::node::Directory;
use sprat::wire::DEFAULT_PORT;

use super::plan::{Event, Kind, Who};
use super::run::{Run, Standing, machine};
use crate::model::contents::name;
use crate::model::disk::Path;
use crate::model::host::SOCKET_BUFFER;
use crate::model::network;

/// What completing may take beyond three times the ideal.
const GRACE: Duration = Duration::from_secs(5);
/// What more it may take where a caller was wrong about the size: whoever claims another one is given five seconds
/// for the proof, and after one that failed the next begins five seconds later.
const GRACE_WRONG_SIZE: Duration = Duration::from_secs(15);
/// What more where a way has become four times as long or more: for ten seconds the shortest round trip that was
/// measured stands (BBR), and with it what may be under way.
const GRACE_LONGER_WAY: Duration = Duration::from_secs(10);
/// And for each peer that lies or has gone: it may cost a chain, a proof, or a block that does not come.
const GRACE_EACH_USELESS: Duration = Duration::from_secs(2);
/// What is on its way in the first round trip.
const INITIAL_WINDOW: u64 = 14_080;
/// What finding each other may take: a host is gone when it was not heard for 8.4 s, and each sweep is 2 s.
const DISCOVERY: Duration = Duration::from_secs(14);
/// And what a new file may take: it settles, is hashed and announced, and a sweep is 2 s.
const NEWS: Duration = Duration::from_secs(6);

impl Run {
    /// All faults end at once; whoever is missing comes back; the keeper has its file.
    pub(super) fn calm_down(&mut self) {
        let plan = self.plan.clone();
        self.is_calm = true;
        self.network.cuts.clear();
        self.network.link = plan.link.calm();
        self.network.links.values_mut().for_each(|link| *link = link.calm());
        let now = self.network.now;
        for thaws in self.network.frozen.values_mut() {
            *thaws = (*thaws).min(now);
        }
        for disk in self.network.disks.values() {
            let mut disk = disk.borrow_mut();
            disk.room = None;
            disk.fault = None;
            disk.fuse = None;
        }
        for host in self.network.hosts.values_mut() {
            host.fuse = None;
            host.slowness = Duration::ZERO;
            host.hiccups = 0;
            host.clock.go_on(now);
            host.touched();
        }
        let keeper = &plan.sources[plan.keeper];
        let whole = Path::Share(name("file"));
        let has_it = {
            let disk = self.network.disk_of(plan.address(Who::Source(plan.keeper)));
            let disk = disk.borrow();
            disk.file(&whole).is_some_and(|file| *file.bytes == self.data)
        };
        if !has_it {
            let data = self.data.clone();
            self.put(keeper.number, "file", &data);
        }
        for index in 0..plan.fetches.len() {
            if self.standings[index] == Standing::Ended {
                // A power cut may have undone the last of it.
                self.start_again_for_remains(index, plan.address(Who::Fetch(index)));
            }
            self.start(Who::Fetch(index));
        }
        let liars_leave = self.random.below(2) == 0;
        for index in 0..plan.sources.len() {
            let kind = &plan.sources[index].kind;
            if liars_leave && matches!(kind, Kind::Liar(_) | Kind::Forger(..) | Kind::Rotten) {
                self.network.crash(plan.address(Who::Source(index)));
                continue;
            }
            // Some have gone for good.
            if index == plan.keeper || self.random.below(3) > 0 {
                self.start(Who::Source(index));
            }
        }
    }

    /// What is missing over the slowest way, for all fetches of a machine one after the other, and the longest
    /// round trip: once for the question, once for the chain, and as often as a transfer needs that begins with ten
    /// datagrams and doubles what is on its way; and what is queued already.
    fn ideal(&self) -> Duration {
        let plan = &self.plan;
        let weather = plan.events.iter().filter_map(|(_, event)| match event {
            Event::Weather(link) => Some(link),
            _ => None,
        });
        let ways = self.network.links.values().chain([&self.network.link]);
        let (mut rate, mut trip, mut drained) = (u64::MAX, Duration::ZERO, Duration::ZERO);
        for way in ways.clone() {
            rate = rate.min(if way.rate == 0 { u64::MAX } else { way.rate });
        }
        // Timers go by the round trips that were measured before.
        for way in ways.chain(weather) {
            trip = trip.max((way.delay + way.jitter) * 2);
            // What was queued when the faults ended goes first.
            let queued = way.queue * 1_000_000 / way.rate.max(1);
            drained = drained.max(Duration::from_micros(queued));
        }
        let mut missing: BTreeMap<u8, u64> = BTreeMap::new();
        for (fetch, _) in
            plan.fetches.iter().zip(&self.standings).filter(|(_, s)| **s != Standing::Ended)
        {
            let disk = &self.network.disks[&machine(fetch.number)];
            let stored = disk.borrow().chunk_bytes().min(fetch.said);
            *missing.entry(fetch.number).or_default() += fetch.said - stored;
        }
        // No more is ever on its way than half of the receive buffer, over a round trip.
        let in_flight = SOCKET_BUFFER / 2 * 1_000_000 / (trip.as_micros() as u64).max(1);
        let rate = rate.min(in_flight.max(1));
        // Headers of 86 bytes to 1,152 of payload.
        let most = missing.values().max().copied().unwrap_or(0) * 108 / 100;
        // Ten datagrams first (RFC 6928), twice as many in each round trip.
        let rounds = 1 + (most / INITIAL_WINDOW + 1).ilog2();
        Duration::from_micros(most.saturating_mul(1_000_000) / rate) + trip * (rounds + 2) + drained
    }

    /// Whether some way is far longer now than ways were for a while.
    fn has_grown_longer(&self) -> bool {
        let trips = self.network.links.values().chain([&self.network.link]).map(|way| way.delay);
        let longest = trips.max().unwrap_or_default();
        self.plan.events.iter().any(|(_, event)| match event {
            Event::Weather(link) => link.delay * 4 < longest,
            _ => false,
        })
    }

    /// Lets everything complete.
    pub(super) fn complete(&mut self) {
        let wrong = self.plan.fetches.iter().any(|fetch| fetch.said != self.plan.size as u64);
        let grace = if wrong { GRACE + GRACE_WRONG_SIZE } else { GRACE };
        let grace = if self.has_grown_longer() { grace + GRACE_LONGER_WAY } else { grace };
        let useless = self.useless();
        let limit = grace + GRACE_EACH_USELESS * useless + self.ideal() * (3 + useless);
        let (start, seed) = (self.network.now, self.plan.seed);
        let settle = sprat::node::SETTLE;
        while !self.all_ended() {
            let over = self.network.now.since(start);
            assert!(over < limit + settle, "seed {seed}: {}", self.what_hangs(limit));
            let soon = self.network.now + Duration::from_millis(20);
            self.pass_until(soon);
            self.start_waiting();
        }
        for (index, fetch) in self.plan.fetches.iter().enumerate() {
            let disk = &self.network.disks[&machine(fetch.number)];
            let remains = disk.borrow().has_remains_of(self.content);
            assert!(!remains, "fetch {index} is done and chunks/ is not empty");
        }
        // What was fetched last is new to everybody.
        let until = (start + DISCOVERY).max(self.network.now + NEWS);
        self.pass_until(until);
        self.everybody_knows();
    }

    /// How many of the peers lie, or have gone: who is there no more is found out by its silence.
    fn useless(&self) -> u32 {
        let sources = self.plan.sources.iter().enumerate();
        let lies = sources.filter(|(index, source)| {
            let runs = self.network.hosts.contains_key(&self.plan.address(Who::Source(*index)));
            !runs || !matches!(source.kind, Kind::Honest | Kind::Other | Kind::Part(_))
        });
        lies.count() as u32
    }

    /// The front end starts a fetch again that has given up.
    fn start_waiting(&mut self) {
        for index in 0..self.standings.len() {
            if self.standings[index] == Standing::Waiting {
                self.start(Who::Fetch(index));
            }
        }
    }

    fn all_ended(&self) -> bool {
        self.standings.iter().all(|standing| *standing == Standing::Ended)
    }

    fn what_hangs(&self, limit: Duration) -> String {
        let mut text = format!("not complete within {limit:.3?} after all faults were over");
        for host in self.network.hosts.values() {
            for view in host.node.fetch_views() {
                let (phase, held, size) = (view.phase, view.held, view.size);
                text.push_str(&format!("; {phase}, {held} of {size} bytes"));
                for source in view.sources {
                    let (at, state, waits) = (source.address, source.state, source.waits);
                    text.push_str(&format!("; {at} {state}: {waits}"));
                }
            }
        }
        text
    }

    /// What a directory says of an honest machine is, or was, so.
    pub(super) fn check_directories(&mut self) {
        let mut changed = Vec::new();
        for (address, host) in &self.network.hosts {
            if host.serves && self.last_directories.get(address) != Some(&host.directory) {
                changed.push((*address, host.directory.clone()));
            }
        }
        for (address, directory) in changed {
            for (ip, filename) in listed_in(&directory) {
                let Some(number) = number_of(&ip) else { continue };
                if !self.is_honest(number) {
                    continue;
                }
                let disk = self.network.disks.get(&machine(number));
                let known = disk.is_some_and(|disk| disk.borrow().shadow.ever.contains(&filename));
                assert!(known, "{address} lists {filename} of {ip}, which never had it");
            }
            self.last_directories.insert(address, directory);
        }
    }

    fn is_honest(&self, number: u8) -> bool {
        let lies = |kind: &Kind| matches!(kind, Kind::Liar(_) | Kind::Forger(..));
        let mut sources = self.plan.sources.iter().filter(|source| source.number == number);
        sources.all(|source| !lies(&source.kind)) && number < 200
    }

    /// Honest hosts list all that honest hosts have, and nothing that they have not.
    fn everybody_knows(&self) {
        let honest: Vec<SocketAddr> = (0..self.plan.sources.len())
            .filter(|&index| self.is_honest(self.plan.sources[index].number))
            .map(|index| self.plan.address(Who::Source(index)))
            .filter(|address| self.network.hosts.contains_key(address))
            .collect();
        // The others hear no announcements.
        for observer in honest.iter().filter(|observer| observer.port() == DEFAULT_PORT) {
            let directory = &self.network.hosts[observer].directory;
            let mut listed: BTreeMap<u8, BTreeSet<String>> = BTreeMap::new();
            for (ip, filename) in listed_in(directory) {
                if let Some(number) = number_of(&ip) {
                    listed.entry(number).or_default().insert(filename);
                }
            }
            for other in honest.iter().filter(|other| *other != observer) {
                let IpAddr::V4(ip) = other.ip() else { continue };
                let number = ip.octets()[3];
                let disk = self.network.disks[&other.ip()].borrow();
                let offered = disk.share().filter(|(name, _)| name.is_offered());
                let has: BTreeSet<String> =
                    offered.map(|(name, _)| name.as_str().to_owned()).collect();
                let lists = listed.remove(&number).unwrap_or_default();
                assert_eq!(lists, has, "seed {}: {observer} of {other}", self.plan.seed);
            }
        }
    }
}

/// The machine that a directory means.
fn number_of(ip: &str) -> Option<u8> {
    let address = ip.parse::<SocketAddr>().map(|address| address.ip()).or_else(|_| {
        let bare = ip.trim_start_matches('[').split(['%', ']']).next().unwrap_or(ip);
        bare.parse::<IpAddr>()
    });
    match network::machine(address.ok()?) {
        IpAddr::V4(ip) if ip.octets()[..3] == [10, 0, 0] => Some(ip.octets()[3]),
        _ => None,
    }
}

/// The places in the directory, by host and name.
fn listed_in(directory: &Directory) -> BTreeSet<(String, String)> {
    let mut places = BTreeSet::new();
    for host in directory.hosts() {
        let names = host.entries.iter().map(|entry| entry.name.as_str().to_owned());
        places.extend(names.map(|name| (host.host.clone(), name)));
    }
    places
}
