//! Hosts that no broadcast brings together, and who tells them of each other.

use std::net::SocketAddr;
use std::time::Duration;

use sprat::node::{DropReason, Restraint};
use sprat::wire::{Hold, Hosts, Message, Portions, TALK_LENGTH, ToldHost, ToldHosts, decode};

use super::story::{SECOND, expect_done, fetch_to_end};
use crate::model::clock::Clock;
use crate::model::contents::{bytes, hash, request};
use crate::model::host::{Host, Start};
use crate::model::link::Link;
use crate::model::network::{Network, fetcher, peer};

/// Where nothing is heard that is said to many.
fn islands(seed: u64, link: Link) -> Network {
    let mut network = Network::new(seed, link);
    network.no_broadcast = true;
    network
}

fn start(network: &mut Network, address: SocketAddr, trackers: &[SocketAddr], tracks: bool) {
    network.start(Start {
        address,
        also: None,
        serves: !tracks && address == SocketAddr::new(address.ip(), sprat::wire::DEFAULT_PORT),
        seed: [0; 32],
        peers: Vec::new(),
        trackers: trackers.to_vec(),
        tracks,
        clock: Clock::of_the_world(),
        restraint: Restraint::default(),
    });
}

/// A tracker at 200, and these peers that name it.
fn around_a_tracker(seed: u64, link: Link, peers: std::ops::RangeInclusive<u8>) -> Network {
    let mut network = islands(seed, link);
    start(&mut network, peer(200), &[], true);
    for number in peers {
        start(&mut network, peer(number), &[peer(200)], false);
        network.host(peer(number)).put(&format!("file{number}"), &[number; 9], None);
    }
    network
}

fn sees(network: &Network, at: u8, number: u8) -> bool {
    network.hosts[&peer(at)].shows(&format!("file{number}"))
}

fn all_see_all(network: &Network, numbers: std::ops::RangeInclusive<u8>) -> bool {
    numbers.clone().all(|at| numbers.clone().all(|of| at == of || sees(network, at, of)))
}

fn tracker_counts(network: &mut Network, reason: DropReason) -> u64 {
    network.host(peer(200)).node.counters().dropped(reason)
}

#[test]
fn who_names_the_same_tracker_finds_each_other() {
    for seed in 0..5 {
        let link = Link { lost: seed * 20, ..Link::CLEAN };
        let mut network = around_a_tracker(seed, link, 1..=12);
        let took = network.run_until(SECOND * 60, |network| all_see_all(network, 1..=12));
        assert!(took < SECOND * if seed == 0 { 15 } else { 40 }, "seed {seed}: {took:?}");
        // The tracker is gone: those who know each other go on, changes included.
        network.crash(peer(200));
        network.run_for(SECOND * 40);
        assert!(all_see_all(&network, 1..=12), "seed {seed}");
        network.host(peer(1)).put("new", b"new", None);
        network.run_until(SECOND * 30, |network| {
            (2..=12).all(|at| network.hosts[&peer(at)].shows("new"))
        });
    }
}

/// A tracker tells 44 hosts at a time: who comes into a crowd asks on, and knows all of it soon.
#[test]
fn a_crowd_around_a_tracker_is_known_to_who_comes_and_to_who_looks() {
    let mut network = around_a_tracker(11, Link::CLEAN, 1..=100);
    network.run_for(SECOND * 20);
    start(&mut network, peer(150), &[peer(200)], false);
    let took = network.run_until(SECOND * 60, |network| (1..=100).all(|of| sees(network, 150, of)));
    assert!(took < SECOND * 8, "{took:?}");

    start(&mut network, fetcher(100), &[peer(200)], false);
    network.host(fetcher(100)).look_over(SECOND * 10);
    let seen = |network: &Network| {
        let hosts = network.hosts[&fetcher(100)].node.hosts_seen();
        hosts.iter().filter(|host| host.files().is_some_and(|files| files.len() == 1)).count()
    };
    network.run_for(SECOND);
    eprintln!("{} seen after a second", seen(&network));
    let took = network.run_until(SECOND * 10, |network| seen(network) == 100);
    assert!(took < SECOND * 3, "{took:?}");
}

#[test]
fn a_tracker_that_comes_back_knows_all_within_seconds() {
    let mut network = around_a_tracker(7, Link::CLEAN, 1..=4);
    network.run_until(SECOND * 20, |network| all_see_all(network, 1..=4));
    network.crash(peer(200));
    network.run_for(SECOND * 20);
    start(&mut network, peer(200), &[], true);
    network.run_for(SECOND * 12);
    start(&mut network, peer(5), &[peer(200)], false);
    network.run_until(SECOND * 15, |network| (1..=4).all(|of| sees(network, 5, of)));
}

#[test]
fn a_fetch_that_knows_nothing_but_a_tracker_finds_who_has_the_file() {
    let data = bytes(3, 300_000);
    let mut network = around_a_tracker(3, Link::CLEAN, 1..=3);
    network.host(peer(3)).put("wanted", &data, None);
    network.run_for(SECOND * 8);
    start(&mut network, fetcher(100), &[peer(200)], false);
    network.host(fetcher(100)).fetch(request(&data, "got", &[]));
    let took = fetch_to_end(&mut network, SECOND * 5);
    expect_done(&mut network, &data);
    assert!(took < SECOND, "{took:?}");
}

#[test]
fn who_has_part_of_an_unfinished_file_is_told_of_too() {
    let data = bytes(4, 4 << 20);
    let mut network = around_a_tracker(4, Link::CLEAN, 1..=2);
    // Nobody has all of it; the first has one half, the second the other.
    let half = data.len() as u64 / 2;
    for (number, first) in [(1, 0), (2, half)] {
        let extent = sprat::node::input::Extent { start: first, length: half };
        network.host(peer(number)).put_partial(&data, vec![extent]);
    }
    network.run_for(SECOND * 20);
    start(&mut network, fetcher(100), &[peer(200)], false);
    network.host(fetcher(100)).fetch(request(&data, "got", &[]));
    fetch_to_end(&mut network, SECOND * 20);
    expect_done(&mut network, &data);
}

#[test]
fn who_leaves_is_not_told_of_any_more_and_who_vanishes_within_a_minute() {
    let mut network = around_a_tracker(5, Link::CLEAN, 1..=3);
    network.run_until(SECOND * 20, |network| all_see_all(network, 1..=3));
    network.host(peer(1)).stop();
    network.crash(peer(2));
    network.run_for(SECOND * 50);
    start(&mut network, peer(4), &[peer(200)], false);
    network.run_for(SECOND * 15);
    assert!(sees(&network, 4, 3) && !sees(&network, 4, 1) && !sees(&network, 4, 2));
    let asked = |network: &Network, of: u8| {
        network.elsewhere.iter().any(|flight| flight.from == peer(4) && flight.to == peer(of))
    };
    assert!(!asked(&network, 1) && !asked(&network, 2), "they were not told of");
}

/// Strangers' addresses in an answer of a tracker that lies: each gets a question now and then, and no more than the bound.
#[test]
fn a_tracker_that_lies_makes_nobody_a_reflector() {
    let mut network = islands(6, Link::CLEAN);
    start(&mut network, peer(1), &[peer(200)], false);
    let host: &mut Host = network.host(peer(1));
    host.put("file", b"file", None);
    let told_of = (1..=40).map(|number| SocketAddr::from(([198, 51, 100, number], 27_183)));
    let told_of: Vec<SocketAddr> = told_of.collect();
    let mut told = Vec::new();
    for &address in &told_of {
        ToldHosts::push(&mut told, &ToldHost { address, portions: Portions::NONE });
    }
    // What is on the peer's own machine, or only on its link, is nobody's to tell.
    for address in ["127.0.0.1:5555", "169.254.0.1:5555", "[::1]:5555", "[fe80::1]:5555"] {
        let address = address.parse().unwrap();
        ToldHosts::push(&mut told, &ToldHost { address, portions: Portions::NONE });
    }
    let mut answered = std::collections::BTreeSet::new();
    let mut questions_to_strangers = 0;
    for _ in 0..6_000 {
        network.run_for(Duration::from_millis(10));
        for flight in std::mem::take(&mut network.elsewhere) {
            if flight.to != peer(200) {
                assert!(told_of.contains(&flight.to) && flight.bytes.len() == TALK_LENGTH);
                questions_to_strangers += 1;
                continue;
            }
            let Ok(Message::Ask(ask)) = decode(&flight.bytes) else { continue };
            let from = flight.from;
            if !answered.insert(ask.nonce) {
                continue;
            }
            let tell = sprat::wire::Tell {
                nonce: ask.nonce,
                cookie: sprat::wire::Cookie([7; 16]),
                instance: sprat::wire::InstanceId([9; 16]),
                age: None,
                answer: sprat::wire::Answer::Listing {
                    listing: sprat::wire::ListingSummary {
                        digest: sprat::wire::ListingDigest::of(&[]),
                        length: 0,
                        files: 0,
                    },
                    changes: 0,
                    in_step: false,
                },
            };
            network.inject(peer(200), from, Message::Tell(tell).encode());
            // As often as it likes, and ever again under the same nonce.
            for _ in 0..3 {
                let hosts = ToldHosts::new(&told).unwrap();
                let hosts = Message::Hosts(Hosts { nonce: ask.nonce, next: 0, hosts });
                network.inject(peer(200), from, hosts.encode());
            }
        }
    }
    // A minute: each of the 40 is told of once in ten seconds.
    assert!((40..=40 * 7).contains(&questions_to_strangers), "{questions_to_strangers} questions");
}

/// What nobody asked for, or has not shown a cookie for, changes nothing.
#[test]
fn unasked_hosts_and_unproven_holds_are_counted_and_dropped() {
    let mut network = around_a_tracker(8, Link::CLEAN, 1..=2);
    network.run_until(SECOND * 20, |network| all_see_all(network, 1..=2));
    let before = network.host(peer(1)).node.counters().dropped(DropReason::StrayAnswer);
    let mut told = Vec::new();
    let address = SocketAddr::from(([198, 51, 100, 1], 27_183));
    ToldHosts::push(&mut told, &ToldHost { address, portions: Portions::WHOLE });
    let hosts = Message::Hosts(Hosts { nonce: 7, next: 0, hosts: ToldHosts::new(&told).unwrap() });
    for from in [peer(200), peer(2), address] {
        network.inject(from, peer(1), hosts.encode());
    }
    let (content, _) = hash(b"nothing");
    let hold =
        Hold { cookie: sprat::wire::Cookie([1; 16]), content, size: 7, portions: Portions::WHOLE };
    network.inject(peer(1), peer(200), Message::Hold(hold).encode());
    network.inject(peer(2), peer(1), Message::Hold(hold).encode());
    network.run_for(SECOND * 3);
    let after = network.host(peer(1)).node.counters().dropped(DropReason::StrayAnswer);
    assert_eq!(after - before, 4);
    assert_eq!(tracker_counts(&mut network, DropReason::StaleCookie), 1);
    assert!(!network.elsewhere.iter().any(|flight| flight.to == address));
}

/// `--peer` names one host; that one tells of the others.
#[test]
fn a_peer_that_was_named_tells_of_others_too() {
    let mut network = islands(9, Link::CLEAN);
    for number in 1..=5 {
        network.start(Start {
            address: peer(number),
            also: None,
            serves: true,
            seed: [0; 32],
            peers: if number == 1 { Vec::new() } else { vec![peer(1)] },
            trackers: Vec::new(),
            tracks: false,
            clock: Clock::of_the_world(),
            restraint: Restraint::default(),
        });
        network.host(peer(number)).put(&format!("file{number}"), &[number; 9], None);
    }
    network.run_for(SECOND * 30);
    for (at, host) in &network.hosts {
        eprintln!("{at}: {:?} {:?}", host.node.host_views(), host.node.counters());
    }
    network.run_until(SECOND * 30, |network| all_see_all(network, 1..=5));
}
