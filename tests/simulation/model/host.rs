//! One process: the node that ships, carried out on the model of a disk, with a clock of its own. It may be
//! killed, or lose its power, between any two outputs.

mod checking;

use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use sprat::content::{ContentId, ShareName};
use sprat::node::input::{Command, Extent, FetchRequest, FileSignature, InterfaceAddress};
use sprat::node::output::FetchEnding;
use sprat::node::{
    BufferId, Directory, Input, Instant, Node, NodeConfig, Output, Random, Restraint,
};
use sprat::wire::DEFAULT_PORT;

use super::clock::Clock;
use super::contents::{attrs, hash, name};
use super::digest::Log;
use super::disk::{Disk, Path, Process};
use super::ledger::Ledger;
use super::liar::Liar;
use super::listings::Listings;
use super::publish::InHand;
use super::trace::Recording;

/// A disk, and all processes that work on it.
pub(crate) type SharedDisk = Rc<RefCell<Disk>>;

/// Bytes of the receive buffer, as the kernel charges them: what Linux grants to everybody.
pub(crate) const SOCKET_BUFFER: u64 = 425_984;

/// A datagram on its way out.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

/// How a process ends that is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// SIGKILL: what it has done is done.
    Killed,
    /// The machine's power: what was not synced is uncertain.
    PowerCut,
}

/// Bytes being put together.
#[derive(Debug)]
pub(super) struct Buffer {
    pub(super) bytes: Vec<u8>,
    /// They closed the link that they were asked to.
    pub(super) proven: bool,
}

/// Answers of one kind come in the order of asking; those of different kinds overtake each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    Disk,
    Slow,
    Proof,
}

/// What a process is started as.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) address: SocketAddr,
    /// A second address of the machine, of the other family.
    pub(crate) also: Option<IpAddr>,
    pub(crate) serves: bool,
    pub(crate) seed: [u8; 32],
    pub(crate) peers: Vec<SocketAddr>,
    pub(crate) trackers: Vec<SocketAddr>,
    /// It is a tracker itself.
    pub(crate) tracks: bool,
    pub(crate) clock: Clock,
    pub(crate) restraint: Restraint,
}

pub(crate) struct Host {
    pub(crate) node: Node,
    pub(crate) disk: SharedDisk,
    pub(crate) directory: Directory,
    pub(crate) ending: Option<FetchEnding>,
    pub(crate) stopped: bool,
    /// Its look is over.
    pub(crate) has_looked: bool,
    pub(crate) liar: Liar,
    pub(crate) ledger: Ledger,
    /// The longest that the disk and the processor take for something, drawn for each.
    pub(crate) slowness: Duration,
    /// One in so many servings finds the socket full, or a way that takes no such datagrams; 0 is none.
    pub(crate) hiccups: u64,
    /// It dies before the output after this many more.
    pub(crate) fuse: Option<(u64, Death)>,
    pub(crate) died: Option<Death>,
    pub(crate) clock: Clock,
    pub(crate) request: Option<FetchRequest>,
    pub(crate) serves: bool,
    pub(crate) also: Option<IpAddr>,
    pub(crate) process: Process,
    pub(crate) log: Log,
    pub(crate) recording: Option<Recording>,
    /// Who must never be blamed: they are honest, and nobody can do wrong in their name.
    pub(crate) above_suspicion: BTreeSet<SocketAddr>,
    /// Whether the node is written down and taken up again after every step.
    pub(crate) is_restored: bool,
    /// Whether everything is looked at after a step.
    pub(crate) checks: bool,
    /// The chunk files as they were when they were last written or looked at: file and version.
    pub(super) remembered: BTreeMap<u64, (u64, u64)>,
    /// What a person is about to put under the name that the file is to get.
    pub(crate) rival: Option<Rc<Vec<u8>>>,
    /// Whether the last sync of file and folders succeeded: one that a disk refuses, for a file that stood
    /// there already, is told as a warning.
    pub(super) is_kept: bool,
    /// A whole file without a name in `share/`.
    pub(super) in_hand: Option<InHand>,
    config: NodeConfig,
    pub(super) buffers: BTreeMap<BufferId, Buffer>,
    pub(super) chains: BTreeMap<ContentId, Rc<Vec<u8>>>,
    pub(super) listings: Listings,
    pub(super) told_files: BTreeMap<ShareName, FileSignature>,
    pub(super) told_partials: BTreeMap<ContentId, (Vec<Extent>, u64)>,
    /// The blocks of the content of which there ever were bytes in `chunks/`.
    pub(super) blocks_told: BTreeSet<u64>,
    pub(super) seen_generation: u64,
    pub(super) look_at: Option<Instant>,
    pub(super) random: Random,
    pub(super) now: Instant,
    pub(super) steps: u64,
    /// What is to be handed in, and when at the earliest.
    inbox: BTreeMap<(Instant, u64), Input<'static>>,
    last_due: [Instant; 3],
    sequence: u64,
    wake: Option<Option<Instant>>,
}

impl Host {
    pub(crate) fn new(start: Start, now: Instant, disk: SharedDisk, process: Process) -> Self {
        let Start { address, also, serves, seed, peers, trackers, tracks, mut clock, restraint } =
            start;
        let mut ledger = Ledger::default();
        ledger.named.extend(peers.iter().chain(&trackers).copied());
        let (port, default_port) = (address.port(), DEFAULT_PORT);
        let config = NodeConfig {
            serves,
            port,
            default_port,
            peers,
            trackers,
            tracks,
            restraint,
            ..NodeConfig::new(seed)
        };
        let mut host = Self {
            node: Node::new(config.clone(), clock.read(now)),
            config,
            disk,
            directory: Directory::default(),
            ending: None,
            stopped: false,
            has_looked: false,
            liar: Liar::new(seed),
            ledger,
            slowness: Duration::ZERO,
            hiccups: 0,
            fuse: None,
            died: None,
            clock,
            request: None,
            serves,
            also,
            process,
            log: Log::default(),
            recording: None,
            above_suspicion: BTreeSet::new(),
            is_restored: false,
            checks: true,
            remembered: BTreeMap::new(),
            rival: None,
            is_kept: true,
            in_hand: None,
            buffers: BTreeMap::new(),
            chains: BTreeMap::new(),
            listings: Listings::default(),
            told_files: BTreeMap::new(),
            told_partials: BTreeMap::new(),
            blocks_told: BTreeSet::new(),
            seen_generation: u64::MAX,
            look_at: None,
            random: Random::new(seed),
            now,
            steps: 0,
            inbox: BTreeMap::new(),
            last_due: [now; 3],
            sequence: 0,
            wake: None,
        };
        host.answer(Input::SocketBuffer { bytes: SOCKET_BUFFER });
        host.tell_interfaces(address.ip());
        if serves {
            host.look(Duration::from_secs(60));
        }
        host
    }

    fn tell_interfaces(&mut self, own: IpAddr) {
        let interface = |address: IpAddr| InterfaceAddress {
            index: 2,
            address,
            prefix_length: if address.is_ipv4() { 24 } else { 64 },
            broadcast: address.is_ipv4().then(|| IpAddr::from([10, 0, 0, 255])),
            loopback: false,
        };
        let addresses = std::iter::once(own).chain(self.also).map(interface).collect();
        self.answer(Input::Interfaces { addresses });
    }

    /// Begins to record what this process learns.
    pub(crate) fn record(&mut self, address: SocketAddr, into: Option<(PathBuf, u8)>) {
        let begins = self.clock.read(self.now);
        self.recording = into.and_then(|(folder, times)| {
            Recording::begin(&folder, address, times, begins, self.config.clone())
        });
    }

    /// Whether its file is about to get its name.
    pub(crate) fn is_publishing(&self) -> bool {
        self.node.fetch_views().iter().any(|view| view.phase == "publishing")
    }

    /// The disk, for looking at it and changing it.
    pub(crate) fn disk(&self) -> RefMut<'_, Disk> {
        self.disk.borrow_mut()
    }

    /// A person puts a file into `share/`; the node is told when it is run next.
    pub(crate) fn put(
        &mut self,
        file_name: &str,
        bytes: &[u8],
        claimed: Option<(ContentId, Vec<u8>)>,
    ) {
        let path = Path::Share(name(file_name));
        let claimed = claimed.map(|(content, chain)| (content, Rc::new(chain)));
        self.disk().place(path, Rc::new(bytes.to_vec())).claimed = claimed;
        self.look(Duration::ZERO);
    }

    /// Whether it shows a file of this name, wherever.
    pub(crate) fn shows(&self, name: &str) -> bool {
        let mut entries = self.directory.hosts().iter().flat_map(|host| host.entries.iter());
        entries.any(|entry| entry.name.as_str() == name)
    }

    pub(crate) fn remove(&mut self, file_name: &str) {
        self.disk().discard(&Path::Share(name(file_name)));
        self.look(Duration::ZERO);
    }

    pub(crate) fn fetch(&mut self, request: FetchRequest) {
        self.ledger.named.extend(request.sources.iter().copied());
        self.ledger.size = request.size;
        self.request = Some(request.clone());
        self.answer(Input::Command(Command::Fetch(request)));
    }

    pub(crate) fn look_over(&mut self, patience: Duration) {
        self.ledger.looks = !self.serves;
        self.answer(Input::Command(Command::Look { patience }));
    }

    pub(crate) fn stop(&mut self) {
        self.answer(Input::Command(Command::Stop));
    }

    /// Puts parts of a download beside this peer; with more of them, it has grown.
    pub(crate) fn put_partial(&mut self, bytes: &[u8], extents: Vec<Extent>) {
        let (content, chain) = hash(bytes);
        {
            let mut disk = self.disk();
            disk.place(Path::Attrs(content), Rc::new(attrs("part", bytes.len() as u64)));
            disk.place(Path::States(content), Rc::new(chain));
            for Extent { start, length } in extents {
                let range = start as usize..(start + length) as usize;
                disk.place(Path::Chunk(content, start), Rc::new(bytes[range].to_vec()));
            }
        }
        self.look(Duration::ZERO);
    }

    /// Hands something in from outside.
    pub(crate) fn tell(&mut self, input: Input<'static>) {
        self.answer(input);
    }

    /// Hands something in, after as long as it takes.
    pub(super) fn answer(&mut self, input: Input<'static>) {
        self.answer_from(Queue::Disk, input);
    }

    pub(super) fn answer_from(&mut self, queue: Queue, input: Input<'static>) {
        let due = self.now + self.random.jitter(self.slowness);
        let last = &mut self.last_due[queue as usize];
        let due = if queue == Queue::Proof { due } else { due.max(*last) };
        *last = due;
        self.sequence += 1;
        self.inbox.insert((due, self.sequence), input);
        self.wake = None;
    }

    /// Hands something in no sooner than that.
    pub(super) fn answer_later(&mut self, wait: Duration, input: Input<'static>) {
        self.sequence += 1;
        self.inbox.insert((self.now + wait, self.sequence), input);
        self.touched();
    }

    /// When something is to be done at the latest, in the world's time.
    pub(crate) fn next_at(&mut self) -> Option<Instant> {
        if let Some(wake) = self.wake {
            return wake;
        }
        let answer = self.inbox.first_key_value().map(|(&(at, _), _)| at);
        let core = self.node.poll_timeout().map(|deadline| self.clock.shows_at(deadline.at));
        let next = [answer, core, self.look_at].into_iter().flatten().min();
        self.wake = Some(next);
        next
    }

    /// Something was changed from outside.
    pub(crate) fn touched(&mut self) {
        self.wake = None;
    }

    /// Hands in one datagram and all that follows from it.
    pub(crate) fn datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) -> Vec<Sent> {
        let mut sent = Vec::new();
        self.now = now;
        self.ledger.comes(from, bytes);
        self.feed(Input::Datagram { from, bytes });
        self.drain(Some((from, bytes)), &mut sent);
        self.work(&mut sent);
        self.twisted(sent)
    }

    /// Hands in what is waiting, and what is due.
    pub(crate) fn run(&mut self, now: Instant) -> Vec<Sent> {
        let mut sent = Vec::new();
        self.now = now;
        self.touched();
        if self.look_at.is_some_and(|at| at <= now) {
            let unchanged = self.draw_unchanged();
            self.look(unchanged);
        }
        self.work(&mut sent);
        let local = self.clock.read(now);
        if self.died.is_none() && self.node.poll_timeout().is_some_and(|due| due.at <= local) {
            if let (Some(recording), Some(due)) = (&mut self.recording, self.node.poll_timeout()) {
                recording.before_wake(local, due.reason);
            }
            self.node.handle_timeout(local);
            self.drain(None, &mut sent);
            let next = self.node.poll_timeout();
            assert!(next.is_none_or(|next| next.at > local), "{next:?} is due again at {local}");
            self.work(&mut sent);
        }
        self.twisted(sent)
    }

    fn twisted(&mut self, sent: Vec<Sent>) -> Vec<Sent> {
        let now = self.now;
        self.liar.twist(now, sent)
    }

    /// Going by the wall clock and the file's times, which may say anything.
    fn draw_unchanged(&mut self) -> Duration {
        match self.random.below(6) {
            0 => Duration::from_millis(799),
            1 => Duration::from_secs(60),
            2 => Duration::from_secs(3_000_000_000),
            _ => Duration::ZERO,
        }
    }

    fn work(&mut self, sent: &mut Vec<Sent>) {
        while self.died.is_none() {
            let Some(next) = self.inbox.first_entry().filter(|next| next.key().0 <= self.now)
            else {
                break;
            };
            let input = next.remove();
            self.feed(input);
            self.drain(None, sent);
        }
    }

    /// The one place where a core learns something.
    fn feed(&mut self, input: Input<'_>) {
        let local = self.clock.read(self.now);
        self.steps += 1;
        self.wake = None;
        if let Some(recording) = &mut self.recording {
            recording.before(&self.node, local, &input);
        }
        self.node.handle_input(local, input);
    }

    fn drain(&mut self, in_hand: Option<(SocketAddr, &[u8])>, sent: &mut Vec<Sent>) {
        self.wake = None;
        let mut count = 0;
        while let Some(output) = self.node.poll_output() {
            count += 1;
            if let Some(recording) = &mut self.recording {
                recording.output(&output);
            }
            if self.burns() {
                return;
            }
            self.execute(output, in_hand, sent);
            let broken = self.disk.borrow_mut().broken.take();
            if broken.is_some() {
                self.died = broken;
                return;
            }
        }
        self.log.number(count);
        self.check();
        if let Some(recording) = &mut self.recording {
            recording.after(&self.node);
        }
    }

    /// Whether it dies here.
    pub(super) fn burns(&mut self) -> bool {
        match &mut self.fuse {
            Some((0, death)) => self.died = Some(*death),
            Some((left, _)) => *left -= 1,
            None => {}
        }
        self.died.is_some()
    }

    fn execute(
        &mut self,
        output: Output,
        in_hand: Option<(SocketAddr, &[u8])>,
        sent: &mut Vec<Sent>,
    ) {
        match output {
            Output::Transmit { to, bytes, .. } => {
                let to_many = to.ip() == IpAddr::from([10, 0, 0, 255]) || to.ip().is_multicast();
                self.ledger.goes(to, &bytes, to_many, self.liar.is_honest());
                sent.push(Sent { to, bytes });
            }
            Output::Serve { .. } => self.serve(output, sent),
            Output::Hash { name, signature } => self.hash_file(name, signature),
            Output::CheckPartial { content, block, link } => {
                self.check_partial(content, block, link);
            }
            Output::Directory { hosts } => self.directory = hosts,
            Output::Stopped => self.stopped = true,
            Output::LookEnded => self.has_looked = true,
            Output::AddToListing { .. }
            | Output::TakeOffListing { .. }
            | Output::MakeListing { .. }
            | Output::KeepListing { .. }
            | Output::ReadListing { .. }
            | Output::ReadChanges { .. }
            | Output::DropListing { .. } => self.execute_for_listings(output, in_hand),
            _ => self.execute_for_fetch(output, in_hand),
        }
    }
}
