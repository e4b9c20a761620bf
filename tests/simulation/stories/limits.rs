//! Who holds back: limits, kept to within two parts in a hundred, shared fairly, and cheap to be limited by.

use std::net::SocketAddr;
use std::time::Duration;

use sprat::node::Restraint;

use super::story::{SECOND, expect_done, fetch_to_end};
use crate::model::contents::{bytes, request};
use crate::model::link::Link;
use crate::model::network::{Network, fetcher, peer};

/// As Ethernet, so that all packets but a few have 1,408 bytes of payload.
const LINK: Link =
    Link { rate: 12_500_000, delay: Duration::from_millis(5), longest: 1_472, ..Link::CLEAN };
/// With IP's and UDP's headers a packet is so much longer, in ten thousandths.
const HEADERS: u64 = 10_196;

fn limited(limit: u64) -> Restraint {
    Restraint { limit: Some(limit), ..Restraint::default() }
}

/// Bytes that come to a host in a while, as the network counts them.
fn comes(network: &mut Network, to: SocketAddr, within: Duration) -> u64 {
    let before = network.bytes_in[&to];
    network.run_for(within);
    (network.bytes_in[&to] - before) * HEADERS / 10_000
}

fn assert_close(came: u64, wanted: u64, hundredths: u64) {
    let apart = came.abs_diff(wanted);
    assert!(apart * 100 <= wanted * hundredths, "{came} bytes came, {wanted} should have");
}

/// Peers with one file, held back by `restraint`, and fetches of it without restraint.
fn network_of(link: Link, peers: &[u8], restraint: Restraint, data: &[u8]) -> Network {
    let mut network = Network::new(7, link);
    for &number in peers {
        network.add_restrained(peer(number), restraint).put("file", data, None);
    }
    network.run_for(SECOND * 3);
    network
}

#[test]
fn a_peer_sends_no_more_than_its_limit_and_no_less() {
    for limit in [100_000, 1_000_000, 9_000_000] {
        let data = bytes(1, limit as usize * 12);
        let mut network = network_of(LINK, &[1], limited(limit), &data);
        network.add(fetcher(100)).fetch(request(&data, "got", &[peer(1)]));
        network.run_for(SECOND);
        let came = comes(&mut network, fetcher(100), SECOND * 10);
        assert_close(came, limit * 10, 2);
    }
}

#[test]
fn who_fetch_from_a_limited_peer_share_it_fairly() {
    let data = bytes(2, 12_000_000);
    let mut network = network_of(LINK, &[1], limited(1_000_000), &data);
    // One of them is far away, and begins later.
    network.far.insert(fetcher(102), Duration::from_millis(30));
    for (number, wait) in [(100, 1), (101, 2), (102, 4)] {
        network.add(fetcher(number)).fetch(request(&data, "got", &[peer(1)]));
        network.run_for(SECOND * wait);
    }
    let all = [100, 101, 102].map(fetcher);
    let before = all.map(|fetcher| network.bytes_in[&fetcher]);
    network.run_for(SECOND * 10);
    let after = all.map(|fetcher| network.bytes_in[&fetcher]);
    let came: Vec<u64> =
        after.iter().zip(before).map(|(a, b)| (a - b) * HEADERS / 10_000).collect();
    assert_close(came.iter().sum(), 10_000_000, 2);
    assert!(came.iter().all(|&came| came >= 3_200_000), "{came:?}: each gets a third");
}

#[test]
fn a_fetch_receives_no_more_than_its_limit_from_all_its_sources_together() {
    for (limit, sources) in [(200_000, 1..=1), (2_000_000, 1..=4)] {
        let data = bytes(3, limit as usize * 12);
        let sources: Vec<u8> = sources.collect();
        let mut network = network_of(LINK, &sources, Restraint::default(), &data);
        let addresses: Vec<_> = sources.iter().map(|&number| peer(number)).collect();
        let host = network.add_restrained(fetcher(100), limited(limit));
        host.fetch(request(&data, "got", &addresses));
        network.run_for(SECOND);
        let came = comes(&mut network, fetcher(100), SECOND * 10);
        assert_close(came, limit * 10, 2);
    }
}

#[test]
fn the_lowest_limit_is_no_reason_to_ask_twice() {
    let data = bytes(4, 600_000);
    for (at_peer, at_fetch) in [(Some(16_384), None), (None, Some(16_384))] {
        let restraint = |limit| Restraint { limit, ..Restraint::default() };
        let mut network = network_of(LINK, &[1], restraint(at_peer), &data);
        let host = network.add_restrained(fetcher(100), restraint(at_fetch));
        host.fetch(request(&data, "got", &[peer(1)]));
        let took = fetch_to_end(&mut network, SECOND * 120);
        expect_done(&mut network, &data);
        // At first it is not known how slow it is: a few packets are asked for again.
        let came = network.bytes_in[&fetcher(100)];
        assert!(came < 670_000, "{came} bytes came in {took:?}");
        assert!(took < SECOND * 46, "{took:?}");
    }
}
