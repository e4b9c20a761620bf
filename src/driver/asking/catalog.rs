//! All files that are known, by name and by content: from a look, or from the `d.json` of the peer in this
//! folder.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::Path;

use rustix::fs::{CWD, OFlags};
use serde::Deserialize;

use crate::config::{SOURCES_MAX, Wanted};
use crate::content::{ContentId, Pattern, ShareName};
use crate::driver::share_folder::entry;
use crate::node::HostSeen;
use crate::wire::address::{format_host, parse_host};
use crate::wire::listing::ListingEntries;

/// More than any peer writes, and no more than memory takes.
const DOCUMENT_LENGTH_MAX: u64 = 1 << 30;

/// A content with a size: two hosts that say two sizes speak of two, and one of them is wrong.
pub(crate) type Content = (ContentId, u64);

/// One name of one content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row<'a> {
    /// The name.
    pub(crate) name: &'a str,
    /// What it stands for.
    pub(crate) content: Content,
}

/// What is known.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    /// As `fetch` takes them, in the order of the directory.
    hosts: Vec<String>,
    /// Their addresses, where a look has found them.
    addresses: Vec<Vec<SocketAddr>>,
    /// Every name, what it stands for, and on which hosts.
    files: BTreeMap<ShareName, BTreeMap<Content, BTreeSet<usize>>>,
    /// Every content, with its names.
    contents: BTreeMap<Content, BTreeSet<ShareName>>,
}

/// What is read of `d.json`.
#[derive(Deserialize)]
struct Document {
    discovered_files: Vec<DocumentFile>,
}

#[derive(Deserialize)]
struct DocumentFile {
    sha1: String,
    size: u64,
    locations: Vec<DocumentLocation>,
}

#[derive(Deserialize)]
struct DocumentLocation {
    ip: String,
    filename: String,
}

impl Catalog {
    /// Of what a look has found.
    pub(crate) fn of(hosts: &[HostSeen]) -> Self {
        let mut catalog = Self::default();
        for host in hosts {
            let Some(first) = host.addresses.first() else { continue };
            let index = catalog.hosts.len();
            catalog.hosts.push(format_host(first.host, |_| None));
            catalog.addresses.push(host.addresses.iter().map(|address| address.host).collect());
            for entry in host.files().into_iter().flat_map(ListingEntries::iter) {
                catalog.add(entry.name.to_owned(), (entry.content, entry.size), index);
            }
        }
        catalog
    }

    /// Of the `d.json` in this folder; nothing, where it cannot be read.
    pub(crate) fn read(root: &Path) -> Option<Self> {
        let file = entry::open_file(CWD, root.join("d.json"), OFlags::RDONLY).ok()?;
        let mut text = Vec::new();
        file.take(DOCUMENT_LENGTH_MAX).read_to_end(&mut text).ok()?;
        let document: Document = serde_json::from_slice(&text).ok()?;
        let locations = document.discovered_files.iter().flat_map(|file| &file.locations);
        let hosts: BTreeSet<&str> = locations.map(|location| location.ip.as_str()).collect();
        let mut hosts: Vec<&str> = hosts.into_iter().collect();
        hosts.sort_by_key(|host| parse_host(host, |_| None).map(|at| (at.is_ipv6(), at)).ok());
        let places: BTreeMap<&str, usize> =
            hosts.iter().enumerate().map(|(index, host)| (*host, index)).collect();
        let mut catalog = Self::default();
        for file in &document.discovered_files {
            let Ok(content) = file.sha1.parse() else { continue };
            for location in &file.locations {
                let Ok(name) = ShareName::parse(&location.filename) else { continue };
                catalog.add(name, (content, file.size), places[location.ip.as_str()]);
            }
        }
        catalog.hosts = hosts.into_iter().map(str::to_owned).collect();
        Some(catalog)
    }

    fn add(&mut self, name: ShareName, content: Content, host: usize) {
        self.contents.entry(content).or_default().insert(name.clone());
        self.files.entry(name).or_default().entry(content).or_default().insert(host);
    }

    /// Whether nobody was found.
    pub(crate) fn has_no_hosts(&self) -> bool {
        self.hosts.is_empty()
    }

    /// All names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(ShareName::as_str)
    }

    /// All files, by name.
    pub(crate) fn all(&self) -> Vec<Row<'_>> {
        self.files.iter().flat_map(rows_of).collect()
    }

    /// The files that are meant, by name.
    pub(crate) fn wanted(&self, wanted: &Wanted) -> Vec<Row<'_>> {
        match wanted {
            Wanted::Content(content) => {
                let mut rows: Vec<Row<'_>> = self
                    .contents
                    .range((*content, 0)..=(*content, u64::MAX))
                    .flat_map(|(content, names)| {
                        names.iter().map(|name| Row { name: name.as_str(), content: *content })
                    })
                    .collect();
                rows.sort_unstable();
                rows
            }
            Wanted::Name(text) => {
                let itself = ShareName::parse(text).ok();
                if let Some(named) = itself.and_then(|name| self.files.get_key_value(&name)) {
                    return rows_of(named).collect();
                }
                let pattern = Pattern::new(text);
                let fits = |(name, _): &(&ShareName, _)| pattern.matches(name.as_str());
                self.files.iter().filter(fits).flat_map(rows_of).collect()
            }
        }
    }

    /// The contents that are meant.
    pub(crate) fn contents(&self, wanted: &Wanted) -> BTreeSet<Content> {
        self.wanted(wanted).into_iter().map(|row| row.content).collect()
    }

    /// Where a content is, by host and name.
    pub(crate) fn locations(&self, content: Content) -> Vec<(&str, &str)> {
        let names = self.contents.get(&content).into_iter().flatten();
        let mut places: Vec<(usize, &str)> = names
            .flat_map(|name| {
                let hosts = self.files.get(name).and_then(|contents| contents.get(&content));
                hosts.into_iter().flatten().map(|host| (*host, name.as_str()))
            })
            .collect();
        places.sort_unstable();
        places.into_iter().map(|(host, name)| (self.hosts[host].as_str(), name)).collect()
    }

    /// Where those who offer a content can be asked for it, as far as a look has found them.
    pub(crate) fn addresses_of(&self, content: Content) -> Vec<SocketAddr> {
        let hosts = self.hosts_of(content);
        let places = self.hosts.iter().zip(&self.addresses);
        places
            .filter(|(host, _)| hosts.contains(&host.as_str()))
            .flat_map(|(_, addresses)| addresses.iter().copied())
            .take(SOURCES_MAX)
            .collect()
    }

    /// Where a host can be asked, as far as a look has found it.
    pub(crate) fn addresses_of_host(&self, host: &str) -> Vec<SocketAddr> {
        let mut places = self.hosts.iter().zip(&self.addresses);
        let found = places.find(|(other, _)| *other == host);
        found.map(|(_, addresses)| addresses.clone()).unwrap_or_default()
    }

    /// Which hosts have a content, under whatever name.
    pub(crate) fn hosts_of(&self, content: Content) -> Vec<&str> {
        let mut hosts: Vec<&str> =
            self.locations(content).into_iter().map(|(host, _)| host).collect();
        hosts.dedup();
        hosts
    }
}

fn rows_of<'a>(
    (name, contents): (&'a ShareName, &'a BTreeMap<Content, BTreeSet<usize>>),
) -> impl Iterator<Item = Row<'a>> {
    contents.keys().map(|&content| Row { name: name.as_str(), content })
}
