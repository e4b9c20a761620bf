//! Whole networks drawn by chance, each from a seed: what happens in them, and what must hold.

#![allow(dead_code, reason = "the tests and the sweep use different parts of it")]

mod act;
pub(crate) mod draw;
pub(crate) mod plan;
pub(crate) mod run;
mod verdict;
