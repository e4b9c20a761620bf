//! What was heard, and what is said of it.

use super::super::finding::Status;
use super::super::networks::Network;
use super::*;
use crate::driver::netlink::flag;
use crate::node::input::InterfaceAddress;
use crate::wire::InstanceId;

fn way(kind: Kind) -> Way {
    let to = "192.168.1.255:27183".parse().unwrap();
    let own = "192.168.1.9".parse().unwrap();
    Way { kind, own, index: 2, to, refused: None, returned: true, answered: true }
}

fn facts() -> Facts {
    let address = InterfaceAddress {
        index: 2,
        address: "192.168.1.9".parse().unwrap(),
        prefix_length: 24,
        broadcast: Some("192.168.1.255".parse().unwrap()),
        loopback: false,
    };
    let flags = flag::UP | flag::RUNNING;
    let link = Link {
        index: 2,
        name: "wlan0".to_owned(),
        flags,
        wireless: true,
        addresses: vec![address],
    };
    let networks = Network::all(std::slice::from_ref(&link));
    let ways = vec![way(Kind::Broadcast), way(Kind::GroupV4)];
    let heard = Heard { ways, had_port: true, seconds: 11, ..Heard::default() };
    let (let_in, let_out) = (vec!["let in".to_owned()], vec!["let out".to_owned()]);
    let let_in_v6 = vec!["let in v6".to_owned()];
    let links = vec![link];
    Facts { heard, links, networks, let_in, let_in_v6, let_out, ..Facts::default() }
}

fn host(number: u8) -> SocketAddr {
    SocketAddr::from(([192, 168, 1, number], DEFAULT_PORT))
}

fn evidence(announced: bool, answered_to_many: bool, answered_alone: bool) -> Evidence {
    let instance = Some(InstanceId([7; 16]));
    Evidence { instance, announced, answered_to_many, answered_alone, files: 3, named: false }
}

const ALLOW: &str = "sudo ufw allow from 192.168.1.0/24 to any port 27183 proto udp";

#[test]
fn our_own_broadcasts() {
    let mut facts = facts();
    let findings = judge_ways(&facts);
    assert_eq!((findings.len(), findings[0].status), (1, Status::Ok));
    for (kind, command) in [(Kind::GroupV4, "let in"), (Kind::GroupV6, "let in v6")] {
        facts.heard.ways[1] = Way { returned: false, ..way(kind) };
        let findings = judge_ways(&facts);
        assert_eq!(findings[1].status, Status::Warning, "the other way works: {findings:?}");
        assert_eq!(findings[1].commands, [command]);
    }
    facts.heard.ways[0].returned = false;
    let findings = judge_ways(&facts);
    assert_eq!((findings.len(), findings[0].status), (1, Status::Problem), "{findings:?}");
    assert_eq!(findings[0].commands, ["let in"]);
    assert!(findings[0].text.contains("IPv4 broadcast on wlan0, IPv6 multicast on wlan0"));
    facts.heard.had_port = false;
    assert_eq!(judge_ways(&facts)[0].status, Status::Unknown);
    facts.heard.own_peer = Some(InstanceId([1; 16]));
    assert_eq!(judge_ways(&facts)[0].status, Status::Problem);
    let refused = (io::ErrorKind::PermissionDenied, "not permitted".to_owned());
    facts.heard.ways[0].refused = Some(refused);
    let finding = &judge_ways(&facts)[0];
    assert_eq!(
        (finding.status, &finding.commands[..]),
        (Status::Problem, &["let out".to_owned()][..])
    );
    facts.heard.ways.clear();
    assert_eq!(judge_ways(&facts)[0].status, Status::Problem);
}

#[test]
fn each_pattern_of_hearing_has_its_meaning() {
    for (announced, to_many, alone, status, meaning) in [
        (true, true, true, Status::Ok, ""),
        (true, true, false, Status::Ok, ""),
        (true, false, true, Status::Warning, "answers when it is asked alone"),
        (true, false, false, Status::Problem, "is heard, but answers nothing"),
        (false, true, true, Status::Problem, "hears us, but we do not hear it"),
        (false, true, false, Status::Problem, "hears us, but we do not hear it"),
        (false, false, true, Status::Problem, "hears our broadcasts as little"),
    ] {
        let mut facts = facts();
        facts.heard.hosts.insert(host(5), evidence(announced, to_many, alone));
        let findings = judge_directions(&facts);
        assert_eq!((findings.len(), findings[0].status), (1, status), "{findings:?}");
        assert!(findings[0].text.contains(meaning), "{findings:?}");
        if status == Status::Problem {
            let command = if announced { ALLOW } else { "let in" };
            assert_eq!(findings[0].commands[0], command);
        }
    }
    assert_eq!(judge_directions(&facts())[0].status, Status::Unknown);
}

#[test]
fn a_host_is_what_its_addresses_say_together() {
    let mut facts = facts();
    facts.heard.hosts.insert(host(5), evidence(true, false, false));
    facts.heard.hosts.insert(host(6), evidence(false, true, true));
    assert_eq!(judge_directions(&facts)[0].status, Status::Ok);
    let findings = judge_hosts(&facts);
    assert!(findings[0].text.starts_with("1 host is there: 192.168.1.5 (3 files)"), "{findings:?}");
    // Our own peer is nobody.
    facts.heard.own_peer = Some(InstanceId([7; 16]));
    assert_eq!(judge_hosts(&facts)[0].status, Status::Warning);
}

#[test]
fn nobody_and_somebody_who_was_named() {
    let mut facts = facts();
    let findings = judge_hosts(&facts);
    assert_eq!((findings.len(), findings[0].status), (1, Status::Warning));
    facts.heard.hosts.insert(host(5), Evidence { named: true, ..Evidence::default() });
    let findings = judge_hosts(&facts);
    assert!(findings[1].text.contains("192.168.1.5 is known"), "{findings:?}");
    assert_eq!(findings[1].commands, ["ping 192.168.1.5"]);
    for number in 10..40 {
        let instance = Some(InstanceId([number; 16]));
        facts.heard.hosts.insert(host(number), Evidence { instance, ..Evidence::default() });
    }
    let text = &judge_hosts(&facts)[0].text;
    assert!(text.starts_with("30 hosts are there") && text.ends_with("..."), "{text}");
}

#[test]
fn an_access_point_that_isolates_is_suspected() {
    let arp = "IP address       HW type     Flags       HW address            Mask     Device\n\
        192.168.1.1      0x1         0x2         02:fc:00:00:00:05     *        wlan0\n";
    let another = format!("{arp}192.168.1.7 0x1 0x2 02:fc:00:00:00:07 * wlan0\n");
    let incomplete = format!("{arp}192.168.1.7 0x1 0x0 00:00:00:00:00:00 * wlan0\n");
    let routes = "Iface\tDestination\tGateway \tFlags\n\
        wlan0\t00000000\t0101A8C0\t0003\nwlan0\t0001A8C0\t00000000\t0001\n";
    assert_eq!(gateway(routes, "wlan0"), Some(IpAddr::from([192, 168, 1, 1])));
    let judged = |arp: &str, routes: &str, wireless: bool, somebody: bool| {
        let mut facts = facts();
        (facts.arp, facts.routes) = (arp.to_owned(), routes.to_owned());
        facts.links[0].wireless = wireless;
        if somebody {
            facts.heard.hosts.insert(host(5), evidence(true, true, true));
        }
        judge_isolation(&facts)[0].status
    };
    assert_eq!(judged(arp, routes, true, false), Status::Warning);
    assert_eq!(judged(&incomplete, routes, true, false), Status::Warning);
    assert_eq!(judged(&another, routes, true, false), Status::Ok);
    assert_eq!(judged(arp, routes, false, false), Status::Ok);
    assert_eq!(judged(arp, routes, true, true), Status::Ok);
    assert_eq!(judged(arp, "", true, false), Status::Ok);
    assert_eq!(judged("", routes, true, false), Status::Ok);
}
