//! Fetching one file: from the question who has it to the file in `share/`.
//!
//! A fetch is *opening* its store, *searching* `share/` for what is already there, *fetching* it from
//! the network, *publishing* it ([`publishing`]), or the copy of what was found, and has then *ended*. While it is fetching, each
//! source has its contact and its flow ([`source`]), each claimed chain its standing ([`claims`]) and each
//! block its stage ([`assembly`]); [`schedule`] brings them together: what to ask of whom; [`shoal`] does where
//! others fetch the same.

mod assembly;
mod block;
pub(crate) mod claims;
pub(crate) mod contact;
mod disk;
mod given;
pub(crate) mod publishing;
mod room;
mod schedule;
mod search;
mod second_way;
pub(crate) mod seek;
mod shoal;
mod size_trial;
pub(crate) mod source;
mod trackers;
mod view;
mod weigh;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use log::{info, warn};
use serde::{Deserialize, Serialize};

use super::budget::Pace;
use super::context::Context;
use super::deadline::{Deadline, Earliest};
use super::directory::host_text;
use super::ids::BufferId;
use super::input::{DiskFault, DiskFaultKind, FetchRequest, StoreOpening};
use super::output::{FetchEnding, Output};
use super::time::Instant;
use crate::content::ContentId;
use crate::content::block_layout::BLOCK_LENGTH_MAX;
use crate::content::state_chain::{Chain, Proof};
use crate::wire::{About, InstanceId};
use assembly::Assembly;
use block::{Purpose, Stage};
use claims::Claims;
use given::Turns;
use publishing::Publishing;
use search::Unsearched;
use seek::Seek;
use size_trial::SizeTrial;
use source::Source;
use trackers::Trackers;
pub use view::{FetchView, SourceView};

/// Sources that one fetch keeps; further ones are dropped.
pub(crate) const SOURCES_MAX: usize = 256;
/// The longest content that can be fetched, in bytes: what a chain that fits its memory covers.
pub const SIZE_MAX: u64 = (claims::CHAIN_LENGTH_MAX / 20 + 1) * BLOCK_LENGTH_MAX;
/// How long a fetch waits before it asks whether another process still has the file.
const TAKEN_RETRY: Duration = Duration::from_millis(150);
/// How long it waits for room on the disk before it tries again, the first time and from then on.
const NO_ROOM_RETRY: Duration = Duration::from_secs(3);
const NO_ROOM_RETRY_AGAIN: Duration = Duration::from_secs(5);
/// How long a source that refuses is left alone.
const REFUSED_REST: Duration = Duration::from_millis(500);
/// How often it is looked whether somebody holds the others up.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a fetch holds back when sources contradict each other: enough for a chain and a block, and
/// little for a liar to gain. There are at most [`claims::CLAIMS_MAX`] such times.
const CONTESTED: Duration = Duration::from_millis(250);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    Opening {
        retry_at: Option<Instant>,
    },
    Searching,
    Fetching,
    Publishing(Publishing),
    /// There was no room for publishing.
    Unpublished {
        retry_at: Instant,
    },
    Ended,
}

/// How far a fetch is, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchProgress {
    /// The file's size in bytes.
    pub size: u64,
    /// Bytes proven and on disk.
    pub stored: u64,
    /// Bytes that have come, proven or not.
    pub received: u64,
    /// Hosts that give, or could.
    pub sources: usize,
    /// What it is doing, or waiting for, in a few words.
    pub doing: &'static str,
}

/// One fetch.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Fetch {
    request: FetchRequest,
    started_at: Instant,
    phase: Phase,
    searched: bool,
    /// What is left to be looked through in `share/`.
    #[serde(default)]
    unsearched: Unsearched,
    sources: BTreeMap<SocketAddr, Source>,
    #[serde(default)]
    turns: Turns,
    claims: Claims,
    assembly: Assembly,
    seek: Seek,
    #[serde(default)]
    trackers: Trackers,
    size_trial: SizeTrial,
    /// No room on the disk: nothing is stored before then.
    no_room_until: Option<Instant>,
    /// Since when there is none, whatever was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    no_room_since: Option<Instant>,
    /// When bytes last came, if any did.
    bytes_moved_at: Option<Instant>,
    /// When it is looked whether somebody holds the others up.
    look_at: Instant,
    /// Until then, a chain that contradicts the one gone by is waited for.
    contested_until: Option<Instant>,
    /// The claim whose last block was bad, and has not been seen since: nothing else is asked for under it.
    #[serde(default)]
    doubted: Option<usize>,
    /// Liars that people have been told of.
    #[serde(default)]
    liars_named: u32,
    #[serde(default)]
    ending: Option<FetchEnding>,
    /// Who had given when it ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    gave: Vec<IpAddr>,
}

impl Fetch {
    pub(crate) fn new(ctx: &mut Context<'_>, request: FetchRequest) -> Self {
        let mut fetch = Self {
            started_at: ctx.now,
            phase: Phase::Opening { retry_at: None },
            searched: false,
            unsearched: Unsearched::Nothing,
            sources: BTreeMap::new(),
            turns: Turns::default(),
            claims: Claims::new(request.content, request.size),
            assembly: Assembly::new(request.fetch, request.size),
            seek: Seek::new(),
            trackers: Trackers::default(),
            size_trial: SizeTrial::default(),
            no_room_until: None,
            no_room_since: None,
            bytes_moved_at: None,
            look_at: ctx.now,
            contested_until: None,
            doubted: None,
            liars_named: 0,
            ending: None,
            gave: Vec::new(),
            request,
        };
        fetch.open(ctx);
        fetch
    }

    /// The sources that were named are to give it, and others are spared: they are called late.
    pub(crate) const fn spare_others(&mut self) {
        self.seek.late();
    }

    /// How it ended, if it did.
    pub(crate) const fn ending(&self) -> Option<&FetchEnding> {
        self.ending.as_ref()
    }

    /// Ends it for now: what has come of it stays on disk, and another fetch goes on from there.
    pub(crate) fn give_up(&mut self, ctx: &mut Context<'_>) {
        if !self.has_ended() {
            self.end(ctx, FetchEnding::GivenUp);
        }
    }

    /// Whether it waits for this machine and not for others.
    pub(crate) const fn is_busy_with_disk(&self) -> bool {
        !matches!(self.phase, Phase::Fetching)
    }

    /// Who gave bytes, and none that were found to be false; more than one address of a host count once each.
    pub(crate) fn givers(&self) -> Vec<IpAddr> {
        let gives = |source: &&Source| source.flow.delivered() > 0 && source.bad_blocks == 0;
        let giving = self.sources.values().filter(gives);
        self.gave.iter().copied().chain(giving.map(|source| source.address.ip())).collect()
    }

    pub(crate) const fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    pub(crate) fn progress(&self, now: Instant) -> FetchProgress {
        // Hosts, not addresses: where a host says who it is, its addresses count once.
        let giving = self.sources.values().filter(|source| self.gives(source, now));
        let nameless =
            |source: &Source| (source.instance == InstanceId::NONE).then_some(source.address);
        let hosts: BTreeSet<_> = giving.map(|source| (source.instance, nameless(source))).collect();
        let sources = hosts.len();
        let doing = match &self.phase {
            Phase::Opening { .. } if self.no_room_until.is_some() => "waiting for room on the disk",
            Phase::Opening { retry_at: None } => "opening its files",
            Phase::Opening { .. } => "waiting for another fetch of this file",
            Phase::Searching => "looking in share/",
            Phase::Fetching if self.no_room_until.is_some() => "waiting for room on the disk",
            Phase::Fetching if self.assembly.has_unchecked() && self.has_chain() => {
                "checking what is on disk"
            }
            Phase::Fetching if sources == 0 => "looking for sources",
            Phase::Fetching => "fetching",
            Phase::Publishing(publishing) if publishing.is_copy() => "copying from share/",
            Phase::Publishing(_) | Phase::Unpublished { .. } => "publishing",
            Phase::Ended => "done",
        };
        FetchProgress {
            size: self.request.size,
            stored: self.assembly.stored_bytes(),
            received: self.assembly.received_bytes(),
            sources,
            doing,
        }
    }

    // Time.

    pub(crate) fn deadline(&self, now: Instant, asking: Option<&Pace>) -> Option<Deadline> {
        let mut earliest = Earliest::default();
        if self.has_ended() {
            return None;
        }
        let timeout = self.request.timeout.map(|timeout| self.started_at + timeout);
        earliest.at(timeout, "the caller's patience ends");
        match self.phase {
            Phase::Opening { retry_at } => earliest.at(retry_at, "the store is asked for again"),
            Phase::Unpublished { retry_at } => {
                earliest.at(Some(retry_at), "publishing is tried again");
            }
            Phase::Searching | Phase::Publishing(_) | Phase::Ended => {}
            Phase::Fetching => {
                earliest.at(self.no_room_until, "there may be room on the disk");
                earliest.at(self.seek.at(), "sources are called for");
                earliest.at(self.trackers.ask_at(), "a tracker is asked");
                earliest.at(self.search_on_at(), "share/ is looked through to its end");
                let limited = asking.map(Pace::next_at).filter(|&at| at > now);
                earliest.at(limited, "the limit lets more be asked for");
                let several = self.sources.len() > 1;
                earliest.at(several.then_some(self.look_at), "it is looked who is slow");
                let contested = self.contested_until.filter(|&until| until > now);
                earliest.at(contested, "a contradicting chain was waited for");
                for source in self.sources.values() {
                    earliest.consider(source.deadline(now));
                }
            }
        }
        earliest.get()
    }

    pub(crate) fn handle_timeout(&mut self, ctx: &mut Context<'_>) {
        if self.has_ended() {
            return;
        }
        let timeout = self.request.timeout.map(|timeout| self.started_at + timeout);
        if timeout.is_some_and(|at| at <= ctx.now) {
            return self.end(ctx, FetchEnding::TimedOut);
        }
        match self.phase {
            Phase::Opening { retry_at: Some(at) } if at <= ctx.now => self.open(ctx),
            Phase::Unpublished { retry_at } if retry_at <= ctx.now => self.publish(ctx),
            Phase::Fetching => {
                if self.no_room_until.is_some_and(|until| until <= ctx.now) {
                    self.no_room_until = None;
                }
                let lost: Vec<SocketAddr> = self
                    .sources
                    .values()
                    .filter(|s| s.is_lost(ctx.now))
                    .map(|s| s.address)
                    .collect();
                for address in lost {
                    self.let_go(ctx, address);
                    self.sources.remove(&address);
                }
                if self.look_at <= ctx.now {
                    self.look_at = ctx.now + LOOK_EVERY;
                    self.take_turns(ctx);
                    self.look_at_ways(ctx.now);
                }
                if self.seek.is_due(ctx.now) {
                    self.seek.call(ctx, self.about());
                }
                self.trackers.ask_due(ctx, self.about());
                self.search_on(ctx);
                self.ask_due(ctx);
                self.relent(ctx.now, true);
                self.advance(ctx);
            }
            Phase::Opening { .. }
            | Phase::Unpublished { .. }
            | Phase::Searching
            | Phase::Publishing(_)
            | Phase::Ended => {}
        }
    }

    pub(crate) fn check_invariants(&self) {
        assert!(self.sources.len() <= SOURCES_MAX);
        self.turns.check_invariants(&self.sources);
        self.claims.check_invariants();
        self.assembly.check_invariants();
        for (address, source) in &self.sources {
            source.flow.check_invariants();
            assert_eq!(*address, source.address);
        }
        for (_, block) in self.assembly.iter().filter(|(_, block)| block.stage == Stage::Gathering)
        {
            let owner = block.owner.map(|owner| self.sources.contains_key(&owner));
            assert_ne!(owner, Some(false), "a block is asked of a source that is not there");
        }
    }

    // Within.

    const fn about(&self) -> About {
        About::Content { content: self.request.content, size: self.request.size }
    }

    fn open(&mut self, ctx: &mut Context<'_>) {
        self.phase = Phase::Opening { retry_at: None };
        ctx.emit(Output::OpenStore {
            fetch: self.request.fetch,
            content: self.request.content,
            size: self.request.size,
            name: self.request.name.clone(),
        });
    }

    /// From where it stands; the first time, whoever was named is asked, and then everybody.
    fn go_on_fetching(&mut self, ctx: &mut Context<'_>) {
        if self.seek.at().is_none() {
            return self.begin_fetching(ctx);
        }
        self.phase = Phase::Fetching;
        self.advance(ctx);
    }

    fn begin_fetching(&mut self, ctx: &mut Context<'_>) {
        self.phase = Phase::Fetching;
        if self.request.size > SIZE_MAX {
            let reason = format!("files of more than {SIZE_MAX} bytes cannot be fetched");
            return self.end(ctx, FetchEnding::Failed(reason));
        }
        self.take_given(ctx);
        if !self.request.alone {
            self.seek.begin(ctx.now, !self.sources.is_empty());
            self.trackers.begin(ctx);
        }
        self.handle_timeout(ctx);
    }

    fn ask_due(&mut self, ctx: &mut Context<'_>) {
        let about = self.about();
        for source in self.sources.values_mut() {
            if source.is_question_due(ctx.now) {
                source.ask(ctx, about);
            }
        }
    }

    fn has_chain(&self) -> bool {
        self.claims.current_chain().is_some()
    }

    fn gives(&self, source: &Source, now: Instant) -> bool {
        source.is_usable(now)
            && !source.flow.is_stalled()
            && source.claim() == self.claims.current()
    }

    fn end(&mut self, ctx: &mut Context<'_>, ending: FetchEnding) {
        self.phase = Phase::Ended;
        let buffers: Vec<BufferId> = self.assembly.iter().map(|(buffer, _)| buffer).collect();
        for buffer in buffers {
            self.assembly.release(ctx, buffer);
        }
        for source in self.sources.values().filter(|source| source.flow.delivered() > 0) {
            let (host, flow) = (host_text(source.address), &source.flow);
            let (came, lost, trip) = (flow.delivered(), flow.lost(), flow.round_trip());
            info!("{host}: {came} bytes came, {lost} were lost, round trip {trip:?}");
        }
        self.gave = self.givers();
        self.sources.clear();
        self.ending = Some(ending.clone());
        ctx.emit(Output::FetchEnded { fetch: self.request.fetch, ending });
    }

    /// The purpose of a block that is no part of the file.
    const fn is_trial(purpose: Purpose) -> bool {
        !matches!(purpose, Purpose::Content)
    }
}
