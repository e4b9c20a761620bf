//! Which payloads the core reads: a fetch of which every packet that is not among them has zeros in the
//! place of its payload goes as it would have gone with all of them.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use sprat::content::ShareName;
use sprat::content::state_chain::{Chain, ChainHasher};
use sprat::node::input::{Command, FetchRequest, ShareSearch, StoreOpening};
use sprat::node::{FetchId, Input, Instant, Node, NodeConfig, Output};
use sprat::wire::message::{DataHeader, DataKind};
use sprat::wire::{
    About, Answer, Cookie, DATA_HEADER_LENGTH, DEFAULT_PORT, Grant, Holding, InstanceId, Message,
    Object, Tell,
};

const FETCH: FetchId = FetchId(1);
const SIZE: u64 = 700_000;
/// The blocks of the source that holds a part: the first, third, fifth...
const BITMAP: [u8; 2] = [0b1010_1010, 0b1010_0000];

fn source(number: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, number], DEFAULT_PORT))
}

/// Two nodes that live through the same, but for payloads that are not read.
struct Twins {
    all: Node,
    zeros: Node,
    now: Instant,
    /// Packets whose payload was read, and all.
    packets: (u64, u64),
}

impl Twins {
    fn new() -> Self {
        let node = || {
            let config = NodeConfig { port: 5_000, ..NodeConfig::new([1; 32]) };
            Node::new(config, Instant::ORIGIN)
        };
        Self { all: node(), zeros: node(), now: Instant::ORIGIN, packets: (0, 0) }
    }

    /// What both ask for.
    fn outputs(&mut self) -> Vec<Output> {
        let all: Vec<Output> = std::iter::from_fn(|| self.all.poll_output()).collect();
        let zeros: Vec<Output> = std::iter::from_fn(|| self.zeros.poll_output()).collect();
        assert_eq!(all, zeros, "at {}", self.now);
        all
    }

    fn input(&mut self, input: impl Fn() -> Input<'static>) -> Vec<Output> {
        self.all.handle_input(self.now, input());
        self.zeros.handle_input(self.now, input());
        self.outputs()
    }

    fn datagram(&mut self, from: SocketAddr, bytes: &[u8]) -> Vec<Output> {
        let mut kept = bytes.to_vec();
        if let Ok(Message::Data(_)) = sprat::wire::decode(bytes) {
            let read = self.all.reads_payload(from, bytes);
            assert!(!self.all.reads_payload(source(77), bytes), "that one was asked for nothing");
            self.packets = (self.packets.0 + u64::from(read), self.packets.1 + 1);
            if !read {
                kept[DATA_HEADER_LENGTH..].fill(0);
            }
        }
        self.all.handle_input(self.now, Input::Datagram { from, bytes });
        self.zeros.handle_input(self.now, Input::Datagram { from, bytes: &kept });
        self.outputs()
    }

    /// Lets the next deadline pass.
    fn wait(&mut self) -> Vec<Output> {
        self.now = self.all.poll_timeout().unwrap().at.max(self.now);
        assert!(self.now < Instant::from_micros(600_000_000), "it takes for ever");
        self.all.handle_timeout(self.now);
        self.zeros.handle_timeout(self.now);
        self.outputs()
    }
}

/// The packets that a grant asks for.
fn packets(grant: &Grant, object: &[u8]) -> Vec<Vec<u8>> {
    let kind =
        if matches!(grant.object, Object::File(_)) { DataKind::Data } else { DataKind::Meta };
    let mut packets = Vec::new();
    for range in grant.ranges.iter() {
        let bytes = &object[range.offset as usize..][..range.length as usize];
        let payload_length = grant.ranges.payload_length();
        for (index, payload) in bytes.chunks(usize::from(payload_length)).enumerate() {
            let offset = range.offset + index as u64 * u64::from(payload_length);
            let mut header = [0; DATA_HEADER_LENGTH];
            DataHeader { kind, nonce: grant.nonce, offset }.write(&mut header);
            packets.push([&header[..], payload].concat());
        }
    }
    packets
}

/// What a source answers to a datagram; the second one holds every other block.
fn answers(to: SocketAddr, bytes: &[u8], content: &[u8], chain: &Chain) -> Vec<Vec<u8>> {
    match sprat::wire::decode(bytes) {
        Ok(Message::Ask(ask)) if matches!(ask.about, About::Content { .. }) => {
            let holding = if to == source(1) { Holding::Whole } else { Holding::Part };
            let answer = Answer::Content { holding, chain: chain.id(), size: SIZE, blocks_held: 5 };
            let (cookie, instance) = (Cookie([7; 16]), InstanceId([to.port() as u8; 16]));
            vec![
                Message::Tell(Tell { nonce: ask.nonce, cookie, instance, age: None, answer })
                    .encode(),
            ]
        }
        Ok(Message::Grant(grant)) => match grant.object {
            Object::File(_) => packets(&grant, content),
            Object::Chain(_) => packets(&grant, chain.bytes()),
            Object::Have(_) => packets(&grant, &BITMAP),
            Object::Listing(_) | Object::Changes(_) => Vec::new(),
        },
        _ => Vec::new(),
    }
}

#[test]
fn a_fetch_reads_chains_and_bitmaps_and_nothing_else() {
    let bytes: Vec<u8> = (0..SIZE).map(|at| (at / 3 + at / 997) as u8).collect();
    let mut hasher = ChainHasher::new(SIZE);
    hasher.update(&bytes);
    let (content, states) = hasher.finish().unwrap();
    let chain = Chain::from_bytes(content, SIZE, states).unwrap();

    let mut twins = Twins::new();
    let request = FetchRequest {
        fetch: FETCH,
        content,
        size: SIZE,
        name: ShareName::parse("file").unwrap(),
        sources: vec![source(1), source(2)],
        timeout: None,
        alone: false,
    };
    let mut todo: VecDeque<Output> =
        twins.input(|| Input::Command(Command::Fetch(request.clone()))).into();
    loop {
        let Some(output) = todo.pop_front() else {
            todo.extend(twins.wait());
            continue;
        };
        let follows = match output {
            Output::Publish { .. } => break,
            Output::Transmit { to, bytes: sent, .. } if [source(1), source(2)].contains(&to) => {
                twins.now = twins.now + Duration::from_micros(200);
                let answers = answers(to, &sent, &bytes, &chain);
                answers.iter().flat_map(|answer| twins.datagram(to, answer)).collect()
            }
            Output::OpenStore { fetch, .. } => twins.input(|| {
                let outcome = StoreOpening::Ours { extents: Vec::new(), chain: None };
                Input::StoreOpened { fetch, outcome }
            }),
            Output::SearchShare { fetch, .. } => {
                twins.input(|| Input::ShareSearched { fetch, outcome: ShareSearch::Absent })
            }
            Output::Verify { fetch, buffer, .. } => {
                twins.input(|| Input::Verified { fetch, buffer, genuine: true, collides: false })
            }
            Output::Store { fetch, buffer, .. } => {
                twins.input(|| Input::Stored { fetch, buffer, outcome: Ok(()) })
            }
            _ => Vec::new(),
        };
        todo.extend(follows);
    }
    assert_eq!(twins.all.snapshot(), twins.zeros.snapshot());
    let (read, all) = twins.packets;
    assert!(read >= 2, "the chain and the bitmap: {read}");
    assert!(read < 10 && all > 100, "{read} of {all}");
}
