//! The verbs of the contract: `peer` and `fetch`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;

use super::options::{Options, Timeout};
use super::values::parse_host;
use super::{Command, Refusal, refuse, shown, values};
use crate::config::{Config, FETCH_SOURCES_MAX, FetchConfig};
use crate::content::{ContentId, ShareName};
use crate::node::FETCH_SIZE_MAX;
use crate::wire::address::HostError;

/// `sprat peer`.
pub(super) fn peer(mut options: Options<'_>, words: &[OsString]) -> Result<Command, Refusal> {
    let config = options.config(true)?;
    let config = Config { sync: options.sync()?, ..config };
    let timeout = options.timeout()?;
    options.refuse_unknown()?;
    let is_private = config.trace.as_ref().is_some_and(|trace| trace.private);
    let has_patterns = config
        .sync
        .as_ref()
        .is_some_and(|sync| !(sync.include.is_empty() && sync.exclude.is_empty()));
    if is_private && has_patterns {
        let sentence = "--trace-private and patterns of --sync do not go together: what they fit would be \
                        told, and names that were replaced fit nothing";
        return Err(refuse(sentence));
    }
    match (timeout, words.first()) {
        (Timeout::Given(_), _) => Err(refuse("--timeout is for fetch, a peer runs for ever")),
        (_, Some(word)) => {
            Err(refuse(format!("peer takes no arguments beside options, not {}", shown(word))))
        }
        (_, None) => Ok(Command::Peer(config)),
    }
}

/// `sprat tracker`.
pub(super) fn tracker(mut options: Options<'_>, words: &[OsString]) -> Result<Command, Refusal> {
    let config = options.config(true)?;
    options.refuse_unknown()?;
    if let Some(word) = words.first() {
        return Err(refuse(format!("tracker takes options alone, not {}", shown(word))));
    }
    if !config.trackers.is_empty() || !config.peers.is_empty() {
        return Err(refuse("a tracker asks nobody: it is the peers that are told --tracker"));
    }
    Ok(Command::Track(config))
}

/// `sprat fetch SHA1 NAME SIZE [IP ...]`.
pub(super) fn fetch(mut options: Options<'_>, words: &[OsString]) -> Result<Command, Refusal> {
    let config = options.config(false)?;
    let timeout = options.timeout()?.duration();
    let scopes = options.around.scope_number;
    options.refuse_unknown()?;
    let fetch = fetch_config(words, config.port, timeout, scopes)?;
    Ok(Command::Fetch(config, fetch))
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
    let mut seen = BTreeSet::new();
    for host in hosts {
        let source = host
            .to_str()
            .ok_or(HostError::Syntax)
            .and_then(|text| parse_host(text, port, scopes))
            .map_err(|problem| refuse(format!("{} is no IP: {problem}", shown(host))))?;
        if seen.insert(source) {
            sources.push(source);
        }
    }
    if sources.len() > FETCH_SOURCES_MAX {
        return Err(refuse(format!("more than {FETCH_SOURCES_MAX} addresses are too many")));
    }
    Ok(FetchConfig { content, name, size, sources, timeout })
}
