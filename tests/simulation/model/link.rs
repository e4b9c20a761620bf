//! What happens to a datagram on its way from one machine to another.

use std::time::Duration;

use sprat::node::Random;

/// Losses in bursts, after Gilbert (1960) and Elliott (1963): a way is good or bad, and goes from the one to the
/// other by chance with each datagram. Chances are in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bursts {
    /// From good to bad.
    pub(crate) begin: u64,
    /// From bad to good.
    pub(crate) end: u64,
    /// Lost while it is bad.
    pub(crate) lost: u64,
}

/// One way. Chances are in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) lost: u64,
    pub(crate) bursts: Option<Bursts>,
    pub(crate) repeated: u64,
    /// Bits flipped, or cut short, in a way that the UDP checksum does not see.
    pub(crate) corrupted: u64,
    pub(crate) delay: Duration,
    /// Added by chance, up to this: it reorders.
    pub(crate) jitter: Duration,
    /// Bytes per second into each host; without limit where it is 0.
    pub(crate) rate: u64,
    /// Bytes that wait before it; what does not fit is lost (drop-tail).
    pub(crate) queue: u64,
    /// The longest datagram that gets through; without limit where it is 0.
    pub(crate) longest: usize,
}

impl Link {
    pub(crate) const CLEAN: Self = Self {
        lost: 0,
        bursts: None,
        repeated: 0,
        corrupted: 0,
        delay: Duration::from_micros(200),
        jitter: Duration::ZERO,
        rate: 125_000_000,
        queue: 1 << 20,
        longest: 0,
    };

    /// The same way on a good day: as thin and as long, without faults. That it takes less than IPv6 demands of
    /// every way (RFC 8200: 1,280 bytes), or shuffles all that is on its way, is a fault.
    pub(crate) fn calm(self) -> Self {
        let queue = self.queue.max(64 * 1024);
        let jitter = self.jitter.min(self.delay / 8);
        let longest = if self.longest > 0 { self.longest.max(1_252) } else { 0 };
        Self { lost: 0, bursts: None, repeated: 0, corrupted: 0, queue, longest, jitter, ..self }
    }

    /// Whether a datagram is lost by chance; `bad` is what the way remembers.
    pub(crate) fn loses(&self, random: &mut Random, bad: &mut bool) -> bool {
        let chance = |random: &mut Random, of: u64| of > 0 && random.below(1_000) < of;
        if let Some(bursts) = self.bursts {
            let turns = if *bad { bursts.end } else { bursts.begin };
            *bad ^= chance(random, turns);
            if *bad && chance(random, bursts.lost) {
                return true;
            }
        }
        chance(random, self.lost)
    }

    /// Damages a datagram by chance; whether it did.
    pub(crate) fn corrupts(&self, random: &mut Random, bytes: &mut Vec<u8>) -> bool {
        if self.corrupted == 0 || bytes.is_empty() || random.below(1_000) >= self.corrupted {
            return false;
        }
        if random.below(4) == 0 {
            bytes.truncate(random.below(bytes.len() as u64) as usize);
            return true;
        }
        for _ in 0..1 + random.below(4) {
            let bit = random.below(bytes.len() as u64 * 8) as usize;
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        true
    }
}
