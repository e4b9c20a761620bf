//! Every step, cut short after it.

use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn one_extent_is_renamed_whatever_cuts_it_short() {
    let fixture = || Fixture::new(100_000);
    let steps = cut_after_every_step(
        fixture,
        |it, store| it.fill(store, &[0, 100_000]),
        Run::of_chunks,
        &[],
    );
    assert!(steps >= 6, "{steps}");

    let it = fixture();
    let mut store = it.store();
    it.fill(&mut store, &[0, 100_000]);
    let chunk = it.root.path().join("chunks").join(names::chunk(id(&it.bytes), 0));
    let before = fs::metadata(chunk).unwrap();
    it.assert_done(&it.publish(&mut store), &[]);
    let after = fs::metadata(it.share().path().join(NAME)).unwrap();
    assert_eq!(before.ino(), after.ino(), "it was renamed, not copied");
    assert_eq!(after.permissions().mode() & 0o7111, 0);
}

#[test]
fn many_extents_are_joined_whatever_cuts_it_short() {
    let places = [0, 1, 65_536, 65_537, 200_000, 1_500_000, 1_500_001, 3_000_000];
    let steps = cut_after_every_step(
        || Fixture::new(3_000_000),
        |it, store| it.fill(store, &places),
        Run::of_chunks,
        &[],
    );
    assert!(steps > 20, "{steps}");
}

#[test]
fn joining_takes_little_room() {
    let places = [0, 50_000, 100_000, 1_000_000, 1_999_000, 2_000_000];
    let it = Fixture::new(2_000_000);
    let mut store = it.store();
    it.fill(&mut store, &places);
    let share = it.share();
    let mut run = Run::of_chunks(&store);
    let on_disk = || {
        let files = fs::read_dir(it.root.path().join("chunks")).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().blocks() * 512).sum::<u64>()
    };
    let mut most = 0;
    while !matches!(run.asked, Some(PublishStep::GiveName { .. })) {
        assert_eq!(run.step(&mut store, &share), None);
        most = most.max(on_disk());
    }
    // A block, what allocation rounds up to in 41 files, and the attrs.
    assert!(most < 2_000_000 + 65_536 + 42 * 4_096 + 4_096, "{most}");
    it.assert_done(&it.run(run, &mut store), &[]);
}

#[test]
fn a_copy_is_made_whatever_cuts_it_short() {
    let fixture = || {
        let it = Fixture::new(1_200_000);
        it.put("other", &it.bytes);
        it
    };
    let bytes = fixture().bytes;
    cut_after_every_step(
        fixture,
        |it, store| it.fill(store, &[500, 1000, 70_000]),
        |store| Run::of_copy(store, "other"),
        &[("other", &bytes)],
    );
}

#[test]
fn other_content_is_kept_and_the_name_beside_it_is_taken() {
    let conflicts: &[(&str, &[u8])] = &[(NAME, b"a person's")];
    cut_after_every_step(
        || {
            let it = Fixture::new(100_000);
            it.put(NAME, b"a person's");
            it
        },
        |it, store| it.fill(store, &[0, 70_000, 100_000]),
        Run::of_chunks,
        conflicts,
    );

    let it = Fixture::new(1000);
    let other = vec![0; 1000];
    let name = ShareName::parse(NAME).unwrap();
    let beside = |attempt| name.beside(id(&it.bytes), attempt).to_string();
    it.put(NAME, &other);
    it.put(&beside(1), &other);
    fs::create_dir(it.share().path().join(beside(2))).unwrap();
    symlink("/nowhere", it.share().path().join(beside(3))).unwrap();
    let mut store = it.store();
    it.fill(&mut store, &[0, 1000]);
    let done = it.publish(&mut store);
    assert_eq!(done, Next::Done(name.beside(id(&it.bytes), 4)));
    assert_eq!(fs::read(it.share().path().join(beside(4))).unwrap(), it.bytes);
    assert_eq!(fs::read(it.share().path().join(NAME)).unwrap(), other);

    // The next run finds it beside, not once more.
    let mut store = it.store();
    fs::remove_file(it.share().path().join(beside(3))).unwrap();
    fs::write(it.share().path().join(beside(3)), &it.bytes).unwrap();
    it.fill(&mut store, &[0, 1000]);
    assert_eq!(it.publish(&mut store), Next::Done(name.beside(id(&it.bytes), 3)));
    assert_eq!(it.left(), [""; 0]);
}

#[test]
fn the_same_content_in_place_is_left_alone() {
    let it = Fixture::new(1_000_000);
    let path = it.put(NAME, &it.bytes);
    let inode = fs::metadata(&path).unwrap().ino();
    let mut store = it.store();
    it.fill(&mut store, &[0, 5, 1_000_000]);
    it.assert_done(&it.publish(&mut store), &[]);
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
    let mut store = it.store();
    it.assert_done(&it.run(Run::of_copy(&store, NAME), &mut store), &[]);
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
}

#[test]
fn the_empty_file() {
    cut_after_every_step(|| Fixture::new(0), |_, _| {}, Run::of_chunks, &[]);
}

#[test]
fn across_file_systems_it_is_copied_whatever_cuts_it_short() {
    if on_two_file_systems(0).is_none() {
        println!("SKIPPED: /dev/shm and the folder for temporary files are one file system");
        return;
    }
    let fixture = || on_two_file_systems(2_500_000).unwrap();
    cut_after_every_step(
        fixture,
        |it, store| it.fill(store, &[0, 1_000_000, 2_500_000]),
        Run::of_chunks,
        &[],
    );
    let bytes = fixture().bytes;
    cut_after_every_step(
        || {
            let it = fixture();
            it.put("other", &it.bytes);
            it.put(NAME, b"a person's");
            it
        },
        |it, store| it.fill(store, &[0, 100]),
        |store| Run::of_copy(store, "other"),
        &[("other", &bytes), (NAME, b"a person's")],
    );
}
