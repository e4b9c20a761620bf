//! Chance from a seed: SplitMix64, enough for fates of frames.

/// A source of chance.
pub(crate) struct Chance(u64);

impl Chance {
    /// The same seed gives the same numbers.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to below 1.
    fn share(&mut self) -> f64 {
        let bits = u32::try_from(self.number() >> 32).expect("32 bits are left");
        f64::from(bits) / 4_294_967_296.0
    }

    /// Whether something happens that happens with this probability. Draws in any case.
    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        self.share() < probability
    }

    /// A number from 0 to `most`.
    pub(crate) fn up_to(&mut self, most: u64) -> u64 {
        let share = u128::from(self.number()) * (u128::from(most) + 1);
        u64::try_from(share >> 64).expect("at most `most`")
    }
}
