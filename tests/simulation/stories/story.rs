//! What most stories begin with, and how they end.

use std::rc::Rc;
use std::time::Duration;

use sprat::node::output::FetchEnding;

use crate::model::contents::{hash, name};
use crate::model::disk::Path;
use crate::model::host::SharedDisk;
use crate::model::link::Link;
use crate::model::network::{Network, fetcher, peer};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// Lets a fetch on host 100 run to its end; returns how long it took.
pub(crate) fn fetch_to_end(network: &mut Network, limit: Duration) -> Duration {
    network.run_until(limit, |network| network.hosts[&fetcher(100)].ending.is_some())
}

pub(crate) fn expect_done(network: &mut Network, data: &[u8]) {
    let host = network.host(fetcher(100));
    assert_eq!(host.ending, Some(FetchEnding::Done(name("got"))));
    let disk = host.disk();
    assert_eq!(disk.shared("got").as_deref().map(Vec::as_slice), Some(data));
    assert!(!disk.has_remains_of(hash(data).0));
}

/// A network of sources with one file, ready to be fetched from.
pub(crate) fn network_with(seed: u64, link: Link, sources: &[u8], data: &[u8]) -> Network {
    let mut network = Network::new(seed, link);
    for &number in sources {
        network.add(peer(number)).put("file", data, None);
    }
    network.run_for(SECOND * 3);
    network.add(fetcher(100));
    network
}

/// A chunk file that an earlier run has left of this content.
pub(crate) fn put_chunk(disk: &SharedDisk, data: &[u8], start: u64, bytes: Vec<u8>) {
    disk.borrow_mut().place(Path::Chunk(hash(data).0, start), Rc::new(bytes));
}

/// The chain that an earlier run has saved.
pub(crate) fn put_chain(disk: &SharedDisk, data: &[u8], chain: Vec<u8>) {
    disk.borrow_mut().place(Path::States(hash(data).0), Rc::new(chain));
}
