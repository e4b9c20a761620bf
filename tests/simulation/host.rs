//! A host of the simulation: the node that ships, on a model of a disk.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sprat::content::state_chain::{ChainHasher, verify};
use sprat::content::{BlockLayout, ChainId, ContentId, ShareName};
use sprat::node::input::{
    Command, DiskFault, DiskFaultKind, Extent, FetchRequest, FileSignature, Gathering, HashOutcome,
    InterfaceAddress, NameLook, Naming, ServeOutcome, ShareSearch, StepOutcome, StoreOpening,
};
use sprat::node::output::{FetchEnding, GatherFrom, PublishStep, ServeSource};
use sprat::node::{BufferId, FetchId, Input, Instant, Node, NodeConfig, Output, Random};
use sprat::wire::{DATA_HEADER_LENGTH, DEFAULT_PORT, DataHeader, DataKind};

use super::liar::Liar;
use super::listings::Listings;

/// A file of `share/`, honest or not.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) bytes: Vec<u8>,
    /// What a liar claims it to be: a content and a chain that it is not.
    pub(crate) claimed: Option<(ContentId, Vec<u8>)>,
    pub(crate) signature: FileSignature,
}

/// What survives a crash of the host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) share: BTreeMap<ShareName, File>,
    pub(crate) chunks: BTreeMap<u64, Vec<u8>>,
    pub(crate) chain: Option<Vec<u8>>,
    /// Further bytes that fit, if that is limited.
    pub(crate) room: Option<u64>,
    /// What the peer offers of a fetch beside it.
    pub(crate) partial: Option<Partial>,
}

/// An unfinished download beside a peer.
#[derive(Clone, Debug)]
pub(crate) struct Partial {
    /// The whole content, of which only `extents` are there.
    pub(crate) bytes: Vec<u8>,
    pub(crate) extents: Vec<Extent>,
}

/// A whole file without a name in `share/`.
enum Whole {
    /// The first chunk file.
    Chunk,
    /// A file of its own.
    Copy(Vec<u8>),
}

/// A datagram on its way out.
pub(crate) struct Sent {
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) struct Host {
    pub(crate) node: Node,
    pub(crate) disk: Disk,
    pub(crate) directory: Arc<str>,
    pub(crate) discovered: Vec<String>,
    pub(crate) ending: Option<FetchEnding>,
    pub(crate) stopped: bool,
    buffers: BTreeMap<BufferId, Vec<u8>>,
    chains: BTreeMap<ContentId, Vec<u8>>,
    listings: Listings,
    request: Option<FetchRequest>,
    whole: Option<Whole>,
    /// The longest that the disk and the processor take for something, drawn for each.
    pub(crate) slowness: Duration,
    /// What is to be handed in, and when at the earliest.
    inbox: VecDeque<(Instant, Input<'static>)>,
    now: Instant,
    random: Random,
    pub(crate) liar: Liar,
    /// Whether the node is written down and taken up again after every step.
    pub(crate) is_restored: bool,
}

pub(crate) fn name(text: &str) -> ShareName {
    ShareName::parse(text).unwrap()
}

/// Content id and chain of some bytes.
pub(crate) fn hash(bytes: &[u8]) -> (ContentId, Vec<u8>) {
    let mut hasher = ChainHasher::new(bytes.len() as u64);
    hasher.update(bytes);
    hasher.finish().unwrap()
}

impl Host {
    pub(crate) fn new(
        address: SocketAddr,
        serves: bool,
        (seed, start): (u8, u8),
        now: Instant,
        disk: Disk,
    ) -> Self {
        let mut seed_bytes = [seed; 32];
        seed_bytes[2] = start;
        seed_bytes[0] = address.port() as u8;
        seed_bytes[1] = match address {
            SocketAddr::V4(v4) => v4.ip().octets()[3],
            SocketAddr::V6(_) => 0,
        };
        let config = NodeConfig {
            serves,
            port: address.port(),
            default_port: DEFAULT_PORT,
            peers: Vec::new(),
            seed: seed_bytes,
            sweep: Duration::from_secs(2),
        };
        let mut host = Self {
            node: Node::new(config, now),
            disk,
            directory: "[]".into(),
            discovered: Vec::new(),
            ending: None,
            stopped: false,
            buffers: BTreeMap::new(),
            chains: BTreeMap::new(),
            listings: Listings::default(),
            request: None,
            whole: None,
            slowness: Duration::ZERO,
            inbox: VecDeque::new(),
            now,
            random: Random::new(seed_bytes),
            liar: Liar::new(seed_bytes),
            is_restored: false,
        };
        host.answer(Input::SocketBuffer { bytes: 425_984 });
        host.answer(Input::Interfaces {
            addresses: vec![InterfaceAddress {
                index: 2,
                address: address.ip(),
                prefix_length: 24,
                broadcast: Some("10.0.0.255".parse().unwrap()),
                loopback: false,
            }],
        });
        host.scan();
        host
    }

    /// What a look at `share/` tells a node that has just started.
    fn scan(&mut self) {
        let files = self.disk.share.iter().map(|(name, file)| (name.clone(), file.signature));
        for (name, signature) in files.collect::<Vec<_>>() {
            let unchanged_for = Duration::from_secs(60);
            self.answer(Input::FileSeen { name, signature, unchanged_for });
        }
        if let Some(Partial { bytes, extents }) = self.disk.partial.take() {
            self.put_partial(&bytes, extents);
        }
    }

    /// Puts a file into `share/`; the node is told when it is run next.
    pub(crate) fn put(
        &mut self,
        file_name: &str,
        bytes: &[u8],
        claimed: Option<(ContentId, Vec<u8>)>,
    ) {
        let file = File {
            bytes: bytes.to_vec(),
            claimed,
            signature: FileSignature {
                device: 1,
                inode: self.disk.share.len() as u64 + 1,
                size: bytes.len() as u64,
                modified_ns: 1,
                changed_ns: 1,
            },
        };
        self.answer(Input::FileSeen {
            name: name(file_name),
            signature: file.signature,
            unchanged_for: Duration::ZERO,
        });
        self.disk.share.insert(name(file_name), file);
    }

    pub(crate) fn remove(&mut self, file_name: &str) {
        self.disk.share.remove(&name(file_name));
        self.answer(Input::FileGone { name: name(file_name) });
    }

    pub(crate) fn fetch(&mut self, request: FetchRequest) {
        self.request = Some(request.clone());
        self.answer(Input::Command(Command::Fetch(request)));
    }

    pub(crate) fn stop(&mut self) {
        self.answer(Input::Command(Command::Stop));
    }

    /// Offers parts of a download beside this peer; with more of them, it has grown.
    pub(crate) fn put_partial(&mut self, bytes: &[u8], extents: Vec<Extent>) {
        let (content, chain) = hash(bytes);
        self.chains.insert(content, chain.clone());
        self.answer(Input::PartialSeen {
            content,
            size: bytes.len() as u64,
            extents: extents.clone(),
            chain: Some(chain),
        });
        self.disk.partial = Some(Partial { bytes: bytes.to_vec(), extents });
    }

    /// Hands something in, after as long as it takes. Answers come in the order of asking.
    fn answer(&mut self, input: Input<'static>) {
        let due = self.now + self.random.jitter(self.slowness);
        let last = self.inbox.back().map_or(due, |&(at, _)| at);
        self.inbox.push_back((due.max(last), input));
    }

    /// When something is to be done at the latest.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        let answer = self.inbox.front().map(|&(at, _)| at);
        answer.into_iter().chain(self.node.poll_timeout().map(|deadline| deadline.at)).min()
    }

    /// Hands in one datagram and all that follows from it.
    pub(crate) fn datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) -> Vec<Sent> {
        let mut sent = Vec::new();
        self.now = now;
        self.node.handle_input(now, Input::Datagram { from, bytes });
        self.drain(bytes, &mut sent);
        self.work(now, &mut sent);
        self.liar.twist(now, sent)
    }

    /// Hands in what is waiting, and what is due.
    pub(crate) fn run(&mut self, now: Instant) -> Vec<Sent> {
        let mut sent = Vec::new();
        self.now = now;
        self.work(now, &mut sent);
        if self.node.poll_timeout().is_some_and(|deadline| deadline.at <= now) {
            self.node.handle_timeout(now);
            self.drain(&[], &mut sent);
            self.work(now, &mut sent);
        }
        self.liar.twist(now, sent)
    }

    fn work(&mut self, now: Instant, sent: &mut Vec<Sent>) {
        while self.inbox.front().is_some_and(|&(at, _)| at <= now) {
            let Some((_, input)) = self.inbox.pop_front() else { return };
            self.node.handle_input(now, input);
            self.drain(&[], sent);
        }
    }

    fn drain(&mut self, in_hand: &[u8], sent: &mut Vec<Sent>) {
        while let Some(output) = self.node.poll_output() {
            self.execute(output, in_hand, sent);
        }
        self.node.check_invariants();
        if self.is_restored {
            let digests = self.node.digests();
            self.node = Node::restore(&self.node.snapshot()).unwrap();
            assert_eq!(self.node.digests(), digests);
        }
    }

    fn execute(&mut self, output: Output, in_hand: &[u8], sent: &mut Vec<Sent>) {
        match output {
            Output::Transmit { to, bytes, .. } => sent.push(Sent { to, bytes }),
            Output::Serve { .. } => self.serve(output, sent),
            Output::Hash { name, signature } => self.hash_file(name, signature),
            Output::CheckPartial { content, block, link } => {
                let genuine = self.disk.partial.as_ref().is_some_and(|partial| {
                    let layout = BlockLayout::new(partial.bytes.len() as u64);
                    let range = layout.block_range(block);
                    verify(&link, &partial.bytes[range.start as usize..range.end as usize])
                });
                self.answer(Input::PartialChecked { content, block, genuine });
            }
            Output::Directory { discovered_files } => self.directory = discovered_files,
            Output::Discovered { appeared, host, name, .. } => {
                let sign = if appeared { '+' } else { '-' };
                self.discovered.push(format!("{sign}{host} {}", name.as_str()));
            }
            Output::Stopped => self.stopped = true,
            Output::Reserve { buffer, length } => {
                self.buffers.insert(buffer, vec![0; length as usize]);
            }
            Output::Keep { buffer, offset } => {
                let payload = &in_hand[DATA_HEADER_LENGTH..];
                let at = offset as usize;
                let buffer = self.buffers.get_mut(&buffer).expect("kept in a reserved buffer");
                buffer[at..at + payload.len()].copy_from_slice(payload);
            }
            Output::Release { buffer } => {
                self.buffers.remove(&buffer).expect("a buffer is released once");
            }
            Output::Verify { fetch, buffer, link } => {
                let genuine = verify(&link, &self.buffers[&buffer]);
                self.answer(Input::Verified { fetch, buffer, genuine });
            }
            Output::AddToListing { .. }
            | Output::TakeOffListing { .. }
            | Output::MakeListing { .. }
            | Output::KeepListing { .. }
            | Output::ReadListing { .. }
            | Output::DropListing { .. } => {
                for answer in self.listings.execute(output, in_hand) {
                    self.answer(answer);
                }
            }
            _ => self.store(output),
        }
    }

    /// The outputs that concern a fetch's store.
    fn store(&mut self, output: Output) {
        match output {
            Output::OpenStore { fetch, .. } => {
                let extents = self.extents();
                let outcome = StoreOpening::Ours { extents, chain: self.disk.chain.clone() };
                self.answer(Input::StoreOpened { fetch, outcome });
            }
            Output::SearchShare { fetch } => {
                let wanted = self.request.as_ref().map(|request| request.content);
                let found = self.disk.share.iter().find(|(_, f)| Some(hash(&f.bytes).0) == wanted);
                let outcome =
                    found.map_or(ShareSearch::Absent, |(n, _)| ShareSearch::Elsewhere(n.clone()));
                self.answer(Input::ShareSearched { fetch, outcome });
            }
            Output::CheckStored { fetch, block, link } => {
                let size = self.request.as_ref().unwrap().size;
                let range = BlockLayout::new(size).block_range(block);
                let file = self.disk.chunks.range(..=range.start).next_back();
                let genuine = file.is_some_and(|(&start, bytes)| {
                    let (from, to) = ((range.start - start) as usize, (range.end - start) as usize);
                    bytes.get(from..to).is_some_and(|bytes| verify(&link, bytes))
                });
                self.answer(Input::StoredChecked { fetch, block, genuine });
            }
            Output::TruncateExtent { extent, length: 0, .. } => {
                self.disk.chunks.remove(&extent);
            }
            Output::TruncateExtent { extent, length, .. } => {
                // It may have been removed by somebody.
                if let Some(file) = self.disk.chunks.get_mut(&extent) {
                    file.truncate(length as usize);
                }
            }
            Output::Store { fetch, buffer, extent, position } => {
                let outcome = self.append(buffer, extent, position);
                self.answer(Input::Stored { fetch, buffer, outcome });
            }
            Output::SaveChain { states, .. } => self.disk.chain = Some(states.to_vec()),
            Output::Publish { fetch, step } => {
                let outcome = self.publish(step);
                self.answer(Input::PublishStepped { fetch, outcome });
            }
            Output::FetchEnded { ending, .. } => self.ending = Some(ending),
            other => panic!("{other:?} is not expected here"),
        }
    }

    fn append(&mut self, buffer: BufferId, extent: u64, position: u64) -> Result<(), DiskFault> {
        let bytes = self.buffers[&buffer].clone();
        if let Some(room) = &mut self.disk.room {
            if *room < bytes.len() as u64 {
                let message = "no room".to_owned();
                return Err(DiskFault { kind: DiskFaultKind::NoRoom, message });
            }
            *room -= bytes.len() as u64;
        }
        if position > extent && !self.disk.chunks.contains_key(&extent) {
            let message = "somebody removed it".to_owned();
            return Err(DiskFault { kind: DiskFaultKind::Vanished, message });
        }
        let file = self.disk.chunks.entry(extent).or_default();
        assert_eq!(extent + file.len() as u64, position, "appended, not patched");
        file.extend_from_slice(&bytes);
        Ok(())
    }

    fn extents(&self) -> Vec<Extent> {
        let extent =
            |(&start, bytes): (&u64, &Vec<u8>)| Extent { start, length: bytes.len() as u64 };
        self.disk.chunks.iter().map(extent).collect()
    }

    fn publish(&mut self, step: PublishStep) -> StepOutcome {
        let request = self.request.as_ref().unwrap();
        match step {
            PublishStep::LookAtName { name } => {
                StepOutcome::Looked(match self.disk.share.get(&name) {
                    None => NameLook::Free,
                    Some(file) if hash(&file.bytes).0 == request.content => NameLook::Same,
                    Some(_) => NameLook::Other,
                })
            }
            PublishStep::GatherWhole { from: GatherFrom::Chunks, .. } => {
                let mut end = 0;
                let mut extents = self.extents().into_iter();
                let is_joined = extents.all(|extent| {
                    let follows = extent.start == end;
                    end += extent.length;
                    follows
                });
                StepOutcome::Gathered(if is_joined && end == request.size {
                    let chunks = std::mem::take(&mut self.disk.chunks);
                    self.disk.chunks.insert(0, chunks.into_values().flatten().collect());
                    self.whole = Some(Whole::Chunk);
                    Gathering::Whole
                } else {
                    Gathering::Lost { extents: self.extents() }
                })
            }
            PublishStep::GatherWhole { from, .. } => {
                let bytes = match from {
                    GatherFrom::Shared(from) => self.disk.share.get(&from).map(|f| f.bytes.clone()),
                    GatherFrom::Gathered | GatherFrom::Chunks => None,
                    GatherFrom::Nothing => Some(Vec::new()),
                };
                let bytes = bytes.filter(|bytes| hash(bytes).0 == request.content);
                self.whole = bytes.map(Whole::Copy);
                let gathered = self.whole.as_ref().map(|_| Gathering::Whole);
                StepOutcome::Gathered(gathered.unwrap_or(Gathering::Changed))
            }
            PublishStep::SyncWhole => StepOutcome::Synced(Ok(())),
            PublishStep::GiveName { name } => StepOutcome::Named(self.give_name(name)),
            PublishStep::SyncShared { .. } => StepOutcome::Kept(Ok(())),
            PublishStep::ClearStore => {
                self.disk.chunks.clear();
                StepOutcome::Cleared
            }
        }
    }

    fn give_name(&mut self, name: ShareName) -> Naming {
        if self.disk.share.contains_key(&name) {
            return Naming::Taken;
        }
        let request = self.request.as_ref().unwrap();
        let bytes = match self.whole.take() {
            Some(Whole::Chunk) => self.disk.chunks.remove(&0),
            Some(Whole::Copy(bytes)) => Some(bytes),
            None => None,
        };
        let Some(bytes) = bytes.filter(|bytes| bytes.len() as u64 == request.size) else {
            return Naming::Gone;
        };
        assert_eq!(hash(&bytes).0, request.content, "only the genuine content is published");
        let signature = FileSignature {
            device: 1,
            inode: 77,
            size: request.size,
            modified_ns: 1,
            changed_ns: 1,
        };
        self.disk.share.insert(name, File { bytes, claimed: None, signature });
        Naming::Named
    }

    fn hash_file(&mut self, name: ShareName, signature: FileSignature) {
        let outcome = match self.disk.share.get(&name) {
            Some(file) if file.signature == signature => {
                let (content, states) = file.claimed.clone().unwrap_or_else(|| hash(&file.bytes));
                let chain = ChainId::of(&states);
                self.chains.insert(content, states);
                HashOutcome::Whole { content, chain }
            }
            _ => HashOutcome::Changed,
        };
        self.answer(Input::Hashed { name, signature, outcome });
    }

    fn serve(&mut self, output: Output, sent: &mut Vec<Sent>) {
        let Output::Serve { job, to, nonce, source, offset, length, payload_length } = output
        else {
            return;
        };
        let range = offset as usize..offset as usize + length as usize;
        let (bytes, kind) = match &source {
            ServeSource::File { name, signature } => match self.disk.share.get(name) {
                Some(file) if file.signature == *signature => (&file.bytes[range], DataKind::Data),
                _ => {
                    let outcome = ServeOutcome::Changed;
                    return self.answer(Input::Served { job, outcome });
                }
            },
            ServeSource::Partial { .. } => {
                let partial = self.disk.partial.as_ref().expect("a partial was told");
                let held = |extent: &Extent| {
                    extent.start <= offset
                        && offset + u64::from(length) <= extent.start + extent.length
                };
                assert!(partial.extents.iter().any(held), "only what is there is served");
                (&partial.bytes[range], DataKind::Data)
            }
            ServeSource::Chain { content } => (&self.chains[content][range], DataKind::Meta),
            ServeSource::Listing { digest } => match self.listings.kept(*digest) {
                Some(bytes) => (&bytes[range], DataKind::Meta),
                None => {
                    let outcome = ServeOutcome::Changed;
                    return self.answer(Input::Served { job, outcome });
                }
            },
            ServeSource::Bytes(bytes) => (&bytes[range], DataKind::Meta),
        };
        for (index, payload) in bytes.chunks(usize::from(payload_length)).enumerate() {
            let at = offset + index as u64 * u64::from(payload_length);
            let mut header = [0; DATA_HEADER_LENGTH];
            DataHeader { kind, nonce, offset: at }.write(&mut header);
            let mut bytes = header.to_vec();
            bytes.extend_from_slice(payload);
            sent.push(Sent { to, bytes });
        }
        self.answer(Input::Served { job, outcome: ServeOutcome::Sent });
    }
}

/// A request as the command line makes it.
pub(crate) fn request(bytes: &[u8], file_name: &str, sources: &[SocketAddr]) -> FetchRequest {
    FetchRequest {
        fetch: FetchId(1),
        content: hash(bytes).0,
        size: bytes.len() as u64,
        name: name(file_name),
        sources: sources.to_vec(),
        timeout: None,
    }
}
