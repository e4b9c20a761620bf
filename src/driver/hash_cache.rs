//! What hashing found out, kept over restarts in `.sprat/`: which content a file in a known state
//! holds, and the chains. All of it may be deleted at any time; it costs hashing again, nothing
//! more.
//!
//! - `.sprat/hashes`: a line for each file (`lines`), appended to, and written anew when most of
//!   it is stale. A damaged line is skipped.
//! - `.sprat/chains/SHA1`: the states of each content of several blocks (`chains`).
//!
//! **Which state of a file is trusted.** Size, inode and both times must be those that were hashed;
//! the device's number need not be, since a reboot may change it. Times are coarse: a file that is
//! changed twice within one tick of its file system's clock looks the same after both. So what was
//! hashed less than `TICK` after the file's last change is not remembered (`COARSE_TICK`, where
//! the times look as if they counted whole seconds), nor what was changed in the clock's future.
//!
//! Writes gather for some seconds, for the sake of SD cards, and are not synced.

mod chains;
mod lines;
mod rewriting;
mod unwritten;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;

use self::chains::Chains;
use self::rewriting::Rewriting;
use self::unwritten::Unwritten;
use crate::content::{ChainId, ContentId, ShareName};
use crate::driver::clock::Slice;
use crate::driver::share_folder::entry;
use crate::node::Instant;
use crate::node::input::{FileSignature, HashOutcome};

/// Longer than the clock tick by which Linux file systems stamp their files.
const TICK: Duration = Duration::from_millis(100);
/// Longer than that of FAT.
const COARSE_TICK: Duration = Duration::from_secs(2);
/// How long what is to be written gathers.
const GATHERING: Duration = Duration::from_secs(5);
/// How long to wait after a write that failed.
const RETRY: Duration = Duration::from_secs(60);
/// More than this is not gathered, in bytes.
const UNWRITTEN_MAX: usize = 4 << 20;
/// How much is gathered at most when it cannot be written, in bytes.
const UNWRITABLE_MAX: usize = 64 << 20;
/// How long a step writes at most, one system call more or less.
const STEP: Duration = Duration::from_millis(1);
/// How often it is looked whether entries are of no use any more.
const TIDYING_INTERVAL: Duration = Duration::from_secs(3_600);
/// The first look in a run: what many short runs have appended may be mostly stale.
const FIRST_TIDYING: Duration = Duration::from_secs(60);
/// For how long the entry of a file that is gone is kept: it may lie on a stick that was pulled
/// out.
const ABSENCE_MAX: Duration = Duration::from_secs(3_600);
/// The most contents at a time whose chains are hashed again.
const LOST_MAX: usize = 64;
/// The most files that are remembered.
const ENTRIES_MAX: usize = 1 << 20;
/// So many stale lines are never worth writing the file anew.
const STALE_MIN: usize = 1_024;

/// The hash cache of one root folder.
#[derive(Debug)]
pub struct HashCache {
    folder: PathBuf,
    entries: BTreeMap<ShareName, Entry>,
    chains: Chains,
    /// Contents whose chain was wanted and is not there any more.
    lost: BTreeSet<ContentId>,
    /// Lines in the file, stale ones included.
    line_count: usize,
    /// Lines to be appended.
    unwritten: Unwritten,
    write_due: Option<Instant>,
    tidying_due: Instant,
    rewriting: Option<Rewriting>,
    is_failing: bool,
}

/// What is known of one file.
#[derive(Clone, Copy, Debug)]
struct Entry {
    signature: FileSignature,
    content: ContentId,
    chain: ChainId,
    /// It was made so that another file has the same content id; no chain is kept.
    collides: bool,
    /// Whether it counts beyond the chain's being in use, see the module's documentation.
    is_trusted: bool,
    /// Since when, in this run, the file was not seen.
    absent_since: Option<Instant>,
}

impl HashCache {
    /// Reads what an earlier run left below the folder `root`. What is damaged is skipped and
    /// counted.
    pub fn open(root: &Path) -> Self {
        let mut cache = Self {
            folder: root.join(".sprat"),
            entries: BTreeMap::new(),
            chains: Chains::new(root),
            lost: BTreeSet::new(),
            line_count: 0,
            unwritten: Unwritten::default(),
            write_due: None,
            tidying_due: Instant::ORIGIN + FIRST_TIDYING,
            rewriting: None,
            is_failing: false,
        };
        let found = lines::read(&cache.file(), |line| {
            let entry = Entry {
                signature: line.signature,
                content: line.content,
                chain: line.chain,
                collides: line.collides,
                is_trusted: true,
                absent_since: Some(Instant::ORIGIN),
            };
            if cache.entries.len() < ENTRIES_MAX {
                cache.entries.insert(line.name, entry);
            }
        });
        match found {
            Ok(found) => {
                cache.line_count = found.lines;
                if !found.ends_with_line {
                    cache.unwritten.end_torn_line();
                }
                if found.damaged > 0 {
                    log::info!(
                        "{} lines of {} are damaged or of an earlier version; these files are hashed again",
                        found.damaged,
                        cache.file().display()
                    );
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => log::warn!(
                "cannot read {}: {error}; all files are hashed again",
                cache.file().display()
            ),
        }
        for entry in cache.entries.values().filter(|entry| !entry.collides) {
            cache.chains.learn(entry.content, entry.chain, entry.signature.size);
        }
        cache
    }

    /// What hashing the file `name` in this state came to: its content, and the id of its chain; for a
    /// file of several blocks only if the chain is there as well. Or that it was made to collide.
    pub fn lookup(&mut self, name: &ShareName, signature: &FileSignature) -> Option<HashOutcome> {
        let entry = self.entries.get_mut(name)?;
        let same = FileSignature { device: signature.device, ..entry.signature } == *signature;
        let is_there = entry.collides || self.chains.is_there(entry.content);
        if !same || !entry.is_trusted || !is_there {
            return None;
        }
        entry.absent_since = None;
        entry.signature.device = signature.device;
        let Entry { content, chain, collides, .. } = *entry;
        Some(if collides {
            HashOutcome::Colliding { content }
        } else {
            HashOutcome::Whole { content, chain }
        })
    }

    /// Keeps what hashing a file found. `begun` is the wall time at which its first byte was read:
    /// a file that was changed too shortly before that is not remembered, only its chain is.
    pub fn store(
        &mut self,
        name: &ShareName,
        signature: &FileSignature,
        content: ContentId,
        states: Vec<u8>,
        begun: SystemTime,
    ) -> ChainId {
        let chain = self.chains.keep(content, signature.size, states);
        self.insert(name, signature, (content, chain, false), begun);
        chain
    }

    /// Keeps that a file was made to collide.
    pub fn store_colliding(
        &mut self,
        name: &ShareName,
        signature: &FileSignature,
        content: ContentId,
        begun: SystemTime,
    ) {
        self.insert(name, signature, (content, ChainId::of(&[]), true), begun);
    }

    fn insert(
        &mut self,
        name: &ShareName,
        signature: &FileSignature,
        (content, chain, collides): (ContentId, ChainId, bool),
        begun: SystemTime,
    ) {
        let is_trusted = is_settled(signature, begun);
        let signature = *signature;
        let entry = Entry { signature, content, chain, collides, is_trusted, absent_since: None };
        if self.entries.len() < ENTRIES_MAX || self.entries.contains_key(name) {
            self.entries.insert(name.clone(), entry);
            if is_trusted {
                self.unwritten.push(name, &signature, content, chain, collides);
            }
        }
    }

    /// The chain of a content that was hashed, or of an unfinished download, 20 bytes a state. A
    /// few are kept in memory.
    pub fn chain(&mut self, content: ContentId) -> Option<Arc<[u8]>> {
        let states = self.chains.get(content);
        if states.is_none() && self.chains.is_known(content) && self.lost.len() < LOST_MAX {
            self.lost.insert(content);
        }
        states
    }

    /// Whether somebody asked for a chain that was there and is not:
    /// [`take_lost`](Self::take_lost).
    pub fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    /// A file to hash again for the sake of its chain, which was deleted or damaged.
    pub fn take_lost(&mut self) -> Option<(ShareName, FileSignature)> {
        while let Some(content) = self.lost.pop_first() {
            let has_it = |entry: &Entry| entry.content == content && entry.absent_since.is_none();
            if let Some((name, entry)) = self.entries.iter().find(|(_, entry)| has_it(entry)) {
                return Some((name.clone(), entry.signature));
            }
        }
        None
    }

    /// The file is gone from `share/`: after an hour its entry may go too.
    pub fn forget(&mut self, name: &ShareName, now: Instant) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.absent_since = Some(now);
        }
    }

    /// When [`step`](Self::step) has to be called: some seconds after something was stored, or at
    /// once where that is much.
    pub fn next_due(&self) -> Option<Instant> {
        if self.rewriting.is_some() {
            return Some(Instant::ORIGIN);
        }
        if self.has_unwritten() {
            if self.is_much() && !self.is_failing {
                return Some(Instant::ORIGIN);
            }
            // The first step learns the time, and sets when to write.
            return Some(self.write_due.unwrap_or(Instant::ORIGIN));
        }
        Some(self.tidying_due)
    }

    /// Writes a piece of what is to be written, if it is due. Whether there is more to do at once.
    pub fn step(&mut self, now: Instant) -> bool {
        let slice = Slice::of(STEP);
        if let Some(rewriting) = self.rewriting.take() {
            return self.go_on_rewriting(now, rewriting, &slice);
        }
        if now >= self.tidying_due {
            self.tidying_due = now + TIDYING_INTERVAL;
            self.rewriting = Some(Rewriting::begin());
            return true;
        }
        if !self.has_unwritten() {
            self.write_due = None;
            return false;
        }
        let due = *self.write_due.get_or_insert(now + GATHERING);
        if now < due && (self.is_failing || !self.is_much()) {
            return false;
        }
        match self.write(|| slice.is_over()) {
            Ok(()) => {
                self.is_failing = false;
                // Cut short by the slice, it goes on at once.
                self.write_due = self.has_unwritten().then_some(now);
            }
            Err(error) => {
                self.complain(&error);
                self.write_due = Some(now + RETRY);
            }
        }
        self.has_unwritten() && !self.is_failing
    }

    /// Writes all that is to be written: at the end of a run.
    pub fn flush(&mut self) {
        if let Err(error) = self.write(|| false) {
            self.complain(&error);
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.join("hashes")
    }

    fn has_unwritten(&self) -> bool {
        self.unwritten.has_lines() || self.chains.unwritten_length() > 0
    }

    fn is_much(&self) -> bool {
        self.unwritten.length() + self.chains.unwritten_length() > UNWRITTEN_MAX
    }

    /// Writes chains, then the lines that speak of them, until `is_over`.
    fn write(&mut self, is_over: impl Fn() -> bool) -> io::Result<()> {
        while self.chains.write_one()? {
            if is_over() {
                return Ok(());
            }
        }
        if self.unwritten.has_lines() {
            std::fs::create_dir_all(&self.folder)?;
            let append = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE;
            let mut file = entry::open_file(rustix::fs::CWD, self.file(), append)?;
            // Some whole lines at a time: megabytes at once would be too long for a turn of the loop.
            while let Some(piece) = self.unwritten.first() {
                file.write_all(piece.as_bytes())?;
                self.line_count += self.unwritten.drop_first();
                if is_over() {
                    break;
                }
            }
        }
        Ok(())
    }

    fn complain(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.is_failing, true) {
            log::warn!(
                "cannot write to {}: {error}; files are hashed again after a restart",
                self.folder.display()
            );
        }
        if self.unwritten.length() > UNWRITABLE_MAX {
            self.unwritten.clear();
        }
        self.chains.bound_unwritten(UNWRITABLE_MAX);
    }
}

/// Whether a file in this state, read from this wall time on, can have been read before its last
/// change without looking any different now.
fn is_settled(signature: &FileSignature, begun: SystemTime) -> bool {
    const SECOND: i64 = 1_000_000_000;
    let times = [signature.modified_ns, signature.changed_ns];
    let is_coarse = times.iter().all(|time| time % SECOND == 0);
    let tick = if is_coarse { COARSE_TICK } else { TICK };
    let changed = Duration::from_nanos(u64::try_from(times[0].max(times[1])).unwrap_or(0));
    let settled = SystemTime::UNIX_EPOCH.checked_add(changed + tick);
    settled.is_some_and(|settled| settled <= begun)
}

#[cfg(test)]
mod tests;
