//! `d.json`: what `sprat peer` finds on the network, as a front end reads it.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use crate::support::host::{names_in, run};
use crate::support::*;

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// "A valid document stands there at once on start, with an empty list: the front end cannot read
/// `{}`." "`share/` and `chunks/` are made when they are missing." "With `peer` as its only argument,
/// from any folder, with no configuration file and no root rights."
#[test]
fn a_valid_document_with_an_empty_list_stands_there_at_once() {
    in_lab(1, |lab| {
        let a = lab.host(0);
        let _peer = a.peer();
        assert_eq!(a.document().discovered_files, []);
        assert!(a.share().is_dir() && a.chunks().is_dir());
        assert_eq!(names_in(&a.root), ["chunks", "d.json", "share"]);
    });
}

/// The same where an earlier run, or a front end's mistake, left something else there.
#[test]
fn an_unreadable_document_is_replaced_at_once() {
    in_lab(1, |lab| {
        let a = lab.host(0);
        fs::write(a.root.join("d.json"), "{}").unwrap();
        let _peer = a.peer();
        assert_eq!(a.document().discovered_files, []);
    });
}

/// "`discovered_timestamp`: milliseconds since 1970, the time of the latest sweep. It moves on at every
/// sweep (2 s by default) even where nothing else changed." "An unchanged network gives an unchanged
/// list."
#[test]
fn the_timestamp_moves_on_at_every_sweep_and_nothing_else_does() {
    in_lab(2, |lab| {
        let (a, b) = (lab.host(0), lab.host(1));
        for number in 0..5 {
            let content = Content::random(number, 1000);
            lab.put(0, &format!("{number}.bin"), &content);
        }
        let _peers = (a.peer(), b.peer());
        wait_until("five files", SHORT, || b.document().discovered_files.len() == 5);
        let first = b.document();
        let mut last = first.clone();
        for _ in 0..4 {
            let limit = Duration::from_secs(6);
            let next = wait_for("a later timestamp", limit, || {
                let document = b.document();
                (document.discovered_timestamp != last.discovered_timestamp).then_some(document)
            });
            assert!(next.discovered_timestamp > last.discovered_timestamp);
            assert!(now_ms().abs_diff(next.discovered_timestamp) < 10_000, "{next:?}");
            assert_eq!(next.discovered_files, first.discovered_files);
            last = next;
        }
    });
}

/// "One entry for each distinct content; the same content under different names on several hosts is one
/// entry with several locations, and so is the same content twice on one host. `sha1` is 40 lower-case
/// hex digits. Entries and locations stand in a stable order. The machine's own files are not
/// locations." "`filename` is relative to that host's `share/`, `/` between folders." "Files offered to
/// others, nested folders included."
#[test]
fn one_entry_for_each_content_with_all_its_locations_but_the_own() {
    in_lab(3, |lab| {
        let fox = Content::of("The quick brown fox jumps over the lazy dog");
        let other = Content::random(1, 70_000);
        lab.put(0, "fox.txt", &fox);
        lab.put(0, "copies/of/fox.txt", &fox);
        lab.put(1, "animals/quick-fox.txt", &fox);
        lab.put(1, "other.bin", &other);
        lab.put(2, "mine.txt", &fox);
        let _peers: Vec<_> = lab.hosts.iter().map(Host::peer).collect();
        let at = |ip: &str, filename: &str| Location { ip: ip.into(), filename: filename.into() };
        let expected = [
            at("10.77.0.1", "copies/of/fox.txt"),
            at("10.77.0.1", "fox.txt"),
            at("10.77.0.2", "animals/quick-fox.txt"),
        ];
        // A host may be heard over IPv6 first, and stands there so until it is heard over IPv4.
        let document = wait_for("every location under its IPv4 address", SHORT, || {
            let document = lab.host(2).document();
            let mut found = document.entry(&fox.sha1)?.locations.clone();
            found.sort();
            (found == expected && document.discovered_files.len() == 2).then_some(document)
        });
        let entry = document.entry("2fd4e1c67a2d28fced849ee1bb76e7391b93eb12").unwrap();
        assert_eq!(entry.size, 43);
        let locations = |sha1: &str| document.entry(sha1).map(|entry| entry.locations.clone());
        assert_eq!(locations(&other.sha1), Some(vec![at("10.77.0.2", "other.bin")]));
        // The own copy is no location, and two others of it are, on each of the others.
        lab.host(0).sees(&fox, 2);
        let elsewhere = lab.host(1).sees(&fox, 3);
        assert!(elsewhere.entry(&other.sha1).is_none());
        // The order is a property of what is known, not of when it was learnt: a new peer has the same.
        let before = document.discovered_files;
        let _newcomer = lab.host(2).peer();
        wait_until("the same document", SHORT, || {
            lab.host(2).document().discovered_files == before
        });
    });
}

/// "`ip` is what `fetch` takes back as an argument: a plain address where the host uses the default
/// port, `address:port` where it does not."
#[test]
fn ip_carries_the_port_where_it_is_not_the_default_and_fetch_takes_it_back() {
    in_lab(3, |lab| {
        let content = Content::random(2, 100_000);
        lab.put(0, "a.bin", &content);
        let _a = lab.host(0).peer_with(&["--port", "28111"]);
        let _b = lab.host(1).peer_with(&["--peer", "10.77.0.1:28111"]);
        let document = lab.host(1).sees(&content, 1);
        let ip = &document.discovered_files[0].locations[0].ip;
        assert_eq!(ip, "10.77.0.1:28111");
        lab.fetch(1, &content, "b.bin", &[ip]).succeeds(LONG);
        lab.host(1).has("b.bin", &content);
        // From a host that runs no peer, and knows nothing else.
        lab.fetch(2, &content, "c.bin", &["10.77.0.1:28111"]).succeeds(LONG);
    });
}

/// "(`[v6%scope]:port`)": where only IPv6 reaches, with the default port and with another.
#[test]
fn ip_of_a_link_local_host_has_its_scope_and_fetch_takes_it_back() {
    in_lab(3, |lab| {
        for host in &lab.hosts {
            run(host.enter("ip").args(["-4", "addr", "flush", "dev", "eth0"]));
        }
        let plain = Content::random(3, 50_000);
        let ported = Content::random(4, 50_000);
        lab.put(0, "plain.bin", &plain);
        lab.put(1, "ported.bin", &ported);
        let _a = lab.host(0).peer();
        let address = lab.host(0).ipv6_of("eth0").unwrap();
        let other = lab.host(1).ipv6_of("eth0").unwrap();
        let known = format!("[{address}%eth0]");
        let _b = lab.host(1).peer_with(&["--port", "28111", "--peer", &known]);
        let ported_peer = format!("[{other}%eth0]:28111");
        let _c = lab.host(2).peer_with(&["--peer", &ported_peer]);
        let document = lab.host(2).sees(&plain, 1);
        let ip = &document.entry(&plain.sha1).unwrap().locations[0].ip;
        assert!(ip.starts_with(&format!("{address}%")), "{ip}");
        lab.fetch(2, &plain, "plain.bin", &[ip]).succeeds(LONG);
        let document = lab.host(2).sees(&ported, 1);
        let ip = &document.entry(&ported.sha1).unwrap().locations[0].ip;
        assert!(ip.starts_with(&format!("[{other}%")) && ip.ends_with("]:28111"), "{ip}");
        lab.fetch(2, &ported, "ported.bin", &[ip]).succeeds(LONG);
    });
}

/// "The file is replaced in one step. A reader that opens it at any moment, also while the process is
/// being killed, reads a whole, valid document."
#[test]
fn a_reader_at_any_moment_reads_a_whole_document_also_while_the_peer_is_killed() {
    in_lab(2, |lab| {
        let (a, b) = (lab.host(0), lab.host(1));
        for number in 0..300 {
            lab.put(0, &format!("{number}.bin"), &Content::of(format!("file {number}")));
        }
        let _a = a.peer();
        let path = b.root.join("d.json");
        drop(b.peer());
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let (mut reads, mut longest) = (0_u64, 0);
                while !stop.load(Ordering::Relaxed) {
                    // Document::read fails the test on anything but a whole, valid document.
                    let document = Document::read(&path).expect("there is always one");
                    longest = longest.max(document.discovered_files.len());
                    reads += 1;
                }
                (reads, longest)
            });
            // Also where this thread panics, or the other one would never end.
            let stopping = OnDrop(|| stop.store(true, Ordering::Relaxed));
            let mut random = files::Random::new(5);
            for round in 0..25 {
                let mut peer = b.peer();
                if round == 20 {
                    wait_until("the list", SHORT, || b.document().discovered_files.len() == 300);
                }
                std::thread::sleep(Duration::from_micros(random.below(60_000)));
                peer.kill();
            }
            drop(stopping);
            let (reads, longest) = reader.join().unwrap();
            assert!(reads > 1000 && longest == 300, "{reads} reads, {longest} entries");
        });
    });
}

struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// "`peer` also prints what it discovers to standard output, one line for a file that appears or goes;
/// diagnostics go to standard error."
#[test]
fn a_line_on_standard_output_for_a_file_that_appears_and_one_for_a_file_that_goes() {
    in_lab(2, |lab| {
        let (a, b) = (lab.host(0), lab.host(1));
        let content = Content::random(6, 3000);
        let (_a, b_peer) = (a.peer(), b.peer());
        assert_eq!(b_peer.stdout(), "");
        lab.put(0, "seen.txt", &content);
        let lines = || {
            let text = b_peer.stdout();
            text.lines().filter(|line| line.contains("seen.txt")).count()
        };
        b.sees(&content, 1);
        wait_until("the line that it is there", SHORT, || lines() == 1);
        fs::remove_file(a.shared("seen.txt")).unwrap();
        wait_until("the line that it is gone", SHORT, || lines() == 2);
        assert_eq!(b_peer.stdout().lines().count(), 2, "{}", b_peer.stdout());
        b.sees(&content, 0);
    });
}

/// "A host that is gone disappears within 10 s, one that leaves politely at once" (issue 2, 7).
#[test]
fn a_host_that_is_gone_disappears() {
    in_lab(3, |lab| {
        let content = Content::random(7, 3000);
        lab.put(0, "a.bin", &content);
        lab.put(1, "b.bin", &content);
        let (mut killed, mut polite) = (lab.host(0).peer(), lab.host(1).peer());
        let _watching = lab.host(2).peer();
        lab.host(2).sees(&content, 2);
        polite.signal("TERM");
        assert_eq!(polite.wait(SHORT), Ending::Signal(15));
        lab.host(2).sees(&content, 1);
        killed.kill();
        lab.host(2).sees(&content, 0);
    });
}

/// "Discovery by `--peer` where neither [broadcast nor multicast] reaches" (issue 2, 7).
#[test]
fn a_named_peer_is_found_where_no_broadcast_reaches() {
    in_lab(2, |lab| {
        // The bridge passes on nothing to either of them that is meant for all.
        for (index, host) in lab.hosts.iter().enumerate() {
            let port = format!("v{}", index + 1);
            let flags = ["type", "bridge_slave", "bcast_flood", "off", "mcast_flood", "off"];
            run(std::process::Command::new("ip").args(["link", "set", &port]).args(flags));
            let other = lab.host(1 - index);
            let mac = other.mac();
            let neighbour = ["neigh", "replace", &other.address(), "lladdr", &mac, "dev", "eth0"];
            run(host.enter("ip").args(neighbour));
        }
        let content = Content::random(8, 3000);
        lab.put(0, "a.bin", &content);
        let _a = lab.host(0).peer();
        let named = lab.host(1).peer_with(&["--peer", "10.77.0.1"]);
        lab.host(1).sees(&content, 1);
        drop(named);
        lab.fetch(1, &content, "b.bin", &["10.77.0.1"]).succeeds(LONG);
    });
}
