//! The options of recording, and the arguments of `replay`.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::options::Options;
use super::{Command, Refusal, refuse, shown, values};
use crate::config::{Print, ReplayConfig, TraceConfig};

impl Options<'_> {
    /// How the run is to be recorded, if it is.
    pub(super) fn trace(&mut self) -> Result<Option<TraceConfig>, Refusal> {
        let (file, _) = self.value("--trace", |value| Ok(PathBuf::from(value)))?;
        let (ring, ring_given) = self.value("--trace-ring", values::parse_ring)?;
        let (payload, payload_given) = self.switch("--trace-payload", "SPRAT_TRACE_PAYLOAD");
        let (private, private_given) = self.switch("--trace-private", "SPRAT_TRACE_PRIVATE");
        let Some(file) = file else {
            if ring_given || payload_given || private_given {
                return Err(refuse("these options need --trace FILE, which says where to record"));
            }
            return Ok(None);
        };
        if payload && private {
            return Err(refuse("--trace-payload and --trace-private contradict each other"));
        }
        Ok(Some(TraceConfig { file, payload, private, ring }))
    }
}

/// `sprat replay FILE`.
pub(super) fn replay(mut options: Options<'_>, words: &[OsString]) -> Result<Command, Refusal> {
    let [file] = words else {
        let sentence = "replay needs one FILE, which a run with --trace has written";
        return Err(refuse(match words.get(1) {
            None => sentence.to_owned(),
            Some(word) => format!("{sentence}, and no {} after it", shown(word)),
        }));
    };
    let (until, _) = options.value("--until", values::parse_until)?;
    let (rewrite, _) = options.value("--rewrite", |value: &OsStr| Ok(PathBuf::from(value)))?;
    let json = options.long("--print=json");
    let text = options.long("--print") | options.long("--print=text");
    let config = ReplayConfig {
        file: PathBuf::from(file),
        against: options.long("--against"),
        step: options.long("--step"),
        until,
        print: match (json, text) {
            (true, _) => Some(Print::Json),
            (false, true) => Some(Print::Text),
            (false, false) => None,
        },
        quiet: options.flag("--quiet", "-q"),
        rewrite,
        expand: options.long("--expand"),
    };
    if config.expand && config.rewrite.is_none() {
        return Err(refuse("--expand needs --rewrite OUT, which says where to write"));
    }
    options.refuse_unknown()?;
    Ok(Command::Replay(config))
}
