//! What seeds have found, each as the smallest story that shows it. The log of the seeds is in
//! `docs/simulation-log.md`; a seed means another run once the drawing changes, a story stays what it is.

use std::time::Duration;

use sprat::node::input::Extent;
use sprat::wire::RefuseReason;

use crate::model::contents::{bytes, forge, hash, request};
use crate::model::liar::Manner;
use crate::model::link::Link;
use crate::model::network::{Network, fetcher, peer};
use crate::stories::story::{SECOND, expect_done, fetch_to_end, network_with};

/// Seed 0 of the first draw: 1.5 million datagrams for a file of no bytes. A peer whose listing is refused asked
/// again at once, as fast as the way is short.
#[test]
fn a_host_that_refuses_its_listing_is_left_alone_for_a_while() {
    for reason in [RefuseReason::Busy, RefuseReason::TooLong, RefuseReason::StaleCookie] {
        let mut network = Network::new(1, Link::CLEAN);
        network.add(peer(1)).put("file", b"file", None);
        network.host(peer(1)).liar.manner = Manner::Refuses(reason);
        network.add(peer(2));
        network.run_for(SECOND * 10);
        let said = network.bytes_out[&peer(2)];
        assert!(said < 20_000, "{reason}: {said} bytes");
    }
}

/// Seven hosts that tell cookies which they refuse: each of them was given everything again and again.
#[test]
fn hosts_whose_cookies_are_none_hold_up_nothing() {
    let data = bytes(1, 2_000_000);
    let mut network = network_with(1, Link { rate: 12_500_000, ..Link::CLEAN }, &[50], &data);
    for number in 1..=7 {
        let host = network.add(peer(number));
        host.put("file", &data, None);
        host.liar.manner = Manner::FalseCookies;
    }
    network.run_for(SECOND * 2);
    let sources: Vec<_> = (1..=7).chain([50]).map(peer).collect();
    network.host(fetcher(100)).fetch(request(&data, "got", &sources));
    let took = fetch_to_end(&mut network, SECOND * 20);
    expect_done(&mut network, &data);
    assert!(took < SECOND * 5, "{took:?}");
}

/// A source with two bad blocks (a damaged way) beside a better one, which then goes: it was left alone for five
/// minutes, though it had become the only one.
#[test]
fn who_was_set_aside_while_there_were_others_is_tried_when_there_are_none() {
    for holder_of_a_part in [false, true] {
        let data = bytes(2, 8_000_000);
        let link = Link { rate: 2_000_000, ..Link::CLEAN };
        let mut network = network_with(2, link, &[1, 2], &data);
        network.host(peer(1)).liar.manner = Manner::FlipsBits;
        let mut sources = vec![peer(1), peer(2)];
        if holder_of_a_part {
            // It is there, it is honest, and it has nothing that is missing in the end.
            network.add(peer(3)).put_partial(&data, vec![Extent { start: 0, length: 65_536 }]);
            network.run_for(SECOND);
            sources.push(peer(3));
        }
        network.host(fetcher(100)).fetch(request(&data, "got", &sources));
        network.run_for(SECOND);
        network.host(peer(1)).liar.manner = Manner::Honest;
        network.cut_off.push(peer(2));
        network.run_for(SECOND * 2);
        assert_eq!(network.host(fetcher(100)).ending, None, "four seconds are the least");
        let took = fetch_to_end(&mut network, SECOND * 20);
        expect_done(&mut network, &data);
        assert!(took < SECOND * 5, "{took:?}");
    }
}

/// Seed 208 of the first draw: the honest source was silent for a moment while the chain of a forger was gone by.
/// Nothing was asked of it any more, so nothing could show that it was back.
#[test]
fn a_source_that_fell_silent_is_heard_when_it_is_back() {
    let data = bytes(3, 5 * 65_536);
    let (forged, chain) = forge(&data, 1, 4);
    let link = Link { delay: Duration::from_millis(30), rate: 12_500_000, ..Link::CLEAN };
    for silent_at in (40..400).step_by(20) {
        let mut network = network_with(3, link, &[2], &data);
        network.add(peer(1)).put("file", &forged, Some((hash(&data).0, chain.clone())));
        network.run_for(SECOND * 3);
        network.host(fetcher(100)).fetch(request(&data, "got", &[peer(1), peer(2)]));
        network.run_for(Duration::from_millis(silent_at));
        network.cut_off.push(peer(2));
        network.run_for(SECOND * 3);
        network.cut_off.clear();
        let took = fetch_to_end(&mut network, SECOND * 30);
        expect_done(&mut network, &data);
        assert!(took < SECOND * 6, "{silent_at}: {took:?}");
    }
}

/// Seeds 4, 21 and others of the first draw: who has only just called waited for five seconds, and for ten while
/// bytes came from somebody who then went.
#[test]
fn a_source_that_turns_up_is_found_within_five_seconds() {
    let data = bytes(4, 300_000);
    for comes_at in (0..8_000).step_by(500) {
        let mut network = Network::new(comes_at, Link::CLEAN);
        network.add(fetcher(100)).fetch(request(&data, "got", &[]));
        network.run_for(Duration::from_millis(comes_at));
        network.add(peer(1)).put("file", &data, None);
        let took = fetch_to_end(&mut network, SECOND * 10);
        expect_done(&mut network, &data);
        assert!(took < SECOND * 5, "{comes_at}: {took:?}");
    }
}
