//! The stateless cookie: whoever can show it receives at the address it asks from.
//!
//! Shaped after DNS server cookies (RFC 9018) and QUIC's address validation (RFC 9000 section 8.1):
//! a keyed digest over address, port and a coarse time. Nothing is kept per client.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};

use super::random::Random;
use super::time::Instant;
use crate::wire::Cookie;

/// How long an epoch lasts. A cookie is taken in its own and the next epoch: 60 to 120 s.
pub(crate) const EPOCH: Duration = Duration::from_secs(60);

/// Makes and checks cookies under a secret of its own.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CookieJar {
    #[serde(with = "crate::content::hex")]
    secret: [u8; 32],
}

impl CookieJar {
    /// A jar with a fresh secret.
    pub(crate) fn new(random: &mut Random) -> Self {
        Self { secret: random.bytes32() }
    }

    /// The cookie for this address at this time.
    pub(crate) fn bake(&self, to: SocketAddr, now: Instant) -> Cookie {
        self.of_epoch(to, Self::epoch(now))
    }

    /// Whether this address was given this cookie in this epoch or the one before.
    pub(crate) fn accepts(&self, cookie: &Cookie, from: SocketAddr, now: Instant) -> bool {
        let epoch = Self::epoch(now);
        // Compared without leaving early, so that the time taken tells nothing.
        let same = |baked: Cookie| {
            baked.0.iter().zip(cookie.0).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
        };
        same(self.of_epoch(from, epoch)) | same(self.of_epoch(from, epoch.wrapping_sub(1)))
    }

    /// A number that stands for an IP address, or the network that counts as one: nobody else knows which addresses share one.
    pub(crate) fn number(&self, ip: IpAddr, below: u16) -> u16 {
        let Cookie([high, low, ..]) = self.of_epoch(SocketAddr::new(ip, 0), u64::MAX);
        u16::from_be_bytes([high, low]) % below
    }

    fn epoch(now: Instant) -> u64 {
        // One more than the count, so that the first epoch has one before it.
        1 + now.since(Instant::ORIGIN).as_secs() / EPOCH.as_secs()
    }

    /// SHA-1 over a secret prefix and fields of fixed length: with the length fixed there is nothing
    /// to extend, and 80 bits of the digest would do.
    fn of_epoch(&self, address: SocketAddr, epoch: u64) -> Cookie {
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let digest = Sha1::new()
            .chain_update(self.secret)
            .chain_update(ip.octets())
            .chain_update(address.port().to_be_bytes())
            .chain_update(epoch.to_be_bytes())
            .finalize();
        let mut cookie = [0; 16];
        cookie.copy_from_slice(&digest[..16]);
        Cookie(cookie)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bound_to_address_port_and_time() {
        let jar = CookieJar::new(&mut Random::new([1; 32]));
        let other_jar = CookieJar::new(&mut Random::new([2; 32]));
        let host: SocketAddr = "192.0.2.1:27183".parse().unwrap();
        let start = Instant::from_micros(5_000_000);
        let cookie = jar.bake(host, start);
        assert!(jar.accepts(&cookie, host, start));
        assert!(jar.accepts(&cookie, host, start + EPOCH));
        assert!(!jar.accepts(&cookie, host, start + EPOCH * 2));
        assert!(!jar.accepts(&cookie, "192.0.2.1:27184".parse().unwrap(), start));
        assert!(!jar.accepts(&cookie, "192.0.2.2:27183".parse().unwrap(), start));
        assert!(!other_jar.accepts(&cookie, host, start));
        assert!(!jar.accepts(&Cookie([0; 16]), host, start));
    }
}
