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
    /// What was taken: all before this offset of this buffer.
    buffer: usize,
    offset: usize,
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
            buffer: 0,
            offset: 0,
        }
    }

    /// Fills it in one call that takes many buffers.
    pub(super) fn fill(
        &mut self,
        receive: impl FnOnce(&mut [IoSliceMut<'_>], &mut [RecvMeta]) -> io::Result<usize>,
    ) -> io::Result<()> {
        (self.filled, self.buffer, self.offset) = (0, 0, 0);
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
        (self.filled, self.buffer, self.offset) = (0, 0, 0);
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

    /// How many datagrams were received.
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

    /// The next datagram in the order of their arrival, with its sender; none once all were taken. An
    /// empty datagram is left out: nobody misses it.
    pub fn take(&mut self) -> Option<(SocketAddr, &[u8])> {
        self.take_with_way().map(|(from, _, bytes)| (from, bytes))
    }

    /// The same with the address that it was sent to, as far as the system tells.
    pub fn take_with_way(&mut self) -> Option<(SocketAddr, Option<IpAddr>, &[u8])> {
        loop {
            let meta = self.metas[..self.filled].get(self.buffer)?;
            let end = meta.len.min(BUFFER_LENGTH);
            if self.offset >= end {
                self.buffer += 1;
                self.offset = 0;
                continue;
            }
            let start = self.offset;
            self.offset = end.min(start + meta.stride.max(1));
            let base = self.buffer * BUFFER_LENGTH;
            let to = meta.dst_ip.map(|ip| ip.to_canonical());
            let bytes = &self.bytes[base + start..base + self.offset];
            return Some((canonical(meta.addr), to, bytes));
        }
    }

    /// Whether the last filling left no buffer empty.
    pub(super) fn is_full(&self) -> bool {
        self.filled == BUFFER_COUNT
    }

    /// Whether all that was received was taken.
    pub fn is_empty(&self) -> bool {
        self.buffer >= self.filled
            || self.buffer + 1 == self.filled && self.offset >= self.metas[self.buffer].len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_are_taken_one_by_one_in_order() {
        let mut batch = ReceiveBatch::new();
        assert!(batch.is_empty() && batch.take().is_none());
        let addr: SocketAddr = "[::ffff:192.0.2.1]:9".parse().unwrap();
        let meta = |len, stride| RecvMeta { addr, len, stride, ..RecvMeta::default() };
        let received = batch.fill(|slices, metas| {
            slices[0][..5].copy_from_slice(b"aabbc");
            slices[2][..2].copy_from_slice(b"dd");
            metas[..3].copy_from_slice(&[meta(5, 2), meta(0, 0), meta(2, 2)]);
            Ok(3)
        });
        assert!(received.is_ok());
        assert_eq!(batch.datagram_count(), 5);
        for expected in [&b"aa"[..], b"bb", b"c", b"dd"] {
            assert!(!batch.is_empty());
            assert_eq!(batch.take(), Some(("192.0.2.1:9".parse().unwrap(), expected)));
        }
        assert!(batch.is_empty() && batch.take().is_none());
    }
}
