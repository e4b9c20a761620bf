//! Sources that lie, each in its own way, beside one that does not.

use std::net::SocketAddr;
use std::time::Duration;

use sprat::content::ChainId;
use sprat::node::input::FetchRequest;
use sprat::node::output::FetchEnding;
use sprat::wire::{Answer, Cookie, Holding, InstanceId, Message, RefuseReason, Tell, decode};

use super::story::{SECOND, expect_done, fetch_to_end, network_with, put_chain, put_chunk};
use crate::model::contents::{bytes, forge, hash, request};
use crate::model::liar::Manner;
use crate::model::link::Link;
use crate::model::network::{Network, fetcher, peer};

/// Liars with low numbers, so that they come first wherever the order decides, and an honest host.
fn with_liars(seed: u64, manner: Manner, liars: u8, data: &[u8]) -> Network {
    liars_over(Link { rate: 12_500_000, ..Link::CLEAN }, seed, manner, liars, data)
}

fn liars_over(link: Link, seed: u64, manner: Manner, liars: u8, data: &[u8]) -> Network {
    let mut network = network_with(seed, link, &[50], data);
    for number in 1..=liars {
        let host = network.add(peer(number));
        host.put("file", data, None);
        host.liar.manner = manner;
    }
    network.run_for(SECOND * 2);
    network
}

fn sources(liars: u8) -> Vec<SocketAddr> {
    (1..=liars).chain([50]).map(peer).collect()
}

#[test]
fn no_manner_of_lying_stops_a_fetch() {
    for manner in Manner::OF_SOURCES {
        for (liars, size) in [(1, 1_000), (1, 2_000_000), (3, 700_000), (7, 2_000_000)] {
            eprintln!("{liars} that {manner:?}, {size} bytes");
            let data = bytes(1, size);
            let mut network = with_liars(1, manner, liars, &data);
            network.host(fetcher(100)).fetch(request(&data, "got", &sources(liars)));
            let took = fetch_to_end(&mut network, SECOND * 20);
            expect_done(&mut network, &data);
            assert!(took < SECOND * 10, "{manner:?}: {took:?}");
        }
    }
}

#[test]
fn liars_that_were_named_first_make_room_for_who_was_named_last() {
    // More of them than are asked at a time.
    let data = bytes(5, 700_000);
    let mut network = with_liars(5, Manner::FlipsBits, 0, &data);
    for number in (1..=180).filter(|&number| !matches!(number, 50 | 100)) {
        let host = network.add(peer(number));
        host.put("file", &data, None);
        host.liar.manner = Manner::FlipsBits;
    }
    network.run_for(SECOND * 2);
    let named = (1..=180).filter(|&number| !matches!(number, 50 | 100)).chain([50]).map(peer);
    let named: Vec<SocketAddr> = named.collect();
    let request = FetchRequest { alone: true, ..request(&data, "got", &named) };
    network.host(fetcher(100)).fetch(request);
    let took = fetch_to_end(&mut network, SECOND * 60);
    expect_done(&mut network, &data);
    assert!(took < SECOND * 10, "{took:?}");
}

#[test]
fn where_there_is_one_block_a_chains_name_means_nothing() {
    let data = bytes(2, 1_000);
    let content = hash(&data).0;
    let mut network = network_with(2, Link::CLEAN, &[50], &data);
    let liar = network.add(peer(1));
    liar.put("file", &data, Some((content, vec![1, 2, 3])));
    liar.liar.manner = Manner::Silent;
    network.run_for(SECOND * 2);
    network.host(fetcher(100)).fetch(request(&data, "got", &sources(1)));
    fetch_to_end(&mut network, SECOND * 5);
    expect_done(&mut network, &data);
}

/// Answers the latest call of a fetch in many names, each with a chain of its own.
fn answer_in_many_names(network: &mut Network, data: &[u8]) {
    let calls = std::mem::take(&mut network.calls);
    let call = calls.iter().rev().find_map(|(from, bytes)| match decode(bytes) {
        Ok(Message::Ask(ask)) if ask.to_many => Some((*from, ask.nonce)),
        _ => None,
    });
    let Some((to, nonce)) = call else { return };
    for number in 0..300u16 {
        let chain = ChainId([number as u8; 20]);
        let size = data.len() as u64;
        let tell = Tell {
            nonce,
            cookie: Cookie([1; 16]),
            instance: InstanceId([number as u8; 16]),
            age: None,
            answer: Answer::Content { holding: Holding::Whole, chain, size, blocks_held: 9 },
        };
        let from = SocketAddr::from(([10, 0, 0, 201], 1_000 + number));
        network.inject(from, to, Message::Tell(tell).encode());
    }
}

#[test]
fn made_up_answers_leave_room_for_the_honest_one() {
    let data = bytes(3, 500_000);
    let mut network = Network::new(3, Link::CLEAN);
    network.add(fetcher(100)).fetch(request(&data, "got", &[]));
    for _ in 0..200 {
        network.run_for(SECOND / 20);
        answer_in_many_names(&mut network, &data);
    }
    network.add(peer(50)).put("file", &data, None);
    for _ in 0..600 {
        network.run_for(SECOND / 20);
        if network.hosts[&fetcher(100)].ending.is_some() {
            break;
        }
        answer_in_many_names(&mut network, &data);
    }
    expect_done(&mut network, &data);
}

#[test]
fn an_answer_in_anothers_name_does_not_stop_it() {
    let data = bytes(4, 3_000_000);
    let link = Link { rate: 1_000_000, ..Link::CLEAN };
    let mut network = network_with(4, link, &[1], &data);
    network.host(fetcher(100)).fetch(request(&data, "got", &[peer(1)]));
    network.run_for(SECOND / 2);
    for _ in 0..40 {
        network.run_for(SECOND / 20);
        let nonce = network.calls.iter().rev().find_map(|(_, bytes)| match decode(bytes) {
            Ok(Message::Ask(ask)) if ask.to_many => Some(ask.nonce),
            _ => None,
        });
        let (holding, chain) = (Holding::Nothing, ChainId([0; 20]));
        let tell = Tell {
            nonce: nonce.unwrap_or_default(),
            cookie: Cookie([1; 16]),
            instance: InstanceId([1; 16]),
            age: None,
            answer: Answer::Content { holding, chain, size: 0, blocks_held: 0 },
        };
        network.inject(peer(1), fetcher(100), Message::Tell(tell).encode());
    }
    let took = fetch_to_end(&mut network, SECOND * 3);
    assert!(took < SECOND * 2, "{took:?}");
    expect_done(&mut network, &data);
}

#[test]
fn the_true_size_is_proven_although_others_claim_many() {
    let data = bytes(5, 200_001);
    let mut network = with_liars(5, Manner::NewSizes, 5, &data);
    let mut wanted = request(&data, "got", &sources(5));
    wanted.size = 200_000;
    network.host(fetcher(100)).fetch(wanted);
    fetch_to_end(&mut network, SECOND * 60);
    let ending = network.host(fetcher(100)).ending.clone();
    assert_eq!(ending, Some(FetchEnding::WrongSize { size: 200_001 }));
}

#[test]
fn the_true_size_is_proven_over_a_bad_link() {
    for seed in 0..20 {
        let data = bytes(6, 200_001);
        let mut network = network_with(seed, Link { lost: 300, ..Link::CLEAN }, &[1], &data);
        let mut wanted = request(&data, "got", &[peer(1)]);
        wanted.size = 200_000;
        network.host(fetcher(100)).fetch(wanted);
        fetch_to_end(&mut network, SECOND * 60);
        let ending = network.host(fetcher(100)).ending.clone();
        assert_eq!(ending, Some(FetchEnding::WrongSize { size: 200_001 }), "seed {seed}");
    }
}

/// The blocks of a forged file are stored, and some are being checked or written, when the honest chain
/// wins: none of them may be left, and the chunk files go on where they end.
#[test]
fn what_was_stored_under_a_false_chain_is_taken_back_at_any_moment() {
    for seed in 0..40 {
        let data = bytes(seed as u8, 30 * 65_536 + 5);
        let content = hash(&data).0;
        let from = seed % 7;
        let (forged, chain) = forge(&data, from, 12 + seed % 15);
        let link = Link { rate: 6_000_000, ..Link::CLEAN };
        let mut network = Network::new(seed, link);
        let liar = network.add(peer(1));
        liar.put("file", &forged, Some((content, chain.clone())));
        network.run_for(SECOND * 3);
        if seed % 2 == 0 {
            // The blocks of an earlier run, under the false chain.
            let disk = network.disk_of(fetcher(100));
            put_chunk(&disk, &data, 0, forged[..(3 + seed as usize % 8) * 65_536].to_vec());
            put_chain(&disk, &data, chain);
        }
        let host = network.add(fetcher(100));
        host.slowness = Duration::from_millis(2 + seed % 30);
        host.fetch(request(&data, "got", &[peer(1), peer(50)]));
        network.run_for(Duration::from_millis(20 + seed * 11 % 160));
        let honest = network.add(peer(50));
        honest.remove("file");
        honest.put("file", &data, None);
        fetch_to_end(&mut network, SECOND * 30);
        expect_done(&mut network, &data);
    }
}

#[test]
fn a_busy_host_is_not_blamed() {
    let data = bytes(8, 300_000);
    let manner = Manner::Refuses(RefuseReason::Busy);
    let mut network = with_liars(8, manner, 1, &data);
    network.host(fetcher(100)).fetch(request(&data, "got", &[peer(1)]));
    network.run_for(SECOND * 2);
    network.host(peer(1)).liar.manner = Manner::Honest;
    let took = fetch_to_end(&mut network, SECOND * 5);
    assert!(took < SECOND, "{took:?}");
    expect_done(&mut network, &data);
}

/// Two liars are false up to different blocks. The block by which the one refutes the other says nothing
/// about the honest chain, whichever of them is settled first.
#[test]
fn liars_that_contradict_each_other_do_not_refute_the_honest_one() {
    for seed in 0..120 {
        let data = bytes(9, 18 * 65_536 + 5);
        let content = hash(&data).0;
        let mut network = network_with(seed, Link::CLEAN, &[2], &data);
        network.far.insert(peer(2), Duration::from_millis(10));
        for (number, to) in [(1, 12), (3, 5)] {
            let (forged, chain) = forge(&data, 0, to);
            let host = network.add(peer(number));
            host.put("file", &forged, Some((content, chain)));
        }
        // The second answers after the honest one, by more and more.
        network.far.insert(peer(3), Duration::from_micros(10_000 + seed * 100));
        network.run_for(SECOND * 2);
        let host = network.host(fetcher(100));
        host.fetch(request(&data, "got", &[peer(1), peer(2), peer(3)]));
        fetch_to_end(&mut network, SECOND * 20);
        expect_done(&mut network, &data);
    }
}

#[test]
fn liars_cost_a_few_blocks() {
    let data = bytes(11, 40 * 65_536 + 99);
    let content = hash(&data).0;
    for (seed, liars) in [(0, 1u8), (1, 3), (2, 7)] {
        for manner in [Manner::FlipsBits, Manner::Silent] {
            let mut network = network_with(seed, Link::CLEAN, &[50], &data);
            for liar in 1..=liars {
                let host = network.add(peer(liar));
                host.put("file", &data, None);
                host.liar.manner = manner;
            }
            network.run_for(SECOND * 2);
            let sources: Vec<_> = (1..=liars).chain([50]).map(peer).collect();
            network.host(fetcher(100)).fetch(request(&data, "got", &sources));
            fetch_to_end(&mut network, SECOND * 30);
            expect_done(&mut network, &data);
            expect_little_waste(&network, &data);
        }
        for (from, to) in [(0, 40), (0, 10), (5, 6), (0, 41), (39, 40)] {
            let mut network = network_with(seed, Link::CLEAN, &[50], &data);
            for liar in 1..=liars {
                let (forged, chain) = forge(&data, from, to);
                let host = network.add(peer(liar));
                host.put("file", &forged, Some((content, chain)));
            }
            network.run_for(SECOND * 2);
            let sources: Vec<_> = (1..=liars).chain([50]).map(peer).collect();
            network.host(fetcher(100)).fetch(request(&data, "got", &sources));
            fetch_to_end(&mut network, SECOND * 30);
            expect_done(&mut network, &data);
            expect_little_waste(&network, &data);
        }
    }
}

/// At most 5 % and 1 MiB more than the file came in, headers aside.
fn expect_little_waste(network: &Network, data: &[u8]) {
    let came = network.bytes_in[&fetcher(100)];
    let most = data.len() as u64 * 107 / 100 + (1 << 20);
    assert!(came <= most, "{came} bytes for {}", data.len());
}

#[test]
fn an_honest_source_after_liars_alone() {
    let data = bytes(12, 30 * 65_536);
    let content = hash(&data).0;
    let (forged, chain) = forge(&data, 0, 20);
    let mut network = Network::new(12, Link::CLEAN);
    for liar in 1..=3 {
        let claimed = Some((content, chain.clone()));
        network.add(peer(liar)).put("file", &forged, claimed);
    }
    network.run_for(SECOND * 3);
    let sources = [peer(1), peer(2), peer(3)];
    network.add(fetcher(100)).fetch(request(&data, "got", &sources));
    network.run_for(SECOND * 10);
    assert_eq!(network.host(fetcher(100)).ending, None);
    network.add(peer(50)).put("file", &data, None);
    fetch_to_end(&mut network, SECOND * 30);
    expect_done(&mut network, &data);
}

/// One way to a host is left alone while another is good. Who says to be an honest host, begins first and gives slowly,
/// must not keep it from being asked.
#[test]
fn who_says_to_be_another_host_does_not_keep_it_from_giving() {
    let data = bytes(8, 8_000_000);
    let mut network = network_with(8, Link { rate: 12_500_000, ..Link::CLEAN }, &[50], &data);
    network.add(peer(1)).put("file", &data, None);
    network.run_for(SECOND * 2);
    let instance = network.host(peer(50)).node.instance().expect("a peer has one");
    network.host(peer(1)).liar.manner = Manner::Impostor(instance);
    // More than a way has to give to be worth having, and far less than the honest one gives.
    network.rates_out.insert(peer(1).ip(), 700_000);
    network.host(fetcher(100)).fetch(request(&data, "got", &[peer(1)]));
    let took = fetch_to_end(&mut network, SECOND * 20);
    expect_done(&mut network, &data);
    assert!(took < SECOND * 3, "{took:?}: the honest one alone needs 0.7 seconds");
}

/// It begins as fast as the honest one does, and all but stops as soon as that is taken for a second way to it.
#[test]
fn who_says_to_be_another_host_and_then_slows_down_costs_a_few_seconds() {
    let data = bytes(9, 60_000_000);
    let mut network = network_with(9, Link { rate: 12_500_000, ..Link::CLEAN }, &[50], &data);
    network.add(peer(1)).put("file", &data, None);
    network.run_for(SECOND * 2);
    let instance = network.host(peer(50)).node.instance().expect("a peer has one");
    network.host(peer(1)).liar.manner = Manner::Impostor(instance);
    network.host(fetcher(100)).fetch(request(&data, "got", &[peer(1), peer(50)]));
    network.run_for(SECOND);
    network.rates_out.insert(peer(1).ip(), 20_000);
    let took = fetch_to_end(&mut network, SECOND * 60);
    expect_done(&mut network, &data);
    assert!(took < SECOND * 9, "{took:?}: the honest one alone needs five seconds");
}

/// They are fast, and the file is short: what they are asked for before their first blocks are looked at must not be the
/// most of it.
#[test]
fn who_has_not_proven_anything_is_not_asked_for_much() {
    let data = bytes(13, 100 * 65_536);
    let link = Link { rate: 25_000_000, delay: Duration::from_millis(5), ..Link::CLEAN };
    let mut network = liars_over(link, 13, Manner::FlipsBits, 7, &data);
    network.host(fetcher(100)).fetch(request(&data, "got", &sources(7)));
    fetch_to_end(&mut network, SECOND * 30);
    expect_done(&mut network, &data);
    let came = network.bytes_in[&fetcher(100)];
    // Two blocks of each.
    let most = data.len() as u64 * 107 / 100 + 7 * 2 * 66_000;
    assert!(came <= most, "{came} bytes for {}", data.len());
}

/// Two blocks are on their way when the first one is looked at, and that was the second chance: a third one is not
/// asked for, however long it goes on.
#[test]
fn a_liar_is_asked_for_two_blocks_in_all() {
    let data = bytes(15, 150 * 65_536);
    let link = Link { rate: 1_250_000, delay: Duration::from_millis(15), ..Link::CLEAN };
    let mut network = liars_over(link, 15, Manner::FlipsBits, 3, &data);
    network.host(fetcher(100)).fetch(request(&data, "got", &sources(3)));
    let took = fetch_to_end(&mut network, SECOND * 30);
    expect_done(&mut network, &data);
    assert!(took > SECOND * 5, "long enough to be asked again: {took:?}");
    for liar in 1..=3 {
        let given = network.host(peer(liar)).liar.given;
        assert!((1..=2 * 65_536).contains(&given), "{given} bytes");
    }
}

/// They leave a packet out of each block, so that others finish it, and nobody knows who spoilt it.
#[test]
fn who_leaves_the_end_to_others_is_asked_ever_more_seldom() {
    let data = bytes(16, 600 * 65_536);
    let link = Link { rate: 12_500_000, delay: Duration::from_millis(15), ..Link::CLEAN };
    let mut network = liars_over(link, 16, Manner::Shifts, 7, &data);
    network.host(fetcher(100)).fetch(request(&data, "got", &sources(7)));
    fetch_to_end(&mut network, SECOND * 30);
    expect_done(&mut network, &data);
    expect_little_waste(&network, &data);
}

/// Nobody is there but liars, for a minute: they are asked again and again, and more and more seldom.
#[test]
fn liars_alone_are_asked_for_little() {
    let data = bytes(14, 200 * 65_536);
    let content = hash(&data).0;
    for forges in [false, true] {
        let mut network = Network::new(14, Link { rate: 12_500_000, ..Link::CLEAN });
        for liar in 1..=3 {
            let (forged, chain) = forge(&data, 0, 200);
            let host = network.add(peer(liar));
            if forges {
                host.put("file", &forged, Some((content, chain)));
            } else {
                host.put("file", &data, None);
                host.liar.manner = Manner::FlipsBits;
            }
        }
        network.run_for(SECOND * 2);
        network.add(fetcher(100)).fetch(request(&data, "got", &[peer(1), peer(2), peer(3)]));
        network.run_for(SECOND * 60);
        assert_eq!(network.host(fetcher(100)).ending, None);
        let came = network.bytes_in[&fetcher(100)];
        let most = data.len() as u64 / 20 + (1 << 20);
        assert!(came <= most, "{came} bytes of {}, forged: {forges}", data.len());
        network.add(peer(50)).put("file", &data, None);
        fetch_to_end(&mut network, SECOND * 30);
        expect_done(&mut network, &data);
    }
}
