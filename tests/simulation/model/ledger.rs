//! What must hold of what one process says and takes, looked at datagram by datagram.
//!
//! - Bytes are kept only if they were asked for: of this address, under this nonce, this packet, once.
//! - No grant goes beyond the end of the content, as the caller or the asked host has it.
//! - An address that has neither shown a cookie of ours nor answered a question that only it was asked gets at
//!   most as many bytes back as came from it.
//! - What is counted as received did come.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use sprat::content::BlockLayout;
use sprat::wire::{
    AGE_LENGTH, Answer, Cookie, Data, DataKind, Grant, Message, Object, ObjectRange, TALK_LENGTH,
    decode,
};

/// Grants that are remembered: more than a flow remembers.
const GRANTS_MAX: usize = 16_384;

#[derive(Debug)]
struct Granted {
    to: SocketAddr,
    file: bool,
    ranges: Vec<ObjectRange>,
    payload_length: u64,
    kept: BTreeSet<u64>,
}

/// What came from an address and went to it, before it was proven.
#[derive(Debug, Default)]
struct Account {
    bytes_in: u64,
    bytes_out: u64,
    proven: bool,
    cookies: BTreeSet<[u8; 16]>,
    asked: BTreeSet<u64>,
    claimed_size: u64,
    claimed_states: u64,
}

/// The books of one process.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    grants: BTreeMap<u64, Granted>,
    order: VecDeque<u64>,
    accounts: BTreeMap<SocketAddr, Account>,
    /// To whom it may speak without being spoken to: the caller named them.
    pub(crate) named: BTreeSet<SocketAddr>,
    /// Whether it looks for some seconds. Then a question is for the age as well, and that much longer than an
    /// announcement, or an answer to its call, is.
    pub(crate) looks: bool,
    /// The size that the caller gave.
    pub(crate) size: u64,
    /// Bytes of blocks that were kept, and those that were found on disk.
    pub(crate) kept: u64,
}

impl Ledger {
    /// A datagram is about to be handed in.
    pub(crate) fn comes(&mut self, from: SocketAddr, bytes: &[u8]) {
        let more = if self.looks { AGE_LENGTH as u64 } else { 0 };
        if let Ok(Message::Hosts(hosts)) = decode(bytes) {
            // Whoever is told of gets one question for it, of a fetch two.
            for told in hosts.hosts.iter() {
                let account = self.accounts.entry(told.address).or_default();
                account.bytes_in += 2 * (TALK_LENGTH as u64 + more);
            }
        }
        let account = self.accounts.entry(from).or_default();
        account.bytes_in += bytes.len() as u64;
        if matches!(decode(bytes), Ok(Message::Announce(_) | Message::Tell(_))) {
            account.bytes_in += more;
        }
        let cookie = match decode(bytes) {
            Ok(Message::Ask(ask)) => ask.cookie,
            Ok(Message::Grant(grant)) => grant.cookie,
            Ok(Message::Tell(tell)) => {
                account.proven |= account.asked.contains(&tell.nonce);
                if let Answer::Content { size, .. } = tell.answer {
                    account.claimed_size = account.claimed_size.max(size);
                    // Longer contents have longer blocks: not the longest has most of them.
                    let states = BlockLayout::new(size).state_count();
                    account.claimed_states = account.claimed_states.max(states);
                }
                return;
            }
            _ => return,
        };
        // A minute's cookie is the next run's too, if its seed were the same: it is not.
        account.proven |= account.cookies.contains(&cookie.0);
    }

    /// A datagram leaves. What a liar makes of it is no business of ours.
    pub(crate) fn goes(&mut self, to: SocketAddr, bytes: &[u8], to_many: bool, is_honest: bool) {
        match decode(bytes) {
            Ok(Message::Grant(grant)) => self.grants(to, &grant),
            Ok(Message::Tell(tell)) if tell.cookie != Cookie::NONE => {
                let account = self.accounts.entry(to).or_default();
                account.cookies.insert(tell.cookie.0);
            }
            Ok(Message::Ask(ask)) if !ask.to_many && !to_many => {
                self.accounts.entry(to).or_default().asked.insert(ask.nonce);
            }
            _ => {}
        }
        if to_many || !is_honest || self.named.contains(&to) || to.ip().is_loopback() {
            return;
        }
        let account = self.accounts.entry(to).or_default();
        if !account.proven {
            account.bytes_out += bytes.len() as u64;
            assert!(
                account.bytes_out <= account.bytes_in,
                "{} bytes went to {to}, which has shown no cookie and sent {}",
                account.bytes_out,
                account.bytes_in
            );
        }
    }

    fn grants(&mut self, to: SocketAddr, grant: &Grant) {
        let account = self.accounts.get(&to);
        let claimed = account.map_or(0, |account| account.claimed_size);
        let claimed_states = account.map_or(0, |account| account.claimed_states);
        let size = self.size.max(claimed);
        let end = grant.ranges.iter().map(|range| range.offset + u64::from(range.length)).max();
        let most = match grant.object {
            Object::File(_) => size,
            Object::Chain(_) => BlockLayout::new(self.size).state_count().max(claimed_states) * 20,
            Object::Have(_) | Object::Listing(_) | Object::Changes(_) => u64::MAX,
        };
        assert!(end <= Some(most), "{to} is asked for {} up to {end:?} of {most}", grant.object);
        let granted = Granted {
            to,
            file: matches!(grant.object, Object::File(_)),
            ranges: grant.ranges.to_vec(),
            payload_length: u64::from(grant.ranges.payload_length()),
            kept: BTreeSet::new(),
        };
        let before = self.grants.insert(grant.nonce, granted);
        assert!(before.is_none(), "a nonce is used twice");
        self.order.push_back(grant.nonce);
        if self.order.len() > GRANTS_MAX {
            self.order.pop_front().map(|nonce| self.grants.remove(&nonce));
        }
    }

    /// The payload of the datagram in hand is kept.
    pub(crate) fn keeps(&mut self, from: SocketAddr, datagram: &[u8]) {
        let Ok(Message::Data(Data { header, payload })) = decode(datagram) else {
            panic!("what is kept is no data");
        };
        let length = payload.len() as u64;
        let granted = self.grants.get_mut(&header.nonce).filter(|granted| granted.to == from);
        let granted = granted.expect("bytes are kept that nobody was asked for");
        let cut = granted.ranges.iter().any(|range| {
            let into = header.offset.wrapping_sub(range.offset);
            header.offset >= range.offset
                && into < u64::from(range.length)
                && into % granted.payload_length == 0
                && length == granted.payload_length.min(u64::from(range.length) - into)
        });
        assert!(cut, "bytes are kept that are not cut as they were asked for");
        let file_bytes = header.kind == DataKind::Data;
        assert_eq!(granted.file, file_bytes, "bytes of another kind are kept");
        assert!(granted.kept.insert(header.offset), "a packet is kept twice");
        self.kept += if file_bytes { length } else { 0 };
    }
}
