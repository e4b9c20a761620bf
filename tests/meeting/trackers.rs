//! Two networks with a router between them, over which no broadcast passes.

use std::process::Command;

use crate::support::host::run;
use crate::support::*;

fn ip(host: &Host, script: &str) {
    for line in script.split(';').map(str::trim).filter(|line| !line.is_empty()) {
        run(host.enter("ip").args(line.split_whitespace()));
    }
}

/// Host 0 stays on the bridge that there is; 2 and 3 are put on another one, as 10.78.0.3 and 10.78.0.4; host 1 routes between
/// them, as 10.77.0.2 and 10.78.0.2.
fn two_networks(lab: &Lab) {
    run(Command::new("ip").args(["link", "add", "br1", "type", "bridge"]));
    run(Command::new("ip").args(["link", "set", "br1", "up"]));
    for number in 1..=3 {
        let host = lab.host(number);
        let script = format!(
            "ip link add x{number} type veth peer name eth1 netns {} && ip link set x{number} master br1 up",
            host.namespace_of()
        );
        run(Command::new("sh").args(["-c", &script]));
        if number > 1 {
            ip(host, "link delete eth0");
        }
        ip(host, &format!("addr add 10.78.0.{}/24 dev eth1; link set eth1 up", number + 1));
        if number > 1 {
            ip(host, "route add default via 10.78.0.2");
        }
    }
    ip(lab.host(0), "route add 10.78.0.0/24 via 10.77.0.2");
    run(lab.host(1).enter("sh").args(["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]));
}

fn tracker(host: &Host) -> Running {
    host.run(&["-v", "tracker"])
}

/// "two bridges with a router between them (tracker, `--peer`)", "a tracker killed and restarted".
#[test]
fn hosts_of_two_networks_find_each_other_by_a_tracker_and_stay_when_it_goes() {
    in_lab(4, |lab| {
        two_networks(lab);
        let (near, far, new) =
            (Content::random(1, 70_000), Content::random(2, 700_000), Content::of("new"));
        lab.put(0, "near", &near);
        lab.put(2, "far", &far);
        lab.put(3, "far too", &far);
        let mut first = tracker(lab.host(1));
        let (of_near, of_far) = (["--tracker", "10.77.0.2"], ["--tracker", "10.78.0.2"]);
        let _peers = [(0, of_near), (2, of_far), (3, of_far)]
            .map(|(number, options)| lab.host(number).peer_with(&options));
        lab.host(0).sees(&far, 2);
        lab.host(2).sees(&near, 1);
        lab.host(3).sees(&near, 1);

        // The tracker vanishes. Nobody is lost, what is new is seen, and files move.
        first.kill();
        lab.put(3, "new", &new);
        lab.host(0).sees(&new, 1);
        lab.fetch(0, &far, "far", &["10.78.0.3"]).succeeds(LONG);
        lab.host(0).has("far", &far);

        // And one that begins anew is told of all again: a fetch that knows nothing but it finds who has the file.
        let again = tracker(lab.host(1));
        wait_until("the peers to register", LONG, || {
            again.stderr().matches("is here").count() >= 3
        });
        lab.host(1).fetch_with(&["--tracker", "127.0.0.1"], &near, "got", &[]).succeeds(LONG);
        lab.host(1).has("got", &near);
        let told = lab.host(1).run(&["--tracker", "127.0.0.1", "ls"]);
        let mut told = told;
        told.succeeds(SHORT);
        for name in ["near", "far", "far too", "new"] {
            assert!(told.stdout().contains(name), "{name}: {}", told.stdout());
        }
    });
}

/// "peers told by peers within a bound".
#[test]
fn a_host_that_was_named_tells_of_the_others_there() {
    in_lab(4, |lab| {
        two_networks(lab);
        let (near, far) = (Content::random(1, 7_000), Content::random(2, 7_000));
        lab.put(0, "near", &near);
        lab.put(3, "far", &far);
        let _far = (lab.host(2).peer(), lab.host(3).peer());
        lab.host(2).sees(&far, 1);
        let _near = lab.host(0).peer_with(&["--peer", "10.78.0.3"]);
        lab.host(0).sees(&far, 1);
        lab.host(3).sees(&near, 1);
    });
}

#[test]
fn a_tracker_takes_no_folder_and_a_wrong_call_gets_a_sentence() {
    in_lab(1, |lab| {
        let host = lab.host(0);
        let told = host.run(&["--tracker", "10.0.0.1", "tracker"]).fails(2, SHORT);
        assert!(told.contains("a tracker asks nobody"), "{told}");
        let told = host.run(&["--include", "*.txt", "peer"]).fails(2, SHORT);
        assert!(told.contains("--sync"), "{told}");
        let mut tracker = tracker(host);
        wait_until("the tracker", SHORT, || tracker.stderr().contains("tracker on"));
        let left: Vec<_> = std::fs::read_dir(&host.root).unwrap().collect();
        assert!(left.is_empty(), "it leaves nothing behind: {left:?}");
        tracker.signal("TERM");
        tracker.wait(SHORT);
    });
}
