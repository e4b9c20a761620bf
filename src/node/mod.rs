//! The pure core: every decision of the protocol, as state machines that are handed inputs with a time
//! and hand back outputs. It never sees a socket, a file, a clock, a thread, an environment variable or
//! a random number that it was not given.
//!
//! | file | what it decides |
//! |---|---|
//! | [`input`], [`output`] | nothing: the two closed lists of what can happen and what can be asked for |
//! | `discovery`, `remote`, `download`, `listed`, `directory` | who is on the network and what they offer |
//! | `shelf`, `changes`, `partials` | what we offer: settled files and how their listing changes, and proven parts of unfinished downloads |
//! | `tracker` | who is there and who holds what, for hosts that no broadcast brings together |
//! | `serve`, `cookie`, `budget` | who is served when, and who has to prove an address first |
//! | `fetch` | one download: its sources, chains, blocks, and what to ask of whom |
//! | `flow` | one way from a source to us: window, pacing, loss |
//!
//! **Hand in one input, take every output until there is none, only then the next.** Afterwards
//! [`Node::poll_timeout`] says when to call [`Node::handle_timeout`] at the latest; calling it early is harmless.

mod budget;
mod changes;
mod config;
mod context;
mod cookie;
mod counters;
mod deadline;
mod digest;
mod directory;
mod discovery;
mod disk_fault;
mod dispatch;
mod download;
mod fetch;
mod flow;
pub mod ids;
pub mod input;
mod listed;
mod locate;
pub mod output;
mod partials;
mod random;
mod remote;
mod serve;
mod shelf;
mod snapshot;
mod sync;
pub mod time;
mod tracker;
mod view;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use changes::{CHANGES_KEPT, LISTINGS_REMEMBERED};
pub use config::{NodeConfig, Restraint};
pub use counters::{Counters, DropReason};
pub use deadline::Deadline;
pub use digest::{Digest, json_of};
pub use directory::{Directory, DirectoryHost};
pub use discovery::looking::{AddressSeen, HostSeen, Way};
#[cfg(test)]
pub(crate) use fetch::publishing::{Next, Publishing};
pub use fetch::{FetchProgress, FetchView, SIZE_MAX as FETCH_SIZE_MAX, SourceView};
pub use ids::{BufferId, FetchId, JobId, ListingId};
pub use input::Input;
pub use locate::HolderSeen;
pub use output::Output;
pub use random::Random;
pub use shelf::SETTLE;
pub use snapshot::{SectionVisitor, SnapshotError};
pub use sync::SyncRules;
pub use time::Instant;
pub use view::HostView;

use crate::content::state_chain::Proof;
use crate::wire::{self, InstanceId, Message};
use budget::Pace;
use context::{Context, Interfaces};
use cookie::CookieJar;
use discovery::Discovery;
use dispatch::Machines;
use fetch::Fetch;
use input::Command;
use locate::Locate;
use output::ServeSource;
use partials::Partials;
use serve::{Server, Verdict, is_forbidden};
use shelf::Shelf;
use sync::Sync;
use tracker::Tracker;

/// Fetches that one node runs at once.
pub const FETCHES_MAX: usize = 64;
/// A host to which nothing has happened for longer than this, not even its own deadlines, was stopped
/// meanwhile, or its machine slept.
const SLEPT_AFTER: Duration = Duration::from_secs(3);
/// Bytes in flight before the socket's buffer is known: what a default one of 212,992 takes.
const IN_FLIGHT_UNKNOWN: u64 = 64 * 1024;
/// And never more than this.
const IN_FLIGHT_MOST: u64 = 8 * 1024 * 1024;

/// One host: what it offers, whom it knows, what it fetches.
///
/// Methods are of four kinds: `handle_*` for what happened, `poll_*` for what to do next (`poll_output` until
/// there is none, then `poll_timeout`, whose answer stands until the next `handle_*`), getters, and
/// [`check_invariants`](Self::check_invariants).
#[derive(Debug, Serialize, Deserialize)]
pub struct Node {
    config: NodeConfig,
    now: Instant,
    random: Random,
    counters: Counters,
    interfaces: Interfaces,
    outputs: VecDeque<Output>,
    shelf: Shelf,
    partials: Partials,
    server: Server,
    discovery: Option<Discovery>,
    #[serde(default)]
    tracker: Option<Tracker>,
    #[serde(default)]
    sync: Option<Sync>,
    fetches: BTreeMap<FetchId, Fetch>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    locate: Option<Locate>,
    in_flight_max: u64,
    /// What all fetches together may ask for.
    #[serde(default)]
    asking: Option<Pace>,
    stopped: bool,
}

impl Node {
    /// A node at the moment `now`.
    pub fn new(config: NodeConfig, now: Instant) -> Self {
        let mut random = Random::new(config.seed);
        let pace = config.restraint.limit.map(Pace::new);
        let server = Server::new(CookieJar::new(&mut random), pace.clone());
        let named = config.trackers.iter().chain(&config.peers);
        let discovery = config.serves.then(|| Discovery::new(now, named, &mut random));
        let tracker = config.tracks.then(|| Tracker::new(&mut random));
        Self {
            now,
            random,
            counters: Counters::default(),
            interfaces: Interfaces::default(),
            outputs: VecDeque::new(),
            shelf: Shelf::new(),
            partials: Partials::default(),
            server,
            discovery,
            tracker,
            sync: config.sync.clone().map(|rules| Sync::new(rules, now)),
            fetches: BTreeMap::new(),
            locate: None,
            in_flight_max: IN_FLIGHT_UNKNOWN,
            asking: pace,
            stopped: false,
            config,
        }
    }

    /// Something happened. Time that goes back is taken as standing still.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        if !self.advance(now) {
            return;
        }
        match input {
            Input::Datagram { from, bytes } => self.on_datagram(from, bytes),
            Input::Unheard { .. } => self.counters.drop(DropReason::OffLink),
            Input::Writable => self.with(|node, ctx| node.server.writable(ctx)),
            Input::SocketBuffer { bytes } => self.on_socket_buffer(bytes),
            Input::Interfaces { addresses } => self.on_interfaces(addresses),
            Input::Named { peers, trackers } => self.on_named(peers, trackers),
            Input::FileSeen { name, signature, unchanged_for } => {
                self.with(|node, ctx| node.shelf.seen(ctx, name, signature, unchanged_for));
            }
            Input::FileGone { name } => self.with(|node, ctx| node.shelf.gone(ctx, &name)),
            Input::Hashed { name, signature, outcome } => {
                self.with(|node, ctx| node.shelf.hashed(ctx, name, signature, outcome));
            }
            Input::ListingMade { listing, summary, left_out, changes } => {
                self.with(|node, ctx| {
                    let is_new = node.shelf.listing_made(listing, summary, left_out, changes);
                    if let Some(discovery) = node.discovery.as_mut().filter(|_| is_new) {
                        discovery.announce_due(ctx, summary);
                    }
                });
            }
            Input::ListingRead { listing, outcome } => {
                self.with(|node, ctx| node.on_listing_read(ctx, listing, &outcome));
            }
            Input::PartialSeen { content, size, extents, chain } => {
                self.with(|node, ctx| node.partials.seen(ctx, content, size, extents, chain));
            }
            Input::PartialGrown { content, extents } => {
                self.with(|node, ctx| node.partials.grown(ctx, content, extents));
            }
            Input::PartialGone { content } => self.partials.gone(content),
            Input::PartialChecked { content, block, genuine } => {
                self.with(|node, ctx| node.on_partial_checked(ctx, content, block, genuine));
            }
            Input::Served { job, outcome } => self.on_served(job, outcome),
            Input::StoreOpened { fetch, outcome } => {
                self.with_fetch(fetch, |fetch, ctx| fetch.store_opened(ctx, outcome));
            }
            Input::ShareSearched { fetch, outcome } => {
                self.with_fetch(fetch, |fetch, ctx| fetch.share_searched(ctx, outcome));
            }
            Input::StoredChecked { fetch, block, genuine, collides } => {
                let proof = Proof::of(genuine, collides);
                self.with_fetch(fetch, |fetch, ctx| fetch.stored_checked(ctx, block, proof));
            }
            Input::Verified { fetch, buffer, genuine, collides } => {
                let proof = Proof::of(genuine, collides);
                self.with_fetch(fetch, |fetch, ctx| fetch.verified(ctx, buffer, proof));
            }
            Input::Stored { fetch, buffer, outcome } => {
                self.with_fetch(fetch, |fetch, ctx| fetch.stored(ctx, buffer, outcome));
            }
            Input::PublishStepped { fetch, outcome } => {
                self.with_fetch(fetch, |fetch, ctx| fetch.publish_stepped(ctx, outcome));
            }
            Input::Command(command) => self.on_command(command),
            Input::SyncedBefore { content, name } => {
                self.sync.iter_mut().for_each(|sync| sync.came_before(content, name.clone()));
            }
        }
        self.drop_ended();
    }

    /// Time has passed; what is due is done. Afterwards the next deadline is later than `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        if !self.advance(now) {
            return;
        }
        self.with(|node, ctx| {
            node.shelf.handle_timeout(ctx);
            node.server.handle_timeout(ctx);
            node.partials.handle_timeout(ctx);
            let listing = node.shelf.listing();
            if let Some(discovery) = &mut node.discovery {
                discovery.handle_timeout(ctx, listing);
            }
            if let Some(tracker) = &mut node.tracker {
                tracker.handle_timeout(ctx);
            }
            node.tell_trackers(ctx);
            for fetch in node.fetches.values_mut() {
                fetch.handle_timeout(ctx);
            }
            if let Some(locate) = &mut node.locate {
                locate.handle_timeout(ctx);
            }
            node.keep_in_step(ctx);
        });
        self.drop_ended();
        debug_assert!(
            self.poll_timeout().is_none_or(|deadline| deadline.at > self.now),
            "a firing must move time forward: {:?} at {}",
            self.poll_timeout(),
            self.now
        );
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due, and why.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let mut earliest = deadline::Earliest::default();
        if self.stopped {
            return None;
        }
        earliest.consider(self.shelf.deadline());
        earliest.consider(self.server.deadline());
        earliest.consider(self.partials.deadline());
        if let Some(discovery) = &self.discovery {
            earliest.consider(discovery.deadline(self.now));
        }
        earliest.consider(self.tracker.as_ref().and_then(Tracker::deadline));
        earliest.consider(self.sync.as_ref().map(Sync::deadline));
        for fetch in self.fetches.values() {
            earliest.consider(fetch.deadline(self.now, self.asking.as_ref()));
        }
        earliest.consider(self.locate.as_ref().and_then(|locate| locate.deadline(self.now)));
        earliest.get()
    }

    /// Whether the core would read the payload of this datagram to decide by it, were it handed in now: a
    /// part of a chain or of a bitmap that a fetch has asked for. Of other payloads (of files and listings, or
    /// not asked for) it uses nothing but the length.
    pub fn reads_payload(&self, from: SocketAddr, datagram: &[u8]) -> bool {
        let Ok(Message::Data(data)) = wire::decode(datagram) else { return false };
        let of_fetch = self.fetches.values().find_map(|fetch| fetch.reads_payload(from, &data));
        let of_locate = || self.locate.as_ref()?.reads_payload(from, &data);
        !self.stopped && of_fetch.or_else(of_locate) == Some(true)
    }

    /// Whether a datagram that was sent from one address to another is to be handed in. What came by broadcast or multicast
    /// from an address that is on no network of this machine is not: of that, it is enough to know that it came.
    pub fn hears(&self, from: SocketAddr, to: IpAddr) -> bool {
        self.interfaces.hears(from.ip(), to)
    }

    /// How far a fetch is; nothing once it has ended.
    pub fn fetch_progress(&self, fetch: FetchId) -> Option<FetchProgress> {
        self.fetches.get(&fetch).map(|fetch| fetch.progress(self.now))
    }

    /// What was dropped, and why.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many files of its own it knows, offered or not.
    pub fn file_count(&self) -> usize {
        self.shelf.file_count()
    }

    /// Panics where something is not as it must always be. For tests and debug builds; it looks at everything.
    pub fn check_invariants(&self) {
        self.shelf.check_invariants();
        self.server.check_invariants();
        self.partials.check_invariants();
        if let Some(discovery) = &self.discovery {
            discovery.check_invariants(self.now, &self.interfaces);
        }
        self.tracker.iter().for_each(Tracker::check_invariants);
        self.sync.iter().for_each(Sync::check_invariants);
        self.fetches.values().for_each(Fetch::check_invariants);
        self.locate.iter().for_each(Locate::check_invariants);
        assert!(self.fetches.len() <= FETCHES_MAX);
    }

    /// Time goes on. Whether there is still something to do.
    fn advance(&mut self, now: Instant) -> bool {
        let gap = now.since(self.now);
        self.now = self.now.max(now);
        // A node that keeps a directory has something to do every two seconds.
        if gap > SLEPT_AFTER && !self.stopped {
            self.with(|node, ctx| {
                node.discovery.iter_mut().for_each(|discovery| discovery.woke(ctx, gap));
            });
        }
        !self.stopped
    }

    fn on_datagram(&mut self, from: SocketAddr, bytes: &[u8]) {
        let message = match wire::decode(bytes) {
            Ok(message) => message,
            Err(error) => return self.counters.undecodable(error),
        };
        self.with(|node, ctx| {
            if is_forbidden(ctx, from) {
                return ctx.counters.drop(DropReason::ForbiddenSource);
            }
            node.on_message(ctx, from, &message);
        });
    }

    fn on_named(&mut self, peers: Vec<SocketAddr>, trackers: Vec<SocketAddr>) {
        (self.config.peers, self.config.trackers) = (peers, trackers);
        self.with(|node, ctx| node.named_are(ctx));
    }

    fn on_interfaces(&mut self, addresses: Vec<input::InterfaceAddress>) {
        let are_new = self.interfaces.replace(addresses);
        if let Some(discovery) = &mut self.discovery {
            discovery.interfaces_changed(self.now);
            if are_new {
                discovery.announce_anew(self.now);
            }
        }
    }

    fn on_socket_buffer(&mut self, bytes: u64) {
        // A full datagram is charged about 2,304 bytes for 1,408 of payload: of what fits, four fifths
        // are asked for, and the rest is left for others.
        self.in_flight_max = (bytes / 2).clamp(16 * 1024, IN_FLIGHT_MOST);
    }

    fn on_served(&mut self, job: JobId, outcome: input::ServeOutcome) {
        self.with(|node, ctx| match node.server.served(ctx, job, outcome) {
            Verdict::Fine => {}
            Verdict::Changed(ServeSource::File { name, signature }) => {
                node.shelf.changed(ctx, &name, signature);
            }
            Verdict::Changed(ServeSource::Partial { content }) => node.partials.changed(content),
            Verdict::Changed(
                ServeSource::Chain { .. }
                | ServeSource::Listing { .. }
                | ServeSource::Changes { .. }
                | ServeSource::Bytes(_),
            ) => {}
        });
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Fetch(request) => {
                let known = self.fetches.contains_key(&request.fetch);
                if known || self.fetches.len() >= FETCHES_MAX {
                    return;
                }
                let (id, mut fetch) = (request.fetch, None);
                self.with(|_, ctx| fetch = Some(Fetch::new(ctx, request)));
                self.fetches.extend(fetch.map(|fetch| (id, fetch)));
            }
            Command::Look { patience } => {
                let named = self.config.trackers.iter().chain(&self.config.peers);
                let random = &mut self.random;
                let look = || Discovery::looking(self.now, named, random, patience);
                self.discovery.get_or_insert_with(look);
            }
            Command::Locate(request) => {
                let mut locate = None;
                self.with(|_, ctx| locate = Some(Locate::new(ctx, request)));
                self.locate = locate;
            }
            Command::Stop => {
                self.with(|node, ctx| {
                    if let Some(discovery) = &mut node.discovery {
                        discovery.say_farewell(ctx);
                    }
                    ctx.emit(Output::Stopped);
                });
                self.stopped = true;
            }
        }
    }

    /// Lends the machines and their context to one step.
    fn with(&mut self, step: impl FnOnce(&mut Machines<'_>, &mut Context<'_>)) {
        let mut ctx = Context {
            now: self.now,
            config: &self.config,
            interfaces: &self.interfaces,
            in_flight_max: self.in_flight_max,
            asking: &mut self.asking,
            outputs: &mut self.outputs,
            random: &mut self.random,
            counters: &mut self.counters,
        };
        let mut machines = Machines {
            shelf: &mut self.shelf,
            partials: &mut self.partials,
            server: &mut self.server,
            discovery: self.discovery.as_mut(),
            tracker: self.tracker.as_mut(),
            sync: self.sync.as_mut(),
            fetches: &mut self.fetches,
            locate: self.locate.as_mut(),
        };
        step(&mut machines, &mut ctx);
    }

    /// What has ended is not kept; who started it by itself learns how.
    fn drop_ended(&mut self) {
        if self.fetches.values().any(Fetch::has_ended) {
            self.with(|node, ctx| node.tell_endings(ctx));
            self.fetches.retain(|_, fetch| !fetch.has_ended());
        }
    }

    fn with_fetch(&mut self, id: FetchId, step: impl FnOnce(&mut Fetch, &mut Context<'_>)) {
        self.with(|node, ctx| {
            if let Some(fetch) = node.fetches.get_mut(&id) {
                step(fetch, ctx);
            }
        });
    }
}

/// Whom a node takes itself for; for the simulator, which has to tell nodes apart.
impl Node {
    /// The instance that this node announces, if it announces itself.
    pub fn instance(&self) -> Option<InstanceId> {
        let discovery = self.discovery.as_ref().map(Discovery::instance);
        discovery.or_else(|| self.tracker.as_ref().map(Tracker::instance))
    }
}
