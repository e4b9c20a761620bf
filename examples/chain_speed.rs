//! How fast blocks are checked on this machine, in lanes and one by one. Run it with
//! `cargo run --release --example chain_speed`; what it prints says how `Engine` should choose.

#![expect(clippy::print_stdout, reason = "an example prints what it finds")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::time::Instant;

use sprat::content::ChainState;
use sprat::content::state_chain::{BatchCheck, Engine, Link, LinkEnd};

const ROUNDS: u32 = 15;
const BLOCKS: usize = 64;

fn main() {
    println!("this machine uses {:?}", Engine::for_this_machine());
    let content: Vec<u8> = (0..BLOCKS << 20).map(|at| (at ^ (at >> 9)) as u8).collect();
    for length in [64 << 10, 1 << 20] {
        for together in [1, 2, 4, 6, 8, 16] {
            let blocks: Vec<&[u8]> = content.chunks_exact(length).take(BLOCKS).collect();
            let [serial, lanes] = [Engine::Serial, Engine::Lanes].map(|engine| {
                (0..ROUNDS).map(|_| seconds(&blocks, together, engine)).fold(f64::MAX, f64::min)
            });
            let speed = |seconds: f64| (blocks.len() * length) as f64 / seconds / 1e9;
            println!(
                "{:4} KiB, {together:2} together: one by one {:.2} GB/s, lanes {:.2} GB/s: {:.2}",
                length >> 10,
                speed(serial),
                speed(lanes),
                serial / lanes,
            );
        }
    }
}

/// How long it takes to check all blocks, so many at a time.
fn seconds(blocks: &[&[u8]], together: usize, engine: Engine) -> f64 {
    let start = Instant::now();
    for group in blocks.chunks(together) {
        let link = |block: &&[u8]| Link {
            from: ChainState::INITIAL,
            to: LinkEnd::State(ChainState::INITIAL),
            length: block.len() as u32,
        };
        let mut check = BatchCheck::with_engine(group.iter().map(link).collect(), engine);
        while check.step(group, usize::MAX) {}
        assert!(check.finish(group).iter().all(|proof| !proof.holds()));
    }
    start.elapsed().as_secs_f64()
}
