//! Any bytes as a datagram: a message or a counted reason, and a message that means the same when it is sent on.

use sprat::wire::{
    CONTROL_LENGTH_MAX, DATAGRAM_LENGTH_MAX, DecodeError, GRANT_BYTES_MAX, GRANT_PACKETS_MAX,
    GRANT_RANGES_MAX, MAGIC, Message, OBJECT_END_MAX, VERSION, decode,
};

pub(crate) fn run(bytes: &[u8]) {
    check(bytes);
    // A fuzzer takes its time to guess what every datagram begins with.
    let mut opened = vec![MAGIC[0], MAGIC[1], VERSION];
    opened.extend_from_slice(bytes);
    check(&opened);
}

fn check(bytes: &[u8]) {
    let message = match decode(bytes) {
        Ok(message) => message,
        Err(error) => {
            assert!(error.index() < DecodeError::ALL.len());
            assert!(!error.name().is_empty() && !error.to_string().is_empty());
            return;
        }
    };
    assert_eq!(bytes[..3], [MAGIC[0], MAGIC[1], VERSION]);
    within_limits(&message, bytes);
    let shown = format!("{message} {message:?}");
    assert!(shown.chars().all(|character| !character.is_control()));
    let encoded = message.encode();
    assert_eq!(decode(&encoded), Ok(message), "it means the same when it is sent on");
    assert!(encoded.len() <= bytes.len(), "it is no longer than what came");
}

fn within_limits(message: &Message<'_>, bytes: &[u8]) {
    match message {
        Message::Data(data) => {
            assert!(!data.payload.is_empty() && bytes.len() <= DATAGRAM_LENGTH_MAX);
            assert_eq!(data.datagram_length(), bytes.len());
            assert!(data.header.offset + data.payload.len() as u64 <= OBJECT_END_MAX);
        }
        Message::Grant(grant) => {
            let ranges = &grant.ranges;
            assert!((1..=GRANT_RANGES_MAX).contains(&ranges.len()));
            assert!(ranges.bytes() <= GRANT_BYTES_MAX && ranges.packets() <= GRANT_PACKETS_MAX);
            let end = ranges.iter().map(|range| range.offset + u64::from(range.length)).max();
            assert!(end <= Some(OBJECT_END_MAX));
        }
        Message::News(news) => assert_eq!(news.blocks.iter().count(), news.blocks.count()),
        Message::Hosts(hosts) => assert_eq!(hosts.hosts.iter().count(), hosts.hosts.count()),
        _ => {}
    }
    assert!(bytes.len() <= CONTROL_LENGTH_MAX || matches!(message, Message::Data(_)));
}
