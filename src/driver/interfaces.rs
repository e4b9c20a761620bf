//! The machine's network interfaces: their addresses, and membership of the announcement groups on
//! each.
//!
//! A kernel drops memberships with the interface, and gives out indexes anew when one is plugged in
//! again, so the list is looked at when the kernel tells of a change (`netlink`), or every few seconds where it
//! tells nothing, and what is missing is joined.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;

use if_addrs::{IfAddr, Interface};
use socket2::{InterfaceIndexOrAddress, SockRef};

use crate::node::input::InterfaceAddress;
use crate::wire::{GROUP_V4, GROUP_V6};

/// The most addresses that are told; a machine that runs many containers has hundreds.
const ADDRESSES_MAX: usize = 1_024;

/// A membership: on which interface, and in the IPv6 group rather than the IPv4 one.
type Membership = (u32, bool);

/// The interfaces as they were last seen, and the groups joined on them.
#[derive(Debug, Default)]
pub struct Interfaces {
    addresses: Option<Vec<InterfaceAddress>>,
    joined: BTreeSet<Membership>,
    /// Attempts that failed, so that each is logged once.
    refused: BTreeSet<Membership>,
    looking_fails: bool,
}

impl Interfaces {
    /// Nothing seen, nothing joined.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at the interfaces, joins the groups on those that are new, and hands back the list
    /// (sorted) where it differs from the last. To be called at the start, at changes and now and then.
    pub fn refresh(&mut self, socket: impl AsFd) -> Option<Vec<InterfaceAddress>> {
        let addresses = match if_addrs::get_if_addrs() {
            Ok(interfaces) => sorted_addresses(&interfaces),
            Err(error) => {
                if !self.looking_fails {
                    log::warn!("cannot list the network interfaces: {error}");
                }
                self.looking_fails = true;
                return None;
            }
        };
        self.looking_fails = false;
        self.join(SockRef::from(&socket), &addresses);
        if self.addresses.as_ref() == Some(&addresses) {
            return None;
        }
        self.addresses = Some(addresses.clone());
        Some(addresses)
    }

    /// Joins what is wanted and not joined, and leaves what is joined and not wanted.
    fn join(&mut self, socket: SockRef<'_>, addresses: &[InterfaceAddress]) {
        let wanted = memberships(addresses);
        for &membership in self.joined.difference(&wanted) {
            // The interface is gone or has lost its addresses. Most often the kernel has left
            // already; if not, a slot is freed.
            let _ = change_membership(&socket, membership, Change::Leave);
        }
        self.joined.retain(|membership| wanted.contains(membership));
        self.refused.retain(|membership| wanted.contains(membership));
        for &membership in &wanted {
            if self.joined.contains(&membership) {
                continue;
            }
            match change_membership(&socket, membership, Change::Join) {
                Ok(()) => {
                    self.joined.insert(membership);
                    self.refused.remove(&membership);
                }
                Err(error) => {
                    if self.refused.insert(membership) {
                        let (index, is_v6) = membership;
                        let group = if is_v6 { "IPv6" } else { "IPv4" };
                        log::debug!("no {group} group on interface {index}: {error}");
                    }
                }
            }
        }
    }
}

/// Sets what announcements to the groups need: they do not leave the network, and other processes
/// of this machine hear them. Once for each socket.
pub fn prepare_multicast(socket: impl AsFd) {
    let socket = SockRef::from(&socket);
    let settings = [
        ("IPv4 multicast TTL", socket.set_multicast_ttl_v4(1)),
        ("IPv4 multicast loop", socket.set_multicast_loop_v4(true)),
        ("IPv6 multicast hops", socket.set_multicast_hops_v6(1)),
        ("IPv6 multicast loop", socket.set_multicast_loop_v6(true)),
    ];
    for (what, result) in settings {
        // A socket without IPv6 refuses two of them, rightly.
        if let Err(error) = result {
            log::debug!("{what} cannot be set: {error}");
        }
    }
}

/// The index of the interface of this name, as in `fe80::1%eth0`; a number stands for itself.
pub fn scope_index(scope: &str) -> Option<u32> {
    let number = scope.parse().ok().filter(|&index| index != 0);
    number.or_else(|| find(|interface| interface.name == scope)?.index)
}

/// The name of the interface with this index.
pub fn scope_name(index: u32) -> Option<String> {
    Some(find(|interface| interface.index == Some(index))?.name)
}

fn find(wanted: impl Fn(&Interface) -> bool) -> Option<Interface> {
    if_addrs::get_if_addrs().ok()?.into_iter().find(wanted)
}

fn sorted_addresses(interfaces: &[Interface]) -> Vec<InterfaceAddress> {
    let mut addresses: Vec<_> = interfaces.iter().filter_map(told).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(ADDRESSES_MAX);
    addresses
}

/// An address as the core knows it; none where the interface went away while the list was made.
fn told(interface: &Interface) -> Option<InterfaceAddress> {
    let loopback = interface.is_loopback();
    let (address, prefix_length, broadcast) = match &interface.addr {
        IfAddr::V4(v4) => {
            // Point-to-point interfaces report the other end here, or their own address.
            let broadcast = v4.broadcast.filter(|&to| {
                !loopback && v4.prefixlen < 31 && to == directed_broadcast(v4.ip, v4.prefixlen)
            });
            (IpAddr::V4(v4.ip), v4.prefixlen, broadcast.map(IpAddr::V4))
        }
        IfAddr::V6(v6) => (IpAddr::V6(v6.ip), v6.prefixlen, None),
    };
    let index = interface.index?;
    Some(InterfaceAddress { index, address, prefix_length, broadcast, loopback })
}

fn directed_broadcast(address: Ipv4Addr, prefix_length: u8) -> Ipv4Addr {
    let hosts = u32::MAX.checked_shr(u32::from(prefix_length)).unwrap_or(0);
    Ipv4Addr::from(u32::from(address) | hosts)
}

fn memberships(addresses: &[InterfaceAddress]) -> BTreeSet<Membership> {
    addresses.iter().map(|told| (told.index, told.address.is_ipv6())).collect()
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Join,
    Leave,
}

fn change_membership(
    socket: &SockRef<'_>,
    (index, is_v6): Membership,
    change: Change,
) -> io::Result<()> {
    // Linux takes the IPv4 options on an IPv6 socket that hears both.
    let by_index = InterfaceIndexOrAddress::Index(index);
    let result = match (change, is_v6) {
        (Change::Join, false) => socket.join_multicast_v4_n(&GROUP_V4, &by_index),
        (Change::Join, true) => socket.join_multicast_v6(&GROUP_V6, index),
        (Change::Leave, false) => socket.leave_multicast_v4_n(&GROUP_V4, &by_index),
        (Change::Leave, true) => socket.leave_multicast_v6(&GROUP_V6, index),
    };
    match (change, result) {
        // Joined already.
        (Change::Join, Err(error)) if error.kind() == io::ErrorKind::AddrInUse => Ok(()),
        (_, result) => result,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, UdpSocket};
    use std::time::Duration;

    use socket2::{Domain, Socket, Type};

    use super::*;

    /// A socket that hears both protocols; where the machine has no IPv6, one that hears IPv4.
    fn any_socket() -> UdpSocket {
        let dual = Socket::new(Domain::IPV6, Type::DGRAM, None).and_then(|socket| {
            socket.set_only_v6(false)?;
            socket.bind(&"[::]:0".parse::<SocketAddr>().unwrap().into())?;
            Ok(socket)
        });
        dual.map_or_else(|_| UdpSocket::bind("0.0.0.0:0").unwrap(), UdpSocket::from)
    }

    #[test]
    fn the_loopback_address_is_told_once_and_then_nothing_new() {
        let socket = any_socket();
        prepare_multicast(&socket);
        let mut interfaces = Interfaces::new();
        let addresses = interfaces.refresh(&socket).unwrap();
        let loopback =
            addresses.iter().find(|told| told.address == IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap();
        assert!(loopback.loopback && loopback.broadcast.is_none() && loopback.index != 0);
        assert_eq!(loopback.prefix_length, 8);
        assert_eq!(interfaces.refresh(&socket), None);
    }

    #[test]
    fn one_socket_for_both_protocols_hears_the_ipv4_group() {
        let socket = any_socket();
        let mut interfaces = Interfaces::new();
        let addresses = interfaces.refresh(&socket).unwrap();
        let port = socket.local_addr().unwrap().port();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        SockRef::from(&sender).set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        prepare_multicast(&sender);
        let loopback = addresses.iter().find(|told| told.loopback).unwrap().index;
        assert!(interfaces.joined.contains(&(loopback, false)), "{interfaces:?}");
        sender.send_to(b"here", (GROUP_V4, port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut bytes = [0; 16];
        let (length, _) = socket.recv_from(&mut bytes).unwrap();
        assert_eq!(&bytes[..length], b"here");
    }

    #[test]
    fn what_is_not_wanted_any_more_is_left_and_joined_again_when_it_comes_back() {
        let socket = any_socket();
        let mut interfaces = Interfaces::new();
        let addresses = interfaces.refresh(&socket).unwrap();
        let before = interfaces.joined.clone();
        assert!(!before.is_empty());
        interfaces.join(SockRef::from(&socket), &[]);
        assert!(interfaces.joined.is_empty());
        // Had it not been left, the kernel would say that it is in use, and so would a second
        // leaving succeed.
        for &membership in &before {
            assert!(change_membership(&SockRef::from(&socket), membership, Change::Leave).is_err());
        }
        interfaces.join(SockRef::from(&socket), &addresses);
        assert_eq!(interfaces.joined, before);
    }

    #[test]
    fn scopes_are_names_and_numbers() {
        let index = scope_index("lo").unwrap();
        assert_eq!(scope_name(index).as_deref(), Some("lo"));
        assert_eq!(scope_index(&index.to_string()), Some(index));
        assert_eq!(scope_index("0"), None);
        assert_eq!(scope_index("no such interface"), None);
        assert_eq!(scope_name(u32::MAX), None);
    }

    #[test]
    fn broadcasts_follow_from_the_prefix() {
        let address = Ipv4Addr::new(192, 0, 2, 70);
        assert_eq!(directed_broadcast(address, 24), Ipv4Addr::new(192, 0, 2, 255));
        assert_eq!(directed_broadcast(address, 26), Ipv4Addr::new(192, 0, 2, 127));
        assert_eq!(directed_broadcast(address, 32), address);
        assert_eq!(directed_broadcast(address, 0), Ipv4Addr::BROADCAST);
    }
}
