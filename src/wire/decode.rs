//! Datagrams to values. Every datagram comes from a stranger: each ends as a message within all
//! limits or as a reason, after work bounded by its length.

use super::error::DecodeError;
use super::hosts::{Hold, Hosts, Portions, TOLD_HOST_LENGTH, ToldHosts};
use super::identity::{Cookie, FarewellSecret, InstanceId, ListingDigest};
use super::message::{
    About, Announce, Answer, Ask, Data, DataHeader, DataKind, Farewell, Grant, Holding,
    ListingSummary, Message, News, Refuse, RefuseReason, Tell,
};
use super::object::{BlockRanges, Object, ObjectKind, ObjectRange, Ranges};
use super::{
    AGE_LENGTH, ASK_END_LENGTH, CONTROL_LENGTH_MAX, DATAGRAM_LENGTH_MAX, GRANT_RANGES_MAX,
    LISTING_FILES_MAX, LISTING_LENGTH_MAX, MAGIC, NEWS_RANGE_LENGTH, OBJECT_END_MAX, TALK_LENGTH,
    VERSION, field, type_code,
};
use crate::content::block_layout::CONTENT_SIZE_MAX;
use crate::content::{ChainId, ContentId};

/// What a datagram says.
///
/// # Errors
/// The first rule that it breaks.
pub fn decode(datagram: &[u8]) -> Result<Message<'_>, DecodeError> {
    let Some(after_magic) = datagram.strip_prefix(&MAGIC) else {
        return Err(DecodeError::NotOurs);
    };
    let mut reader = Reader { rest: after_magic };
    if reader.u8()? != VERSION {
        return Err(DecodeError::Version);
    }
    let type_code = reader.u8()?;
    match type_code {
        type_code::DATA => return decode_data(reader, DataKind::Data),
        type_code::META => return decode_data(reader, DataKind::Meta),
        _ if datagram.len() > CONTROL_LENGTH_MAX => return Err(DecodeError::Long),
        // These are as long as what they may provoke, padding included.
        type_code::ANNOUNCE | type_code::ASK | type_code::TELL if datagram.len() < TALK_LENGTH => {
            return Err(DecodeError::Short);
        }
        _ => {}
    }
    match type_code {
        type_code::ANNOUNCE => decode_announce(reader),
        type_code::FAREWELL => {
            Ok(Message::Farewell(Farewell { secret: FarewellSecret(reader.array()?) }))
        }
        type_code::ASK => decode_ask(reader),
        type_code::TELL => decode_tell(reader),
        type_code::GRANT => decode_grant(reader),
        type_code::REFUSE => decode_refuse(reader),
        type_code::NEWS => decode_news(reader),
        type_code::HOSTS => decode_hosts(reader),
        type_code::HOLD => decode_hold(reader),
        _ => Err(DecodeError::Type),
    }
}

/// What is left of a datagram.
struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Short)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// A content's size.
    fn size(&mut self) -> Result<u64, DecodeError> {
        let size = self.u64()?;
        if size > CONTENT_SIZE_MAX { Err(DecodeError::Size) } else { Ok(size) }
    }

    fn summary(&mut self) -> Result<ListingSummary, DecodeError> {
        let digest = ListingDigest(self.array()?);
        let (length, files) = (self.u64()?, self.u32()?);
        if length > LISTING_LENGTH_MAX || files > LISTING_FILES_MAX {
            return Err(DecodeError::Size);
        }
        Ok(ListingSummary { digest, length, files })
    }
}

fn decode_announce(mut reader: Reader<'_>) -> Result<Message<'_>, DecodeError> {
    let [_flags, again_within, _, _] = reader.array()?;
    let instance = InstanceId(reader.array()?);
    Ok(Message::Announce(Announce { instance, listing: reader.summary()?, again_within }))
}

fn decode_ask(mut reader: Reader<'_>) -> Result<Message<'_>, DecodeError> {
    let [about, flags] = reader.array()?;
    let hosts_from = reader.u16()?;
    let nonce = reader.u64()?;
    let id = reader.array()?;
    let size = reader.u64()?;
    let instance = InstanceId(reader.array()?);
    let cookie = Cookie(reader.array()?);
    let about = match about {
        field::ABOUT_LISTING => About::Listing { has: ListingDigest(id) },
        field::ABOUT_CONTENT if size > CONTENT_SIZE_MAX => return Err(DecodeError::Size),
        field::ABOUT_CONTENT => About::Content { content: ContentId(id), size },
        _ => return Err(DecodeError::About),
    };
    let tell_hosts = flags & field::ASK_TELL_HOSTS != 0;
    // A shorter one is not answered by what is longer than itself.
    let is_long = reader.rest.len() >= ASK_END_LENGTH + AGE_LENGTH;
    Ok(Message::Ask(Ask {
        about,
        to_many: flags & field::ASK_TO_MANY != 0,
        tell_hosts,
        hosts_from: if tell_hosts { hosts_from } else { 0 },
        tell_age: flags & field::ASK_TELL_AGE != 0 && is_long,
        nonce,
        instance,
        cookie,
    }))
}

fn decode_tell(mut reader: Reader<'_>) -> Result<Message<'_>, DecodeError> {
    let [about, flags] = reader.array()?;
    let changes = reader.u16()?;
    let nonce = reader.u64()?;
    let cookie = Cookie(reader.array()?);
    let instance = InstanceId(reader.array()?);
    let answer = match about {
        field::ABOUT_LISTING => {
            let in_step = flags & field::TELL_IN_STEP != 0;
            Answer::Listing { listing: reader.summary()?, changes, in_step }
        }
        field::ABOUT_CONTENT => Answer::Content {
            holding: match flags {
                _ if flags & field::TELL_WHOLE != 0 => Holding::Whole,
                _ if flags & field::TELL_PART != 0 => Holding::Part,
                _ => Holding::Nothing,
            },
            chain: ChainId(reader.array()?),
            size: reader.size()?,
            blocks_held: reader.u32()?,
        },
        _ => return Err(DecodeError::About),
    };
    let age = if flags & field::TELL_AGE != 0 { Some(reader.u32()?) } else { None };
    Ok(Message::Tell(Tell { nonce, cookie, instance, age, answer }))
}

fn decode_grant(mut reader: Reader<'_>) -> Result<Message<'_>, DecodeError> {
    let kind = reader.u8()?;
    let count = usize::from(reader.u8()?);
    let payload_length = reader.u16()?;
    let nonce = reader.u64()?;
    let cookie = Cookie(reader.array()?);
    let id = reader.array()?;
    let kind = ObjectKind::from_code(kind).ok_or(DecodeError::Kind)?;
    if count == 0 || count > GRANT_RANGES_MAX {
        return Err(DecodeError::Count);
    }
    let mut ranges = [ObjectRange::default(); GRANT_RANGES_MAX];
    for range in &mut ranges[..count] {
        *range = ObjectRange { offset: reader.u64()?, length: reader.u32()? };
    }
    let ranges = Ranges::new(&ranges[..count], payload_length)?;
    Ok(Message::Grant(Grant { nonce, cookie, object: Object::new(kind, id), ranges }))
}

fn decode_data(mut reader: Reader<'_>, kind: DataKind) -> Result<Message<'_>, DecodeError> {
    let header = DataHeader { kind, nonce: reader.u64()?, offset: reader.u64()? };
    let payload = reader.rest;
    if payload.is_empty() {
        return Err(DecodeError::Short);
    }
    let data = Data { header, payload };
    if data.datagram_length() > DATAGRAM_LENGTH_MAX {
        return Err(DecodeError::Long);
    }
    let end = header.offset.checked_add(payload.len() as u64);
    if end.is_none_or(|end| end > OBJECT_END_MAX) {
        return Err(DecodeError::Range);
    }
    Ok(Message::Data(data))
}

fn decode_refuse(mut reader: Reader<'_>) -> Result<Message<'_>, DecodeError> {
    let [reason, _, _, _] = reader.array()?;
    let nonce = reader.u64()?;
    let reason = RefuseReason::from_code(reason).ok_or(DecodeError::Reason)?;
    Ok(Message::Refuse(Refuse { reason, nonce }))
}

fn decode_news(mut reader: Reader<'_>) -> Result<Message<'_>, DecodeError> {
    let [count, _, _, _] = reader.array()?;
    let nonce = reader.u64()?;
    let length = usize::from(count) * NEWS_RANGE_LENGTH;
    let ranges = reader.rest.get(..length).ok_or(DecodeError::Short)?;
    Ok(Message::News(News { nonce, blocks: BlockRanges::new(ranges)? }))
}

fn decode_hosts(mut reader: Reader<'_>) -> Result<Message<'_>, DecodeError> {
    let [count, _] = reader.array()?;
    let next = reader.u16()?;
    let nonce = reader.u64()?;
    let length = usize::from(count) * TOLD_HOST_LENGTH;
    let hosts = reader.rest.get(..length).ok_or(DecodeError::Short)?;
    Ok(Message::Hosts(Hosts { nonce, next, hosts: ToldHosts::new(hosts)? }))
}

fn decode_hold(mut reader: Reader<'_>) -> Result<Message<'_>, DecodeError> {
    let _reserved: [u8; 4] = reader.array()?;
    let cookie = Cookie(reader.array()?);
    let content = ContentId(reader.array()?);
    let size = reader.size()?;
    Ok(Message::Hold(Hold { cookie, content, size, portions: Portions(reader.u64()?) }))
}

#[cfg(test)]
mod tests;
