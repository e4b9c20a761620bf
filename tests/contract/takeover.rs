//! Several peers on one machine.

use std::time::Duration;

use crate::support::*;

/// "Started in a folder where a `peer` already runs, the newcomer takes over and the older one ends
/// cleanly within two seconds."
#[test]
fn the_newest_peer_in_a_folder_takes_over() {
    in_lab(2, |lab| {
        let content = Content::random(60, 3000);
        lab.put(0, "a.bin", &content);
        let _b = lab.host(1).peer();
        let mut peers = vec![lab.host(0).peer()];
        lab.host(1).sees(&content, 1);
        for _ in 0..3 {
            let newcomer = lab.host(0).run(&["peer"]);
            let older = peers.last_mut().unwrap();
            assert_eq!(older.wait(SHORT), Ending::Exit(0), "{}", older.stderr());
            assert!(newcomer.age() < Duration::from_secs(2), "took {:?}", newcomer.age());
            peers.push(newcomer);
        }
        // The last one does a peer's work: what it is given is seen, and it sees.
        let late = Content::random(61, 3000);
        lab.put(0, "late.bin", &late);
        lab.host(1).sees(&late, 1);
        lab.host(1).sees(&content, 1);
        let other = Content::random(62, 3000);
        lab.put(1, "other.bin", &other);
        lab.host(0).sees(&other, 1);
        assert_eq!(peers.last_mut().unwrap().ending(), None);
    });
}

/// The same where the older one is stuck: it has been stopped and answers nothing.
#[test]
fn a_stopped_peer_does_not_keep_the_newcomer_out_for_ever() {
    in_lab(1, |lab| {
        let mut older = lab.host(0).peer();
        older.signal("STOP");
        let mut newcomer = lab.host(0).run(&["peer"]);
        // Either it gets in or it says why it does not; it never hangs.
        wait_until("a decision", SHORT, || {
            let before = lab.host(0).document().discovered_timestamp;
            let ended = newcomer.ending();
            assert!(matches!(ended, None | Some(Ending::Exit(1))), "{}", newcomer.stderr());
            ended.is_some() || {
                std::thread::sleep(Duration::from_millis(2100));
                lab.host(0).document().discovered_timestamp > before
            }
        });
    });
}

/// "Where another folder's peer holds the port, the newcomer ends with exit 1 and a sentence."
#[test]
fn another_folders_peer_keeps_its_port() {
    in_lab(1, |lab| {
        let a = lab.host(0);
        let mut first = a.peer();
        let mut second = a.run(&["--root", "elsewhere", "peer"]);
        let sentence = second.fails(1, SHORT);
        assert!(sentence.contains("27183"), "{sentence}");
        assert_eq!(first.ending(), None);
        // What it says to do works: another port.
        let mut third = a.run(&["--root", "elsewhere", "--port", "27184", "peer"]);
        let document = a.root.join("elsewhere/d.json");
        wait_until("its document", SHORT, || Document::read(&document).is_some());
        assert_eq!(third.ending(), None);
        assert_eq!(first.ending(), None);
    });
}

/// "One well-known port (27183 unless told otherwise; `fetch` takes any free one)": a fetch beside a
/// peer, and several of them, get along.
#[test]
fn fetches_run_beside_a_peer() {
    in_lab(2, |lab| {
        let contents: Vec<_> = (70..74).map(|seed| Content::random(seed, 300_000)).collect();
        let _peers = (lab.host(0).peer(), lab.host(1).peer());
        for (number, content) in contents.iter().enumerate() {
            lab.put(0, &format!("{number}"), content);
        }
        contents.iter().for_each(|content| drop(lab.host(1).sees(content, 1)));
        let start =
            |(number, content)| lab.fetch(1, content, &format!("copy/{number}"), &["10.77.0.1"]);
        let mut fetches: Vec<_> = contents.iter().enumerate().map(start).collect();
        fetches.iter_mut().for_each(|fetch| fetch.succeeds(LONG));
        // And the peer beside them offers what they brought.
        contents.iter().for_each(|content| drop(lab.host(0).sees(content, 1)));
    });
}
