//! What the rest of the system grants: socket buffers, watches of folders, a clock, and whose rights we
//! run with.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::finding::Finding;
use crate::driver::folder_events::FolderEvents;
use crate::driver::udp_socket::{RECEIVE_BUFFER_WANTED, SEND_BUFFER_WANTED};

/// Folders of `share/` that are counted.
const FOLDERS_MAX: u64 = 100_000;
/// 2020 began so long after 1970: no clock that is right shows less.
const YEAR_2020: Duration = Duration::from_secs(1_577_836_800);
/// And 2050 so long.
const YEAR_2050: Duration = Duration::from_secs(2_524_608_000);

/// What the system says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// `net.core.rmem_max`, where it can be read.
    pub receive_buffer_max: Option<u64>,
    /// `net.core.wmem_max`.
    pub send_buffer_max: Option<u64>,
    /// The time of day.
    pub wall: SystemTime,
    /// Whether this is the administrator.
    pub is_root: bool,
    /// `fs.inotify.max_user_watches`.
    pub watches_max: Option<u64>,
    /// Folders in `share/`, itself included.
    pub folders: u64,
    /// Why folders cannot be watched at all.
    pub cannot_watch: Option<String>,
}

/// Asks the system.
pub fn look(root: &Path, wall: SystemTime) -> Facts {
    let setting = |name: &str| {
        let text = fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?;
        text.trim().parse().ok()
    };
    Facts {
        receive_buffer_max: setting("net/core/rmem_max"),
        send_buffer_max: setting("net/core/wmem_max"),
        wall,
        is_root: rustix::process::geteuid().is_root(),
        watches_max: setting("fs/inotify/max_user_watches"),
        folders: folders_below(&root.join("share")),
        cannot_watch: FolderEvents::new().err().map(|error| error.to_string()),
    }
}

/// How many folders there are, up to a bound; links are not followed.
fn folders_below(root: &Path) -> u64 {
    let mut waiting = vec![root.to_owned()];
    let mut count = 0;
    while let Some(folder) = waiting.pop().filter(|_| count < FOLDERS_MAX) {
        count += 1;
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        waiting.extend(folders.map(|entry| entry.path()));
    }
    count
}

/// Buffers, the clock, watches, and rights.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    vec![judge_buffers(facts), judge_clock(facts.wall), judge_watches(facts), judge_rights(facts)]
}

fn judge_buffers(facts: &Facts) -> Finding {
    const CHECK: &str = "buffers";
    let wanted = [
        ("net.core.rmem_max", facts.receive_buffer_max, RECEIVE_BUFFER_WANTED as u64),
        ("net.core.wmem_max", facts.send_buffer_max, SEND_BUFFER_WANTED as u64),
    ];
    if wanted.iter().all(|(_, granted, _)| granted.is_none()) {
        return Finding::unknown(CHECK, "the system does not show how long socket buffers may be")
            .with("sysctl net.core.rmem_max net.core.wmem_max");
    }
    let short = wanted.iter().filter(|(_, granted, wanted)| granted.is_some_and(|it| it < *wanted));
    let commands: Vec<_> =
        short.map(|(name, _, wanted)| format!("sudo sysctl -w {name}={wanted}")).collect();
    if commands.is_empty() {
        return Finding::ok(CHECK, "socket buffers may be as long as they are wanted");
    }
    let text = "socket buffers are shorter than they are wanted: fast transfers lose packets, and ask \
                for them again";
    Finding::warning(CHECK, text).with_all(commands)
}

fn judge_clock(wall: SystemTime) -> Finding {
    const CHECK: &str = "clock";
    let since = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let wrong = match () {
        () if since < YEAR_2020 => "the clock says that it is before 2020",
        () if since > YEAR_2050 => "the clock says that it is after 2050",
        () => return Finding::ok(CHECK, "the clock shows a time that may be right"),
    };
    let text = format!("{wrong}: d.json shows wrong times, and files seem to be still changing");
    Finding::problem(CHECK, text).with("sudo timedatectl set-ntp true")
}

fn judge_watches(facts: &Facts) -> Finding {
    const CHECK: &str = "watches";
    let consequence = "new files in share/ are found by looking only, which takes longer";
    if let Some(error) = &facts.cannot_watch {
        let text = format!("folders cannot be watched ({error}): {consequence}");
        return Finding::warning(CHECK, text)
            .with("sudo sysctl -w fs.inotify.max_user_instances=512");
    }
    match facts.watches_max {
        Some(most) if most < facts.folders => {
            let text = format!(
                "share/ has {} folders and {most} can be watched: {consequence}",
                facts.folders
            );
            let enough = facts.folders.next_power_of_two() * 2;
            let command = format!("sudo sysctl -w fs.inotify.max_user_watches={enough}");
            Finding::warning(CHECK, text).with(command)
        }
        _ => Finding::ok(CHECK, "the folders of share/ can be watched"),
    }
}

fn judge_rights(facts: &Facts) -> Finding {
    const CHECK: &str = "root";
    if facts.is_root {
        let text = "this is root, which sprat never needs: what it fetches belongs to root then";
        return Finding::warning(CHECK, text).with("sudo -u USER sprat peer");
    }
    Finding::ok(CHECK, "this is not root, and need not be")
}

#[cfg(test)]
mod tests {
    use super::super::finding::Status;
    use super::*;

    fn healthy() -> Facts {
        Facts {
            receive_buffer_max: Some(4 << 20),
            send_buffer_max: Some(4 << 20),
            wall: SystemTime::UNIX_EPOCH + YEAR_2020 * 11 / 10,
            is_root: false,
            watches_max: Some(8_192),
            folders: 8_192,
            cannot_watch: None,
        }
    }

    #[test]
    fn each_fact_has_its_finding() {
        assert!(judge(&healthy()).iter().all(|finding| finding.status == Status::Ok));
        let ill = [
            (
                Facts { receive_buffer_max: Some(212_992), ..healthy() },
                "buffers",
                Status::Warning,
                "sudo sysctl -w net.core.rmem_max=4194304",
            ),
            (
                Facts { send_buffer_max: Some(212_992), ..healthy() },
                "buffers",
                Status::Warning,
                "sudo sysctl -w net.core.wmem_max=1048576",
            ),
            (
                Facts { receive_buffer_max: None, send_buffer_max: None, ..healthy() },
                "buffers",
                Status::Unknown,
                "sysctl net.core.rmem_max net.core.wmem_max",
            ),
            (
                Facts { wall: SystemTime::UNIX_EPOCH, ..healthy() },
                "clock",
                Status::Problem,
                "sudo timedatectl set-ntp true",
            ),
            (
                Facts { wall: SystemTime::UNIX_EPOCH + YEAR_2050 * 2, ..healthy() },
                "clock",
                Status::Problem,
                "sudo timedatectl set-ntp true",
            ),
            (
                Facts { folders: 8_193, ..healthy() },
                "watches",
                Status::Warning,
                "sudo sysctl -w fs.inotify.max_user_watches=32768",
            ),
            (
                Facts { cannot_watch: Some("too many".to_owned()), ..healthy() },
                "watches",
                Status::Warning,
                "sudo sysctl -w fs.inotify.max_user_instances=512",
            ),
            (
                Facts { is_root: true, ..healthy() },
                "root",
                Status::Warning,
                "sudo -u USER sprat peer",
            ),
        ];
        for (facts, check, status, command) in ill {
            let findings = judge(&facts);
            let wrong: Vec<_> = findings.iter().filter(|it| it.status != Status::Ok).collect();
            assert_eq!(wrong.len(), 1, "{facts:?}");
            assert_eq!((wrong[0].check, wrong[0].status), (check, status), "{facts:?}");
            assert_eq!(wrong[0].commands, [command], "{facts:?}");
        }
    }

    #[test]
    fn folders_are_counted() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("a/b/c")).unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        std::os::unix::fs::symlink(root.path(), root.path().join("link")).unwrap();
        assert_eq!(folders_below(root.path()), 4);
    }
}
