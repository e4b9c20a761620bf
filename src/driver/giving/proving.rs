//! Whether a host has a content that it lists: some of it is fetched, from that host alone, to a folder that goes again.
//! Nothing is taken at its word: a block counts that is proven against the SHA-1.

use std::fs::{self, DirBuilder};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::Config;
use crate::content::{ContentId, ShareName};
use crate::driver::clock::Clock;
use crate::driver::event_loop::{EventLoop, Turn};
use crate::driver::executor::Executor;
use crate::driver::looking::Look;
use crate::driver::run::{Trouble, loop_failed, node_config, open_loop, open_share, open_socket};
use crate::node::FetchId;
use crate::node::input::{Command, FetchRequest};
use crate::node::output::FetchEnding;

/// So much of it is enough to see, in bytes; a shorter content is fetched whole.
const ENOUGH: u64 = 16 << 20;
/// After so long, a block is enough.
const PATIENCE: Duration = Duration::from_secs(10);
/// A host that gives nothing for so long gives no more.
const SILENCE: Duration = Duration::from_secs(2);

/// Whether the host at these addresses has this content.
pub(super) fn has(
    config: &Config,
    (content, size): (ContentId, u64),
    sources: Vec<SocketAddr>,
) -> Result<Look<bool>, Trouble> {
    let folder = Passing::make()?;
    // The look before it is what is recorded.
    let config = Config { root: folder.0.clone(), trace: None, ..config.clone() };
    let clock = Clock::start();
    let share = open_share(&config.root)?;
    let socket = open_socket(&config, 0)?;
    let node_config = node_config(&config, false, &socket)?;
    let executor = Executor::new(&config.root, share, socket, None);
    let mut run = open_loop(&config, clock, node_config, executor)?;
    let name = ShareName::parse("proof").map_err(|problem| problem.to_string())?;
    run.begin(Some(Command::Fetch(FetchRequest {
        fetch: FetchId(1),
        content,
        size,
        name,
        sources,
        timeout: Some(PATIENCE),
        alone: true,
    })));
    let seen = see(&mut run)?;
    run.stop();
    while run.turn().map_err(loop_failed)? != Turn::Over {}
    Ok(seen)
}

/// Lets the fetch run until it is seen.
fn see(run: &mut EventLoop) -> Result<Look<bool>, Trouble> {
    let (mut stored, mut received, mut moved_at) = (0, 0, run.now());
    loop {
        let turn = run.turn().map_err(loop_failed)?;
        if let Some((_, ending)) = run.executor.endings.pop() {
            let is_done = matches!(ending, FetchEnding::Done(_));
            let is_slow = ending == FetchEnding::TimedOut && stored > 0;
            return Ok(Look::Seen(is_done || is_slow));
        } else if let Some(progress) = run.node.fetch_progress(FetchId(1)) {
            stored = progress.stored;
            if progress.received != received {
                (received, moved_at) = (progress.received, run.now());
            }
        }
        if run.ended_by.is_some() || turn == Turn::Over {
            return Ok(Look::Ended(run.ended_by));
        } else if stored >= ENOUGH {
            return Ok(Look::Seen(true));
        } else if run.now().since(moved_at) >= SILENCE {
            return Ok(Look::Seen(false));
        }
    }
}

/// A folder for files that pass by.
struct Passing(PathBuf);

impl Passing {
    fn make() -> Result<Self, Trouble> {
        let path = std::env::temp_dir().join(format!("sprat-rm-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&path).map_err(|error| {
            format!("cannot make the folder {} to see who has it: {error}", path.display())
        })?;
        Ok(Self(path))
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            log::warn!("{} is left behind: {error}", self.0.display());
        }
    }
}
