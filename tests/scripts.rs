//! The scripts that people point at a trace: that they say what is in it, say one sentence where there
//! is none, and draw no rubbish. What they read here is written by hand, in the schema of
//! `sprat replay --print=json`, so that every figure is known; `tests/traces/` is what was recorded.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![allow(clippy::disallowed_methods, reason = "tests live outside")]

#[path = "scripts/bench.rs"]
mod bench;
#[path = "scripts/capture.rs"]
mod capture;
#[path = "scripts/events.rs"]
mod events;
#[path = "scripts/run.rs"]
mod run;

use std::fs;

use events::{Events, SECOND, peer};
use run::{Ran, SCRIPTS, run, traces};

/// Two sources; the second gives half a second, then nobody gives anything for two, then the first gives
/// the rest, the third answers that it has nothing, and publishing takes a tenth of a second.
fn a_stalled_fetch() -> String {
    let mut events = Events::fetch("film <b>\u{202e}.mov", 400_000, &[peer(1), peer(2), peer(3)]);
    events.told(SECOND / 10, peer(1)).told(0, peer(2)).told_nothing(0, peer(3));
    for index in 0..100 {
        events.data(5_000, peer(2), index * 2_000, 2_000);
        events.view(peer(2), index * 2_000, 0, "its window is full");
        events.view(peer(1), 0, 9_000, "nothing comes from it");
    }
    events.after(2 * SECOND);
    for index in 100..200 {
        events.data(1_000, peer(1), index * 2_000, 2_000);
    }
    events.view(peer(1), 200_000, 9_000, "nothing to ask it for");
    events.refused(0, peer(2), "busy");
    events.publish(SECOND / 10);
    events.end()
}

#[test]
fn a_summary_says_who_gave_what_when_nothing_came_and_where_the_time_went() {
    let Some(ran) = run("trace-summary", &["-"], &a_stalled_fetch()) else { return };
    let text = ran.succeeded();
    for part in [
        "sprat 0.1.0 (0123456789ab) fetch, 2026-11-20 09:30:31 UTC, linux x86_64",
        "film <b>\u{fffd}.mov, 400 kB (400,000 bytes)",
        "done in 2.80 s",
        "Stalls (nothing for more than",
        "at   600 ms for   2.00 s   nothing came from 10.0.0.1 and 10.0.0.2",
        "refused 1 time (busy)",
        "has nothing of it",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    // Each source: address, bytes, share of all.
    for line in ["10.0.0.1 200 kB 50 %", "10.0.0.2 200 kB 50 %", "10.0.0.3 0 B"] {
        let found = text.lines().any(|found| words(found).starts_with(line));
        assert!(found, "no line begins with {line:?} in\n{text}");
    }
    let parts = [
        ("looking for sources", "100 ms"),
        ("waiting for the first bytes", "5.0 ms"),
        ("transferring", "594 ms"),
        ("stalled", "2.00 s"),
        ("publishing", "100 ms"),
        ("together", "2.80 s"),
    ];
    for (what, took) in parts {
        let said = text.lines().find(|line| line.trim().starts_with(what));
        assert!(said.is_some_and(|line| line.contains(took)), "{what} {took}: {said:?} in\n{text}");
    }
    assert!(text.lines().count() <= 40, "it is one screen:\n{text}");
    assert!(!text.contains('\u{1b}'), "colours are for terminals");
}

#[test]
fn what_a_stranger_wrote_does_not_drive_a_terminal() {
    let evil = "0.1.0\\u001b]0;evil\\u0007\\u009b31m";
    let text = a_stalled_fetch().replacen("0.1.0", evil, 1).replace("busy", evil);
    let Some(ran) = run("trace-summary", &["-"], &text) else { return };
    let said = ran.succeeded();
    assert!(said.contains("sprat 0.1.0\u{fffd}]0;evil\u{fffd}\u{fffd}31m"), "{said}");
    assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{said:?}");
}

#[test]
fn what_makes_no_sense_gets_a_sentence() {
    let text = a_stalled_fetch();
    for (script, forged) in [
        ("trace-summary", text.replacen("\"started\":1", "\"started\":1000000000000000000", 1)),
        ("trace-summary", text.replacen("\"t\":", "\"t\":\"x\",\"t_\":", 20)),
        ("trace-plot", text.replace("\"t\":", "\"t\":\"x\",\"t_\":")),
        ("trace-pcap", text.replace("\"t\":", "\"t\":[],\"t_\":")),
    ] {
        assert_ne!(forged, text);
        let more: &[&str] = if script == "trace-summary" { &["-"] } else { &["-o", "-", "-"] };
        let Some(Ran { code, errors, .. }) = run(script, more, &forged) else { return };
        let said = errors.starts_with(script) && errors.lines().count() == 1;
        assert!(code == 1 && said, "{script} ended with {code}: {errors}");
    }
}

/// The words of a line, with one blank between them.
fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_trace_without_an_end_says_how_far_it_was() {
    let whole = a_stalled_fetch();
    let cut = &whole[..whole.len() / 2];
    let Some(ran) = run("trace-summary", &["-"], cut) else { return };
    assert!(ran.errors.contains("is damaged or cut off"), "{}", ran.errors);
    let text = ran.succeeded();
    assert!(text.contains("not done when the trace ends") && text.contains("has no end"), "{text}");
}

#[test]
fn a_picture_is_a_whole_document_and_says_in_words_what_it_shows() {
    let Some(ran) = run("trace-plot", &["-o", "-", "-"], &a_stalled_fetch()) else { return };
    let svg = ran.succeeded();
    run::well_formed(&svg);
    let said =
        "400 kB in 2.80 s from 2 hosts; 2.00 s stalled: nothing came from 10.0.0.1 and 10.0.0.2";
    assert_eq!(verdict(&svg), said);
    for part in ["film &lt;b&gt;\u{fffd}.mov", "10.0.0.1: 200 kB, 50 %", "How fast"] {
        assert!(svg.contains(part), "{part:?} is not in the picture");
    }
    for rubbish in ["nan", "inf\"", "None", "\u{202e}"] {
        assert!(!svg.contains(rubbish), "{rubbish:?} is in the picture");
    }
}

/// The sentence at the top of a picture.
fn verdict(svg: &str) -> &str {
    svg.split(['<', '>']).skip_while(|&part| part != "title").nth(1).unwrap_or_default()
}

#[test]
fn a_picture_of_a_fetch_that_found_nobody_says_so() {
    let events = Events::fetch("lost", 1_000, &[peer(9)]).after(SECOND * 9).end();
    let Some(ran) = run("trace-plot", &["-o", "-", "-"], &events) else { return };
    let svg = ran.succeeded();
    run::well_formed(&svg);
    let said = "not done after 9.00 s: 0 B of 1.0 kB came; 10.0.0.9 did not answer";
    assert_eq!(verdict(&svg), said);
}

#[test]
fn a_picture_of_a_network_shows_who_came_and_who_left() {
    let mut events = Events::peer();
    events.host(0, peer(2), "heard", 0).host(SECOND / 10, peer(2), "listed", 7);
    events.host(SECOND, peer(3), "heard", 0).host(SECOND * 10, peer(3), "gone", 0);
    let Some(ran) = run("trace-plot", &["--discovery", "-o", "-", "-"], &events.end()) else {
        return;
    };
    let svg = ran.succeeded();
    run::well_formed(&svg);
    let said = "2 hosts in 11.1 s; 7 files known at the end; listed 100 ms after the first \
                word; 10.0.0.3 gave no list; 10.0.0.3 fell silent";
    assert_eq!(verdict(&svg), said);
}

#[test]
fn help_is_there_and_wrong_calls_get_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (letter, empty) = (file("letter", "Dear all,\n"), file("empty", ""));
    let (damaged, other) = (file("damaged.json", "{\"n\":"), file("other.json", "{\"a\":1}\n"));
    let missing = folder.path().join("missing").to_str().unwrap().to_owned();
    let here = folder.path().to_str().unwrap().to_owned();
    for script in SCRIPTS {
        let Some(ran) = run(script, &["--help"], "") else { return };
        assert!(ran.succeeded().contains("Ends with 0, with 1"), "{script} --help");
        let cases = [
            (&missing, "No such file or directory"),
            (&here, "is a folder"),
            (&letter, "is no trace of sprat"),
            (&empty, "is empty"),
            (&damaged, "is no trace of sprat"),
            (&other, "is no trace of sprat"),
        ];
        for (path, sentence) in cases {
            let Ran { code, output, errors } = run(script, &[path], "").unwrap();
            assert_eq!((code, output.as_str()), (1, ""), "{script} {path}: {errors}");
            let (said, lines) = (errors.contains(sentence), errors.lines().count());
            assert!(said && lines == 1 && errors.starts_with(script), "{script} {path}: {errors}");
        }
        for arguments in [&[][..], &["--nonsense", &letter], &[&letter, &letter]] {
            let ran = run(script, arguments, "").unwrap();
            assert_eq!(ran.code, 2, "{script} {arguments:?}: {}", ran.errors);
        }
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4, "nothing was written");
}

#[test]
fn what_cannot_be_replayed_to_the_end_is_shown_and_said() {
    let kept = traces().into_iter().find(|path| path.ends_with("fetch-lossy.trace"));
    let text = fs::read_to_string(kept.expect("it is kept")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.trace");
    let summary = |text: &str| {
        fs::write(&path, text).unwrap();
        run("trace-summary", &[path.to_str().unwrap()], "")
    };
    // Another digest: the trace of a program that decided otherwise, and came to the same end.
    let digest = text.find('=').expect("results have digests") + 1;
    let other = format!("{}0000{}", &text[..digest], &text[digest + 4..]);
    let Some(ran) = summary(&other) else { return };
    assert_eq!(ran.errors, "");
    assert!(ran.succeeded().contains("done in"));
    let ran = summary(&text[..text.len() / 2]).unwrap();
    assert!(ran.errors.contains("x.trace"), "{}", ran.errors);
    assert!(ran.succeeded().contains("not done when the trace ends"));
    let newer = text.replacen("\"sprat_trace\":1", "\"sprat_trace\":99", 1);
    let ran = summary(&newer).unwrap();
    assert_eq!((ran.code, ran.output.as_str()), (1, ""));
    assert!(ran.errors.contains("use a newer sprat"), "{}", ran.errors);
}

/// What went wrong in runs that were recorded, and what is said of it.
#[test]
fn what_went_wrong_is_named() {
    let cases = [
        ("fetch-liar", "127.0.0.1", "127.0.0.9 gave wrong bytes"),
        ("fetch-liar", "BLAMED for ", " s from 1 host (2 addresses)"),
        ("fetch-stalled", "nothing came from 127.0.0.1", " s stalled: nothing came from"),
        ("peer-hosts-leave", "left at 1.24 s", "10.77.0.2 said goodbye; 10.77.0.3 fell silent"),
        ("peer-hosts-leave", "fell silent, gone at 10.3 s", "2 hosts (4 addresses)"),
    ];
    for (name, in_words, at_the_top) in cases {
        let kept =
            traces().into_iter().find(|path| path.file_stem().is_some_and(|stem| stem == name));
        let path = kept.unwrap().to_str().unwrap().to_owned();
        let Some(ran) = run("trace-summary", &[&path], "") else { return };
        let text = ran.succeeded();
        assert!(text.contains(in_words), "{name}: {in_words:?} is not in\n{text}");
        let svg = run("trace-plot", &["-o", "-", &path], "").unwrap().succeeded();
        assert!(verdict(&svg).contains(at_the_top), "{name}: {}", verdict(&svg));
    }
}

#[test]
fn every_recorded_trace_is_summed_up_drawn_and_captured() {
    for trace in traces() {
        let path = trace.to_str().unwrap();
        let Some(ran) = run("trace-summary", &[path], "") else { return };
        let text = ran.succeeded();
        assert!(text.starts_with("sprat ") && text.lines().count() > 3, "{path}: {text}");
        assert!(!text.contains("None") && !text.contains("nan"), "{path}: {text}");
        run::well_formed(&run("trace-plot", &["-o", "-", path], "").unwrap().succeeded());
        capture::nothing_malformed(path);
    }
    let fetch = traces().into_iter().find(|path| path.ends_with("fetch-clean.trace")).unwrap();
    let arguments = ["--discovery", "-o", "-", fetch.to_str().unwrap()];
    run::well_formed(&run("trace-plot", &arguments, "").unwrap().succeeded());
}
