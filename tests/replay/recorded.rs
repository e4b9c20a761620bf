//! Runs of the real program, recorded and replayed.

use std::fs;
use std::path::PathBuf;

use super::program::{is_equal, replay};
use crate::support::files::Random;
use crate::support::{Content, Ending, Host, LONG, Lab, SHORT, in_lab, wait_until};

fn trace(host: &Host, name: &str) -> (PathBuf, String) {
    let path = host.root.join(name);
    let text = path.to_str().unwrap().to_owned();
    (path, text)
}

#[test]
fn a_fetch_from_two_peers_and_both_of_them() {
    in_lab(3, |lab| {
        let content = Content::random(1, 3 << 20);
        lab.put(0, "folder/one.bin", &content);
        lab.put(1, "two.bin", &content);
        let traces: Vec<_> = (0..3).map(|host| trace(lab.host(host), "run.trace")).collect();
        let mut peers: Vec<_> =
            (0..2).map(|host| lab.host(host).peer_with(&["--trace", &traces[host].1])).collect();
        lab.host(0).sees(&content, 1);
        let options = ["--trace", traces[2].1.as_str()];
        let sources = ["10.77.0.1", "10.77.0.2"];
        lab.host(2).fetch_with(&options, &content, "got.bin", &sources).succeeds(LONG);
        for peer in &mut peers {
            peer.signal("TERM");
            assert_eq!(peer.wait(SHORT), Ending::Signal(15));
        }
        traces.iter().for_each(|(path, _)| is_equal(path));
        let text = fs::read_to_string(&traces[2].0).unwrap();
        assert!(text.contains("\"endings\":[[1,{\"done\":\"got.bin\"}]]"));
        assert!(fs::read_to_string(&traces[0].0).unwrap().contains("\"how\":{\"signal\":15}"));
    });
}

/// A link whose queue holds less than what a grant asks for, so that it loses much, for a fetch that is given
/// nothing but the name.
#[test]
fn a_fetch_over_a_bad_link() {
    in_lab(2, |lab| {
        let content = Content::random(2, 1 << 20);
        lab.put(0, "file", &content);
        let shaped = "qdisc replace dev eth0 root tbf rate 30mbit burst 5kb latency 2ms";
        let status = lab.host(0).enter("tc").args(shaped.split(' ')).status().unwrap();
        assert!(status.success());
        let (peer_trace, peer_text) = trace(lab.host(0), "peer.trace");
        let (fetch_trace, fetch_text) = trace(lab.host(1), "fetch.trace");
        let mut peer = lab.host(0).peer_with(&["--trace", &peer_text]);
        let options = ["--trace", fetch_text.as_str()];
        lab.host(1).fetch_with(&options, &content, "file", &[]).succeeds(LONG);
        peer.kill();
        is_equal(&fetch_trace);
        // Killed: what was written until then is equal, and that the end is missing is told.
        let told = replay(&peer_trace, &[]);
        assert_eq!(told.code, Some(2), "{}", told.stderr);
        assert!(told.stderr.contains("the trace is cut off after"), "{}", told.stderr);
        assert!(told.stderr.contains("are as recorded"), "{}", told.stderr);
    });
}

#[test]
fn fetches_that_do_not_succeed() {
    in_lab(1, |lab| {
        let host = lab.host(0);
        let content = Content::random(3, 100_000);
        let (path, text) = trace(host, "late.trace");
        let options = ["--trace", text.as_str(), "--timeout", "0.5"];
        host.fetch_with(&options, &content, "file", &["10.77.0.9"]).fails(75, SHORT);
        is_equal(&path);
        assert!(fs::read_to_string(&path).unwrap().contains("\"how\":{\"exit\":75}"));

        let content = Content::random(33, 100_000);
        let (path, text) = trace(host, "interrupted.trace");
        let mut fetch = host.fetch_with(&["--trace", &text], &content, "file", &["10.77.0.9"]);
        wait_until("attrs", SHORT, || host.attrs(&content).exists());
        fetch.signal("INT");
        assert_eq!(fetch.wait(SHORT), Ending::Signal(2));
        is_equal(&path);
    });
}

const SECRETS: [&str; 7] =
    ["zebra", "Abraham", "hidden", "Tagebuch", "moved", "wanted-name", "host1/"];

/// Everything that has to do with names: many of them, listings of others, files that come, change, go
/// and are hidden, a download that gets another name, and one that fails with a path in its sentence.
#[test]
fn a_private_trace_tells_no_names_and_replays() {
    in_lab(3, |lab| {
        let mut random = Random::new(4);
        for number in 0..300 {
            let content = Content::random(number, 100);
            let folder = ["zebra/ä", "Abraham", "hidden"][random.below(3) as usize];
            lab.put(number as usize % 2, &format!("{folder}/Tagebuch {number}.txt"), &content);
        }
        let big = Content::random(1_000, 300_000);
        lab.put(0, "zebra/big.bin", &big);
        lab.put(1, "Abraham.bin", &big);
        let traces: Vec<_> = (0..3).map(|host| trace(lab.host(host), "t.trace")).collect();
        let private = |host: usize| ["--trace", traces[host].1.as_str(), "--trace-private"];
        let mut peers: Vec<_> =
            (0..2).map(|host| lab.host(host).peer_with(&private(host))).collect();
        lab.host(0).sees(&big, 1);
        lab.host(1).sees(&big, 1);
        names_change(lab);
        // What stands under the wanted name is other content, so that the file goes beside it.
        let other = Content::random(1_001, 77);
        lab.put(2, "wanted-name.bin", &other);
        lab.host(2).fetch_with(&private(2), &big, "wanted-name.bin", &[]).succeeds(LONG);
        for peer in &mut peers {
            peer.signal("TERM");
            peer.wait(SHORT);
        }
        for (path, _) in &traces {
            is_equal(path);
            let text = fs::read_to_string(path).unwrap();
            for secret in SECRETS {
                let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
                assert!(!text.contains(secret) && !text.contains(&hex), "{secret} in {path:?}");
            }
            assert!(text.matches("i000").count() > 0);
        }
    });
}

fn names_change(lab: &Lab) {
    let (a, b) = (lab.host(0), lab.host(1));
    let late = Content::random(2_000, 500);
    fs::rename(a.shared("zebra/big.bin"), a.shared("moved.bin")).unwrap();
    lab.put(0, "zebra/late Tagebuch.txt", &late);
    b.sees(&late, 1);
    fs::remove_file(a.shared("zebra/late Tagebuch.txt")).unwrap();
    b.sees(&late, 0);
}

#[test]
fn payload_can_be_kept() {
    in_lab(2, |lab| {
        let content = Content::random(5, 200_000);
        lab.put(0, "file", &content);
        let _peer = lab.host(0).peer();
        let (path, text) = trace(lab.host(1), "whole.trace");
        let options = ["--trace", &text, "--trace-payload"];
        lab.host(1).fetch_with(&options, &content, "file", &["10.77.0.1"]).succeeds(LONG);
        is_equal(&path);
        let hex: String = content.bytes[..500].iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(fs::read_to_string(&path).unwrap().contains(&hex));
    });
}

#[test]
fn nothing_is_overwritten() {
    in_lab(1, |lab| {
        let host = lab.host(0);
        let (path, text) = trace(host, "there");
        fs::write(&path, "dear to me").unwrap();
        let content = Content::of("x");
        let stderr = host.fetch_with(&["--trace", &text], &content, "x", &[]).fails(1, SHORT);
        assert!(stderr.contains("there already"), "{stderr}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "dear to me");
        // A flight recorder of a run before this one hinders nobody.
        let ring = ["--timeout", "0.1", "--trace", &text, "--trace-ring", "256K"];
        host.fetch_with(&ring, &content, "x", &[]).fails(75, SHORT);
        is_equal(&host.root.join("there.1"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "dear to me");
        let named = host.root.join("%p.trace");
        let options = ["--timeout", "0.1", "--trace", named.to_str().unwrap()];
        let mut fetch = host.fetch_with(&options, &content, "x", &[]);
        fetch.fails(75, SHORT);
        is_equal(&host.root.join(format!("{}.trace", fetch.pid())));
    });
}

/// `/dev/full` takes nothing: one warning, and the file arrives all the same.
#[test]
fn a_full_disk_ends_the_trace_and_not_the_run() {
    in_lab(2, |lab| {
        let content = Content::random(6, 4 << 20);
        lab.put(0, "file", &content);
        let _peer = lab.host(0).peer();
        let mut fetch =
            lab.host(1).fetch_with(&["--trace", "/dev/full"], &content, "file", &["10.77.0.1"]);
        fetch.succeeds(LONG);
        let stderr = fetch.stderr();
        assert_eq!(stderr.matches("/dev/full ends here").count(), 1, "{stderr}");
        lab.host(1).has("file", &content);
    });
}
