//! What a transfer is made of, in a few characters each: most of what a core is handed are packets of files
//! and grants, blocks proven and stored, ranges served, and wake-ups. Up to [`TOKENS_MAX`] of them in a
//! row are one line, a *run*: tables of what they refer to, and one token for each.
//!
//! | token | stands for |
//! |---|---|
//! | `a` to `z` | the next packet of that flow of the table; `#STEP`, `@OFFSET` and `:LENGTH` where nonce, offset and length are not what follows from the one before |
//! | `Ga` to `Gz` | the next grant of that receiver: of one range, `@OFFSET` where it does not follow the one before, `:LENGTH`; `#STEP` where its nonce is not the last one and 1 |
//! | `V12` | block buffer 12 is genuine |
//! | `S12` | block buffer 12 is stored |
//! | `J12` | all of job 12 was sent |
//! | `W0` | a wake-up, for that reason of the table |
//!
//! Then `+MICROSECONDS` since the token before where it is not the same moment, `=` and four digits: the lowest
//! 16 bits of the digest of its [results](super::tally), and a letter for each output, in order: `k` keep,
//! `t` transmit, `r` reserve, `v` verify, `s` store, `l` release, `g` serve, `c` check_partial. A packet
//! with nothing behind it was kept, and that is all; `-` says that nothing came of it.

mod reading;

use std::fmt::Write;
use std::net::SocketAddr;

pub(crate) use self::reading::read;
use crate::content::hex;
use crate::node::{BufferId, FetchId, Instant, JobId};
use crate::wire::{
    Cookie, Data, DataHeader, DataKind, Grant, Message, Object, ObjectKind, ObjectRange, Ranges,
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

/// A flow of the table, and where its next packet is to begin. The grants of a flow are counted in the
/// lower 24 bits of the nonce, so that one entry does for all of a source's.
#[derive(Clone, Copy, Debug)]
struct Flow {
    from: SocketAddr,
    first_nonce: u64,
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
        let is_it = |flow: &Flow| flow.from == from && flow.nonce >> 24 == nonce >> 24;
        let known = self.flows.iter().position(is_it);
        let index = known.unwrap_or(self.flows.len());
        if index == TABLE_MAX {
            return false;
        }
        if known.is_none() {
            let (first, next) = (offset, offset);
            self.flows.push(Flow { from, first_nonce: nonce, nonce, length, first, next });
        }
        let flow = &mut self.flows[index];
        self.tokens.push(char::from(b'a' + index as u8));
        push_step(&mut self.tokens, nonce, flow.nonce);
        flow.nonce = nonce;
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
        push_step(&mut self.tokens, grant.nonce, receiver.nonce);
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
            let Flow { from, first_nonce, first, length, .. } = flow;
            let _ = write!(line, "{separator}[\"{from}\",\"{first_nonce:016x}\",{first},{length}]");
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

/// How far a nonce is from the one that was to be expected, where it is another.
fn push_step(to: &mut String, nonce: u64, expected: u64) {
    if nonce != expected {
        // Writing to a string cannot fail.
        let _ = write!(to, "#{}", nonce.wrapping_sub(expected) as i64);
    }
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
        ObjectKind::Changes => "changes",
    };
    format!("{kind} {}", hex::encode(&object.id()))
}

/// What of a packet of a file a token can stand for.
pub(crate) fn data(from: SocketAddr, data: &Data<'_>) -> Option<Small> {
    let DataHeader { kind, nonce, offset } = data.header;
    let length = u32::try_from(data.payload.len()).ok()?;
    (kind == DataKind::Data).then_some(Small::Data { from, nonce, offset, length })
}

#[cfg(test)]
mod tests;
