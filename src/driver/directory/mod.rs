//! `d.json` and the lines on standard output: both follow from the [`Directory`] that the core hands out at
//! every sweep, and are made a piece at a time, so that 100,000 files never hold up the loop.
//!
//! One directory is worked off after the other: the document first, then the lines. What is handed out meanwhile
//! waits, and only the newest does. The one under way is always finished: were it dropped for a newer one, a
//! network that changes faster than the document is made would never get one.
//!
//! Where nothing has changed since, nothing is made: the document that is there gets another time.

mod file;
mod lines;
mod text;

use std::io;
use std::path::Path;
use std::time::SystemTime;

use self::file::{DirectoryFile, Renewal};
use self::lines::DirectoryLines;
use self::text::DirectoryText;
use super::clock::Slice;
use crate::node::Directory;

/// Text is handed to the system in pieces of this length or a bit more.
const WRITE_LENGTH: usize = 16 * 1024;

/// What is made of the directories.
#[derive(Debug)]
pub struct DirectoryJobs {
    file: DirectoryFile,
    /// What the document shows; none where it could not be written.
    written: Option<Directory>,
    /// What the lines have told.
    told: Directory,
    /// The newest that was handed out, and when.
    newest: Directory,
    wall: SystemTime,
    /// Whether that is still to be looked at.
    is_due: bool,
    work: Work,
}

#[derive(Debug)]
enum Work {
    Rest,
    /// The document is made.
    Writing(Directory, Box<DirectoryText>, Vec<u8>),
    /// It gets another time.
    Renewing(Renewal),
    /// The lines are told.
    Telling(Directory, DirectoryLines),
}

impl DirectoryJobs {
    /// Writes the first document, with an empty list.
    ///
    /// # Errors
    /// The system's own: the folder cannot be written, or the disk is full.
    pub fn create(root: &Path, wall: SystemTime) -> io::Result<Self> {
        let nothing = Directory::default();
        Ok(Self {
            file: DirectoryFile::create(root, wall)?,
            written: Some(nothing.clone()),
            told: nothing.clone(),
            newest: nothing,
            wall,
            is_due: false,
            work: Work::Rest,
        })
    }

    /// For `Output::Directory`: this is what is known, at this time.
    pub fn show(&mut self, directory: Directory, wall: SystemTime) {
        (self.newest, self.wall, self.is_due) = (directory, wall, true);
    }

    /// Works until the slice is over, for one piece at least, and hands out lines. Whether there is more
    /// to do.
    pub fn step(&mut self, slice: &Slice, mut line: impl FnMut(&str)) -> bool {
        while self.is_due || !matches!(self.work, Work::Rest) {
            self.work = match std::mem::replace(&mut self.work, Work::Rest) {
                Work::Rest => self.begin(),
                Work::Writing(directory, text, buffer) => self.write_on(directory, text, buffer),
                Work::Renewing(renewal) => self.renew_on(renewal),
                Work::Telling(directory, mut lines) => {
                    if lines.go_on(&mut line) {
                        Work::Telling(directory, lines)
                    } else {
                        self.told = directory;
                        Work::Rest
                    }
                }
            };
            if slice.is_over() {
                break;
            }
        }
        self.is_due || !matches!(self.work, Work::Rest)
    }

    /// Nothing more comes: what is not finished is not, and the document stays as it is.
    pub fn close(&mut self) {
        self.work = Work::Rest;
        self.file.close();
    }

    /// Takes up what was handed out last.
    fn begin(&mut self) -> Work {
        self.is_due = false;
        if self.written.as_ref().is_some_and(|written| *written == self.newest) {
            return Work::Renewing(self.file.renew(self.wall));
        }
        self.written = None;
        let directory = self.newest.clone();
        match self.file.begin(self.wall) {
            Ok(()) => {
                let text = Box::new(DirectoryText::new(directory.clone()));
                Work::Writing(directory, text, Vec::with_capacity(WRITE_LENGTH * 3 / 2))
            }
            Err(error) => self.failed(directory, &error),
        }
    }

    fn write_on(
        &mut self,
        directory: Directory,
        mut text: Box<DirectoryText>,
        mut buffer: Vec<u8>,
    ) -> Work {
        let more = text.go_on(&mut buffer);
        let written = if more && buffer.len() < WRITE_LENGTH {
            Ok(())
        } else {
            let written = self.file.append(&buffer);
            buffer.clear();
            written
        };
        match written {
            Ok(()) if more => Work::Writing(directory, text, buffer),
            Ok(()) => match self.file.finish(self.wall) {
                Ok(()) => {
                    // A sweep that came meanwhile wanted the same, and its time is in it.
                    self.is_due &= self.newest != directory;
                    self.written = Some(directory.clone());
                    self.tell(directory)
                }
                Err(error) => self.failed(directory, &error),
            },
            Err(error) => self.failed(directory, &error),
        }
    }

    fn renew_on(&mut self, renewal: Renewal) -> Work {
        match self.file.renew_on(renewal, self.wall) {
            Ok(Some(renewal)) => Work::Renewing(renewal),
            Ok(None) => {
                let is_new = self.written.as_ref() != Some(&self.newest);
                self.is_due &= is_new;
                Work::Rest
            }
            // Somebody may have done something to the document: it is made anew.
            Err(error) => {
                log::debug!("d.json cannot be renewed: {error}");
                self.written = None;
                self.is_due = true;
                Work::Rest
            }
        }
    }

    /// The document stays as it is, and is tried again at the next sweep.
    fn failed(&mut self, directory: Directory, error: &io::Error) -> Work {
        self.file.failed(error);
        self.tell(directory)
    }

    fn tell(&self, directory: Directory) -> Work {
        let lines = DirectoryLines::between(&self.told, &directory);
        Work::Telling(directory, lines)
    }
}

#[cfg(test)]
mod tests;
