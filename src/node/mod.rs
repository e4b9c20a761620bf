//! The pure core.

pub mod ids;
pub mod input;
pub mod output;
pub mod time;

pub use ids::{BufferId, FetchId, JobId};
pub use input::Input;
pub use output::Output;
pub use time::Instant;
