//! What is shared: names, sizes, blocks and the proof that a block is genuine. Pure values; nothing
//! here knows of a network, a disk or a clock.
//!
//! - *content*: a sequence of bytes, named by its SHA-1 ([`ContentId`]).
//! - *block*: a fixed-length part of a content ([`BlockLayout`]); the last one may be shorter.
//! - *chain*: the SHA-1 states at the block boundaries ([`state_chain`]); with it, any block can be
//!   checked alone.
//! - *share name*: a file's path below `share/`, with `/` between folders ([`ShareName`]).
//! - *extent*: a run of bytes of a content that is on disk; one chunk file holds one.

pub mod block_layout;
pub mod content_id;
pub mod hex;
pub mod nearest;
pub mod pattern;
pub mod range_set;
pub mod share_name;
pub mod state_chain;
pub mod terminal_text;

pub use block_layout::BlockLayout;
pub use content_id::ContentId;
pub use pattern::Pattern;
pub use range_set::RangeSet;
pub use share_name::ShareName;
pub use state_chain::{ChainId, ChainState};
