//! What passed between any two hosts, and what became of each: of it is told where a list is wrong for too long.

use std::time::Duration;

use sprat::node::Instant;

/// One packet, as short as it can be kept: there are millions.
struct Packet {
    at: Instant,
    from: u16,
    to: u16,
    code: u8,
    is_lost: bool,
}

/// What has passed since it was of interest.
#[derive(Default)]
pub(crate) struct Passed {
    is_kept: bool,
    packets: Vec<Packet>,
    happened: Vec<(Instant, usize, &'static str)>,
}

const NAMES: [&str; 12] = [
    "?", "ANNOUNCE", "FAREWELL", "ASK", "TELL", "GRANT", "DATA", "META", "REFUSE", "NEWS", "HOSTS",
    "HOLD",
];

impl Passed {
    /// From now on it is.
    pub(crate) fn keep(&mut self) {
        self.is_kept = true;
    }

    pub(crate) fn passed(
        &mut self,
        at: Instant,
        from: usize,
        to: usize,
        bytes: &[u8],
        is_lost: bool,
    ) {
        if self.is_kept {
            let (from, to) = (u16::try_from(from).unwrap(), u16::try_from(to).unwrap());
            self.packets.push(Packet { at, from, to, code: bytes[3], is_lost });
        }
    }

    pub(crate) fn happened(&mut self, at: Instant, host: usize, what: &'static str) {
        self.happened.push((at, host, what));
    }

    /// Tells what passed between two hosts.
    pub(crate) fn print(&self, one: usize, other: usize) {
        println!("host {one} has it wrong about {other}:");
        let mut lines: Vec<(Instant, String)> = Vec::new();
        for &(at, host, what) in self.happened.iter().filter(|it| it.1 == one || it.1 == other) {
            lines.push((at, format!("{host} {what}")));
        }
        for packet in &self.packets {
            let (from, to) = (usize::from(packet.from), usize::from(packet.to));
            if (from, to) == (one, other) || (from, to) == (other, one) {
                let name = NAMES[usize::from(packet.code)];
                let lost = if packet.is_lost { ", lost" } else { "" };
                lines.push((packet.at, format!("{from} -> {to} {name}{lost}")));
            }
        }
        lines.sort_by_key(|(at, _)| *at);
        for (at, line) in lines {
            let since = at.since(Instant::from_micros(1_000_000));
            println!("  {:9.3} {line}", since.max(Duration::ZERO).as_secs_f64());
        }
    }
}
