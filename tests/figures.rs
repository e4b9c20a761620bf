//! Transfers in virtual time, over ways of every kind: how long they take, what they cost on the wire and what they do to
//! others on the line. `tests/figures/simulated.txt` holds what came of them last; a change of it is to be looked at, and is
//! renewed with `scripts/renew-figures`.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[path = "figures/cases.rs"]
mod cases;
#[path = "simulation/model/mod.rs"]
mod model;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Every case, two at a time, in the order of the table.
fn measure() -> String {
    let next = AtomicUsize::new(0);
    let lines = Mutex::new(vec![String::new(); cases::CASES.len()]);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases::CASES.get(number) else { break };
                    let line = case.run().line();
                    lines.lock().unwrap()[number] = line;
                }
            });
        }
    });
    lines.into_inner().unwrap().concat()
}

#[test]
fn simulated_transfers_cost_what_they_did() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/figures/simulated.txt");
    let measured = measure();
    if std::env::var_os("SPRAT_RENEW_FIGURES").is_some() {
        std::fs::write(path, measured).unwrap();
        return;
    }
    let known = std::fs::read_to_string(path).unwrap_or_default();
    let (measured, known): (Vec<_>, Vec<_>) = (measured.lines().collect(), known.lines().collect());
    let differ: Vec<String> = (0..measured.len().max(known.len()))
        .map(|at| (known.get(at).unwrap_or(&""), measured.get(at).unwrap_or(&"")))
        .filter(|(known, measured)| known != measured)
        .map(|(known, measured)| format!("- {known}\n+ {measured}"))
        .collect();
    assert!(
        differ.is_empty(),
        "what transfers cost is not what it was; if that is meant, run scripts/renew-figures:\n{}",
        differ.join("\n")
    );
}
