//! A downloader without measure: from addresses that it really has, and with good cookies, it grants whatever costs most,
//! again and again, as fast as it is told to, and takes nothing of what comes for an answer.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::Ipv4Addr;
use std::time::Duration;

use sprat::content::ContentId;
use sprat::wire::{
    About, Answer, Ask, ChangesId, Cookie, Grant, InstanceId, ListingDigest, ListingSummary,
    Message, Object, ObjectRange, Ranges, decode,
};

use crate::Wanted;
use crate::speaker::{Addresses, Chance, Pace, Speaker};

/// All cookies are asked for again this often.
const COOKIES_EVERY: f64 = 20.0;

pub(crate) fn run(wanted: &Wanted) -> Result<String, Box<dyn Error>> {
    let to = wanted.hosts()?[0];
    let (hosts, first) = (wanted.number("hosts")?, wanted.text("first")?);
    let addresses = Addresses::parse(&format!("{first}/8"))?;
    let mut contents = Vec::new();
    for pair in wanted.text("contents")?.split(',') {
        let (content, size) = pair.split_once(':').ok_or("SHA1:SIZE")?;
        let content: ContentId = content.parse().map_err(|_| "that is no SHA-1")?;
        contents.push((content, size.parse::<u64>()?));
    }
    let mut chance = Chance::new(wanted.number_or("seed", 1)?);
    let mut speaker = Speaker::new(Ipv4Addr::UNSPECIFIED, u16::try_from(wanted.number("port")?)?)?;
    let seconds = wanted.number("seconds")? as f64;
    let mut pace = Pace::new(wanted.number("rate")?);
    let mut cookies: BTreeMap<Ipv4Addr, Cookie> = BTreeMap::new();
    let mut listing: Option<ListingSummary> = None;
    let (mut got, mut grants, mut asked_at) = ((0_u64, 0_u64), 0_u64, -COOKIES_EVERY);
    while pace.seconds() < seconds {
        if pace.seconds() >= asked_at + COOKIES_EVERY {
            asked_at = pace.seconds();
            for at in 0..hosts {
                let question = Ask {
                    about: About::Listing { has: ListingDigest::NONE },
                    to_many: false,
                    tell_hosts: false,
                    hosts_from: 0,
                    tell_age: false,
                    nonce: chance.next(),
                    instance: InstanceId::NONE,
                    cookie: Cookie::NONE,
                };
                speaker.send(Some(addresses.at(at)), to, &Message::Ask(question).encode());
                if at % 32 == 31 {
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        }
        for _ in 0..pace.may() {
            let from = addresses.at(chance.below(hosts));
            let Some(&cookie) = cookies.get(&from) else { continue };
            let grant = grant(&contents, listing, cookie, &mut chance);
            if let Some(grant) = grant {
                grants += 1;
                speaker.send(Some(from), to, &Message::Grant(grant).encode());
            }
        }
        speaker.hear(|_, at, bytes| {
            got = (got.0 + 1, got.1 + bytes.len() as u64);
            if let Ok(Message::Tell(tell)) = decode(bytes) {
                cookies.insert(at, tell.cookie);
                if let Answer::Listing { listing: told, .. } = tell.answer {
                    listing = Some(told);
                }
            }
        });
    }
    let proven = cookies.len();
    Ok(format!(
        "{{\"proven\":{proven},\"grants\":{grants},\"got\":{},\"got_bytes\":{},\"seconds\":{:.1}}}",
        got.0,
        got.1,
        pace.seconds()
    ))
}

/// Whatever costs most: single bytes from all over a file, chains, listings, changes.
fn grant(
    contents: &[(ContentId, u64)],
    listing: Option<ListingSummary>,
    cookie: Cookie,
    chance: &mut Chance,
) -> Option<Grant> {
    let (content, size) = contents[chance.below(contents.len() as u64) as usize];
    let digest = listing.map_or(ListingDigest::NONE, |listing| listing.digest);
    let length = listing.map_or(1, |listing| listing.length);
    let (object, length) = match chance.below(8) {
        0..=3 => (Object::File(content), size),
        4 => (Object::Chain(content), (size / 1_048_576).max(16) * 20),
        5 => (Object::Listing(digest), length),
        6 => (Object::Changes(ChangesId::between(ListingDigest::NONE, digest)), 64),
        _ => (Object::Have(content), 8),
    };
    let (ranges, payload_length) = if chance.below(4) == 0 {
        let length = length.min(60_000);
        (vec![ObjectRange { offset: 0, length: length as u32 }], 1_408)
    } else {
        let one = |_| ObjectRange { offset: chance.below(length), length: 1 };
        ((0..16).map(one).collect(), 512)
    };
    let ranges = Ranges::new(&ranges, payload_length).ok()?;
    Some(Grant { nonce: chance.next(), cookie, object, ranges })
}
