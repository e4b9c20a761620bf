//! What the fuzz targets do, each a plain function of some bytes: `fuzz_targets/` hands them what libFuzzer
//! makes up, `tests/fuzz_corpora.rs` of the main crate what is kept in `corpus/`.

#[path = "../../tests/simulation/model/mod.rs"]
mod model;
#[path = "targets/mod.rs"]
mod targets;

use std::alloc::System;

use cap::Cap;

/// Everything that Rust code takes is counted; what libFuzzer itself takes is not.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

/// Hands some bytes to a target. A target that takes more memory than is its own ends with "memory allocation
/// failed", at the place where it does so.
pub fn run(name: &str, bytes: &[u8]) {
    let target = targets::ALL.iter().find(|target| target.name == name).expect("there is such a target");
    // The limit is too much already only if a target has left something behind.
    MEMORY.set_limit(MEMORY.allocated() + target.memory).expect("there is room below the limit");
    (target.body)(bytes);
    MEMORY.set_limit(usize::MAX).expect("that is no limit");
}
