//! The models: machines with disks and clocks, processes that run the core that ships, links between
//! them, and what must hold of all of it. See `docs/simulation.md`.

#![allow(dead_code, reason = "the stories and the sweep use different parts of it")]

mod addresses;
pub(crate) mod clock;
pub(crate) mod contents;
pub(crate) mod cubic;
pub(crate) mod digest;
pub(crate) mod disk;
pub(crate) mod gate;
pub(crate) mod host;
pub(crate) mod ledger;
pub(crate) mod liar;
pub(crate) mod link;
mod listings;
pub(crate) mod network;
mod peer;
mod power;
mod publish;
pub(crate) mod shadow;
mod store;
pub(crate) mod stranger;
pub(crate) mod trace;
