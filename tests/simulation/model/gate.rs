//! A bottleneck: what several ways have in common. Bytes leave it at its rate, what waits stands in one queue, and what
//! does not fit is lost (drop-tail).

use std::time::Duration;

use sprat::node::Instant;

/// What a packet takes on Ethernet besides the UDP payload: IPv4 and UDP 28, frame and checksum 18, preamble and
/// gap 20 bytes (IEEE 802.3).
pub(crate) const OVERHEAD: u64 = 66;
/// Delays are counted in steps of this, up to [`STEPS`] of them.
const STEP: Duration = Duration::from_micros(250);
const STEPS: usize = 4_000;

/// A bottleneck.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    /// Bytes per second on the wire.
    pub(crate) rate: u64,
    /// Bytes that may wait.
    pub(crate) queue: u64,
    free_at: Instant,
    /// What has passed: packets, and bytes on the wire.
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// Packets that found the queue full.
    pub(crate) dropped: u64,
    waits: Vec<u64>,
}

impl Gate {
    pub(crate) fn new(rate: u64, queue: u64) -> Self {
        Self {
            rate,
            queue,
            free_at: Instant::ORIGIN,
            packets: 0,
            bytes: 0,
            dropped: 0,
            waits: vec![0; STEPS],
        }
    }

    /// When a datagram of so many bytes has left it; none where it is lost.
    pub(crate) fn pass(&mut self, now: Instant, length: u64) -> Option<Instant> {
        let free_at = self.free_at.max(now);
        let wait = free_at.since(now);
        let length = length + OVERHEAD;
        let waiting = wait.as_micros() as u64 * self.rate / 1_000_000;
        if waiting + length > self.queue.max(length) {
            self.dropped += 1;
            return None;
        }
        self.waits[((wait.as_micros() / STEP.as_micros()) as usize).min(STEPS - 1)] += 1;
        self.packets += 1;
        self.bytes += length;
        // Whole microseconds, rounded so that the rate is kept over many packets.
        let nanos = length * 1_000_000_000 / self.rate;
        let micros = nanos / 1_000 + u64::from(self.packets % 1_000 < nanos % 1_000);
        self.free_at = free_at + Duration::from_micros(micros);
        Some(self.free_at)
    }

    /// How long all but so many hundredths of the packets waited at the most, in its steps.
    pub(crate) fn wait_percentile(&self, percent: u64) -> Duration {
        let mut left = self.packets * percent / 100;
        let step = self.waits.iter().position(|&count| {
            let is_there = left <= count;
            left = left.saturating_sub(count);
            is_there
        });
        STEP * step.unwrap_or(0) as u32
    }
}
