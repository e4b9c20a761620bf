//! So many datagrams a second, from whatever addresses, and nothing is listened to.

use std::error::Error;
use std::net::Ipv4Addr;

use sprat::content::ContentId;
use sprat::wire::{Cookie, ListingDigest, ListingSummary};

use crate::Wanted;
use crate::forms::{self, Known};
use crate::speaker::{Addresses, Chance, Pace, Speaker};

pub(crate) fn run(wanted: &Wanted) -> Result<String, Box<dyn Error>> {
    let hosts = wanted.hosts()?;
    let sources = Addresses::parse(wanted.text("sources")?)?;
    let seconds = wanted.number("seconds")? as f64;
    let port = u16::try_from(wanted.number("port")?)?;
    let kind = wanted.text("kind")?;
    let mut chance = Chance::new(wanted.number_or("seed", 1)?);
    let known = Known {
        content: ContentId(chance.bytes()),
        size: 1 << 20,
        listing: ListingSummary { digest: ListingDigest(chance.bytes()), length: 60, files: 1 },
        cookies: vec![Cookie::NONE, Cookie(chance.bytes())],
    };
    let forms = forms::all(&known, &mut chance);
    let speaker = Speaker::new(Ipv4Addr::UNSPECIFIED, port)?;
    let mut pace = Pace::new(wanted.number("rate")?);
    let (mut refused, mut datagram) = (0_u64, Vec::new());
    while pace.seconds() < seconds {
        for _ in 0..pace.may() {
            match kind {
                "announce" => datagram = forms::announcement(&mut chance),
                "ask" => datagram = forms::question(&mut chance, false),
                "call" => datagram = forms::question(&mut chance, true),
                _ => forms::garbage(&forms, &mut chance, &mut datagram),
            }
            let number = chance.next();
            let to = hosts[(number >> 32) as usize % hosts.len()];
            if !speaker.send(Some(sources.at(number)), to, &datagram) {
                refused += 1;
            }
        }
    }
    let (sent, took) = (pace.gone() - refused, pace.seconds());
    Ok(format!("{{\"sent\":{sent},\"refused\":{refused},\"seconds\":{took:.2}}}"))
}
