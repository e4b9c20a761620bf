//! What a run is configured with: validated values, made by [`cli`](crate::cli) from arguments and
//! environment, used by the driver.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::content::{ContentId, ShareName};

/// The port where peers listen unless told otherwise.
pub const DEFAULT_PORT: u16 = crate::wire::DEFAULT_PORT;
/// How often a peer announces itself and renews `d.json`.
pub const SWEEP: Duration = Duration::from_secs(2);
/// The most sources that a fetch is given.
pub const SOURCES_MAX: usize = 64;

/// What holds for every command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The folder that holds `share/`, `chunks/` and `d.json`.
    pub root: PathBuf,
    /// The one address of this machine to speak from; all of them where there is none.
    pub bind: Option<BindHost>,
    /// A peer's own port; in a fetch, the port of hosts that are named without one.
    pub port: u16,
    /// Hosts to speak to beside those that are found.
    pub peers: Vec<PeerHost>,
    /// How much to say on standard error.
    pub verbosity: Verbosity,
}

/// An address of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindHost {
    /// The address.
    pub address: IpAddr,
    /// Which interface a link-local IPv6 address belongs to, else zero.
    pub scope_id: u32,
}

/// A host named with `--peer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerHost {
    /// By its address.
    Address(SocketAddr),
    /// By a name that is still to be resolved.
    Named {
        /// The name.
        name: String,
        /// The port.
        port: u16,
    },
}

/// How much to say on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors and nothing else.
    Quiet,
    /// What a person should know, and progress.
    Normal,
    /// Also what begins and ends.
    Info,
    /// Also states.
    Debug,
    /// Also every datagram.
    Trace,
}

impl Verbosity {
    /// The log level that goes with it.
    pub fn level(self) -> log::LevelFilter {
        match self {
            Self::Quiet => log::LevelFilter::Error,
            Self::Normal => log::LevelFilter::Warn,
            Self::Info => log::LevelFilter::Info,
            Self::Debug => log::LevelFilter::Debug,
            Self::Trace => log::LevelFilter::Trace,
        }
    }
}

/// What to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchConfig {
    /// Its SHA-1.
    pub content: ContentId,
    /// Where it is to appear below `share/`.
    pub name: ShareName,
    /// Its size in bytes.
    pub size: u64,
    /// Hosts that are said to hold it, each once, at most [`SOURCES_MAX`].
    pub sources: Vec<SocketAddr>,
    /// Give up after this long; never, where there is none.
    pub timeout: Option<Duration>,
}
