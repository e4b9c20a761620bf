//! What a fetch and its sources look like from outside, for pictures and summaries. Nothing decides by it.

use std::net::SocketAddr;

use serde::Serialize;

use super::Fetch;
use super::source::{Held, Source};
use crate::node::ids::FetchId;
use crate::node::time::Instant;

/// One fetch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FetchView {
    /// Which.
    pub fetch: FetchId,
    /// What it is doing, or waiting for, in a few words.
    pub phase: &'static str,
    /// The file's size in bytes.
    pub size: u64,
    /// Bytes that have come, proven or not.
    pub held: u64,
    /// Bytes proven and on disk.
    pub stored: u64,
    /// Bytes of memory that blocks take.
    pub in_memory: u64,
    /// Chains that are claimed and may be true.
    pub chains: usize,
    /// Its sources, by address.
    #[serde(skip)]
    pub sources: Vec<SourceView>,
}

/// One source of a fetch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceView {
    /// Whose.
    pub fetch: FetchId,
    /// Where.
    pub address: SocketAddr,
    /// How it stands: `asked`, `open`, `stalled` or `sidelined`.
    pub state: &'static str,
    /// What it says it holds: `unknown`, `nothing`, `part` or `whole`.
    pub holds: &'static str,
    /// What may be in flight from it, in bytes.
    pub window: u64,
    /// What is, in bytes.
    pub in_flight: u64,
    /// Bytes that are still to be asked of it.
    pub waiting: u64,
    /// The smoothed round trip in microseconds.
    pub rtt: u64,
    /// The shortest round trip of the last ten seconds in microseconds.
    pub min_rtt: u64,
    /// The delivery rate in bytes a second; 0 before it is known.
    pub rate: u64,
    /// The payload of its packets in bytes.
    pub payload: u64,
    /// Bytes that have come from it.
    pub received: u64,
    /// Bytes that were asked of it and given up.
    pub lost: u64,
    /// Bad blocks that it gave.
    pub blamed: u32,
    /// Why nothing more is asked of it at this moment.
    pub waits: &'static str,
}

impl Fetch {
    /// As it is at this moment.
    pub(crate) fn view(&self, id: FetchId, now: Instant) -> FetchView {
        let progress = self.progress(now);
        FetchView {
            fetch: id,
            phase: progress.doing,
            size: progress.size,
            held: progress.received,
            stored: progress.stored,
            in_memory: self.assembly.in_memory(),
            chains: self.claims.numbers().count(),
            sources: self.sources.values().map(|source| source.view(id, now)).collect(),
        }
    }
}

impl Source {
    fn view(&self, fetch: FetchId, now: Instant) -> SourceView {
        let flow = &self.flow;
        SourceView {
            fetch,
            address: self.address,
            state: match () {
                () if self.is_sidelined(now) => "sidelined",
                () if flow.is_stalled() => "stalled",
                () if flow.is_open() => "open",
                () => "asked",
            },
            holds: match &self.told {
                None => "unknown",
                Some(told) if told.claim.is_none() => "nothing",
                Some(told) => match told.held {
                    Held::Whole => "whole",
                    Held::Part { .. } => "part",
                },
            },
            window: flow.window(now),
            in_flight: flow.in_flight(),
            waiting: self.todo.iter().map(|piece| piece.length).sum(),
            rtt: flow.round_trip().as_micros() as u64,
            min_rtt: flow.shortest_round_trip().as_micros() as u64,
            rate: flow.rate(),
            payload: flow.payload_length(),
            received: flow.delivered(),
            lost: flow.lost(),
            blamed: self.bad_blocks,
            waits: self.waits_for(now),
        }
    }

    fn waits_for(&self, now: Instant) -> &'static str {
        let flow = &self.flow;
        match () {
            () if self.is_sidelined(now) && self.bad_blocks > 0 => "it gave bad bytes, and rests",
            () if self.is_sidelined(now) => "it was silent, and rests",
            () if self.told.is_none() => "it has not answered our question",
            () if !flow.is_open() => "it has to give us a cookie",
            () if flow.is_stalled() => "nothing comes from it",
            () if self.claim().is_none() => "it has nothing for us",
            () if now < flow.paced_until() => "its pace",
            () if flow.in_flight() >= flow.window(now) => "its window is full",
            () if flow.in_flight() > 0 => "what is in flight",
            () => "nothing to ask it for",
        }
    }
}
