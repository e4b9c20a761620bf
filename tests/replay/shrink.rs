//! `scripts/shrink-trace` on a trace that makes the core panic.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::program::replay;
use crate::support::host::SPRAT;
use crate::support::lab::skip;

/// A flow whose datagrams are of a length that there is not: a panic as soon as one comes. What strangers say
/// before that has nothing to do with it.
#[test]
fn what_has_nothing_to_do_with_it_is_left_out() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(here.join("tests/traces/fetch-ring.trace")).unwrap();
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let at = lines[1].find("\"rung\":").unwrap() + "\"rung\":".len();
    lines[1].insert_str(at, "65535");
    let t = lines[2].split_once("\"t\":").unwrap().1.split_once(',').unwrap().0;
    let noise = format!("{{\"n\":0,\"t\":{t},\"from\":\"10.9.9.9:9\",\"bytes\":\"00\"}}");
    lines.splice(2..2, (0..9).map(|_| noise.clone()));
    let folder = tempfile::tempdir().unwrap();
    let (failing, small) = (folder.path().join("failing"), folder.path().join("small"));
    fs::write(&failing, lines.join("\n") + "\n").unwrap();
    let told = replay(&failing, &["--against"]);
    assert_eq!(told.code, Some(3), "{}", told.stderr);

    let mut command = Command::new(here.join("scripts/shrink-trace"));
    command.args([&failing, &small]).env("SPRAT", SPRAT);
    let output = match command.output() {
        Ok(output) if output.status.code() != Some(127) => output,
        _ => return skip("what_has_nothing_to_do_with_it", "no python3 here"),
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let kept = fs::read_to_string(&small).unwrap();
    let inputs: Vec<_> = kept.lines().filter(|line| line.contains("\"from\":")).collect();
    assert_eq!(inputs.len(), 1, "{kept}");
    assert!(inputs[0].contains("\"data\""), "{kept}");
    assert!(kept.lines().last().unwrap().contains("\"panic\""), "{kept}");
    // And it is a trace like any other: of a core that panics.
    let told = replay(&small, &[]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert!(told.stdout.contains("the core panics as it did"), "{}", told.stdout);
}
