//! Lines back to steps. A trace comes from somewhere else: it may be cut off, damaged, newer than this
//! program, forged, or no trace at all. Each of these is a sentence with the number of the line; memory is
//! bounded by [`LINE_LENGTH_MAX`], and nothing is believed but what it says of itself.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufRead, Read};
use std::net::SocketAddr;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::line::{Checkpoint, Due, End, FORMAT, Header, LINE_LENGTH_MAX, Line, Sum};
use super::run;
use crate::node::{Input, Instant};
use crate::wire::DATAGRAM_LENGTH_MAX;

/// No datagram of a trace is longer: it is more than any socket hands over, and what the core makes of one
/// is its affair.
pub(crate) const LENGTH_MAX: usize = DATAGRAM_LENGTH_MAX + (1 << 16);

/// Why a trace cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError {
    /// The number of the line, from 1 on.
    pub line: u64,
    /// What is wrong with it.
    pub what: Wrong,
}

/// What can be wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The first line is no header.
    NoTrace,
    /// It was written by a newer program, in this version of the format.
    TooNew(u64),
    /// It is longer than any line.
    TooLong,
    /// It is not one of the lines there are.
    Damaged(String),
    /// The file ends within it, or before the last line.
    CutOff,
    /// The file goes on after the last line.
    GoesOn,
    /// It cannot be read.
    Unreadable(String),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line;
        match &self.what {
            Wrong::NoTrace => f.write_str("it is no trace: the first line is not a trace's header"),
            Wrong::TooNew(version) => write!(
                f,
                "it is written in version {version} of the format, and this program knows up to {FORMAT}: \
                 use a newer sprat"
            ),
            Wrong::TooLong => write!(f, "line {line} is longer than any line of a trace"),
            Wrong::Damaged(why) => write!(f, "line {line} is damaged: {why}"),
            Wrong::CutOff => write!(f, "the trace is cut off after {line} lines"),
            Wrong::GoesOn => write!(f, "line {line} comes after the end of the trace"),
            Wrong::Unreadable(why) => write!(f, "line {line} cannot be read: {why}"),
        }
    }
}

impl std::error::Error for ReadError {}

/// What a trace consists of, after its header.
#[derive(Debug)]
pub enum Record {
    /// The state that it begins in.
    Snapshot {
        /// Inputs before it.
        count: u64,
        /// The time of the last of them.
        at: Instant,
        /// The sum over them.
        sum: Sum,
        /// The state, for the core.
        state: Box<RawValue>,
    },
    /// An input.
    Step(Step),
    /// Digests of the state after the step before.
    Checkpoint(Checkpoint),
    /// The end.
    End(End),
}

/// One input, and what came of it.
#[derive(Debug)]
pub struct Step {
    /// Its number, from 1 on.
    pub n: u64,
    /// When.
    pub at: Instant,
    /// On which line it stands.
    pub line: u64,
    /// What.
    pub event: Event,
    /// What came of it; nothing where the recorded process ended within it.
    pub(crate) expected: Option<Expected>,
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// A datagram came.
    Datagram {
        /// From whom.
        from: SocketAddr,
        /// The bytes that were kept.
        bytes: Vec<u8>,
        /// How many more it had.
        left_out: u32,
    },
    /// A deadline had come.
    Wake {
        /// Which.
        reason: String,
    },
    /// Anything else.
    Input(Input<'static>),
}

/// What came of an input.
#[derive(Debug)]
pub(crate) struct Expected {
    /// The kinds of the outputs.
    pub(crate) kinds: Vec<Cow<'static, str>>,
    /// The lowest bits of each one's digest, where they are told,
    pub(crate) each: Vec<u16>,
    /// or those of all results.
    pub(crate) results: Option<u16>,
    /// The deadline, where it is told.
    pub(crate) due: Option<Due>,
}

/// What of a header is the same in every version, whatever else is there.
#[derive(Deserialize)]
struct Version {
    sprat_trace: u64,
}

/// Reads a trace, a record at a time.
#[derive(Debug)]
pub struct Reader<R> {
    from: R,
    line: u64,
    text: Vec<u8>,
    /// Steps of a run that have not been handed out, the next one last.
    steps: Vec<Step>,
    ended: bool,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// There is none, or it is of a newer version.
    pub fn new(from: R) -> Result<(Header, Self), ReadError> {
        let mut reader = Self { from, line: 0, text: Vec::new(), steps: Vec::new(), ended: false };
        reader.next_line()?;
        // An array would do for serde.
        let version = serde_json::from_slice(&reader.text).ok().filter(|_| reader.is_object());
        let Some(Version { sprat_trace }) = version else {
            return Err(ReadError { line: 1, what: Wrong::NoTrace });
        };
        if sprat_trace > u64::from(FORMAT) {
            return Err(ReadError { line: 1, what: Wrong::TooNew(sprat_trace) });
        }
        let header = serde_json::from_slice(&reader.text).map_err(|error| reader.damaged(error))?;
        Ok((header, reader))
    }

    /// The next record; none after the end.
    ///
    /// # Errors
    /// The rest cannot be made sense of.
    pub fn next_record(&mut self) -> Result<Option<Record>, ReadError> {
        if let Some(step) = self.steps.pop() {
            return Ok(Some(Record::Step(step)));
        }
        if !self.next_line()? {
            return if self.ended { Ok(None) } else { Err(self.error(Wrong::CutOff)) };
        }
        if self.ended {
            return Err(self.error(Wrong::GoesOn));
        }
        let line: Line = serde_json::from_slice(&self.text).map_err(|error| self.damaged(error))?;
        let record = if self.is_object() { self.record(line) } else { None };
        let record = record.ok_or_else(|| self.damaged("it makes no sense"))?;
        self.ended = matches!(record, Record::End(_));
        Ok(Some(record))
    }

    /// Reads a line into `text`, without its end; false where there is none.
    fn next_line(&mut self) -> Result<bool, ReadError> {
        self.text.clear();
        let most = LINE_LENGTH_MAX as u64 + 1;
        let read = self.from.by_ref().take(most).read_until(b'\n', &mut self.text);
        let length = read.map_err(|error: io::Error| {
            let what = Wrong::Unreadable(error.to_string());
            ReadError { line: self.line + 1, what }
        })?;
        if length == 0 {
            return Ok(false);
        }
        if self.text.pop() != Some(b'\n') {
            let what = match length > LINE_LENGTH_MAX {
                true => Wrong::TooLong,
                false if self.line == 0 => Wrong::NoTrace,
                false => return Err(self.error(Wrong::CutOff)),
            };
            return Err(ReadError { line: self.line + 1, what });
        }
        self.line += 1;
        Ok(true)
    }

    fn is_object(&self) -> bool {
        self.text.first() == Some(&b'{')
    }

    fn error(&self, what: Wrong) -> ReadError {
        ReadError { line: self.line, what }
    }

    fn damaged(&self, why: impl fmt::Display) -> ReadError {
        self.error(Wrong::Damaged(why.to_string()))
    }

    /// Exactly one kind of line, or none.
    fn record(&mut self, mut line: Line) -> Option<Record> {
        if line.kinds() != 1 || (line.snapshot.is_some() && self.line != 2) {
            return None;
        }
        if let Some(end) = line.end {
            return Some(Record::End(end));
        }
        if let Some(checkpoint) = line.checkpoint {
            return Some(Record::Checkpoint(checkpoint));
        }
        if let Some(snapshot) = line.snapshot {
            let (count, at) = (snapshot.n, Instant::from_micros(snapshot.t));
            return Some(Record::Snapshot { count, at, sum: snapshot.sum, state: snapshot.state });
        }
        if line.run.is_some() {
            self.steps = run::read(&line, self.line)?;
            self.steps.reverse();
            return self.steps.pop().map(Record::Step);
        }
        let event = match (line.input.take(), line.wake.take(), line.from) {
            (Some(input), None, None) => Event::Input(input),
            (None, Some(reason), None) => Event::Wake { reason },
            (None, None, Some(from)) => {
                let (bytes, left_out) = (line.bytes.take()?.0, line.left_out.unwrap_or(0));
                if bytes.len().checked_add(left_out as usize)? > LENGTH_MAX {
                    return None;
                }
                Event::Datagram { from, bytes, left_out }
            }
            _ => return None,
        };
        let expected = match line.out {
            Some(out) => Some(expected(&out, line.due)?),
            None => None,
        };
        let at = Instant::from_micros(line.t?);
        Some(Record::Step(Step { n: line.n?, at, line: self.line, event, expected }))
    }
}

/// `["keep 3fa1", …]`
fn expected(out: &[String], due: Option<Due>) -> Option<Expected> {
    let mut expected = Expected { kinds: Vec::new(), each: Vec::new(), results: None, due };
    for output in out {
        let (kind, digest) = output.split_once(' ')?;
        expected.kinds.push(Cow::Owned(kind.to_owned()));
        expected.each.push(u16::from_str_radix(digest, 16).ok()?);
    }
    Some(expected)
}
