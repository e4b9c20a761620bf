//! Hosts that say that they hold parts, in as many pieces as there could be.

use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::content::ContentId;
use crate::node::input::Command;
use crate::node::{Input, Node, NodeConfig};
use crate::wire::{Cookie, DATA_HEADER_LENGTH, DataHeader, Grant, Message, decode};

const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9));
const CONTENT: ContentId = ContentId([1; 20]);

fn looker() -> Node {
    let config = NodeConfig { port: 5_000, ..NodeConfig::new([1; 32]) };
    Node::new(config, Instant::ORIGIN)
}

/// A bitmap in which every other block is there.
fn every_other(grant: &Grant) -> Vec<Vec<u8>> {
    let step = usize::from(grant.ranges.payload_length());
    let mut packets = Vec::new();
    for range in grant.ranges.iter() {
        for at in (0..u64::from(range.length)).step_by(step) {
            let mut header = [0; DATA_HEADER_LENGTH];
            let (nonce, offset) = (grant.nonce, range.offset + at);
            DataHeader { kind: DataKind::Meta, nonce, offset }.write(&mut header);
            let length = step.min((u64::from(range.length) - at) as usize);
            packets.push([&header[..], &vec![0xaa; length]].concat());
        }
    }
    packets
}

/// So many hosts say that they hold parts of this size; what is seen of them, and the bytes asked of them.
fn located(hosts: u16, wanted: u64, size: u64) -> (Vec<HolderSeen>, u64) {
    let mut node = looker();
    let sources = (0..hosts).map(|port| SocketAddr::new(HOST, 9_000 + port));
    let request = LocateRequest {
        content: CONTENT,
        size: wanted,
        sources: sources.collect(),
        patience: Duration::from_secs(10),
    };
    let mut now = Instant::ORIGIN;
    node.handle_input(now, Input::Command(Command::Locate(request)));
    let mut asked = 0;
    loop {
        let Some(output) = node.poll_output() else {
            now = node.poll_timeout().unwrap().at.max(now);
            node.handle_timeout(now);
            continue;
        };
        let (to, bytes) = match output {
            Output::Transmit { to, bytes, .. } if to.ip() == HOST => (to, bytes),
            Output::Located { .. } => return (node.holders_seen(), asked),
            _ => continue,
        };
        let answers = match decode(&bytes) {
            Ok(Message::Ask(ask)) => {
                let (cookie, instance) = (Cookie([7; 16]), InstanceId::NONE);
                let (holding, chain) = (Holding::Part, ChainId([2; 20]));
                let answer = Answer::Content { holding, chain, size, blocks_held: 9 };
                let nonce = ask.nonce;
                vec![Message::Tell(Tell { nonce, cookie, instance, age: None, answer }).encode()]
            }
            Ok(Message::Grant(grant)) => {
                asked += u64::from(grant.ranges.bytes());
                every_other(&grant)
            }
            _ => Vec::new(),
        };
        for bytes in answers {
            node.handle_input(now, Input::Datagram { from: to, bytes: &bytes });
        }
    }
}

#[test]
fn what_is_kept_of_a_holding_in_pieces_is_bounded() {
    let (holders, asked) = located(20, 0, SIZE_MAX);
    assert_eq!(holders.len(), 20);
    for holder in holders {
        assert_eq!(holder.blocks.map(|blocks| blocks.iter().count()), Some(RUNS_MAX));
        assert!(holder.has_more);
    }
    assert!(asked <= 20 * IN_FLIGHT, "{asked} bytes were asked for");
}

#[test]
fn a_holding_of_another_size_than_was_meant_is_not_looked_at() {
    let (holders, asked) = located(1, 1 << 20, SIZE_MAX);
    assert_eq!((holders.len(), asked), (1, 0));
    let (holders, asked) = located(1, 1 << 20, 1 << 20);
    assert_eq!((holders[0].blocks.as_ref().unwrap().total(), asked), (8, 2));
    assert!(!holders[0].has_more);
}
