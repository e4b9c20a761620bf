//! Runs back to steps. They may be damaged: whatever does not fit makes nothing of the whole line.

use std::borrow::Cow;

use super::super::line::{FlowEntry, GrantEntry, Line};
use super::super::reader::{Event, Expected, LENGTH_MAX, Step};
use super::super::tally::kind_of;
use super::{OneRange, Receiver, TOKENS_MAX};
use crate::content::hex;
use crate::node::input::ServeOutcome;
use crate::node::{BufferId, FetchId, Input, Instant, JobId};
use crate::wire::{
    Cookie, DATA_HEADER_LENGTH, DataHeader, DataKind, Object, ObjectKind, ObjectRange,
};

fn object_from(text: &str) -> Option<Object> {
    let (kind, id) = text.split_once(' ')?;
    let kind = match kind {
        "file" => ObjectKind::File,
        "chain" => ObjectKind::Chain,
        "have" => ObjectKind::Have,
        "listing" => ObjectKind::Listing,
        "changes" => ObjectKind::Changes,
        _ => return None,
    };
    Some(Object::new(kind, array(id)?))
}

fn array<const N: usize>(digits: &str) -> Option<[u8; N]> {
    hex::decode(digits)?.try_into().ok()
}

fn number(digits: &str) -> Option<u64> {
    u64::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))
}

/// The steps of a run line; nothing where something in it is wrong.
pub(crate) fn read(line: &Line, number: u64) -> Option<Vec<Step>> {
    let mut tables = Tables::of(line)?;
    let (mut n, mut at) = (line.n?, line.t?);
    let mut steps = Vec::new();
    for token in line.run.as_deref()?.split(' ') {
        let (head, results) = token.split_once('=')?;
        let (what, delta) = match head.split_once('+') {
            Some((what, delta)) => (what, delta.parse().ok()?),
            None => (head, 0_i64),
        };
        at = at.checked_add_signed(delta)?;
        let event = tables.event(what)?;
        let (digest, letters) = results.split_at_checked(4)?;
        let digest = u16::from_str_radix(digest, 16).ok()?;
        let is_data = matches!(&event, Event::Datagram { left_out, .. } if *left_out > 0);
        let letters = match letters {
            "" if is_data => "k",
            "-" => "",
            letters => letters,
        };
        let kind = |letter| kind_of(letter).map(Cow::Borrowed);
        let kinds = letters.bytes().map(kind).collect::<Option<Vec<_>>>()?;
        let expected = Some(Expected { kinds, each: Vec::new(), results: Some(digest), due: None });
        if steps.len() == TOKENS_MAX {
            return None;
        }
        steps.push(Step { n, at: Instant::from_micros(at), line: number, event, expected });
        n = n.checked_add(1)?;
    }
    steps.last_mut()?.expected.as_mut()?.due.clone_from(&line.due);
    Some(steps)
}

/// The tables of a line, as far as they have been gone through.
struct Tables<'a> {
    flows: Vec<(&'a FlowEntry, u64, u64)>,
    receivers: Vec<Receiver>,
    why: &'a [String],
    fetch: Option<FetchId>,
}

impl<'a> Tables<'a> {
    fn of(line: &'a Line) -> Option<Self> {
        let flow = |entry: &'a FlowEntry| Some((entry, number(&entry.1)?, entry.2));
        let receiver = |entry: &'a GrantEntry| {
            let (from, object, cookie, payload_length, nonce) = entry;
            let nonce = number(nonce)?;
            Some(Receiver {
                from: *from,
                object: object_from(object)?,
                cookie: Cookie(array(cookie)?),
                payload_length: *payload_length,
                first_nonce: nonce,
                nonce,
                next: 0,
            })
        };
        Some(Self {
            flows: line.flows.iter().map(flow).collect::<Option<_>>()?,
            receivers: line.grants.iter().map(receiver).collect::<Option<_>>()?,
            why: &line.why,
            fetch: line.fetch.map(FetchId),
        })
    }

    fn event(&mut self, what: &str) -> Option<Event> {
        let mut letters = what.chars();
        let input = match letters.next()? {
            letter @ 'a'..='z' => return self.packet(letter, letters.as_str()),
            'G' => {
                let letter = letters.next()?;
                return self.grant(letter, letters.as_str());
            }
            'W' => {
                let reason = self.why.get(letters.as_str().parse::<usize>().ok()?)?;
                return Some(Event::Wake { reason: reason.clone() });
            }
            'V' => {
                let buffer = BufferId(letters.as_str().parse().ok()?);
                Input::Verified { fetch: self.fetch?, buffer, genuine: true, collides: false }
            }
            'S' => {
                let buffer = BufferId(letters.as_str().parse().ok()?);
                Input::Stored { fetch: self.fetch?, buffer, outcome: Ok(()) }
            }
            'J' => {
                let job = JobId(letters.as_str().parse().ok()?);
                Input::Served { job, outcome: ServeOutcome::Sent }
            }
            _ => return None,
        };
        Some(Event::Input(input))
    }

    fn packet(&mut self, letter: char, rest: &str) -> Option<Event> {
        let (entry, nonce, next) = self.flows.get_mut(letter as usize - 'a' as usize)?;
        let (rest, length) = cut(rest, ':')?;
        let (rest, offset) = cut(rest, '@')?;
        let offset = offset.unwrap_or(*next);
        let length = length.map_or(Some(entry.3), |length| u32::try_from(length).ok())?;
        *next = offset.wrapping_add(u64::from(length));
        let (rest, step) = step(rest)?;
        *nonce = nonce.wrapping_add_signed(step);
        let header = DataHeader { kind: DataKind::Data, nonce: *nonce, offset };
        let mut bytes = vec![0; DATA_HEADER_LENGTH];
        header.write(bytes.first_chunk_mut()?);
        let event = Event::Datagram { from: entry.0, bytes, left_out: length };
        let fits = (1..=LENGTH_MAX - DATA_HEADER_LENGTH).contains(&(length as usize));
        (rest.is_empty() && fits).then_some(event)
    }

    fn grant(&mut self, letter: char, rest: &str) -> Option<Event> {
        let index = (letter as usize).checked_sub('a' as usize)?;
        let it = self.receivers.get_mut(index)?;
        let (rest, length) = cut(rest, ':')?;
        let (rest, offset) = cut(rest, '@')?;
        let (rest, step) = step(rest)?;
        let nonce = it.nonce.wrapping_add_signed(step);
        let range =
            ObjectRange { offset: offset.unwrap_or(it.next), length: u32::try_from(length?).ok()? };
        let (cookie, object, payload_length) = (it.cookie, it.object, it.payload_length);
        let bytes = OneRange { nonce, cookie, object, payload_length, range }.encode()?;
        it.nonce = nonce.wrapping_add(1);
        it.next = range.offset + u64::from(range.length);
        rest.is_empty().then_some(Event::Datagram { from: it.from, bytes, left_out: 0 })
    }
}

/// Cuts `MARKnumber` off the end of a text; nothing where no number follows the mark.
fn cut(text: &str, mark: char) -> Option<(&str, Option<u64>)> {
    match text.rsplit_once(mark) {
        None => Some((text, None)),
        Some((rest, digits)) => Some((rest, Some(digits.parse().ok()?))),
    }
}

/// Cuts `#STEP` off the end of a text.
fn step(text: &str) -> Option<(&str, i64)> {
    match text.rsplit_once('#') {
        None => Some((text, 0)),
        Some((rest, digits)) => Some((rest, digits.parse().ok()?)),
    }
}
