//! Listings and the changes of one, byte by byte.

use sprat::content::{ContentId, ShareName};
use sprat::wire::listing::changes::{ChangedNames, ChangesReader, StepWriter};
use sprat::wire::listing::{ListingLimits, decode_listing, encode_listing};
use sprat::wire::{ChangesId, ListingDigest};

use super::bytes;

#[test]
fn listing() {
    let names = ["animals/cat.txt", "animals/dog.txt", "zoo"];
    let names = names.map(|name| ShareName::parse(name).unwrap());
    let [cat, dog, zoo] = &names;
    let files = [
        (cat, ContentId([0x01; 20]), 300),
        (dog, ContentId([0x02; 20]), 0),
        (zoo, ContentId([0x03; 20]), (1 << 53) - 1),
    ];
    let expected = bytes(
        "01010101 01010101 01010101 01010101 01010101  ; content
         ac 02                                         ; size 300
         00                                            ; shares nothing
         0f  616e696d616c732f6361742e747874            ; 15 bytes: animals/cat.txt
         02020202 02020202 02020202 02020202 02020202  ; content
         00                                            ; size 0
         08                                            ; shares 'animals/'
         07  646f672e747874                            ; 7 bytes: dog.txt
         03030303 03030303 03030303 03030303 03030303  ; content
         ff ff ff ff ff ff ff 0f                       ; size 2^53 - 1
         00                                            ; shares nothing
         03  7a6f6f                                    ; 3 bytes: zoo",
    );
    assert_eq!(encode_listing(files).bytes, expected);
    let (entries, refused) = decode_listing(&expected, ListingLimits::default()).unwrap();
    assert_eq!(refused, 0);
    let files = files.map(|(name, content, size)| (name.borrowed(), content, size));
    assert!(entries.iter().map(|e| (e.name, e.content, e.size)).eq(files));
}

#[test]
fn changes_of_a_listing() {
    let names = ["animals/cat.txt", "animals/dog.txt", "zoo"];
    let [cat, dog, zoo] = &names.map(|name| ShareName::parse(name).unwrap());
    let mut first = StepWriter::new(1_000);
    first.gone(cat);
    first.gone(dog);
    first.come(zoo, ContentId([0x03; 20]), 300);
    let mut second = StepWriter::new(1_000);
    second.come(dog, ContentId([0x02; 20]), 0);
    let expected = bytes(
        "02                                            ; two names went
         01                                            ; one entry came
         00                                            ; shares nothing
         0f  616e696d616c732f6361742e747874            ; 15 bytes: animals/cat.txt
         08                                            ; shares 'animals/'
         07  646f672e747874                            ; 7 bytes: dog.txt
         03030303 03030303 03030303 03030303 03030303  ; content
         ac 02                                         ; size 300
         00                                            ; shares nothing
         03  7a6f6f                                    ; 3 bytes: zoo
         00                                            ; the next step: no name went
         01                                            ; one entry came
         02020202 02020202 02020202 02020202 02020202  ; content
         00                                            ; size 0
         00                                            ; shares nothing
         0f  616e696d616c732f646f672e747874            ; 15 bytes: animals/dog.txt",
    );
    let written = [first, second].map(|step| step.finish().unwrap()).concat();
    assert_eq!(written, expected);
    let padded = [&expected[..], &[0; 29]].concat();
    let (mut reader, mut names) =
        (ChangesReader::new(ListingLimits::default()), ChangedNames::new());
    assert_eq!(reader.read(&padded, 100, &mut names), Ok(true));
    let files = [
        (cat.clone(), None),
        (dog.clone(), Some((ContentId([0x02; 20]), 0))),
        (zoo.clone(), Some((ContentId([0x03; 20]), 300))),
    ];
    assert_eq!(names, ChangedNames::from(files));
    // SHA-1 of 20 bytes 0xd1 and 20 bytes 0xd2.
    let [old, new] = [0xd1, 0xd2].map(|byte| ListingDigest([byte; 20]));
    let named = "b5011e96 c160dd38 273057fc b4173ca2 0d8ba423";
    assert_eq!(ChangesId::between(old, new).0.to_vec(), bytes(named));
}
