//! Lines for people on standard output and standard error. A reader that is gone, or that has stopped
//! reading, never stops the loop: what it does not take is dropped.
//!
//! A pipe that is ready takes a page at once. A terminal that is ready may take a letter, and has the
//! writer wait for the rest: so it is opened once more, for writes that never wait. The stream itself is shared
//! with whoever started us, and stays as it is.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::getsid;
use rustix::termios::tcgetsid;

use crate::content::terminal_text::printable;

/// Longer lines are cut into pieces: a pipe that is ready takes at least so many bytes at once.
const PIECE_LENGTH_MAX: usize = 4096;

/// A standard stream that is written only while it takes what is written.
#[derive(Debug)]
pub struct Lines<W> {
    stream: W,
    /// What is written to in its place, where it is a terminal.
    terminal: Option<File>,
    broken: bool,
    /// Pieces that were dropped.
    dropped: u64,
    /// Of the last piece only a part was taken: what comes next begins a line.
    torn: bool,
}

impl<W: Write + AsFd> Lines<W> {
    /// Lines to this stream.
    pub fn new(stream: W) -> Self {
        let terminal = opened_anew(stream.as_fd());
        Self { stream, terminal, broken: false, dropped: 0, torn: false }
    }

    /// Writes one line.
    pub fn line(&mut self, text: &str) {
        // Written whole or not at all, as far as the stream does so.
        let _ = self.write_all(format!("{text}\n").as_bytes());
        let _ = self.flush();
    }

    /// Writes the lines that `tell` tells, as many in one piece as go into one.
    pub fn together<T>(&mut self, tell: impl FnOnce(&mut Gathered<'_, W>) -> T) -> T {
        let mut gathered = Gathered { lines: self, text: String::new() };
        let told = tell(&mut gathered);
        gathered.write_out();
        told
    }
}

impl<W> Lines<W> {
    /// Writes as much of a piece as the terminal takes.
    fn write_to_terminal(&mut self, piece: &[u8]) {
        let Some(terminal) = &mut self.terminal else { return };
        if self.torn && matches!(terminal.write(b"\n"), Ok(1)) {
            self.torn = false;
        }
        let mut left = if self.torn { &[][..] } else { piece };
        while !left.is_empty() {
            match terminal.write(left) {
                Ok(taken @ 1..) => left = &left[taken..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.broken = true;
                    break;
                }
            }
        }
        let is_whole = left.is_empty() && !self.torn;
        self.dropped += u64::from(!is_whole);
        self.torn |= !is_whole && left.len() < piece.len();
    }
}

/// Lines that are written together.
#[derive(Debug)]
pub struct Gathered<'a, W> {
    lines: &'a mut Lines<W>,
    text: String,
}

impl<W: Write + AsFd> Gathered<'_, W> {
    /// One line more.
    pub fn line(&mut self, text: &str) {
        if self.text.len() + text.len() + 1 > PIECE_LENGTH_MAX {
            self.write_out();
        }
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn write_out(&mut self) {
        let _ = self.lines.write_all(self.text.as_bytes());
        self.text.clear();
    }
}

impl<W: Write + AsFd> Write for Lines<W> {
    /// Never fails, and takes all: what the stream does not take is dropped.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.chunks(PIECE_LENGTH_MAX) {
            if self.broken {
                self.dropped += 1;
            } else if self.terminal.is_some() {
                self.write_to_terminal(piece);
            } else if !takes(self.stream.as_fd()) {
                self.dropped += 1;
            } else if self.stream.write_all(piece).and_then(|()| self.stream.flush()).is_err() {
                // The reader is gone: it does not come back.
                self.broken = true;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lines of the log. Whatever a message holds, a path that somebody gave or a name, it drives no terminal.
#[derive(Debug)]
pub struct SafeLines<W>(Lines<W>);

impl<W: Write + AsFd> SafeLines<W> {
    /// Lines to this stream.
    pub fn new(stream: W) -> Self {
        Self(Lines::new(stream))
    }
}

impl<W: Write + AsFd> Write for SafeLines<W> {
    /// Never fails. It is handed whole pieces of text, as formatting makes them.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(printable_lines(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Tells on standard error why a run ends as it does.
pub fn complain(sentence: &str) {
    let sentence = format!("sprat: {}", printable_lines(sentence));
    // If nobody listens, the exit code still says it.
    if io::stderr().is_terminal() {
        Lines::new(io::stderr()).line(&sentence);
    } else {
        let _ = writeln!(io::stderr(), "{sentence}");
    }
}

/// Lines that may hold a stranger's text, made safe for a terminal.
pub fn printable_lines(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for (index, line) in text.split('\n').enumerate() {
        // Writing to a string cannot fail.
        let _ = write!(safe, "{}{}", if index > 0 { "\n" } else { "" }, printable(line));
    }
    safe
}

/// A terminal once more, for writes that do not wait. One that is another user's (after `su`) cannot be had by its
/// own name, but as the one that we run on. Where it is neither, a write to it may wait for its reader.
fn opened_anew(stream: BorrowedFd<'_>) -> Option<File> {
    if !stream.is_terminal() {
        return None;
    }
    let open = |path: &str| {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty()).ok().map(File::from)
    };
    let is_ours = || matches!((tcgetsid(stream), getsid(None)), (Ok(its), Ok(ours)) if its == ours);
    open(&format!("/proc/self/fd/{}", stream.as_raw_fd()))
        .or_else(|| is_ours().then(|| open("/dev/tty")).flatten())
}

/// Whether a stream takes something without making us wait. A broken pipe does: with an error.
fn takes(stream: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(stream, PollFlags::OUT)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut polled, Some(&at_once)), Ok(1..))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_reader_that_does_not_read_stops_nobody() {
        let (writer, mut reader) = UnixStream::pair().unwrap();
        let mut lines = Lines::new(writer);
        for number in 0..20_000 {
            lines.line(&format!("line {number}"));
        }
        assert!(lines.dropped > 0 && !lines.broken);
        drop(lines);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("line 0\nline 1\n") && text.ends_with('\n'));
    }

    #[test]
    fn a_terminal_that_nobody_reads_stops_nobody() {
        use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let master = openpt(flags).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let mut lines = Lines::new(File::from(ioctl_tiocgptpeer(&master, flags).unwrap()));
        for number in 0..20_000 {
            lines.line(&format!("line {number}"));
        }
        assert!(lines.dropped > 0 && !lines.broken);
        rustix::fs::fcntl_setfl(&master, OFlags::NONBLOCK).unwrap();
        let mut master = File::from(master);
        let mut text = Vec::new();
        assert_eq!(master.read_to_end(&mut text).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(text.starts_with(b"line 0\r\nline 1\r\n"));
        let tear = text.len();
        lines.line("read again");
        while !text.ends_with(b"again\r\n") {
            let _ = master.read_to_end(&mut text);
        }
        assert!(text[tear..].ends_with(b"\r\nread again\r\n") || text[..tear].ends_with(b"\n"));
    }

    #[test]
    fn what_is_logged_drives_no_terminal() {
        let (writer, mut reader) = UnixStream::pair().unwrap();
        let mut log = SafeLines::new(writer);
        let root = "/tmp/a\u{1b}[2J\u{202e}";
        writeln!(log, "[INFO] peer in {root} on {}", 5).unwrap();
        log.write_all(b"\xff\n").unwrap();
        drop(log);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "[INFO] peer in /tmp/a\\u{1b}[2J\\u{202e} on 5\n\u{fffd}\n");
    }

    #[test]
    fn a_reader_that_is_gone_is_no_panic() {
        let (writer, reader) = UnixStream::pair().unwrap();
        drop(reader);
        let mut lines = Lines::new(writer);
        lines.line("to nobody");
        lines.line("to nobody");
        assert!(lines.broken);
        assert_eq!(lines.dropped, 1);
    }
}
