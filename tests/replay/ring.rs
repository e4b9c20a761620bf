//! The flight recorder: asked for, twice, and begun in the middle.

use std::fs;

use super::program::is_equal;
use crate::support::{Content, LONG, SHORT, in_lab, wait_until};

#[test]
fn it_is_written_when_somebody_asks_and_begins_in_the_middle() {
    in_lab(2, |lab| {
        let content = Content::random(1, 48 << 20);
        lab.put(0, "file", &content);
        lab.limit(0, 300);
        let peer_file = lab.host(0).root.join("peer.ring");
        let ring = ["--trace-ring", "256K", "--trace-private"];
        let options = [&["--trace", peer_file.to_str().unwrap()][..], &ring].concat();
        let mut peer = lab.host(0).peer_with(&options);
        let file = lab.host(1).root.join("ring");
        let options = ["--trace", file.to_str().unwrap(), "--trace-ring=256K"];
        let mut fetch = lab.host(1).fetch_with(&options, &content, "file", &["10.77.0.1"]);
        wait_until("two thirds", LONG, || lab.host(1).progress(&content) > 32 << 20);
        fetch.signal("USR1");
        wait_until("the ring", SHORT, || has_end(&file));
        fetch.signal("USR1");
        let second = lab.host(1).root.join("ring.1");
        wait_until("the second", SHORT, || has_end(&second));
        fetch.succeeds(LONG);
        peer.signal("USR1");
        wait_until("the peer's", SHORT, || has_end(&peer_file));
        for file in [&file, &second] {
            is_equal(file);
            let text = fs::read_to_string(file).unwrap();
            assert!(text.len() <= 256 << 10, "{}", text.len());
            let second_line = text.lines().nth(1).unwrap();
            assert!(second_line.starts_with("{\"snapshot\":{\"n\":"), "{}", &second_line[..60]);
            assert!(text.contains("\"how\":\"running\""));
        }
        is_equal(&peer_file);
    });
}

#[test]
fn it_is_written_when_the_run_fails_and_not_when_it_does_not() {
    in_lab(2, |lab| {
        let content = Content::random(2, 100_000);
        lab.put(0, "file", &content);
        let _peer = lab.host(0).peer();
        let file = lab.host(1).root.join("ring");
        let options = ["--trace", file.to_str().unwrap(), "--trace-ring", "1M"];
        lab.host(1).fetch_with(&options, &content, "file", &["10.77.0.1"]).succeeds(LONG);
        assert!(!file.exists());
        let absent = Content::random(3, 1_000);
        let options = [&options[..], &["--timeout", "0.3"]].concat();
        lab.host(1).fetch_with(&options, &absent, "absent", &[]).fails(75, SHORT);
        is_equal(&file);
        assert!(fs::read_to_string(&file).unwrap().contains("\"timed_out\""));
    });
}

fn has_end(file: &std::path::Path) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.ends_with("]}}\n"))
}
