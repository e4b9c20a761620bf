//! What of `share/` is offered, and when it ceases to be.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;

use crate::support::host::run;
use crate::support::*;

/// "A file that someone is still copying into `share/` is offered only once it has stopped changing."
#[test]
fn a_file_that_is_still_being_copied_is_not_offered() {
    in_lab(2, |lab| {
        lab.watcher.pause();
        let (a, b) = (lab.host(0), lab.host(1));
        let _peers = (a.peer(), b.peer());
        let part = Content::random(10, 10_000);
        let mut whole = Vec::new();
        let mut file = File::create(a.shared("copying.bin")).unwrap();
        holds_for("nothing is offered", Duration::from_secs(5), || {
            file.write_all(&part.bytes).unwrap();
            whole.extend_from_slice(&part.bytes);
            b.document().discovered_files.is_empty()
        });
        drop(file);
        let whole = Content::of(whole);
        let document = b.sees(&whole, 1);
        assert_eq!(document.discovered_files.len(), 1);
        assert_eq!(document.discovered_files[0].size, whole.size());
    });
}

/// "Not offered: links, pipes and other special files, names that begin with a dot, and the usual marks
/// of unfinished files (`*.part`, `*.crdownload`, `*.tmp`, `*.lefting`, `*~`)."
#[test]
fn links_pipes_dot_names_and_unfinished_files_are_not_offered() {
    in_lab(2, |lab| {
        lab.watcher.pause();
        let (a, b) = (lab.host(0), lab.host(1));
        fs::create_dir(a.share()).unwrap();
        fs::create_dir(a.root.join("private")).unwrap();
        fs::write(a.root.join("private/secret"), "private").unwrap();
        let unfinished = ["a.part", "b.crdownload", "c.tmp", "d.lefting", "e~", ".hidden"];
        for name in unfinished {
            a.put(name, format!("content of {name}").as_bytes());
        }
        a.put(".folder/inside", b"inside a hidden folder");
        symlink(a.root.join("private/secret"), a.shared("link")).unwrap();
        symlink(a.root.join("private"), a.shared("folder-link")).unwrap();
        symlink("..", a.shared("loop")).unwrap();
        run(Command::new("mkfifo").arg(a.shared("pipe")));
        let socket = std::os::unix::net::UnixListener::bind(a.shared("socket")).unwrap();
        let good = Content::of("the only one");
        a.put("folder/good.txt", &good.bytes);
        let _peers = (a.peer(), b.peer());
        b.sees(&good, 1);
        // Two more arrive later, and are seen by then as the others must have been.
        let late = Content::of("one that comes later");
        a.put("late.part", b"still not whole");
        a.put("late.txt", &late.bytes);
        let document = b.sees(&late, 1);
        let mut names = document.filenames();
        names.sort_unstable();
        assert_eq!(names, ["folder/good.txt", "late.txt"]);
        drop(socket);
    });
}

/// "A file that is changed, replaced or removed while it is offered stops being offered."
#[test]
fn a_file_that_is_changed_replaced_removed_or_renamed_stops_being_offered() {
    in_lab(2, |lab| {
        lab.watcher.pause();
        let (a, b) = (lab.host(0), lab.host(1));
        let contents: Vec<_> = (0..4).map(|seed| Content::random(20 + seed, 5000)).collect();
        for (content, name) in contents.iter().zip(["changed", "replaced", "removed", "renamed"]) {
            lab.put(0, name, content);
        }
        let _peers = (a.peer(), b.peer());
        contents.iter().for_each(|content| drop(b.sees(content, 1)));

        let mut bytes = contents[0].bytes.clone();
        bytes[100] ^= 1;
        let mut file = OpenOptions::new().write(true).open(a.shared("changed")).unwrap();
        file.write_all(&bytes).unwrap();
        drop(file);
        b.sees(&contents[0], 0);
        b.sees(&Content::of(bytes), 1);

        let replacement = Content::random(30, 6000);
        lab.put(0, "replaced", &replacement);
        b.sees(&contents[1], 0);
        b.sees(&replacement, 1);

        fs::remove_file(a.shared("removed")).unwrap();
        b.sees(&contents[2], 0);

        fs::create_dir(a.shared("folder")).unwrap();
        fs::rename(a.shared("renamed"), a.shared("folder/renamed")).unwrap();
        wait_until("the new name", SHORT, || {
            let document = b.document();
            let entry = document.entry(&contents[3].sha1);
            entry.is_some_and(|entry| entry.locations[0].filename == "folder/renamed")
        });
        // A whole folder goes.
        fs::remove_dir_all(a.shared("folder")).unwrap();
        b.sees(&contents[3], 0);
    });
}

/// "A fetch in progress gets no mixture of old and new, it goes on from other sources or waits."
#[test]
fn a_fetch_gets_no_mixture_of_a_file_that_changes_under_it() {
    in_lab(3, |lab| {
        let content = Content::random(40, 12 << 20);
        let changed = Content::random(41, 12 << 20);
        lab.watcher.allow(&changed);
        lab.put(0, "file.bin", &content);
        lab.limit(0, 30);
        lab.limit(1, 100);
        let _peers = (lab.host(0).peer(), lab.host(1).peer());
        let c = lab.host(2);
        let mut fetch = lab.fetch(2, &content, "file.bin", &["10.77.0.1"]);
        wait_until("the first part", LONG, || c.progress(&content) > 1 << 20);
        // In place, the same size: the nastiest way to change a file. This host's share/ is not what
        // is watched here.
        lab.watcher.pause();
        fs::write(lab.host(0).shared("file.bin"), &changed.bytes).unwrap();
        // All that is there, and all that comes, is of the file that was asked for.
        holds_for("what is there is genuine", Duration::from_secs(3), || {
            assert_eq!(fetch.ending(), None);
            for (offset, _) in c.extents(&content) {
                let path = c.chunks().join(format!("{}:chunk:{offset}", content.sha1));
                let Ok(bytes) = fs::read(path) else { continue };
                let offset = usize::try_from(offset).unwrap();
                assert!(bytes == content.bytes[offset..offset + bytes.len()]);
            }
            true
        });
        lab.host(1).put("late.bin", &content.bytes);
        fetch.succeeds(LONG);
        c.has("file.bin", &content);
    });
}

/// A second start over files that have not changed offers them at once, and a hash cache that is gone
/// or rubbish costs nothing but time: "deleting that folder at any moment loses nothing but time".
#[test]
fn deleting_or_spoiling_the_state_folder_loses_nothing() {
    in_lab(2, |lab| {
        let (a, b) = (lab.host(0), lab.host(1));
        let content = Content::random(50, 200_000);
        lab.put(0, "a.bin", &content);
        let first = a.peer();
        let _b = b.peer();
        b.sees(&content, 1);
        wait_until("something to delete", SHORT, || a.root.join(".sprat").exists());
        fs::remove_dir_all(a.root.join(".sprat")).unwrap();
        let late = Content::random(51, 200_000);
        lab.put(0, "late.bin", &late);
        b.sees(&late, 1);
        drop(first);
        b.sees(&content, 0);
        let _second = a.peer();
        b.sees(&content, 1);
        drop(_second);
        let Ok(entries) = fs::read_dir(a.root.join(".sprat")) else {
            return;
        };
        for entry in entries.flatten().filter(|entry| entry.path().is_file()) {
            fs::write(entry.path(), "rubbish").unwrap();
        }
        let _third = a.peer();
        b.sees(&content, 1);
        lab.fetch(1, &content, "b.bin", &["10.77.0.1"]).succeeds(LONG);
    });
}

/// "A second start over 10,000 unchanged files hashes nothing" (issue 2, 6): judged by the bytes that the
/// process reads.
#[test]
fn a_second_start_over_unchanged_files_hashes_nothing() {
    in_lab(2, |lab| {
        lab.watcher.pause();
        let (a, b) = (lab.host(0), lab.host(1));
        let mut random = files::Random::new(52);
        for number in 0..2000 {
            let bytes: Vec<u8> = (0..2500).flat_map(|_| random.next().to_le_bytes()).collect();
            a.put(&format!("{}/{number}.bin", number % 20), &bytes);
        }
        let _b = b.peer();
        let all_seen = |limit| {
            wait_until("2,000 files", limit, || b.document().discovered_files.len() == 2000);
        };
        let mut first = a.peer();
        all_seen(LONG);
        let read_first = first.read_bytes();
        assert!(read_first >= 2000 * 20_000, "how did it know the names? {read_first}");
        first.signal("TERM");
        first.wait(SHORT);
        wait_until("none", SHORT, || b.document().discovered_files.is_empty());
        let second = a.peer();
        all_seen(LONG);
        let read_again = second.read_bytes();
        assert!(read_again < read_first / 10, "read {read_again} bytes again");
        // What is new is hashed, and listed beside the others.
        let late = Content::random(53, 5000);
        a.put("late.bin", &late.bytes);
        b.sees(&late, 1);
        assert_eq!(b.document().discovered_files.len(), 2001);
    });
}

/// A disk image that takes an hour to hash keeps no other file back, and is given up when it goes.
#[test]
fn a_huge_file_keeps_no_other_one_back() {
    in_lab(2, |lab| {
        // The test's own watch would read all of it, too.
        lab.watcher.pause();
        let (a, b) = (lab.host(0), lab.host(1));
        let _peers = (a.peer(), b.peer());
        a.put("huge.img", b"");
        File::options().write(true).open(a.shared("huge.img")).unwrap().set_len(1 << 40).unwrap();
        // It has settled by then, and is being hashed.
        let (first, second) = (Content::of("the first"), Content::of("the second"));
        a.put("first.txt", &first.bytes);
        b.sees(&first, 1);
        std::thread::sleep(Duration::from_secs(1));
        a.put("second.txt", &second.bytes);
        b.sees(&second, 1);
        fs::remove_file(a.shared("huge.img")).unwrap();
        let large = Content::random(77, 200_000_000);
        a.put("large.bin", &large.bytes);
        b.sees(&large, 1);
    });
}

/// A file that is given a second name elsewhere is the same file, and stays on offer: its folder hears nothing of
/// that, and yet it is not in the state any more in which it was offered.
#[test]
fn a_file_that_is_given_a_second_name_elsewhere_stays_on_offer() {
    in_lab(2, |lab| {
        lab.watcher.pause();
        let (a, b) = (lab.host(0), lab.host(1));
        let content = Content::random(11, 3_000_000);
        a.put("file.bin", &content.bytes);
        let _peers = (a.peer(), b.peer());
        b.sees(&content, 1);
        fs::hard_link(a.shared("file.bin"), a.root.join("elsewhere")).unwrap();
        b.fetch(&content, "got.bin", &["10.77.0.1"]).succeeds(LONG);
        b.has("got.bin", &content);
    });
}
