//! The chains in `.sprat/chains/`: one file for each content of several blocks, its name the
//! content's, its bytes the states. A file is believed only if its bytes have the id that hashing
//! found.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, OFlags, renameat};

use crate::content::state_chain::STATE_LENGTH;
use crate::content::{BlockLayout, ChainId, ContentId};
use crate::driver::chunk_store::partial_chain;
use crate::driver::share_folder::{self, ShareFolder, entry};
use crate::node::input::FileSignature;

/// The most chains that stay in memory.
const RECENT_MAX: usize = 16;
/// The most bytes of them, but for the latest one.
const RECENT_LENGTH_MAX: usize = 8 << 20;
/// The longest chain of an unfinished download, whose size is not known here: that of 3 TiB.
const PARTIAL_LENGTH_MAX: u64 = 64 << 20;

/// The chains that are known.
#[derive(Debug)]
pub(super) struct Chains {
    folder: PathBuf,
    known: BTreeMap<ContentId, Known>,
    /// Counts looks at what is in use.
    look: u64,
    unwritten: BTreeMap<ContentId, Arc<[u8]>>,
    unwritten_length: usize,
    /// The latest one last.
    recent: Vec<Recent>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    chain: ChainId,
    /// In bytes.
    length: u64,
    /// The last look in which it was found to be in use, or since which it is known.
    look: u64,
}

#[derive(Debug)]
struct Recent {
    content: ContentId,
    /// The file's state, where a fetch may replace it.
    partial: Option<FileSignature>,
    states: Arc<[u8]>,
}

impl Chains {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            folder: partial_chain::folder(root),
            known: BTreeMap::new(),
            look: 0,
            unwritten: BTreeMap::new(),
            unwritten_length: 0,
            recent: Vec::new(),
        }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A content of this size has this chain, as an earlier run found.
    pub(super) fn learn(&mut self, content: ContentId, chain: ChainId, size: u64) {
        let length = BlockLayout::new(size).state_count().saturating_mul(STATE_LENGTH as u64);
        self.known.insert(content, Known { chain, length, look: self.look });
    }

    /// Keeps the chain of a content of this size.
    pub(super) fn keep(&mut self, content: ContentId, size: u64, states: Vec<u8>) -> ChainId {
        let chain = ChainId::of(&states);
        self.learn(content, chain, size);
        // Written even if the file is there: nobody has looked whether it is sound.
        if !states.is_empty() {
            self.unwritten_length += states.len();
            let before = self.unwritten.insert(content, states.into());
            self.unwritten_length -= before.map_or(0, |before| before.len());
        }
        chain
    }

    pub(super) fn is_known(&self, content: ContentId) -> bool {
        self.known.contains_key(&content)
    }

    /// From now on what is in use is marked, a piece at a time, and what comes meanwhile is.
    pub(super) fn begin_marking(&mut self) {
        self.look += 1;
    }

    /// A content is in use.
    pub(super) fn mark(&mut self, content: ContentId) {
        if let Some(known) = self.known.get_mut(&content) {
            known.look = self.look;
        }
    }

    /// Of the next so many after this one, forgets those that nobody uses; their files are left.
    /// The last one that was looked at, if there may be more.
    pub(super) fn forget_unmarked(
        &mut self,
        after: Option<ContentId>,
        count: usize,
    ) -> Option<ContentId> {
        let bound = after.map_or(Bound::Unbounded, Bound::Excluded);
        let (mut last, mut gone) = (None, Vec::new());
        for (&content, known) in self.known.range((bound, Bound::Unbounded)).take(count) {
            last = Some(content);
            if known.look < self.look {
                gone.push(content);
            }
        }
        for content in gone {
            self.known.remove(&content);
            self.recent.retain(|recent| recent.content != content);
        }
        last
    }

    /// Whether a known chain can be had, as far as can be told without reading it.
    pub(super) fn is_there(&self, content: ContentId) -> bool {
        let Some(known) = self.known.get(&content) else {
            return false;
        };
        let length = || std::fs::symlink_metadata(self.folder.join(content.to_string()));
        known.length == 0
            || self.unwritten.contains_key(&content)
            || length().is_ok_and(|there| there.is_file() && there.len() == known.length)
    }

    /// The states.
    pub(super) fn get(&mut self, content: ContentId) -> Option<Arc<[u8]>> {
        if let Some(states) = self.unwritten.get(&content) {
            return Some(Arc::clone(states));
        }
        let Some(known) = self.known.get(&content).copied() else {
            return self.partial(content);
        };
        if known.length == 0 {
            return Some(Arc::default());
        }
        if let Some(states) = self.recent(content, None) {
            return Some(states);
        }
        let name = content.to_string();
        let read = self.open(&name).and_then(|file| read_states(file, known.length));
        match read {
            Ok(states) if ChainId::of(&states) == known.chain => {
                Some(self.remember(content, None, states))
            }
            Ok(_) => {
                log::warn!("the chain of {content} is damaged; the file is hashed again");
                let _ = std::fs::remove_file(self.folder.join(name));
                None
            }
            // A fetch beside us may have it, if the folder was deleted.
            Err(_) => self.partial(content),
        }
    }

    /// The chain that an unfinished download goes by now.
    fn partial(&mut self, content: ContentId) -> Option<Arc<[u8]>> {
        let file = self.open(&partial_chain::file_name(content)).ok()?;
        let state = share_folder::signature(&file).ok()?;
        if let Some(states) = self.recent(content, Some(state)) {
            return Some(states);
        }
        if state.size > PARTIAL_LENGTH_MAX || state.size % STATE_LENGTH as u64 != 0 {
            return None;
        }
        let states = read_states(file, state.size).ok()?;
        Some(self.remember(content, Some(state), states))
    }

    fn open(&self, name: &str) -> io::Result<File> {
        entry::open_file(entry::open_folder(CWD, &self.folder)?, name, OFlags::RDONLY)
    }

    fn recent(&mut self, content: ContentId, partial: Option<FileSignature>) -> Option<Arc<[u8]>> {
        let at = self
            .recent
            .iter()
            .position(|recent| recent.content == content && recent.partial == partial)?;
        let recent = self.recent.remove(at);
        let states = Arc::clone(&recent.states);
        self.recent.push(recent);
        Some(states)
    }

    fn remember(
        &mut self,
        content: ContentId,
        partial: Option<FileSignature>,
        states: Vec<u8>,
    ) -> Arc<[u8]> {
        let states: Arc<[u8]> = states.into();
        self.recent.retain(|recent| recent.content != content);
        self.recent.push(Recent { content, partial, states: Arc::clone(&states) });
        let length = |recent: &[Recent]| recent.iter().map(|it| it.states.len()).sum::<usize>();
        while self.recent.len() > 1
            && (self.recent.len() > RECENT_MAX || length(&self.recent) > RECENT_LENGTH_MAX)
        {
            self.recent.remove(0);
        }
        states
    }

    /// How many bytes are to be written.
    pub(super) fn unwritten_length(&self) -> usize {
        self.unwritten_length
    }

    /// Writes one chain. Whether there was one to write.
    pub(super) fn write_one(&mut self) -> io::Result<bool> {
        let Some((content, states)) = self.unwritten.first_key_value() else {
            return Ok(false);
        };
        let folder = ShareFolder::open_or_make(&self.folder)?;
        let (name, new) = (content.to_string(), format!("{content}.new"));
        entry::remove(folder.handle(), &new)?;
        let create = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let written = entry::open_file(folder.handle(), new.as_str(), create)
            .and_then(|mut file| file.write_all(states))
            .and_then(|()| Ok(renameat(folder.handle(), &*new, folder.handle(), name)?));
        if written.is_err() {
            let _ = entry::remove(folder.handle(), &new);
        }
        written?;
        self.drop_first_unwritten();
        Ok(true)
    }

    /// Gives up chains that cannot be written, until no more than so many bytes are left.
    pub(super) fn bound_unwritten(&mut self, length: usize) {
        while self.unwritten_length > length {
            self.drop_first_unwritten();
        }
    }

    fn drop_first_unwritten(&mut self) {
        if let Some((_, states)) = self.unwritten.pop_first() {
            self.unwritten_length -= states.len();
        }
    }
}

fn read_states(file: File, length: u64) -> io::Result<Vec<u8>> {
    let mut states = Vec::new();
    // One more, so that a longer file is not taken for this one.
    file.take(length + 1).read_to_end(&mut states)?;
    if states.len() as u64 == length {
        Ok(states)
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_marked_is_forgotten_so_many_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let mut chains = Chains::new(root.path());
        let content = |number: u8| ContentId([number; 20]);
        for number in 0..10 {
            chains.learn(content(number), ChainId::of(&[]), 1);
        }
        chains.begin_marking();
        chains.mark(content(0));
        chains.mark(content(7));
        let mut after = None;
        for left in [8, 5, 3, 3] {
            chains.learn(content(9), ChainId::of(&[]), 1);
            after = chains.forget_unmarked(after, 3);
            assert_eq!(chains.known.len(), left, "three were looked at");
        }
        assert_eq!(chains.forget_unmarked(after, 3), None);
        assert!([0, 7, 9].iter().all(|number| chains.is_known(content(*number))));
        chains.begin_marking();
        assert!(chains.forget_unmarked(None, 10).is_some() && chains.known.is_empty());
    }
}
