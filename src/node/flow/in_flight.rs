//! One grant that is on its way: which of its packets have come, and which are taken for lost.

use serde::{Deserialize, Serialize};

use super::congestion::Snapshot;
use super::{Flow, SEQUENCE_MASK};
use crate::node::time::Instant;
use crate::wire::{
    GRANT_BYTES_MAX, GRANT_PACKETS_MAX, GRANT_RANGES_MAX, ObjectRange, PAYLOAD_LENGTH_STEP, Ranges,
};

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

impl<T: Copy> Piece<T> {
    const fn packets(&self, payload_length: u64) -> u64 {
        self.length.div_ceil(payload_length)
    }
}

/// A grant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct InFlight<T> {
    /// What it asks for, in the order in which it comes; of one object, none empty.
    pieces: Vec<Piece<T>>,
    pub(super) payload_length: u64,
    pub(super) packets: u64,
    /// Counts packets over the life of the flow: this grant's first.
    pub(super) first_position: u64,
    pub(super) sent_at: Instant,
    pub(super) snapshot: Snapshot,
    pub(super) received: u64,
    pub(super) lost: u64,
    /// When the first of them came.
    #[serde(default)]
    pub(super) came_at: Instant,
    /// When a later packet was first seen to have come before one of these.
    pub(super) overtaken_at: Option<Instant>,
    /// The same, of those that were then taken for lost.
    pub(super) lost_since: Option<Instant>,
    /// Asks for longer packets than are known to pass.
    pub(super) probes: bool,
    /// Its last packets were asked for once more, or it asks so itself.
    #[serde(default)]
    pub(super) repeated: bool,
}

/// As much of what is wanted, from its beginning on, as one grant takes: `room` bytes, but at least a packet. A
/// piece that does not fit is cut behind a full packet, so that no packet is short but the last of a piece.
pub(super) fn cut<T: Copy>(wanted: &[Piece<T>], payload_length: u64, room: u64) -> Vec<Piece<T>> {
    let mut room = room.max(payload_length).min(u64::from(GRANT_BYTES_MAX));
    let mut packets = u64::from(GRANT_PACKETS_MAX);
    let mut pieces = Vec::with_capacity(wanted.len().min(GRANT_RANGES_MAX));
    for piece in wanted.iter().take(GRANT_RANGES_MAX) {
        let most = room.min(packets * payload_length);
        let whole = piece.length <= most;
        let length = if whole { piece.length } else { most - most % payload_length };
        if length == 0 {
            break;
        }
        pieces.push(Piece { length, ..*piece });
        room -= length;
        packets -= length.div_ceil(payload_length);
        if !whole {
            break;
        }
    }
    pieces
}

impl<T: Copy + PartialEq> InFlight<T> {
    pub(super) fn new(
        pieces: Vec<Piece<T>>,
        payload_length: u64,
        first_position: u64,
        sent_at: Instant,
        snapshot: Snapshot,
        probes: bool,
    ) -> Self {
        debug_assert_eq!(payload_length % u64::from(PAYLOAD_LENGTH_STEP), 0);
        let packets = pieces.iter().map(|piece| piece.packets(payload_length)).sum();
        Self {
            pieces,
            payload_length,
            packets,
            first_position,
            sent_at,
            snapshot,
            received: 0,
            lost: 0,
            came_at: Instant::ORIGIN,
            overtaken_at: None,
            lost_since: None,
            probes,
            repeated: false,
        }
    }

    /// What it asks for, as the source is told.
    pub(super) fn ranges(&self) -> Ranges {
        let mut ranges = [ObjectRange::default(); GRANT_RANGES_MAX];
        for (range, piece) in ranges.iter_mut().zip(&self.pieces) {
            *range = ObjectRange { offset: piece.offset, length: piece.length as u32 };
        }
        Ranges::new(&ranges[..self.pieces.len()], self.payload_length as u16)
            .expect("pieces lie within their object and were cut to what a grant may ask for")
    }

    pub(super) fn all(&self) -> u64 {
        u64::MAX >> (64 - self.packets)
    }

    pub(super) fn outstanding(&self) -> u64 {
        self.all() & !self.received & !self.lost
    }

    /// Which packet begins there and has this length, and what it is for; none where it is cut otherwise.
    pub(super) fn find(&self, offset: u64, length: u64) -> Option<(u64, T)> {
        let mut first = 0;
        for piece in &self.pieces {
            let into = offset.wrapping_sub(piece.offset);
            if into < piece.length {
                let is_cut_so = into % self.payload_length == 0
                    && (piece.length - into).min(self.payload_length) == length;
                return is_cut_so.then_some((first + into / self.payload_length, piece.tag));
            }
            first += piece.packets(self.payload_length);
        }
        None
    }

    /// Bytes of these packets.
    pub(super) fn bytes_of(&self, packets: u64) -> u64 {
        let lengths = self.cut_packets().zip(0u32..);
        lengths.filter(|(_, bit)| packets & (1 << bit) != 0).map(|(piece, _)| piece.length).sum()
    }

    /// Takes the given outstanding packets for lost; appends them, neighbours joined.
    pub(super) fn lose(&mut self, packets: u64, into: &mut Vec<Piece<T>>) -> u64 {
        let mut bytes = 0;
        let mut last_end = None;
        for (packet, bit) in self.cut_packets().zip(0u32..) {
            if packets & (1 << bit) == 0 {
                continue;
            }
            bytes += packet.length;
            match into.last_mut() {
                Some(piece) if last_end == Some(packet.offset) && piece.tag == packet.tag => {
                    piece.length += packet.length;
                }
                _ => into.push(packet),
            }
            last_end = Some(packet.offset + packet.length);
        }
        self.lost |= packets;
        bytes
    }

    /// The last of its packets that are on their way, so many at the most.
    pub(super) fn last_packets(&self, most: usize) -> Vec<Piece<T>> {
        let outstanding = self.outstanding();
        let packets: Vec<_> = self.cut_packets().zip(0u32..).collect();
        let last = packets.into_iter().rev().filter(|(_, bit)| outstanding & (1 << bit) != 0);
        last.take(most).map(|(packet, _)| packet).collect()
    }

    /// Its packets, in the order in which they come.
    fn cut_packets(&self) -> impl Iterator<Item = Piece<T>> + '_ {
        self.pieces.iter().flat_map(|piece| {
            (0..piece.packets(self.payload_length)).map(|packet| {
                let into = packet * self.payload_length;
                let length = (piece.length - into).min(self.payload_length);
                Piece { tag: piece.tag, offset: piece.offset + into, length }
            })
        })
    }
}

impl<T> Flow<T> {
    /// Whether a nonce is one of those that only this source was given.
    pub(crate) const fn gave(&self, nonce: u64) -> bool {
        nonce & !SEQUENCE_MASK == self.nonce_base
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(tag: u8, offset: u64, length: u64) -> Piece<u8> {
        Piece { tag, offset, length }
    }

    #[test]
    fn a_grant_takes_what_fits_and_cuts_behind_full_packets() {
        let wanted = [piece(1, 0, 2_000), piece(2, 10_000, 1_408), piece(3, 50_000, 90_000)];
        for (room, expected) in [
            (0, vec![piece(1, 0, 1_408)]),
            (1_999, vec![piece(1, 0, 1_408)]),
            (2_000, vec![piece(1, 0, 2_000)]),
            (3_000, vec![piece(1, 0, 2_000)]),
            (3_408, vec![piece(1, 0, 2_000), piece(2, 10_000, 1_408)]),
            (5_000, vec![piece(1, 0, 2_000), piece(2, 10_000, 1_408), piece(3, 50_000, 1_408)]),
        ] {
            assert_eq!(cut(&wanted, 1_408, room), expected, "{room}");
        }
        // As many packets and as many bytes as one grant may ask for.
        let most: u64 = cut(&[piece(1, 0, 1 << 20)], 512, 1 << 20).iter().map(|p| p.length).sum();
        assert_eq!(most, 64 * 512);
        let most: u64 = cut(&[piece(1, 0, 1 << 20)], 8_896, 1 << 20).iter().map(|p| p.length).sum();
        assert_eq!(most, 7 * 8_896);
        let many: Vec<_> = (0..40).map(|n| piece(1, n * 5_000, 100)).collect();
        assert_eq!(cut(&many, 1_408, 1 << 20).len(), GRANT_RANGES_MAX);
    }

    #[test]
    fn packets_are_found_by_where_they_begin_and_given_back_joined() {
        let pieces = vec![piece(1, 0, 2_000), piece(2, 2_000, 3_000)];
        let snapshot = Snapshot::default();
        let mut grant = InFlight::new(pieces, 1_408, 0, Instant::ORIGIN, snapshot, false);
        assert_eq!(grant.packets, 5);
        assert_eq!(grant.find(1_408, 592), Some((1, 1)));
        assert_eq!(grant.find(2_000, 1_408), Some((2, 2)));
        assert_eq!(grant.find(4_816, 184), Some((4, 2)));
        for (offset, length) in [(1_408, 1_408), (2_001, 1_408), (5_000, 1), (u64::MAX, 1)] {
            assert_eq!(grant.find(offset, length), None);
        }
        let mut lost = Vec::new();
        assert_eq!(grant.bytes_of(0b01110), 592 + 1_408 * 2);
        assert_eq!(grant.lose(0b01110, &mut lost), 592 + 1_408 * 2);
        // Neighbours, but not across what they are for.
        assert_eq!(lost, [piece(1, 1_408, 592), piece(2, 2_000, 2_816)]);
    }
}
