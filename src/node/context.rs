//! What the machines of a node share while one input is being worked off.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::NodeConfig;
use super::budget::Pace;
use super::counters::Counters;
use super::input::InterfaceAddress;
use super::output::Output;
use super::random::Random;
use super::time::Instant;
use crate::wire::{GROUP_V4, GROUP_V6, Message};

/// Interfaces that are used; a machine with more announces itself on the first of them.
const INTERFACES_MAX: usize = 64;

/// Lent to a machine for one step: the time, and where its outputs go.
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    pub(crate) config: &'a NodeConfig,
    pub(crate) interfaces: &'a Interfaces,
    /// Bytes that all flows of a fetch together may have in flight, from the socket's buffer.
    pub(crate) in_flight_max: u64,
    /// The pace of all that is asked for by fetches, where that is limited.
    pub(crate) asking: &'a mut Option<Pace>,
    pub(crate) outputs: &'a mut VecDeque<Output>,
    pub(crate) random: &'a mut Random,
    pub(crate) counters: &'a mut Counters,
}

impl Context<'_> {
    pub(crate) fn emit(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    /// Sends a message to one host.
    pub(crate) fn send(&mut self, to: SocketAddr, message: &Message<'_>) {
        self.send_bytes(to, message.encode());
    }

    pub(crate) fn send_bytes(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        self.emit(Output::Transmit { to, via: None, bytes });
    }

    /// Sends a message to everyone whom these ways reach.
    pub(crate) fn send_to_all(&mut self, message: &Message<'_>, ways: Ways) {
        let bytes = message.encode();
        let port = self.config.default_port;
        for address in self.interfaces.usable() {
            if let (Some(broadcast), true) = (address.broadcast, ways.broadcast) {
                let to = SocketAddr::new(broadcast, port);
                self.outputs.push_back(Output::Transmit { to, via: None, bytes: bytes.clone() });
            }
            let group = match address.address {
                IpAddr::V4(own) if ways.are_v4(address) && !address.loopback => {
                    Some((SocketAddr::new(GROUP_V4.into(), port), Some(own)))
                }
                IpAddr::V6(own)
                    if own.is_unicast_link_local() && ways.are_v6(address, self.interfaces) =>
                {
                    let to = SocketAddrV6::new(GROUP_V6, port, 0, address.index);
                    Some((to.into(), None))
                }
                IpAddr::V4(_) | IpAddr::V6(_) => None,
            };
            if let Some((to, via)) = group {
                self.outputs.push_back(Output::Transmit { to, via, bytes: bytes.clone() });
            }
        }
    }

    /// A moment up to `most` from now.
    pub(crate) fn soon(&mut self, most: Duration) -> Instant {
        self.now + self.random.jitter(most)
    }
}

/// The ways to reach many hosts at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ways {
    pub(crate) broadcast: bool,
    pub(crate) group_v4: bool,
    /// By the IPv4 group where an address has no broadcast beside it.
    pub(crate) group_v4_alone: bool,
    pub(crate) group_v6: bool,
    /// By the IPv6 group where an interface has no IPv4 address.
    pub(crate) group_v6_alone: bool,
}

impl Ways {
    pub(crate) const ALL: Self = Self {
        broadcast: true,
        group_v4: true,
        group_v4_alone: true,
        group_v6: true,
        group_v6_alone: true,
    };

    /// One after the other, so that a quiet network stays nearly silent. Where a host has both, its IPv6
    /// addresses are spare, and need not be heard as often.
    pub(crate) const fn in_turn(count: u64) -> Self {
        Self {
            broadcast: count % 2 == 0,
            group_v4: count % 2 == 1,
            group_v4_alone: true,
            group_v6: count % 12 == 0,
            group_v6_alone: true,
        }
    }

    /// Whether the IPv4 group is one of them for this address.
    const fn are_v4(self, address: &InterfaceAddress) -> bool {
        self.group_v4 || (self.group_v4_alone && address.broadcast.is_none())
    }

    /// Whether the IPv6 group of this address's interface is one of them.
    fn are_v6(self, address: &InterfaceAddress, interfaces: &Interfaces) -> bool {
        self.group_v6 || (self.group_v6_alone && !interfaces.has_v4(address.index))
    }
}

/// The machine's addresses, as last told.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Interfaces {
    addresses: Vec<InterfaceAddress>,
}

impl Interfaces {
    /// Whether others can be reached now by an address that was not there before.
    pub(crate) fn replace(&mut self, mut addresses: Vec<InterfaceAddress>) -> bool {
        addresses.sort();
        addresses.dedup();
        let is_new =
            |address: &InterfaceAddress| !address.loopback && !self.addresses.contains(address);
        let any = addresses.iter().any(is_new);
        self.addresses = addresses;
        any
    }

    fn usable(&self) -> impl Iterator<Item = &InterfaceAddress> {
        self.addresses.iter().take(INTERFACES_MAX)
    }

    /// Whether an interface has an IPv4 address.
    fn has_v4(&self, index: u32) -> bool {
        self.usable().any(|own| own.index == index && own.address.is_ipv4())
    }

    /// Whether an address is on a network that the machine is on; the loopback network is one.
    pub(crate) fn is_on_link(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V6(ip) if ip.is_unicast_link_local() => true,
            _ => self.addresses.iter().any(|own| own.shares_network_with(ip)),
        }
    }

    /// Whether a broadcast or a group reaches this address from here.
    pub(crate) fn is_broadcast_reach(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
            IpAddr::V4(_) => self
                .addresses
                .iter()
                .any(|own| own.broadcast.is_some() && own.shares_network_with(ip)),
        }
    }

    /// What counts as one machine where many compete: all ports of its IP address. Off our links that is, with IPv6, a network of 64
    /// bits: one machine may have all addresses of one. Many machines may share it, too, so it is no reason to refuse one.
    pub(crate) fn machine(&self, ip: IpAddr) -> RangeInclusive<SocketAddr> {
        match ip {
            IpAddr::V6(far) if !self.is_on_link(ip) => {
                let network = far.to_bits() >> 64 << 64;
                let last = Ipv6Addr::from_bits(network | u128::from(u64::MAX));
                *ports_of(Ipv6Addr::from_bits(network).into()).start()
                    ..=*ports_of(last.into()).end()
            }
            _ => ports_of(ip),
        }
    }

    /// The machine that has most of these hosts, which come in the order of their addresses, and how many those are.
    pub(crate) fn most_crowded(
        &self,
        hosts: impl Iterator<Item = SocketAddr>,
    ) -> Option<(RangeInclusive<SocketAddr>, usize)> {
        let mut most: Option<(RangeInclusive<SocketAddr>, usize)> = None;
        let mut one: Option<(RangeInclusive<SocketAddr>, usize)> = None;
        for host in hosts {
            let (machine, count) = match one.take() {
                Some((machine, count)) if machine.contains(&host) => (machine, count + 1),
                _ => (self.machine(host.ip()), 1),
            };
            if most.as_ref().is_none_or(|&(_, before)| count > before) {
                most = Some((machine.clone(), count));
            }
            one = Some((machine, count));
        }
        most
    }

    /// Whether an address is one of the machine's own.
    pub(crate) fn is_own(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.addresses.iter().any(|own| own.address == ip)
    }

    /// Whether a datagram is heard that was sent from one address to another: what goes to all on a link comes from somebody
    /// on that link, or from nobody who ought to be answered.
    pub(crate) fn hears(&self, from: IpAddr, to: IpAddr) -> bool {
        let to_all = match to {
            IpAddr::V4(ip) => ip.is_broadcast() || self.is_broadcast(to),
            IpAddr::V6(_) => false,
        };
        !(to_all || to.is_multicast()) || self.is_on_link(from)
    }

    /// Whether an address is the broadcast address of one of the machine's networks.
    pub(crate) fn is_broadcast(&self, ip: IpAddr) -> bool {
        self.addresses.iter().any(|own| own.broadcast == Some(ip))
    }
}

/// All ports of an IP address, on whatever link.
pub(crate) fn ports_of(ip: IpAddr) -> RangeInclusive<SocketAddr> {
    let last = match ip {
        IpAddr::V6(ip) => SocketAddrV6::new(ip, u16::MAX, u32::MAX, u32::MAX).into(),
        IpAddr::V4(_) => SocketAddr::new(ip, u16::MAX),
    };
    SocketAddr::new(ip, 0)..=last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interfaces() -> Interfaces {
        let mut interfaces = Interfaces::default();
        let address =
            |text: &str, prefix_length, broadcast: Option<&str>, loopback| InterfaceAddress {
                index: 1,
                address: text.parse().unwrap(),
                prefix_length,
                broadcast: broadcast.map(|text| text.parse().unwrap()),
                loopback,
            };
        interfaces.replace(vec![
            address("127.0.0.1", 8, None, true),
            address("192.0.2.9", 24, Some("192.0.2.255"), false),
            address("2001:db8::9", 64, None, false),
        ]);
        interfaces
    }

    #[test]
    fn what_is_on_link() {
        let interfaces = interfaces();
        for (text, on_link, broadcast_reach) in [
            ("192.0.2.1", true, true),
            ("192.0.3.1", false, false),
            ("127.9.9.9", true, false),
            ("fe80::1", true, true),
            ("2001:db8::1", true, false),
            ("2001:db8:1::1", false, false),
        ] {
            let ip = text.parse().unwrap();
            assert_eq!(interfaces.is_on_link(ip), on_link, "{text}");
            assert_eq!(interfaces.is_broadcast_reach(ip), broadcast_reach, "{text}");
        }
        assert!(interfaces.is_broadcast("192.0.2.255".parse().unwrap()));
        for (from, to, heard) in [
            ("192.0.2.1", "192.0.2.255", true),
            ("192.0.2.1", "255.255.255.255", true),
            ("192.0.2.1", "239.192.27.183", true),
            ("198.51.100.1", "192.0.2.9", true),
            ("198.51.100.1", "192.0.2.255", false),
            ("198.51.100.1", "255.255.255.255", false),
            ("198.51.100.1", "239.192.27.183", false),
            ("127.0.0.1", "192.0.2.255", true),
            ("fe80::1", "ff12::5370:7261", true),
            ("2001:db8::1", "ff12::5370:7261", true),
            ("2001:db8:1::1", "ff12::5370:7261", false),
            ("2001:db8:1::1", "2001:db8::9", true),
        ] {
            let (from_ip, to_ip) = (from.parse().unwrap(), to.parse().unwrap());
            assert_eq!(interfaces.hears(from_ip, to_ip), heard, "{from} to {to}");
        }
        for (text, own) in [("192.0.2.9", true), ("127.0.0.2", true), ("192.0.2.1", false)] {
            assert_eq!(interfaces.is_own(text.parse().unwrap()), own, "{text}");
        }
    }
    #[test]
    fn what_counts_as_one_machine() {
        let interfaces = interfaces();
        for (one, other, same) in [
            ("192.0.2.1:1", "192.0.2.1:65535", true),
            ("192.0.2.1:1", "192.0.2.2:1", false),
            ("[fe80::1%3]:1", "[fe80::1%7]:65535", true),
            ("[fe80::1]:1", "[fe80::2]:1", false),
            ("[2001:db8::1]:1", "[2001:db8::2]:1", false),
            ("[2001:db8:1::1]:1", "[2001:db8:1::ffff:0:0:1]:9", true),
            ("[2001:db8:1::1]:1", "[2001:db8:1:1::1]:1", false),
        ] {
            let (one, other): (SocketAddr, SocketAddr) =
                (one.parse().unwrap(), other.parse().unwrap());
            assert!(interfaces.machine(one.ip()).contains(&one), "{one}");
            assert_eq!(interfaces.machine(one.ip()).contains(&other), same, "{one} {other}");
        }
    }
}
