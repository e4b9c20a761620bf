//! What most stories begin with, and how they end.

use std::time::Duration;

use sprat::content::BlockLayout;
use sprat::content::state_chain::ChainHasher;
use sprat::node::Random;
use sprat::node::output::FetchEnding;

use super::host::{Disk, hash, name};
use super::network::{Link, Network, fetcher, peer};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn bytes(seed: u8, size: usize) -> Vec<u8> {
    let mut random = Random::new([seed; 32]);
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        bytes.extend_from_slice(&random.next_u64().to_be_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// Lets a fetch on host 100 run to its end; returns how long it took.
pub(crate) fn fetch_to_end(network: &mut Network, limit: Duration) -> Duration {
    network.run_until(limit, |network| network.hosts[&fetcher(100)].ending.is_some())
}

pub(crate) fn expect_done(network: &mut Network, data: &[u8]) {
    let host = network.host(fetcher(100));
    assert_eq!(host.ending, Some(FetchEnding::Done(name("got"))));
    assert_eq!(host.disk.share[&name("got")].bytes, data);
    assert!(host.disk.chunks.is_empty());
}

/// A network of sources with one file, ready to be fetched from.
pub(crate) fn network_with(seed: u64, link: Link, sources: &[u8], data: &[u8]) -> Network {
    let mut network = Network::new(seed, link);
    for &number in sources {
        network.add(peer(number), Disk::default()).put("file", data, None);
    }
    network.run_for(SECOND * 3);
    network.add(fetcher(100), Disk::default());
    network
}

/// A file that is false from `from` to `to` (in blocks), and a chain for it that ends in the true name.
pub(crate) fn forge(data: &[u8], from: u64, to: u64) -> (Vec<u8>, Vec<u8>) {
    let layout = BlockLayout::new(data.len() as u64);
    let mut forged = data.to_vec();
    for block in from..to {
        let range = layout.block_range(block);
        for byte in &mut forged[range.start as usize..range.end as usize] {
            *byte = byte.wrapping_add(1);
        }
    }
    let mut hasher = ChainHasher::new(forged.len() as u64);
    hasher.update(&forged);
    let (_, mut chain) = hasher.finish().unwrap();
    let (_, honest) = hash(data);
    // From the junction on the states are the true ones: only one link is impossible.
    let junction = (to * 20) as usize;
    if junction < chain.len() {
        chain[junction - 20..].copy_from_slice(&honest[junction - 20..]);
    }
    (forged, chain)
}
