//! What a transfer is made of, in a few characters each: most of what a core is handed are packets of files
//! and grants, blocks proven and stored, ranges served, and wake-ups. Up to [`TOKENS_MAX`] of them in a
//! row are one line, a *run*: tables of what they refer to, and one token for each.
//!
//! | token | stands for |
//! |---|---|
//! | `a` to `z` | the next packet of that flow of the table; `@OFFSET` and `:LENGTH` where they are not what follows from the one before |
//! | `Ga` to `Gz` | the next grant of that receiver: of one range, `@OFFSET` where it does not follow the one before, `:LENGTH`; `#NONCE` where it is not the last one and 1 |
//! | `V12` | block buffer 12 is genuine |
//! | `S12` | block buffer 12 is stored |
//! | `J12` | all of job 12 was sent |
//! | `W0` | a wake-up, for that reason of the table |
//!
//! Then `+MICROSECONDS` since the token before where it is not the same moment, `=` and four digits: the lowest
//! 16 bits of the digest of its [results](super::tally), and a letter for each output, in order: `k` keep,
//! `t` transmit, `r` reserve, `v` verify, `s` store, `l` release, `g` serve, `c` check_partial. A packet
//! with nothing behind it was kept, and that is all; `-` says that nothing came of it.

use std::borrow::Cow;
use std::fmt::Write;
use std::net::SocketAddr;

use super::line::{FlowEntry, GrantEntry, Line};
use super::reader::{Event, Expected, Step};
use crate::content::hex;
use crate::node::input::ServeOutcome;
use crate::node::{BufferId, FetchId, Input, Instant, JobId};
use crate::wire::{
    Cookie, DATA_HEADER_LENGTH, Data, DataHeader, DataKind, Grant, Message, Object, ObjectKind,
    ObjectRange, Ranges,
};

/// The most inputs on one line.
pub(crate) const TOKENS_MAX: usize = 128;
/// The most flows, and the most receivers, of one line: there are so many letters.
const TABLE_MAX: usize = 26;
/// The most reasons of one line.
const REASONS_MAX: usize = 16;

/// An input that has a token.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Small {
    Data { from: SocketAddr, nonce: u64, offset: u64, length: u32 },
    Grant { from: SocketAddr, grant: OneRange },
    Verified { fetch: FetchId, buffer: BufferId },
    Stored { fetch: FetchId, buffer: BufferId },
    Served { job: JobId },
    Wake { reason: &'static str },
}

/// A grant of one range, which all of ours are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OneRange {
    nonce: u64,
    cookie: Cookie,
    object: Object,
    payload_length: u16,
    range: ObjectRange,
}

impl OneRange {
    /// The grant, if it is such a one.
    pub(crate) fn of(grant: &Grant) -> Option<Self> {
        let Grant { nonce, cookie, object, ranges } = grant;
        let [range] = ranges[..] else { return None };
        let payload_length = ranges.payload_length();
        Some(Self { nonce: *nonce, cookie: *cookie, object: *object, payload_length, range })
    }

    /// The datagram; none if its numbers are beyond the limits.
    pub(crate) fn encode(self) -> Option<Vec<u8>> {
        let Self { nonce, cookie, object, payload_length, range } = self;
        let ranges = Ranges::new(&[range], payload_length).ok()?;
        Some(Message::Grant(Grant { nonce, cookie, object, ranges }).encode())
    }
}

/// A flow of the table, and where its next packet is to begin.
#[derive(Clone, Copy, Debug)]
struct Flow {
    from: SocketAddr,
    nonce: u64,
    length: u32,
    first: u64,
    next: u64,
}

/// A receiver of the table, and what its next grant is to be.
#[derive(Clone, Copy, Debug)]
struct Receiver {
    from: SocketAddr,
    object: Object,
    cookie: Cookie,
    payload_length: u16,
    first_nonce: u64,
    nonce: u64,
    next: u64,
}

/// A run while it is put together.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) count: usize,
    tokens: String,
    began: u64,
    last: u64,
    flows: Vec<Flow>,
    receivers: Vec<Receiver>,
    reasons: Vec<&'static str>,
    fetch: Option<FetchId>,
}

impl Run {
    pub(crate) fn clear(&mut self) {
        self.count = 0;
        self.tokens.clear();
        self.flows.clear();
        self.receivers.clear();
        self.reasons.clear();
        self.fetch = None;
    }

    /// Adds an input with its results; false where there is no room, and nothing has changed.
    pub(crate) fn push(&mut self, small: &Small, now: Instant, digest: u64, outs: &[u8]) -> bool {
        if self.count >= TOKENS_MAX || !self.push_what(small) {
            return false;
        }
        let now = now.as_micros();
        if self.count == 0 {
            self.began = now;
        } else if now != self.last {
            // Writing to a string cannot fail.
            let _ = match now.checked_sub(self.last) {
                Some(delta) => {
                    self.tokens.push('+');
                    push_number(&mut self.tokens, delta);
                    Ok(())
                }
                None => write!(self.tokens, "+{}", now.wrapping_sub(self.last) as i64),
            };
        }
        self.tokens.push('=');
        for place in [12, 8, 4, 0] {
            let digit = b"0123456789abcdef"[(digest >> place) as usize & 15];
            self.tokens.push(char::from(digit));
        }
        match (small, outs) {
            (Small::Data { .. }, b"k") => {}
            (Small::Data { .. }, []) => self.tokens.push('-'),
            _ => self.tokens.extend(outs.iter().map(|letter| char::from(*letter))),
        }
        self.count += 1;
        self.last = now;
        true
    }

    fn push_what(&mut self, small: &Small) -> bool {
        let begun = self.tokens.len();
        if self.count > 0 {
            self.tokens.push(' ');
        }
        let fits = match *small {
            Small::Data { from, nonce, offset, length } => {
                self.push_data(from, nonce, offset, length)
            }
            Small::Grant { from, ref grant } => self.push_grant(from, grant),
            Small::Verified { fetch, buffer } => self.push_for(fetch, 'V', buffer.0),
            Small::Stored { fetch, buffer } => self.push_for(fetch, 'S', buffer.0),
            Small::Served { job } => {
                self.tokens.push('J');
                push_number(&mut self.tokens, job.0);
                true
            }
            Small::Wake { reason } => self.push_wake(reason),
        };
        if !fits {
            self.tokens.truncate(begun);
        }
        fits
    }

    fn push_data(&mut self, from: SocketAddr, nonce: u64, offset: u64, length: u32) -> bool {
        let known = self.flows.iter().position(|flow| flow.from == from && flow.nonce == nonce);
        let index = known.unwrap_or(self.flows.len());
        if index == TABLE_MAX {
            return false;
        }
        if known.is_none() {
            self.flows.push(Flow { from, nonce, length, first: offset, next: offset });
        }
        let flow = &mut self.flows[index];
        self.tokens.push(char::from(b'a' + index as u8));
        if offset != flow.next {
            self.tokens.push('@');
            push_number(&mut self.tokens, offset);
        }
        if length != flow.length {
            self.tokens.push(':');
            push_number(&mut self.tokens, u64::from(length));
        }
        flow.next = offset.wrapping_add(u64::from(length));
        true
    }

    fn push_grant(&mut self, from: SocketAddr, grant: &OneRange) -> bool {
        let OneRange { object, cookie, payload_length, range, .. } = *grant;
        let known = self.receivers.iter().position(|it| {
            (it.from, it.object, it.cookie, it.payload_length)
                == (from, object, cookie, payload_length)
        });
        let index = known.unwrap_or(self.receivers.len());
        if index == TABLE_MAX {
            return false;
        }
        if known.is_none() {
            let (first_nonce, nonce) = (grant.nonce, grant.nonce);
            let next = 0;
            let new = Receiver { from, object, cookie, payload_length, first_nonce, nonce, next };
            self.receivers.push(new);
        }
        let receiver = &mut self.receivers[index];
        self.tokens.extend(['G', char::from(b'a' + index as u8)]);
        if grant.nonce != receiver.nonce {
            let _ = write!(self.tokens, "#{:x}", grant.nonce);
        }
        if range.offset != receiver.next {
            let _ = write!(self.tokens, "@{}", range.offset);
        }
        let _ = write!(self.tokens, ":{}", range.length);
        receiver.nonce = grant.nonce.wrapping_add(1);
        receiver.next = range.offset + u64::from(range.length);
        true
    }

    fn push_for(&mut self, fetch: FetchId, letter: char, buffer: u64) -> bool {
        self.tokens.push(letter);
        push_number(&mut self.tokens, buffer);
        *self.fetch.get_or_insert(fetch) == fetch
    }

    fn push_wake(&mut self, reason: &'static str) -> bool {
        let known = self.reasons.iter().position(|known| *known == reason);
        let index = known.unwrap_or(self.reasons.len());
        if index == REASONS_MAX {
            return false;
        }
        if known.is_none() {
            self.reasons.push(reason);
        }
        self.tokens.push('W');
        push_number(&mut self.tokens, index as u64);
        true
    }

    /// Writes the fields of the line, from `"n"` to the tables. `last` is the number of the last input.
    pub(crate) fn write(&self, last: u64, line: &mut String) {
        let n = last + 1 - self.count as u64;
        let _ = write!(line, "{{\"n\":{n},\"t\":{},\"run\":\"{}\"", self.began, self.tokens);
        let mut separator = ",\"flows\":[";
        for flow in &self.flows {
            let Flow { from, nonce, first, length, .. } = flow;
            let _ = write!(line, "{separator}[\"{from}\",\"{nonce:016x}\",{first},{length}]");
            separator = ",";
        }
        close(line, self.flows.is_empty());
        separator = ",\"grants\":[";
        for it in &self.receivers {
            let cookie = hex::encode(&it.cookie.0);
            let (from, object, nonce) = (it.from, object_text(&it.object), it.first_nonce);
            let payload_length = it.payload_length;
            let _ = write!(line, "{separator}[\"{from}\",\"{object}\",\"{cookie}\",");
            let _ = write!(line, "{payload_length},\"{nonce:016x}\"]");
            separator = ",";
        }
        close(line, self.receivers.is_empty());
        separator = ",\"why\":[";
        for reason in &self.reasons {
            // Reasons are ours, and plain words.
            let _ = write!(line, "{separator}\"{reason}\"");
            separator = ",";
        }
        close(line, self.reasons.is_empty());
        if let Some(fetch) = self.fetch {
            let _ = write!(line, ",\"fetch\":{}", fetch.0);
        }
    }
}

/// In decimal. What is written for every packet is worth more than the comfort of `write!`.
fn push_number(to: &mut String, number: u64) {
    let mut digits = [0; 20];
    let (mut rest, mut start) = (number, digits.len());
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    to.extend(digits[start..].iter().map(|digit| char::from(*digit)));
}

fn close(line: &mut String, empty: bool) {
    if !empty {
        line.push(']');
    }
}

/// `file 2fd4…`, without the shortening that logs have.
fn object_text(object: &Object) -> String {
    let kind = match object.kind() {
        ObjectKind::File => "file",
        ObjectKind::Chain => "chain",
        ObjectKind::Have => "have",
        ObjectKind::Listing => "listing",
    };
    format!("{kind} {}", hex::encode(&object.id()))
}

fn object_from(text: &str) -> Option<Object> {
    let (kind, id) = text.split_once(' ')?;
    let kind = match kind {
        "file" => ObjectKind::File,
        "chain" => ObjectKind::Chain,
        "have" => ObjectKind::Have,
        "listing" => ObjectKind::Listing,
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
        let kind = |letter| super::tally::kind_of(letter).map(Cow::Borrowed);
        let kinds = letters.bytes().map(kind).collect::<Option<Vec<_>>>()?;
        let expected = Some(Expected { kinds, each: Vec::new(), results: Some(digest), due: None });
        if steps.len() == TOKENS_MAX {
            return None;
        }
        steps.push(Step { n, at: Instant::from_micros(at), line: number, event, expected });
        n += 1;
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
                Input::Verified { fetch: self.fetch?, buffer, genuine: true }
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
        let header = DataHeader { kind: DataKind::Data, nonce: *nonce, offset };
        let mut bytes = vec![0; DATA_HEADER_LENGTH];
        header.write(bytes.first_chunk_mut()?);
        let event = Event::Datagram { from: entry.0, bytes, left_out: length };
        (rest.is_empty() && length > 0).then_some(event)
    }

    fn grant(&mut self, letter: char, rest: &str) -> Option<Event> {
        let index = (letter as usize).checked_sub('a' as usize)?;
        let it = self.receivers.get_mut(index)?;
        let (rest, length) = cut(rest, ':')?;
        let (rest, offset) = cut(rest, '@')?;
        let nonce = match rest.strip_prefix('#') {
            Some(digits) => number(digits)?,
            None if rest.is_empty() => it.nonce,
            None => return None,
        };
        let range =
            ObjectRange { offset: offset.unwrap_or(it.next), length: u32::try_from(length?).ok()? };
        let (cookie, object, payload_length) = (it.cookie, it.object, it.payload_length);
        let bytes = OneRange { nonce, cookie, object, payload_length, range }.encode()?;
        it.nonce = nonce.wrapping_add(1);
        it.next = range.offset + u64::from(range.length);
        Some(Event::Datagram { from: it.from, bytes, left_out: 0 })
    }
}

/// Cuts `MARKnumber` off the end of a text; nothing where no number follows the mark.
fn cut(text: &str, mark: char) -> Option<(&str, Option<u64>)> {
    match text.rsplit_once(mark) {
        None => Some((text, None)),
        Some((rest, digits)) => Some((rest, Some(digits.parse().ok()?))),
    }
}

/// What of a packet of a file a token can stand for.
pub(crate) fn data(from: SocketAddr, data: &Data<'_>) -> Option<Small> {
    let DataHeader { kind, nonce, offset } = data.header;
    let length = u32::try_from(data.payload.len()).ok()?;
    (kind == DataKind::Data).then_some(Small::Data { from, nonce, offset, length })
}

#[cfg(test)]
mod tests;
