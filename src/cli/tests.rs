//! A table of command lines and what comes of them.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::config::{
    DEFAULT_PORT, Destination, LOOK_TIME, PeerHost, Print, Question, TraceConfig, Until, Verbosity,
    Wanted,
};
use crate::node::FETCH_SIZE_MAX;

const SHA1: &str = "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12";

fn run_with(line: &str, variables: &[(&str, &str)]) -> Result<Command, String> {
    // An underscore stands for a space within a word, two for nothing at all.
    let words = line.split_whitespace().map(|word| match word {
        "__" => OsString::new(),
        "SHA1" => OsString::from(SHA1),
        word => OsString::from(word.replace('_', " ")),
    });
    let variable = |name: &str| {
        variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
    };
    let scope_number = |name: &str| (name == "eth0").then_some(3);
    parse(words, Surroundings { variable: &variable, scope_number: &scope_number })
        .map_err(|refusal| refusal.0)
}

fn run(line: &str) -> Result<Command, String> {
    run_with(line, &[])
}

fn fetch(line: &str) -> (Config, FetchConfig) {
    match run(line) {
        Ok(Command::Fetch(config, fetch)) => (config, fetch),
        other => panic!("{line}: {other:?}"),
    }
}

fn config(line: &str, variables: &[(&str, &str)]) -> Config {
    match run_with(line, variables) {
        Ok(Command::Peer(config) | Command::Fetch(config, _)) => config,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn peer_with_nothing_else() {
    let config = config("peer", &[]);
    assert_eq!(config.root, PathBuf::from("."));
    assert_eq!((config.port, config.bind), (DEFAULT_PORT, None));
    assert_eq!((config.peers.len(), config.verbosity), (0, Verbosity::Normal));
}

#[test]
fn a_fetch_is_the_same_with_the_word_and_without() {
    let with = fetch("fetch SHA1 animals/quick-fox.txt 43 192.0.2.4 192.0.2.7:30000");
    let without = fetch("SHA1 animals/quick-fox.txt 43 192.0.2.4 192.0.2.7:30000");
    assert_eq!(with, without);
    let (_, fetch) = with;
    assert_eq!(fetch.content.to_string(), SHA1);
    assert_eq!(fetch.name.as_str(), "animals/quick-fox.txt");
    assert_eq!((fetch.size, fetch.timeout), (43, None));
    assert_eq!(
        fetch.sources,
        ["192.0.2.4:27183".parse().unwrap(), "192.0.2.7:30000".parse().unwrap()]
    );
}

#[test]
fn name_and_size_are_taken_raw() {
    for name in ["--help", "-rf", "-q", "--", "-", "--root", "peer", "fetch", "a b"] {
        let line = format!("fetch SHA1 {} 43", name.replace(' ', "_"));
        assert_eq!(fetch(&line).1.name.as_str(), name, "{line}");
    }
    let (config, fetch) = fetch("--quiet fetch --port 5 SHA1 -rf 43 -- 192.0.2.4");
    assert_eq!((config.verbosity, config.port), (Verbosity::Quiet, 5));
    assert_eq!(fetch.name.as_str(), "-rf");
    assert_eq!(fetch.sources, ["192.0.2.4:5".parse().unwrap()]);
}

#[test]
fn options_stand_before_the_sha1_and_among_the_addresses() {
    for line in [
        "--root /x --port 7 --timeout 1.5 -vv fetch SHA1 n 1 192.0.2.4 192.0.2.5",
        "fetch --root=/x --port=7 -v -v SHA1 n 1 192.0.2.4 --timeout 1.5 192.0.2.5",
        "SHA1 n 1 192.0.2.4 --root /x 192.0.2.5 --port 7 -vv --timeout=1.5",
        "--root /y fetch SHA1 n 1 192.0.2.4 --root /x 192.0.2.5 --port 7 -vv --timeout 1.5",
    ] {
        let (config, fetch) = fetch(line);
        assert_eq!(config.root, PathBuf::from("/x"), "{line}");
        assert_eq!((config.port, config.verbosity), (7, Verbosity::Debug), "{line}");
        assert_eq!(fetch.timeout, Some(Duration::from_millis(1_500)), "{line}");
        assert_eq!(fetch.sources.len(), 2, "{line}");
        assert!(fetch.sources.iter().all(|source| source.port() == 7), "{line}");
    }
}

#[test]
fn addresses_in_all_their_forms_each_once() {
    let (_, fetch) = fetch(
        "fetch SHA1 n 1 192.0.2.4 192.0.2.4:27183 ::ffff:192.0.2.4 2001:db8::1 \
         [2001:db8::1]:27183 [2001:db8::1]:9 fe80::1%eth0 [fe80::1%3]:9 [2001:db8::2]",
    );
    let shown: Vec<String> = fetch.sources.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "192.0.2.4:27183",
            "[2001:db8::1]:27183",
            "[2001:db8::1]:9",
            "[fe80::1%3]:27183",
            "[fe80::1%3]:9",
            "[2001:db8::2]:27183"
        ]
    );
}

#[test]
fn every_address_is_taken_once() {
    let many: Vec<_> = (0..1_000).map(|n| format!("10.0.{}.{}", n / 250, n % 250 + 1)).collect();
    let (_, fetch) = fetch(&format!("fetch SHA1 n 1 {0} {0}", many.join(" ")));
    assert_eq!(fetch.sources.len(), 1_000);
    assert_eq!(fetch.sources[999], "10.0.3.250:27183".parse().unwrap());
}

#[test]
fn what_is_refused_says_what_was_wrong() {
    let many: Vec<_> = (0..=1 << 16)
        .map(|n| format!("{}.{}.{}.1", 10 + (n >> 16), n >> 8 & 0xff, n & 0xff))
        .collect();
    let many = many.join(" ");
    for (line, part) in [
        ("", "say what to do"),
        ("serve", "\"serve\" is no command"),
        ("peer here", "\"here\""),
        ("peer --timeout 3", "for fetch"),
        ("peer --frobnicate", "\"--frobnicate\" is no option"),
        ("peer --root", "--root needs a value"),
        ("peer --root --quiet", "--root needs a value"),
        ("peer --root=", "--root needs a value"),
        ("peer --port 0", "--port wants"),
        ("peer --port 65536", "--port wants"),
        ("peer --port +5", "--port wants"),
        ("peer -q -v", "contradict"),
        ("peer --bind 0.0.0.0", "--bind wants"),
        ("peer --bind 127.0.0.1:9", "--bind wants"),
        ("peer --peer 1.2.3", "--peer wants"),
        ("peer --peer a/b", "--peer wants"),
        ("peer --peer host:0", "--peer wants"),
        ("fetch", "SHA1 NAME SIZE"),
        ("SHA1", "SHA1 NAME SIZE"),
        ("fetch SHA1 n", "SHA1 NAME SIZE"),
        ("fetch 2fd4 n 1", "40 hexadecimal digits"),
        ("fetch SHA1 __ 1", "NAME cannot be"),
        ("fetch SHA1 ../n 1", "NAME cannot be"),
        ("fetch SHA1 /n 1", "NAME cannot be"),
        ("fetch SHA1 a//b 1", "NAME cannot be"),
        ("fetch SHA1 a\u{1b}[2J 1", "NAME cannot be"),
        ("fetch SHA1 n x", "SIZE wants"),
        ("fetch SHA1 n -1", "SIZE wants"),
        ("fetch SHA1 n +1", "SIZE wants"),
        ("fetch SHA1 n 0x10", "SIZE wants"),
        ("fetch SHA1 n 1_000", "SIZE wants"),
        ("fetch SHA1 n __", "SIZE wants"),
        ("fetch SHA1 n 9007199254740992", "SIZE wants"),
        ("fetch SHA1 n 99999999999999999999999", "SIZE wants"),
        ("fetch SHA1 n 1 host", "\"host\" is no IP"),
        ("fetch SHA1 n 1 __", "is no IP"),
        ("fetch SHA1 n 1 255.255.255.255", "is no IP"),
        ("fetch SHA1 n 1 224.0.0.1", "is no IP"),
        ("fetch SHA1 n 1 0.0.0.0", "is no IP"),
        ("fetch SHA1 n 1 192.0.2.4:0", "is no IP"),
        ("fetch SHA1 n 1 fe80::1%none", "is no IP"),
        ("fetch SHA1 n 1 -rf", "is no option"),
        ("fetch SHA1 n 1 --timeout soon", "--timeout wants"),
        ("fetch SHA1 n 1 --timeout -1", "--timeout needs a value"),
        ("fetch SHA1 n 1 --timeout 1e999", "--timeout wants"),
        (&format!("fetch SHA1 n 1 {many}"), "more than 65536"),
    ] {
        let refusal = run(line).expect_err(line);
        assert!(refusal.contains(part), "{line}: {refusal}");
        assert!(!refusal.contains(['\n', '\u{1b}']), "{line}: {refusal:?}");
    }
}

#[test]
fn a_name_that_is_not_text_is_refused() {
    let mut words = vec![OsString::from("fetch"), SHA1.into(), "n".into(), "1".into()];
    words[2] = OsStr::from_bytes(b"a\xffb").to_owned();
    let around = Surroundings { variable: &|_| None, scope_number: &|_| None };
    let refusal = parse(words, around).unwrap_err();
    assert!(refusal.0.contains("UTF-8"), "{}", refusal.0);
}

#[test]
fn the_largest_size_and_the_empty_one() {
    let most = FETCH_SIZE_MAX;
    assert_eq!(fetch(&format!("fetch SHA1 n {most}")).1.size, most);
    assert!(run(&format!("fetch SHA1 n {}", most + 1)).is_err());
    assert!(run("fetch SHA1 n 9007199254740991").is_err());
    assert_eq!(fetch("fetch SHA1 n 0").1.size, 0);
    assert_eq!(fetch("fetch SHA1 n 007").1.size, 7);
}

#[test]
fn help_and_version() {
    for (line, help) in [
        ("--help", HELP),
        ("-h", HELP),
        ("peer --help", PEER_HELP),
        ("--help peer", PEER_HELP),
        ("fetch -h", FETCH_HELP),
        ("fetch SHA1 n 1 --help", FETCH_HELP),
        ("-vh", HELP),
    ] {
        assert_eq!(run(line), Ok(Command::Help(help)), "{line}");
    }
    assert_eq!(run("--version"), Ok(Command::Version));
    assert_eq!(run("-V peer"), Ok(Command::Version));
    for verb in &VERBS {
        assert_eq!(run(&format!("{} --help", verb.word)), Ok(Command::Help(verb.help)));
        assert!(verb.help.starts_with(&format!("sprat {} ", verb.word)), "{}", verb.word);
        assert!(HELP.contains(&format!("  sprat {}", verb.word)), "{}", verb.word);
    }
    for help in VERBS.iter().map(|verb| verb.help).chain([HELP]) {
        assert!(help.lines().all(|line| line.chars().count() <= 100));
    }
}

#[test]
fn variables_stand_in_for_options_that_are_not_given() {
    let variables = [
        ("SPRAT_ROOT", "/x"),
        ("SPRAT_BIND", "127.0.0.2"),
        ("SPRAT_PORT", "9"),
        ("SPRAT_PEER", "192.0.2.4,host 192.0.2.5:7"),
        ("SPRAT_VERBOSE", "2"),
        ("SPRAT_TIMEOUT", "3"),
    ];
    let told = config("peer", &variables);
    assert_eq!(told.root, PathBuf::from("/x"));
    assert_eq!(told.bind.map(|bind| bind.address), "127.0.0.2".parse().ok());
    assert_eq!((told.port, told.verbosity), (9, Verbosity::Debug));
    assert_eq!(
        told.peers,
        [
            PeerHost::Address("192.0.2.4:27183".parse().unwrap()),
            PeerHost::Named { name: "host".into(), port: DEFAULT_PORT },
            PeerHost::Address("192.0.2.5:7".parse().unwrap()),
        ]
    );
    let flags = "peer --root /y --port 8 --peer 192.0.2.9 --peer a.b -q";
    let told = config(flags, &variables);
    assert_eq!((told.root, told.port), (PathBuf::from("/y"), 8));
    assert_eq!((told.peers.len(), told.verbosity), (2, Verbosity::Quiet));
    for (value, verbosity) in
        [("", Verbosity::Normal), ("0", Verbosity::Normal), ("1", Verbosity::Quiet)]
    {
        assert_eq!(config("peer", &[("SPRAT_QUIET", value)]).verbosity, verbosity);
    }
    let refusal = run_with("peer", &[("SPRAT_PORT", "x")]).unwrap_err();
    assert!(refusal.contains("--port wants"), "{refusal}");
}

#[test]
fn how_a_run_holds_back() {
    let limit = |line: &str, variables: &[(&str, &str)]| config(line, variables).restraint.limit;
    assert_eq!(limit("peer", &[]), None);
    for (rate, bytes) in
        [("16384", 16_384), ("16k", 16_384), ("500K", 512_000), ("10M", 10 << 20), ("1g", 1 << 30)]
    {
        assert_eq!(limit(&format!("peer --limit {rate}"), &[]), Some(bytes));
        assert_eq!(limit(&format!("fetch SHA1 n 1 --limit={rate}"), &[]), Some(bytes));
        assert_eq!(limit("peer", &[("SPRAT_LIMIT", rate)]), Some(bytes));
    }
    assert_eq!(limit("peer --limit 1M", &[("SPRAT_LIMIT", "2M")]), Some(1 << 20));
    let background =
        |line: &str, variables: &[(&str, &str)]| config(line, variables).restraint.background;
    assert!(background("--background peer", &[]) && background("fetch SHA1 n 1 --background", &[]));
    assert!(background("peer", &[("SPRAT_BACKGROUND", "1")]) && !background("peer", &[]));
    assert!(!background("peer", &[("SPRAT_BACKGROUND", "0")]));
    for rate in ["0", "16383", "15K", "1.5M", "fast", "10MB", "99999999999999G"] {
        let sentence =
            format!("--limit wants bytes a second from 16K on, such as 500K or 10M, not {rate:?}");
        assert_eq!(run(&format!("peer --limit {rate}")), Err(sentence));
    }
}

#[test]
fn how_a_run_is_recorded() {
    let trace = |line: &str, variables: &[(&str, &str)]| config(line, variables).trace;
    assert_eq!(trace("peer", &[]), None);
    let plain = TraceConfig { file: "t".into(), payload: false, private: false, ring: None };
    assert_eq!(trace("--trace t peer", &[]), Some(plain.clone()));
    assert_eq!(trace("fetch SHA1 n 1 --trace=t", &[]), Some(plain.clone()));
    assert_eq!(trace("peer", &[("SPRAT_TRACE", "t")]), Some(plain.clone()));
    let private = TraceConfig { private: true, ..plain.clone() };
    assert_eq!(trace("--trace t peer --trace-private", &[]), Some(private.clone()));
    let variables = [("SPRAT_TRACE", "t"), ("SPRAT_TRACE_PRIVATE", "1")];
    assert_eq!(trace("peer", &variables), Some(private));
    for (size, bytes) in
        [("262144", 1 << 18), ("256K", 1 << 18), ("16m", 16 << 20), ("1G", 1 << 30)]
    {
        let ring = TraceConfig { ring: Some(bytes), ..plain.clone() };
        assert_eq!(trace(&format!("peer --trace t --trace-ring {size}"), &[]), Some(ring));
    }
    // Alone, what is inherited says nothing.
    assert_eq!(trace("peer", &[("SPRAT_TRACE_RING", "16M")]), None);
    for (line, sentence) in [
        ("peer --trace-ring 16M", "these options need --trace FILE, which says where to record"),
        ("peer --trace-private", "these options need --trace FILE, which says where to record"),
        (
            "peer --trace t --trace-private --trace-payload",
            "--trace-payload and --trace-private contradict each other",
        ),
        (
            "peer --trace t --trace-ring 255K",
            "--trace-ring wants a size from 256K on, such as 16M, not \"255K\"",
        ),
        ("peer --trace", "--trace needs a value after it"),
        ("peer --step", "\"--step\" is no option: sprat --help tells which are"),
    ] {
        assert_eq!(run(line), Err(sentence.to_owned()), "{line}");
    }
}

#[test]
fn what_is_replayed() {
    let replayed = |line: &str| match run(line) {
        Ok(Command::Replay(config)) => config,
        other => panic!("{line}: {other:?}"),
    };
    let plain = replayed("replay t");
    assert_eq!((plain.file.to_str(), plain.print, plain.until), (Some("t"), None, None));
    assert!(!(plain.against || plain.step || plain.quiet || plain.expand));
    let all = replayed("replay --print=json t --step --against -q --rewrite=o --expand --until 7");
    assert_eq!((all.print, all.until), (Some(Print::Json), Some(Until::Input(7))));
    assert!(all.against && all.step && all.quiet && all.expand && all.rewrite.is_some());
    assert_eq!(replayed("replay --print t").print, Some(Print::Text));
    for text in ["1.5", "1.5s"] {
        let until = replayed(&format!("replay t --until {text}")).until;
        assert_eq!(until, Some(Until::Time(1_500_000)));
    }
    assert_eq!(run("replay --help"), Ok(Command::Help(REPLAY_HELP)));
    for (line, start) in [
        ("replay", "replay needs one FILE"),
        ("replay a b", "replay needs one FILE"),
        ("replay a --until soon", "--until wants the number of an input, or a time"),
        ("replay a --expand", "--expand needs --rewrite OUT"),
        ("replay a --root b", "\"--root\" is no option"),
        ("replay a --print=xml", "\"--print=xml\" is no option"),
    ] {
        let told = run(line).unwrap_err();
        assert!(told.starts_with(start), "{line}: {told}");
    }
}

#[test]
fn what_is_asked() {
    let asked = |line: &str, variables: &[(&str, &str)]| match run_with(line, variables) {
        Ok(Command::Ask(config, ask)) => (config, ask),
        other => panic!("{line}: {other:?}"),
    };
    let name = |text: &str| Wanted::Name(text.to_owned());
    for (line, question) in [
        ("ls", Question::Files(None)),
        ("ls *.iso", Question::Files(Some(name("*.iso")))),
        ("ls SHA1", Question::Files(Some(Wanted::Content(SHA1.parse().unwrap())))),
        ("ls -- -rf", Question::Files(Some(name("-rf")))),
        ("peers", Question::Hosts),
        ("info a_b", Question::About(name("a b"))),
        ("loc a", Question::Holders(name("a"))),
    ] {
        let (config, ask) = asked(line, &[]);
        assert_eq!((ask.question, ask.json, ask.timeout), (question, false, LOOK_TIME), "{line}");
        assert_eq!(config.port, DEFAULT_PORT);
    }
    let (config, ask) = asked("ls --json --timeout 0.5 --peer h --port 9 --root /x", &[]);
    assert_eq!((ask.json, ask.timeout), (true, Duration::from_millis(500)));
    // Named hosts listen where all do, unless told otherwise.
    assert_eq!(config.peers, [PeerHost::Named { name: "h".into(), port: 9 }]);
    assert!(asked("ls", &[("SPRAT_JSON", "1")]).1.json);
    for (line, part) in [
        ("ls a b", "put it in quotes"),
        ("ls __", "NAME has to be"),
        ("peers a", "peers takes options alone"),
        ("info", "info wants one NAME or SHA1"),
        ("info a b", "info wants one NAME or SHA1"),
        ("ls --frobnicate", "is no option"),
        ("peer --json", "\"--json\" is no option"),
    ] {
        let refusal = run(line).expect_err(line);
        assert!(refusal.contains(part), "{line}: {refusal}");
    }
}

#[test]
fn doctor_takes_the_options_of_a_peer() {
    for (line, json) in [("doctor", false), ("doctor --json", true)] {
        match run(&format!("{line} --port 9 --peer h")) {
            Ok(Command::Doctor(config, doctor)) => {
                assert_eq!((config.port, doctor.json), (9, json));
                // A peer's own port says nothing about where others listen.
                let port = DEFAULT_PORT;
                assert_eq!(config.peers, [PeerHost::Named { name: "h".into(), port }]);
            }
            other => panic!("{other:?}"),
        }
    }
    for (line, part) in [("doctor now", "options alone"), ("doctor --timeout 3", "is no option")] {
        let refusal = run(line).expect_err(line);
        assert!(refusal.contains(part), "{line}: {refusal}");
    }
}

#[test]
fn what_is_got_and_given() {
    let got = |line: &str| match run(line) {
        Ok(Command::Get(_, get)) => get,
        other => panic!("{line}: {other:?}"),
    };
    let plain = got("get a b/ SHA1");
    assert_eq!(plain.wanted.len(), 3);
    assert_eq!((plain.jobs, plain.output, plain.timeout), (1, None, None));
    let all = got("get a --jobs 4 -o out --force --timeout 3");
    assert_eq!((all.jobs, all.force, all.timeout), (4, true, Some(Duration::from_secs(3))));
    assert_eq!(all.output, Some(Destination::Path("out".into())));
    assert_eq!(got("get -o - a").output, Some(Destination::Standard));
    assert_eq!(got("get a --output=-").output, Some(Destination::Standard));
    match run("add a ../b") {
        Ok(Command::Add(_, add)) => assert_eq!(add.paths, [PathBuf::from("a"), "../b".into()]),
        other => panic!("{other:?}"),
    }
    match run("rm a/b --force --json") {
        Ok(Command::Remove(_, remove)) => assert!(remove.force && remove.json),
        other => panic!("{other:?}"),
    }
    for (line, part) in [
        ("get", "get wants at least one"),
        ("get a --jobs 0", "--jobs wants a number from 1 to 64"),
        ("get a --jobs 65", "--jobs wants"),
        ("get a -o", "-o needs a value"),
        ("get a -o - --json", "both want standard output"),
        ("fetch SHA1 n 1 -o x", "is no option"),
        ("add", "add wants at least one"),
        ("rm", "rm wants at least one"),
        ("rm ../a", "NAME cannot be"),
    ] {
        let refusal = run(line).expect_err(line);
        assert!(refusal.contains(part), "{line}: {refusal}");
    }
}
