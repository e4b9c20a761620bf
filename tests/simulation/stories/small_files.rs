//! Small files: two round trips, and nothing else that waits, whatever stands in `share/`.

use std::rc::Rc;
use std::time::Duration;

use super::story::{SECOND, expect_done, fetch_to_end, network_with};
use crate::model::contents::{bytes, name, request};
use crate::model::disk::Path;
use crate::model::link::Link;
use crate::model::network::{Network, fetcher, peer};

/// The time on the wire of all packets at this rate, twice over.
const ON_THE_WIRE: Duration = Duration::from_micros(100);

/// Files of other contents and the same size, on the machine that fetches.
fn put_others(network: &mut Network, like: &[u8], count: u8) {
    let host = network.host(fetcher(100));
    for number in 0..count {
        let other = bytes(100 + number, like.len());
        let file = Path::Share(name(&format!("other-{number:03}")));
        host.disk().place(file, Rc::new(other));
    }
}

#[test]
fn one_block_takes_two_round_trips() {
    for (size, delay) in [(1, 1), (4_096, 1), (4_096, 20), (4_096, 50), (11_000, 50), (4_096, 400)]
    {
        let data = bytes(1, size);
        let delay = Duration::from_millis(delay);
        let mut network = network_with(1, Link { delay, ..Link::CLEAN }, &[1], &data);
        put_others(&mut network, &data, 40);
        network.run_for(SECOND);
        network.host(fetcher(100)).fetch(request(&data, "got", &[peer(1)]));
        let took = fetch_to_end(&mut network, SECOND * 10);
        expect_done(&mut network, &data);
        assert!(took < delay * 4 + ON_THE_WIRE, "{size} bytes, {delay:?} away, took {took:?}");
        // An ASK and a GRANT; where that takes 100 ms, everybody is asked.
        let said = network.bytes_out[&fetcher(100)];
        assert!(took >= Duration::from_millis(100) || said < 180, "{said} bytes were said");
    }
}

#[test]
fn what_lies_in_share_is_found_although_many_files_have_its_size() {
    let data = bytes(2, 4_096);
    let mut network = Network::new(2, Link::CLEAN);
    network.add(fetcher(100));
    put_others(&mut network, &data, 60);
    let there = Path::Share(name("zebra"));
    network.host(fetcher(100)).disk().place(there, Rc::new(data.clone()));
    network.host(fetcher(100)).fetch(request(&data, "got", &[peer(1)]));
    let took = fetch_to_end(&mut network, SECOND * 10);
    expect_done(&mut network, &data);
    assert_eq!(took, SECOND, "the rest is looked through when nothing came for a second");
}

#[test]
fn a_download_that_was_begun_gives_way_to_a_copy() {
    let data = bytes(3, 2_000_000);
    let link = Link { rate: 2_000_000, ..Link::CLEAN };
    let mut network = network_with(3, link, &[1], &data);
    put_others(&mut network, &data, 20);
    let there = Path::Share(name("zebra"));
    network.host(fetcher(100)).disk().place(there, Rc::new(data.clone()));
    network.host(fetcher(100)).fetch(request(&data, "got", &[peer(1)]));
    network.run_for(SECOND / 2);
    network.cut_off.push(peer(1));
    let progress = network.host(fetcher(100)).disk().extents(request(&data, "got", &[]).content);
    assert!(!progress.is_empty(), "it was begun");
    let took = fetch_to_end(&mut network, SECOND * 10);
    expect_done(&mut network, &data);
    assert!(took < SECOND * 5 / 4, "{took:?}");
}
