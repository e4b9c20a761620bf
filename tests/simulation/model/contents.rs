//! Names, bytes and their hashes.

use std::net::SocketAddr;
use std::rc::Rc;

use sprat::content::state_chain::ChainHasher;
use sprat::content::{BlockLayout, ContentId, ShareName};
use sprat::node::input::FetchRequest;
use sprat::node::{FetchId, Random};

pub(crate) fn name(text: &str) -> ShareName {
    ShareName::parse(text).expect("a name of the simulation is a good one")
}

/// Content id and chain of some bytes.
pub(crate) fn hash(bytes: &[u8]) -> (ContentId, Vec<u8>) {
    let mut hasher = ChainHasher::new(bytes.len() as u64);
    hasher.update(bytes);
    hasher.finish().expect("all bytes were given")
}

pub(crate) fn hash_shared(bytes: &[u8]) -> (ContentId, Rc<Vec<u8>>) {
    let (content, chain) = hash(bytes);
    (content, Rc::new(chain))
}

/// Bytes that look like nothing else.
pub(crate) fn bytes(seed: u8, size: usize) -> Vec<u8> {
    let mut random = Random::new([seed; 32]);
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        bytes.extend_from_slice(&random.next_u64().to_be_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// A request as the command line makes it.
pub(crate) fn request(bytes: &[u8], file_name: &str, sources: &[SocketAddr]) -> FetchRequest {
    FetchRequest {
        fetch: FetchId(1),
        content: hash(bytes).0,
        size: bytes.len() as u64,
        name: name(file_name),
        sources: sources.to_vec(),
        timeout: None,
        alone: false,
    }
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
    let (_, mut chain) = hash(&forged);
    let (_, honest) = hash(data);
    // From the junction on the states are the true ones: only one link is impossible.
    let junction = (to * 20) as usize;
    if junction < chain.len() {
        chain[junction - 20..].copy_from_slice(&honest[junction - 20..]);
    }
    (forged, chain)
}

/// The attrs of a download, to the letter.
pub(crate) fn attrs(name: &str, size: u64) -> Vec<u8> {
    format!("{{ \"name\": \"{name}\", \"size\": {size} }}").into_bytes()
}

/// The size that attrs tell.
pub(crate) fn attrs_size(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.rsplit_once("\"size\": ")?.1.strip_suffix(" }")?.parse().ok()
}
