//! Messages as a stranger would make them who has listened: of what was seen before, or of nothing.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use sprat::content::{ChainId, ContentId};
use sprat::wire::{
    About, Announce, Answer, Ask, BlockRanges, ChangesId, Cookie, DEFAULT_PORT, Data, DataHeader,
    DataKind, Farewell, FarewellSecret, Grant, Hold, Holding, Hosts, InstanceId, ListingDigest,
    ListingSummary, Message, News, OBJECT_END_MAX, Object, ObjectKind, ObjectRange, Portions,
    Ranges, Refuse, RefuseReason, Tell, ToldHost, ToldHosts, decode,
};

use super::choices::Choices;

/// So much of each kind is remembered.
const SEEN_MAX: usize = 64;

/// What was seen on the wire.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) nonces: Vec<u64>,
    pub(crate) cookies: Vec<Cookie>,
    pub(crate) contents: Vec<(ContentId, u64)>,
    pub(crate) chains: Vec<ChainId>,
    pub(crate) digests: Vec<ListingDigest>,
    pub(crate) instances: Vec<InstanceId>,
    pub(crate) objects: Vec<Object>,
}

fn remember<T: PartialEq>(of: &mut Vec<T>, new: T) {
    if !of.contains(&new) {
        if of.len() >= SEEN_MAX {
            of.remove(0);
        }
        of.push(new);
    }
}

impl Seen {
    /// A datagram passes by.
    pub(crate) fn passes(&mut self, bytes: &[u8]) {
        match decode(bytes) {
            Ok(Message::Announce(announce)) => {
                remember(&mut self.instances, announce.instance);
                remember(&mut self.digests, announce.listing.digest);
            }
            Ok(Message::Ask(ask)) => {
                remember(&mut self.nonces, ask.nonce);
                if let About::Content { content, size } = ask.about {
                    remember(&mut self.contents, (content, size));
                }
            }
            Ok(Message::Tell(tell)) => {
                remember(&mut self.nonces, tell.nonce);
                remember(&mut self.cookies, tell.cookie);
                remember(&mut self.instances, tell.instance);
                match tell.answer {
                    Answer::Listing { listing, .. } => remember(&mut self.digests, listing.digest),
                    Answer::Content { chain, .. } => remember(&mut self.chains, chain),
                }
            }
            Ok(Message::Grant(grant)) => {
                remember(&mut self.nonces, grant.nonce);
                remember(&mut self.objects, grant.object);
            }
            _ => {}
        }
    }
}

/// One of what was seen, or something new.
fn seen_or<T: Copy>(
    choices: &mut Choices<'_>,
    seen: &[T],
    new: impl FnOnce(&mut Choices<'_>) -> T,
) -> T {
    let choice = usize::from(choices.byte());
    // The latest is the likeliest.
    match seen.len().checked_sub(1 + choice % (2 * SEEN_MAX)) {
        Some(place) => seen[place],
        None if choice % 2 == 0 && !seen.is_empty() => seen[choice % seen.len()],
        None => new(choices),
    }
}

pub(crate) fn content(choices: &mut Choices<'_>, seen: &Seen) -> (ContentId, u64) {
    seen_or(choices, &seen.contents, |choices| {
        (ContentId([choices.byte(); 20]), choices.number() >> 11)
    })
}

fn nonce(choices: &mut Choices<'_>, seen: &Seen) -> u64 {
    seen_or(choices, &seen.nonces, |choices| choices.u64())
}

fn cookie(choices: &mut Choices<'_>, seen: &Seen) -> Cookie {
    seen_or(choices, &seen.cookies, |choices| Cookie([choices.byte(); 16]))
}

fn instance(choices: &mut Choices<'_>, seen: &Seen) -> InstanceId {
    seen_or(choices, &seen.instances, |choices| InstanceId([choices.byte(); 16]))
}

fn digest(choices: &mut Choices<'_>, seen: &Seen) -> ListingDigest {
    seen_or(choices, &seen.digests, |choices| ListingDigest([choices.byte(); 20]))
}

pub(crate) fn summary(choices: &mut Choices<'_>, seen: &Seen) -> ListingSummary {
    let digest = digest(choices, seen);
    let length = choices.number().min(16 << 20);
    ListingSummary { digest, length, files: choices.u32() % 131_073 }
}

/// Hosts of the link and from elsewhere, and addresses that are no host's.
pub(crate) fn address(choices: &mut Choices<'_>) -> SocketAddr {
    let (network, host) = (choices.byte(), choices.byte());
    let ip = match network {
        0..=199 => IpAddr::from([10, 0, 0, host]),
        200..=219 => IpAddr::from([192, 0, 2, host]),
        220..=229 => IpAddr::from([127, 0, 0, host]),
        230..=239 => {
            let ip = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, u16::from(host));
            return SocketAddrV6::new(ip, DEFAULT_PORT, 0, u32::from(network % 4)).into();
        }
        240..=245 => IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, u16::from(host), 0, 0, 0, 0, 1)),
        246 => IpAddr::from([0, 0, 0, 0]),
        247 => IpAddr::from([255, 255, 255, 255]),
        _ => IpAddr::from(choices.array::<4>()),
    };
    let port = match network % 8 {
        0..=4 => DEFAULT_PORT,
        5 | 6 => 40_000 + u16::from(host % 4),
        _ => choices.u16(),
    };
    SocketAddr::new(ip, port)
}

/// An address as people give it: what is no host's is refused before the core sees it.
pub(crate) fn named(choices: &mut Choices<'_>) -> SocketAddr {
    let address = address(choices);
    let ip = address.ip();
    let broadcast = ip == IpAddr::from([255, 255, 255, 255]);
    if address.port() == 0 || ip.is_unspecified() || ip.is_multicast() || broadcast {
        return SocketAddr::from(([10, 0, 0, 77], DEFAULT_PORT));
    }
    address
}

fn object(choices: &mut Choices<'_>, seen: &Seen) -> Object {
    seen_or(choices, &seen.objects, |choices| {
        let kind = ObjectKind::from_code(choices.byte() % 5).unwrap_or(ObjectKind::File);
        let id = match kind {
            ObjectKind::Listing => digest(choices, seen).0,
            ObjectKind::Changes => {
                let (old, new) = (digest(choices, seen), digest(choices, seen));
                ChangesId::between(old, new).0
            }
            _ => content(choices, seen).0.0,
        };
        Object::new(kind, id)
    })
}

fn ranges(choices: &mut Choices<'_>) -> Option<Ranges> {
    let most = if choices.flag() { 16 } else { 2 };
    let count = 1 + choices.below(most);
    let lengths = [512, 1_152, 1_408, 8_896, 65_408, 1_024];
    let payload_length = choices.pick(&lengths);
    let range = |choices: &mut Choices<'_>| ObjectRange {
        offset: choices.number(),
        length: match choices.byte() {
            0..=99 => u32::from(payload_length),
            100..=199 => 65_536 / count as u32,
            _ => choices.number() as u32,
        },
    };
    let ranges: Vec<ObjectRange> = (0..count).map(|_| range(choices)).collect();
    Ranges::new(&ranges, payload_length).ok()
}

/// What a message is about beside its fields.
pub(crate) type Buffer = Vec<u8>;

/// Some message; parts of it that are only lent stand in the buffer. None where no message can be as was chosen.
pub(crate) fn message<'a>(
    choices: &mut Choices<'_>,
    seen: &Seen,
    buffer: &'a mut Buffer,
) -> Option<Message<'a>> {
    buffer.clear();
    Some(match choices.byte() % 10 {
        0 => Message::Announce(Announce {
            instance: instance(choices, seen),
            listing: summary(choices, seen),
            again_within: choices.byte(),
        }),
        1 => Message::Farewell(Farewell { secret: FarewellSecret([choices.byte(); 16]) }),
        2 => Message::Ask(ask(choices, seen)),
        3 => Message::Tell(tell(choices, seen)),
        4 => Message::Grant(Grant {
            nonce: choices.u64(),
            cookie: cookie(choices, seen),
            object: object(choices, seen),
            ranges: ranges(choices)?,
        }),
        5 => Message::Data(data(choices, seen, buffer)?),
        6 => Message::Refuse(Refuse {
            reason: RefuseReason::from_code(1 + choices.byte() % 6)?,
            nonce: nonce(choices, seen),
        }),
        7 => {
            for _ in 0..1 + choices.below(64) {
                let (first, count) = (choices.number() >> 33, 1 + (choices.number() >> 34));
                BlockRanges::push(buffer, &(first..first + count));
            }
            Message::News(News {
                nonce: nonce(choices, seen),
                blocks: BlockRanges::new(buffer).ok()?,
            })
        }
        8 => {
            for _ in 0..1 + choices.below(48) {
                let (address, portions) = (address(choices), Portions(choices.u64()));
                ToldHosts::push(buffer, &ToldHost { address, portions });
            }
            let (nonce, next) = (nonce(choices, seen), choices.u16());
            Message::Hosts(Hosts { nonce, next, hosts: ToldHosts::new(buffer).ok()? })
        }
        _ => {
            let (content, size) = content(choices, seen);
            let (cookie, portions) = (cookie(choices, seen), Portions(choices.u64()));
            Message::Hold(Hold { cookie, content, size, portions })
        }
    })
}

fn ask(choices: &mut Choices<'_>, seen: &Seen) -> Ask {
    let flags = choices.byte();
    let about = if flags & 1 == 0 {
        let (content, size) = content(choices, seen);
        About::Content { content, size }
    } else {
        About::Listing { has: digest(choices, seen) }
    };
    Ask {
        about,
        to_many: flags & 2 != 0,
        tell_hosts: flags & 4 != 0,
        hosts_from: if flags & 12 == 12 { choices.u16() } else { 0 },
        tell_age: flags & 16 != 0,
        nonce: choices.u64(),
        instance: instance(choices, seen),
        cookie: cookie(choices, seen),
    }
}

fn tell(choices: &mut Choices<'_>, seen: &Seen) -> Tell {
    let flags = choices.byte();
    let answer = if flags & 1 == 0 {
        let (_, size) = content(choices, seen);
        Answer::Content {
            holding: choices.pick(&[Holding::Whole, Holding::Part, Holding::Nothing]),
            chain: seen_or(choices, &seen.chains, |choices| ChainId([choices.byte(); 20])),
            size: if flags & 2 == 0 { size } else { choices.number() >> 11 },
            blocks_held: choices.number() as u32,
        }
    } else {
        Answer::Listing {
            listing: summary(choices, seen),
            changes: choices.u16(),
            in_step: flags & 8 != 0,
        }
    };
    Tell {
        nonce: nonce(choices, seen),
        cookie: cookie(choices, seen),
        instance: instance(choices, seen),
        age: (flags & 4 != 0).then(|| choices.u32()),
        answer,
    }
}

fn data<'a>(choices: &mut Choices<'_>, seen: &Seen, buffer: &'a mut Buffer) -> Option<Data<'a>> {
    let kind = if choices.flag() { DataKind::Meta } else { DataKind::Data };
    let (nonce, offset) = (nonce(choices, seen), choices.number());
    match choices.byte() {
        0..=99 => {
            let length = choices.pick(&[512, 1_152, 1_408, 64]);
            buffer.resize(length, choices.byte());
        }
        100..=149 => {
            let length = 1 + choices.below(9_000);
            buffer.resize(length, choices.byte());
        }
        _ => buffer.extend_from_slice(choices.chunk()),
    }
    // Nothing of a file or a listing lies beyond its end: who means such a packet has no way to say so.
    let offset = offset % (OBJECT_END_MAX - buffer.len() as u64 + 1);
    let header = DataHeader { kind, nonce, offset };
    (!buffer.is_empty()).then_some(Data { header, payload: buffer })
}
