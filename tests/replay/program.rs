//! `sprat replay` as a program, and what it said.

use std::path::Path;
use std::process::Command;

use crate::support::host::SPRAT;

/// How `sprat replay` ended, and its two outputs.
pub(crate) struct Told {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Replays a trace with these options.
pub(crate) fn replay(trace: &Path, options: &[&str]) -> Told {
    let mut command = Command::new(SPRAT);
    command.arg("replay").args(options).arg(trace).env("RUST_BACKTRACE", "0");
    let output = command.output().unwrap();
    Told {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Fails unless a trace replays as it was recorded.
#[track_caller]
pub(crate) fn is_equal(trace: &Path) {
    let told = replay(trace, &[]);
    assert_eq!(told.code, Some(0), "{}: {}", trace.display(), told.stderr);
    assert!(told.stdout.starts_with("equal: "), "{}", told.stdout);
    let against = replay(trace, &["--against"]);
    assert_eq!(against.code, Some(0), "{}: {}", trace.display(), against.stderr);
}
