//! Carries out what the core asks for. One function answers each [`Output`]; what came of it is an
//! [`Input`] in the inbox, which the loop hands in once the core has said all it had to say.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::block_buffers::BlockBuffers;
use super::chunk_store::ChunkStore;
use super::clock;
use super::directory::DirectoryJobs;
use super::hash_cache::HashCache;
use super::hash_jobs::HashJobs;
use super::lines::Lines;
use super::listing_jobs::ListingJobs;
use super::partial_watcher::PartialWatcher;
use super::publish::Publisher;
use super::serving::{ServeOrder, Serving, Shelves};
use super::share_folder::ShareFolder;
use super::share_search::SearchJob;
use super::share_watcher::ShareWatcher;
use super::synced;
use super::udp_socket::UdpSocket;
use crate::content::state_chain::Proof;
use crate::node::input::{DiskFault, DiskFaultKind, ServeOutcome, ShareSearch};
use crate::node::output::{FetchEnding, ServeSource};
use crate::node::{BufferId, FetchId, Input, Instant, Output};
use crate::wire::DATA_HEADER_LENGTH;

/// What only a peer has.
#[derive(Debug)]
pub struct PeerWork {
    /// `d.json`, and what is told of it.
    pub directory: DirectoryJobs,
    /// `share/`.
    pub watcher: ShareWatcher,
    /// `chunks/`.
    pub partials: PartialWatcher,
    /// Reading and computing.
    pub jobs: HashJobs,
    /// What was computed before.
    pub cache: HashCache,
    /// What is discovered, for people.
    pub discoveries: Lines<std::io::Stdout>,
}

impl PeerWork {
    /// The work of a peer in the folder `root`, whose lock is held.
    pub fn new(root: &Path, directory: DirectoryJobs) -> Self {
        Self {
            directory,
            watcher: ShareWatcher::new(),
            partials: PartialWatcher::new(root),
            jobs: HashJobs::new(),
            cache: HashCache::open(root),
            discoveries: Lines::new(std::io::stdout()),
        }
    }
}

/// What one fetch is about to do on the disk.
#[derive(Debug)]
pub(super) struct FetchWork {
    pub(super) store: ChunkStore,
    pub(super) search: Option<SearchJob>,
    pub(super) publisher: Publisher,
}

/// Everything that carries out.
#[derive(Debug)]
pub struct Executor {
    /// Answers that the core has not been told yet.
    pub inbox: VecDeque<Input<'static>>,
    /// The one socket.
    pub socket: UdpSocket,
    /// Blocks that are put together and proven.
    pub buffers: BlockBuffers,
    /// What is offered, here and elsewhere, as bytes.
    pub listings: ListingJobs,
    /// There in a peer.
    pub peer: Option<PeerWork>,
    /// How the fetches ended, in order.
    pub endings: Vec<(FetchId, FetchEnding)>,
    /// The core's look, or its search for holders, is over.
    pub has_looked: bool,
    /// The core has stopped.
    pub stopped: bool,
    pub(super) root: PathBuf,
    pub(super) share: ShareFolder,
    pub(super) serving: Serving,
    pub(super) fetches: BTreeMap<FetchId, FetchWork>,
    /// Read when a search asks for it, in a fetch.
    pub(super) search_cache: Option<HashCache>,
    pub(super) next_task: usize,
    pub(super) task_has_more: [bool; Task::ALL.len()],
}

/// Work that is done in slices between the turns of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    ScanShare,
    LookAtPartials,
    Hash,
    WriteCache,
    Listings,
    ShowDirectory,
    WorkForFetches,
}

impl Task {
    pub(super) const ALL: [Self; 7] = [
        Self::ScanShare,
        Self::LookAtPartials,
        Self::Hash,
        Self::WriteCache,
        Self::Listings,
        Self::ShowDirectory,
        Self::WorkForFetches,
    ];
}

impl Executor {
    /// Nothing asked for yet.
    pub fn new(root: &Path, share: ShareFolder, socket: UdpSocket, peer: Option<PeerWork>) -> Self {
        Self {
            inbox: VecDeque::new(),
            socket,
            buffers: BlockBuffers::default(),
            listings: ListingJobs::new(),
            peer,
            endings: Vec::new(),
            has_looked: false,
            stopped: false,
            root: root.to_path_buf(),
            share,
            serving: Serving::new(),
            fetches: BTreeMap::new(),
            search_cache: None,
            next_task: 0,
            task_has_more: [false; Task::ALL.len()],
        }
    }

    /// Carries one output out. `in_hand` is the datagram that the core was told last, if it was one.
    pub fn execute(&mut self, now: Instant, output: Output, in_hand: Option<&[u8]>) {
        match output {
            Output::Transmit { to, via, bytes } => self.transmit(to, via, bytes),
            Output::Serve { job, to, nonce, source, offset, length, payload_length } => {
                let order = ServeOrder { to, nonce, source, offset, length, payload_length };
                let share = &self.share;
                let shelves = match &mut self.peer {
                    Some(PeerWork { partials, cache, .. }) => {
                        let (partials, listings) = (Some(&*partials), Some(&self.listings));
                        Shelves { share, partials, cache: Some(cache), listings }
                    }
                    None => Shelves { share, partials: None, cache: None, listings: None },
                };
                let outcome = self.serving.serve(now, &order, shelves, &mut self.socket);
                if let (&ServeOutcome::Changed, ServeSource::File { name, .. }, Some(peer)) =
                    (&outcome, &order.source, &mut self.peer)
                {
                    peer.watcher.look_again(name.as_str());
                }
                self.inbox.push_back(Input::Served { job, outcome });
            }
            Output::Hash { .. } | Output::CheckPartial { .. } => self.ask_hash_jobs(output),
            Output::AddToListing { .. }
            | Output::TakeOffListing { .. }
            | Output::MakeListing { .. }
            | Output::KeepListing { .. }
            | Output::ReadListing { .. }
            | Output::ReadChanges { .. }
            | Output::DropListing { .. } => self.ask_listing_jobs(output, in_hand),
            Output::Reserve { buffer, length } => self.buffers.reserve(buffer, length),
            Output::Keep { buffer, offset } => self.keep(buffer, offset, in_hand),
            Output::Verify { fetch, buffer, link } => self.buffers.queue_proof(fetch, buffer, link),
            Output::Release { buffer } => self.buffers.release(buffer),
            Output::Directory { hosts } => {
                if let Some(peer) = &mut self.peer {
                    peer.directory.show(hosts, clock::wall_now());
                    self.note_work(Task::ShowDirectory);
                }
            }
            Output::LookEnded | Output::Located { .. } => self.has_looked = true,
            Output::Synced { content, name } => synced::remember(&self.root, content, &name),
            Output::Stopped => self.stopped = true,
            of_a_store => self.execute_store(of_a_store),
        }
    }

    /// Those outputs that speak of a fetch's store.
    fn execute_store(&mut self, output: Output) {
        match output {
            Output::OpenStore { fetch, content, size, name } => {
                let work = self.fetches.entry(fetch).or_insert_with(|| FetchWork {
                    store: ChunkStore::new(&self.root, content, size, name),
                    search: None,
                    publisher: Publisher::default(),
                });
                work.publisher = Publisher::default();
                let outcome = work.store.open();
                self.inbox.push_back(Input::StoreOpened { fetch, outcome });
            }
            Output::SearchShare { fetch, effort } => match self.fetches.get_mut(&fetch) {
                Some(FetchWork { store, search, .. }) => {
                    let (content, size) = (store.content(), store.size());
                    let new = || SearchJob::new(content, size, store.name().clone());
                    search.get_or_insert_with(new).go_on(effort);
                    self.note_work(Task::WorkForFetches);
                }
                None => {
                    let outcome = ShareSearch::Absent;
                    self.inbox.push_back(Input::ShareSearched { fetch, outcome });
                }
            },
            Output::Publish { fetch, step } => match self.fetches.get_mut(&fetch) {
                Some(work) => {
                    work.search = None;
                    work.publisher.begin(step);
                    self.note_work(Task::WorkForFetches);
                }
                None => debug_assert!(false, "{fetch} publishes without a store"),
            },
            Output::CheckStored { fetch, block, link } => {
                let work = self.fetches.get_mut(&fetch);
                let proof = work.map_or(Proof::False, |work| work.store.check_stored(block, &link));
                let (genuine, collides) = (proof.holds(), proof == Proof::Colliding);
                self.inbox.push_back(Input::StoredChecked { fetch, block, genuine, collides });
            }
            Output::TruncateExtent { fetch, extent, length } => {
                if let Some(work) = self.fetches.get_mut(&fetch) {
                    work.store.truncate_extent(extent, length);
                }
            }
            Output::Store { fetch, buffer, extent, position } => {
                let bytes = self.buffers.get(buffer);
                let outcome = match (self.fetches.get_mut(&fetch), bytes) {
                    (Some(work), Some(bytes)) => work.store.store(extent, position, bytes),
                    _ => Err(no_store()),
                };
                self.inbox.push_back(Input::Stored { fetch, buffer, outcome });
            }
            Output::SaveChain { fetch, states } => {
                if let Some(work) = self.fetches.get_mut(&fetch) {
                    work.store.save_chain(&states);
                }
            }
            Output::FetchEnded { fetch, ending } => {
                if let Some(mut work) = self.fetches.remove(&fetch) {
                    work.publisher.give_up(&mut work.store);
                    work.store.end(&ending);
                }
                self.endings.push((fetch, ending));
            }
            other => debug_assert!(false, "nobody carries out {other:?}"),
        }
    }

    fn transmit(&mut self, to: SocketAddr, via: Option<Ipv4Addr>, bytes: Vec<u8>) {
        log::trace!("to {to}: {} bytes", bytes.len());
        self.socket.send(to, via, bytes);
    }

    fn keep(&mut self, buffer: BufferId, offset: u32, in_hand: Option<&[u8]>) {
        if let Some(payload) = payload_of(in_hand) {
            self.buffers.keep(buffer, offset, payload);
        }
    }

    fn ask_listing_jobs(&mut self, output: Output, in_hand: Option<&[u8]>) {
        let listings = &mut self.listings;
        match output {
            Output::AddToListing { name, content, size } => listings.add(name, content, size),
            Output::TakeOffListing { name } => listings.take_off(name),
            Output::KeepListing { listing, offset } => {
                if let Some(payload) = payload_of(in_hand) {
                    listings.keep(listing, offset, payload);
                }
            }
            Output::DropListing { listing } => listings.forget(listing),
            Output::MakeListing { listing } => {
                listings.make(listing);
                self.note_work(Task::Listings);
            }
            Output::ReadListing { listing, digest, room } => {
                listings.read(listing, digest, room);
                self.note_work(Task::Listings);
            }
            Output::ReadChanges { listing, digest, old } => {
                listings.read_changes(listing, digest, old);
                self.note_work(Task::Listings);
            }
            _ => {}
        }
    }

    fn ask_hash_jobs(&mut self, output: Output) {
        let Some(peer) = &mut self.peer else {
            debug_assert!(false, "only a peer hashes");
            return;
        };
        match output {
            Output::Hash { name, signature } => peer.jobs.hash(name, signature),
            Output::CheckPartial { content, block, link } => {
                peer.jobs.check_partial(content, block, link);
            }
            _ => return,
        }
        self.note_work(Task::Hash);
    }
}

/// What follows the header of the datagram in hand.
fn payload_of(in_hand: Option<&[u8]>) -> Option<&[u8]> {
    let payload = in_hand.and_then(|datagram| datagram.get(DATA_HEADER_LENGTH..));
    debug_assert!(payload.is_some(), "there is no datagram in hand");
    payload
}

fn no_store() -> DiskFault {
    debug_assert!(false, "a fetch without a store");
    DiskFault { kind: DiskFaultKind::Final, message: "the download's store is closed".into() }
}

#[cfg(test)]
mod tests;
