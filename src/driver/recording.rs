//! The file that a run is recorded in. What goes wrong with it is told once, and is no reason to end a run.

use std::any::Any;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::clock;
use crate::config::TraceConfig;
use crate::node::{Instant, NodeConfig};
use crate::trace::{Header, How, Recorder};

/// So long the reader of a pipe may keep the run waiting, once.
const PATIENCE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// A recording under way.
pub struct Recording {
    /// What notes everything.
    pub recorder: Recorder,
    file: PathBuf,
    in_ring: bool,
}

impl Recording {
    /// Whether there can be a recording; nothing is made yet, so that a run that cannot begin leaves none.
    ///
    /// # Errors
    /// A sentence: the file exists.
    pub fn check(trace: Option<&TraceConfig>) -> Result<(), String> {
        let Some(trace) = trace else { return Ok(()) };
        let file = place(trace);
        match std::fs::symlink_metadata(&file) {
            // What is there does not hinder a ring, which goes beside it when the time comes.
            Ok(known) if known.is_file() && trace.ring.is_some() => Ok(()),
            Ok(known) if known.is_file() || known.is_dir() => Err(format!(
                "there is a {} already, and it is not overwritten: give --trace another name",
                file.display()
            )),
            _ => Ok(()),
        }
    }

    /// Begins to record.
    ///
    /// # Errors
    /// A sentence: the file cannot be made.
    pub fn start(trace: &TraceConfig, config: &NodeConfig, now: Instant) -> Result<Self, String> {
        let since_1970 = clock::wall_now().duration_since(SystemTime::UNIX_EPOCH);
        let started = since_1970.map_or(0, |time| time.as_millis() as u64);
        let command = if config.serves { "peer" } else { "fetch" };
        let mut header = Header::new(command, started, now, config.clone());
        (header.payload, header.private) = (trace.payload, trace.private);
        let file = place(trace);
        let recorder = match trace.ring {
            Some(bytes) => Recorder::ring(&header, usize::try_from(bytes).unwrap_or(usize::MAX)),
            None => {
                let opened = open(&file).map_err(|error| {
                    format!("cannot write {}: {error}; give --trace another name", file.display())
                })?;
                Recorder::new(&header, Box::new(opened))
            }
        };
        log::info!("recording in {}", file.display());
        Ok(Self { recorder, file, in_ring: trace.ring.is_some() })
    }

    /// To be called now and then: writes out what was noted. False once there is nothing more to note.
    pub fn keep(&mut self) -> bool {
        if !self.in_ring {
            self.recorder.flush();
        }
        self.tell_trouble();
        !self.recorder.is_closed()
    }

    /// Somebody asks for the recording, and the run goes on.
    pub fn hand_out(&mut self) {
        if self.in_ring {
            self.write_ring(How::Running);
        } else {
            self.keep();
        }
    }

    /// The run is over. What a ring holds is written where it failed.
    pub fn end(mut self, how: How) {
        match (self.in_ring, &how) {
            (true, How::Exit(0) | How::Signal(_)) => {}
            (true, _) => self.write_ring(how),
            (false, _) => {
                self.recorder.finish(how);
                self.tell_trouble();
            }
        }
    }

    /// The run is over, by a panic that was caught on its way.
    pub fn end_by_panic(self, panic: &(dyn Any + Send)) {
        let in_core = self.recorder.is_in_core();
        self.end(How::Panic { message: panic_message(panic), in_core });
    }

    /// Into the file, or, where that was written before, into one beside it.
    fn write_ring(&mut self, how: How) {
        let mut file = self.file.clone();
        let mut number = 0;
        let written = loop {
            match open(&file) {
                Ok(mut to) => break self.recorder.write_ring(how, &mut to),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 999 => {
                    number += 1;
                    let mut name = self.file.clone().into_os_string();
                    name.push(format!(".{number}"));
                    file = name.into();
                }
                Err(error) => break Err(error),
            }
        };
        match written {
            Ok(()) => log::warn!("the recording of the last minutes is in {}", file.display()),
            Err(error) => log::warn!("cannot write {}: {error}", file.display()),
        }
    }

    fn tell_trouble(&mut self) {
        if let Some(error) = self.recorder.trouble() {
            log::warn!("the recording in {} ends here: {error}", self.file.display());
        }
    }
}

/// What a panic says.
pub fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("").to_owned()
}

/// The file's name, with the process's number where it is wanted: front ends start many of us with the same
/// environment.
fn place(trace: &TraceConfig) -> PathBuf {
    match trace.file.to_str() {
        Some(text) => text.replace("%p", &std::process::id().to_string()).into(),
        None => trace.file.clone(),
    }
}

/// A new file that nobody else may read: a trace holds the seed, and with it the cookies of a run. What is no
/// file (a pipe, a terminal) is taken as it is, but not waited for without end.
fn open(file: &Path) -> io::Result<Place> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    let is_other = std::fs::metadata(file).is_ok_and(|known| !known.is_file() && !known.is_dir());
    if is_other {
        options.custom_flags(OFlags::NONBLOCK.bits() as i32);
    } else {
        options.create_new(true);
    }
    match options.open(file) {
        Err(error) if is_other && error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => {
            Err(io::Error::other("nobody reads from this pipe"))
        }
        opened => opened.map(Place),
    }
}

/// Where a trace goes. The reader of a pipe may be slow; one that has stopped must not stop the run.
struct Place(File);

impl Write for Place {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], Some(&PATIENCE))? == 0 {
                        return Err(io::Error::other("whoever reads it has stopped"));
                    }
                }
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    #[test]
    fn a_pipe_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let told = open(&pipe).err().map(|error| error.to_string());
        assert_eq!(told.as_deref(), Some("nobody reads from this pipe"));

        let mut options = OpenOptions::new();
        let options = options.read(true).custom_flags(OFlags::NONBLOCK.bits() as i32);
        let reader = options.open(&pipe).unwrap();
        let mut place = open(&pipe).unwrap();
        // More than any pipe holds.
        let told = place.write_all(&vec![0; 1 << 22]).map_err(|error| error.to_string());
        assert_eq!(told, Err("whoever reads it has stopped".to_owned()));
        drop(reader);
        assert!(place.write_all(b"more").is_err());
    }
}
