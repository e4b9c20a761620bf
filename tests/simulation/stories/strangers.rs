//! Strangers on the network who want to be taken for others, or to be in the way of discovery.

use std::net::SocketAddr;

use sprat::content::ContentId;
use sprat::node::Random;
use sprat::wire::{Announce, InstanceId, ListingDigest, ListingSummary, Message, RefuseReason};

use super::story::SECOND;
use crate::model::contents::{bytes, hash};
use crate::model::liar::Manner;
use crate::model::link::Link;
use crate::model::network::{Network, fetcher, peer};

fn announcement(instance: InstanceId, random: &mut Random) -> Vec<u8> {
    let digest = ListingDigest::of(&random.next_u64().to_be_bytes());
    let listing = ListingSummary { digest, length: 100, files: 1 };
    Message::Announce(Announce { instance, listing, again_within: 0 }).encode()
}

fn listed(network: &Network, at: u8, text: &str) -> bool {
    network.hosts[&peer(at)].shows(text)
}

#[test]
fn who_claims_to_be_another_host_does_not_take_its_place() {
    let mut network = Network::new(41, Link::CLEAN);
    network.add(peer(20)).put("genuine", b"genuine", None);
    network.add(peer(30));
    network.run_until(SECOND * 5, |network| listed(network, 30, "genuine"));
    let instance = network.host(peer(20)).node.instance().unwrap();
    // It has the better address.
    let impostor = network.add(peer(1));
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
    network.add(peer(1)).put("gone", b"gone", None);
    network.add(peer(2));
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
    network.add(peer(1));
    network.add(peer(2));
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
        let host = network.add(peer(number));
        host.liar.manner = Manner::Drips;
        for file in 0..200u8 {
            host.put(&format!("invented by {number}, {file}"), &[number, file], None);
        }
    }
    network.add(peer(60));
    network.run_for(SECOND * 5);
    network.add(peer(50)).put("genuine", b"genuine", None);
    network.run_until(SECOND * 40, |network| listed(network, 60, "genuine"));
}

/// One machine that lists what it does not send costs a look a second; a slow one is waited for.
#[test]
fn a_listing_that_never_comes_does_not_hold_up_a_look() {
    let manners = [
        (Manner::Silent, SECOND * 3),
        (Manner::Refuses(RefuseReason::Busy), SECOND * 3),
        (Manner::Honest, SECOND * 2),
        (Manner::Drips, SECOND * 11),
    ];
    for (manner, limit) in manners {
        let mut network = Network::new(46, Link::CLEAN);
        let liar = network.add(peer(1));
        liar.liar.manner = manner;
        for file in 0..200u8 {
            liar.put(&format!("invented {file}"), &[file], None);
        }
        network.add(peer(2)).put("genuine", b"genuine", None);
        network.run_for(SECOND * 5);
        network.add(fetcher(1)).look_over(SECOND * 10);
        let took = network.run_until(SECOND * 11, |network| network.hosts[&fetcher(1)].has_looked);
        assert!(took < limit, "{manner:?}: {took:?}");
        let hosts = network.hosts[&fetcher(1)].node.hosts_seen();
        let names = hosts.iter().filter_map(|host| host.files()).flat_map(|files| files.iter());
        assert!(names.map(|file| file.name.as_str()).any(|name| name == "genuine"), "{manner:?}");
    }
}

#[test]
fn a_flood_of_announcements_leaves_known_hosts_alone() {
    let mut network = Network::new(45, Link::CLEAN);
    network.add(peer(1)).put("known", b"known", None);
    network.add(peer(2));
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
    network.add(peer(1)).put("far", b"far", None);
    network.add(peer(2));
    network.run_until(SECOND * 20, |network| listed(network, 2, "far"));
    for _ in 0..60 {
        network.run_for(SECOND);
        assert!(listed(&network, 2, "far"), "{}", network.now);
    }
}

#[test]
fn nobody_gets_more_than_was_sent_before_proving_the_address() {
    let mut network = Network::new(24, Link::CLEAN);
    let data = bytes(24, 100_000);
    network.add(peer(1)).put("file", &data, None);
    network.run_for(SECOND * 3);
    let victim = "10.0.0.66:5000".parse().unwrap();
    let before = network.bytes_out[&peer(1)];
    let mut random = Random::new([24; 32]);
    let mut sent = 0;
    for _ in 0..300 {
        for message in unproven_messages(&mut random, hash(&data).0) {
            sent += message.len() as u64;
            network.inject(victim, peer(1), message);
        }
    }
    network.run_for(SECOND * 4);
    // Its own announcements on the quiet network are not answers.
    let answered = network.bytes_out[&peer(1)] - before;
    assert!(answered <= sent + 10 * 80, "{answered} bytes out for {sent} in");
}

fn unproven_messages(random: &mut Random, content: ContentId) -> Vec<Vec<u8>> {
    use sprat::wire::{
        About, Announce, Ask, Cookie, Grant, InstanceId, ListingDigest, ListingSummary, Message,
        Object, ObjectRange, Ranges,
    };
    let instance = InstanceId(random.bytes16());
    let digest = ListingDigest::of(&random.next_u64().to_be_bytes());
    let listing = ListingSummary { digest, length: 100, files: 1 };
    let ask = |about| Ask {
        about,
        to_many: false,
        tell_hosts: false,
        hosts_from: 0,
        tell_age: false,
        nonce: 7,
        instance,
        cookie: Cookie([1; 16]),
    };
    let ranges = Ranges::new(&[ObjectRange { offset: 0, length: 65_536 }], 1_408).unwrap();
    let grant = Grant { nonce: 9, cookie: Cookie([2; 16]), object: Object::File(content), ranges };
    [
        Message::Announce(Announce { instance, listing, again_within: 0 }),
        Message::Ask(ask(About::Listing { has: ListingDigest::NONE })),
        Message::Ask(ask(About::Content { content, size: 100_000 })),
        Message::Grant(grant),
    ]
    .iter()
    .map(Message::encode)
    .collect()
}
