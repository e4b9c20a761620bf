//! One running program, its two outputs in files, and how it ended.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::wait::wait_for;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Exit(i32),
    Signal(i32),
}

impl From<ExitStatus> for Ending {
    fn from(status: ExitStatus) -> Self {
        match status.code() {
            Some(code) => Self::Exit(code),
            None => Self::Signal(status.signal().unwrap_or(0)),
        }
    }
}

/// A process of ours; it is killed, by its number, when the value goes.
pub struct Running {
    child: Child,
    ended: Option<Ending>,
    started: Instant,
    out: PathBuf,
    err: PathBuf,
}

impl Running {
    /// Starts `command` with its outputs in `log.out` and `log.err`.
    pub fn start(mut command: Command, log: &std::path::Path) -> Self {
        let (out, err) = (log.with_extension("out"), log.with_extension("err"));
        command.stdin(Stdio::null());
        command.stdout(fs::File::create(&out).unwrap());
        command.stderr(fs::File::create(&err).unwrap());
        let started = Instant::now();
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, ended: None, started, out, err }
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ending(&mut self) -> Option<Ending> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().unwrap().map(Ending::from);
        }
        self.ended
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> Ending {
        let what = format!("the end of process {}, {}", self.pid(), self.err.display());
        wait_for(&what, limit, || self.ending())
    }

    /// Waits for exit 0; shows what it said where it ends otherwise.
    #[track_caller]
    pub fn succeeds(&mut self, limit: Duration) {
        let ending = self.wait(limit);
        assert_eq!(ending, Ending::Exit(0), "standard error:\n{}", self.stderr());
    }

    /// Waits for that exit code, and returns standard error.
    #[track_caller]
    pub fn fails(&mut self, code: i32, limit: Duration) -> String {
        let ending = self.wait(limit);
        let stderr = self.stderr();
        assert_eq!(ending, Ending::Exit(code), "standard error:\n{stderr}");
        assert!(!stderr.trim().is_empty(), "exit {code} without a reason on standard error");
        stderr
    }

    /// Sends a signal to it, and to nobody else.
    pub fn signal(&mut self, name: &str) {
        if self.ending().is_some() {
            return;
        }
        // The shell's own: a program of that name is not everywhere.
        let kill = format!("kill -s {name} {}", self.pid());
        let status = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(status.success(), "{kill}");
    }

    /// kill -9, and waits for the end.
    pub fn kill(&mut self) {
        if self.ending().is_none() {
            self.child.kill().unwrap();
            self.ended = Some(self.child.wait().unwrap().into());
        }
    }

    /// For how long it has been running, or when it was started.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Standard output so far.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.out).unwrap()).into_owned()
    }

    /// Standard error so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.err).unwrap()).into_owned()
    }

    /// Bytes that it has read with any call, from anywhere.
    pub fn read_bytes(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/io", self.pid())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("rchar: "));
        line.unwrap().parse().unwrap()
    }

    /// A line of `/proc/PID/status`, as a number (kB for memory).
    pub fn status(&self, field: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = text.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}
