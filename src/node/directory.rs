//! What is known of files on the network, as `d.json` shows it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::remote::Remote;
use super::time::Instant;
use crate::wire::InstanceId;
use crate::wire::address::format_host;
use crate::wire::listing::ListingEntry;

/// About how many bytes of memory all listings together take; some million files.
const LISTINGS_WEIGHT_MAX: u64 = 128 << 20;

/// What the directory shows of one host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Shown {
    pub(crate) address: SocketAddr,
    /// Since when it has proven, without a break, that it is there.
    since: Instant,
    pub(crate) entries: Arc<[ListingEntry]>,
}

/// One host's files, as they enter the directory.
pub(crate) struct HostFiles<'a> {
    pub(crate) host: SocketAddr,
    pub(crate) entries: &'a [ListingEntry],
}

#[derive(Serialize)]
struct File<'a> {
    sha1: String,
    size: u64,
    locations: Vec<Location<'a>>,
}

#[derive(Serialize)]
struct Location<'a> {
    ip: &'a str,
    filename: &'a str,
}

/// How a host is written: as `fetch` takes it back.
pub(crate) fn host_text(host: SocketAddr) -> String {
    format_host(host, |_| None)
}

/// The order in which addresses of the same host are preferred, and hosts listed: IPv4, then global
/// IPv6, then link-local.
pub(crate) fn preference(host: SocketAddr) -> (u8, SocketAddr) {
    let class = match host.ip() {
        IpAddr::V4(_) => 0,
        IpAddr::V6(ip) if !ip.is_unicast_link_local() => 1,
        IpAddr::V6(_) => 2,
    };
    (class, host)
}

/// The hosts as the directory shows them: each once, under its preferred address.
pub(crate) fn shown(remotes: &BTreeMap<SocketAddr, Remote>) -> BTreeMap<InstanceId, Shown> {
    let mut visible: BTreeMap<InstanceId, Shown> = BTreeMap::new();
    for (&address, remote) in remotes {
        let (Some(instance), Some(listed)) = (remote.instance, &remote.listed) else {
            continue;
        };
        let entries = Arc::clone(&listed.entries);
        let shown = Shown { address, since: remote.proven_since(), entries };
        // Anybody can say that he is this instance: who has been it for longest keeps its place.
        let rank = |shown: &Shown| {
            let (class, address) = preference(shown.address);
            (class, shown.since, address)
        };
        if visible.get(&instance).is_none_or(|other| rank(other) > rank(&shown)) {
            visible.insert(instance, shown);
        }
    }
    visible
}

/// The value of `discovered_files`: contents by name, then size; locations by host, then file name. The
/// same hash with two sizes makes two entries: one of the hosts is wrong, and nobody here knows which.
pub(crate) fn discovered_files(hosts: &[HostFiles<'_>]) -> Arc<str> {
    let texts: Vec<String> = hosts.iter().map(|files| host_text(files.host)).collect();
    let mut rows: Vec<_> = hosts
        .iter()
        .enumerate()
        .flat_map(|(index, files)| {
            files.entries.iter().map(move |entry| {
                (entry.content, entry.size, preference(files.host), entry.name.as_str(), index)
            })
        })
        .collect();
    rows.sort_unstable();
    let mut files: Vec<File<'_>> = Vec::new();
    let mut last = None;
    for (content, size, _, filename, index) in rows {
        if last != Some((content, size)) {
            last = Some((content, size));
            files.push(File { sha1: content.to_string(), size, locations: Vec::new() });
        }
        if let Some(file) = files.last_mut() {
            file.locations.push(Location { ip: &texts[index], filename });
        }
    }
    let json = serde_json::to_string(&files).expect("strings and numbers are always JSON");
    json.into()
}

/// Drops the heaviest listings until the others are not too much together, so that no host with a long one
/// takes the room of many with short ones. How many were dropped.
pub(crate) fn bound_listings(remotes: &mut BTreeMap<SocketAddr, Remote>, now: Instant) -> u64 {
    let mut dropped = 0;
    loop {
        // A host has one listing, however many addresses.
        let mut weights = BTreeMap::new();
        for remote in remotes.values() {
            if let Some(listed) = &remote.listed {
                weights.insert(remote.instance, listed.weight);
            }
        }
        if weights.values().sum::<u64>() <= LISTINGS_WEIGHT_MAX {
            return dropped;
        }
        let heaviest = weights.into_iter().max_by_key(|&(_, weight)| weight);
        let Some((heaviest, _)) = heaviest else { return dropped };
        let its_addresses = remotes.values_mut().filter(|remote| remote.instance == heaviest);
        its_addresses.for_each(|remote| remote.drop_listed(now));
        dropped += 1;
    }
}

/// What came and what went between two lists of one host, in order of name.
pub(crate) fn differences<'a>(
    old: &'a [ListingEntry],
    new: &'a [ListingEntry],
) -> Vec<(bool, &'a ListingEntry)> {
    let index = |entries: &'a [ListingEntry]| -> BTreeMap<&'a str, &'a ListingEntry> {
        entries.iter().map(|entry| (entry.name.as_str(), entry)).collect()
    };
    let (before, after) = (index(old), index(new));
    let gone = old.iter().filter(|entry| after.get(entry.name.as_str()) != Some(entry));
    let come = new.iter().filter(|entry| before.get(entry.name.as_str()) != Some(entry));
    gone.map(|entry| (false, entry)).chain(come.map(|entry| (true, entry))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::{ContentId, ShareName};
    use crate::node::listed::Listed;
    use crate::node::random::Random;
    use crate::wire::ListingDigest;

    fn entry(content: u8, size: u64, name: &str) -> ListingEntry {
        let name = ShareName::parse(name).unwrap();
        ListingEntry { content: ContentId([content; 20]), size, name }
    }

    #[test]
    fn one_entry_a_content_in_a_stable_order() {
        let a = [entry(2, 43, "fox.txt"), entry(1, 7, "z")];
        let b = [entry(2, 43, "animals/quick-fox.txt"), entry(2, 43, "again")];
        let host = |text: &str| text.parse().unwrap();
        let hosts = [
            HostFiles { host: host("192.0.2.7:27183"), entries: &b },
            HostFiles { host: host("192.0.2.4:4001"), entries: &a },
        ];
        let json: serde_json::Value = serde_json::from_str(&discovered_files(&hosts)).unwrap();
        assert_eq!(
            json,
            serde_json::json!([
                { "sha1": "01".repeat(20), "size": 7, "locations": [
                    { "ip": "192.0.2.4:4001", "filename": "z" } ] },
                { "sha1": "02".repeat(20), "size": 43, "locations": [
                    { "ip": "192.0.2.4:4001", "filename": "fox.txt" },
                    { "ip": "192.0.2.7", "filename": "again" },
                    { "ip": "192.0.2.7", "filename": "animals/quick-fox.txt" } ] },
            ])
        );
        let reversed: Vec<_> = hosts.into_iter().rev().collect();
        let again: serde_json::Value = serde_json::from_str(&discovered_files(&reversed)).unwrap();
        assert_eq!(again, json);
    }

    #[test]
    fn where_listings_are_too_much_together_the_heaviest_goes() {
        let mut random = Random::new([1; 32]);
        let mut remotes = BTreeMap::new();
        // The last two are one host.
        for (number, weight) in [(1, 60 << 20), (2, 9), (3, 70 << 20), (3, 70 << 20)] {
            let address = SocketAddr::from(([192, 0, 2, number], 1_000 + remotes.len() as u16));
            let mut remote = Remote::new(address, false, Instant::ORIGIN, &mut random);
            remote.instance = Some(InstanceId([number; 16]));
            let digest = ListingDigest([number; 20]);
            remote.set_listed(Listed { digest, entries: Arc::from([]), weight });
            remotes.insert(address, remote);
        }
        let left = |remotes: &BTreeMap<SocketAddr, Remote>| -> Vec<bool> {
            remotes.values().map(|remote| remote.listed.is_some()).collect()
        };
        assert_eq!(bound_listings(&mut remotes, Instant::ORIGIN), 1);
        assert_eq!(left(&remotes), [true, true, false, false]);
        assert_eq!(bound_listings(&mut remotes, Instant::ORIGIN), 0);
    }

    #[test]
    fn what_came_and_went() {
        let old = [entry(1, 1, "a"), entry(2, 2, "b")];
        let new = [entry(1, 1, "a"), entry(3, 2, "b"), entry(4, 4, "c")];
        let text: Vec<String> = differences(&old, &new)
            .into_iter()
            .map(|(came, entry)| {
                format!(
                    "{}{}{}",
                    if came { '+' } else { '-' },
                    entry.name.as_str(),
                    entry.content.0[0]
                )
            })
            .collect();
        assert_eq!(text, ["-b2", "+b3", "+c4"]);
    }
}
