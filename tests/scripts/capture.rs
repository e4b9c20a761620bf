//! The capture file and the dissector, as tshark sees them.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use sprat::content::{ChainId, ContentId};
use sprat::wire::{
    About, Announce, Answer, Ask, BlockRanges, ChangesId, Cookie, Data, DataHeader, DataKind,
    Farewell, FarewellSecret, Grant, Hold, Holding, Hosts, InstanceId, ListingDigest,
    ListingSummary, Message, News, Object, ObjectRange, Portions, Ranges, Refuse, RefuseReason,
    Tell, ToldHost, ToldHosts,
};

use crate::events::{Events, SECOND, peer};
use crate::run::{finish, is_there, run, script, skip};

/// What breaks a layout, or stops a dissector.
const WRONG: &str = "_ws.malformed || _ws.lua.error || _ws.expert.group == \"Malformed\"";
const NONCE: u64 = 0x0102_0304_0506_0708;
const CONTENT: ContentId = ContentId([0xab; 20]);
const BLOCKS: [u8; 8] = [0, 0, 0, 2, 0, 0, 0, 3];

/// What tshark says of a capture; nothing, said aloud, where it is not there.
fn tshark(capture: &Path, arguments: &[&str]) -> Option<String> {
    if !is_there("tshark") {
        skip("the dissector", "tshark is not there (apt-get install tshark)");
        return None;
    }
    let mut command = Command::new("tshark");
    command.arg("-X").arg(format!("lua_script:{}", script("sprat.lua").display()));
    command.arg("-r").arg(capture).args(arguments);
    let ran = finish(command, "");
    assert!(ran.code == 0 && !ran.errors.contains("Lua"), "{}", ran.errors);
    Some(ran.output)
}

/// A trace becomes a capture in which every datagram of ours is what it should be.
pub(crate) fn nothing_malformed(trace: &str) {
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("x.pcapng");
    let ran = run("trace-pcap", &["-o", capture.to_str().unwrap(), trace], "").unwrap();
    ran.succeeded();
    if let Some(wrong) = tshark(&capture, &["-Y", WRONG]) {
        assert_eq!(wrong, "", "{trace}");
    }
}

fn messages() -> Vec<Message<'static>> {
    let digest = ListingDigest([0xd1; 20]);
    let listing = ListingSummary { digest, length: 36, files: 1 };
    let (instance, cookie) = (InstanceId([0x1d; 16]), Cookie([0xc0; 16]));
    let ask = |nonce, about| Ask {
        about,
        to_many: nonce == 1,
        tell_hosts: false,
        hosts_from: 0,
        tell_age: false,
        nonce,
        instance,
        cookie,
    };
    let tell = |nonce, answer| Tell { nonce, cookie, instance, age: None, answer };
    let content = Answer::Content {
        holding: Holding::Part,
        chain: ChainId([7; 20]),
        size: 99,
        blocks_held: 3,
    };
    let range = |offset| ObjectRange { offset, length: 1_500 };
    let ranges = Ranges::new(&[range(0), range(65_536)], 1_408).unwrap();
    let grant = |nonce, object| Grant { nonce, cookie, object, ranges };
    let data = |kind, nonce| Data {
        header: DataHeader { kind, nonce, offset: 65_536 },
        payload: &[0x55; 1_408],
    };
    vec![
        Message::Announce(Announce { instance, listing, again_within: 0 }),
        Message::Farewell(Farewell { secret: FarewellSecret(*b"abcdefghijklmnop") }),
        Message::Ask(ask(1, About::Listing { has: digest })),
        Message::Tell(tell(1, Answer::Listing { listing, changes: 2, in_step: true })),
        Message::Ask(ask(2, About::Content { content: CONTENT, size: 99 })),
        Message::Tell(tell(2, content)),
        Message::Grant(grant(NONCE, Object::File(CONTENT))),
        Message::Data(data(DataKind::Data, NONCE)),
        Message::Grant(grant(NONCE + 1, Object::Listing(digest))),
        Message::Data(data(DataKind::Meta, NONCE + 1)),
        Message::Refuse(Refuse { reason: RefuseReason::Busy, nonce: NONCE + 1 }),
        Message::Grant(grant(NONCE + 2, Object::Have(CONTENT))),
        Message::News(News { nonce: NONCE + 2, blocks: BlockRanges::new(&BLOCKS).unwrap() }),
        Message::Grant(grant(NONCE + 3, Object::Changes(ChangesId([0xc4; 20])))),
    ]
}

/// A datagram that came, as it is printed.
fn came(bytes: &[u8], left_out: usize) -> serde_json::Value {
    let hex: String =
        bytes[..bytes.len() - left_out].iter().map(|byte| format!("{byte:02x}")).collect();
    json!({ "kind": "datagram", "from": peer(7), "message": "any", "length": bytes.len(),
        "left_out": left_out, "hex": hex })
}

/// A capture of that, in a folder of its own.
fn captured(events: &str) -> Option<tempfile::TempDir> {
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("x.pcapng");
    run("trace-pcap", &["-o", capture.to_str().unwrap(), "-"], events)?.succeeded();
    Some(folder)
}

#[test]
fn every_message_is_dissected_and_answers_find_their_questions() {
    let mut events = Events::peer();
    for message in messages() {
        let bytes = message.encode();
        events.input(1_000, came(&bytes, 0));
    }
    let Some(folder) = captured(&events.end()) else { return };
    let capture = folder.path().join("x.pcapng");
    let Some(wrong) = tshark(&capture, &["-Y", WRONG]) else { return };
    assert_eq!(wrong, "");
    let fields = ["sprat.type", "sprat.nonce", "sprat.request_in", "sprat.packets"];
    let fields: Vec<_> = fields.iter().flat_map(|field| ["-e", field]).collect();
    let said = tshark(&capture, &[&["-T", "fields", "-E", "separator=,"], &fields[..]].concat());
    let (first, second) = ("0x0102030405060708", "0x0102030405060709");
    let third = "0x010203040506070a";
    let expected = [
        "1,,,".to_owned(),
        "2,,,".to_owned(),
        "3,0x0000000000000001,,".to_owned(),
        "4,0x0000000000000001,3,".to_owned(),
        "3,0x0000000000000002,,".to_owned(),
        "4,0x0000000000000002,5,".to_owned(),
        format!("5,{first},,4"),
        format!("6,{first},7,"),
        format!("5,{second},,4"),
        format!("7,{second},9,"),
        format!("8,{second},9,"),
        format!("5,{third},,4"),
        format!("9,{third},12,"),
        "5,0x010203040506070b,,4".to_owned(),
    ];
    assert_eq!(said.unwrap().lines().collect::<Vec<_>>(), expected);
    let lines = tshark(&capture, &[]).unwrap();
    for part in [
        "10.0.0.7 → 10.0.0.100",
        "ASK  what do you offer, and since d1d1d1d1…? (to many)",
        "36 bytes, 128 bytes of changes, keeps in step",
        "GRANT  changes c4c4c4c4… by",
        "TELL  part of 99 bytes, 3 blocks",
        "GRANT  file abababab… by 1408: 0+1500 65536+1500",
        "DATA  65536 + 1408 of file abababab…",
        "REFUSE  busy",
        "NEWS  blocks 2+3",
    ] {
        assert!(lines.contains(part), "{part:?} is not in\n{lines}");
    }
}

/// What trackers and lookers say: who else is there from which place on, for how long a host has been there, what is
/// held of an unfinished content.
#[test]
fn places_ages_and_hosts_are_dissected() {
    let (instance, cookie) = (InstanceId([0x1d; 16]), Cookie([0xc0; 16]));
    let ask = Ask {
        about: About::Listing { has: ListingDigest::NONE },
        to_many: false,
        tell_hosts: true,
        hosts_from: 7,
        tell_age: true,
        nonce: NONCE,
        instance,
        cookie,
    };
    let listing = ListingSummary { digest: ListingDigest([0xd1; 20]), length: 36, files: 1 };
    let answer = Answer::Listing { listing, changes: 0, in_step: true };
    let tell = Tell { nonce: NONCE, cookie, instance, age: Some(4_000), answer };
    let mut told = Vec::new();
    for (address, portions) in
        [("192.0.2.7:27183", Portions::WHOLE), ("[2001:db8::7]:9000", Portions(0xff))]
    {
        assert!(ToldHosts::push(
            &mut told,
            &ToldHost { address: address.parse().unwrap(), portions }
        ));
    }
    let hosts = Hosts { nonce: NONCE, next: 51, hosts: ToldHosts::new(&told).unwrap() };
    let hold = Hold { cookie, content: CONTENT, size: 99, portions: Portions(0xf0) };
    let mut events = Events::peer();
    for message in
        [Message::Ask(ask), Message::Tell(tell), Message::Hosts(hosts), Message::Hold(hold)]
    {
        events.input(1_000, came(&message.encode(), 0));
    }
    let Some(folder) = captured(&events.end()) else { return };
    let capture = folder.path().join("x.pcapng");
    let odd = format!("{WRONG} || sprat.trailing || sprat.not_zero");
    let Some(wrong) = tshark(&capture, &["-Y", &odd]) else { return };
    assert_eq!(wrong, "");
    let fields =
        ["type", "hosts.from", "age", "hosts.next", "host.v4", "host.v6", "host.port", "portions"];
    let fields = fields.map(|field| format!("sprat.{field}"));
    let fields: Vec<_> = fields.iter().flat_map(|field| ["-e", field]).collect();
    let said = tshark(&capture, &[&["-T", "fields", "-E", "separator=;"], &fields[..]].concat());
    let portions = "0xffffffffffffffff,0x00000000000000ff";
    let expected = [
        "3;7;;;;;;".to_owned(),
        "4;;4000;;;;;".to_owned(),
        format!("10;;;51;192.0.2.7;2001:db8::7;27183,9000;{portions}"),
        "11;;;;;;;0x00000000000000f0".to_owned(),
    ];
    assert_eq!(said.unwrap().lines().collect::<Vec<_>>(), expected);
    let lines = tshark(&capture, &[]).unwrap();
    for part in [
        "who else is there, from place 7 on?",
        "HOSTS  2 hosts, more from place 51 on",
        "here for 4000 s",
    ] {
        assert!(lines.contains(part), "{part:?} is not in\n{lines}");
    }
}

#[test]
fn what_breaks_a_limit_is_marked_and_what_was_left_out_is_not() {
    let grant = messages()[6].encode();
    let (mut no_range, mut odd_payload) = (grant.clone(), grant.clone());
    no_range[5] = 0;
    odd_payload[7] += 1;
    let data = messages()[7].encode();
    let mut events = Events::peer();
    events.input(0, came(&data, 1_408)).input(1, came(&no_range, 0));
    events.input(2, came(&odd_payload, 0)).input(3, came(&grant[..63], 0));
    let Some(folder) = captured(&events.end()) else { return };
    let capture = folder.path().join("x.pcapng");
    let wrong = tshark(&capture, &["-Y", WRONG, "-T", "fields", "-e", "frame.number"]);
    let Some(wrong) = wrong else { return };
    assert_eq!(wrong.split_whitespace().collect::<Vec<_>>(), ["2", "3", "4"]);
    // Its length is that of the datagram, with the headers of IP and UDP.
    let lengths = ["-c", "1", "-T", "fields", "-e", "frame.len", "-e", "frame.cap_len"];
    assert_eq!(tshark(&capture, &lengths).unwrap().trim(), "1456\t48");
}

#[test]
fn what_was_served_is_in_the_capture_packet_by_packet() {
    let mut events = Events::peer();
    let job = json!({ "kind": "serve", "job": 4, "to": "[fe80::7%2]:9000", "data_kind": "data",
        "nonce": "0102030405060708", "offset": 65_536, "length": 3_000, "payload_length": 1_408 });
    events.input(SECOND, json!({ "kind": "wake" })).output(job);
    let outcome = json!({ "blocked": { "sent": 2_816 } });
    events.input(0, json!({ "kind": "served", "job": 4, "outcome": outcome }));
    let Some(folder) = captured(&events.end()) else { return };
    let capture = folder.path().join("x.pcapng");
    let fields =
        ["ipv6.dst", "udp.length", "sprat.offset", "sprat.payload.length", "frame.time_epoch"];
    let fields: Vec<_> = fields.iter().flat_map(|field| ["-e", field]).collect();
    let said = tshark(&capture, &[&["-T", "fields", "-E", "separator=,"], &fields[..]].concat());
    let Some(said) = said else { return };
    let expected = [
        "fe80::7,1436,65536,1408,1795167032.277000000",
        "fe80::7,1436,66944,1408,1795167032.277000000",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
    let bytes = fs::read(&capture).unwrap();
    assert_eq!(bytes[..4], [0x0a, 0x0d, 0x0d, 0x0a], "a section header begins a pcapng file");
    assert_eq!(tshark(&capture, &["-Y", WRONG]).unwrap(), "");
}
