//! The verbs that give and take away: `add` and `rm`.

use std::ffi::OsString;
use std::path::PathBuf;

use super::asking::common;
use super::options::Options;
use super::{Command, Refusal, refuse, shown};
use crate::config::{AddConfig, LOOK_TIME, RemoveConfig};
use crate::content::ShareName;

/// `sprat add FILE|DIR ...`.
pub(super) fn add(mut options: Options<'_>, words: &[OsString]) -> Result<Command, Refusal> {
    let (config, json) = common(&mut options)?;
    options.refuse_unknown()?;
    let paths: Vec<PathBuf> = words.iter().map(PathBuf::from).collect();
    if paths.is_empty() || words.iter().any(|word| word.is_empty()) {
        return Err(refuse("add wants at least one FILE or DIR"));
    }
    Ok(Command::Add(config, AddConfig { paths, json }))
}

/// `sprat rm NAME ...`.
pub(super) fn rm(mut options: Options<'_>, words: &[OsString]) -> Result<Command, Refusal> {
    let (config, json) = common(&mut options)?;
    let timeout = options.timeout()?.duration().unwrap_or(LOOK_TIME);
    let force = options.long("--force");
    options.refuse_unknown()?;
    let name = |word: &OsString| {
        let text = word.to_str().ok_or_else(|| "it is no UTF-8 text".to_owned());
        text.and_then(|text| ShareName::parse(text).map_err(|problem| problem.to_string()))
            .map_err(|problem| refuse(format!("NAME cannot be {}: {problem}", shown(word))))
    };
    let names: Vec<ShareName> = words.iter().map(name).collect::<Result<_, _>>()?;
    if names.is_empty() {
        return Err(refuse("rm wants at least one NAME, as it stands below share/"));
    }
    Ok(Command::Remove(config, RemoveConfig { names, force, json, timeout }))
}
