//! What is known of files on the network, as `d.json` shows it.

mod shown;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::wire::address::format_host;
use crate::wire::listing::ListingEntries;
use crate::wire::{InstanceId, ListingDigest};

pub(crate) use shown::{Disputes, Shown};

/// What is known of files on the network: the hosts that are shown, each once and under its preferred address, in
/// the order in which they are listed. Cheap to clone. Two are equal if they show the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory(Arc<[DirectoryHost]>);

/// What the directory shows of one host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DirectoryHost {
    /// Which host it is, wherever.
    pub instance: InstanceId,
    /// Where it is, as `d.json` has it and as `fetch` takes it back.
    pub host: String,
    /// How many files of it are shown.
    pub files: u32,
    /// Which listing this is.
    pub listing: ListingDigest,
    /// The listing, for which its digest stands where the directory is written down.
    #[serde(skip)]
    pub entries: ListingEntries,
}

impl Directory {
    /// A directory of these hosts.
    pub fn new(hosts: Vec<DirectoryHost>) -> Self {
        Self(hosts.into())
    }

    /// The hosts.
    pub fn hosts(&self) -> &[DirectoryHost] {
        &self.0
    }
}

impl PartialEq for DirectoryHost {
    fn eq(&self, other: &Self) -> bool {
        let key = |it: &Self| (it.instance, it.listing, it.files);
        key(self) == key(other) && self.host == other.host
    }
}

impl Eq for DirectoryHost {}

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

/// What is known of files on the network, of what is shown.
pub(crate) fn directory(shown: &BTreeMap<InstanceId, Shown>) -> Directory {
    let mut hosts: Vec<_> = shown.iter().collect();
    hosts.sort_by_key(|(_, shown)| preference(shown.address));
    let host = |(&instance, shown): (&InstanceId, &Shown)| DirectoryHost {
        instance,
        host: host_text(shown.address),
        files: shown.entries.len() as u32,
        listing: shown.digest,
        entries: shown.entries.clone(),
    };
    Directory::new(hosts.into_iter().map(host).collect())
}

#[cfg(test)]
mod tests {
    use super::super::listed::Listed;
    use super::super::remote::Remote;
    use super::super::time::Instant;
    use super::*;
    use crate::content::{ContentId, ShareName};
    use crate::node::random::Random;
    use crate::wire::listing::ListingEntry;

    fn shown(remotes: &BTreeMap<SocketAddr, Remote>) -> BTreeMap<InstanceId, Shown> {
        Disputes::default().shown(remotes, &BTreeMap::new(), Instant::ORIGIN).0
    }

    pub(super) fn remote(address: SocketAddr, instance: u8, listing: u8) -> Remote {
        let mut remote = Remote::new(address, false, Instant::ORIGIN, &mut Random::new([1; 32]));
        remote.instance = Some(InstanceId([instance; 16]));
        let digest = ListingDigest([listing; 20]);
        let name = ShareName::parse("fox.txt").unwrap();
        let entry = ListingEntry { content: ContentId([7; 20]), size: 43, name };
        let entries = ListingEntries::try_from(vec![entry; usize::from(listing.min(1))]).unwrap();
        let sizes = entries.sizes().to_vec();
        remote.set_listed(Listed::new(digest, entries, sizes, Default::default(), 0, true));
        remote
    }

    #[test]
    fn each_host_once_under_its_preferred_address_and_in_order_of_these() {
        let addresses =
            ["[fe80::1%2]:27183", "[2001:db8::1]:27183", "192.0.2.7:27183", "192.0.2.4:4001"];
        let addresses = addresses.map(|text| text.replace("%2", "").parse::<SocketAddr>().unwrap());
        let [local, global, seven, four] = addresses;
        let hosts = [(local, 1), (global, 1), (seven, 2), (local, 3), (four, 1)];
        let texts = |count: usize| -> Vec<(String, u8)> {
            let remotes = hosts[..count].iter().enumerate().map(|(at, &(address, instance))| {
                // Addresses are keys: those of other hosts have other ports.
                let address = SocketAddr::new(address.ip(), address.port() + at as u16 / 3);
                (address, remote(address, instance, instance))
            });
            let directory = directory(&shown(&remotes.collect()));
            directory.hosts().iter().map(|it| (it.host.clone(), it.instance.0[0])).collect()
        };
        let expected = |hosts: &[(&str, u8)]| -> Vec<(String, u8)> {
            hosts.iter().map(|&(text, number)| (text.to_owned(), number)).collect()
        };
        assert_eq!(texts(1), expected(&[("fe80::1", 1)]));
        assert_eq!(texts(3), expected(&[("192.0.2.7", 2), ("2001:db8::1", 1)]));
        let all = [("192.0.2.4:4002", 1), ("192.0.2.7", 2), ("[fe80::1]:27184", 3)];
        assert_eq!(texts(5), expected(&all));
    }

    #[test]
    fn it_is_another_where_a_host_a_listing_or_an_address_is() {
        let of = |address: &str, instance, listing| {
            let address: SocketAddr = address.parse().unwrap();
            directory(&shown(&BTreeMap::from([(address, remote(address, instance, listing))])))
        };
        let one = of("192.0.2.1:1", 1, 1);
        assert_eq!(one, of("192.0.2.1:1", 1, 1));
        let others = [of("192.0.2.2:1", 1, 1), of("192.0.2.1:1", 2, 1), of("192.0.2.1:1", 1, 2)];
        assert!(others.iter().all(|other| *other != one));
        let json = serde_json::to_string(&one).unwrap();
        assert!(json.contains("192.0.2.1:1") && !json.contains("fox.txt"), "{json}");
        assert_eq!(of("192.0.2.1:1", 1, 0), Directory::default(), "it lists nothing");
    }
}
