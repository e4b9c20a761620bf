//! A flow: the way from one source to us. The receiver is the clock: nothing comes that was not granted,
//! so the receiver knows of every packet that is to come, in which order, and what each was for.
//!
//! A flow owns the grants in flight, decides which packets are lost, and how much may be asked for
//! when ([`congestion`]). It does not know what the bytes are for: its owner tags each grant, and gets the
//! tag back with what arrived and what was lost.

mod background;
mod congestion;
mod in_flight;
mod ladder;
mod round_trip;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use background::Background;
use congestion::Congestion;
use in_flight::InFlight;
pub(crate) use in_flight::{Piece, Stray};
use ladder::Ladder;
use log::debug;
use round_trip::RoundTrip;
use serde::{Deserialize, Serialize};

use super::deadline::{Deadline, Earliest};
use super::random::Random;
use super::time::Instant;
use crate::wire::{
    Cookie, GRANT_BYTES_MAX, GRANT_PACKETS_MAX, Grant, Message, Object, ObjectRange, Ranges,
};

/// A packet counts as lost when this many later ones have come (RFC 9002 section 6.1.1), as long as
/// this way has not been seen to reorder.
const PACKET_THRESHOLD: u64 = 3;
/// Grants that are remembered; what belongs to older ones comes too late to matter.
const GRANTS_MAX: usize = 4_096;
/// The part of a nonce that counts. It comes round after a tebibyte in grants of 64 KiB, by when no
/// packet of the grant that had the number before is on its way any more.
const SEQUENCE_MASK: u64 = 0xff_ffff;
/// Grants that are remembered for long after all of their packets were taken for lost, and for how long.
const LATE_MAX: usize = 32;
const LATE: Duration = Duration::from_secs(20);
/// Longest wait between probes of a silent source.
const PROBE_TIMEOUT_MAX: Duration = Duration::from_secs(5);

/// The way from one source to us.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Flow<T> {
    source: SocketAddr,
    cookie: Option<Cookie>,
    /// The upper 40 bits of every nonce; the lower 24 count the grants. Only this source knows them.
    nonce_base: u64,
    grants: VecDeque<InFlight<T>>,
    first_sequence: u64,
    next_position: u64,
    /// The position after the furthest packet that has come.
    reached: u64,
    in_flight: u64,
    quiet_since: Instant,
    /// When the clock had last jumped, or we had been stopped: nothing sent before tells of the way.
    #[serde(default)]
    woke_at: Instant,
    probes_unanswered: u32,
    reorders: bool,
    trip: RoundTrip,
    congestion: Congestion,
    /// There where it gives way to everything else.
    #[serde(default)]
    background: Option<Background>,
    ladder: Ladder,
    delivered: u64,
    lost: u64,
}

/// By how much a loop that turns may wake too late.
const WAKES_LATE: Duration = Duration::from_millis(100);

impl<T: Copy> Flow<T> {
    pub(crate) fn new(source: SocketAddr, random: &mut Random) -> Self {
        Self {
            source,
            cookie: None,
            nonce_base: random.next_u64() & !SEQUENCE_MASK,
            grants: VecDeque::new(),
            first_sequence: 0,
            next_position: 0,
            reached: 0,
            in_flight: 0,
            quiet_since: Instant::ORIGIN,
            woke_at: Instant::ORIGIN,
            probes_unanswered: 0,
            reorders: false,
            trip: RoundTrip::new(),
            congestion: Congestion::new(),
            background: None,
            ladder: Ladder::new(),
            delivered: 0,
            lost: 0,
        }
    }

    /// The source has told us the cookie that opens it.
    pub(crate) const fn set_cookie(&mut self, cookie: Cookie) {
        self.cookie = Some(cookie);
    }

    /// The source does not take our cookie any more.
    pub(crate) const fn forget_cookie(&mut self) {
        self.cookie = None;
    }

    pub(crate) const fn is_open(&self) -> bool {
        self.cookie.is_some()
    }

    /// A round trip was measured by a question. One that takes long is repeated, and then measures nothing.
    pub(crate) fn sample_round_trip(&mut self, now: Instant, sample: Duration) {
        if sample < PROBE_TIMEOUT_MAX {
            self.trip.sample(now, sample);
        }
    }

    pub(crate) fn round_trip(&self) -> Duration {
        self.trip.smoothed()
    }

    /// Delivery rate in bytes per second; 0 before it is known.
    pub(crate) fn rate(&self) -> u64 {
        self.congestion.rate()
    }

    pub(crate) fn shortest_round_trip(&self) -> Duration {
        self.trip.minimum()
    }

    /// The payload that packets are asked for with, in bytes.
    pub(crate) const fn payload_length(&self) -> u64 {
        self.ladder.payload_length()
    }

    pub(crate) const fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// The payload length that the grant with this nonce asks for.
    pub(crate) fn asked_payload_length(&self, nonce: u64) -> Option<u64> {
        Some(self.grants[self.index_of(nonce)?].payload_length)
    }

    /// Bytes that have come, without duplicates.
    pub(crate) const fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Bytes that were taken for lost.
    pub(crate) const fn lost(&self) -> u64 {
        self.lost
    }

    /// Probed twice in vain: whatever is wanted of it is better had elsewhere.
    pub(crate) const fn is_stalled(&self) -> bool {
        self.probes_unanswered >= 2
    }

    /// It has answered a question: it is there, and worth a try.
    pub(crate) const fn answers(&mut self) {
        self.probes_unanswered = 0;
    }

    /// How many bytes may be asked for now, of the `spare` ones that all flows together may still have
    /// in flight; 0 while a grant must wait.
    pub(crate) fn room(&self, now: Instant, spare: u64) -> u64 {
        if !self.is_open() || now < self.paced_until() || self.grants.len() >= GRANTS_MAX {
            return 0;
        }
        if self.is_stalled() && self.in_flight > 0 {
            return 0;
        }
        let window = self.window();
        let quantum = self.congestion.quantum(&self.trip);
        let room = window.saturating_sub(self.in_flight).min(spare);
        // Small grants cost more upstream than they bring: wait until a good part is free, unless
        // nothing is on its way.
        if self.in_flight > 0 && room < quantum.min(window / 8) {
            return 0;
        }
        room.min(quantum)
    }

    /// Asks for the beginning of a piece: as much of it as one grant takes, `room` at most. Returns the
    /// datagram and how many bytes it asks for.
    pub(crate) fn grant(
        &mut self,
        now: Instant,
        object: Object,
        piece: Piece<T>,
        room: u64,
    ) -> (Vec<u8>, u64) {
        let cookie = self.cookie.expect("a flow has room only when it is open");
        let sequence = self.first_sequence + self.grants.len() as u64;
        let (payload_length, probes) = self.ladder.for_grant(now, sequence, piece.length);
        let wanted = if probes { payload_length } else { room.max(payload_length) };
        let length = piece.length.min(wanted).min(u64::from(GRANT_BYTES_MAX));
        let length = length.min(payload_length * u64::from(GRANT_PACKETS_MAX));
        let range = ObjectRange { offset: piece.offset, length: length as u32 };
        let ranges = Ranges::new(&[range], payload_length as u16)
            .expect("a piece lies within its object and was cut to what a grant may ask for");
        if self.in_flight == 0 {
            self.quiet_since = now;
        }
        let mut snapshot = self.congestion.granted(now, length, self.in_flight, &self.trip);
        self.note_background_grant(now, length, &mut snapshot);
        let packets = length.div_ceil(payload_length);
        let nonce = self.nonce_base | (sequence & SEQUENCE_MASK);
        self.grants.push_back(InFlight {
            piece: Piece { length, ..piece },
            payload_length,
            packets,
            first_position: self.next_position,
            sent_at: now,
            snapshot,
            received: 0,
            lost: 0,
            overtaken_at: None,
            probes,
        });
        self.next_position += packets;
        self.in_flight += length;
        let message = Message::Grant(Grant { nonce, cookie, object, ranges });
        (message.encode(), length)
    }

    /// There was nothing more to ask for: what is measured until more is says little about the way.
    pub(crate) fn mark_limited(&mut self) {
        if let Some(grant) = self.grants.back_mut() {
            grant.snapshot.limit();
        }
    }

    /// What a packet would be for, should it come now.
    pub(crate) fn tag_of(&self, nonce: u64, offset: u64, length: u64) -> Result<T, Stray> {
        let (index, _) = self.place(nonce, offset, length)?;
        Ok(self.grants[index].piece.tag)
    }

    /// A packet has come: what it was for. Afterwards the owner calls [`take_lost`](Self::take_lost).
    pub(crate) fn arrived(
        &mut self,
        now: Instant,
        nonce: u64,
        offset: u64,
        length: u64,
    ) -> Result<Piece<T>, Stray> {
        let (index, packet) = self.place(nonce, offset, length)?;
        self.note_waking(now);
        let grant = &mut self.grants[index];
        let bit = 1 << packet;
        let first = grant.received == 0;
        grant.received |= bit;
        if grant.lost & bit == 0 {
            self.in_flight -= length;
        } else {
            // It was only late.
            self.reorders = true;
            self.lost = self.lost.saturating_sub(length);
        }
        if first && packet == 0 && grant.sent_at >= self.woke_at {
            let sample = now.since(grant.sent_at);
            self.trip.sample(now, sample);
            self.background.iter_mut().for_each(|background| background.sample(now, sample));
        }
        if grant.probes && packet == 0 {
            self.ladder.passed(grant.payload_length);
        }
        self.reached = self.reached.max(grant.first_position + packet + 1);
        let (tag, snapshot) = (grant.piece.tag, grant.snapshot);
        self.quiet_since = now;
        self.probes_unanswered = 0;
        self.ladder.came(length);
        self.delivered += length;
        self.congestion.delivered(now, length, snapshot, self.in_flight, &mut self.trip);
        Ok(Piece { tag, offset, length })
    }

    /// Takes what has to be taken for lost by now: packets that later ones have overtaken, and, when
    /// nothing has come for too long, whatever is longest on its way.
    pub(crate) fn take_lost(&mut self, now: Instant, lost: &mut Vec<Piece<T>>) {
        self.note_waking(now);
        self.take_overtaken(now, lost);
        if self.in_flight > 0 && now >= self.probe_at() {
            self.take_silent(now, lost);
        }
        self.forget_settled(now);
    }

    /// The source refuses a grant: what of it is still outstanding, or none if it is not ours.
    pub(crate) fn refused(&mut self, nonce: u64, too_long: bool) -> Option<Vec<Piece<T>>> {
        let index = self.index_of(nonce)?;
        let grant = &mut self.grants[index];
        let mut pieces = Vec::new();
        let outstanding = grant.outstanding();
        if outstanding == 0 {
            return None;
        }
        self.in_flight -= grant.lose(outstanding, &mut pieces);
        if too_long {
            self.ladder.too_long(grant.payload_length);
        }
        self.probes_unanswered = 0;
        Some(pieces)
    }

    /// Gives up all that is on its way, as when the source is dropped.
    pub(crate) fn abandon(&mut self, now: Instant) -> Vec<Piece<T>> {
        // Nobody waits for it to be silent for long: it has been, all the same.
        if self.in_flight > 0 && now >= self.quiet_since + self.trip.smoothed() * 2 {
            self.ladder.silent(now, false);
        }
        let mut pieces = Vec::new();
        for grant in &mut self.grants {
            let outstanding = grant.outstanding();
            self.in_flight -= grant.lose(outstanding, &mut pieces);
        }
        pieces
    }

    /// When something is due.
    pub(crate) fn deadline(&self) -> Option<Deadline> {
        let mut earliest = Earliest::default();
        if self.in_flight > 0 {
            earliest.at(Some(self.probe_at()), "nothing comes from a source");
        }
        let window = self.trip.reordering_window();
        for grant in self.overtakeable() {
            earliest.at(grant.overtaken_at.map(|at| at + window), "packets were overtaken");
        }
        earliest.get()
    }

    pub(crate) fn check_invariants(&self) {
        let outstanding: u64 = self
            .grants
            .iter()
            .map(|grant| {
                (0..grant.packets)
                    .filter(|packet| grant.outstanding() & (1 << packet) != 0)
                    .map(|packet| grant.packet_length(packet))
                    .sum::<u64>()
            })
            .sum();
        assert_eq!(outstanding, self.in_flight, "in flight to {}", self.source);
        assert!(self.grants.len() <= GRANTS_MAX);
    }

    /// Which packet of which grant in flight this is.
    fn place(&self, nonce: u64, offset: u64, length: u64) -> Result<(usize, u64), Stray> {
        let index = self.index_of(nonce).ok_or(Stray::Nonce)?;
        let grant = &self.grants[index];
        let into = offset.checked_sub(grant.piece.offset).ok_or(Stray::Cut)?;
        let packet = into / grant.payload_length;
        if into % grant.payload_length != 0
            || packet >= grant.packets
            || grant.packet_length(packet) != length
        {
            return Err(Stray::Cut);
        }
        let is_new = grant.received & (1 << packet) == 0;
        if is_new { Ok((index, packet)) } else { Err(Stray::Duplicate) }
    }

    fn index_of(&self, nonce: u64) -> Option<usize> {
        if nonce & !SEQUENCE_MASK != self.nonce_base {
            return None;
        }
        let index = nonce.wrapping_sub(self.first_sequence) & SEQUENCE_MASK;
        usize::try_from(index).ok().filter(|&index| index < self.grants.len())
    }

    /// The grants of which a packet can have been overtaken and is not yet settled.
    fn overtakeable(&self) -> impl Iterator<Item = &InFlight<T>> {
        self.grants.iter().take_while(|grant| grant.first_position < self.reached)
    }

    fn take_overtaken(&mut self, now: Instant, lost: &mut Vec<Piece<T>>) {
        let window = self.trip.reordering_window();
        for grant in &mut self.grants {
            if grant.first_position >= self.reached {
                break;
            }
            // Bits of the packets that came before the furthest.
            let passed = (self.reached - grant.first_position).min(grant.packets);
            let behind = grant.outstanding() & (u64::MAX >> (64 - passed));
            if behind == 0 {
                grant.overtaken_at = None;
                continue;
            }
            let overtaken_at = *grant.overtaken_at.get_or_insert(now);
            let far = self
                .reached
                .saturating_sub(PACKET_THRESHOLD + grant.first_position)
                .min(grant.packets);
            let mut gone = 0;
            if now >= overtaken_at + window {
                gone = behind;
            } else if !self.reorders && far > 0 {
                gone = behind & (u64::MAX >> (64 - far));
            }
            if gone != 0 {
                let bytes = grant.lose(gone, lost);
                self.in_flight -= bytes;
                self.lost += bytes;
                self.congestion.lost(bytes);
                if grant.probes {
                    self.ladder.failed(now);
                } else {
                    self.background.iter_mut().for_each(Background::lost);
                }
                if gone == behind {
                    grant.overtaken_at = None;
                }
            }
        }
    }

    fn take_silent(&mut self, now: Instant, lost: &mut Vec<Piece<T>>) {
        self.probes_unanswered = self.probes_unanswered.saturating_add(1);
        self.quiet_since = now;
        for grant in &mut self.grants {
            let outstanding = grant.outstanding();
            if outstanding == 0 {
                continue;
            }
            let bytes = grant.lose(outstanding, lost);
            self.in_flight -= bytes;
            self.lost += bytes;
            self.congestion.lost(bytes);
            self.background.iter_mut().for_each(Background::lost);
            if grant.probes {
                self.ladder.failed(now);
            }
            if self.probes_unanswered == 1 {
                // The oldest alone: if its answer comes, the gap tells of the others.
                break;
            }
        }
        let (times, rate, trip) = (self.probes_unanswered, self.rate(), self.round_trip());
        let left = self.in_flight;
        debug!("{}: silent, {times} times; {left} in flight, {rate} B/s, {trip:?}", self.source);
        if self.probes_unanswered >= 2 {
            self.congestion.collapsed(now);
            self.background.iter_mut().for_each(|background| background.collapsed(now));
        }
        self.ladder.silent(now, self.probes_unanswered >= 2);
    }

    /// After a clock has jumped, or we were stopped, what was sent before says nothing about the way.
    fn note_waking(&mut self, now: Instant) {
        if self.in_flight > 0 && now > self.probe_at() + WAKES_LATE {
            self.woke_at = now;
            self.congestion.collapsed(now);
        }
    }

    fn probe_at(&self) -> Instant {
        let backoff = 1 << self.probes_unanswered.min(8);
        self.quiet_since + (self.trip.probe_timeout() * backoff).min(PROBE_TIMEOUT_MAX)
    }

    /// Forgets grants of which nothing is to come; those with losses are kept for a while, so that what
    /// was only late is recognised.
    fn forget_settled(&mut self, now: Instant) {
        let patience = self.trip.probe_timeout() * 2;
        while let Some(grant) = self.grants.front() {
            // What comes late shows that a way has become far longer than it was.
            let few = self.grants.len() <= LATE_MAX;
            let patience = if few { patience.max(LATE) } else { patience };
            let settled = grant.outstanding() == 0
                && (grant.received == grant.all() || now >= grant.sent_at + patience);
            if !settled {
                break;
            }
            self.grants.pop_front();
            self.first_sequence += 1;
        }
    }
}

#[cfg(test)]
mod tests;
