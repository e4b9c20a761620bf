//! Prints the figures that are the core's alone, from virtual time: `cargo run --profile sweep --example
//! simulated_figures [CASE...]`. The test `figures` compares them with `tests/figures/simulated.txt`.

#![allow(clippy::print_stdout, reason = "it is a program for people")]

#[path = "../tests/figures/cases.rs"]
mod cases;
#[path = "../tests/simulation/model/mod.rs"]
mod model;

fn main() {
    let named: Vec<String> = std::env::args().skip(1).collect();
    for case in cases::CASES {
        if named.is_empty() || named.iter().any(|name| name == case.name) {
            print!("{}", case.run().line());
        }
    }
}
