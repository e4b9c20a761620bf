//! What one seed means: a network, what is fetched in it, and all that goes wrong, written down before it
//! happens. `Display` tells it in words.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use sprat::node::input::{DiskFaultKind, Extent};
use sprat::wire::DEFAULT_PORT;

use crate::model::host::Death;
use crate::model::liar::Manner;
use crate::model::link::Link;
use crate::model::stranger::Mischief;

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Bytes of the content.
    pub(crate) size: usize,
    pub(crate) link: Link,
    /// Ways that are unlike the others: from one machine to another, by their numbers.
    pub(crate) links: Vec<(u8, u8, Link)>,
    pub(crate) sources: Vec<Source>,
    pub(crate) fetches: Vec<Fetching>,
    /// What happens when, in order of time.
    pub(crate) events: Vec<(Duration, Event)>,
    /// When all faults are over. The keeper is honest, has the content, and stays.
    pub(crate) calm_at: Duration,
    pub(crate) keeper: usize,
    /// The longest that it takes until a peer notices a change on its disk.
    pub(crate) notice: Duration,
}

/// A peer.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Its machine, and the last part of its address.
    pub(crate) number: u8,
    pub(crate) port: u16,
    /// It has an IPv6 address of the link as well.
    pub(crate) v6: bool,
    pub(crate) kind: Kind,
    pub(crate) slowness: Duration,
    /// One in so many servings finds the socket full.
    pub(crate) hiccups: u64,
    pub(crate) starts_at: Duration,
}

/// What a peer has to offer.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Honest,
    /// An unfinished download.
    Part(Vec<Extent>),
    /// Bytes that are false from this block to that one, and a chain that agrees with them.
    Forger(u64, u64),
    /// The content, and one way of lying about it.
    Liar(Manner),
    /// Honest, with a disk that lost a bit after it was hashed.
    Rotten,
    /// Honest, and something else.
    Other,
}

/// A process that fetches.
#[derive(Clone, Debug)]
pub(crate) struct Fetching {
    pub(crate) number: u8,
    pub(crate) port: u16,
    pub(crate) v6: bool,
    /// The sources that the caller names, by their place in the plan, and whether by IPv6.
    pub(crate) named: Vec<(usize, bool)>,
    pub(crate) starts_at: Duration,
    pub(crate) name: &'static str,
    /// The size as the caller says it.
    pub(crate) said: u64,
    pub(crate) slowness: Duration,
    pub(crate) already: Already,
    /// The same for all fetches of a machine.
    pub(crate) disk: FileSystems,
}

/// What `share/` and `chunks/` stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileSystems {
    One,
    /// `share/` is on another one than `chunks/`.
    Two,
    /// One that has no files without a name.
    WithoutNameless,
}

/// What stands in `share/` when a fetch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Already {
    Nothing,
    /// The content, under another name.
    Elsewhere,
    /// Something else, under the wanted name.
    Other,
}

/// A fetch, or a peer, by its place in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Source(usize),
    Fetch(usize),
}

/// Something that happens.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// Dies at once, and is started again so much later.
    Dies(Who, Death, Duration),
    /// Dies before the output after so many more.
    DiesAtOutput(Who, u64, Death, Duration),
    /// The fetch dies before the file operation after so many more.
    DiesAtOperation(usize, u64, Death, Duration),
    /// Is asked to stop, and is started again so much later.
    Leaves(usize, Duration),
    /// SIGSTOP, and SIGCONT so much later.
    Stops(Who, Duration),
    ClockJumps(Who, Duration),
    ClockStands(Who, Duration),
    /// Nothing gets from this machine to that one any more.
    Cut(u8, u8),
    /// One way is open again, or all are.
    Open(Option<(u8, u8)>),
    /// All ways are like this now, but those that are unlike the others.
    Weather(Link),
    /// So many bytes fit on the disk of this fetch; or as many as one likes.
    Room(usize, Option<u64>),
    /// The operation after so many more fails.
    Fault(usize, u64, DiskFaultKind),
    /// A chunk file is overwritten in one place, or removed.
    Damages(usize, u64),
    Removes(usize, u64),
    /// A source's file becomes another, goes, comes back, is joined by another one.
    Changes(usize),
    Goes(usize),
    ComesBack(usize),
    Adds(usize, u8),
    /// Strangers do so many times: against whom, in whose name.
    Strangers(Mischief, u64, Who, Who),
    /// A person puts other content under the name that a fetch wants; where the fetch runs, in the moment in
    /// which it would get it.
    TakesName(usize),
}

impl Plan {
    /// Where a process is.
    pub(crate) fn address(&self, who: Who) -> SocketAddr {
        let (number, port) = match who {
            Who::Source(index) => (self.sources[index].number, self.sources[index].port),
            Who::Fetch(index) => (self.fetches[index].number, self.fetches[index].port),
        };
        SocketAddr::from(([10, 0, 0, number], port))
    }

    /// Whether somebody may do wrong in this source's name, or it may itself without knowing.
    pub(crate) fn is_above_suspicion(&self, index: usize) -> bool {
        let own = &self.sources[index];
        let beside = self.fetches.iter().any(|fetch| fetch.number == own.number);
        matches!(own.kind, Kind::Honest) && !beside
    }

    /// Whether damaged datagrams may pass for good ones.
    pub(crate) fn is_corrupting(&self) -> bool {
        let weather = self.events.iter().filter_map(|(_, event)| match event {
            Event::Weather(link) => Some(link),
            _ => None,
        });
        let ways = self.links.iter().map(|(.., link)| link);
        std::iter::once(&self.link).chain(ways).chain(weather).any(|link| link.corrupted > 0)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: a content of {} bytes", self.seed, self.size)?;
        writeln!(f, "ways: {}", Way(&self.link))?;
        for (from, to, link) in &self.links {
            writeln!(f, "  from {from} to {to}: {}", Way(link))?;
        }
        for (index, source) in self.sources.iter().enumerate() {
            writeln!(f, "{source}{}", if index == self.keeper { ", and stays" } else { "" })?;
        }
        for fetch in &self.fetches {
            writeln!(f, "{fetch}")?;
        }
        for (at, event) in &self.events {
            writeln!(f, "{at:>10.3?}  {}", Words(self, event))?;
        }
        writeln!(f, "{:>10.3?}  all faults are over", self.calm_at)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peer {}", self.number)?;
        if self.port != DEFAULT_PORT {
            write!(f, ":{}", self.port)?;
        }
        match &self.kind {
            Kind::Honest => f.write_str(" has the content")?,
            Kind::Part(extents) => {
                f.write_str(" has parts of it:")?;
                extents.iter().try_for_each(|e| write!(f, " {}+{}", e.start, e.length))?;
            }
            Kind::Forger(from, to) => write!(f, " forges blocks {from} to {to}")?,
            Kind::Liar(manner) => write!(f, " has it, and lies: {manner:?}")?,
            Kind::Rotten => f.write_str(" has it on a rotten disk")?,
            Kind::Other => f.write_str(" has other things")?,
        }
        write!(f, ", from {:.3?} on", self.starts_at)?;
        if self.v6 {
            f.write_str(", by IPv6 too")?;
        }
        if self.hiccups > 0 {
            write!(f, ", its socket full one time in {}", self.hiccups)?;
        }
        write!(f, ", takes up to {:.3?}", self.slowness)
    }
}

impl fmt::Display for Fetching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, port, name, said, named, .. } = self;
        write!(f, "fetch {number}:{port} of {name}, {said} bytes, from sources {named:?}")?;
        write!(f, ", at {:.3?}, takes up to {:.3?}", self.starts_at, self.slowness)?;
        if self.disk != FileSystems::One {
            write!(f, ", file systems: {:?}", self.disk)?;
        }
        match self.already {
            Already::Nothing => Ok(()),
            Already::Elsewhere => f.write_str(", has it under another name"),
            Already::Other => f.write_str(", has another file of this name"),
        }
    }
}

struct Way<'a>(&'a Link);

impl fmt::Display for Way<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Link { lost, bursts, repeated, corrupted, delay, jitter, rate, queue, longest } =
            self.0;
        write!(f, "{delay:?} + {jitter:?}, {rate} B/s, queue {queue} B")?;
        write!(f, ", lost {lost} ‰, repeated {repeated} ‰, corrupted {corrupted} ‰")?;
        if let Some(bursts) = bursts {
            write!(f, ", bursts {} / {} / {} ‰", bursts.begin, bursts.end, bursts.lost)?;
        }
        if *longest > 0 { write!(f, ", {longest} B at most") } else { Ok(()) }
    }
}

struct Words<'a>(&'a Plan, &'a Event);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |who: &Who| self.0.address(*who);
        let fetch = |index: &usize| self.0.address(Who::Fetch(*index));
        let source = |index: &usize| self.0.address(Who::Source(*index));
        match self.1 {
            Event::Dies(who, death, back) => {
                write!(f, "{} dies ({death:?}), back after {back:.3?}", at(who))
            }
            Event::DiesAtOutput(who, after, death, back) => {
                write!(f, "{} dies ({death:?}) {after} outputs on, back after {back:.3?}", at(who))
            }
            Event::DiesAtOperation(index, after, death, back) => {
                let who = fetch(index);
                write!(
                    f,
                    "{who} dies ({death:?}) {after} file operations on, back after {back:.3?}"
                )
            }
            Event::Leaves(index, back) => write!(f, "{} leaves for {back:.3?}", source(index)),
            Event::Stops(who, lasting) => write!(f, "{} is stopped for {lasting:.3?}", at(who)),
            Event::ClockJumps(who, by) => write!(f, "the clock of {} jumps by {by:.3?}", at(who)),
            Event::ClockStands(who, lasting) => {
                write!(f, "the clock of {} stands still for {lasting:.3?}", at(who))
            }
            Event::Cut(from, to) => write!(f, "nothing gets from {from} to {to} any more"),
            Event::Open(None) => f.write_str("all ways are open again"),
            Event::Open(Some((from, to))) => write!(f, "the way from {from} to {to} is open again"),
            Event::Weather(link) => write!(f, "ways: {}", Way(link)),
            Event::Room(index, Some(room)) => write!(f, "{room} bytes fit for {}", fetch(index)),
            Event::Room(index, None) => write!(f, "there is room for {}", fetch(index)),
            Event::Fault(index, after, kind) => {
                write!(f, "the disk of {} fails {after} operations on: {kind:?}", fetch(index))
            }
            Event::Damages(index, which) => {
                write!(f, "chunk {which} of {} is damaged", fetch(index))
            }
            Event::Removes(index, which) => {
                write!(f, "chunk {which} of {} is removed", fetch(index))
            }
            Event::Changes(index) => write!(f, "the file of {} becomes another", source(index)),
            Event::Goes(index) => write!(f, "the file of {} is removed", source(index)),
            Event::ComesBack(index) => write!(f, "the file of {} is back", source(index)),
            Event::Adds(index, what) => write!(f, "{} has a new file, {what}", source(index)),
            Event::Strangers(mischief, times, to, from) => {
                write!(f, "strangers, {times} times: {mischief:?} to {}, as {}", at(to), at(from))
            }
            Event::TakesName(index) => write!(f, "a person takes the name of {}", fetch(index)),
        }
    }
}
