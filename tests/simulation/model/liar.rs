//! How hosts misbehave: what an honest node says is twisted on its way out.

use std::net::SocketAddr;
use std::time::Duration;

use sprat::content::ChainId;
use sprat::node::{Instant, Random};
use sprat::wire::{
    Answer, Cookie, DATA_HEADER_LENGTH, Data, DataHeader, DataKind, Holding, InstanceId, Message,
    Refuse, RefuseReason, decode,
};

use super::host::Sent;

/// One way of misbehaving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Honest,
    /// Flips a bit in every packet of a file.
    FlipsBits,
    /// Swallows grants.
    Silent,
    /// Sends a packet every three seconds, so that it never counts as silent.
    Drips,
    /// Sends the right bytes as those of another kind of object.
    WrongKind,
    /// Refuses all that is asked of it, for this reason.
    Refuses(RefuseReason),
    /// Answers one question, and then says that the cookie is stale, and nothing else.
    StaleAndGone,
    /// Claims another chain in each answer.
    NewChains,
    /// Claims another size in each answer, and drips.
    NewSizes,
    /// Says that it has all blocks, but not that it has the whole.
    Part,
    /// Gives good bytes, and bad ones now and then.
    Mostly,
    /// Gives good bytes, so many of them, and then bad ones.
    TrueThenFalse(u64),
    /// Gives good bytes, so many of them, and then nothing: at 99 %, say.
    StallsAfter(u64),
    /// Flips a bit in every packet that is not of a file: chains, listings, bitmaps.
    FlipsOthers,
    /// Flips a bit in packets that are of no file and shorter than others: changes of a listing.
    FlipsShortOthers,
    /// Cuts every packet short.
    CutsShort,
    /// Gives the bytes of the packet as those of the next one.
    Shifts,
    /// Sends every packet three times.
    Repeats,
    /// Tells a cookie that is none.
    FalseCookies,
    /// Tells no other lie than those that stand on its disk.
    Forges,
    /// Says that it is another host.
    Impostor(InstanceId),
}

impl Manner {
    /// All that a fetch meets.
    pub(crate) const OF_SOURCES: [Self; 19] = [
        Self::FlipsBits,
        Self::Silent,
        Self::Drips,
        Self::WrongKind,
        Self::Refuses(RefuseReason::Busy),
        Self::Refuses(RefuseReason::TooLong),
        Self::Refuses(RefuseReason::UnknownObject),
        Self::StaleAndGone,
        Self::NewChains,
        Self::NewSizes,
        Self::Part,
        Self::Mostly,
        Self::TrueThenFalse(200_000),
        Self::StallsAfter(150_000),
        Self::FlipsOthers,
        Self::CutsShort,
        Self::Shifts,
        Self::Repeats,
        Self::FalseCookies,
    ];
}

/// The liar in a host.
pub(crate) struct Liar {
    pub(crate) manner: Manner,
    random: Random,
    dripped_at: Instant,
    answers: u64,
    /// Bytes of files, those that were asked for.
    pub(crate) given: u64,
}

impl Liar {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        let random = Random::new(seed);
        Self { manner: Manner::Honest, random, dripped_at: Instant::ORIGIN, answers: 0, given: 0 }
    }

    pub(crate) fn is_honest(&self) -> bool {
        self.manner == Manner::Honest
    }

    /// What really leaves the host.
    pub(crate) fn twist(&mut self, now: Instant, sent: Vec<Sent>) -> Vec<Sent> {
        if matches!(self.manner, Manner::Honest | Manner::Forges) {
            return sent;
        }
        let mut refused = Vec::new();
        let mut twisted = Vec::new();
        for sent in sent {
            let one = self.twist_one(now, sent, &mut refused);
            let copies = if self.manner == Manner::Repeats { 3 } else { 1 };
            twisted.extend(one.into_iter().flat_map(|one| std::iter::repeat_n(one, copies)));
        }
        twisted
    }

    fn twist_one(
        &mut self,
        now: Instant,
        Sent { to, mut bytes }: Sent,
        refused: &mut Vec<u64>,
    ) -> Option<Sent> {
        let twisted = match decode(&bytes).expect("a node sends messages") {
            Message::Data(Data { header, .. }) => {
                return self.twist_data(now, header, Sent { to, bytes }, refused);
            }
            Message::Tell(mut tell) => {
                self.answers += 1;
                if self.manner == Manner::StaleAndGone && self.answers > 1 {
                    return None;
                }
                if let Manner::Impostor(instance) = self.manner {
                    tell.instance = instance;
                }
                if self.manner == Manner::FalseCookies {
                    tell.cookie = Cookie(self.random.bytes16());
                }
                if let Answer::Content { holding, chain, size, .. } = &mut tell.answer {
                    match self.manner {
                        Manner::NewChains => *chain = ChainId([self.random.next_u64() as u8; 20]),
                        Manner::NewSizes => *size = 1 + self.random.below(1 << 40),
                        Manner::Part => *holding = Holding::Part,
                        _ => {}
                    }
                }
                Some(Message::Tell(tell).encode())
            }
            Message::Announce(mut announce) => {
                if let Manner::Impostor(instance) = self.manner {
                    announce.instance = instance;
                }
                Some(Message::Announce(announce).encode())
            }
            _ => None,
        };
        if let Some(twisted) = twisted {
            bytes = twisted;
        }
        Some(Sent { to, bytes })
    }

    fn twist_data(
        &mut self,
        now: Instant,
        header: DataHeader,
        Sent { to, mut bytes }: Sent,
        refused: &mut Vec<u64>,
    ) -> Option<Sent> {
        let last = bytes.len() - 1;
        let of_file = header.kind == DataKind::Data;
        if of_file {
            self.given += (bytes.len() - DATA_HEADER_LENGTH) as u64;
        }
        match self.manner {
            Manner::TrueThenFalse(after) if of_file && self.given > after => bytes[last] ^= 1,
            Manner::StallsAfter(after) if self.given > after => return None,
            Manner::FlipsOthers if !of_file => bytes[last] ^= 1,
            Manner::FlipsShortOthers if !of_file && bytes.len() < 500 => bytes[last / 2] ^= 1,
            Manner::CutsShort => bytes.truncate(last.max(DATA_HEADER_LENGTH + 1)),
            Manner::Shifts => {
                let length = (bytes.len() - DATA_HEADER_LENGTH) as u64;
                rewrite(DataHeader { offset: header.offset + length, ..header }, &mut bytes);
            }
            Manner::FlipsBits if header.kind == DataKind::Data => bytes[last] ^= 1,
            Manner::Mostly if header.kind == DataKind::Data && self.random.below(60) == 0 => {
                bytes[last] ^= 1;
            }
            Manner::Silent => return None,
            Manner::Drips | Manner::NewSizes => {
                if now < self.dripped_at + Duration::from_secs(3) {
                    return None;
                }
                self.dripped_at = now;
            }
            Manner::WrongKind => {
                let kind = match header.kind {
                    DataKind::Data => DataKind::Meta,
                    DataKind::Meta => DataKind::Data,
                };
                rewrite(DataHeader { kind, ..header }, &mut bytes);
            }
            Manner::Refuses(reason) => return refuse(to, header.nonce, reason, refused),
            Manner::StaleAndGone => {
                return refuse(to, header.nonce, RefuseReason::StaleCookie, refused);
            }
            _ => {}
        }
        Some(Sent { to, bytes })
    }
}

fn rewrite(header: DataHeader, bytes: &mut [u8]) {
    let mut other = [0; DATA_HEADER_LENGTH];
    header.write(&mut other);
    bytes[..DATA_HEADER_LENGTH].copy_from_slice(&other);
}

/// One refusal instead of all packets of a grant.
fn refuse(
    to: SocketAddr,
    nonce: u64,
    reason: RefuseReason,
    refused: &mut Vec<u64>,
) -> Option<Sent> {
    if refused.contains(&nonce) {
        return None;
    }
    refused.push(nonce);
    Some(Sent { to, bytes: Message::Refuse(Refuse { reason, nonce }).encode() })
}
