//! A fetch in the background gives way to everything else on its path, and takes what is left.

use std::net::SocketAddr;
use std::time::Duration;

use sprat::node::Restraint;

use super::story::SECOND;
use crate::model::contents::{bytes, request};
use crate::model::link::Link;
use crate::model::network::{Network, fetcher, peer};

const BACKGROUND: Restraint = Restraint { limit: None, background: true };
/// Seconds that are measured, after all have begun and found their rates.
const MEASURED: u64 = 10;
const NEVER: u64 = u64::MAX;

/// 50 Mbit/s, 30 ms there and back, queues of a fifth, one and four times what the way holds; and a local network.
fn links() -> [Link; 4] {
    let link = |micros, rate, queue| Link {
        delay: Duration::from_micros(micros),
        rate,
        queue,
        longest: 1_472,
        ..Link::CLEAN
    };
    [
        link(15_000, 6_250_000, 40_000),
        link(15_000, 6_250_000, 187_500),
        link(15_000, 6_250_000, 800_000),
        link(200, 12_500_000, 200_000),
    ]
}

/// How much of the link, in hundredths, an ordinary fetch and one in the background on the same machine get
/// that begin after so many seconds.
fn shares(link: Link, begins: [u64; 2]) -> [u64; 2] {
    let who = [fetcher(100), SocketAddr::new(fetcher(100).ip(), 40_001)];
    let mut network = Network::new(3, link);
    let data = [1, 2].map(|number| bytes(number, link.rate as usize * 17));
    for (number, data) in [1, 2].into_iter().zip(&data) {
        network.add(peer(number)).put("file", data, None);
    }
    network.run_for(SECOND * 3);
    for second in 0..6 {
        for index in [0, 1].into_iter().filter(|&index| begins[index] == second) {
            let restraint = if index == 1 { BACKGROUND } else { Restraint::default() };
            let host = network.add_restrained(who[index], restraint);
            let name = ["one", "other"][index];
            host.fetch(request(&data[index], name, &[peer(1 + index as u8)]));
        }
        network.run_for(SECOND);
    }
    let came = |network: &Network| who.map(|to| network.bytes_in.get(&to).copied().unwrap_or(0));
    let before = came(&network);
    network.run_for(SECOND * MEASURED as u32);
    let after = came(&network);
    [0, 1].map(|index| (after[index] - before[index]) * 100 / (link.rate * MEASURED))
}

#[test]
fn alone_it_takes_nearly_all() {
    for link in links() {
        let [ordinary, _] = shares(link, [0, NEVER]);
        let [_, alone] = shares(link, [NEVER, 0]);
        assert!(alone * 10 >= ordinary * 9, "{link:?}: {alone} %, an ordinary one {ordinary} %");
    }
}

#[test]
fn beside_an_ordinary_fetch_it_gets_next_to_nothing_whoever_came_first() {
    for link in links() {
        for begins in [[0, 1], [2, 0]] {
            let [ordinary, background] = shares(link, begins);
            assert!(background <= 12, "{link:?}: {ordinary} % beside {background} %");
            assert!(ordinary >= 80, "{link:?}: {ordinary} % beside {background} %");
        }
    }
}
