//! Whole networks drawn by chance: honest hosts, liars of every manner, holders of parts, hosts that come late,
//! crash and come back, bad links, small and forgetful disks. When the faults are over, the fetch ends.
//!
//! `SPRAT_SEED=123 cargo test --test simulation chance -- --nocapture` repeats one of them.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use sprat::content::BlockLayout;
use sprat::node::Random;
use sprat::node::input::Extent;

use super::host::{Disk, hash, request};
use super::liar::Manner;
use super::network::{Link, Network, fetcher, peer};
use super::story::{SECOND, bytes, expect_done, fetch_to_end, forge};

const SEEDS: Range<u64> = 0..300;

/// Says how to repeat a run that has failed.
struct Repeat(u64);

impl Drop for Repeat {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to repeat it: SPRAT_SEED={} cargo test --test simulation chance", self.0);
        }
    }
}

struct Draw(Random);

impl Draw {
    fn new(seed: u64) -> Self {
        let mut bytes = [0xc4; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        Self(Random::new(bytes))
    }

    fn from(&mut self, range: Range<u64>) -> u64 {
        range.start + self.0.below(range.end - range.start)
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.0.below(count) == 0
    }

    fn size(&mut self) -> usize {
        let size = match self.from(0..6) {
            0 => self.from(1..200),
            1 => self.from(1..8) * 65_536,
            2 => self.from(60_000..140_000),
            _ => self.from(100_000..1_500_000),
        };
        size as usize
    }

    fn link(&mut self) -> Link {
        Link {
            lost: if self.one_in(2) { 0 } else { self.from(1..200) },
            repeated: if self.one_in(2) { 0 } else { self.from(1..100) },
            delay: Duration::from_micros(self.from(50..20_000)),
            jitter: Duration::from_micros(self.from(0..10_000)),
            rate: [1_000_000, 4_000_000, 12_500_000, 125_000_000][self.from(0..4) as usize],
            queue: self.from(20_000..500_000),
        }
    }

    /// Runs of bytes, each somewhere in its part of the content.
    fn extents(&mut self, size: u64) -> Vec<Extent> {
        let blocks = BlockLayout::new(size).block_count();
        let mut extents = Vec::new();
        let mut from = 0;
        while from < blocks {
            let start = from + self.from(0..4);
            let end = (start + self.from(1..8)) * 65_536;
            let start = start * 65_536;
            if start < size {
                extents.push(Extent { start, length: end.min(size) - start });
            }
            from = end / 65_536 + 1;
        }
        extents
    }
}

/// One source of any kind, on this host.
fn add_source(network: &mut Network, draw: &mut Draw, number: u8, data: &[u8]) {
    let content = hash(data).0;
    let kind = draw.from(0..6);
    let manner = Manner::OF_SOURCES[draw.from(0..Manner::OF_SOURCES.len() as u64) as usize];
    let blocks = BlockLayout::new(data.len() as u64).block_count();
    let host = network.add(peer(number), Disk::default());
    match kind {
        0 | 1 => host.put("file", data, None),
        2 => host.put_partial(data, draw.extents(data.len() as u64)),
        3 => {
            let to = draw.from(0..blocks) + 1;
            let (forged, chain) = forge(data, draw.from(0..to), to);
            host.put("file", &forged, Some((content, chain)));
        }
        _ => {
            host.put("file", data, None);
            host.liar.manner = manner;
        }
    }
}

/// Something that goes wrong, or well again.
fn shake(network: &mut Network, draw: &mut Draw, data: &[u8], sources: &[SocketAddr]) {
    let any = peer(1 + draw.from(0..8) as u8);
    match draw.from(0..9) {
        0 => {
            let mut disk = network.crash(fetcher(100));
            if let Some(chunk) = disk.chunks.values_mut().next_back() {
                chunk.truncate(draw.from(0..chunk.len() as u64 + 1) as usize);
            }
            if draw.one_in(3) {
                if let Some(byte) = disk.chunks.values_mut().next().and_then(|c| c.first_mut()) {
                    *byte ^= 1;
                }
            }
            start_fetch(network, draw, disk, data, sources);
        }
        1 => {
            if network.hosts.contains_key(&any) {
                let manner = network.host(any).liar.manner;
                let disk = network.crash(any);
                network.run_for(Duration::from_millis(draw.from(0..300)));
                network.add(any, disk).liar.manner = manner;
            }
        }
        2 => network.cut_off.push(any),
        3 => network.cut_off.clear(),
        4 => network.link = draw.link(),
        5 => {
            let thaws = network.now + Duration::from_millis(draw.from(100..8_000));
            network.frozen.insert(any, thaws);
        }
        6 => {
            network.host(fetcher(100)).disk.chunks.pop_first();
        }
        7 => network.host(fetcher(100)).disk.room = Some(draw.from(0..400_000)),
        _ => network.host(fetcher(100)).disk.room = None,
    }
}

fn start_fetch(
    network: &mut Network,
    draw: &mut Draw,
    disk: Disk,
    data: &[u8],
    sources: &[SocketAddr],
) {
    let slowness = Duration::from_millis(draw.from(0..15));
    let host = network.add(fetcher(100), disk);
    host.slowness = slowness;
    host.fetch(request(data, "got", sources));
}

/// One run; what tells it from all others.
fn run(seed: u64) -> u64 {
    let _repeat = Repeat(seed);
    let mut draw = Draw::new(seed);
    let data = bytes(seed as u8, draw.size());
    let link = draw.link();
    let mut network = Network::new(seed, link);
    let count = draw.from(0..7) as u8;
    for number in 1..=count {
        add_source(&mut network, &mut draw, number, &data);
    }
    network.run_for(Duration::from_millis(draw.from(0..3_000)));
    let named = draw.from(0..u64::from(count) + 1) as u8;
    let sources: Vec<SocketAddr> = (1..=named).map(peer).collect();
    start_fetch(&mut network, &mut draw, Disk::default(), &data, &sources);
    for _ in 0..draw.from(0..8) {
        network.run_for(Duration::from_millis(draw.from(1..300)));
        if network.host(fetcher(100)).ending.is_none() {
            shake(&mut network, &mut draw, &data, &sources);
        }
    }
    // The faults are over, and there is an honest host.
    network.cut_off.clear();
    network.link = Link { lost: link.lost.min(50), ..link };
    network.host(fetcher(100)).disk.room = None;
    network.add(peer(9), Disk::default()).put("file", &data, None);
    fetch_to_end(&mut network, SECOND * 60);
    expect_done(&mut network, &data);
    network.fingerprint
}

#[test]
fn networks_drawn_by_chance() {
    match std::env::var("SPRAT_SEED") {
        Ok(seed) => {
            run(seed.parse().expect("SPRAT_SEED is a number"));
        }
        Err(_) => SEEDS.for_each(|seed| {
            run(seed);
        }),
    }
}

#[test]
fn a_run_drawn_by_chance_can_be_repeated() {
    for seed in 0..10 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
    assert_ne!(run(1), run(2));
}
