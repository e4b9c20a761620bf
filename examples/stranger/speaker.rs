//! A socket that speaks from any address, hears what is sent to any of them, and keeps a pace; and chance.

use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};

/// Datagrams that are received in one call.
const BATCH: usize = 32;
const BUFFER: usize = 65_536;

/// The socket.
pub(crate) struct Speaker {
    socket: UdpSocket,
    state: UdpSocketState,
    buffers: Vec<u8>,
}

impl Speaker {
    pub(crate) fn new(ip: Ipv4Addr, port: u16) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_ip_transparent_v4(true)?;
        socket.set_broadcast(true)?;
        socket.set_nonblocking(true)?;
        // What the kernel grants is enough; more is better.
        drop(socket.set_recv_buffer_size(8 << 20));
        drop(socket.set_send_buffer_size(8 << 20));
        socket.bind(&SocketAddrV4::new(ip, port).into())?;
        let socket: UdpSocket = socket.into();
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        Ok(Self { socket, state, buffers: vec![0; BATCH * BUFFER] })
    }

    /// Sends from one of its addresses, or of anybody's; waits where the way is full. Whether the kernel took it.
    pub(crate) fn send(&self, from: Option<Ipv4Addr>, to: SocketAddr, bytes: &[u8]) -> bool {
        let transmit = Transmit {
            destination: to,
            ecn: None,
            contents: bytes,
            segment_size: None,
            src_ip: from.map(IpAddr::V4),
        };
        loop {
            match self.state.try_send(UdpSockRef::from(&self.socket), &transmit) {
                Ok(()) => return true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(_) => return false,
            }
        }
    }

    /// Takes all that has come: from whom, to which address, what.
    pub(crate) fn hear(&mut self, mut each: impl FnMut(SocketAddr, Ipv4Addr, &[u8])) {
        loop {
            let mut metas = [RecvMeta::default(); BATCH];
            let mut parts = self.buffers.chunks_exact_mut(BUFFER);
            let mut slices: [IoSliceMut<'_>; BATCH] =
                std::array::from_fn(|_| IoSliceMut::new(parts.next().unwrap_or_default()));
            let came = self.state.recv(UdpSockRef::from(&self.socket), &mut slices, &mut metas);
            let Ok(count) = came else { return };
            for (at, meta) in metas[..count].iter().enumerate() {
                let bytes = &self.buffers[at * BUFFER..at * BUFFER + meta.len];
                let to = match meta.dst_ip {
                    Some(IpAddr::V4(ip)) => ip,
                    _ => Ipv4Addr::UNSPECIFIED,
                };
                bytes.chunks(meta.stride.max(1)).for_each(|one| each(meta.addr, to, one));
            }
        }
    }
}

/// So many a second.
pub(crate) struct Pace {
    begun: Instant,
    rate: u64,
    gone: u64,
}

impl Pace {
    pub(crate) fn new(rate: u64) -> Self {
        Self { begun: Instant::now(), rate, gone: 0 }
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    pub(crate) const fn gone(&self) -> u64 {
        self.gone
    }

    /// How many may go now; sleeps for a moment where that is none.
    pub(crate) fn may(&mut self) -> u64 {
        let due = (self.seconds() * self.rate as f64) as u64;
        let now = due.saturating_sub(self.gone).min(256);
        if now == 0 {
            std::thread::sleep(Duration::from_micros(300));
        }
        self.gone += now;
        now
    }
}

/// A network of addresses.
#[derive(Clone, Copy)]
pub(crate) struct Addresses {
    first: u32,
    count: u32,
}

impl Addresses {
    /// `10.77.128.0/17`
    pub(crate) fn parse(text: &str) -> Result<Self, Box<dyn std::error::Error>> {
        let (first, bits) = text.split_once('/').unwrap_or((text, "32"));
        let count = 1 << (32 - bits.parse::<u32>()?.clamp(8, 32));
        Ok(Self { first: first.parse::<Ipv4Addr>()?.to_bits(), count })
    }

    pub(crate) const fn at(self, number: u64) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.first + (number % self.count as u64) as u32)
    }
}

/// Chance, from a seed.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) const fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let number = self.next().to_le_bytes();
            chunk.copy_from_slice(&number[..chunk.len()]);
        }
    }
}
