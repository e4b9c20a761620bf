//! Keeping in step: what others offer and `share/` lacks is fetched by itself, a few at a time, the oldest news first.
//!
//! It only decides *what* and *when*: the fetches are those that a person starts, with the same proofs and the same
//! rules of publishing, which never overwrite. Nothing is ever taken away because somebody else took it away, and
//! what has come once does not come again: who deletes a file here has deleted it.
//!
//! Where many keep in step, one of them fetches a content from its first host, and the others from that one
//! ([`sharing`]).
//!
//! Hosts can list what they do not have. Who gives what it lists has all places but one ([`standing`]); the others are
//! tried beside them, one host at a time, and those that gave nothing are rarer with each time.

mod looking;
mod sharing;
mod standing;
#[cfg(test)]
mod tests;
mod turns;
mod unread;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use log::{debug, info, warn};
use serde::{Deserialize, Serialize};

use super::context::Context;
use super::deadline::Deadline;
use super::directory::{Shown, host_text};
use super::fetch::Fetch;
use super::ids::FetchId;
use super::input::FetchRequest;
use super::output::{FetchEnding, Output};
use super::shelf::Shelf;
use super::time::Instant;
use crate::content::terminal_text::printable;
use crate::content::{ContentId, Pattern, ShareName};
use crate::wire::listing::{ListingEntries, ListingEntry, ListingEntryRef};
use crate::wire::{InstanceId, LISTING_FILES_MAX};
use looking::Sight;
pub(crate) use sharing::Around;
use sharing::Asked;
use standing::{Class, Standings};
use turns::{Turns, Waiting, Wanted};
use unread::Unread;

/// Downloads at a time.
pub(crate) const DOWNLOADS_MAX: usize = 4;
/// What is wanted and waits; what comes beyond it is found when there is room again.
pub(crate) const WAITING_MAX: usize = LISTING_FILES_MAX as usize;
/// Of one list that its host gives, so much waits; its rest is looked at when some of that has come.
const WAITING_EACH: usize = 8_192;
/// And of one whose host is not known to give. There is always room for that: nobody can fill it for others.
const WAITING_UNTRIED: usize = WAITING_MAX / 2 / LISTS_MAX;
/// What has come is remembered up to so many; what is beyond may come again once it was deleted.
pub(crate) const CAME_MAX: usize = 1 << 20;
/// Entries that are looked at in one step, and how soon the next one comes: a turn of the loop stays short.
const ENTRIES_A_STEP: usize = 1_024;
const STEP: Duration = Duration::from_millis(1);
/// And how often it is looked who offers something, in one list.
const LOOKS_A_STEP: usize = 4_096;
/// How long the host has at its start to see its own files.
const BEGIN_AFTER: Duration = Duration::from_secs(3);
/// How often downloads are looked after.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A download to which nothing comes for so long makes room for others: from hosts that give, and from others.
const STALLED: Duration = Duration::from_secs(60);
const STALLED_TRIAL: Duration = Duration::from_secs(15);
/// And one of which nothing is proven for so long, whatever comes.
const UNPROVEN: Duration = Duration::from_secs(600);
/// Downloads at a time from hosts that are not known to give, where nobody waits who does, and where somebody does.
const TRIALS_MAX: usize = DOWNLOADS_MAX - 1;
const TRIALS_BESIDE: usize = 1;
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
    /// So many were not taken, for the many names of their contents.
    left_out: u64,
}

impl List {
    /// It was looked through.
    fn tell_left_out(&mut self) {
        let left_out = std::mem::take(&mut self.left_out);
        if left_out > 0 {
            let host = host_text(self.address);
            warn!("{host} lists contents under many names: {left_out} of those are left out");
        }
    }

    /// Whether it has this content under this name.
    fn offers(&self, (content, name): &Wanted) -> bool {
        let found = self.entries.find(name.borrowed());
        found.is_some_and(|entry| entry.content == *content)
    }
}

/// A download.
#[derive(Debug, Serialize, Deserialize)]
struct Running {
    waiting: Waiting,
    sources: Vec<SocketAddr>,
    /// Nobody who offers it is known to give: this host is tried by it.
    trial: Option<IpAddr>,
    /// Others offer it as well, and were not asked.
    has_others: bool,
    began_at: Instant,
    received: u64,
    moved_at: Instant,
    stored: u64,
    proven_at: Instant,
}

/// The machine.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sync {
    rules: SyncRules,
    lists: BTreeMap<InstanceId, List>,
    turns: Turns,
    standings: Standings,
    /// Lists that are gone or whose hosts rest now, and from which turn on it is to be looked who else offers what waits
    /// under them.
    orphaned: BTreeMap<InstanceId, u64>,
    running: BTreeMap<FetchId, Running>,
    next_fetch: u32,
    came: BTreeSet<Wanted>,
    unread: Unread,
    look_at: Instant,
    /// There was nothing to do but to wait for news.
    is_idle: bool,
    /// How old the lists are that were looked at.
    lists_of: Option<Instant>,
}

impl Sync {
    pub(crate) fn new(rules: SyncRules, now: Instant) -> Self {
        Self {
            rules,
            lists: BTreeMap::new(),
            turns: Turns::default(),
            standings: Standings::default(),
            orphaned: BTreeMap::new(),
            running: BTreeMap::new(),
            next_fetch: FIRST_FETCH,
            came: BTreeSet::new(),
            unread: Unread::default(),
            look_at: now + BEGIN_AFTER,
            is_idle: false,
            lists_of: None,
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
        self.lists.retain(|&instance, _| {
            let is_shown = shown.contains_key(&instance);
            if !is_shown && self.turns.of(instance) > 0 {
                self.orphaned.insert(instance, 0);
            }
            is_shown
        });
        for (&instance, host) in shown.iter().take(LISTS_MAX) {
            let known = self.lists.get_mut(&instance);
            match known.filter(|list| list.entries.is(&host.entries)) {
                Some(list) => list.address = host.address,
                None => {
                    let (address, entries) = (host.address, host.entries.clone());
                    self.lists.insert(instance, List { address, entries, looked: 0, left_out: 0 });
                }
            }
        }
    }

    pub(crate) const fn deadline(&self) -> Deadline {
        Deadline::new(self.look_at, "what others have is looked through")
    }

    /// The lists have changed, the last time at this moment: what is new in them is looked at soon.
    pub(crate) fn lists_changed(&mut self, now: Instant, at: Option<Instant>) {
        if self.is_idle && self.lists_of != at {
            self.look_at = self.look_at.min(now);
        }
        self.lists_of = at;
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.look_at <= now
    }

    /// Looks on, starts downloads, and looks after those that run. Returns what is to be fetched now.
    pub(crate) fn work(
        &mut self,
        ctx: &mut Context<'_>,
        around: Around<'_>,
        shelf: &Shelf,
        fetches: &mut BTreeMap<FetchId, Fetch>,
    ) -> Vec<FetchRequest> {
        self.look_after(ctx, fetches);
        let sight = Sight { now: ctx.now, shelf, around };
        self.is_idle = false;
        if !self.unread.is_all(sight.now, shelf) {
            // What stands there may be what would be fetched.
            self.look_at = ctx.now + LOOK_EVERY / 4;
            return Vec::new();
        }
        let mut looks = (LOOKS_A_STEP / self.lists.len().max(1)).max(1);
        self.look_at_orphans(ctx.now, &mut looks);
        let more = self.look_on(sight);
        let requests = self.start(ctx, shelf, &mut looks);
        self.is_idle = !more && looks > 0;
        let idle_until = if self.is_idle { ctx.now + LOOK_EVERY } else { ctx.now };
        let due = self.turns.next_due().map_or(idle_until, |due| due.min(idle_until));
        self.look_at = due.max(ctx.now + STEP);
        requests
    }

    /// Whether others offer what this fetch is to have from those that it names.
    pub(crate) fn spares_others(&self, id: FetchId) -> bool {
        self.running.get(&id).is_some_and(|running| running.has_others)
    }

    /// A fetch has ended; it may be one of ours.
    pub(crate) fn ended(&mut self, ctx: &mut Context<'_>, id: FetchId, fetch: &Fetch) {
        if let Some(how) = fetch.ending() {
            self.end(ctx, id, how, fetch.givers());
        }
    }

    fn end(&mut self, ctx: &mut Context<'_>, id: FetchId, how: &FetchEnding, givers: Vec<IpAddr>) {
        let Some(Running { mut waiting, sources, began_at, .. }) = self.running.remove(&id) else {
            return;
        };
        self.look_at = ctx.now + STEP;
        let name = printable(waiting.wanted.1.as_str()).to_string();
        match how {
            FetchEnding::Done(as_name) => {
                info!("in step: {as_name}");
                givers.into_iter().for_each(|giver| self.gave(giver, ctx.now));
                self.turns.forget(&waiting.wanted);
                let (content, name) = waiting.wanted.clone();
                self.unread.came(ctx.now, content, as_name.clone());
                self.came_before(content, name.clone());
                return ctx.emit(Output::Synced { content, name });
            }
            FetchEnding::WrongSize { size } => {
                warn!("{name} has {size} bytes and not {}, as its host lists", waiting.size);
                self.let_down(&sources, began_at, ctx.now);
            }
            FetchEnding::Colliding => {
                warn!("{name} was made so that another file has the same SHA-1: not fetched");
                self.turns.forget(&waiting.wanted);
                let (content, name) = waiting.wanted;
                return self.came_before(content, name);
            }
            FetchEnding::TimedOut | FetchEnding::GivenUp => {
                debug!("{name} does not come: others first");
                self.let_down(&sources, began_at, ctx.now);
            }
            FetchEnding::Failed(why) => warn!("{name} was not fetched: {why}"),
        }
        let wait = RETRY * (1 << waiting.failures.min(6));
        waiting.failures = waiting.failures.saturating_add(1);
        waiting.not_before = Some(ctx.now + wait.min(RETRY_MAX));
        self.turns.put(waiting);
    }

    pub(crate) fn check_invariants(&self) {
        assert!(self.running.len() <= DOWNLOADS_MAX);
        assert!(self.turns.known() <= WAITING_MAX);
        assert_eq!(self.turns.known(), self.turns.len() + self.running.len());
        assert!(self.lists.len() <= LISTS_MAX);
        self.turns.check_invariants();
        self.standings.check_invariants();
        self.unread.check_invariants();
    }

    fn gave(&mut self, host: IpAddr, now: Instant) {
        let before = self.standings.class(host, now);
        self.standings.gave(host, now);
        if before != Class::Gives && self.standings.class(host, now) == Class::Gives {
            // What it offers may wait under hosts that do not give.
            let its = self.lists.values_mut().filter(|list| list.address.ip() == host);
            its.for_each(|list| list.looked = 0);
        }
    }

    fn let_down(&mut self, by: &[SocketAddr], since: Instant, now: Instant) {
        for host in by.iter().map(SocketAddr::ip) {
            if self.standings.let_down(host, since, now) {
                debug!("{host} gives nothing of what it offers: others first");
                let its = self.lists.iter().filter(|(_, list)| list.address.ip() == host);
                self.orphaned.extend(its.map(|(&instance, _)| (instance, 0)));
            }
        }
    }

    /// How the host of a list is treated; none, where the list is gone.
    fn class(&self, list: InstanceId, now: Instant) -> Option<Class> {
        Some(self.standings.class(self.lists.get(&list)?.address.ip(), now))
    }

    /// Whether something comes sooner under one list than under another.
    fn is_better(&self, list: InstanceId, other: InstanceId, now: Instant) -> bool {
        self.class(other, now)
            .is_none_or(|other| self.class(list, now).is_some_and(|it| it < other))
    }

    fn start(&mut self, ctx: &Context<'_>, shelf: &Shelf, looks: &mut usize) -> Vec<FetchRequest> {
        let mut requests = Vec::new();
        while self.running.len() < DOWNLOADS_MAX && *looks > 0 {
            let Some(turn) = self.next_turn(ctx.now) else { break };
            let Some(waiting) = self.turns.take(turn) else { break };
            *looks -= 1;
            let offer = self.who_offers(&waiting.wanted);
            let best =
                offer.iter().map(|&(list, _)| list).min_by_key(|&it| self.class(it, ctx.now));
            let Some(best) = best.filter(|_| self.is_lacking(shelf, &waiting.wanted)) else {
                self.turns.forget(&waiting.wanted);
                continue;
            };
            if self.is_better(waiting.home, best, ctx.now) {
                // Its host has listed it no more, and the others have to be waited for.
                self.turns.put(Waiting { home: best, ..waiting });
                continue;
            }
            let (fetch, size) = (FetchId(self.next_fetch), waiting.size);
            self.next_fetch = self.next_fetch.checked_add(1).unwrap_or(FIRST_FETCH);
            let (content, name) = waiting.wanted.clone();
            let Asked { sources, trial, has_others } =
                self.whom_to_ask(&waiting, &offer, best, ctx.now);
            let running = Running {
                waiting,
                sources: sources.clone(),
                trial,
                has_others,
                began_at: ctx.now,
                received: 0,
                moved_at: ctx.now,
                stored: 0,
                proven_at: ctx.now,
            };
            requests.push(FetchRequest {
                fetch,
                content,
                size,
                name,
                sources,
                timeout: None,
                alone: false,
            });
            self.running.insert(fetch, running);
        }
        requests
    }

    /// Whose turn it is: a host's that is to be tried, where there is a place for that, or else the first of all those
    /// that are offered by somebody who gives.
    fn next_turn(&self, now: Instant) -> Option<u64> {
        let trials = self.running.values().filter_map(|running| running.trial);
        let trials: Vec<(IpAddr, Class)> = trials
            .map(|host| (host, self.standings.class(host, now)))
            .filter(|&(_, class)| class != Class::Gives)
            .collect();
        let is_doubtful = |class| class >= Class::Doubtful;
        let doubtful = trials.iter().any(|&(_, class)| is_doubtful(class));
        let (mut sure, mut tried) = (None, None);
        for (home, turn) in self.turns.heads() {
            let Some(list) = self.lists.get(&home) else { continue };
            let host = list.address.ip();
            let class = self.standings.class(host, now);
            if class == Class::Gives {
                sure = Some(sure.map_or(turn, |sure: u64| sure.min(turn)));
            } else if class != Class::Rests
                && !(is_doubtful(class) && doubtful)
                && trials.iter().all(|&(tried, _)| tried != host)
            {
                let rank = (self.standings.rests_until(host), turn);
                tried = Some(tried.map_or(rank, |tried: (Instant, u64)| tried.min(rank)));
            }
        }
        let places = if sure.is_some() { TRIALS_BESIDE } else { TRIALS_MAX };
        let tried = tried.filter(|_| trials.len() < places).map(|(_, turn)| turn);
        tried.or(sure)
    }

    /// The lists that have this content under this name, and where their hosts are.
    fn who_offers(&self, wanted: &Wanted) -> Vec<(InstanceId, SocketAddr)> {
        let lists = self.lists.iter().filter(|(_, list)| list.offers(wanted));
        lists.map(|(&instance, list)| (instance, list.address)).collect()
    }

    /// Ends downloads to which nothing comes: whoever offered them may be gone, or have lied.
    fn look_after(&mut self, ctx: &mut Context<'_>, fetches: &mut BTreeMap<FetchId, Fetch>) {
        let (mut idle, mut givers) = (Vec::new(), BTreeSet::new());
        for (&id, running) in &mut self.running {
            let Some(fetch) = fetches.get(&id) else { continue };
            let progress = fetch.progress(ctx.now);
            if progress.received > running.received || fetch.is_busy_with_disk() {
                running.received = progress.received;
                running.moved_at = ctx.now;
            }
            if progress.stored > running.stored || fetch.is_busy_with_disk() {
                running.stored = progress.stored;
                running.proven_at = ctx.now;
                givers.extend(fetch.givers());
            }
            let is_trial = running
                .trial
                .is_some_and(|host| self.standings.class(host, ctx.now) != Class::Gives);
            let patience = if is_trial || running.has_others { STALLED_TRIAL } else { STALLED };
            if ctx.now.since(running.moved_at) >= patience
                || ctx.now.since(running.proven_at) >= UNPROVEN
            {
                idle.push(id);
            }
        }
        givers.into_iter().for_each(|giver| self.gave(giver, ctx.now));
        for id in idle {
            if let Some(fetch) = fetches.get_mut(&id) {
                fetch.give_up(ctx);
            }
        }
    }
}
