//! What a liar tells about itself afterwards.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use sprat::content::BlockLayout;

/// What is asked for so soon after a bad block was on its way when that was found out.
const ON_ITS_WAY: Duration = Duration::from_millis(1_000);

/// What was asked of it and what it gave, at the end.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Questions that it answered.
    pub(crate) asks: u64,
    pub(crate) grants: u64,
    /// Bytes of the file, and of everything else, that it was asked for.
    pub(crate) asked: u64,
    pub(crate) asked_other: u64,
    pub(crate) packets: u64,
    /// Bytes of payload: all, false ones (or right ones in packets with false ones), and those that nobody asked for.
    pub(crate) gave: u64,
    pub(crate) gave_false: u64,
    pub(crate) gave_unasked: u64,
    /// Blocks that it gave whole, and those of them that were bad.
    pub(crate) blocks: u64,
    pub(crate) bad_blocks: u64,
    /// Bytes of the file that it was asked for more than a second after its second bad block.
    pub(crate) asked_on: u64,
    /// When it was last asked for any, in milliseconds since it began; and when it gave its second bad block.
    pub(crate) last_asked_ms: Option<u64>,
    pub(crate) found_out_ms: Option<u64>,
    #[serde(skip)]
    parts: BTreeMap<u64, (u64, bool)>,
}

impl Report {
    /// It was asked for bytes of the file.
    pub(crate) fn asked_for(&mut self, now: Duration, bytes: u64) {
        let millis = now.as_millis() as u64;
        self.asked += bytes;
        self.last_asked_ms = Some(millis);
        let late = |found_out: u64| millis > found_out + ON_ITS_WAY.as_millis() as u64;
        if self.found_out_ms.is_some_and(late) {
            self.asked_on += bytes;
        }
    }

    /// It gave bytes of the file.
    pub(crate) fn gave(
        &mut self,
        now: Duration,
        layout: BlockLayout,
        offset: u64,
        bytes: u64,
        is_false: bool,
    ) {
        self.packets += 1;
        self.gave += bytes;
        if is_false {
            self.gave_false += bytes;
        }
        let block = layout.block_at(offset.min(layout.size() - 1));
        let range = layout.block_range(block);
        let (given, bad) = self.parts.entry(block).or_default();
        *given += bytes;
        *bad |= is_false;
        if *given < range.end - range.start {
            return;
        }
        self.blocks += 1;
        if *bad {
            self.bad_blocks += 1;
            if self.bad_blocks == 2 {
                self.found_out_ms = Some(now.as_millis() as u64);
            }
        }
        self.parts.remove(&block);
    }
}
