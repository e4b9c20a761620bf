//! Sprat shares files between the machines of a network.
//!
//! Layers, each using only those to its right: `main → cli, driver → trace → node → wire → content`.
//! [`node`] is the core: all decisions, as state machines that never see a socket, a file, a clock or
//! a random number they were not given. [`driver`] owns every system call and no decision.
//!
//! **The drive contract: hand in one input with its time, take every output until there is none,
//! only then hand in the next.**

pub mod cli;
pub mod config;
pub mod content;
pub mod driver;
pub mod node;
pub mod trace;
pub mod wire;
