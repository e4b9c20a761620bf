//! Collisions that are known, those that only look like one, and much else that is neither.

use super::super::compress::absorb_pieces;
use super::super::rounds::expand;
use super::super::{BatchCheck, ChainHasher, Engine, Link, LinkCheck, LinkEnd, Proof, verify_many};
use super::*;
use crate::content::ContentId;

const PAIRS: [[&[u8]; 2]; 2] = [
    [
        include_bytes!("../../../../tests/collisions/shattered-1.bin"),
        include_bytes!("../../../../tests/collisions/shattered-2.bin"),
    ],
    [
        include_bytes!("../../../../tests/collisions/shambles-1.bin"),
        include_bytes!("../../../../tests/collisions/shambles-2.bin"),
    ],
];

fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The whole pieces of a run, as the serial way takes them.
fn collides(bytes: &[u8]) -> bool {
    let (mut state, mut watch) = (ChainState::INITIAL, Watch::new());
    absorb_pieces(&mut state, bytes, 0, &mut watch);
    watch.try_all();
    watch.is_found(0)
}

fn link_of(bytes: &[u8]) -> Link {
    let content = ContentId(<sha1::Sha1 as sha1::Digest>::digest(bytes).into());
    let to = LinkEnd::Name { content, size: bytes.len() as u64 };
    Link { from: ChainState::INITIAL, to, length: bytes.len() as u32 }
}

#[test]
fn both_files_of_each_published_pair_are_recognised() {
    for pair in PAIRS {
        assert_ne!(pair[0], pair[1]);
        assert_eq!(link_of(pair[0]), link_of(pair[1]), "that is what makes them a pair");
        for one in pair {
            assert!(collides(one));
            // Every other content with them at its beginning is one of a pair as well.
            assert!(collides(&[one, &[7; 1000]].concat()));
            // The first pieces differ from the other file's and do not collide yet.
            assert!(!collides(&one[..one.len() - 64]) && !collides(&one[64..]));
        }
    }
}

#[test]
fn whichever_way_it_is_read() {
    let innocent = [3; 5000];
    for attack in PAIRS.concat() {
        let bytes = [attack, &[9; 2000]].concat();
        let mut hasher = ChainHasher::new(bytes.len() as u64);
        let mut check = LinkCheck::new(link_of(&bytes));
        for slice in bytes.chunks(77) {
            hasher.update(slice);
            check.update(slice);
        }
        assert!(hasher.collides());
        assert_eq!(check.finish(), Proof::Colliding);
        for others in 0..12 {
            let mut blocks = vec![&innocent[..]; others + 1];
            blocks[others / 2] = &bytes;
            let links: Vec<Link> = blocks.iter().map(|bytes| link_of(bytes)).collect();
            let mut expected = vec![Proof::Genuine; others + 1];
            expected[others / 2] = Proof::Colliding;
            let jobs: Vec<_> = links.iter().copied().zip(blocks.iter().copied()).collect();
            assert_eq!(verify_many(&jobs), expected);
            for engine in [Engine::Serial, Engine::Lanes] {
                let mut check = BatchCheck::with_engine(links.clone(), engine);
                while check.step(&blocks, 1000) {}
                assert_eq!(check.finish(&blocks), expected, "{engine:?} among {others}");
            }
        }
    }
}

#[test]
fn a_block_that_proves_nothing_is_not_said_to_collide() {
    let bytes = [PAIRS[0][0], &[0; 64]].concat();
    let mut link = link_of(&bytes);
    link.from.0[0] ^= 1;
    assert_eq!(verify_many(&[(link, &bytes)]), [Proof::False]);
}

#[test]
fn an_attack_with_any_bit_flipped_is_none() {
    for one in PAIRS.concat() {
        // In the last two pieces; before them, it is another state from which the attack does not lead anywhere.
        for bit in (one.len() - 128) * 8..one.len() * 8 {
            let mut bytes = one.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!collides(&bytes), "bit {bit}");
        }
    }
}

#[test]
fn what_nobody_made_to_collide_does_not() {
    let mut seed = 6;
    let mut suspects = 0;
    let pieces = 1_000_000;
    let mut state = ChainState::INITIAL;
    let mut watch = Watch::new();
    let mut bytes = [0; 64 * 1000];
    for _ in 0..pieces / 1000 {
        bytes.chunks_exact_mut(8).for_each(|eight| {
            eight.copy_from_slice(&random(&mut seed).to_be_bytes());
        });
        suspects += bytes
            .chunks_exact(64)
            .map(|piece| conditions::fulfilled(&expand(words_of(piece))).count_ones())
            .sum::<u32>();
        absorb_pieces(&mut state, &bytes, 0, &mut watch);
    }
    watch.try_all();
    assert!(!watch.is_found(0));
    // So many are tried: more would cost time, and fewer would mean that a condition is wrong.
    assert!((65_000..69_500).contains(&suspects), "{suspects} of {pieces}");
}

#[test]
fn long_runs_of_one_byte_are_not_suspect() {
    // Files with holes, and blank images, would be slow.
    for byte in [0, 0xff, b' ', 0x55] {
        let words = expand([u32::from_ne_bytes([byte; 4]); 16]);
        assert_eq!(conditions::fulfilled(&words), 0, "{byte:#x}");
    }
}

/// For any piece and any vector, the twin of the twin is the piece: by what the two differ is the same.
/// And the states are the same where they are said to be, if the twin's is computed back from there.
#[test]
fn vectors_follow_the_message_expansion() {
    for (vector, difference) in DIFFERENCES.iter().enumerate() {
        let words = expand(*difference);
        // A local collision that begins at a step shows in the words of this and the next five.
        // Around the step where the
        // states are the same there is none.
        let same = if is_clean_at_65(vector) { 65 } else { 58 };
        assert!(words[same - 6..same - 1].iter().all(|word| word.count_ones() <= 5), "{vector}");
        assert_ne!(*difference, [0; 16]);
    }
}

fn words_of(piece: &[u8]) -> [u32; 16] {
    std::array::from_fn(|at| {
        let four = &piece[4 * at..];
        u32::from_be_bytes([four[0], four[1], four[2], four[3]])
    })
}
