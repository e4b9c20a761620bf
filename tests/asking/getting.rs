//! `get`: by name, pattern, folder and SHA-1; and to other places.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;

use super::{answers, offered};
use crate::support::host::SPRAT;
use crate::support::*;

/// By name from all who have it, by SHA-1, by a pattern; a second time without asking for bytes.
#[test]
fn what_is_named() {
    in_lab(3, |lab| {
        let (fox, film) = (Content::of("fox"), Content::random(7, 2 << 20));
        [&fox, &film].into_iter().for_each(|content| lab.watcher.allow(content));
        let _peers = (lab.host(0).peer(), lab.host(1).peer());
        lab.put(0, "films/film.mov", &film);
        lab.put(1, "films/film.mov", &film);
        lab.put(1, "fox.txt", &fox);
        offered(lab.host(2), 2);
        let host = lab.host(2);
        host.run(&["get", "films/film.mov"]).succeeds(LONG);
        host.has("films/film.mov", &film);
        host.run(&["get", &fox.sha1]).succeeds(SHORT);
        host.has("fox.txt", &fox);
        fs::remove_file(host.shared("fox.txt")).unwrap();
        let got = answers(host, &["get", "fox*", "**/*.mov"]);
        let row = |name: &str, content: &Content| {
            json!({ "name": name, "size": content.size(), "sha1": content.sha1,
                    "shared_as": name, "trouble": null })
        };
        assert_eq!(got, [row("fox.txt", &fox), row("films/film.mov", &film)]);
        let told = host.run(&["get", "fox.text"]).fails(1, SHORT);
        assert!(told.contains("there is fox.txt"), "{told}");
    });
}

/// A folder with all below it, several at once, two of them the same, and put elsewhere besides.
#[test]
fn a_folder_several_at_once_and_elsewhere_besides() {
    in_lab(2, |lab| {
        let _peer = lab.host(0).peer();
        let contents: Vec<Content> =
            (0..6).map(|number| Content::random(20 + number / 2, 300_000)).collect();
        for (number, content) in contents.iter().enumerate() {
            lab.put(0, &format!("a/b/{number}.bin"), content);
        }
        let host = lab.host(1);
        offered(host, 6);
        let elsewhere = host.root.join("out");
        host.run(&["get", "a/b/", "--jobs", "4", "-o", "out/"]).succeeds(LONG);
        for (number, content) in contents.iter().enumerate() {
            host.has(&format!("a/b/{number}.bin"), content);
            let there = fs::read(elsewhere.join(format!("b/{number}.bin"))).unwrap();
            assert!(there == content.bytes, "{number}");
        }
    });
}

/// To standard output, whole and nothing else; under a name, which is not replaced unasked.
#[test]
fn to_standard_output_and_to_a_file() {
    in_lab(2, |lab| {
        let film = Content::random(8, 1 << 20);
        lab.watcher.allow(&film);
        let _peer = lab.host(0).peer();
        lab.put(0, "film.mov", &film);
        let host = lab.host(1);
        offered(host, 1);
        let mut command = host.sprat();
        command.args(["get", "film.mov", "-o", "-"]);
        let output = command.stderr(Stdio::null()).output().unwrap();
        assert!(output.status.success() && output.stdout == film.bytes);
        host.run(&["get", "film.mov", "-o", "copy"]).succeeds(SHORT);
        assert!(fs::read(host.root.join("copy")).unwrap() == film.bytes);
        fs::write(host.root.join("copy"), "mine").unwrap();
        let told = host.run(&["get", "film.mov", "-o", "copy"]).fails(1, SHORT);
        assert!(told.contains("copy is there already"), "{told}");
        assert_eq!(fs::read(host.root.join("copy")).unwrap(), b"mine");
        host.run(&["get", "film.mov", "--force", "--output=copy"]).succeeds(SHORT);
        assert!(fs::read(host.root.join("copy")).unwrap() == film.bytes);
    });
}

/// Beside the place of a file lies what another call with our process number makes, as there may be
/// one in another container: it stays. And where there can be no folder, that is what is said.
#[test]
fn what_another_call_puts_there_stays() {
    in_lab(2, |lab| {
        let film = Content::random(14, 100_000);
        lab.watcher.allow(&film);
        let _peer = lab.host(0).peer();
        lab.put(0, "film.mov", &film);
        let host = lab.host(1);
        offered(host, 1);
        fs::write(host.root.join("copy"), "old").unwrap();
        let mut command = host.enter("sh");
        let script = r#"echo theirs > .sprat-$$; exec "$0" get film.mov -o copy --force"#;
        command.args(["-c", script, SPRAT]).current_dir(&host.root);
        let mut get = host.start(command);
        let theirs = host.root.join(format!(".sprat-{}", get.pid()));
        get.succeeds(LONG);
        assert!(fs::read(host.root.join("copy")).unwrap() == film.bytes);
        assert_eq!(fs::read(&theirs).unwrap(), b"theirs\n");
        fs::remove_file(theirs).unwrap();
        let told = host.run(&["get", "film.mov", "-o", "copy/film.mov"]).fails(1, SHORT);
        assert!(!told.contains("is there already") && told.contains("copy"), "{told}");
        let dotted = |name: &str| name.starts_with(".sprat-");
        let names = fs::read_dir(&host.root).unwrap().flatten();
        let mut names = names.map(|entry| entry.file_name().into_string().unwrap());
        assert_eq!(names.find(|name| dotted(name)), None, "nothing of ours is left behind");
    });
}

/// Without a terminal nobody can be asked which content is meant: the choices are told, and nothing is begun.
#[test]
fn a_name_that_means_two_contents() {
    in_lab(3, |lab| {
        let (one, other) = (Content::of("one"), Content::of("the other"));
        lab.watcher.allow(&other);
        let _peers = (lab.host(0).peer(), lab.host(1).peer());
        lab.put(0, "fox.txt", &one);
        lab.put(1, "fox.txt", &other);
        let host = lab.host(2);
        offered(host, 2);
        let told = host.run(&["get", "fox.txt"]).fails(1, SHORT);
        assert!(told.contains(&one.sha1) && told.contains(&other.sha1), "{told}");
        assert!(told.contains("fox.txt means 2 contents"), "{told}");
        assert_eq!(host.chunk_names(), Vec::<String>::new());
        // What is clear beside it is fetched.
        lab.put(0, "cat.txt", &other);
        offered(host, 3);
        let told = host.run(&["get", "*.txt", "**", "--jobs", "4"]).fails(1, LONG);
        assert_eq!(told.matches("fox.txt means 2 contents").count(), 1, "{told}");
        assert!(told.contains("sprat get SHA1"), "{told}");
        host.has("cat.txt", &other);
        assert!(!host.shared("fox.txt").exists());
        fs::remove_file(host.shared("cat.txt")).unwrap();
        host.run(&["get", &other.sha1, "-o", "-"]).succeeds(SHORT);
    });
}

/// A source that is gone: time is up, and the same call goes on later.
#[test]
fn time_that_is_up() {
    in_lab(2, |lab| {
        let film = Content::random(9, 8 << 20);
        lab.watcher.allow(&film);
        let _peer = lab.host(0).peer();
        lab.put(0, "film.mov", &film);
        let host = lab.host(1);
        offered(host, 1);
        lab.limit(0, 10);
        let told = host.run(&["get", "film.mov", "--timeout", "2"]).fails(75, LONG);
        assert!(told.contains("the time is over"), "{told}");
        assert!(host.attrs(&film).exists());
        lab.limit(0, 1_000);
        host.run(&["get", "film.mov"]).succeeds(LONG);
        host.has("film.mov", &film);
    });
}

/// On a terminal somebody is asked which content is meant, and asked again after an answer that is none. No line of what
/// is shown wraps, however narrow it is, or is left behind.
#[test]
fn a_person_is_asked_which_one() {
    if Command::new("script").arg("--version").output().is_err() {
        return lab::skip("a_person_is_asked_which_one", "script is not there (util-linux)");
    }
    in_lab(3, |lab| {
        let (one, other) = (Content::of("one"), Content::random(31, 3 << 20));
        lab.watcher.allow(&one);
        lab.watcher.allow(&other);
        let _peers = (lab.host(0).peer(), lab.host(1).peer());
        let name = "a long name of a folder/and one of a file.txt";
        lab.put(0, name, &one);
        lab.put(1, name, &other);
        let host = lab.host(2);
        offered(host, 2);
        lab.limit(1, 20);
        let command = host.sprat();
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<_> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
        let line = format!("stty rows 24 cols 40; exec {} get '{name}'", words.join(" "));
        let shown = host.root.join("shown");
        let mut terminal = Command::new("script");
        terminal.args(["-qefc", &line, "/dev/null"]).stdin(Stdio::piped());
        terminal.stdout(fs::File::create(&shown).unwrap());
        let mut terminal = terminal.current_dir(&host.root).spawn().unwrap();
        let mut keys = terminal.stdin.take().unwrap();
        let text = || String::from_utf8_lossy(&fs::read(&shown).unwrap()).into_owned();
        wait_until("the question", SHORT, || text().contains("which one? "));
        assert!(text().contains("means 2 contents"), "{}", text());
        keys.write_all(b"9\n").unwrap();
        wait_until("to be asked again", SHORT, || text().contains("a number from 1 to 2"));
        let of = |content: &Content| text().find(&content.sha1).unwrap();
        let answer = if of(&one) < of(&other) { b"2\n" } else { b"1\n" };
        keys.write_all(answer).unwrap();
        wait_until("its end", LONG, || terminal.try_wait().unwrap().is_some());
        assert!(terminal.wait().unwrap().success(), "{}", text());
        host.has(name, &other);
        // What is drawn while it comes.
        let drawn = text();
        let drawn = &drawn[drawn.rfind("which one? ").unwrap()..];
        let bars = drawn.split(['\r', '\n', '\x1b']).filter(|line| line.contains(" % of "));
        let widths: Vec<_> = bars.map(|line| line.chars().count()).collect();
        assert!(!widths.is_empty() && widths.iter().all(|width| *width < 50), "{drawn:?}");
    });
}
