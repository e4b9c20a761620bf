//! Hosts that are named by names: those that do not resolve yet, and those that move.

use std::fs;
use std::process::Command;

use crate::support::host::run;
use crate::support::*;

/// The file of names that all hosts of a lab see; nothing else is asked.
struct Names(std::path::PathBuf);

impl Names {
    fn new(lab: &Lab) -> Self {
        let (names, rules) = (lab.root.join("hosts"), lab.root.join("nsswitch"));
        fs::write(&rules, "hosts: files\n").unwrap();
        let names = Self(names);
        names.are("");
        for (file, place) in [(&names.0, "/etc/hosts"), (&rules, "/etc/nsswitch.conf")] {
            run(Command::new("mount").arg("--bind").arg(file).arg(place));
        }
        names
    }

    /// Written over in place: what is mounted is this very file.
    fn are(&self, names: &str) {
        fs::write(&self.0, names).unwrap();
    }
}

/// No broadcast is heard on any of these hosts: they see only whom they are told of.
fn deafen(lab: &Lab) {
    for host in &lab.hosts {
        for rule in ["10.77.0.255", "255.255.255.255", "224.0.0.0/4"] {
            run(host.enter("ip").args(["route", "add", "prohibit", rule]));
        }
        run(host.enter("sh").args(["-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6"]));
        run(host.enter("ip").args(["addr", "del", &format!("{}/24", host.ip), "dev", "eth0"]));
        run(host.enter("ip").args(["addr", "add", &format!("{}/32", host.ip), "dev", "eth0"]));
        run(host.enter("ip").args(["route", "add", "10.77.0.0/24", "dev", "eth0"]));
    }
}

/// "Name or address, remembered, retried": the name is not known at the start, then it is, and then it is another host's.
#[test]
fn a_name_is_looked_up_again_until_it_resolves_and_when_the_network_changes() {
    in_lab(3, |lab| {
        deafen(lab);
        let names = Names::new(lab);
        let (one, two) = (Content::random(1, 5_000), Content::random(2, 5_000));
        lab.put(1, "one", &one);
        lab.put(2, "two", &two);
        let _others = (lab.host(1).peer(), lab.host(2).peer());
        let host = lab.host(0);
        let mut peer = host.peer_with(&["--peer", "later.test", "--peer", "10.77.0.99"]);
        wait_until("a warning", SHORT, || {
            peer.stderr().contains("later.test does not resolve now")
        });
        assert_eq!(peer.ending(), None);
        names.are("10.77.0.2 later.test\n");
        host.sees(&one, 1);
        let tasks = fs::read_dir(format!("/proc/{}/task", peer.pid())).unwrap().count();
        assert_eq!(tasks, 1, "threads");

        // It moves, and a change of the network is reason enough to ask again.
        names.are("10.77.0.3 later.test\n");
        run(host.enter("ip").args(["addr", "add", "10.99.0.1/32", "dev", "eth0"]));
        host.sees(&two, 1);
        assert_eq!(peer.stderr().matches("does not resolve").count(), 1, "{}", peer.stderr());
    });
}

/// A fetch goes on with what it has, and takes the named host when its name is known.
#[test]
fn a_fetch_waits_for_no_name_and_uses_it_when_it_resolves() {
    in_lab(3, |lab| {
        deafen(lab);
        let names = Names::new(lab);
        let (one, two) = (Content::random(3, 300_000), Content::random(4, 300_000));
        lab.put(1, "one", &one);
        lab.put(2, "two", &two);
        let _others = (lab.host(1).peer(), lab.host(2).peer());
        let host = lab.host(0);
        let named = ["--peer", "later.test"];
        host.fetch_with(&named, &one, "got one", &["10.77.0.2"]).succeeds(SHORT);
        host.has("got one", &one);
        let mut fetch = host.fetch_with(&named, &two, "got two", &[]);
        wait_until("a warning", SHORT, || fetch.stderr().contains("later.test does not resolve"));
        names.are("10.77.0.3 later.test\n");
        fetch.succeeds(LONG);
        host.has("got two", &two);
    });
}
