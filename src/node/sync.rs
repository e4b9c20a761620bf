//! Keeping in step: what others offer and `share/` lacks is fetched by itself, a few at a time, the oldest news first.
//!
//! It only decides *what* and *when*: the fetches are those that a person starts, with the same proofs and the same
//! rules of publishing, which never overwrite. Nothing is ever taken away because somebody else took it away, and
//! what has come once does not come again: who deletes a file here has deleted it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use log::{debug, info, warn};
use serde::{Deserialize, Serialize};

use super::context::Context;
use super::deadline::Deadline;
use super::directory::Shown;
use super::fetch::Fetch;
use super::ids::FetchId;
use super::input::FetchRequest;
use super::output::{FetchEnding, Output};
use super::shelf::Shelf;
use super::time::Instant;
use crate::content::terminal_text::printable;
use crate::content::{ContentId, Pattern, ShareName};
use crate::wire::listing::{ListingEntries, ListingEntryRef};
use crate::wire::{InstanceId, LISTING_FILES_MAX};

/// Downloads at a time.
pub(crate) const DOWNLOADS_MAX: usize = 4;
/// What is wanted and waits; what comes beyond it is found when there is room again.
pub(crate) const WAITING_MAX: usize = LISTING_FILES_MAX as usize;
/// What has come is remembered up to so many; what is beyond may come again once it was deleted.
pub(crate) const CAME_MAX: usize = 1 << 20;
/// Entries that are looked at in one step, and how soon the next one comes: a turn of the loop stays short.
const ENTRIES_A_STEP: usize = 1_024;
const STEP: Duration = Duration::from_millis(1);
/// How long the host has at its start to see its own files.
const BEGIN_AFTER: Duration = Duration::from_secs(3);
/// How often downloads are looked after.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A download to which nothing comes for so long makes room for others.
const STALLED: Duration = Duration::from_secs(60);
/// One that failed is tried again after this long, twice as long each time, up to the longest.
const RETRY: Duration = Duration::from_secs(10);
const RETRY_MAX: Duration = Duration::from_secs(600);
/// Fetches of this machine count from here; those of commands count from one.
const FIRST_FETCH: u32 = 1 << 16;
/// Lists that are looked through: as many as there can be hosts.
const LISTS_MAX: usize = super::discovery::REMOTES_MAX;

/// What is to be kept in step with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncRules {
    /// Names that fit one of these; all, where there is none.
    #[serde(default)]
    pub include: Vec<Pattern>,
    /// But none that fits one of these.
    #[serde(default)]
    pub exclude: Vec<Pattern>,
    /// Nothing longer than this, in bytes.
    #[serde(default)]
    pub max_size: Option<u64>,
}

impl SyncRules {
    fn want(&self, entry: &ListingEntryRef<'_>) -> bool {
        let name = entry.name.as_str();
        let fits = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(name));
        (self.include.is_empty() || fits(&self.include))
            && !fits(&self.exclude)
            && self.max_size.is_none_or(|most| entry.size <= most)
    }
}

/// A list of one host, and how far it was looked through.
#[derive(Debug, Serialize, Deserialize)]
struct List {
    address: SocketAddr,
    entries: ListingEntries,
    looked: usize,
}

/// A content under a name.
type Wanted = (ContentId, ShareName);

/// What is wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Waiting {
    wanted: Wanted,
    size: u64,
    failures: u32,
    not_before: Instant,
}

/// A download.
#[derive(Debug, Serialize, Deserialize)]
struct Running {
    waiting: Waiting,
    received: u64,
    moved_at: Instant,
}

/// The machine.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sync {
    rules: SyncRules,
    lists: BTreeMap<InstanceId, List>,
    /// In the order of turns; by what is wanted, too.
    turns: BTreeMap<u64, Waiting>,
    known: BTreeSet<Wanted>,
    next_turn: u64,
    running: BTreeMap<FetchId, Running>,
    next_fetch: u32,
    came: BTreeSet<Wanted>,
    look_at: Instant,
}

impl Sync {
    pub(crate) fn new(rules: SyncRules, now: Instant) -> Self {
        Self {
            rules,
            lists: BTreeMap::new(),
            turns: BTreeMap::new(),
            known: BTreeSet::new(),
            next_turn: 0,
            running: BTreeMap::new(),
            next_fetch: FIRST_FETCH,
            came: BTreeSet::new(),
            look_at: now + BEGIN_AFTER,
        }
    }

    /// This has come before, in an earlier run.
    pub(crate) fn came_before(&mut self, content: ContentId, name: ShareName) {
        if self.came.len() < CAME_MAX {
            self.came.insert((content, name));
        }
    }

    /// These are the lists that there are now.
    pub(crate) fn lists_are(&mut self, shown: &BTreeMap<InstanceId, Shown>) {
        self.lists.retain(|instance, _| shown.contains_key(instance));
        for (&instance, host) in shown.iter().take(LISTS_MAX) {
            let known = self.lists.get_mut(&instance);
            match known.filter(|list| list.entries.is(&host.entries)) {
                Some(list) => list.address = host.address,
                None => {
                    let (address, entries) = (host.address, host.entries.clone());
                    self.lists.insert(instance, List { address, entries, looked: 0 });
                }
            }
        }
    }

    pub(crate) const fn deadline(&self) -> Deadline {
        Deadline::new(self.look_at, "what others have is looked through")
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.look_at <= now
    }

    /// Looks on, starts downloads, and looks after those that run. Returns what is to be fetched now.
    pub(crate) fn work(
        &mut self,
        ctx: &mut Context<'_>,
        shelf: &Shelf,
        fetches: &mut BTreeMap<FetchId, Fetch>,
    ) -> Vec<FetchRequest> {
        self.look_after(ctx, fetches);
        if !shelf.is_quiet() {
            // What stands there may be what would be fetched.
            self.look_at = ctx.now + LOOK_EVERY / 4;
            return Vec::new();
        }
        let more = self.look_on(ctx.now, shelf);
        let requests = self.start(ctx, shelf);
        self.look_at = ctx.now + if more { STEP } else { LOOK_EVERY };
        requests
    }

    /// A fetch has ended; it may be one of ours.
    pub(crate) fn ended(&mut self, ctx: &mut Context<'_>, fetch: FetchId, how: &FetchEnding) {
        let Some(Running { mut waiting, .. }) = self.running.remove(&fetch) else { return };
        self.look_at = ctx.now + STEP;
        let name = printable(waiting.wanted.1.as_str()).to_string();
        match how {
            FetchEnding::Done(as_name) => {
                info!("in step: {as_name}");
                self.known.remove(&waiting.wanted);
                let (content, name) = waiting.wanted.clone();
                self.came_before(content, name.clone());
                return ctx.emit(Output::Synced { content, name });
            }
            FetchEnding::WrongSize { size } => {
                warn!("{name} has {size} bytes and not {}, as its host lists", waiting.size);
            }
            FetchEnding::TimedOut => debug!("{name} does not come: others first"),
            FetchEnding::Failed(why) => warn!("{name} was not fetched: {why}"),
        }
        let wait = RETRY * (1 << waiting.failures.min(6));
        waiting.failures = waiting.failures.saturating_add(1);
        waiting.not_before = ctx.now + wait.min(RETRY_MAX);
        self.put(waiting);
    }

    pub(crate) fn check_invariants(&self) {
        assert!(self.running.len() <= DOWNLOADS_MAX && self.turns.len() <= WAITING_MAX);
        assert_eq!(self.known.len(), self.turns.len() + self.running.len());
        assert!(self.lists.len() <= LISTS_MAX);
    }

    fn put(&mut self, waiting: Waiting) {
        self.turns.insert(self.next_turn, waiting);
        self.next_turn += 1;
    }

    /// Looks at the next entries that were not looked at. Whether there are more.
    fn look_on(&mut self, now: Instant, shelf: &Shelf) -> bool {
        let mut left = ENTRIES_A_STEP;
        let mut new = Vec::new();
        let mut room = WAITING_MAX.saturating_sub(self.turns.len() + DOWNLOADS_MAX);
        for list in self.lists.values_mut() {
            while let Some(entry) = list.entries.get(list.looked).filter(|_| left > 0 && room > 0) {
                list.looked += 1;
                left -= 1;
                if self.rules.want(&entry) {
                    room -= 1;
                    new.push(entry.to_owned());
                }
            }
        }
        for entry in new {
            let wanted = (entry.content, entry.name);
            if self.known.contains(&wanted) || !self.is_lacking(shelf, &wanted) {
                continue;
            }
            self.known.insert(wanted.clone());
            self.put(Waiting { wanted, size: entry.size, failures: 0, not_before: now });
        }
        left == 0
    }

    /// Whether `share/` lacks it, and never had it from others.
    fn is_lacking(&self, shelf: &Shelf, wanted: &Wanted) -> bool {
        let (content, name) = wanted;
        if self.came.contains(wanted) {
            return false;
        }
        let mut names = shelf.names_of(*content);
        if shelf.has_name(name) {
            // Another content has the name: this one gets one beside it, once.
            return names.next().is_none();
        }
        // What stands beside another content elsewhere is the one that we have under its own name.
        names.all(|ours| ours.beside(*content, 1) != *name)
    }

    fn start(&mut self, ctx: &mut Context<'_>, shelf: &Shelf) -> Vec<FetchRequest> {
        let mut requests = Vec::new();
        let due: Vec<u64> = self
            .turns
            .iter()
            .filter(|(_, waiting)| waiting.not_before <= ctx.now)
            .map(|(&turn, _)| turn)
            .take(DOWNLOADS_MAX * 4)
            .collect();
        for turn in due {
            if self.running.len() >= DOWNLOADS_MAX {
                break;
            }
            let Some(waiting) = self.turns.remove(&turn) else { continue };
            let sources = self.who_offers(&waiting.wanted);
            if sources.is_empty() || !self.is_lacking(shelf, &waiting.wanted) {
                self.known.remove(&waiting.wanted);
                continue;
            }
            let fetch = FetchId(self.next_fetch);
            self.next_fetch = self.next_fetch.checked_add(1).unwrap_or(FIRST_FETCH);
            let (content, name) = waiting.wanted.clone();
            let size = waiting.size;
            requests.push(FetchRequest { fetch, content, size, name, sources, timeout: None });
            self.running.insert(fetch, Running { waiting, received: 0, moved_at: ctx.now });
        }
        requests
    }

    /// Who lists this content under this name.
    fn who_offers(&self, (content, name): &Wanted) -> Vec<SocketAddr> {
        let lists = self.lists.values();
        let offer = lists.filter(|list| {
            list.entries.find(name.borrowed()).is_some_and(|entry| entry.content == *content)
        });
        offer.map(|list| list.address).collect()
    }

    /// Ends downloads to which nothing comes: whoever offered them may be gone.
    fn look_after(&mut self, ctx: &mut Context<'_>, fetches: &mut BTreeMap<FetchId, Fetch>) {
        let mut idle = Vec::new();
        for (&id, running) in &mut self.running {
            let Some(fetch) = fetches.get(&id) else { continue };
            let received = fetch.progress(ctx.now).received;
            if received > running.received || fetch.is_busy_with_disk() {
                running.received = received;
                running.moved_at = ctx.now;
            } else if ctx.now.since(running.moved_at) >= STALLED {
                idle.push(id);
            }
        }
        for id in idle {
            if let Some(fetch) = fetches.get_mut(&id) {
                fetch.give_up(ctx);
            }
        }
    }
}
