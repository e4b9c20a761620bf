//! That `scripts/bench` says what it measures, and that a small measurement runs to its end here.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::run::{finish, is_there, script, skip, well_formed};

/// The emulator, which `cargo test` builds beside the program.
fn emulator() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_BIN_EXE_sprat")).with_file_name("examples/link_emulator");
    path.exists().then_some(path)
}

/// Whether there can be networks of our own, and devices in them.
fn networks() -> bool {
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--net", "ip", "tuntap", "add", "dev", "t0", "mode", "tap"]);
    command.output().is_ok_and(|output| output.status.success())
}

#[test]
fn it_lists_its_parts_and_refuses_others() {
    let run = |name: &str, argument: &str| {
        let mut command = Command::new(script(name));
        command.arg(argument);
        finish(command, "")
    };
    let bench = |argument: &str| run("bench", argument);
    let list = bench("--list").succeeded();
    for part in ["loopback", "lan", "wan", "wifi", "lossy", "multi", "fair", "shoal", "memory"] {
        assert!(list.lines().any(|line| line.split(' ').next() == Some(part)), "{part}: {list}");
    }
    assert!(bench("--help").succeeded().contains("scripts/bench [OPTION...] [PART...]"));
    let counts = run("bench-counts", "--help").succeeded();
    assert!(counts.contains("tests/figures/system-calls.txt"), "{counts}");
    assert!(run("bench-counts", "--nonsense").errors.contains("no such option"));
    for wrong in ["--nonsense", "nonsense", "loop", ""] {
        let ran = bench(wrong);
        assert_eq!((ran.code, ran.output.as_str()), (1, ""), "{wrong}");
        assert!(ran.errors.contains("no such part or option"), "{wrong}: {}", ran.errors);
    }
}

#[test]
fn what_finding_each_other_costs_is_measured_by_parts() {
    if !is_there("python3") {
        return skip("scripts/bench-discovery", "python3 is not there");
    }
    let run = |argument: &str| {
        let mut command = Command::new(script("bench-discovery"));
        command.args(["--sprat", env!("CARGO_BIN_EXE_sprat"), argument]);
        finish(command, "")
    };
    let list = run("--list").succeeded();
    for part in ["directory", "scan", "list", "news", "quiet"] {
        assert!(list.lines().any(|line| line.split(' ').next() == Some(part)), "{part}: {list}");
    }
    assert!(run("--help").succeeded().contains("scripts/bench-discovery [OPTION...] [PART...]"));
    assert!(run("nonsense").errors.contains("no such part: nonsense"));
}

#[test]
fn what_it_is_made_of_can_be_read_by_who_runs_it() {
    if !is_there("python3") {
        return skip("scripts/bench", "python3 is not there");
    }
    let folder = script("lib");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let Some(extension) = path.extension() else { continue };
        let read = "import ast, sys; ast.parse(open(sys.argv[1], encoding='utf-8').read())";
        let mut command = match extension.to_str().unwrap() {
            "py" => Command::new("python3"),
            "sh" => Command::new("bash"),
            _ => continue,
        };
        command.args(if extension == "py" { ["-c", read] } else { ["-n", "--"] }).arg(&path);
        let ran = finish(command, "");
        assert_eq!(ran.code, 0, "{}: {}", path.display(), ran.errors);
    }
}

#[test]
fn a_small_file_is_fetched_over_an_emulated_link_and_measured() {
    let what = "measuring over an emulated link";
    let Some(emulator) = emulator() else { return skip(what, "the emulator was not built") };
    for program in ["python3", "ip", "cc", "unshare"] {
        let mut command = Command::new(program);
        if command.arg(if program == "ip" { "-V" } else { "--version" }).output().is_err() {
            return skip(what, &format!("{program} is not there"));
        }
    }
    if !networks() {
        return skip(what, "no network namespaces with TAP devices here");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let mut command = Command::new(script("bench"));
    command.args(["--runs", "1", "--sprat", env!("CARGO_BIN_EXE_sprat"), "--json"]);
    command.arg(file("json")).arg("--markdown").arg(file("md")).arg("--svg").arg(file("svg"));
    let ran = finish_in_place(command.arg("try").env("SPRAT_LINK_EMULATOR", emulator));
    assert!(!ran.contains("SKIPPED"), "{ran}");
    let read = |name: &str| std::fs::read_to_string(file(name)).unwrap();
    let found: serde_json::Value = serde_json::from_str(&read("json")).unwrap();
    let run = &found["cases"]["try"]["tools"]["sprat"]["runs"][0];
    assert_eq!(run["done"], true, "{found}");
    // At best the link's rate, and every byte of the file was on the wire.
    assert!(run["goodput"].as_f64().is_some_and(|share| share > 0.0 && share < 0.95), "{found}");
    assert!(run["wire"].as_f64().is_some_and(|ratio| ratio > 1.05), "{found}");
    assert!(read("md").contains("| sprat |"), "{}", read("md"));
    well_formed(&read("svg"));
}

/// Runs a command that has to succeed, and gives all that it said.
#[track_caller]
fn finish_in_place(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{said}");
    said
}
