//! `ls`, `peers` and `info`.

use std::io::Read;
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::answers;
use crate::support::*;

/// A text with its runs of spaces made one, line by line.
fn words(text: &str) -> Vec<String> {
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// With no peer beside it, `ls` looks for itself, makes no folders, and shows each name of each content; and
/// so does one that reads a peer's document.
#[test]
fn what_there_is_by_a_look_and_from_a_document() {
    in_lab(4, |lab| {
        let (fox, film) = (Content::of("fox"), Content::random(1, 300_000));
        let _peers = (lab.host(0).peer(), lab.host(1).peer(), lab.host(2).peer());
        lab.put(0, "fox.txt", &fox);
        lab.put(1, "animals/fox.txt", &fox);
        lab.put(1, "film.mov", &film);
        lab.host(2).sees(&fox, 2);
        lab.host(2).sees(&film, 1);
        // What only asks writes nothing, and needs no folder.
        assert_eq!(answers(lab.host(3), &["--root", "none", "ls"]).len(), 3);
        assert!(!lab.host(3).root.join("none").exists());
        let (a, b) = (lab.host(0).address(), lab.host(1).address());
        let row = |name: &str, content: &Content, hosts: &[&str]| json!({ "name": name, "size": content.size(), "sha1": content.sha1, "hosts": hosts });
        let both = [
            row("animals/fox.txt", &fox, &[&a, &b]),
            row("film.mov", &film, &[&b]),
            row("fox.txt", &fox, &[&a, &b]),
        ];
        for host in [2, 3] {
            let host = lab.host(host);
            assert_eq!(answers(host, &["ls"]), both);
            assert_eq!(answers(host, &["ls", "animals/"]), both[..1]);
            assert_eq!(answers(host, &["ls", &film.sha1]), both[1..2]);
            let mut text = host.run(&["ls", "*.*"]);
            text.succeeds(SHORT);
            assert_eq!(words(&text.stdout()), ["300.00 kB 1 host film.mov", "3 B 2 hosts fox.txt"]);
        }
        let left: Vec<_> = std::fs::read_dir(&lab.host(3).root).unwrap().collect();
        assert!(left.is_empty(), "a question leaves nothing behind: {left:?}");
    });
}

/// "patterns and names that match nothing: exit 1 and a sentence with the nearest names".
#[test]
fn what_matches_nothing() {
    in_lab(2, |lab| {
        let _peer = lab.host(0).peer();
        lab.put(0, "animals/fox.txt", &Content::of("fox"));
        wait_until("the file to be offered", SHORT, || !answers(lab.host(1), &["ls"]).is_empty());
        for arguments in [["ls", "fix.txt"], ["info", "fix.txt"]] {
            let told = lab.host(1).run(&arguments).fails(1, SHORT);
            assert!(told.contains("there is animals/fox.txt"), "{told}");
        }
        let none = "00".repeat(20);
        let told = lab.host(1).run(&["info", &none]).fails(1, SHORT);
        assert!(told.contains(&none), "{told}");
    });
}

/// Who is there, however many addresses it has, and how it was reached; nobody is no error.
#[test]
fn who_is_there() {
    in_lab(3, |lab| {
        let mut alone = lab.host(2).run(&["peers"]);
        alone.succeeds(SHORT);
        assert_eq!(alone.stdout(), "");
        assert!(alone.stderr().contains("nobody answers"), "{}", alone.stderr());
        let _peers = (lab.host(0).peer(), lab.host(1).peer_with(&["--port", "30000"]));
        lab.put(0, "fox.txt", &Content::of("fox"));
        wait_until("the file to be offered", SHORT, || {
            answers(lab.host(2), &["peers"]).first().is_some_and(|host| host["files"] == 1)
        });
        let named = format!("{}:30000", lab.host(1).address());
        let hosts = answers(lab.host(2), &["peers", "--peer", &named]);
        let [first, second] = &hosts[..] else { panic!("{hosts:#?}") };
        assert_eq!(first["host"], lab.host(0).address());
        assert_eq!((&first["files"], &first["bytes"]), (&json!(1), &json!(3)));
        assert_eq!(first["this_machine"], false);
        let link_local = first["addresses"][1]["host"].as_str().unwrap();
        assert!(link_local.starts_with("fe80::"), "{link_local}");
        assert_eq!(first["addresses"][0]["ways"], json!(["broadcast", "multicast_v4"]));
        assert_eq!(first["addresses"][1]["ways"], json!(["multicast_v6"]));
        let since = first["since_ms"].as_u64().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let minute = 60_000;
        assert!((now - minute..=now).contains(&u128::from(since)), "{since}, {now}");
        assert!(first["rtt_us"].as_u64().is_some_and(|micros| micros < 1_000_000));
        assert_eq!(second["host"], named);
        assert_eq!(second["addresses"][0]["ways"], json!(["named"]));
        let own = answers(lab.host(0), &["peers"]);
        assert_eq!(own[0]["this_machine"], true);
    });
}

/// Size, blocks and places of each content that is meant.
#[test]
fn what_is_known_of_a_file() {
    in_lab(3, |lab| {
        let (fox, film) = (Content::of("fox"), Content::random(2, 200_000));
        let _peers = (lab.host(0).peer(), lab.host(1).peer());
        lab.put(0, "x", &film);
        lab.put(1, "y", &film);
        lab.put(1, "x", &fox);
        wait_until("the files to be offered", SHORT, || answers(lab.host(2), &["ls"]).len() == 3);
        let (a, b) = (lab.host(0).address(), lab.host(1).address());
        let told = answers(lab.host(2), &["info", &film.sha1]);
        // Both say the same chain, and it is no SHA-1 of the file.
        let chains = told[0]["chains"].clone();
        assert!(chains.as_array().is_some_and(|all| all.len() == 1 && all[0] != film.sha1));
        let of_film = json!({
            "sha1": film.sha1, "size": 200_000, "block_length": 65_536, "blocks": 4,
            "chains": chains,
            "locations": [{ "ip": a, "filename": "x" }, { "ip": b, "filename": "y" }],
        });
        assert_eq!(told, std::slice::from_ref(&of_film));
        let both = answers(lab.host(2), &["info", "x"]);
        assert_eq!(both.len(), 2);
        assert!(both.contains(&of_film), "{both:#?}");
        let mut text = lab.host(2).run(&["info", "y"]);
        text.succeeds(SHORT);
        let lines = words(&text.stdout());
        assert!(lines.contains(&"blocks 4 blocks of 65536 bytes".to_owned()), "{lines:?}");
    });
}

/// A reader that has seen enough is no error, however much there is.
#[test]
fn a_reader_that_stops_is_no_error() {
    in_lab(1, |lab| {
        let host = lab.host(0);
        // No peer owns this folder: its document is not read, and one that runs elsewhere is looked at.
        let other = host.root.join("other");
        std::fs::create_dir_all(other.join("share")).unwrap();
        for number in 0..2_000 {
            let name = format!("{number:04}-{}", "x".repeat(200));
            lab.watcher.allow(&Content::of(name.clone()));
            std::fs::write(other.join("share").join(&name), &name).unwrap();
        }
        let _peer = host.run(&["--root", "other", "peer"]);
        wait_until("the files to be offered", LONG, || answers(host, &["ls"]).len() == 2_000);
        for extra in [&["ls"][..], &["ls", "--json"][..]] {
            let mut command = host.sprat();
            command.args(extra).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            let mut first = [0; 100];
            child.stdout.take().unwrap().read_exact(&mut first).unwrap();
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(0));
            assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    });
}
