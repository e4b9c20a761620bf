//! Everything a node asks for. Each variant says what the driver owes for it; each carries the id of what
//! it concerns. The driver decides nothing: it does this, and hands in what came of it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::directory::Directory;
use super::ids::{BufferId, FetchId, JobId, ListingId};
use super::input::FileSignature;
use crate::content::state_chain::Link;
use crate::content::{ContentId, ShareName};
use crate::wire::ListingDigest;
use crate::wire::listing::{ListingEntries, ListingRoom};

/// Something for the driver to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Send one datagram. Where the socket is full it is queued (256 at most) or dropped and counted;
    /// no answer.
    Transmit {
        /// To whom: a host, a broadcast address or a group.
        to: SocketAddr,
        /// For an IPv4 group: the interface, by its address, that it leaves by.
        via: Option<Ipv4Addr>,
        /// The UDP payload.
        #[serde(with = "crate::content::hex")]
        bytes: Vec<u8>,
    },
    /// Read a range of an object and send it at once as data packets under a nonce, each with
    /// `payload_length` bytes but the last. Answer: `Served`.
    Serve {
        /// The job.
        job: JobId,
        /// To whom.
        to: SocketAddr,
        /// The grant's nonce, for every packet.
        #[serde(with = "crate::content::hex::number")]
        nonce: u64,
        /// What to read.
        source: ServeSource,
        /// Where in the object to begin.
        offset: u64,
        /// How many bytes; 65,536 at most.
        length: u32,
        /// Bytes of the object in each packet.
        payload_length: u16,
    },
    /// Hash a file of `share/` in slices, or take it from the hash cache, and keep its chain.
    /// Answer: `Hashed`. At most four are asked for at a time, and the last one goes first.
    Hash {
        /// Which.
        name: ShareName,
        /// The state of it that is meant.
        signature: FileSignature,
    },
    /// This file belongs to the next listing that is made of what we offer, and to all further ones. No
    /// answer.
    AddToListing {
        /// Where it stands.
        name: ShareName,
        /// Its content.
        content: ContentId,
        /// Its size in bytes.
        size: u64,
    },
    /// This file belongs to no further listing of what we offer. No answer.
    TakeOffListing {
        /// Where it stood.
        name: ShareName,
    },
    /// Make the listing of all files that were added by now and not taken off, and keep its bytes for
    /// serving, with those of the one before, and what has changed since each of the last
    /// [`LISTINGS_REMEMBERED`](super::LISTINGS_REMEMBERED), as long as that is not more than
    /// [`CHANGES_KEPT`](super::CHANGES_KEPT). Answer: `ListingMade`. One is asked for at a time.
    MakeListing {
        /// By which the answer speaks of it.
        listing: ListingId,
    },
    /// Put the payload of the datagram in hand into a host's listing, or changes of it, on the way here. No
    /// answer.
    KeepListing {
        /// The listing; a new one where it was not spoken of before.
        listing: ListingId,
        /// Where in it.
        offset: u64,
    },
    /// All of a host's listing has come: whether it is what its digest says, and which files it names.
    /// Answer: `ListingRead`, after which there is nothing left of its bytes. Eight listings are on
    /// their way or being read at a time.
    ReadListing {
        /// The listing.
        listing: ListingId,
        /// The digest that it is to have.
        digest: ListingDigest,
        /// How much of it is wanted: its first files.
        room: ListingRoom,
    },
    /// All changes of a host's listing have come: take them into the one that was read before, and see
    /// whether what comes out is what its digest says. Answer: `ListingRead`, as if it had come whole.
    ReadChanges {
        /// The listing that comes out.
        listing: ListingId,
        /// The digest that it is to have.
        digest: ListingDigest,
        /// What changes. Written down it is left out: it came with an earlier `ListingRead`.
        #[serde(skip)]
        old: ListingEntries,
    },
    /// A listing that is on its way, or being read, is not wanted any more. No answer.
    DropListing {
        /// The listing.
        listing: ListingId,
    },
    /// Check a block of an unfinished download beside us. Answer: `PartialChecked`.
    CheckPartial {
        /// Which download.
        content: ContentId,
        /// Which block.
        block: u64,
        /// What the bytes are and must lead to.
        link: Link,
    },
    /// Make, or open, and lock the attrs of a fetch; list its chunk files, removing what is none
    /// (wrong names, overlaps, beyond the size). Answer: `StoreOpened`.
    OpenStore {
        /// The fetch.
        fetch: FetchId,
        /// What it fetches.
        content: ContentId,
        /// The size in bytes.
        size: u64,
        /// The name for the attrs and for publishing.
        name: ShareName,
    },
    /// Look in `share/` for this content: under the wanted name first, then under any (files of this
    /// size, hashed in slices or known from the cache). Asked for again, it goes on from where it
    /// stopped. Answer: `ShareSearched`.
    SearchShare {
        /// The fetch.
        fetch: FetchId,
        /// What looking under other names may cost now, in bytes hashed (what else counts as how many
        /// is the driver's to say); without limit, where there is none.
        effort: Option<u64>,
    },
    /// Check a block that an earlier run left on disk. Answer: `StoredChecked`.
    CheckStored {
        /// The fetch.
        fetch: FetchId,
        /// Which block; it lies within one extent.
        block: u64,
        /// What the bytes are and must lead to.
        link: Link,
    },
    /// Cut an extent's chunk file to a length, or remove it where that is zero. No answer.
    TruncateExtent {
        /// The fetch.
        fetch: FetchId,
        /// The extent, by its start.
        extent: u64,
        /// Bytes that stay.
        length: u64,
    },
    /// Have a buffer of this length ready. No answer.
    Reserve {
        /// The buffer.
        buffer: BufferId,
        /// Bytes; a block at most.
        length: u32,
    },
    /// Put the payload of the datagram in hand (all that follows its header) into a buffer. No answer.
    Keep {
        /// The buffer.
        buffer: BufferId,
        /// Where in it.
        offset: u32,
    },
    /// Compute whether a buffer's bytes lead from one state to another. Answer: `Verified`, not
    /// necessarily in the order of asking: several are computed side by side.
    Verify {
        /// The fetch.
        fetch: FetchId,
        /// The buffer.
        buffer: BufferId,
        /// What the bytes are and must lead to.
        link: Link,
    },
    /// Append a buffer to an extent's chunk file, making the file where `position` is its start.
    /// Answer: `Stored`.
    Store {
        /// The fetch.
        fetch: FetchId,
        /// The buffer.
        buffer: BufferId,
        /// The extent, by its start.
        extent: u64,
        /// Where in the content the buffer's bytes begin: the extent's end.
        position: u64,
    },
    /// The buffer is not needed any more. No answer.
    Release {
        /// The buffer.
        buffer: BufferId,
    },
    /// Keep the states that this fetch goes by, for a later run and for the peer beside us.
    /// No answer; if it fails, nothing but time is lost.
    SaveChain {
        /// The fetch.
        fetch: FetchId,
        /// 20 bytes a state.
        #[serde(with = "crate::content::hex")]
        states: Arc<[u8]>,
    },
    /// Take one step of giving a finished file its name in `share/`, in slices. One step is asked
    /// for at a time. Answer: `PublishStepped`.
    Publish {
        /// The fetch.
        fetch: FetchId,
        /// Which step.
        step: PublishStep,
    },
    /// The fetch has ended; its store is to be closed, and on disk everything stays as it is, but for
    /// `WrongSize`, where attrs and chunks go, and `GivenUp`, where the attrs go if it has made them and nothing else is there:
    /// nobody else wants it. No answer.
    FetchEnded {
        /// The fetch.
        fetch: FetchId,
        /// How.
        ending: FetchEnding,
    },
    /// What is known of files on the network, for `d.json`, and for people, who are told what came and
    /// went; at every sweep, changed or not. No answer.
    Directory {
        /// The hosts with their listings. Cheap to compare: equal where nothing has changed.
        hosts: Directory,
    },
    /// The answer to the command `Look`: whoever answers has answered, and what they list has come as far
    /// as it comes; [`Node::hosts_seen`](super::Node::hosts_seen) has it.
    LookEnded,
    /// The answer to the command `Locate`: whoever answers has answered;
    /// [`Node::holders_seen`](super::Node::holders_seen) has it.
    Located {
        /// The content.
        content: ContentId,
    },
    /// This has come by keeping in step: it is remembered, so that it does not come again once somebody has deleted it.
    Synced {
        /// The content.
        content: ContentId,
        /// Its name.
        name: ShareName,
    },
    /// The answer to the command `Stop`: nothing more will come.
    Stopped,
}

/// What a job reads from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServeSource {
    /// A file of `share/`, if it is still in this state.
    File {
        /// Where it stands.
        name: ShareName,
        /// The state that is offered.
        signature: FileSignature,
    },
    /// An unfinished download beside us; the range lies within one extent.
    Partial {
        /// Which.
        content: ContentId,
    },
    /// The chain of a file that was hashed, or of an unfinished download: 20 bytes a state.
    Chain {
        /// Whose.
        content: ContentId,
    },
    /// A listing of what we offer, if it is one of the two that were made last.
    Listing {
        /// Which.
        digest: ListingDigest,
    },
    /// What has changed between two listings of what we offer, if it is kept; zeros fill the last
    /// [`CHANGES_STEP`](crate::wire::CHANGES_STEP) bytes.
    Changes {
        /// The earlier one.
        from: ListingId,
        /// The later one.
        to: ListingId,
    },
    /// Bytes that the core holds itself.
    Bytes(#[serde(with = "crate::content::hex")] Arc<[u8]>),
}

/// A step of publishing. A name in `share/` is looked for anew at each step: the folder may be
/// another by now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublishStep {
    /// Make the folders of this name that are missing, and look what stands there; a file of the
    /// right size is hashed. Answer: `Looked`.
    LookAtName {
        /// The name.
        name: ShareName,
    },
    /// Make one whole file of the content, in hand of the driver and without a name in `share/`. What
    /// was in hand before is let go. Answer: `Gathered`.
    GatherWhole {
        /// What of.
        from: GatherFrom,
        /// A copy is made in the folder that this name is in, so that it can get the name.
        name: ShareName,
    },
    /// Sync what is in hand. Answer: `Synced`.
    SyncWhole,
    /// Give what is in hand this name, making the folders that are missing. What stands there is
    /// never replaced. Answer: `Named`.
    GiveName {
        /// The name.
        name: ShareName,
    },
    /// Sync the file that has this name, and then the folders on the way to it, up to `share/`.
    /// Answer: `Kept`.
    SyncShared {
        /// The name.
        name: ShareName,
        /// Whether the file is: not where it was moved there right after it was synced. It must be
        /// there all the same.
        file_too: bool,
    },
    /// Remove what is in `chunks/` of this content: chunk files and chain, and the attrs last. What
    /// cannot be removed is told and left. Answer: `Cleared`.
    ClearStore,
}

/// What a whole file is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GatherFrom {
    /// The chunk files: see that they are as they were stored, and append the later ones to the
    /// first. Where that needs room, the first is synced on the way, and what it holds removed.
    Chunks,
    /// A copy of what is in hand.
    Gathered,
    /// A copy of this file of `share/`, proven on the way.
    Shared(ShareName),
    /// The empty content.
    Nothing,
}

/// How a fetch ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FetchEnding {
    /// The file is in `share/`, under this name.
    Done(ShareName),
    /// The content has another size than the caller said; it is proven.
    WrongSize {
        /// The true one, in bytes.
        size: u64,
    },
    /// It was made so that another content has the same name: nobody can tell which of the two came.
    Colliding,
    /// The time that the caller gave is over.
    TimedOut,
    /// The node had started it by itself, and does not wait for it any longer.
    GivenUp,
    /// It cannot be done; one sentence that says why and what to do.
    Failed(String),
}
