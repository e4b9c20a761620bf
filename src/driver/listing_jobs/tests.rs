//! Listings made and read in the smallest pieces that there are.

use std::time::Duration;

use super::*;
use crate::wire::listing::encode_listing;

/// Works until an answer comes. A slice that is over does one piece.
fn answer(jobs: &mut ListingJobs) -> Input<'static> {
    let mut inputs = VecDeque::new();
    for _ in 0..100_000 {
        let more = jobs.step(&Slice::of(Duration::ZERO), &mut inputs);
        if let Some(input) = inputs.pop_front() {
            return input;
        }
        assert!(more, "nothing is left to do, and nothing was answered");
    }
    panic!("it takes for ever");
}

fn make(jobs: &mut ListingJobs, listing: u64) -> (ListingSummary, u32) {
    jobs.make(ListingId(listing));
    match answer(jobs) {
        Input::ListingMade { listing: made, summary, left_out, .. } if made.0 == listing => {
            (summary, left_out)
        }
        other => panic!("{other:?}"),
    }
}

fn read(jobs: &mut ListingJobs, listing: u64, digest: ListingDigest) -> ListingReading {
    jobs.read(ListingId(listing), digest, ListingRoom::ALL);
    match answer(jobs) {
        Input::ListingRead { listing: read, outcome } if read.0 == listing => outcome,
        other => panic!("{other:?}"),
    }
}

fn name(number: usize) -> ShareName {
    ShareName::parse(&format!("folder {:03}/file {number:06}", number / 100)).unwrap()
}

fn content(number: usize) -> ContentId {
    ContentId([number as u8; 20])
}

/// The listing of these files at once.
fn at_once(numbers: impl Iterator<Item = usize>) -> Vec<u8> {
    let files: BTreeMap<ShareName, File> =
        numbers.map(|number| (name(number), (content(number), number as u64))).collect();
    encode_listing(files.iter().map(|(name, &(content, size))| (name, content, size))).bytes
}

#[test]
fn a_listing_made_in_pieces_is_the_one_made_at_once() {
    let mut jobs = ListingJobs::new();
    for number in 0..5_000 {
        jobs.add(name(number), content(number), number as u64);
    }
    let (summary, left_out) = make(&mut jobs, 1);
    let whole = at_once(0..5_000);
    assert_eq!((summary.files, left_out), (5_000, 0));
    assert_eq!((summary.digest, summary.length), (ListingDigest::of(&whole), whole.len() as u64));
    assert!(jobs.kept(summary.digest) == Some(&whole[..]));

    // What changes while one is made belongs to the next.
    jobs.take_off(name(17));
    jobs.make(ListingId(2));
    jobs.add(name(17), content(17), 17);
    jobs.take_off(name(18));
    let without = |taken: usize| at_once((0..5_000).filter(move |number| *number != taken));
    for (listing, taken) in [(2, 17), (3, 18)] {
        let digest = ListingDigest::of(&without(taken));
        let made = answer(&mut jobs);
        assert!(
            matches!(made, Input::ListingMade { listing: ListingId(made), summary, .. }
                if made == listing && summary.digest == digest),
            "{made:?}"
        );
        jobs.make(ListingId(listing + 1));
    }
}

#[test]
fn the_newest_two_are_kept() {
    let mut jobs = ListingJobs::new();
    let mut digests = Vec::new();
    for number in 0..3 {
        jobs.add(name(number), content(number), 1);
        digests.push(make(&mut jobs, number as u64).0.digest);
        // Made again, it is the same one, and takes nobody's place.
        assert_eq!(make(&mut jobs, 10 + number as u64).0.digest, digests[number]);
        let kept: Vec<bool> =
            digests.iter().rev().map(|digest| jobs.kept(*digest).is_some()).collect();
        assert_eq!(kept, [true, true, false][..=number]);
    }
}

#[test]
fn a_listing_that_came_in_packets_is_read() {
    let mut jobs = ListingJobs::new();
    let mut bytes = at_once(0..3_000);
    // And one name that nobody should send, sharing nothing.
    bytes.extend([7; 20]);
    bytes.extend(b"\x01\x00\x03z\x1bz");
    for (packet, payload) in bytes.chunks(1_152).enumerate().rev() {
        jobs.keep(ListingId(5), packet as u64 * 1_152, payload);
    }
    let reading = read(&mut jobs, 5, ListingDigest::of(&bytes));
    let ListingReading::Genuine { entries, names_length, refused_names, .. } = reading else {
        panic!("{reading:?}")
    };
    assert_eq!((entries.len(), refused_names), (3_000, 1));
    let named: usize = (0..3_000).map(|number| name(number).as_str().len()).sum();
    assert_eq!(names_length, named as u64);
    assert!((0..3_000).all(|number| entries.get(number).unwrap().name == name(number).borrowed()));
    assert_eq!(jobs.gathered(), 0);
}

#[test]
fn of_what_has_no_room_the_first_files_are_kept() {
    let mut jobs = ListingJobs::new();
    let bytes = at_once(0..3_000);
    jobs.keep(ListingId(5), 0, &bytes);
    // 24 bytes of name, and 32 beside, twice.
    jobs.read(ListingId(5), ListingDigest::of(&bytes), ListingRoom { cost: 11_200, each: 1 });
    let Input::ListingRead { outcome, .. } = answer(&mut jobs) else { panic!("no answer") };
    let ListingReading::Genuine { entries, sizes, left_out, .. } = outcome else { panic!("bad") };
    let kept = 11_200 / (2 * (32 + name(0).as_str().len()));
    assert_eq!((entries.len(), left_out.files as usize), (kept, 3_000 - kept));
    assert_eq!(sizes.last().unwrap().files as usize, kept);
    assert_eq!(entries.get(kept - 1).unwrap().name, name(kept - 1).borrowed());
}

#[test]
fn what_has_another_digest_or_is_none_is_bad() {
    let mut jobs = ListingJobs::new();
    let bytes = at_once(0..3_000);
    let digest = ListingDigest::of(&bytes);
    let broken = &bytes[..bytes.len() - 1];
    for (listing, bytes, digest) in
        [(1, broken, digest), (2, broken, ListingDigest::of(broken)), (3, &[], digest)]
    {
        if !bytes.is_empty() {
            jobs.keep(ListingId(listing), 0, bytes);
        }
        assert_eq!(read(&mut jobs, listing, digest), ListingReading::Bad, "{listing}");
    }
}

#[test]
fn what_is_dropped_is_gone() {
    let mut jobs = ListingJobs::new();
    let bytes = at_once(0..3_000);
    for listing in 0..3 {
        jobs.keep(ListingId(listing), 0, &bytes);
    }
    jobs.read(ListingId(0), ListingDigest::of(&bytes), ListingRoom::ALL);
    jobs.read(ListingId(1), ListingDigest::of(&bytes), ListingRoom::ALL);
    jobs.step(&Slice::of(Duration::ZERO), &mut VecDeque::new());
    jobs.forget(ListingId(0));
    jobs.forget(ListingId(2));
    jobs.forget(ListingId(77));
    assert_eq!(jobs.gathered(), 1);
    let next = answer(&mut jobs);
    assert!(matches!(next, Input::ListingRead { listing: ListingId(1), .. }), "{next:?}");
    assert!(!jobs.step(&Slice::of(Duration::ZERO), &mut VecDeque::new()));
}

fn entries(jobs: &mut ListingJobs, listing: u64, bytes: &[u8]) -> ListingEntries {
    jobs.keep(ListingId(listing), 0, bytes);
    match read(jobs, listing, ListingDigest::of(bytes)) {
        ListingReading::Genuine { entries, .. } => entries,
        ListingReading::Bad => panic!("it is one"),
    }
}

fn apply(
    jobs: &mut ListingJobs,
    old: &ListingEntries,
    changes: &[u8],
    digest: ListingDigest,
) -> ListingReading {
    jobs.keep(ListingId(1_000_000), 0, changes);
    jobs.read_changes(ListingId(1_000_000), digest, old.clone());
    match answer(jobs) {
        Input::ListingRead { listing: ListingId(1_000_000), outcome } => outcome,
        other => panic!("{other:?}"),
    }
}

/// Listings of a host that changes all the time, and all that leads from one to another.
#[test]
fn changes_lead_from_every_listing_to_every_later_one() {
    let (mut ours, mut theirs) = (ListingJobs::new(), ListingJobs::new());
    let mut made: Vec<(ListingDigest, ListingEntries)> = Vec::new();
    let mut random = 7_u64;
    for number in 0..40_u64 {
        let files = if number == 0 { 1_000 } else { 1 + number as usize % 9 };
        for _ in 0..files {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(11);
            let which = (random >> 33) as usize % 1_200;
            match random >> 62 {
                0 => ours.take_off(name(which)),
                _ => ours.add(name(which), content((random >> 40) as usize), 1),
            }
        }
        ours.add(name(2_000 + number as usize), content(1), 1);
        let digest = make(&mut ours, number).0.digest;
        let bytes = ours.kept(digest).unwrap().to_vec();
        made.push((digest, entries(&mut theirs, number, &bytes)));
    }
    for (from, (_, old)) in made.iter().enumerate() {
        for (to, (digest, new)) in made.iter().enumerate().skip(from + 1) {
            let changes = ours.changes(ListingId(from as u64), ListingId(to as u64)).unwrap();
            assert_eq!(changes.len() % 64, 0);
            let outcome = apply(&mut theirs, old, &changes, *digest);
            let expected = ListingReading::all(new.clone(), 0);
            assert_eq!(outcome, expected, "from {from} to {to}");
        }
    }
    assert_eq!(theirs.gathered(), 0);
}

#[test]
fn one_file_more_is_a_few_bytes() {
    let mut jobs = ListingJobs::new();
    for number in 0..5_000 {
        jobs.add(name(number), content(number), number as u64);
    }
    make(&mut jobs, 0);
    jobs.add(name(5_000), content(1), 1);
    jobs.take_off(name(17));
    jobs.make(ListingId(1));
    let made = answer(&mut jobs);
    let Input::ListingMade { changes: Some(length), .. } = made else { panic!("{made:?}") };
    let changes = jobs.changes(ListingId(0), ListingId(1)).unwrap();
    assert_eq!(changes.len(), 128);
    assert!((65..128).contains(&length), "{length}");
    assert!(changes[length as usize..].iter().all(|byte| *byte == 0));
}

#[test]
fn changes_that_are_damaged_lead_nowhere() {
    let mut jobs = ListingJobs::new();
    for number in 0..100 {
        jobs.add(name(number), content(number), number as u64);
    }
    let digest = make(&mut jobs, 0).0.digest;
    let bytes = jobs.kept(digest).unwrap().to_vec();
    let old = entries(&mut jobs, 500, &bytes);
    jobs.add(name(55), content(99), 1);
    jobs.take_off(name(17));
    let digest = make(&mut jobs, 1).0.digest;
    let changes = jobs.changes(ListingId(0), ListingId(1)).unwrap();
    assert!(matches!(apply(&mut jobs, &old, &changes, digest), ListingReading::Genuine { .. }));
    for at in 0..changes.len() {
        for bit in 0..8 {
            let mut damaged = changes.clone();
            damaged[at] ^= 1 << bit;
            let outcome = apply(&mut jobs, &old, &damaged, digest);
            assert_eq!(outcome, ListingReading::Bad, "bit {bit} of byte {at}");
        }
    }
    // Of something else.
    let nothing = ListingEntries::default();
    assert_eq!(apply(&mut jobs, &nothing, &changes, digest), ListingReading::Bad);
    assert_eq!(apply(&mut jobs, &old, &[0; 64], digest), ListingReading::Bad);
}

#[test]
fn where_files_had_no_room_the_way_is_not_known() {
    let mut jobs = ListingJobs::new();
    let long =
        |number: usize| ShareName::parse(&format!("{}/{number:04}", "n".repeat(250))).unwrap();
    let many = (LISTING_LENGTH_MAX / 255) as usize + 10;
    for number in 0..many {
        jobs.add(long(number), content(number), 1);
    }
    assert!(make(&mut jobs, 0).1 > 0, "names are too long together");
    jobs.take_off(long(0));
    make(&mut jobs, 1);
    assert_eq!(jobs.changes(ListingId(0), ListingId(1)), None);
    for number in 1..400 {
        jobs.take_off(long(number));
    }
    assert_eq!(make(&mut jobs, 2).1, 0);
    assert_eq!(jobs.changes(ListingId(1), ListingId(2)), None, "there was more than that");
    jobs.take_off(long(400));
    make(&mut jobs, 3);
    assert!(jobs.changes(ListingId(2), ListingId(3)).is_some());
}
