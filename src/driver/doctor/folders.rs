//! The folders: may we write there, is there room, and does the file system take the names that we need?
//! Each is tried with a file that has a name of ours and is gone at once.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, statvfs};
use rustix::io::Errno;

use super::finding::Finding;

/// Below so much room hardly a file can be fetched, in bytes.
const ROOM_LITTLE: u64 = 100 << 20;
/// And below so much not even `d.json` can be replaced.
const ROOM_NONE: u64 = 1 << 20;
/// Below so many free inodes a download may not find its own.
const INODES_LITTLE: u64 = 1_000;
/// The longest name that a file of `share/` may have, in bytes.
const NAME_LENGTH_MAX: usize = 255;

/// What trying has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Each folder that is there, and why nothing can be written into it.
    pub folders: Vec<(PathBuf, Option<(io::ErrorKind, String)>)>,
    /// Room, where it can be told.
    pub room: Option<Room>,
    /// Why the file system takes no name with a colon, as in `SHA1:chunk:0`; nothing if it does.
    pub colons: Option<String>,
    /// Why it takes no name of 255 bytes.
    pub long_names: Option<String>,
    /// The kind of file system and where it hangs, as the kernel lists it.
    pub file_system: Option<(String, PathBuf)>,
}

/// What is free on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes, for us.
    pub bytes: u64,
    /// Inodes; none where the file system does not count them.
    pub inodes: Option<u64>,
}

/// Looks at the folders of `root` and tries them.
pub fn look(root: &Path) -> Facts {
    let folders = ["", "share", "chunks", ".sprat"].map(|name| root.join(name));
    let folders = folders.into_iter().enumerate().filter(|(at, path)| *at == 0 || path.is_dir());
    let folders: Vec<_> = folders
        .map(|(_, folder)| {
            let refused = try_folder(&folder).err();
            (folder, refused.map(|error| (error.kind(), error.to_string())))
        })
        .collect();
    // Only what is refused for its name alone says something of names.
    let writable = folders.iter().rev().find(|(_, refused)| refused.is_none());
    let refused = |name: &str| {
        let (folder, _) = writable?;
        try_name(folder, name).err().map(|error| error.to_string())
    };
    let long = "x".repeat(NAME_LENGTH_MAX - try_prefix().len());
    Facts {
        room: statvfs(root).ok().map(|it| Room {
            bytes: it.f_bavail.saturating_mul(it.f_frsize),
            inodes: (it.f_files > 0).then_some(it.f_favail),
        }),
        colons: refused("a:chunk:0"),
        long_names: refused(&long),
        file_system: file_system_of(
            &fs::read_to_string("/proc/self/mounts").unwrap_or_default(),
            &fs::canonicalize(root).unwrap_or_default(),
        ),
        folders,
    }
}

/// Names that begin with a dot are never offered.
fn try_prefix() -> String {
    format!(".sprat-doctor-{}-", std::process::id())
}

/// Makes a file that never has a name, so that nobody sees one in `share/`; where the file system knows no such files, one
/// with a name of ours.
fn try_folder(folder: &Path) -> io::Result<()> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR) {
        Ok(_) => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL | Errno::NOSYS) => {
            try_name(folder, "write")
        }
        Err(error) => Err(error.into()),
    }
}

/// Makes a file and removes it; only what is ours is removed.
fn try_name(folder: &Path, name: &str) -> io::Result<()> {
    let path = folder.join(format!("{}{name}", try_prefix()));
    let file: File = OpenOptions::new().write(true).create_new(true).open(&path)?;
    drop(file);
    fs::remove_file(path)
}

/// The file system that a path lies on: the longest mount point above it, of those the last.
fn file_system_of(mounts: &str, path: &Path) -> Option<(String, PathBuf)> {
    let mut found: Option<(String, PathBuf)> = None;
    for line in mounts.lines() {
        let mut words = line.split(' ').skip(1);
        let (Some(at), Some(kind)) = (words.next(), words.next()) else { continue };
        let at = PathBuf::from(at.replace("\\040", " "));
        let longer = found.as_ref().is_none_or(|(_, other)| at.starts_with(other));
        if path.starts_with(&at) && longer {
            found = Some((kind.to_owned(), at));
        }
    }
    found
}

/// Rights, room and names.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = judge_rights(facts);
    findings.push(judge_room(facts));
    findings.push(judge_names(facts));
    findings
}

fn judge_rights(facts: &Facts) -> Vec<Finding> {
    const CHECK: &str = "folders";
    let refused = facts.folders.iter().filter_map(|(folder, why)| Some((folder, why.as_ref()?)));
    let findings: Vec<_> = refused
        .map(|(folder, (kind, error))| {
            let shown = shown(folder);
            let text = format!("nothing can be written into {shown}: {error}");
            let finding = Finding::problem(CHECK, text);
            match (kind, &facts.file_system) {
                (io::ErrorKind::ReadOnlyFilesystem, Some((_, at))) => {
                    finding.with(format!("sudo mount -o remount,rw {}", quoted(at)))
                }
                (io::ErrorKind::PermissionDenied, _) => {
                    finding.with(format!("sudo chown -R \"$(id -un)\" {}", quoted(folder)))
                }
                (io::ErrorKind::NotFound, _) => {
                    finding.with(format!("mkdir -p {}", quoted(folder)))
                }
                (io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded, _) => {
                    finding.with(format!("df -h -i {}", quoted(folder)))
                }
                _ => finding.with(format!("ls -ld {}", quoted(folder))),
            }
        })
        .collect();
    if findings.is_empty() {
        return vec![Finding::ok(CHECK, "the folders can be written")];
    }
    findings
}

fn judge_room(facts: &Facts) -> Finding {
    const CHECK: &str = "disk";
    let Some(room) = facts.room else {
        return Finding::unknown(CHECK, "the file system does not say how much room it has")
            .with("df -h .");
    };
    let place = facts.file_system.as_ref().map_or_else(|| ".".to_owned(), |(_, at)| quoted(at));
    let large = format!("du -xah {place} | sort -h | tail");
    let megabytes = room.bytes >> 20;
    if room.bytes < ROOM_NONE {
        let text = "the disk is full: downloads stop and d.json stands still";
        return Finding::problem(CHECK, text).with(large);
    }
    match room.inodes {
        Some(0) => {
            let text = "the file system has no room for another file (no inodes): downloads stop";
            return Finding::problem(CHECK, text).with(format!("df -i {place}"));
        }
        Some(few) if few < INODES_LITTLE => {
            let text = format!("the file system has room for {few} files more (inodes)");
            return Finding::warning(CHECK, text).with(format!("df -i {place}"));
        }
        _ => {}
    }
    if room.bytes < ROOM_LITTLE {
        let text = format!("the disk is nearly full: {megabytes} MiB are left");
        return Finding::warning(CHECK, text).with(large);
    }
    Finding::ok(CHECK, format!("{megabytes} MiB are free"))
}

fn judge_names(facts: &Facts) -> Finding {
    const CHECK: &str = "names";
    let kind = facts.file_system.as_ref().map_or("this kind of file system", |(kind, _)| kind);
    let elsewhere = "sprat --root \"$HOME/sprat\" peer";
    if let Some(error) = &facts.colons {
        let text = format!(
            "{kind} takes no name with a colon ({error}), which every download needs: use a folder on \
             another disk"
        );
        return Finding::problem(CHECK, text).with(elsewhere);
    }
    if let Some(error) = &facts.long_names {
        let text = format!(
            "{kind} takes no name of {NAME_LENGTH_MAX} bytes ({error}): such files cannot be fetched"
        );
        return Finding::warning(CHECK, text).with(elsewhere);
    }
    if facts.folders.iter().all(|(_, refused)| refused.is_some()) {
        return Finding::unknown(CHECK, "where nothing can be written no names can be tried");
    }
    Finding::ok(CHECK, "the file system takes the names that are needed")
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// As a shell takes it.
fn quoted(path: &Path) -> String {
    let text = shown(path);
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+,@".contains(letter);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests;
