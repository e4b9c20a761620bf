//! Exit codes, signals, full disks, folders that go or cannot be written.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::host::run;
use crate::support::*;

fn mount(options: &str, folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    run(Command::new("mount").args(["-t", "tmpfs", "-o", options, "lab"]).arg(folder));
}

fn remount(options: &str, folder: &Path) {
    run(Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(folder));
}

/// "75 could not finish now, the same call may succeed later (`--timeout` ran out)", and it does.
#[test]
fn a_timeout_ends_with_75_and_the_same_call_succeeds_later() {
    in_lab(2, |lab| {
        let content = Content::random(400, 300_000);
        let b = lab.host(1);
        let mut fetch = b.fetch_with(&["--timeout", "2"], &content, "x.bin", &["10.77.0.1"]);
        fetch.fails(75, SHORT);
        assert!(fetch.age() >= Duration::from_secs(2), "after {:?} already", fetch.age());
        assert!(b.attrs(&content).exists(), "the next start has nothing to go on from");
        lab.put(0, "x.bin", &content);
        let _peer = lab.host(0).peer();
        lab.watcher.allow(&content);
        let mut fetch = b.fetch_with(&["--timeout", "60"], &content, "x.bin", &["10.77.0.1"]);
        fetch.succeeds(LONG);
        b.has("x.bin", &content);
    });
}

/// "By SIGINT/SIGTERM, after leaving the disk in a state from which the next start goes on, as a process
/// ended by that signal."
#[test]
fn signals_end_a_fetch_as_a_process_ended_by_that_signal() {
    in_lab(2, |lab| {
        let content = Content::random(401, 24 << 20);
        lab.put(0, "x.bin", &content);
        lab.limit(0, 40);
        let _peer = lab.host(0).peer();
        let b = lab.host(1);
        let mut least = 0;
        for (name, number) in [("INT", 2), ("TERM", 15)] {
            let mut fetch = lab.fetch(1, &content, "x.bin", &["10.77.0.1"]);
            wait_until("progress", LONG, || b.progress(&content) > least + (2 << 20));
            fetch.signal(name);
            assert_eq!(fetch.wait(SHORT), Ending::Signal(number), "{}", fetch.stderr());
            assert!(b.attrs(&content).exists());
            assert!(b.progress(&content) >= least);
            least = b.progress(&content);
        }
        lab.fetch(1, &content, "x.bin", &[]).succeeds(LONG);
        b.has("x.bin", &content);
        // While it waits for a source there is nothing to leave behind but attrs.
        let absent = Content::random(402, 10);
        let mut fetch = lab.fetch(1, &absent, "y.bin", &[]);
        wait_until("attrs", SHORT, || b.attrs(&absent).exists());
        fetch.signal("TERM");
        assert_eq!(fetch.wait(SHORT), Ending::Signal(15));
    });
}

/// The same for a peer, whose document stays valid.
#[test]
fn signals_end_a_peer_as_a_process_ended_by_that_signal() {
    in_lab(1, |lab| {
        for (name, number) in [("INT", 2), ("TERM", 15)] {
            let mut peer = lab.host(0).peer();
            peer.signal(name);
            assert_eq!(peer.wait(SHORT), Ending::Signal(number), "{}", peer.stderr());
            drop(lab.host(0).document());
        }
    });
}

/// "75 could not finish now (disk full)": it waits, and goes on when there is room again.
#[test]
fn a_full_disk_is_waited_for() {
    in_lab(2, |lab| {
        let content = Content::random(403, 6 << 20);
        lab.put(0, "x.bin", &content);
        let _peer = lab.host(0).peer();
        let b = lab.host(1);
        // share/ and chunks/ on one small disk.
        let root = b.root.join("small");
        mount("size=3m", &root);
        let size = content.size().to_string();
        let arguments = ["fetch", &content.sha1, "x.bin", &size, "10.77.0.1"];
        let options = ["--root", "small"];
        let impatient = ["--root", "small", "--timeout", "4"];
        b.run(&[&impatient[..], &arguments[..]].concat()).fails(75, SHORT);
        let mut fetch = b.run(&[&options[..], &arguments[..]].concat());
        holds_for("it waits", Duration::from_secs(3), || fetch.ending().is_none());
        assert!(!root.join("share/x.bin").exists());
        remount("size=64m", &root);
        fetch.succeeds(LONG);
        assert!(fs::read(root.join("share/x.bin")).unwrap() == content.bytes);
        assert_eq!(host::names_in(&root.join("chunks")), Vec::<String>::new());
    });
}

/// "75 could not finish now, the same call may succeed later (..., disk full)", for a peer.
#[test]
fn a_peer_that_has_no_room_to_start_ends_with_75() {
    in_lab(1, |lab| {
        let a = lab.host(0);
        let root = a.root.join("small");
        mount("size=64k", &root);
        let mut filling = fs::File::create(root.join("filling")).unwrap();
        while filling.write_all(&[1; 4_096]).is_ok() {}
        drop(filling);
        a.run(&["--root", "small", "peer"]).fails(75, SHORT);
        fs::remove_file(root.join("filling")).unwrap();
        let _peer = a.run(&["--root", "small", "peer"]);
        wait_until("the document is there", SHORT, || root.join("d.json").exists());
    });
}

/// Publishing needs no second copy: a disk that holds the file and a little more is enough.
#[test]
fn a_disk_that_just_holds_the_file_is_enough() {
    in_lab(2, |lab| {
        let content = Content::random(404, 12 << 20);
        lab.put(0, "x.bin", &content);
        lab.limit(0, 100);
        let _peer = lab.host(0).peer();
        let b = lab.host(1);
        let root = b.root.join("small");
        mount("size=18m", &root);
        let size = content.size().to_string();
        let arguments = ["--root", "small", "fetch", &content.sha1, "x.bin", &size, "10.77.0.1"];
        b.run(&arguments).succeeds(LONG);
        assert!(fs::read(root.join("share/x.bin")).unwrap() == content.bytes);
    });
}

/// "Deleting that folder [`.sprat/`], or `chunks/`, at any moment loses nothing but time."
#[test]
fn deleting_chunks_during_a_fetch_loses_nothing_but_time() {
    in_lab(2, |lab| {
        let content = Content::random(405, 16 << 20);
        lab.put(0, "x.bin", &content);
        lab.limit(0, 50);
        let b = lab.host(1);
        let _peers = (lab.host(0).peer(), b.peer());
        let mut fetch = lab.fetch(1, &content, "x.bin", &["10.77.0.1"]);
        wait_until("a third", LONG, || b.progress(&content) > 3 << 20);
        // It may write into the folder while it is being removed; so does rm -rf fail then.
        wait_until("chunks/ to be gone", SHORT, || {
            drop(fs::remove_dir_all(b.root.join(".sprat")));
            fs::remove_dir_all(b.chunks()).is_ok()
        });
        fetch.succeeds(LONG);
        assert!(fs::read(b.shared("x.bin")).unwrap() == content.bytes);
        assert_eq!(b.chunk_names(), Vec::<String>::new());
        // The peer beside it lives on, too.
        lab.host(0).sees(&content, 1);
    });
}

/// "A second file system under `share/`" (issue 2, 5): fetched into it, and offered from it.
#[test]
fn a_second_file_system_under_share() {
    in_lab(2, |lab| {
        let content = Content::random(406, 3_000_000);
        mount("size=8m", &lab.host(0).shared("usb"));
        mount("size=8m", &lab.host(1).shared("stick"));
        lab.watcher.allow(&content);
        lab.watcher.pause();
        fs::write(lab.host(0).shared("usb/x.bin"), &content.bytes).unwrap();
        let _peers = (lab.host(0).peer(), lab.host(1).peer());
        let document = lab.host(1).sees(&content, 1);
        assert_eq!(document.filenames(), ["usb/x.bin"]);
        lab.fetch(1, &content, "stick/x.bin", &["10.77.0.1"]).succeeds(LONG);
        lab.host(1).has("stick/x.bin", &content);
        lab.host(0).sees(&content, 1);
    });
}

/// `share/` as a whole on another file system than `chunks/`, and a link to a folder: people do that.
#[test]
fn share_itself_on_another_file_system() {
    in_lab(2, |lab| {
        let content = Content::random(407, 3_000_000);
        lab.put(0, "x.bin", &content);
        mount("size=8m", &lab.host(1).share());
        let _peer = lab.host(0).peer();
        lab.fetch(1, &content, "folder/x.bin", &["10.77.0.1"]).succeeds(LONG);
        lab.host(1).has("folder/x.bin", &content);
    });
}

/// "A folder that cannot be written: exit 1 and a sentence that says what to do" (issue 2, bad input).
#[test]
fn a_folder_that_cannot_be_written_ends_with_1_and_a_sentence() {
    in_lab(1, |lab| {
        let a = lab.host(0);
        let content = Content::random(408, 10);
        let root = a.root.join("readonly");
        mount("size=1m", &root);
        remount("ro", &root);
        a.run(&["--root", "readonly", "peer"]).fails(1, SHORT);
        a.fetch_with(&["--root", "readonly"], &content, "x", &[]).fails(1, SHORT);
        // A file stands where a folder must be.
        for folder in ["chunks", "share"] {
            let name = format!("{folder}-is-a-file");
            let root = a.root.join(&name);
            fs::create_dir(&root).unwrap();
            fs::write(root.join(folder), "a person's").unwrap();
            let sentence = a.fetch_with(&["--root", &name], &content, "x", &[]).fails(1, SHORT);
            let reasons = sentence.lines().filter(|line| line.starts_with("sprat: ")).count();
            assert_eq!(reasons, 1, "{sentence}");
            assert_eq!(fs::read(root.join(folder)).unwrap(), b"a person's");
        }
    });
}

/// "1 failed for good (the reason on standard error, one line, and what to do about it)": a `share/`
/// that can be read but not written, with the download already there in chunks.
#[test]
fn a_share_folder_that_cannot_be_written_fails_for_good() {
    in_lab(2, |lab| {
        let content = Content::random(409, 100_000);
        lab.put(0, "x.bin", &content);
        let _peer = lab.host(0).peer();
        let b = lab.host(1);
        mount("size=1m", &b.share());
        remount("ro", &b.share());
        let sentence = lab.fetch(1, &content, "x.bin", &["10.77.0.1"]).fails(1, LONG);
        assert!(sentence.contains("share"), "{sentence}");
        remount("rw", &b.share());
        lab.fetch(1, &content, "x.bin", &["10.77.0.1"]).succeeds(LONG);
        b.has("x.bin", &content);
    });
}
