//! The whole state of a node, written down and taken up again, and digests of it, part by part: a recording
//! that begins in the middle begins with a snapshot, and a replay tells by the digests *where* it went
//! another way. A snapshot is for the very code that wrote it.

use std::fmt;

use serde::Serialize;

use super::Node;
use super::digest::{Digest, json_of};

/// Why a snapshot is not taken up: it was damaged, or other code wrote it.
#[derive(Debug)]
pub struct SnapshotError(serde_json::Error);

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the snapshot is damaged or of another version: {}", self.0)
    }
}

impl std::error::Error for SnapshotError {}

impl Node {
    /// The state between two inputs, as JSON on one line. It takes time and room with what the node
    /// knows: a fetch of a gigabyte some 600 kB, a peer some 500 bytes for each file of its
    /// own and each that others list.
    pub fn snapshot(&self) -> String {
        debug_assert!(self.outputs.is_empty(), "what came out is taken before");
        json_of(self)
    }

    /// The node that wrote a snapshot. What is in it is believed: whoever reads one that may be forged calls
    /// [`check_invariants`](Self::check_invariants) and is ready for a panic.
    pub fn restore(snapshot: &str) -> Result<Self, SnapshotError> {
        serde_json::from_slice(snapshot.as_bytes()).map_err(SnapshotError)
    }

    /// A digest of each part of the state, with its name, always in the same order.
    pub fn digests(&self) -> Vec<(String, u64)> {
        let mut digests = Digests(Vec::new());
        self.visit_sections(&mut digests);
        digests.0
    }

    /// Shows each part of the state with its name, always in the same order.
    pub fn visit_sections(&self, visitor: &mut impl SectionVisitor) {
        let rest = (self.now, &self.interfaces, self.in_flight_max, self.stopped);
        visitor.section("config", &self.config);
        visitor.section("random", &self.random);
        visitor.section("counters", &self.counters);
        visitor.section("shelf", &self.shelf);
        visitor.section("partials", &self.partials);
        visitor.section("server", &self.server);
        visitor.section("discovery", &self.discovery);
        if let Some(sync) = &self.sync {
            visitor.section("sync", sync);
        }
        if let Some(tracker) = &self.tracker {
            visitor.section("tracker", tracker);
        }
        visitor.section("outputs", &self.outputs);
        visitor.section("rest", &rest);
        for (id, fetch) in &self.fetches {
            visitor.section(&id.to_string(), fetch);
        }
        if let Some(locate) = &self.locate {
            visitor.section("locate", locate);
        }
    }
}

/// Who wants to see the state, part by part.
pub trait SectionVisitor {
    /// One part.
    fn section<T: Serialize>(&mut self, name: &str, value: &T);
}

struct Digests(Vec<(String, u64)>);

impl SectionVisitor for Digests {
    fn section<T: Serialize>(&mut self, name: &str, value: &T) {
        self.0.push((name.to_owned(), Digest::of(value)));
    }
}
