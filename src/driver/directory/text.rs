//! The value of `discovered_files` as text, piece by piece: contents by SHA-1, then size; the locations of
//! each by host, as the core has put them in order, then file name. The same hash with two sizes makes two
//! entries: one of the hosts is wrong, and nobody here knows which.
//!
//! Runs of a fixed length are put in order one by one, and merged while they are written. So no piece is long,
//! whatever strangers list: of buckets by hash they could fill a single one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Write as _;
use std::io::Write as _;

use crate::content::ContentId;
use crate::node::{Directory, DirectoryHost};
use crate::wire::listing::ListingEntryRef;

/// Entries that are put in order at once: less than two milliseconds' worth on a Pi.
const RUN: usize = 2_048;
/// Entries that are written at once: about a millisecond's worth on a Pi.
const PIECE: usize = 256;

/// A text under way.
#[derive(Debug)]
pub(super) struct DirectoryText {
    directory: Directory,
    /// What each location of a host begins with.
    locations: Vec<String>,
    /// At which number the entries of each host begin: all entries are counted through.
    starts: Vec<usize>,
    total: usize,
    /// The numbers of the entries, run by run in order.
    order: Vec<u32>,
    /// The first entry of each run that is not written yet, and where in `order` that stands.
    heads: BinaryHeap<Reverse<(Key, usize)>>,
    /// The entry that is written at the moment.
    open: Option<(ContentId, u64)>,
}

/// What entries are put in order by. Numbers go by host and then by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    content: ContentId,
    size: u64,
    number: u32,
}

impl DirectoryText {
    /// The text of what this directory shows.
    pub(super) fn new(directory: Directory) -> Self {
        let mut starts = Vec::with_capacity(directory.hosts().len());
        let mut total = 0;
        for host in directory.hosts() {
            starts.push(total);
            total += host.entries.len();
        }
        let location =
            |host: &DirectoryHost| format!("{{\"ip\":{},\"filename\":", json(&host.host));
        Self {
            locations: directory.hosts().iter().map(location).collect(),
            starts,
            total,
            order: Vec::with_capacity(total),
            heads: BinaryHeap::new(),
            open: None,
            directory,
        }
    }

    /// Does the next piece and appends what came of it, perhaps nothing. Whether there is more to do.
    pub(super) fn go_on(&mut self, into: &mut Vec<u8>) -> bool {
        if self.order.len() < self.total {
            self.sort_run();
            return true;
        }
        if self.open.is_none() {
            into.push(b'[');
        }
        for _ in 0..PIECE {
            if !self.write_next(into) {
                let end: &[u8] = if self.open.is_some() { b"]}]" } else { b"]" };
                into.extend_from_slice(end);
                return false;
            }
        }
        true
    }

    fn sort_run(&mut self) {
        let start = self.order.len();
        let end = self.total.min(start + RUN);
        let mut run: Vec<Key> = (start..end).filter_map(|number| self.key(number)).collect();
        run.sort_unstable();
        self.heads.extend(run.first().map(|&first| Reverse((first, start))));
        self.order.extend(run.into_iter().map(|key| key.number));
    }

    /// Writes the next location. Whether there was one.
    fn write_next(&mut self, into: &mut Vec<u8>) -> bool {
        let Some(Reverse((key, place))) = self.heads.pop() else { return false };
        let next = place + 1;
        if next % RUN != 0 && next < self.total {
            let number = self.order[next] as usize;
            self.heads.extend(self.key(number).map(|key| Reverse((key, next))));
        }
        let content = (key.content, key.size);
        match self.open.replace(content) {
            Some(open) if open == content => into.push(b','),
            before => {
                into.extend_from_slice(if before.is_some() { b"]}," } else { b"" });
                // Memory takes everything.
                let _ = write!(into, "{{\"sha1\":\"{}\",\"size\":{},", key.content, key.size);
                into.extend_from_slice(b"\"locations\":[");
            }
        }
        if let Some((host, entry)) = self.entry(key.number as usize) {
            into.extend_from_slice(self.locations[host].as_bytes());
            into.extend_from_slice(json(entry.name.as_str()).as_bytes());
            into.push(b'}');
        }
        true
    }

    fn key(&self, number: usize) -> Option<Key> {
        let (_, entry) = self.entry(number)?;
        // 1,024 hosts with 131,072 entries each are less than 2^32.
        Some(Key { content: entry.content, size: entry.size, number: number as u32 })
    }

    /// The entry with this number, and its host's place.
    fn entry(&self, number: usize) -> Option<(usize, ListingEntryRef<'_>)> {
        let host = self.starts.partition_point(|start| *start <= number).checked_sub(1)?;
        let entries = &self.directory.hosts()[host].entries;
        Some((host, entries.get(number - self.starts[host])?))
    }
}

/// A text as JSON, in which HTML finds nothing of its own: a front end that puts the document into a page as it is
/// shows names that strangers gave, and runs none.
fn json(text: &str) -> String {
    let json = serde_json::to_string(text).expect("a text is always JSON");
    if !json.bytes().any(|byte| matches!(byte, b'<' | b'>' | b'&' | b'\'')) {
        return json;
    }
    let mut safe = String::with_capacity(json.len() + 20);
    for character in json.chars() {
        match character {
            '<' | '>' | '&' | '\'' => {
                // Writing to a string cannot fail.
                let _ = write!(safe, "\\u{:04x}", u32::from(character));
            }
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::json;

    /// What is read is what was written, and nothing of it means anything to HTML.
    #[test]
    fn names_that_html_would_obey_are_spelled_out() {
        for (text, written) in [
            ("fox.txt", "\"fox.txt\""),
            ("a\"b", "\"a\\\"b\""),
            ("</script>", "\"\\u003c/script\\u003e\""),
            ("it's & so", "\"it\\u0027s \\u0026 so\""),
            ("é 👩", "\"é 👩\""),
        ] {
            assert_eq!(json(text), written);
            assert_eq!(serde_json::from_str::<String>(&json(text)).unwrap(), text);
        }
    }
}
