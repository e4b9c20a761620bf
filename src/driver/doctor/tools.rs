//! Other programs that are asked for what they know, where only they can say it. None of them is
//! needed.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::driver::clock::Slice;

/// How long a program may take to say what it knows.
const PATIENCE: Duration = Duration::from_secs(3);
/// The most that is read of what it says, in bytes.
const TEXT_MAX: usize = 4 << 20;
/// Where the programs of administrators are, which is not in everybody's `PATH`.
const FOLDERS: [&str; 6] =
    ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin", "/run/current-system/sw/bin"];

/// What a program says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Printed {
    /// It is not installed.
    #[default]
    Absent,
    /// It does not say it to us.
    Refused,
    /// Its standard output.
    Text(String),
}

/// Runs a program of the system and takes what it prints.
pub fn run_tool(name: &str, arguments: &[&str]) -> Printed {
    let places = FOLDERS.iter().map(|folder| Path::new(folder).join(name));
    match places.into_iter().find(|place| place.is_file()) {
        Some(place) => run(place, arguments).map_or(Printed::Refused, Printed::Text),
        None => Printed::Absent,
    }
}

fn run(program: PathBuf, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let mut output = child.stdout.take()?;
    let patience = Slice::of(PATIENCE);
    let mut text = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let whole = loop {
        let left = PATIENCE.saturating_sub(patience.elapsed());
        let wait = Timespec::try_from(left).ok()?;
        let mut polled = [PollFd::new(&output, PollFlags::IN)];
        match poll(&mut polled, Some(&wait)) {
            Ok(1..) => {}
            Err(rustix::io::Errno::INTR) => continue,
            _ => break false,
        }
        match output.read(&mut buffer) {
            Ok(0) => break true,
            Ok(length) if text.len() + length <= TEXT_MAX => {
                text.extend_from_slice(&buffer[..length]);
            }
            _ => break false,
        }
    };
    if !whole {
        let _ = child.kill();
    }
    let status = child.wait().ok()?;
    (whole && status.success()).then(|| String::from_utf8_lossy(&text).into_owned())
}
