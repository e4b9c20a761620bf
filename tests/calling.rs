//! Everybody hears a call for a content, so anybody can answer it, in anybody's name. Whoever is named is asked itself,
//! with no more bytes than were said in its name, and nothing else goes there before it has answered.

use std::net::SocketAddr;
use std::time::Duration;

use sprat::content::{ChainId, ContentId, ShareName};
use sprat::node::input::{Command, FetchRequest, LocateRequest, ShareSearch, StoreOpening};
use sprat::node::{FetchId, Input, Instant, Node, NodeConfig, Output};
use sprat::wire::{Answer, Cookie, Holding, InstanceId, Message, Tell, decode};

const CONTENT: ContentId = ContentId([1; 20]);
const SIZE: u64 = 1_000_000;

fn core() -> Node {
    let config = NodeConfig { port: 5_000, ..NodeConfig::new([1; 32]) };
    Node::new(config, Instant::ORIGIN)
}

/// A whole minute in which each call is answered in the victim's name, and the victim is silent. Bytes that were said,
/// and that it got.
fn called(command: Command, victim: SocketAddr) -> (usize, usize) {
    let mut node = core();
    node.handle_input(Instant::ORIGIN, Input::Command(command));
    let (mut now, mut said, mut got) = (Instant::ORIGIN, 0, 0);
    loop {
        while let Some(output) = node.poll_output() {
            match output {
                Output::OpenStore { fetch, .. } => {
                    let outcome = StoreOpening::Ours { extents: Vec::new(), chain: None };
                    node.handle_input(now, Input::StoreOpened { fetch, outcome });
                }
                Output::SearchShare { fetch, .. } => {
                    let outcome = ShareSearch::Absent;
                    node.handle_input(now, Input::ShareSearched { fetch, outcome });
                }
                Output::Transmit { to, bytes, .. } if to == victim => {
                    got += bytes.len();
                    assert!(got <= said, "{got} bytes for {said}: {:?}", decode(&bytes));
                }
                Output::Transmit { bytes, .. } => {
                    let Ok(Message::Ask(ask)) = decode(&bytes) else { continue };
                    let answer = Answer::Content {
                        holding: Holding::Whole,
                        chain: ChainId([2; 20]),
                        size: SIZE,
                        blocks_held: SIZE.div_ceil(65_536) as u32,
                    };
                    let (cookie, instance) = (Cookie([3; 16]), InstanceId([4; 16]));
                    let tell = Tell { nonce: ask.nonce, cookie, instance, age: None, answer };
                    let bytes = Message::Tell(tell).encode();
                    said += bytes.len();
                    node.handle_input(now, Input::Datagram { from: victim, bytes: &bytes });
                }
                _ => {}
            }
        }
        node.check_invariants();
        match node.poll_timeout() {
            Some(due) if due.at < Instant::ORIGIN + Duration::from_secs(60) => now = due.at,
            _ => return (said, got),
        }
        node.handle_timeout(now);
    }
}

#[test]
fn who_is_said_to_have_it_is_asked_and_gets_nothing_else() {
    for victim in ["192.0.2.7:27183", "10.0.0.7:40000", "[2001:db8::7]:27183"] {
        let victim = victim.parse().unwrap();
        let fetch = Command::Fetch(FetchRequest {
            fetch: FetchId(1),
            content: CONTENT,
            size: SIZE,
            name: ShareName::parse("file").unwrap(),
            sources: Vec::new(),
            timeout: None,
            alone: false,
        });
        let patience = Duration::from_secs(5);
        let locate = LocateRequest { content: CONTENT, size: SIZE, sources: Vec::new(), patience };
        for command in [fetch, Command::Locate(locate)] {
            let (said, got) = called(command, victim);
            assert!(said >= 2 * 80 && got >= 80, "{said} bytes said, {got} got");
        }
    }
}
