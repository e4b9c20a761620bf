//! Command lines and environments: a command within all limits, or one sentence.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use sprat::cli::{Command, Surroundings, parse};
use sprat::config::{FetchConfig, SOURCES_MAX};
use sprat::content::terminal_text::Unprintable;
use sprat::node::FETCH_SIZE_MAX;

/// Words, each on a line of its own, and after an empty line variables of the environment.
pub(crate) fn run(bytes: &[u8]) {
    let mut lines =
        bytes.split(|byte| *byte == b'\n').map(|line| OsString::from_vec(line.to_vec()));
    let words: Vec<OsString> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    let variables: Vec<(Vec<u8>, OsString)> =
        lines.filter_map(|line| variable(&line.into_vec())).collect();
    let variable = |name: &str| {
        let known = variables.iter().find(|(known, _)| known == name.as_bytes());
        known.map(|(_, value)| value.clone())
    };
    let scope_number = |name: &str| (name == "eth0").then_some(3);
    let around = Surroundings { variable: &variable, scope_number: &scope_number };
    match parse(words.clone(), around) {
        Ok(Command::Fetch(config, fetch)) => {
            check(&fetch);
            assert!(config.port != 0 || config.peers.is_empty());
        }
        Ok(Command::Replay(replay)) => assert!(!replay.file.as_os_str().is_empty()),
        Ok(_) => {}
        Err(refusal) => {
            let sentence = refusal.0;
            assert!(!sentence.is_empty() && sentence.len() < 4_096, "{sentence}");
            let is_plain = |each| each == '\n' || Unprintable::of(each).is_none();
            assert!(sentence.chars().all(is_plain), "{sentence:?}");
        }
    }
    // The same words are the same command.
    assert_eq!(parse(words.clone(), around), parse(words, around));
}

fn variable(line: &[u8]) -> Option<(Vec<u8>, OsString)> {
    let at = line.iter().position(|byte| *byte == b'=')?;
    Some((line[..at].to_vec(), OsString::from_vec(line[at + 1..].to_vec())))
}

fn check(fetch: &FetchConfig) {
    assert!(fetch.size <= FETCH_SIZE_MAX);
    assert!(fetch.sources.len() <= SOURCES_MAX);
    for source in &fetch.sources {
        assert!(source.port() != 0 && !source.ip().is_unspecified() && !source.ip().is_multicast());
    }
    let name = sprat::content::ShareName::parse(fetch.name.as_str());
    assert_eq!(name.as_ref(), Ok(&fetch.name));
}
