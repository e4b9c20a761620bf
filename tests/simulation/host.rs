//! A host of the simulation: the node that ships, on a model of a disk.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sprat::content::state_chain::{ChainHasher, verify};
use sprat::content::{ChainId, ContentId, ShareName};
use sprat::node::input::{
    Command, DiskFault, DiskFaultKind, Extent, FetchRequest, FileSignature, HashOutcome,
    InterfaceAddress, Publishing, ServeOutcome, ShareSearch, StoreOpening,
};
use sprat::node::output::{FetchEnding, ServeSource};
use sprat::node::{BufferId, FetchId, Input, Instant, Node, NodeConfig, Output};
use sprat::wire::{DATA_HEADER_LENGTH, DEFAULT_PORT, DataHeader, DataKind};

/// A file of `share/`, honest or not.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) bytes: Vec<u8>,
    /// What a liar claims it to be: a content and a chain that it is not.
    pub(crate) claimed: Option<(ContentId, Vec<u8>)>,
    pub(crate) signature: FileSignature,
}

/// How a host misbehaves when it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Honest,
    /// Flips a bit in every packet.
    FlipsBits,
    /// Grants are swallowed.
    Silent,
}

/// What survives a crash of the host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) share: BTreeMap<ShareName, File>,
    pub(crate) chunks: BTreeMap<u64, Vec<u8>>,
    pub(crate) chain: Option<Vec<u8>>,
    /// Further bytes that fit, if that is limited.
    pub(crate) room: Option<u64>,
}

/// A datagram on its way out.
pub(crate) struct Sent {
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) struct Host {
    pub(crate) node: Node,
    pub(crate) disk: Disk,
    pub(crate) manner: Manner,
    pub(crate) directory: Arc<str>,
    pub(crate) discovered: Vec<String>,
    pub(crate) ending: Option<FetchEnding>,
    pub(crate) stopped: bool,
    buffers: BTreeMap<BufferId, Vec<u8>>,
    chains: BTreeMap<ContentId, Vec<u8>>,
    request: Option<FetchRequest>,
    inbox: VecDeque<Input<'static>>,
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
        seed: u8,
        now: Instant,
        disk: Disk,
    ) -> Self {
        let mut seed_bytes = [seed; 32];
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
            manner: Manner::Honest,
            directory: "[]".into(),
            discovered: Vec::new(),
            ending: None,
            stopped: false,
            buffers: BTreeMap::new(),
            chains: BTreeMap::new(),
            request: None,
            inbox: VecDeque::new(),
        };
        host.inbox.push_back(Input::SocketBuffer { bytes: 425_984 });
        host.inbox.push_back(Input::Interfaces {
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
        for (name, file) in &self.disk.share {
            self.inbox.push_back(Input::FileSeen {
                name: name.clone(),
                signature: file.signature,
                unchanged_for: Duration::from_secs(60),
            });
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
        self.inbox.push_back(Input::FileSeen {
            name: name(file_name),
            signature: file.signature,
            unchanged_for: Duration::ZERO,
        });
        self.disk.share.insert(name(file_name), file);
    }

    pub(crate) fn remove(&mut self, file_name: &str) {
        self.disk.share.remove(&name(file_name));
        self.inbox.push_back(Input::FileGone { name: name(file_name) });
    }

    pub(crate) fn fetch(&mut self, request: FetchRequest) {
        self.request = Some(request.clone());
        self.inbox.push_back(Input::Command(Command::Fetch(request)));
    }

    pub(crate) fn stop(&mut self) {
        self.inbox.push_back(Input::Command(Command::Stop));
    }

    /// Hands in one datagram and all that follows from it.
    pub(crate) fn datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) -> Vec<Sent> {
        let mut sent = Vec::new();
        self.node.handle_input(now, Input::Datagram { from, bytes });
        self.drain(bytes, &mut sent);
        self.work(now, &mut sent);
        sent
    }

    /// Hands in what is waiting, and what is due.
    pub(crate) fn run(&mut self, now: Instant) -> Vec<Sent> {
        let mut sent = Vec::new();
        self.work(now, &mut sent);
        if self.node.poll_timeout().is_some_and(|deadline| deadline.at <= now) {
            self.node.handle_timeout(now);
            self.drain(&[], &mut sent);
            self.work(now, &mut sent);
        }
        sent
    }

    fn work(&mut self, now: Instant, sent: &mut Vec<Sent>) {
        while let Some(input) = self.inbox.pop_front() {
            self.node.handle_input(now, input);
            self.drain(&[], sent);
        }
    }

    fn drain(&mut self, in_hand: &[u8], sent: &mut Vec<Sent>) {
        while let Some(output) = self.node.poll_output() {
            self.execute(output, in_hand, sent);
        }
        self.node.check_invariants();
    }

    fn execute(&mut self, output: Output, in_hand: &[u8], sent: &mut Vec<Sent>) {
        match output {
            Output::Transmit { to, bytes, .. } => sent.push(Sent { to, bytes }),
            Output::Serve { .. } => self.serve(output, sent),
            Output::Hash { name, signature } => self.hash_file(name, signature),
            Output::CheckPartial { content, block, .. } => {
                self.inbox.push_back(Input::PartialChecked { content, block, genuine: true });
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
                self.inbox.push_back(Input::Verified { fetch, buffer, genuine });
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
                self.inbox.push_back(Input::StoreOpened { fetch, outcome });
            }
            Output::SearchShare { fetch } => {
                let wanted = self.request.as_ref().map(|request| request.content);
                let found = self.disk.share.iter().find(|(_, f)| Some(hash(&f.bytes).0) == wanted);
                let outcome =
                    found.map_or(ShareSearch::Absent, |(n, _)| ShareSearch::Elsewhere(n.clone()));
                self.inbox.push_back(Input::ShareSearched { fetch, outcome });
            }
            Output::PublishCopy { fetch, from } => {
                let outcome = Publishing::Done(from);
                self.inbox.push_back(Input::Published { fetch, outcome });
            }
            Output::CheckStored { fetch, block, link } => {
                let size = self.request.as_ref().unwrap().size;
                let range = sprat::content::BlockLayout::new(size).block_range(block);
                let (&start, bytes) = self.disk.chunks.range(..=range.start).next_back().unwrap();
                let at = (range.start - start) as usize;
                let genuine = verify(&link, &bytes[at..at + (range.end - range.start) as usize]);
                self.inbox.push_back(Input::StoredChecked { fetch, block, genuine });
            }
            Output::TruncateExtent { extent, length: 0, .. } => {
                self.disk.chunks.remove(&extent);
            }
            Output::TruncateExtent { extent, length, .. } => {
                self.disk.chunks.get_mut(&extent).unwrap().truncate(length as usize);
            }
            Output::Store { fetch, buffer, extent, position } => {
                let outcome = self.append(buffer, extent, position);
                self.inbox.push_back(Input::Stored { fetch, buffer, outcome });
            }
            Output::SaveChain { states, .. } => self.disk.chain = Some(states.to_vec()),
            Output::Publish { fetch } => {
                let outcome = self.publish();
                self.inbox.push_back(Input::Published { fetch, outcome });
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

    fn publish(&mut self) -> Publishing {
        let request = self.request.as_ref().unwrap();
        let bytes: Vec<u8> = self.disk.chunks.values().flatten().copied().collect();
        assert_eq!(hash(&bytes).0, request.content, "only the genuine content is published");
        self.disk.chunks.clear();
        let signature = FileSignature {
            device: 1,
            inode: 77,
            size: request.size,
            modified_ns: 1,
            changed_ns: 1,
        };
        let file = File { bytes, claimed: None, signature };
        self.disk.share.insert(request.name.clone(), file);
        Publishing::Done(request.name.clone())
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
        self.inbox.push_back(Input::Hashed { name, signature, outcome });
    }

    fn serve(&mut self, output: Output, sent: &mut Vec<Sent>) {
        let Output::Serve { job, to, nonce, source, offset, length, payload_length } = output
        else {
            return;
        };
        let (bytes, kind) = match &source {
            ServeSource::File { name, signature } => match self.disk.share.get(name) {
                Some(file) if file.signature == *signature => (file.bytes.clone(), DataKind::Data),
                _ => {
                    let outcome = ServeOutcome::Changed;
                    return self.inbox.push_back(Input::Served { job, outcome });
                }
            },
            ServeSource::Partial { .. } => {
                let mut bytes = Vec::new();
                for (&start, chunk) in &self.disk.chunks {
                    bytes.resize(start as usize, 0);
                    bytes.extend_from_slice(chunk);
                }
                (bytes, DataKind::Data)
            }
            ServeSource::Chain { content } => {
                let partial = self.disk.chain.clone();
                (self.chains.get(content).cloned().or(partial).unwrap(), DataKind::Meta)
            }
            ServeSource::Bytes(bytes) => (bytes.to_vec(), DataKind::Meta),
        };
        let range = &bytes[offset as usize..offset as usize + length as usize];
        for (index, payload) in range.chunks(usize::from(payload_length)).enumerate() {
            let at = offset + index as u64 * u64::from(payload_length);
            let mut header = [0; DATA_HEADER_LENGTH];
            DataHeader { kind, nonce, offset: at }.write(&mut header);
            let mut bytes = header.to_vec();
            bytes.extend_from_slice(payload);
            match self.manner {
                Manner::Honest => {}
                Manner::FlipsBits if kind == DataKind::Data => {
                    let last = bytes.len() - 1;
                    bytes[last] ^= 1;
                }
                Manner::FlipsBits => {}
                Manner::Silent => continue,
            }
            sent.push(Sent { to, bytes });
        }
        self.inbox.push_back(Input::Served { job, outcome: ServeOutcome::Sent });
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
