//! The lines of answers: what is in them for programs (`docs/json.md`), and how people read it.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use indicatif::DecimalBytes;
use serde::Serialize;

use super::catalog::{Catalog, Row};
use super::{Answer, Holders};
use crate::content::terminal_text::printable;
use crate::content::{BlockLayout, hex};
use crate::node::{AddressSeen, HolderSeen, HostSeen, Way};
use crate::wire::address::format_host;
use crate::wire::listing::ListingEntries;

/// Runs of blocks of one host that people are told.
const RUNS_TOLD: usize = 16;

/// One line of `ls`.
#[derive(Serialize)]
pub(super) struct FileAnswer<'a> {
    name: &'a str,
    size: u64,
    sha1: String,
    hosts: Vec<&'a str>,
}

impl<'a> FileAnswer<'a> {
    pub(super) fn of(row: &Row<'a>, catalog: &'a Catalog) -> Self {
        let ((content, size), hosts) = (row.content, catalog.hosts_of(row.content));
        Self { name: row.name, size, sha1: content.to_string(), hosts }
    }
}

impl Answer for FileAnswer<'_> {
    fn text(&self) -> String {
        let size = DecimalBytes(self.size).to_string();
        let hosts = counted(self.hosts.len(), "host");
        format!("{size:>10}  {hosts:>8}  {}", printable(self.name))
    }
}

/// One line of `peers`.
#[derive(Serialize)]
pub(super) struct HostAnswer {
    host: String,
    instance: String,
    this_machine: bool,
    files: Option<usize>,
    bytes: Option<u64>,
    rtt_us: Option<u64>,
    since_ms: Option<u64>,
    addresses: Vec<AddressAnswer>,
    #[serde(skip)]
    age: Option<Duration>,
}

/// One address of a host.
#[derive(Serialize)]
struct AddressAnswer {
    host: String,
    ways: Vec<Way>,
    rtt_us: Option<u64>,
}

impl HostAnswer {
    /// `wall` is the time of the day.
    pub(super) fn of(seen: &HostSeen, wall: SystemTime) -> Self {
        let address = |address: &AddressSeen| AddressAnswer {
            host: format_host(address.host, |_| None),
            ways: address.ways.iter().copied().collect(),
            rtt_us: address.round_trip.map(|trip| trip.as_micros() as u64),
        };
        let addresses: Vec<_> = seen.addresses.iter().map(address).collect();
        Self {
            host: addresses.first().map_or_else(String::new, |first| first.host.clone()),
            instance: hex::encode(&seen.instance.0),
            this_machine: seen.addresses.iter().any(|address| address.is_here),
            files: seen.files().map(ListingEntries::len),
            bytes: seen.files().map(|files| {
                files.iter().fold(0, |sum: u64, entry| sum.saturating_add(entry.size))
            }),
            rtt_us: addresses.iter().filter_map(|address| address.rtt_us).min(),
            since_ms: seen.age.and_then(|age| {
                let since = wall.checked_sub(age)?.duration_since(UNIX_EPOCH).ok()?;
                u64::try_from(since.as_millis()).ok()
            }),
            addresses,
            age: seen.age,
        }
    }
}

impl Answer for HostAnswer {
    fn text(&self) -> String {
        let trip = self.rtt_us.map_or_else(
            || "? ms".to_owned(),
            |micros| {
                format!("{:.1} ms", f64::from(u32::try_from(micros).unwrap_or(u32::MAX)) / 1e3)
            },
        );
        let files = self.files.map_or_else(|| "? files".to_owned(), |files| counted(files, "file"));
        let mut ways: Vec<&str> = Vec::new();
        for way in self.addresses.iter().flat_map(|address| &address.ways).map(way_text) {
            if !ways.contains(&way) {
                ways.push(way);
            }
        }
        let others: String =
            self.addresses.iter().skip(1).map(|address| format!(", {}", address.host)).collect();
        let here = if self.this_machine { ", this machine" } else { "" };
        let ways = ways.join(", ");
        let here_for = self.age.map_or_else(|| "?".to_owned(), span_text);
        let host = &self.host;
        format!(
            "{host:<21}  {trip:>9}  {files:>12}  here for {here_for:>6}  by {ways}{here}{others}"
        )
    }
}

/// A length of time in its largest unit.
fn span_text(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..=59 => format!("{seconds} s"),
        60..=3_599 => format!("{} min", seconds / 60),
        3_600..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn way_text(way: &Way) -> &'static str {
    match way {
        Way::Broadcast => "broadcast",
        Way::MulticastV4 | Way::MulticastV6 => "multicast",
        Way::Loopback => "loopback",
        Way::Named => "name",
        Way::Told => "another host",
    }
}

/// One content of `info`.
#[derive(Serialize)]
pub(super) struct InfoAnswer<'a> {
    sha1: String,
    size: u64,
    block_length: u64,
    blocks: u64,
    chains: BTreeSet<String>,
    locations: Vec<Location<'a>>,
}

/// Where a content is, as in `d.json`.
#[derive(Serialize)]
struct Location<'a> {
    ip: &'a str,
    filename: &'a str,
}

impl<'a> InfoAnswer<'a> {
    pub(super) fn of(((content, size), holders): &Holders, catalog: &'a Catalog) -> Self {
        let (content, size) = (*content, *size);
        let layout = BlockLayout::new(size);
        let locations = catalog.locations((content, size)).into_iter();
        Self {
            sha1: content.to_string(),
            size,
            block_length: layout.block_length(),
            blocks: layout.block_count(),
            chains: holders.iter().filter_map(|it| Some(hex::encode(&it.chain?.0))).collect(),
            locations: locations.map(|(ip, filename)| Location { ip, filename }).collect(),
        }
    }
}

impl Answer for InfoAnswer<'_> {
    fn text(&self) -> String {
        let (size, decimal) = (self.size, DecimalBytes(self.size));
        let blocks = counted(self.blocks as usize, "block");
        let mut text = format!(
            "SHA-1   {}\nsize    {size} bytes ({decimal})\nblocks  {blocks} of {} bytes",
            self.sha1, self.block_length
        );
        for chain in &self.chains {
            text.push_str(&format!("\nchain   {chain}"));
        }
        for (index, place) in self.locations.iter().enumerate() {
            let label = if index == 0 { "at" } else { "" };
            text.push_str(&format!("\n{label:<6}  {}  {}", place.ip, printable(place.filename)));
        }
        text
    }
}

/// One line of `loc` for programs: a host that holds something.
#[derive(Serialize)]
pub(super) struct HolderAnswer<'a> {
    sha1: String,
    size: u64,
    blocks: u64,
    names: Vec<&'a str>,
    host: String,
    whole: bool,
    /// The first and the last of each run.
    held: Vec<[u64; 2]>,
    /// There are more runs than are told.
    has_more: bool,
}

impl<'a> HolderAnswer<'a> {
    pub(super) fn all_of(
        ((content, size), holders): &'a Holders,
        catalog: &'a Catalog,
    ) -> impl Iterator<Item = Self> {
        let names: BTreeSet<&str> =
            catalog.locations((*content, *size)).into_iter().map(|(_, name)| name).collect();
        holders.iter().map(move |holder| Self {
            sha1: content.to_string(),
            size: *size,
            blocks: BlockLayout::new(*size).block_count(),
            names: names.iter().copied().collect(),
            host: format_host(holder.host, |_| None),
            whole: holder.blocks.is_none(),
            held: runs(holder, BlockLayout::new(*size).block_count()),
            has_more: holder.has_more,
        })
    }
}

impl Answer for HolderAnswer<'_> {
    fn text(&self) -> String {
        self.host.clone()
    }
}

/// All of a content for people.
#[derive(Serialize)]
pub(super) struct HoldersAnswer {
    text: String,
}

impl HoldersAnswer {
    pub(super) fn of(((content, size), holders): &Holders, catalog: &Catalog) -> Self {
        let count = BlockLayout::new(*size).block_count();
        let names: BTreeSet<&str> =
            catalog.locations((*content, *size)).into_iter().map(|(_, name)| name).collect();
        let names: Vec<String> = names.iter().map(|name| printable(name).to_string()).collect();
        let mut text = format!("{content}  {}  {}", DecimalBytes(*size), names.join(", "));
        let text_of = |holder: &HolderSeen| format_host(holder.host, |_| None);
        let whole: Vec<String> =
            holders.iter().filter(|holder| holder.blocks.is_none()).map(text_of).collect();
        if !whole.is_empty() {
            let verb = if whole.len() == 1 { "holds" } else { "hold" };
            let (hosts, each) = (counted(whole.len(), "host"), whole.join(", "));
            text.push_str(&format!("\n  {hosts} {verb} all of it: {each}"));
        }
        for holder in holders.iter().filter(|holder| holder.blocks.is_some()) {
            let runs = runs(holder, count);
            let (host, held) = (text_of(holder), held_text(&runs, holder.has_more));
            text.push_str(&match runs.len() {
                0 => format!("\n  {host} holds a part"),
                _ => format!("\n  {host} holds blocks {held} of {count}"),
            });
        }
        Self { text }
    }
}

impl Answer for HoldersAnswer {
    fn text(&self) -> String {
        self.text.clone()
    }
}

/// The runs of blocks that a host holds: the first and the last of each.
fn runs(holder: &HolderSeen, count: u64) -> Vec<[u64; 2]> {
    match &holder.blocks {
        None if count == 0 => Vec::new(),
        None => vec![[0, count - 1]],
        Some(blocks) => blocks.iter().map(|run| [run.start, run.end - 1]).collect(),
    }
}

/// Runs as people read them: the first of them, and how many more there are.
fn held_text(runs: &[[u64; 2]], has_more: bool) -> String {
    let first: Vec<String> = runs.iter().take(RUNS_TOLD).map(|run| run_text(*run)).collect();
    let first = first.join(", ");
    match runs.len().saturating_sub(RUNS_TOLD) {
        0 if !has_more => first,
        more => {
            let than = if has_more { "more than " } else { "" };
            format!("{first} and {than}{} further", counted(more, "run"))
        }
    }
}

fn run_text([first, last]: [u64; 2]) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

/// `1 host`, `2 hosts`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_runs_are_a_few_and_a_number() {
        let runs: Vec<[u64; 2]> = (0..4_096).map(|at| [at * 2, at * 2]).collect();
        assert_eq!(held_text(&[[0, 4], [9, 9]], false), "0-4, 9");
        assert!(held_text(&runs[..16], false).ends_with(", 28, 30"));
        assert!(held_text(&runs[..17], false).ends_with(", 30 and 1 run further"));
        let text = held_text(&runs, true);
        assert!(
            text.ends_with(", 30 and more than 4080 runs further") && text.len() < 200,
            "{text}"
        );
    }
}
