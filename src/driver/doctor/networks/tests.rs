//! Interfaces in every state, and what is said of them.

use super::super::finding::Status;
use super::*;

const WORKS: u32 = flag::UP | flag::RUNNING | flag::BROADCAST | flag::MULTICAST;
const IGMP: &str = "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n\
    1\tlo        :     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n\
    2\teth0      :     2      V3\n\t\t\t\tB71BC0EF     1 0:00000000\t\t0\n\
    \t\t\t\t010000E0     1 0:00000000\t\t0\n\
    3\twlp0s20f3x:     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n";
const IGMP6: &str = "2    eth0            ff120000000000000000000053707261     1 00000004 0\n\
    3    wlp0s20f3x      ff020000000000000000000000000001     1 0000000C 0\n";

fn address(text: &str, prefix_length: u8) -> InterfaceAddress {
    let address: IpAddr = text.parse().unwrap();
    InterfaceAddress { index: 2, address, prefix_length, broadcast: None, loopback: false }
}

fn link(name: &str, flags: u32, addresses: &[(&str, u8)]) -> Link {
    let addresses = addresses.iter().map(|(text, length)| address(text, *length)).collect();
    Link { index: 2, name: name.to_owned(), flags, wireless: name.starts_with('w'), addresses }
}

fn facts(links: &[Link]) -> Facts {
    Facts { links: Some(links.to_vec()), igmp: IGMP.to_owned(), igmp6: IGMP6.to_owned() }
}

#[test]
fn an_interface_that_works_is_enough_and_else_each_has_its_command() {
    let loopback = link("lo", WORKS | flag::LOOPBACK, &[("127.0.0.1", 8)]);
    let works = link("eth0", WORKS, &[("192.168.1.9", 24)]);
    let off = link("eth1", flag::MULTICAST, &[]);
    let unplugged = link("eth2", flag::UP, &[("10.0.0.1", 8)]);
    let bare = link("wlan0", WORKS, &[]);
    let radio = link("wlan1", flag::UP, &[]);
    for (links, status, command) in [
        (vec![loopback.clone(), off.clone(), works], Status::Ok, None),
        (vec![loopback.clone()], Status::Problem, Some("ip link")),
        (vec![], Status::Problem, Some("ip link")),
        (vec![loopback, off], Status::Problem, Some("sudo ip link set eth1 up")),
        (vec![unplugged], Status::Problem, Some("ip link show eth2")),
        (vec![bare], Status::Problem, Some("sudo dhclient wlan0")),
        (vec![radio], Status::Problem, Some("nmcli device wifi list")),
    ] {
        let findings = judge(&facts(&links));
        assert_eq!((findings.len(), findings[0].status), (1, status), "{findings:?}");
        assert_eq!(findings[0].commands.first().map(String::as_str), command);
    }
    assert_eq!(judge(&Facts::default())[0].status, Status::Unknown);
}

#[test]
fn memberships_are_looked_up_for_each_interface_and_family() {
    let both: &[(&str, u8)] = &[("192.168.1.9", 24), ("fe80::1", 64)];
    let v4: &[(&str, u8)] = &[("192.168.1.9", 24)];
    let v6: &[(&str, u8)] = &[("fe80::1", 64)];
    let without = WORKS & !flag::MULTICAST;
    for (link, wrong, command) in [
        (link("eth0", WORKS, both), 0, None),
        (link("eth0", without, both), 1, Some("sudo ip link set eth0 multicast on")),
        (
            link("wlp0s20f3x", WORKS, v4),
            1,
            Some("sudo sysctl -w net.ipv4.igmp_max_memberships=100"),
        ),
        (link("wlp0s20f3x", WORKS, v6), 1, Some("ip -6 maddr show dev wlp0s20f3x")),
        (
            link("wlp0s20f3x", WORKS, both),
            2,
            Some("sudo sysctl -w net.ipv4.igmp_max_memberships=100"),
        ),
        (link("eth0", 0, both), 0, None),
    ] {
        let findings = judge_groups(&facts(std::slice::from_ref(&link)));
        let bad: Vec<_> = findings.iter().filter(|it| it.status != Status::Ok).collect();
        assert_eq!(bad.len(), wrong, "{link:?} {findings:?}");
        assert_eq!(bad.first().map(|it| it.commands[0].as_str()), command);
    }
}

#[test]
fn networks_are_ranges_as_firewalls_take_them() {
    let links = [
        link("eth0", WORKS, &[("192.168.1.9", 24), ("fe80::1", 64)]),
        link("eth1", WORKS, &[("10.1.2.3", 9)]),
        link("eth2", flag::UP, &[("10.9.9.9", 8)]),
    ];
    let networks = Network::all(&links);
    let ranges: Vec<_> = networks.iter().map(Network::range).collect();
    assert_eq!(ranges, ["192.168.1.0/24", "10.0.0.0/9"]);
    assert_eq!(networks[0].another(), "192.168.1.8".parse::<IpAddr>().unwrap());
    let networks = Network::all(&[link("eth0", WORKS, &[("2001:db8::1", 64), ("fe80::1", 64)])]);
    assert_eq!(networks.len(), 1);
    assert_eq!(networks[0].range(), "fe80::/64");
}
