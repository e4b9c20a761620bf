//! The state chain from outside: against the `sha1` crate, against every kind of forgery, and by
//! every way of checking that there is.

use sha1::{Digest, Sha1};
use sprat::content::state_chain::{
    BatchCheck, Chain, ChainHasher, ChainState, Engine, Link, LinkCheck, LinkEnd, Proof,
    STATE_LENGTH, verify, verify_many,
};
use sprat::content::{BlockLayout, ContentId};

/// The block length of all contents up to 1 GiB.
const BLOCK: usize = 65_536;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

fn content(size: usize, seed: u64) -> Vec<u8> {
    Random(seed).bytes(size)
}

/// The content's name by the `sha1` crate.
fn name(content: &[u8]) -> ContentId {
    ContentId(Sha1::digest(content).into())
}

/// The content's true chain.
fn chain(content: &[u8]) -> Chain {
    let mut hasher = ChainHasher::new(content.len() as u64);
    hasher.update(content);
    let (id, states) = hasher.finish().expect("all bytes were fed");
    Chain::from_bytes(id, content.len() as u64, states).expect("the states are as many as needed")
}

/// What a liar says: that these are the states of the content of this name.
fn claim(truth: &Chain, states: Vec<u8>) -> Chain {
    let size = truth.layout().size();
    Chain::from_bytes(truth.content(), size, states).expect("a liar can count")
}

/// The content's blocks; an empty content has one, which is empty.
fn blocks(content: &[u8]) -> Vec<&[u8]> {
    if content.is_empty() { vec![&[]] } else { content.chunks(BLOCK).collect() }
}

fn holding(proofs: Vec<Proof>) -> Vec<bool> {
    proofs.into_iter().map(Proof::holds).collect()
}

/// Which jobs do not hold. All ways of checking must agree on each.
fn failures(jobs: &[(Link, &[u8])]) -> Vec<usize> {
    let expected: Vec<bool> = jobs.iter().map(|(link, bytes)| verify(link, bytes)).collect();
    assert_eq!(holding(verify_many(jobs)), expected);
    let (links, blocks): (Vec<_>, Vec<_>) = jobs.iter().copied().unzip();
    for engine in [Engine::Serial, Engine::Lanes] {
        let mut check = BatchCheck::with_engine(links.clone(), engine);
        while check.step(&blocks, 100_000) {}
        assert_eq!(holding(check.finish(&blocks)), expected, "{engine:?}");
    }
    for ((link, bytes), expected) in jobs.iter().zip(&expected) {
        let mut check = LinkCheck::new(*link);
        bytes.chunks(10_007).for_each(|slice| check.update(slice));
        assert_eq!(check.finish().holds(), *expected);
    }
    (0..jobs.len()).filter(|at| !expected[*at]).collect()
}

/// Which blocks of the content do not close their links of the chain.
fn open_links(chain: &Chain, content: &[u8]) -> Vec<usize> {
    let blocks = blocks(content);
    let jobs: Vec<_> = (0..).zip(blocks).map(|(at, bytes)| (chain.link(at), bytes)).collect();
    failures(&jobs)
}

const NONE: [usize; 0] = [];

#[test]
fn every_size_around_a_boundary_has_a_chain_that_holds() {
    let sizes = [0, 1, 55, 56, 63, 64, 65, 119, 120, 128, BLOCK - 64, BLOCK - 1, BLOCK, BLOCK + 1];
    for size in sizes.into_iter().chain([2 * BLOCK - 1, 2 * BLOCK, 5 * BLOCK + 56, 9 * BLOCK]) {
        let content = content(size, size as u64);
        for slice in [997, BLOCK, usize::MAX] {
            let mut hasher = ChainHasher::new(size as u64);
            content.chunks(slice).for_each(|bytes| hasher.update(bytes));
            let (id, states) = hasher.finish().unwrap();
            assert_eq!(id, name(&content), "{size} by {slice}");
            let chain = Chain::from_bytes(id, size as u64, states).unwrap();
            assert_eq!(open_links(&chain, &content), NONE, "{size} by {slice}");
        }
    }
}

#[test]
fn a_state_is_the_hash_before_its_padding() {
    // The first link's state, padded as if the content ended there, is the name of the first block.
    let content = content(2 * BLOCK, 1);
    let mut check = LinkCheck::new(Link {
        from: chain(&content).state(1),
        to: LinkEnd::Name { content: name(&content[..BLOCK]), size: BLOCK as u64 },
        length: 0,
    });
    check.update(&[]);
    assert!(check.finish().holds());
}

#[test]
fn a_wrong_size_leaves_the_last_link_open() {
    for size in [1, 55, 56, 63, 64, 65, BLOCK - 1, BLOCK, 3 * BLOCK - 1, 3 * BLOCK + 100] {
        let content = content(size + BLOCK, 3);
        let truth = chain(&content[..size]);
        for wrong in [size - 1, size + 1, (size - 1) & !63, size + 64, size + BLOCK] {
            // Fewer or more boundaries than the true ones: the liar adds or leaves out some.
            let count = BlockLayout::new(wrong as u64).state_count() as usize;
            let mut states = truth.bytes().to_vec();
            states.resize(count * STATE_LENGTH, 0x55);
            let lie = Chain::from_bytes(truth.content(), wrong as u64, states).unwrap();
            let open = open_links(&lie, &content[..wrong]);
            assert!(open.contains(&(blocks(&content[..wrong]).len() - 1)), "{wrong} for {size}");
        }
    }
    let bytes = content(100, 4);
    for size in [99, 101, 100 + 64, 100 + 512, u64::MAX - 27, 36, (1 << 61) + 100] {
        let link = Link {
            from: ChainState::INITIAL,
            to: LinkEnd::Name { content: name(&bytes), size },
            length: 100,
        };
        assert_eq!(failures(&[(link, &bytes)]), [0], "{size}");
    }
}

#[test]
fn bytes_of_another_length_than_the_links_close_nothing() {
    let content = content(2 * BLOCK + 64, 5);
    let truth = chain(&content);
    for block in 0..3 {
        let link = truth.link(block);
        let start = block as usize * BLOCK;
        let length = link.length as usize;
        for wrong in [0, 1, length - 64, length - 1] {
            assert_eq!(failures(&[(link, &content[start..start + wrong])]), [0]);
        }
        if block == 0 {
            assert_eq!(
                failures(&[(link, &content[..length + 1]), (link, &content[..length + 64])]),
                [0, 1]
            );
        }
    }
}

#[test]
fn one_flipped_bit_opens_its_link_and_no_other() {
    let mut content = content(3 * BLOCK + 100, 6);
    let truth = chain(&content);
    let mut random = Random(7);
    let ends = [0, BLOCK - 1, BLOCK, 3 * BLOCK - 1, 3 * BLOCK, 3 * BLOCK + 99].map(|at| at * 8);
    let others: Vec<usize> = (0..20).map(|_| random.below(content.len() * 8)).collect();
    for bit in ends.into_iter().chain(others) {
        content[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(open_links(&truth, &content), [bit / 8 / BLOCK]);
        content[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn one_flipped_bit_of_a_state_opens_the_links_on_both_sides() {
    let content = content(4 * BLOCK, 8);
    let truth = chain(&content);
    for bit in [0, 7, 159, 160, 300, 479] {
        let mut states = truth.bytes().to_vec();
        states[bit / 8] ^= 0x80 >> (bit % 8);
        let boundary = bit / 160 + 1;
        assert_eq!(open_links(&claim(&truth, states), &content), [boundary - 1, boundary]);
    }
}

#[test]
fn swapped_blocks_are_both_refused() {
    let content = content(4 * BLOCK, 9);
    let truth = chain(&content);
    let mut swapped = content.clone();
    let (low, high) = swapped.split_at_mut(2 * BLOCK);
    low[..BLOCK].swap_with_slice(&mut high[..BLOCK]);
    assert_eq!(open_links(&truth, &swapped), [0, 2]);
    // With the states swapped as well, nothing holds where the swapped parts meet the others.
    let mut states = truth.bytes().to_vec();
    let (low, high) = states.split_at_mut(2 * STATE_LENGTH);
    low[..STATE_LENGTH].swap_with_slice(&mut high[..STATE_LENGTH]);
    assert_eq!(open_links(&claim(&truth, states), &swapped), [0, 1, 2, 3]);
}

#[test]
fn states_out_of_nothing_hold_nowhere() {
    let content = content(5 * BLOCK + 1, 10);
    let truth = chain(&content);
    let length = truth.bytes().len();
    for states in [vec![0; length], vec![0xff; length], Random(11).bytes(length)] {
        assert_eq!(open_links(&claim(&truth, states), &content), [0, 1, 2, 3, 4, 5]);
    }
    // Nor do the initial states of as many contents.
    let states = ChainState::INITIAL.to_bytes().repeat(5);
    assert_eq!(open_links(&claim(&truth, states), &content), [0, 1, 2, 3, 4, 5]);
}

/// A liar's content and chain: his own bytes below `junction` and the true ones from there on, with
/// states that are his own up to and with the one at `junction - 1`.
fn garbage_below(truth: &Chain, content: &[u8], junction: usize, seed: u64) -> (Chain, Vec<u8>) {
    let mut bytes = Random(seed).bytes(junction * BLOCK);
    bytes.extend_from_slice(&content[junction * BLOCK..]);
    let mut states = chain(&bytes).bytes().to_vec();
    let kept = (junction - 1) * STATE_LENGTH;
    states[kept..].copy_from_slice(&truth.bytes()[kept..]);
    (claim(truth, states), bytes)
}

#[test]
fn a_false_beginning_fails_exactly_where_it_meets_the_true_rest() {
    let content = content(9 * BLOCK + 5, 12);
    let truth = chain(&content);
    for junction in 1..10 {
        let (lie, bytes) = garbage_below(&truth, &content, junction, junction as u64);
        assert_eq!(open_links(&lie, &bytes), [junction - 1]);
        // True bytes close none of its links from there down. (With one false block there is no
        // boundary below it, and the states are the true ones.)
        let open = if junction == 1 { 0..0 } else { 0..junction };
        assert_eq!(open_links(&lie, &content), open.collect::<Vec<_>>());
    }
}

#[test]
fn a_false_end_fails_exactly_at_the_name() {
    let content = content(9 * BLOCK + 5, 13);
    let truth = chain(&content);
    // From block 0 on it is a whole chain, true in itself, of another content.
    for from in 0..10 {
        let mut bytes = content[..from * BLOCK].to_vec();
        bytes.extend(Random(14).bytes(content.len() - bytes.len()));
        let lie = claim(&truth, chain(&bytes).bytes().to_vec());
        assert_eq!(open_links(&lie, &bytes), [9]);
    }
}

#[test]
fn two_chains_are_settled_by_one_block() {
    let content = content(9 * BLOCK + 5, 15);
    let truth = chain(&content);
    for junction in 2..10 {
        let (lie, bytes) = garbage_below(&truth, &content, junction, 16);
        let block = truth.highest_difference(&lie).unwrap();
        assert_eq!(block as usize, junction - 1);
        assert_eq!(lie.highest_difference(&truth), Some(block));
        let range = block as usize * BLOCK..(block as usize + 1) * BLOCK;
        let (ours, theirs) = (truth.link(block), lie.link(block));
        assert_eq!(ours.to, theirs.to);
        let (true_bytes, false_bytes) = (&content[range.clone()], &bytes[range]);
        let jobs =
            [(ours, true_bytes), (theirs, true_bytes), (ours, false_bytes), (theirs, false_bytes)];
        assert_eq!(failures(&jobs), [1, 2, 3]);
    }
}

#[test]
fn seven_liars_cost_a_block_each() {
    let content = content(9 * BLOCK + 5, 17);
    let truth = chain(&content);
    let mut claims: Vec<(Chain, Vec<u8>)> =
        (1..8).map(|liar| garbage_below(&truth, &content, 2 + liar, 100 + liar as u64)).collect();
    claims.insert(3, (truth.clone(), content.clone()));
    // Whoever stands is set against the next one; either's own block says who falls, or both do.
    let mut checked = 0;
    let mut standing: Vec<usize> = Vec::new();
    for challenger in 0..claims.len() {
        let Some(&holder) = standing.last() else {
            standing.push(challenger);
            continue;
        };
        let block = claims[holder].0.highest_difference(&claims[challenger].0).unwrap();
        standing = [holder, challenger]
            .into_iter()
            .filter(|at| {
                checked += 1;
                let (chain, bytes) = &claims[*at];
                let start = block as usize * BLOCK;
                verify(&chain.link(block), &bytes[start..bytes.len().min(start + BLOCK)])
            })
            .collect();
    }
    assert_eq!(standing, [3]);
    assert!(checked <= 2 * 7, "{checked} blocks");
}

#[test]
fn more_than_four_gib() {
    // Zeros, and "end!" as the last four bytes, of which one lies beyond 4 GiB.
    let size = (1_u64 << 32) + 1;
    let zeros = vec![0; 1 << 20];
    let mut hasher = ChainHasher::new(size);
    for _ in 0..(1 << 12) - 1 {
        hasher.update(&zeros);
    }
    let mut end = zeros.clone();
    end.push(0);
    end[(1 << 20) - 3..].copy_from_slice(b"end!");
    hasher.update(&end);
    let (id, states) = hasher.finish().unwrap();
    // As `sha1sum` has it.
    assert_eq!(id.to_string(), "4bc1344752112eae991ebe1ac657cd06a39b6036");

    let chain = Chain::from_bytes(id, size, states).unwrap();
    let layout = chain.layout();
    assert_eq!((layout.block_length(), layout.block_count()), (1 << 19, (1 << 13) + 1));
    let last = layout.block_count() - 1;
    let length = 1 << 19;
    let jobs = [
        (chain.link(0), &zeros[..length]),
        (chain.link(last / 2), &zeros[..length]),
        (chain.link(last - 1), &end[end.len() - 1 - length..end.len() - 1]),
        (chain.link(last), &b"!"[..]),
        (chain.link(last), &b"?"[..]),
        (chain.link(last - 1), &zeros[..length]),
    ];
    assert_eq!(failures(&jobs), [4, 5]);
}
