//! Where the bytes come from: many hosts, dead, slow and lying ones, none yet, and unfinished ones.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::support::*;

/// A host of the test's own at 10.77.0.254 that passes everything on to a true peer and back, and
/// changes one bit in each large datagram that comes back, or keeps it.
struct Liar {
    stop: Arc<AtomicBool>,
    lies: Arc<AtomicU64>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Lie {
    FlipOneBit,
    KeepLargeOnes,
}

impl Liar {
    fn start(lie: Lie, truth: &str) -> Self {
        let front = UdpSocket::bind("10.77.0.254:27183").unwrap();
        let back = UdpSocket::bind("10.77.0.254:0").unwrap();
        back.connect((truth, 27183)).unwrap();
        front.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        back.set_nonblocking(true).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let lies = Arc::new(AtomicU64::new(0));
        let thread = std::thread::spawn({
            let (stop, lies) = (Arc::clone(&stop), Arc::clone(&lies));
            move || {
                let mut buffer = [0; 65536];
                let mut client = None;
                while !stop.load(Ordering::Relaxed) {
                    if let Ok((length, from)) = front.recv_from(&mut buffer) {
                        client = Some(from);
                        drop(back.send(&buffer[..length]));
                    }
                    while let Ok(length) = back.recv(&mut buffer) {
                        if length > 500 {
                            lies.fetch_add(1, Ordering::Relaxed);
                            buffer[length - 100] ^= 4;
                            if lie == Lie::KeepLargeOnes {
                                continue;
                            }
                        }
                        if let Some(client) = client {
                            drop(front.send_to(&buffer[..length], client));
                        }
                    }
                }
            }
        });
        Self { stop, lies, thread: Some(thread) }
    }

    fn lies(&self) -> u64 {
        self.lies.load(Ordering::Relaxed)
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(std::thread::JoinHandle::join));
    }
}

/// "Every IP given is used, in parallel."
#[test]
fn every_source_given_is_used_in_parallel() {
    in_lab(4, |lab| {
        let content = Content::random(300, 12 << 20);
        let mut peers = Vec::new();
        for index in 0..3 {
            lab.put(index, "file.bin", &content);
            lab.limit(index, 30);
            peers.push(lab.host(index).peer());
        }
        let before: Vec<_> = (0..3).map(|index| lab.host(index).traffic().1).collect();
        let sources = ["10.77.0.1", "10.77.0.2", "10.77.0.3"];
        lab.fetch(3, &content, "file.bin", &sources).succeeds(LONG);
        lab.host(3).has("file.bin", &content);
        for (index, before) in before.into_iter().enumerate() {
            let sent = lab.host(index).traffic().1 - before;
            assert!(sent > content.size() / 10, "host {} sent only {sent} bytes", index + 1);
        }
    });
}

/// "One that is dead, slow, lying or new to the file costs time, never correctness."
#[test]
fn dead_slow_and_ignorant_sources_among_good_ones() {
    in_lab(4, |lab| {
        let content = Content::random(301, 8 << 20);
        lab.put(0, "file.bin", &content);
        lab.put(1, "file.bin", &content);
        lab.limit(1, 1);
        // Host 2 runs no peer, host 3 has nothing, 200 does not exist, 192.0.2.1 is nowhere.
        let _peers = (lab.host(0).peer(), lab.host(1).peer(), lab.host(3).peer());
        let sources = [
            "10.77.0.200",
            "10.77.0.3",
            "192.0.2.1",
            "10.77.0.4",
            "10.77.0.2",
            "10.77.0.1",
            "127.0.0.1",
            "10.77.0.1",
        ];
        let mut fetch = lab.fetch(2, &content, "file.bin", &sources);
        fetch.succeeds(LONG);
        lab.host(2).has("file.bin", &content);
        // 8 MiB at 1 Mbit/s would take 67 s: the slow one was not waited for.
        assert!(fetch.age() < Duration::from_secs(30), "took {:?}", fetch.age());
    });
}

/// The lying one: every block that it sends is wrong, the good one's are not.
#[test]
fn a_source_that_lies_costs_time_never_correctness() {
    in_lab(2, |lab| beside_a_liar(lab, Lie::FlipOneBit));
}

/// One that answers everything but never sends a byte of the file.
#[test]
fn a_source_that_never_delivers_costs_time_only() {
    in_lab(2, |lab| beside_a_liar(lab, Lie::KeepLargeOnes));
}

fn beside_a_liar(lab: &Lab, lie: Lie) {
    let content = Content::random(302, 4 << 20);
    lab.put(0, "file.bin", &content);
    // The file settles first, so both say that they have nothing, and are asked again after three seconds; the
    // honest one is called for before that, and must not be done by then. The liar passes on who the honest one says to be:
    // a second way to a host is tried where the first is slow.
    lab.limit(0, 3);
    let _peer = lab.host(0).peer();
    let liar = Liar::start(lie, "10.77.0.1");
    let mut fetch = lab.fetch(1, &content, "file.bin", &["10.77.0.254", "10.77.0.1"]);
    fetch.succeeds(LONG);
    lab.host(1).has("file.bin", &content);
    assert!(liar.lies() > 0, "the liar was never asked");
}

/// "With no IP, or none that answers, sources are looked for on the network."
#[test]
fn sources_are_found_on_the_network() {
    in_lab(3, |lab| {
        let content = Content::random(303, 1 << 20);
        lab.put(0, "folder/file.bin", &content);
        let _peers = (lab.host(0).peer(), lab.host(1).peer());
        // No peer runs here: the fetch does it alone.
        lab.fetch(2, &content, "none.bin", &[]).succeeds(LONG);
        lab.host(2).has("none.bin", &content);
        std::fs::remove_file(lab.host(2).shared("none.bin")).unwrap();
        lab.fetch(2, &content, "dead.bin", &["10.77.0.200"]).succeeds(LONG);
        lab.host(2).has("dead.bin", &content);
        // And beside a peer that holds the port.
        lab.fetch(1, &content, "beside.bin", &[]).succeeds(LONG);
        lab.host(1).has("beside.bin", &content);
    });
}

/// "Sources that turn up later are used as well. It waits for as long as it takes, quietly."
#[test]
fn sources_that_turn_up_later_are_used() {
    in_lab(3, |lab| {
        let content = Content::random(304, 24 << 20);
        let c = lab.host(2);
        let mut fetch = lab.fetch(2, &content, "file.bin", &["10.77.0.1"]);
        holds_for("it waits", Duration::from_secs(3), || fetch.ending().is_none());
        assert!(fetch.stderr().lines().count() <= 3, "not quiet: {}", fetch.stderr());
        lab.put(0, "file.bin", &content);
        lab.limit(0, 16);
        lab.limit(1, 16);
        lab.put(1, "other-name.bin", &content);
        let _first = lab.host(0).peer();
        wait_until("the first part", LONG, || c.progress(&content) > 1 << 20);
        // Nobody told it of this one.
        let before = lab.host(1).traffic().1;
        let _second = lab.host(1).peer();
        fetch.succeeds(LONG);
        c.has("file.bin", &content);
        let sent = lab.host(1).traffic().1 - before;
        assert!(sent > 1 << 20, "the second source sent only {sent} bytes");
    });
}

/// A source that goes in the middle, and comes back, or another that takes its place.
#[test]
fn a_source_that_goes_is_replaced_and_one_that_returns_is_used() {
    in_lab(2, |lab| {
        let content = Content::random(305, 16 << 20);
        lab.put(0, "file.bin", &content);
        lab.limit(0, 40);
        let mut peer = lab.host(0).peer();
        let b = lab.host(1);
        let mut fetch = lab.fetch(1, &content, "file.bin", &["10.77.0.1"]);
        wait_until("the first part", LONG, || b.progress(&content) > 1 << 20);
        peer.kill();
        holds_for("it waits", Duration::from_secs(2), || fetch.ending().is_none());
        let _again = lab.host(0).peer();
        wait_until("a half", LONG, || b.progress(&content) > 4 << 20);
        // The cable comes out, and goes in again.
        lab.plug(0, false);
        holds_for("it waits", Duration::from_secs(2), || fetch.ending().is_none());
        lab.plug(0, true);
        fetch.succeeds(LONG);
        b.has("file.bin", &content);
    });
}

/// "Hosts without the whole file that hold some of it serve that: a `peer` offers the verified part of
/// what the `fetch` beside it has so far."
#[test]
fn a_peer_serves_the_verified_part_of_the_fetch_beside_it() {
    in_lab(3, |lab| {
        let content = Content::random(306, 20 << 20);
        lab.put(0, "file.bin", &content);
        lab.limit(0, 40);
        let (b, c) = (lab.host(1), lab.host(2));
        let _peers = (lab.host(0).peer(), b.peer());
        let mut first = lab.fetch(1, &content, "file.bin", &["10.77.0.1"]);
        wait_until("a half", LONG, || b.progress(&content) > 5 << 20);
        // The only host with the whole file goes.
        lab.plug(0, false);
        let mut second = lab.fetch(2, &content, "file.bin", &["10.77.0.2"]);
        let has = b.progress(&content);
        wait_until("what the partial holder has", LONG, || c.progress(&content) > has * 9 / 10);
        // A third of them would not be told that this host has the whole file.
        assert_eq!((first.ending(), second.ending()), (None, None));
        lab.plug(0, true);
        first.succeeds(LONG);
        second.succeeds(LONG);
        b.has("file.bin", &content);
        c.has("file.bin", &content);
    });
}

/// The same where the fetch beside the peer has been killed: what it left is served still, and nothing
/// that is not genuine.
#[test]
fn a_peer_serves_what_a_killed_fetch_has_left() {
    in_lab(3, |lab| {
        let content = Content::random(307, 20 << 20);
        lab.put(0, "file.bin", &content);
        lab.limit(0, 60);
        let (b, c) = (lab.host(1), lab.host(2));
        let whole = lab.host(0).peer();
        let mut first = lab.fetch(1, &content, "file.bin", &["10.77.0.1"]);
        wait_until("a half", LONG, || b.progress(&content) > 4 << 20);
        first.kill();
        drop(whole);
        let extents = b.extents(&content);
        let (offset, length) = *extents.iter().max_by_key(|extent| extent.1).unwrap();
        let chunk = b.chunks().join(format!("{}:chunk:{offset}", content.sha1));
        let mut bytes = std::fs::read(&chunk).unwrap();
        bytes[usize::try_from(length / 4 * 3).unwrap()] ^= 1;
        std::fs::write(&chunk, bytes).unwrap();
        let _partial = b.peer();
        let mut second = lab.fetch(2, &content, "file.bin", &["10.77.0.2"]);
        let has = b.progress(&content);
        wait_until("most of it", LONG, || c.progress(&content) > has / 2);
        for (offset, _) in c.extents(&content) {
            let path = c.chunks().join(format!("{}:chunk:{offset}", content.sha1));
            let bytes = std::fs::read(path).unwrap();
            let offset = usize::try_from(offset).unwrap();
            assert!(bytes == content.bytes[offset..offset + bytes.len()]);
        }
        assert_eq!(second.ending(), None);
        let _whole = lab.host(0).peer();
        second.succeeds(LONG);
        c.has("file.bin", &content);
    });
}

/// Many fetch at the same time from one host.
#[test]
fn several_hosts_fetch_at_the_same_time() {
    in_lab(4, |lab| {
        let content = Content::random(308, 6 << 20);
        lab.put(0, "file.bin", &content);
        lab.limit(0, 50);
        let _peers: Vec<_> = lab.hosts.iter().map(Host::peer).collect();
        let mut fetches: Vec<_> =
            (1..4).map(|index| lab.fetch(index, &content, "file.bin", &["10.77.0.1"])).collect();
        fetches.iter_mut().for_each(|fetch| fetch.succeeds(LONG));
        (1..4).for_each(|index| lab.host(index).has("file.bin", &content));
        lab.host(0).sees(&content, 3);
    });
}

/// Over a link that loses, reorders, duplicates and delays (netem, where the kernel has it).
#[test]
fn a_link_that_loses_reorders_and_duplicates_costs_time_only() {
    in_lab(2, |lab| {
        let netem = "qdisc add dev eth0 root netem delay 5ms 3ms loss 3% duplicate 1% reorder 20% rate 80mbit";
        for host in &lab.hosts {
            let output = host.enter("tc").args(netem.split(' ')).output().unwrap();
            if !output.status.success() {
                lab::skip("a_link_that_loses_reorders_and_duplicates", "no netem in this kernel");
                return;
            }
        }
        let content = Content::random(309, 4 << 20);
        lab.put(0, "file.bin", &content);
        let _peers = (lab.host(0).peer(), lab.host(1).peer());
        lab.host(1).sees(&content, 1);
        lab.fetch(1, &content, "file.bin", &[]).succeeds(LONG);
        lab.host(1).has("file.bin", &content);
    });
}
