//! What a process that serves does for its node: it looks at the folders, hashes, reads and sends.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use sprat::content::state_chain::{Link, verify};
use sprat::content::{BlockLayout, ChainId, ContentId, ShareName};
use sprat::node::input::{Extent, FileSignature, HashOutcome, ServeOutcome};
use sprat::node::output::ServeSource;
use sprat::node::{Input, Output};
use sprat::wire::{DATA_HEADER_LENGTH, DataHeader, DataKind};

use super::contents::attrs_size;
use super::disk::{Disk, Path};
use super::host::{Host, Queue, Sent};

/// Longer payloads than this do not leave every machine.
const COMMON_PAYLOAD: u16 = 1_408;
/// How long a full socket takes to get some room.
const SOCKET_DRAINS: Duration = Duration::from_micros(700);

impl Host {
    /// What watching the folders tells. What was told is remembered, and only changes are told.
    pub(crate) fn look(&mut self, unchanged_for: Duration) {
        self.look_at = None;
        self.touched();
        let disk = self.disk.clone();
        let disk = disk.borrow();
        self.seen_generation = disk.generation;
        let found: BTreeMap<ShareName, FileSignature> =
            disk.share().map(|(name, file)| (name.clone(), disk.signature(file))).collect();
        let told = std::mem::replace(&mut self.told_files, found.clone());
        for name in told.keys().filter(|name| !found.contains_key(*name)) {
            self.answer(Input::FileGone { name: name.clone() });
        }
        for (name, signature) in found {
            if told.get(&name) != Some(&signature) {
                self.answer(Input::FileSeen { name, signature, unchanged_for });
            }
        }
        self.look_at_partials(&disk);
    }

    fn look_at_partials(&mut self, disk: &Disk) {
        let mut found = BTreeMap::new();
        for content in disk.downloads() {
            let size = disk.file(&Path::Attrs(content)).and_then(|file| attrs_size(&file.bytes));
            let Some(size) = size else { continue };
            let extents = disk.extents(content);
            if extents.is_empty() {
                continue;
            }
            let length = BlockLayout::new(size).block_length();
            for Extent { start, length: extent } in &extents {
                let end = (start + extent).div_ceil(length);
                self.blocks_told.extend(start / length..end);
            }
            let states = disk.names.get(&Path::States(content));
            let version = states.map_or(0, |states| disk.files[states].version);
            found.insert(content, (extents.clone(), version));
            let told = self.told_partials.get(&content);
            let is_known = told.is_some_and(|told| told.1 == version && states.is_some());
            if is_known && told.is_some_and(|told| told.0 != extents) {
                self.answer(Input::PartialGrown { content, extents });
            } else if !is_known && told != Some(&(extents.clone(), version)) {
                let chain = states.map(|states| disk.files[states].bytes.clone());
                if let Some(chain) = &chain {
                    self.chains.insert(content, chain.clone());
                }
                let chain = chain.map(|chain| chain.to_vec());
                self.answer(Input::PartialSeen { content, size, extents, chain });
            }
        }
        let told = std::mem::replace(&mut self.told_partials, found);
        for content in told.into_keys() {
            if !self.told_partials.contains_key(&content) {
                self.answer(Input::PartialGone { content });
            }
        }
    }

    pub(super) fn execute_for_listings(
        &mut self,
        output: Output,
        in_hand: Option<(SocketAddr, &[u8])>,
    ) {
        if let Output::KeepListing { .. } = &output {
            let (from, datagram) = in_hand.expect("only a datagram's payload is kept");
            self.ledger.keeps(from, datagram);
        }
        let datagram = in_hand.map_or(&[][..], |(_, datagram)| datagram);
        for answer in self.listings.execute(output, datagram) {
            self.answer_from(Queue::Slow, answer);
        }
    }

    pub(super) fn hash_file(&mut self, name: ShareName, signature: FileSignature) {
        let path = Path::Share(name.clone());
        let disk = self.disk.clone();
        let mut disk = disk.borrow_mut();
        let number = disk.names.get(&path).copied();
        let outcome = match number {
            Some(number) if disk.signature(number) == signature => {
                let file = disk.files.get_mut(&number).expect("a name leads to a file");
                let (content, states) = file.claimed.clone().unwrap_or_else(|| file.hash());
                let chain = ChainId::of(&states);
                self.chains.insert(content, states);
                HashOutcome::Whole { content, chain }
            }
            _ => HashOutcome::Changed,
        };
        self.answer_from(Queue::Slow, Input::Hashed { name, signature, outcome });
    }

    pub(super) fn check_partial(&mut self, content: ContentId, block: u64, link: Link) {
        let genuine = {
            let disk = self.disk.borrow();
            let size = disk.file(&Path::Attrs(content)).and_then(|file| attrs_size(&file.bytes));
            let range = BlockLayout::new(size.unwrap_or(0)).block_range(block);
            let bytes = read_partial(&disk, content, range.start, range.end - range.start);
            bytes.is_some_and(|bytes| verify(&link, &bytes))
        };
        self.answer_from(Queue::Slow, Input::PartialChecked { content, block, genuine });
    }

    pub(super) fn serve(&mut self, output: Output, sent: &mut Vec<Sent>) {
        let Output::Serve { job, to, nonce, source, offset, length, payload_length } = output
        else {
            return;
        };
        let hiccup = self.hiccups > 0 && self.random.below(self.hiccups) == 0;
        if hiccup && payload_length > COMMON_PAYLOAD {
            return self.answer(Input::Served { job, outcome: ServeOutcome::TooLong });
        }
        let Some((bytes, kind)) = self.read(&source, offset, u64::from(length)) else {
            return self.answer(Input::Served { job, outcome: ServeOutcome::Changed });
        };
        let packets = bytes.len().div_ceil(usize::from(payload_length));
        let most = if hiccup { self.random.below(packets as u64) as usize } else { packets };
        for (index, payload) in bytes.chunks(usize::from(payload_length)).take(most).enumerate() {
            let at = offset + index as u64 * u64::from(payload_length);
            self.send_data(DataHeader { kind, nonce, offset: at }, to, payload, sent);
        }
        if most == packets {
            return self.answer(Input::Served { job, outcome: ServeOutcome::Sent });
        }
        let bytes = most as u32 * u32::from(payload_length);
        self.answer(Input::Served { job, outcome: ServeOutcome::Blocked { sent: bytes } });
        self.answer_later(SOCKET_DRAINS, Input::Writable);
    }

    fn send_data(
        &mut self,
        header: DataHeader,
        to: SocketAddr,
        payload: &[u8],
        sent: &mut Vec<Sent>,
    ) {
        let mut bytes = vec![0; DATA_HEADER_LENGTH + payload.len()];
        let (head, body) = bytes.split_at_mut(DATA_HEADER_LENGTH);
        header.write(head.try_into().expect("it is as long as a header"));
        body.copy_from_slice(payload);
        self.ledger.goes(to, &bytes, false, self.liar.is_honest());
        sent.push(Sent { to, bytes });
    }

    /// The range of the object, if it is there.
    fn read(&self, source: &ServeSource, offset: u64, length: u64) -> Option<(Vec<u8>, DataKind)> {
        let range = offset as usize..(offset + length) as usize;
        let disk = self.disk.borrow();
        Some(match source {
            ServeSource::File { name, signature } => {
                let number = *disk.names.get(&Path::Share(name.clone()))?;
                if disk.signature(number) != *signature {
                    return None;
                }
                let bytes = disk.files[&number].bytes.get(range);
                let bytes = bytes.expect("nothing beyond the end of a file is served");
                (bytes.to_vec(), DataKind::Data)
            }
            ServeSource::Partial { content } => {
                (read_partial(&disk, *content, offset, length)?, DataKind::Data)
            }
            ServeSource::Chain { content } => {
                (self.chains.get(content)?.get(range)?.to_vec(), DataKind::Meta)
            }
            ServeSource::Listing { digest } => {
                (self.listings.kept(*digest)?.get(range)?.to_vec(), DataKind::Meta)
            }
            ServeSource::Changes { from, to } => {
                (self.listings.changes(*from, *to)?.get(range)?.to_vec(), DataKind::Meta)
            }
            ServeSource::Bytes(bytes) => {
                self.check_bitmap(bytes);
                (bytes.get(range)?.to_vec(), DataKind::Meta)
            }
        })
    }

    /// A bitmap of what is held (docs/protocol.md) speaks of no block that was never there.
    fn check_bitmap(&self, bitmap: &[u8]) {
        for block in 0..bitmap.len() as u64 * 8 {
            let is_held = bitmap[block as usize / 8] & (0x80 >> (block % 8)) != 0;
            let told = self.blocks_told.contains(&block);
            assert!(told || !is_held, "block {block} is said to be held, and never was");
        }
    }
}

/// A range of a download, if one chunk file has all of it.
pub(super) fn read_partial(
    disk: &Disk,
    content: ContentId,
    offset: u64,
    length: u64,
) -> Option<Vec<u8>> {
    let extents = disk.extents(content);
    let Extent { start, .. } = extents
        .into_iter()
        .find(|extent| extent.start <= offset && offset + length <= extent.start + extent.length)?;
    let bytes: Rc<Vec<u8>> = disk.file(&Path::Chunk(content, start))?.bytes.clone();
    let from = (offset - start) as usize;
    Some(bytes[from..from + length as usize].to_vec())
}
