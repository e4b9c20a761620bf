//! Hashing one open file, a slice at a time.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::content::ContentId;
use crate::content::state_chain::ChainHasher;
use crate::driver::share_folder;
use crate::node::input::FileSignature;

/// How much is hashed in one step, in bytes: less than 4 ms without any help of the processor.
const STEP_LENGTH: u64 = 512 * 1024;
const READ_LENGTH: usize = 64 * 1024;

/// A file on its way to its name.
#[derive(Debug)]
pub(in crate::driver) struct FileHash {
    file: File,
    state: FileSignature,
    hasher: ChainHasher,
}

/// What a step came to.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::driver) enum Hashing {
    /// There is more to read.
    More,
    /// The whole file, which did not change meanwhile, is this content.
    Content(ContentId),
    /// It is, and was made so that another one is so as well.
    Colliding(ContentId),
    /// It changed.
    Changed,
}

impl FileHash {
    /// Will hash the file from its beginning.
    pub(in crate::driver) fn new(file: File) -> io::Result<Self> {
        let state = share_folder::signature(&file)?;
        Ok(Self { file, state, hasher: ChainHasher::new(state.size) })
    }

    /// Hashes the next slice. Not to be called again once it came to anything but `More`.
    pub(in crate::driver) fn step(&mut self) -> io::Result<Hashing> {
        let mut buffer = [0; READ_LENGTH];
        let stop = self.hasher.taken().saturating_add(STEP_LENGTH).min(self.state.size);
        while self.hasher.taken() < stop {
            match self.file.read_at(&mut buffer, self.hasher.taken()) {
                Ok(0) => return Ok(Hashing::Changed),
                Ok(length) => {
                    let taken = self.hasher.taken();
                    self.hasher.update(&buffer[..length]);
                    if self.hasher.taken() != taken + length as u64 {
                        return Ok(Hashing::Changed);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.hasher.taken() < self.state.size {
            return Ok(Hashing::More);
        }
        let mut hasher = std::mem::replace(&mut self.hasher, ChainHasher::new(0));
        let collides = hasher.collides();
        Ok(match hasher.finish() {
            Some((content, _)) if share_folder::signature(&self.file)? == self.state => {
                if collides { Hashing::Colliding(content) } else { Hashing::Content(content) }
            }
            _ => Hashing::Changed,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn whole_files_get_their_name_and_changed_ones_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, "").unwrap();
        let mut hash = FileHash::new(File::open(&path).unwrap()).unwrap();
        assert_eq!(hash.step().unwrap(), Hashing::Content(ContentId::EMPTY));

        let bytes = vec![7; STEP_LENGTH as usize + 5];
        let mut hasher = ChainHasher::new(bytes.len() as u64);
        hasher.update(&bytes);
        let (content, _) = hasher.finish().unwrap();
        fs::write(&path, &bytes).unwrap();
        let mut hash = FileHash::new(File::open(&path).unwrap()).unwrap();
        assert_eq!(hash.step().unwrap(), Hashing::More);
        assert_eq!(hash.step().unwrap(), Hashing::Content(content));

        for change in [5, STEP_LENGTH + 100] {
            fs::write(&path, &bytes).unwrap();
            let mut hash = FileHash::new(File::open(&path).unwrap()).unwrap();
            assert_eq!(hash.step().unwrap(), Hashing::More);
            fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(change).unwrap();
            assert_eq!(hash.step().unwrap(), Hashing::Changed);
        }
    }
}
