//! A small seeded generator (xoshiro256**, Blackman and Vigna 2018): the only randomness that the
//! core knows. Its seed is part of the node's configuration, so that a run can be repeated.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The generator. The driver seeds it from the operating system, the simulator from a number.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// A generator that yields the sequence of this seed.
    pub fn new(seed: [u8; 32]) -> Self {
        let mut state = [0; 4];
        for (word, bytes) in state.iter_mut().zip(seed.chunks_exact(8)) {
            *word = bytes.iter().fold(0, |word, &byte| (word << 8) | u64::from(byte));
        }
        if state == [0; 4] {
            // The one state that xoshiro never leaves.
            state[0] = 0x9e37_79b9_7f4a_7c15;
        }
        let mut random = Self { state };
        // Seeds with few bits set need some rounds before all outputs look alike.
        for _ in 0..16 {
            random.next_u64();
        }
        random
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let [s0, s1, s2, s3] = self.state;
        let result = s1.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let mut s2 = s2 ^ s0;
        let mut s3 = s3 ^ s1;
        let s1_new = s1 ^ s2;
        let s0_new = s0 ^ s3;
        s2 ^= s1 << 17;
        s3 = s3.rotate_left(45);
        self.state = [s0_new, s1_new, s2, s3];
        result
    }

    /// A number below `bound`; 0 where that is 0. The bias is below 2^-32 for the small bounds used here.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next_u64() % bound }
    }

    /// A duration from zero to just below `most`.
    pub fn jitter(&mut self, most: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(most.as_micros()).unwrap_or(u64::MAX)))
    }

    /// 16 random bytes.
    pub fn bytes16(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.next_u64().to_be_bytes());
        bytes[8..].copy_from_slice(&self.next_u64().to_be_bytes());
        bytes
    }

    /// 32 random bytes.
    pub fn bytes32(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&self.bytes16());
        bytes[16..].copy_from_slice(&self.bytes16());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_decides_the_sequence() {
        let draw = |seed| {
            let mut random = Random::new([seed; 32]);
            (0..100).map(|_| random.next_u64()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_ne!(draw(0)[0], draw(0)[1]);
    }

    #[test]
    fn below_reaches_all_and_stays_below() {
        let mut random = Random::new([7; 32]);
        let mut seen = [false; 10];
        for _ in 0..1_000 {
            seen[random.below(10) as usize] = true;
        }
        assert_eq!(seen, [true; 10]);
        assert_eq!(random.below(0), 0);
    }
}
