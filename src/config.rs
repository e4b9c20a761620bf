//! What a run is configured with: validated values, made by [`cli`](crate::cli) from arguments and
//! environment, used by the driver.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::content::{ContentId, ShareName};
use crate::node::{Restraint, SyncRules};

/// The port where peers listen unless told otherwise.
pub const DEFAULT_PORT: u16 = crate::wire::DEFAULT_PORT;
/// Under this option, which stands alone and is nobody's but ours, the name after it is looked up.
pub const RESOLVE_OPTION: &str = "--resolve-name";
/// The most hosts that an option names, and the most of those found by a look that are handed on to a fetch.
pub const SOURCES_MAX: usize = 64;
/// The most addresses that `fetch` is given. Each is used, the many in turns; a whole network of 16 bits fits.
pub const FETCH_SOURCES_MAX: usize = 1 << 16;

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
    /// Trackers to ask and to tell.
    pub trackers: Vec<PeerHost>,
    /// What a peer fetches by itself of what others offer, if it does.
    pub sync: Option<SyncRules>,
    /// How it holds back for the sake of others.
    pub restraint: Restraint,
    /// How much to say on standard error.
    pub verbosity: Verbosity,
    /// Where the run is recorded, if it is.
    pub trace: Option<TraceConfig>,
}

/// How a run is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceConfig {
    /// The file; it does not exist yet. `%p` in its name stands for the process's number.
    pub file: PathBuf,
    /// Whether the bytes of files are kept.
    pub payload: bool,
    /// Whether names of files are replaced.
    pub private: bool,
    /// Only what happened of late, in so many bytes of memory, and written when something goes wrong or
    /// SIGUSR1 asks for it.
    pub ring: Option<u64>,
}

/// What to replay, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayConfig {
    /// The trace.
    pub file: PathBuf,
    /// Compare how it ends, and nothing on the way.
    pub against: bool,
    /// Wait for a person between two inputs.
    pub step: bool,
    /// Stop after this.
    pub until: Option<Until>,
    /// Tell what happens.
    pub print: Option<Print>,
    /// Say nothing where nothing is wrong.
    pub quiet: bool,
    /// Write the trace anew, with what this program makes of it.
    pub rewrite: Option<PathBuf>,
    /// And give each input a line of its own there.
    pub expand: bool,
}

/// How `doctor` tells what it finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DoctorConfig {
    /// For programs, a JSON object a line.
    pub json: bool,
}

/// A place in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// After the input of this number.
    Input(u64),
    /// After the last input up to this time, in microseconds.
    Time(u64),
}

/// For whom a replay is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Print {
    /// For people.
    Text,
    /// For programs, a JSON value a line.
    Json,
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
    /// Hosts that are said to hold it, each once, at most [`FETCH_SOURCES_MAX`].
    pub sources: Vec<SocketAddr>,
    /// Give up after this long; never, where there is none.
    pub timeout: Option<Duration>,
}

/// What is asked of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskConfig {
    /// What.
    pub question: Question,
    /// Answers for programs, a JSON object a line.
    pub json: bool,
    /// How long to look at the most.
    pub timeout: Duration,
}

/// How long a look takes at the most, unless told otherwise: enough for long lists on a slow way.
pub const LOOK_TIME: Duration = Duration::from_secs(10);

/// A question to the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Which files there are: all, or those that this means.
    Files(Option<Wanted>),
    /// Who is there.
    Hosts,
    /// What is known of some files.
    About(Wanted),
    /// Which host holds which blocks of them.
    Holders(Wanted),
}

/// Which files are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Those with this content.
    Content(ContentId),
    /// The one with this name; or, where there is none, those that fit it as a pattern.
    Name(String),
}

/// What to put into `share/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddConfig {
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// Answers for programs.
    pub json: bool,
}

/// What to take out of `share/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoveConfig {
    /// Files below `share/`.
    pub names: Vec<ShareName>,
    /// Be it the only copy.
    pub force: bool,
    /// Answers for programs.
    pub json: bool,
    /// How long to look at the most whether others have it.
    pub timeout: Duration,
}

/// What to get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetConfig {
    /// Which files.
    pub wanted: Vec<Wanted>,
    /// How many at once.
    pub jobs: usize,
    /// Where else the files are to go, once they are whole.
    pub output: Option<Destination>,
    /// Replace what stands there.
    pub force: bool,
    /// Answers for programs.
    pub json: bool,
    /// Give each up after this long; never, where there is none.
    pub timeout: Option<Duration>,
}

/// Where a file goes beside `share/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To standard output.
    Standard,
    /// Into this folder, if it is one, or ends in a slash; else under this name.
    Path(PathBuf),
}
