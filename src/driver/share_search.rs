//! Looking whether `share/` already holds a content: under the wanted name first, then under any
//! offered one of the same size. Follows no links and reads no more than it has to.

use crate::content::{ContentId, ShareName};
use crate::driver::share_folder::ShareFolder;
use crate::node::input::{FileSignature, ShareSearch};

/// What the hash cache knows of a file in this state.
pub type Known<'a> = dyn FnMut(&ShareName, &FileSignature) -> Option<ContentId> + 'a;

/// The work for one `Output::SearchShare`.
#[derive(Debug)]
pub struct SearchJob {}

impl SearchJob {
    /// Looks for `content`, which has `size` bytes, under `wanted` first.
    pub fn new(content: ContentId, size: u64, wanted: ShareName) -> Self {
        let _ = (content, size, wanted);
        todo!()
    }

    /// Does the next piece: a few hundred folder entries, or half a mebibyte hashed. The answer, once
    /// there is one.
    pub fn step(&mut self, share: &ShareFolder, known: &mut Known<'_>) -> Option<ShareSearch> {
        let _ = (share, known);
        todo!()
    }
}
