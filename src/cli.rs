//! Arguments and environment to one validated [`Command`]. Nothing is read or written here beyond
//! them: a refusal is one sentence, and the disk is as it was.
//!
//! What the contract calls positional is taken raw: after the SHA-1 come the name and the size,
//! whatever they look like, so that a file called `--help` can be fetched. Options may stand before the
//! SHA-1 and among the addresses.

mod help;
mod trace;
mod values;

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use pico_args::Arguments;

pub use self::help::{FETCH_HELP, HELP, PEER_HELP, REPLAY_HELP};
use self::values::parse_host;
use crate::config::{
    Config, DEFAULT_PORT, FetchConfig, PeerHost, ReplayConfig, SOURCES_MAX, Verbosity,
};
use crate::content::{ContentId, ShareName};
use crate::node::{FETCH_SIZE_MAX, Restraint};
use crate::wire::address::HostError;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Offer, discover, keep `d.json`.
    Peer(Config),
    /// Fetch one file.
    Fetch(Config, FetchConfig),
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

/// Options that are followed by a value, each with the variable that stands in for it.
const VALUE_OPTIONS: [(&str, &str); 8] = [
    ("--root", "SPRAT_ROOT"),
    ("--bind", "SPRAT_BIND"),
    ("--port", "SPRAT_PORT"),
    ("--peer", "SPRAT_PEER"),
    ("--timeout", "SPRAT_TIMEOUT"),
    ("--limit", "SPRAT_LIMIT"),
    ("--trace", "SPRAT_TRACE"),
    ("--trace-ring", "SPRAT_TRACE_RING"),
];
/// Those of replay, for which nothing stands in.
const REPLAY_VALUE_OPTIONS: [&str; 2] = ["--until", "--rewrite"];

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
    let words = Words::split(arguments)?;
    let mut options = Options { given: Arguments::from_vec(words.options), around };
    if options.flag("--help", "-h") {
        return Ok(Command::Help(match words.verb {
            Some(Verb::Peer) => PEER_HELP,
            Some(Verb::Fetch) => FETCH_HELP,
            Some(Verb::Replay) => REPLAY_HELP,
            None => HELP,
        }));
    }
    if options.flag("--version", "-V") {
        return Ok(Command::Version);
    }
    if words.verb == Some(Verb::Replay) {
        return Ok(Command::Replay(options.replay(&words.positional)?));
    }
    let (config, timeout) = options.finish(words.verb)?;
    match words.verb {
        None | Some(Verb::Replay) => {
            Err(refuse("say what to do: sprat peer, or sprat fetch SHA1 NAME SIZE [IP ...]"))
        }
        Some(Verb::Peer) => match (timeout, words.positional.first()) {
            (Timeout::Given(_), _) => Err(refuse("--timeout is for fetch, a peer runs for ever")),
            (_, Some(word)) => {
                Err(refuse(format!("peer takes no arguments beside options, not {}", shown(word))))
            }
            (_, None) => Ok(Command::Peer(config)),
        },
        Some(Verb::Fetch) => {
            let fetch = fetch_config(
                &words.positional,
                config.port,
                timeout.duration(),
                around.scope_number,
            )?;
            Ok(Command::Fetch(config, fetch))
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Peer,
    Fetch,
    Replay,
}

/// The command line, cut into options (each value a word after its option) and the rest.
#[derive(Debug, Default)]
struct Words {
    verb: Option<Verb>,
    options: Vec<OsString>,
    positional: Vec<OsString>,
}

impl Words {
    fn split(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Refusal> {
        let mut words = Self::default();
        let mut options_over = false;
        let mut rest = arguments.into_iter();
        while let Some(word) = rest.next() {
            // After the SHA-1, the name and the size are taken whatever they look like.
            let raw = words.verb == Some(Verb::Fetch) && matches!(words.positional.len(), 1 | 2);
            if raw || options_over || !looks_like_option(&word) {
                words.take_positional(word)?;
            } else if word == "--" {
                options_over = true;
            } else {
                words.take_option(word, &mut rest)?;
            }
        }
        Ok(words)
    }

    fn take_positional(&mut self, word: OsString) -> Result<(), Refusal> {
        if self.verb.is_some() {
            self.positional.push(word);
            return Ok(());
        }
        let text = word.to_str().unwrap_or("");
        self.verb = Some(match text {
            "peer" => Verb::Peer,
            "fetch" => Verb::Fetch,
            "replay" => Verb::Replay,
            // A front end that leaves the word out is understood.
            sha1 if sha1.parse::<ContentId>().is_ok() => {
                self.positional.push(word);
                Verb::Fetch
            }
            _ => {
                let shown = shown(&word);
                let sentence = format!("{shown} is no command: there are peer, fetch and replay");
                return Err(refuse(sentence));
            }
        });
        Ok(())
    }

    /// Takes `--option value`, `--option=value`, `-v` and `-qv`.
    fn take_option(
        &mut self,
        word: OsString,
        rest: &mut impl Iterator<Item = OsString>,
    ) -> Result<(), Refusal> {
        let bytes = word.as_bytes();
        if bytes.starts_with(b"--") {
            let equals = bytes.iter().position(|byte| *byte == b'=');
            let (name, glued) = match equals {
                Some(at) => (&bytes[..at], Some(OsStr::from_bytes(&bytes[at + 1..]).to_owned())),
                None => (bytes, None),
            };
            let name = OsStr::from_bytes(name);
            let of_replay = REPLAY_VALUE_OPTIONS.iter().any(|option| name == *option);
            if of_replay || VALUE_OPTIONS.iter().any(|(option, _)| name == *option) {
                let value = glued.or_else(|| rest.next()).unwrap_or_default();
                if value.is_empty() || looks_like_option(&value) {
                    let name = name.to_string_lossy();
                    return Err(refuse(format!("{name} needs a value after it")));
                }
                self.options.extend([name.to_owned(), value]);
                return Ok(());
            }
        } else if bytes.len() > 2 && bytes.is_ascii() {
            let flags = bytes[1..].iter().map(|flag| OsString::from(format!("-{}", *flag as char)));
            self.options.extend(flags);
            return Ok(());
        }
        self.options.push(word);
        Ok(())
    }
}

/// Options that were given, and the environment for those that were not.
struct Options<'a> {
    given: Arguments,
    around: Surroundings<'a>,
}

/// Where the time limit comes from: a peer refuses the option and ignores the variable.
enum Timeout {
    Given(Duration),
    Inherited(Option<Duration>),
}

impl Timeout {
    fn duration(&self) -> Option<Duration> {
        match self {
            Self::Given(duration) => Some(*duration),
            Self::Inherited(duration) => *duration,
        }
    }
}

impl Options<'_> {
    fn flag(&mut self, long: &'static str, short: &'static str) -> bool {
        let mut found = false;
        while self.given.contains([short, long]) {
            found = true;
        }
        found
    }

    /// All values of an option, and whether they were given on the command line.
    fn values(&mut self, option: &'static str) -> Result<(Vec<OsString>, bool), Refusal> {
        let owned = |value: &OsStr| Ok::<_, std::convert::Infallible>(value.to_owned());
        let given = self
            .given
            .values_from_os_str(option, owned)
            .map_err(|error| refuse(error.to_string()))?;
        if !given.is_empty() {
            return Ok((given, true));
        }
        let variable = VALUE_OPTIONS.iter().find(|(name, _)| *name == option);
        let value = variable.and_then(|(_, variable)| self.variable(variable));
        Ok((value.into_iter().collect(), false))
    }

    /// The last value of an option: the later one on a command line is meant.
    fn value<T>(
        &mut self,
        option: &'static str,
        read: impl Fn(&OsStr) -> Result<T, String>,
    ) -> Result<(Option<T>, bool), Refusal> {
        let (values, given) = self.values(option)?;
        let Some(value) = values.last() else {
            return Ok((None, false));
        };
        match read(value) {
            Ok(value) => Ok((Some(value), given)),
            Err(wanted) => Err(refuse(format!("{option} wants {wanted}, not {}", shown(value)))),
        }
    }

    /// A variable that is set to something.
    fn variable(&self, name: &str) -> Option<OsString> {
        (self.around.variable)(name).filter(|value| !value.is_empty())
    }

    fn verbosity(&mut self) -> Result<Verbosity, Refusal> {
        let quiet = self.flag("--quiet", "-q");
        let mut times = 0_u32;
        while self.given.contains(["-v", "--verbose"]) {
            times += 1;
        }
        if times == 0 && !quiet {
            if self.variable("SPRAT_QUIET").is_some_and(|value| value != "0") {
                return Ok(Verbosity::Quiet);
            }
            let told = self.variable("SPRAT_VERBOSE");
            times =
                told.map_or(0, |value| value.to_str().and_then(|v| v.parse().ok()).unwrap_or(1));
        }
        match (quiet, times) {
            (true, 0) => Ok(Verbosity::Quiet),
            (true, _) => Err(refuse("--quiet and -v contradict each other")),
            (false, 0) => Ok(Verbosity::Normal),
            (false, 1) => Ok(Verbosity::Info),
            (false, 2) => Ok(Verbosity::Debug),
            (false, _) => Ok(Verbosity::Trace),
        }
    }

    fn finish(mut self, verb: Option<Verb>) -> Result<(Config, Timeout), Refusal> {
        let verbosity = self.verbosity()?;
        let scopes = self.around.scope_number;
        let (root, _) = self.value("--root", |value| Ok(PathBuf::from(value)))?;
        let (bind, _) = self.value("--bind", |value| values::parse_bind(value, scopes))?;
        let (port, _) = self.value("--port", values::parse_port)?;
        let port = port.unwrap_or(DEFAULT_PORT);
        let (timeout, given) = self.value("--timeout", values::parse_timeout)?;
        // A peer's own port says nothing about where others listen.
        let others = if verb == Some(Verb::Fetch) { port } else { DEFAULT_PORT };
        let peers = self.peers(others)?;
        let (limit, _) = self.value("--limit", values::parse_rate)?;
        let (background, _) = self.switch("--background", "SPRAT_BACKGROUND");
        let restraint = Restraint { limit, background };
        let trace = self.trace()?;
        self.refuse_unknown()?;
        let timeout = match timeout {
            Some(timeout) if given => Timeout::Given(timeout),
            other => Timeout::Inherited(other),
        };
        let root = root.unwrap_or_else(|| PathBuf::from("."));
        Ok((Config { root, bind, port, peers, restraint, verbosity, trace }, timeout))
    }

    /// All that there is was read.
    fn refuse_unknown(self) -> Result<(), Refusal> {
        match self.given.finish().first() {
            None => Ok(()),
            Some(unknown) => {
                let unknown = shown(unknown);
                Err(refuse(format!("{unknown} is no option: sprat --help tells which are")))
            }
        }
    }

    /// The hosts of every `--peer`; a value may name several, with commas or spaces between.
    fn peers(&mut self, port: u16) -> Result<Vec<PeerHost>, Refusal> {
        let (values, _) = self.values("--peer")?;
        let mut peers = Vec::new();
        for value in &values {
            let text = value.to_string_lossy();
            for host in text.split([',', ' ']).filter(|host| !host.is_empty()) {
                let peer = values::parse_peer(host, port, self.around.scope_number).map_err(
                    |problem| refuse(format!("--peer wants HOST or HOST:PORT, but {problem}")),
                )?;
                if !peers.contains(&peer) {
                    peers.push(peer);
                }
            }
        }
        if peers.len() > SOURCES_MAX {
            return Err(refuse(format!("more than {SOURCES_MAX} hosts with --peer are too many")));
        }
        Ok(peers)
    }
}

/// SHA1, NAME, SIZE and the addresses.
fn fetch_config(
    words: &[OsString],
    port: u16,
    timeout: Option<Duration>,
    scopes: &values::Scopes<'_>,
) -> Result<FetchConfig, Refusal> {
    let [sha1, name, size, hosts @ ..] = words else {
        return Err(refuse("fetch needs SHA1 NAME SIZE, and takes addresses after these"));
    };
    let content = sha1.to_str().and_then(|text| text.parse::<ContentId>().ok());
    let Some(content) = content else {
        return Err(refuse(format!(
            "SHA1 wants exactly 40 hexadecimal digits, not {}",
            shown(sha1)
        )));
    };
    let Some(text) = name.to_str() else {
        return Err(refuse(format!("NAME has to be UTF-8, not {}", shown(name))));
    };
    let name = ShareName::parse(text)
        .map_err(|problem| refuse(format!("NAME cannot be {}: {problem}", shown(name))))?;
    let size = values::parse_size(size)
        .map_err(|wanted| refuse(format!("SIZE wants {wanted}, not {}", shown(size))))?;
    if size > FETCH_SIZE_MAX {
        return Err(refuse(format!("files of more than {FETCH_SIZE_MAX} bytes cannot be fetched")));
    }
    let mut sources: Vec<SocketAddr> = Vec::new();
    for host in hosts {
        let source = host
            .to_str()
            .ok_or(HostError::Syntax)
            .and_then(|text| parse_host(text, port, scopes))
            .map_err(|problem| refuse(format!("{} is no IP: {problem}", shown(host))))?;
        if !sources.contains(&source) {
            sources.push(source);
        }
    }
    if sources.len() > SOURCES_MAX {
        return Err(refuse(format!("more than {SOURCES_MAX} addresses are too many")));
    }
    Ok(FetchConfig { content, name, size, sources, timeout })
}

fn looks_like_option(word: &OsStr) -> bool {
    word.len() > 1 && word.as_bytes().starts_with(b"-")
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
