//! What hashing found out, kept over restarts in `.sprat/`: which content a file in a known state
//! holds, and the chains. All of it may be deleted at any time; it costs hashing again, nothing more.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::content::{ChainId, ContentId, ShareName};
use crate::node::Instant;
use crate::node::input::FileSignature;

/// The hash cache of one root folder.
#[derive(Debug)]
pub struct HashCache {}

impl HashCache {
    /// Reads what an earlier run left below the folder `root`. What is damaged is skipped and counted.
    pub fn open(root: &Path) -> Self {
        let _ = root;
        todo!()
    }

    /// The content of the file `name` in this state, and the id of its chain; for a file of several
    /// blocks only if the chain is there as well.
    pub fn lookup(
        &mut self,
        name: &ShareName,
        signature: &FileSignature,
    ) -> Option<(ContentId, ChainId)> {
        let _ = (name, signature);
        todo!()
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
        let _ = (name, signature, content, states, begun);
        todo!()
    }

    /// The chain of a content that was hashed, or of an unfinished download, 20 bytes a state. A few
    /// are kept in memory.
    pub fn chain(&mut self, content: ContentId) -> Option<Arc<[u8]>> {
        let _ = content;
        todo!()
    }

    /// The file is gone from `share/`: after an hour its entry may go too.
    pub fn forget(&mut self, name: &ShareName, now: Instant) {
        let _ = (name, now);
        todo!()
    }

    /// When [`step`](Self::step) has to be called: some seconds after something was stored.
    pub fn next_due(&self) -> Option<Instant> {
        todo!()
    }

    /// Writes a piece of what is to be written, if it is due. Whether there is more to do at once.
    pub fn step(&mut self, now: Instant) -> bool {
        let _ = now;
        todo!()
    }

    /// Writes all that is to be written: at the end of a run.
    pub fn flush(&mut self) {
        todo!()
    }
}
