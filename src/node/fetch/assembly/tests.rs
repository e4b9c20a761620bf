//! What comes at the wrong moment: answers of the disk after a chain was refuted, files that somebody
//! removed, packets of a source that was let go.

use std::collections::VecDeque;

use super::*;
use crate::content::ContentId;
use crate::node::context::Interfaces;
use crate::node::{Counters, Instant, NodeConfig, Random};

const BLOCK: u64 = 65_536;
const SIZE: u64 = 4 * BLOCK;

/// Runs one step, and hands back what came out of it.
fn step<T>(act: impl FnOnce(&mut Context<'_>) -> T) -> (T, Vec<Output>) {
    let config = NodeConfig { port: 0, default_port: 1, ..NodeConfig::new([0; 32]) };
    let mut outputs = VecDeque::new();
    let mut ctx = Context {
        now: Instant::from_micros(1),
        config: &config,
        interfaces: &Interfaces::default(),
        outputs: &mut outputs,
        random: &mut Random::new([0; 32]),
        counters: &mut Counters::default(),
        in_flight_max: 1 << 20,
        asking: &mut None,
    };
    let answer = act(&mut ctx);
    (answer, outputs.into())
}

fn host(number: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, number], 9))
}

fn chain(states: u8) -> Chain {
    Chain::from_bytes(ContentId::EMPTY, SIZE, vec![states; 60]).unwrap()
}

fn assembly() -> Assembly {
    Assembly::new(FetchId(1), SIZE)
}

/// A proven block that waits to be stored.
fn held(assembly: &mut Assembly, block: u64) -> BufferId {
    let (buffer, _) = step(|ctx| assembly.start(ctx, Purpose::Content, block, host(1)));
    let whole = step(|ctx| assembly.keep(ctx, buffer, host(1), block * BLOCK, BLOCK, false)).0;
    assert!(whole);
    step(|ctx| assembly.verify(ctx, buffer, chain(1).link(block % 4)));
    assembly.hold(buffer, Proof::Genuine);
    buffer
}

fn stores(outputs: &[Output]) -> Vec<u64> {
    let store = |output: &Output| match output {
        Output::Store { position, .. } => Some(*position),
        _ => None,
    };
    outputs.iter().filter_map(store).collect()
}

#[test]
fn what_is_being_written_of_a_refuted_chain_is_cut_away() {
    let mut assembly = assembly();
    let first = held(&mut assembly, 0);
    assert_eq!(stores(&step(|ctx| assembly.store_ready(ctx)).1), [0]);
    step(|ctx| assembly.stored(ctx, first, true));
    let second = held(&mut assembly, 1);
    assert_eq!(stores(&step(|ctx| assembly.store_ready(ctx)).1), [BLOCK]);
    let outputs = step(|ctx| assembly.discard(ctx, second)).1;
    let cut = Output::TruncateExtent { fetch: FetchId(1), extent: 0, length: BLOCK };
    assert_eq!(outputs, [cut, Output::Release { buffer: second }]);
    // The answer comes late, and the file goes on where it ended.
    step(|ctx| assembly.stored(ctx, second, true));
    assembly.check_invariants();
    held(&mut assembly, 1);
    assert_eq!(stores(&step(|ctx| assembly.store_ready(ctx)).1), [BLOCK]);
    assembly.check_invariants();
}

#[test]
fn a_check_against_a_refuted_chain_proves_nothing() {
    let mut assembly = assembly();
    step(|ctx| assembly.load(ctx, &[Extent { start: 0, length: 2 * BLOCK }]));
    let asked = |outputs: &[Output]| matches!(outputs, [Output::CheckStored { block: 0, .. }]);
    assert!(asked(&step(|ctx| assembly.check_next(ctx, &chain(1))).1));
    step(|ctx| assembly.drop_differing(ctx, &chain(1), &chain(2)));
    step(|ctx| assembly.checked(ctx, 0, Proof::Genuine));
    assert!(!assembly.is_stored(0));
    assert!(asked(&step(|ctx| assembly.check_next(ctx, &chain(2))).1), "against the other one");
    step(|ctx| assembly.checked(ctx, 0, Proof::Genuine));
    assert!(assembly.is_stored(0));
    assembly.check_invariants();
}

#[test]
fn what_is_on_disk_after_all_is_not_stored_twice() {
    let mut assembly = assembly();
    let buffer = held(&mut assembly, 0);
    step(|ctx| assembly.store_ready(ctx));
    // Another file has vanished: what is there is looked at anew, and this block is.
    assembly.forget_disk();
    let there = [Extent { start: 0, length: BLOCK }];
    let outputs = step(|ctx| assembly.load(ctx, &there)).1;
    assert_eq!(outputs, [Output::Release { buffer }]);
    step(|ctx| assembly.stored(ctx, buffer, true));
    step(|ctx| assembly.check_next(ctx, &chain(1)));
    step(|ctx| assembly.checked(ctx, 0, Proof::Genuine));
    assert!(assembly.is_stored(0));
    assert_eq!(step(|ctx| assembly.store_ready(ctx)).1, []);
    assembly.check_invariants();
}

#[test]
fn a_block_that_must_come_from_one_takes_nothing_from_another() {
    let mut assembly = assembly();
    assembly.fetch_alone(2);
    let (buffer, _) = step(|ctx| assembly.start(ctx, Purpose::Content, 2, host(1)));
    for (from, offset, kept) in [(2, 0, false), (1, 0, true), (1, 0, false), (2, 1_408, false)] {
        let at = 2 * BLOCK + offset;
        let outputs = step(|ctx| assembly.keep(ctx, buffer, host(from), at, 1_408, false)).1;
        assert_eq!(outputs.len(), usize::from(kept), "{from} {offset}");
    }
    assert_eq!(assembly.sole_giver(buffer), Some(host(1)));
}

#[test]
fn a_source_of_parts_is_asked_first_for_what_continues_a_run() {
    let mut assembly = Assembly::new(FetchId(1), 100 * BLOCK);
    let set =
        |ranges: &[(u64, u64)]| ranges.iter().map(|&(from, to)| from..to).collect::<RangeSet>();
    let next = |assembly: &Assembly, held: &[(u64, u64)]| {
        assembly.next_of_part(&assembly.missing(), &set(held))
    };
    assert_eq!(next(&assembly, &[(40, 50)]), Some(40), "the first that it has begins a run");
    assembly.begin_run(40);
    held(&mut assembly, 40);
    step(|ctx| assembly.store_ready(ctx));
    assert_eq!(next(&assembly, &[(10, 20), (40, 50)]), Some(41));
    assert_eq!(next(&assembly, &[(10, 20), (42, 50)]), Some(10));
    assert_eq!(next(&assembly, &[(40, 41)]), None);
    assert_eq!(next(&assembly, &[(39, 41), (60, 61)]), Some(39));
    assert_eq!(assembly.missing(), set(&[(0, 40), (41, 100)]));
    assembly.check_invariants();
}

#[test]
fn so_many_chunk_files_and_no_more() {
    let mut assembly = Assembly::new(FetchId(1), 1_000 * BLOCK);
    let mut random = Random::new([5; 32]);
    let most = runs::CHUNK_FILES_MAX as u64;
    for run in 1..=most {
        let block = run * 4;
        assembly.begin_run(block);
        let buffer = held(&mut assembly, block);
        step(|ctx| assembly.store_ready(ctx));
        step(|ctx| assembly.stored(ctx, buffer, true));
        assert!(assembly.is_stored(block), "it is stored though nothing stands before it");
    }
    let missing = assembly.missing();
    let elsewhere: RangeSet = [6..8, 900..1_000].into_iter().collect();
    assert_eq!(assembly.next_of_part(&missing, &elsewhere), None);
    assert_eq!(assembly.place_to_begin(&elsewhere, &mut random), None);
    let joining: RangeSet = [6..8, 13..16].into_iter().collect();
    assert_eq!(assembly.next_of_part(&missing, &joining), Some(13));
    assert_eq!(assembly.place_to_begin(&joining, &mut random), Some(13));
    assembly.check_invariants();
}

#[test]
fn a_block_collides_for_certain_once_all_behind_it_is_proven() {
    let mut assembly = assembly();
    let check = |assembly: &mut Assembly, block, proof| {
        step(|ctx| assembly.check_next(ctx, &chain(1)));
        step(|ctx| assembly.checked(ctx, block, proof));
    };
    step(|ctx| assembly.load(ctx, &[Extent { start: 0, length: SIZE }]));
    let blocks = assembly.layout().block_count();
    check(&mut assembly, 0, Proof::Genuine);
    check(&mut assembly, 1, Proof::Colliding);
    for block in 2..blocks {
        assert!(!assembly.collides(), "a liar's chain may hold as far as this");
        check(&mut assembly, block, Proof::Genuine);
    }
    assert!(assembly.collides());
    // It was a liar's chain, and the true one has another block there.
    step(|ctx| assembly.drop_differing(ctx, &chain(1), &chain(2)));
    assert!(!assembly.collides());
    for block in 0..blocks {
        if !assembly.is_stored(block) {
            let buffer = held(&mut assembly, block);
            step(|ctx| assembly.store_ready(ctx));
            step(|ctx| assembly.stored(ctx, buffer, true));
        }
    }
    assert!(assembly.is_complete() && !assembly.collides());
    assembly.check_invariants();
}

#[test]
fn who_was_to_finish_what_a_liar_began_lacks_all_of_it() {
    let mut assembly = assembly();
    let (ours, theirs) = (
        step(|ctx| assembly.start(ctx, Purpose::Content, 0, host(1))).0,
        step(|ctx| assembly.start(ctx, Purpose::Content, 1, host(1))).0,
    );
    step(|ctx| assembly.keep(ctx, ours, host(1), 0, 1_408, false));
    step(|ctx| assembly.keep(ctx, theirs, host(2), BLOCK, 1_408, false));
    assembly.take_over(ours, host(2), Instant::ORIGIN);
    assert_eq!(assembly.forget_giver(host(1)), [(ours, host(2))]);
    let missing = |buffer| assembly.get(buffer).unwrap().missing_bytes();
    assert_eq!((missing(ours), missing(theirs)), (BLOCK, BLOCK - 1_408));
}
