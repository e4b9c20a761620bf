//! Values to datagrams. It cannot fail; a value that breaks a limit is a bug of the caller's.

use super::hosts::{HOLD_LENGTH, HOSTS_HEADER_LENGTH, Hold, Hosts};
use super::message::{
    About, Announce, Answer, Ask, Data, DataHeader, DataKind, Farewell, Grant, Holding,
    ListingSummary, Message, News, Refuse, Tell,
};
use super::{
    AGE_LENGTH, DATA_HEADER_LENGTH, FAREWELL_LENGTH, GRANT_HEADER_LENGTH, GRANT_RANGE_LENGTH,
    MAGIC, NEWS_HEADER_LENGTH, REFUSE_LENGTH, TALK_LENGTH, VERSION, field, type_code,
};

impl Message<'_> {
    /// The datagram that says this.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Announce(announce) => encode_announce(announce),
            Self::Farewell(farewell) => encode_farewell(farewell),
            Self::Ask(ask) => encode_ask(ask),
            Self::Tell(tell) => encode_tell(tell),
            Self::Grant(grant) => encode_grant(grant),
            Self::Data(data) => encode_data(data),
            Self::Refuse(refuse) => encode_refuse(refuse),
            Self::News(news) => encode_news(news),
            Self::Hosts(hosts) => encode_hosts(hosts),
            Self::Hold(hold) => encode_hold(hold),
        }
    }
}

impl DataHeader {
    /// Writes the header in place, before a payload that is already there.
    pub fn write(&self, buffer: &mut [u8; DATA_HEADER_LENGTH]) {
        let type_code = match self.kind {
            DataKind::Data => type_code::DATA,
            DataKind::Meta => type_code::META,
        };
        buffer[..4].copy_from_slice(&[MAGIC[0], MAGIC[1], VERSION, type_code]);
        buffer[4..12].copy_from_slice(&self.nonce.to_be_bytes());
        buffer[12..].copy_from_slice(&self.offset.to_be_bytes());
    }
}

/// A buffer with room for `length` bytes, the common header written.
fn start(type_code: u8, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    bytes.extend_from_slice(&[MAGIC[0], MAGIC[1], VERSION, type_code]);
    bytes
}

fn put_summary(bytes: &mut Vec<u8>, summary: &ListingSummary) {
    bytes.extend_from_slice(&summary.digest.0);
    bytes.extend_from_slice(&summary.length.to_be_bytes());
    bytes.extend_from_slice(&summary.files.to_be_bytes());
}

fn encode_announce(announce: &Announce) -> Vec<u8> {
    let mut bytes = start(type_code::ANNOUNCE, TALK_LENGTH);
    bytes.extend_from_slice(&[0, announce.again_within, 0, 0]);
    bytes.extend_from_slice(&announce.instance.0);
    put_summary(&mut bytes, &announce.listing);
    bytes.resize(TALK_LENGTH, 0);
    bytes
}

fn encode_farewell(farewell: &Farewell) -> Vec<u8> {
    let mut bytes = start(type_code::FAREWELL, FAREWELL_LENGTH);
    bytes.extend_from_slice(&farewell.secret.0);
    bytes
}

fn encode_ask(ask: &Ask) -> Vec<u8> {
    let (about, id, size) = match ask.about {
        About::Listing { has } => (field::ABOUT_LISTING, has.0, 0),
        About::Content { content, size } => (field::ABOUT_CONTENT, content.0, size),
    };
    let to_many = if ask.to_many { field::ASK_TO_MANY } else { 0 };
    let flags = to_many | if ask.tell_hosts { field::ASK_TELL_HOSTS } else { 0 };
    let (flags, length) = match ask.tell_age {
        true => (flags | field::ASK_TELL_AGE, TALK_LENGTH + AGE_LENGTH),
        false => (flags, TALK_LENGTH),
    };
    let mut bytes = start(type_code::ASK, length);
    bytes.extend_from_slice(&[about, flags]);
    bytes.extend_from_slice(&ask.hosts_from.to_be_bytes());
    bytes.extend_from_slice(&ask.nonce.to_be_bytes());
    bytes.extend_from_slice(&id);
    bytes.extend_from_slice(&size.to_be_bytes());
    bytes.extend_from_slice(&ask.instance.0);
    bytes.extend_from_slice(&ask.cookie.0);
    bytes.resize(length, 0);
    bytes
}

fn encode_tell(tell: &Tell) -> Vec<u8> {
    let (about, flags, changes) = match tell.answer {
        Answer::Listing { changes, in_step, .. } => {
            let in_step = if in_step { field::TELL_IN_STEP } else { 0 };
            (field::ABOUT_LISTING, field::TELL_WHOLE | in_step, changes)
        }
        Answer::Content { holding, .. } => (
            field::ABOUT_CONTENT,
            match holding {
                Holding::Nothing => 0,
                Holding::Part => field::TELL_PART,
                Holding::Whole => field::TELL_WHOLE,
            },
            0,
        ),
    };
    let flags = flags | if tell.age.is_some() { field::TELL_AGE } else { 0 };
    let mut bytes = start(type_code::TELL, TALK_LENGTH + AGE_LENGTH);
    bytes.extend_from_slice(&[about, flags]);
    bytes.extend_from_slice(&changes.to_be_bytes());
    bytes.extend_from_slice(&tell.nonce.to_be_bytes());
    bytes.extend_from_slice(&tell.cookie.0);
    bytes.extend_from_slice(&tell.instance.0);
    match &tell.answer {
        Answer::Listing { listing, .. } => put_summary(&mut bytes, listing),
        Answer::Content { chain, size, blocks_held, .. } => {
            bytes.extend_from_slice(&chain.0);
            bytes.extend_from_slice(&size.to_be_bytes());
            bytes.extend_from_slice(&blocks_held.to_be_bytes());
        }
    }
    if let Some(age) = tell.age {
        bytes.extend_from_slice(&age.to_be_bytes());
    }
    bytes
}

fn encode_grant(grant: &Grant) -> Vec<u8> {
    let length = GRANT_HEADER_LENGTH + grant.ranges.len() * GRANT_RANGE_LENGTH;
    let mut bytes = start(type_code::GRANT, length);
    bytes.extend_from_slice(&[grant.object.kind().code(), grant.ranges.len() as u8]);
    bytes.extend_from_slice(&grant.ranges.payload_length().to_be_bytes());
    bytes.extend_from_slice(&grant.nonce.to_be_bytes());
    bytes.extend_from_slice(&grant.cookie.0);
    bytes.extend_from_slice(&grant.object.id());
    for range in grant.ranges.iter() {
        bytes.extend_from_slice(&range.offset.to_be_bytes());
        bytes.extend_from_slice(&range.length.to_be_bytes());
    }
    bytes
}

fn encode_data(data: &Data<'_>) -> Vec<u8> {
    let mut header = [0; DATA_HEADER_LENGTH];
    data.header.write(&mut header);
    let mut bytes = Vec::with_capacity(data.datagram_length());
    bytes.extend_from_slice(&header);
    bytes.extend_from_slice(data.payload);
    bytes
}

fn encode_refuse(refuse: &Refuse) -> Vec<u8> {
    let mut bytes = start(type_code::REFUSE, REFUSE_LENGTH);
    bytes.extend_from_slice(&[refuse.reason.code(), 0, 0, 0]);
    bytes.extend_from_slice(&refuse.nonce.to_be_bytes());
    bytes
}

fn encode_news(news: &News<'_>) -> Vec<u8> {
    let ranges = news.blocks.bytes();
    let mut bytes = start(type_code::NEWS, NEWS_HEADER_LENGTH + ranges.len());
    bytes.extend_from_slice(&[news.blocks.count() as u8, 0, 0, 0]);
    bytes.extend_from_slice(&news.nonce.to_be_bytes());
    bytes.extend_from_slice(ranges);
    bytes
}

fn encode_hosts(hosts: &Hosts<'_>) -> Vec<u8> {
    let told = hosts.hosts.bytes();
    let mut bytes = start(type_code::HOSTS, HOSTS_HEADER_LENGTH + told.len());
    bytes.extend_from_slice(&[hosts.hosts.count() as u8, 0]);
    bytes.extend_from_slice(&hosts.next.to_be_bytes());
    bytes.extend_from_slice(&hosts.nonce.to_be_bytes());
    bytes.extend_from_slice(told);
    bytes
}

fn encode_hold(hold: &Hold) -> Vec<u8> {
    let mut bytes = start(type_code::HOLD, HOLD_LENGTH);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&hold.cookie.0);
    bytes.extend_from_slice(&hold.content.0);
    bytes.extend_from_slice(&hold.size.to_be_bytes());
    bytes.extend_from_slice(&hold.portions.0.to_be_bytes());
    bytes
}
