//! Honest hosts in bad times: disks that forget, clocks that jump, ways that are long, thin or torn.

use std::net::SocketAddr;
use std::time::Duration;

use sprat::node::input::{Extent, FetchRequest};
use sprat::node::output::FetchEnding;

use super::story::{SECOND, expect_done, fetch_to_end, network_with, put_chain, put_chunk};
use crate::model::contents::{bytes, hash, request};
use crate::model::disk::Path;
use crate::model::link::Link;
use crate::model::network::{Network, fetcher, peer};

fn fetched_over(link: Link, size: usize, limit: Duration) -> Duration {
    let data = bytes(1, size);
    let mut network = network_with(1, link, &[1], &data);
    network.host(fetcher(100)).fetch(request(&data, "got", &[peer(1)]));
    let took = fetch_to_end(&mut network, limit);
    expect_done(&mut network, &data);
    took
}

#[test]
fn a_thin_way() {
    // 64 kbit/s: 25 s at the least.
    let link = Link { rate: 8_000, queue: 32_000, ..Link::CLEAN };
    let took = fetched_over(link, 200_000, SECOND * 120);
    assert!(took < SECOND * 50, "{took:?}");
}

#[test]
fn a_long_way() {
    let link = Link { delay: Duration::from_millis(750), rate: 1_000_000, ..Link::CLEAN };
    let took = fetched_over(link, 1_000_000, SECOND * 120);
    assert!(took < SECOND * 40, "{took:?}");
}

#[test]
fn a_lossy_way() {
    let link = Link { lost: 300, delay: Duration::from_millis(5), ..Link::CLEAN };
    let took = fetched_over(link, 2_000_000, SECOND * 120);
    assert!(took < SECOND * 30, "{took:?}");
}

#[test]
fn a_fast_way() {
    let delay = Duration::from_micros(30);
    let link = Link { rate: 1_250_000_000, delay, queue: 4 << 20, ..Link::CLEAN };
    let took = fetched_over(link, 30_000_000, SECOND * 10);
    assert!(took < SECOND, "{took:?}");
}

#[test]
fn a_way_that_breaks_down_and_recovers() {
    let data = bytes(2, 12_000_000);
    let good = Link { rate: 6_000_000, delay: Duration::from_millis(2), ..Link::CLEAN };
    let mut network = network_with(2, good, &[1], &data);
    network.host(fetcher(100)).fetch(request(&data, "got", &[peer(1)]));
    network.run_for(SECOND / 2);
    network.link = Link { rate: 2_000, lost: 500, ..good };
    network.run_for(SECOND * 60);
    network.link = good;
    let took = fetch_to_end(&mut network, SECOND * 60);
    assert!(took < SECOND * 8, "{took:?} for what takes two seconds");
    expect_done(&mut network, &data);
}

#[test]
fn a_long_way_does_not_keep_a_short_one_from_giving() {
    let data = bytes(3, 6_000_000);
    let mut network = network_with(3, Link::CLEAN, &[1, 2], &data);
    network.far.insert(peer(1), Duration::from_millis(100));
    network.host(fetcher(100)).fetch(request(&data, "got", &[peer(1), peer(2)]));
    let took = fetch_to_end(&mut network, SECOND * 20);
    assert!(took < SECOND, "{took:?}");
    expect_done(&mut network, &data);
}

#[test]
fn stopped_for_a_minute() {
    for frozen in [fetcher(100), peer(1)] {
        let data = bytes(4, 8_000_000);
        let link = Link { rate: 4_000_000, ..Link::CLEAN };
        let mut network = network_with(4, link, &[1], &data);
        network.host(fetcher(100)).fetch(request(&data, "got", &[peer(1)]));
        network.run_for(SECOND / 2);
        let thaws = network.now + SECOND * 60;
        network.frozen.insert(frozen, thaws);
        network.run_for(SECOND * 60);
        let took = fetch_to_end(&mut network, SECOND * 30);
        assert!(took < SECOND * 10, "{frozen}: {took:?}");
        expect_done(&mut network, &data);
    }
}

#[test]
fn a_host_that_is_started_anew_is_used_again() {
    let data = bytes(5, 4_000_000);
    let link = Link { rate: 4_000_000, ..Link::CLEAN };
    let mut network = network_with(5, link, &[1], &data);
    network.host(fetcher(100)).fetch(request(&data, "got", &[peer(1)]));
    network.run_for(SECOND / 2);
    network.crash(peer(1));
    network.run_for(SECOND / 5);
    network.add(peer(1));
    let took = fetch_to_end(&mut network, SECOND * 20);
    assert!(took < SECOND * 8, "{took:?}");
    expect_done(&mut network, &data);
}

#[test]
fn a_host_that_comes_back_for_a_moment_holds_up_nothing() {
    let data = bytes(6, 4_000_000);
    let link = Link { rate: 4_000_000, ..Link::CLEAN };
    for moment in (0..300).step_by(7) {
        let mut network = network_with(6, link, &[1, 2], &data);
        network.host(fetcher(100)).fetch(request(&data, "got", &[peer(1), peer(2)]));
        network.run_for(SECOND / 5);
        network.crash(peer(1));
        network.add(peer(1));
        network.run_for(Duration::from_millis(moment));
        network.crash(peer(1));
        let took = fetch_to_end(&mut network, SECOND * 10);
        assert!(took < SECOND * 3, "{moment}: {took:?}");
        expect_done(&mut network, &data);
    }
}

#[test]
fn chunk_files_that_somebody_removes() {
    for seed in 0..60 {
        let data = bytes(seed as u8, 9_000_000);
        let link = Link { rate: 20_000_000, ..Link::CLEAN };
        let mut network = network_with(seed, link, &[1], &data);
        let disk = network.disk_of(fetcher(100));
        // Two files that grow.
        put_chunk(&disk, &data, 0, data[..2 * 65_536].to_vec());
        put_chunk(&disk, &data, 40 * 65_536, data[40 * 65_536..42 * 65_536].to_vec());
        let (content, chain) = hash(&data);
        put_chain(&disk, &data, chain);
        let host = network.add(fetcher(100));
        host.slowness = Duration::from_millis(seed % 20);
        host.fetch(request(&data, "got", &[peer(1)]));
        for round in 0..4 {
            network.run_for(Duration::from_millis(30 + seed * 7 % 50));
            let chunks = disk.borrow().extents(content);
            let which = (seed as usize + round) % chunks.len().max(1);
            if let Some(removed) = chunks.get(which) {
                disk.borrow_mut().discard(&Path::Chunk(content, removed.start));
            }
        }
        fetch_to_end(&mut network, SECOND * 30);
        expect_done(&mut network, &data);
    }
}

#[test]
fn parts_from_many_make_a_whole() {
    let data = bytes(7, 20 * 65_536 + 7);
    let mut network = Network::new(7, Link::CLEAN);
    let extent = |start: u64, blocks: u64| Extent {
        start: start * 65_536,
        length: (blocks * 65_536).min(data.len() as u64 - start * 65_536),
    };
    for (number, extents) in [
        (1, vec![extent(0, 5), extent(15, 6)]),
        (2, vec![extent(3, 4)]),
        (3, vec![extent(6, 2), extent(11, 2)]),
    ] {
        network.add(peer(number)).put_partial(&data, extents);
    }
    network.run_for(SECOND * 2);
    let sources = [peer(1), peer(2), peer(3)];
    network.add(fetcher(100)).fetch(request(&data, "got", &sources));
    network.run_for(SECOND * 5);
    assert_eq!(network.host(fetcher(100)).ending, None, "blocks 8 to 10, 13 and 14 are nowhere");
    // The third has grown: what is new is found without being told.
    network.host(peer(3)).put_partial(&data, vec![extent(6, 10)]);
    let took = fetch_to_end(&mut network, SECOND * 10);
    assert!(took < SECOND * 3, "{took:?}");
    expect_done(&mut network, &data);
}

#[test]
fn patience_ends_in_the_middle_and_the_next_run_goes_on() {
    let data = bytes(8, 3_000_000);
    let link = Link { rate: 1_000_000, ..Link::CLEAN };
    let mut network = network_with(8, link, &[1], &data);
    let mut wanted = request(&data, "got", &[peer(1)]);
    wanted.timeout = Some(SECOND);
    network.host(fetcher(100)).fetch(wanted);
    fetch_to_end(&mut network, SECOND * 3);
    assert_eq!(network.host(fetcher(100)).ending, Some(FetchEnding::TimedOut));
    network.crash(fetcher(100));
    assert!(network.disk_of(fetcher(100)).borrow().chunk_bytes() > 500_000);
    network.add(fetcher(100)).fetch(request(&data, "got", &[peer(1)]));
    fetch_to_end(&mut network, SECOND * 4);
    expect_done(&mut network, &data);
}

#[test]
fn of_a_thousand_that_were_named_the_last_one_has_it() {
    let data = bytes(8, 500_000);
    let mut network = network_with(8, Link::CLEAN, &[1], &data);
    let nobody =
        |number: u16| SocketAddr::from(([198, 18, (number / 250) as u8, 1], 9_000 + number));
    let mut named: Vec<SocketAddr> = (0..1_000).map(nobody).collect();
    named.push(peer(1));
    // Nobody is called: who was named has to be asked.
    let request = FetchRequest { alone: true, ..request(&data, "got", &named) };
    network.host(fetcher(100)).fetch(request);
    let took = fetch_to_end(&mut network, SECOND * 60);
    expect_done(&mut network, &data);
    assert!(took < SECOND * 30, "{took:?}");
}

#[test]
fn of_many_that_were_named_and_have_nothing_the_last_one_has_it() {
    let data = bytes(9, 500_000);
    let mut network = network_with(9, Link::CLEAN, &[200], &data);
    let mut named: Vec<SocketAddr> = (0..140).map(peer).collect();
    for &address in &named {
        network.add(address);
    }
    named.push(peer(200));
    let request = FetchRequest { alone: true, ..request(&data, "got", &named) };
    network.host(fetcher(100)).fetch(request);
    let took = fetch_to_end(&mut network, SECOND * 60);
    expect_done(&mut network, &data);
    assert!(took < SECOND * 10, "{took:?}");
}

#[test]
fn a_way_that_damages_packets_is_no_liar() {
    // 2.4 s for 3 MB; two damaged packets in a hundred whose checksum holds spoil 60 of a hundred blocks of 64 KiB.
    for (corrupted, limit) in [(10, 8), (20, 20)] {
        let delay = Duration::from_millis(15);
        let link = Link { corrupted, delay, rate: 1_250_000, ..Link::CLEAN };
        let took = fetched_over(link, 3_000_000, SECOND * 600);
        assert!(took < SECOND * limit, "{took:?}");
    }
}
