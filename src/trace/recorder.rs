//! Writing a trace: what is handed to the core is noted before the core sees it, and becomes a line, or a
//! part of one, when what came of it is known, or when nothing will.
//!
//! The recorder never fails a run: the first error of whatever it writes to ends the trace, and
//! [`trouble`](Recorder::trouble) tells it once. What was noted is written out when the buffer is full, at
//! [`flush`](Recorder::flush) and at [`finish`](Recorder::finish).

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use super::datagram::{self, Kept};
use super::line::{self, Checkpoint, End, Header, How, LINE_LENGTH_MAX, Sum};
use super::masking::Masking;
use super::ring::Ring;
use super::run::{Run, Small};
use super::tally::{RunningSum, Tally};
use crate::content::hex;
use crate::node::output::FetchEnding;
use crate::node::{
    Deadline, Digest, FetchId, Input, Instant, Node, Output, SectionVisitor, json_of,
};

/// So much is gathered before it is written out, in bytes.
const BUFFER_LENGTH: usize = 64 * 1024;
/// The least time between two checkpoints, and so much more for each megabyte of state: digests are made
/// of a few hundred megabytes a second, so they take less than a hundredth of the time.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);

/// Writes one trace.
pub struct Recorder {
    masking: Masking,
    payload: bool,
    in_runs: bool,
    sink: Sink,
    trouble: Option<io::Error>,
    /// Lines that have not been written out.
    lines: String,
    run: Run,
    pending: Pending,
    tally: Tally,
    count: u64,
    now: Instant,
    sum: RunningSum,
    in_core: bool,
    endings: Vec<(FetchId, FetchEnding)>,
    checkpoint_at: Instant,
}

enum Sink {
    /// Everything goes there.
    Stream(Box<dyn Write>),
    /// What happened of late stays in memory.
    Ring(Ring),
    /// Nothing more is written.
    Closed,
}

/// The input that was noted last.
enum Pending {
    None,
    Small(Small),
    /// The fields of its line that say what it is.
    Line(String),
}

impl Recorder {
    /// A recorder that writes everything. The header says what is left out.
    pub fn new(header: &Header, to: Box<dyn Write>) -> Self {
        let mut recorder = Self::to_sink(header, Sink::Stream(to));
        recorder.lines = header_line(header);
        // A process that is killed at once has said at least what it was.
        recorder.flush();
        recorder
    }

    /// A recorder that keeps what happened of late, in so many bytes of memory at most.
    pub fn ring(header: &Header, bytes: usize) -> Self {
        Self::to_sink(header, Sink::Ring(Ring::new(header_line(header), bytes)))
    }

    fn to_sink(header: &Header, sink: Sink) -> Self {
        let begins = Instant::from_micros(header.begins);
        Self {
            masking: if header.private { Masking::on(!header.config.serves) } else { Masking::Off },
            payload: header.payload,
            in_runs: true,
            sink,
            trouble: None,
            lines: String::new(),
            run: Run::default(),
            pending: Pending::None,
            tally: Tally::default(),
            count: 0,
            now: begins,
            sum: RunningSum::default(),
            in_core: false,
            endings: Vec::new(),
            checkpoint_at: begins + CHECKPOINT_EVERY,
        }
    }

    /// Records what was recorded before: names are pseudonyms already.
    #[must_use]
    pub fn again(mut self) -> Self {
        if matches!(self.masking, Masking::On(_)) {
            self.masking = Masking::Again;
        }
        self
    }

    /// Gives each input a line of its own, as whoever wants to take some out needs it.
    #[must_use]
    pub fn one_line_each(mut self) -> Self {
        self.in_runs = false;
        self
    }

    /// Goes on from a snapshot, which becomes the first line after the header.
    pub fn begin_with(&mut self, snapshot: &str, count: u64, now: Instant, sum: Sum) {
        (self.count, self.now, self.sum) = (count, now, sum.into());
        self.checkpoint_at = now + CHECKPOINT_EVERY;
        self.lines.push_str(&snapshot_line(snapshot, count, now, sum));
    }

    /// Notes an input that the core is about to be handed.
    pub fn before(&mut self, node: &Node, now: Instant, input: &Input<'_>) {
        self.note(now);
        self.pending = match input {
            Input::Datagram { from, bytes } => {
                let private = !matches!(self.masking, Masking::Off);
                match datagram::keep(node, *from, bytes, self.payload, private) {
                    Kept::Small(small) => Pending::Small(small),
                    Kept::Bytes { message, bytes, left_out } => {
                        let fields = datagram_fields(*from, message, bytes, left_out);
                        Pending::Line(fields)
                    }
                }
            }
            Input::Verified { fetch, buffer, genuine: true, collides: false } => {
                Pending::Small(Small::Verified { fetch: *fetch, buffer: *buffer })
            }
            Input::Stored { fetch, buffer, outcome: Ok(()) } => {
                Pending::Small(Small::Stored { fetch: *fetch, buffer: *buffer })
            }
            Input::Served { job, outcome: crate::node::input::ServeOutcome::Sent } => {
                Pending::Small(Small::Served { job: *job })
            }
            other => Pending::Line(self.input_fields(other)),
        };
    }

    /// Notes that the core is about to be told the time, because of this deadline.
    pub fn before_wake(&mut self, now: Instant, reason: &'static str) {
        self.note(now);
        self.pending = Pending::Small(Small::Wake { reason });
    }

    fn note(&mut self, now: Instant) {
        debug_assert!(matches!(self.pending, Pending::None), "one input, then its outputs");
        self.count += 1;
        self.now = now;
        self.in_core = true;
        self.tally.clear();
    }

    fn input_fields(&mut self, input: &Input<'_>) -> String {
        let mut json = b"\"in\":".to_vec();
        self.masking.write(input, &mut json);
        String::from_utf8(json).unwrap_or_default()
    }

    /// Tells whether the core is being called, so that a panic can be laid at the right door. Between
    /// [`before`](Self::before) and the first output it is.
    pub fn set_in_core(&mut self, in_core: bool) {
        self.in_core = in_core;
    }

    /// Takes an output of the input in hand.
    pub fn output(&mut self, output: &Output) {
        self.in_core = false;
        self.tally.output(output, &mut self.masking);
        if let Output::FetchEnded { fetch, ending } = output {
            self.endings.push((*fetch, ending.clone()));
        }
    }

    /// All outputs of the input in hand were taken.
    pub fn after(&mut self, node: &Node) {
        self.in_core = false;
        let deadline = node.poll_timeout();
        let digest = self.tally.finish(deadline);
        self.sum.add(digest);
        let small = match &self.pending {
            Pending::Small(small) if self.in_runs && !self.tally.letters.contains(&b'?') => {
                Some(*small)
            }
            _ => None,
        };
        match small {
            Some(small) if self.run.push(&small, self.now, digest, &self.tally.letters) => {}
            Some(small) => {
                self.end_run(self.count - 1, None);
                self.run.push(&small, self.now, digest, &self.tally.letters);
            }
            None => {
                self.end_run(self.count - 1, None);
                self.write_line(Some(deadline));
            }
        }
        self.pending = Pending::None;
        if self.now >= self.checkpoint_at {
            self.end_run(self.count, Some(deadline));
            self.checkpoint(node);
        }
        if self.masking.has_failed() {
            self.fail(io::Error::other("there are too many names to replace them all"));
        }
        match &mut self.sink {
            Sink::Stream(_) if self.lines.len() >= BUFFER_LENGTH => self.write_out(),
            Sink::Ring(ring) if ring.wants_segment(self.lines.len()) => self.begin_segment(node),
            Sink::Closed => self.lines.clear(),
            _ => {}
        }
    }

    /// The run becomes a line, if there is one. `last` is the number of its last input.
    fn end_run(&mut self, last: u64, deadline: Option<Option<Deadline>>) {
        if self.run.count > 0 {
            self.run.write(last, &mut self.lines);
            if let Some(deadline) = deadline {
                push_due(&mut self.lines, deadline, self.now);
            }
            self.lines.push_str("}\n");
            self.run.clear();
        }
    }

    /// The pending input becomes a line; without results where the deadline is not known any more.
    fn write_line(&mut self, deadline: Option<Option<Deadline>>) {
        let fields = match &self.pending {
            Pending::None => return,
            Pending::Line(fields) => fields,
            Pending::Small(small) => &small_fields(small),
        };
        let (n, t) = (self.count, self.now.as_micros());
        // Writing to a string cannot fail.
        let _ = write!(self.lines, "{{\"n\":{n},\"t\":{t},{fields}");
        if let Some(deadline) = deadline {
            let mut separator = ",\"out\":[";
            for (kind, digest) in self.tally.each() {
                let _ = write!(self.lines, "{separator}\"{kind} {:04x}\"", digest & 0xffff);
                separator = ",";
            }
            self.lines.push_str(if self.tally.len() == 0 { ",\"out\":[]" } else { "]" });
            push_due(&mut self.lines, deadline, self.now);
        }
        self.lines.push_str("}\n");
    }

    fn checkpoint(&mut self, node: &Node) {
        let (state, bytes) = sections(node, &mut self.masking);
        let sum = self.sum.get();
        let checkpoint = Checkpoint { n: self.count, t: self.now.as_micros(), sum, state };
        push_json(&mut self.lines, "checkpoint", &checkpoint);
        let more = Duration::from_micros(bytes as u64);
        self.checkpoint_at = self.now + CHECKPOINT_EVERY + more;
    }

    /// The ring goes on with a new segment, which begins with the state as it is.
    fn begin_segment(&mut self, node: &Node) {
        self.end_run(self.count, None);
        let mut state = Vec::new();
        self.masking.write(node, &mut state);
        let state = String::from_utf8(state).unwrap_or_default();
        let snapshot = snapshot_line(&state, self.count, self.now, self.sum.get());
        let lines = std::mem::take(&mut self.lines);
        if let Sink::Ring(ring) = &mut self.sink {
            let length = snapshot.len();
            if length > LINE_LENGTH_MAX || !ring.begin_segment(lines, snapshot) {
                let sentence = format!(
                    "the state takes {length} bytes, more than half of what --trace-ring allows"
                );
                self.fail(io::Error::other(sentence));
            }
        }
    }

    fn write_out(&mut self) {
        if let Sink::Stream(to) = &mut self.sink {
            if let Err(error) = to.write_all(self.lines.as_bytes()) {
                self.fail(error);
            }
            self.lines.clear();
        }
    }

    fn fail(&mut self, error: io::Error) {
        if !matches!(self.sink, Sink::Closed) {
            self.sink = Sink::Closed;
            self.trouble = Some(error);
        }
    }

    /// Why nothing more is recorded; told once.
    pub fn trouble(&mut self) -> Option<io::Error> {
        self.trouble.take()
    }

    /// Whether it came to an end before the run did: nothing needs to be handed to it any more.
    pub const fn is_closed(&self) -> bool {
        matches!(self.sink, Sink::Closed)
    }

    /// Writes out what was noted so far. To be called now and then, between two inputs.
    pub fn flush(&mut self) {
        self.end_run(self.count, None);
        self.write_out();
        if let Sink::Stream(to) = &mut self.sink {
            if let Err(error) = to.flush() {
                self.fail(error);
            }
        }
    }

    /// The run is over. Whatever is in hand is written as it is.
    pub fn finish(&mut self, how: How) {
        let in_hand = !matches!(self.pending, Pending::None);
        self.end_run(self.count - u64::from(in_hand), None);
        self.write_line(None);
        let line = self.end_line(how);
        self.lines.push_str(&line);
        self.flush();
    }

    /// What the ring holds, as a trace that ends so.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_ring(&mut self, how: How, to: &mut dyn Write) -> io::Result<()> {
        let in_hand = !matches!(self.pending, Pending::None);
        self.end_run(self.count - u64::from(in_hand), None);
        let end = self.end_line(how);
        let begun = self.lines.len();
        self.write_line(None);
        if let Sink::Ring(ring) = &self.sink {
            ring.write(to)?;
            to.write_all(self.lines.as_bytes())?;
            to.write_all(end.as_bytes())?;
        }
        self.lines.truncate(begun);
        to.flush()
    }

    /// Whether a panic now would come from the core.
    pub const fn is_in_core(&self) -> bool {
        self.in_core
    }

    fn end_line(&mut self, how: How) -> String {
        let endings = std::mem::take(&mut self.endings);
        let (n, t, sum) = (self.count, self.now.as_micros(), self.sum.get());
        let end = End { n, t, sum, how, endings };
        let mut json = b"{\"end\":".to_vec();
        self.masking.write(&end, &mut json);
        json.extend_from_slice(b"}\n");
        self.endings = end.endings;
        String::from_utf8(json).unwrap_or_default()
    }
}

fn header_line(header: &Header) -> String {
    let json = json_of(header);
    json + "\n"
}

fn snapshot_line(state: &str, n: u64, now: Instant, sum: Sum) -> String {
    let (t, sum) = (now.as_micros(), hex::encode(&sum.0.to_be_bytes()));
    format!("{{\"snapshot\":{{\"n\":{n},\"t\":{t},\"sum\":\"{sum}\",\"state\":{state}}}}}\n")
}

fn push_json<T: Serialize>(lines: &mut String, name: &str, value: &T) {
    let json = json_of(value);
    let _ = writeln!(lines, "{{\"{name}\":{json}}}");
}

fn push_due(lines: &mut String, deadline: Option<Deadline>, now: Instant) {
    let _ = match deadline {
        None => write!(lines, ",\"due\":null"),
        Some(due) => {
            write!(lines, ",\"due\":[{},\"{}\"]", line::delta(due.at, now), due.reason)
        }
    };
}

fn datagram_fields(
    from: std::net::SocketAddr,
    message: &str,
    bytes: &[u8],
    left_out: usize,
) -> String {
    let bytes = hex::encode(bytes);
    let mut fields = format!("\"from\":\"{from}\",\"message\":\"{message}\",\"bytes\":\"{bytes}\"");
    if left_out > 0 {
        let _ = write!(fields, ",\"left_out\":{left_out}");
    }
    fields
}

/// The fields of what could have been a token, for a line of its own.
fn small_fields(small: &Small) -> String {
    let json = |input: Input<'_>| {
        let json = json_of(&input);
        format!("\"in\":{json}")
    };
    match *small {
        Small::Data { from, nonce, offset, length } => {
            let kind = crate::wire::DataKind::Data;
            let mut header = [0; crate::wire::DATA_HEADER_LENGTH];
            crate::wire::DataHeader { kind, nonce, offset }.write(&mut header);
            datagram_fields(from, "data", &header, length as usize)
        }
        Small::Grant { from, grant } => {
            datagram_fields(from, "grant", &grant.encode().unwrap_or_default(), 0)
        }
        Small::Verified { fetch, buffer } => {
            json(Input::Verified { fetch, buffer, genuine: true, collides: false })
        }
        Small::Stored { fetch, buffer } => json(Input::Stored { fetch, buffer, outcome: Ok(()) }),
        Small::Served { job } => {
            json(Input::Served { job, outcome: crate::node::input::ServeOutcome::Sent })
        }
        Small::Wake { reason } => format!("\"wake\":\"{reason}\""),
    }
}

/// The digest of each part of a state, and how many bytes of JSON all of it is.
pub(crate) fn sections(node: &Node, masking: &mut Masking) -> (Vec<(String, Sum)>, usize) {
    struct Visitor<'a>(&'a mut Masking, Vec<(String, Sum)>, usize);
    impl SectionVisitor for Visitor<'_> {
        fn section<T: Serialize>(&mut self, name: &str, value: &T) {
            let mut writer = Measured::default();
            self.0.write(value, &mut writer);
            self.1.push((name.to_owned(), Sum(writer.digest.get())));
            self.2 += writer.length;
        }
    }
    let mut visitor = Visitor(masking, Vec::new(), 0);
    node.visit_sections(&mut visitor);
    (visitor.1, visitor.2)
}

/// Takes bytes for their digest and their number alone.
#[derive(Default)]
struct Measured {
    digest: Digest,
    length: usize,
}

impl Write for Measured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.digest.bytes(bytes);
        self.length += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
