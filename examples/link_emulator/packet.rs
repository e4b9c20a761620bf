//! Changing words of a UDP packet within an Ethernet frame, so that its check sums hold all the same: who receives it
//! has no other way to notice than by what it says.

/// Length of an Ethernet header.
const ETHERNET: usize = 14;

/// Where the parts of a UDP packet begin in its frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Packet {
    /// The IPv4 header; IPv6 has no check sum of its own.
    pub(crate) ipv4: Option<usize>,
    pub(crate) udp: usize,
}

impl Packet {
    /// The UDP packet in a frame, if there is a whole one, and not a fragment.
    pub(crate) fn find(frame: &[u8]) -> Option<Self> {
        let found = match word(frame, 12)? {
            0x0800 => {
                let length = usize::from(frame.get(ETHERNET)? & 15) * 4;
                let fragment = word(frame, ETHERNET + 6)? & 0x3fff;
                let udp = *frame.get(ETHERNET + 9)? == 17 && fragment == 0;
                udp.then_some(Self { ipv4: Some(ETHERNET), udp: ETHERNET + length })
            }
            0x86dd => {
                let udp = *frame.get(ETHERNET + 6)? == 17;
                udp.then_some(Self { ipv4: None, udp: ETHERNET + 40 })
            }
            _ => None,
        };
        found.filter(|packet| frame.len() >= packet.udp + 8)
    }

    /// Puts another word somewhere into the UDP header or what it carries.
    pub(crate) fn replace(self, frame: &mut [u8], at: usize, new: u16) {
        let Some(old) = word(frame, at) else { return };
        put(frame, at, new);
        self.mend_udp(frame, old, new);
    }

    /// Puts another word into an IPv4 address, which both check sums cover.
    pub(crate) fn replace_address(self, frame: &mut [u8], at: usize, new: u16) {
        let (Some(header), Some(old)) = (self.ipv4, word(frame, at)) else { return };
        put(frame, at, new);
        let sum = word(frame, header + 10).unwrap_or(0);
        put(frame, header + 10, mended(sum, old, new));
        self.mend_udp(frame, old, new);
    }

    fn mend_udp(self, frame: &mut [u8], old: u16, new: u16) {
        // Zero: there is none.
        if let Some(sum) = word(frame, self.udp + 6).filter(|&sum| sum != 0) {
            let sum = mended(sum, old, new);
            put(frame, self.udp + 6, if sum == 0 { 0xffff } else { sum });
        }
    }
}

/// The check sum after one word has become another one (RFC 1624).
fn mended(sum: u16, old: u16, new: u16) -> u16 {
    let mut total = u32::from(!sum) + u32::from(!old) + u32::from(new);
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    !u16::try_from(total).expect("carries are folded")
}

/// Two bytes of a frame, the higher first.
pub(crate) fn word(frame: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?))
}

fn put(frame: &mut [u8], at: usize, word: u16) {
    frame[at..at + 2].copy_from_slice(&word.to_be_bytes());
}
