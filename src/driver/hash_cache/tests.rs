//! Restarts, damage, deletion and staleness, on real files.

use std::fs::{self, File};

use super::*;
use crate::driver::clock::wall_now;

/// A wall time at which all signatures of these tests are settled.
const LATER: Duration = Duration::from_secs(1_800_000_000);

fn later() -> SystemTime {
    SystemTime::UNIX_EPOCH + LATER
}

fn name(text: &str) -> ShareName {
    ShareName::parse(text).unwrap()
}

fn signature(inode: u64, size: u64) -> FileSignature {
    let changed_ns = 1_700_000_000_123_456_789;
    FileSignature { device: 1, inode, size, modified_ns: changed_ns - 1, changed_ns }
}

fn content(number: u8) -> ContentId {
    ContentId([number; 20])
}

fn whole(content: ContentId, chain: ChainId) -> HashOutcome {
    HashOutcome::Whole { content, chain }
}

const TWO_BLOCKS: u64 = 65_537;

fn at(seconds: u64) -> Instant {
    Instant::ORIGIN + Duration::from_secs(seconds)
}

#[test]
fn what_is_stored_is_found_by_the_next_run_if_nothing_differs() {
    let root = tempfile::tempdir().unwrap();
    let mut cache = HashCache::open(root.path());
    let (one, two) = (signature(1, 10), signature(2, TWO_BLOCKS));
    let chain = cache.store(&name("one"), &one, content(1), vec![], later());
    let long = cache.store(&name("a/two"), &two, content(2), vec![7; 20], later());
    assert_eq!(cache.lookup(&name("one"), &one), Some(whole(content(1), chain)));
    cache.flush();

    let mut cache = HashCache::open(root.path());
    assert_eq!(cache.lookup(&name("one"), &one), Some(whole(content(1), chain)));
    assert_eq!(cache.lookup(&name("a/two"), &two), Some(whole(content(2), long)));
    assert_eq!(cache.chain(content(2)).as_deref(), Some(&[7; 20][..]));
    assert_eq!(cache.chain(content(1)).as_deref(), Some(&[][..]));
    assert_eq!(cache.chain(content(3)), None);
    assert_eq!(long, ChainId::of(&[7; 20]));

    // After a reboot, and not the same file.
    assert!(cache.lookup(&name("one"), &FileSignature { device: 77, ..one }).is_some());
    for other in [
        FileSignature { inode: 9, ..one },
        FileSignature { size: 11, ..one },
        FileSignature { modified_ns: 1, ..one },
        FileSignature { changed_ns: one.changed_ns + 1, ..one },
    ] {
        assert_eq!(cache.lookup(&name("one"), &other), None, "{other:?}");
    }
    assert_eq!(cache.lookup(&name("a/two"), &one), None);
}

#[test]
fn ten_thousand_files_are_known_again() {
    let root = tempfile::tempdir().unwrap();
    let mut cache = HashCache::open(root.path());
    let id = |number: u64| {
        let mut bytes = [0; 20];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        ContentId(bytes)
    };
    for number in 0..10_000 {
        let file = signature(number, number % 100);
        cache.store(&name(&format!("f{number}")), &file, id(number), vec![], later());
    }
    cache.flush();
    let mut cache = HashCache::open(root.path());
    for number in 0..10_000 {
        let file = signature(number, number % 100);
        let found = cache.lookup(&name(&format!("f{number}")), &file);
        assert!(matches!(found, Some(HashOutcome::Whole { content, .. }) if content == id(number)));
    }
}

#[test]
fn a_state_that_a_second_change_could_share_is_not_trusted() {
    let fine = signature(1, 10);
    let changed = SystemTime::UNIX_EPOCH + Duration::from_nanos(fine.changed_ns as u64);
    let millis = Duration::from_millis;
    assert!(!is_settled(&fine, changed));
    assert!(!is_settled(&fine, changed - millis(5_000)), "changed in the future");
    assert!(!is_settled(&fine, changed + millis(99)));
    assert!(is_settled(&fine, changed + millis(100)));

    let second = 1_700_000_000_000_000_000;
    let coarse = FileSignature { modified_ns: second, changed_ns: second, ..fine };
    let changed = SystemTime::UNIX_EPOCH + Duration::from_nanos(second as u64);
    assert!(!is_settled(&coarse, changed + millis(1_999)));
    assert!(is_settled(&coarse, changed + millis(2_000)));
    let past = FileSignature { modified_ns: i64::MIN, changed_ns: i64::MIN, ..fine };
    assert!(is_settled(&past, changed));
    let future = FileSignature { modified_ns: i64::MAX, changed_ns: i64::MAX, ..fine };
    assert!(!is_settled(&future, changed));

    let root = tempfile::tempdir().unwrap();
    let mut cache = HashCache::open(root.path());
    let racy = FileSignature { size: TWO_BLOCKS, ..coarse };
    let begun = changed + millis(1_000);
    let chain = cache.store(&name("racy"), &racy, content(1), vec![5; 20], begun);
    assert_eq!(chain, ChainId::of(&[5; 20]));
    assert_eq!(cache.lookup(&name("racy"), &racy), None);
    assert!(cache.chain(content(1)).is_some(), "it is offered all the same");
    cache.flush();
    assert_eq!(HashCache::open(root.path()).lookup(&name("racy"), &racy), None);
}

#[test]
fn a_missing_or_damaged_chain_means_hashing_again() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join(".sprat/chains").join(content(2).to_string());
    let two = signature(2, TWO_BLOCKS);
    let mut cache = HashCache::open(root.path());
    cache.store(&name("two"), &two, content(2), vec![7; 20], later());
    assert!(cache.lookup(&name("two"), &two).is_some(), "before it is written");
    cache.flush();
    assert_eq!(fs::read(&path).unwrap(), [7; 20]);

    fs::write(&path, [7; 40]).unwrap();
    assert_eq!(cache.lookup(&name("two"), &two), None);
    fs::write(&path, [8; 20]).unwrap();
    assert_eq!(cache.chain(content(2)), None);
    assert!(!path.exists());
    assert_eq!(cache.lookup(&name("two"), &two), None);

    fs::remove_dir_all(root.path().join(".sprat")).unwrap();
    cache.store(&name("two"), &two, content(2), vec![7; 20], later());
    cache.flush();
    assert!(HashCache::open(root.path()).lookup(&name("two"), &two).is_some());
}

#[test]
fn the_chain_of_an_unfinished_download_is_the_latest_one() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join(".sprat/chains");
    fs::create_dir_all(&folder).unwrap();
    let partial = folder.join(format!("{}.partial", content(1)));
    let mut cache = HashCache::open(root.path());
    assert_eq!(cache.chain(content(1)), None);
    fs::write(&partial, [1; 40]).unwrap();
    assert_eq!(cache.chain(content(1)).as_deref(), Some(&[1; 40][..]));
    fs::remove_file(&partial).unwrap();
    fs::write(&partial, [2; 60]).unwrap();
    assert_eq!(cache.chain(content(1)).as_deref(), Some(&[2; 60][..]));
    fs::write(&partial, [2; 59]).unwrap();
    assert_eq!(cache.chain(content(1)), None);
}

#[test]
fn few_chains_stay_in_memory() {
    let root = tempfile::tempdir().unwrap();
    let mut cache = HashCache::open(root.path());
    for number in 0..40 {
        let file = signature(number.into(), TWO_BLOCKS);
        cache.store(&name(&format!("{number}")), &file, content(number), vec![number; 20], later());
    }
    cache.flush();
    for number in (0..40).chain(0..40) {
        assert_eq!(cache.chain(content(number)).as_deref(), Some(&[number; 20][..]));
    }
    fs::remove_dir_all(root.path().join(".sprat")).unwrap();
    assert!(cache.chain(content(39)).is_some() && cache.chain(content(24)).is_some());
    assert!(cache.chain(content(23)).is_none());
}

#[test]
fn writes_gather_for_some_seconds_and_a_failure_is_tried_again_later() {
    let root = tempfile::tempdir().unwrap();
    let hashes = root.path().join(".sprat/hashes");
    let mut cache = HashCache::open(root.path());
    assert!(!root.path().join(".sprat").exists(), "opening makes nothing");
    assert_eq!(cache.next_due(), Some(at(60)), "nothing but the hourly look");
    cache.store(&name("one"), &signature(1, 1), content(1), vec![], later());
    assert!(!cache.step(at(10)));
    assert_eq!(cache.next_due(), Some(at(15)));
    assert!(!cache.step(at(14)) && !hashes.exists());
    assert!(!cache.step(at(15)) && hashes.exists());
    assert_eq!(cache.next_due(), Some(at(60)));

    fs::remove_dir_all(root.path().join(".sprat")).unwrap();
    fs::write(root.path().join(".sprat"), "a file in its place").unwrap();
    let two = signature(2, TWO_BLOCKS);
    cache.store(&name("two"), &two, content(2), vec![7; 20], later());
    cache.step(at(20));
    assert!(!cache.step(at(25)), "no busy loop");
    assert_eq!(cache.next_due(), Some(at(85)));
    assert!(cache.chain(content(2)).is_some());
    fs::remove_file(root.path().join(".sprat")).unwrap();
    // The look for stale lines comes first.
    cache.step(at(85));
    while cache.step(at(85)) {}
    assert!(HashCache::open(root.path()).lookup(&name("two"), &two).is_some());
}

#[test]
fn what_is_much_does_not_wait_for_more_but_where_it_cannot_be_written() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join(".sprat"), "a file in its place").unwrap();
    let mut cache = HashCache::open(root.path());
    let mut number = 0;
    let mut store = |cache: &mut HashCache, length: usize| {
        while cache.unwritten.length() < length {
            number += 1;
            let file = signature(number, 1);
            cache.store(&name(&number.to_string()), &file, content(1), vec![], later());
        }
    };
    store(&mut cache, 1);
    assert!(!cache.step(at(1)));
    store(&mut cache, UNWRITTEN_MAX - 1_000);
    assert_eq!(cache.next_due(), Some(at(6)));
    store(&mut cache, UNWRITTEN_MAX + 1);
    assert_eq!(cache.next_due(), Some(Instant::ORIGIN), "at once");
    assert!(!cache.step(at(2)));
    assert_eq!(cache.next_due(), Some(at(62)), "no busy loop");
    fs::remove_file(root.path().join(".sprat")).unwrap();
    cache.tidying_due = at(3_600);
    while cache.step(at(62)) {}
    assert!(!cache.has_unwritten() && root.path().join(".sprat/hashes").exists());
}

#[test]
fn a_torn_end_is_not_glued_to_the_next_line() {
    let root = tempfile::tempdir().unwrap();
    let hashes = root.path().join(".sprat/hashes");
    let mut cache = HashCache::open(root.path());
    cache.store(&name("one"), &signature(1, 1), content(1), vec![], later());
    cache.flush();
    let text = fs::read(&hashes).unwrap();
    fs::write(&hashes, &text[..text.len() - 5]).unwrap();
    let mut cache = HashCache::open(root.path());
    assert_eq!(cache.lookup(&name("one"), &signature(1, 1)), None);
    cache.store(&name("two"), &signature(2, 2), content(2), vec![], later());
    cache.flush();
    let mut cache = HashCache::open(root.path());
    assert!(cache.lookup(&name("two"), &signature(2, 2)).is_some());
}

#[test]
fn a_file_of_mostly_stale_lines_is_written_anew_and_unused_chains_go() {
    let root = tempfile::tempdir().unwrap();
    let hashes = root.path().join(".sprat/hashes");
    let chains = root.path().join(".sprat/chains");
    let mut cache = HashCache::open(root.path());
    cache.store(&name("gone"), &signature(9, TWO_BLOCKS), content(9), vec![9; 20], later());
    for number in 0..3_000 {
        let file = signature(number, TWO_BLOCKS);
        cache.store(&name("log"), &file, content(1), vec![1; 20], later());
    }
    cache.flush();
    let before = fs::metadata(&hashes).unwrap().len();
    let old = wall_now() - Duration::from_secs(7_200);
    let hex = content(7).to_string();
    let unknown = [hex.clone(), format!("{hex}.partial"), format!("{hex}.new")];
    for file in unknown.iter().chain([&"notes.txt".to_owned(), &content(9).to_string()]) {
        fs::write(chains.join(file), [9; 20]).unwrap();
        let file = File::options().write(true).open(chains.join(file)).unwrap();
        file.set_modified(old).unwrap();
    }

    let mut cache = HashCache::open(root.path());
    cache.lookup(&name("log"), &signature(2_999, TWO_BLOCKS)).unwrap();
    assert!(cache.step(at(2 * 3_600)));
    cache.store(&name("meanwhile"), &signature(5, 5), content(5), vec![], later());
    for _ in 0..1_000 {
        cache.step(at(2 * 3_600 + 10));
    }
    assert!(cache.rewriting.is_none());
    cache.flush();
    assert!(fs::metadata(&hashes).unwrap().len() < before / 100);
    let mut left: Vec<_> = fs::read_dir(&chains)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, [content(1).to_string(), "notes.txt".to_owned()]);

    let mut cache = HashCache::open(root.path());
    assert!(cache.lookup(&name("log"), &signature(2_999, TWO_BLOCKS)).is_some());
    assert!(cache.lookup(&name("meanwhile"), &signature(5, 5)).is_some());
    assert_eq!(cache.lookup(&name("gone"), &signature(9, TWO_BLOCKS)), None);
}

#[test]
fn a_file_that_went_a_moment_ago_is_remembered() {
    let root = tempfile::tempdir().unwrap();
    let mut cache = HashCache::open(root.path());
    for number in 0..2_000 {
        let file = signature(number, 1);
        cache.store(&name(&number.to_string()), &file, content(1), vec![], later());
        cache.forget(&name(&number.to_string()), at(3_000));
    }
    cache.flush();
    while cache.step(at(3_600)) {}
    assert!(cache.rewriting.is_none());
    assert!(cache.lookup(&name("7"), &signature(7, 1)).is_some(), "the stick is back");
    cache.step(at(7_300));
    while matches!(cache.rewriting, Some(Rewriting::Counting { .. })) {
        cache.step(at(7_300));
    }
    assert!(cache.rewriting.is_some());
    while cache.rewriting.is_some() {
        cache.step(at(7_300));
    }
    assert!(cache.lookup(&name("8"), &signature(8, 1)).is_none());
    assert!(cache.lookup(&name("7"), &signature(7, 1)).is_some());
}

#[test]
fn much_is_appended_in_pieces_of_whole_lines() {
    let root = tempfile::tempdir().unwrap();
    let hashes = root.path().join(".sprat/hashes");
    let mut cache = HashCache::open(root.path());
    for number in 0..3_000 {
        let file = signature(number, 1);
        cache.store(&name(&number.to_string()), &file, content(1), vec![], later());
    }
    cache.write(|| true).unwrap();
    let text = fs::read_to_string(&hashes).unwrap();
    assert!(
        (unwritten::PIECE_LENGTH..unwritten::PIECE_LENGTH + 1_000).contains(&text.len()),
        "{}",
        text.len()
    );
    assert!(text.ends_with('\n'));
    assert_eq!(cache.line_count, text.lines().count());
    cache.flush();
    assert_eq!(cache.line_count, 3_000);
    let mut cache = HashCache::open(root.path());
    assert_eq!(cache.line_count, 3_000);
    for number in 0..3_000 {
        assert!(cache.lookup(&name(&number.to_string()), &signature(number, 1)).is_some());
    }
}

#[test]
fn that_a_file_collides_is_known_to_the_next_run_and_lines_without_a_verdict_are_not() {
    let root = tempfile::tempdir().unwrap();
    let mut cache = HashCache::open(root.path());
    let (bad, good) = (signature(1, TWO_BLOCKS), signature(2, 10));
    cache.store_colliding(&name("bad"), &bad, content(1), later());
    cache.store(&name("good"), &good, content(2), vec![], later());
    cache.flush();
    let mut cache = HashCache::open(root.path());
    let colliding = HashOutcome::Colliding { content: content(1) };
    assert_eq!(cache.lookup(&name("bad"), &bad), Some(colliding));
    assert!(matches!(cache.lookup(&name("good"), &good), Some(HashOutcome::Whole { .. })));
    assert_eq!(cache.chain(content(1)), None);

    // As a version wrote them that did not look.
    let path = root.path().join(".sprat/hashes");
    let text = fs::read_to_string(&path).unwrap();
    let mut old = String::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let json = line[9..].replace(",\"collides\":true", "").replace(",\"collides\":false", "");
        let digest: [u8; 20] = <sha1::Sha1 as sha1::Digest>::digest(&json).into();
        old += &format!("{} {json}\n", &ContentId(digest).to_string()[..8]);
    }
    fs::write(&path, old).unwrap();
    let mut cache = HashCache::open(root.path());
    assert_eq!(cache.lookup(&name("bad"), &bad), None);
    assert_eq!(cache.lookup(&name("good"), &good), None);
}

/// A pipe that nobody reads would hold up who opens it for writing, for ever.
#[test]
#[allow(clippy::disallowed_methods, reason = "who waits for ever is waited for elsewhere")]
fn a_pipe_in_its_place_holds_up_nobody() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join(".sprat")).unwrap();
    let pipe = root.path().join(".sprat/hashes");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let mut cache = HashCache::open(root.path());
    cache.store(&name("one"), &signature(1, 10), content(1), vec![], later());
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        cache.flush();
        let _ = sender.send(());
    });
    assert!(receiver.recv_timeout(Duration::from_secs(20)).is_ok(), "it waits for a reader");
}
