//! A look at the network: a run of the core that is no host, until everybody who is there has told what they
//! offer.

use std::io;
use std::time::Duration;

use super::clock::Clock;
use super::event_loop::{EventLoop, Turn};
use super::executor::Executor;
use super::recording::Recording;
use super::run::{End, Trouble, looking_config, loop_failed, open_loop, open_socket, recorded};
use super::share_folder::ShareFolder;
use crate::config::Config;
use crate::node::input::{Command, LocateRequest};
use crate::node::{HolderSeen, HostSeen};

/// What came of a look.
pub(super) enum Look<T> {
    /// Who is there and what they offer, or what was made of that.
    Seen(T),
    /// A signal ended it, or the loop.
    Ended(Option<i32>),
}

/// Looks for `patience` at most.
pub(super) fn look(config: &Config, patience: Duration) -> Result<Look<Vec<HostSeen>>, Trouble> {
    look_and(config, patience, |_, hosts| Ok(Look::Seen(hosts)))
}

/// Looks for `patience` at most, and asks further as long as the run stands.
pub(super) fn look_and<T>(
    config: &Config,
    patience: Duration,
    then: impl FnOnce(&mut EventLoop, Vec<HostSeen>) -> Result<Look<T>, Trouble>,
) -> Result<Look<T>, Trouble> {
    let mut look = Look::Ended(None);
    recorded(looker(config)?, |run| {
        run.begin(Some(Command::Look { patience }));
        look = match looked(run)? {
            Look::Seen(hosts) => then(run, hosts)?,
            Look::Ended(signal) => Look::Ended(signal),
        };
        run.stop();
        while run.turn().map_err(loop_failed)? != Turn::Over {}
        Ok(run.ended_by.map_or(End::Code(0), End::BySignal))
    })?;
    Ok(look)
}

/// Lets a look that has begun come to its end.
pub(super) fn looked(run: &mut EventLoop) -> Result<Look<Vec<HostSeen>>, Trouble> {
    Ok(match until_known(run)? {
        Look::Seen(()) => Look::Seen(run.node.hosts_seen()),
        Look::Ended(signal) => Look::Ended(signal),
    })
}

/// Finds out who holds what of a content.
pub(super) fn locate(
    run: &mut EventLoop,
    request: LocateRequest,
) -> Result<Look<Vec<HolderSeen>>, Trouble> {
    run.executor.has_looked = false;
    run.command(Command::Locate(request));
    Ok(match until_known(run)? {
        Look::Seen(()) => Look::Seen(run.node.holders_seen()),
        Look::Ended(signal) => Look::Ended(signal),
    })
}

/// Runs until the core has looked.
fn until_known(run: &mut EventLoop) -> Result<Look<()>, Trouble> {
    loop {
        let turn = run.turn().map_err(loop_failed)?;
        if let Some(signal) = run.ended_by {
            return Ok(Look::Ended(Some(signal)));
        } else if run.executor.has_looked {
            return Ok(Look::Seen(()));
        } else if turn == Turn::Over {
            return Ok(Look::Ended(None));
        }
    }
}

/// A run that offers nothing and writes nothing.
fn looker(config: &Config) -> Result<EventLoop, Trouble> {
    let clock = Clock::start();
    Recording::check(config.trace.as_ref())?;
    let socket = open_socket(config, 0)?;
    let node_config = looking_config(config, &socket)?;
    // Nothing is served, searched or published: no share/ is made for a question.
    let folder = open_root(config).map_err(|error| {
        format!(
            "cannot open the folder {}: {error}; give another with --root",
            config.root.display()
        )
    })?;
    let executor = Executor::new(&config.root, folder, socket, None);
    Ok(open_loop(config, clock, node_config, executor)?)
}

fn open_root(config: &Config) -> io::Result<ShareFolder> {
    match std::fs::metadata(&config.root) {
        // None is made, and none is needed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            ShareFolder::open_or_make(std::path::Path::new("/"))
        }
        _ => ShareFolder::open_or_make(&config.root),
    }
}
