//! Strangers on the network who want to be taken for others, or to be in the way of discovery.

use std::net::SocketAddr;

use sprat::node::Random;
use sprat::wire::{Announce, InstanceId, ListingDigest, ListingSummary, Message};

use super::host::Disk;
use super::liar::Manner;
use super::network::{Link, Network, peer};
use super::story::SECOND;

fn announcement(instance: InstanceId, random: &mut Random) -> Vec<u8> {
    let digest = ListingDigest::of(&random.next_u64().to_be_bytes());
    let listing = ListingSummary { digest, length: 100, files: 1 };
    Message::Announce(Announce { instance, listing }).encode()
}

fn listed(network: &Network, at: u8, text: &str) -> bool {
    network.hosts[&peer(at)].directory.contains(text)
}

#[test]
fn who_claims_to_be_another_host_does_not_take_its_place() {
    let mut network = Network::new(41, Link::CLEAN);
    network.add(peer(20), Disk::default()).put("genuine", b"genuine", None);
    network.add(peer(30), Disk::default());
    network.run_until(SECOND * 5, |network| listed(network, 30, "genuine"));
    let instance = network.host(peer(20)).node.instance().unwrap();
    // It has the better address.
    let impostor = network.add(peer(1), Disk::default());
    impostor.liar.manner = Manner::Impostor(instance);
    impostor.put("invented", b"invented", None);
    for _ in 0..30 {
        network.run_for(SECOND);
        assert!(listed(&network, 30, "genuine"));
    }
}

#[test]
fn announcements_alone_keep_nobody_in_the_directory() {
    let mut network = Network::new(42, Link::CLEAN);
    network.add(peer(1), Disk::default()).put("gone", b"gone", None);
    network.add(peer(2), Disk::default());
    network.run_until(SECOND * 5, |network| listed(network, 2, "gone"));
    let instance = network.host(peer(1)).node.instance().unwrap();
    network.crash(peer(1));
    let mut random = Random::new([42; 32]);
    for _ in 0..60 {
        network.run_for(SECOND);
        network.inject(peer(1), peer(2), announcement(instance, &mut random));
    }
    assert!(!listed(&network, 2, "gone"));
}

#[test]
fn false_announcements_in_its_name_do_not_keep_a_host_from_being_heard() {
    let link = Link { delay: std::time::Duration::from_millis(20), ..Link::CLEAN };
    let mut network = Network::new(43, link);
    network.add(peer(1), Disk::default());
    network.add(peer(2), Disk::default());
    network.run_for(SECOND * 3);
    let mut random = Random::new([43; 32]);
    network.host(peer(1)).put("new", b"new", None);
    for _ in 0..1_000 {
        network.run_for(SECOND / 200);
        let instance = InstanceId(random.bytes16());
        network.inject(peer(1), peer(2), announcement(instance, &mut random));
    }
    assert!(listed(&network, 2, "new"));
}

#[test]
fn hosts_that_drip_their_listings_hold_up_nobody() {
    let mut network = Network::new(44, Link::CLEAN);
    for number in 1..=12 {
        let host = network.add(peer(number), Disk::default());
        host.liar.manner = Manner::Drips;
        for file in 0..200u8 {
            host.put(&format!("invented by {number}, {file}"), &[number, file], None);
        }
    }
    network.add(peer(60), Disk::default());
    network.run_for(SECOND * 5);
    network.add(peer(50), Disk::default()).put("genuine", b"genuine", None);
    network.run_until(SECOND * 40, |network| listed(network, 60, "genuine"));
}

#[test]
fn a_flood_of_announcements_leaves_known_hosts_alone() {
    let mut network = Network::new(45, Link::CLEAN);
    network.add(peer(1), Disk::default()).put("known", b"known", None);
    network.add(peer(2), Disk::default());
    network.run_until(SECOND * 5, |network| listed(network, 2, "known"));
    let mut random = Random::new([45; 32]);
    for number in 0..5_000u16 {
        let from = SocketAddr::from(([10, 0, 0, 77], 1_024 + number));
        let instance = InstanceId(random.bytes16());
        network.inject(from, peer(2), announcement(instance, &mut random));
    }
    network.run_for(SECOND * 20);
    assert!(listed(&network, 2, "known"));
    network.host(peer(1)).put("later", b"later", None);
    network.run_until(SECOND * 3, |network| listed(network, 2, "later"));
}

#[test]
fn a_way_that_is_longer_than_the_patience_for_an_answer() {
    let link = Link { delay: std::time::Duration::from_millis(750), ..Link::CLEAN };
    let mut network = Network::new(46, link);
    network.add(peer(1), Disk::default()).put("far", b"far", None);
    network.add(peer(2), Disk::default());
    network.run_until(SECOND * 20, |network| listed(network, 2, "far"));
    for _ in 0..60 {
        network.run_for(SECOND);
        assert!(listed(&network, 2, "far"), "{}", network.now);
    }
}
