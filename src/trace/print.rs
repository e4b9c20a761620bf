//! What happened, told: to people in lines, to programs as JSON. `docs/trace.md` has the schema of the
//! latter; it is kept stable, and is not the format of a trace, which may change.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::datagram::{name, whole};
use super::line::{Checkpoint, End, Header};
use super::reader::{Event, Step};
use super::replay::Played;
use crate::content::hex;
use crate::content::terminal_text::{printable, printable_json};
use crate::node::output::ServeSource;
use crate::node::{Deadline, Instant, Node, Output, json_of};
use crate::wire::{Message, decode};

/// How often a view of a source, a fetch or a host is told at most.
const VIEWS_EVERY: Duration = Duration::from_millis(10);

/// Tells one replay.
#[derive(Debug)]
pub struct Printer {
    json: bool,
    views_at: Instant,
    /// The views that were told last, by what they are of.
    told: BTreeMap<(&'static str, String), Value>,
    deadline: Option<Deadline>,
}

impl Printer {
    /// For programs if `json`, else for people.
    pub const fn new(json: bool) -> Self {
        Self { json, views_at: Instant::ORIGIN, told: BTreeMap::new(), deadline: None }
    }

    /// The lines about the beginning.
    pub fn header(&self, header: &Header) -> String {
        if self.json {
            return line(0, header.begins, "header", value(header));
        }
        let Header { command, program, platform, .. } = header;
        let (command, program) = (printable(command), printable(program));
        let (arch, os) = (printable(&platform.arch), printable(&platform.os));
        let private = if header.private { ", names of files are replaced" } else { "" };
        format!("sprat {command}, version {program}, on {os} {arch}{private}\n")
    }

    /// The lines about an input and what came of it.
    pub fn step(&mut self, step: &Step, played: &Played, node: &Node) -> String {
        let (n, at) = (step.n, step.at);
        let mut lines = self.input(step);
        for output in &played.outputs {
            if self.json {
                lines += &line(n, at.as_micros(), "output", output_value(output));
            } else {
                let _ = writeln!(lines, "{:24}-> {}", "", output_text(output));
            }
        }
        if played.deadline != self.deadline {
            self.deadline = played.deadline;
            if self.json {
                let deadline = value(&played.deadline);
                lines += &line(n, at.as_micros(), "deadline", deadline);
            } else {
                let text = super::replay::deadline_text(played.deadline);
                let _ = writeln!(lines, "{:24}next: {text}", "");
            }
        }
        if self.json && at >= self.views_at {
            self.views_at = at + VIEWS_EVERY;
            lines += &self.views(n, at, node);
        }
        lines
    }

    /// The line about an input alone.
    pub fn input(&self, step: &Step) -> String {
        let (n, at) = (step.n, step.at);
        if self.json {
            return line(n, at.as_micros(), "input", event_value(&step.event));
        }
        let number = n.to_string();
        format!("{number:>9} {:>13} {}\n", at.to_string(), event_text(&step.event))
    }

    /// Views that have changed since they were told. A host that is not known any more is told once
    /// more, with the state `gone`.
    pub fn views(&mut self, n: u64, at: Instant, node: &Node) -> String {
        let mut lines = String::new();
        let mut now = BTreeMap::new();
        let mut tell = |subject: &'static str, key: String, view: Value| {
            if self.told.get(&(subject, key.clone())) != Some(&view) {
                lines.push_str(&line(n, at.as_micros(), subject, view.clone()));
            }
            now.insert((subject, key), view);
        };
        for fetch in node.fetch_views() {
            tell("fetch", fetch.fetch.to_string(), value(&fetch));
            for source in &fetch.sources {
                let key = format!("{} {}", fetch.fetch, source.address);
                tell("source", key, value(source));
            }
        }
        for host in node.host_views() {
            tell("host", host.host.to_string(), value(&host));
        }
        for (key, mut view) in std::mem::take(&mut self.told) {
            if key.0 == "host" && !now.contains_key(&key) {
                view["state"] = "gone".into();
                lines.push_str(&line(n, at.as_micros(), key.0, view));
            }
        }
        self.told = now;
        lines
    }

    /// The line about a checkpoint.
    pub fn checkpoint(&self, checkpoint: &Checkpoint) -> String {
        if self.json {
            return line(checkpoint.n, checkpoint.t, "checkpoint", value(checkpoint));
        }
        String::new()
    }

    /// The lines about the end.
    pub fn end(&mut self, end: &End, node: &Node) -> String {
        if self.json {
            let at = Instant::from_micros(end.t);
            return self.views(end.n, at, node) + &line(end.n, end.t, "end", value(end));
        }
        let (at, how) = (Instant::from_micros(end.t), &end.how);
        format!("{:>9} {:>13} the end: {how:?}\n", end.n.to_string(), at.to_string())
    }
}

fn value<T: Serialize + ?Sized>(of: &T) -> Value {
    serde_json::from_str(&json_of(of)).unwrap_or_default()
}

fn line(n: u64, t: u64, subject: &str, about: Value) -> String {
    let about = about.to_string();
    format!("{{\"n\":{n},\"t\":{t},\"{subject}\":{}}}\n", printable_json(&about))
}

/// `{"stored":{"fetch":1}}` with its kind among its fields.
fn tagged(value: Value) -> Map<String, Value> {
    let mut fields = Map::new();
    match value {
        Value::String(kind) => {
            fields.insert("kind".to_owned(), kind.into());
        }
        Value::Object(outer) => {
            for (kind, inner) in outer {
                fields.insert("kind".to_owned(), kind.into());
                match inner {
                    Value::Object(inner) => fields.extend(inner),
                    other => drop(fields.insert("value".to_owned(), other)),
                }
            }
        }
        other => drop(fields.insert("value".to_owned(), other)),
    }
    fields
}

fn event_value(event: &Event) -> Value {
    match event {
        Event::Input(input) => tagged(value(input)).into(),
        Event::Wake { reason } => json!({ "kind": "wake", "reason": reason }),
        Event::Datagram { from, bytes, left_out } => {
            let mut fields = Map::new();
            fields.insert("kind".to_owned(), "datagram".into());
            fields.insert("from".to_owned(), value(from));
            message_fields(bytes, *left_out, &mut fields);
            fields.into()
        }
    }
}

fn output_value(output: &Output) -> Value {
    let mut fields = tagged(value(output));
    match output {
        Output::Transmit { bytes, .. } => {
            fields.remove("bytes");
            message_fields(bytes, 0, &mut fields);
        }
        Output::Serve { source, .. } => {
            let is_file = matches!(source, ServeSource::File { .. } | ServeSource::Partial { .. });
            let kind = if is_file { "data" } else { "meta" };
            fields.insert("data_kind".to_owned(), kind.into());
        }
        _ => {}
    }
    fields.into()
}

/// What a datagram says, and its bytes.
fn message_fields(bytes: &[u8], left_out: u32, fields: &mut Map<String, Value>) {
    let whole = whole(bytes, left_out);
    let message = decode(&whole);
    fields.insert("message".to_owned(), name(&message).into());
    let said = match &message {
        Ok(Message::Announce(it)) => value(it),
        Ok(Message::Farewell(it)) => value(it),
        Ok(Message::Ask(it)) => value(it),
        Ok(Message::Tell(it)) => value(it),
        Ok(Message::Grant(it)) => value(it),
        Ok(Message::Refuse(it)) => value(it),
        Ok(Message::News(it)) => value(it),
        Ok(Message::Hosts(it)) => value(it),
        Ok(Message::Hold(it)) => value(it),
        Ok(Message::Data(it)) => json!({
            "nonce": hex::encode(&it.header.nonce.to_be_bytes()),
            "offset": it.header.offset,
            "payload_length": it.payload.len(),
        }),
        Err(error) => json!({ "reason": error.name() }),
    };
    if let Value::Object(said) = said {
        fields.extend(said);
    }
    fields.insert("length".to_owned(), whole.len().into());
    if left_out > 0 {
        fields.insert("left_out".to_owned(), left_out.into());
    }
    fields.insert("hex".to_owned(), hex::encode(bytes).into());
}

fn event_text(event: &Event) -> String {
    match event {
        Event::Wake { reason } => format!("woken: {}", printable(reason)),
        Event::Input(input) => text_of(value(input)),
        Event::Datagram { from, bytes, left_out } => {
            format!("from {}: {}", address(*from), message_text(&whole(bytes, *left_out)))
        }
    }
}

fn output_text(output: &Output) -> String {
    match output {
        Output::Transmit { to, bytes, .. } => {
            format!("to {}: {}", address(*to), message_text(bytes))
        }
        other => text_of(value(other)),
    }
}

fn address(of: SocketAddr) -> String {
    of.to_string()
}

fn message_text(bytes: &[u8]) -> String {
    match decode(bytes) {
        Ok(message) => message.to_string(),
        Err(error) => format!("{} bytes that say nothing: {error}", bytes.len()),
    }
}

/// `stored fetch 1, buffer 7`
fn text_of(of: Value) -> String {
    let mut fields = tagged(of);
    let kind = fields.remove("kind").unwrap_or_default();
    let mut text = kind.as_str().unwrap_or_default().replace('_', " ");
    let mut separator = ":";
    for (name, value) in fields {
        let shown = match &value {
            Value::String(inner) if inner.len() > 80 => format!("{} characters", inner.len()),
            Value::String(inner) => format!("{inner:?}"),
            other => other.to_string(),
        };
        let _ = write!(text, "{separator} {name} {shown}");
        separator = ",";
    }
    text
}
