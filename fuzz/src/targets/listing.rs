//! Listings and changes of them: as strangers' bytes, and as what was written by one host and is read by another.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use sprat::content::{ContentId, ShareName};
use sprat::driver::clock::Slice;
use sprat::driver::listing_jobs::ListingJobs;
use sprat::node::input::ListingReading;
use sprat::node::{Input, ListingId};
use sprat::wire::ListingDigest;
use sprat::wire::listing::changes::{ChangedNames, ChangesReader, StepWriter};
use sprat::wire::listing::{
    ListingEntries, ListingEntriesBuilder, ListingError, ListingLimits, ListingReader,
    ListingWriter, decode_listing, encode_listing,
};

use super::choices::Choices;

type Files = BTreeMap<ShareName, (ContentId, u64)>;

pub(crate) fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    match choices.byte() % 3 {
        0 => foreign_listing(&mut choices),
        1 => foreign_changes(&mut choices),
        _ => from_host_to_host(&mut choices),
    }
}

fn limits(choices: &mut Choices<'_>) -> ListingLimits {
    match choices.byte() {
        0..=191 => ListingLimits::default(),
        files => ListingLimits { files: u32::from(files - 192), bytes: u64::from(choices.u16()) },
    }
}

/// In one piece and in many it is the same; what is accepted is what would be written.
fn foreign_listing(choices: &mut Choices<'_>) {
    let limits = limits(choices);
    let at_most = 1 + u32::from(choices.byte());
    let listing = choices.rest();
    let whole = decode_listing(listing, limits);
    let pieces = in_pieces(listing, limits, at_most);
    let (entries, refused) = match (whole, pieces) {
        (Ok(whole), Ok(pieces)) => {
            assert_eq!(whole, pieces);
            whole
        }
        (whole, pieces) => return assert_eq!(whole.err(), pieces.err()),
    };
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    assert!(names.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(names.len() as u64 + u64::from(refused) <= u64::from(limits.files));
    let length: usize = names.iter().map(|name| name.len()).sum();
    assert_eq!(entries.names_length(), length as u64);
    assert!(length as u64 <= limits.bytes);
    for (place, entry) in entries.iter().enumerate() {
        assert!(entry.name.is_offered() && ShareName::parse(entry.name.as_str()).is_ok());
        assert_eq!(entries.get(place), Some(entry));
        assert_eq!(entries.find(entry.name), Some(entry));
    }
    let mut writer = ListingWriter::new();
    entries.iter().for_each(|entry| writer.push_entry(entry));
    let written = writer.finish();
    assert_eq!(written.left_out, 0);
    if refused == 0 {
        assert_eq!(written.bytes, listing, "equal listings have equal bytes");
    }
}

fn in_pieces(
    listing: &[u8],
    limits: ListingLimits,
    at_most: u32,
) -> Result<(ListingEntries, u32), ListingError> {
    let mut reader = ListingReader::new(limits);
    let mut entries = ListingEntriesBuilder::default();
    while !reader.read(listing, at_most, &mut entries)? {}
    Ok((entries.finish(), reader.refused_names()))
}

fn foreign_changes(choices: &mut Choices<'_>) {
    let limits = limits(choices);
    let at_most = 1 + u32::from(choices.byte());
    let old = files(choices);
    let changes = choices.rest();
    let read = |at_most: u32| {
        let mut reader = ChangesReader::new(limits);
        let mut into = ChangedNames::new();
        while !reader.read(changes, at_most, &mut into)? {}
        Ok::<_, ListingError>(into)
    };
    let whole = read(u32::MAX);
    assert_eq!(whole, read(at_most));
    let Ok(changed) = whole else { return };
    assert!(changed.len() as u64 <= u64::from(limits.files));
    assert!(changed.keys().all(ShareName::is_offered));
    // Whoever they come from, they lead to what its digest says, or to nothing.
    let mut new = old.clone();
    apply(&mut new, &changed);
    let expected = encoded(&new);
    let digest = if choices.flag() { ListingDigest([7; 20]) } else { ListingDigest::of(&expected) };
    let outcome = applied(&old, changes, digest);
    let is_good = limits == ListingLimits::default() && digest != ListingDigest([7; 20]);
    if let ListingReading::Genuine { entries, names_length, .. } = outcome {
        assert_eq!(
            entries,
            decode_listing(&expected, ListingLimits::default()).expect("it is ours").0
        );
        assert_eq!(names_length, entries.names_length());
        assert!(digest != ListingDigest([7; 20]));
    } else {
        // Without a change there are no changes.
        assert!(!is_good || changed.is_empty());
    }
}

/// What one host offers, and what has changed of it, is what the other one sees.
fn from_host_to_host(choices: &mut Choices<'_>) {
    let old = files(choices);
    let mut new = old.clone();
    let mut changes = Vec::new();
    for _ in 0..1 + choices.below(3) {
        let before = new.clone();
        for name in before.keys() {
            if choices.byte() % 4 == 0 {
                new.remove(name);
            }
        }
        new.extend(files(choices));
        let mut step = StepWriter::new(1 << 20);
        before.keys().filter(|name| !new.contains_key(*name)).for_each(|name| step.gone(name));
        for (name, file) in new.iter().filter(|(name, file)| before.get(*name) != Some(file)) {
            step.come(name, file.0, file.1);
        }
        changes.extend(step.finish().into_iter().flatten());
    }
    changes.resize(changes.len().next_multiple_of(64), 0);
    let listing = encoded(&new);
    let (entries, refused) =
        decode_listing(&listing, ListingLimits::default()).expect("it is ours");
    assert_eq!((entries.len(), refused), (new.len(), 0));
    if old == new {
        return;
    }
    match applied(&old, &changes, ListingDigest::of(&listing)) {
        ListingReading::Genuine { entries: seen, .. } => assert_eq!(seen, entries),
        ListingReading::Bad => panic!("changes do not lead where they should"),
    }
}

fn encoded(files: &Files) -> Vec<u8> {
    encode_listing(files.iter().map(|(name, file)| (name, file.0, file.1))).bytes
}

fn apply(files: &mut Files, changed: &ChangedNames) {
    for (name, file) in changed {
        match file {
            Some(file) => files.insert(name.clone(), *file),
            None => files.remove(name),
        };
    }
}

/// The driver's work: the bytes come in packets, and are taken into what was read before.
fn applied(old: &Files, changes: &[u8], digest: ListingDigest) -> ListingReading {
    let old = decode_listing(&encoded(old), ListingLimits::default()).expect("it is ours").0;
    let mut jobs = ListingJobs::new();
    let listing = ListingId(1);
    for (index, payload) in changes.chunks(1_152).enumerate() {
        jobs.keep(listing, index as u64 * 1_152, payload);
    }
    jobs.read_changes(listing, digest, old);
    let mut answers = VecDeque::new();
    while jobs.step(&Slice::of(Duration::from_millis(1)), &mut answers) {}
    assert_eq!((answers.len(), jobs.gathered()), (1, 0));
    match answers.pop_front() {
        Some(Input::ListingRead { outcome, .. }) => outcome,
        other => panic!("{other:?} is no answer"),
    }
}

/// A few files with names that begin alike.
pub(super) fn files(choices: &mut Choices<'_>) -> Files {
    let mut files = Files::new();
    let mut name = String::new();
    for _ in 0..choices.below(32) {
        let keep = choices.below(8).min(name.len());
        name.truncate((0..=keep).rev().find(|&at| name.is_char_boundary(at)).unwrap_or(0));
        let length = 1 + choices.below(6);
        name.push_str(&String::from_utf8_lossy(choices.take(length)));
        let Some(name) = ShareName::parse(&name).ok().filter(ShareName::is_offered) else {
            continue;
        };
        let size = choices.number().min((1 << 53) - 1);
        files.insert(name, (ContentId([choices.byte(); 20]), size));
    }
    files
}
