//! Who is who in a simulated network.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use sprat::wire::DEFAULT_PORT;

/// The one interface's number, as in IPv6 addresses of the link.
const INTERFACE: u32 = 2;

/// A machine, by its IPv4 address.
pub(crate) type Machine = IpAddr;

/// The peer with this number.
pub(crate) fn peer(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], DEFAULT_PORT))
}

/// A fetch on the host with this number.
pub(crate) fn fetcher(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], 40_000))
}

/// The same process by IPv6, with the address that its machine has on the link.
pub(crate) fn by_v6(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) => {
            let ip = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, u16::from(ip.octets()[3]));
            SocketAddrV6::new(ip, address.port(), 0, INTERFACE).into()
        }
        IpAddr::V6(_) => address,
    }
}

/// The machine that has this address.
pub(crate) fn machine(ip: IpAddr) -> Machine {
    match ip {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => {
            IpAddr::from([10, 0, 0, ip.segments()[7] as u8])
        }
        other => other,
    }
}
