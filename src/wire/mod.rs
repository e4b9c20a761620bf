//! Datagrams to values and back: protocol version 1, complete, with every limit. Holds no state,
//! knows no time and decides nothing; `docs/protocol.md` is the same for implementers of other
//! programs.
//!
//! All numbers are big-endian. Every datagram opens with `0x53 0x70` ("Sp"), the version `1` and
//! its type:
//!
//! | type | message | bytes | sent by | may cause |
//! |---|---|---|---|---|
//! | 1 | [`Announce`] | 80 | a host, to many or one: here I am, with this listing | `Ask` |
//! | 2 | [`Farewell`] | 20 | a host that leaves | nothing |
//! | 3 | [`Ask`] | 80 | a receiver: tell of your listing, or of a content | `Tell` |
//! | 4 | [`Tell`] | 80 | a host: what it has, and the cookie that grants need | `Grant` |
//! | 5 | [`Grant`] | 52 + 12 a range | a receiver: send me these ranges now | `Data`, `Refuse` |
//! | 6, 7 | [`Data`] | 20 + payload | a host: bytes of a file (6) or of others (7) | `Grant` |
//! | 8 | [`Refuse`] | 16 | a host: why a grant is not served | nothing |
//! | 9 | [`News`] | 16 + 8 a range | a host that downloads: what it has got since | `Grant` |
//! | 10 | [`Hosts`] | 16 + 26 a host | a host, to who has shown a cookie: there are these others | `Ask` |
//! | 11 | [`Hold`] | 60 | a peer, to its tracker: what it has of an unfinished content | nothing |
//!
//! Everything that moves is an *object* ([`Object`]): a file's bytes, its chain of states, the
//! bitmap of the blocks that a host has, a host's [listing], [changes](listing::changes) of one. The receiver alone decides what moves
//! and when.
//!
//! **Forward compatibility, one rule.** What version 1 does not know is ignored where it can be
//! (flags, reserved bytes, bytes after the layout of every type but 6 and 7, in datagrams of up to
//! [`CONTROL_LENGTH_MAX`] bytes) and the datagram is dropped and counted where it cannot
//! (version, type, and values of the fields that say how to read the rest).

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::content::block_layout::CONTENT_SIZE_MAX;

pub mod address;
mod decode;
mod encode;
pub mod error;
pub mod hosts;
pub mod identity;
pub mod listing;
pub mod message;
pub mod object;

pub use decode::decode;
pub use error::DecodeError;
pub use hosts::{Hold, Hosts, Portions, ToldHost, ToldHosts};
pub use identity::{ChangesId, Cookie, FarewellSecret, InstanceId, ListingDigest};
pub use message::{
    About, Announce, Answer, Ask, Data, DataHeader, DataKind, Farewell, Grant, Holding,
    ListingSummary, Message, News, Refuse, RefuseReason, Tell,
};
pub use object::{BlockRanges, Object, ObjectKind, ObjectRange, Ranges};

/// The first two bytes of every datagram: "Sp".
pub const MAGIC: [u8; 2] = [0x53, 0x70];
/// The third byte of every datagram.
pub const VERSION: u8 = 1;

/// The UDP port of every host that was not told otherwise.
pub const DEFAULT_PORT: u16 = 27_183;
/// The IPv4 group of announcements: organisation-local scope (RFC 2365), sent with a TTL of 1.
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 192, 27, 183);
/// The IPv6 group of announcements: link-local scope, transient.
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0x5370, 0x7261);

/// The length of [`Announce`], [`Ask`] and [`Tell`] in bytes. They are equally long so that none
/// makes a host send more than it was sent.
pub const TALK_LENGTH: usize = 80;
/// By how much an [`Ask`] is longer that wants to know for how long a host has been there, and the [`Tell`] that says so.
pub const AGE_LENGTH: usize = 4;
/// The length of what follows the cookie in an [`Ask`], in bytes.
const ASK_END_LENGTH: usize = 4;
/// The length of [`Farewell`] in bytes.
pub const FAREWELL_LENGTH: usize = 20;
/// The length of [`Refuse`] in bytes.
pub const REFUSE_LENGTH: usize = 16;
/// The length of a [`News`] without its ranges, in bytes.
pub const NEWS_HEADER_LENGTH: usize = 16;
/// The length of each range in a [`News`], in bytes.
pub const NEWS_RANGE_LENGTH: usize = 8;
/// The most ranges in one [`News`]: with headers they fit every way that IPv6 has.
pub const NEWS_RANGES_MAX: usize = 64;
/// The length of a [`Grant`] without its ranges, in bytes.
pub const GRANT_HEADER_LENGTH: usize = 52;
/// The length of each range in a [`Grant`], in bytes.
pub const GRANT_RANGE_LENGTH: usize = 12;
/// The length of what stands before the payload in a [`Data`], in bytes.
pub const DATA_HEADER_LENGTH: usize = 20;
/// The longest datagram that is not a [`Data`], in bytes; what follows the layout is ignored.
pub const CONTROL_LENGTH_MAX: usize = 1_500;
/// The longest datagram of all, in bytes.
pub const DATAGRAM_LENGTH_MAX: usize = DATA_HEADER_LENGTH + PAYLOAD_LENGTH_MAX as usize;

/// The most ranges in one grant.
pub const GRANT_RANGES_MAX: usize = 16;
/// The most bytes that one grant may ask for, over all its ranges.
pub const GRANT_BYTES_MAX: u32 = 65_536;
/// The most packets that one grant may make a host send.
pub const GRANT_PACKETS_MAX: u32 = 64;

/// The shortest payload length that a grant may ask for, in bytes.
pub const PAYLOAD_LENGTH_MIN: u16 = 512;
/// The longest payload length that a grant may ask for, in bytes: what a UDP datagram over IPv4
/// holds.
pub const PAYLOAD_LENGTH_MAX: u16 = 65_408;
/// Payload lengths are multiples of this: SHA-1's own block, so that hashing needs no staging copy.
pub const PAYLOAD_LENGTH_STEP: u16 = 64;
/// The payload lengths that receivers try, shortest first. With 20 bytes of ours and 48 of IPv6 and
/// UDP they fit ways narrower than any IPv6 has, IPv6's minimum of 1,280, Ethernet's 1,500 and jumbo
/// frames' 9,000 bytes.
pub const PAYLOAD_LENGTHS: [u16; 4] = [512, 1_152, 1_408, 8_896];
/// The one of them that receivers begin with.
pub const PAYLOAD_LENGTH_FIRST: usize = 1;

/// The highest position in an object at which a range may end.
pub const OBJECT_END_MAX: u64 = CONTENT_SIZE_MAX + 1;
/// The longest listing, in bytes, as sent and also of its names written out in full.
pub const LISTING_LENGTH_MAX: u64 = 16 * 1024 * 1024;
/// The length of changes is counted in steps of so many bytes; zeros fill the last one.
pub const CHANGES_STEP: u64 = 64;
/// The most files in a listing.
pub const LISTING_FILES_MAX: u32 = 131_072;

/// The codes of the types, in a datagram's fourth byte.
pub(crate) mod type_code {
    pub(super) const ANNOUNCE: u8 = 1;
    pub(super) const FAREWELL: u8 = 2;
    pub(super) const ASK: u8 = 3;
    pub(super) const TELL: u8 = 4;
    pub(super) const GRANT: u8 = 5;
    pub(crate) const DATA: u8 = 6;
    pub(crate) const META: u8 = 7;
    pub(super) const REFUSE: u8 = 8;
    pub(super) const NEWS: u8 = 9;
    pub(super) const HOSTS: u8 = 10;
    pub(super) const HOLD: u8 = 11;
}

/// The codes and bits of single fields.
mod field {
    pub(super) const ABOUT_LISTING: u8 = 0;
    pub(super) const ABOUT_CONTENT: u8 = 1;
    pub(super) const ASK_TO_MANY: u8 = 1;
    pub(super) const ASK_TELL_HOSTS: u8 = 2;
    pub(super) const ASK_TELL_AGE: u8 = 4;
    pub(super) const TELL_WHOLE: u8 = 1;
    pub(super) const TELL_PART: u8 = 2;
    pub(super) const TELL_AGE: u8 = 4;
    pub(super) const TELL_IN_STEP: u8 = 8;
}
