//! Listings there and back; hostile names, broken entries and limits.

use super::*;

fn name(text: &str) -> ShareName {
    ShareName::parse(text).unwrap()
}

/// An entry as a stranger may write it, its name sharing nothing.
fn raw_entry(name: &[u8]) -> Vec<u8> {
    let mut bytes = vec![7; 20];
    bytes.extend([1, 0]);
    put_varint(&mut bytes, name.len() as u64);
    bytes.extend_from_slice(name);
    bytes
}

fn read(listing: &[u8]) -> Result<(Vec<String>, u32), ListingError> {
    let (entries, refused) = decode_listing(listing, ListingLimits::default())?;
    Ok((entries.iter().map(|entry| entry.name.as_str().to_owned()).collect(), refused))
}

#[test]
fn the_bytes_of_a_small_listing() {
    let (one, two) = (name("animals/cat.txt"), name("animals/dog.txt"));
    let listing = encode_listing([(&one, ContentId([1; 20]), 300), (&two, ContentId([2; 20]), 0)]);
    let mut bytes = vec![1; 20];
    bytes.extend(b"\xac\x02\x00\x0fanimals/cat.txt");
    bytes.extend([2; 20]);
    bytes.extend(b"\x00\x08\x07dog.txt");
    assert_eq!(listing, EncodedListing { bytes, files: 2, left_out: 0 });
}

#[test]
fn what_is_offered_is_read() {
    let names: Vec<_> = (0..5_000).map(|i| name(&format!("folder {}/é{i:05}", i / 50))).collect();
    let mut names = names;
    names.sort();
    let files: Vec<_> = names
        .iter()
        .zip(0u64..)
        .map(|(name, i)| (name, ContentId([i as u8; 20]), (1 << 53) - 1 - i))
        .collect();
    let listing = encode_listing(files.iter().copied());
    assert!(listing.bytes.len() < 5_000 * 36, "{} bytes", listing.bytes.len());
    let (entries, refused) = decode_listing(&listing.bytes, ListingLimits::default()).unwrap();
    assert_eq!((refused, listing.files, listing.left_out), (0, 5_000, 0));
    let back: Vec<_> = entries.iter().map(|e| (e.name, e.content, e.size)).collect();
    let files: Vec<_> = files.iter().map(|f| (f.0.borrowed(), f.1, f.2)).collect();
    assert_eq!(back, files);
}

#[test]
fn reading_in_pieces_reads_the_same() {
    let names: Vec<_> = (0..100).map(|i| name(&format!("{i:03}"))).collect();
    let listing = encode_listing(names.iter().map(|name| (name, ContentId([0; 20]), 1)));
    let whole = decode_listing(&listing.bytes, ListingLimits::default()).unwrap().0;
    for at_most in [1, 3, 50, 99, 100, 101] {
        let mut reader = ListingReader::new(ListingLimits::default());
        let mut entries = ListingEntriesBuilder::default();
        let mut turns = 1;
        while !reader.read(&listing.bytes, at_most, &mut entries).unwrap() {
            turns += 1;
        }
        assert_eq!(entries.finish(), whole);
        assert_eq!(turns, 100u32.div_ceil(at_most));
    }
}

#[test]
fn an_empty_listing_is_no_bytes() {
    assert_eq!(encode_listing([]), EncodedListing::default());
    assert_eq!(read(b""), Ok((vec![], 0)));
}

#[test]
fn hostile_names_are_skipped_and_counted() {
    let hostile: [&[u8]; 12] = [
        b"",
        b"../../etc/passwd",
        b".hidden/file",
        b"/etc/passwd",
        b"a//b",
        b"a/../../b",
        b"a\\b",
        b"bell\x07",
        b"half.part",
        b"turned \xe2\x80\xae round",
        b"wrong \xff bytes",
        b"x/",
    ];
    let mut names: Vec<&[u8]> = hostile.to_vec();
    names.extend([b"good".as_slice(), b"good/too"]);
    names.sort();
    let listing: Vec<u8> = names.iter().flat_map(|name| raw_entry(name)).collect();
    assert_eq!(read(&listing), Ok((vec!["good".to_owned(), "good/too".to_owned()], 12)));
}

#[test]
fn order_is_by_bytes_and_strict() {
    let pair = |one: &[u8], two: &[u8]| read(&[raw_entry(one), raw_entry(two)].concat());
    assert_eq!(pair(b"a", b"b").unwrap().0, ["a", "b"]);
    assert_eq!(pair(b"Z", b"a").unwrap().0, ["Z", "a"]);
    assert_eq!(pair(b"a", b"a"), Err(ListingError::Order));
    assert_eq!(pair(b"b", b"a"), Err(ListingError::Order));
    assert_eq!(pair(b"ab", b"a"), Err(ListingError::Order));
    assert_eq!(pair(b"", b""), Err(ListingError::Order));
}

#[test]
fn broken_entries() {
    let good = raw_entry(b"name");
    for length in 1..good.len() {
        assert_eq!(read(&good[..length]), Err(ListingError::Short), "{length}");
    }
    let broken = |after_id: &[u8]| read(&[&[7; 20], after_id].concat());
    assert_eq!(broken(b"\x80\x00\x00\x01a"), Err(ListingError::Number), "not the shortest");
    assert_eq!(broken(&[0xff; 12]), Err(ListingError::Number), "endless");
    let (at, above) = (b"\xff\xff\xff\xff\xff\xff\xff\x0f", b"\x80\x80\x80\x80\x80\x80\x80\x10");
    assert!(broken(&[at, b"\x00\x01a".as_slice()].concat()).is_ok());
    assert_eq!(broken(&[above, b"\x00\x01a".as_slice()].concat()), Err(ListingError::Number));
    assert_eq!(broken(b"\x00\x01\x01a"), Err(ListingError::Name), "shares with nothing");
    let longest = vec![b'a'; NAME_LENGTH_MAX];
    assert_eq!(read(&raw_entry(&longest)), Ok((vec![], 1)), "a component too long, but readable");
    assert_eq!(read(&raw_entry(&[longest, vec![b'a']].concat())), Err(ListingError::Name));
}

#[test]
fn limits_below_at_and_above() {
    let listing = [raw_entry(b"a"), raw_entry(b"b"), raw_entry(b"c")].concat();
    let bytes = listing.len() as u64;
    let outcome = |files, bytes| {
        decode_listing(&listing, ListingLimits { files, bytes }).map(|(entries, _)| entries.len())
    };
    assert_eq!(outcome(4, bytes + 1), Ok(3));
    assert_eq!(outcome(3, bytes), Ok(3));
    assert_eq!(outcome(2, bytes), Err(ListingError::Limit));
    assert_eq!(outcome(3, bytes - 1), Err(ListingError::Limit));
}

#[test]
fn shared_beginnings_do_not_inflate() {
    // Each entry is 24 bytes and names 1,001.
    let mut listing = raw_entry(&[b'a'; 1_000]);
    for last in 0..100 {
        listing.extend([7; 20]);
        listing.extend([1, 0xe8, 0x07, 1, last]);
    }
    let limits = |bytes| ListingLimits { files: 1_000, bytes };
    assert!(decode_listing(&listing, limits(101_100)).is_ok());
    assert_eq!(decode_listing(&listing, limits(101_099)), Err(ListingError::Limit));
}

#[test]
fn a_writer_leaves_out_what_does_not_fit() {
    let names = [name("a"), name("b"), name("c")];
    for (limits, files) in [
        (ListingLimits { files: 2, bytes: 1_000 }, 2),
        (ListingLimits { files: 9, bytes: 24 }, 1),
        (ListingLimits { files: 9, bytes: 23 }, 0),
    ] {
        let mut writer = ListingWriter { limits, ..ListingWriter::default() };
        names.iter().for_each(|name| writer.push(name, ContentId([0; 20]), 1));
        let listing = writer.finish();
        assert_eq!((listing.files, listing.left_out), (files, 3 - files));
        assert_eq!(read(&listing.bytes).unwrap().0.len(), files as usize);
    }
}

#[test]
fn damage_never_panics_and_never_brings_a_bad_name() {
    let names: Vec<_> = (0..40).map(|i| name(&format!("dir/{i:03}.txt"))).collect();
    let listing = encode_listing(names.iter().map(|name| (name, ContentId([0; 20]), 70_000)));
    for bit in 0..listing.bytes.len() * 8 {
        let mut damaged = listing.bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        damaged[(bit * 7919) % listing.bytes.len()] ^= (bit % 256) as u8;
        let Ok((entries, refused)) = decode_listing(&damaged, ListingLimits::default()) else {
            continue;
        };
        assert!(entries.iter().all(|entry| entry.name.is_offered()));
        assert!(entries.iter().is_sorted_by(|one, two| one.name < two.name));
        assert!(entries.len() + refused as usize <= damaged.len() / 23);
    }
}
