//! What was dropped, and for which reason. A flood looks like a bug unless it is counted.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use super::flow::Stray;
use crate::wire::DecodeError;

/// Why the node did not do what a datagram wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DropReason {
    /// From port 0, a broadcast, group or unspecified address, or a port that echoes.
    ForbiddenSource,
    /// From ourselves.
    Ourselves,
    /// An announcement, or anything that was sent to all, from a network that we are not on.
    OffLink,
    /// A grant without a cookie of ours.
    StaleCookie,
    /// A grant for what we do not have.
    UnknownObject,
    /// A grant for what the object does not have.
    BadRange,
    /// More grants than we keep for one receiver, or more receivers.
    TooManyGrants,
    /// More replies to unproven addresses than the budget has.
    ReplyBudget,
    /// Data under a nonce that its sender was not given, or long ago.
    StrayData,
    /// Data that is not cut as it was asked for.
    WrongCut,
    /// Data that came before.
    Duplicate,
    /// An answer to no question.
    StrayAnswer,
    /// A farewell that does not prove itself.
    ForgedFarewell,
    /// More hosts than the table holds.
    TooManyHosts,
    /// More sources than a fetch keeps.
    TooManySources,
    /// More different chains than a fetch weighs.
    TooManyChains,
    /// Listings that are more together than is kept.
    TooManyListings,
    /// A listing that is not what its digest says, or broken.
    BadListing,
    /// A name in a listing that cannot be offered.
    HostileName,
    /// A block that does not fit its chain.
    BadBlock,
    /// Changes that do not lead to the listing that they should, or are none.
    BadChanges,
}

impl DropReason {
    /// All of them, in order.
    pub const ALL: [Self; 21] = [
        Self::ForbiddenSource,
        Self::Ourselves,
        Self::OffLink,
        Self::StaleCookie,
        Self::UnknownObject,
        Self::BadRange,
        Self::TooManyGrants,
        Self::ReplyBudget,
        Self::StrayData,
        Self::WrongCut,
        Self::Duplicate,
        Self::StrayAnswer,
        Self::ForgedFarewell,
        Self::TooManyHosts,
        Self::TooManySources,
        Self::TooManyChains,
        Self::TooManyListings,
        Self::BadListing,
        Self::HostileName,
        Self::BadBlock,
        Self::BadChanges,
    ];

    /// A short name for logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ForbiddenSource => "forbidden-source",
            Self::Ourselves => "ourselves",
            Self::OffLink => "off-link",
            Self::StaleCookie => "stale-cookie",
            Self::UnknownObject => "unknown-object",
            Self::BadRange => "bad-range",
            Self::TooManyGrants => "too-many-grants",
            Self::ReplyBudget => "reply-budget",
            Self::StrayData => "stray-data",
            Self::WrongCut => "wrong-cut",
            Self::Duplicate => "duplicate",
            Self::StrayAnswer => "stray-answer",
            Self::ForgedFarewell => "forged-farewell",
            Self::TooManyHosts => "too-many-hosts",
            Self::TooManySources => "too-many-sources",
            Self::TooManyChains => "too-many-chains",
            Self::TooManyListings => "too-many-listings",
            Self::BadListing => "bad-listing",
            Self::BadChanges => "bad-changes",
            Self::HostileName => "hostile-name",
            Self::BadBlock => "bad-block",
        }
    }
}

impl From<Stray> for DropReason {
    fn from(stray: Stray) -> Self {
        match stray {
            Stray::Nonce => Self::StrayData,
            Stray::Cut => Self::WrongCut,
            Stray::Duplicate => Self::Duplicate,
        }
    }
}

/// How often each thing happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    undecodable: [u64; DecodeError::ALL.len()],
    #[serde(deserialize_with = "of_fewer_reasons")]
    dropped: [u64; DropReason::ALL.len()],
}

/// What was written down when there were fewer reasons: new ones are added at the end.
fn of_fewer_reasons<'de, D: Deserializer<'de>, const N: usize>(
    from: D,
) -> Result<[u64; N], D::Error> {
    let mut counts = Vec::deserialize(from)?;
    if counts.len() < N {
        counts.resize(N, 0);
    }
    let too_many = |_| serde::de::Error::custom("there are not so many reasons");
    counts.try_into().map_err(too_many)
}

impl Counters {
    /// Counts a datagram that is no message.
    pub fn undecodable(&mut self, error: DecodeError) {
        self.undecodable[error.index()] += 1;
    }

    /// Counts something dropped.
    pub const fn drop(&mut self, reason: DropReason) {
        self.dropped[reason as usize] += 1;
    }

    /// Counts several of the same.
    pub const fn drop_many(&mut self, reason: DropReason, count: u64) {
        self.dropped[reason as usize] += count;
    }

    /// How often something was dropped for this reason.
    pub const fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// How many datagrams were no messages for this reason.
    pub fn undecodable_count(&self, error: DecodeError) -> u64 {
        self.undecodable[error.index()]
    }
}

impl fmt::Display for Counters {
    /// `name=count` for each that is not zero, on one line; `nothing dropped` where all are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let undecodable = DecodeError::ALL.iter().map(|error| error.name()).zip(self.undecodable);
        let dropped = DropReason::ALL.iter().map(|reason| reason.name()).zip(self.dropped);
        let mut any = false;
        for (name, count) in undecodable.chain(dropped).filter(|&(_, count)| count > 0) {
            if any {
                f.write_str(" ")?;
            }
            write!(f, "{name}={count}")?;
            any = true;
        }
        if any { Ok(()) } else { f.write_str("nothing dropped") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_listed_in_order_and_shown() {
        for (index, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
        let mut counters = Counters::default();
        assert_eq!(counters.to_string(), "nothing dropped");
        counters.drop(DropReason::StrayData);
        counters.drop_many(DropReason::HostileName, 2);
        assert_eq!(counters.to_string(), "stray-data=1 hostile-name=2");
    }
}
