//! What is gone, changed, in the way or full.

use super::*;

#[test]
fn a_name_that_is_taken_in_the_last_moment_is_not_overwritten() {
    for size in [0, 1000] {
        let it = Fixture::new(size);
        let mut store = it.store();
        it.fill(&mut store, &[0, size][..if size == 0 { 1 } else { 2 }]);
        let share = it.share();
        let mut run = Run::of_chunks(&store);
        while !matches!(run.asked, Some(PublishStep::GiveName { .. })) {
            assert_eq!(run.step(&mut store, &share), None);
        }
        it.put(NAME, b"a person's");
        it.assert_done(&it.run(run, &mut store), &[(NAME, b"a person's")]);
    }
}

#[test]
fn what_vanished_is_told() {
    let it = Fixture::new(300_000);
    let mut store = it.store();
    let extent = |start, length| Extent { start, length };
    assert_eq!(it.publish(&mut store), Next::Lost(vec![]));
    it.fill(&mut store, &[0, 100_000, 200_000]);
    let two = vec![extent(0, 100_000), extent(100_000, 100_000)];
    assert_eq!(it.publish(&mut store), Next::Lost(two));
    it.complete(&mut store);
    let chunk = |start| it.root.path().join("chunks").join(names::chunk(id(&it.bytes), start));
    fs::remove_file(chunk(100_000)).unwrap();
    let gap = vec![extent(0, 100_000), extent(200_000, 100_000)];
    assert_eq!(it.publish(&mut store), Next::Lost(gap));
    it.complete(&mut store);
    fs::OpenOptions::new().write(true).open(chunk(200_000)).unwrap().set_len(5).unwrap();
    let short = vec![extent(0, 100_000), extent(100_000, 100_000), extent(200_000, 5)];
    assert_eq!(it.publish(&mut store), Next::Lost(short));
    assert!(it.shared().is_empty());

    // The whole folder, at every step before the file has its name.
    for steps in 0.. {
        let share = it.share();
        it.complete(&mut store);
        let mut run = Run::of_chunks(&store);
        if (0..steps).any(|_| run.step(&mut store, &share).is_some() || !it.shared().is_empty()) {
            break;
        }
        fs::remove_dir_all(it.root.path().join("chunks")).unwrap();
        let answer = it.run(run, &mut store);
        assert_eq!(answer, Next::Lost(vec![]), "after {steps} steps");
        assert!(it.shared().is_empty());
    }
    assert_eq!(it.shared().len(), 1);
}

#[test]
fn chunk_files_that_somebody_wrote_to_are_left_for_the_core_to_check() {
    let it = Fixture::new(200_000);
    let mut store = it.store();
    it.fill(&mut store, &[0, 100_000, 200_000]);
    let extents = store.extents();
    let path = it.root.path().join("chunks").join(names::chunk(id(&it.bytes), 100_000));
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(it.publish(&mut store), Next::Lost(extents));
    assert!(it.shared().is_empty());
    it.assert_done(&it.publish(&mut store), &[]);
}

#[test]
fn a_chunk_file_that_somebody_replaced_in_the_last_moment_is_not_published() {
    let it = Fixture::new(1000);
    let mut store = it.store();
    it.fill(&mut store, &[0, 1000]);
    let share = it.share();
    let mut run = Run::of_chunks(&store);
    while !matches!(run.asked, Some(PublishStep::GiveName { .. })) {
        assert_eq!(run.step(&mut store, &share), None);
    }
    let path = it.root.path().join("chunks").join(names::chunk(id(&it.bytes), 0));
    let old = fs::metadata(&path).unwrap().modified().unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, [0; 1000]).unwrap();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_modified(old).unwrap();
    let there = vec![Extent { start: 0, length: 1000 }];
    assert_eq!(it.run(run, &mut store), Next::Lost(there), "the core checks it");
    assert!(it.shared().is_empty());
}

/// Writes false bytes into a chunk file, which stays as long as it is.
fn overwrite(it: &Fixture, start: u64) {
    let path = it.root.path().join("chunks").join(names::chunk(id(&it.bytes), start));
    let length = fs::metadata(&path).unwrap().len() as usize;
    let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
    io::Write::write_all(&mut file, &vec![0; length]).unwrap();
    // The clock of a file system is coarse.
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
}

#[test]
fn a_chunk_file_that_was_overwritten_before_it_grew_is_left_for_the_core_to_check() {
    let it = Fixture::new(200_000);
    let mut store = it.store();
    for held in [true, false] {
        it.fill(&mut store, &[0, 100_000]);
        if !held {
            drop(store);
            store = it.store();
        }
        overwrite(&it, 0);
        store.store(0, 100_000, &it.bytes[100_000..]).unwrap();
        let whole = vec![Extent { start: 0, length: 200_000 }];
        assert_eq!(it.publish(&mut store), Next::Lost(whole), "{held}");
        assert!(it.shared().is_empty());
        store.truncate_extent(0, 0);
    }
    it.complete(&mut store);
    it.assert_done(&it.publish(&mut store), &[]);
}

#[test]
fn what_is_overwritten_while_it_is_joined_is_not_published() {
    // Each chunk file, at every step before the file has its name.
    for overwritten in [0, 100_000, 200_000] {
        for steps in 1.. {
            let it = Fixture::new(300_000);
            let mut store = it.store();
            it.fill(&mut store, &[0, 100_000, 200_000, 300_000]);
            let share = it.share();
            let mut run = Run::of_chunks(&store);
            for _ in 0..steps {
                assert_eq!(run.step(&mut store, &share), None);
            }
            let chunk = names::chunk(id(&it.bytes), overwritten);
            if !it.shared().is_empty() || !it.left().contains(&chunk) {
                break;
            }
            overwrite(&it, overwritten);
            let answer = it.run(run, &mut store);
            assert!(matches!(answer, Next::Lost(_)), "{overwritten}, {steps} steps: {answer:?}");
            assert!(it.shared().is_empty());
        }
    }
}

#[test]
fn what_is_overwritten_while_it_is_copied_is_not_published() {
    let Some(it) = on_two_file_systems(2_500_000) else {
        println!("SKIPPED: there are no two file systems here");
        return;
    };
    let mut store = it.store();
    it.fill(&mut store, &[0, 2_500_000]);
    let share = it.share();
    let mut run = Run::of_chunks(&store);
    while !matches!(run.publisher.task, Some(Task::Gather(Gather::Fill { .. }))) {
        assert_eq!(run.step(&mut store, &share), None);
    }
    assert_eq!(run.step(&mut store, &share), None);
    overwrite(&it, 0);
    let there = vec![Extent { start: 0, length: 2_500_000 }];
    assert_eq!(it.run(run, &mut store), Next::Lost(there));
    assert!(it.shared().is_empty());
}

#[test]
fn what_is_overwritten_while_the_disk_is_full_is_left_for_the_core_to_check() {
    let Some(disk) = SmallDisk::of("1m") else {
        println!("SKIPPED: only root can mount a small file system to fill");
        return;
    };
    let mut it = Fixture::new(700_000);
    it.root = tempfile::tempdir_in(disk.0.path()).unwrap();
    let mut store = it.store();
    it.fill(&mut store, &[0, 100_000, 700_000]);
    let share = it.share();
    let mut run = Run::of_chunks(&store);
    while !matches!(run.publisher.task, Some(Task::Gather(Gather::Join(_)))) {
        assert_eq!(run.step(&mut store, &share), None);
    }
    let ballast = disk.0.path().join("ballast");
    fs::write(&ballast, vec![0; 300_000]).unwrap();
    overwrite(&it, 0);
    let answer = it.run(run, &mut store);
    if let Next::Failed(fault) = &answer {
        assert_eq!(fault.kind, DiskFaultKind::NoRoom);
        // What the core does when there may be room.
        fs::remove_file(&ballast).unwrap();
        let again = it.publish(&mut store);
        assert!(matches!(again, Next::Lost(_)), "{again:?}");
    } else {
        assert!(matches!(answer, Next::Lost(_)), "{answer:?}");
    }
    assert!(it.shared().is_empty());
}

#[test]
fn a_copy_of_what_is_not_the_content_is_not_published() {
    let it = Fixture::new(1_000_000);
    let mut store = it.store();
    assert_eq!(it.copy(&mut store), Next::Changed, "not there");
    let mut bytes = it.bytes.clone();
    bytes[999_999] ^= 1;
    let path = it.put("other", &bytes);
    assert_eq!(it.copy(&mut store), Next::Changed, "other content");
    it.put("other", &bytes[..999_999]);
    assert_eq!(it.copy(&mut store), Next::Changed, "another size");
    it.put("other", &it.bytes);
    let share = it.share();
    let mut first = Run::of_copy(&store, "other");
    while !matches!(first.publisher.task, Some(Task::Gather(Gather::Fill { .. }))) {
        assert_eq!(first.step(&mut store, &share), None);
    }
    assert_eq!(first.step(&mut store, &share), None);
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(it.run(first, &mut store), Next::Changed, "touched while it was read");
    assert_eq!(it.shared().len(), 1);
    it.assert_done(&it.copy(&mut store), &[("other", &it.bytes)]);
}

#[test]
fn links_and_files_where_folders_must_be_are_refused() {
    let it = Fixture::new(1000);
    let outside = tempfile::tempdir().unwrap();
    let mut store = it.store();
    it.fill(&mut store, &[0, 1000]);
    let folder = it.share().path().join("animals");
    symlink(outside.path(), &folder).unwrap();
    let Next::Failed(told) = it.publish(&mut store) else { panic!("it went through a link") };
    assert_eq!(told.kind, DiskFaultKind::Final);
    assert!(told.message.contains("animals"), "{}", told.message);
    assert_eq!(names_in(outside.path()), [""; 0]);
    fs::remove_file(&folder).unwrap();
    fs::write(&folder, "a file").unwrap();
    assert!(matches!(it.publish(&mut store), Next::Failed(_)));
    fs::remove_file(&folder).unwrap();
    it.assert_done(&it.publish(&mut store), &[]);
}

#[test]
fn a_share_folder_that_was_replaced_is_found_again() {
    for size in [0, 1000] {
        let it = Fixture::new(size);
        let mut store = it.store();
        it.fill(&mut store, &[0, size][..if size == 0 { 1 } else { 2 }]);
        let share = it.share();
        let mut run = Run::of_chunks(&store);
        // Each time before something is done there, until the name is given.
        let answer = loop {
            if it.shared().is_empty() {
                fs::remove_dir_all(share.path()).unwrap();
            }
            if let Some(answer) = run.step(&mut store, &share) {
                break answer;
            }
        };
        it.assert_done(&answer, &[]);
    }
}

#[test]
fn a_name_that_is_gone_before_it_was_synced_is_told() {
    let it = Fixture::new(1000);
    let mut store = it.store();
    it.fill(&mut store, &[0, 400, 1000]);
    let share = it.share();
    let mut run = Run::of_chunks(&store);
    while !matches!(run.asked, Some(PublishStep::SyncShared { .. })) {
        assert_eq!(run.step(&mut store, &share), None);
    }
    fs::remove_dir_all(share.path()).unwrap();
    let Next::Failed(told) = it.run(run, &mut store) else { panic!("it is not there") };
    assert_eq!(told.kind, DiskFaultKind::Vanished);
    assert_eq!(store.extents(), [], "what was joined to it went with it");
    it.complete(&mut store);
    it.assert_done(&it.publish(&mut store), &[]);
}

/// A small file system of its own, for as long as it lives.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn of(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().ok()?;
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(folder.path());
        mount.output().is_ok_and(|output| output.status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_leaves_everything_to_go_on_from() {
    let Some(disk) = SmallDisk::of("1m") else {
        println!("SKIPPED: only root can mount a small file system to fill");
        return;
    };
    let mut it = Fixture::new(700_000);
    it.root = tempfile::tempdir_in(disk.0.path()).unwrap();
    let mut store = it.store();
    it.fill(&mut store, &[0, 100_000, 700_000]);
    let ballast = disk.0.path().join("ballast");
    fs::write(&ballast, vec![0; 300_000]).unwrap();
    let fault = match it.publish(&mut store) {
        Next::Failed(fault) => fault,
        other => panic!("{other:?}"),
    };
    assert_eq!(fault.kind, DiskFaultKind::NoRoom, "{}", fault.message);
    let kept: u64 = store.extents().iter().map(|extent| extent.length).sum();
    assert_eq!(kept, 700_000, "{:?}", store.extents());
    it.assert_chunks_are_true();

    store.truncate_extent(0, 50_000);
    while let Ok(mut file) = fs::OpenOptions::new().append(true).open(&ballast) {
        if io::Write::write_all(&mut file, &[0; 4096]).is_err() {
            break;
        }
    }
    let full = store.store(0, 50_000, &it.bytes[50_000..100_000]).unwrap_err();
    assert_eq!(full.kind, DiskFaultKind::NoRoom);
    assert_eq!(store.extents()[0], Extent { start: 0, length: 50_000 });
    it.assert_chunks_are_true();
    fs::remove_file(&ballast).unwrap();
    it.complete(&mut store);
    it.assert_done(&it.publish(&mut store), &[]);
}

#[test]
fn joining_needs_room_for_a_block() {
    let Some(disk) = SmallDisk::of("1m") else {
        println!("SKIPPED: only root can mount a small file system to fill");
        return;
    };
    let mut it = Fixture::new(700_000);
    it.root = tempfile::tempdir_in(disk.0.path()).unwrap();
    let mut store = it.store();
    it.fill(&mut store, &[0, 100_000, 400_000, 700_000]);
    // Room for a block and its beginning, not for the files that are joined.
    fs::write(disk.0.path().join("ballast"), vec![0; 200_000]).unwrap();
    it.assert_done(&it.publish(&mut store), &[]);
}
