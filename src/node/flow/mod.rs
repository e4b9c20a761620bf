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
mod loss;
mod recovery;
mod round_trip;
mod startup;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use background::Background;
use congestion::Congestion;
use in_flight::InFlight;
pub(crate) use in_flight::{Piece, Stray};
use ladder::Ladder;
use round_trip::RoundTrip;
use serde::{Deserialize, Serialize};

use super::deadline::{Deadline, Earliest};
use super::ids::ListingId;
use super::random::Random;
use super::time::Instant;
use crate::wire::{Cookie, Grant, Message, Object};

/// Grants that are remembered; what belongs to older ones comes too late to matter.
const GRANTS_MAX: usize = 4_096;
/// The part of a nonce that counts. It comes round after a tebibyte in grants of 64 KiB, by when no
/// packet of the grant that had the number before is on its way any more.
const SEQUENCE_MASK: u64 = 0xff_ffff;
/// A grant of at least so many packets shows how fast its way is at its narrowest.
const TRAIN_PACKETS: u64 = 4;
/// So many packets are asked for once more where nothing comes after them: at 5 % loss, that none of them tells is one in 160,000.
const REPEATED_PACKETS: usize = 4;
/// Longest wait between probes of a silent source.
pub(crate) const PROBE_TIMEOUT_MAX: Duration = Duration::from_secs(5);

/// What bytes are asked for as.
pub(crate) trait FlowTag: Copy + PartialEq {
    /// The longest wait between two probes of a silent source, where the way itself is not longer.
    const SILENCE_MAX: Duration;
}

/// A listing is asked for as patiently as its host is asked anything: a grant a second is no load. Where two packets in ten are lost, one of ten
/// thousand listings would otherwise take ten seconds.
impl FlowTag for ListingId {
    const SILENCE_MAX: Duration = Duration::from_secs(1);
}

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
    /// Bytes that were asked for once more before they were lost.
    #[serde(default)]
    repeated: u64,
}

impl<T: FlowTag> Flow<T> {
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
            repeated: 0,
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

    /// A question that was repeated was answered: it cannot be told which one, but this is the most that it can be.
    pub(crate) fn suppose_round_trip(&mut self, most: Duration) {
        if most < PROBE_TIMEOUT_MAX {
            self.trip.suppose(most);
        }
    }

    pub(crate) fn round_trip(&self) -> Duration {
        self.trip.smoothed()
    }

    /// The smoothed round trip, where one was measured.
    pub(crate) fn measured_round_trip(&self) -> Option<Duration> {
        self.trip.measured()
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
        let window = self.window(now);
        let quantum = self.congestion.quantum(&self.trip);
        let room = window.saturating_sub(self.in_flight).min(spare);
        // Small grants cost more upstream than they bring: wait until a good part is free, unless
        // nothing is on its way.
        if self.in_flight > 0 && room < quantum.min(window / 8) {
            return 0;
        }
        room.min(quantum)
    }

    /// Asks for as much of what is wanted as one grant takes, from its beginning on and `room` bytes at most.
    /// `wanted` are pieces of one object, at least one. Returns the datagram and how many bytes it asks for.
    pub(crate) fn grant(
        &mut self,
        now: Instant,
        object: Object,
        wanted: &[Piece<T>],
        room: u64,
    ) -> (Vec<u8>, u64) {
        let cookie = self.cookie.expect("a flow has room only when it is open");
        let sequence = self.first_sequence + self.grants.len() as u64;
        let first = wanted.first().map_or(0, |piece| piece.length);
        let window = self.congestion.window(now, &self.trip);
        let (payload_length, probes) = self.ladder.for_grant(now, sequence, first, window);
        let pieces = if probes {
            in_flight::cut(&wanted[..1], payload_length, payload_length)
        } else {
            in_flight::cut(wanted, payload_length, room)
        };
        if self.in_flight == 0 {
            self.quiet_since = now;
        }
        let length = pieces.iter().map(|piece| piece.length).sum();
        let mut snapshot = self.congestion.granted(now, length, self.in_flight, &self.trip);
        self.note_background_grant(now, length, &mut snapshot);
        let nonce = self.nonce_base | (sequence & SEQUENCE_MASK);
        let grant =
            InFlight::new(pieces, payload_length, self.next_position, now, snapshot, probes);
        self.next_position += grant.packets;
        self.in_flight += length;
        let ranges = grant.ranges();
        self.grants.push_back(grant);
        let message = Message::Grant(Grant { nonce, cookie, object, ranges });
        (message.encode(), length)
    }

    /// There is nothing more to ask for, and packets have been lost on this way: the last ones that were asked for, to be
    /// asked for once more. A loss is told by what comes after it, and after the last one nothing does; a probe (RFC 8985, section 7)
    /// would be a round trip and a wait later. Once a grant, and within a 128th of what has come.
    pub(crate) fn last_asked(&mut self) -> Vec<Piece<T>> {
        let is_due = self.lost > 0 && self.repeated < self.delivered / 128;
        let Some(grant) = self.grants.back_mut().filter(|grant| is_due && !grant.repeated) else {
            return Vec::new();
        };
        grant.repeated = true;
        if grant.probes { Vec::new() } else { grant.last_packets(REPEATED_PACKETS) }
    }

    /// The last grant asked for such packets: that it did is not repeated.
    pub(crate) fn mark_repeated(&mut self, bytes: u64) {
        self.repeated += bytes;
        self.grants.back_mut().into_iter().for_each(|grant| grant.repeated = true);
    }

    /// There was nothing more to ask for: what is measured until more is says little about the way.
    pub(crate) fn mark_limited(&mut self) {
        if let Some(grant) = self.grants.back_mut() {
            grant.snapshot.limit();
        }
    }

    /// What a packet would be for, should it come now.
    pub(crate) fn tag_of(&self, nonce: u64, offset: u64, length: u64) -> Result<T, Stray> {
        let (_, _, tag) = self.place(nonce, offset, length)?;
        Ok(tag)
    }

    /// A packet has come: what it was for. Afterwards the owner calls [`take_lost`](Self::take_lost).
    pub(crate) fn arrived(
        &mut self,
        now: Instant,
        nonce: u64,
        offset: u64,
        length: u64,
    ) -> Result<Piece<T>, Stray> {
        let (index, packet, tag) = self.place(nonce, offset, length)?;
        self.note_waking(now);
        let grant = &mut self.grants[index];
        let (bit, snapshot, sent_at) = (1 << packet, grant.snapshot, grant.sent_at);
        let first = grant.received == 0;
        grant.received |= bit;
        let late_since = grant.lost_since.filter(|_| grant.lost & bit != 0).or(grant.overtaken_at);
        if grant.lost & bit == 0 {
            self.in_flight -= length;
        } else {
            // It was only late.
            self.reorders = true;
            self.lost = self.lost.saturating_sub(length);
            if !grant.probes {
                self.congestion.take_back(length, snapshot);
            }
        }
        if grant.first_position + packet < self.reached {
            let by = late_since.map_or(Duration::ZERO, |since| now.since(since));
            self.trip.came_late(now, by);
        }
        if first {
            grant.came_at = now;
        } else if grant.received == grant.all() && grant.packets >= TRAIN_PACKETS && !self.reorders
        {
            let bytes = grant.bytes_of(grant.all() & !1);
            self.congestion.train(bytes, now.since(grant.came_at), &self.trip);
        }
        // Of packets that were sent at once, but come in another order, the first to come is good enough for a beginning.
        let measures = packet == 0 || self.trip.measured().is_none();
        if first && measures && sent_at >= self.woke_at {
            let sample = now.since(sent_at);
            self.trip.sample(now, sample);
            self.congestion.measured(sample, &self.trip);
            self.background.iter_mut().for_each(|background| background.sample(now, sample));
        }
        if grant.probes && packet == 0 {
            self.ladder.passed(grant.payload_length);
        }
        self.reached = self.reached.max(grant.first_position + packet + 1);
        self.quiet_since = now;
        self.probes_unanswered = 0;
        self.ladder.came(length);
        self.delivered += length;
        let granted = (sent_at, snapshot);
        self.congestion.delivered(now, length, granted, self.in_flight, &mut self.trip);
        Ok(Piece { tag, offset, length })
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
        self.ladder.abandoned();
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
        let outstanding: u64 =
            self.grants.iter().map(|grant| grant.bytes_of(grant.outstanding())).sum();
        assert_eq!(outstanding, self.in_flight, "in flight to {}", self.source);
        assert!(self.grants.len() <= GRANTS_MAX);
    }

    /// Which packet of which grant in flight this is, and what it is for.
    fn place(&self, nonce: u64, offset: u64, length: u64) -> Result<(usize, u64, T), Stray> {
        let index = self.index_of(nonce).ok_or(Stray::Nonce)?;
        let grant = &self.grants[index];
        let (packet, tag) = grant.find(offset, length).ok_or(Stray::Cut)?;
        let is_new = grant.received & (1 << packet) == 0;
        if is_new { Ok((index, packet, tag)) } else { Err(Stray::Duplicate) }
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
}

#[cfg(test)]
mod tests;
