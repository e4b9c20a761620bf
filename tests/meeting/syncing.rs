//! `peer --sync`.

use std::fs;
use std::net::SocketAddrV4;

use sprat::content::ContentId;

use crate::support::stranger::{Story, Stranger, listing_of};
use crate::support::*;

/// What others share arrives by itself, in its folders; where a name has other content both are kept; what somebody deletes
/// elsewhere stays, and what is deleted here does not come again, not even after a new start.
#[test]
fn what_others_share_arrives_and_nothing_is_overwritten_or_deleted() {
    in_lab(3, |lab| {
        let contents: Vec<Content> =
            (0..12).map(|n| Content::random(n, 1 + n as usize * 40_000)).collect();
        let (mine, theirs) = (Content::of("mine"), Content::of("theirs"));
        for (number, content) in contents.iter().enumerate() {
            lab.put(number % 2, &format!("deep/er/{number}.bin"), content);
        }
        lab.put(0, "same name", &theirs);
        lab.put(2, "same name", &mine);
        let _others = (lab.host(0).peer(), lab.host(1).peer());
        let host = lab.host(2);
        let mut synced = host.peer_with(&["--sync"]);
        let arrived = |number: usize| host.shared(&format!("deep/er/{number}.bin")).exists();
        wait_until("everything to arrive", LONG, || (0..12).all(arrived));
        let beside = format!("same name ({})", &theirs.sha1[..8]);
        wait_until("both to be kept", LONG, || {
            host.shared(&beside).exists() && host.chunk_names().is_empty()
        });
        for (number, content) in contents.iter().enumerate() {
            host.has(&format!("deep/er/{number}.bin"), content);
        }
        host.has("same name", &mine);
        host.has(&beside, &theirs);

        // Gone elsewhere, and gone here.
        fs::remove_file(lab.host(0).shared("deep/er/0.bin")).unwrap();
        fs::remove_file(host.shared("deep/er/1.bin")).unwrap();
        wait_until("the other's loss to be seen", SHORT, || {
            host.document().entry(&contents[0].sha1).is_none()
        });
        synced.signal("TERM");
        synced.wait(SHORT);
        let _synced = host.peer_with(&["--sync"]);
        let late = Content::random(99, 5_000);
        lab.put(1, "late", &late);
        wait_until("what came last", LONG, || {
            host.shared("late").exists() && host.chunk_names().is_empty()
        });
        host.has("deep/er/0.bin", &contents[0]);
        assert!(!arrived(1), "who deletes a file has deleted it");
    });
}

#[test]
fn patterns_and_sizes_choose_and_what_cannot_come_holds_nothing_up() {
    in_lab(2, |lab| {
        let (small, long) = (Content::random(1, 1_000), Content::random(2, 300_000));
        for (name, content) in [
            ("photos/a.jpg", &small),
            ("photos/b.raw", &long),
            ("notes/c.jpg", &long),
            ("photos/d.jpg", &long),
        ] {
            lab.put(0, name, content);
        }
        let more: Vec<Content> = (3..9).map(|n| Content::random(n, 2_000)).collect();
        for (number, content) in more.iter().enumerate() {
            lab.put(0, &format!("photos/e{number}.jpg"), content);
        }
        let _peer = lab.host(0).peer();
        let host = lab.host(1);
        // A folder stands where a file is to come: it fails, is told, and the others come.
        fs::create_dir_all(host.shared("photos/e0.jpg/x")).unwrap();
        let options =
            ["--sync", "--include", "photos/", "--exclude", "**.raw", "--max-size", "100K"];
        let synced = host.peer_with(&options);
        let is_there = |number: usize| host.shared(&format!("photos/e{number}.jpg")).is_file();
        wait_until("the others to come", LONG, || {
            host.shared("photos/a.jpg").exists() && (1..6).all(is_there)
        });
        for absent in ["photos/b.raw", "notes/c.jpg", "photos/d.jpg"] {
            assert!(!host.shared(absent).exists(), "{absent}: {}", synced.stderr());
        }
    });
}

/// A host that lists thousands of files and gives none is behind the others, and theirs come at once.
#[test]
fn who_lists_much_and_gives_nothing_holds_nobody_up() {
    in_lab(2, |lab| {
        let host = lab.host(1);
        let id = |name: &str| files::sha1_of(name.as_bytes()).parse::<ContentId>().unwrap();
        let names = (0..3_000).map(|n| format!("a{n:04}"));
        let listed: Vec<_> = names.map(|it| (it.clone().into_bytes(), id(&it), 10)).collect();
        let story = Story { files: 3_000, listing: listing_of(listed), claims: Vec::new() };
        let mut synced = host.peer_with(&["--sync", "-v"]);
        let _liar = Stranger::start(story, vec![SocketAddrV4::new(host.ip, 27183).into()]);
        // It has begun: nobody can be held up before.
        wait_until("what it lists to be fetched", SHORT, || !host.chunk_names().is_empty());
        let contents: Vec<Content> = (0..20).map(|n| Content::random(n, 5_000)).collect();
        for (number, content) in contents.iter().enumerate() {
            lab.put(0, &format!("z{number}"), content);
        }
        let _honest = lab.host(0).peer();
        let is_there = |number: usize| host.shared(&format!("z{number}")).exists();
        wait_until("the honest files", SHORT, || (0..20).all(is_there));
        assert_eq!(synced.ending(), None);
    });
}
