//! The messages as values, one struct each; the layouts are in `encode` and `decode`. What a
//! message means for a node is the node's affair.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::hosts::{Hold, Hosts};
use super::identity::{Cookie, FarewellSecret, InstanceId, ListingDigest};
use super::object::{BlockRanges, Object, Ranges};
use super::{CHANGES_STEP, DATA_HEADER_LENGTH};
use crate::content::{ChainId, ContentId};

/// One datagram's worth of meaning.
#[expect(
    clippy::large_enum_variant,
    reason = "a message lives on the stack for one turn; a box would cost an allocation a grant"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Message<'a> {
    /// A host is there.
    Announce(Announce),
    /// A host leaves.
    Farewell(Farewell),
    /// A receiver asks what a host has.
    Ask(Ask),
    /// A host answers an `Ask`.
    Tell(Tell),
    /// A receiver asks for bytes, now.
    Grant(Grant),
    /// A host sends bytes, of a file or of anything else.
    Data(Data<'a>),
    /// A host says why a grant is not served.
    Refuse(Refuse),
    /// A host that downloads tells what it has got since.
    News(News<'a>),
    /// A host tells of others.
    Hosts(Hosts<'a>),
    /// A peer tells its tracker what it has of a content.
    Hold(Hold),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
pub(super) const fn is_zero(number: &u16) -> bool {
    *number == 0
}

/// A listing in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ListingSummary {
    /// The SHA-1 of its bytes.
    pub digest: ListingDigest,
    /// Its bytes; at most [`LISTING_LENGTH_MAX`](super::LISTING_LENGTH_MAX).
    pub length: u64,
    /// Its files; at most [`LISTING_FILES_MAX`](super::LISTING_FILES_MAX).
    pub files: u32,
}

/// Here I am, and this is what I offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Announce {
    /// Who it is.
    pub instance: InstanceId,
    /// What it offers.
    pub listing: ListingSummary,
    /// Within so many tenths of a second it announces itself again, on one way or another; 0 where it
    /// does not say.
    pub again_within: u8,
}

/// I leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Farewell {
    /// Its SHA-1 begins with the instance that leaves.
    pub secret: FarewellSecret,
}

/// What do you have?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Ask {
    /// What is asked about.
    pub about: About,
    /// Sent to many hosts at once: who has nothing of it keeps silent.
    pub to_many: bool,
    /// Who has shown a cookie wants to be told of others, too ([`Hosts`]).
    pub tell_hosts: bool,
    /// And of them, those from this place on in the asked host's order, counted from 1; 0 leaves it to that host.
    #[serde(skip_serializing_if = "is_zero")]
    pub hosts_from: u16,
    /// Wants to know for how long the asked host has been there. Such a question is longer, as its answer is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tell_age: bool,
    /// Comes back in the answer.
    #[serde(with = "crate::content::hex::number")]
    pub nonce: u64,
    /// Who asks, if it is a host that offers files; else [`InstanceId::NONE`].
    pub instance: InstanceId,
    /// The asked host's own, from an earlier [`Tell`], by which the asker proves that it receives
    /// where it asks from; [`Cookie::NONE`] where it has none yet.
    pub cookie: Cookie,
}

/// What can be asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// The host's listing.
    Listing {
        /// The listing of that host that the asker has, to be told how long the changes from there
        /// are; [`ListingDigest::NONE`] where it has none.
        has: ListingDigest,
    },
    /// One content.
    Content {
        /// Which.
        content: ContentId,
        /// Its size in bytes, as the asker believes it.
        size: u64,
    },
}

/// This is what I have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Tell {
    /// The question's.
    #[serde(with = "crate::content::hex::number")]
    pub nonce: u64,
    /// What grants from the asker's address have to show.
    pub cookie: Cookie,
    /// Who answers, if it is a host that offers files.
    pub instance: InstanceId,
    /// For how many seconds it has been there, if that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age: Option<u32>,
    /// The answer.
    pub answer: Answer,
}

/// What a host says it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Of its listing.
    Listing {
        /// The listing.
        listing: ListingSummary,
        /// How long the changes are that lead to it from the listing that the asker has, in units of
        /// [`CHANGES_STEP`](super::CHANGES_STEP) bytes; 0 where the host does not offer them.
        changes: u16,
        /// The host fetches by itself what others offer, as it says.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        in_step: bool,
    },
    /// Of the content that was asked about. Hearsay, until the chain proves it.
    Content {
        /// How much of it.
        holding: Holding,
        /// The name of its chain; zeros where the host does not know the chain.
        chain: ChainId,
        /// Its size in bytes; zero where the host holds nothing.
        size: u64,
        /// How many blocks the host has; `u32::MAX` stands for that many or more.
        blocks_held: u32,
    },
}

/// How much of a content a host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holding {
    /// Nothing.
    Nothing,
    /// Some of it.
    Part,
    /// All of it.
    Whole,
}

/// Send me these ranges of this object, now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Grant {
    /// Comes back in every packet.
    #[serde(with = "crate::content::hex::number")]
    pub nonce: u64,
    /// The host's own, from its latest [`Tell`] to this address.
    pub cookie: Cookie,
    /// The object.
    pub object: Object,
    /// What of it, and in what payloads.
    pub ranges: Ranges,
}

/// Bytes of an object.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Data<'a> {
    /// Which bytes.
    pub header: DataHeader,
    /// The bytes; never empty.
    #[serde(skip)]
    pub payload: &'a [u8],
}

/// What stands before the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DataHeader {
    /// Whether these are a file's bytes.
    pub kind: DataKind,
    /// The grant's.
    #[serde(with = "crate::content::hex::number")]
    pub nonce: u64,
    /// Where in the object the bytes begin.
    pub offset: u64,
}

/// Types 6 and 7 differ only in what they carry, so that recordings can leave the bytes of files
/// out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DataKind {
    /// DATA: bytes of a file.
    Data,
    /// META: bytes of a chain, a bitmap, a listing or changes of one.
    Meta,
}

/// I have these blocks as well, since you asked for my have-bitmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct News<'a> {
    /// That of a grant of the bitmap, of late.
    #[serde(with = "crate::content::hex::number")]
    pub nonce: u64,
    /// What has come.
    pub blocks: BlockRanges<'a>,
}

/// A grant is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Refuse {
    /// Why.
    pub reason: RefuseReason,
    /// The grant's.
    #[serde(with = "crate::content::hex::number")]
    pub nonce: u64,
}

/// Why a grant is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum RefuseReason {
    /// The cookie is too old or another's: ask again.
    StaleCookie = 1,
    /// There is no such object, or not any more.
    UnknownObject = 2,
    /// The object ends earlier, or the host lacks these bytes.
    BadRange = 3,
    /// The file is being changed and is not offered any more.
    Changed = 4,
    /// Too much is asked of the host: later.
    Busy = 5,
    /// The way does not carry datagrams of this length: ask for a shorter payload.
    TooLong = 6,
}

impl RefuseReason {
    /// The reason with this code on the wire.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::StaleCookie),
            2 => Some(Self::UnknownObject),
            3 => Some(Self::BadRange),
            4 => Some(Self::Changed),
            5 => Some(Self::Busy),
            6 => Some(Self::TooLong),
            _ => None,
        }
    }

    /// The reason's code on the wire.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl Data<'_> {
    /// The datagram's length in bytes.
    pub const fn datagram_length(&self) -> usize {
        DATA_HEADER_LENGTH + self.payload.len()
    }
}

impl fmt::Debug for Data<'_> {
    /// The length of the payload, not the payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Data {{ {:?}, {} bytes }}", self.header, self.payload.len())
    }
}

impl fmt::Display for Message<'_> {
    /// One line for logs; without cookies, secrets and payloads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Announce(announce) => {
                write!(f, "ANNOUNCE host {} {}", announce.instance, announce.listing)
            }
            Self::Farewell(farewell) => {
                write!(f, "FAREWELL host {}", InstanceId::of(&farewell.secret))
            }
            Self::Ask(ask) => write_ask(f, ask),
            Self::Tell(tell) => write_tell(f, tell),
            Self::Grant(Grant { nonce, object, ranges, .. }) => {
                write!(f, "GRANT {nonce:016x} {object} by {}:", ranges.payload_length())?;
                ranges.iter().try_for_each(|range| write!(f, " {}+{}", range.offset, range.length))
            }
            Self::Data(Data { header, payload }) => {
                let name = match header.kind {
                    DataKind::Data => "DATA",
                    DataKind::Meta => "META",
                };
                write!(f, "{name} {:016x} {}+{}", header.nonce, header.offset, payload.len())
            }
            Self::Refuse(refuse) => write!(f, "REFUSE {:016x}: {}", refuse.nonce, refuse.reason),
            Self::News(news) => write!(f, "NEWS {:016x} blocks {:?}", news.nonce, news.blocks),
            Self::Hosts(hosts) => write!(f, "HOSTS {:016x} {:?}", hosts.nonce, hosts.hosts),
            Self::Hold(Hold { content, size, portions, .. }) => {
                write!(f, "HOLD content {content} of {size} bytes, portions {portions:?}")
            }
        }
    }
}

fn write_ask(f: &mut fmt::Formatter<'_>, ask: &Ask) -> fmt::Result {
    let many = if ask.to_many { " (to many)" } else { "" };
    match ask.about {
        About::Listing { has: ListingDigest::NONE } => {
            write!(f, "ASK {:016x} listing{many}", ask.nonce)
        }
        About::Listing { has } => {
            write!(f, "ASK {:016x} listing{many}, {has} is known", ask.nonce)
        }
        About::Content { content, size } => {
            write!(f, "ASK {:016x} content {content} of {size} bytes{many}", ask.nonce)
        }
    }
}

fn write_tell(f: &mut fmt::Formatter<'_>, tell: &Tell) -> fmt::Result {
    match &tell.answer {
        Answer::Listing { listing, changes, in_step } => {
            write!(f, "TELL {:016x} {listing}", tell.nonce)?;
            if *changes > 0 {
                write!(f, ", {} bytes of changes", u64::from(*changes) * CHANGES_STEP)?;
            }
            f.write_str(if *in_step { ", keeps in step" } else { "" })
        }
        Answer::Content { holding, size, blocks_held, .. } => {
            write!(f, "TELL {:016x} {holding} of {size} bytes, {blocks_held} blocks", tell.nonce)
        }
    }
}

impl fmt::Display for ListingSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "listing {} of {} files, {} bytes", self.digest, self.files, self.length)
    }
}

impl fmt::Display for Holding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::Part => "part",
            Self::Whole => "whole",
        })
    }
}

impl fmt::Display for RefuseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StaleCookie => "the cookie is stale",
            Self::UnknownObject => "there is no such object",
            Self::BadRange => "the range is not there",
            Self::Changed => "the file changed",
            Self::Busy => "busy",
            Self::TooLong => "datagrams of this length do not get through",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ObjectRange, decode};

    #[test]
    fn a_log_line_is_one_line_and_tells_no_secret() {
        let ranges =
            [ObjectRange { offset: 0, length: 4_096 }, ObjectRange { offset: 9, length: 1 }];
        let grant = Grant {
            nonce: 0xfeed,
            cookie: Cookie([0xcc; 16]),
            object: Object::File(ContentId::EMPTY),
            ranges: Ranges::new(&ranges, 1_408).unwrap(),
        };
        assert_eq!(
            Message::Grant(grant).to_string(),
            "GRANT 000000000000feed file da39a3ee5e6b4b0d3255bfef95601890afd80709 by 1408: \
             0+4096 9+1"
        );
        let secret = FarewellSecret([0xcc; 16]);
        for message in [Message::Grant(grant), Message::Farewell(Farewell { secret })] {
            let shown = format!("{message} {message:?}");
            assert!(!shown.contains('\n') && !shown.contains("cccc") && !shown.contains("204"));
        }
    }

    #[test]
    fn a_log_line_leaves_the_payload_out() {
        let header = DataHeader { kind: DataKind::Meta, nonce: 1, offset: 2_048 };
        let data = Message::Data(Data { header, payload: b"private" });
        assert_eq!(data.to_string(), "META 0000000000000001 2048+7");
        assert!(format!("{data:?}").contains("7 bytes"));
        assert!(!format!("{data:?}").contains("112"), "a byte of the payload");
    }

    #[test]
    fn codes_and_reasons_agree() {
        for code in 0..=u8::MAX {
            let reason = RefuseReason::from_code(code);
            assert_eq!(reason.is_some(), (1..=6).contains(&code), "{code}");
            assert!(reason.is_none_or(|reason| reason.code() == code));
        }
        let refuse = Refuse { reason: RefuseReason::TooLong, nonce: 3 };
        assert_eq!(decode(&Message::Refuse(refuse).encode()), Ok(Message::Refuse(refuse)));
    }
}
