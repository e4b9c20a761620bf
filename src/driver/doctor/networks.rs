//! The machine's network interfaces, and what they can be used for: is there one, is it up, has it an
//! address, does it know groups and have we joined ours?

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use super::finding::Finding;
use crate::driver::netlink::{self, flag};
use crate::node::input::InterfaceAddress;
use crate::wire::{GROUP_V4, GROUP_V6};

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Bits of [`flag`].
    pub flags: u32,
    /// Whether it is a radio.
    pub wireless: bool,
    /// Its addresses.
    pub addresses: Vec<InterfaceAddress>,
}

/// One of the networks that we are on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// The interface that leads to it.
    pub interface: String,
    /// Our address there.
    pub own: IpAddr,
    /// The leading bits that all addresses there share.
    pub prefix_length: u8,
    /// Where a datagram to all of it goes.
    pub broadcast: Option<IpAddr>,
}

/// What the kernel says of interfaces and groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// All interfaces; none where the kernel does not tell.
    pub links: Option<Vec<Link>>,
    /// `/proc/net/igmp`, after we have joined.
    pub igmp: String,
    /// `/proc/net/igmp6`, likewise.
    pub igmp6: String,
}

/// Looks at interfaces and memberships; `addresses` are those that [`Interfaces`] has just told.
///
/// [`Interfaces`]: crate::driver::interfaces::Interfaces
pub fn look(addresses: &[InterfaceAddress]) -> Facts {
    let radios = fs::read_to_string("/proc/net/wireless").unwrap_or_default();
    let link = |link: netlink::Link| {
        let folder = Path::new("/sys/class/net").join(&link.name);
        let listed = radios.lines().any(|line| line.trim().starts_with(&format!("{}:", link.name)));
        let wireless = listed || ["wireless", "phy80211"].iter().any(|it| folder.join(it).exists());
        let of = addresses.iter().filter(|address| address.index == link.index);
        let addresses = of.cloned().collect();
        Link { index: link.index, name: link.name, flags: link.flags, wireless, addresses }
    };
    Facts {
        links: netlink::links().ok().map(|links| links.into_iter().map(link).collect()),
        igmp: fs::read_to_string("/proc/net/igmp").unwrap_or_default(),
        igmp6: fs::read_to_string("/proc/net/igmp6").unwrap_or_default(),
    }
}

impl Link {
    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Whether hosts can be reached by it.
    pub fn is_usable(&self) -> bool {
        self.has(flag::UP)
            && self.has(flag::RUNNING)
            && !self.has(flag::LOOPBACK)
            && !self.addresses.is_empty()
    }
}

impl Network {
    /// The IPv4 networks that usable interfaces lead to; where there is none, the link-local ones of IPv6.
    pub fn all(links: &[Link]) -> Vec<Self> {
        let v4 = Self::of(links, |ip| ip.is_ipv4());
        if v4.is_empty() { Self::link_local(links) } else { v4 }
    }

    /// The link-local IPv6 networks that usable interfaces lead to.
    pub fn link_local(links: &[Link]) -> Vec<Self> {
        Self::of(links, is_link_local)
    }

    fn of(links: &[Link], wanted: fn(IpAddr) -> bool) -> Vec<Self> {
        let links = links.iter().filter(|link| link.is_usable());
        let networks = links.flat_map(|link| {
            let addresses = link.addresses.iter().filter(move |own| wanted(own.address));
            addresses.map(|own| Self {
                interface: link.name.clone(),
                own: own.address,
                prefix_length: own.prefix_length,
                broadcast: own.broadcast,
            })
        });
        networks.collect()
    }

    /// As firewalls name it: `192.168.1.0/24`.
    pub fn range(&self) -> String {
        let bits = u32::from(self.prefix_length);
        let network: IpAddr = match self.own {
            IpAddr::V4(own) => {
                let host = u32::MAX.checked_shr(bits).unwrap_or(0);
                Ipv4Addr::from(own.to_bits() & !host).into()
            }
            IpAddr::V6(own) => {
                let host = u128::MAX.checked_shr(bits).unwrap_or(0);
                Ipv6Addr::from(own.to_bits() & !host).into()
            }
        };
        format!("{network}/{bits}")
    }

    /// An address there that is not ours: a neighbour's, as it were.
    pub fn another(&self) -> IpAddr {
        match self.own {
            IpAddr::V4(own) => Ipv4Addr::from(own.to_bits() ^ 1).into(),
            IpAddr::V6(own) => Ipv6Addr::from(own.to_bits() ^ 1).into(),
        }
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// Is there a network at all?
pub fn judge(facts: &Facts) -> Vec<Finding> {
    const CHECK: &str = "interfaces";
    let Some(links) = &facts.links else {
        return vec![
            Finding::unknown(CHECK, "the kernel does not list its network interfaces to us")
                .with("ip address"),
        ];
    };
    let usable: Vec<&Link> = links.iter().filter(|link| link.is_usable()).collect();
    if !usable.is_empty() {
        let names = usable.iter().map(|link| {
            let addresses: Vec<_> =
                link.addresses.iter().map(|own| own.address.to_string()).collect();
            format!("{} ({})", link.name, addresses.join(", "))
        });
        let names = names.collect::<Vec<_>>().join(", ");
        return vec![Finding::ok(CHECK, format!("hosts can be reached by {names}"))];
    }
    let others: Vec<&Link> = links.iter().filter(|link| !link.has(flag::LOOPBACK)).collect();
    if others.is_empty() {
        let text =
            "there is no network interface but loopback: only peers on this machine are seen";
        return vec![Finding::problem(CHECK, text).with("ip link")];
    }
    let finding = |link: &&Link| {
        let name = &link.name;
        if !link.has(flag::UP) {
            let text = format!("{name} is switched off, and no other interface leads to a network");
            return Finding::problem(CHECK, text).with(format!("sudo ip link set {name} up"));
        }
        if !link.has(flag::RUNNING) {
            let what = if link.wireless { "is in no radio network" } else { "has no cable" };
            let text = format!("{name} {what}, and no other interface leads to a network");
            let show = if link.wireless { "nmcli device wifi list".to_owned() } else { show(name) };
            return Finding::problem(CHECK, text).with(show);
        }
        let text = format!("{name} has no address, so nothing can be sent by it");
        Finding::problem(CHECK, text)
            .with(format!("sudo dhclient {name}"))
            .with(format!("sudo nmcli device connect {name}"))
    };
    others.iter().map(finding).collect()
}

fn show(name: &str) -> String {
    format!("ip link show {name}")
}

/// Do the usable interfaces carry groups, and have we joined ours?
pub fn judge_groups(facts: &Facts) -> Vec<Finding> {
    const CHECK: &str = "multicast";
    let links = facts.links.as_deref().unwrap_or_default();
    let mut findings = Vec::new();
    let mut joined = Vec::new();
    for link in links.iter().filter(|link| link.is_usable()) {
        let name = &link.name;
        if !link.has(flag::MULTICAST) {
            let text = format!("{name} carries no multicast: hosts are found by broadcast alone");
            findings.push(
                Finding::warning(CHECK, text).with(format!("sudo ip link set {name} multicast on")),
            );
            continue;
        }
        let has = |wanted: fn(IpAddr) -> bool| link.addresses.iter().any(|own| wanted(own.address));
        if has(|ip| ip.is_ipv4()) && !has_joined_v4(&facts.igmp, name) {
            let text = format!("the group {GROUP_V4} cannot be joined on {name}");
            let finding = Finding::warning(CHECK, text);
            findings.push(finding.with("sudo sysctl -w net.ipv4.igmp_max_memberships=100"));
        }
        if has(is_link_local) && !has_joined_v6(&facts.igmp6, name) {
            let text = format!("the group {GROUP_V6} cannot be joined on {name}");
            findings
                .push(Finding::warning(CHECK, text).with(format!("ip -6 maddr show dev {name}")));
        }
        joined.push(name.as_str());
    }
    if findings.is_empty() {
        let text = if joined.is_empty() {
            "no interface to join the groups on".to_owned()
        } else {
            format!("the groups of announcements are joined on {}", joined.join(", "))
        };
        findings.push(Finding::ok(CHECK, text));
    }
    findings
}

/// A line for each interface, below it one for each group: the address as a number, its bytes as they lie in
/// memory.
fn has_joined_v4(igmp: &str, name: &str) -> bool {
    let wanted = format!("{:08X}", u32::from_ne_bytes(GROUP_V4.octets()));
    let mut here = false;
    for line in igmp.lines() {
        let mut words = line.split_whitespace();
        if line.starts_with(char::is_numeric) {
            here = words.nth(1).is_some_and(|word| word.trim_end_matches(':') == name);
        } else if here && words.next() == Some(wanted.as_str()) {
            return true;
        }
    }
    false
}

/// A line for each group: number, interface, address, ...
fn has_joined_v6(igmp6: &str, name: &str) -> bool {
    let wanted = format!("{:032x}", GROUP_V6.to_bits());
    igmp6.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        words.next() == Some(name) && words.next() == Some(wanted.as_str())
    })
}

#[cfg(test)]
mod tests;
