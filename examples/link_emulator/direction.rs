//! One direction of a link: what becomes of each frame, and when. It is handed the time and sees no device,
//! so that a hundred thousand frames are a test of milliseconds (`tests/link_emulator.rs`).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::chance::Chance;
use super::packet::Packet;
use super::report::Counts;
use super::spec::Spec;

/// What Ethernet adds to a frame as a TAP device shows it: check sum, preamble, gap.
const AROUND_A_FRAME: u64 = 4 + 8 + 12;
/// The shortest frame, without its check sum.
const SHORTEST_FRAME: u64 = 60;

/// Bytes that a frame takes on the wire.
pub(crate) fn on_the_wire(frame: &[u8]) -> u64 {
    (frame.len() as u64).max(SHORTEST_FRAME) + AROUND_A_FRAME
}

/// A frame that is under way: when it is due, the how manieth it is, its bytes.
type UnderWay = Reverse<(u64, u64, Vec<u8>)>;

/// A queue, a rate, loss, and then a delay, in that order: what is lost has taken its time on the wire.
pub(crate) struct Direction {
    pub(crate) spec: Spec,
    pub(crate) counts: Counts,
    chance: Chance,
    /// When the wire has sent all that waits.
    free_at: u64,
    /// What waits: when its turn comes, and its bytes on the wire.
    waiting: VecDeque<(u64, u64)>,
    waiting_bytes: u64,
    /// Whether the last frame was lost, which for bursts matters to the next.
    losing: bool,
    jitter: u64,
    jitter_until: u64,
    /// When the last frame that was not held back arrives: the others do not overtake it.
    in_order: u64,
    number: u64,
    under_way: BinaryHeap<UnderWay>,
}

impl Direction {
    pub(crate) fn new(spec: Spec, seed: u64) -> Self {
        Self {
            spec,
            counts: Counts::default(),
            chance: Chance::new(seed),
            free_at: 0,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            losing: false,
            jitter: 0,
            jitter_until: 0,
            in_order: 0,
            number: 0,
            under_way: BinaryHeap::new(),
        }
    }

    /// A frame comes in. Gives its buffer back if it is dropped.
    pub(crate) fn offer(&mut self, now: u64, mut frame: Vec<u8>) -> Option<Vec<u8>> {
        let bytes = on_the_wire(&frame);
        self.counts.offered.add(bytes);
        while let Some(&(turn, bytes)) = self.waiting.front() {
            if turn > now {
                break;
            }
            self.waiting_bytes -= bytes;
            self.waiting.pop_front();
        }
        if self.spec.queue > 0 && self.waiting_bytes + bytes > self.spec.queue {
            self.counts.dropped_at_queue.add(bytes);
            return Some(frame);
        }
        let turn = self.free_at.max(now);
        if turn > now {
            self.waiting.push_back((turn, bytes));
            self.waiting_bytes += bytes;
        }
        self.free_at = turn + self.time_on_the_wire(bytes);
        self.counts.queued_for(turn - now);
        if self.is_lost() || self.is_out() {
            self.counts.lost.add(bytes);
            return Some(frame);
        }
        if self.spec.corrupt > 0.0 && self.chance.happens(self.spec.corrupt) {
            self.corrupt(&mut frame);
        }
        self.counts.carried.add(bytes);
        self.counts.by_flow(&frame, bytes, now);
        let due = self.arrival();
        self.number += 1;
        self.under_way.push(Reverse((due, self.number, frame)));
        None
    }

    fn time_on_the_wire(&self, bytes: u64) -> u64 {
        (bytes * 8 * 1_000_000_000).checked_div(self.spec.rate).unwrap_or(0)
    }

    /// A chain of two states (Gilbert): in one everything is lost, in the other nothing. The share of
    /// frames and the length of bursts that are wanted give the odds of changing over.
    fn is_lost(&mut self) -> bool {
        let Spec { loss, burst, .. } = self.spec;
        let odds = match self.losing {
            _ if burst <= 1.0 => loss,
            true => 1.0 - 1.0 / burst,
            false => loss / (burst * (1.0 - loss)),
        };
        self.losing = self.chance.happens(odds);
        self.losing
    }

    /// Whether nothing passes just now.
    fn is_out(&self) -> bool {
        let Spec { passing, outage, .. } = self.spec;
        outage > 0 && self.free_at % (passing + outage) >= passing
    }

    /// Turns one bit of what a UDP packet carries, and mends its check sum; other frames stay as they are.
    fn corrupt(&mut self, frame: &mut [u8]) {
        let Some(packet) = Packet::find(frame) else { return };
        let words = (frame.len() - packet.udp - 8) / 2;
        if words == 0 {
            return;
        }
        let last = words as u64 - 1;
        let at = usize::try_from(self.chance.up_to(last)).expect("a place in a frame");
        let at = packet.udp + 8 + 2 * at;
        let bit = 1 << self.chance.up_to(15);
        packet.replace(frame, at, u16::from_be_bytes([frame[at], frame[at + 1]]) ^ bit);
        self.counts.corrupted += 1;
    }

    /// When a frame arrives whose last bit leaves at `free_at`.
    fn arrival(&mut self) -> u64 {
        if self.free_at >= self.jitter_until {
            self.jitter = self.chance.up_to(self.spec.jitter);
            self.jitter_until = self.free_at + self.spec.jitter_every;
        }
        let due = (self.free_at + self.spec.delay + self.jitter).max(self.in_order);
        self.in_order = due;
        if self.chance.happens(self.spec.reorder) {
            self.counts.held_back += 1;
            return due + self.spec.reorder_by;
        }
        due
    }

    /// When the next frame is due.
    pub(crate) fn next_due(&self) -> Option<u64> {
        self.under_way.peek().map(|Reverse((due, ..))| *due)
    }

    /// A frame that is due, and when it was.
    pub(crate) fn take_due(&mut self, now: u64) -> Option<(u64, Vec<u8>)> {
        self.next_due().filter(|&due| due <= now)?;
        self.under_way.pop().map(|Reverse((due, _, frame))| (due, frame))
    }
}
