//! The one socket: everything that hosts say to each other goes through it.
//!
//! Two ways lead to the kernel. The fast one (quinn-udp) hands over many datagrams a call; the plain
//! one (`send_to`, `recv_from`) stays for systems without that and as a test oracle
//! (`SPRAT_PLAIN_SOCKET=1`). Nothing here knows what a datagram says, and nothing that the network
//! does is fatal: a datagram that cannot be sent is counted and forgotten, as if lost on the way.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, BorrowedFd};

use mio::{Interest, Registry, Token};
use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::local_addresses::LocalAddresses;
use super::receive_batch::ReceiveBatch;
use crate::node::input::InterfaceAddress;

/// Datagrams that wait for room in the socket; more are dropped and counted.
pub const QUEUE_LENGTH_MAX: usize = 256;
/// The longest payload of a datagram over IPv4, in bytes, and so of one call with segments.
pub const PAYLOAD_LENGTH_MAX: usize = 65_507;
/// The most datagrams in one call with segments, whatever the kernel would take.
pub const SEGMENTS_MAX: usize = 64;

/// What is asked of the kernel as receive buffer, in bytes. It grants what `net.core.rmem_max` allows.
pub const RECEIVE_BUFFER_WANTED: usize = 4 << 20;
/// What is asked of the kernel as send buffer, in bytes.
pub const SEND_BUFFER_WANTED: usize = 1 << 20;

/// Where to bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindAddress {
    /// One of the machine's addresses; all of them, of both families, where there is none.
    pub address: Option<IpAddr>,
    /// The scope of a link-local IPv6 address, else zero.
    pub scope_id: u32,
    /// The port; zero for any free one.
    pub port: u16,
}

/// How sending a run of segments went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentsSent {
    /// The kernel took all of them.
    All,
    /// It took this many and has no room for more now.
    Blocked(usize),
    /// The way there does not take datagrams of this length.
    TooLong,
    /// It refuses, for another reason.
    Failed,
}

/// What the socket did and did not do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketCounters {
    /// Datagrams received.
    pub received: u64,
    /// Calls that received at least one.
    pub receive_calls: u64,
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams that did not fit the queue.
    pub queue_overflow: u64,
    /// Datagrams that the kernel refused to send (no route, say).
    pub send_refused: u64,
    /// Errors on receiving, ICMP messages about earlier sends among them.
    pub receive_failed: u64,
}

impl fmt::Display for SocketCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "received {} in {} calls, sent {}, queue overflow {}, send refused {}, receive failed {}",
            self.received,
            self.receive_calls,
            self.sent,
            self.queue_overflow,
            self.send_refused,
            self.receive_failed
        )
    }
}

/// A datagram that waits for room.
#[derive(Debug)]
struct Queued {
    to: SocketAddr,
    via: Option<Ipv4Addr>,
    bytes: Vec<u8>,
}

/// The socket.
#[derive(Debug)]
pub struct UdpSocket {
    io: mio::net::UdpSocket,
    /// None on the plain path.
    fast: Option<UdpSocketState>,
    local: SocketAddr,
    addresses: LocalAddresses,
    multicast_via: Option<Ipv4Addr>,
    queue: VecDeque<Queued>,
    /// A run of segments found no room: whoever sent it is to be told when there is.
    segments_wait: bool,
    writable_wanted: bool,
    counters: SocketCounters,
}

impl UdpSocket {
    /// Binds. `plain` chooses the plain path. The address is never shared with another process: a
    /// taken port is an error of kind `AddrInUse`.
    pub fn bind(at: BindAddress, plain: bool) -> io::Result<Self> {
        let socket = match at.address {
            Some(ip) => bind_one(at.address_with(ip))?,
            None => bind_all(at)?,
        };
        socket.set_nonblocking(true)?;
        socket.set_broadcast(true)?;
        // What is granted instead is read back where it matters.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_WANTED);
        let _ = socket.set_send_buffer_size(SEND_BUFFER_WANTED);
        let io = mio::net::UdpSocket::from_std(socket.into());
        let fast = if plain {
            log::info!("one datagram a system call, as was asked for");
            None
        } else {
            fast_path(&io)
        };
        let local = io.local_addr()?;
        Ok(Self {
            io,
            fast,
            local,
            addresses: LocalAddresses::default(),
            multicast_via: None,
            queue: VecDeque::new(),
            segments_wait: false,
            writable_wanted: false,
            counters: SocketCounters::default(),
        })
    }

    /// The address that it is bound to.
    pub fn local_address(&self) -> SocketAddr {
        self.local
    }

    /// The socket itself, for options such as group memberships.
    pub fn options(&self) -> SockRef<'_> {
        SockRef::from(&self.io)
    }

    /// The machine's addresses, as far as they are this socket's: where it is bound to one, that one, on
    /// its own network alone.
    pub fn own_addresses(&self, machines: Vec<InterfaceAddress>) -> Vec<InterfaceAddress> {
        let bound = self.local.ip().to_canonical();
        if bound.is_unspecified() {
            return machines;
        }
        let mut own: Vec<_> = machines
            .into_iter()
            .filter(|own| own.shares_network_with(bound))
            .map(|own| InterfaceAddress { address: bound, ..own })
            .collect();
        own.dedup();
        own
    }

    /// The machine has these addresses now.
    pub fn set_own_addresses(&mut self, own: Vec<IpAddr>) {
        self.addresses.set_own(own);
    }

    /// The receive buffer that the kernel granted, in bytes as it charges them.
    pub fn receive_buffer(&self) -> u64 {
        self.options().recv_buffer_size().unwrap_or(0) as u64
    }

    /// What happened so far.
    pub fn counters(&self) -> SocketCounters {
        self.counters
    }

    /// Whether many datagrams go in one call.
    pub fn is_fast(&self) -> bool {
        self.fast.is_some()
    }

    /// Tells the poll about it. Readiness is edge-triggered: read until nothing comes.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.io, token, Interest::READABLE)
    }

    /// Has the poll watch for room exactly while something waits for it. To be called before each
    /// poll; costs a system call only when that changes.
    pub fn renew_interest(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let wanted = self.segments_wait || !self.queue.is_empty();
        if wanted == self.writable_wanted {
            return Ok(());
        }
        let interest =
            if wanted { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        registry.reregister(&mut self.io, token, interest)?;
        self.writable_wanted = wanted;
        Ok(())
    }

    /// Receives a batch. False where nothing is there any more; the poll will tell when there is. A
    /// batch with nothing in it and true means that an error was taken off the socket: go on.
    pub fn receive(&mut self, batch: &mut ReceiveBatch) -> bool {
        let result = match &self.fast {
            Some(state) => {
                batch.fill(|slices, metas| state.recv(UdpSockRef::from(&self.io), slices, metas))
            }
            None => batch.fill_plain(|bytes| self.io.recv_from(bytes)),
        };
        match result {
            Ok(()) => {
                self.counters.receive_calls += 1;
                self.counters.received += batch.datagram_count();
                if self.local.ip().is_unspecified() {
                    batch.ways().for_each(|(from, to)| self.addresses.note(from, to));
                }
                // A call that could have taken more has taken all there was, and what comes from now
                // on is told of. On the plain path the last call may have met an error instead.
                self.fast.is_none() || batch.is_full()
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => {
                self.counters.receive_failed += 1;
                log::debug!("receiving: {error}");
                // An ICMP message is taken off the socket by being told; anything else may stay.
                matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionRefused
                        | io::ErrorKind::ConnectionReset
                        | io::ErrorKind::HostUnreachable
                        | io::ErrorKind::NetworkUnreachable
                        | io::ErrorKind::Interrupted
                )
            }
        }
    }

    /// Sends one datagram, or queues it where the socket is full, or drops and counts it.
    pub fn send(&mut self, to: SocketAddr, via: Option<Ipv4Addr>, bytes: Vec<u8>) {
        let datagram = Queued { to, via, bytes };
        // What waits goes first, so that datagrams keep their order.
        if !self.queue.is_empty() || !self.send_now(&datagram) {
            if self.queue.len() < QUEUE_LENGTH_MAX {
                self.queue.push_back(datagram);
            } else {
                self.counters.queue_overflow += 1;
            }
        }
    }

    /// Sends one datagram past the queue and tells what the kernel says to it: for who wants to know why
    /// nothing arrives.
    ///
    /// # Errors
    /// The kernel's own; also that the socket has no room.
    pub fn attempt(
        &mut self,
        to: SocketAddr,
        via: Option<Ipv4Addr>,
        bytes: &[u8],
    ) -> io::Result<()> {
        if let Some(via) = via {
            self.options().set_multicast_if_v4(&via)?;
            self.multicast_via = Some(via);
        }
        self.send_raw(to, bytes, None)
    }

    /// Sends what waits. True where all of it went and somebody whose segments were blocked is to
    /// be told that there is room.
    pub fn flush(&mut self) -> bool {
        while let Some(datagram) = self.queue.pop_front() {
            if !self.send_now(&datagram) {
                self.queue.push_front(datagram);
                return false;
            }
        }
        std::mem::take(&mut self.segments_wait)
    }

    /// Whether [`send_segments`](Self::send_segments) would find no room. Then the caller is to be
    /// told when there is, as after a blocked attempt.
    pub fn is_full_for_segments(&mut self) -> bool {
        self.segments_wait |= !self.queue.is_empty();
        self.segments_wait
    }

    /// As if the last attempt had found no room.
    #[cfg(test)]
    pub(super) fn pretend_full(&mut self) {
        self.segments_wait = true;
    }

    /// Sends `bytes` as datagrams of `segment_length` bytes each but the last. At most
    /// [`PAYLOAD_LENGTH_MAX`] bytes and [`SEGMENTS_MAX`] segments.
    pub fn send_segments(
        &mut self,
        to: SocketAddr,
        bytes: &[u8],
        segment_length: usize,
    ) -> SegmentsSent {
        if segment_length == 0 || bytes.is_empty() {
            return SegmentsSent::Failed;
        }
        let count = bytes.len().div_ceil(segment_length);
        let together = match &self.fast {
            Some(state) => state.max_gso_segments() >= count && count <= SEGMENTS_MAX,
            None => false,
        };
        if together && count > 1 {
            match self.send_raw(to, bytes, Some(segment_length)) {
                Ok(()) => {
                    self.counters.sent += count as u64;
                    return SegmentsSent::All;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.segments_wait = true;
                    return SegmentsSent::Blocked(0);
                }
                // A kernel answers so where segments are longer than the way takes, and where a
                // network card takes no segments at all: sending them singly tells which.
                Err(error) => log::debug!("sending {count} segments to {to}: {error}"),
            }
        }
        self.send_singly(to, bytes, segment_length)
    }

    /// Sends segments one by one.
    fn send_singly(&mut self, to: SocketAddr, bytes: &[u8], length: usize) -> SegmentsSent {
        for (at, segment) in bytes.chunks(length).enumerate() {
            match self.send_raw(to, segment, None) {
                Ok(()) => self.counters.sent += 1,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.segments_wait = true;
                    return SegmentsSent::Blocked(at);
                }
                Err(error) if is_too_long(&error) => {
                    // The refusal above was about the length: segments still work.
                    if self.fast.is_some() {
                        self.fast = fast_path(&self.io);
                    }
                    return SegmentsSent::TooLong;
                }
                Err(error) => {
                    self.counters.send_refused += 1;
                    log::debug!("sending data to {to}: {error}");
                    return SegmentsSent::Failed;
                }
            }
        }
        SegmentsSent::All
    }

    /// Sends one datagram. False where the socket is full; a refusal is counted and done with.
    fn send_now(&mut self, datagram: &Queued) -> bool {
        if datagram.via.is_some() && datagram.via != self.multicast_via {
            let via = datagram.via.unwrap_or(Ipv4Addr::UNSPECIFIED);
            if let Err(error) = self.options().set_multicast_if_v4(&via) {
                self.counters.send_refused += 1;
                log::debug!("choosing the interface of {via}: {error}");
                return true;
            }
            self.multicast_via = datagram.via;
        }
        match self.send_raw(datagram.to, &datagram.bytes, None) {
            Ok(()) => self.counters.sent += 1,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) => {
                self.counters.send_refused += 1;
                log::debug!("sending {} bytes to {}: {error}", datagram.bytes.len(), datagram.to);
            }
        }
        true
    }

    fn send_raw(&mut self, to: SocketAddr, bytes: &[u8], segment: Option<usize>) -> io::Result<()> {
        let result = self.try_send(to, bytes, segment);
        match &result {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                // The address that we spoke from may be gone.
                if !self.addresses.forget(to) {
                    return result;
                }
                self.fast = self.fast.take().and_then(|_| fast_path(&self.io));
                self.try_send(to, bytes, segment)
            }
            _ => result,
        }
    }

    fn try_send(&self, to: SocketAddr, bytes: &[u8], segment: Option<usize>) -> io::Result<()> {
        let Some(destination) = self.reachable(to) else {
            return Err(io::ErrorKind::NetworkUnreachable.into());
        };
        let source = self.addresses.source_for(to);
        match &self.fast {
            // A single datagram goes the plain way, so that its being refused says nothing about
            // segments.
            Some(state) if segment.is_some() || source.is_some() => {
                let transmit = Transmit {
                    destination,
                    ecn: None,
                    contents: bytes,
                    segment_size: segment,
                    src_ip: source,
                };
                state.try_send(UdpSockRef::from(&self.io), &transmit)
            }
            _ => self.io.send_to(bytes, destination).map(|_| ()),
        }
    }

    /// The address as this socket's family writes it; none where it cannot.
    fn reachable(&self, to: SocketAddr) -> Option<SocketAddr> {
        match (self.local, to) {
            (SocketAddr::V6(_), SocketAddr::V4(v4)) => {
                let ip = v4.ip().to_ipv6_mapped();
                Some(SocketAddr::V6(SocketAddrV6::new(ip, v4.port(), 0, 0)))
            }
            (SocketAddr::V4(_), SocketAddr::V6(_)) => None,
            _ => Some(to),
        }
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

impl BindAddress {
    fn address_with(self, ip: IpAddr) -> SocketAddr {
        match ip {
            IpAddr::V4(ip) => SocketAddr::from((ip, self.port)),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, self.port, 0, self.scope_id).into(),
        }
    }
}

/// Both families where the machine has IPv6, else IPv4.
fn bind_all(at: BindAddress) -> io::Result<Socket> {
    match bind_one(at.address_with(Ipv6Addr::UNSPECIFIED.into())) {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            log::debug!("no IPv6 here ({error}), going on with IPv4 alone");
            bind_one(at.address_with(Ipv4Addr::UNSPECIFIED.into()))
        }
        other => other,
    }
}

fn bind_one(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // On the unspecified address, IPv4 arrives here as well.
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

fn fast_path(io: &mio::net::UdpSocket) -> Option<UdpSocketState> {
    match UdpSocketState::new(UdpSockRef::from(io)) {
        Ok(state) => Some(state),
        Err(error) => {
            log::info!("one datagram a system call, because: {error}");
            None
        }
    }
}

fn is_too_long(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error())
}

#[cfg(test)]
mod tests;
