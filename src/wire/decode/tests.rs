//! Every message there and back; noise, damage and limits.

use super::*;
use crate::wire::{DATA_HEADER_LENGTH, GRANT_HEADER_LENGTH, PAYLOAD_LENGTH_MAX};

/// Steele, Lea and Flood's SplitMix64: small, and every seed is good.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.next() as u8)
    }

    fn summary(&mut self) -> ListingSummary {
        ListingSummary {
            digest: ListingDigest(self.bytes()),
            length: self.below(LISTING_LENGTH_MAX + 1),
            files: self.below(u64::from(LISTING_FILES_MAX) + 1) as u32,
        }
    }

    fn grant(&mut self) -> Grant {
        loop {
            let count = 1 + self.below(GRANT_RANGES_MAX as u64);
            let ranges: Vec<_> = (0..count)
                .map(|_| ObjectRange {
                    offset: self.below(OBJECT_END_MAX),
                    length: 1 + self.below(9_000) as u32,
                })
                .collect();
            let payload_length = 512 + 64 * self.below(20) as u16;
            let Ok(ranges) = Ranges::new(&ranges, payload_length) else {
                continue;
            };
            let kind = ObjectKind::from_code(self.below(5) as u8).unwrap();
            return Grant {
                nonce: self.next(),
                cookie: Cookie(self.bytes()),
                object: Object::new(kind, self.bytes()),
                ranges,
            };
        }
    }

    fn message<'a>(&mut self, payload: &'a [u8]) -> Message<'a> {
        let nonce = self.next();
        let instance = InstanceId(self.bytes());
        let size = self.below(CONTENT_SIZE_MAX + 1);
        let coin = self.below(2) == 0;
        match self.below(7) {
            0 => Message::Announce(Announce {
                instance,
                listing: self.summary(),
                again_within: self.next() as u8,
            }),
            1 => Message::Farewell(Farewell { secret: FarewellSecret(self.bytes()) }),
            2 => {
                let content = ContentId(self.bytes());
                let cookie = Cookie(self.bytes());
                let has = ListingDigest(self.bytes());
                let about =
                    if coin { About::Listing { has } } else { About::Content { content, size } };
                let (to_many, tell_hosts) = (self.below(2) == 0, self.below(2) == 0);
                let hosts_from = if tell_hosts { self.next() as u16 } else { 0 };
                let tell_age = self.below(2) == 0;
                Message::Ask(Ask {
                    about,
                    to_many,
                    tell_hosts,
                    hosts_from,
                    tell_age,
                    nonce,
                    instance,
                    cookie,
                })
            }
            3 => {
                let holdings = [Holding::Nothing, Holding::Part, Holding::Whole];
                let answer = if coin {
                    Answer::Listing {
                        listing: self.summary(),
                        changes: self.next() as u16,
                        in_step: self.below(2) == 0,
                    }
                } else {
                    Answer::Content {
                        holding: holdings[self.below(3) as usize],
                        chain: ChainId(self.bytes()),
                        size,
                        blocks_held: self.next() as u32,
                    }
                };
                let age = (self.below(2) == 0).then(|| self.next() as u32);
                Message::Tell(Tell { nonce, cookie: Cookie(self.bytes()), instance, age, answer })
            }
            4 => Message::Grant(self.grant()),
            5 => {
                let kind = if coin { DataKind::Data } else { DataKind::Meta };
                let length = 1 + self.below(payload.len() as u64);
                let offset = self.below(OBJECT_END_MAX - length);
                let header = DataHeader { kind, nonce, offset };
                Message::Data(Data { header, payload: &payload[..length as usize] })
            }
            _ => {
                let reason = RefuseReason::from_code(1 + self.below(6) as u8).unwrap();
                Message::Refuse(Refuse { reason, nonce })
            }
        }
    }
}

#[test]
fn what_is_said_is_understood() {
    let mut random = Random(1);
    let payload: [u8; 1_408] = random.bytes();
    for turn in 0..20_000 {
        let message = random.message(&payload);
        let datagram = message.encode();
        assert_eq!(decode(&datagram), Ok(message), "turn {turn}");
        assert!(!message.to_string().contains('\n'));
    }
}

#[test]
fn noise_is_a_reason_never_a_panic() {
    let mut random = Random(2);
    let mut counted = [0u32; DecodeError::ALL.len()];
    let (mut understood, turns) = (0u32, 100_000);
    for _ in 0..turns {
        let mut datagram: Vec<u8> = (0..random.below(200)).map(|_| random.next() as u8).collect();
        // Noise that gets past the front door finds more.
        if random.below(8) != 0 {
            let front = [MAGIC[0], MAGIC[1], VERSION, random.below(10) as u8];
            datagram.splice(..datagram.len().min(4), front);
        }
        match decode(&datagram) {
            Ok(_) => understood += 1,
            Err(reason) => counted[reason.index()] += 1,
        }
    }
    assert_eq!(understood + counted.iter().sum::<u32>(), turns);
    for reason in [DecodeError::NotOurs, DecodeError::Short, DecodeError::Type] {
        assert!(counted[reason.index()] > 0, "{reason}");
    }
}

#[test]
fn damage_is_a_reason_or_another_message_within_the_limits() {
    let mut random = Random(3);
    let payload: [u8; 64] = random.bytes();
    let mut counted = [0u32; DecodeError::ALL.len()];
    for _ in 0..150_000 {
        let mut datagram = random.message(&payload).encode();
        for _ in 0..=random.below(3) {
            let bit = random.below(datagram.len() as u64 * 8) as usize;
            datagram[bit / 8] ^= 1 << (bit % 8);
        }
        if random.below(4) == 0 {
            datagram.truncate(random.below(datagram.len() as u64 + 1) as usize);
        }
        match decode(&datagram) {
            // What is understood can be said again, to the same meaning.
            Ok(message) => assert_eq!(decode(&message.encode()), Ok(message)),
            Err(reason) => counted[reason.index()] += 1,
        }
    }
    for reason in DecodeError::ALL {
        let found = counted[reason.index()] > 0;
        assert!(found || reason == DecodeError::Long, "{reason} was never found");
    }
}

#[test]
fn every_message_cut_short_is_short() {
    let mut random = Random(4);
    let payload = [7; 64];
    for _ in 0..500 {
        let message = random.message(&payload);
        let datagram = message.encode();
        let shortest = match message {
            Message::Data(_) => DATA_HEADER_LENGTH + 1,
            // Without its end it asks for less.
            Message::Ask(_) => TALK_LENGTH,
            _ => datagram.len(),
        };
        for length in 0..shortest {
            let reason = if length < 2 { DecodeError::NotOurs } else { DecodeError::Short };
            assert_eq!(decode(&datagram[..length]), Err(reason), "{message} cut to {length}");
        }
    }
}

#[test]
fn what_follows_a_layout_is_ignored_up_to_a_limit() {
    let mut random = Random(5);
    for _ in 0..500 {
        let message = random.message(&[7; 64]);
        let mut datagram = message.encode();
        if matches!(message, Message::Data(_)) {
            continue;
        }
        datagram.resize(CONTROL_LENGTH_MAX, 0xff);
        assert_eq!(decode(&datagram), Ok(message));
        datagram.push(0);
        assert_eq!(decode(&datagram), Err(DecodeError::Long));
    }
}

#[test]
fn unknown_flags_and_reserved_bytes_are_ignored() {
    let ask = Message::Ask(Ask {
        about: About::Listing { has: ListingDigest::NONE },
        to_many: false,
        tell_hosts: false,
        hosts_from: 0,
        tell_age: false,
        nonce: 1,
        instance: InstanceId::NONE,
        cookie: Cookie::NONE,
    });
    let mut datagram = ask.encode();
    datagram[5] |= 0xfc;
    datagram[6..8].fill(0xff);
    datagram[76..80].fill(0xff);
    assert_eq!(decode(&datagram), Ok(ask));
    let refuse = Message::Refuse(Refuse { reason: RefuseReason::Busy, nonce: 1 });
    let mut datagram = refuse.encode();
    datagram[5..8].fill(0xff);
    assert_eq!(decode(&datagram), Ok(refuse));
}

#[test]
fn sizes_below_at_and_above() {
    let mut ask = [0; TALK_LENGTH];
    ask[..5].copy_from_slice(&[0x53, 0x70, 1, 3, 1]);
    for (size, good) in
        [(CONTENT_SIZE_MAX - 1, true), (CONTENT_SIZE_MAX, true), (CONTENT_SIZE_MAX + 1, false)]
    {
        ask[36..44].copy_from_slice(&size.to_be_bytes());
        assert_eq!(decode(&ask).err(), (!good).then_some(DecodeError::Size), "{size}");
    }
    let mut announce = [0; TALK_LENGTH];
    announce[..4].copy_from_slice(&[0x53, 0x70, 1, 1]);
    for (length, files, good) in [
        (LISTING_LENGTH_MAX, LISTING_FILES_MAX, true),
        (LISTING_LENGTH_MAX + 1, 0, false),
        (0, LISTING_FILES_MAX + 1, false),
    ] {
        announce[44..52].copy_from_slice(&length.to_be_bytes());
        announce[52..56].copy_from_slice(&files.to_be_bytes());
        assert_eq!(decode(&announce).err(), (!good).then_some(DecodeError::Size));
    }
}

#[test]
fn payloads_below_at_and_above() {
    let mut datagram = vec![0; DATAGRAM_LENGTH_MAX + 1];
    datagram[..4].copy_from_slice(&[0x53, 0x70, 1, 6]);
    assert_eq!(decode(&datagram[..DATA_HEADER_LENGTH]), Err(DecodeError::Short));
    assert!(decode(&datagram[..DATA_HEADER_LENGTH + 1]).is_ok());
    assert!(decode(&datagram[..DATAGRAM_LENGTH_MAX]).is_ok());
    assert_eq!(decode(&datagram), Err(DecodeError::Long));
    assert_eq!(DATAGRAM_LENGTH_MAX - DATA_HEADER_LENGTH, usize::from(PAYLOAD_LENGTH_MAX));
    for (offset, good) in [(OBJECT_END_MAX - 1, true), (OBJECT_END_MAX, false), (u64::MAX, false)] {
        datagram[12..20].copy_from_slice(&offset.to_be_bytes());
        let outcome = decode(&datagram[..DATA_HEADER_LENGTH + 1]);
        assert_eq!(outcome.err(), (!good).then_some(DecodeError::Range), "{offset}");
    }
}

#[test]
fn grants_of_no_ranges_or_too_many() {
    let mut datagram = [0; GRANT_HEADER_LENGTH + 17 * 12];
    datagram[..8].copy_from_slice(&[0x53, 0x70, 1, 5, 0, 0, 2, 0]);
    assert_eq!(decode(&datagram), Err(DecodeError::Count));
    datagram[5] = 17;
    assert_eq!(decode(&datagram), Err(DecodeError::Count));
    datagram[4] = 5;
    assert_eq!(decode(&datagram), Err(DecodeError::Kind));
}

#[test]
fn the_header_in_place_is_the_header_encoded() {
    let header = DataHeader { kind: DataKind::Data, nonce: 0x0102, offset: 0x0304 };
    let encoded = Message::Data(Data { header, payload: &[9] }).encode();
    let mut in_place = [0xff; DATA_HEADER_LENGTH];
    header.write(&mut in_place);
    assert_eq!(in_place, encoded[..DATA_HEADER_LENGTH]);
}
