//! The lines of `.sprat/hashes`: eight digits of the SHA-1 of the rest, a space, and a JSON object.
//! The digits tell a damaged line from a sound one, which JSON alone does not where a digit was
//! flipped.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use rustix::fs::{CWD, OFlags};
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};

use crate::content::{ChainId, ContentId, ShareName};
use crate::driver::share_folder::entry;
use crate::node::input::FileSignature;

/// The longest line, in bytes: a name of 1,024 bytes, each written as `\u0000`, and the rest.
const LINE_LENGTH_MAX: u64 = 8 * 1024;
const DIGITS: usize = 8;

/// What a line says.
pub(super) struct Line {
    pub(super) name: ShareName,
    /// Its device is zero.
    pub(super) signature: FileSignature,
    pub(super) content: ContentId,
    pub(super) chain: ChainId,
    pub(super) collides: bool,
}

/// What was found in a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// All lines.
    pub(super) lines: usize,
    /// Those that were skipped.
    pub(super) damaged: usize,
    /// Whether the last line is a whole one, so that another can follow.
    pub(super) ends_with_line: bool,
}

#[derive(Serialize, Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    size: u64,
    inode: u64,
    modified_ns: i64,
    changed_ns: i64,
    sha1: Cow<'a, str>,
    chain: Cow<'a, str>,
    /// Versions that did not look for it did not write it: their lines do not count.
    collides: bool,
}

/// Appends a line.
pub(super) fn push(
    text: &mut String,
    name: &ShareName,
    signature: &FileSignature,
    content: ContentId,
    chain: ChainId,
    collides: bool,
) {
    let written = Written {
        name: name.as_str().into(),
        size: signature.size,
        inode: signature.inode,
        modified_ns: signature.modified_ns,
        changed_ns: signature.changed_ns,
        sha1: content.to_string().into(),
        chain: chain.to_string().into(),
        collides,
    };
    if let Ok(json) = serde_json::to_string(&written) {
        text.push_str(&digits_of(json.as_bytes()));
        text.push(' ');
        text.push_str(&json);
        text.push('\n');
    }
}

/// Reads the lines of a file, the later ones last.
pub(super) fn read(path: &Path, each: impl FnMut(Line)) -> io::Result<Found> {
    let file = entry::open_file(CWD, path, OFlags::RDONLY)?;
    read_lines(BufReader::<File>::new(file), each)
}

fn read_lines(mut reader: impl BufRead, mut each: impl FnMut(Line)) -> io::Result<Found> {
    let mut found = Found { ends_with_line: true, ..Found::default() };
    let mut line = Vec::new();
    let mut goes_on = false;
    loop {
        line.clear();
        if reader.by_ref().take(LINE_LENGTH_MAX).read_until(b'\n', &mut line)? == 0 {
            return Ok(found);
        }
        let is_rest = goes_on;
        found.ends_with_line = line.last() == Some(&b'\n');
        if found.ends_with_line {
            line.pop();
        }
        goes_on = !found.ends_with_line;
        if is_rest || line.is_empty() {
            continue;
        }
        found.lines += 1;
        match parse(&line).filter(|_| found.ends_with_line) {
            Some(line) => each(line),
            None => found.damaged += 1,
        }
    }
}

fn parse(line: &[u8]) -> Option<Line> {
    let (digits, rest) = line.split_at_checked(DIGITS)?;
    let json = rest.strip_prefix(b" ")?;
    if digits != digits_of(json).as_bytes() {
        return None;
    }
    let written: Written<'_> = serde_json::from_slice(json).ok()?;
    let chain: ContentId = written.chain.parse().ok()?;
    Some(Line {
        name: ShareName::parse(&written.name).ok()?,
        signature: FileSignature {
            device: 0,
            inode: written.inode,
            size: written.size,
            modified_ns: written.modified_ns,
            changed_ns: written.changed_ns,
        },
        content: written.sha1.parse().ok()?,
        chain: ChainId(chain.0),
        collides: written.collides,
    })
}

fn digits_of(json: &[u8]) -> String {
    let digest: [u8; 20] = Sha1::digest(json).into();
    let mut digits = ContentId(digest).to_string();
    digits.truncate(DIGITS);
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three_lines() -> String {
        let mut text = String::new();
        for name in ["a", "quoted \" and é", "deep/er"] {
            let signature = FileSignature {
                device: 9,
                inode: u64::MAX,
                size: name.len() as u64,
                modified_ns: i64::MIN,
                changed_ns: 1_700_000_000_123_456_789,
            };
            let name = ShareName::parse(name).unwrap();
            push(&mut text, &name, &signature, ContentId::EMPTY, ChainId::of(b"x"), false);
        }
        text
    }

    fn names(bytes: &[u8]) -> (Vec<String>, Found) {
        let mut names = Vec::new();
        let found = read_lines(bytes, |line| {
            assert_eq!(line.content, ContentId::EMPTY);
            assert_eq!(line.chain, ChainId::of(b"x"));
            assert_eq!((line.signature.inode, line.signature.modified_ns), (u64::MAX, i64::MIN));
            assert_eq!(line.signature.changed_ns, 1_700_000_000_123_456_789);
            assert_eq!(line.signature.size, line.name.as_str().len() as u64);
            names.push(line.name.to_string());
        });
        (names, found.unwrap())
    }

    #[test]
    fn what_is_pushed_is_read() {
        let (names, found) = names(three_lines().as_bytes());
        assert_eq!(names, ["a", "quoted \" and é", "deep/er"]);
        assert_eq!(found, Found { lines: 3, damaged: 0, ends_with_line: true });
    }

    #[test]
    fn any_flipped_byte_costs_one_line_or_two_and_no_line_is_ever_another() {
        let sound = three_lines().into_bytes();
        for at in 0..sound.len() {
            let mut damaged = sound.clone();
            damaged[at] ^= 1;
            let (names, found) = names(&damaged);
            assert!((1..3).contains(&names.len()), "{at}: {names:?}");
            assert!(found.damaged > 0, "{at}");
        }
    }

    #[test]
    fn a_torn_end_costs_the_last_line_only() {
        let text = three_lines();
        let torn = &text.as_bytes()[..text.len() - 1];
        let (names, found) = names(torn);
        assert_eq!(names, ["a", "quoted \" and é"]);
        assert_eq!(found, Found { lines: 3, damaged: 1, ends_with_line: false });
    }

    #[test]
    fn a_line_without_an_end_is_one_damaged_line() {
        let mut bytes = vec![b'x'; 5 * LINE_LENGTH_MAX as usize];
        bytes.push(b'\n');
        bytes.extend_from_slice(three_lines().as_bytes());
        let (names, found) = names(&bytes);
        assert_eq!((names.len(), found.lines, found.damaged), (3, 4, 1));
    }
}
