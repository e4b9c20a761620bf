//! The loop's part in looking up the hosts that people named.

use mio::Interest;
use mio::unix::SourceFd;

use super::{EventLoop, NAMES};
use crate::driver::naming::Naming;
use crate::node::Input;

impl EventLoop {
    /// Looks these hosts up, from now on and again and again.
    pub fn look_up(&mut self, naming: Naming) {
        self.names = naming;
        self.begin_lookups();
    }

    /// Begins what is due.
    pub(super) fn begin_lookups(&mut self) {
        if let Some(answer) = self.names.begin(self.now) {
            let registry = self.poll.registry();
            if let Err(error) = registry.register(&mut SourceFd(&answer), NAMES, Interest::READABLE)
            {
                // Housekeeping looks whether it is over.
                log::info!("cannot wait for a lookup: {error}");
            }
        }
    }

    /// Takes what has come of lookups, and tells the core where the hosts are, if that is elsewhere now.
    pub(super) fn take_lookups(&mut self) {
        let before = self.names.addresses();
        if !self.names.take(self.now) {
            return;
        }
        let after = self.names.addresses();
        if after != before {
            self.feed_now(Input::Named { peers: after.peers, trackers: after.trackers });
        }
        self.begin_lookups();
    }
}
