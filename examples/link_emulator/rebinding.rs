//! A router with address translation that forgets: what is behind it appears under another port, or under another
//! address, from time to time, and what comes for the one before is dropped.

use std::collections::BTreeSet;
use std::str::FromStr;

use super::packet::{Packet, word};
use super::spec::time;

/// Ports that are never given away.
const RESERVED: u32 = 1_024;
const PORTS: u32 = 65_536 - RESERVED;
/// How far each port moves; it has no factor in common with the number of ports, so that it comes everywhere.
const STEP: u32 = 997;
/// Addresses that stand for those behind it: the last byte grows by this, and by one more each time.
const FIRST_ADDRESS: u16 = 100;
const ADDRESSES: u64 = 100;
/// Ports, or addresses, behind it that are known.
const KNOWN: usize = 256;
/// Peers have one port for ever: a host whose port is told to others is not behind such a router.
const WELL_KNOWN: u16 = 27_183;

/// What is forgotten, and how often, in nanoseconds: `port/5s`, `address/5s`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rebinding {
    address: bool,
    every: u64,
}

impl FromStr for Rebinding {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (what, every) = text.split_once('/').ok_or(format!("{text}: how often?"))?;
        let address = match what {
            "port" => false,
            "address" => true,
            _ => return Err(format!("{what}: neither port nor address")),
        };
        Ok(Self { address, every: time(every)?.max(1) })
    }
}

/// The router: what is behind it is at the link's other end (standard output).
pub(crate) struct Router {
    rebinding: Rebinding,
    known: BTreeSet<u16>,
    /// Frames for a port or an address that was forgotten.
    pub(crate) forgotten: u64,
}

impl Router {
    pub(crate) fn new(rebinding: Rebinding) -> Self {
        Self { rebinding, known: BTreeSet::new(), forgotten: 0 }
    }

    /// A frame leaves the hosts behind it.
    pub(crate) fn outwards(&mut self, now: u64, frame: &mut [u8]) {
        let Some((packet, header)) = unicast(frame) else { return };
        let Some(port) = word(frame, packet.udp).filter(|&port| port != WELL_KNOWN) else { return };
        let at = if self.rebinding.address { header + 14 } else { packet.udp };
        let inner = word(frame, at).unwrap_or(port);
        if self.known.len() < KNOWN {
            self.known.insert(inner);
        }
        self.replace(packet, frame, at, self.outer(inner, now));
    }

    /// A frame comes for the hosts behind it; false if it is for nobody any more.
    pub(crate) fn inwards(&mut self, now: u64, frame: &mut [u8]) -> bool {
        let Some((packet, header)) = unicast(frame) else { return true };
        let at = if self.rebinding.address { header + 18 } else { packet.udp + 2 };
        let Some(outer) = word(frame, at) else { return true };
        if outer == WELL_KNOWN || self.rebinding.address && outer & 0xff < FIRST_ADDRESS {
            return true;
        }
        let inner = self.known.iter().copied().find(|&inner| self.outer(inner, now) == outer);
        match inner {
            Some(inner) => self.replace(packet, frame, at, inner),
            None => self.forgotten += 1,
        }
        inner.is_some()
    }

    fn replace(&self, packet: Packet, frame: &mut [u8], at: usize, new: u16) {
        if self.rebinding.address {
            packet.replace_address(frame, at, new);
        } else {
            packet.replace(frame, at, new);
        }
    }

    /// What a port, or the last word of an address, is outside just now.
    fn outer(&self, inner: u16, now: u64) -> u16 {
        let times = now / self.rebinding.every;
        if self.rebinding.address {
            let more = u16::try_from(times % ADDRESSES).expect("below a hundred");
            return inner + FIRST_ADDRESS + more;
        }
        let times = u32::try_from(times % u64::from(PORTS)).expect("below 65,536");
        let moved = (u32::from(inner).max(RESERVED) - RESERVED + times * STEP % PORTS) % PORTS;
        u16::try_from(moved + RESERVED).expect("a port")
    }
}

/// A UDP packet to one host by IPv4, and where its IP header begins.
fn unicast(frame: &[u8]) -> Option<(Packet, usize)> {
    let packet = Packet::find(frame)?;
    let to_one = frame[0] & 1 == 0;
    packet.ipv4.filter(|_| to_one).map(|header| (packet, header))
}
