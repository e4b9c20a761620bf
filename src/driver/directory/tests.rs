//! The document and the lines as they come, and that nothing of it is done at once.

use std::fs;
use std::time::Duration;

use super::*;
use crate::content::{ContentId, ShareName};
use crate::node::DirectoryHost;
use crate::wire::listing::{ListingEntries, ListingEntry};
use crate::wire::{InstanceId, ListingDigest};

fn listing(entries: &[(u8, u64, &str)]) -> ListingEntries {
    let entry = |&(content, size, name): &(u8, u64, &str)| {
        let name = ShareName::parse(name).unwrap();
        ListingEntry { content: ContentId([content; 20]), size, name }
    };
    entries.iter().map(entry).collect::<Vec<_>>().try_into().unwrap()
}

/// A host whose listing is told from others by its version.
fn host(number: u8, text: &str, version: u8, entries: ListingEntries) -> DirectoryHost {
    DirectoryHost {
        instance: InstanceId([number; 16]),
        host: text.to_owned(),
        files: entries.len() as u32,
        listing: ListingDigest([version; 20]),
        entries,
    }
}

fn text_of(directory: &Directory) -> String {
    let (mut text, mut bytes) = (DirectoryText::new(directory.clone()), Vec::new());
    while text.go_on(&mut bytes) {}
    String::from_utf8(bytes).unwrap()
}

fn lines_between(old: &Directory, new: &Directory) -> Vec<String> {
    let mut told = Vec::new();
    let mut lines = DirectoryLines::between(old, new);
    while lines.go_on(|line| told.push(line.to_owned())) {}
    told
}

#[test]
fn one_entry_a_content_in_a_stable_order() {
    let a = listing(&[(2, 43, "fox.txt"), (1, 7, "z")]);
    let b = listing(&[(2, 43, "a \"quoted\" one"), (2, 44, "again"), (2, 43, "animals/fox.txt")]);
    let hosts = vec![host(9, "192.0.2.4:4001", 1, a), host(1, "192.0.2.7", 2, b)];
    let (one, two) = ("01".repeat(20), "02".repeat(20));
    let expected = [
        format!(r#"[{{"sha1":"{one}","size":7,"locations":["#),
        r#"{"ip":"192.0.2.4:4001","filename":"z"}]},"#.to_owned(),
        format!(r#"{{"sha1":"{two}","size":43,"locations":["#),
        r#"{"ip":"192.0.2.4:4001","filename":"fox.txt"},"#.to_owned(),
        r#"{"ip":"192.0.2.7","filename":"a \"quoted\" one"},"#.to_owned(),
        r#"{"ip":"192.0.2.7","filename":"animals/fox.txt"}]},"#.to_owned(),
        format!(r#"{{"sha1":"{two}","size":44,"locations":["#),
        r#"{"ip":"192.0.2.7","filename":"again"}]}]"#.to_owned(),
    ];
    assert_eq!(text_of(&Directory::new(hosts)), expected.concat());
    assert_eq!(text_of(&Directory::default()), "[]");
}

/// Many runs, hashes that a stranger has chosen alike, lengths around those of runs and pieces.
#[test]
fn however_much_there_is_it_is_in_order_and_no_piece_is_long() {
    for (count, contents) in [(255, 7), (2_047, 1), (2_048, 3), (2_049, 2_049), (9_000, 251)] {
        let name = |at: u32| ShareName::parse(&format!("{at:05}")).unwrap();
        let content = |at: u32| {
            let chosen = at.wrapping_mul(2_654_435_761) % contents;
            let mut content = ContentId([7; 20]);
            content.0[16..].copy_from_slice(&chosen.to_be_bytes());
            content
        };
        let entry = |at| ListingEntry { content: content(at), size: 5, name: name(at) };
        let part = |from: u32, to: u32| -> ListingEntries {
            (from..to).map(entry).collect::<Vec<_>>().try_into().unwrap()
        };
        let cut = count / 3;
        let hosts = vec![
            host(1, "a", 1, part(cut, count)),
            host(2, "b", 2, ListingEntries::default()),
            host(3, "c", 3, part(0, cut)),
        ];
        let mut expected: Vec<_> = (0..count)
            .map(|at| (content(at).to_string(), at < cut, name(at).to_string()))
            .collect();
        expected.sort();
        let (mut text, mut bytes, mut longest) =
            (DirectoryText::new(Directory::new(hosts)), Vec::new(), 0);
        loop {
            let before = bytes.len();
            let more = text.go_on(&mut bytes);
            longest = longest.max(bytes.len() - before);
            if !more {
                break;
            }
        }
        assert!(longest < 40_000, "{longest} bytes at once");
        let list: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let mut found = Vec::new();
        let mut last = String::new();
        for file in list.as_array().unwrap() {
            let sha1 = file["sha1"].as_str().unwrap();
            assert!(last.as_str() < sha1, "each content once");
            last = sha1.to_owned();
            for location in file["locations"].as_array().unwrap() {
                let name = location["filename"].as_str().unwrap().to_owned();
                found.push((sha1.to_owned(), location["ip"] == "c", name));
            }
        }
        assert_eq!(found, expected);
    }
}

#[test]
fn a_line_for_what_came_and_what_went_and_none_for_a_host_that_moves() {
    let old = Directory::new(vec![
        host(1, "192.0.2.1", 1, listing(&[(1, 5, "a"), (2, 6, "b")])),
        host(2, "192.0.2.2", 2, listing(&[(3, 7, "stays")])),
        host(3, "192.0.2.3", 3, listing(&[(4, 8, "gone")])),
    ]);
    let new = Directory::new(vec![
        host(2, "[2001:db8::2]", 2, listing(&[(3, 7, "stays")])),
        host(1, "192.0.2.1:4001", 4, listing(&[(1, 5, "a"), (9, 6, "b")])),
        host(4, "192.0.2.4", 5, listing(&[(5, 9, "come")])),
    ]);
    let sha1 = |number: u8| ContentId([number; 20]);
    let expected = [
        format!("- 192.0.2.1 {} 6 B b", sha1(2)),
        format!("+ 192.0.2.1:4001 {} 6 B b", sha1(9)),
        format!("- 192.0.2.3 {} 8 B gone", sha1(4)),
        format!("+ 192.0.2.4 {} 9 B come", sha1(5)),
    ];
    assert_eq!(lines_between(&old, &new), expected);
    assert_eq!(lines_between(&new, &new), [""; 0]);
}

fn at(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_498_596_000_000 + millis)
}

/// A directory of many files of one host; what it is called tells it from others.
fn many(version: u8) -> Directory {
    let name = |at: u32| ShareName::parse(&format!("{version}-{at:05}")).unwrap();
    let content = |at: u32| ContentId([at as u8; 20]);
    let entry = |at| ListingEntry { content: content(at), size: 5, name: name(at) };
    let entries = (0..6_000).map(entry).collect::<Vec<_>>().try_into().unwrap();
    Directory::new(vec![host(1, "192.0.2.1", version, entries)])
}

/// Does the next piece. Whether there is more.
fn piece(jobs: &mut DirectoryJobs, lines: &mut Vec<String>) -> bool {
    jobs.step(&Slice::of(Duration::ZERO), |line| lines.push(line.to_owned()))
}

fn document(root: &Path) -> (u64, String) {
    let text = fs::read_to_string(root.join("d.json")).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let name = &value["discovered_files"][0]["locations"][0]["filename"];
    let time = value["discovered_timestamp"].as_u64().unwrap() - 1_498_596_000_000;
    (time, name.as_str().unwrap_or_default()[..1.min(name.as_str().map_or(0, str::len))].to_owned())
}

#[test]
fn the_one_under_way_is_finished_and_of_those_that_wait_the_newest_is_taken() {
    let root = tempfile::tempdir().unwrap();
    let mut jobs = DirectoryJobs::create(root.path(), at(1)).unwrap();
    let mut lines = Vec::new();
    jobs.show(many(1), at(2));
    for turn in 0..3 {
        assert!(piece(&mut jobs, &mut lines), "it is not done in {turn} pieces");
        assert_eq!(document(root.path()), (1, String::new()), "the old one stands there");
    }
    jobs.show(many(2), at(3));
    jobs.show(many(3), at(4));
    let mut seen = vec![document(root.path())];
    while piece(&mut jobs, &mut lines) {
        let now = document(root.path());
        if seen.last() != Some(&now) {
            seen.push(now);
        }
    }
    let expected = [(1, ""), (4, "1"), (4, "3")].map(|(time, name)| (time, name.to_owned()));
    assert_eq!(seen, expected);
    let count = |sign: &str| lines.iter().filter(|line| line.starts_with(sign)).count();
    assert_eq!((count("+"), count("-")), (12_000, 6_000));
}

#[test]
fn where_nothing_changes_the_time_moves_on_and_no_line_is_told() {
    let root = tempfile::tempdir().unwrap();
    let mut jobs = DirectoryJobs::create(root.path(), at(1)).unwrap();
    let mut lines = Vec::new();
    jobs.show(many(1), at(2));
    while piece(&mut jobs, &mut lines) {}
    lines.clear();
    for time in 3..7 {
        // Made anew by the core, but of the same listings.
        jobs.show(many(1), at(time));
        while piece(&mut jobs, &mut lines) {}
        assert_eq!(document(root.path()), (time, "1".to_owned()));
    }
    assert!(lines.is_empty());
    // Somebody spoils what is there: it is put right at the next sweep.
    jobs.close();
    fs::write(root.path().join("d.json"), "{}").unwrap();
    jobs.show(many(1), at(8));
    while piece(&mut jobs, &mut lines) {}
    assert_eq!(document(root.path()), (8, "1".to_owned()));
    assert!(lines.is_empty());
}

#[test]
fn where_it_cannot_be_written_lines_are_told_and_it_is_tried_at_each_sweep() {
    let root = tempfile::tempdir().unwrap();
    let mut jobs = DirectoryJobs::create(root.path(), at(1)).unwrap();
    let mut lines = Vec::new();
    fs::create_dir(root.path().join(".d.json.new")).unwrap();
    jobs.show(many(1), at(2));
    while piece(&mut jobs, &mut lines) {}
    assert_eq!((document(root.path()).0, lines.len()), (1, 6_000));
    fs::remove_dir(root.path().join(".d.json.new")).unwrap();
    jobs.show(many(1), at(3));
    while piece(&mut jobs, &mut lines) {}
    assert_eq!((document(root.path()).0, lines.len()), (3, 6_000));
}
