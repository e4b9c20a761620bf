//! Hosts that are really there and offer what nobody has: they answer questions, give cookies, and give their listings to
//! whoever grants them. Each has an address of its own.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use sprat::wire::{
    Announce, Answer, Cookie, Data, DataHeader, DataKind, InstanceId, ListingDigest,
    ListingSummary, Message, Object, Tell, decode,
};

use crate::Wanted;
use crate::speaker::{Chance, Speaker};

/// Each announces itself this often.
const EVERY: Duration = Duration::from_secs(2);
/// Listings in memory; the others are made anew when somebody wants them.
const KEPT: usize = 4;

struct Liar {
    ip: Ipv4Addr,
    instance: InstanceId,
    listing: ListingSummary,
    /// From which its listing is made.
    seed: u64,
    length: usize,
}

/// What they have done.
#[derive(Default)]
struct Done {
    asked: u64,
    given: u64,
    whole: u64,
}

pub(crate) fn run(wanted: &Wanted) -> Result<String, Box<dyn Error>> {
    let to = wanted.hosts()?[0];
    let (files, length) = (wanted.number("files")? as usize, wanted.number("length")? as usize);
    let first = wanted.text("first")?.parse::<Ipv4Addr>()?.to_bits();
    let mut chance = Chance::new(wanted.number_or("seed", 1)?);
    let liars: Vec<Liar> = (0..wanted.number("hosts")? as u32)
        .map(|at| {
            let (seed, length) = (chance.next(), if at % 2 == 0 { length } else { 3 * length });
            let bytes = listing(seed, files, length);
            let digest = ListingDigest::of(&bytes);
            let listing =
                ListingSummary { digest, length: bytes.len() as u64, files: files as u32 };
            let (ip, instance) = (Ipv4Addr::from_bits(first + at), InstanceId(chance.bytes()));
            Liar { ip, instance, listing, seed, length }
        })
        .collect();
    let mut speaker = Speaker::new(Ipv4Addr::UNSPECIFIED, 27_183)?;
    println!("ready");
    let (begun, seconds) = (Instant::now(), Duration::from_secs(wanted.number("seconds")?));
    let (mut announced, mut kept, mut done) = (0, Vec::new(), Done::default());
    let mut heard: Vec<(SocketAddr, Ipv4Addr, Vec<u8>)> = Vec::new();
    while begun.elapsed() < seconds {
        let due =
            (begun.elapsed().as_secs_f64() / EVERY.as_secs_f64() * liars.len() as f64) as usize;
        while announced < due {
            let Liar { ip, instance, listing, .. } = liars[announced % liars.len()];
            let announce = Announce { instance, listing, again_within: 50 };
            speaker.send(Some(ip), to, &Message::Announce(announce).encode());
            announced += 1;
        }
        speaker.hear(|from, at, bytes| heard.push((from, at, bytes.to_vec())));
        if heard.is_empty() {
            std::thread::sleep(Duration::from_micros(300));
        }
        for (from, at, bytes) in heard.drain(..) {
            let liar = liars.iter().find(|liar| liar.ip == at);
            if let (Some(liar), Ok(message)) = (liar, decode(&bytes)) {
                answer(&speaker, liar, files, from, &message, &mut kept, &mut done);
            }
        }
    }
    let Done { asked, given, whole } = done;
    Ok(format!("{{\"asked\":{asked},\"given\":{given},\"whole\":{whole}}}"))
}

fn answer(
    speaker: &Speaker,
    liar: &Liar,
    files: usize,
    from: SocketAddr,
    message: &Message<'_>,
    kept: &mut Vec<(u64, Vec<u8>)>,
    done: &mut Done,
) {
    match message {
        Message::Ask(ask) => {
            let answer = Answer::Listing { listing: liar.listing, changes: 0, in_step: false };
            let (nonce, instance) = (ask.nonce, liar.instance);
            let tell = Tell { nonce, cookie: Cookie([7; 16]), instance, age: None, answer };
            speaker.send(Some(liar.ip), from, &Message::Tell(tell).encode());
            done.asked += 1;
        }
        Message::Grant(grant) if matches!(grant.object, Object::Listing(_)) => {
            let place = kept.iter().position(|(seed, _)| *seed == liar.seed).unwrap_or_else(|| {
                if kept.len() == KEPT {
                    kept.remove(0);
                }
                kept.push((liar.seed, listing(liar.seed, files, liar.length)));
                kept.len() - 1
            });
            let bytes = &kept[place].1;
            let step = u64::from(grant.ranges.payload_length());
            for range in grant.ranges.iter() {
                let end = (range.offset + u64::from(range.length)).min(bytes.len() as u64);
                for offset in (range.offset..end).step_by(step as usize) {
                    let payload = &bytes[offset as usize..end.min(offset + step) as usize];
                    let header = DataHeader { kind: DataKind::Meta, nonce: grant.nonce, offset };
                    let data = Message::Data(Data { header, payload }).encode();
                    speaker.send(Some(liar.ip), from, &data);
                    done.given += payload.len() as u64;
                }
                done.whole += u64::from(end == bytes.len() as u64);
            }
        }
        _ => {}
    }
}

/// A listing of so many files that nobody has, whose names are so long.
fn listing(seed: u64, files: usize, length: usize) -> Vec<u8> {
    let mut chance = Chance::new(seed);
    let mut bytes = Vec::with_capacity(files * (length + 24));
    for at in 0..files {
        bytes.extend_from_slice(&chance.bytes::<20>());
        // 1 to 128 MiB, in four bytes; the name, which shares nothing with the one before.
        bytes.extend_from_slice(&[0x80, 0x80, 0x80, 1 + chance.below(63) as u8, 0]);
        let name = format!("{at:08} {:0width$x}", chance.next(), width = length.max(25) - 9);
        let number = name.len();
        if number < 128 {
            bytes.push(number as u8);
        } else {
            bytes.extend_from_slice(&[number as u8 & 0x7f | 0x80, (number >> 7) as u8]);
        }
        bytes.extend_from_slice(name.as_bytes());
    }
    bytes
}
