//! Many fetches of one file at the same time, each with a peer beside it, from one source whose way out is
//! narrow: they trade (`docs/shoal.md`).

use std::time::Duration;

use sprat::node::input::Extent;
use sprat::node::output::FetchEnding;

use super::story::SECOND;
use crate::model::contents::{bytes, name, request};
use crate::model::link::Link;
use crate::model::network::{Network, fetcher, peer};

/// 100 Mbit/s.
const SEEDER_RATE: u64 = 12_500_000;
/// The longest that it takes a peer to notice what the fetch beside it has written.
const NOTICE: Duration = Duration::from_millis(100);

/// What a shoal came to.
#[derive(Debug)]
struct Outcome {
    /// When the last was done.
    took: Duration,
    /// Bytes that the source has sent, in thousandths of the file.
    copies: u64,
    /// The most chunk files that a fetch had at once.
    chunk_files: usize,
}

/// So many fetches start within a tenth of a second; every way but the one out of the source is of `link`.
fn shoal(seed: u64, size: usize, fetchers: u8, link: Link) -> Outcome {
    let data = bytes(seed as u8, size);
    let mut network = Network::new(seed, link);
    network.notice = NOTICE;
    network.rates_out.insert(peer(1).ip(), SEEDER_RATE);
    network.add(peer(1)).put("file", &data, None);
    for number in 100..100 + fetchers {
        network.add(peer(number));
    }
    network.run_for(SECOND * 4);
    let before = network.bytes_out[&peer(1)];
    for number in 100..100 + fetchers {
        network.add(fetcher(number)).fetch(request(&data, "got", &[peer(1)]));
        let pause = network.random.jitter(Duration::from_millis(100) / u32::from(fetchers));
        network.run_for(pause);
    }
    let start = network.now;
    let mut chunk_files = 0;
    let is_done = |network: &Network| {
        (100..100 + fetchers).all(|number| network.hosts[&fetcher(number)].ending.is_some())
    };
    while !is_done(&network) {
        network.run_for(Duration::from_millis(50));
        for number in 100..100 + fetchers {
            let extents = network.host(fetcher(number)).disk().chunk_file_count();
            chunk_files = chunk_files.max(extents);
        }
        assert!(network.now.since(start) < SECOND * 100, "it takes for ever");
    }
    for number in 100..100 + fetchers {
        let host = network.host(fetcher(number));
        assert_eq!(host.ending, Some(FetchEnding::Done(name("got"))));
    }
    let sent = network.bytes_out[&peer(1)] - before;
    let copies = sent * 1_000 / size as u64;
    Outcome { took: network.now.since(start), copies, chunk_files }
}

fn lan() -> Link {
    Link { rate: 125_000_000, ..Link::CLEAN }
}

/// So many cost the source at most so many thousandths of copies, and nobody waits half as long again as alone.
fn trade(seed: u64, size: usize, fetchers: u8, copies: u64) {
    let alone = shoal(seed, size, 1, lan());
    assert_eq!(alone.chunk_files, 1, "publishing is a rename");
    let many = shoal(seed, size, fetchers, lan());
    assert!(many.copies <= copies, "{many:?}");
    assert!(many.took <= alone.took * 3 / 2, "{many:?}, alone {alone:?}");
    assert!(many.chunk_files <= 96, "{many:?}");
}

#[test]
fn eight_cost_the_source_little_more_than_one_copy() {
    trade(8, 32 << 20, 8, 1_250);
}

#[test]
fn two_trade() {
    trade(2, 16 << 20, 2, 1_300);
}

#[test]
fn three_trade() {
    trade(3, 16 << 20, 3, 1_250);
}

#[test]
fn thirty_trade() {
    trade(30, 32 << 20, 30, 1_500);
}

/// Who has most of it, has it alone, and gives next to nothing, costs little: the source gives it as well.
#[test]
fn a_part_that_comes_slowly_holds_up_nobody() {
    let data = bytes(5, 16 << 20);
    let fetched_in = |with_part: bool| {
        let mut network = Network::new(5, lan());
        network.rates_out.insert(peer(1).ip(), SEEDER_RATE);
        network.rates_out.insert(peer(2).ip(), SEEDER_RATE / 100);
        network.add(peer(1)).put("file", &data, None);
        let extent = Extent { start: 64 * 65_536, length: 192 * 65_536 };
        if with_part {
            network.add(peer(2)).put_partial(&data, vec![extent]);
        }
        network.run_for(SECOND * 4);
        network.add(fetcher(100)).fetch(request(&data, "got", &[peer(1), peer(2)]));
        network.run_until(SECOND * 60, |network| network.hosts[&fetcher(100)].ending.is_some())
    };
    let (alone, beside) = (fetched_in(false), fetched_in(true));
    assert!(beside <= alone * 5 / 4, "{beside:?}, alone {alone:?}");
}
