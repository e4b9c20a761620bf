//! Which of the machine's addresses a host speaks to, so that the answer comes from there. A machine with
//! several addresses (two cards on one network, temporary IPv6 addresses) would else answer from
//! whichever the kernel prefers, and the one who asked would take that for a stranger's word.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// Hosts that are remembered; at more, all are forgotten and learned again.
const HOSTS_MAX: usize = 1024;

/// The machine's addresses, and which of them each host speaks to.
#[derive(Debug, Default)]
pub(super) struct LocalAddresses {
    own: Vec<IpAddr>,
    spoken_to: BTreeMap<SocketAddr, IpAddr>,
}

impl LocalAddresses {
    /// The machine has these addresses now.
    pub(super) fn set_own(&mut self, own: Vec<IpAddr>) {
        self.own = own;
        self.spoken_to.clear();
    }

    /// A datagram from `host` came to `destination`, which may also be a group or a broadcast address.
    pub(super) fn note(&mut self, host: SocketAddr, destination: IpAddr) {
        if self.spoken_to.get(&host) == Some(&destination) {
            return;
        }
        if !destination.is_loopback() && !self.own.contains(&destination) {
            return;
        }
        if self.spoken_to.len() >= HOSTS_MAX {
            self.spoken_to.clear();
        }
        self.spoken_to.insert(host, destination);
    }

    /// The address to speak to `host` from; the kernel's choice where there is none.
    pub(super) fn source_for(&self, host: SocketAddr) -> Option<IpAddr> {
        self.spoken_to.get(&host).copied()
    }

    /// The address that was spoken from does not work any more. Whether there was one.
    pub(super) fn forget(&mut self, host: SocketAddr) -> bool {
        self.spoken_to.remove(&host).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_addresses_are_spoken_from_and_the_table_is_bounded() {
        let own: IpAddr = "192.0.2.1".parse().unwrap();
        let host = |port| SocketAddr::from(([192, 0, 2, 9], port));
        let mut addresses = LocalAddresses::default();
        addresses.note(host(1), own);
        assert_eq!(addresses.source_for(host(1)), None, "it is not known to be ours");
        addresses.set_own(vec![own]);
        addresses.note(host(1), own);
        addresses.note(host(1), "192.0.2.255".parse().unwrap());
        addresses.note(host(1), "239.192.27.183".parse().unwrap());
        assert_eq!(addresses.source_for(host(1)), Some(own));
        assert!(addresses.forget(host(1)) && !addresses.forget(host(1)));
        for port in 1..=5_000 {
            addresses.note(host(port), own);
            assert!(addresses.spoken_to.len() <= HOSTS_MAX);
            assert_eq!(addresses.source_for(host(port)), Some(own));
        }
        addresses.set_own(Vec::new());
        assert_eq!(addresses.source_for(host(5_000)), None);
    }
}
