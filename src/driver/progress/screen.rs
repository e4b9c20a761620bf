//! The terminal that bars are drawn on, as one that nobody waits for: see [`Lines`].

use std::io::{self, Stderr, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::{MultiProgress, ProgressDrawTarget, TermLike};
use rustix::termios::tcgetwinsize;

use crate::driver::lines::Lines;

/// The size of a terminal that does not tell it.
const COLUMNS: u16 = 80;
const ROWS: u16 = 24;
/// How often a second all bars together are drawn at most.
const REDRAWS: u8 = 20;

/// Bars on standard error, which stay hidden where it is no terminal.
pub fn bars() -> MultiProgress {
    if io::IsTerminal::is_terminal(&io::stderr()) {
        let screen = Screen(Mutex::new((Lines::new(io::stderr()), String::new())));
        MultiProgress::with_draw_target(ProgressDrawTarget::term_like_with_hz(
            Box::new(screen),
            REDRAWS,
        ))
    } else {
        MultiProgress::with_draw_target(ProgressDrawTarget::hidden())
    }
}

/// How many columns and rows the terminal has.
pub(super) fn size() -> (u16, u16) {
    let size = tcgetwinsize(io::stderr()).map_or((0, 0), |size| (size.ws_col, size.ws_row));
    let or = |told, otherwise| if told == 0 { otherwise } else { told };
    (or(size.0, COLUMNS), or(size.1, ROWS))
}

/// What is drawn is gathered, and written in one piece.
#[derive(Debug)]
struct Screen(Mutex<(Lines<Stderr>, String)>);

impl Screen {
    fn lock(&self) -> MutexGuard<'_, (Lines<Stderr>, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gather(&self, text: &str) -> io::Result<()> {
        self.lock().1.push_str(text);
        Ok(())
    }

    /// A movement of the cursor (ECMA-48 8.3.18 to 8.3.22), but not by nothing, which would be one.
    fn move_cursor(&self, count: usize, direction: char) -> io::Result<()> {
        if count == 0 { Ok(()) } else { self.gather(&format!("\x1b[{count}{direction}")) }
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        size().0
    }

    fn height(&self) -> u16 {
        size().1
    }

    fn move_cursor_up(&self, count: usize) -> io::Result<()> {
        self.move_cursor(count, 'A')
    }

    fn move_cursor_down(&self, count: usize) -> io::Result<()> {
        self.move_cursor(count, 'B')
    }

    fn move_cursor_right(&self, count: usize) -> io::Result<()> {
        self.move_cursor(count, 'C')
    }

    fn move_cursor_left(&self, count: usize) -> io::Result<()> {
        self.move_cursor(count, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.gather(&format!("{text}\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.gather(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.gather("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        let (lines, text) = &mut *self.lock();
        let _ = lines.write_all(text.as_bytes());
        text.clear();
        Ok(())
    }
}
