//! kill -9 at random moments of a fetch, a hundred times: always resumed, never a partial file. All the
//! while `share/` is watched as fast as possible.

#![allow(clippy::disallowed_methods, reason = "tests live outside: they have a clock")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![allow(clippy::print_stdout, reason = "what a failed test shows")]

mod support;

use std::fs;
use std::time::Duration;

use support::*;

/// The whole is over in this many kills.
const KILLS: usize = 50;

/// "Killed at any moment and started again with the same arguments, it goes on from what is on disk": on
/// a link so slow that most kills hit the transfer.
#[test]
fn killed_during_the_transfer() {
    in_lab(3, |lab| {
        lab.limit(0, 60);
        lab.limit(1, 60);
        kill_and_resume(lab, 4 << 20, 350);
    });
}

/// The same without a limit, so that most kills hit the start, the joining, the publishing and the
/// cleaning up.
#[test]
fn killed_while_starting_and_publishing() {
    in_lab(3, |lab| kill_and_resume(lab, 3 << 20, 200));
}

fn kill_and_resume(lab: &Lab, size: usize, longest_ms: u64) {
    let seed = std::env::var("SPRAT_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(files::Random::unforeseen);
    println!("SPRAT_SEED={seed}");
    let mut random = files::Random::new(seed);
    let _peers = (lab.host(0).peer(), lab.host(1).peer());
    let c = lab.host(2);
    let (mut kills, mut files, mut resumed) = (0, 0, 0);
    while kills < KILLS {
        files += 1;
        let length = size + usize::try_from(random.below(70_000)).unwrap();
        let content = Content::random(random.next(), length);
        let name = format!("folder/{files}.bin");
        lab.put(0, &name, &content);
        lab.put(1, &name, &content);
        loop {
            let before = c.progress(&content);
            let sources = ["10.77.0.1", "10.77.0.2"];
            let mut fetch = lab.fetch(2, &content, &name, &sources);
            std::thread::sleep(Duration::from_micros(random.below(longest_ms * 1000)));
            if kills == KILLS || fetch.ending().is_some() {
                fetch.succeeds(LONG);
                break;
            }
            fetch.kill();
            kills += 1;
            check_what_is_left(c, &content, &name);
            resumed += usize::from(before > 0);
        }
        c.has(&name, &content);
        fs::remove_file(c.shared(&name)).unwrap();
    }
    println!("{kills} kills over {files} files, {resumed} of them in a resumed fetch");
}

/// Whatever the moment: attrs or the file are there, the chunk files hold nothing but genuine bytes up to
/// a tail that the kill cut, and nothing lies in `share/` that is not whole.
fn check_what_is_left(host: &Host, content: &Content, name: &str) {
    for (offset, _) in host.extents(content) {
        let path = host.chunks().join(format!("{}:chunk:{offset}", content.sha1));
        let bytes = fs::read(path).unwrap();
        let offset = usize::try_from(offset).unwrap();
        let expected = &content.bytes[offset..offset + bytes.len()];
        assert!(bytes == expected, "chunk {offset}");
    }
    if let Ok(bytes) = fs::read(host.shared(name)) {
        assert!(bytes == content.bytes);
    }
    if !host.extents(content).is_empty() {
        assert!(host.attrs(content).exists(), "attrs go last");
    }
}
