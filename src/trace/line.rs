//! The lines of a trace as values. `docs/trace.md` says what each means; here is how they are read, and how
//! those are written that are rare. (The frequent ones are put together by the recorder.)

use std::net::SocketAddr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::node::output::FetchEnding;
use crate::node::{Deadline, FetchId, Input, Instant, NodeConfig};

/// The version of the format. A reader refuses what is newer.
pub const FORMAT: u32 = 1;

/// The longest line that is read or written, in bytes: it bounds what a damaged file can make a reader
/// hold. Only the snapshot of a peer with some hundred thousand files comes near.
pub const LINE_LENGTH_MAX: usize = 64 << 20;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`FORMAT`] of the writer. It comes first, so that the file can be told by its first bytes.
    pub sprat_trace: u32,
    /// The program's version.
    pub program: String,
    /// The commit that it was built from, where the build knew.
    pub commit: Option<String>,
    /// `peer`, `fetch`, or what else drove the core.
    pub command: String,
    /// When it began: milliseconds since 1970, by the wall clock.
    pub started: u64,
    /// On what it ran.
    pub platform: Platform,
    /// Whether the bytes of files are kept.
    pub payload: bool,
    /// Whether the names of files are replaced.
    pub private: bool,
    /// The core's time when it was made, in microseconds.
    pub begins: u64,
    /// What the core was made with.
    pub config: NodeConfig,
}

/// On what a run ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Platform {
    /// The processor, as Rust names it.
    pub arch: String,
    /// The operating system, as Rust names it.
    pub os: String,
    /// Bits of an address.
    pub pointer_width: u32,
}

impl Platform {
    /// This one.
    pub fn here() -> Self {
        Self {
            arch: std::env::consts::ARCH.to_owned(),
            os: std::env::consts::OS.to_owned(),
            pointer_width: usize::BITS,
        }
    }
}

impl Header {
    /// The header of a trace that this program writes now; nothing is left out but payload.
    pub fn new(command: &str, started: u64, begins: Instant, config: NodeConfig) -> Self {
        Self {
            sprat_trace: FORMAT,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            commit: option_env!("SPRAT_COMMIT").map(str::to_owned),
            command: command.to_owned(),
            started,
            platform: Platform::here(),
            payload: false,
            private: false,
            begins: begins.as_micros(),
            config,
        }
    }
}

/// Any line but the first. Which fields are there says what it is.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Line {
    /// The number of the (first) input, from 1 on.
    pub(crate) n: Option<u64>,
    /// When it was handed in, in microseconds.
    pub(crate) t: Option<u64>,
    /// An input that is no datagram.
    #[serde(rename = "in")]
    pub(crate) input: Option<Input<'static>>,
    /// A datagram: from whom,
    pub(crate) from: Option<SocketAddr>,
    /// what it is, for people,
    pub(crate) message: Option<String>,
    /// its bytes,
    pub(crate) bytes: Option<Hex>,
    /// and how many more it had.
    pub(crate) left_out: Option<u32>,
    /// A wake-up: why.
    pub(crate) wake: Option<String>,
    /// Several inputs in short,
    pub(crate) run: Option<String>,
    /// and what they refer to.
    pub(crate) flows: Vec<FlowEntry>,
    pub(crate) grants: Vec<GrantEntry>,
    pub(crate) why: Vec<String>,
    pub(crate) fetch: Option<u32>,
    /// What came of it; not there where nothing did any more.
    pub(crate) out: Option<Vec<String>>,
    /// The deadline afterwards.
    #[serde(deserialize_with = "some_due")]
    pub(crate) due: Option<Due>,
    /// The state in which a ring begins.
    pub(crate) snapshot: Option<Snapshot>,
    /// Digests of the state.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// The last line.
    pub(crate) end: Option<End>,
}

impl Line {
    /// How many kinds of line it is; one, if it makes sense.
    pub(crate) fn kinds(&self) -> usize {
        let kinds = [
            self.input.is_some(),
            self.from.is_some(),
            self.wake.is_some(),
            self.run.is_some(),
            self.snapshot.is_some(),
            self.checkpoint.is_some(),
            self.end.is_some(),
        ];
        kinds.into_iter().filter(|is_there| *is_there).count()
    }
}

/// Bytes as hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hex(#[serde(with = "crate::content::hex")] pub(crate) Vec<u8>);

/// Packets under one nonce: from whom, the nonce, where the first begins, how long each is.
pub(crate) type FlowEntry = (SocketAddr, String, u64, u32);
/// Grants of one receiver: from whom, of what, the cookie, the payload length, the first nonce.
pub(crate) type GrantEntry = (SocketAddr, String, String, u16, String);

/// A deadline: microseconds from the input on (they may have gone by), and why; or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Due(pub(crate) Option<(i64, String)>);

/// `null` says that there is no deadline, which is other than a line that does not say.
fn some_due<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Due>, D::Error> {
    Option::deserialize(from).map(|due| Some(Due(due)))
}

impl Due {
    /// The deadline as seen from a moment.
    pub(crate) fn of(deadline: Option<Deadline>, now: Instant) -> Self {
        Self(deadline.map(|due| (delta(due.at, now), due.reason.to_owned())))
    }
}

/// Microseconds from `now` to `at`.
pub(crate) fn delta(at: Instant, now: Instant) -> i64 {
    at.as_micros().wrapping_sub(now.as_micros()) as i64
}

/// The state in which a ring begins.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Snapshot {
    /// Inputs so far.
    pub(crate) n: u64,
    /// The time of the last.
    pub(crate) t: u64,
    /// The running digest.
    pub(crate) sum: Sum,
    /// The state itself, for the core.
    pub(crate) state: Box<RawValue>,
}

/// Digests of the state between two inputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Inputs so far.
    pub n: u64,
    /// The time of the last.
    pub t: u64,
    /// The running digest over all that came out so far.
    pub sum: Sum,
    /// A digest of each part of the state, by its name.
    pub state: Vec<(String, Sum)>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// Inputs in all.
    pub n: u64,
    /// The time of the last.
    pub t: u64,
    /// The running digest over all that came out.
    pub sum: Sum,
    /// How.
    pub how: How,
    /// How its fetches ended, in order.
    pub endings: Vec<(FetchId, FetchEnding)>,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// By itself, with this exit code.
    Exit(u8),
    /// It was told to, by this signal.
    Signal(i32),
    /// By a panic.
    Panic {
        /// What the panic said.
        message: String,
        /// Whether it came from the core, in the last input; else from the driver.
        in_core: bool,
    },
    /// It has not: this is what the ring held when the process was asked.
    Running,
}

/// 64 bits as sixteen digits, since many readers of JSON round above 2^53.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum(pub u64);

impl Serialize for Sum {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        crate::content::hex::number::serialize(&self.0, to)
    }
}

impl<'de> Deserialize<'de> for Sum {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        crate::content::hex::number::deserialize(from).map(Self)
    }
}
