//! The serving side of the core, input by input.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::net::SocketAddr;
use std::time::Duration;

use sprat::content::{ChainId, ContentId, ShareName};
use sprat::node::input::{FileSignature, HashOutcome, ServeOutcome};
use sprat::node::{
    DropReason, FETCH_SIZE_MAX, Input, Instant, JobId, Node, NodeConfig, Output, Restraint,
};
use sprat::wire::{
    About, Ask, Cookie, Grant, InstanceId, Message, Object, ObjectRange, Ranges, RefuseReason,
};

const CONTENT: ContentId = ContentId([9; 20]);
const SIZE: u64 = 10_000_000;

struct Server {
    node: Node,
    now: Instant,
}

fn client(number: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, number], 5_000))
}

impl Server {
    /// A node that offers one file.
    fn new() -> Self {
        Self::restrained(Restraint::default())
    }

    fn restrained(restraint: Restraint) -> Self {
        let config = NodeConfig { serves: true, restraint, ..NodeConfig::new([1; 32]) };
        let now = Instant::from_micros(1_000_000);
        let mut server = Self { node: Node::new(config, now), now };
        let name = ShareName::parse("file").unwrap();
        let signature =
            FileSignature { device: 1, inode: 1, size: SIZE, modified_ns: 0, changed_ns: 0 };
        let unchanged_for = Duration::from_secs(9);
        server.input(Input::FileSeen { name: name.clone(), signature, unchanged_for });
        let outcome = HashOutcome::Whole { content: CONTENT, chain: ChainId([8; 20]) };
        server.input(Input::Hashed { name, signature, outcome });
        server
    }

    fn input(&mut self, input: Input<'_>) -> Vec<Output> {
        self.node.handle_input(self.now, input);
        self.node.check_invariants();
        std::iter::from_fn(|| self.node.poll_output()).collect()
    }

    fn datagram(&mut self, from: SocketAddr, message: Message<'_>) -> Vec<Output> {
        self.input(Input::Datagram { from, bytes: &message.encode() })
    }

    fn cookie(&mut self, from: SocketAddr) -> Cookie {
        let about = About::Content { content: CONTENT, size: SIZE };
        let (instance, cookie) = (InstanceId::NONE, Cookie::NONE);
        let ask = Ask {
            about,
            to_many: false,
            tell_hosts: false,
            hosts_from: 0,
            tell_age: false,
            nonce: 1,
            instance,
            cookie,
        };
        let outputs = self.datagram(from, Message::Ask(ask));
        let Some(Output::Transmit { bytes, .. }) = outputs.first() else { panic!("no answer") };
        let Ok(Message::Tell(tell)) = sprat::wire::decode(bytes) else { panic!("no answer") };
        tell.cookie
    }

    fn grant(&mut self, from: SocketAddr, cookie: Cookie, offset: u64, length: u32) -> Vec<Output> {
        let ranges = Ranges::new(&[ObjectRange { offset, length }], 1_408).unwrap();
        let object = Object::File(CONTENT);
        self.datagram(from, Message::Grant(Grant { nonce: offset, cookie, object, ranges }))
    }

    fn served(&mut self, job: JobId, outcome: ServeOutcome) -> Vec<Output> {
        self.input(Input::Served { job, outcome })
    }
}

/// The job, receiver and offset of the one thing that is asked for.
fn order(outputs: &[Output]) -> Option<(JobId, SocketAddr, u64, u32)> {
    match outputs {
        [Output::Serve { job, to, offset, length, .. }] => Some((*job, *to, *offset, *length)),
        _ => None,
    }
}

fn refusal(outputs: &[Output]) -> Option<RefuseReason> {
    let [Output::Transmit { bytes, .. }] = outputs else { return None };
    match sprat::wire::decode(bytes) {
        Ok(Message::Refuse(refuse)) => Some(refuse.reason),
        _ => None,
    }
}

#[test]
fn receivers_take_turns() {
    let mut server = Server::new();
    let cookies = [1, 2].map(|number| server.cookie(client(number)));
    let (mut job, ..) = order(&server.grant(client(1), cookies[0], 0, 64_000)).unwrap();
    assert_eq!(server.grant(client(1), cookies[0], 64_000, 64_000), []);
    assert_eq!(server.grant(client(1), cookies[0], 128_000, 64_000), []);
    assert_eq!(server.grant(client(2), cookies[1], 0, 64_000), []);
    let mut turns = Vec::new();
    while let Some((next, to, offset, _)) = order(&server.served(job, ServeOutcome::Sent)) {
        turns.push((to, offset));
        job = next;
    }
    assert_eq!(turns, [(client(1), 64_000), (client(2), 0), (client(1), 128_000)]);
}

#[test]
fn turns_are_counted_in_bytes() {
    let mut server = Server::new();
    let cookies = [1, 2].map(|number| server.cookie(client(number)));
    let (mut job, ..) = order(&server.grant(client(1), cookies[0], 0, 64_000)).unwrap();
    for grant in 1..=10 {
        server.grant(client(1), cookies[0], grant * 64_000, 64_000);
    }
    for grant in 0..80 {
        server.grant(client(2), cookies[1], grant * 8_000, 8_000);
    }
    let mut bytes = [0, 0];
    while let Some((next, to, _, length)) = order(&server.served(job, ServeOutcome::Sent)) {
        bytes[usize::from(to == client(2))] += i64::from(length);
        assert!((bytes[0] - bytes[1]).abs() <= 2 * 65_536, "{bytes:?}");
        job = next;
    }
    assert_eq!(bytes, [640_000, 640_000]);
}

#[test]
fn what_is_left_of_a_refused_grant_is_not_served() {
    let mut server = Server::new();
    let cookie = server.cookie(client(1));
    let range = |offset| ObjectRange { offset, length: 1_000 };
    let ranges = Ranges::new(&[range(0), range(5_000)], 1_408).unwrap();
    let grant = Grant { nonce: 7, cookie, object: Object::File(CONTENT), ranges };
    for outcome in [ServeOutcome::TooLong, ServeOutcome::Failed] {
        let outputs = server.datagram(client(1), Message::Grant(grant));
        let (job, _, _, length) = order(&outputs).unwrap();
        assert_eq!(length, 1_000);
        let outputs = server.served(job, outcome);
        assert!(refusal(&outputs).is_some() && outputs.len() == 1, "{outputs:?}");
    }
}

#[test]
fn a_limit_cuts_ranges_and_says_when_to_go_on() {
    let mut server =
        Server::restrained(Restraint { limit: Some(1_000_000), ..Restraint::default() });
    let cookie = server.cookie(client(1));
    let mut outputs = server.grant(client(1), cookie, 0, 64_000);
    let (start, mut at, mut went) = (server.now, 0, Vec::new());
    while at < 64_000 {
        // After a pause, ten milliseconds' worth are caught up with, and a piece is five.
        while let Some((job, _, offset, length)) = order(&outputs) {
            assert_eq!((offset, length), (at, 4_224.min(64_000 - at as u32)));
            at += u64::from(length);
            went.push(server.now.since(start));
            outputs = server.served(job, ServeOutcome::Sent);
        }
        // It announces itself as well.
        let due = server.node.poll_timeout().unwrap();
        server.now = due.at;
        server.node.handle_timeout(due.at);
        outputs = std::iter::from_fn(|| server.node.poll_output())
            .filter(|output| matches!(output, Output::Serve { .. }))
            .collect();
        assert!(at == 64_000 || outputs.is_empty() || due.reason == "the limit lets more be sent");
    }
    assert_eq!(went.iter().filter(|at| at.is_zero()).count(), 3, "{went:?}");
    let last = went.last().unwrap();
    // 45 packets and a short one, three of them at the end, with headers at a megabyte a second.
    assert!((50..56).contains(&last.as_millis()), "{last:?}");
}

#[test]
fn what_was_blocked_goes_on_where_it_stopped() {
    let mut server = Server::new();
    let cookie = server.cookie(client(1));
    let (job, ..) = order(&server.grant(client(1), cookie, 0, 64_000)).unwrap();
    assert_eq!(server.served(job, ServeOutcome::Blocked { sent: 14_080 }), []);
    let (_, _, offset, length) = order(&server.input(Input::Writable)).unwrap();
    assert_eq!((offset, length), (14_080, 64_000 - 14_080));
}

#[test]
fn room_that_is_told_before_the_blocked_answer_is_not_forgotten() {
    let mut server = Server::new();
    let cookie = server.cookie(client(1));
    let (job, ..) = order(&server.grant(client(1), cookie, 0, 64_000)).unwrap();
    assert_eq!(server.input(Input::Writable), []);
    let again = order(&server.served(job, ServeOutcome::Blocked { sent: 0 }));
    assert_eq!(again.map(|(_, _, offset, _)| offset), Some(0));
}

#[test]
fn who_asks_for_too_much_is_counted() {
    let mut server = Server::new();
    let cookie = server.cookie(client(1));
    for grant in 0..200 {
        server.grant(client(1), cookie, grant * 100, 100);
    }
    assert_eq!(server.node.counters().dropped(DropReason::TooManyGrants), 200 - 1 - 128);
    for number in 2..250 {
        for port in 0..6 {
            let from = SocketAddr::from(([192, 0, 2, number], 6_000 + port));
            let cookie = server.cookie(from);
            server.grant(from, cookie, 0, 100);
        }
    }
    assert!(server.node.counters().dropped(DropReason::TooManyGrants) > 71);
}

#[test]
fn refusals_say_why() {
    let mut server = Server::new();
    let cookie = server.cookie(client(1));
    let stale = server.grant(client(2), cookie, 0, 100);
    assert_eq!(refusal(&stale), Some(RefuseReason::StaleCookie));
    let beyond = server.grant(client(1), cookie, SIZE - 50, 100);
    assert_eq!(refusal(&beyond), Some(RefuseReason::BadRange));
    let (job, ..) = order(&server.grant(client(1), cookie, 0, 100)).unwrap();
    let changed = server.served(job, ServeOutcome::Changed);
    assert_eq!(refusal(&changed[..1]), Some(RefuseReason::Changed));
    let unknown = server.grant(client(1), cookie, 0, 100);
    assert_eq!(refusal(&unknown), Some(RefuseReason::UnknownObject));
}

#[test]
fn a_cookie_dies() {
    let mut server = Server::new();
    let cookie = server.cookie(client(1));
    server.now = server.now + Duration::from_secs(121);
    let late = server.grant(client(1), cookie, 0, 100);
    assert_eq!(refusal(&late), Some(RefuseReason::StaleCookie));
}

/// Somebody asks in another's name, from all his ports: he is sent less than 4 KiB a second.
#[test]
fn in_whose_name_many_ask_gets_little() {
    let mut server = Server::new();
    let about = About::Content { content: CONTENT, size: SIZE };
    let (instance, cookie) = (InstanceId::NONE, Cookie::NONE);
    let (to_many, tell_hosts, hosts_from, tell_age) = (false, false, 0, false);
    let ask = Ask { about, to_many, tell_hosts, hosts_from, tell_age, nonce: 1, instance, cookie };
    let asks = |server: &mut Server, from| !server.datagram(from, Message::Ask(ask)).is_empty();
    let victim = |port| SocketAddr::from(([192, 0, 2, 1], port));
    for second in 0..3 {
        let mut answers = 0;
        for port in 0..1_000 {
            server.now = server.now + Duration::from_millis(1);
            answers += usize::from(asks(&mut server, victim(10_000 + port)));
        }
        assert!((10..=41).contains(&answers), "{answers} in second {second}");
        assert!(asks(&mut server, client(2)), "another machine is answered");
    }
    assert!(server.node.counters().dropped(DropReason::ReplyBudget) > 2_800);
    // Who asks in his own name, and shows what he was given, is answered each time.
    for port in 0..500 {
        let from = SocketAddr::from(([192, 0, 2, 3], 20_000 + port));
        let cookie = server.cookie(from);
        server.grant(from, cookie, 0, 100);
    }
    // And so is this machine itself, in whose name nobody else can speak.
    assert!(
        (1..500).all(|port| asks(&mut server, SocketAddr::from(([127, 0, 0, 1], 10_000 + port))))
    );
}

/// Sixteen single bytes take sixteen packets, and as many reads of the disk: they are no cheaper than they are.
#[test]
fn single_bytes_from_all_over_a_file_push_nobody_aside() {
    let mut server = Server::new();
    let cookies = [1, 2].map(|number| server.cookie(client(number)));
    let bytes: Vec<_> = (0..16).map(|at| ObjectRange { offset: at * 9_999, length: 1 }).collect();
    let ranges = Ranges::new(&bytes, 512).unwrap();
    let mut job = None;
    for nonce in 0..100 {
        let grant = Grant { nonce, cookie: cookies[0], object: Object::File(CONTENT), ranges };
        job = job.or(order(&server.datagram(client(1), Message::Grant(grant))));
        server.grant(client(2), cookies[1], nonce * 64_000, 64_000);
    }
    let (mut single, mut whole) = (0, 0);
    while whole < 20 {
        let (id, to, ..) = job.unwrap();
        if to == client(1) {
            single += 1
        } else {
            whole += 1
        }
        job = order(&server.served(id, ServeOutcome::Sent));
    }
    assert!(single <= 21 * 64, "{single} single bytes beside 20 whole grants");
}

#[test]
fn a_machine_with_a_thousand_ports_takes_nobodys_place() {
    let mut server = Server::new();
    let port = |port: u16| SocketAddr::from(([192, 0, 2, 1], 10_000 + port));
    let mut job = None;
    for number in 0..1_100 {
        let cookie = server.cookie(port(number));
        for grant in 0..3 {
            job = job.or(order(&server.grant(port(number), cookie, grant * 64_000, 64_000)));
        }
    }
    assert!(server.node.counters().dropped(DropReason::TooManyGrants) >= 3 * 76);
    let cookie = server.cookie(client(2));
    server.grant(client(2), cookie, 0, 64_000);
    let mut turns = 0;
    loop {
        let (id, to, ..) = job.unwrap();
        if to == client(2) {
            break;
        }
        turns += 1;
        assert!(turns < 1_100, "its turn never comes");
        job = order(&server.served(id, ServeOutcome::Sent));
    }
}

/// A file may say that it is longer than any disk (sparse ones do): it would be hashed for years, and nobody could fetch it.
#[test]
fn what_nobody_could_fetch_is_not_hashed() {
    let mut server = Server::new();
    let mut seen = |size| {
        let name = ShareName::parse("long").unwrap();
        let signature = FileSignature { device: 1, inode: 2, size, modified_ns: 0, changed_ns: 0 };
        let unchanged_for = Duration::from_secs(9);
        let outputs = server.input(Input::FileSeen { name, signature, unchanged_for });
        outputs.iter().any(|output| matches!(output, Output::Hash { .. }))
    };
    for long in [FETCH_SIZE_MAX + 1, 1 << 53, i64::MAX as u64, u64::MAX] {
        assert!(!seen(long), "{long}");
    }
    // One that is cut is as good as any, and the other way round.
    assert!(seen(FETCH_SIZE_MAX));
    assert!(!seen(u64::MAX));
}
