//! What the system said, as a kind that the core acts on and a sentence that a person can act on.

use std::io;

use rustix::io::Errno;

use crate::node::input::{DiskFault, DiskFaultKind};

/// The fault for an error met while doing what `tried` says, as in "cannot write chunks/x".
pub(in crate::driver) fn fault(tried: &str, error: &io::Error) -> DiskFault {
    use io::ErrorKind as Kind;
    let (kind, advice) = match error.kind() {
        Kind::StorageFull | Kind::QuotaExceeded => {
            (DiskFaultKind::NoRoom, "make room there; it goes on from what it has")
        }
        Kind::NotFound | Kind::StaleNetworkFileHandle => {
            (DiskFaultKind::Vanished, "what was there is fetched again")
        }
        Kind::PermissionDenied => {
            (DiskFaultKind::Final, "make it writable for this user, or choose another --root")
        }
        Kind::ReadOnlyFilesystem => (DiskFaultKind::Final, "choose a writable place with --root"),
        Kind::FileTooLarge => (
            DiskFaultKind::Final,
            "choose a place whose file system holds files this long, or see to ulimit -f",
        ),
        Kind::NotADirectory => (DiskFaultKind::Final, "move away what stands where a folder must"),
        _ => (DiskFaultKind::Final, advice_by_number(error)),
    };
    DiskFault { kind, message: format!("cannot {tried}: {error}; {advice}") }
}

fn advice_by_number(error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::INVAL) => {
            "its file system may not take such names (FAT and exFAT know no colon): choose a place \
             on another one with --root"
        }
        Some(Errno::IO) => "the disk seems to fail: check it, then call again",
        Some(Errno::MFILE | Errno::NFILE) => "allow more open files (ulimit -n), then call again",
        Some(Errno::LOOP) => "move away the link that stands there",
        Some(Errno::EXIST | Errno::ISDIR | Errno::NOTEMPTY) => "move away what stands there",
        _ => "mend that, then call again with the same arguments",
    }
}

/// A fault that no system call told of.
pub(in crate::driver) fn own_fault(kind: DiskFaultKind, message: impl Into<String>) -> DiskFault {
    DiskFault { kind, message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_sentences() {
        for (number, kind, word) in [
            (Errno::NOSPC, DiskFaultKind::NoRoom, "make room"),
            (Errno::DQUOT, DiskFaultKind::NoRoom, "make room"),
            (Errno::NOENT, DiskFaultKind::Vanished, "again"),
            (Errno::INVAL, DiskFaultKind::Final, "colon"),
            (Errno::ACCESS, DiskFaultKind::Final, "writable for this user"),
            (Errno::ROFS, DiskFaultKind::Final, "--root"),
            (Errno::IO, DiskFaultKind::Final, "check it"),
            (Errno::FBIG, DiskFaultKind::Final, "this long"),
        ] {
            let told = fault("write chunks/x", &number.into());
            assert_eq!(told.kind, kind, "{}", told.message);
            assert!(told.message.starts_with("cannot write chunks/x: "), "{}", told.message);
            assert!(told.message.contains(word), "{}", told.message);
        }
    }
}
