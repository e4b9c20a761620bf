//! Many: more hosts, questions, grants, sources, downloads and files than any table holds, in any order. It is here
//! that others' fuzzers did not come by: the paths that refuse, drop and make room.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use sprat::content::ContentId;
use sprat::node::input::FileSignature;
use sprat::node::{Input, Output};
use sprat::wire::{
    About, Announce, Answer, Ask, Cookie, DEFAULT_PORT, Grant, Hold, Holding, Hosts, InstanceId,
    ListingDigest, ListingSummary, Message, Object, ObjectRange, Portions, Ranges, Tell, ToldHost,
    ToldHosts, decode,
};

use super::choices::Choices;
use super::machine::Bench;
use super::world::{Known, name};

/// Floods in one run, and the most of anything in one of them.
const FLOODS_MAX: usize = 12;
const MANY: [u32; 6] = [1, 3, 30, 65, 300, 1_100];

pub(crate) fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let mut bench = Bench::peer(&mut choices);
    for _ in 0..FLOODS_MAX {
        if choices.is_over() {
            break;
        }
        let kind = choices.byte();
        if kind >= 160 {
            bench.act(&mut choices);
        } else {
            let many = choices.pick(&MANY);
            flood(&mut bench, &mut choices, kind % 8, many);
        }
        bench.node.check_invariants();
        assert!(bench.is_bounded());
    }
}

/// The host with this number: in one network, or spread over the world; or all behind one address.
fn host(spread: u8, number: u32) -> SocketAddr {
    let [_, a, b, c] = number.to_be_bytes();
    match spread % 4 {
        0 => {
            SocketAddr::new(IpAddr::from([10, 0, 0, c.clamp(1, 240)]), DEFAULT_PORT + u16::from(b))
        }
        1 => SocketAddr::new(Ipv4Addr::new(100 + a, b, c, 7).into(), DEFAULT_PORT),
        2 => SocketAddr::from(([10, 0, 0, 9], 1_024 | number as u16)),
        _ => {
            let ip = std::net::Ipv6Addr::new(
                0x2001,
                0xdb8,
                0,
                u16::from(b),
                0,
                0,
                u16::from(a),
                u16::from(c),
            );
            SocketAddr::new(ip.into(), DEFAULT_PORT)
        }
    }
}

fn instance(number: u32) -> InstanceId {
    let mut bytes = [1; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    InstanceId(bytes)
}

fn summary(number: u32) -> ListingSummary {
    let digest = ListingDigest::of(&number.to_be_bytes());
    ListingSummary { digest, length: 100, files: 1 }
}

fn ask(about: About, number: u32, cookie: Cookie) -> Ask {
    Ask {
        about,
        to_many: number % 7 == 3,
        tell_hosts: number % 2 == 1,
        hosts_from: 0,
        tell_age: false,
        nonce: u64::from(number),
        instance: InstanceId::NONE,
        cookie,
    }
}

fn flood(bench: &mut Bench, choices: &mut Choices<'_>, kind: u8, many: u32) {
    let (spread, first) = (choices.byte(), u32::from(choices.u16()));
    let known = &Known::all()[choices.below(Known::all().len())];
    let about = About::Content { content: known.content, size: known.size() };
    for number in first..first + many {
        let from = host(spread, number);
        match kind {
            0 => say(
                bench,
                from,
                Message::Announce(Announce {
                    instance: instance(number),
                    listing: summary(number),
                    again_within: 75,
                }),
            ),
            1 => say(bench, from, Message::Ask(ask(about, number, Cookie::NONE))),
            2 => prove_and_grant(bench, from, number, known.content),
            3 => answer_last(bench, from, number, known),
            4 => {
                let mut bytes = Vec::new();
                for told in 0..48 {
                    let (address, portions) = (host(spread, number * 48 + told), Portions::WHOLE);
                    ToldHosts::push(&mut bytes, &ToldHost { address, portions });
                }
                let Ok(hosts) = ToldHosts::new(&bytes) else { return };
                let nonce = bench.seen.nonces.last().copied().unwrap_or(0);
                say(bench, from, Message::Hosts(Hosts { nonce, next: 0, hosts }));
            }
            5 if bench.serves => {
                let size = u64::from(number);
                let changed_ns = i64::from(spread);
                let signature =
                    FileSignature { device: 1, inode: size, size, modified_ns: 0, changed_ns };
                let unchanged_for = Duration::from_secs(9);
                let name = name(number as u8);
                bench.input(if number % 5 == 4 {
                    Input::FileGone { name }
                } else {
                    Input::FileSeen { name, signature, unchanged_for }
                });
            }
            6 => {
                let mut content = [spread; 20];
                content[..4].copy_from_slice(&number.to_be_bytes());
                let (content, size) = (ContentId(content), u64::from(number) << 16);
                let cookie = cookie(bench, from, number);
                let portions = Portions(u64::from(number));
                say(bench, from, Message::Hold(Hold { cookie, content, size, portions }));
            }
            _ => bench.answer_next(choices),
        }
        if number % 64 == 0 {
            bench.node.check_invariants();
        }
    }
}

fn say(bench: &mut Bench, from: SocketAddr, message: Message<'_>) {
    bench.datagram(from, &message.encode());
}

/// The cookie of an address: it is told to who asks.
fn cookie(bench: &mut Bench, from: SocketAddr, number: u32) -> Cookie {
    let about = About::Listing { has: ListingDigest::NONE };
    let question = Ask { to_many: false, ..ask(about, number, Cookie::NONE) };
    say(bench, from, Message::Ask(question));
    bench.told.filter(|(to, _)| *to == from).map_or(Cookie::NONE, |(_, cookie)| cookie)
}

fn prove_and_grant(bench: &mut Bench, from: SocketAddr, number: u32, content: ContentId) {
    let cookie = cookie(bench, from, number);
    for part in 0..1 + u64::from(number % 4) {
        let range = ObjectRange { offset: part * 1_024, length: 1_024 };
        let Ok(ranges) = Ranges::new(&[range], 1_024) else { return };
        let nonce = u64::from(number) << 8 | part;
        say(
            bench,
            from,
            Message::Grant(Grant { nonce, cookie, object: Object::File(content), ranges }),
        );
    }
}

/// Whoever was asked last, it is this one that answers, or somebody in its name.
fn answer_last(bench: &mut Bench, from: SocketAddr, number: u32, known: &Known) {
    let Some((to, bytes)) = bench.last_said() else { return };
    let Ok(Message::Ask(question)) = decode(&bytes) else { return };
    let answer = match question.about {
        About::Listing { .. } => {
            Answer::Listing { listing: summary(number), changes: 0, in_step: number % 3 == 0 }
        }
        About::Content { .. } => Answer::Content {
            holding: Holding::Whole,
            chain: sprat::content::ChainId([number as u8; 20]),
            size: known.size(),
            blocks_held: 1,
        },
    };
    let (nonce, cookie, instance) = (question.nonce, Cookie([9; 16]), instance(number));
    let tell = Tell { nonce, cookie, instance, age: None, answer };
    let from = if number % 2 == 0 { to } else { from };
    say(bench, from, Message::Tell(tell));
}

impl Bench {
    fn last_said(&self) -> Option<(SocketAddr, Vec<u8>)> {
        self.said.back().cloned()
    }

    fn answer_next(&mut self, choices: &mut Choices<'_>) {
        if let Some(answer) = self.answers.pop_front() {
            self.input(answer);
        } else if let Some(asked) = self.asked.pop_front() {
            self.answer(choices, asked);
        }
    }

    /// Nothing that it has asked for piles up.
    fn is_bounded(&self) -> bool {
        let serves =
            self.asked.iter().filter(|asked| matches!(asked, Output::Serve { .. })).count();
        let hashes = self.asked.iter().filter(|asked| matches!(asked, Output::Hash { .. })).count();
        serves <= 1 && hashes <= 4 && self.asked.len() <= 2_048
    }
}
