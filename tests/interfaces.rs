//! Interfaces that come, go and change, machines with several of them, peers beside each other, and peers
//! that sleep: whoever can be reached is listed, once, under an address that works.

#![allow(clippy::disallowed_methods, reason = "tests live outside: they have a clock")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::Duration;

use support::host::run;
use support::{Content, Host, LONG, SHORT, holds_for, in_lab, wait_until};

/// Runs a script of `ip` calls in a host's network.
fn ip(host: &Host, script: &str) {
    for line in script.split(';').map(str::trim).filter(|line| !line.is_empty()) {
        run(host.enter("ip").args(line.split_whitespace()));
    }
}

/// The addresses under which a host's document lists a content.
fn locations(host: &Host, content: &Content) -> BTreeSet<String> {
    let document = host.document();
    let locations = document.entry(&content.sha1).map(|entry| entry.locations.clone());
    locations.unwrap_or_default().into_iter().map(|location| location.ip).collect()
}

fn lists(host: &Host, content: &Content, addresses: &[&str]) -> bool {
    locations(host, content) == addresses.iter().map(|it| (*it).to_owned()).collect()
}

#[test]
fn an_interface_goes_down_and_comes_up_and_is_unplugged_and_another_plugged_in() {
    in_lab(2, |lab| {
        let (a, b) = (lab.host(0), lab.host(1));
        let (of_a, of_b) = (Content::random(1, 1_000), Content::random(2, 1_000));
        lab.put(0, "a", &of_a);
        lab.put(1, "b", &of_b);
        let (_a, _b) = (a.peer(), b.peer());
        let both = || lists(a, &of_b, &["10.77.0.2"]) && lists(b, &of_a, &["10.77.0.1"]);
        wait_until("the two to find each other", SHORT, both);
        ip(b, "link set eth0 down");
        let none = || lists(a, &of_b, &[]) && lists(b, &of_a, &[]);
        wait_until("the two to miss each other", SHORT, none);
        ip(b, "link set eth0 up");
        wait_until("the two to find each other again", SHORT, both);
        // Another card: the kernel has dropped the memberships with the old one, and numbers it anew.
        ip(b, "link delete eth0");
        wait_until("the two to miss each other again", SHORT, none);
        let script = format!(
            "ip link add w2 type veth peer name eth1 netns {} && ip link set w2 master br0 up",
            b.namespace_of()
        );
        run(Command::new("sh").args(["-c", &script]));
        ip(b, "addr add 10.77.0.2/24 dev eth1; link set eth1 up");
        wait_until("the two to find each other over the new card", SHORT, both);
        lab.fetch(1, &of_a, "got", &[]).succeeds(LONG);
    });
}

/// The groups that are joined on a host's interface, as the kernel writes them: IPv4, and IPv6.
fn memberships(host: &Host, interface: &str) -> (bool, bool) {
    let read = |file: &str| {
        fs::read_to_string(format!("/proc/{}/net/{file}", host.namespace_of())).unwrap()
    };
    let igmp = read("igmp");
    let of_interface = igmp.split(&format!("{interface} ")).nth(1).unwrap_or_default();
    let mut groups = of_interface.lines().skip(1).take_while(|line| line.starts_with('\t'));
    let line = |line: &str| line.contains(interface) && line.contains("53707261 ");
    (groups.any(|line| line.trim().starts_with("B71BC0EF")), read("igmp6").lines().any(line))
}

/// The list is looked at twice a minute besides: what is there sooner was told by the kernel.
#[test]
fn groups_are_joined_when_the_kernel_tells_of_an_interface() {
    in_lab(1, |lab| {
        let host = lab.host(0);
        let _peer = host.peer();
        wait_until("the first memberships", SHORT, || memberships(host, "eth0") == (true, true));
        assert_eq!(memberships(host, "late0"), (false, false));
        ip(host, "link add late0 type veth peer name late1; link set late1 up");
        ip(host, "link set late0 up; addr add 10.79.0.1/24 dev late0");
        wait_until("the new memberships", SHORT, || memberships(host, "late0") == (true, true));
    });
}

#[test]
fn an_address_changes() {
    in_lab(2, |lab| {
        let (a, b) = (lab.host(0), lab.host(1));
        let (of_a, of_b) = (Content::random(3, 1_000), Content::random(4, 1_000));
        lab.put(0, "a", &of_a);
        lab.put(1, "b", &of_b);
        let (_a, _b) = (a.peer(), b.peer());
        wait_until("the first address", SHORT, || lists(a, &of_b, &["10.77.0.2"]));
        ip(b, "addr add 10.77.0.99/24 brd + dev eth0; addr del 10.77.0.2/24 dev eth0");
        // Primary addresses take the secondary ones of their network along.
        let _ = b.enter("ip").args(["addr", "add", "10.77.0.99/24", "dev", "eth0"]).output();
        wait_until("the second address, alone", SHORT, || lists(a, &of_b, &["10.77.0.99"]));
        wait_until("the other way", SHORT, || lists(b, &of_a, &["10.77.0.1"]));
        lab.fetch(0, &of_b, "got", &["10.77.0.99"]).succeeds(LONG);
    });
}

#[test]
fn two_interfaces_to_the_same_host_are_one_location() {
    in_lab(2, |lab| {
        let (a, b) = (lab.host(0), lab.host(1));
        let content = Content::random(5, 1_000);
        lab.put(1, "b", &content);
        let script = format!(
            "ip link add eth1 netns {} type veth peer name eth1 netns {}",
            a.namespace_of(),
            b.namespace_of()
        );
        run(Command::new("sh").args(["-c", &script]));
        for (host, number) in [(a, 1), (b, 2)] {
            ip(host, &format!("addr add 10.78.0.{number}/24 brd + dev eth1; link set eth1 up"));
        }
        let (_a, _b) = (a.peer(), b.peer());
        wait_until("the file", SHORT, || !locations(a, &content).is_empty());
        let one = |addresses: &BTreeSet<String>| addresses.len() == 1;
        holds_for("one location", Duration::from_secs(3), || one(&locations(a, &content)));
        // Whichever way is lost, the other is left.
        ip(a, "link set eth0 down");
        wait_until("the other way", SHORT, || lists(a, &content, &["10.78.0.2"]));
        ip(a, "link set eth0 up; link set eth1 down");
        wait_until("the first way", SHORT, || lists(a, &content, &["10.77.0.2"]));
    });
}

#[test]
fn several_peers_behind_one_address_are_several_locations() {
    in_lab(2, |lab| {
        let (a, b) = (lab.host(0), lab.host(1));
        let content = Content::random(6, 1_000);
        lab.put(0, "first", &content);
        let other = lab.root.join("other");
        fs::create_dir_all(other.join("share")).unwrap();
        fs::write(other.join("share/second"), &content.bytes).unwrap();
        let _first = a.peer();
        let _second = a.run(&["--root", other.to_str().unwrap(), "--port", "28111", "peer"]);
        let _b = b.peer();
        let both = ["10.77.0.1", "10.77.0.1:28111"];
        wait_until("both", SHORT, || lists(b, &content, &both));
        // And each of the two sees the other, on the same machine.
        wait_until("the other one", SHORT, || locations(a, &content).len() == 1);
        lab.fetch(1, &content, "got", &["10.77.0.1:28111"]).succeeds(LONG);
    });
}

#[test]
fn a_peer_that_is_stopped_and_goes_on_loses_nobody_and_is_back() {
    in_lab(2, |lab| {
        let (a, b) = (lab.host(0), lab.host(1));
        let (of_a, of_b) = (Content::random(7, 1_000), Content::random(8, 1_000));
        lab.put(0, "a", &of_a);
        lab.put(1, "b", &of_b);
        let (_a, mut sleeper) = (a.peer(), b.peer());
        let both = || lists(a, &of_b, &["10.77.0.2"]) && lists(b, &of_a, &["10.77.0.1"]);
        wait_until("the two to find each other", SHORT, both);
        sleeper.signal("STOP");
        wait_until("the sleeper to be missed", SHORT, || lists(a, &of_b, &[]));
        sleeper.signal("CONT");
        holds_for("the sleeper to miss nobody", Duration::from_secs(2), || {
            lists(b, &of_a, &["10.77.0.1"])
        });
        wait_until("the sleeper to be back", SHORT, both);
        assert!(
            !sleeper.stdout().lines().any(|line| line.starts_with('-')),
            "{}",
            sleeper.stdout()
        );
    });
}
