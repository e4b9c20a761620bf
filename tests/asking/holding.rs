//! `loc`: who holds which blocks.

use serde_json::json;

use super::{answers, offered};
use crate::support::*;

/// "2 hosts hold all of it; 10.0.0.9 holds blocks 0-411 of 1024".
#[test]
fn who_holds_all_and_who_holds_a_part() {
    in_lab(4, |lab| {
        let film = Content::random(3, 4 << 20);
        let _peers = (lab.host(0).peer(), lab.host(1).peer(), lab.host(2).peer());
        lab.put(0, "film.mov", &film);
        lab.put(1, "films/a.mov", &film);
        offered(lab.host(3), 2);
        // Half of it, and no more.
        lab.limit(0, 10);
        lab.limit(1, 10);
        let mut fetch = lab.fetch(2, &film, "film.mov", &["10.77.0.1"]);
        wait_until("a part to be there", LONG, || lab.host(2).progress(&film) > 1 << 20);
        fetch.kill();
        let (a, b, c) = (lab.host(0).address(), lab.host(1).address(), lab.host(2).address());
        let mut told = Vec::new();
        wait_until("the part to be offered", SHORT, || {
            told = answers(lab.host(3), &["loc", "film.mov"]);
            told.len() == 3 && told[2]["held"] != json!([])
        });
        let whole = |host: &str| {
            json!({ "sha1": film.sha1, "size": film.size(), "blocks": 64, "host": host, "whole": true,
                    "names": ["film.mov", "films/a.mov"], "held": [[0, 63]], "has_more": false })
        };
        assert_eq!(told[..2], [whole(&a), whole(&b)]);
        assert_eq!((&told[2]["host"], &told[2]["whole"]), (&json!(c), &json!(false)));
        let last = told[2]["held"][0][1].as_u64().unwrap();
        assert!(told[2]["held"][0][0] == 0 && (8..63).contains(&last), "{told:#?}");
        let mut text = lab.host(3).run(&["loc", &film.sha1]);
        text.succeeds(SHORT);
        let text = text.stdout();
        assert!(text.contains(&format!("2 hosts hold all of it: {a}, {b}")), "{text}");
        assert!(text.contains(&format!("{c} holds blocks 0-")), "{text}");
        assert!(text.contains(" of 64\n"), "{text}");
    });
}

/// What nobody has, and what nobody lists but somebody holds a part of.
#[test]
fn what_nobody_holds_whole() {
    in_lab(3, |lab| {
        let film = Content::random(4, 4 << 20);
        let mut first = lab.host(0).peer();
        let _second = lab.host(1).peer();
        lab.put(0, "film.mov", &film);
        offered(lab.host(2), 1);
        lab.limit(0, 10);
        let mut fetch = lab.fetch(1, &film, "film.mov", &["10.77.0.1"]);
        wait_until("a part to be there", LONG, || lab.host(1).progress(&film) > 1 << 20);
        fetch.kill();
        first.signal("TERM");
        first.wait(SHORT);
        wait_until("the part to be offered", SHORT, || {
            let mut loc = lab.host(2).run(&["loc", &film.sha1]);
            loc.wait(SHORT) == Ending::Exit(0) && loc.stdout().contains("holds blocks 0-")
        });
        let none = "00".repeat(20);
        let told = lab.host(2).run(&["loc", &none]).fails(1, SHORT);
        assert!(told.contains(&none), "{told}");
        let told = lab.host(2).run(&["loc", "film.mov"]).fails(1, SHORT);
        assert!(told.contains("no file is called film.mov"), "{told}");
    });
}
