//! Datagrams from strangers that are not what they ought to be.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use sprat::content::ContentId;
use sprat::wire::{
    About, Ask, Cookie, Grant, InstanceId, ListingDigest, Message, Object, ObjectRange, Ranges,
};

use crate::support::stranger::{Claim, Story, Stranger, listing_of};
use crate::support::*;

/// A UDP datagram with any source port, zero as well, from the test's own place on the bridge.
fn raw_datagram(source_port: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap();
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&source_port.to_be_bytes());
    bytes.extend_from_slice(&27183_u16.to_be_bytes());
    bytes.extend_from_slice(&length.to_be_bytes());
    // No checksum, which IPv4 allows.
    bytes.extend_from_slice(&[0, 0]);
    bytes.extend_from_slice(payload);
    bytes
}

/// What a peer says to all, as a stranger hears it.
fn overheard(socket: &UdpSocket, count: usize) -> Vec<Vec<u8>> {
    let mut buffer = [0; 65536];
    let mut hear = || socket.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec());
    (0..count).map(|_| hear().expect("a peer announces itself")).collect()
}

/// "Datagrams that are short, long, of another version, from ourselves, from port 0, from a broadcast
/// address: counted and dropped" (issue 2, bad input). Afterwards everything works as before.
#[test]
fn bad_datagrams_do_no_harm() {
    in_lab(2, |lab| {
        let (a, b) = (lab.host(0), lab.host(1));
        let content = Content::random(500, 2 << 20);
        lab.put(0, "file.bin", &content);
        let ears = UdpSocket::bind("0.0.0.0:27183").unwrap();
        ears.set_read_timeout(Some(SHORT)).unwrap();
        let (mut a_peer, mut b_peer) = (a.peer(), b.peer());
        b.sees(&content, 1);
        let genuine = overheard(&ears, 4);

        let socket = UdpSocket::bind("10.77.0.254:0").unwrap();
        socket.set_broadcast(true).unwrap();
        let raw = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)).unwrap();
        let mut random = files::Random::new(501);
        let mut junk = Vec::new();
        for datagram in &genuine {
            // All that is shorter, one that is longer, each byte another, and each of the first ones
            // with every value: other versions and kinds are among them.
            junk.extend((0..datagram.len()).map(|length| datagram[..length].to_vec()));
            junk.push([&datagram[..], &[0; 1000]].concat());
            for index in 0..datagram.len() {
                let mut changed = datagram.clone();
                changed[index] ^= 1 << random.below(8);
                junk.push(changed);
            }
            for index in 0..datagram.len().min(4) {
                for value in 0..=255 {
                    let mut changed = datagram.clone();
                    changed[index] = value;
                    junk.push(changed);
                }
            }
        }
        for _ in 0..500 {
            let length = usize::try_from(random.below(3000)).unwrap();
            junk.push((0..length).map(|_| random.next().to_le_bytes()[0]).collect());
        }
        junk.push(vec![0xff; 60_000]);
        let to_a = SocketAddrV4::new(a.ip, 27183);
        for (number, bytes) in junk.iter().enumerate() {
            drop(socket.send_to(bytes, to_a));
            drop(socket.send_to(bytes, "10.77.0.255:27183"));
            let raw_bytes = raw_datagram(0, bytes);
            if raw_bytes.len() < 1400 {
                drop(raw.send_to(&raw_bytes, &SocketAddrV4::new(a.ip, 0).into()));
            }
            if number % 200 == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        assert_eq!((a_peer.ending(), b_peer.ending()), (None, None));
        lab.fetch(1, &content, "file.bin", &["10.77.0.1"]).succeeds(LONG);
        b.has("file.bin", &content);
        a.sees(&content, 1);
        b.sees(&content, 1);
        assert_eq!((a_peer.ending(), b_peer.ending()), (None, None));
        for peer in [&a_peer, &b_peer] {
            assert!(peer.stderr().lines().count() < 50, "a stranger fills the log");
        }
    });
}

/// "A datagram from an address that has not shown it can receive there gets at most as many bytes back as
/// it sent" (design, 4): of every type, with every body, none gets more.
#[test]
fn nobody_gets_more_bytes_back_than_came_in() {
    in_lab(1, |lab| {
        let a = lab.host(0);
        let shared = Content::random(506, 300_000);
        lab.put(0, "large.bin", &shared);
        for number in 0..200 {
            lab.put(0, &format!("{number}"), &Content::of(format!("file {number}")));
        }
        let ears = UdpSocket::bind("0.0.0.0:27183").unwrap();
        ears.set_read_timeout(Some(SHORT)).unwrap();
        let _peer = a.peer();
        let mut bodies = questions(&shared);
        bodies.extend(overheard(&ears, 2));
        let to_a = SocketAddrV4::new(a.ip, 27183);
        let mut asked = Vec::new();
        for body in bodies {
            for kind in (0..=12).chain([255]) {
                let mut datagram = body.clone();
                datagram[3] = kind;
                let socket = UdpSocket::bind((Ipv4Addr::new(10, 77, 0, 254), 0)).unwrap();
                socket.set_nonblocking(true).unwrap();
                socket.send_to(&datagram, to_a).unwrap();
                asked.push((socket, datagram, 0));
            }
        }
        let mut buffer = [0; 65536];
        let mut answers = 0;
        holds_for("no more comes back", Duration::from_secs(3), || {
            asked.iter_mut().all(|(socket, datagram, back)| {
                while let Ok(length) = socket.recv(&mut buffer) {
                    *back += length;
                    answers += 1;
                }
                *back <= datagram.len()
            })
        });
        assert!(answers > 0, "nothing was answered: what was tested?");
    });
}

/// Questions that would be answered with much, were the asker known.
fn questions(shared: &Content) -> Vec<Vec<u8>> {
    let content = shared.sha1.parse::<ContentId>().unwrap();
    let ranges = [ObjectRange { offset: 0, length: 60_000 }];
    let ranges = Ranges::new(&ranges, 1_408).unwrap();
    let ask = |about| {
        let (instance, cookie) = (InstanceId::NONE, Cookie::NONE);
        Message::Ask(Ask {
            about,
            to_many: false,
            tell_hosts: false,
            hosts_from: 0,
            tell_age: false,
            nonce: 1,
            instance,
            cookie,
        })
        .encode()
    };
    let grant =
        |object, cookie| Message::Grant(Grant { nonce: 2, cookie, object, ranges }).encode();
    vec![
        ask(About::Listing { has: ListingDigest::NONE }),
        ask(About::Content { content, size: shared.size() }),
        grant(Object::File(content), Cookie::NONE),
        grant(Object::Chain(content), Cookie([1; 16])),
        grant(Object::Have(content), Cookie([2; 16])),
    ]
}

/// "Names are data from strangers: none that could leave `share/` or drive a terminal ever gets into
/// `d.json`." Nor to standard output. A good name beside them does.
#[test]
fn hostile_names_never_reach_the_document() {
    in_lab(1, |lab| {
        let a = lab.host(0);
        let long = "x".repeat(256);
        let deep = "a/".repeat(40) + "b";
        let hostile: &[&[u8]] = &[
            b"../escape",
            b"a/../../escape",
            b"/absolute",
            b"..",
            b".",
            b"a/..",
            b"a//b",
            b"a/",
            b"./a",
            b"a\n b",
            b"a\x1b[2Jb",
            b"a\x00b",
            b"a\x7fb",
            b"a\rb",
            b"a\tb",
            b"a\xffb",
            b"\xc0\xae\xc0\xae/b",
            "a\u{9b}2Jb".as_bytes(),
            "a\u{202e}gpj.exe".as_bytes(),
            "a\u{2028}b".as_bytes(),
            b"..\\escape",
            b"\xed\xa0\x80",
            long.as_bytes(),
            deep.as_bytes(),
            b"",
        ];
        let id = |name: &[u8]| files::sha1_of(name).parse::<ContentId>().unwrap();
        let mut listed: Vec<_> = hostile.iter().map(|name| (name.to_vec(), id(name), 10)).collect();
        let good = ["good.txt", "sch\u{f6}n/gut.txt", "-rf", "a b\"c.txt", "zzz"];
        listed.extend(good.iter().map(|name| (name.as_bytes().to_vec(), id(name.as_bytes()), 10)));
        let files = u32::try_from(listed.len()).unwrap();
        let story = Story { listing: listing_of(listed), files, claims: Vec::new() };
        let mut peer = a.peer();
        let _stranger = Stranger::start(story, vec![SocketAddrV4::new(a.ip, 27183).into()]);
        wait_until("the good names", SHORT, || a.document().discovered_files.len() >= good.len());
        let document = a.document();
        let mut names = document.filenames();
        names.sort_unstable();
        let mut good = good.to_vec();
        good.sort_unstable();
        assert_eq!(names, good);
        assert_eq!(document.discovered_files[0].locations[0].ip, "10.77.0.254");
        for text in [peer.stdout(), peer.stderr()] {
            let rude = text.chars().find(|c| c.is_control() && *c != '\n');
            assert_eq!(rude, None, "{text:?}");
            assert!(!text.contains("escape"), "{text}");
        }
        assert_eq!(peer.ending(), None);
    });
}

/// Listings that are none, or not what was announced, or endless: nothing of them, and no harm.
#[test]
fn rubbish_listings_do_no_harm() {
    in_lab(2, |lab| {
        let a = lab.host(0);
        let content = Content::random(502, 2000);
        lab.put(1, "good.txt", &content);
        let (mut peer, _other) = (a.peer(), lab.host(1).peer());
        a.sees(&content, 1);
        let mut random = files::Random::new(503);
        let noise: Vec<u8> = (0..5000).map(|_| random.next().to_le_bytes()[0]).collect();
        let mut cut = listing_of(vec![(b"cut.txt".to_vec(), ContentId([1; 20]), 10)]);
        cut.pop();
        for (listing, files) in [(noise, 3), (cut, 1), (vec![0xff; 4000], u32::MAX), (vec![], 5)] {
            let story = Story { listing, files, claims: Vec::new() };
            let stranger = Stranger::start(story, vec![SocketAddrV4::new(a.ip, 27183).into()]);
            let stamp = a.document().discovered_timestamp;
            wait_until("another sweep", SHORT, || a.document().discovered_timestamp > stamp);
            drop(stranger);
            assert_eq!(a.document().discovered_files.len(), 1);
            assert_eq!(peer.ending(), None);
        }
        a.sees(&content, 1);
    });
}

/// "One that is [...] lying [...] costs time, never correctness": a stranger says that it has the whole
/// file, and gives a chain of states that is forged from some point on, with bytes to fit.
#[test]
fn a_forged_chain_costs_time_never_correctness() {
    in_lab(3, |lab| {
        let content = Content::random(504, 3 << 20);
        lab.put(0, "file.bin", &content);
        lab.limit(0, 40);
        let _peer = lab.host(0).peer();
        let id = content.sha1.parse::<ContentId>().unwrap();
        let blocks = content.bytes.len().div_ceil(65_536);
        let mut random = files::Random::new(505);
        for (round, genuine_blocks) in [0, blocks / 2, blocks - 1].into_iter().enumerate() {
            let forged = random.next().to_le_bytes()[0];
            let mut bytes = content.bytes.clone();
            bytes[genuine_blocks * 65_536..].fill(forged);
            // The states that these bytes have, which lead to another name in the end.
            let states = states_of(&bytes);
            let claim = Claim { content: id, size: content.size(), bytes, states };
            let story = Story { claims: vec![claim], ..Story::default() };
            let stranger = Stranger::start(story, Vec::new());
            let name = format!("{round}.bin");
            let mut fetch = lab.fetch(1, &content, &name, &["10.77.0.254", "10.77.0.1"]);
            fetch.succeeds(LONG);
            lab.host(1).has(&name, &content);
            assert!(stranger.granted() > 0, "the stranger was never asked");
            std::fs::remove_file(lab.host(1).shared(&name)).unwrap();
        }
    });
}

/// Two files that were made to have one SHA-1: neither is listed, and no fetch publishes one, whoever
/// serves it. No front end starts such a fetch again.
#[test]
fn files_that_were_made_to_collide_are_neither_listed_nor_published() {
    in_lab(4, |lab| {
        let attacks: [&[u8]; 2] = [
            include_bytes!("../collisions/shattered-1.bin"),
            include_bytes!("../collisions/shattered-2.bin"),
        ];
        let tail = Content::random(506, 300_000);
        let twins = attacks.map(|attack| Content::of([attack, &tail.bytes].concat()));
        assert_eq!(twins[0].sha1, twins[1].sha1);
        let good = Content::random(507, 10_000);
        for (index, twin) in twins.iter().enumerate() {
            lab.put(index, "twin.bin", twin);
            lab.put(index, "good.bin", &good);
        }
        let peers = [0, 1, 2].map(|index| lab.host(index).peer());
        lab.host(2).sees(&good, 2);
        for peer in &peers[..2] {
            wait_until("the sentence", SHORT, || peer.stderr().contains("not offered"));
            let told = peer.stderr();
            assert_eq!(told.matches("twin.bin was made so that another file has").count(), 1);
        }
        for host in 0..3 {
            assert!(lab.host(host).document().entry(&twins[0].sha1).is_none());
        }
        // It lies in share/ already; no network is needed to know.
        let told = lab.fetch(0, &twins[0], "copy.bin", &[]).fails(1, SHORT);
        assert!(told.contains("another one has the same SHA-1"), "{told}");
        assert!(!lab.host(0).shared("copy.bin").exists());
        let d = lab.host(3);
        for twin in &twins {
            let (size, bytes) = (twin.size(), twin.bytes.clone());
            let (content, states) = (twin.sha1.parse().unwrap(), states_of(&bytes));
            let claim = Claim { content, size, bytes, states };
            let story = Story { claims: vec![claim], ..Story::default() };
            let stranger = Stranger::start(story, Vec::new());
            let told = lab.fetch(3, twin, "twin.bin", &["10.77.0.254"]).fails(1, LONG);
            assert!(told.contains("another one has the same SHA-1"), "{told}");
            assert!(stranger.granted() > 0, "it came from there");
            assert!(d.chunk_names().is_empty(), "a front end would start it again");
            assert!(!d.shared("twin.bin").exists());
        }
        // Started anew, a peer remembers, and tells once again.
        drop(peers);
        let again = lab.host(0).peer();
        wait_until("the sentence", SHORT, || again.stderr().contains("not offered"));
    });
}

/// The states at the inner block boundaries, 20 bytes each.
fn states_of(bytes: &[u8]) -> Vec<u8> {
    use sprat::content::state_chain::ChainHasher;
    let mut hasher = ChainHasher::new(bytes.len() as u64);
    hasher.update(bytes);
    hasher.finish().unwrap().1
}
