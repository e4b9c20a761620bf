//! The core on a simulated network: the nodes that ship, in virtual time, over links that lose, repeat and
//! reorder. A failure names its seed.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[path = "simulation/host.rs"]
mod host;
#[path = "simulation/liar.rs"]
mod liar;
#[path = "simulation/listings.rs"]
mod listings;
#[path = "simulation/network.rs"]
mod network;
#[path = "simulation/story.rs"]
mod story;

#[path = "simulation/chaos.rs"]
mod chaos;
#[path = "simulation/liars.rs"]
mod liars;
#[path = "simulation/strangers.rs"]
mod strangers;
#[path = "simulation/trouble.rs"]
mod trouble;

use std::time::Duration;

use host::{Disk, hash, request};
use liar::Manner;
use network::{Link, Network, fetcher, peer};
use sprat::content::ContentId;
use sprat::node::output::FetchEnding;
use sprat::node::{DropReason, Random};
use story::{SECOND, bytes, expect_done, fetch_to_end, forge, network_with};

#[test]
fn every_size_from_one_source() {
    for size in [1, 55, 64, 65_535, 65_536, 65_537, 3 * 65_536 + 17, 2_000_000] {
        let data = bytes(1, size);
        let mut network = network_with(size as u64, Link::CLEAN, &[1], &data);
        network.host(fetcher(100)).fetch(request(&data, "got", &[peer(1)]));
        fetch_to_end(&mut network, SECOND * 10);
        expect_done(&mut network, &data);
    }
}

#[test]
fn a_node_can_be_written_down_at_any_moment_and_goes_on_as_before() {
    let data = bytes(9, 700_000);
    let link = Link { lost: 30, jitter: Duration::from_millis(3), ..Link::CLEAN };
    let run = |is_restored| {
        let mut network = network_with(9, link, &[1, 2, 3], &data);
        network.host(peer(2)).liar.manner = Manner::Mostly;
        let (forged, chain) = forge(&data, 2, 5);
        network.add(peer(4), Disk::default()).put("file", &forged, Some((hash(&data).0, chain)));
        network.run_for(SECOND * 3);
        network.hosts.values_mut().for_each(|host| host.is_restored = is_restored);
        let sources = [peer(1), peer(2), peer(3), peer(4)];
        network.host(fetcher(100)).fetch(request(&data, "got", &sources));
        fetch_to_end(&mut network, SECOND * 20);
        network.run_for(SECOND * 12);
        expect_done(&mut network, &data);
        network.fingerprint
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn the_empty_file_needs_nobody() {
    let mut network = Network::new(1, Link::CLEAN);
    network.add(fetcher(100), Disk::default()).fetch(request(&[], "got", &[]));
    fetch_to_end(&mut network, SECOND);
    expect_done(&mut network, &[]);
}

#[test]
fn without_an_address_sources_are_found() {
    let data = bytes(2, 300_000);
    let mut network = network_with(2, Link::CLEAN, &[1, 2], &data);
    network.host(fetcher(100)).fetch(request(&data, "got", &[]));
    fetch_to_end(&mut network, SECOND * 10);
    expect_done(&mut network, &data);
}

#[test]
fn sources_that_turn_up_later_are_used() {
    let data = bytes(3, 300_000);
    let mut network = Network::new(3, Link::CLEAN);
    network.add(fetcher(100), Disk::default()).fetch(request(&data, "got", &[peer(9)]));
    network.run_for(SECOND * 20);
    network.add(peer(1), Disk::default()).put("file", &data, None);
    fetch_to_end(&mut network, SECOND * 15);
    expect_done(&mut network, &data);
}

#[test]
fn lossy_repeating_reordering_links() {
    for seed in 0..60 {
        let link = Link {
            lost: seed % 4 * 50,
            repeated: seed % 3 * 50,
            delay: Duration::from_millis(1 + seed % 20),
            jitter: Duration::from_millis(seed % 7 * 5),
            rate: 3_000_000,
            queue: 60_000,
        };
        let data = bytes(seed as u8, 400_000 + seed as usize * 777);
        let sources: Vec<u8> = (1..=1 + seed as u8 % 4).collect();
        let mut network = network_with(seed, link, &sources, &data);
        let addresses: Vec<_> = sources.iter().map(|&number| peer(number)).collect();
        network.host(fetcher(100)).fetch(request(&data, "got", &addresses));
        fetch_to_end(&mut network, SECOND * 60);
        expect_done(&mut network, &data);
    }
}

#[test]
fn a_source_that_dies_costs_little() {
    let data = bytes(4, 6_000_000);
    let link = Link { rate: 12_500_000, ..Link::CLEAN };
    let mut network = network_with(4, link, &[1, 2], &data);
    network.host(fetcher(100)).fetch(request(&data, "got", &[peer(1), peer(2)]));
    network.run_for(SECOND / 5);
    network.cut_off.push(peer(1));
    let took = fetch_to_end(&mut network, SECOND * 10);
    assert!(took < SECOND, "{took:?}: the other source alone needs half a second");
    expect_done(&mut network, &data);
}

#[test]
fn a_fetch_uses_the_link() {
    let data = bytes(5, 12_500_000);
    let link = Link { rate: 12_500_000, delay: Duration::from_millis(5), ..Link::CLEAN };
    let mut network = network_with(5, link, &[1], &data);
    network.host(fetcher(100)).fetch(request(&data, "got", &[peer(1)]));
    let took = fetch_to_end(&mut network, SECOND * 10);
    expect_done(&mut network, &data);
    // Simulated time: the same on every machine. One second is the bare minimum.
    assert!(took < Duration::from_millis(1_250), "{took:?}");
}

#[test]
fn resumed_after_every_crash_without_fetching_again() {
    let data = bytes(6, 5_000_000);
    let link = Link { rate: 5_000_000, lost: 20, ..Link::CLEAN };
    let mut network = network_with(6, link, &[1], &data);
    let mut disk = Disk::default();
    for crash in 0..5 {
        network.hosts.remove(&fetcher(100));
        network.add(fetcher(100), disk).fetch(request(&data, "got", &[peer(1)]));
        network.run_for(Duration::from_millis(100 + crash * 20));
        assert!(network.host(fetcher(100)).ending.is_none(), "crash {crash}");
        disk = network.crash(fetcher(100));
        // Torn at any point.
        if let Some(chunk) = disk.chunks.values_mut().next_back() {
            chunk.truncate(chunk.len() - (crash as usize * 1_234) % (chunk.len() + 1));
        }
    }
    network.add(fetcher(100), disk).fetch(request(&data, "got", &[peer(1)]));
    fetch_to_end(&mut network, SECOND * 10);
    expect_done(&mut network, &data);
    let fetched = network.bytes_in[&fetcher(100)];
    assert!(fetched < 5_000_000 * 6 / 5 + 6 * 1_500_000, "{fetched} bytes for 5,000,000");
}

#[test]
fn what_was_damaged_on_disk_is_fetched_again() {
    let data = bytes(7, 1_000_000);
    let mut network = network_with(7, Link::CLEAN, &[1], &data);
    let (_, chain) = hash(&data);
    let mut disk = Disk { chain: Some(chain), ..Disk::default() };
    let mut damaged = data[..524_288].to_vec();
    damaged[200_000] ^= 1;
    disk.chunks.insert(0, damaged);
    disk.chunks.insert(655_360, data[655_360..786_432].to_vec());
    network.add(fetcher(100), disk).fetch(request(&data, "got", &[peer(1)]));
    fetch_to_end(&mut network, SECOND * 5);
    expect_done(&mut network, &data);
}

#[test]
fn no_room_is_waited_for() {
    let data = bytes(8, 1_000_000);
    let mut network = network_with(8, Link::CLEAN, &[1], &data);
    let disk = Disk { room: Some(300_000), ..Disk::default() };
    network.add(fetcher(100), disk).fetch(request(&data, "got", &[peer(1)]));
    network.run_for(SECOND * 20);
    let host = network.host(fetcher(100));
    assert_eq!(host.ending, None);
    host.disk.room = None;
    let took = fetch_to_end(&mut network, SECOND * 20);
    assert!(took < SECOND * 10, "{took:?}");
    expect_done(&mut network, &data);
}

#[test]
fn the_callers_patience_ends() {
    let data = bytes(9, 10);
    let mut network = Network::new(9, Link::CLEAN);
    let mut wanted = request(&data, "got", &[peer(1)]);
    wanted.timeout = Some(SECOND * 3);
    network.add(fetcher(100), Disk::default()).fetch(wanted);
    let took = fetch_to_end(&mut network, SECOND * 10);
    assert_eq!(network.host(fetcher(100)).ending, Some(FetchEnding::TimedOut));
    assert_eq!(took, SECOND * 3);
}

#[test]
fn the_true_size_is_proven() {
    for size in [1, 65_536, 200_001] {
        for wrong in [size - 1, size + 1, size + 1_000_000, 0] {
            let data = bytes(10, size);
            let mut network = network_with(10, Link::CLEAN, &[1], &data);
            let mut wanted = request(&data, "got", &[peer(1)]);
            wanted.size = wrong as u64;
            network.host(fetcher(100)).fetch(wanted);
            fetch_to_end(&mut network, SECOND * 10);
            let ending = network.host(fetcher(100)).ending.clone();
            assert_eq!(ending, Some(FetchEnding::WrongSize { size: size as u64 }));
        }
    }
}

#[test]
fn liars_cost_a_few_blocks() {
    let data = bytes(11, 40 * 65_536 + 99);
    let content = hash(&data).0;
    for (seed, liars) in [(0, 1u8), (1, 3), (2, 7)] {
        for manner in [Manner::FlipsBits, Manner::Silent] {
            let mut network = network_with(seed, Link::CLEAN, &[50], &data);
            for liar in 1..=liars {
                let host = network.add(peer(liar), Disk::default());
                host.put("file", &data, None);
                host.liar.manner = manner;
            }
            network.run_for(SECOND * 2);
            let sources: Vec<_> = (1..=liars).chain([50]).map(peer).collect();
            network.host(fetcher(100)).fetch(request(&data, "got", &sources));
            fetch_to_end(&mut network, SECOND * 30);
            expect_done(&mut network, &data);
            expect_little_waste(&network, &data);
        }
        for (from, to) in [(0, 40), (0, 10), (5, 6), (0, 41), (39, 40)] {
            let mut network = network_with(seed, Link::CLEAN, &[50], &data);
            for liar in 1..=liars {
                let (forged, chain) = forge(&data, from, to);
                let host = network.add(peer(liar), Disk::default());
                host.put("file", &forged, Some((content, chain)));
            }
            network.run_for(SECOND * 2);
            let sources: Vec<_> = (1..=liars).chain([50]).map(peer).collect();
            network.host(fetcher(100)).fetch(request(&data, "got", &sources));
            fetch_to_end(&mut network, SECOND * 30);
            expect_done(&mut network, &data);
            expect_little_waste(&network, &data);
        }
    }
}

/// At most 5 % and 1 MiB more than the file came in, headers aside.
fn expect_little_waste(network: &Network, data: &[u8]) {
    let came = network.bytes_in[&fetcher(100)];
    let most = data.len() as u64 * 107 / 100 + (1 << 20);
    assert!(came <= most, "{came} bytes for {}", data.len());
}

#[test]
fn an_honest_source_after_liars_alone() {
    let data = bytes(12, 30 * 65_536);
    let content = hash(&data).0;
    let (forged, chain) = forge(&data, 0, 20);
    let mut network = Network::new(12, Link::CLEAN);
    for liar in 1..=3 {
        let claimed = Some((content, chain.clone()));
        network.add(peer(liar), Disk::default()).put("file", &forged, claimed);
    }
    network.run_for(SECOND * 3);
    let sources = [peer(1), peer(2), peer(3)];
    network.add(fetcher(100), Disk::default()).fetch(request(&data, "got", &sources));
    network.run_for(SECOND * 10);
    assert_eq!(network.host(fetcher(100)).ending, None);
    network.add(peer(50), Disk::default()).put("file", &data, None);
    fetch_to_end(&mut network, SECOND * 30);
    expect_done(&mut network, &data);
}

#[test]
fn a_file_that_changes_while_it_is_served() {
    let data = bytes(13, 4_000_000);
    let link = Link { rate: 4_000_000, ..Link::CLEAN };
    let mut network = network_with(13, link, &[1, 2], &data);
    network.host(fetcher(100)).fetch(request(&data, "got", &[peer(1), peer(2)]));
    network.run_for(SECOND / 4);
    let other = bytes(14, 4_000_000);
    network.host(peer(1)).put("file", &other, None);
    fetch_to_end(&mut network, SECOND * 10);
    expect_done(&mut network, &data);
}

#[test]
fn a_file_that_nobody_has_any_more_waits_for_its_return() {
    let data = bytes(15, 4_000_000);
    let link = Link { rate: 4_000_000, ..Link::CLEAN };
    let mut network = network_with(15, link, &[1], &data);
    network.host(fetcher(100)).fetch(request(&data, "got", &[peer(1)]));
    network.run_for(SECOND / 4);
    network.host(peer(1)).remove("file");
    network.run_for(SECOND * 5);
    assert_eq!(network.host(fetcher(100)).ending, None);
    network.host(peer(1)).put("elsewhere", &data, None);
    fetch_to_end(&mut network, SECOND * 15);
    expect_done(&mut network, &data);
}

fn listed(network: &Network, at: u8, text: &str) -> bool {
    network.hosts[&peer(at)].directory.contains(text)
}

#[test]
fn a_new_file_is_listed_everywhere_within_a_second_of_settling() {
    for seed in 0..20 {
        let link = Link { lost: seed * 5, delay: Duration::from_millis(2), ..Link::CLEAN };
        let mut network = Network::new(seed, link);
        for number in 1..=10 {
            network.add(peer(number), Disk::default());
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
        network.add(peer(number), Disk::default()).put(&format!("file{number}"), &[number], None);
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
    network.run_for(SECOND * 4);
    assert!(listed(&network, 1, "file3"), "a lost packet or two do not make a host vanish");
    network.run_until(SECOND * 6, |network| [1, 4].iter().all(|&at| !listed(network, at, "file3")));
    assert!(listed(&network, 1, "file4"));
}

#[test]
fn a_forged_farewell_changes_nothing() {
    let mut network = Network::new(22, Link::CLEAN);
    for number in 1..=2 {
        network.add(peer(number), Disk::default()).put(&format!("file{number}"), &[number], None);
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
    let host = network.add(peer(1), Disk::default());
    for number in 0..3_000u32 {
        host.put(&format!("folder/file {number:05}"), &number.to_be_bytes(), None);
    }
    network.add(peer(2), Disk::default());
    network.run_until(SECOND * 20, |network| {
        network.hosts[&peer(2)].directory.matches("filename").count() == 3_000
    });
}

#[test]
fn nobody_gets_more_than_was_sent_before_proving_the_address() {
    let mut network = Network::new(24, Link::CLEAN);
    let data = bytes(24, 100_000);
    network.add(peer(1), Disk::default()).put("file", &data, None);
    network.run_for(SECOND * 3);
    let victim = "10.0.0.66:5000".parse().unwrap();
    let before = network.bytes_out[&peer(1)];
    let mut random = Random::new([24; 32]);
    let mut sent = 0;
    for _ in 0..300 {
        for message in unproven_messages(&mut random, hash(&data).0) {
            sent += message.len() as u64;
            network.inject(victim, peer(1), message);
        }
    }
    network.run_for(SECOND * 4);
    // Its own announcements on the quiet network are not answers.
    let answered = network.bytes_out[&peer(1)] - before;
    assert!(answered <= sent + 10 * 80, "{answered} bytes out for {sent} in");
}

fn unproven_messages(random: &mut Random, content: ContentId) -> Vec<Vec<u8>> {
    use sprat::wire::{
        About, Announce, Ask, Cookie, Grant, InstanceId, ListingDigest, ListingSummary, Message,
        Object, ObjectRange, Ranges,
    };
    let instance = InstanceId(random.bytes16());
    let digest = ListingDigest::of(&random.next_u64().to_be_bytes());
    let listing = ListingSummary { digest, length: 100, files: 1 };
    let ask = |about| Ask { about, to_many: false, nonce: 7, instance, cookie: Cookie([1; 16]) };
    let ranges = Ranges::new(&[ObjectRange { offset: 0, length: 65_536 }], 1_408).unwrap();
    let grant = Grant { nonce: 9, cookie: Cookie([2; 16]), object: Object::File(content), ranges };
    [
        Message::Announce(Announce { instance, listing }),
        Message::Ask(ask(About::Listing)),
        Message::Ask(ask(About::Content { content, size: 100_000 })),
        Message::Grant(grant),
    ]
    .iter()
    .map(Message::encode)
    .collect()
}

#[test]
fn noise_is_counted_and_harmless() {
    let data = bytes(25, 2_000_000);
    let link = Link { rate: 5_000_000, ..Link::CLEAN };
    let mut network = network_with(25, link, &[1], &data);
    network.host(fetcher(100)).fetch(request(&data, "got", &[peer(1)]));
    let mut random = Random::new([25; 32]);
    for round in 0..2_000u64 {
        let length = random.below(200) as usize;
        let mut noise: Vec<u8> = (0..length).map(|_| random.next_u64() as u8).collect();
        if round % 2 == 0 && noise.len() > 4 {
            noise[..4].copy_from_slice(&[0x53, 0x70, 1, (round % 10) as u8]);
        }
        let to = if round % 3 == 0 { fetcher(100) } else { peer(1) };
        network.inject(peer(1 + (round % 3) as u8), to, noise);
    }
    fetch_to_end(&mut network, SECOND * 10);
    expect_done(&mut network, &data);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let data = bytes(seed as u8, 700_000);
        let link = Link { lost: 50, jitter: Duration::from_millis(9), ..Link::CLEAN };
        let mut network = network_with(seed, link, &[1, 2, 3], &data);
        let sources: Vec<_> = (1..=3).map(peer).collect();
        network.host(fetcher(100)).fetch(request(&data, "got", &sources));
        let took = fetch_to_end(&mut network, SECOND * 30);
        (took, network.bytes_in.clone(), network.bytes_out.clone())
    };
    assert_eq!(run(30), run(30));
    assert_ne!(run(30), run(31));
}
