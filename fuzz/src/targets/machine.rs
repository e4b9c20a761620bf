//! One core, and everything around it chosen by the input: what strangers send, when it comes, what the disk answers.
//!
//! The core believes its driver, so answers are such as a driver can give: to what was asked, once, of the kind that
//! belongs to the question. Whatever they say, and in whatever order they come, is chosen.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sprat::driver::clock::Slice;
use sprat::driver::listing_jobs::ListingJobs;
use sprat::node::input::{Command, FetchRequest, FileSignature, InterfaceAddress, LocateRequest};
use sprat::node::{
    BufferId, FetchId, Input, Instant, Node, NodeConfig, Output, Restraint, SyncRules,
};
use sprat::wire::{CONTROL_LENGTH_MAX, Cookie, DATA_HEADER_LENGTH, DEFAULT_PORT, Message, decode};

use super::choices::Choices;
use super::making::{Buffer, Seen, address, content, message, named};
use super::world::{Known, World, extents, name};
use crate::model::ledger::Ledger;

/// Things that happen in one run.
const ACTS_MAX: usize = 384;
/// Wakings between two of them.
const WAKES_MAX: usize = 64;
/// What a core has asked for and has no answer to: more than this is a table without a bound.
const ASKED_MAX: usize = 2_048;
/// Blocks in memory: more than any flow allows.
const BUFFERS_MAX: usize = 1_024;
/// Messages of its own that can still be answered.
const SAID_MAX: usize = 64;

pub(crate) struct Bench {
    pub(crate) node: Node,
    pub(crate) now: Instant,
    pub(crate) seen: Seen,
    pub(crate) world: World,
    /// What waits for an answer.
    pub(super) asked: VecDeque<Output>,
    /// Questions and grants of its own, and whom they went to.
    pub(super) said: VecDeque<(SocketAddr, Vec<u8>)>,
    /// Answers about listings, which have come and were not handed in yet.
    pub(super) answers: VecDeque<Input<'static>>,
    /// The last cookie that it told somebody.
    pub(super) told: Option<(SocketAddr, Cookie)>,
    listings: ListingJobs,
    buffers: BTreeSet<BufferId>,
    ledger: Ledger,
    /// Only who serves is told of files and of downloads beside it.
    pub(super) serves: bool,
    stopped: bool,
}

/// The core of a peer, of a tracker, or of a peer that keeps in step.
pub(crate) fn run_peer(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let mut bench = Bench::peer(&mut choices);
    bench.run(&mut choices);
}

/// The core of a fetch, of one that looks, or of one that locates.
pub(crate) fn run_fetch(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let mut bench = Bench::fetch(&mut choices);
    bench.run(&mut choices);
}

fn config(choices: &mut Choices<'_>, serves: bool) -> NodeConfig {
    let flags = choices.byte();
    let tracks = serves && flags & 7 == 7;
    let named: Vec<SocketAddr> = (0..flags >> 6).map(|_| named(choices)).collect();
    let (peers, trackers) = named.split_at(named.len() / 2);
    NodeConfig {
        serves: serves && !tracks,
        port: if serves { DEFAULT_PORT } else { 40_000 },
        default_port: DEFAULT_PORT,
        peers: peers.to_vec(),
        trackers: trackers.to_vec(),
        tracks,
        sync: (serves && !tracks && flags & 8 != 0).then(SyncRules::default),
        seed: [flags; 32],
        sweep: Duration::from_secs(2),
        restraint: Restraint {
            limit: (flags & 16 != 0).then(|| 1_000 + choices.number() % 100_000_000),
            background: flags & 32 != 0,
        },
    }
}

impl Bench {
    fn new(config: NodeConfig) -> Self {
        let now = Instant::from_micros(1_000_000);
        let mut ledger = Ledger::default();
        let serves = config.serves;
        ledger.named.extend(config.peers.iter().chain(&config.trackers).copied());
        let mut bench = Self {
            node: Node::new(config, now),
            now,
            seen: Seen::default(),
            world: World::default(),
            asked: VecDeque::new(),
            said: VecDeque::new(),
            answers: VecDeque::new(),
            told: None,
            listings: ListingJobs::new(),
            buffers: BTreeSet::new(),
            ledger,
            serves,
            stopped: false,
        };
        bench.seen.contents =
            Known::all().iter().map(|known| (known.content, known.size())).collect();
        bench.seen.chains = Known::all().iter().map(|known| known.chain_id()).collect();
        let address = |address: [u8; 4], loopback| InterfaceAddress {
            index: 2,
            address: address.into(),
            prefix_length: if loopback { 8 } else { 24 },
            broadcast: (!loopback).then(|| IpAddr::from([10, 0, 0, 255])),
            loopback,
        };
        let addresses = vec![address([10, 0, 0, 250], false), address([127, 0, 0, 1], true)];
        bench.input(Input::Interfaces { addresses });
        bench
    }

    /// A peer that offers a file and has a part of another one.
    pub(crate) fn peer(choices: &mut Choices<'_>) -> Self {
        let mut bench = Self::new(config(choices, true));
        let size = Known::all()[0].size();
        let signature = FileSignature { device: 1, inode: 1, size, modified_ns: 0, changed_ns: 0 };
        let unchanged_for = Duration::from_secs(9);
        if bench.serves {
            bench.input(Input::FileSeen { name: name(0), signature, unchanged_for });
        }
        while let Some(output) = bench.asked.pop_front() {
            bench.answer(&mut Choices::new(&[]), output);
        }
        bench
    }

    fn fetch(choices: &mut Choices<'_>) -> Self {
        let mut bench = Self::new(config(choices, false));
        bench.command(choices);
        bench
    }

    fn run(&mut self, choices: &mut Choices<'_>) {
        for _ in 0..ACTS_MAX {
            if choices.is_over() {
                break;
            }
            self.act(choices);
            self.node.check_invariants();
            assert!(self.asked.len() <= ASKED_MAX, "{} questions", self.asked.len());
            assert!(self.buffers.len() <= BUFFERS_MAX, "{} buffers", self.buffers.len());
        }
        // What it has come to can be written down and read.
        let digests = self.node.digests();
        let restored = Node::restore(&self.node.snapshot()).expect("it was just written");
        assert_eq!(restored.digests(), digests);
    }

    /// One thing happens.
    pub(crate) fn act(&mut self, choices: &mut Choices<'_>) {
        match choices.byte() % 24 {
            0..=4 => self.stranger(choices),
            5..=7 => self.host_replies(choices),
            8..=10 => self.pass(choices),
            11..=14 => {
                let place = match choices.byte() {
                    0..=127 => 0,
                    place => usize::from(place) % self.asked.len().max(1),
                };
                if let Some(output) = self.asked.remove(place) {
                    self.answer(choices, output);
                }
            }
            15 => {
                let place = choices.below(self.answers.len());
                if let Some(answer) = self.answers.remove(place) {
                    self.input(answer);
                }
            }
            16 if self.serves => self.file(choices),
            17 if self.serves => self.partial(choices),
            18 => self.surroundings(choices),
            19 => self.command(choices),
            20 => self.input(Input::Writable),
            21 => {
                let (from, bytes) = (address(choices), choices.chunk());
                self.datagram(from, bytes);
            }
            22 => self.replay(choices),
            _ => self.announce_listing(choices),
        }
    }

    /// A message of a stranger.
    fn stranger(&mut self, choices: &mut Choices<'_>) {
        let from = match choices.byte() {
            // Somebody it has spoken to.
            low @ 0..=99 if !self.said.is_empty() => {
                self.said[usize::from(low) % self.said.len()].0
            }
            _ => address(choices),
        };
        let mut buffer = Buffer::new();
        let Some(message) = message(choices, &self.seen, &mut buffer) else { return };
        let bytes = message.encode();
        self.datagram(from, &bytes);
    }

    /// What it has said itself comes back, damaged perhaps.
    fn replay(&mut self, choices: &mut Choices<'_>) {
        let place = choices.below(self.said.len());
        let Some((to, mut bytes)) = self.said.get(place).cloned() else { return };
        let from = if choices.flag() { to } else { address(choices) };
        for _ in 0..choices.below(4) {
            let at = choices.below(bytes.len());
            bytes[at] ^= 1 << choices.below(8);
        }
        self.datagram(from, &bytes);
    }

    pub(crate) fn datagram(&mut self, from: SocketAddr, bytes: &[u8]) {
        self.ledger.comes(from, bytes);
        self.seen.passes(bytes);
        self.node.handle_input(self.now, Input::Datagram { from, bytes });
        self.drain(Some((from, bytes)));
    }

    pub(crate) fn input(&mut self, input: Input<'static>) {
        self.node.handle_input(self.now, input);
        self.drain(None);
    }

    /// Time passes, some wakings at the most.
    fn pass(&mut self, choices: &mut Choices<'_>) {
        let most = match choices.byte() {
            0..=79 => Duration::from_micros(u64::from(choices.u16())),
            80..=199 => Duration::from_millis(choices.number() % 4_000),
            200..=239 => Duration::from_secs(choices.number() % 100),
            _ => Duration::from_micros(choices.number() >> 12),
        };
        let until = self.now + most;
        for _ in 0..WAKES_MAX {
            let Some(due) = self.node.poll_timeout().filter(|due| due.at <= until) else {
                self.now = until;
                break;
            };
            self.now = self.now.max(due.at);
            self.node.handle_timeout(self.now);
            self.drain(None);
            let next = self.node.poll_timeout();
            assert!(next.is_none_or(|next| next.at > self.now), "{next:?} at {}", self.now);
        }
    }

    /// Takes everything that the core wants.
    fn drain(&mut self, in_hand: Option<(SocketAddr, &[u8])>) {
        while let Some(output) = self.node.poll_output() {
            assert!(!self.stopped, "{output:?} comes after the end");
            match output {
                Output::Transmit { to, bytes, .. } => self.transmitted(to, bytes),
                Output::Keep { buffer, offset } => {
                    let (from, datagram) = in_hand.expect("only a datagram's payload is kept");
                    assert!(self.buffers.contains(&buffer) && offset < 1 << 20);
                    self.ledger.keeps(from, datagram);
                }
                Output::Reserve { buffer, length } => {
                    assert!(self.buffers.insert(buffer) && length <= 1 << 20);
                }
                Output::Release { buffer } => assert!(self.buffers.remove(&buffer)),
                Output::AddToListing { name, content, size } => {
                    self.listings.add(name, content, size)
                }
                Output::TakeOffListing { name } => self.listings.take_off(name),
                Output::MakeListing { listing } => self.listings.make(listing),
                Output::KeepListing { listing, offset } => {
                    let (from, datagram) = in_hand.expect("only a datagram's payload is kept");
                    self.ledger.keeps(from, datagram);
                    self.listings.keep(listing, offset, &datagram[DATA_HEADER_LENGTH..]);
                }
                Output::ReadListing { listing, digest, room } => {
                    self.listings.read(listing, digest, room);
                }
                Output::ReadChanges { listing, digest, old } => {
                    self.listings.read_changes(listing, digest, old);
                }
                Output::DropListing { listing } => self.listings.forget(listing),
                Output::Stopped => self.stopped = true,
                Output::TruncateExtent { .. }
                | Output::SaveChain { .. }
                | Output::FetchEnded { .. }
                | Output::Directory { .. }
                | Output::LookEnded
                | Output::Located { .. }
                | Output::Synced { .. } => {}
                asked => self.asked.push_back(asked),
            }
        }
        assert!(self.listings.gathered() <= 8, "what is not wanted any more is dropped");
        while self.listings.step(&Slice::of(Duration::from_millis(1)), &mut self.answers) {}
    }

    fn transmitted(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        assert!(bytes.len() <= CONTROL_LENGTH_MAX);
        assert!(to.port() != 0 && !to.ip().is_unspecified(), "{to} is nobody");
        let many = to.ip() == IpAddr::from([10, 0, 0, 255]) || to.ip().is_multicast();
        self.ledger.goes(to, &bytes, many, true);
        self.seen.passes(&bytes);
        let message = decode(&bytes).expect("it says nothing that it would not understand");
        if let Message::Tell(tell) = message {
            self.told = Some((to, tell.cookie));
        }
        if matches!(message, Message::Ask(_) | Message::Grant(_)) {
            if self.said.len() >= SAID_MAX {
                self.said.pop_front();
            }
            self.said.push_back((to, bytes));
        }
    }

    /// A file of `share/` is there, is another, or is gone.
    fn file(&mut self, choices: &mut Choices<'_>) {
        let name = name(choices.byte() % 32);
        if choices.byte() % 4 == 0 {
            return self.input(Input::FileGone { name });
        }
        let size = content(choices, &self.seen).1.min((1 << 53) - 1);
        let state = i64::from(choices.byte() % 4);
        let (modified_ns, changed_ns) = (state, state);
        let signature = FileSignature { device: 1, inode: 2, size, modified_ns, changed_ns };
        let unchanged_for = Duration::from_millis(choices.number() >> 10);
        self.input(Input::FileSeen { name, signature, unchanged_for });
    }

    /// A fetch beside it has something, has more, or has gone.
    fn partial(&mut self, choices: &mut Choices<'_>) {
        let (content, size) = content(choices, &self.seen);
        let act = choices.byte();
        match self.world.partials.get(&content).copied() {
            Some(_) if act % 4 == 0 => {
                self.world.partials.remove(&content);
                self.input(Input::PartialGone { content });
            }
            Some(size) if act % 4 == 1 => {
                let extents = extents(choices, size);
                self.input(Input::PartialGrown { content, extents });
            }
            _ if self.world.partials.len() < 64 => {
                self.world.partials.insert(content, size);
                let (extents, chain) =
                    (extents(choices, size), self.world.chain(choices, content, size));
                self.input(Input::PartialSeen { content, size, extents, chain });
            }
            _ => {}
        }
    }

    fn surroundings(&mut self, choices: &mut Choices<'_>) {
        match choices.byte() % 4 {
            0 => self.input(Input::SocketBuffer { bytes: choices.number() }),
            1 => {
                let addresses = (0..choices.below(8)).map(|_| interface(choices)).collect();
                self.input(Input::Interfaces { addresses });
            }
            2 => {
                let peers: Vec<SocketAddr> =
                    (0..choices.below(8)).map(|_| named(choices)).collect();
                let trackers: Vec<SocketAddr> =
                    (0..choices.below(3)).map(|_| named(choices)).collect();
                self.ledger.named.extend(peers.iter().chain(&trackers).copied());
                self.input(Input::Named { peers, trackers });
            }
            _ => {
                let (content, _) = content(choices, &self.seen);
                self.input(Input::SyncedBefore { content, name: name(choices.byte()) });
            }
        }
    }

    fn command(&mut self, choices: &mut Choices<'_>) {
        let patience = Duration::from_millis(choices.number() % 20_000);
        let sources: Vec<SocketAddr> = (0..choices.below(6)).map(|_| named(choices)).collect();
        self.ledger.named.extend(sources.iter().copied());
        let (content, size) = content(choices, &self.seen);
        let command = match choices.byte() {
            0..=199 => {
                let size = size.min(sprat::node::FETCH_SIZE_MAX);
                self.ledger.size = self.ledger.size.max(size);
                self.world.fetches += 1;
                Command::Fetch(FetchRequest {
                    fetch: FetchId(self.world.fetches),
                    content,
                    size,
                    name: name(choices.byte()),
                    sources,
                    timeout: (choices.byte() % 8 == 0).then_some(patience),
                    alone: choices.byte() % 8 == 1,
                })
            }
            200..=219 => {
                self.ledger.looks |= !self.serves;
                Command::Look { patience }
            }
            220..=251 => Command::Locate(LocateRequest { content, size, sources, patience }),
            _ => Command::Stop,
        };
        self.input(Input::Command(command));
    }
}

fn interface(choices: &mut Choices<'_>) -> InterfaceAddress {
    let address = address(choices).ip();
    let widest = if address.is_ipv4() { 32 } else { 128 };
    InterfaceAddress {
        index: u32::from(choices.byte() % 4),
        address,
        prefix_length: choices.byte() % (widest + 1),
        broadcast: choices.flag().then(|| IpAddr::from([10, 0, 0, 255])),
        loopback: address.is_loopback(),
    }
}
