//! One grant that is on its way: which of its packets have come, and which are taken for lost.

use serde::{Deserialize, Serialize};

use super::congestion::Snapshot;
use super::{Flow, SEQUENCE_MASK};
use crate::node::time::Instant;

/// Why an arrived packet is none of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stray {
    /// Its nonce was never given to this source, or long ago.
    Nonce,
    /// It is not cut as the grant says.
    Cut,
    /// It came before.
    Duplicate,
}

/// A piece of an object that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Piece<T> {
    pub(crate) tag: T,
    /// Where in the object.
    pub(crate) offset: u64,
    /// Bytes.
    pub(crate) length: u64,
}

/// A grant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct InFlight<T> {
    pub(super) piece: Piece<T>,
    pub(super) payload_length: u64,
    pub(super) packets: u64,
    /// Counts packets over the life of the flow: this grant's first.
    pub(super) first_position: u64,
    pub(super) sent_at: Instant,
    pub(super) snapshot: Snapshot,
    pub(super) received: u64,
    pub(super) lost: u64,
    /// When a later packet was first seen to have come before one of these.
    pub(super) overtaken_at: Option<Instant>,
    /// Asks for longer packets than are known to pass.
    pub(super) probes: bool,
}

impl<T: Copy> InFlight<T> {
    pub(super) fn all(&self) -> u64 {
        u64::MAX >> (64 - self.packets)
    }

    pub(super) fn outstanding(&self) -> u64 {
        self.all() & !self.received & !self.lost
    }

    pub(super) fn packet_length(&self, packet: u64) -> u64 {
        (self.piece.length - packet * self.payload_length).min(self.payload_length)
    }

    /// Takes the given outstanding packets for lost; appends them, neighbours joined.
    pub(super) fn lose(&mut self, packets: u64, into: &mut Vec<Piece<T>>) -> u64 {
        let mut bytes = 0;
        let mut last_end = None;
        for packet in 0..self.packets {
            if packets & (1 << packet) == 0 {
                continue;
            }
            let length = self.packet_length(packet);
            let offset = self.piece.offset + packet * self.payload_length;
            bytes += length;
            match into.last_mut() {
                Some(piece) if last_end == Some(offset) => piece.length += length,
                _ => into.push(Piece { tag: self.piece.tag, offset, length }),
            }
            last_end = Some(offset + length);
        }
        self.lost |= packets;
        bytes
    }
}

impl<T> Flow<T> {
    /// Whether a nonce is one of those that only this source was given.
    pub(crate) const fn gave(&self, nonce: u64) -> bool {
        nonce & !SEQUENCE_MASK == self.nonce_base
    }
}
