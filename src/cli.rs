//! Arguments and environment to one validated [`Command`]. Nothing is read or written here beyond
//! them: a refusal is one sentence, and the disk is as it was.
//!
//! What the contract calls positional is taken raw: after the SHA-1 come the name and the size,
//! whatever they look like, so that a file called `--help` can be fetched. Options may stand before the
//! SHA-1 and among the addresses.
//!
//! A verb is a line of [`VERBS`]; what reads its words and options stands in a file of its family.

mod asking;
mod giving;
mod help;
mod options;
mod sharing;
mod trace;
mod values;
mod words;

use std::ffi::{OsStr, OsString};
use std::ops::Range;

use pico_args::Arguments;

pub use self::help::{
    ADD_HELP, DOCTOR_HELP, FETCH_HELP, GET_HELP, HELP, INFO_HELP, LOC_HELP, LS_HELP, PEER_HELP,
    PEERS_HELP, REPLAY_HELP, RM_HELP, TRACKER_HELP,
};
use self::options::Options;
use self::words::Words;
use crate::config::{
    AddConfig, AskConfig, Config, DoctorConfig, FetchConfig, GetConfig, RESOLVE_OPTION,
    RemoveConfig, ReplayConfig,
};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Offer, discover, keep `d.json`.
    Peer(Config),
    /// Fetch one file.
    Fetch(Config, FetchConfig),
    /// Look the network over, and say what is there.
    Ask(Config, AskConfig),
    /// Find out why nobody is seen.
    Doctor(Config, DoctorConfig),
    /// Look the network over, and fetch what is wanted of it.
    Get(Config, GetConfig),
    /// Put files into `share/`.
    Add(Config, AddConfig),
    /// Take files out of it.
    Remove(Config, RemoveConfig),
    /// Tell hosts of each other.
    Track(Config),
    /// Look a host's name up, for another process of ours.
    Resolve(String),
    /// Run the core over a trace.
    Replay(ReplayConfig),
    /// Show this help.
    Help(&'static str),
    /// Show the version.
    Version,
}

/// Why the arguments are refused: one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

/// What the first word can be.
struct Verb {
    word: &'static str,
    help: &'static str,
    /// Which of the words after it are taken whatever they look like, counted from 0.
    raw: Range<usize>,
    /// Makes a command of the options and of the words after it.
    read: fn(Options<'_>, &[OsString]) -> Result<Command, Refusal>,
}

static VERBS: [Verb; 12] = [
    Verb { word: "peer", help: PEER_HELP, raw: 0..0, read: sharing::peer },
    Verb { word: "fetch", help: FETCH_HELP, raw: 1..3, read: sharing::fetch },
    Verb { word: "ls", help: LS_HELP, raw: 0..0, read: asking::ls },
    Verb { word: "peers", help: PEERS_HELP, raw: 0..0, read: asking::peers },
    Verb { word: "info", help: INFO_HELP, raw: 0..0, read: asking::info },
    Verb { word: "loc", help: LOC_HELP, raw: 0..0, read: asking::loc },
    Verb { word: "get", help: GET_HELP, raw: 0..0, read: asking::get },
    Verb { word: "add", help: ADD_HELP, raw: 0..0, read: giving::add },
    Verb { word: "rm", help: RM_HELP, raw: 0..0, read: giving::rm },
    Verb { word: "doctor", help: DOCTOR_HELP, raw: 0..0, read: asking::doctor },
    Verb { word: "tracker", help: TRACKER_HELP, raw: 0..0, read: sharing::tracker },
    Verb { word: "replay", help: REPLAY_HELP, raw: 0..0, read: trace::replay },
];

/// Options that are followed by a value, each with the variable that stands in for it, if one does.
const VALUE_OPTIONS: [(&str, &str); 17] = [
    ("--root", "SPRAT_ROOT"),
    ("--bind", "SPRAT_BIND"),
    ("--port", "SPRAT_PORT"),
    ("--peer", "SPRAT_PEER"),
    ("--tracker", "SPRAT_TRACKER"),
    ("--include", ""),
    ("--exclude", ""),
    ("--max-size", "SPRAT_MAX_SIZE"),
    ("--timeout", "SPRAT_TIMEOUT"),
    ("--limit", "SPRAT_LIMIT"),
    ("--trace", "SPRAT_TRACE"),
    ("--trace-ring", "SPRAT_TRACE_RING"),
    ("--jobs", "SPRAT_JOBS"),
    ("--output", ""),
    ("-o", ""),
    ("--until", ""),
    ("--rewrite", ""),
];

/// What the arguments are read with.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The value of an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// The number of the network interface with this name, as in `fe80::1%eth0`.
    pub scope_number: &'a dyn Fn(&str) -> Option<u32>,
}

/// Reads the arguments, without the program's own name.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    around: Surroundings<'_>,
) -> Result<Command, Refusal> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let [option, name] = &arguments[..] {
        if option == RESOLVE_OPTION {
            return Ok(Command::Resolve(name.to_string_lossy().into_owned()));
        }
    }
    let words = Words::split(arguments)?;
    let mut options = Options { given: Arguments::from_vec(words.options), around };
    if options.flag("--help", "-h") {
        return Ok(Command::Help(words.verb.map_or(HELP, |verb| verb.help)));
    }
    if options.flag("--version", "-V") {
        return Ok(Command::Version);
    }
    match words.verb {
        Some(verb) => (verb.read)(options, &words.positional),
        None => Err(refuse(
            "say what to do: sprat peer, sprat ls, or sprat fetch SHA1 NAME SIZE [IP ...]",
        )),
    }
}

/// An argument as a person may read it: quoted, made safe for a terminal, not endless.
fn shown(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    let mut short: String = text.chars().take(80).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}

fn refuse(sentence: impl Into<String>) -> Refusal {
    Refusal(sentence.into())
}

#[cfg(test)]
mod tests;
