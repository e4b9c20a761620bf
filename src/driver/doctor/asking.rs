//! Asks everybody who is there, over every way there is, and notes what comes back from whom and by which
//! way.
//!
//! It speaks through the one socket's own wrapper and not through a node: a node would announce itself,
//! and everybody would take this short run for a host. All that is sent is the question ASK about a
//! listing, in nobody's name, which leaves no trace anywhere; each way has a nonce of its own, so that an
//! answer says by which way the question came. Our own question, when a broadcast comes back to us, says
//! the same. Where a peer runs here and has the port, it hears the question instead, and its answer says so.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use mio::{Events, Poll, Token};

use crate::driver::clock::Slice;
use crate::driver::receive_batch::ReceiveBatch;
use crate::driver::udp_socket::UdpSocket;
use crate::node::input::InterfaceAddress;
use crate::wire::{
    About, Answer, Ask, Cookie, DEFAULT_PORT, GROUP_V4, GROUP_V6, InstanceId, ListingDigest,
    Message, decode,
};

/// When it is asked, for questions get lost: after the beginning.
const ROUNDS: [Duration; 3] =
    [Duration::ZERO, Duration::from_millis(300), Duration::from_millis(1_000)];
/// Answers come within a round trip: this long after the last question all are here.
const ANSWERS_WITHIN: Duration = Duration::from_millis(2_000);
/// Every host announces itself within five seconds, by one kind of way or the other,
const ANNOUNCEMENTS_WITHIN: Duration = Duration::from_millis(6_000);
/// and within ten by every kind.
const ALL_ANNOUNCEMENTS_WITHIN: Duration = Duration::from_millis(11_000);
/// Hosts that are noted, and addresses that are asked alone.
const HOSTS_MAX: usize = 1_024;

/// What reaches many hosts at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// IPv4 broadcast.
    Broadcast,
    /// The IPv4 group.
    GroupV4,
    /// The IPv6 group.
    GroupV6,
}

/// One way to many hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// What it is.
    pub kind: Kind,
    /// Our address there.
    pub own: IpAddr,
    /// The interface's number.
    pub index: u32,
    /// Where questions go.
    pub to: SocketAddr,
    /// What the kernel says to sending there, where it refuses.
    pub refused: Option<(io::ErrorKind, String)>,
    /// A question that went there came back to this machine.
    pub returned: bool,
    /// Somebody else answered a question that went there.
    pub answered: bool,
}

/// What was heard of one address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Which host it is, as it says.
    pub instance: Option<InstanceId>,
    /// It announced itself, and we heard it.
    pub announced: bool,
    /// It answered a question that went to many.
    pub answered_to_many: bool,
    /// It answered a question that went to it alone.
    pub answered_alone: bool,
    /// How many files it offers.
    pub files: u32,
    /// It was named, with `--peer` or in `d.json`.
    pub named: bool,
}

/// All that came of asking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// The ways that there are.
    pub ways: Vec<Way>,
    /// Whoever was heard of, or named.
    pub hosts: BTreeMap<SocketAddr, Evidence>,
    /// The peer that runs on this machine and port, as it says.
    pub own_peer: Option<InstanceId>,
    /// We had the port where announcements arrive.
    pub had_port: bool,
    /// How long we listened, in seconds.
    pub seconds: u64,
}

/// Whom to ask alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Hosts that are said to be there.
    pub hosts: Vec<SocketAddr>,
    /// Machines of which the kernel knows: they may be hosts.
    pub neighbours: Vec<SocketAddr>,
}

/// Asks, listens, and says what came of it; it takes up to [`ALL_ANNOUNCEMENTS_WITHIN`].
///
/// # Errors
/// The kernel has no room for waiting.
pub fn ask_around(
    socket: UdpSocket,
    own: &[InterfaceAddress],
    named: &Named,
    nonce: u64,
) -> io::Result<Heard> {
    let port = socket.local_address().port();
    let hosts = named.hosts.iter().take(HOSTS_MAX);
    let evidence = Evidence { named: true, ..Evidence::default() };
    let mut asking = Asking {
        socket,
        own: own.iter().map(|own| own.address).collect(),
        port,
        nonce,
        alone: named.neighbours.iter().take(HOSTS_MAX).copied().collect(),
        heard: Heard {
            ways: ways(own),
            hosts: hosts.map(|host| (*host, evidence)).collect(),
            own_peer: None,
            had_port: port == DEFAULT_PORT,
            seconds: 0,
        },
    };
    asking.run()?;
    Ok(asking.heard)
}

/// The ways of announcements.
fn ways(own: &[InterfaceAddress]) -> Vec<Way> {
    let mut ways = Vec::new();
    for address in own.iter().filter(|own| !own.loopback) {
        let mut way = |kind, to| {
            let (own, index) = (address.address, address.index);
            let (refused, returned, answered) = (None, false, false);
            ways.push(Way { kind, own, index, to, refused, returned, answered });
        };
        if let Some(broadcast) = address.broadcast {
            way(Kind::Broadcast, SocketAddr::new(broadcast, DEFAULT_PORT));
        }
        match address.address {
            IpAddr::V4(_) => way(Kind::GroupV4, SocketAddr::new(GROUP_V4.into(), DEFAULT_PORT)),
            IpAddr::V6(ip) if ip.is_unicast_link_local() => {
                let group = SocketAddrV6::new(GROUP_V6, DEFAULT_PORT, 0, address.index);
                way(Kind::GroupV6, group.into());
            }
            IpAddr::V6(_) => {}
        }
    }
    ways
}

struct Asking {
    socket: UdpSocket,
    own: BTreeSet<IpAddr>,
    port: u16,
    /// That of questions to one host; those of the ways follow.
    nonce: u64,
    /// Whom to ask alone beside those in `heard`.
    alone: BTreeSet<SocketAddr>,
    heard: Heard,
}

impl Asking {
    fn run(&mut self) -> io::Result<()> {
        let mut poll = Poll::new()?;
        let mut events = Events::with_capacity(4);
        self.socket.register(poll.registry(), Token(0))?;
        let mut batch = ReceiveBatch::new();
        let time = Slice::of(ALL_ANNOUNCEMENTS_WITHIN);
        let mut rounds = ROUNDS.into_iter().peekable();
        while !self.is_enough(time.elapsed()) {
            if rounds.next_if(|at| *at <= time.elapsed()).is_some() {
                self.ask();
            }
            let until = rounds.peek().copied().unwrap_or(ALL_ANNOUNCEMENTS_WITHIN);
            let wait = until.saturating_sub(time.elapsed()).min(Duration::from_millis(100));
            // An interrupted wait is a short one.
            let _ = poll.poll(&mut events, Some(wait));
            loop {
                let more = self.socket.receive(&mut batch);
                while let Some((from, bytes)) = batch.take() {
                    if let Ok(message) = decode(bytes) {
                        self.note(from, &message);
                    }
                }
                if !more {
                    break;
                }
            }
        }
        self.heard.seconds = time.elapsed().as_secs();
        Ok(())
    }

    /// Whether longer listening would tell no more.
    fn is_enough(&self, elapsed: Duration) -> bool {
        if elapsed < ANSWERS_WITHIN {
            return false;
        }
        let mut hosts = self.heard.hosts.values().filter(|host| host.instance.is_some()).peekable();
        let some = hosts.peek().is_some();
        let silent = |host: &Evidence| {
            let announced = |other: &Evidence| other.announced && other.instance == host.instance;
            !self.heard.hosts.values().any(announced)
        };
        let all_announced = !hosts.any(silent);
        !self.heard.had_port
            || some && all_announced
            || elapsed >= ALL_ANNOUNCEMENTS_WITHIN
            || !some && elapsed >= ANNOUNCEMENTS_WITHIN
    }

    fn ask(&mut self) {
        for (at, way) in self.heard.ways.iter_mut().enumerate() {
            let question = question(self.nonce.wrapping_add(1 + at as u64), true);
            let via = match way.own {
                IpAddr::V4(own) if way.kind == Kind::GroupV4 => Some(own),
                _ => None,
            };
            if let Err(error) = self.socket.attempt(way.to, via, &question) {
                way.refused = Some((error.kind(), error.to_string()));
            }
        }
        let heard = self.heard.hosts.keys().copied();
        let mut alone: BTreeSet<SocketAddr> = heard.chain(self.alone.iter().copied()).collect();
        if !self.heard.had_port {
            // The peer that has the port, whatever it is bound to.
            let own = self.own.iter().filter(|own| !own.is_multicast());
            alone.extend(own.map(|own| SocketAddr::new(*own, DEFAULT_PORT)));
            alone.insert(SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)));
        }
        for host in alone {
            self.ask_alone(host);
        }
    }

    fn ask_alone(&mut self, host: SocketAddr) {
        // Nobody there is nothing to speak of: most neighbours are no hosts.
        let _ = self.socket.attempt(host, None, &question(self.nonce, false));
    }

    fn note(&mut self, from: SocketAddr, message: &Message<'_>) {
        let own = from.ip().is_loopback() || self.own.contains(&from.ip());
        match message {
            Message::Ask(ask) if own && from.port() == self.port => {
                if let Some(way) = self.way(ask.nonce) {
                    way.returned = true;
                }
            }
            Message::Tell(tell) => {
                let Answer::Listing { listing, .. } = tell.answer else { return };
                let alone = tell.nonce == self.nonce;
                let own_peer = own && from.port() == DEFAULT_PORT && !self.heard.had_port;
                if let Some(way) = self.way(tell.nonce) {
                    way.returned |= own_peer;
                    way.answered |= !own_peer;
                } else if !alone {
                    return;
                }
                if own_peer {
                    self.heard.own_peer = Some(tell.instance);
                    return;
                }
                if let Some(host) = self.host(from) {
                    host.instance = Some(tell.instance);
                    host.files = listing.files;
                    host.answered_alone |= alone;
                    host.answered_to_many |= !alone;
                }
            }
            Message::Announce(announce) => {
                let unknown = !self.heard.hosts.contains_key(&from);
                if let Some(host) = self.host(from) {
                    host.instance = Some(announce.instance);
                    host.announced = true;
                    host.files = announce.listing.files;
                }
                if unknown {
                    self.ask_alone(from);
                }
            }
            _ => {}
        }
    }

    fn way(&mut self, nonce: u64) -> Option<&mut Way> {
        let number = nonce.wrapping_sub(self.nonce).checked_sub(1)?;
        self.heard.ways.get_mut(usize::try_from(number).ok()?)
    }

    fn host(&mut self, from: SocketAddr) -> Option<&mut Evidence> {
        if self.heard.hosts.len() >= HOSTS_MAX && !self.heard.hosts.contains_key(&from) {
            return None;
        }
        Some(self.heard.hosts.entry(from).or_default())
    }
}

fn question(nonce: u64, to_many: bool) -> Vec<u8> {
    let (instance, cookie) = (InstanceId::NONE, Cookie::NONE);
    let about = About::Listing { has: ListingDigest::NONE };
    Message::Ask(Ask {
        about,
        to_many,
        tell_hosts: false,
        hosts_from: 0,
        tell_age: false,
        nonce,
        instance,
        cookie,
    })
    .encode()
}
