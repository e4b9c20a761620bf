//! The core on a simulated network: the nodes that ship, in virtual time, on models of links, disks and clocks.
//! `docs/simulation.md` says what is modelled and what must hold. A failure names its seed.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[path = "simulation/model/mod.rs"]
mod model;
#[path = "simulation/stories/mod.rs"]
mod stories;

#[path = "simulation/chance/mod.rs"]
mod chance;
#[path = "simulation/regressions.rs"]
mod regressions;
#[path = "simulation/seeds.rs"]
mod seeds;
