//! The names in `chunks/`. Two kinds are the contract's: `SHA1:attrs` and `SHA1:chunk:OFFSET`. The
//! others are ours and match neither, so that no front end takes them for one of those:
//!
//! - `SHA1:new:...`: attrs being written, before they appear under their own name;
//! - `SHA1:join:OFFSET`: a chunk file whose bytes are being appended to the first one;
//! - `SHA1:whole`: a finished file on its way to `share/`, where that cannot be done namelessly.

use crate::content::ContentId;

/// What a name in `chunks/` stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkFolderEntry {
    /// The attrs of a fetch.
    Attrs,
    /// The bytes of the content from this position on.
    Chunk {
        /// In bytes.
        start: u64,
    },
    /// A chunk file while it is joined to the first one.
    Joining {
        /// In bytes.
        start: u64,
    },
    /// A file that means nothing once who made it is gone.
    Temporary,
}

/// The name of the attrs.
pub fn attrs(content: ContentId) -> String {
    format!("{content}:attrs")
}

/// The name of the chunk file that begins at a position.
pub fn chunk(content: ContentId, start: u64) -> String {
    format!("{content}:chunk:{start}")
}

/// The name of that chunk file while it is joined to the first one.
pub(in crate::driver) fn joining(content: ContentId, start: u64) -> String {
    format!("{content}:join:{start}")
}

/// The name of a finished file that has none in `share/` yet.
pub(in crate::driver) fn whole(content: ContentId) -> String {
    format!("{content}:whole")
}

/// A name for attrs being written, different for each process and `attempt`.
pub(super) fn new_attrs(content: ContentId, attempt: u32) -> String {
    format!("{content}:new:{}-{attempt}", std::process::id())
}

/// Reads a name strictly: the digits of the SHA-1 are lower-case, the position is decimal without
/// sign or leading zeros. Any other name is none of ours.
pub fn parse(name: &[u8]) -> Option<(ContentId, ChunkFolderEntry)> {
    let name = std::str::from_utf8(name).ok()?;
    let (digits, rest) = name.split_once(':')?;
    if digits.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let content = digits.parse().ok()?;
    let entry = match rest.split_once(':') {
        None if rest == "attrs" => ChunkFolderEntry::Attrs,
        None if rest == "whole" => ChunkFolderEntry::Temporary,
        Some(("new", maker)) if is_maker(maker) => ChunkFolderEntry::Temporary,
        Some(("chunk", start)) => ChunkFolderEntry::Chunk { start: parse_position(start)? },
        Some(("join", start)) => ChunkFolderEntry::Joining { start: parse_position(start)? },
        _ => return None,
    };
    Some((content, entry))
}

/// Whether it is the number of a process and that of an attempt.
fn is_maker(text: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    text.split_once('-').is_some_and(|(process, attempt)| is_number(process) && is_number(attempt))
}

fn parse_position(text: &str) -> Option<u64> {
    let plain = text == "0" || !text.starts_with(['0', '+']);
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_strictly() {
        let id = ContentId::EMPTY;
        for (name, entry) in [
            (attrs(id), ChunkFolderEntry::Attrs),
            (chunk(id, 0), ChunkFolderEntry::Chunk { start: 0 }),
            (chunk(id, u64::MAX), ChunkFolderEntry::Chunk { start: u64::MAX }),
            (joining(id, 65_536), ChunkFolderEntry::Joining { start: 65_536 }),
            (new_attrs(id, 7), ChunkFolderEntry::Temporary),
            (whole(id), ChunkFolderEntry::Temporary),
        ] {
            assert_eq!(parse(name.as_bytes()), Some((id, entry)), "{name}");
        }
        for rest in
            ["", ":", ":chunk", ":chunk:", ":chunk:00", ":chunk:01", ":chunk:+1", ":chunk:-1"]
                .into_iter()
                .chain([
                    ":chunk:1 ",
                    ":chunk:0x1",
                    ":chunk:18446744073709551616",
                    ":chunk:1:2",
                    ":attrs:",
                ])
                .chain([":attrs~", ":chunks:0", "chunk:0", ":join", ":wholes"])
                .chain([":new:", ":new:7", ":new:-7", ":new:7-", ":new:7-$", ":new:7-1\n"])
        {
            assert_eq!(parse(format!("{id}{rest}").as_bytes()), None, "{rest}");
        }
        assert_eq!(parse(attrs(id).to_uppercase().as_bytes()), None);
        assert_eq!(parse(attrs(id).replace('d', "D").as_bytes()), None);
        assert_eq!(parse(&attrs(id).as_bytes()[1..]), None);
        assert_eq!(parse(b"\xff:attrs"), None);
    }
}
