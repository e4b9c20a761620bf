//! Tells the core of the unfinished downloads that a `fetch` beside this peer has in `chunks/`.
//! Only reads; what it finds wrong there it leaves to the fetch.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use crate::content::ContentId;
use crate::node::{Input, Instant};

/// What is known of `chunks/`.
#[derive(Debug)]
pub struct PartialWatcher {}

impl PartialWatcher {
    /// A watcher of `chunks/` below the folder `root` that has seen nothing yet.
    pub fn new(root: &Path) -> Self {
        let _ = root;
        todo!()
    }

    /// What to register with the loop for readability; none without folder events. It stays the same.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        todo!()
    }

    /// The handle became readable: [`next_due`](Self::next_due) is soon.
    pub fn on_readable(&mut self, now: Instant) {
        let _ = now;
        todo!()
    }

    /// When [`step`](Self::step) has to be called. To call it earlier costs next to nothing.
    pub fn next_due(&self) -> Option<Instant> {
        todo!()
    }

    /// Looks again at what is due, and appends `PartialSeen` (once a second for each download at most)
    /// and `PartialGone`. Whether there is more to do at once.
    pub fn step(&mut self, now: Instant, inputs: &mut VecDeque<Input<'static>>) -> bool {
        let _ = (now, inputs);
        todo!()
    }

    /// Opens the chunk file that holds this range of a content, and tells where in it the range begins.
    /// An error of kind `NotFound` if no single chunk file that was told does.
    pub fn open_range(
        &self,
        content: ContentId,
        position: u64,
        length: u64,
    ) -> io::Result<(File, u64)> {
        let _ = (content, position, length);
        todo!()
    }

    /// The size of a content that was told.
    pub fn size(&self, content: ContentId) -> Option<u64> {
        let _ = content;
        todo!()
    }
}
