//! Everything that can happen to a node. The driver hands these in, one at a time, each with the time;
//! after each it takes every [`Output`](super::Output) before it hands in the next.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use super::disk_fault::{DiskFault, DiskFaultKind};
use super::ids::{BufferId, FetchId, JobId, ListingId};
use crate::content::{ContentId, ShareName};
use crate::wire::ListingSummary;
use crate::wire::listing::{ListingEntries, ListingSize};

/// The bytes of a datagram, where they are. Under this name serde does not want to borrow them when an input is
/// read back, which no datagram is.
pub type DatagramBytes<'a> = &'a [u8];

/// Something that happened outside.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input<'a> {
    /// A datagram arrived on the one socket. An output may speak of "the datagram in hand": that is
    /// this one, until the next input.
    #[serde(skip_deserializing)]
    Datagram {
        /// Who sent it; IPv4 as IPv4, never mapped.
        from: SocketAddr,
        /// The whole UDP payload.
        #[serde(with = "crate::content::hex")]
        bytes: DatagramBytes<'a>,
    },
    /// A datagram arrived that [`Node::hears`](super::Node::hears) does not want to be handed.
    Unheard {
        /// Who sent it, as it says.
        from: SocketAddr,
    },
    /// The socket, full at the last attempt, takes datagrams again.
    Writable,
    /// The receive buffer that the kernel really granted, in bytes as it charges them (overhead
    /// included, so the number of full datagrams is about this over 2,304).
    SocketBuffer {
        /// Bytes.
        bytes: u64,
    },
    /// The machine's addresses, at the start and whenever they changed.
    Interfaces {
        /// All of them, loopback included.
        addresses: Vec<InterfaceAddress>,
    },
    /// Hosts that people named are at these addresses now: all of them, whenever that changed.
    Named {
        /// Those to talk to.
        peers: Vec<SocketAddr>,
        /// The trackers.
        trackers: Vec<SocketAddr>,
    },
    /// A file of `share/` is new, or is other than when last told. Only regular files whose name
    /// [`ShareName`] takes are told.
    FileSeen {
        /// Where it stands.
        name: ShareName,
        /// What identifies this state of it.
        signature: FileSignature,
        /// For how long it has not been changed, going by its own times and the wall clock;
        /// zero where these contradict each other.
        unchanged_for: Duration,
    },
    /// A file of `share/` that was told is not there any more.
    FileGone {
        /// Where it stood.
        name: ShareName,
    },
    /// The answer to [`Output::Hash`](super::Output::Hash).
    Hashed {
        /// Which file.
        name: ShareName,
        /// The state of it that was asked for.
        signature: FileSignature,
        /// How it went.
        outcome: HashOutcome,
    },
    /// The answer to [`Output::MakeListing`](super::Output::MakeListing).
    ListingMade {
        /// Which.
        listing: ListingId,
        /// What is announced of it.
        summary: ListingSummary,
        /// Files that did not fit the limits of a listing.
        left_out: u32,
        /// Where it is another than the one made before it: bytes of what has changed between the two,
        /// if that is kept.
        #[serde(default)]
        changes: Option<u64>,
    },
    /// The answer to [`Output::ReadListing`](super::Output::ReadListing) and
    /// [`Output::ReadChanges`](super::Output::ReadChanges).
    ListingRead {
        /// Which.
        listing: ListingId,
        /// What it says.
        outcome: ListingReading,
    },
    /// An unfinished download of a fetch on this machine is new or has grown or shrunk.
    PartialSeen {
        /// What it downloads.
        content: ContentId,
        /// Its size, from the attrs.
        size: u64,
        /// What is on disk, sorted, not overlapping.
        extents: Vec<Extent>,
        /// The states of the chain that the fetch goes by, 20 bytes each, where it saved them.
        #[serde(with = "crate::content::hex::optional")]
        chain: Option<Vec<u8>>,
    },
    /// An unfinished download is not there any more.
    PartialGone {
        /// What it was downloading.
        content: ContentId,
    },
    /// A download that was seen, with the same size and chain, has these chunk files now.
    PartialGrown {
        /// Its content.
        content: ContentId,
        /// Its chunk files, sorted, without overlaps.
        extents: Vec<Extent>,
    },
    /// The answer to [`Output::CheckPartial`](super::Output::CheckPartial).
    PartialChecked {
        /// Which download.
        content: ContentId,
        /// Which block.
        block: u64,
        /// Whether it is what the chain says.
        genuine: bool,
    },
    /// The answer to [`Output::Serve`](super::Output::Serve).
    Served {
        /// Which job.
        job: JobId,
        /// How it went.
        outcome: ServeOutcome,
    },
    /// The answer to [`Output::OpenStore`](super::Output::OpenStore).
    StoreOpened {
        /// Whose store.
        fetch: FetchId,
        /// How it went.
        outcome: StoreOpening,
    },
    /// The answer to [`Output::SearchShare`](super::Output::SearchShare).
    ShareSearched {
        /// For whom.
        fetch: FetchId,
        /// What was found.
        outcome: ShareSearch,
    },
    /// The answer to [`Output::CheckStored`](super::Output::CheckStored).
    StoredChecked {
        /// Whose store.
        fetch: FetchId,
        /// Which block.
        block: u64,
        /// Whether what is on disk is what the chain says. A block that cannot be read is not.
        genuine: bool,
        /// Whether its bytes were made so that other ones would do as well.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        collides: bool,
    },
    /// The answer to [`Output::Verify`](super::Output::Verify).
    Verified {
        /// For whom.
        fetch: FetchId,
        /// Which buffer.
        buffer: BufferId,
        /// Whether the bytes lead from the one state to the other.
        genuine: bool,
        /// Whether they were made so that other ones do so, too.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        collides: bool,
    },
    /// The answer to [`Output::Store`](super::Output::Store).
    Stored {
        /// Whose store.
        fetch: FetchId,
        /// Which buffer; it is the core's to release.
        buffer: BufferId,
        /// Nothing, or why the bytes are not on disk.
        outcome: Result<(), DiskFault>,
    },
    /// The answer to [`Output::Publish`](super::Output::Publish).
    PublishStepped {
        /// Whose file.
        fetch: FetchId,
        /// How the step went that was asked for.
        outcome: StepOutcome,
    },
    /// Somebody wants something.
    Command(Command),
    /// This has come by keeping in step, in an earlier run; told at the start.
    SyncedBefore {
        /// The content.
        content: ContentId,
        /// Its name.
        name: ShareName,
    },
}

/// What people and front ends ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Fetch one file.
    Fetch(FetchRequest),
    /// Look who is there and what they offer, without being a host; once in a run, and not in one that
    /// serves. [`Output::LookEnded`](super::Output::LookEnded) comes.
    Look {
        /// It is over after this long at the most.
        patience: Duration,
    },
    /// Find out who holds which blocks of a content; one at a time, a further one takes the place of the one
    /// before. [`Output::Located`](super::Output::Located) comes.
    Locate(LocateRequest),
    /// Leave the network politely and stop: farewells are sent, then
    /// [`Output::Stopped`](super::Output::Stopped) comes.
    Stop,
}

/// One file to fetch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchRequest {
    /// The number by which driver and core will speak of it.
    pub fetch: FetchId,
    /// What to fetch.
    pub content: ContentId,
    /// Its size in bytes, as the caller believes it.
    pub size: u64,
    /// Where it is to appear below `share/`.
    pub name: ShareName,
    /// Hosts that are said to hold it; where there are many, they are used in turns.
    pub sources: Vec<SocketAddr>,
    /// Give up after this long; never, where there is none.
    pub timeout: Option<Duration>,
    /// Nobody but those sources is asked: it is to be seen whether they have it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub alone: bool,
}

/// One content whose holders are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocateRequest {
    /// Which.
    pub content: ContentId,
    /// Its size in bytes, as the caller believes it.
    pub size: u64,
    /// Hosts that are said to hold it.
    pub sources: Vec<SocketAddr>,
    /// It is over after this long at the most.
    pub patience: Duration,
}

/// One address of one of the machine's interfaces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InterfaceAddress {
    /// The interface's index, as the kernel numbers them.
    pub index: u32,
    /// The address itself.
    pub address: IpAddr,
    /// How many leading bits of it are the network's.
    pub prefix_length: u8,
    /// Where a broadcast on this network goes; none on IPv6, loopback and point-to-point.
    pub broadcast: Option<IpAddr>,
    /// Whether it is the loopback interface.
    pub loopback: bool,
}

impl InterfaceAddress {
    /// Whether an address is on this one's network.
    pub fn shares_network_with(&self, other: IpAddr) -> bool {
        let alike = match (self.address, other) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros()
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros()
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
        };
        alike >= u32::from(self.prefix_length)
    }
}

/// What identifies one state of one file: if any of it differs, the file is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileSignature {
    /// The file system's number.
    pub device: u64,
    /// The file's number in it.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// Last change of the content, nanoseconds since 1970.
    pub modified_ns: i64,
    /// Last change of anything, nanoseconds since 1970.
    pub changed_ns: i64,
}

/// A run of a content's bytes on disk: one chunk file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Extent {
    /// Where in the content it begins; the OFFSET of the chunk file's name.
    pub start: u64,
    /// Bytes.
    pub length: u64,
}

/// How hashing a file went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HashOutcome {
    /// The whole file was read and did not change meanwhile; its chain is kept by the driver.
    Whole {
        /// Its name.
        content: ContentId,
        /// The name of its chain.
        chain: crate::content::ChainId,
    },
    /// The whole file was read, and was made so that another one has the same name.
    Colliding {
        /// The name.
        content: ContentId,
    },
    /// It is not, or not any more, the file that was asked for; a `FileSeen` or `FileGone` will tell.
    Changed,
    /// It cannot be read.
    Failed,
}

/// What a host's listing says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListingReading {
    /// It has the digest that it should have, and is a listing.
    Genuine {
        /// Its files, ascending by name.
        entries: ListingEntries,
        /// Bytes of all their names together: what is decided by their lengths goes by this.
        names_length: u64,
        /// Further files, with names that nobody should have sent.
        refused_names: u32,
        /// How much the first files are together, in steps; the last one is of all.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        sizes: Vec<ListingSize>,
        /// Further files, for which there was no room.
        #[serde(default, skip_serializing_if = "ListingSize::is_nothing")]
        left_out: ListingSize,
    },
    /// It is another than was asked for, or none.
    Bad,
}

/// How a piece of serving went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServeOutcome {
    /// All of it went to the kernel.
    Sent,
    /// The socket is full: this many bytes from the start of the range went (a whole number of
    /// packets); `Writable` will follow.
    Blocked {
        /// Bytes of the object.
        sent: u32,
    },
    /// The file is not the one that was offered, or is gone.
    Changed,
    /// The way there does not take datagrams of this length.
    TooLong,
    /// It cannot be read or sent.
    Failed,
}

/// How opening a fetch's store went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreOpening {
    /// It is ours: attrs stand there and are locked.
    Ours {
        /// What is on disk, sorted, not overlapping, within the size.
        extents: Vec<Extent>,
        /// The states of the chain that an earlier run saved, 20 bytes each.
        #[serde(with = "crate::content::hex::optional")]
        chain: Option<Vec<u8>>,
    },
    /// Another process fetches this file; ask again later.
    Taken,
    /// It cannot be.
    Failed(DiskFault),
}

/// What looking for the content in `share/` found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShareSearch {
    /// The wanted name is this content already.
    InPlace,
    /// Another name is.
    Elsewhere(ShareName),
    /// Some file has the content's name, and was made so that another one has it as well.
    Colliding,
    /// Nothing is.
    Absent,
    /// Nothing is as far as was looked: that was all that it might cost.
    Unfinished,
}

/// How a step of publishing went; one kind of answer for each
/// [`PublishStep`](super::output::PublishStep).
///
/// After a fault nothing is in hand any more, and chunk files that were joined to the first one have
/// their own names again, as far as they were not removed. They have not after
/// [`Naming::Gone`], where what stands there may be somebody else's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    /// To `LookAtName`.
    Looked(NameLook),
    /// To `GatherWhole`.
    Gathered(Gathering),
    /// To `SyncWhole`: nothing, or why its bytes may not survive a power cut.
    Synced(Result<(), DiskFault>),
    /// To `GiveName`.
    Named(Naming),
    /// To `SyncShared`: nothing, or why file or name may not survive a power cut.
    Kept(Result<(), DiskFault>),
    /// To `ClearStore`.
    Cleared,
}

/// What stands under a name of `share/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameLook {
    /// Nothing.
    Free,
    /// This content.
    Same,
    /// Something else.
    Other,
    /// That cannot be told, or its folders cannot be made.
    Failed(DiskFault),
}

/// How making a whole file without a name in `share/` went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gathering {
    /// It is there, but not synced.
    Whole,
    /// What the chunk files hold is not what was stored (somebody removed or touched them).
    Lost {
        /// What is on disk now, sorted, not overlapping, within the size.
        extents: Vec<Extent>,
    },
    /// The file that was to be copied is not, or not any more, this content.
    Changed,
    /// The name is on another file system, and on one that holds no files without a name.
    OtherFileSystem,
    /// It cannot be.
    Failed(DiskFault),
}

/// How giving a name went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Naming {
    /// The file has it.
    Named,
    /// Something stands there by now; it was not touched.
    Taken,
    /// What was gathered is not there any more.
    Gone,
    /// The name is on another file system than the file.
    OtherFileSystem,
    /// It cannot be.
    Failed(DiskFault),
}
