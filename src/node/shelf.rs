//! What this host offers: the settled, hashed files of `share/`, and the listing of them, whose bytes are
//! the driver's affair.
//!
//! A file is *settling* until it has not changed for a while, then *queued* for hashing, *hashing*, and
//! then *offered* until it changes or goes. Smaller files are hashed first, and a much smaller one goes
//! before a long one that is half done: a disk image must not keep a new text back for minutes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use log::{debug, warn};
use serde::{Deserialize, Serialize};

use super::changes::{ListingChanges, Way};
use super::context::Context;
use super::deadline::{Deadline, Earliest};
use super::fetch::SIZE_MAX as FETCH_SIZE_MAX;
use super::ids::ListingId;
use super::input::{FileSignature, HashOutcome};
use super::output::Output;
use super::time::Instant;
use crate::content::terminal_text::printable;
use crate::content::{ChainId, ContentId, ShareName};
use crate::wire::{CHANGES_STEP, ChangesId, LISTING_FILES_MAX, ListingDigest, ListingSummary};

/// For how long a file must not have changed before it is offered.
pub const SETTLE: Duration = Duration::from_millis(800);
/// A file that could not be read is tried again after this long.
const UNREADABLE_RETRY: Duration = Duration::from_secs(30);
/// How many files may be half done.
const HASHING_MAX: usize = 4;
/// Shorter files than this are not interrupted, in bytes.
const INTERRUPTED_SIZE_MIN: u64 = 32 * 1024 * 1024;
/// What goes before a file that is half done is this many times shorter.
const INTERRUPTING_RATIO: u64 = 8;
/// How long changes are gathered before the listing is made anew,
const LISTING_DELAY: Duration = Duration::from_millis(20);
/// and how long one lasts at least for each file in it: to make it takes a microsecond for each, and every other host reads it.
const LISTING_LASTS_EACH: Duration = Duration::from_micros(20);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct File {
    signature: FileSignature,
    state: FileState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum FileState {
    Settling {
        until: Instant,
    },
    Queued,
    Hashing,
    Offered {
        content: ContentId,
        chain: ChainId,
    },
    /// It was made so that another one has the same SHA-1: not offered as long as it is what it is.
    Barred,
    /// Longer than anybody could fetch: reading it would take years.
    TooLong,
}

/// A content that is offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) name: ShareName,
    pub(crate) signature: FileSignature,
    pub(crate) chain: ChainId,
}

/// All of `share/`, as far as it concerns others.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Shelf {
    files: BTreeMap<ShareName, File>,
    by_content: BTreeMap<ContentId, BTreeSet<ShareName>>,
    settling: BTreeSet<(Instant, ShareName)>,
    queue: BTreeSet<(u64, ShareName)>,
    /// What was asked for and is not answered yet; the last one is being worked on.
    hashing: Vec<(ShareName, FileSignature)>,
    listing: ListingSummary,
    /// The one before, for receivers that are in the middle of it.
    previous: Option<ListingSummary>,
    #[serde(default)]
    changes: ListingChanges,
    /// When a listing is to be made of what has changed, unless one is being made.
    listing_due: Option<Instant>,
    /// When the last one was begun.
    #[serde(default)]
    listing_begun: Option<Instant>,
    making: Option<ListingId>,
    next_listing: u64,
}

impl Shelf {
    pub(crate) fn new() -> Self {
        Self {
            files: BTreeMap::new(),
            by_content: BTreeMap::new(),
            settling: BTreeSet::new(),
            queue: BTreeSet::new(),
            hashing: Vec::new(),
            listing: ListingSummary { digest: ListingDigest::of(&[]), length: 0, files: 0 },
            previous: None,
            changes: ListingChanges::default(),
            listing_due: None,
            listing_begun: None,
            making: None,
            next_listing: 0,
        }
    }

    /// The listing that is announced.
    pub(crate) const fn listing(&self) -> ListingSummary {
        self.listing
    }

    /// The listing with this digest, if it is the present one or the one before.
    pub(crate) fn listing_of(&self, digest: ListingDigest) -> Option<ListingSummary> {
        [Some(self.listing), self.previous]
            .into_iter()
            .flatten()
            .find(|listing| listing.digest == digest)
    }

    /// The files that are known of and have not been read.
    pub(crate) fn unread(&self) -> impl Iterator<Item = &ShareName> {
        let settling = self.settling.iter().map(|(_, name)| name);
        let queued = self.queue.iter().map(|(_, name)| name);
        settling.chain(queued).chain(self.hashing.iter().map(|(name, _)| name))
    }

    /// Whether a file has this name, offered or not.
    pub(crate) fn has_name(&self, name: &ShareName) -> bool {
        self.files.contains_key(name)
    }

    /// Under which names a content is offered.
    pub(crate) fn names_of(&self, content: ContentId) -> impl Iterator<Item = &ShareName> {
        self.by_content.get(&content).into_iter().flatten()
    }

    /// How long the changes are that lead to the listing that is announced from another one, in steps of
    /// [`CHANGES_STEP`] bytes; 0 where they are not offered: they are not known, or the listing is no longer.
    pub(crate) fn changes_since(&self, has: ListingDigest) -> u16 {
        let way = self.changes.between(has, self.listing.digest);
        let way = way.filter(|way| way.length < self.listing.length);
        way.and_then(|way| u16::try_from(way.length / CHANGES_STEP).ok()).unwrap_or(0)
    }

    /// The changes with this name, if they lead to the present listing or the one before.
    pub(crate) fn changes_named(&self, changes: ChangesId) -> Option<Way> {
        let mut ends = [Some(self.listing), self.previous].into_iter().flatten();
        ends.find_map(|listing| self.changes.named(changes, listing.digest))
    }

    /// The file by which a content is offered.
    pub(crate) fn offer(&self, content: ContentId) -> Option<Offer> {
        let name = self.by_content.get(&content)?.first()?;
        let file = self.files.get(name)?;
        match file.state {
            FileState::Offered { chain, .. } => {
                Some(Offer { name: name.clone(), signature: file.signature, chain })
            }
            FileState::Settling { .. }
            | FileState::Queued
            | FileState::Hashing
            | FileState::Barred
            | FileState::TooLong => None,
        }
    }

    pub(crate) fn seen(
        &mut self,
        ctx: &mut Context<'_>,
        name: ShareName,
        signature: FileSignature,
        unchanged_for: Duration,
    ) {
        if !name.is_offered() {
            return;
        }
        if let Some(file) = self.files.get(&name) {
            if file.signature == signature {
                return;
            }
        } else if self.files.len() >= LISTING_FILES_MAX as usize {
            warn!(
                "more than {LISTING_FILES_MAX} files: {} is not offered",
                printable(name.as_str())
            );
            return;
        }
        self.take_back(ctx, &name);
        let state = if signature.size > FETCH_SIZE_MAX {
            self.tell_too_long(&name, signature.size);
            FileState::TooLong
        } else if unchanged_for >= SETTLE {
            self.queue.insert((signature.size, name.clone()));
            FileState::Queued
        } else {
            self.settle(ctx.now + (SETTLE - unchanged_for), &name)
        };
        self.files.insert(name, File { signature, state });
        self.hash_next(ctx);
    }

    pub(crate) fn gone(&mut self, ctx: &mut Context<'_>, name: &ShareName) {
        self.take_back(ctx, name);
        self.files.remove(name);
    }

    /// A file turned out to be another than the one that was offered, before the watcher told so: it
    /// is not offered, and is looked at again, should the watcher never tell.
    pub(crate) fn changed(
        &mut self,
        ctx: &mut Context<'_>,
        name: &ShareName,
        signature: FileSignature,
    ) {
        let offered = self.files.get(name).filter(|file| file.signature == signature);
        if !matches!(offered.map(|file| file.state), Some(FileState::Offered { .. })) {
            return;
        }
        self.take_back(ctx, name);
        let state = self.settle(ctx.now + SETTLE, name);
        if let Some(file) = self.files.get_mut(name) {
            file.state = state;
        }
    }

    pub(crate) fn hashed(
        &mut self,
        ctx: &mut Context<'_>,
        name: ShareName,
        signature: FileSignature,
        outcome: HashOutcome,
    ) {
        let asked =
            |(asked, state): &(ShareName, FileSignature)| (asked, state) == (&name, &signature);
        let Some(place) = self.hashing.iter().rposition(asked) else { return };
        self.hashing.remove(place);
        let current = self.files.get(&name).is_some_and(|file| file.signature == signature);
        if current {
            self.take_back(ctx, &name);
            let state = match outcome {
                HashOutcome::Whole { content, chain } => {
                    debug!("offered: {} {content}", printable(name.as_str()));
                    self.by_content.entry(content).or_default().insert(name.clone());
                    let (name, size) = (name.clone(), signature.size);
                    ctx.emit(Output::AddToListing { name, content, size });
                    self.listing_changed(ctx);
                    FileState::Offered { content, chain }
                }
                HashOutcome::Colliding { content } => {
                    warn!(
                        "{} was made so that another file has the same SHA-1 ({content}): not offered, \
                         since nobody could tell which of the two they get",
                        printable(name.as_str())
                    );
                    FileState::Barred
                }
                // The watcher will tell of the change; should it not, it is looked at again.
                HashOutcome::Changed => self.settle(ctx.now + SETTLE, &name),
                HashOutcome::Failed => {
                    warn!("cannot read {}: not offered", printable(name.as_str()));
                    self.settle(ctx.now + UNREADABLE_RETRY, &name)
                }
            };
            if let Some(file) = self.files.get_mut(&name) {
                file.state = state;
            }
        }
        self.hash_next(ctx);
    }

    /// The answer to [`Output::MakeListing`]. Whether what is announced is another listing now.
    pub(crate) fn listing_made(
        &mut self,
        listing: ListingId,
        summary: ListingSummary,
        left_out: u32,
        changes: Option<u64>,
    ) -> bool {
        if self.making.take_if(|making| *making == listing).is_none() {
            return false;
        }
        if left_out > 0 {
            warn!("{left_out} files do not fit the listing and are not offered");
        }
        let is_new = summary != self.listing;
        if is_new {
            self.previous = Some(std::mem::replace(&mut self.listing, summary));
            self.changes.made(listing, summary.digest, changes);
        }
        is_new
    }

    pub(crate) fn deadline(&self) -> Option<Deadline> {
        let mut earliest = Earliest::default();
        earliest.at(self.settling.first().map(|&(at, _)| at), "a file has settled");
        let listing_due = self.listing_due.filter(|_| self.making.is_none());
        earliest.at(listing_due, "the listing is made anew");
        earliest.get()
    }

    pub(crate) fn handle_timeout(&mut self, ctx: &mut Context<'_>) {
        while let Some((at, name)) = self.settling.first().cloned() {
            if at > ctx.now {
                break;
            }
            self.settling.remove(&(at, name.clone()));
            if let Some(file) = self.files.get_mut(&name) {
                file.state = FileState::Queued;
                self.queue.insert((file.signature.size, name));
            }
        }
        if self.making.is_none() && self.listing_due.is_some_and(|due| due <= ctx.now) {
            self.listing_due = None;
            self.listing_begun = Some(ctx.now);
            let listing = ListingId(self.next_listing);
            self.next_listing += 1;
            self.making = Some(listing);
            ctx.emit(Output::MakeListing { listing });
        }
        self.hash_next(ctx);
    }

    pub(crate) fn file_count(&self) -> usize {
        self.files.len()
    }

    pub(crate) fn check_invariants(&self) {
        for (name, file) in &self.files {
            let settling = matches!(file.state, FileState::Settling { until }
                if self.settling.contains(&(until, name.clone())));
            assert_eq!(matches!(file.state, FileState::Settling { .. }), settling);
            let queued = self.queue.contains(&(file.signature.size, name.clone()));
            assert_eq!(file.state == FileState::Queued, queued);
        }
        let offered: usize = self.by_content.values().map(BTreeSet::len).sum();
        let states =
            self.files.values().filter(|file| matches!(file.state, FileState::Offered { .. }));
        assert_eq!(offered, states.count());
        self.changes.check_invariants();
    }

    fn settle(&mut self, until: Instant, name: &ShareName) -> FileState {
        self.settling.insert((until, name.clone()));
        FileState::Settling { until }
    }

    /// Tells once that a file is not offered, however often its length changes.
    fn tell_too_long(&self, name: &ShareName, size: u64) {
        if self.files.get(name).map(|file| file.state) != Some(FileState::TooLong) {
            let name = printable(name.as_str());
            warn!("{name} has {size} bytes, more than anybody can fetch: not offered");
        }
    }

    /// Takes a file out of whatever index its state has it in.
    fn take_back(&mut self, ctx: &mut Context<'_>, name: &ShareName) {
        let Some(file) = self.files.get(name) else { return };
        match file.state {
            FileState::Settling { until } => {
                self.settling.remove(&(until, name.clone()));
            }
            FileState::Queued => {
                self.queue.remove(&(file.signature.size, name.clone()));
            }
            FileState::Hashing | FileState::Barred | FileState::TooLong => {}
            FileState::Offered { content, .. } => {
                if let Some(names) = self.by_content.get_mut(&content) {
                    names.remove(name);
                    if names.is_empty() {
                        self.by_content.remove(&content);
                    }
                }
                debug!("not offered any more: {}", printable(name.as_str()));
                ctx.emit(Output::TakeOffListing { name: name.clone() });
                self.listing_changed(ctx);
            }
        }
    }

    fn hash_next(&mut self, ctx: &mut Context<'_>) {
        let Some(&(size, _)) = self.queue.first() else { return };
        if let Some((_, begun)) = self.hashing.last() {
            let waits = self.hashing.len() >= HASHING_MAX
                || begun.size < INTERRUPTED_SIZE_MIN
                || size > begun.size / INTERRUPTING_RATIO;
            if waits {
                return;
            }
        }
        let Some((_, name)) = self.queue.pop_first() else { return };
        let file = self.files.get_mut(&name).expect("queued files are known");
        file.state = FileState::Hashing;
        let signature = file.signature;
        self.hashing.push((name.clone(), signature));
        ctx.emit(Output::Hash { name, signature });
    }

    fn listing_changed(&mut self, ctx: &Context<'_>) {
        let files = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        let lasts = self.listing_begun.map(|begun| begun + LISTING_LASTS_EACH * files);
        let gathered = ctx.now + LISTING_DELAY;
        self.listing_due.get_or_insert(lasts.map_or(gathered, |lasts| lasts.max(gathered)));
    }
}
