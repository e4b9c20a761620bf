//! A transfer by TCP that never ends, as others on the line run them: CUBIC (RFC 9438) with HyStart++'s way out of slow
//! start (RFC 9406), selective acknowledgement of every segment, no pacing. It is a sparring partner, not a TCP: the
//! stream has no bytes, a lost segment is replaced by the next one, and what reached the other end is counted.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use sprat::node::Instant;

use super::network::Flight;

/// Bytes of the stream in a segment, with timestamps.
const SEGMENT: u64 = 1_448;
/// What a datagram must hold to take as much of the wire as a full segment: 1,538 bytes less a datagram's overhead.
const SEGMENT_DATAGRAM: usize = 1_472;
/// The same for an acknowledgement of 52 bytes.
const ACKNOWLEDGEMENT_DATAGRAM: usize = 24;
/// CUBIC's constants (RFC 9438, sections 4.1 and 4.6).
const C: f64 = 0.4;
const BETA: f64 = 0.7;
/// The initial window (RFC 6928).
const INITIAL_WINDOW: f64 = 10.0;
/// Linux's shortest retransmission timeout.
const TIMEOUT_MIN: Duration = Duration::from_millis(200);

/// One transfer.
pub(crate) struct Cubic {
    from: SocketAddr,
    to: SocketAddr,
    /// Bytes that have come.
    pub(crate) delivered: u64,
    window: f64,
    threshold: f64,
    largest: f64,
    epoch: Option<Instant>,
    estimate: f64,
    outstanding: BTreeMap<u64, Instant>,
    next_number: u64,
    recover: u64,
    round_ends: u64,
    round_shortest: Duration,
    shortest: Duration,
    smoothed: Duration,
    heard_at: Instant,
    begins: Instant,
}

impl Cubic {
    /// From one address to another, beginning then.
    pub(crate) fn new(from: SocketAddr, to: SocketAddr, begins: Instant) -> Self {
        Self {
            from,
            to,
            delivered: 0,
            window: INITIAL_WINDOW,
            threshold: f64::MAX,
            largest: 0.0,
            epoch: None,
            estimate: 0.0,
            outstanding: BTreeMap::new(),
            next_number: 0,
            recover: 0,
            round_ends: 0,
            round_shortest: Duration::MAX,
            shortest: Duration::MAX,
            smoothed: Duration::from_millis(200),
            heard_at: begins,
            begins,
        }
    }

    pub(crate) fn concerns(&self, flight: &Flight) -> bool {
        let ends = (flight.from, flight.to);
        ends == (self.from, self.to) || ends == (self.to, self.from)
    }

    /// When it does something of itself.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        if self.next_number == 0 {
            return Some(self.begins);
        }
        Some(self.heard_at + (self.smoothed * 2).max(TIMEOUT_MIN))
    }

    /// Takes a segment or an acknowledgement, and sends what it may.
    pub(crate) fn run(&mut self, now: Instant, segment: Option<&Flight>) -> Vec<Flight> {
        let mine = segment.filter(|flight| self.concerns(flight));
        let number = mine.map(|flight| {
            u64::from_be_bytes(flight.bytes[..8].try_into().expect("every segment has a number"))
        });
        if let (Some(flight), Some(number)) = (mine, number) {
            if flight.to == self.to {
                self.delivered += SEGMENT;
                let mut bytes = vec![0; ACKNOWLEDGEMENT_DATAGRAM];
                bytes[..8].copy_from_slice(&number.to_be_bytes());
                return vec![Flight { from: self.to, to: self.from, bytes }];
            }
            self.acknowledged(now, number);
        } else if self.next_at().is_none_or(|at| now < at) {
            return Vec::new();
        } else if self.next_number > 0 {
            // Nothing comes at all: all is lost.
            self.outstanding.clear();
            self.threshold = (self.window * BETA).max(2.0);
            (self.window, self.epoch) = (1.0, None);
            self.heard_at = now;
        }
        self.send(now)
    }

    fn send(&mut self, now: Instant) -> Vec<Flight> {
        let mut flights = Vec::new();
        while (self.outstanding.len() as f64) < self.window {
            let mut bytes = vec![0; SEGMENT_DATAGRAM];
            bytes[..8].copy_from_slice(&self.next_number.to_be_bytes());
            self.outstanding.insert(self.next_number, now);
            self.next_number += 1;
            flights.push(Flight { from: self.from, to: self.to, bytes });
        }
        flights
    }

    fn acknowledged(&mut self, now: Instant, number: u64) {
        let Some(sent_at) = self.outstanding.remove(&number) else { return };
        self.heard_at = now;
        let trip = now.since(sent_at);
        self.shortest = self.shortest.min(trip);
        self.round_shortest = self.round_shortest.min(trip);
        self.smoothed = (self.smoothed * 7 + trip) / 8;
        let lost: Vec<u64> =
            self.outstanding.range(..number.saturating_sub(2)).map(|(&lost, _)| lost).collect();
        for lost in &lost {
            self.outstanding.remove(lost);
        }
        if lost.iter().any(|&lost| lost >= self.recover) {
            self.cut();
        } else if number >= self.recover {
            self.grow(now);
        }
        if number >= self.round_ends {
            self.end_round();
        }
    }

    fn cut(&mut self) {
        // Fast convergence.
        let less = self.window < self.largest;
        self.largest = if less { self.window * (1.0 + BETA) / 2.0 } else { self.window };
        self.window = (self.window * BETA).max(2.0);
        self.threshold = self.window;
        self.epoch = None;
        self.recover = self.next_number;
    }

    fn end_round(&mut self) {
        let rise = (self.shortest / 8).clamp(Duration::from_millis(4), Duration::from_millis(16));
        if self.window < self.threshold && self.round_shortest >= self.shortest + rise {
            self.threshold = self.window;
        }
        self.round_ends = self.next_number;
        self.round_shortest = Duration::MAX;
    }

    fn grow(&mut self, now: Instant) {
        if self.window < self.threshold {
            self.window += 1.0;
            return;
        }
        if self.epoch.is_none() {
            self.estimate = self.window;
            self.largest = self.largest.max(self.window);
        }
        let epoch = *self.epoch.get_or_insert(now);
        let elapsed = (now.since(epoch) + self.smoothed).as_secs_f64();
        let wait = cube_root(self.largest * (1.0 - BETA) / C);
        let away = elapsed - wait;
        let target = (C * away * away * away + self.largest).min(self.window * 1.5);
        let alpha = 3.0 * (1.0 - BETA) / (1.0 + BETA);
        self.estimate += alpha / self.window;
        if target > self.window {
            self.window += (target - self.window) / self.window;
        }
        self.window = self.window.max(self.estimate);
    }
}

/// By Newton's method: the library's differs between systems in the last digit.
fn cube_root(of: f64) -> f64 {
    let mut root = of.max(1.0);
    for _ in 0..60 {
        root -= (root * root * root - of) / (3.0 * root * root);
    }
    root
}
