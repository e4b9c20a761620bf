//! `add` and `rm`.

use std::fs::{self, File};
use std::net::SocketAddrV4;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{FlockOperation, flock};
use serde_json::json;

use super::{answers, offered};
use crate::support::host::names_in;
use crate::support::stranger::{Story, Stranger, listing_of};
use crate::support::*;

/// Files and folders, whole, told with name, size and SHA-1; nothing is replaced.
#[test]
fn files_and_folders_are_put_into_share() {
    in_lab(1, |lab| {
        let host = lab.host(0);
        let (fox, film) = (Content::of("fox"), Content::random(5, 300_000));
        [&fox, &film].into_iter().for_each(|content| lab.watcher.allow(content));
        fs::create_dir_all(host.root.join("photos/2026")).unwrap();
        fs::write(host.root.join("fox.txt"), &fox.bytes).unwrap();
        fs::write(host.root.join("photos/2026/a.jpg"), &film.bytes).unwrap();
        fs::write(host.root.join("photos/b.part"), "half").unwrap();
        let row = |name: &str, content: &Content, how: &str| json!({ "name": name, "size": content.size(), "sha1": content.sha1, "how": how });
        let added = answers(host, &["add", "fox.txt", "photos"]);
        assert_eq!(added, [row("fox.txt", &fox, "link"), row("photos/2026/a.jpg", &film, "link")]);
        assert!(fs::read(host.shared("photos/2026/a.jpg")).unwrap() == film.bytes);
        assert_eq!(fs::metadata(host.shared("fox.txt")).unwrap().nlink(), 2);
        assert!(!host.shared("photos/b.part").exists());
        assert_eq!(answers(host, &["add", "fox.txt"]), [row("fox.txt", &fox, "there")]);
        // Another file system: a copy of its own.
        let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
        fs::write(elsewhere.path().join("film.mov"), &film.bytes).unwrap();
        let path = elsewhere.path().join("film.mov");
        let added = answers(host, &["add", path.to_str().unwrap()]);
        assert_eq!(added, [row("film.mov", &film, "copy")]);
        assert!(fs::read(host.shared("film.mov")).unwrap() == film.bytes);
        fs::write(elsewhere.path().join("fox.txt"), "another").unwrap();
        let path = elsewhere.path().join("fox.txt");
        let told = host.run(&["add", path.to_str().unwrap()]).fails(1, SHORT);
        assert!(told.contains("share/fox.txt is another file"), "{told}");
        assert_eq!(fs::read(host.shared("fox.txt")).unwrap(), fox.bytes);
        let told = host.run(&["add", "."]).fails(1, SHORT);
        assert!(told.contains("share/ itself"), "{told}");
        let left: Vec<_> = fs::read_dir(host.share()).unwrap().flatten().collect();
        assert_eq!(left.len(), 3, "{left:?}");
    });
}

/// "never deletes the only copy without being told twice".
#[test]
fn the_only_copy_stays() {
    in_lab(3, |lab| {
        let (fox, film) = (Content::of("fox"), Content::random(6, 100_000));
        // The asking host's own peer is no other host, with a document of its own or without.
        let mut own = lab.host(0).peer();
        lab.put(0, "fox.txt", &fox);
        lab.put(0, "film.mov", &film);
        offered(lab.host(2), 2);
        for _ in 0..2 {
            let told = lab.host(0).run(&["rm", "fox.txt"]).fails(1, SHORT);
            assert!(told.contains("only copy") && told.contains(&fox.sha1), "{told}");
            lab.host(0).has("fox.txt", &fox);
            own.signal("TERM");
            own.wait(SHORT);
        }
        let told = lab.host(0).run(&["rm", "fix.txt"]).fails(1, SHORT);
        assert!(told.contains("there is share/fox.txt"), "{told}");
        // Another name here.
        fs::hard_link(lab.host(0).shared("film.mov"), lab.host(0).root.join("second")).unwrap();
        assert_eq!(answers(lab.host(0), &["rm", "film.mov"])[0]["left"], "linked");
        assert!(!lab.host(0).shared("film.mov").exists());
        // Another host.
        let _other = lab.host(1).peer();
        lab.put(1, "a/fox.txt", &fox);
        offered(lab.host(2), 1);
        let removed = answers(lab.host(0), &["rm", "fox.txt"]);
        let (left, hosts) = (&removed[0]["left"], &removed[0]["hosts"]);
        assert_eq!((left, hosts), (&json!("hosts"), &json!([lab.host(1).address()])));
        assert!(!lab.host(0).shared("fox.txt").exists());
        // Told twice.
        lab.host(1).run(&["rm", "a/fox.txt"]).fails(1, SHORT);
        lab.host(1).run(&["rm", "--force", "a/fox.txt"]).succeeds(SHORT);
        assert!(!lab.host(1).shared("a/fox.txt").exists());
    });
}

/// A host that lists what it does not give has no copy; and our own peer, which would give it, is none either.
#[test]
fn what_is_only_listed_elsewhere_stays() {
    in_lab(2, |lab| {
        let fox = Content::of("precious");
        let claimed = fox.sha1.parse().unwrap();
        let listing = listing_of(vec![(b"fox.txt".to_vec(), claimed, fox.size())]);
        let host = lab.host(0);
        let _own = host.peer();
        lab.put(0, "fox.txt", &fox);
        let story = Story { listing, files: 1, claims: Vec::new() };
        let _liar = Stranger::start(story, vec![SocketAddrV4::new(host.ip, 27183).into()]);
        host.sees(&fox, 1);
        // The document knows it; a look finds it where it is named.
        host.run(&["rm", "fox.txt"]).fails(1, SHORT);
        let told = host.run(&["--peer", "10.77.0.254", "rm", "fox.txt"]).fails(1, LONG);
        assert!(told.contains("10.77.0.254 lists") && told.contains("--force"), "{told}");
        host.has("fox.txt", &fox);
        // Beside one who has it, it is that one who is named.
        let _other = lab.host(1).peer();
        lab.put(1, "other.txt", &fox);
        host.sees(&fox, 2);
        let removed = answers(host, &["--peer", "10.77.0.254", "rm", "fox.txt"]);
        assert_eq!(removed[0]["hosts"], json!([lab.host(1).address()]));
        assert!(!host.shared("fox.txt").exists());
    });
}

/// Two names of one file, and who removes the one while the other goes: the lock is on the file,
/// so that the first has gone before the second is looked at.
#[test]
fn the_last_name_stays_where_both_are_removed_at_once() {
    in_lab(1, |lab| {
        let host = lab.host(0);
        let fox = Content::of("fox");
        lab.watcher.allow(&fox);
        fs::create_dir_all(host.share()).unwrap();
        lab.put(0, "x", &fox);
        fs::hard_link(host.shared("x"), host.shared("y")).unwrap();
        // The other one who removes: it has looked, and is about to remove.
        let other = File::open(host.shared("y")).unwrap();
        flock(&other, FlockOperation::LockExclusive).unwrap();
        let mut remove = host.run(&["rm", "x"]);
        wait_until("one to wait for the other", SHORT, || {
            assert_eq!(remove.ending(), None, "it did not wait: {}", remove.stderr());
            remove.stderr().contains("waiting for")
        });
        fs::remove_file(host.shared("y")).unwrap();
        drop(other);
        let told = remove.fails(1, LONG);
        assert!(told.contains("only copy"), "{told}");
        host.has("x", &fox);
        // Who holds it for good keeps nobody waiting for ever, and the other name does not count.
        fs::hard_link(host.shared("x"), host.shared("y")).unwrap();
        let other = File::open(host.shared("y")).unwrap();
        flock(&other, FlockOperation::LockExclusive).unwrap();
        let told = host.run(&["rm", "x"]).fails(1, LONG);
        assert!(told.contains("locked") && told.contains("--force"), "{told}");
        drop(other);
        assert_eq!(answers(host, &["rm", "x"])[0]["left"], "linked");
        host.has("y", &fox);
    });
}

/// The folders in which it is tried who has a content, sorted.
fn proofs(host: &Host) -> Vec<String> {
    let mut names = names_in(&host.root.join(".sprat"));
    names.retain(|name| name.starts_with("proof-"));
    names
}

/// The first host and a peer on the second one have a film, which the second one gives slowly.
fn both_have<'a>(lab: &'a Lab, film: &Content) -> (&'a Host, Running) {
    let host = lab.host(0);
    let other = lab.host(1).peer();
    lab.put(1, "film.mov", film);
    fs::create_dir_all(host.share()).unwrap();
    lab.put(0, "film.mov", film);
    offered(host, 1);
    lab.limit(1, 10);
    (host, other)
}

/// What shows that another host has a file passes by below `.sprat/`, and what a killed call left
/// there goes with the next; not that of one who lives.
#[test]
fn what_is_fetched_as_a_proof_is_below_the_folder_of_ours() {
    in_lab(2, |lab| {
        let film = Content::random(12, 8 << 20);
        lab.watcher.allow(&film);
        let (host, _other) = both_have(lab, &film);
        let remove = || {
            let mut command = host.sprat();
            command.env("TMPDIR", "/proc/none").args(["rm", "film.mov"]);
            host.start(command)
        };
        let proving = |run: &mut Running, proof: &str| {
            let place = host.root.join(".sprat").join(proof);
            wait_until("a proof to begin", SHORT, || {
                assert_eq!(run.ending(), None, "{}", run.stderr());
                let files = fs::read_dir(place.join("chunks"));
                files.is_ok_and(|files| files.count() > 1) && !place.join("left").exists()
            });
        };
        let mut killed = remove();
        proving(&mut killed, "proof-1");
        killed.kill();
        assert_eq!(proofs(host), ["proof-1"]);
        fs::write(host.root.join(".sprat/proof-1/left"), "").unwrap();
        fs::create_dir(host.root.join(".sprat/proof-of-mine")).unwrap();
        let mut first = remove();
        proving(&mut first, "proof-1");
        host.run(&["rm", "nothing"]).fails(1, SHORT);
        assert_eq!(proofs(host), ["proof-1", "proof-of-mine"], "it is in use");
        // A second one has a place of its own.
        let mut second = remove();
        proving(&mut second, "proof-2");
        second.signal("TERM");
        assert_eq!(second.wait(SHORT), Ending::Signal(15));
        assert_eq!(proofs(host), ["proof-1", "proof-of-mine"]);
        lab.limit(1, 1_000);
        first.succeeds(LONG);
        assert!(first.stdout().contains("has just shown it"), "{}", first.stdout());
        assert!(!host.shared("film.mov").exists());
        assert_eq!(proofs(host), ["proof-of-mine"]);
    });
}

/// What was proven is what goes, and no other bytes that stand under the name by then.
#[test]
fn what_changes_while_others_show_that_they_have_it_stays() {
    in_lab(2, |lab| {
        let film = Content::random(13, 8 << 20);
        lab.watcher.pause();
        let (host, _other) = both_have(lab, &film);
        let mut remove = host.run(&["-v", "rm", "film.mov"]);
        let received = || host.traffic().0;
        let before = received();
        wait_until("a proof to be on its way", SHORT, || {
            assert_eq!(remove.ending(), None, "{}", remove.stderr());
            received() > before + (1 << 20)
        });
        let mut file = File::options().append(true).open(host.shared("film.mov")).unwrap();
        std::io::Write::write_all(&mut file, b"more").unwrap();
        lab.limit(1, 1_000);
        let told = remove.fails(1, LONG);
        assert!(told.contains("changed meanwhile"), "{told}");
        assert_eq!(fs::metadata(host.shared("film.mov")).unwrap().len(), film.size() + 4);
    });
}
