//! Carries a plan out: starts the processes, lets the faults happen, ends them all, and sees that everything then
//! completes in time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path as Folder;
use std::rc::Rc;
use std::time::Duration;

use sprat::content::ContentId;
use sprat::node::input::FetchRequest;
use sprat::node::output::FetchEnding;
use sprat::node::{Directory, FetchId, Instant, Random, Restraint};

use super::draw;
use super::plan::{Already, Fetching, FileSystems, Kind, Plan, Source, Who};
use crate::model::clock::Clock;
use crate::model::contents::{bytes, forge, hash, name};
use crate::model::disk::Path;
use crate::model::host::{Death, Start};
use crate::model::liar::Manner;
use crate::model::network::{Network, by_v6};
use crate::model::shadow;
use crate::model::stranger::Stranger;

/// How a run went; the failed ones panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Of everything that happened.
    pub(crate) digest: u64,
    /// In virtual time.
    pub(crate) lasted: Duration,
    pub(crate) datagrams: u64,
    pub(crate) operations: u64,
}

/// Something that is due.
#[derive(Clone, Copy, Debug)]
pub(super) enum Due {
    Event(usize),
    Start(Who),
    CalmDown,
}

/// How a fetch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Waiting,
    Running,
    Ended,
}

pub(super) struct Run {
    pub(super) plan: Rc<Plan>,
    pub(super) network: Network,
    pub(super) data: Vec<u8>,
    pub(super) content: ContentId,
    pub(super) random: Random,
    pub(super) stranger: Stranger,
    pub(super) due: BTreeMap<(Instant, u64), Due>,
    pub(super) began: Instant,
    pub(super) is_calm: bool,
    pub(super) standings: Vec<Standing>,
    /// How soon a process that dies is back.
    pub(super) back_after: BTreeMap<SocketAddr, Duration>,
    /// Where the blame may fall on an honest host.
    pub(super) blame_is_blind: bool,
    pub(super) last_directories: BTreeMap<SocketAddr, Directory>,
    sequence: u64,
}

/// Runs a seed.
pub(crate) fn run(seed: u64) -> Outcome {
    run_traced(seed, None)
}

/// Runs a seed, and records what each process learns and wants.
pub(crate) fn run_traced(seed: u64, into: Option<&Folder>) -> Outcome {
    let plan = draw::plan(seed);
    let mut run = Run::new(plan);
    run.network.traced = into.map(Folder::to_path_buf);
    run.carry_out()
}

impl Run {
    fn new(plan: Plan) -> Self {
        let data = bytes(plan.seed as u8, plan.size);
        let content = hash(&data).0;
        let mut seed = [0x5e; 32];
        seed[..8].copy_from_slice(&plan.seed.to_be_bytes());
        let mut network = Network::new(plan.seed, plan.link);
        network.notice = plan.notice;
        network.listened_to = true;
        for (from, to, link) in &plan.links {
            network.links.insert((machine(*from), machine(*to)), *link);
        }
        let stranger =
            Stranger { random: Random::new([seed[7] ^ 0x77; 32]), content, size: plan.size as u64 };
        let began = network.now;
        let mut run = Self {
            blame_is_blind: plan.is_corrupting(),
            standings: vec![Standing::Waiting; plan.fetches.len()],
            plan: Rc::new(plan),
            network,
            data,
            content,
            random: Random::new(seed),
            stranger,
            due: BTreeMap::new(),
            began,
            is_calm: false,
            back_after: BTreeMap::new(),
            last_directories: BTreeMap::new(),
            sequence: 0,
        };
        run.write_down();
        run
    }

    /// Fills the disks, and makes the agenda.
    fn write_down(&mut self) {
        let plan = self.plan.clone();
        for (index, source) in plan.sources.iter().enumerate() {
            self.fill_disk(source);
            self.at(source.starts_at, Due::Start(Who::Source(index)));
        }
        for (index, fetch) in plan.fetches.iter().enumerate() {
            let other = match fetch.already {
                Already::Nothing => None,
                Already::Elsewhere => Some(("kept/elsewhere", self.data.clone())),
                Already::Other => Some((fetch.name, bytes(plan.seed as u8 ^ 1, plan.size))),
            };
            let disk = self.network.disk_of(plan.address(Who::Fetch(index)));
            disk.borrow_mut().two_systems = fetch.disk == FileSystems::Two;
            disk.borrow_mut().no_nameless = fetch.disk == FileSystems::WithoutNameless;
            if let Some((text, bytes)) = other {
                disk.borrow_mut().place(Path::Share(name(text)), Rc::new(bytes));
            }
            self.at(fetch.starts_at, Due::Start(Who::Fetch(index)));
        }
        for (index, (at, _)) in plan.events.iter().enumerate() {
            self.at(*at, Due::Event(index));
        }
        self.at(plan.calm_at, Due::CalmDown);
    }

    fn fill_disk(&mut self, source: &Source) {
        let address = SocketAddr::from(([10, 0, 0, source.number], source.port));
        let disk = self.network.disk_of(address);
        let mut disk = disk.borrow_mut();
        let path = Path::Share(name("file"));
        match &source.kind {
            Kind::Honest | Kind::Liar(_) | Kind::Rotten => {
                disk.place(path, Rc::new(self.data.clone()));
            }
            Kind::Forger(from, to) => {
                let (forged, chain) = forge(&self.data, *from, *to);
                disk.place(path, Rc::new(forged)).claimed = Some((self.content, Rc::new(chain)));
            }
            Kind::Other => {
                let path = Path::Share(name("something else"));
                disk.place(path, Rc::new(vec![source.number; 300]));
            }
            Kind::Part(_) => {}
        }
    }

    pub(super) fn at(&mut self, after: Duration, due: Due) {
        self.sequence += 1;
        self.due.insert((self.began + after, self.sequence), due);
    }

    pub(super) fn in_a_while(&mut self, wait: Duration, due: Due) {
        self.sequence += 1;
        self.due.insert((self.network.now + wait, self.sequence), due);
    }

    fn carry_out(mut self) -> Outcome {
        let plan = self.plan.clone();
        while let Some(((at, _), due)) = self.due.pop_first() {
            self.pass_until(at);
            match due {
                Due::Event(_) | Due::Start(_) if self.is_calm => {}
                Due::Event(index) => self.happen(&plan.events[index].1),
                Due::Start(who) => self.start(who),
                Due::CalmDown => self.calm_down(),
            }
            if self.is_calm {
                break;
            }
        }
        self.due.clear();
        self.complete();
        self.afterwards();
        Outcome {
            digest: self.digest(),
            lasted: self.network.now.since(self.began),
            datagrams: self.network.delivered,
            operations: self.network.disks.values().map(|disk| disk.borrow().operations).sum(),
        }
    }

    fn digest(&self) -> u64 {
        let mut log = self.network.log;
        for (address, host) in &self.network.hosts {
            log.number(u64::from(address.port()));
            log.number(host.log.value());
        }
        log.number(self.network.now.as_micros());
        log.value()
    }

    /// Lets time pass, and sees to who dies and who ends.
    pub(super) fn pass_until(&mut self, at: Instant) {
        while self.network.now < at {
            let left = at.since(self.network.now);
            self.network.attention = false;
            self.network.run_while(left, |network| !network.attention);
            let was_called = self.network.attention;
            self.see_to();
            if !was_called {
                self.network.now = self.network.now.max(at);
            }
        }
    }

    /// Sees to who died and who ended.
    pub(super) fn see_to(&mut self) {
        for (address, death) in std::mem::take(&mut self.network.deaths) {
            self.died(address, death);
        }
        let plan = self.plan.clone();
        for (index, _) in plan.fetches.iter().enumerate() {
            let address = plan.address(Who::Fetch(index));
            let ending = self.network.hosts.get(&address).and_then(|host| host.ending.clone());
            if let Some(ending) = ending {
                self.fetch_ended(index, address, &ending);
            }
        }
        let stopped = self.network.hosts.iter().filter(|(_, host)| host.stopped);
        for address in stopped.map(|(address, _)| *address).collect::<Vec<_>>() {
            self.network.crash(address);
            if self.is_calm {
                // It was asked to leave before, and is back for good.
                let sources = (0..plan.sources.len()).map(Who::Source);
                for who in sources.filter(|who| plan.address(*who) == address) {
                    self.start(who);
                }
            }
        }
        self.check_directories();
    }

    fn died(&mut self, address: SocketAddr, _death: Death) {
        let plan = self.plan.clone();
        let back = self.back_after.get(&address).copied().unwrap_or(Duration::from_millis(300));
        let sources = (0..plan.sources.len()).map(Who::Source);
        let fetches = (0..plan.fetches.len()).map(Who::Fetch);
        for who in sources.chain(fetches).filter(|who| plan.address(*who) == address) {
            if let Who::Fetch(index) = who {
                self.standings[index] = Standing::Waiting;
            }
            self.in_a_while(back, Due::Start(who));
        }
    }

    fn fetch_ended(&mut self, index: usize, address: SocketAddr, ending: &FetchEnding) {
        let plan = self.plan.clone();
        let fetch = &plan.fetches[index];
        self.network.crash(address);
        match ending {
            FetchEnding::Done(name) => {
                assert_eq!(fetch.said, plan.size as u64, "done, although the size was wrong");
                log::debug!("{address} is done: {name}");
                self.standings[index] = Standing::Ended;
                self.start_again_for_remains(index, address);
            }
            FetchEnding::WrongSize { size } => {
                assert_eq!(*size, plan.size as u64, "the size that is called the true one");
                assert_ne!(fetch.said, *size, "the size was right");
                self.standings[index] = Standing::Ended;
                self.start_again_for_remains(index, address);
            }
            FetchEnding::Colliding => panic!("nobody made it to collide"),
            FetchEnding::TimedOut | FetchEnding::GivenUp => panic!("nobody gave a time"),
            FetchEnding::Failed(why) => {
                let ordered = why.contains("ordered to fail");
                assert!(ordered, "{address} gave up: {why}");
                self.standings[index] = Standing::Waiting;
                self.in_a_while(Duration::from_millis(200), Due::Start(Who::Fetch(index)));
            }
        }
    }

    /// What could not be removed is left with its attrs; a front end starts a fetch again for these.
    pub(super) fn start_again_for_remains(&mut self, index: usize, address: SocketAddr) {
        let disk = self.network.disk_of(address);
        let mut others = self.network.hosts.values();
        let shared = others.any(|host| host.request.is_some() && Rc::ptr_eq(&host.disk, &disk));
        if !shared && disk.borrow().has_remains_of(self.content) {
            self.standings[index] = Standing::Waiting;
            self.in_a_while(Duration::from_millis(200), Due::Start(Who::Fetch(index)));
        }
    }

    /// Starts a process, if it does not run.
    pub(super) fn start(&mut self, who: Who) {
        let plan = self.plan.clone();
        let address = plan.address(who);
        if self.network.hosts.contains_key(&address) {
            return;
        }
        let also = |v6: bool| v6.then(|| by_v6(address).ip());
        // Its clock began some time ago, or just now.
        let clock =
            Clock::started(self.network.now - Duration::from_millis(self.random.below(900)));
        match who {
            Who::Source(index) => {
                let source = &plan.sources[index];
                self.network.start(Start {
                    address,
                    also: also(source.v6),
                    serves: true,
                    seed: [0; 32],
                    peers: Vec::new(),
                    trackers: Vec::new(),
                    tracks: false,
                    clock,
                    restraint: Restraint::default(),
                });
                self.prepare(source, address);
            }
            Who::Fetch(index) => {
                let fetch = &plan.fetches[index];
                if self.standings[index] == Standing::Ended {
                    return;
                }
                self.standings[index] = Standing::Running;
                let start = Start {
                    address,
                    also: also(fetch.v6),
                    serves: false,
                    seed: [0; 32],
                    peers: Vec::new(),
                    trackers: Vec::new(),
                    tracks: false,
                    clock,
                    restraint: Restraint::default(),
                };
                self.start_fetch(fetch, start);
            }
        }
    }

    fn prepare(&mut self, source: &Source, address: SocketAddr) {
        let calm = self.is_calm;
        let part = match &source.kind {
            Kind::Part(extents) => Some((self.data.clone(), extents.clone())),
            _ => None,
        };
        let host = self.network.host(address);
        host.slowness = if calm { Duration::ZERO } else { source.slowness };
        host.hiccups = if calm { 0 } else { source.hiccups };
        match source.kind {
            Kind::Liar(manner) => host.liar.manner = manner,
            Kind::Forger(..) => host.liar.manner = Manner::Forges,
            _ => {}
        }
        if let Some((data, extents)) = part {
            let nothing = host.disk().extents(self.content).is_empty();
            if nothing {
                host.put_partial(&data, extents);
            }
        }
    }

    fn start_fetch(&mut self, fetch: &Fetching, start: Start) {
        let address = start.address;
        let sources = fetch.named.iter().map(|&(index, v6)| {
            let address = self.plan.address(Who::Source(index));
            if v6 { by_v6(address) } else { address }
        });
        let request = FetchRequest {
            fetch: FetchId(1),
            content: self.content,
            size: fetch.said,
            name: name(fetch.name),
            sources: sources.collect(),
            timeout: None,
            alone: false,
        };
        let calm = self.is_calm;
        let honest = if self.blame_is_blind { BTreeSet::new() } else { self.above_suspicion() };
        self.network.start(start);
        let host = self.network.host(address);
        host.slowness = if calm { Duration::ZERO } else { fetch.slowness };
        host.above_suspicion = honest;
        host.fetch(request);
    }

    /// Who must never be blamed.
    fn above_suspicion(&self) -> BTreeSet<SocketAddr> {
        let sources = (0..self.plan.sources.len()).filter(|&at| self.plan.is_above_suspicion(at));
        let addresses = sources.map(|index| self.plan.address(Who::Source(index)));
        addresses.flat_map(|address| [address, by_v6(address)]).collect()
    }

    /// What holds at the end holds after a power cut too.
    fn afterwards(&mut self) {
        let disks: Vec<_> = self.network.disks.iter().map(|(at, d)| (*at, d.clone())).collect();
        for (at, disk) in disks {
            shadow::check_all(&mut disk.borrow_mut());
            self.network.cut_power(at);
            shadow::check_all(&mut disk.borrow_mut());
        }
    }
}

/// The machine of this number.
pub(super) fn machine(number: u8) -> std::net::IpAddr {
    std::net::IpAddr::from([10, 0, 0, number])
}
