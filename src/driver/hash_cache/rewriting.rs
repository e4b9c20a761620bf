//! Writing `.sprat/hashes` anew without what is stale, and removing chains that nobody uses: a
//! piece at a time. What is stored meanwhile waits and is appended afterwards.

use std::fs::File;
use std::io::{self, Write as _};
use std::ops::Bound;
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, Dir, OFlags};

use super::{ABSENCE_MAX, HashCache, STALE_MIN, lines};
use crate::content::{ContentId, ShareName};
use crate::driver::chunk_store::names;
use crate::driver::clock::{Slice, wall_now};
use crate::driver::share_folder::entry;
use crate::node::Instant;

/// How many entries are written between two looks at the clock.
const ENTRIES_A_PIECE: usize = 64;
/// Files in the folder of chains that nobody knows are removed when they are as old as this:
/// another process may be about to use them.
const UNKNOWN_AGE: Duration = Duration::from_secs(3_600);

/// How far it is.
#[derive(Debug)]
pub(super) enum Rewriting {
    /// It is looked whether it is worth it; so many of the entries up to this name's are of no use.
    Counting { after: Option<ShareName>, stale: usize },
    /// The lines up to and with this name's are in the new file, and entries of no use among them
    /// are dropped.
    Lines { new: File, after: Option<ShareName>, count: usize },
    /// The new file is in place; what no entry needs is forgotten, up to and with this content.
    Forgetting { after: Option<ContentId> },
    /// Now what is in the folder of chains is looked through.
    Chains { entries: Dir },
}

impl Rewriting {
    /// The first step.
    pub(super) const fn begin() -> Self {
        Self::Counting { after: None, stale: 0 }
    }
}

/// Whether the entry of a file that has not been there since then is of no use any more.
fn is_stale(absent: Option<Instant>, now: Instant) -> bool {
    absent.is_some_and(|since| now.since(since) >= ABSENCE_MAX)
}

impl HashCache {
    /// Counts what is of no use any more, in pieces: a look at a hundred thousand entries takes
    /// long.
    fn count_stale(
        &mut self,
        now: Instant,
        mut after: Option<ShareName>,
        mut stale: usize,
        slice: &Slice,
    ) -> Option<Rewriting> {
        while !slice.is_over() {
            let bound = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
            let piece = self.entries.range((bound, Bound::Unbounded)).take(ENTRIES_A_PIECE);
            let mut last = None;
            for (name, entry) in piece {
                stale += usize::from(is_stale(entry.absent_since, now));
                last = Some(name);
            }
            let Some(last) = last.cloned() else {
                return self.begin_rewriting_if_worth_it(stale);
            };
            after = Some(last);
        }
        Some(Rewriting::Counting { after, stale })
    }

    /// If most of the file is stale, begins.
    fn begin_rewriting_if_worth_it(&mut self, stale: usize) -> Option<Rewriting> {
        let lines = self.line_count.max(self.entries.len());
        let live = self.entries.len().saturating_sub(stale);
        if lines - live <= live.max(STALE_MIN) {
            return None;
        }
        self.chains.begin_marking();
        match self.create_new() {
            Ok(new) => Some(Rewriting::Lines { new, after: None, count: 0 }),
            Err(error) => {
                self.complain(&error);
                None
            }
        }
    }

    /// Goes on until the slice is over. Whether there is more to do.
    pub(super) fn go_on_rewriting(
        &mut self,
        now: Instant,
        rewriting: Rewriting,
        slice: &Slice,
    ) -> bool {
        let next = match rewriting {
            Rewriting::Counting { after, stale } => Ok(self.count_stale(now, after, stale, slice)),
            Rewriting::Lines { new, after, count } => {
                self.write_lines(now, new, (after, count), slice)
            }
            Rewriting::Forgetting { after } => Ok(self.forget_chains(after, slice)),
            Rewriting::Chains { entries } => Ok(self.remove_unused(entries, slice)),
        };
        match next {
            Ok(next) => self.rewriting = next,
            Err(error) => {
                self.complain(&error);
                let _ = std::fs::remove_file(self.new_file());
                self.tidying_due = now + super::TIDYING_INTERVAL;
            }
        }
        self.rewriting.is_some() || self.has_unwritten()
    }

    fn new_file(&self) -> std::path::PathBuf {
        self.folder.join("hashes.new")
    }

    fn create_new(&self) -> io::Result<File> {
        std::fs::create_dir_all(&self.folder)?;
        match std::fs::remove_file(self.new_file()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let create = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        entry::open_file(CWD, self.new_file(), create)
    }

    fn write_lines(
        &mut self,
        now: Instant,
        mut new: File,
        (mut after, mut count): (Option<ShareName>, usize),
        slice: &Slice,
    ) -> io::Result<Option<Rewriting>> {
        let mut text = String::new();
        while !slice.is_over() {
            let Some(last) = self.push_lines(now, after.as_ref(), &mut text, &mut count) else {
                new.write_all(text.as_bytes())?;
                return self.put_in_place(count).map(Some);
            };
            after = Some(last);
        }
        new.write_all(text.as_bytes())?;
        Ok(Some(Rewriting::Lines { new, after, count }))
    }

    /// The lines of a piece of the entries; its last name, if there is one. What is of no use any
    /// more goes, and what is, is noted with its chain: all of them at once would take too long.
    fn push_lines(
        &mut self,
        now: Instant,
        after: Option<&ShareName>,
        text: &mut String,
        count: &mut usize,
    ) -> Option<ShareName> {
        let bound = after.map_or(Bound::Unbounded, Bound::Excluded);
        let (mut last, mut gone) = (None, Vec::new());
        let piece = self.entries.range((bound, Bound::Unbounded)).take(ENTRIES_A_PIECE);
        for (name, entry) in piece {
            last = Some(name);
            if is_stale(entry.absent_since, now) {
                gone.push(name.clone());
                continue;
            }
            self.chains.mark(entry.content);
            if entry.is_trusted {
                let (signature, collides) = (&entry.signature, entry.collides);
                lines::push(text, name, signature, entry.content, entry.chain, collides);
                *count += 1;
            }
        }
        let last = last.cloned();
        for name in gone {
            self.entries.remove(&name);
        }
        last
    }

    fn put_in_place(&mut self, count: usize) -> io::Result<Rewriting> {
        std::fs::rename(self.new_file(), self.file())?;
        log::debug!("{} has {count} lines now", self.file().display());
        self.line_count = count;
        Ok(Rewriting::Forgetting { after: None })
    }

    fn forget_chains(&mut self, mut after: Option<ContentId>, slice: &Slice) -> Option<Rewriting> {
        while !slice.is_over() {
            after = self.chains.forget_unmarked(after, ENTRIES_A_PIECE);
            if after.is_none() {
                let folder = entry::open_folder(CWD, self.chains.folder());
                let entries = folder.and_then(|folder| Ok(Dir::read_from(folder)?));
                return entries.ok().map(|entries| Rewriting::Chains { entries });
            }
        }
        Some(Rewriting::Forgetting { after })
    }

    fn remove_unused(&self, mut entries: Dir, slice: &Slice) -> Option<Rewriting> {
        while !slice.is_over() {
            let item = entries.read()?.ok()?;
            let Ok(name) = item.file_name().to_str() else {
                continue;
            };
            if !self.is_of_use(name) && is_old(entries.fd().ok()?, name) {
                log::debug!("removing the chain {name}, which nothing needs");
                let _ = entry::remove(entries.fd().ok()?, name);
            }
        }
        Some(Rewriting::Chains { entries })
    }

    /// Whether a file in the folder of chains is of use, or none of ours.
    fn is_of_use(&self, file_name: &str) -> bool {
        let (digits, kind) = file_name.split_once('.').unwrap_or((file_name, ""));
        let Ok(content) = digits.parse::<ContentId>() else {
            return true;
        };
        match kind {
            "" => self.chains.is_known(content),
            "partial" => {
                let root = self.folder.parent().unwrap_or(&self.folder);
                root.join("chunks").join(names::attrs(content)).symlink_metadata().is_ok()
            }
            "new" | "partial-new" => false,
            _ => true,
        }
    }
}

fn is_old(folder: std::os::fd::BorrowedFd<'_>, name: &str) -> bool {
    let age = |changed: SystemTime| wall_now().duration_since(changed).ok();
    entry::metadata(folder, name)
        .and_then(|metadata| metadata.modified())
        .is_ok_and(|changed| age(changed).is_some_and(|age| age >= UNKNOWN_AGE))
}
