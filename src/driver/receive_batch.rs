//! The buffers that a batch of datagrams is received into, and the cutting of what arrived into
//! datagrams: the kernel may have put several of one sender into one buffer.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};

use quinn_udp::RecvMeta;

use crate::wire::address::canonical;

/// Buffers in a batch; each takes the longest datagram, or many short ones of one sender.
pub const BUFFER_COUNT: usize = 16;
/// Bytes of each buffer: no datagram is longer, so none is ever cut off.
pub const BUFFER_LENGTH: usize = 65_536;

/// A batch of datagrams. Memory is touched only as far as the network fills it.
#[derive(Debug)]
pub struct ReceiveBatch {
    bytes: Vec<u8>,
    metas: [RecvMeta; BUFFER_COUNT],
    filled: usize,
}

impl Default for ReceiveBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl ReceiveBatch {
    /// An empty batch.
    pub fn new() -> Self {
        Self {
            bytes: vec![0; BUFFER_COUNT * BUFFER_LENGTH],
            metas: [RecvMeta::default(); BUFFER_COUNT],
            filled: 0,
        }
    }

    /// Fills it in one call that takes many buffers.
    pub(super) fn fill(
        &mut self,
        receive: impl FnOnce(&mut [IoSliceMut<'_>], &mut [RecvMeta]) -> io::Result<usize>,
    ) -> io::Result<()> {
        self.filled = 0;
        let mut parts = self.bytes.chunks_exact_mut(BUFFER_LENGTH);
        let mut slices: [IoSliceMut<'_>; BUFFER_COUNT] =
            std::array::from_fn(|_| IoSliceMut::new(parts.next().unwrap_or_default()));
        self.filled = receive(&mut slices, &mut self.metas)?.min(BUFFER_COUNT);
        Ok(())
    }

    /// Fills it with one datagram a call. An error after the first datagram waits for the next time.
    pub(super) fn fill_plain(
        &mut self,
        mut receive: impl FnMut(&mut [u8]) -> io::Result<(usize, SocketAddr)>,
    ) -> io::Result<()> {
        self.filled = 0;
        let parts = self.bytes.chunks_exact_mut(BUFFER_LENGTH);
        for (part, meta) in parts.zip(self.metas.iter_mut()) {
            match receive(part) {
                Ok((len, addr)) => {
                    *meta = RecvMeta { addr, len, stride: len, ..RecvMeta::default() };
                }
                Err(error) if self.filled == 0 => return Err(error),
                Err(_) => break,
            }
            self.filled += 1;
        }
        Ok(())
    }

    /// How many datagrams are in it.
    pub fn datagram_count(&self) -> u64 {
        self.metas[..self.filled]
            .iter()
            .map(|meta| if meta.stride == 0 { 1 } else { meta.len.div_ceil(meta.stride) as u64 })
            .sum()
    }

    /// The sender of each buffer's datagrams, with the address that they were sent to.
    pub(super) fn ways(&self) -> impl Iterator<Item = (SocketAddr, IpAddr)> {
        self.metas[..self.filled]
            .iter()
            .filter_map(|meta| Some((canonical(meta.addr), meta.dst_ip?.to_canonical())))
    }

    /// The datagrams in the order of their arrival, each with its sender.
    pub fn datagrams(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        let buffers = self.bytes.chunks_exact(BUFFER_LENGTH);
        self.metas[..self.filled].iter().zip(buffers).flat_map(|(meta, buffer)| {
            let from = canonical(meta.addr);
            let bytes = &buffer[..meta.len.min(BUFFER_LENGTH)];
            // An empty datagram has no segments, and is one all the same; nobody misses it.
            bytes.chunks(meta.stride.max(1)).map(move |datagram| (from, datagram))
        })
    }
}
