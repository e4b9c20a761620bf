//! Who is there, and what they offer.

use std::time::Duration;

use sprat::node::DropReason;

use super::story::SECOND;
use crate::model::link::Link;
use crate::model::network::{Network, peer};

fn listed(network: &Network, at: u8, text: &str) -> bool {
    network.hosts[&peer(at)].shows(text)
}

#[test]
fn a_new_file_is_listed_everywhere_within_a_second_of_settling() {
    for seed in 0..20 {
        let link = Link { lost: seed * 5, delay: Duration::from_millis(2), ..Link::CLEAN };
        let mut network = Network::new(seed, link);
        for number in 1..=10 {
            network.add(peer(number));
        }
        network.run_for(SECOND * 10);
        network.host(peer(1)).put("fox.txt", b"The quick brown fox", None);
        let took = network.run_until(SECOND * 10, |network| {
            (2..=10).all(|number| listed(network, number, "fox.txt"))
        });
        let limit = sprat::node::SETTLE + if seed == 0 { SECOND / 5 } else { SECOND * 2 };
        assert!(took < limit, "seed {seed}: {took:?}");
        assert!(!listed(&network, 1, "fox.txt"), "one's own files are no locations");
        network.host(peer(1)).remove("fox.txt");
        network.run_until(SECOND * 3, |network| {
            (2..=10).all(|number| !listed(network, number, "fox.txt"))
        });
    }
}

#[test]
fn who_leaves_is_gone_at_once_and_who_vanishes_within_ten_seconds() {
    let mut network = Network::new(21, Link::CLEAN);
    for number in 1..=4 {
        network.add(peer(number)).put(&format!("file{number}"), &[number], None);
    }
    network.run_until(SECOND * 5, |network| {
        [1, 3, 4].iter().all(|&at| listed(network, at, "file2"))
            && [1, 2, 4].iter().all(|&at| listed(network, at, "file3"))
    });
    network.run_for(SECOND * 30);
    assert!(listed(&network, 1, "file2"), "quiet hosts stay");
    network.host(peer(2)).stop();
    network
        .run_until(SECOND / 5, |network| [1, 3, 4].iter().all(|&at| !listed(network, at, "file2")));
    network.crash(peer(3));
    network.run_for(SECOND * 3);
    assert!(listed(&network, 1, "file3"), "a lost packet or two do not make a host vanish");
    network.run_until(SECOND * 6, |network| [1, 4].iter().all(|&at| !listed(network, at, "file3")));
    assert!(listed(&network, 1, "file4"));
}

/// A lid that is closed, or SIGSTOP: nobody could be heard meanwhile, so nobody is taken for gone.
#[test]
fn who_sleeps_loses_nobody_and_is_back_at_once() {
    for asleep in [2, 4, 60, 3_600] {
        let mut network = Network::new(24, Link::CLEAN);
        for number in 1..=3 {
            network.add(peer(number)).put(&format!("file{number}"), &[number], None);
        }
        let all_listed = |network: &Network| {
            [(1, "file2"), (1, "file3"), (2, "file1"), (3, "file1")]
                .iter()
                .all(|&(at, text)| listed(network, at, text))
        };
        network.run_until(SECOND * 5, all_listed);
        network.run_for(SECOND * 20);
        let wakes = network.now + SECOND * asleep;
        network.frozen.insert(peer(1), wakes);
        network.run_for(SECOND * asleep);
        assert_eq!(listed(&network, 2, "file1"), asleep < 9, "others miss it after {asleep} s");
        // Neither at the moment of waking nor afterwards is anybody gone.
        for step in 0..1_000 {
            assert!(
                listed(&network, 1, "file2") && listed(&network, 1, "file3"),
                "{asleep} {step}"
            );
            assert!(step < 100 || all_listed(&network), "{asleep}: 2 s have gone by");
            network.run_for(SECOND / 50);
        }
    }
}

/// What was gone while we slept is gone soon after we woke.
#[test]
fn who_left_while_we_slept_is_gone_within_ten_seconds_of_waking() {
    let mut network = Network::new(25, Link::CLEAN);
    for number in 1..=3 {
        network.add(peer(number)).put(&format!("file{number}"), &[number], None);
    }
    network.run_until(SECOND * 5, |network| {
        listed(network, 1, "file2") && listed(network, 1, "file3")
    });
    let wakes = network.now + SECOND * 60;
    network.frozen.insert(peer(1), wakes);
    network.run_for(SECOND * 30);
    network.crash(peer(2));
    network.run_for(SECOND * 30);
    network.run_until(SECOND * 10, |network| !listed(network, 1, "file2"));
    assert!(listed(&network, 1, "file3"));
}

#[test]
fn a_forged_farewell_changes_nothing() {
    let mut network = Network::new(22, Link::CLEAN);
    for number in 1..=2 {
        network.add(peer(number)).put(&format!("file{number}"), &[number], None);
    }
    network.run_until(SECOND * 5, |network| listed(network, 1, "file2"));
    let farewell = sprat::wire::Farewell { secret: sprat::wire::FarewellSecret([7; 16]) };
    let forged = sprat::wire::Message::Farewell(farewell).encode();
    network.inject(peer(2), peer(1), forged);
    network.run_for(SECOND);
    assert!(listed(&network, 1, "file2"));
    assert_eq!(network.host(peer(1)).node.counters().dropped(DropReason::ForgedFarewell), 1);
}

#[test]
fn many_files_are_listed_completely_over_a_bad_link() {
    let link = Link { lost: 100, repeated: 50, jitter: Duration::from_millis(5), ..Link::CLEAN };
    let mut network = Network::new(23, link);
    let host = network.add(peer(1));
    for number in 0..3_000u32 {
        host.put(&format!("folder/file {number:05}"), &number.to_be_bytes(), None);
    }
    network.add(peer(2));
    network.run_until(SECOND * 20, |network| {
        network.hosts[&peer(2)].directory.hosts().iter().map(|host| host.files).sum::<u32>()
            == 3_000
    });
}
