//! The flight recorder: what happened of late, in memory of a fixed size. It consists of segments, each of
//! which begins with the state as it was; when there is no room, the oldest goes.

use std::collections::VecDeque;
use std::io::{self, Write};

/// How many segments the memory is meant for: the more, the more of it holds history at any moment, and the
/// more often the state is written down.
const SEGMENTS: usize = 4;

/// The lines of the last minutes.
#[derive(Debug)]
pub(crate) struct Ring {
    header: String,
    /// The most bytes of it all.
    bytes: usize,
    /// Each: the state it begins with (nothing for the first of a run, which needs none), and its lines.
    segments: VecDeque<(String, String)>,
}

impl Ring {
    pub(crate) fn new(header: String, bytes: usize) -> Self {
        let segments = VecDeque::from([(String::new(), String::new())]);
        Self { header, bytes, segments }
    }

    /// Whether the lines since the last segment began, of that length, are enough of one: a quarter of the
    /// room, or what is left beside the state.
    pub(crate) fn wants_segment(&self, lines: usize) -> bool {
        let state = self.segments.back().map_or(0, |(state, _)| state.len());
        let share = (self.bytes / SEGMENTS).saturating_sub(state).max(self.bytes / SEGMENTS / 2);
        lines >= share
    }

    /// The current segment is complete with these lines, and another begins with this state. False where
    /// the state takes more than half of the room: then there is no point in it.
    pub(crate) fn begin_segment(&mut self, lines: String, state: String) -> bool {
        let fits = state.len() <= self.bytes / 2;
        if let Some((_, last)) = self.segments.back_mut() {
            *last = lines;
        }
        self.segments.push_back((state, String::new()));
        // Room for what the new segment is going to hold.
        let share = self.bytes / SEGMENTS;
        while self.segments.len() > 1 && self.length() + share > self.bytes {
            self.segments.pop_front();
        }
        fits
    }

    /// Bytes held, without the lines of the current segment.
    fn length(&self) -> usize {
        let of = |(state, lines): &(String, String)| state.len() + lines.len();
        self.header.len() + self.segments.iter().map(of).sum::<usize>()
    }

    /// Writes the header, the state in which what is held begins, and all that happened since; but not the
    /// lines of the current segment, which its owner has.
    pub(crate) fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        to.write_all(self.header.as_bytes())?;
        let state = self.segments.front().map_or("", |(state, _)| state);
        to.write_all(state.as_bytes())?;
        for (_, lines) in &self.segments {
            to.write_all(lines.as_bytes())?;
        }
        Ok(())
    }
}
