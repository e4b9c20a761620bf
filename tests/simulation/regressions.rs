//! What seeds have found, each as the smallest story that shows it. The log of the seeds is in
//! `docs/simulation-log.md`; a seed means another run once the drawing changes, a story stays what it is.

use std::time::Duration;

use sprat::node::input::Extent;
use sprat::wire::RefuseReason;

use crate::chance::run::run;
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
        assert!(took < SECOND * 4 + SECOND / 2, "{comes_at}: {took:?}");
    }
}

/// Seeds 13249, 26718 and others: the clock jumped over a suspend while packets were on their way. What came then
/// was taken for a round trip of weeks, and the next loss was noticed after five seconds.
#[test]
fn a_clock_that_jumps_says_nothing_about_the_way() {
    let data = bytes(5, 1_500_000);
    let link = Link { lost: 50, rate: 1_000_000, ..Link::CLEAN };
    for jumps_at in (50..1_000).step_by(50) {
        let mut network = network_with(jumps_at, link, &[1], &data);
        network.host(fetcher(100)).fetch(request(&data, "got", &[peer(1)]));
        network.run_for(Duration::from_millis(jumps_at));
        network.host(fetcher(100)).clock.jump(SECOND * 86_400 * 50);
        let took = fetch_to_end(&mut network, SECOND * 30);
        expect_done(&mut network, &data);
        assert!(took < SECOND * 5, "{jumps_at}: {took:?}");
    }
}

/// Seed 6439: a bitmap of one byte came in answer to a grant by 8,896 and counted as a proof that so much gets through.
/// All that was longer was lost from then on, and the bitmaps that came every second hid the silence.
#[test]
fn a_bitmap_is_no_proof_that_long_packets_get_through() {
    let data = bytes(6, 196_603);
    for longest in [1_252, 1_472] {
        let delay = Duration::from_millis(150);
        let link = Link { delay, rate: 1_000_000, longest, ..Link::CLEAN };
        let mut network = network_with(6, link, &[2], &data);
        let extent = Extent { start: 65_536, length: 131_067 };
        network.add(peer(1)).put_partial(&data, vec![extent]);
        network.run_for(SECOND);
        network.host(fetcher(100)).fetch(request(&data, "got", &[peer(1), peer(2)]));
        let took = fetch_to_end(&mut network, SECOND * 60);
        expect_done(&mut network, &data);
        assert!(took < SECOND * 12, "{longest}: {took:?}");
    }
}

/// Seed 8756: a forger's chain is gone by, and only a block of the true one refutes it. Of those who make the true claim
/// always the first was asked for it, and the first four gave nothing.
#[test]
fn who_makes_the_true_claim_and_gives_nothing_stands_in_nobodys_way() {
    let data = bytes(7, 603_240);
    let (forged, chain) = forge(&data, 3, 5);
    let link = Link { delay: Duration::from_millis(150), rate: 1_000_000, ..Link::CLEAN };
    let mut network = network_with(7, link, &[50], &data);
    let idle =
        [Manner::Refuses(RefuseReason::Busy), Manner::WrongKind, Manner::Silent, Manner::CutsShort];
    for (number, manner) in (1..).zip(idle) {
        let host = network.add(peer(number));
        host.put("file", &data, None);
        host.liar.manner = manner;
    }
    network.add(peer(5)).put("file", &forged, Some((hash(&data).0, chain)));
    network.run_for(SECOND * 3);
    let sources: Vec<_> = (1..=5).chain([50]).map(peer).collect();
    network.host(fetcher(100)).fetch(request(&data, "got", &sources));
    let took = fetch_to_end(&mut network, SECOND * 90);
    expect_done(&mut network, &data);
    assert!(took < SECOND * 30, "{took:?}");
}

/// Seed 1954: the way became narrower while several sources went. Before any of them had been silent for long enough to be
/// asked for less, others were given what it had been asked for, which had gone.
#[test]
fn a_way_that_has_become_narrower_is_found_out_beside_sources_that_are_gone() {
    let data = bytes(8, 3_000_000);
    let link = Link { rate: 1_000_000, longest: 1_472, ..Link::CLEAN };
    let mut network = network_with(8, link, &[1, 2, 3, 4], &data);
    let sources: Vec<_> = (1..=4).map(peer).collect();
    network.host(fetcher(100)).fetch(request(&data, "got", &sources));
    network.run_for(SECOND);
    for number in [1, 2, 4] {
        network.cut_off.push(peer(number));
    }
    network.link.longest = 1_252;
    network.link.delay = Duration::from_millis(30);
    let took = fetch_to_end(&mut network, SECOND * 60);
    expect_done(&mut network, &data);
    assert!(took < SECOND * 15, "{took:?}");
}

/// The first answer to a call came in the name of an honest source, and told of another size. What that source answered to later
/// calls was passed over for half a minute, until it was asked anew. No story shorter than the seed shows it.
#[test]
fn a_false_answer_to_a_call_does_not_hide_whom_it_names() {
    run(6_840);
}
