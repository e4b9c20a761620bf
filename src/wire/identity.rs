//! The opaque values by which hosts know each other, listings and proven addresses. What makes a
//! cookie genuine is the serving node's affair.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};

/// One run of a host: the same on all of its addresses, another after a restart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstanceId(#[serde(with = "crate::content::hex")] pub [u8; 16]);

impl InstanceId {
    /// What stands where nobody says who they are.
    pub const NONE: Self = Self([0; 16]);

    /// The instance of the host that knows `secret`: the first 16 bytes of its SHA-1.
    pub fn of(secret: &FarewellSecret) -> Self {
        let digest: [u8; 20] = Sha1::digest(secret.0).into();
        let mut instance = [0; 16];
        instance.copy_from_slice(&digest[..16]);
        Self(instance)
    }
}

/// What only the host itself knows until it leaves: who can show it says goodbye for its instance.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FarewellSecret(#[serde(with = "crate::content::hex")] pub [u8; 16]);

/// What a host gives to an address, and wants back in a grant: proof that the address receives.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cookie(#[serde(with = "crate::content::hex")] pub [u8; 16]);

/// The name of the way from one listing to another: the SHA-1 of both digests, one after the other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChangesId(#[serde(with = "crate::content::hex")] pub [u8; 20]);

/// The SHA-1 of a listing's bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ListingDigest(#[serde(with = "crate::content::hex")] pub [u8; 20]);

impl Cookie {
    /// What stands where there is none.
    pub const NONE: Self = Self([0; 16]);
}

impl ChangesId {
    /// The name of the changes that lead from the listing `old` to the listing `new`.
    pub fn between(old: ListingDigest, new: ListingDigest) -> Self {
        Self(Sha1::new().chain_update(old.0).chain_update(new.0).finalize().into())
    }
}

impl ListingDigest {
    /// What stands where nobody has a listing.
    pub const NONE: Self = Self([0; 20]);

    /// The digest of a listing's bytes; it takes as long as hashing them takes.
    pub fn of(listing: &[u8]) -> Self {
        Self(Sha1::digest(listing).into())
    }
}

/// Computes a [`ListingDigest`] a piece at a time.
#[derive(Clone, Debug, Default)]
pub struct ListingHasher(Sha1);

impl ListingHasher {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all that was taken.
    pub fn finish(self) -> ListingDigest {
        ListingDigest(self.0.finalize().into())
    }
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Display for InstanceId {
    /// The first 8 hexadecimal digits: enough to tell hosts apart in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0[..4])
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Display for ListingDigest {
    /// The first 8 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0[..4])
    }
}

impl fmt::Debug for ListingDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Display for ChangesId {
    /// The first 8 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0[..4])
    }
}

impl fmt::Debug for ChangesId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for Cookie {
    /// Nothing of it: logs are shown to others.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookie(..)")
    }
}

impl fmt::Debug for FarewellSecret {
    /// Nothing of it: logs are shown to others.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FarewellSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_digests() {
        let empty = ListingDigest::of(b"");
        assert_eq!(format!("{empty:?}"), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
        let instance = InstanceId::of(&FarewellSecret(*b"sixteen bytes it"));
        assert_eq!(instance.0, ListingDigest::of(b"sixteen bytes it").0[..16]);
    }

    #[test]
    fn logs_show_no_secrets() {
        assert_eq!(
            format!("{:?}{:?}", Cookie([7; 16]), FarewellSecret([7; 16])).matches('7').count(),
            0
        );
    }
}
