//! What hosts tell of other hosts, and peers tell their trackers: addresses, and which parts of a content are
//! where. Hearsay, all of it: whoever is told an address asks it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize, Serializer};

use super::error::DecodeError;
use super::identity::Cookie;
use crate::content::{ContentId, RangeSet};

/// The length of a [`Hosts`] without the hosts, in bytes.
pub const HOSTS_HEADER_LENGTH: usize = 16;
/// The length of each host in it, in bytes.
pub const TOLD_HOST_LENGTH: usize = 26;
/// The most hosts in one [`Hosts`]: with headers they fit every way that IPv6 has.
pub const TOLD_HOSTS_MAX: usize = 44;
/// The length of a [`Hold`], in bytes.
pub const HOLD_LENGTH: usize = 60;

/// Which 64ths of a content's blocks are all there, the highest bit for the first. Where there are fewer blocks than
/// 64, some parts have none, and those are there.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Portions(#[serde(with = "crate::content::hex::number")] pub u64);

impl Portions {
    /// Nothing is known to be there.
    pub const NONE: Self = Self(0);
    /// All of it.
    pub const WHOLE: Self = Self(u64::MAX);

    /// Of so many blocks, these are there.
    pub fn of(held: &RangeSet, blocks: u64) -> Self {
        let start = |part: u64| {
            u64::try_from((u128::from(part) * u128::from(blocks)).div_ceil(64)).unwrap_or(blocks)
        };
        let there = |part: &u64| {
            let range = start(*part)..start(part + 1);
            range.is_empty() || held.covers(&range)
        };
        Self((0..64).filter(there).fold(0, |bits, part| bits | 1 << (63 - part)))
    }
}

impl fmt::Debug for Portions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A host that somebody tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ToldHost {
    /// Where it is said to be; anything at all.
    pub address: SocketAddr,
    /// What it is said to have of the content that was asked about; nothing of interest where the question was
    /// about a listing.
    pub portions: Portions,
}

/// There are these others, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Hosts<'a> {
    /// That of the question.
    #[serde(with = "crate::content::hex::number")]
    pub nonce: u64,
    /// From which place on there are more, in the teller's order; 0 where it does not say, or there are none.
    #[serde(skip_serializing_if = "super::message::is_zero")]
    pub next: u16,
    /// Who.
    pub hosts: ToldHosts<'a>,
}

/// Hosts as they travel: at least one, at most [`TOLD_HOSTS_MAX`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ToldHosts<'a> {
    bytes: &'a [u8],
}

impl<'a> ToldHosts<'a> {
    /// What these bytes say: for each host 16 bytes of address (IPv4 mapped into IPv6), 2 of port, 8 of portions.
    ///
    /// # Errors
    /// No host, too many, or half a one.
    pub fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let count = bytes.len() / TOLD_HOST_LENGTH;
        if count == 0 || count > TOLD_HOSTS_MAX || bytes.len() % TOLD_HOST_LENGTH != 0 {
            return Err(DecodeError::Count);
        }
        Ok(Self { bytes })
    }

    /// Adds a host to bytes that are to become [`ToldHosts`]. False where there is no room for it.
    pub fn push(bytes: &mut Vec<u8>, host: &ToldHost) -> bool {
        if bytes.len() / TOLD_HOST_LENGTH >= TOLD_HOSTS_MAX {
            return false;
        }
        let ip = match host.address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        bytes.extend_from_slice(&ip.octets());
        bytes.extend_from_slice(&host.address.port().to_be_bytes());
        bytes.extend_from_slice(&host.portions.0.to_be_bytes());
        true
    }

    /// How many there are.
    pub const fn count(&self) -> usize {
        self.bytes.len() / TOLD_HOST_LENGTH
    }

    /// As they travel.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The hosts, as they stand there.
    pub fn iter(&self) -> impl Iterator<Item = ToldHost> + 'a {
        self.bytes.chunks_exact(TOLD_HOST_LENGTH).map(|host| {
            let number = |bytes: &[u8]| bytes.iter().fold(0, |n, &byte| n << 8 | u64::from(byte));
            let ip = host[..16].iter().fold(0, |n, &byte| n << 8 | u128::from(byte));
            let ip = Ipv6Addr::from(ip);
            let ip = ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4);
            let address = SocketAddr::new(ip, number(&host[16..18]) as u16);
            ToldHost { address, portions: Portions(number(&host[18..])) }
        })
    }
}

impl fmt::Debug for ToldHosts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Serialize for ToldHosts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// A peer tells its tracker what it has of a content that it does not have whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Hold {
    /// The tracker's own, from its latest answer to this address.
    pub cookie: Cookie,
    /// Of which content.
    pub content: ContentId,
    /// Its size in bytes.
    pub size: u64,
    /// What is there; none where it is not any more.
    pub portions: Portions,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_are_there_where_all_their_blocks_are() {
        for (blocks, ranges, expected) in [
            (64, &[(0, 1), (63, 64)][..], 1 << 63 | 1),
            (128, &[(0, 1)], 0),
            (128, &[(0, 2)], 1 << 63),
            (128, &[(0, 128)], u64::MAX),
            // One block: all parts but the first have none.
            (1, &[], u64::MAX >> 1),
            (1, &[(0, 1)], u64::MAX),
            (1_000_000, &[(0, 15_625)], 1 << 63),
            (1_000_000, &[(0, 15_624)], 0),
        ] {
            let mut held = RangeSet::new();
            for &(from, to) in ranges {
                held.insert(from..to);
            }
            assert_eq!(Portions::of(&held, blocks), Portions(expected), "{blocks} {ranges:?}");
        }
    }

    #[test]
    fn as_many_hosts_as_fit_travel_and_come_back() {
        let mut bytes = Vec::new();
        let host = |n: u16| ToldHost {
            address: if n % 2 == 0 {
                SocketAddr::from(([192, 0, 2, n as u8], n))
            } else {
                SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n), n))
            },
            portions: Portions(u64::from(n) << 32),
        };
        let most = TOLD_HOSTS_MAX as u16;
        assert!((0..most).all(|n| ToldHosts::push(&mut bytes, &host(n))));
        assert!(!ToldHosts::push(&mut bytes, &host(0)), "no room");
        let hosts = ToldHosts::new(&bytes).unwrap();
        assert!(hosts.iter().eq((0..most).map(host)));
        assert_eq!(ToldHosts::new(&[]), Err(DecodeError::Count));
        assert_eq!(ToldHosts::new(&bytes[1..]), Err(DecodeError::Count));
        bytes.extend_from_slice(&[0; TOLD_HOST_LENGTH]);
        assert_eq!(ToldHosts::new(&bytes), Err(DecodeError::Count));
    }
}
