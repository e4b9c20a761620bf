//! `sprat fetch`: attrs, chunks, publishing, and being started again.

use std::fs;
use std::net::UdpSocket;

use crate::support::*;

/// "At once, before any network traffic, `chunks/SHA1:attrs` exists and holds, to the letter,
/// `{ "name": "hackers.mov", "size": 967632312 }` (name as a JSON string)."
#[test]
fn attrs_are_there_to_the_letter_before_any_network_traffic() {
    in_lab(1, |lab| {
        let a = lab.host(0);
        // The first datagram of the fetch arrives here, and attrs must be there by then.
        let socket = UdpSocket::bind("10.77.0.254:27183").unwrap();
        socket.set_read_timeout(Some(SHORT)).unwrap();
        let cases = [
            ("hackers.mov", r#"{ "name": "hackers.mov", "size": 967632312 }"#),
            ("a \"b\" é.txt", r#"{ "name": "a \"b\" é.txt", "size": 967632312 }"#),
            ("animals/fox.txt", r#"{ "name": "animals/fox.txt", "size": 967632312 }"#),
        ];
        for (number, (name, expected)) in cases.iter().enumerate() {
            let sha1 = format!("{number:040x}");
            let arguments = ["fetch", &sha1, name, "967632312", "10.77.0.254"];
            let mut fetch = a.run(&arguments);
            let (_, from) = socket.recv_from(&mut [0; 2048]).unwrap();
            let attrs = fs::read_to_string(a.chunks().join(format!("{sha1}:attrs")));
            assert_eq!(attrs.unwrap(), *expected);
            assert_eq!(from.ip(), a.ip);
            fetch.kill();
            // What was still on its way from this one is not taken for the next one's.
            socket.set_nonblocking(true).unwrap();
            while socket.recv_from(&mut [0; 2048]).is_ok() {}
            socket.set_nonblocking(false).unwrap();
        }
    });
}

/// The same where there is no network at all, nor will be.
#[test]
fn attrs_are_there_without_any_network() {
    in_lab(1, |lab| {
        let a = lab.host(0);
        host::run(a.enter("ip").args(["link", "set", "eth0", "down"]));
        host::run(a.enter("ip").args(["link", "set", "lo", "down"]));
        let content = Content::random(100, 10);
        let mut fetch = lab.fetch(0, &content, "x", &["192.0.2.1"]);
        wait_until("attrs", SHORT, || a.attrs(&content).exists());
        // It waits for as long as it takes, and works once there is one.
        host::run(a.enter("ip").args(["link", "set", "lo", "up"]));
        holds_for("it waits", std::time::Duration::from_secs(1), || fetch.ending().is_none());
        fetch.kill();
        let attrs = fs::read_to_string(a.attrs(&content)).unwrap();
        assert_eq!(attrs, r#"{ "name": "x", "size": 10 }"#);
    });
}

/// "Data goes into `chunks/SHA1:chunk:OFFSET`, OFFSET being the decimal byte position in the file at
/// which that chunk begins. Chunk files never overlap and never hold a byte that was not received and
/// verified, so that the sum of their lengths over SIZE is the progress." "The chunks and then the attrs
/// are removed, and the process exits 0."
#[test]
fn chunk_files_hold_only_genuine_bytes_and_tell_the_progress() {
    in_lab(3, |lab| {
        let content = Content::random(101, 24 << 20);
        for index in [0, 1] {
            lab.put(index, "file.bin", &content);
            lab.limit(index, 50);
        }
        let _peers = (lab.host(0).peer(), lab.host(1).peer());
        let c = lab.host(2);
        let mut fetch = lab.fetch(2, &content, "file.bin", &["10.77.0.1", "10.77.0.2"]);
        let (mut looks, mut steps, mut last) = (0, 0, 0);
        while fetch.ending().is_none() {
            let mut sum = 0;
            let mut end = 0;
            let attrs_there = c.attrs(&content).exists();
            let extents = c.extents(&content);
            assert!(attrs_there || extents.is_empty() || looks == 0, "attrs go last: {extents:?}");
            for (offset, length) in extents {
                assert!(offset >= end, "chunk {offset} begins before {end}");
                end = offset + length;
                sum += length;
                assert!(end <= content.size());
                let path = c.chunks().join(format!("{}:chunk:{offset}", content.sha1));
                let Ok(bytes) = fs::read(path) else { continue };
                let offset = usize::try_from(offset).unwrap();
                let genuine = content.bytes.get(offset..offset + bytes.len());
                assert!(genuine == Some(&bytes[..]), "chunk {offset}: {} bytes", bytes.len());
            }
            // While the parts are joined and published nothing more is learnt from the sum.
            if sum > last {
                (last, steps) = (sum, steps + 1);
            }
            looks += 1;
        }
        fetch.succeeds(SHORT);
        c.has("file.bin", &content);
        assert!(looks > 20 && steps > 5, "looked {looks} times, saw {steps} steps");
    });
}

/// "It is idempotent: killed at any moment and started again with the same arguments, it goes on from
/// what is on disk." Judged by what comes over the wire the second time.
#[test]
fn a_second_start_goes_on_from_what_is_on_disk() {
    in_lab(2, |lab| {
        let content = Content::random(102, 20 << 20);
        lab.put(0, "file.bin", &content);
        lab.limit(0, 60);
        let _peer = lab.host(0).peer();
        let b = lab.host(1);
        let mut fetch = lab.fetch(1, &content, "file.bin", &["10.77.0.1"]);
        wait_until("three fifths", LONG, || b.progress(&content) > 6 << 20);
        fetch.kill();
        let kept = b.progress(&content);
        let before = b.traffic().0;
        let mut again = lab.fetch(1, &content, "file.bin", &["10.77.0.1"]);
        again.succeeds(LONG);
        b.has("file.bin", &content);
        let received = b.traffic().0 - before;
        let wanted = content.size() - kept;
        assert!(received < wanted * 5 / 4 + (1 << 20), "{received} bytes for {wanted}");
        // And once more, when all is done.
        lab.fetch(1, &content, "file.bin", &[]).succeeds(SHORT);
        b.has("file.bin", &content);
    });
}

/// The sum of the chunk files is believed by nobody: what is on disk is checked, not trusted.
#[test]
fn rubbish_in_the_chunk_files_is_found_and_fetched_again() {
    in_lab(2, |lab| {
        let content = Content::random(103, 16 << 20);
        lab.put(0, "file.bin", &content);
        lab.limit(0, 60);
        let _peer = lab.host(0).peer();
        let b = lab.host(1);
        let mut fetch = lab.fetch(1, &content, "file.bin", &["10.77.0.1"]);
        wait_until("a half", LONG, || b.progress(&content) > 2 << 20);
        fetch.kill();
        let (offset, length) = b.extents(&content)[0];
        let chunk = b.chunks().join(format!("{}:chunk:{offset}", content.sha1));
        let mut bytes = fs::read(&chunk).unwrap();
        bytes[usize::try_from(length / 2).unwrap()] ^= 0x40;
        bytes.extend_from_slice(&[7; 777]);
        fs::write(&chunk, bytes).unwrap();
        let rubbish = |offset: &str| b.chunks().join(format!("{}:chunk:{offset}", content.sha1));
        fs::write(rubbish("99999999999"), "beyond the end").unwrap();
        fs::write(rubbish("0100"), "not a number of ours").unwrap();
        fs::write(rubbish("18446744073709551616"), "too large").unwrap();
        fs::write(rubbish("16777000"), "x".repeat(1000)).unwrap();
        fs::remove_file(rubbish("0100")).unwrap();
        lab.fetch(1, &content, "file.bin", &["10.77.0.1"]).succeeds(LONG);
        assert_eq!(fs::read(b.shared("file.bin")).unwrap(), content.bytes);
        assert!(!b.attrs(&content).exists());
    });
}

/// "Where `share/NAME` already is that content, it cleans up and exits 0 without network traffic."
#[test]
fn a_file_that_is_there_already_needs_no_network() {
    in_lab(1, |lab| {
        let a = lab.host(0);
        let content = Content::random(104, 200_000);
        lab.put(0, "folder/file.bin", &content);
        fs::create_dir(a.chunks()).unwrap();
        let attrs = format!(r#"{{ "name": "folder/file.bin", "size": {} }}"#, content.size());
        fs::write(a.attrs(&content), attrs).unwrap();
        let chunk = a.chunks().join(format!("{}:chunk:0", content.sha1));
        fs::write(chunk, &content.bytes[..65536]).unwrap();
        let before = a.datagrams_sent();
        lab.fetch(0, &content, "folder/file.bin", &["10.77.0.254"]).succeeds(SHORT);
        assert_eq!(a.datagrams_sent(), before);
        a.has("folder/file.bin", &content);
    });
}

/// "Where the same content lies in `share/` under another name, it is copied from there."
#[test]
fn content_that_is_there_under_another_name_is_copied() {
    in_lab(1, |lab| {
        let a = lab.host(0);
        let content = Content::random(105, 3_000_000);
        // Others of the same size are in the way.
        for seed in 0..5 {
            lab.put(0, &format!("{seed}.bin"), &Content::random(seed, 3_000_000));
        }
        lab.put(0, "old/name.bin", &content);
        lab.fetch(0, &content, "new/name.bin", &[]).succeeds(LONG);
        a.has("new/name.bin", &content);
        a.has("old/name.bin", &content);
    });
}

/// "A second one started for the same file waits for the first, takes over when that one dies, and exits
/// 0 when the file is there."
#[test]
fn a_second_fetch_waits_takes_over_and_exits_0() {
    in_lab(2, |lab| {
        let content = Content::random(106, 20 << 20);
        lab.put(0, "file.bin", &content);
        lab.limit(0, 50);
        let _peer = lab.host(0).peer();
        let b = lab.host(1);
        let mut first = lab.fetch(1, &content, "file.bin", &["10.77.0.1"]);
        wait_until("the first part", LONG, || b.progress(&content) > 1 << 20);
        let mut second = lab.fetch(1, &content, "file.bin", &["10.77.0.1"]);
        let mut third = lab.fetch(1, &content, "file.bin", &[]);
        wait_until("a half", LONG, || b.progress(&content) > 5 << 20);
        for fetch in [&mut first, &mut second, &mut third] {
            assert_eq!(fetch.ending(), None);
        }
        first.kill();
        let at_death = b.progress(&content);
        second.succeeds(LONG);
        third.succeeds(LONG);
        b.has("file.bin", &content);
        assert!(at_death < content.size());
    });
}

/// The same where the first one gets through.
#[test]
fn a_second_fetch_exits_0_when_the_first_has_done_the_work() {
    in_lab(2, |lab| {
        let content = Content::random(107, 4 << 20);
        lab.put(0, "file.bin", &content);
        lab.limit(0, 50);
        let _peer = lab.host(0).peer();
        let b = lab.host(1);
        let mut first = lab.fetch(1, &content, "file.bin", &["10.77.0.1"]);
        wait_until("attrs", SHORT, || b.attrs(&content).exists());
        let mut second = lab.fetch(1, &content, "file.bin", &["10.77.0.1"]);
        first.succeeds(LONG);
        second.succeeds(LONG);
        b.has("file.bin", &content);
        assert_eq!(host::names_in(&b.share()), ["file.bin"]);
    });
}

/// "A front end restarts one fetch for every `chunks/*:attrs` it finds, and knows no IP then."
#[test]
fn a_front_end_restarts_every_fetch_it_finds() {
    in_lab(2, |lab| {
        let contents: Vec<_> = (110..113).map(|seed| Content::random(seed, 12 << 20)).collect();
        for (number, content) in contents.iter().enumerate() {
            lab.put(0, &format!("{number}.bin"), content);
        }
        lab.limit(0, 60);
        let _peer = lab.host(0).peer();
        let b = lab.host(1);
        let start =
            |(number, content)| lab.fetch(1, content, &format!("got/{number}.bin"), &["10.77.0.1"]);
        let mut fetches: Vec<_> = contents.iter().enumerate().map(start).collect();
        wait_until("some of each", LONG, || {
            contents.iter().all(|content| b.progress(content) > 100_000)
        });
        fetches.iter_mut().for_each(Running::kill);
        let names = b.chunk_names();
        let found = names.iter().filter_map(|name| name.strip_suffix(":attrs"));
        let mut restarted = Vec::new();
        for sha1 in found {
            let text = fs::read_to_string(b.chunks().join(format!("{sha1}:attrs"))).unwrap();
            let attrs: serde_json::Value = serde_json::from_str(&text).unwrap();
            let (name, size) = (attrs["name"].as_str().unwrap(), attrs["size"].to_string());
            restarted.push(b.run(&["fetch", sha1, name, &size]));
        }
        assert_eq!(restarted.len(), 3);
        restarted.iter_mut().for_each(|fetch| fetch.succeeds(LONG));
        for (number, content) in contents.iter().enumerate() {
            b.has(&format!("got/{number}.bin"), content);
        }
    });
}

/// Where the kernel takes one datagram a system call: on either side, and on both.
#[test]
fn one_datagram_a_system_call_carries_a_file_as_well() {
    in_lab(2, |lab| {
        let content = Content::random(118, (3 << 20) + 777);
        lab.put(0, "file.bin", &content);
        let size = content.size().to_string();
        let start = |index: usize, plain: bool, arguments: &[&str]| {
            let host = lab.host(index);
            let mut command = host.sprat();
            if plain {
                command.env("SPRAT_PLAIN_SOCKET", "1");
            }
            command.arg("-v").args(arguments);
            host.start(command)
        };
        for (plain_peer, plain_fetch) in [(true, true), (true, false), (false, true)] {
            let mut peer = start(0, plain_peer, &["peer"]);
            let arguments = ["fetch", &content.sha1, "got.bin", &size, "10.77.0.1"];
            let mut fetch = start(1, plain_fetch, &arguments);
            fetch.succeeds(LONG);
            lab.host(1).has("got.bin", &content);
            fs::remove_file(lab.host(1).shared("got.bin")).unwrap();
            for (run, plain) in [(&peer, plain_peer), (&fetch, plain_fetch)] {
                assert_eq!(run.stderr().contains("one datagram a system call"), plain);
            }
            peer.kill();
        }
    });
}
