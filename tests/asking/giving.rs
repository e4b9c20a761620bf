//! `add` and `rm`.

use std::fs;
use std::net::SocketAddrV4;
use std::os::unix::fs::MetadataExt;

use serde_json::json;

use super::{answers, offered};
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
