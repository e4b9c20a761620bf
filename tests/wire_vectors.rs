//! Every message, byte by byte. These bytes are the protocol: other programs send and read them.
//! Where a change makes one of these tests fail, it is the version that has to change, not the
//! test.

#[path = "wire_vectors/listings.rs"]
mod listings;

use sprat::content::{ChainId, ContentId};
use sprat::wire::{
    About, Announce, Answer, Ask, BlockRanges, ChangesId, Cookie, Data, DataHeader, DataKind,
    DecodeError, Farewell, FarewellSecret, Grant, Hold, Holding, Hosts, InstanceId, ListingDigest,
    ListingSummary, Message, News, Object, ObjectRange, Portions, Ranges, Refuse, RefuseReason,
    Tell, ToldHost, ToldHosts, decode,
};

const NONCE: u64 = 0x0102_0304_0506_0708;
const COOKIE: Cookie = Cookie([0xc0; 16]);
const INSTANCE: InstanceId = InstanceId([0x1d; 16]);
const CONTENT: ContentId = ContentId([0xab; 20]);
const CHAIN: ChainId = ChainId([0xcd; 20]);
const SUMMARY: ListingSummary =
    ListingSummary { digest: ListingDigest([0xd1; 20]), length: 0x12_3456, files: 1_000 };

/// The bytes that hexadecimal digits stand for; blanks and what follows a `;` are for the reader.
fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text
        .lines()
        .flat_map(|line| line.split(';').next().expect("a line has a part").chars())
        .filter(|character| !character.is_whitespace())
        .map(|character| character.to_digit(16).expect("a digit"))
        .collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

/// The message is these bytes, and these bytes are the message.
#[track_caller]
fn check(message: Message<'_>, text: &str) {
    let expected = bytes(text);
    assert_eq!(message.encode(), expected, "{message} is encoded otherwise");
    assert_eq!(decode(&expected), Ok(message), "these bytes are decoded otherwise");
}

#[test]
fn announce() {
    check(
        Message::Announce(Announce { instance: INSTANCE, listing: SUMMARY, again_within: 75 }),
        "53 70 01 01                                   ; Sp, version 1, ANNOUNCE
         00                                            ; flags
         4b                                            ; again within 7.5 s
         00 00                                         ; reserved
         1d1d1d1d 1d1d1d1d 1d1d1d1d 1d1d1d1d           ; instance
         d1d1d1d1 d1d1d1d1 d1d1d1d1 d1d1d1d1 d1d1d1d1  ; listing digest
         00000000 00123456                             ; listing length
         000003e8                                      ; files
         00000000 00000000 00000000 00000000 00000000 00000000",
    );
}

#[test]
fn farewell() {
    let secret = FarewellSecret(*b"abcdefghijklmnop");
    check(
        Message::Farewell(Farewell { secret }),
        "53 70 01 02                                   ; Sp, version 1, FAREWELL
         61626364 65666768 696a6b6c 6d6e6f70           ; secret",
    );
    // SHA-1 of abcdefghijklmnop is 14f39952 88acd189 e6e50a7a f47ee709 9aa682b9.
    assert_eq!(InstanceId::of(&secret).0.to_vec(), bytes("14f39952 88acd189 e6e50a7a f47ee709"));
}

#[test]
fn ask_about_the_listing() {
    check(
        Message::Ask(Ask {
            about: About::Listing { has: ListingDigest::NONE },
            to_many: false,
            tell_hosts: false,
            hosts_from: 0,
            tell_age: false,
            nonce: NONCE,
            instance: INSTANCE,
            cookie: COOKIE,
        }),
        "53 70 01 03                                   ; Sp, version 1, ASK
         00                                            ; about the listing
         00                                            ; flags
         00 00                                         ; reserved
         01020304 05060708                             ; nonce
         00000000 00000000 00000000 00000000 00000000  ; id: none
         00000000 00000000                             ; size: none
         1d1d1d1d 1d1d1d1d 1d1d1d1d 1d1d1d1d           ; instance
         c0c0c0c0 c0c0c0c0 c0c0c0c0 c0c0c0c0           ; cookie
         00000000",
    );
}

#[test]
fn ask_of_others_from_a_place_on_and_for_how_long_the_host_has_been_there() {
    let text = "53 70 01 03                                   ; Sp, version 1, ASK
         00                                            ; about the listing
         06                                            ; flags: hosts, age
         002d                                          ; hosts from the 45th on
         01020304 05060708                             ; nonce
         00000000 00000000 00000000 00000000 00000000  ; id: none
         00000000 00000000                             ; size: none
         1d1d1d1d 1d1d1d1d 1d1d1d1d 1d1d1d1d           ; instance
         c0c0c0c0 c0c0c0c0 c0c0c0c0 c0c0c0c0           ; cookie
         00000000 00000000";
    let ask = Ask {
        about: About::Listing { has: ListingDigest::NONE },
        to_many: false,
        tell_hosts: true,
        hosts_from: 45,
        tell_age: true,
        nonce: NONCE,
        instance: INSTANCE,
        cookie: COOKIE,
    };
    check(Message::Ask(ask), text);
    // One that is shorter than the answer that it wants does not get it.
    let short = bytes(text);
    let short = &short[..short.len() - 1];
    assert_eq!(decode(short), Ok(Message::Ask(Ask { tell_age: false, ..ask })));
}

#[test]
fn tell_for_how_long_the_host_has_been_there() {
    let answer = Answer::Listing { listing: SUMMARY, changes: 0, in_step: false };
    let tell = Tell { nonce: NONCE, cookie: COOKIE, instance: INSTANCE, age: Some(86_400), answer };
    let encoded = Message::Tell(tell).encode();
    let plain = Message::Tell(Tell { age: None, ..tell }).encode();
    assert_eq!((plain.len(), encoded.len()), (80, 84));
    assert_eq!((plain[5], encoded[5]), (1, 5), "flags");
    assert_eq!((&encoded[6..80], &encoded[80..]), (&plain[6..], &[0, 1, 0x51, 0x80][..]));
    assert_eq!(decode(&encoded), Ok(Message::Tell(tell)));
    assert_eq!(decode(&encoded[..83]), Err(DecodeError::Short));
}

#[test]
fn ask_about_the_changes_of_a_listing() {
    check(
        Message::Ask(Ask {
            about: About::Listing { has: SUMMARY.digest },
            to_many: false,
            tell_hosts: false,
            hosts_from: 0,
            tell_age: false,
            nonce: NONCE,
            instance: INSTANCE,
            cookie: COOKIE,
        }),
        "53 70 01 03                                   ; Sp, version 1, ASK
         00                                            ; about the listing
         00                                            ; flags
         00 00                                         ; reserved
         01020304 05060708                             ; nonce
         d1d1d1d1 d1d1d1d1 d1d1d1d1 d1d1d1d1 d1d1d1d1  ; the listing that the asker has
         00000000 00000000                             ; size: none
         1d1d1d1d 1d1d1d1d 1d1d1d1d 1d1d1d1d           ; instance
         c0c0c0c0 c0c0c0c0 c0c0c0c0 c0c0c0c0           ; cookie
         00000000",
    );
}

#[test]
fn ask_about_a_content_to_many() {
    check(
        Message::Ask(Ask {
            about: About::Content { content: CONTENT, size: 967_632_312 },
            to_many: true,
            tell_hosts: false,
            hosts_from: 0,
            tell_age: false,
            nonce: NONCE,
            instance: InstanceId::NONE,
            cookie: Cookie::NONE,
        }),
        "53 70 01 03                                   ; Sp, version 1, ASK
         01                                            ; about a content
         01                                            ; flags: to many
         00 00                                         ; reserved
         01020304 05060708                             ; nonce
         abababab abababab abababab abababab abababab  ; content
         00000000 39ace5b8                             ; size
         00000000 00000000 00000000 00000000           ; instance: none
         00000000 00000000 00000000 00000000           ; cookie: none
         00000000",
    );
}

#[test]
fn tell_of_the_listing() {
    check(
        Message::Tell(Tell {
            nonce: NONCE,
            cookie: COOKIE,
            instance: INSTANCE,
            age: None,
            answer: Answer::Listing { listing: SUMMARY, changes: 0, in_step: false },
        }),
        "53 70 01 04                                   ; Sp, version 1, TELL
         00                                            ; about the listing
         01                                            ; flags: whole
         00 00                                         ; reserved
         01020304 05060708                             ; nonce
         c0c0c0c0 c0c0c0c0 c0c0c0c0 c0c0c0c0           ; cookie
         1d1d1d1d 1d1d1d1d 1d1d1d1d 1d1d1d1d           ; instance
         d1d1d1d1 d1d1d1d1 d1d1d1d1 d1d1d1d1 d1d1d1d1  ; listing digest
         00000000 00123456                             ; listing length
         000003e8                                      ; files",
    );
}

#[test]
fn tell_that_the_host_keeps_in_step() {
    let answer = |in_step| Answer::Listing { listing: SUMMARY, changes: 3, in_step };
    let tell =
        |answer| Tell { nonce: NONCE, cookie: COOKIE, instance: INSTANCE, age: None, answer };
    let [plain, keeps] = [false, true].map(|in_step| Message::Tell(tell(answer(in_step))).encode());
    assert_eq!((plain[5], keeps[5]), (1, 9), "flags");
    assert_eq!((&plain[..5], &plain[6..]), (&keeps[..5], &keeps[6..]));
    assert_eq!(decode(&keeps), Ok(Message::Tell(tell(answer(true)))));
    // Of a content the bit means nothing.
    let content = Answer::Content {
        holding: Holding::Whole,
        chain: ChainId([0; 20]),
        size: 9,
        blocks_held: 1,
    };
    let mut content_bytes = Message::Tell(tell(content)).encode();
    content_bytes[5] |= 8;
    assert_eq!(decode(&content_bytes), Ok(Message::Tell(tell(content))));
}

#[test]
fn tell_of_the_changes_of_a_listing() {
    check(
        Message::Tell(Tell {
            nonce: NONCE,
            cookie: COOKIE,
            instance: INSTANCE,
            age: None,
            answer: Answer::Listing { listing: SUMMARY, changes: 0x0102, in_step: false },
        }),
        "53 70 01 04                                   ; Sp, version 1, TELL
         00                                            ; about the listing
         01                                            ; flags: whole
         01 02                                         ; changes: 258 times 64 bytes
         01020304 05060708                             ; nonce
         c0c0c0c0 c0c0c0c0 c0c0c0c0 c0c0c0c0           ; cookie
         1d1d1d1d 1d1d1d1d 1d1d1d1d 1d1d1d1d           ; instance
         d1d1d1d1 d1d1d1d1 d1d1d1d1 d1d1d1d1 d1d1d1d1  ; listing digest
         00000000 00123456                             ; listing length
         000003e8                                      ; files",
    );
}

#[test]
fn tell_of_a_content() {
    let holdings = [(Holding::Nothing, "00"), (Holding::Whole, "01"), (Holding::Part, "02")];
    for (holding, flags) in holdings {
        let answer =
            Answer::Content { holding, chain: CHAIN, size: 967_632_312, blocks_held: 14_765 };
        check(
            Message::Tell(Tell {
                nonce: NONCE,
                cookie: COOKIE,
                instance: INSTANCE,
                age: None,
                answer,
            }),
            &format!(
                "53 70 01 04                                   ; Sp, version 1, TELL
                 01                                            ; about a content
                 {flags}                                       ; flags
                 00 00                                         ; reserved
                 01020304 05060708                             ; nonce
                 c0c0c0c0 c0c0c0c0 c0c0c0c0 c0c0c0c0           ; cookie
                 1d1d1d1d 1d1d1d1d 1d1d1d1d 1d1d1d1d           ; instance
                 cdcdcdcd cdcdcdcd cdcdcdcd cdcdcdcd cdcdcdcd  ; chain
                 00000000 39ace5b8                             ; size
                 000039ad                                      ; blocks held"
            ),
        );
    }
}

#[test]
fn grant_of_two_ranges() {
    let ranges = [
        ObjectRange { offset: 0x1_0000, length: 0x1000 },
        ObjectRange { offset: (1 << 53) - 1, length: 1 },
    ];
    check(
        Message::Grant(Grant {
            nonce: NONCE,
            cookie: COOKIE,
            object: Object::File(CONTENT),
            ranges: Ranges::new(&ranges, 1_408).unwrap(),
        }),
        "53 70 01 05                                   ; Sp, version 1, GRANT
         00                                            ; kind: file
         02                                            ; ranges
         0580                                          ; payload length
         01020304 05060708                             ; nonce
         c0c0c0c0 c0c0c0c0 c0c0c0c0 c0c0c0c0           ; cookie
         abababab abababab abababab abababab abababab  ; content
         00000000 00010000  00001000                   ; offset, length
         001fffff ffffffff  00000001                   ; offset, length",
    );
}

#[test]
fn grants_of_every_other_kind() {
    let objects = [
        (Object::Chain(CONTENT), "01"),
        (Object::Have(CONTENT), "02"),
        (Object::Listing(ListingDigest(CONTENT.0)), "03"),
        (Object::Changes(ChangesId(CONTENT.0)), "04"),
    ];
    for (object, kind) in objects {
        let ranges = Ranges::new(&[ObjectRange { offset: 0, length: 20 }], 512).unwrap();
        check(
            Message::Grant(Grant { nonce: NONCE, cookie: COOKIE, object, ranges }),
            &format!(
                "53 70 01 05                                   ; Sp, version 1, GRANT
                 {kind}                                        ; kind
                 01                                            ; ranges
                 0200                                          ; payload length
                 01020304 05060708                             ; nonce
                 c0c0c0c0 c0c0c0c0 c0c0c0c0 c0c0c0c0           ; cookie
                 abababab abababab abababab abababab abababab  ; content, listing digest, changes
                 00000000 00000000  00000014                   ; offset, length"
            ),
        );
    }
}

#[test]
fn data_and_meta() {
    for (kind, code) in [(DataKind::Data, "06"), (DataKind::Meta, "07")] {
        let header = DataHeader { kind, nonce: NONCE, offset: 0x0a_0b0c_0d0e };
        check(
            Message::Data(Data { header, payload: b"sprat" }),
            &format!(
                "53 70 01 {code}      ; Sp, version 1, DATA or META
                 01020304 05060708    ; nonce
                 0000000a 0b0c0d0e    ; offset
                 73 70 72 61 74       ; payload"
            ),
        );
    }
}

#[test]
fn refuse_for_every_reason() {
    let reasons = [
        (RefuseReason::StaleCookie, "01"),
        (RefuseReason::UnknownObject, "02"),
        (RefuseReason::BadRange, "03"),
        (RefuseReason::Changed, "04"),
        (RefuseReason::Busy, "05"),
        (RefuseReason::TooLong, "06"),
    ];
    for (reason, code) in reasons {
        check(
            Message::Refuse(Refuse { reason, nonce: NONCE }),
            &format!(
                "53 70 01 08          ; Sp, version 1, REFUSE
                 {code}               ; reason
                 00 00 00             ; reserved
                 01020304 05060708    ; nonce"
            ),
        );
    }
}

#[test]
fn news_of_two_ranges() {
    let mut blocks = Vec::new();
    assert!(BlockRanges::push(&mut blocks, &(7..9)));
    assert!(BlockRanges::push(&mut blocks, &(0x0102_0304..0x0102_0305)));
    check(
        Message::News(News { nonce: NONCE, blocks: BlockRanges::new(&blocks).unwrap() }),
        "53 70 01 09          ; Sp, version 1, NEWS
         02                   ; ranges
         00 00 00             ; reserved
         01020304 05060708    ; nonce
         00000007  00000002   ; first block, blocks
         01020304  00000001   ; first block, blocks",
    );
}

#[test]
fn news_that_break_a_limit() {
    let of = |count: u8, range: &str| {
        let head = format!("53 70 01 09 {count:02x} 000000 0102030405060708");
        decode(&bytes(&format!("{head} {}", range.repeat(usize::from(count))))).map(|_| ())
    };
    assert_eq!(of(64, "00000007 00000001"), Ok(()));
    assert_eq!(of(65, "00000007 00000001"), Err(DecodeError::Count));
    assert_eq!(of(0, ""), Err(DecodeError::Count));
    assert_eq!(of(1, "00000007 00000000"), Err(DecodeError::Range));
    assert_eq!(of(2, "00000007 0000"), Err(DecodeError::Short));
}

#[test]
fn hosts_of_both_families() {
    let mut hosts = Vec::new();
    let addresses = ["192.0.2.7:27183", "[2001:db8::7]:4001"];
    for (address, portions) in addresses.into_iter().zip([Portions::WHOLE, Portions(1 << 63)]) {
        let address = address.parse().unwrap();
        assert!(ToldHosts::push(&mut hosts, &ToldHost { address, portions }));
    }
    check(
        Message::Hosts(Hosts { nonce: NONCE, next: 259, hosts: ToldHosts::new(&hosts).unwrap() }),
        "53 70 01 0a                               ; Sp, version 1, HOSTS
         02                                        ; hosts
         00                                        ; reserved
         0103                                      ; more from the 259th on
         01020304 05060708                         ; nonce
         00000000 00000000 0000ffff c0000207  6a2f ; 192.0.2.7, port 27183
         ffffffff ffffffff                         ; all of it
         20010db8 00000000 00000000 00000007  0fa1 ; 2001:db8::7, port 4001
         80000000 00000000                         ; its first 64th",
    );
}

#[test]
fn hosts_that_break_a_limit() {
    let of = |count: u8, sent: usize| {
        let head = format!("53 70 01 0a {count:02x} 000000 0102030405060708");
        decode(&bytes(&format!("{head} {}", "00".repeat(26 * sent)))).map(|_| ())
    };
    assert_eq!(of(44, 44), Ok(()));
    assert_eq!(of(45, 45), Err(DecodeError::Count));
    assert_eq!(of(0, 0), Err(DecodeError::Count));
    assert_eq!(of(2, 1), Err(DecodeError::Short));
}

#[test]
fn hold() {
    check(
        Message::Hold(Hold {
            cookie: COOKIE,
            content: CONTENT,
            size: 0x0102_0304,
            portions: Portions(0xff00_0000_0000_0001),
        }),
        "53 70 01 0b                                   ; Sp, version 1, HOLD
         00 00 00 00                                   ; reserved
         c0c0c0c0 c0c0c0c0 c0c0c0c0 c0c0c0c0           ; cookie
         abababab abababab abababab abababab abababab  ; content
         00000000 01020304                             ; size
         ff000000 00000001                             ; which 64ths are there",
    );
}
