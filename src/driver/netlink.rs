//! The kernel's own word on network interfaces (rtnetlink), as bytes over a socket: what they are
//! called, whether they are up, and that something about them has changed. It asks and listens; it changes
//! nothing, and needs no rights.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};

/// Types of messages (linux/netlink.h, linux/rtnetlink.h).
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const DUMP: u16 = 0x301;
/// The attribute that holds an interface's name.
const IFLA_IFNAME: u16 = 3;
/// The lengths of `nlmsghdr`, `ifinfomsg` and `rtattr`, in bytes.
const HEADER_LENGTH: usize = 16;
const LINK_LENGTH: usize = 16;
const ATTRIBUTE_LENGTH: usize = 4;
/// The kernel answers a dump in messages of up to this many bytes.
const ANSWER_LENGTH: usize = 32 * 1024;
/// Answers to one dump that are read; a machine with thousands of interfaces needs a hundred.
const ANSWERS_MAX: usize = 1_000;

/// `RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR`.
const LINKS_AND_ADDRESSES: u32 = 0x1 | 0x10 | 0x100;
/// Messages that are taken off the socket at once; what is left is told with the next one.
const CHANGES_MAX: usize = 1_000;

/// Bits of an interface's flags (linux/if.h).
pub mod flag {
    /// Somebody has switched it on.
    pub const UP: u32 = 0x1;
    /// It can reach all on its network at once.
    pub const BROADCAST: u32 = 0x2;
    /// It leads nowhere else.
    pub const LOOPBACK: u32 = 0x8;
    /// It works: there is a cable, or a radio network.
    pub const RUNNING: u32 = 0x40;
    /// It can reach those who have joined a group.
    pub const MULTICAST: u32 = 0x1000;
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The number by which the kernel speaks of it.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Bits of [`flag`].
    pub flags: u32,
}

/// Hears when interfaces or addresses come, go or change.
#[derive(Debug)]
pub struct Changes {
    socket: OwnedFd,
}

impl Changes {
    /// Listens from now on.
    ///
    /// # Errors
    /// There is no such socket here (a sandbox, say).
    pub fn listen() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        Ok(Self { socket: route_socket(flags, LINKS_AND_ADDRESSES)? })
    }

    /// What to register for readability.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Takes off what is there, and says whether there was anything. What it says is not read: that
    /// something changed is told, and what there is now is found out by looking, so that messages that are
    /// lost in a storm of them cost nothing.
    pub fn take(&self) -> bool {
        let mut message = [0; 256];
        let mut any = false;
        for _ in 0..CHANGES_MAX {
            match recv(&self.socket, message.as_mut_slice(), RecvFlags::empty()) {
                Ok(_) | Err(Errno::NOBUFS) => any = true,
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        any
    }
}

/// All interfaces, also those that are down or have no address.
///
/// # Errors
/// There is no such socket here (a sandbox, say), or the kernel refuses.
pub fn links() -> io::Result<Vec<Link>> {
    let socket = route_socket(SocketFlags::CLOEXEC, 0)?;
    let mut request = Vec::with_capacity(HEADER_LENGTH + LINK_LENGTH);
    request.extend_from_slice(&((HEADER_LENGTH + LINK_LENGTH) as u32).to_ne_bytes());
    request.extend_from_slice(&RTM_GETLINK.to_ne_bytes());
    request.extend_from_slice(&DUMP.to_ne_bytes());
    request.resize(HEADER_LENGTH + LINK_LENGTH, 0);
    send(&socket, &request, SendFlags::empty())?;
    let mut links = Vec::new();
    let mut answer = vec![0; ANSWER_LENGTH];
    for _ in 0..ANSWERS_MAX {
        let (_, length) = recv(&socket, answer.as_mut_slice(), RecvFlags::empty())?;
        for (kind, body) in messages(&answer[..length.min(ANSWER_LENGTH)]) {
            match kind {
                NLMSG_DONE => return Ok(links),
                NLMSG_ERROR => return Err(io::Error::other("the kernel lists no interfaces")),
                RTM_NEWLINK => links.extend(link(body)),
                _ => {}
            }
        }
    }
    Ok(links)
}

/// A socket that hears of what these groups (bits of `RTMGRP_*`) are told.
fn route_socket(flags: SocketFlags, groups: u32) -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

/// The messages in what one call received: type and body.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
        let kind = u16_at(bytes, 4)?;
        let body = bytes.get(HEADER_LENGTH..length)?;
        bytes = bytes.get(padded(length)..).unwrap_or_default();
        Some((kind, body))
    })
}

/// What an `RTM_NEWLINK` says; none where it has no name.
fn link(body: &[u8]) -> Option<Link> {
    let index = u32_at(body, 4)?;
    let flags = u32_at(body, 8)?;
    let mut attributes = body.get(LINK_LENGTH..)?;
    loop {
        let length = usize::from(u16_at(attributes, 0)?);
        let value = attributes.get(ATTRIBUTE_LENGTH..length)?;
        if u16_at(attributes, 2)? == IFLA_IFNAME {
            let name = value.split(|byte| *byte == 0).next().unwrap_or_default();
            return Some(Link { index, name: String::from_utf8_lossy(name).into_owned(), flags });
        }
        attributes = attributes.get(padded(length)..)?;
    }
}

/// Messages and attributes begin at multiples of four.
const fn padded(length: usize) -> usize {
    (length + 3) & !3
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_is_listed() {
        let links = links().unwrap();
        let loopback = links.iter().find(|link| link.name == "lo").unwrap();
        assert!(loopback.index != 0 && loopback.flags & flag::LOOPBACK != 0);
    }

    #[test]
    fn a_quiet_kernel_tells_nothing_and_does_not_block() {
        let changes = Changes::listen().unwrap();
        // Somebody may change something just now: what is taken is gone.
        while changes.take() {}
        assert!(!changes.take());
    }

    #[test]
    fn damaged_messages_end_the_reading() {
        let mut message = vec![0; HEADER_LENGTH + LINK_LENGTH];
        message[4..6].copy_from_slice(&RTM_NEWLINK.to_ne_bytes());
        message[HEADER_LENGTH + 4] = 7;
        message.extend_from_slice(&[9, 0, 3, 0, b'e', b't', b'h', b'0', 0, 0, 0, 0]);
        let length = message.len() as u32;
        message[..4].copy_from_slice(&length.to_ne_bytes());
        let whole: Vec<_> = messages(&message).filter_map(|(_, body)| link(body)).collect();
        let flags = 0;
        assert_eq!(whole, [Link { index: 7, name: "eth0".to_owned(), flags }]);
        for cut in 0..message.len() {
            assert!(messages(&message[..cut]).next().is_none());
            let body = &message[HEADER_LENGTH..cut.max(HEADER_LENGTH)];
            assert!(link(body).is_none() || cut >= message.len() - 3, "{cut}");
        }
        // A length of nothing does not go round for ever.
        assert_eq!(messages(&[0; 64]).count(), 0);
    }
}
