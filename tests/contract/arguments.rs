//! NAME, SIZE and the other arguments of `fetch`.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use crate::support::*;

const FOX: &str = "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12";

/// "Where `share/NAME` is other content, that content is kept: nothing of a person's is ever overwritten.
/// The download goes to a name beside it, which standard error tells."
#[test]
fn other_content_under_the_name_is_kept() {
    in_lab(2, |lab| {
        let (content, own) = (Content::random(200, 90_000), Content::random(201, 90_000));
        lab.put(0, "file.bin", &content);
        lab.put(1, "docs/file.bin", &own);
        let _peer = lab.host(0).peer();
        let b = lab.host(1);
        let mut fetch = lab.fetch(1, &content, "docs/file.bin", &["10.77.0.1"]);
        fetch.succeeds(LONG);
        b.has("docs/file.bin", &own);
        let names = host::names_in(&b.shared("docs"));
        assert_eq!(names.len(), 2, "{names:?}");
        let beside = names.iter().find(|name| *name != "file.bin").unwrap();
        b.has(&format!("docs/{beside}"), &content);
        assert!(fetch.stderr().contains(beside.as_str()), "{}", fetch.stderr());
        // Started again, as front ends do, it does not come a third time.
        lab.fetch(1, &content, "docs/file.bin", &["10.77.0.1"]).succeeds(LONG);
        assert_eq!(host::names_in(&b.shared("docs")), names);
    });
}

/// A folder of that name is a person's too.
#[test]
fn a_folder_under_the_name_is_kept() {
    in_lab(2, |lab| {
        let content = Content::random(202, 9000);
        let inside = Content::random(203, 9000);
        lab.put(0, "thing", &content);
        lab.put(1, "thing/inside", &inside);
        let _peer = lab.host(0).peer();
        let mut fetch = lab.fetch(1, &content, "thing", &["10.77.0.1"]);
        wait_until("an end", LONG, || fetch.ending().is_some());
        lab.host(1).has("thing/inside", &inside);
        match fetch.ending() {
            Some(Ending::Exit(0)) => assert_eq!(host::names_in(&lab.host(1).share()).len(), 2),
            _ => drop(fetch.fails(1, SHORT)),
        }
    });
}

/// "NAME may have folders (`animals/quick-fox.txt`), made below `share/`."
#[test]
fn a_nested_name_makes_its_folders() {
    in_lab(2, |lab| {
        let content = Content::random(204, 9000);
        lab.put(0, "a", &content);
        let _peer = lab.host(0).peer();
        lab.fetch(1, &content, "animals/of/the/wood/quick fox.txt", &["10.77.0.1"]).succeeds(LONG);
        lab.host(1).has("animals/of/the/wood/quick fox.txt", &content);
    });
}

/// "Absolute, `..`, empty, control characters and the like: exit 2, and no attrs left behind, or the
/// front end would start it again for ever."
#[test]
fn a_name_that_could_leave_the_folder_is_refused() {
    in_lab(1, |lab| {
        let a = lab.host(0);
        let long = "x".repeat(300);
        let names = [
            "",
            ".",
            "..",
            "/",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a/..",
            "./a",
            "a/./b",
            "a//b",
            "a/",
            "a\nb",
            "a\u{1b}[2Jb",
            "a\u{7f}",
            "a\u{9b}b",
            "a\tb",
            &long,
        ];
        for name in names {
            let mut fetch = a.run(&["--timeout", "1", "fetch", FOX, name, "43", "10.77.0.254"]);
            let ending = fetch.wait(SHORT);
            assert_eq!(ending, Ending::Exit(2), "{name:?}: {}", fetch.stderr());
            let sentence = fetch.stderr();
            assert_eq!(sentence.trim_end().lines().count(), 1, "{name:?}: {sentence:?}");
            let rude = sentence.trim_end().chars().find(|c| c.is_control());
            assert_eq!(rude, None, "{name:?} drives the terminal: {sentence:?}");
            assert_eq!(a.chunk_names(), Vec::<String>::new(), "{name:?} left something behind");
            assert_eq!(host::names_in(&a.share()), Vec::<String>::new(), "{name:?}");
        }
    });
}

/// A name that is not UTF-8 cannot be written as JSON, and is refused as well.
#[test]
fn a_name_that_is_not_text_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    in_lab(1, |lab| {
        let mut command = lab.host(0).sprat();
        command.args(["--timeout", "1", "fetch", FOX]);
        command.arg(std::ffi::OsStr::from_bytes(b"a\xff")).arg("43");
        lab.host(0).start(command).fails(2, SHORT);
        assert_eq!(lab.host(0).chunk_names(), Vec::<String>::new());
    });
}

/// "Arguments out of range: exit 2 and one sentence" (issue 2, bad input), and nothing is left behind.
#[test]
fn arguments_that_are_wrong_are_refused() {
    in_lab(1, |lab| {
        let a = lab.host(0);
        let short = &FOX[1..];
        let wrong = "2fd4e1c67a2d28fced849ee1bb76e7391b93eb1g";
        let cases: &[&[&str]] = &[
            &["fetch"],
            &["fetch", FOX],
            &["fetch", FOX, "x"],
            &["fetch", short, "x", "43"],
            &["fetch", wrong, "x", "43"],
            &["fetch", "", "x", "43"],
            &["fetch", FOX, "x", "-1"],
            &["fetch", FOX, "x", "43.5"],
            &["fetch", FOX, "x", "many"],
            &["fetch", FOX, "x", ""],
            &["fetch", FOX, "x", "18446744073709551616"],
            &["fetch", FOX, "x", "43", "not an address"],
            &["fetch", FOX, "x", "43", "10.77.0.1:0"],
            &["fetch", FOX, "x", "43", "10.77.0.1:65536"],
            &["--port", "65536", "peer"],
            &["--port", "x", "peer"],
            &["--timeout", "-1", "fetch", FOX, "x", "43"],
            &["--bind", "nowhere", "peer"],
            &["--peer", "10.77.0.1:99999", "peer"],
            &["--no-such-option", "peer"],
            &["no-such-command"],
            &["peer", "superfluous"],
            &["--root"],
            &[],
        ];
        for arguments in cases {
            let mut run = a.run(arguments);
            let ending = run.wait(SHORT);
            assert_eq!(ending, Ending::Exit(2), "{arguments:?}: {}", run.stderr());
            assert!(!run.stderr().trim().is_empty(), "{arguments:?} says nothing");
            assert_eq!(a.chunk_names(), Vec::<String>::new(), "{arguments:?}");
        }
    });
}

/// "Positional arguments are taken as they are: a file called `--help` or `-rf` can be fetched."
#[test]
fn names_that_look_like_options_are_names() {
    in_lab(2, |lab| {
        let _peer = lab.host(0).peer();
        let names = ["--help", "-rf", "--version", "-v", "--", "peer", "fetch", "--root", "-"];
        for (number, name) in names.iter().enumerate() {
            let content = Content::random(210 + number as u64, 2000 + number);
            lab.put(0, &format!("{number}"), &content);
            lab.fetch(1, &content, name, &["10.77.0.1"]).succeeds(LONG);
            lab.host(1).has(name, &content);
        }
    });
}

/// "A front end that leaves the word `fetch` out (`sprat SHA1 NAME SIZE IP ...`) is understood."
#[test]
fn the_word_fetch_may_be_missing() {
    in_lab(2, |lab| {
        let _peer = lab.host(0).peer();
        for (number, name) in ["file.bin", "--help"].iter().enumerate() {
            let content = Content::random(220 + number as u64, 30_000);
            lab.put(0, &format!("{number}"), &content);
            lab.watcher.allow(&content);
            lab.host(1).run(&[&content.sha1, name, "30000", "10.77.0.1"]).succeeds(LONG);
            lab.host(1).has(name, &content);
        }
    });
}

/// "SIZE 0 works." Here with nobody on the network, and among all sizes that are near an edge.
#[test]
fn every_size_from_nothing_on() {
    in_lab(2, |lab| {
        let empty = Content::of("");
        lab.fetch(1, &empty, "alone", &[]).succeeds(LONG);
        lab.host(1).has("alone", &empty);
        fs::remove_file(lab.host(1).shared("alone")).unwrap();
        let _peer = lab.host(0).peer();
        let block = 64 << 10;
        let sizes =
            [0, 1, 55, 56, 63, 64, 65, 1199, block - 1, block, block + 1, 2 * block, 1_000_003];
        for (number, size) in sizes.into_iter().enumerate() {
            let content = Content::random(230 + number as u64, size);
            let name = format!("{size}.bin");
            lab.put(0, &name, &content);
            lab.fetch(1, &content, &name, &["10.77.0.1"]).succeeds(LONG);
            lab.host(1).has(&name, &content);
        }
    });
}

/// "A SIZE that the content contradicts ends with exit 2 and the true size."
#[test]
fn a_wrong_size_ends_with_the_true_one() {
    in_lab(2, |lab| {
        let content = Content::random(250, 200_123);
        lab.put(0, "file.bin", &content);
        let _peer = lab.host(0).peer();
        for wrong in ["200122", "200124", "0", "1", "65536", "8000000", "200064", "200128"] {
            let arguments = ["fetch", &content.sha1, "file.bin", wrong, "10.77.0.1"];
            let mut fetch = lab.host(1).run(&arguments);
            let sentence = fetch.fails(2, LONG);
            assert!(sentence.contains("200123"), "{wrong}: {sentence}");
            assert_eq!(lab.host(1).chunk_names(), Vec::<String>::new(), "{wrong}");
            assert_eq!(host::names_in(&lab.host(1).share()), Vec::<String>::new());
        }
        // The true one works, there and then.
        lab.fetch(1, &content, "file.bin", &["10.77.0.1"]).succeeds(LONG);
    });
}

/// Nothing is written through a link that leads out of `share/`.
#[test]
fn links_in_the_share_folder_are_never_followed() {
    in_lab(2, |lab| {
        let content = Content::random(251, 9000);
        lab.put(0, "file.bin", &content);
        let _peer = lab.host(0).peer();
        let b = lab.host(1);
        let private = b.root.join("private");
        fs::create_dir_all(b.share()).unwrap();
        fs::create_dir(&private).unwrap();
        fs::write(private.join("file.bin"), "a person's").unwrap();
        symlink(&private, b.shared("link")).unwrap();
        let mut fetch = b.fetch(&content, "link/file.bin", &["10.77.0.1"]);
        wait_until("an end", LONG, || fetch.ending().is_some());
        assert_ne!(fetch.ending(), Some(Ending::Exit(0)));
        assert_eq!(host::names_in(&private), ["file.bin"]);
        assert_eq!(fs::read(private.join("file.bin")).unwrap(), b"a person's");
        // A link at the name itself is a person's as well: it stays, and where it leads stays.
        symlink(private.join("file.bin"), b.shared("linked.bin")).unwrap();
        let mut fetch = lab.fetch(1, &content, "linked.bin", &["10.77.0.1"]);
        wait_until("an end", LONG, || fetch.ending().is_some());
        assert_eq!(fs::read(private.join("file.bin")).unwrap(), b"a person's");
        assert!(fs::symlink_metadata(b.shared("linked.bin")).unwrap().is_symlink());
    });
}

/// "`--root DIR` (or `SPRAT_ROOT`) puts all of it under another folder", and each other option is an
/// environment variable as well.
#[test]
fn options_are_environment_variables_too() {
    in_lab(2, |lab| {
        let content = Content::random(252, 9000);
        let (a, b) = (lab.host(0), lab.host(1));
        for (name, by_variable) in [("by-option", false), ("by-variable", true)] {
            let root = a.root.join(name);
            fs::create_dir_all(root.join("share")).unwrap();
            fs::write(root.join("share/x"), &content.bytes).unwrap();
            let mut command = a.sprat();
            if by_variable {
                command.env("SPRAT_ROOT", &root).env("SPRAT_PORT", "28222").arg("peer");
            } else {
                command.arg("--root").arg(&root).args(["--port", "28222", "peer"]);
            }
            let peer = a.start(command);
            wait_until("d.json", SHORT, || root.join("d.json").exists());
            let mut command = b.sprat();
            command.env("SPRAT_ROOT", b.root.join(name)).env("SPRAT_TIMEOUT", "30");
            command.args(["fetch", &content.sha1, "x", "9000", "10.77.0.1:28222"]);
            b.start(command).succeeds(LONG);
            assert_eq!(fs::read(b.root.join(name).join("share/x")).unwrap(), content.bytes);
            drop(peer);
        }
        let mut command = b.sprat();
        command.env("SPRAT_TIMEOUT", "1").args(["fetch", FOX, "fox.txt", "43"]);
        b.start(command).fails(75, SHORT);
    });
}

/// `--help` and `--version` tell what they are asked, on standard output, with exit 0.
#[test]
fn help_and_version_are_told() {
    in_lab(1, |lab| {
        for arguments in [&["--help"][..], &["peer", "--help"], &["fetch", "--help"]] {
            let mut help = lab.host(0).run(arguments);
            help.succeeds(Duration::from_secs(5));
            let text = help.stdout();
            assert!(text.contains("peer") || text.contains("SHA1"), "{arguments:?}: {text}");
        }
        let mut version = lab.host(0).run(&["--version"]);
        version.succeeds(Duration::from_secs(5));
        assert!(version.stdout().starts_with(concat!("sprat ", env!("CARGO_PKG_VERSION"))));
        assert_eq!(host::names_in(&lab.host(0).root), Vec::<String>::new());
    });
}
