//! `scripts/shrink-trace` on a trace that makes the core panic.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::program::replay;
use crate::support::host::SPRAT;
use crate::support::lab::skip;

/// A driver that tells of a chunk file beyond all numbers: a build that checks its sums panics. All that
/// it takes is the command, and this answer.
#[test]
fn what_has_nothing_to_do_with_it_is_left_out() {
    if !cfg!(debug_assertions) {
        return skip("what_has_nothing_to_do_with_it", "this build does not check sums");
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(here.join("tests/traces/fetch-clean.trace")).unwrap();
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let beyond = "{\"n\":0,\"t\":99000000,\"in\":{\"store_opened\":{\"fetch\":1,\"outcome\":{\"ours\":{\
        \"extents\":[{\"start\":5,\"length\":18446744073709551615}],\"chain\":null}}}}}";
    let others = ["\"store_opened\"", "\"command\":\"stop\"", "\"end\""];
    lines.retain(|line| !others.iter().any(|other| line.contains(other)));
    lines.push(beyond.to_owned());
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
    let inputs: Vec<_> = kept.lines().filter(|line| line.contains("\"in\":")).collect();
    assert_eq!(inputs.len(), 2, "{kept}");
    assert!(inputs[0].contains("\"fetch\"") && inputs[1].contains("18446744073709551615"));
    assert!(kept.lines().last().unwrap().contains("\"panic\""), "{kept}");
    // And it is a trace like any other: of a core that panics.
    let told = replay(&small, &[]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert!(told.stdout.contains("the core panics as it did"), "{}", told.stdout);
}
