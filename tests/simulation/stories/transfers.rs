//! Files from here to there: every size, over good ways and bad ones, from sources that come and go.

use std::time::Duration;

use sprat::node::Random;
use sprat::node::output::FetchEnding;

use super::story::{SECOND, expect_done, fetch_to_end, network_with};
use crate::model::contents::{bytes, forge, hash, request};
use crate::model::liar::Manner;
use crate::model::link::Link;
use crate::model::network::{Network, fetcher, peer};

#[test]
fn every_size_from_one_source() {
    for size in [1, 55, 64, 65_535, 65_536, 65_537, 3 * 65_536 + 17, 2_000_000] {
        let data = bytes(1, size);
        let mut network = network_with(size as u64, Link::CLEAN, &[1], &data);
        network.host(fetcher(100)).fetch(request(&data, "got", &[peer(1)]));
        fetch_to_end(&mut network, SECOND * 10);
        expect_done(&mut network, &data);
    }
}

#[test]
fn a_node_can_be_written_down_at_any_moment_and_goes_on_as_before() {
    let data = bytes(9, 700_000);
    let link = Link { lost: 30, jitter: Duration::from_millis(3), ..Link::CLEAN };
    let run = |is_restored| {
        let mut network = network_with(9, link, &[1, 2, 3], &data);
        network.host(peer(2)).liar.manner = Manner::Mostly;
        let (forged, chain) = forge(&data, 2, 5);
        network.add(peer(4)).put("file", &forged, Some((hash(&data).0, chain)));
        network.run_for(SECOND * 3);
        network.hosts.values_mut().for_each(|host| host.is_restored = is_restored);
        let sources = [peer(1), peer(2), peer(3), peer(4)];
        network.host(fetcher(100)).fetch(request(&data, "got", &sources));
        fetch_to_end(&mut network, SECOND * 20);
        network.run_for(SECOND * 12);
        expect_done(&mut network, &data);
        network.log.value()
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn the_empty_file_needs_nobody() {
    let mut network = Network::new(1, Link::CLEAN);
    network.add(fetcher(100)).fetch(request(&[], "got", &[]));
    fetch_to_end(&mut network, SECOND);
    expect_done(&mut network, &[]);
}

#[test]
fn without_an_address_sources_are_found() {
    let data = bytes(2, 300_000);
    let mut network = network_with(2, Link::CLEAN, &[1, 2], &data);
    network.host(fetcher(100)).fetch(request(&data, "got", &[]));
    fetch_to_end(&mut network, SECOND * 10);
    expect_done(&mut network, &data);
}

#[test]
fn sources_that_turn_up_later_are_used() {
    let data = bytes(3, 300_000);
    let mut network = Network::new(3, Link::CLEAN);
    network.add(fetcher(100)).fetch(request(&data, "got", &[peer(9)]));
    network.run_for(SECOND * 20);
    network.add(peer(1)).put("file", &data, None);
    fetch_to_end(&mut network, SECOND * 15);
    expect_done(&mut network, &data);
}

#[test]
fn lossy_repeating_reordering_links() {
    for seed in 0..60 {
        let link = Link {
            lost: seed % 4 * 50,
            repeated: seed % 3 * 50,
            delay: Duration::from_millis(1 + seed % 20),
            jitter: Duration::from_millis(seed % 7 * 5),
            rate: 3_000_000,
            queue: 60_000,
            ..Link::CLEAN
        };
        let data = bytes(seed as u8, 400_000 + seed as usize * 777);
        let sources: Vec<u8> = (1..=1 + seed as u8 % 4).collect();
        let mut network = network_with(seed, link, &sources, &data);
        let addresses: Vec<_> = sources.iter().map(|&number| peer(number)).collect();
        network.host(fetcher(100)).fetch(request(&data, "got", &addresses));
        fetch_to_end(&mut network, SECOND * 60);
        expect_done(&mut network, &data);
    }
}

#[test]
fn a_source_that_dies_costs_little() {
    let data = bytes(4, 6_000_000);
    let link = Link { rate: 12_500_000, ..Link::CLEAN };
    let mut network = network_with(4, link, &[1, 2], &data);
    network.host(fetcher(100)).fetch(request(&data, "got", &[peer(1), peer(2)]));
    network.run_for(SECOND / 5);
    network.cut_off.push(peer(1));
    let took = fetch_to_end(&mut network, SECOND * 10);
    assert!(took < SECOND, "{took:?}: the other source alone needs half a second");
    expect_done(&mut network, &data);
}

#[test]
fn a_fetch_uses_the_link() {
    let data = bytes(5, 12_500_000);
    let link = Link { rate: 12_500_000, delay: Duration::from_millis(5), ..Link::CLEAN };
    let mut network = network_with(5, link, &[1], &data);
    network.host(fetcher(100)).fetch(request(&data, "got", &[peer(1)]));
    let took = fetch_to_end(&mut network, SECOND * 10);
    expect_done(&mut network, &data);
    // Simulated time: the same on every machine. One second is the bare minimum.
    assert!(took < Duration::from_millis(1_250), "{took:?}");
}

#[test]
fn the_callers_patience_ends() {
    let data = bytes(9, 10);
    let mut network = Network::new(9, Link::CLEAN);
    let mut wanted = request(&data, "got", &[peer(1)]);
    wanted.timeout = Some(SECOND * 3);
    network.add(fetcher(100)).fetch(wanted);
    let took = fetch_to_end(&mut network, SECOND * 10);
    assert_eq!(network.host(fetcher(100)).ending, Some(FetchEnding::TimedOut));
    assert_eq!(took, SECOND * 3);
}

#[test]
fn the_true_size_is_proven() {
    for size in [1, 65_536, 200_001] {
        for wrong in [size - 1, size + 1, size + 1_000_000, 0] {
            let data = bytes(10, size);
            let mut network = network_with(10, Link::CLEAN, &[1], &data);
            let mut wanted = request(&data, "got", &[peer(1)]);
            wanted.size = wrong as u64;
            network.host(fetcher(100)).fetch(wanted);
            fetch_to_end(&mut network, SECOND * 10);
            let ending = network.host(fetcher(100)).ending.clone();
            assert_eq!(ending, Some(FetchEnding::WrongSize { size: size as u64 }));
        }
    }
}

#[test]
fn a_file_that_changes_while_it_is_served() {
    let data = bytes(13, 4_000_000);
    let link = Link { rate: 4_000_000, ..Link::CLEAN };
    let mut network = network_with(13, link, &[1, 2], &data);
    network.host(fetcher(100)).fetch(request(&data, "got", &[peer(1), peer(2)]));
    network.run_for(SECOND / 4);
    let other = bytes(14, 4_000_000);
    network.host(peer(1)).put("file", &other, None);
    fetch_to_end(&mut network, SECOND * 10);
    expect_done(&mut network, &data);
}

#[test]
fn a_file_that_nobody_has_any_more_waits_for_its_return() {
    let data = bytes(15, 4_000_000);
    let link = Link { rate: 4_000_000, ..Link::CLEAN };
    let mut network = network_with(15, link, &[1], &data);
    network.host(fetcher(100)).fetch(request(&data, "got", &[peer(1)]));
    network.run_for(SECOND / 4);
    network.host(peer(1)).remove("file");
    network.run_for(SECOND * 5);
    assert_eq!(network.host(fetcher(100)).ending, None);
    network.host(peer(1)).put("elsewhere", &data, None);
    fetch_to_end(&mut network, SECOND * 15);
    expect_done(&mut network, &data);
}

#[test]
fn noise_is_counted_and_harmless() {
    let data = bytes(25, 2_000_000);
    let link = Link { rate: 5_000_000, ..Link::CLEAN };
    let mut network = network_with(25, link, &[1], &data);
    network.host(fetcher(100)).fetch(request(&data, "got", &[peer(1)]));
    let mut random = Random::new([25; 32]);
    for round in 0..2_000u64 {
        let length = random.below(200) as usize;
        let mut noise: Vec<u8> = (0..length).map(|_| random.next_u64() as u8).collect();
        if round % 2 == 0 && noise.len() > 4 {
            noise[..4].copy_from_slice(&[0x53, 0x70, 1, (round % 10) as u8]);
        }
        let to = if round % 3 == 0 { fetcher(100) } else { peer(1) };
        network.inject(peer(1 + (round % 3) as u8), to, noise);
    }
    fetch_to_end(&mut network, SECOND * 10);
    expect_done(&mut network, &data);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let data = bytes(seed as u8, 700_000);
        let link = Link { lost: 50, jitter: Duration::from_millis(9), ..Link::CLEAN };
        let mut network = network_with(seed, link, &[1, 2, 3], &data);
        let sources: Vec<_> = (1..=3).map(peer).collect();
        network.host(fetcher(100)).fetch(request(&data, "got", &sources));
        let took = fetch_to_end(&mut network, SECOND * 30);
        (took, network.bytes_in.clone(), network.bytes_out.clone())
    };
    assert_eq!(run(30), run(30));
    assert_ne!(run(30), run(31));
}
