//! `--limit`, through the command line: a lower bound of the time is all that holds on any machine.

use std::time::{Duration, Instant};

use crate::support::*;

/// Three mebibytes at one a second, less what is caught up with.
const AT_LEAST: Duration = Duration::from_millis(2_900);

#[test]
fn a_limited_fetch_and_a_fetch_from_a_limited_peer_take_their_time() {
    in_lab(2, |lab| {
        let content = Content::random(702, 3 << 20);
        lab.put(0, "file.bin", &content);
        for (at_peer, at_fetch) in [(&["--limit=1M"][..], &[][..]), (&[], &["--limit=1M"])] {
            let _peer = lab.host(0).peer_with(at_peer);
            let start = Instant::now();
            let mut fetch = lab.host(1).fetch_with(at_fetch, &content, "x", &["10.77.0.1"]);
            fetch.succeeds(LONG);
            assert!(start.elapsed() >= AT_LEAST, "{at_peer:?}: {:?}", start.elapsed());
            lab.host(1).has("x", &content);
            std::fs::remove_file(lab.host(1).shared("x")).unwrap();
        }
    });
}
