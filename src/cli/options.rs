//! Options that were given, and the environment for those that were not.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use pico_args::Arguments;

use super::{Refusal, Surroundings, VALUE_OPTIONS, refuse, shown, values};
use crate::config::{Config, DEFAULT_PORT, PeerHost, SOURCES_MAX, Verbosity};
use crate::content::Pattern;
use crate::content::share_name::NAME_LENGTH_MAX;
use crate::node::{Restraint, SyncRules};

/// Options that were given, and the environment for those that were not.
pub(super) struct Options<'a> {
    pub(super) given: Arguments,
    pub(super) around: Surroundings<'a>,
}

/// Where the time limit comes from: a peer refuses the option and ignores the variable.
pub(super) enum Timeout {
    Given(Duration),
    Inherited(Option<Duration>),
}

impl Timeout {
    /// However it was told.
    pub(super) fn duration(&self) -> Option<Duration> {
        match self {
            Self::Given(duration) => Some(*duration),
            Self::Inherited(duration) => *duration,
        }
    }
}

impl Options<'_> {
    /// Whether an option without a value is given, by its long or its short name.
    pub(super) fn flag(&mut self, long: &'static str, short: &'static str) -> bool {
        let mut found = false;
        while self.given.contains([short, long]) {
            found = true;
        }
        found
    }

    /// Whether an option without a value and without a short name is given.
    pub(super) fn long(&mut self, option: &'static str) -> bool {
        let mut found = false;
        while self.given.contains(option) {
            found = true;
        }
        found
    }

    /// Whether something is switched on, and whether by the command line.
    pub(super) fn switch(&mut self, option: &'static str, variable: &str) -> (bool, bool) {
        let given = self.long(option);
        let inherited = self.variable(variable).is_some_and(|value| value != "0");
        (given || inherited, given)
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
    pub(super) fn value<T>(
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
    pub(super) fn variable(&self, name: &str) -> Option<OsString> {
        if name.is_empty() {
            return None;
        }
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

    /// What holds for every command. `own_port` says whether `--port` is that of this program, and not
    /// the one where others listen.
    pub(super) fn config(&mut self, own_port: bool) -> Result<Config, Refusal> {
        let verbosity = self.verbosity()?;
        let scopes = self.around.scope_number;
        let (root, _) = self.value("--root", |value| Ok(PathBuf::from(value)))?;
        let (bind, _) = self.value("--bind", |value| values::parse_bind(value, scopes))?;
        let (port, _) = self.value("--port", values::parse_port)?;
        let port = port.unwrap_or(DEFAULT_PORT);
        // A peer's own port says nothing about where others listen.
        let others = if own_port { DEFAULT_PORT } else { port };
        let peers = self.hosts("--peer", others)?;
        let trackers = self.hosts("--tracker", DEFAULT_PORT)?;
        let (limit, _) = self.value("--limit", values::parse_rate)?;
        let (background, _) = self.switch("--background", "SPRAT_BACKGROUND");
        let restraint = Restraint { limit, background };
        let trace = self.trace()?;
        let root = root.unwrap_or_else(|| PathBuf::from("."));
        let sync = None;
        Ok(Config { root, bind, port, peers, trackers, sync, restraint, verbosity, trace })
    }

    /// How long the caller has patience.
    pub(super) fn timeout(&mut self) -> Result<Timeout, Refusal> {
        Ok(match self.value("--timeout", values::parse_timeout)? {
            (Some(timeout), true) => Timeout::Given(timeout),
            (other, _) => Timeout::Inherited(other),
        })
    }

    /// All that there is was read.
    pub(super) fn refuse_unknown(self) -> Result<(), Refusal> {
        match self.given.finish().first() {
            None => Ok(()),
            Some(unknown) => {
                let unknown = shown(unknown);
                Err(refuse(format!("{unknown} is no option: sprat --help tells which are")))
            }
        }
    }

    /// What is to be fetched by itself, if anything is. The variables are those of `--sync` and `--max-size`.
    pub(super) fn sync(&mut self) -> Result<Option<SyncRules>, Refusal> {
        let (is_on, _) = self.switch("--sync", "SPRAT_SYNC");
        let (include, _) = self.values("--include")?;
        let (exclude, _) = self.values("--exclude")?;
        let (max_size, max_size_given) = self.value("--max-size", values::parse_max_size)?;
        if !is_on {
            if !include.is_empty() || !exclude.is_empty() || max_size_given {
                return Err(refuse("--include, --exclude and --max-size say what --sync fetches"));
            }
            return Ok(None);
        }
        let patterns = |values: Vec<OsString>| -> Result<Vec<Pattern>, Refusal> {
            let pattern = |value: &OsString| match value.to_str() {
                Some(text) if text.len() <= NAME_LENGTH_MAX => Ok(Pattern::new(text)),
                _ => Err(refuse(format!("a pattern has to be UTF-8, and short: {}", shown(value)))),
            };
            values.iter().map(pattern).collect()
        };
        let rules =
            SyncRules { include: patterns(include)?, exclude: patterns(exclude)?, max_size };
        Ok(Some(rules))
    }

    /// The hosts of every such option; a value may name several, with commas or spaces between.
    fn hosts(&mut self, option: &'static str, port: u16) -> Result<Vec<PeerHost>, Refusal> {
        let (values, _) = self.values(option)?;
        let mut peers = Vec::new();
        for value in &values {
            let text = value.to_string_lossy();
            for host in text.split([',', ' ']).filter(|host| !host.is_empty()) {
                let peer = values::parse_peer(host, port, self.around.scope_number).map_err(
                    |problem| refuse(format!("{option} wants HOST or HOST:PORT, but {problem}")),
                )?;
                if !peers.contains(&peer) {
                    peers.push(peer);
                }
            }
        }
        if peers.len() > SOURCES_MAX {
            return Err(refuse(format!(
                "more than {SOURCES_MAX} hosts with {option} are too many"
            )));
        }
        Ok(peers)
    }
}
