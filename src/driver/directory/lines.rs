//! Lines for people: a file appeared on a host, or is gone from it. They follow from two directories, the one that
//! they have been told of and the one that is there now, and are told a piece at a time.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::content::terminal_text::printable;
use crate::node::{Directory, DirectoryHost};
use crate::wire::listing::Differences;

/// Entries that are gone through at once.
const PIECE: usize = 256;

/// The lines from one directory to the next.
#[derive(Debug)]
pub(super) struct DirectoryLines {
    /// Hosts whose files are others now.
    hosts: Vec<Changed>,
}

/// One host: as it is told that files of it are gone, and that they appeared.
#[derive(Debug)]
struct Changed {
    was: String,
    is: String,
    differences: Differences,
}

impl DirectoryLines {
    /// What changed between two directories. It takes as long as there are hosts.
    pub(super) fn between(old: &Directory, new: &Directory) -> Self {
        let mut pairs: BTreeMap<_, (Option<&DirectoryHost>, Option<&DirectoryHost>)> =
            BTreeMap::new();
        for host in old.hosts() {
            pairs.entry(host.instance).or_default().0 = Some(host);
        }
        for host in new.hosts() {
            pairs.entry(host.instance).or_default().1 = Some(host);
        }
        let changed = |(old, new): (Option<&DirectoryHost>, Option<&DirectoryHost>)| {
            let text = |host: Option<&DirectoryHost>| Some(printable(&host?.host).to_string());
            let entries = |host: Option<&DirectoryHost>| {
                host.map(|host| host.entries.clone()).unwrap_or_default()
            };
            let which = |host: Option<&DirectoryHost>| host.map(|host| (host.listing, host.files));
            let same = which(old) == which(new);
            (!same).then(|| Changed {
                was: text(old).unwrap_or_default(),
                is: text(new).unwrap_or_default(),
                differences: Differences::between(entries(old), entries(new)),
            })
        };
        // The last one is gone through first.
        Self { hosts: pairs.into_values().rev().filter_map(changed).collect() }
    }

    /// Goes through the next piece and appends its lines. Whether there is more.
    pub(super) fn go_on(&mut self, mut line: impl FnMut(&str)) -> bool {
        let Some(Changed { was, is, differences }) = self.hosts.last_mut() else { return false };
        let mut text = String::new();
        let more = differences.go_on(PIECE, |appeared, entry| {
            let (sign, host) = if appeared { ('+', &*is) } else { ('-', &*was) };
            let name = printable(entry.name.as_str());
            text.clear();
            // Writing to a string cannot fail.
            let _ = write!(text, "{sign} {host} {} {} B {name}", entry.content, entry.size);
            line(&text);
        });
        if !more {
            self.hosts.pop();
        }
        !self.hosts.is_empty()
    }
}
