//! Copying from file to file in slices; and the file without a name that is filled before it gets
//! one.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{AtFlags, CWD, OFlags, copy_file_range, linkat};
use rustix::io::Errno;

use crate::content::ContentId;
use crate::content::state_chain::ChainHasher;
use crate::driver::share_folder::{self, entry};
use crate::node::input::FileSignature;

/// How much is copied in one step, in bytes.
const COPY_LENGTH: u64 = 1024 * 1024;
/// How much is copied in one step where it is hashed as well.
const PROVE_LENGTH: u64 = 512 * 1024;
const BUFFER_LENGTH: usize = 64 * 1024;

/// Copies at most one slice of `length` bytes; how much of it. None at the end of the file.
pub(in crate::driver) fn copy_slice(
    (from, from_offset): (&File, u64),
    (to, to_offset): (&File, u64),
    length: u64,
) -> io::Result<u64> {
    let length = length.min(COPY_LENGTH);
    let (mut source, mut sink) = (from_offset, to_offset);
    match copy_file_range(from, Some(&mut source), to, Some(&mut sink), length as usize) {
        // Some file systems answer zero, which is no proof of the end.
        Ok(0) => {}
        Ok(copied) => return Ok(copied as u64),
        Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::NOTSUP | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    let mut buffer = [0; BUFFER_LENGTH];
    let mut copied = 0;
    while copied < length {
        let want = (length - copied).min(BUFFER_LENGTH as u64) as usize;
        let read = read_some(from, &mut buffer[..want], from_offset + copied)?;
        if read == 0 {
            break;
        }
        to.write_all_at(&buffer[..read], to_offset + copied)?;
        copied += read as u64;
    }
    Ok(copied)
}

fn read_some(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(buffer, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// A new file without a name, in the file system of this folder. None where that has no such files.
pub(in crate::driver) fn nameless(folder: impl AsFd) -> io::Result<Option<File>> {
    match entry::open_file(folder, ".", OFlags::RDWR | OFlags::TMPFILE) {
        Ok(file) => Ok(Some(file)),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::NOTSUP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS) => Ok(None),
            _ => Err(error),
        },
    }
}

/// Gives a nameless file a name that must be free: `AlreadyExists` where it is not.
pub(in crate::driver) fn name_it(file: &File, folder: impl AsFd, name: &str) -> io::Result<()> {
    let folder = folder.as_fd();
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    match linkat(CWD, path, folder, name, AtFlags::SYMLINK_FOLLOW) {
        // Without /proc there is another way, which newer systems allow everybody.
        Err(Errno::NOENT) => Ok(linkat(file, "", folder, name, AtFlags::EMPTY_PATH)?),
        other => Ok(other?),
    }
}

/// A file being filled with a content.
#[derive(Debug)]
pub(super) struct Filling {
    /// Where the bytes come from; nowhere, for the empty content.
    from: Option<File>,
    /// For bytes that nobody has proven yet.
    proof: Option<(FileSignature, ChainHasher)>,
    pub(super) to: File,
    copied: u64,
    size: u64,
}

/// What a step of filling came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// There is more to copy.
    More,
    /// All is there.
    Whole,
    /// The file that is copied is not, or not any more, this content.
    Changed,
}

impl Filling {
    /// Copies `size` bytes that are proven already.
    pub(super) fn trusting(from: Option<File>, to: File, size: u64) -> Self {
        Self { from, proof: None, to, copied: 0, size }
    }

    /// Copies a file, proving it on the way.
    pub(super) fn proving(from: File, to: File, size: u64) -> io::Result<Self> {
        let proof = Some((share_folder::signature(&from)?, ChainHasher::new(size)));
        Ok(Self { from: Some(from), proof, to, copied: 0, size })
    }

    /// Whether there is a file that is copied, and this holds of it.
    pub(super) fn is_of(&self, holds: impl FnOnce(&File) -> bool) -> bool {
        self.from.as_ref().is_some_and(holds)
    }

    /// Copies the next slice.
    pub(super) fn step(&mut self, content: ContentId) -> io::Result<Filled> {
        let Some(from) = &self.from else {
            return Ok(Filled::Whole);
        };
        let left = self.size - self.copied;
        match &mut self.proof {
            None if left > 0 => {
                let copied = copy_slice((from, self.copied), (&self.to, self.copied), left)?;
                self.copied += copied;
                Ok(if copied == 0 { Filled::Changed } else { Filled::More })
            }
            None => Ok(Filled::Whole),
            Some((state, _)) if state.size != self.size => Ok(Filled::Changed),
            Some((_, hasher)) if left > 0 => {
                let stop = self.copied + left.min(PROVE_LENGTH);
                let mut buffer = [0; BUFFER_LENGTH];
                while self.copied < stop {
                    let want = (stop - self.copied).min(BUFFER_LENGTH as u64) as usize;
                    let read = read_some(from, &mut buffer[..want], self.copied)?;
                    if read == 0 {
                        return Ok(Filled::Changed);
                    }
                    hasher.update(&buffer[..read]);
                    self.to.write_all_at(&buffer[..read], self.copied)?;
                    self.copied += read as u64;
                }
                Ok(Filled::More)
            }
            Some((state, hasher)) => {
                let hasher = std::mem::replace(hasher, ChainHasher::new(0));
                let proven = hasher.finish().is_some_and(|(id, _)| id == content);
                let same = share_folder::signature(from)? == *state;
                Ok(if proven && same { Filled::Whole } else { Filled::Changed })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn slices_are_copied_to_their_place_and_end_with_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..1_500_000u32).map(|at| (at % 251) as u8).collect();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::write(&from, &bytes).unwrap();
        fs::write(&to, [9; 10]).unwrap();
        let source = File::open(&from).unwrap();
        let sink = fs::OpenOptions::new().read(true).write(true).open(&to).unwrap();
        let mut copied = 100;
        loop {
            let more = copy_slice((&source, copied), (&sink, copied - 90), u64::MAX).unwrap();
            assert!(more <= COPY_LENGTH);
            if more == 0 {
                break;
            }
            copied += more;
        }
        let there = fs::read(&to).unwrap();
        assert!(there[..10] == [9; 10] && there[10..] == bytes[100..]);
    }
}
