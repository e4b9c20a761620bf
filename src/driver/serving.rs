//! Reading ranges of objects and sending them as data packets. The bytes go from the file straight
//! into the gaps between the headers of one buffer, and from there to the kernel in one call.
//!
//! What is sent was the offered state of the file at the moment of reading: its signature is looked at
//! after every read. Nothing is decided here, and nothing is kept of a job that is answered.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use super::hash_cache::HashCache;
use super::listing_jobs::ListingJobs;
use super::partial_watcher::PartialWatcher;
use super::share_folder::{ShareFolder, is_gone, signature};
use super::udp_socket::{PAYLOAD_LENGTH_MAX, SEGMENTS_MAX, SegmentsSent, UdpSocket};
use crate::content::{ContentId, ShareName};
use crate::node::Instant;
use crate::node::input::{FileSignature, ServeOutcome};
use crate::node::output::ServeSource;
use crate::wire::DATA_HEADER_LENGTH;
use crate::wire::message::{DataHeader, DataKind};

/// Files that stay open for the next range; fewer where the process may not open many.
const OPEN_FILES_MAX: usize = 32;
/// A file that was not read for so long is closed: an open one keeps its room on the disk although it
/// was removed, and its file system mounted.
const OPEN_IDLE_MAX: Duration = Duration::from_secs(5);
/// The most bytes of an object in one order.
const ORDER_LENGTH_MAX: u32 = 65_536;

/// One `Output::Serve`, but for its job's number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeOrder {
    /// To whom.
    pub to: SocketAddr,
    /// For every packet.
    pub nonce: u64,
    /// What to read.
    pub source: ServeSource,
    /// Where in the object to begin.
    pub offset: u64,
    /// How many bytes.
    pub length: u32,
    /// Bytes of the object in each packet but the last.
    pub payload_length: u16,
}

/// Where objects are read from. A fetch has no unfinished downloads to offer, no chains and no
/// listings.
#[derive(Debug)]
pub struct Shelves<'a> {
    /// The folder `share/`.
    pub share: &'a ShareFolder,
    /// The unfinished downloads beside us.
    pub partials: Option<&'a PartialWatcher>,
    /// The chains.
    pub cache: Option<&'a mut HashCache>,
    /// What is offered, as bytes.
    pub listings: Option<&'a ListingJobs>,
}

/// The serving side's buffer and open files.
#[derive(Debug)]
pub struct Serving {
    buffer: Vec<u8>,
    files: OpenFiles,
}

/// An object that is open for reading.
enum Reader<'a> {
    /// A file, which must still be in this state after every read.
    File { file: &'a File, start: u64, offered: FileSignature },
    /// A chunk file, which must still have its name after every read: a fetch that joins it to another
    /// takes that away before it frees its bytes.
    Part { file: &'a File, start: u64, of: (&'a PartialWatcher, ContentId, u64) },
    /// Bytes in memory.
    Bytes(&'a [u8]),
}

impl Default for Serving {
    fn default() -> Self {
        Self::new()
    }
}

impl Serving {
    /// With no file open.
    pub fn new() -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let share = limit.map_or(OPEN_FILES_MAX, |limit| usize::try_from(limit / 8).unwrap_or(0));
        let files = OpenFiles { most: share.clamp(1, OPEN_FILES_MAX), entries: Vec::new() };
        Self { buffer: Vec::new(), files }
    }

    /// Carries an order out.
    pub fn serve(
        &mut self,
        now: Instant,
        order: &ServeOrder,
        shelves: Shelves<'_>,
        socket: &mut UdpSocket,
    ) -> ServeOutcome {
        if order.payload_length == 0 || order.length > ORDER_LENGTH_MAX {
            return ServeOutcome::Failed;
        }
        if socket.is_full_for_segments() {
            return ServeOutcome::Blocked { sent: 0 };
        }
        match self.try_serve(now, order, shelves, socket) {
            Ok(outcome) => outcome,
            Err(error) if is_gone(&error) => {
                self.files.close_those_of(&order.source);
                ServeOutcome::Changed
            }
            Err(error) => {
                log::warn!("reading to serve {}: {error}", order.to);
                self.files.close_those_of(&order.source);
                ServeOutcome::Failed
            }
        }
    }

    /// Closes files that nobody asked for lately. To be called about once a second.
    pub fn close_idle(&mut self, now: Instant) {
        self.files.entries.retain(|entry| now.since(entry.used) < OPEN_IDLE_MAX);
        if self.files.entries.is_empty() {
            self.buffer = Vec::new();
        }
    }

    fn try_serve(
        &mut self,
        now: Instant,
        order: &ServeOrder,
        shelves: Shelves<'_>,
        socket: &mut UdpSocket,
    ) -> io::Result<ServeOutcome> {
        let (partial, chain, changes);
        let reader = match &order.source {
            ServeSource::File { name, signature } => {
                let file = self.files.open(now, name, signature, shelves.share)?;
                Reader::File { file, start: order.offset, offered: *signature }
            }
            ServeSource::Partial { content } => {
                let partials = shelves.partials.ok_or(io::ErrorKind::NotFound)?;
                let range = (order.offset, u64::from(order.length));
                let (file, start) = partials.open_range(*content, range.0, range.1)?;
                partial = file;
                Reader::Part { file: &partial, start, of: (partials, *content, range.0) }
            }
            ServeSource::Chain { content } => {
                let known = shelves.cache.and_then(|cache| cache.chain(*content));
                chain = known.ok_or(io::ErrorKind::NotFound)?;
                Reader::Bytes(&chain)
            }
            ServeSource::Listing { digest } => {
                let kept = shelves.listings.and_then(|listings| listings.kept(*digest));
                Reader::Bytes(kept.ok_or(io::ErrorKind::NotFound)?)
            }
            ServeSource::Changes { from, to } => {
                let kept = shelves.listings.and_then(|listings| listings.changes(*from, *to));
                changes = kept.ok_or(io::ErrorKind::NotFound)?;
                Reader::Bytes(&changes)
            }
            ServeSource::Bytes(bytes) => Reader::Bytes(bytes),
        };
        send_all(&mut self.buffer, order, &reader, socket)
    }
}

/// Reads a range at once, and sends it as many packets at a time as one call takes.
fn send_all(
    buffer: &mut Vec<u8>,
    order: &ServeOrder,
    reader: &Reader<'_>,
    socket: &mut UdpSocket,
) -> io::Result<ServeOutcome> {
    let payload = usize::from(order.payload_length);
    let packet = DATA_HEADER_LENGTH + payload;
    let packets_max = (PAYLOAD_LENGTH_MAX / packet).clamp(1, SEGMENTS_MAX);
    let length = order.length as usize;
    let total = length + length.div_ceil(payload) * DATA_HEADER_LENGTH;
    if buffer.len() < total {
        buffer.resize(total, 0);
    }
    let run = &mut buffer[..total];
    reader.read(run, packet, order.offset)?;
    write_headers(run, packet, order);
    let mut done = 0;
    for part in run.chunks(packets_max * packet) {
        match socket.send_segments(order.to, part, packet) {
            SegmentsSent::All => done += packets_max * payload,
            SegmentsSent::Blocked(packets) => {
                let sent = u32::try_from(done + packets * payload).unwrap_or(order.length);
                return Ok(ServeOutcome::Blocked { sent });
            }
            SegmentsSent::TooLong => return Ok(ServeOutcome::TooLong),
            SegmentsSent::Failed => return Ok(ServeOutcome::Failed),
        }
    }
    Ok(ServeOutcome::Sent)
}

fn write_headers(run: &mut [u8], packet: usize, order: &ServeOrder) {
    let kind = match order.source {
        ServeSource::File { .. } | ServeSource::Partial { .. } => DataKind::Data,
        ServeSource::Chain { .. }
        | ServeSource::Listing { .. }
        | ServeSource::Changes { .. }
        | ServeSource::Bytes(_) => DataKind::Meta,
    };
    let mut offset = order.offset;
    for part in run.chunks_mut(packet) {
        if let Some((header, _)) = part.split_first_chunk_mut::<DATA_HEADER_LENGTH>() {
            DataHeader { kind, nonce: order.nonce, offset }.write(header);
        }
        offset += u64::from(order.payload_length);
    }
}

impl Reader<'_> {
    /// Fills the gaps behind the headers of `run` with the object's bytes from `offset` on.
    fn read(&self, run: &mut [u8], packet: usize, offset: u64) -> io::Result<()> {
        match self {
            Self::Bytes(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let mut rest = bytes.get(start..).unwrap_or_default();
                for part in run.chunks_mut(packet) {
                    let gap = &mut part[DATA_HEADER_LENGTH..];
                    let (taken, left) =
                        rest.split_at_checked(gap.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
                    gap.copy_from_slice(taken);
                    rest = left;
                }
                Ok(())
            }
            Self::File { file, start, offered } => {
                read_gaps(file, run, packet, *start)?;
                if signature(file)? == *offered {
                    Ok(())
                } else {
                    Err(io::ErrorKind::NotFound.into())
                }
            }
            Self::Part { file, start, of: (partials, content, position) } => {
                read_gaps(file, run, packet, *start)?;
                if partials.is_in_place(*content, *position, file) {
                    Ok(())
                } else {
                    Err(io::ErrorKind::NotFound.into())
                }
            }
        }
    }
}

/// One call for all gaps; one for each where that reads too little.
fn read_gaps(file: &File, run: &mut [u8], packet: usize, position: u64) -> io::Result<()> {
    let mut wanted = 0;
    let mut gaps = Vec::with_capacity(SEGMENTS_MAX);
    for part in run.chunks_mut(packet) {
        wanted += part.len() - DATA_HEADER_LENGTH;
        gaps.push(IoSliceMut::new(&mut part[DATA_HEADER_LENGTH..]));
    }
    if rustix::io::preadv(file, &mut gaps, position)? == wanted {
        return Ok(());
    }
    let mut position = position;
    for gap in &mut gaps {
        file.read_exact_at(gap, position)?;
        position += gap.len() as u64;
    }
    Ok(())
}

/// Files that were read lately, the latest last.
#[derive(Debug)]
struct OpenFiles {
    most: usize,
    entries: Vec<OpenFile>,
}

#[derive(Debug)]
struct OpenFile {
    name: ShareName,
    signature: FileSignature,
    file: File,
    used: Instant,
}

impl OpenFiles {
    fn open(
        &mut self,
        now: Instant,
        name: &ShareName,
        offered: &FileSignature,
        share: &ShareFolder,
    ) -> io::Result<&File> {
        let known = self
            .entries
            .iter()
            .position(|entry| entry.signature == *offered && entry.name == *name);
        let entry = match known {
            Some(at) => OpenFile { used: now, ..self.entries.remove(at) },
            None => {
                let file = share.open(name)?;
                if signature(&file)? != *offered {
                    return Err(io::ErrorKind::NotFound.into());
                }
                if self.entries.len() >= self.most {
                    self.entries.remove(0);
                }
                OpenFile { name: name.clone(), signature: *offered, file, used: now }
            }
        };
        self.entries.push(entry);
        Ok(&self.entries[self.entries.len() - 1].file)
    }

    fn close_those_of(&mut self, source: &ServeSource) {
        if let ServeSource::File { name, .. } = source {
            self.entries.retain(|entry| entry.name != *name);
        }
    }
}

#[cfg(test)]
mod tests;
