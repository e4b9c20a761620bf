//! Listings that change: what that costs those who listen, and what may go wrong on the way.

use std::time::Duration;

use sprat::node::{DropReason, Random};
use sprat::wire::{
    About, Ask, ChangesId, Cookie, DataHeader, DataKind, Grant, InstanceId, ListingDigest, Message,
    Object, ObjectRange, Ranges,
};

use super::story::SECOND;
use crate::model::liar::Manner;
use crate::model::link::Link;
use crate::model::network::{Network, peer};

const FILES: u32 = 2_000;

fn count(network: &Network, at: u8) -> usize {
    network.hosts[&peer(at)].directory.hosts().iter().map(|host| host.entries.len()).sum()
}

fn listed(network: &Network, at: u8, text: &str) -> bool {
    network.hosts[&peer(at)].shows(text)
}

fn dropped(network: &mut Network, at: u8, reason: DropReason) -> u64 {
    network.host(peer(at)).node.counters().dropped(reason)
}

/// One host with many files, and so many others who know them.
fn one_with_many_files(seed: u64, link: Link, listeners: u8) -> Network {
    let mut network = Network::new(seed, link);
    let host = network.add(peer(1));
    for number in 0..FILES {
        host.put(&format!("folder/file {number:05}"), &number.to_be_bytes(), None);
    }
    for number in 2..2 + listeners {
        network.add(peer(number));
    }
    network.run_until(SECOND * 60, |network| {
        (2..2 + listeners).all(|at| count(network, at) == FILES as usize)
    });
    // Until the announcements with which they came are over.
    network.run_for(SECOND * 8);
    network
}

/// Bytes that came in to a host from now until a file is listed there.
fn cost(network: &mut Network, at: u8, text: &str, limit: Duration) -> u64 {
    let before = network.bytes_in[&peer(at)];
    network.run_until(limit, |network| listed(network, at, text));
    network.bytes_in[&peer(at)] - before
}

#[test]
fn one_file_more_costs_a_listener_less_than_two_kilobytes() {
    let mut network = one_with_many_files(61, Link::CLEAN, 3);
    network.host(peer(1)).put("one more", b"one more", None);
    let bytes = cost(&mut network, 3, "one more", SECOND * 2);
    assert!(bytes < 600, "{bytes} bytes");
    network.host(peer(1)).remove("folder/file 00077");
    network.run_until(SECOND * 2, |network| !listed(network, 3, "folder/file 00077"));
    assert_eq!(count(&network, 3), FILES as usize);
}

#[test]
fn who_has_missed_some_listings_takes_one_way_to_the_newest() {
    let mut network = one_with_many_files(62, Link::CLEAN, 2);
    network.cut_off.push(peer(3));
    for number in 0..3 {
        network.host(peer(1)).put(&format!("missed {number}"), &[number], None);
        network.run_until(SECOND * 3, |network| listed(network, 2, &format!("missed {number}")));
    }
    network.cut_off.clear();
    let bytes = cost(&mut network, 3, "missed 2", SECOND * 8);
    assert!(bytes < 3_000, "{bytes} bytes");
    assert!(listed(&network, 3, "missed 0") && listed(&network, 3, "missed 1"));
}

/// Lost, late, twice: and the host changes five times a second for a minute.
#[test]
fn a_host_that_changes_all_the_time_is_followed() {
    let bad = Link {
        lost: 100,
        repeated: 50,
        delay: Duration::from_millis(20),
        jitter: Duration::from_millis(40),
        ..Link::CLEAN
    };
    for (seed, link) in [(63, Link::CLEAN), (64, bad)] {
        let mut network = one_with_many_files(seed, link, 2);
        let before = network.bytes_in[&peer(2)];
        let mut behind = 0;
        for number in 0_u32..300 {
            let host = network.host(peer(1));
            host.put(&format!("new {number:03}"), &number.to_le_bytes(), None);
            if let Some(old) = number.checked_sub(10) {
                host.remove(&format!("new {old:03}"));
            }
            network.run_for(SECOND / 5);
            // A file lasts two seconds, and is offered for the second of them.
            let shown = count(&network, 2).saturating_sub(FILES as usize);
            behind = if shown > 0 || number < 10 { 0 } else { behind + 1 };
            assert!(behind < 25, "seed {seed}: nothing new for {behind} fifths of a second");
        }
        network.run_until(SECOND * 5, |network| {
            [2, 3].iter().all(|&at| count(network, at) == FILES as usize + 10)
                && [2, 3].iter().all(|&at| listed(network, at, "new 299"))
        });
        // Far less than a listing each time.
        let bytes = network.bytes_in[&peer(2)] - before;
        assert!(bytes < 400_000, "seed {seed}: {bytes} bytes");
        assert_eq!(dropped(&mut network, 2, DropReason::BadListing), 0);
    }
}

#[test]
fn changes_that_lie_are_counted_and_the_listing_comes_whole() {
    let mut network = one_with_many_files(65, Link::CLEAN, 2);
    network.host(peer(1)).liar.manner = Manner::FlipsShortOthers;
    network.host(peer(1)).put("one more", b"one more", None);
    network.run_until(SECOND * 5, |network| listed(network, 2, "one more"));
    assert_eq!(dropped(&mut network, 2, DropReason::BadChanges), 1);
    assert_eq!(count(&network, 2), FILES as usize + 1);
}

#[test]
fn forged_news_and_news_for_a_digest_that_nobody_has_change_nothing() {
    let mut network = one_with_many_files(66, Link::CLEAN, 1);
    let mut random = Random::new([66; 32]);
    let before = network.bytes_out[&peer(1)];
    let mut came = 0;
    for _ in 0..500 {
        let digest = ListingDigest::of(&random.next_u64().to_be_bytes());
        let (nonce, instance) = (random.next_u64(), InstanceId(random.bytes16()));
        let about = About::Listing { has: digest };
        let cookie = Cookie(random.bytes16());
        let ask = Ask {
            about,
            to_many: false,
            tell_hosts: false,
            hosts_from: 0,
            tell_age: false,
            nonce,
            instance,
            cookie,
        };
        let ranges = Ranges::new(&[ObjectRange { offset: 0, length: 64 }], 512).unwrap();
        let object = Object::Changes(ChangesId::between(digest, digest));
        let grant = Grant { nonce, cookie, object, ranges };
        let mut header = [0; 20];
        DataHeader { kind: DataKind::Meta, nonce, offset: 0 }.write(&mut header);
        for bytes in [
            Message::Ask(ask).encode(),
            Message::Grant(grant).encode(),
            [&header[..], &[7; 64]].concat(),
        ] {
            came += bytes.len() as u64;
            // In the name of the listener, and of nobody.
            network.inject(peer(2), peer(1), bytes.clone());
            network.inject("10.0.0.66:5000".parse().unwrap(), peer(1), bytes.clone());
            network.inject(peer(1), peer(2), bytes);
        }
        network.run_for(SECOND / 100);
    }
    let answered = network.bytes_out[&peer(1)] - before;
    assert!(answered <= 2 * came + 20 * 80, "{answered} bytes out for {came} in");
    assert!(dropped(&mut network, 2, DropReason::StrayData) >= 500);
    assert!(dropped(&mut network, 1, DropReason::StaleCookie) >= 1_000);
    network.host(peer(1)).put("one more", b"one more", None);
    let bytes = cost(&mut network, 2, "one more", SECOND * 2);
    assert!(bytes < 600, "{bytes} bytes");
}
