//! The serving side of the core, input by input.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::net::SocketAddr;
use std::time::Duration;

use sprat::content::{ChainId, ContentId, ShareName};
use sprat::node::input::{FileSignature, HashOutcome, ServeOutcome};
use sprat::node::{DropReason, Input, Instant, JobId, Node, NodeConfig, Output};
use sprat::wire::{
    About, Ask, Cookie, DEFAULT_PORT, Grant, InstanceId, Message, Object, ObjectRange, Ranges,
    RefuseReason,
};

const CONTENT: ContentId = ContentId([9; 20]);
const SIZE: u64 = 10_000_000;

struct Server {
    node: Node,
    now: Instant,
}

fn client(number: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, number], 5_000))
}

impl Server {
    /// A node that offers one file.
    fn new() -> Self {
        let config = NodeConfig {
            serves: true,
            port: DEFAULT_PORT,
            default_port: DEFAULT_PORT,
            peers: Vec::new(),
            seed: [1; 32],
            sweep: Duration::from_secs(2),
        };
        let now = Instant::from_micros(1_000_000);
        let mut server = Self { node: Node::new(config, now), now };
        let name = ShareName::parse("file").unwrap();
        let signature =
            FileSignature { device: 1, inode: 1, size: SIZE, modified_ns: 0, changed_ns: 0 };
        let unchanged_for = Duration::from_secs(9);
        server.input(Input::FileSeen { name: name.clone(), signature, unchanged_for });
        let outcome = HashOutcome::Whole { content: CONTENT, chain: ChainId([8; 20]) };
        server.input(Input::Hashed { name, signature, outcome });
        server
    }

    fn input(&mut self, input: Input<'_>) -> Vec<Output> {
        self.node.handle_input(self.now, input);
        self.node.check_invariants();
        std::iter::from_fn(|| self.node.poll_output()).collect()
    }

    fn datagram(&mut self, from: SocketAddr, message: Message<'_>) -> Vec<Output> {
        self.input(Input::Datagram { from, bytes: &message.encode() })
    }

    fn cookie(&mut self, from: SocketAddr) -> Cookie {
        let about = About::Content { content: CONTENT, size: SIZE };
        let (instance, cookie) = (InstanceId::NONE, Cookie::NONE);
        let ask = Ask { about, to_many: false, nonce: 1, instance, cookie };
        let outputs = self.datagram(from, Message::Ask(ask));
        let Some(Output::Transmit { bytes, .. }) = outputs.first() else { panic!("no answer") };
        let Ok(Message::Tell(tell)) = sprat::wire::decode(bytes) else { panic!("no answer") };
        tell.cookie
    }

    fn grant(&mut self, from: SocketAddr, cookie: Cookie, offset: u64, length: u32) -> Vec<Output> {
        let ranges = Ranges::new(&[ObjectRange { offset, length }], 1_408).unwrap();
        let object = Object::File(CONTENT);
        self.datagram(from, Message::Grant(Grant { nonce: offset, cookie, object, ranges }))
    }

    fn served(&mut self, job: JobId, outcome: ServeOutcome) -> Vec<Output> {
        self.input(Input::Served { job, outcome })
    }
}

/// The job, receiver and offset of the one thing that is asked for.
fn order(outputs: &[Output]) -> Option<(JobId, SocketAddr, u64, u32)> {
    match outputs {
        [Output::Serve { job, to, offset, length, .. }] => Some((*job, *to, *offset, *length)),
        _ => None,
    }
}

fn refusal(outputs: &[Output]) -> Option<RefuseReason> {
    let [Output::Transmit { bytes, .. }] = outputs else { return None };
    match sprat::wire::decode(bytes) {
        Ok(Message::Refuse(refuse)) => Some(refuse.reason),
        _ => None,
    }
}

#[test]
fn receivers_take_turns() {
    let mut server = Server::new();
    let cookies = [1, 2].map(|number| server.cookie(client(number)));
    let (mut job, ..) = order(&server.grant(client(1), cookies[0], 0, 64_000)).unwrap();
    assert_eq!(server.grant(client(1), cookies[0], 64_000, 64_000), []);
    assert_eq!(server.grant(client(1), cookies[0], 128_000, 64_000), []);
    assert_eq!(server.grant(client(2), cookies[1], 0, 64_000), []);
    let mut turns = Vec::new();
    while let Some((next, to, offset, _)) = order(&server.served(job, ServeOutcome::Sent)) {
        turns.push((to, offset));
        job = next;
    }
    assert_eq!(turns, [(client(1), 64_000), (client(2), 0), (client(1), 128_000)]);
}

#[test]
fn what_was_blocked_goes_on_where_it_stopped() {
    let mut server = Server::new();
    let cookie = server.cookie(client(1));
    let (job, ..) = order(&server.grant(client(1), cookie, 0, 64_000)).unwrap();
    assert_eq!(server.served(job, ServeOutcome::Blocked { sent: 14_080 }), []);
    let (_, _, offset, length) = order(&server.input(Input::Writable)).unwrap();
    assert_eq!((offset, length), (14_080, 64_000 - 14_080));
}

#[test]
fn room_that_is_told_before_the_blocked_answer_is_not_forgotten() {
    let mut server = Server::new();
    let cookie = server.cookie(client(1));
    let (job, ..) = order(&server.grant(client(1), cookie, 0, 64_000)).unwrap();
    assert_eq!(server.input(Input::Writable), []);
    let again = order(&server.served(job, ServeOutcome::Blocked { sent: 0 }));
    assert_eq!(again.map(|(_, _, offset, _)| offset), Some(0));
}

#[test]
fn who_asks_for_too_much_is_counted() {
    let mut server = Server::new();
    let cookie = server.cookie(client(1));
    for grant in 0..200 {
        server.grant(client(1), cookie, grant * 100, 100);
    }
    assert_eq!(server.node.counters().dropped(DropReason::TooManyGrants), 200 - 1 - 128);
    for number in 2..250 {
        for port in 0..6 {
            let from = SocketAddr::from(([192, 0, 2, number], 6_000 + port));
            let cookie = server.cookie(from);
            server.grant(from, cookie, 0, 100);
        }
    }
    assert!(server.node.counters().dropped(DropReason::TooManyGrants) > 71);
}

#[test]
fn refusals_say_why() {
    let mut server = Server::new();
    let cookie = server.cookie(client(1));
    let stale = server.grant(client(2), cookie, 0, 100);
    assert_eq!(refusal(&stale), Some(RefuseReason::StaleCookie));
    let beyond = server.grant(client(1), cookie, SIZE - 50, 100);
    assert_eq!(refusal(&beyond), Some(RefuseReason::BadRange));
    let (job, ..) = order(&server.grant(client(1), cookie, 0, 100)).unwrap();
    let changed = server.served(job, ServeOutcome::Changed);
    assert_eq!(refusal(&changed[..1]), Some(RefuseReason::Changed));
    let unknown = server.grant(client(1), cookie, 0, 100);
    assert_eq!(refusal(&unknown), Some(RefuseReason::UnknownObject));
}

#[test]
fn a_cookie_dies() {
    let mut server = Server::new();
    let cookie = server.cookie(client(1));
    server.now = server.now + Duration::from_secs(121);
    let late = server.grant(client(1), cookie, 0, 100);
    assert_eq!(refusal(&late), Some(RefuseReason::StaleCookie));
}
