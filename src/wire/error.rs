//! Why a datagram was refused. Each reason is a counter's index and a counter's name.

use std::fmt;

use serde::Serialize;

/// Why a datagram is no message. Hostile bytes end here, never in a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[repr(u8)]
pub enum DecodeError {
    /// It does not open with [`MAGIC`](super::MAGIC): another program's, or noise.
    NotOurs,
    /// It ends before its layout does, or is a DATA or META without a payload.
    Short,
    /// It speaks another version of the protocol.
    Version,
    /// Its type is not known to this version.
    Type,
    /// It is longer than any message of its type may be.
    Long,
    /// An ASK or TELL about something that this version does not know.
    About,
    /// A GRANT of a kind of object that this version does not know.
    Kind,
    /// A REFUSE for a reason that this version does not know.
    Reason,
    /// A size or a number of files beyond the limits.
    Size,
    /// A GRANT with no ranges or too many.
    Count,
    /// A range that is empty or ends too high.
    Range,
    /// A GRANT of too many bytes or packets.
    Demand,
    /// A GRANT whose payload length is out of bounds or no multiple of 64.
    PayloadLength,
}

impl DecodeError {
    /// Every reason, in the order of [`index`](Self::index).
    pub const ALL: [Self; 13] = [
        Self::NotOurs,
        Self::Short,
        Self::Version,
        Self::Type,
        Self::Long,
        Self::About,
        Self::Kind,
        Self::Reason,
        Self::Size,
        Self::Count,
        Self::Range,
        Self::Demand,
        Self::PayloadLength,
    ];

    /// Where this reason's counter stands: less than `ALL.len()`.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The counter's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotOurs => "not_ours",
            Self::Short => "short",
            Self::Version => "version",
            Self::Type => "type",
            Self::Long => "long",
            Self::About => "about",
            Self::Kind => "kind",
            Self::Reason => "reason",
            Self::Size => "size",
            Self::Count => "count",
            Self::Range => "range",
            Self::Demand => "demand",
            Self::PayloadLength => "payload_length",
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotOurs => "it is not of this protocol",
            Self::Short => "it ends too early",
            Self::Version => "it is of another version",
            Self::Type => "its type is unknown",
            Self::Long => "it is too long",
            Self::About => "it is about something unknown",
            Self::Kind => "it grants an unknown kind of object",
            Self::Reason => "it refuses for an unknown reason",
            Self::Size => "a size in it is too large",
            Self::Count => "it has no ranges or too many",
            Self::Range => "a range in it is empty or ends too high",
            Self::Demand => "it grants too many bytes or packets",
            Self::PayloadLength => "its payload length is out of bounds",
        })
    }
}

impl std::error::Error for DecodeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_counter() {
        let names: std::collections::BTreeSet<_> =
            DecodeError::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), DecodeError::ALL.len());
        for (index, reason) in DecodeError::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index);
            assert!(!reason.to_string().is_empty());
        }
    }
}
