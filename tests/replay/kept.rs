//! The traces in `tests/traces/`: each was recorded once, for a reason that its name tells, and replays
//! equal for as long as nothing of what it tells has changed. `docs/trace.md` says how one is renewed.

use std::fs;
use std::path::{Path, PathBuf};

use super::program::{is_equal, replay};

fn kept() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut traces: Vec<_> = entries.filter(|path| path.extension().is_some()).collect();
    traces.sort();
    assert!(traces.len() >= 5, "{traces:?}");
    traces
}

fn named(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces").join(name)
}

#[test]
fn kept_traces_replay_equal() {
    kept().iter().for_each(|trace| is_equal(trace));
}

#[test]
fn written_anew_they_are_what_they_were() {
    let folder = tempfile::tempdir().unwrap();
    for trace in kept() {
        let file = trace.file_name().unwrap().to_owned();
        for options in [&["--rewrite"][..], &["--expand", "--rewrite"]] {
            let anew = folder.path().join(&file);
            let options: Vec<_> = options.iter().copied().chain(anew.to_str()).collect();
            let told = replay(&trace, &options);
            assert_eq!(told.code, Some(0), "{}", told.stderr);
            is_equal(&anew);
            let end =
                |path: &Path| fs::read_to_string(path).unwrap().lines().last().map(str::to_owned);
            assert_eq!(end(&anew), end(&trace), "the same sum, the same end");
            fs::remove_file(&anew).unwrap();
        }
    }
}

#[test]
fn everything_is_told_to_programs() {
    for trace in kept() {
        let told = replay(&trace, &["--print=json"]);
        assert_eq!(told.code, Some(0), "{}", told.stderr);
        let lines: Vec<serde_json::Value> =
            told.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let about = |subject: &str| lines.iter().filter(|line| line.get(subject).is_some()).count();
        assert_eq!((about("header"), about("end")), (1, 1));
        assert!(about("input") > 1 && about("output") > 1 && about("deadline") > 1);
        assert!(about("source") + about("host") > 0, "{}", trace.display());
        let last = lines.iter().rfind(|line| line.get("input").is_some()).unwrap();
        assert_eq!(last["n"].as_u64(), Some(about("input") as u64 + last_before(&lines)));
    }
}

/// How many inputs there were before the first that is told.
fn last_before(lines: &[serde_json::Value]) -> u64 {
    let first = lines.iter().find(|line| line.get("input").is_some()).unwrap();
    first["n"].as_u64().unwrap() - 1
}

#[test]
fn people_can_stop_early() {
    let told = replay(&named("fetch-clean.trace"), &["--print", "--until", "3"]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert_eq!(told.stdout.lines().last(), Some("equal up to here, 3 inputs"));
    let told = replay(&named("fetch-clean.trace"), &["--quiet", "--until", "0.001"]);
    assert_eq!((told.code, told.stdout.as_str()), (Some(0), ""));
}

/// Changes one line of a kept trace, and replays it.
#[track_caller]
fn spoiled(name: &str, spoil: impl Fn(&str) -> Option<String>, options: &[&str]) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("spoiled.trace");
    let mut changed = 0;
    let text = fs::read_to_string(named(name)).unwrap();
    let lines = text.lines().map(|line| match spoil(line).filter(|_| changed == 0) {
        Some(other) => {
            changed += 1;
            other
        }
        None => line.to_owned(),
    });
    let text: String = lines.map(|line| line + "\n").collect();
    fs::write(&file, text.replace("\n\n", "\n")).unwrap();
    assert_eq!(changed, 1, "{name} has no such line");
    let told = replay(&file, options);
    (told.code.unwrap(), told.stderr)
}

#[test]
fn the_first_difference_is_told_with_what_lies_around_it() {
    let other_digest = |line: &str| {
        let at = line.find("\"open_store ")? + "\"open_store ".len();
        let digit = if &line[at..=at] == "0" { "1" } else { "0" };
        Some(format!("{}{digit}{}", &line[..at], &line[at + 1..]))
    };
    let (code, stderr) = spoiled("fetch-clean.trace", other_digest, &[]);
    assert_eq!(code, 1);
    assert!(stderr.contains("line 3, input 2, at 0."), "{stderr}");
    assert!(stderr.contains("output 1 (open_store) is another"), "{stderr}");
    assert!(stderr.contains("{\"open_store\":{"), "what came, in full: {stderr}");
    assert!(stderr.contains("after it:\n        3 "), "{stderr}");
    assert_eq!(spoiled("fetch-clean.trace", other_digest, &["--against"]).0, 0);

    let other_kind = |line: &str| {
        line.contains("\"open_store ").then(|| line.replace("\"open_store ", "\"hash "))
    };
    let (code, stderr) = spoiled("fetch-clean.trace", other_kind, &[]);
    assert!(code == 1 && stderr.contains("other outputs\n  expected: hash\n"), "{stderr}");

    let other_reason = |line: &str| {
        line.contains("sources are called for\"]")
            .then(|| line.replace("sources are called for\"]", "it is late\"]"))
    };
    let (code, stderr) = spoiled("fetch-clean.trace", other_reason, &[]);
    assert!(code == 1 && stderr.contains("another deadline"), "{stderr}");

    let missing = |line: &str| line.contains("\"share_searched\"").then(String::new);
    let (code, stderr) = spoiled("fetch-clean.trace", missing, &[]);
    assert!(code == 1 && stderr.contains("inputs are missing"), "{stderr}");

    let other_end = |line: &str| line.contains("\"end\"").then(|| line.replace("done", "failed"));
    for options in [&[][..], &["--against"]] {
        let (code, stderr) = spoiled("fetch-clean.trace", other_end, options);
        assert!(code == 1 && stderr.contains("the fetches end otherwise"), "{stderr}");
    }
}

#[test]
fn what_short_digests_miss_the_sum_does_not() {
    let other = |line: &str| {
        let at = line.find("{\"end\"").and(line.find("\"sum\":\""))? + "\"sum\":\"".len();
        Some(format!("{}0000000000000000{}", &line[..at], &line[at + 16..]))
    };
    let (code, stderr) = spoiled("fetch-clean.trace", other, &[]);
    assert!(code == 1 && stderr.contains("expected: the sum 0000000000000000"), "{stderr}");
}

#[test]
fn a_run_that_differs_is_found_to_the_packet() {
    let other = |line: &str| {
        let at = line.find("\"run\":\"")?;
        let equals = at + line[at..].find("=")?;
        let digit = if &line[equals + 1..equals + 2] == "0" { "1" } else { "0" };
        Some(format!("{}{digit}{}", &line[..=equals], &line[equals + 2..]))
    };
    let (code, stderr) = spoiled("fetch-clean.trace", other, &[]);
    assert!(code == 1 && stderr.contains("an output, or the deadline, is another"), "{stderr}");
}

#[test]
fn a_state_that_differs_is_told_by_its_part() {
    let other = |line: &str| {
        let at = line.find("[\"shelf\",\"")? + "[\"shelf\",\"".len();
        Some(format!("{}{}{}", &line[..at], "0000000000000000", &line[at + 16..]))
    };
    let (code, stderr) = spoiled("peer.trace", other, &[]);
    assert!(code == 1 && stderr.contains("expected: shelf 0000000000000000\n"), "{stderr}");
}

#[test]
fn a_wake_up_for_another_reason_is_told() {
    let other = |line: &str| {
        let at = line.find("\"why\":[\"")? + "\"why\":[\"".len();
        let end = at + line[at..].find('"')?;
        Some(format!("{}something else{}", &line[..at], &line[end..]))
    };
    let (code, stderr) = spoiled("fetch-lossy.trace", other, &[]);
    assert!(code == 1 && stderr.contains("did not want to be"), "{stderr}");
}
