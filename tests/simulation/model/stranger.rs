//! What strangers put on the wire: people off the path, who see only what is said to many, and one on the path,
//! who repeats what was said before.

use std::net::SocketAddr;

use sprat::content::{ChainId, ContentId};
use sprat::node::Random;
use sprat::wire::{
    About, Announce, Answer, Ask, Cookie, DATA_HEADER_LENGTH, DataHeader, DataKind, Farewell,
    FarewellSecret, Grant, Holding, InstanceId, ListingDigest, ListingSummary, Message, Object,
    ObjectRange, Ranges, Refuse, RefuseReason, Tell, decode,
};

use super::network::{Flight, Network};

/// The question of one who has no listing yet.
const NOTHING_KNOWN: About = About::Listing { has: ListingDigest::NONE };

/// One way of being in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mischief {
    /// Random bytes, half of them with our magic.
    Garbage,
    /// Data in the name of a source, under nonces that are guessed.
    ForgedData,
    /// Refusals in the name of a source.
    ForgedRefusals,
    /// Answers to the last call, in the name of sources and of made-up ones.
    ForgedAnswers,
    /// Announcements of hosts that are not there.
    Announcements,
    /// A farewell in the name of a host.
    Farewell,
    /// Questions and grants in the name of a victim that never spoke.
    Reflection,
    /// A cookie that one address got, shown from another port and from another address.
    StolenCookie,
    /// Many small grants under a cookie of one's own, and one beyond the end.
    GrantFlood,
    /// What was said before, once more.
    Replay,
}

impl Mischief {
    pub(crate) const ALL: [Self; 10] = [
        Self::Garbage,
        Self::ForgedData,
        Self::ForgedRefusals,
        Self::ForgedAnswers,
        Self::Announcements,
        Self::Farewell,
        Self::Reflection,
        Self::StolenCookie,
        Self::GrantFlood,
        Self::Replay,
    ];
}

/// Where strangers sit: no process of ours is there.
const STRANGER: ([u8; 4], u16) = ([10, 0, 0, 200], 5_000);

/// Somebody who is in the way.
pub(crate) struct Stranger {
    pub(crate) random: Random,
    pub(crate) content: ContentId,
    pub(crate) size: u64,
}

impl Stranger {
    /// Does it once: to this process, in the name of that one.
    pub(crate) fn act(
        &mut self,
        mischief: Mischief,
        network: &mut Network,
        to: SocketAddr,
        in_name_of: SocketAddr,
    ) {
        match mischief {
            Mischief::Garbage => self.garbage(network, to, in_name_of),
            Mischief::ForgedData => self.forged_data(network, to, in_name_of),
            Mischief::ForgedRefusals => {
                for _ in 0..20 {
                    let reason = RefuseReason::from_code(1 + self.random.below(6) as u8);
                    let reason = reason.expect("there are six");
                    let refuse = Refuse { reason, nonce: self.random.next_u64() };
                    network.inject(in_name_of, to, Message::Refuse(refuse).encode());
                }
            }
            Mischief::ForgedAnswers => self.forged_answers(network, in_name_of),
            Mischief::Announcements => self.announcements(network, to),
            Mischief::Farewell => {
                let farewell = Farewell { secret: FarewellSecret(self.random.bytes16()) };
                network.inject(in_name_of, to, Message::Farewell(farewell).encode());
            }
            Mischief::Reflection => self.reflection(network, to),
            Mischief::StolenCookie => self.stolen_cookie(network, to),
            Mischief::GrantFlood => self.grant_flood(network, to),
            Mischief::Replay => {
                let old: Vec<Flight> = network.overheard.iter().cloned().collect();
                for _ in 0..old.len().min(30) {
                    let flight = &old[self.random.below(old.len() as u64) as usize];
                    network.inject(flight.from, flight.to, flight.bytes.clone());
                }
            }
        }
    }

    fn garbage(&mut self, network: &mut Network, to: SocketAddr, from: SocketAddr) {
        for round in 0..20 {
            let length = self.random.below(200) as usize;
            let mut noise: Vec<u8> = (0..length).map(|_| self.random.next_u64() as u8).collect();
            if round % 2 == 0 && noise.len() > 4 {
                noise[..4].copy_from_slice(&[0x53, 0x70, 1, self.random.below(10) as u8]);
            }
            network.inject(from, to, noise);
        }
    }

    fn forged_data(&mut self, network: &mut Network, to: SocketAddr, from: SocketAddr) {
        // The lower 24 bits count, which is known; the other 40 are not.
        for guess in 0..40 {
            let nonce = (self.random.next_u64() << 24) | (guess / 2);
            let offset = self.random.below(self.size / 1_408 + 1) * 1_408;
            let length = (self.size.saturating_sub(offset)).min(1_408) as usize;
            let kind = if guess % 4 == 0 { DataKind::Meta } else { DataKind::Data };
            let mut bytes = vec![0xee; DATA_HEADER_LENGTH + length.max(1)];
            let head = bytes.first_chunk_mut().expect("it is longer than a header");
            DataHeader { kind, nonce, offset }.write(head);
            network.inject(from, to, bytes);
        }
    }

    /// Everybody hears a call, so anybody can answer it.
    fn forged_answers(&mut self, network: &mut Network, in_name_of: SocketAddr) {
        let call = network.calls.iter().rev().find_map(|(from, bytes)| match decode(bytes) {
            Ok(Message::Ask(ask)) if ask.to_many => Some((*from, ask.nonce)),
            _ => None,
        });
        let Some((to, nonce)) = call else { return };
        for number in 0..20u16 {
            let size = if number % 3 == 0 { self.random.below(1 << 30) } else { self.size };
            let holding = [Holding::Whole, Holding::Part, Holding::Nothing][number as usize % 3];
            let chain = ChainId([number as u8; 20]);
            let tell = Tell {
                nonce,
                cookie: Cookie(self.random.bytes16()),
                instance: InstanceId(self.random.bytes16()),
                age: None,
                answer: Answer::Content { holding, chain, size, blocks_held: 9 },
            };
            let made_up = SocketAddr::from(([10, 0, 0, 201], 1_000 + number));
            let from = if number < 3 { in_name_of } else { made_up };
            network.inject(from, to, Message::Tell(tell).encode());
        }
    }

    fn announcement(&mut self) -> Vec<u8> {
        let digest = ListingDigest::of(&self.random.next_u64().to_be_bytes());
        let length = 1 + self.random.below(100_000);
        let listing = ListingSummary { digest, length, files: 1 + self.random.below(90) as u32 };
        Message::Announce(Announce {
            instance: InstanceId(self.random.bytes16()),
            listing,
            again_within: self.random.next_u64() as u8,
        })
        .encode()
    }

    fn announcements(&mut self, network: &mut Network, to: SocketAddr) {
        for number in 0..30 {
            let from = SocketAddr::from(([10, 0, 0, 202], 2_000 + number));
            let bytes = self.announcement();
            network.inject(from, to, bytes);
        }
    }

    fn reflection(&mut self, network: &mut Network, to: SocketAddr) {
        let victim = SocketAddr::from(([10, 0, 0, 203], 53_000));
        for _ in 0..10 {
            let bytes = self.announcement();
            network.inject(victim, to, bytes);
            for about in [NOTHING_KNOWN, About::Content { content: self.content, size: self.size }]
            {
                network.inject(victim, to, self.ask(about));
            }
            let cookie = Cookie(self.random.bytes16());
            network.inject(victim, to, self.grant(cookie, 0, 65_536));
        }
    }

    fn ask(&mut self, about: About) -> Vec<u8> {
        let nonce = self.random.next_u64();
        let instance = InstanceId(self.random.bytes16());
        let cookie = Cookie::NONE;
        Message::Ask(Ask {
            about,
            to_many: false,
            tell_hosts: false,
            hosts_from: 0,
            tell_age: false,
            nonce,
            instance,
            cookie,
        })
        .encode()
    }

    fn grant(&mut self, cookie: Cookie, offset: u64, length: u32) -> Vec<u8> {
        let length = length.min(self.size.try_into().unwrap_or(u32::MAX)).max(1);
        let ranges = Ranges::new(&[ObjectRange { offset, length }], 1_408);
        let ranges = ranges.expect("it is short enough");
        let nonce = self.random.next_u64();
        let object = Object::File(self.content);
        Message::Grant(Grant { nonce, cookie, object, ranges }).encode()
    }

    /// The cookie that this process has told the stranger, if it has.
    fn cookie_of(network: &Network, from: SocketAddr) -> Option<Cookie> {
        let told = network
            .elsewhere
            .iter()
            .rev()
            .filter(|flight| flight.from == from && flight.to == SocketAddr::from(STRANGER));
        told.filter_map(|flight| match decode(&flight.bytes) {
            Ok(Message::Tell(tell)) => Some(tell.cookie),
            _ => None,
        })
        .next()
    }

    fn stolen_cookie(&mut self, network: &mut Network, to: SocketAddr) {
        let own = SocketAddr::from(STRANGER);
        let asked = self.ask(NOTHING_KNOWN);
        network.inject(own, to, asked);
        let Some(cookie) = Self::cookie_of(network, to) else { return };
        let (ip, port) = STRANGER;
        let other_port = SocketAddr::from((ip, port + 1));
        let other_address = SocketAddr::from(([10, 0, 0, 204], port));
        for from in [other_port, other_address] {
            for _ in 0..3 {
                network.inject(from, to, self.grant(cookie, 0, 65_536));
            }
        }
    }

    fn grant_flood(&mut self, network: &mut Network, to: SocketAddr) {
        let own = SocketAddr::from(STRANGER);
        let asked = self.ask(About::Content { content: self.content, size: self.size });
        network.inject(own, to, asked);
        let Some(cookie) = Self::cookie_of(network, to) else { return };
        let last = self.size.saturating_sub(1);
        network.inject(own, to, self.grant(cookie, last, 600));
        for _ in 0..150 {
            network.inject(own, to, self.grant(cookie, 0, 600));
        }
    }
}
