//! What one step of the watcher works with, and what the system says of an entry.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, SystemTime};

use rustix::fs::Stat;
use rustix::io::Errno;

use super::known::Path;
use crate::content::ShareName;
use crate::driver::share_folder::{ShareFolder, signature_from};
use crate::node::input::FileSignature;
use crate::node::{Input, Instant};

/// What a step works with.
pub(super) struct Step<'a> {
    pub(super) now: Instant,
    wall: SystemTime,
    pub(super) share: &'a ShareFolder,
    inputs: &'a mut VecDeque<Input<'static>>,
    /// The folder that was opened last: entries come in order, so it mostly is the next one's too.
    opened: Option<(Path, OwnedFd)>,
}

impl<'a> Step<'a> {
    pub(super) fn new(
        now: Instant,
        wall: SystemTime,
        share: &'a ShareFolder,
        inputs: &'a mut VecDeque<Input<'static>>,
    ) -> Self {
        Self { now, wall, share, inputs, opened: None }
    }

    pub(super) fn open_cached(&mut self, path: &str) -> rustix::io::Result<BorrowedFd<'_>> {
        if self.opened.as_ref().is_none_or(|(opened, _)| &**opened != path) {
            self.opened = Some((path.into(), self.share.open_folder(path)?));
        }
        self.opened.as_ref().map(|(_, folder)| folder.as_fd()).ok_or(Errno::NOENT)
    }

    pub(super) fn seen(&mut self, name: ShareName, signature: FileSignature) {
        let changed = signature.modified_ns.max(signature.changed_ns);
        let unchanged_for = u64::try_from(changed)
            .ok()
            .and_then(|since| SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(since)))
            .and_then(|changed| self.wall.duration_since(changed).ok())
            .unwrap_or_default();
        self.inputs.push_back(Input::FileSeen { name, signature, unchanged_for });
    }

    pub(super) fn gone(&mut self, path: &str) {
        // Only what is a name was told.
        if let Ok(name) = ShareName::parse(path) {
            self.inputs.push_back(Input::FileGone { name });
        }
    }
}

/// Whether this error means that there is nothing for us, rather than that something went wrong.
pub(super) fn is_absent(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS | Errno::NAMETOOLONG)
}

pub(super) fn identity(stat: &Stat) -> (u64, u64) {
    let signature = signature_from(stat);
    (signature.device, signature.inode)
}
