//! Datagrams as a trace keeps them: what of their bytes, and what they are called. What is left out is
//! nothing that the core decides by, so that zeros in its place make no difference.

use std::net::SocketAddr;

use super::run::{self, OneRange, Small};
use crate::node::Node;
use crate::wire::{DATA_HEADER_LENGTH, DataKind, DecodeError, MAGIC, Message, decode, type_code};

/// Of what is no message, but begins like one and is no packet, so many bytes tell why: a GRANT of 16 ranges has as many.
const TELLING_BYTES: usize = 256;

/// What of a datagram is kept.
pub(crate) enum Kept<'a> {
    /// Enough of it is in a token.
    Small(Small),
    /// These bytes, and so many zeros for the others.
    Bytes { message: &'static str, bytes: &'a [u8], left_out: usize },
}

/// What of a datagram is kept in a trace with or without the bytes of files, and with or without what
/// may name files.
pub(crate) fn keep<'a>(
    node: &Node,
    from: SocketAddr,
    bytes: &'a [u8],
    payload: bool,
    private: bool,
) -> Kept<'a> {
    let message = decode(bytes);
    let all = |message| Kept::Bytes { message, bytes, left_out: 0 };
    match &message {
        Ok(Message::Data(data)) if data.header.kind == DataKind::Data => {
            match run::data(from, data) {
                Some(small) if !payload => Kept::Small(small),
                _ => all("data"),
            }
        }
        Ok(Message::Grant(grant)) => match OneRange::of(grant) {
            Some(grant) if grant.encode().is_some_and(|canonical| canonical == bytes) => {
                Kept::Small(Small::Grant { from, grant })
            }
            _ if private => cut("grant", bytes, Message::Grant(*grant).encode().len()),
            _ => all("grant"),
        },
        Ok(Message::Data(_)) if private && !node.reads_payload(from, bytes) => {
            cut("meta", bytes, DATA_HEADER_LENGTH)
        }
        Err(error) if private => cut("undecodable", bytes, telling(*error, bytes)),
        // What stands behind its layout nobody reads.
        Ok(other) if private => cut(name(&message), bytes, other.encode().len()),
        _ => all(name(&message)),
    }
}

/// How many bytes of what is no message tell why it is none.
fn telling(error: DecodeError, bytes: &[u8]) -> usize {
    match (error, bytes.get(MAGIC.len() + 1)) {
        (DecodeError::NotOurs, _) => MAGIC.len(),
        // What follows may be laid out in any way, and be names.
        (DecodeError::Version | DecodeError::Type, _) => MAGIC.len() + 2,
        (_, Some(&(type_code::DATA | type_code::META))) => DATA_HEADER_LENGTH,
        _ => TELLING_BYTES,
    }
}

fn cut<'a>(message: &'static str, bytes: &'a [u8], most: usize) -> Kept<'a> {
    let kept = &bytes[..bytes.len().min(most)];
    Kept::Bytes { message, bytes: kept, left_out: bytes.len() - kept.len() }
}

/// What a datagram is called in a trace.
pub(crate) fn name(message: &Result<Message<'_>, DecodeError>) -> &'static str {
    match message {
        Ok(Message::Announce(_)) => "announce",
        Ok(Message::Farewell(_)) => "farewell",
        Ok(Message::Ask(_)) => "ask",
        Ok(Message::Tell(_)) => "tell",
        Ok(Message::Grant(_)) => "grant",
        Ok(Message::Data(data)) if data.header.kind == DataKind::Data => "data",
        Ok(Message::Data(_)) => "meta",
        Ok(Message::Refuse(_)) => "refuse",
        Ok(Message::News(_)) => "news",
        Ok(Message::Hosts(_)) => "hosts",
        Ok(Message::Hold(_)) => "hold",
        Err(_) => "undecodable",
    }
}

/// A datagram as it is handed in: what was left out is zeros.
pub(crate) fn whole(bytes: &[u8], left_out: u32) -> Vec<u8> {
    let mut whole = bytes.to_vec();
    whole.resize(bytes.len() + left_out as usize, 0);
    whole
}
