//! The verbs that ask the network: `ls`, `peers`, `info`, `loc`, `doctor`; `get`, which takes from it.

use std::ffi::{OsStr, OsString};

use super::options::Options;
use super::{Command, Refusal, refuse, shown, values};
use crate::config::{
    AskConfig, Config, Destination, DoctorConfig, GetConfig, LOOK_TIME, Question, Wanted,
};

/// `sprat ls [PATTERN]`.
pub(super) fn ls(options: Options<'_>, words: &[OsString]) -> Result<Command, Refusal> {
    let wanted = match words {
        [] => None,
        [one] => Some(wanted(one)?),
        [_, more, ..] => {
            let more = shown(more);
            return Err(refuse(format!(
                "ls takes one PATTERN, and no {more} after it: put it in quotes, or the shell reads it"
            )));
        }
    };
    ask(options, Question::Files(wanted))
}

/// `sprat peers`.
pub(super) fn peers(options: Options<'_>, words: &[OsString]) -> Result<Command, Refusal> {
    match words.first() {
        None => ask(options, Question::Hosts),
        Some(word) => Err(refuse(format!("peers takes options alone, not {}", shown(word)))),
    }
}

/// `sprat info NAME|SHA1`.
pub(super) fn info(options: Options<'_>, words: &[OsString]) -> Result<Command, Refusal> {
    ask(options, Question::About(one("info", words)?))
}

/// `sprat doctor`.
pub(super) fn doctor(mut options: Options<'_>, words: &[OsString]) -> Result<Command, Refusal> {
    // The port is the one that a peer here would have.
    let config = options.config(true)?;
    let (json, _) = options.switch("--json", "SPRAT_JSON");
    options.refuse_unknown()?;
    match words.first() {
        None => Ok(Command::Doctor(config, DoctorConfig { json })),
        Some(word) => Err(refuse(format!("doctor takes options alone, not {}", shown(word)))),
    }
}

/// `sprat loc NAME|SHA1`.
pub(super) fn loc(options: Options<'_>, words: &[OsString]) -> Result<Command, Refusal> {
    ask(options, Question::Holders(one("loc", words)?))
}

/// `sprat get NAME|PATTERN|SHA1 ...`.
pub(super) fn get(mut options: Options<'_>, words: &[OsString]) -> Result<Command, Refusal> {
    let (config, json) = common(&mut options)?;
    let timeout = options.timeout()?.duration();
    let (jobs, _) = options.value("--jobs", values::parse_jobs)?;
    let (short, _) = options.value("-o", |value| Ok(value.to_owned()))?;
    let (long, _) = options.value("--output", |value| Ok(value.to_owned()))?;
    let force = options.long("--force");
    options.refuse_unknown()?;
    let wanted: Vec<Wanted> = words.iter().map(|word| wanted(word)).collect::<Result<_, _>>()?;
    if wanted.is_empty() {
        return Err(refuse("get wants at least one NAME, PATTERN or SHA1"));
    }
    let output = long.or(short).map(|to| match to.to_str() {
        Some("-") => Destination::Standard,
        _ => Destination::Path(to.into()),
    });
    if json && output == Some(Destination::Standard) {
        return Err(refuse("-o - and --json both want standard output"));
    }
    let jobs = jobs.unwrap_or(1);
    Ok(Command::Get(config, GetConfig { wanted, jobs, output, force, json, timeout }))
}

fn ask(mut options: Options<'_>, question: Question) -> Result<Command, Refusal> {
    let (config, json) = common(&mut options)?;
    let timeout = options.timeout()?.duration().unwrap_or(LOOK_TIME);
    options.refuse_unknown()?;
    Ok(Command::Ask(config, AskConfig { question, json, timeout }))
}

/// What all that ask have in common.
pub(super) fn common(options: &mut Options<'_>) -> Result<(Config, bool), Refusal> {
    let config = options.config(false)?;
    let (json, _) = options.switch("--json", "SPRAT_JSON");
    Ok((config, json))
}

/// The one word after a verb.
fn one(verb: &str, words: &[OsString]) -> Result<Wanted, Refusal> {
    match words {
        [word] => wanted(word),
        _ => Err(refuse(format!("{verb} wants one NAME or SHA1"))),
    }
}

/// A name, a pattern, or the SHA-1 of a content.
fn wanted(word: &OsStr) -> Result<Wanted, Refusal> {
    let text = word.to_str().filter(|text| !text.is_empty());
    let Some(text) = text else {
        return Err(refuse(format!("NAME has to be UTF-8, and something, not {}", shown(word))));
    };
    Ok(text.parse().map_or_else(|_| Wanted::Name(text.to_owned()), Wanted::Content))
}
