//! Lines that are to be appended to `.sprat/hashes`, in the pieces in which they are handed to the
//! system. A piece that is written goes away without any other being moved: 100,000 lines are tens
//! of megabytes, and as one text would be moved to the front by each piece that is cut off.

use std::collections::VecDeque;

use super::lines;
use crate::content::{ChainId, ContentId, ShareName};
use crate::node::input::FileSignature;

/// How many bytes of lines make a piece, one line more or less.
pub(super) const PIECE_LENGTH: usize = 16 << 10;

/// What is to be appended.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    /// The first one is written next; the last one is still being filled.
    pieces: VecDeque<Piece>,
    length: usize,
    lines: usize,
}

#[derive(Debug, Default)]
struct Piece {
    text: String,
    lines: usize,
}

impl Unwritten {
    /// The file ends in the middle of a line: what is appended begins another. This can wait for
    /// what follows it.
    pub(super) fn end_torn_line(&mut self) {
        self.fill(0, |text| text.push('\n'));
    }

    /// A line more.
    pub(super) fn push(
        &mut self,
        name: &ShareName,
        signature: &FileSignature,
        content: ContentId,
        chain: ChainId,
        collides: bool,
    ) {
        self.fill(1, |text| lines::push(text, name, signature, content, chain, collides));
    }

    fn fill(&mut self, lines: usize, push: impl FnOnce(&mut String)) {
        if self.pieces.back().is_none_or(|last| last.text.len() >= PIECE_LENGTH) {
            self.pieces.push_back(Piece::default());
        }
        if let Some(last) = self.pieces.back_mut() {
            let before = last.text.len();
            push(&mut last.text);
            self.length += last.text.len() - before;
            last.lines += lines;
            self.lines += lines;
        }
    }

    /// Whether there is a line.
    pub(super) const fn has_lines(&self) -> bool {
        self.lines > 0
    }

    /// Bytes of all.
    pub(super) const fn length(&self) -> usize {
        self.length
    }

    /// What is to be written next: whole lines.
    pub(super) fn first(&self) -> Option<&str> {
        self.pieces.front().map(|first| &*first.text)
    }

    /// That was written; how many lines it was.
    pub(super) fn drop_first(&mut self) -> usize {
        let first = self.pieces.pop_front().unwrap_or_default();
        self.length -= first.text.len();
        self.lines -= first.lines;
        first.lines
    }

    /// Gives all of it up.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_goes_and_the_rest_stays_where_it_is() {
        let signature =
            FileSignature { device: 1, inode: 2, size: 3, modified_ns: 4, changed_ns: 5 };
        let mut unwritten = Unwritten::default();
        unwritten.end_torn_line();
        assert!(!unwritten.has_lines());
        for number in 0..3_000 {
            let name = ShareName::parse(&number.to_string()).unwrap();
            let chain = ChainId::of(&[]);
            unwritten.push(&name, &signature, ContentId::EMPTY, chain, false);
        }
        let places = |unwritten: &Unwritten| -> Vec<_> {
            unwritten.pieces.iter().map(|piece| piece.text.as_ptr()).collect()
        };
        let before = places(&unwritten);
        assert!(before.len() > 2);
        let (mut text, mut lines, mut at) = (String::new(), 0, 0);
        let length = unwritten.length();
        while let Some(first) = unwritten.first() {
            assert!(first.len() < PIECE_LENGTH + 1_000 && first.ends_with('\n'));
            assert_eq!(unwritten.length(), length - text.len());
            text.push_str(first);
            lines += unwritten.drop_first();
            at += 1;
            assert_eq!(places(&unwritten), before[at..], "nothing is moved");
        }
        assert!(!unwritten.has_lines());
        assert_eq!((unwritten.length(), text.len(), lines), (0, length, 3_000));
        assert_eq!(text.lines().count(), 3_001);
    }
}
