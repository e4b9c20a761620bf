//! Tells the core what stands in `share/`: every regular file that is to be offered, with its signature,
//! once, and again when it differs. It reads no file and decides nothing.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::time::SystemTime;

use crate::driver::share_folder::ShareFolder;
use crate::node::{Input, Instant};

/// What is known of `share/`, and the work that is due to know it better.
#[derive(Debug)]
pub struct ShareWatcher {}

impl ShareWatcher {
    /// A watcher that has seen nothing yet: a whole scan is due at once. Where the kernel gives no
    /// folder events, rescans have to do; that is logged once.
    pub fn new() -> Self {
        todo!()
    }

    /// What to register with the loop for readability; none without folder events. It stays the same.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        todo!()
    }

    /// The handle became readable: [`next_due`](Self::next_due) is soon. Events are left to gather
    /// in the kernel for 50 ms, which merges those of a file that is being written.
    pub fn on_readable(&mut self, now: Instant) {
        let _ = now;
        todo!()
    }

    /// When [`step`](Self::step) has to be called. To call it earlier, at any turn of the loop, costs
    /// next to nothing, and at most once a second a look whether `share/` is still the same folder.
    pub fn next_due(&self) -> Option<Instant> {
        todo!()
    }

    /// Does at most 1,000 entries' or 2 ms' worth of what is due, and appends `FileSeen` and `FileGone`.
    /// Whether there is more to do at once. Reopens `share` where it was deleted or replaced.
    pub fn step(
        &mut self,
        now: Instant,
        wall: SystemTime,
        share: &mut ShareFolder,
        inputs: &mut VecDeque<Input<'static>>,
    ) -> bool {
        let _ = (now, wall, share, inputs);
        todo!()
    }

    /// Whether everything was looked at once, so that a missing name is a missing file.
    pub fn is_settled(&self) -> bool {
        todo!()
    }
}
