//! Many links checked at once: in lanes, where those are faster, and in steps of bounded length.

use super::check::{Proof, ends_right};
use super::collision::Watch;
use super::compress::{PIECE_LENGTH, absorb_pieces};
use super::lanes::{absorb_eight, absorb_four};
use super::{ChainState, Link};

/// Whether eight lanes are better than twice four, and for five blocks than four and one: with vectors
/// of 256 bits they are twice as fast, on Arm there are registers enough for two vectors of 128 bits, with SSE2 alone there are not.
fn eight_pay() -> bool {
    cfg!(target_arch = "aarch64") || has_wide_vectors()
}

/// How the compression function is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// One block after the other, by the `sha1` crate, which uses SHA instructions where there are
    /// any.
    Serial,
    /// Eight or four blocks side by side.
    Lanes,
}

impl Engine {
    /// The faster one here. Lanes of 128 bits (SSE2, NEON) are over twice as fast as serial code
    /// without SHA instructions and no faster than these; lanes of 256 bits (AVX2) beat them.
    pub fn for_this_machine() -> Self {
        // 32-bit Arm is left out: there NEON is in no build unless it is asked for.
        let narrow = cfg!(any(target_feature = "sse2", target_arch = "aarch64"));
        if has_wide_vectors() || (narrow && !has_sha_instructions()) {
            Self::Lanes
        } else {
            Self::Serial
        }
    }
}

/// Whether the processor has vectors of 256 bits for integers, as `lanes` is compiled for besides.
fn has_wide_vectors() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return std::arch::is_x86_feature_detected!("avx2");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
    return false;
}

/// Whether the `sha1` crate finds what it needs to use the processor's own SHA-1.
fn has_sha_instructions() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return std::arch::is_x86_feature_detected!("sha")
        && std::arch::is_x86_feature_detected!("ssse3")
        && std::arch::is_x86_feature_detected!("sse4.1");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("sha2");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

/// [`verify`](super::verify) for many at once, each answer in its link's place.
pub fn verify_many(jobs: &[(Link, &[u8])]) -> Vec<Proof> {
    let (links, blocks): (Vec<_>, Vec<_>) = jobs.iter().copied().unzip();
    let mut check = BatchCheck::new(links);
    while check.step(&blocks, usize::MAX) {}
    check.finish(&blocks)
}

/// The check of several links together, their bytes at hand all the while, in steps as long as the
/// caller likes.
#[derive(Clone, Debug)]
pub struct BatchCheck {
    engine: Engine,
    /// Whether eight lanes are better than twice four.
    eight_pay: bool,
    /// For fewer blocks than this, lanes do not pay. Without SHA instructions four lanes take no
    /// longer than two blocks one after the other; with them, as long as four.
    fewest: usize,
    links: Vec<Link>,
    /// Where each link's bytes have led so far.
    states: Vec<ChainState>,
    /// The links by falling length, so that neighbours can share lanes for as long as possible.
    order: Vec<usize>,
    /// This many bytes of every block are done, or all its whole pieces.
    done: usize,
    watch: Watch,
}

impl BatchCheck {
    /// A check of these links, in the way that is fastest on this machine.
    pub fn new(links: Vec<Link>) -> Self {
        Self::with_engine(links, Engine::for_this_machine())
    }

    /// A check of these links in a way of the caller's choice, for comparison.
    pub fn with_engine(links: Vec<Link>, engine: Engine) -> Self {
        let states = links.iter().map(|link| link.from).collect();
        let mut order: Vec<usize> = (0..links.len()).collect();
        order.sort_by_key(|at| std::cmp::Reverse(links[*at].length));
        let fewest = if has_sha_instructions() { 4 } else { 2 };
        let (eight_pay, watch) = (eight_pay(), Watch::new());
        Self { engine, eight_pay, fewest, links, states, order, done: 0, watch }
    }

    /// Hashes about `budget` more bytes in all, at least 64 of every block; tells whether there is
    /// more to do. The blocks are the same at each call, in the order of the links.
    pub fn step(&mut self, blocks: &[&[u8]], budget: usize) -> bool {
        debug_assert_eq!(blocks.len(), self.links.len());
        let share = budget / self.links.len().max(1) / PIECE_LENGTH * PIECE_LENGTH;
        let from = self.done;
        let to = from.saturating_add(share.max(PIECE_LENGTH));
        let part = |at: usize| {
            let whole = whole_pieces(&self.links[at], blocks.get(at).copied().unwrap_or_default());
            &whole[from.min(whole.len())..to.min(whole.len())]
        };
        let mut rest = &self.order[..];
        while !rest.is_empty() {
            let count = match self.engine {
                Engine::Lanes if self.eight_pay && rest.len() > 4 => rest.len().min(8),
                Engine::Lanes if rest.len() >= self.fewest => rest.len().min(4),
                _ => 1,
            };
            let (group, others) = rest.split_at(count);
            match count {
                1 => {
                    let (at, watch) = (group[0], &mut self.watch);
                    absorb_pieces(&mut self.states[at], part(at), at, watch);
                }
                2..=4 => absorb_group(&mut self.states, &mut self.watch, group, part, absorb_four),
                _ => absorb_group(&mut self.states, &mut self.watch, group, part, absorb_eight),
            }
            rest = others;
        }
        self.done = to;
        self.order.first().is_some_and(|at| to < self.links[*at].length as usize)
    }

    /// Whether each link holds, in the order of the links, once there is no more to do.
    pub fn finish(mut self, blocks: &[&[u8]]) -> Vec<Proof> {
        self.watch.try_all();
        let ends = self.links.iter().zip(self.states).zip(blocks).enumerate();
        ends.map(|(at, ((link, state), block))| {
            let fits = block.len() as u64 == u64::from(link.length);
            let tail = block.len() - block.len() % PIECE_LENGTH;
            let holds = fits && ends_right(link, state, &block[tail..]);
            Proof::of(holds, self.watch.is_found(at))
        })
        .collect()
    }
}

/// The bytes that the link's lanes take; none, if they are not as many as the link says.
fn whole_pieces<'a>(link: &Link, block: &'a [u8]) -> &'a [u8] {
    let fits = block.len() as u64 == u64::from(link.length);
    if fits { &block[..block.len() - block.len() % PIECE_LENGTH] } else { &[] }
}

/// Takes the parts of a group of at most `N` blocks: side by side as far as the shortest reaches,
/// and what then is left of the others one by one.
fn absorb_group<'a, const N: usize>(
    states: &mut [ChainState],
    watch: &mut Watch,
    group: &[usize],
    part: impl Fn(usize) -> &'a [u8],
    absorb: impl Fn(&mut [ChainState; N], &[&[u8]; N], &[usize], &mut Watch),
) {
    // A lane without a block of its own does the first one's again, for nothing.
    let member = |lane: usize| group.get(lane).copied().unwrap_or(group[0]);
    let parts: [&[u8]; N] = std::array::from_fn(|lane| part(member(lane)));
    let common = parts.iter().map(|part| part.len()).min().unwrap_or(0);
    let mut lanes: [ChainState; N] = std::array::from_fn(|lane| states[member(lane)]);
    absorb(&mut lanes, &parts.map(|part| &part[..common]), group, watch);
    for (lane, at) in group.iter().enumerate() {
        states[*at] = lanes[lane];
        absorb_pieces(&mut states[*at], &parts[lane][common..], *at, watch);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LinkEnd, verify};
    use super::*;
    use crate::content::ContentId;

    /// SplitMix64.
    fn random(seed: &mut u64, bound: u64) -> usize {
        *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound) as usize
    }

    /// A link that these bytes close, or one that they do not.
    fn link(bytes: &[u8], genuine: bool) -> Link {
        let mut content = ContentId(<sha1::Sha1 as sha1::Digest>::digest(bytes).into());
        content.0[3] ^= u8::from(!genuine);
        let (length, size) = (bytes.len() as u32, bytes.len() as u64);
        Link { from: ChainState::INITIAL, to: LinkEnd::Name { content, size }, length }
    }

    fn holding(proofs: &[Proof]) -> Vec<bool> {
        proofs.iter().map(|proof| proof.holds()).collect()
    }

    #[test]
    fn any_mixture_gets_the_answers_that_one_by_one_gets() {
        let mut seed = 18;
        for _ in 0..200 {
            let count = random(&mut seed, 21);
            let alike = random(&mut seed, 3) == 0;
            let blocks: Vec<Vec<u8>> = (0..count)
                .map(|_| {
                    let length = if alike { 1024 } else { random(&mut seed, 3000) };
                    (0..length).map(|_| random(&mut seed, 256) as u8).collect()
                })
                .collect();
            let blocks: Vec<&[u8]> = blocks.iter().map(|block| &block[..]).collect();
            let expected: Vec<bool> = (0..count).map(|_| random(&mut seed, 4) > 0).collect();
            let links: Vec<Link> = blocks
                .iter()
                .zip(&expected)
                .map(|(bytes, genuine)| link(bytes, *genuine))
                .collect();
            let jobs: Vec<_> = links.iter().copied().zip(blocks.iter().copied()).collect();
            assert_eq!(holding(&verify_many(&jobs)), expected);
            let alone: Vec<bool> = jobs.iter().map(|(link, bytes)| verify(link, bytes)).collect();
            assert_eq!(alone, expected);

            for engine in [Engine::Serial, Engine::Lanes] {
                let budget = random(&mut seed, 40_000);
                let mut check = BatchCheck::with_engine(links.clone(), engine);
                let mut steps = 0;
                while check.step(&blocks, budget) {
                    steps += 1;
                    assert!(steps <= 3000 / PIECE_LENGTH, "each step gets on");
                }
                assert_eq!(holding(&check.finish(&blocks)), expected, "{engine:?}");
            }
        }
    }

    #[test]
    fn a_block_of_the_wrong_length_spoils_no_other() {
        let bytes = [9; 640];
        let mut jobs = vec![(link(&bytes, true), &bytes[..]); 9];
        jobs[4].1 = &bytes[..576];
        let answers = holding(&verify_many(&jobs));
        assert_eq!(answers.iter().filter(|genuine| !**genuine).count(), 1);
        assert!(!answers[4]);
        assert!(verify_many(&[]).is_empty());
    }
}
