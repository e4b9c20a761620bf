//! The core builds with nothing of ours but itself: here the three inner layers make a crate of
//! their own, without driver, command line and configuration. If one of them reaches outwards, this
//! does not compile. Their own tests are not compiled again: this target has no test harness.

#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    missing_docs,
    reason = "only that it compiles matters here"
)]

#[path = "../src/content/mod.rs"]
mod content;
#[path = "../src/node/mod.rs"]
mod node;
#[path = "../src/wire/mod.rs"]
mod wire;

fn main() {
    let noise = wire::decode(b"noise");
    assert_eq!(noise, Err(wire::DecodeError::NotOurs));
}
