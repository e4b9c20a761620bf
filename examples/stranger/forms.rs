//! Every message that there is, in every form that means something, and what becomes of it where chance has its way.

use sprat::content::{ChainId, ContentId};
use sprat::wire::{
    About, Announce, Answer, Ask, BlockRanges, ChangesId, Cookie, Data, DataHeader, DataKind,
    Farewell, FarewellSecret, Grant, Hold, Holding, Hosts, InstanceId, ListingDigest,
    ListingSummary, Message, News, Object, ObjectRange, Portions, Ranges, Refuse, RefuseReason,
    Tell, ToldHost, ToldHosts,
};

use crate::speaker::Chance;

/// What the host that they are sent to has, as far as it is known.
pub(crate) struct Known {
    pub(crate) content: ContentId,
    pub(crate) size: u64,
    pub(crate) listing: ListingSummary,
    /// Cookies that are not for who will show them.
    pub(crate) cookies: Vec<Cookie>,
}

/// All forms, as datagrams.
pub(crate) fn all(known: &Known, chance: &mut Chance) -> Vec<Vec<u8>> {
    let mut forms = asks(known, chance);
    forms.extend(grants(known, chance));
    forms.extend(others(known, chance));
    forms
}

fn asks(known: &Known, chance: &mut Chance) -> Vec<Vec<u8>> {
    let content = About::Content { content: known.content, size: known.size };
    let other = About::Content { content: ContentId(chance.bytes()), size: 1 };
    let has = |has| About::Listing { has };
    let abouts = [has(ListingDigest::NONE), has(known.listing.digest), content, other];
    let mut forms = Vec::new();
    for about in abouts {
        for flags in 0..8 {
            for &cookie in &known.cookies {
                for instance in [InstanceId::NONE, InstanceId(chance.bytes())] {
                    let ask = Ask {
                        about,
                        to_many: flags & 1 != 0,
                        tell_hosts: flags & 2 != 0,
                        hosts_from: if flags & 2 == 0 { 0 } else { 1 },
                        tell_age: flags & 4 != 0,
                        nonce: chance.next(),
                        instance,
                        cookie,
                    };
                    forms.push(Message::Ask(ask).encode());
                }
            }
        }
    }
    forms
}

fn grants(known: &Known, chance: &mut Chance) -> Vec<Vec<u8>> {
    let digest = known.listing.digest;
    let objects = [
        Object::File(known.content),
        Object::Chain(known.content),
        Object::Have(known.content),
        Object::Listing(digest),
        Object::Changes(ChangesId::between(ListingDigest::NONE, digest)),
    ];
    let whole = [ObjectRange { offset: 0, length: 65_536 }];
    let small: Vec<_> = (0..16).map(|at| ObjectRange { offset: at * 3, length: 1 }).collect();
    let far = [ObjectRange { offset: 1 << 52, length: 1 }];
    let cuts = [(&whole[..], 1_408), (&small[..], 512), (&far[..], 65_408)];
    let mut forms = Vec::new();
    for object in objects {
        for (ranges, payload_length) in cuts {
            for &cookie in &known.cookies {
                let Ok(ranges) = Ranges::new(ranges, payload_length) else { continue };
                let nonce = chance.next();
                forms.push(Message::Grant(Grant { nonce, cookie, object, ranges }).encode());
            }
        }
    }
    forms
}

fn others(known: &Known, chance: &mut Chance) -> Vec<Vec<u8>> {
    let &Known { content, size, listing, .. } = known;
    let (instance, nonce) = (InstanceId(chance.bytes()), chance.next());
    let mut forms = Vec::new();
    let mut add = |message: &Message<'_>| forms.push(message.encode());
    for digest in [listing.digest, ListingDigest(chance.bytes())] {
        let listing = ListingSummary { digest, ..listing };
        for again_within in [0, 62] {
            add(&Message::Announce(Announce { instance, listing, again_within }));
        }
        for &cookie in &known.cookies {
            let answer = Answer::Listing { listing, changes: 3, in_step: true };
            add(&Message::Tell(Tell { nonce, cookie, instance, age: None, answer }));
        }
    }
    for holding in [Holding::Nothing, Holding::Part, Holding::Whole] {
        let chain = ChainId(chance.bytes());
        let answer = Answer::Content { holding, chain, size, blocks_held: 1 };
        add(&Message::Tell(Tell { nonce, cookie: Cookie::NONE, instance, age: Some(1), answer }));
    }
    add(&Message::Farewell(Farewell { secret: FarewellSecret(chance.bytes()) }));
    for kind in [DataKind::Data, DataKind::Meta] {
        let header = DataHeader { kind, nonce, offset: 0 };
        add(&Message::Data(Data { header, payload: &[7; 1_000] }));
    }
    for code in 1..=6 {
        let Some(reason) = RefuseReason::from_code(code) else { continue };
        add(&Message::Refuse(Refuse { reason, nonce }));
    }
    let mut bytes = Vec::new();
    for at in 0..64 {
        BlockRanges::push(&mut bytes, &(at * 3..at * 3 + 1));
    }
    if let Ok(blocks) = BlockRanges::new(&bytes) {
        add(&Message::News(News { nonce, blocks }));
    }
    let mut bytes = Vec::new();
    for at in 0..44 {
        let address = ([10, 77, 200, at], 27_183).into();
        ToldHosts::push(&mut bytes, &ToldHost { address, portions: Portions::WHOLE });
    }
    if let Ok(hosts) = ToldHosts::new(&bytes) {
        add(&Message::Hosts(Hosts { nonce, next: 0, hosts }));
    }
    for &cookie in &known.cookies {
        add(&Message::Hold(Hold { cookie, content, size, portions: Portions::WHOLE }));
    }
    forms
}

/// What chance makes of them: of ten, four are random, two cut off, and four have bits turned.
pub(crate) fn garbage(forms: &[Vec<u8>], chance: &mut Chance, into: &mut Vec<u8>) {
    into.clear();
    let form = &forms[chance.below(forms.len() as u64) as usize];
    match chance.below(10) {
        0..=3 => {
            into.resize(chance.below(1_400) as usize + 1, 0);
            chance.fill(into);
            if chance.below(2) == 0 && into.len() > 4 {
                into[..4].copy_from_slice(&[0x53, 0x70, 1, chance.below(13) as u8]);
            }
        }
        4..=5 => into.extend_from_slice(&form[..chance.below(form.len() as u64) as usize]),
        _ => {
            into.extend_from_slice(form);
            for _ in 0..=chance.below(8) {
                let at = chance.below(into.len() as u64) as usize;
                into[at] ^= 1 << chance.below(8);
            }
        }
    }
    if into.is_empty() {
        into.push(0);
    }
}

/// An announcement of somebody whom nobody knows, with a listing that nobody has.
pub(crate) fn announcement(chance: &mut Chance) -> Vec<u8> {
    let listing = ListingSummary {
        digest: ListingDigest(chance.bytes()),
        length: chance.below(1 << 24) + 1,
        files: chance.below(131_072) as u32 + 1,
    };
    let instance = InstanceId(chance.bytes());
    Message::Announce(Announce { instance, listing, again_within: 50 }).encode()
}

/// A question about the listing, as everybody may ask it.
pub(crate) fn question(chance: &mut Chance, to_many: bool) -> Vec<u8> {
    let ask = Ask {
        about: About::Listing { has: ListingDigest::NONE },
        to_many,
        tell_hosts: false,
        hosts_from: 0,
        tell_age: true,
        nonce: chance.next(),
        instance: InstanceId::NONE,
        cookie: Cookie::NONE,
    };
    Message::Ask(ask).encode()
}
