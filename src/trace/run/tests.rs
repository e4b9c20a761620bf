//! Runs by the dozen, written and read.

use super::super::line::Line;
use super::super::reader::Event;
use super::*;
use crate::node::Input;
use crate::node::Random;
use crate::node::input::ServeOutcome;
use crate::wire::DATA_HEADER_LENGTH;

const REASONS: [&str; 3] = ["nothing comes from a source", "an announcement", "its pace"];

fn address(random: &mut Random) -> SocketAddr {
    let texts = ["192.0.2.1:27183", "[fe80::1%3]:5", "192.0.2.7:5", "[2001:db8::1]:27183"];
    texts[random.below(4) as usize].parse().unwrap()
}

fn small(random: &mut Random, near: &mut u64) -> Small {
    let from = address(random);
    let nonce = u64::MAX - random.below(3);
    let length = [1_408, 640, 8_896][random.below(3) as usize];
    let offset = if random.below(8) == 0 { random.next_u64() >> 20 } else { *near };
    *near = offset + u64::from(length);
    let id = random.below(3) << 40;
    match random.below(8) {
        0 => {
            let fetch = FetchId(u32::from(random.below(9) == 0));
            Small::Verified { fetch, buffer: BufferId(id) }
        }
        1 => Small::Stored { fetch: FetchId(0), buffer: BufferId(id + 1) },
        2 => Small::Served { job: JobId(random.next_u64()) },
        3 => Small::Wake { reason: REASONS[random.below(3) as usize] },
        4 | 5 => {
            let object = Object::Chain(crate::content::ContentId([random.below(2) as u8; 20]));
            let range = ObjectRange { offset, length };
            let cookie = Cookie([random.below(2) as u8; 16]);
            let grant = OneRange { nonce, cookie, object, payload_length: 1_408, range };
            Small::Grant { from, grant }
        }
        _ => Small::Data { from, nonce, offset, length },
    }
}

/// What the reader is to make of it.
fn event(small: &Small) -> String {
    let event = match *small {
        Small::Data { from, nonce, offset, length } => {
            let mut bytes = vec![0; DATA_HEADER_LENGTH];
            DataHeader { kind: DataKind::Data, nonce, offset }
                .write(bytes.first_chunk_mut().unwrap());
            Event::Datagram { from, bytes, left_out: length }
        }
        Small::Grant { from, grant } => {
            Event::Datagram { from, bytes: grant.encode().unwrap(), left_out: 0 }
        }
        Small::Verified { fetch, buffer } => {
            Event::Input(Input::Verified { fetch, buffer, genuine: true, collides: false })
        }
        Small::Stored { fetch, buffer } => {
            Event::Input(Input::Stored { fetch, buffer, outcome: Ok(()) })
        }
        Small::Served { job } => Event::Input(Input::Served { job, outcome: ServeOutcome::Sent }),
        Small::Wake { reason } => Event::Wake { reason: reason.to_owned() },
    };
    format!("{event:?}")
}

#[test]
fn what_is_written_is_read() {
    let mut random = Random::new([3; 32]);
    let mut near = 0;
    for _ in 0..2_000 {
        let mut run = Run::default();
        let mut expected = Vec::new();
        let mut at = random.below(1_000);
        loop {
            let small = small(&mut random, &mut near);
            let digest = random.next_u64();
            let outs = &b"ktrvslgc"[..random.below(9) as usize];
            let outs = if random.below(2) == 0 { b"k" } else { outs };
            if !run.push(&small, Instant::from_micros(at), digest, outs) {
                break;
            }
            let letters = String::from_utf8(outs.to_vec()).unwrap();
            expected.push((at, event(&small), digest as u16, letters));
            at += [0, 0, 7, 123_456][random.below(4) as usize];
        }
        let mut text = String::new();
        run.write(41 + expected.len() as u64, &mut text);
        let line: Line = serde_json::from_str(&format!("{text}}}")).unwrap();
        let steps = read(&line, 1).unwrap();
        assert_eq!(steps.len(), expected.len());
        assert!(steps.len() <= TOKENS_MAX);
        for (number, (step, (at, event, digest, letters))) in steps.iter().zip(expected).enumerate()
        {
            assert_eq!((step.n, step.at.as_micros()), (42 + number as u64, at), "{text}");
            assert_eq!(format!("{:?}", step.event), event, "{text}");
            let results = step.expected.as_ref().unwrap();
            let kinds = letters.bytes().map(|letter| super::super::tally::kind_of(letter).unwrap());
            assert_eq!(results.kinds, kinds.collect::<Vec<_>>(), "{text}");
            assert_eq!(results.results, Some(digest));
        }
    }
}
