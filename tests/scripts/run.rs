//! Running a script to its end.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) const SCRIPTS: [&str; 3] = ["trace-summary", "trace-plot", "trace-pcap"];

/// How a script ended and what it said.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Ran {
    /// What it printed.
    #[track_caller]
    pub(crate) fn succeeded(self) -> String {
        assert_eq!(self.code, 0, "{}", self.errors);
        assert!(!self.errors.contains("Traceback"), "{}", self.errors);
        self.output
    }
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where a file of `scripts/` is.
pub(crate) fn script(name: &str) -> PathBuf {
    repository().join("scripts").join(name)
}

/// What was recorded and is kept.
pub(crate) fn traces() -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(repository().join("tests/traces")) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut traces: Vec<_> = paths.filter(|path| path.extension().is_some_and(is_trace)).collect();
    traces.sort();
    traces
}

fn is_trace(extension: &std::ffi::OsStr) -> bool {
    extension == "trace"
}

/// Runs a script with something on its standard input; nothing, said aloud, where there is no Python.
#[track_caller]
pub(crate) fn run(name: &str, arguments: &[&str], input: &str) -> Option<Ran> {
    if !is_there("python3") {
        skip(name, "python3 is not there");
        return None;
    }
    let mut command = Command::new(script(name));
    command.args(arguments).env("SPRAT", env!("CARGO_BIN_EXE_sprat")).env("LC_ALL", "C.UTF-8");
    Some(finish(command, input))
}

/// Runs a command to its end.
#[track_caller]
pub(crate) fn finish(mut command: Command, input: &str) -> Ran {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // Who wants nothing of it may be gone by now.
    let feeder = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Whether a program is on the path.
pub(crate) fn is_there(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Says aloud that something cannot be tested here.
pub(crate) fn skip(what: &str, why: &str) {
    let sentence = format!("SKIPPED: {what}: {why}");
    assert!(std::env::var_os("SPRAT_REQUIRE_LAB").is_none(), "{sentence}");
    // Not through eprintln: the test runner keeps that to itself.
    drop(writeln!(std::io::stderr(), "\n{sentence}"));
}

/// That a text is XML, as a parser sees it.
#[track_caller]
pub(crate) fn well_formed(svg: &str) {
    let mut command = Command::new("python3");
    command.args(["-c", "import sys, xml.dom.minidom as d; d.parse(sys.stdin.buffer)"]);
    let ran = finish(command, svg);
    assert_eq!(ran.code, 0, "{}", ran.errors);
}
