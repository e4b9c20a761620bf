//! Every message and a lot of garbage, from addresses that have proven nothing, and what comes back to each.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use sprat::wire::{Answer, Cookie, ListingDigest, ListingSummary, Message, decode};

use crate::Wanted;
use crate::forms::{self, Known};
use crate::speaker::{Addresses, Chance, Pace, Speaker};

/// After the last datagram, what is still to come has so long, in milliseconds.
const LINGER: u64 = 1_500;

/// What went out in the name of each address, and what came back to it.
#[derive(Default)]
struct Ledger {
    of: BTreeMap<Ipv4Addr, (u64, u64)>,
    sent: (u64, u64),
    got: (u64, u64),
    /// How many bytes too many came to an address, at its worst moment.
    worst: u64,
}

impl Ledger {
    fn sends(&mut self, from: Ipv4Addr, bytes: usize) {
        self.of.entry(from).or_default().0 += bytes as u64;
        self.sent = (self.sent.0 + 1, self.sent.1 + bytes as u64);
    }

    fn gets(&mut self, at: Ipv4Addr, bytes: usize) {
        let entry = self.of.entry(at).or_default();
        entry.1 += bytes as u64;
        self.worst = self.worst.max(entry.1.saturating_sub(entry.0));
        self.got = (self.got.0 + 1, self.got.1 + bytes as u64);
    }
}

pub(crate) fn run(wanted: &Wanted) -> Result<String, Box<dyn Error>> {
    let to = wanted.hosts()?[0];
    let sources = Addresses::parse(wanted.text("sources")?)?;
    let mut chance = Chance::new(wanted.number_or("seed", 1)?);
    let mut speaker = Speaker::new(Ipv4Addr::UNSPECIFIED, u16::try_from(wanted.number("port")?)?)?;
    let known = get_to_know(&mut speaker, to, wanted, &mut chance)?;
    let forms = forms::all(&known, &mut chance);
    let mut ledger = Ledger::default();
    let mut pace = Pace::new(wanted.number("rate")?);
    let mut datagram = Vec::new();
    let (count, mut number) = (forms.len() as u64 + wanted.number("count")?, 0);
    while number < count {
        for _ in 0..pace.may().min(count - number) {
            // Each form from an address of its own; of garbage each address sends some.
            let from = sources.at(number);
            match forms.get(number as usize) {
                Some(form) => datagram.clone_from(form),
                None => forms::garbage(&forms, &mut chance, &mut datagram),
            }
            number += 1;
            if speaker.send(Some(from), to, &datagram) {
                ledger.sends(from, datagram.len());
            }
        }
        speaker.hear(|_, at, bytes| ledger.gets(at, bytes.len()));
    }
    let over = Instant::now() + Duration::from_millis(wanted.number_or("linger", LINGER)?);
    while Instant::now() < over {
        speaker.hear(|_, at, bytes| ledger.gets(at, bytes.len()));
        std::thread::sleep(Duration::from_millis(5));
    }
    let Ledger { sent, got, worst, of } = ledger;
    let too_much = of.values().filter(|(sent, got)| got > sent).count();
    Ok(format!(
        "{{\"forms\":{},\"sources\":{},\"sent\":{},\"sent_bytes\":{},\"got\":{},\"got_bytes\":{},\
         \"worst\":{worst},\"too_much\":{too_much},\"seconds\":{:.1}}}",
        forms.len(),
        of.len(),
        sent.0,
        sent.1,
        got.0,
        got.1,
        pace.seconds()
    ))
}

/// Asks from its own address, for a cookie that is of no use elsewhere, and for the listing's digest. Who does not answer is
/// told of things that nobody has.
fn get_to_know(
    speaker: &mut Speaker,
    to: SocketAddr,
    wanted: &Wanted,
    chance: &mut Chance,
) -> Result<Known, Box<dyn Error>> {
    let listing = ListingSummary { digest: ListingDigest(chance.bytes()), length: 60, files: 1 };
    let mut known = Known {
        content: wanted.text("content")?.parse().map_err(|_| "that is no SHA-1")?,
        size: wanted.number("size")?,
        listing,
        cookies: vec![Cookie::NONE, Cookie(chance.bytes())],
    };
    for attempt in 0..20 {
        if attempt % 5 == 0 {
            speaker.send(None, to, &forms::question(chance, false));
        }
        std::thread::sleep(Duration::from_millis(20));
        let mut answered = false;
        speaker.hear(|_, _, bytes| {
            if let Ok(Message::Tell(tell)) = decode(bytes) {
                known.cookies.push(tell.cookie);
                if let Answer::Listing { listing, .. } = tell.answer {
                    known.listing = listing;
                }
                answered = true;
            }
        });
        if answered {
            break;
        }
    }
    if let Ok(old) = wanted.text("cookie") {
        let bytes = u128::from_str_radix(old, 16)?.to_be_bytes();
        known.cookies.push(Cookie(bytes));
    }
    Ok(known)
}
