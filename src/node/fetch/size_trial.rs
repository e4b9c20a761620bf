//! Proving that a content has another size than the caller said.
//!
//! The last link of the chain goes through the padding, which contains the size, to the content's name: a source
//! that claims another size proves it with its last state and its last block, or is wrong.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::content::state_chain::{ChainState, Link, LinkEnd, STATE_LENGTH};
use crate::content::{BlockLayout, ContentId};
use crate::node::flow::Piece;
use crate::node::ids::BufferId;
use crate::node::time::Instant;

use super::source::Tag;

/// How long a source may take for its proof where others wait to give theirs.
const PATIENCE: Duration = Duration::from_secs(5);

/// One trial at a time.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct SizeTrial {
    running: Option<Running>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Running {
    source: SocketAddr,
    size: u64,
    began_at: Instant,
    state: Option<ChainState>,
    buffer: Option<BufferId>,
}

impl SizeTrial {
    pub(crate) const fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Whether it has taken so long that others are to have their turn.
    pub(crate) fn drags_on(&self, now: Instant) -> bool {
        self.running.as_ref().is_some_and(|running| now.since(running.began_at) > PATIENCE)
    }

    pub(crate) fn runs_with(&self, source: SocketAddr) -> bool {
        self.running.as_ref().is_some_and(|running| running.source == source)
    }

    /// Begins: what to ask the source for before its last block, if anything.
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        source: SocketAddr,
        size: u64,
    ) -> Option<Piece<Tag>> {
        let states = BlockLayout::new(size).state_count();
        let state = (states == 0).then_some(ChainState::INITIAL);
        self.running = Some(Running { source, size, began_at: now, state, buffer: None });
        let length = STATE_LENGTH as u64;
        (states > 0).then(|| Piece {
            tag: Tag::LastState { size },
            offset: (states - 1) * length,
            length,
        })
    }

    /// The last state has come.
    pub(crate) fn receive_state(&mut self, source: SocketAddr, size: u64, payload: &[u8]) {
        let running = self.running.as_mut();
        let Some(running) = running.filter(|run| run.source == source && run.size == size) else {
            return;
        };
        if let Ok(bytes) = payload.try_into() {
            running.state = Some(ChainState::from_bytes(bytes));
        }
    }

    /// The last block of the size on trial, to be asked for if it is not yet.
    pub(crate) fn block_to_start(&self) -> Option<(SocketAddr, u64, u64)> {
        let running = self.running.as_ref()?;
        let last = BlockLayout::new(running.size).block_count().checked_sub(1)?;
        running.buffer.is_none().then_some((running.source, running.size, last))
    }

    pub(crate) fn started(&mut self, buffer: BufferId) {
        if let Some(running) = &mut self.running {
            running.buffer = Some(buffer);
        }
    }

    /// The link that the last block has to close, once its state is there.
    pub(crate) fn link(&self, content: ContentId, buffer: BufferId) -> Option<Link> {
        let running = self.running.as_ref().filter(|run| run.buffer == Some(buffer))?;
        let layout = BlockLayout::new(running.size);
        let range = layout.block_range(layout.block_count().checked_sub(1)?);
        Some(Link {
            from: running.state?,
            to: LinkEnd::Name { content, size: running.size },
            length: (range.end - range.start) as u32,
        })
    }

    /// The buffer of the block on trial.
    pub(crate) fn buffer(&self) -> Option<BufferId> {
        self.running.as_ref()?.buffer
    }

    /// The trial is over without a proof; whose it was, of which size, and its block.
    pub(crate) fn end(&mut self) -> Option<(SocketAddr, u64, Option<BufferId>)> {
        let running = self.running.take()?;
        Some((running.source, running.size, running.buffer))
    }
}
