//! What is no trace, or one no more: each ends with a sentence, none with a panic of the reader, and none
//! takes more memory than a line has.

use std::cell::RefCell;
use std::fs;
use std::io::{self, BufReader, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::rc::Rc;

use sprat::node::input::Command;
use sprat::node::{Input, Instant, Node, NodeConfig};
use sprat::trace::{Header, How, Reader, Record, Recorder, Replay, Rigour};

use super::program::replay;
use crate::support::files::Random;

/// What became of a replay in this process.
#[derive(Debug, PartialEq)]
enum Verdict {
    Equal,
    Unreadable(String),
    Different(String),
    Panicked(String),
}

fn play(bytes: &[u8]) -> Verdict {
    let (header, mut reader) = match Reader::new(bytes) {
        Ok(opened) => opened,
        Err(error) => return Verdict::Unreadable(error.to_string()),
    };
    let mut replay = Replay::new(&header, Rigour::Equal);
    loop {
        let record = match reader.next_record() {
            Ok(Some(record)) => record,
            Ok(None) => return Verdict::Equal,
            Err(error) => return Verdict::Unreadable(error.to_string()),
        };
        // The core believes its driver, so what is forged here may well make it panic.
        let result = catch_unwind(AssertUnwindSafe(|| match &record {
            Record::Step(step) => {
                let played = replay.step(step, None);
                played.map(drop).map_err(|(difference, _)| difference.what)
            }
            Record::Checkpoint(checkpoint) => {
                replay.checkpoint(checkpoint).map_err(|difference| difference.what)
            }
            Record::End(end) => replay.end(end).map_err(|difference| difference.what),
            Record::Snapshot { count, at, sum, state } => {
                replay.restore(*count, *at, *sum, state.get()).map_err(|error| error.to_string())
            }
        }));
        match result {
            Ok(Ok(())) => {}
            Ok(Err(what)) => return Verdict::Different(what),
            Err(_) => return Verdict::Panicked("the core".to_owned()),
        }
    }
}

fn kept(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces").join(name)).unwrap()
}

const ALL: [&str; 5] = [
    "fetch-clean.trace",
    "fetch-lossy.trace",
    "peer.trace",
    "peer-private.trace",
    "fetch-ring.trace",
];

#[test]
fn cut_off_after_every_line_and_at_any_byte() {
    for name in ALL {
        let whole = kept(name);
        assert_eq!(play(&whole), Verdict::Equal, "{name}");
        let ends: Vec<_> = (1..whole.len()).filter(|at| whole[at - 1] == b'\n').collect();
        let mut random = Random::new(1);
        let stride = ends.len().div_ceil(60);
        let lines = ends.iter().copied().step_by(stride);
        let anywhere = (0..60).map(|_| random.below(whole.len() as u64) as usize);
        for cut in lines.chain(anywhere.collect::<Vec<_>>()) {
            let verdict = play(&whole[..cut]);
            let told = matches!(&verdict, Verdict::Unreadable(sentence)
                if sentence.contains("cut off") || sentence.contains("no trace"));
            assert!(told, "{name} cut at {cut}: {verdict:?}");
        }
    }
}

#[test]
fn flipped_bits_are_told_or_change_nothing() {
    let mut random = Random::new(2);
    let (mut told, rounds) = (0, 60);
    for name in ALL {
        for _ in 0..rounds {
            let mut bytes = kept(name);
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << random.below(8);
            told += usize::from(play(&bytes) != Verdict::Equal);
        }
    }
    assert!(told > ALL.len() * rounds / 2, "{told}");
}

#[test]
fn what_is_no_trace_is_called_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let newer = String::from_utf8(kept("peer.trace")).unwrap();
    let newer = newer.replacen("\"sprat_trace\":1,", "\"sprat_trace\":2,", 1);
    let damaged = String::from_utf8(kept("peer.trace")).unwrap().replacen("\"in\":", "\"inn\":", 1);
    let more = String::from_utf8(kept("peer.trace")).unwrap();
    let more = more.replacen("\"sprat_trace\":1,", "\"sprat_trace\":1,\"more\":0,", 1);
    let zeros = vec![0; 1 << 20];
    let long = [&kept("peer.trace")[..], &vec![b'x'; (64 << 20) + 10]].concat();
    for (bytes, sentence) in [
        (&b""[..], "it is no trace"),
        (b"\n", "it is no trace"),
        (b"{}\n", "it is no trace"),
        (b"[1]\n", "it is no trace"),
        (&zeros, "it is no trace"),
        (b"{\"sprat_trace\":1}\n", "line 1 is damaged: missing field"),
        (more.as_bytes(), "line 1 is damaged: unknown field `more`"),
        (newer.as_bytes(), "version 2 of the format"),
        (damaged.as_bytes(), "line 2 is damaged: unknown field `inn`"),
        (&long, "is longer than any line"),
    ] {
        fs::write(&file, bytes).unwrap();
        let told = replay(&file, &[]);
        assert_eq!(told.code, Some(2), "{}", told.stderr);
        assert!(told.stderr.contains(sentence), "{sentence}: {}", told.stderr);
        assert_eq!(told.stderr.lines().count(), 1, "{}", told.stderr);
    }
    let told = replay(&folder.path().join("nowhere"), &[]);
    assert!(told.code == Some(2) && told.stderr.contains("cannot open"), "{}", told.stderr);
    let told = replay(folder.path(), &[]);
    assert!(told.code == Some(2) && told.stderr.contains("cannot be read"), "{}", told.stderr);
}

/// A file that counts what is read of it.
struct Counted<R>(R, Rc<RefCell<u64>>);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.0.read(buffer)?;
        *self.1.borrow_mut() += length as u64;
        Ok(length)
    }
}

#[test]
fn of_a_line_without_end_no_more_is_read_than_a_line_may_have() {
    let header = serde_json::to_string(&header()).unwrap() + "\n";
    let endless = header.as_bytes().chain(io::repeat(b' ').take(1 << 28));
    let read = Rc::new(RefCell::new(0));
    let (_, mut reader) = Reader::new(BufReader::new(Counted(endless, Rc::clone(&read)))).unwrap();
    let error = reader.next_record().unwrap_err();
    assert_eq!(error.to_string(), "line 2 is longer than any line of a trace");
    assert!(*read.borrow() < 65 << 20, "{read:?}");
}

#[test]
fn what_a_trace_says_does_not_drive_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let whole = String::from_utf8(kept("peer.trace")).unwrap();
    let header = whole.lines().next().unwrap();
    let evil = "\\u001b]0;evil\\u0007\\u009b31m\\u202e";
    let stepped = |fields: &str| format!("{header}\n{{\"n\":1,\"t\":99999,{fields}}}\n");
    for text in [
        whole.replacen("\"peer\"", &format!("\"{evil}\""), 1),
        stepped(&format!("\"wake\":\"{evil}\",\"out\":[],\"due\":null")),
        stepped(&format!("\"in\":\"writable\",\"out\":[],\"due\":[5,\"{evil}\"]")),
        stepped(&format!("\"in\":\"writable\",\"out\":[\"{evil} 0000\"],\"due\":null")),
        stepped(&format!("\"{evil}\":0")),
        stepped(&format!("\"in\":\"{evil}\"")),
    ] {
        fs::write(&file, &text).unwrap();
        let told = replay(&file, &["--print"]);
        let said = told.stdout + &told.stderr;
        assert!(said.contains("\\u{1b}]0;evil\\u{7}\\u{9b}31m\\u{202e}"), "{text}: {said}");
        let drives = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!said.contains(drives), "{text}: {said:?}");
    }
}

#[test]
fn what_cannot_be_printed_is_no_success() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = std::process::Command::new(crate::support::host::SPRAT);
    let trace = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces/peer.trace");
    let output = command.args(["replay", "--print"]).arg(trace).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot print"), "{output:?}");
}

#[test]
fn times_and_states_out_of_place_are_told() {
    let whole = String::from_utf8(kept("fetch-ring.trace")).unwrap();
    let lines: Vec<_> = whole.lines().collect();
    let again = [&lines[..3], &lines[1..2], &lines[3..]].concat().join("\n") + "\n";
    assert_eq!(
        play(again.as_bytes()),
        Verdict::Unreadable("line 4 is damaged: it makes no sense".to_owned())
    );
    let whole = String::from_utf8(kept("peer.trace")).unwrap();
    for mark in ["{\"checkpoint\":", "{\"end\":"] {
        let line = whole.rfind(mark).unwrap();
        let at = line + whole[line..].find("\"t\":").unwrap() + "\"t\":".len();
        let later = format!("{}1{}", &whole[..at], &whole[at..]);
        assert_eq!(play(later.as_bytes()), Verdict::Different("the time is another".to_owned()));
    }
}

#[test]
fn a_forged_state_is_told_wherever_it_hurts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let whole = String::from_utf8(kept("fetch-ring.trace")).unwrap();
    let at = whole.find("\"rung\":").unwrap() + "\"rung\":".len();
    let length = whole[at..].find(|c: char| !c.is_ascii_digit()).unwrap();
    let forged = format!("{}65535{}", &whole[..at], &whole[at + length..]);
    fs::write(&file, forged).unwrap();
    for options in [&[][..], &["--print=json"], &["--against", "--print=json"]] {
        let told = replay(&file, options);
        assert!(matches!(told.code, Some(2 | 3)), "{options:?}: {:?} {}", told.code, told.stderr);
        assert!(told.stderr.contains("sprat: "), "{}", told.stderr);
    }
}

#[test]
fn lines_that_make_no_sense() {
    let header = String::from_utf8(kept("peer.trace")).unwrap().lines().next().unwrap().to_owned();
    for line in [
        "{}",
        "{\"n\":1,\"t\":5}",
        "{\"n\":1,\"t\":5,\"run\":\"\"}",
        "{\"n\":1,\"t\":5,\"run\":\"a=0000\"}",
        "{\"n\":1,\"t\":5,\"run\":\"W0=0000\",\"why\":[]}",
        "{\"n\":1,\"t\":5,\"run\":\"W18446744073709551615=0000\",\"why\":[\"x\"]}",
        "{\"n\":1,\"t\":5,\"run\":\"J1=00é\"}",
        "{\"n\":1,\"t\":5,\"run\":\"J1+99999999999999999999=0000\"}",
        "{\"n\":1,\"t\":5,\"run\":\"J1+-6=0000\"}",
        "{\"n\":1,\"t\":5,\"run\":\"J1=0000Z\"}",
        "{\"n\":1,\"t\":5,\"run\":\"V1=0000\"}",
        "{\"n\":1,\"t\":5,\"run\":\"Gé:1=0000\"}",
        "{\"n\":1,\"t\":5,\"run\":\"Ga=0000\",\"grants\":[[\"10.0.0.1:1\",\"file 00\",\"00\",1408,\"0\"]]}",
        "{\"n\":1,\"t\":5,\"run\":\"a:0=0000\",\"flows\":[[\"10.0.0.1:1\",\"0\",0,1]]}",
        "{\"n\":1,\"t\":5,\"run\":\"a@9:5000000000=0000\",\"flows\":[[\"10.0.0.1:1\",\"0\",0,1]]}",
        "{\"n\":1,\"t\":5,\"from\":\"10.0.0.1:1\",\"bytes\":\"\",\"left_out\":4294967295,\"out\":[]}",
        "{\"n\":1,\"t\":5,\"from\":\"10.0.0.1:1\",\"bytes\":\"\",\"wake\":\"x\"}",
        "{\"n\":1,\"t\":5,\"wake\":\"x\",\"out\":[\"keep\"]}",
        // More than memory has, where it was believed.
        "{\"n\":1,\"t\":5,\"run\":\"a:4294967295=0000\",\"flows\":[[\"10.0.0.1:1\",\"0\",0,1]]}",
        "{\"n\":18446744073709551615,\"t\":5,\"run\":\"J1=0000 J2=0000\"}",
        "{\"snapshot\":{\"n\":1,\"t\":1,\"sum\":\"00\",\"state\":{}}}",
        "{\"n\":1,\"t\":5,\"wake\":\"x\",\"run\":\"J1=0000\"}",
        "[1,5]",
    ] {
        let verdict = play(format!("{header}\n{line}\n").as_bytes());
        let told =
            matches!(&verdict, Verdict::Unreadable(why) if why.starts_with("line 2 is damaged"));
        assert!(told, "{line}: {verdict:?}");
    }
}

/// A place to write to that can be looked at.
#[derive(Clone, Default)]
struct Paper(Rc<RefCell<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn header() -> Header {
    let config = NodeConfig { serves: true, ..NodeConfig::new([7; 32]) };
    Header::new("test", 0, Instant::ORIGIN, config)
}

/// Protocols to come, and packets that break a rule, may hold names like any other.
#[test]
fn what_is_no_message_is_not_kept_in_a_private_trace() {
    let paper = Paper::default();
    let mut header = header();
    header.private = true;
    let mut recorder = Recorder::new(&header, Box::new(paper.clone()));
    let mut node = Node::new(header.config, Instant::ORIGIN);
    let from = "10.0.0.1:5".parse().unwrap();
    // Nothing of ours, another version, an unknown type, packets beyond every object's end.
    let begins = [&b""[..], b"Sp", b"Sp\x02\x07", b"Sp\x01\x63", b"Sp\x01\x06", b"Sp\x01\x07"];
    for (index, begin) in begins.into_iter().enumerate() {
        let padding: &[u8] =
            if begin == b"Sp\x01\x06" || begin == b"Sp\x01\x07" { &[255; 16] } else { b"" };
        let bytes = [begin, padding, &b"Tagebuch".repeat(20)].concat();
        let at = Instant::from_micros(10 + index as u64);
        recorder.before(&node, at, &Input::Datagram { from, bytes: &bytes });
        node.handle_input(at, Input::Datagram { from, bytes: &bytes });
        assert_eq!(node.poll_output(), None);
        recorder.after(&node);
    }
    recorder.finish(How::Exit(0));
    let bytes = paper.0.take();
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert_eq!(text.matches("undecodable").count(), begins.len(), "{text}");
    assert!(!text.contains("546167"), "{text}");
    assert_eq!(play(&bytes), Verdict::Equal);
}

/// A core that is handed a datagram and a command to stop, in which something goes wrong.
fn panicked(how: How, stopped_in_core: bool) -> Vec<u8> {
    let paper = Paper::default();
    let mut recorder = Recorder::new(&header(), Box::new(paper.clone()));
    let mut node = Node::new(header().config, Instant::ORIGIN);
    let at = Instant::from_micros(10);
    let from = "10.0.0.1:5".parse().unwrap();
    recorder.before(&node, at, &Input::Datagram { from, bytes: b"noise" });
    node.handle_input(at, Input::Datagram { from, bytes: b"noise" });
    recorder.after(&node);
    recorder.before(&node, at, &Input::Command(Command::Stop));
    assert!(recorder.is_in_core());
    if !stopped_in_core {
        node.handle_input(at, Input::Command(Command::Stop));
        recorder.output(&node.poll_output().unwrap());
        assert!(!recorder.is_in_core());
    }
    recorder.finish(how);
    paper.0.take()
}

#[test]
fn a_panic_leaves_its_cause_on_disk() {
    let message = "no such luck".to_owned();
    let in_driver = panicked(How::Panic { message: message.clone(), in_core: false }, false);
    let text = String::from_utf8(in_driver.clone()).unwrap();
    assert!(text.contains("{\"n\":2,\"t\":10,\"in\":{\"command\":\"stop\"}}\n"), "{text}");
    assert_eq!(play(&in_driver), Verdict::Equal);
    // This core does not panic where that one did.
    let in_core = panicked(How::Panic { message, in_core: true }, true);
    assert_eq!(play(&in_core), Verdict::Different("the core does not panic".to_owned()));
}

/// A writer that fails after some bytes.
struct Failing(usize);

impl Write for Failing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn trouble_is_told_once_and_nothing_grows_afterwards() {
    let mut recorder = Recorder::new(&header(), Box::new(Failing(300)));
    let mut node = Node::new(header().config, Instant::ORIGIN);
    for turn in 0..10_000 {
        let at = Instant::from_micros(turn);
        let from = "10.0.0.1:5".parse().unwrap();
        let input = || Input::Datagram { from, bytes: b"noise" };
        recorder.before(&node, at, &input());
        node.handle_input(at, input());
        recorder.after(&node);
    }
    recorder.flush();
    assert!(recorder.is_closed());
    assert_eq!(recorder.trouble().map(|error| error.kind()), Some(io::ErrorKind::StorageFull));
    assert!(recorder.trouble().is_none());
    recorder.finish(How::Exit(0));
}
