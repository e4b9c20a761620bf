//! What an earlier run left on disk, and disks that are full.

use std::time::Duration;

use super::story::{SECOND, expect_done, fetch_to_end, network_with, put_chain, put_chunk};
use crate::model::contents::{bytes, hash, request};
use crate::model::disk::Path;
use crate::model::link::Link;
use crate::model::network::{fetcher, peer};

#[test]
fn resumed_after_every_crash_without_fetching_again() {
    let data = bytes(6, 5_000_000);
    let link = Link { rate: 5_000_000, lost: 20, ..Link::CLEAN };
    let mut network = network_with(6, link, &[1], &data);
    for crash in 0..5 {
        network.crash(fetcher(100));
        network.add(fetcher(100)).fetch(request(&data, "got", &[peer(1)]));
        network.run_for(Duration::from_millis(100 + crash * 20));
        assert!(network.host(fetcher(100)).ending.is_none(), "crash {crash}");
        network.crash(fetcher(100));
        // Torn at any point.
        let disk = network.disk_of(fetcher(100));
        let last = disk.borrow().extents(hash(&data).0).pop();
        if let Some(last) = last {
            let torn = |chunk: &mut Vec<u8>| {
                chunk.truncate(chunk.len() - (crash as usize * 1_234) % (chunk.len() + 1));
            };
            disk.borrow_mut().damage(&Path::Chunk(hash(&data).0, last.start), torn);
        }
    }
    network.add(fetcher(100)).fetch(request(&data, "got", &[peer(1)]));
    fetch_to_end(&mut network, SECOND * 10);
    expect_done(&mut network, &data);
    let fetched = network.bytes_in[&fetcher(100)];
    assert!(fetched < 5_000_000 * 6 / 5 + 6 * 1_500_000, "{fetched} bytes for 5,000,000");
}

#[test]
fn what_was_damaged_on_disk_is_fetched_again() {
    let data = bytes(7, 1_000_000);
    let mut network = network_with(7, Link::CLEAN, &[1], &data);
    let (_, chain) = hash(&data);
    let mut damaged = data[..524_288].to_vec();
    damaged[200_000] ^= 1;
    let disk = network.disk_of(fetcher(100));
    put_chain(&disk, &data, chain);
    put_chunk(&disk, &data, 0, damaged);
    put_chunk(&disk, &data, 655_360, data[655_360..786_432].to_vec());
    network.host(fetcher(100)).fetch(request(&data, "got", &[peer(1)]));
    fetch_to_end(&mut network, SECOND * 5);
    expect_done(&mut network, &data);
}

#[test]
fn no_room_is_waited_for() {
    let data = bytes(8, 1_000_000);
    let mut network = network_with(8, Link::CLEAN, &[1], &data);
    network.disk_of(fetcher(100)).borrow_mut().room = Some(300_000);
    network.host(fetcher(100)).fetch(request(&data, "got", &[peer(1)]));
    network.run_for(SECOND * 20);
    let host = network.host(fetcher(100));
    assert_eq!(host.ending, None);
    host.disk().room = None;
    let took = fetch_to_end(&mut network, SECOND * 20);
    assert!(took < SECOND * 10, "{took:?}");
    expect_done(&mut network, &data);
}
