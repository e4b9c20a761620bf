//! Folders in every state, and what is said of them; and that trying leaves nothing behind.

use std::time::SystemTime;

use super::super::finding::Status;
use super::*;

fn healthy() -> Facts {
    Facts {
        folders: vec![("/srv/my files".into(), None), ("/srv/my files/share".into(), None)],
        room: Some(Room { bytes: 1 << 30, inodes: Some(1_000_000) }),
        file_system: Some(("ext4".to_owned(), "/srv".into())),
        ..Facts::default()
    }
}

fn refused(kind: io::ErrorKind) -> Facts {
    let mut facts = healthy();
    facts.folders[1].1 = Some((kind, "no".to_owned()));
    facts
}

fn room(bytes: u64, inodes: Option<u64>) -> Facts {
    Facts { room: Some(Room { bytes, inodes }), ..healthy() }
}

#[test]
fn each_fact_has_its_finding() {
    assert!(judge(&healthy()).iter().all(|finding| finding.status == Status::Ok));
    let colons = Facts { colons: Some("invalid".to_owned()), ..healthy() };
    let long = Facts { long_names: Some("too long".to_owned()), ..healthy() };
    let elsewhere = "sprat --root \"$HOME/sprat\" peer";
    for (facts, check, status, command) in [
        (
            refused(io::ErrorKind::ReadOnlyFilesystem),
            "folders",
            Status::Problem,
            "sudo mount -o remount,rw /srv",
        ),
        (
            refused(io::ErrorKind::PermissionDenied),
            "folders",
            Status::Problem,
            "sudo chown -R \"$(id -un)\" '/srv/my files/share'",
        ),
        (
            refused(io::ErrorKind::NotFound),
            "folders",
            Status::Problem,
            "mkdir -p '/srv/my files/share'",
        ),
        (room(1_000, None), "disk", Status::Problem, "du -xah /srv | sort -h | tail"),
        (room(2 << 20, None), "disk", Status::Warning, "du -xah /srv | sort -h | tail"),
        (room(1 << 30, Some(0)), "disk", Status::Problem, "df -i /srv"),
        (room(1 << 30, Some(999)), "disk", Status::Warning, "df -i /srv"),
        (Facts { room: None, ..healthy() }, "disk", Status::Unknown, "df -h ."),
        (colons, "names", Status::Problem, elsewhere),
        (long, "names", Status::Warning, elsewhere),
    ] {
        let findings = judge(&facts);
        let wrong: Vec<_> = findings.iter().filter(|it| it.status != Status::Ok).collect();
        assert_eq!(wrong.len(), 1, "{findings:?}");
        assert_eq!((wrong[0].check, wrong[0].status), (check, status));
        assert_eq!(wrong[0].commands, [command]);
    }
}

#[test]
fn the_file_system_is_the_one_that_hangs_deepest() {
    let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /srv tmpfs rw 0 0\n/dev/b /srv/my\\040files vfat rw 0 0\n\
                  /dev/c /srv/m exfat rw 0 0\nnonsense\n";
    for (path, kind) in [("/srv/my files/a", "vfat"), ("/srv/my", "tmpfs"), ("/home", "ext4")] {
        assert_eq!(file_system_of(mounts, Path::new(path)).unwrap().0, kind);
    }
}

#[test]
fn trying_leaves_nothing_behind() {
    let root = tempfile::tempdir().unwrap();
    for name in ["share", "chunks"] {
        fs::create_dir(root.path().join(name)).unwrap();
    }
    // A folder's time tells that a name came, even where it is gone by now.
    let share = File::open(root.path().join("share")).unwrap();
    share.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let facts = look(root.path());
    assert_eq!(share.metadata().unwrap().modified().unwrap(), SystemTime::UNIX_EPOCH);
    assert_eq!(facts.folders.len(), 3);
    assert!(facts.folders.iter().all(|(_, refused)| refused.is_none()), "{facts:?}");
    assert_eq!((&facts.colons, &facts.long_names), (&None, &None));
    assert!(facts.room.is_some() && facts.file_system.is_some());
    for name in ["share", "chunks"] {
        assert_eq!(fs::read_dir(root.path().join(name)).unwrap().count(), 0);
    }
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2);
    let missing = look(&root.path().join("nowhere"));
    assert_eq!(missing.folders[0].1.as_ref().unwrap().0, io::ErrorKind::NotFound);
}

#[test]
fn paths_are_quoted_for_shells() {
    assert_eq!(quoted(Path::new("/a/b.c")), "/a/b.c");
    assert_eq!(quoted(Path::new("/a b/it's")), "'/a b/it'\\''s'");
    assert_eq!(quoted(Path::new("$(x)")), "'$(x)'");
}
