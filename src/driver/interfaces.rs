//! The machine's network interfaces: their addresses, and membership of the announcement groups on each.

use std::os::fd::AsFd;

use crate::node::input::InterfaceAddress;

/// The interfaces as they were last seen, and the groups joined on them.
#[derive(Debug, Default)]
pub struct Interfaces {}

impl Interfaces {
    /// Nothing seen, nothing joined.
    pub fn new() -> Self {
        todo!()
    }

    /// Looks at the interfaces, joins the groups on those that are new, and hands back the list
    /// (sorted) where it differs from the last. To be called at the start and every few seconds.
    pub fn refresh(&mut self, socket: impl AsFd) -> Option<Vec<InterfaceAddress>> {
        let _ = socket;
        todo!()
    }
}

/// Sets what announcements to the groups need: they do not leave the network, and other processes of this
/// machine hear them. Once for each socket.
pub fn prepare_multicast(socket: impl AsFd) {
    let _ = socket;
    todo!()
}

/// The index of the interface of this name, as in `fe80::1%eth0`; a number stands for itself.
pub fn scope_index(scope: &str) -> Option<u32> {
    let _ = scope;
    todo!()
}

/// The name of the interface with this index.
pub fn scope_name(index: u32) -> Option<String> {
    let _ = index;
    todo!()
}
