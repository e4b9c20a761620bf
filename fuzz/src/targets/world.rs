//! What lies around one core: contents that exist, names, a host that lists files, and all answers there are.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::OnceLock;

use sprat::content::{BlockLayout, ChainId, ContentId, ShareName};
use sprat::node::input::{
    DiskFault, DiskFaultKind, Extent, Gathering, HashOutcome, NameLook, Naming, ServeOutcome,
    ShareSearch, StepOutcome, StoreOpening,
};
use sprat::node::output::{GatherFrom, PublishStep};
use sprat::node::{Input, Output};
use sprat::wire::listing::encode_listing;
use sprat::wire::{
    About, Announce, Answer, Ask, Cookie, Data, DataHeader, DataKind, Grant, Holding, InstanceId,
    ListingDigest, ListingSummary, Message, Object, Tell, decode,
};

use super::choices::Choices;
use super::listing::files;
use super::machine::Bench;
use super::making::address;
use crate::model::contents::{bytes, hash};

/// A content of which all bytes are there.
pub(crate) struct Known {
    pub(crate) content: ContentId,
    pub(crate) chain: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
}

impl Known {
    /// Of one block, of several, of none.
    pub(crate) fn all() -> &'static [Self] {
        static ALL: OnceLock<Vec<Known>> = OnceLock::new();
        ALL.get_or_init(|| {
            let known = |(seed, size)| {
                let bytes = bytes(seed, size);
                let (content, chain) = hash(&bytes);
                Self { content, chain, bytes }
            };
            [(1, 70_000), (2, 200_000), (3, 3_000), (4, 65_536), (5, 0)].map(known).into()
        })
    }

    fn of(content: ContentId) -> Option<&'static Self> {
        Self::all().iter().find(|known| known.content == content)
    }

    pub(crate) fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(crate) fn chain_id(&self) -> ChainId {
        ChainId::of(&self.chain)
    }
}

/// What there is beside the core.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) fetches: u32,
    /// Downloads that were told of, and their sizes.
    pub(crate) partials: BTreeMap<ContentId, u64>,
    /// Listings of another host.
    listings: BTreeMap<ListingDigest, Vec<u8>>,
}

impl World {
    /// A chain that lies in `chunks/`: the right one, one of the right length, or one of another.
    pub(crate) fn chain(
        &self,
        choices: &mut Choices<'_>,
        content: ContentId,
        size: u64,
    ) -> Option<Vec<u8>> {
        let act = choices.byte();
        match (act, Known::of(content)) {
            (0..=127, Some(known)) => Some(known.chain.clone()),
            (128..=199, _) => {
                let states = BlockLayout::new(size).state_count().min(64) as usize;
                Some(vec![act; states * 20])
            }
            (200..=219, _) => Some(vec![act; 20 * choices.below(16)]),
            _ => None,
        }
    }
}

/// A name, one of 256, some in folders.
pub(crate) fn name(number: u8) -> ShareName {
    let text = match number % 3 {
        0 => format!("file {number}"),
        1 => format!("folder/file {number}.txt"),
        _ => format!("folder {}/another/{number}", number % 7),
    };
    ShareName::parse(&text).expect("that is a name")
}

/// Runs of bytes of a content of this size: sorted, not overlapping, within it.
pub(crate) fn extents(choices: &mut Choices<'_>, size: u64) -> Vec<Extent> {
    let mut extents = Vec::new();
    let (mut at, block) = (0, BlockLayout::new(size).block_length());
    for _ in 0..choices.below(8) {
        let step = |choices: &mut Choices<'_>| match choices.byte() {
            blocks @ 0..=199 => u64::from(blocks % 4) * block,
            _ => choices.number() % size.max(1),
        };
        let start = step(choices).saturating_add(at);
        let length = step(choices).min(size.saturating_sub(start));
        if length > 0 {
            extents.push(Extent { start, length });
            at = start + length;
        }
    }
    extents
}

fn fault(choices: &mut Choices<'_>) -> DiskFault {
    let kinds = [DiskFaultKind::NoRoom, DiskFaultKind::Vanished, DiskFaultKind::Final];
    DiskFault { kind: choices.pick(&kinds), message: "the disk says no".to_owned() }
}

/// Good news first: that is what comes when the input has ended.
fn mostly<T>(
    choices: &mut Choices<'_>,
    good: T,
    otherwise: impl FnOnce(&mut Choices<'_>) -> T,
) -> T {
    if choices.byte() < 192 { good } else { otherwise(choices) }
}

impl Bench {
    /// The driver answers.
    pub(crate) fn answer(&mut self, choices: &mut Choices<'_>, asked: Output) {
        let answer = match asked {
            Output::Hash { name, signature } => {
                let known = Known::all().iter().find(|known| known.size() == signature.size);
                let whole = match known {
                    Some(it) => HashOutcome::Whole { content: it.content, chain: it.chain_id() },
                    None => HashOutcome::Whole {
                        content: ContentId([choices.byte(); 20]),
                        chain: ChainId([choices.byte(); 20]),
                    },
                };
                let outcome = mostly(choices, whole, |choices| {
                    choices.pick(&[HashOutcome::Changed, HashOutcome::Failed])
                });
                Input::Hashed { name, signature, outcome }
            }
            Output::Serve { job, length, payload_length, .. } => {
                let outcome = mostly(choices, ServeOutcome::Sent, |choices| {
                    let packets = length.div_ceil(u32::from(payload_length));
                    let sent = choices.below(packets as usize) as u32 * u32::from(payload_length);
                    let blocked = ServeOutcome::Blocked { sent };
                    choices.pick(&[
                        blocked,
                        ServeOutcome::Changed,
                        ServeOutcome::TooLong,
                        ServeOutcome::Failed,
                    ])
                });
                Input::Served { job, outcome }
            }
            Output::CheckPartial { content, block, .. } => {
                Input::PartialChecked { content, block, genuine: choices.byte() < 192 }
            }
            Output::OpenStore { fetch, content, size, .. } => {
                let ours = |choices: &mut Choices<'_>, world: &World| StoreOpening::Ours {
                    extents: extents(choices, size),
                    chain: world.chain(choices, content, size),
                };
                let outcome = match choices.byte() {
                    0..=99 => StoreOpening::Ours { extents: Vec::new(), chain: None },
                    100..=219 => ours(choices, &self.world),
                    220..=239 => StoreOpening::Taken,
                    _ => StoreOpening::Failed(fault(choices)),
                };
                Input::StoreOpened { fetch, outcome }
            }
            Output::SearchShare { fetch, effort } => {
                let outcome =
                    mostly(choices, ShareSearch::Absent, |choices| match choices.byte() % 3 {
                        0 => ShareSearch::InPlace,
                        1 => ShareSearch::Elsewhere(name(choices.byte())),
                        _ if effort.is_some() => ShareSearch::Unfinished,
                        _ => ShareSearch::Absent,
                    });
                Input::ShareSearched { fetch, outcome }
            }
            Output::CheckStored { fetch, block, .. } => Input::StoredChecked {
                fetch,
                block,
                genuine: choices.byte() < 192,
                collides: choices.byte() < 8,
            },
            Output::Verify { fetch, buffer, .. } => Input::Verified {
                fetch,
                buffer,
                genuine: choices.byte() < 192,
                collides: choices.byte() < 8,
            },
            Output::Store { fetch, buffer, .. } => {
                let outcome = mostly(choices, Ok(()), |choices| Err(fault(choices)));
                Input::Stored { fetch, buffer, outcome }
            }
            Output::Publish { fetch, step } => {
                Input::PublishStepped { fetch, outcome: stepped(choices, &step) }
            }
            other => panic!("{other:?} has no answer"),
        };
        self.input(answer);
    }

    /// A host that was asked, or granted something, does what an honest one would, but for a bit perhaps.
    pub(super) fn host_replies(&mut self, choices: &mut Choices<'_>) {
        let place = match choices.byte() {
            0..=127 => self.said.len().saturating_sub(1),
            place => usize::from(place) % self.said.len().max(1),
        };
        let Some((to, bytes)) = self.said.get(place).cloned() else { return };
        let many = to.ip().is_multicast() || to.ip() == std::net::IpAddr::from([10, 0, 0, 255]);
        let from = if many { address(choices) } else { to };
        let mut replies = match decode(&bytes) {
            Ok(Message::Ask(ask)) => self.told(choices, &ask).into_iter().collect(),
            Ok(Message::Grant(grant)) => {
                self.said.remove(place);
                self.granted(&grant)
            }
            _ => Vec::new(),
        };
        let damaged = choices.byte();
        if damaged >= 224 {
            for reply in &mut replies {
                let at = choices.below(reply.len());
                reply[at] ^= 1 << (damaged % 8);
            }
        }
        let (skip, most) =
            if damaged < 200 { (0, usize::MAX) } else { (choices.below(4), choices.below(64)) };
        for reply in replies.into_iter().skip(skip).take(most) {
            self.datagram(from, &reply);
        }
    }

    fn told(&mut self, choices: &mut Choices<'_>, ask: &Ask) -> Option<Vec<u8>> {
        let answer = match ask.about {
            About::Content { content, .. } => {
                let known = Known::of(content)?;
                let blocks = BlockLayout::new(known.size()).block_count() as u32;
                let holding = choices.pick(&[Holding::Whole, Holding::Whole, Holding::Part]);
                let (chain, size) = (known.chain_id(), known.size());
                Answer::Content { holding, chain, size, blocks_held: blocks }
            }
            About::Listing { .. } => {
                let (&digest, bytes) = self.world.listings.iter().next_back()?;
                let listing = ListingSummary { digest, length: bytes.len() as u64, files: 1 };
                let changes = u16::from(choices.byte() / 128);
                Answer::Listing { listing, changes, in_step: changes > 0 }
            }
        };
        let tell = Tell {
            nonce: ask.nonce,
            cookie: Cookie([0xc0; 16]),
            instance: InstanceId([1 + choices.byte() % 4; 16]),
            age: ask.tell_age.then_some(9),
            answer,
        };
        Some(Message::Tell(tell).encode())
    }

    /// The packets of a grant.
    fn granted(&self, grant: &Grant) -> Vec<Vec<u8>> {
        let all_blocks = [0xff; 64];
        let (bytes, kind) = match grant.object {
            Object::File(content) => (Known::of(content).map(|it| &it.bytes[..]), DataKind::Data),
            Object::Chain(content) => (Known::of(content).map(|it| &it.chain[..]), DataKind::Meta),
            Object::Have(_) => (Some(&all_blocks[..]), DataKind::Meta),
            Object::Listing(digest) => {
                (self.world.listings.get(&digest).map(|bytes| &bytes[..]), DataKind::Meta)
            }
            Object::Changes(_) => (Some(&[1; 64][..]), DataKind::Meta),
        };
        let mut packets = Vec::new();
        for range in grant.ranges.iter() {
            let end = range.offset + u64::from(range.length);
            let part = bytes.and_then(|bytes| bytes.get(range.offset as usize..end as usize));
            let length = usize::from(grant.ranges.payload_length());
            for (index, payload) in part.unwrap_or_default().chunks(length).enumerate() {
                let offset = range.offset + (index * length) as u64;
                let header = DataHeader { kind, nonce: grant.nonce, offset };
                packets.push(Message::Data(Data { header, payload }).encode());
            }
        }
        packets
    }

    /// A host of the link lists some files.
    pub(super) fn announce_listing(&mut self, choices: &mut Choices<'_>) {
        let files = files(choices);
        let encoded = encode_listing(files.iter().map(|(name, file)| (name, file.0, file.1)));
        let digest = ListingDigest::of(&encoded.bytes);
        let listing =
            ListingSummary { digest, length: encoded.bytes.len() as u64, files: encoded.files };
        if self.world.listings.len() >= 8 {
            self.world.listings.pop_first();
        }
        self.world.listings.insert(digest, encoded.bytes);
        let instance = InstanceId([1 + choices.byte() % 4; 16]);
        let announce = Announce { instance, listing, again_within: 75 };
        let from: SocketAddr = address(choices);
        self.datagram(from, &Message::Announce(announce).encode());
    }
}

fn stepped(choices: &mut Choices<'_>, step: &PublishStep) -> StepOutcome {
    match step {
        PublishStep::LookAtName { .. } => {
            StepOutcome::Looked(mostly(choices, NameLook::Free, |choices| {
                let failed = NameLook::Failed(fault(choices));
                choices.pick(&[NameLook::Same, NameLook::Other, failed])
            }))
        }
        PublishStep::GatherWhole { from, .. } => {
            StepOutcome::Gathered(mostly(choices, Gathering::Whole, |choices| {
                gathering(choices, from)
            }))
        }
        PublishStep::SyncWhole => {
            StepOutcome::Synced(mostly(choices, Ok(()), |choices| Err(fault(choices))))
        }
        PublishStep::GiveName { .. } => {
            StepOutcome::Named(mostly(choices, Naming::Named, |choices| {
                let failed = Naming::Failed(fault(choices));
                choices.pick(&[Naming::Taken, Naming::Gone, Naming::OtherFileSystem, failed])
            }))
        }
        PublishStep::SyncShared { .. } => {
            StepOutcome::Kept(mostly(choices, Ok(()), |choices| Err(fault(choices))))
        }
        PublishStep::ClearStore => StepOutcome::Cleared,
    }
}

fn gathering(choices: &mut Choices<'_>, from: &GatherFrom) -> Gathering {
    match from {
        GatherFrom::Chunks if choices.flag() => {
            Gathering::Lost { extents: extents(choices, 70_000) }
        }
        GatherFrom::Shared(_) if choices.flag() => Gathering::Changed,
        GatherFrom::Chunks | GatherFrom::Gathered if choices.flag() => Gathering::OtherFileSystem,
        _ => Gathering::Failed(fault(choices)),
    }
}
