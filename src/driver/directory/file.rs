//! Writes `d.json`, which front ends read: always a whole document, replaced in one step.
//!
//! Where the list is as it was, only the time is new. Two files hold the same document then, `d.json` and a spare
//! with a hidden name: the spare gets the new time, and the two change places in one step. So a sweep writes a few
//! bytes, not megabytes; a watcher of the folder sees another file come into place, as always; and who has the
//! old one open reads a whole document. The spare is a copy that the kernel makes, once for each change of the list. It
//! is used only if nobody else has touched it. Where files cannot change places, a copy is made at every sweep.
//!
//! It does not sync: after a power cut the next start writes the document anew, and a sync every
//! two seconds would wear out an SD card.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::driver::publish::copy::copy_slice;

/// The document's name in the root folder.
const NAME: &str = "d.json";
/// Where it is written before it gets its name, and where the spare is. One peer owns the folder, so one name will
/// do, and what a killed one left goes first: it may be a pipe, or another file's second name.
const NEW_NAME: &str = ".d.json.new";
/// How much of a document is copied at once: where the kernel has to make room for each page first, a mebibyte has been
/// seen to take 28 ms.
const COPY_LENGTH: u64 = 64 * 1024;
/// What follows the list.
const TAIL: &[u8] = b"\n}\n";

/// The `d.json` of one root folder.
#[derive(Debug)]
pub(super) struct DirectoryFile {
    place: PathBuf,
    new_place: PathBuf,
    /// What is being written.
    making: Option<Document>,
    /// What stands there.
    current: Option<Document>,
    /// The same with an older time.
    spare: Option<Document>,
    last_failure: Option<String>,
}

/// A document that we have written.
#[derive(Debug)]
struct Document {
    file: File,
    /// Bytes before the list.
    head: u64,
    /// Bytes of all.
    length: u64,
    /// Device, inode, and when it was last written to, by us.
    state: (u64, u64, i128),
}

/// The document gets another time.
#[derive(Debug)]
pub(super) enum Renewal {
    /// The spare does.
    Spare,
    /// A copy is made: up to here, of the document that stands there.
    Copying(u64),
}

impl Document {
    fn new(file: File, wall: SystemTime) -> io::Result<Self> {
        let head = head(wall);
        let length = head.len() as u64;
        let mut document = Self { file, head: length, length: 0, state: (0, 0, 0) };
        document.append(head.as_bytes())?;
        Ok(document)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Gives it this time, if that is as long as the one it has: it is, but where a clock is set for the first time.
    fn set_time(&mut self, wall: SystemTime) -> io::Result<()> {
        let head = head(wall);
        if head.len() as u64 == self.head {
            self.file.write_all_at(head.as_bytes(), 0)?;
        }
        self.state = state(&self.file.metadata()?);
        Ok(())
    }

    /// Whether it still has this name, and no other, and nobody has written to it but us.
    fn is_intact(&self, place: &Path) -> bool {
        fs::symlink_metadata(place)
            .is_ok_and(|there| self.is_as_written(&there) && there.nlink() == 1)
    }

    fn is_as_written(&self, there: &fs::Metadata) -> bool {
        state(there) == self.state && there.len() == self.length
    }
}

fn state(metadata: &fs::Metadata) -> (u64, u64, i128) {
    let modified = i128::from(metadata.mtime()) << 32 | i128::from(metadata.mtime_nsec());
    (metadata.dev(), metadata.ino(), modified)
}

/// What stands before the list.
fn head(wall: SystemTime) -> String {
    let timestamp =
        wall.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis());
    format!("{{\n  \"discovered_timestamp\": {timestamp},\n  \"discovered_files\": ")
}

impl DirectoryFile {
    /// Writes the first document, with an empty list.
    ///
    /// # Errors
    /// The system's own: the folder cannot be written, or the disk is full.
    pub(super) fn create(root: &Path, wall: SystemTime) -> io::Result<Self> {
        let mut file = Self {
            place: root.join(NAME),
            new_place: root.join(NEW_NAME),
            making: None,
            current: None,
            spare: None,
            last_failure: None,
        };
        let written =
            file.begin(wall).and_then(|()| file.append(b"[]")).and_then(|()| file.finish(wall));
        match written {
            Ok(()) => Ok(file),
            Err(error) => {
                file.close();
                Err(error)
            }
        }
    }

    /// Begins a document; the list is to follow.
    pub(super) fn begin(&mut self, wall: SystemTime) -> io::Result<()> {
        self.spare = None;
        self.making = Some(Document::new(self.open_new()?, wall)?);
        Ok(())
    }

    /// A further piece of the list.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.making.as_mut().map_or(Ok(()), |making| making.append(bytes))
    }

    /// The list is there: the document, with this time, comes into its place.
    pub(super) fn finish(&mut self, wall: SystemTime) -> io::Result<()> {
        self.append(TAIL)?;
        let Some(mut made) = self.making.take() else { return Ok(()) };
        made.set_time(wall)?;
        fs::rename(&self.new_place, &self.place)?;
        self.current = Some(made);
        self.note(None);
        Ok(())
    }

    /// The list is as it was: how it gets this time.
    pub(super) fn renew(&self, wall: SystemTime) -> Renewal {
        let fits = self.spare.as_ref().is_some_and(|spare| {
            spare.is_intact(&self.new_place) && spare.head == head(wall).len() as u64
        });
        if fits { Renewal::Spare } else { Renewal::Copying(0) }
    }

    /// Does the next piece of that; whether it is done, the time being this one.
    pub(super) fn renew_on(
        &mut self,
        renewal: Renewal,
        wall: SystemTime,
    ) -> io::Result<Option<Renewal>> {
        let at = match (renewal, &mut self.spare) {
            (Renewal::Spare, Some(spare)) => {
                spare.set_time(wall)?;
                return self.change_places().map(|()| None);
            }
            (Renewal::Spare, None) => 0,
            (Renewal::Copying(at), _) => at,
        };
        if at == 0 {
            self.begin(wall)?;
        }
        let (Some(current), Some(making)) = (&self.current, &mut self.making) else {
            return Err(touched());
        };
        let left = current.length - current.head - at;
        let from = (&current.file, current.head + at);
        let copied = copy_slice(from, (&making.file, making.length), left.min(COPY_LENGTH))?;
        making.length += copied;
        if copied < left && copied > 0 {
            return Ok(Some(Renewal::Copying(at + copied)));
        }
        // What somebody has written to, or cut off, is of no use.
        if !current.is_as_written(&current.file.metadata()?) {
            return Err(touched());
        }
        making.set_time(wall)?;
        self.spare = self.making.take();
        self.change_places().map(|()| None)
    }

    /// The document could not be written: the old one stays. It is logged when it is new or another failure
    /// than the last.
    pub(super) fn failed(&mut self, error: &io::Error) {
        // Half a document on a full disk helps nobody.
        self.close();
        self.note(Some(error.to_string()));
    }

    /// What is half done goes, and the spare. That there may be neither is no news.
    pub(super) fn close(&mut self) {
        (self.making, self.spare) = (None, None);
        let _ = fs::remove_file(&self.new_place);
    }

    /// The spare comes into place, and what stood there is the spare.
    fn change_places(&mut self) -> io::Result<()> {
        let is_ours = self.current.as_ref().is_some_and(|current| current.is_intact(&self.place));
        let (new, old) = (&self.new_place, &self.place);
        let exchanged = is_ours && renameat_with(CWD, new, CWD, old, RenameFlags::EXCHANGE).is_ok();
        if exchanged {
            std::mem::swap(&mut self.current, &mut self.spare);
        } else {
            fs::rename(new, old)?;
            self.current = self.spare.take();
        }
        self.note(None);
        Ok(())
    }

    fn note(&mut self, failure: Option<String>) {
        if failure == self.last_failure {
            return;
        }
        match &failure {
            Some(failure) => log::warn!(
                "cannot replace {}: {failure}; it stays as it is until that is mended",
                self.place.display()
            ),
            None => log::info!("{} is written again", self.place.display()),
        }
        self.last_failure = failure;
    }

    fn open_new(&self) -> io::Result<File> {
        match fs::remove_file(&self.new_place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => OpenOptions::new().read(true).write(true).create_new(true).open(&self.new_place),
        }
    }
}

fn touched() -> io::Error {
    io::Error::other("somebody has written to it")
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::time::Duration;

    use super::*;

    fn at(millis: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
    }

    fn read(root: &Path) -> serde_json::Value {
        serde_json::from_str(&fs::read_to_string(root.join(NAME)).unwrap()).unwrap()
    }

    fn write(file: &mut DirectoryFile, list: &str, wall: SystemTime) {
        let written = file
            .begin(wall)
            .and_then(|()| file.append(list.as_bytes()))
            .and_then(|()| file.finish(wall));
        if let Err(error) = written {
            file.failed(&error);
        }
    }

    fn renew(file: &mut DirectoryFile, wall: SystemTime) -> io::Result<()> {
        let mut renewal = file.renew(wall);
        while let Some(next) = file.renew_on(renewal, wall)? {
            renewal = next;
        }
        Ok(())
    }

    #[test]
    fn a_whole_document_stands_there_at_once_and_after_every_write() {
        let root = tempfile::tempdir().unwrap();
        let mut file = DirectoryFile::create(root.path(), at(1_498_596_074_226)).unwrap();
        let text = fs::read_to_string(root.path().join(NAME)).unwrap();
        let expected =
            "{\n  \"discovered_timestamp\": 1498596074226,\n  \"discovered_files\": []\n}\n";
        assert_eq!(text, expected);

        write(&mut file, r#"[{"sha1":"x"}]"#, at(2));
        let second = read(root.path());
        assert_eq!(second["discovered_timestamp"], 2);
        assert_eq!(second["discovered_files"][0]["sha1"], "x");
        let names: Vec<_> = fs::read_dir(root.path()).unwrap().collect();
        assert_eq!(names.len(), 1, "nothing else is left: {names:?}");
    }

    #[test]
    fn a_reader_of_the_old_document_keeps_all_of_it() {
        let root = tempfile::tempdir().unwrap();
        let mut file = DirectoryFile::create(root.path(), at(1)).unwrap();
        let mut old = File::open(root.path().join(NAME)).unwrap();
        write(&mut file, &format!("[{}1]", "1,".repeat(10_000)), at(2));
        let mut text = String::new();
        old.read_to_string(&mut text).unwrap();
        let old: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(old["discovered_timestamp"], 1);
    }

    #[test]
    fn a_new_time_is_another_file_in_its_place_and_few_bytes() {
        let root = tempfile::tempdir().unwrap();
        let mut file = DirectoryFile::create(root.path(), at(100)).unwrap();
        let list = format!("[{}1]", "1,".repeat(1_500_000));
        write(&mut file, &list, at(101));
        let place = root.path().join(NAME);
        let mut inodes = Vec::new();
        for time in 102..106 {
            let copies = matches!(file.renew(at(time)), Renewal::Copying(_));
            assert_eq!(copies, time == 102, "the spare is made once");
            renew(&mut file, at(time)).unwrap();
            let text = fs::read_to_string(&place).unwrap();
            assert_eq!(text, head(at(time)) + &list + "\n}\n");
            inodes.push(fs::metadata(&place).unwrap().ino());
        }
        assert!(inodes[0] != inodes[1] && inodes[0] == inodes[2] && inodes[1] == inodes[3]);
        file.close();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "the spare goes at the end");
    }

    #[test]
    fn what_others_did_to_either_file_is_put_right() {
        let root = tempfile::tempdir().unwrap();
        let (place, spare) = (root.path().join(NAME), root.path().join(NEW_NAME));
        let kept = root.path().join("kept");
        let deeds: [(&str, &dyn Fn()); 6] = [
            ("the document is cut off", &|| fs::write(&place, "{}").unwrap()),
            ("the document is gone", &|| fs::remove_file(&place).unwrap()),
            ("the document is another file", &|| {
                fs::remove_file(&place).unwrap();
                fs::write(&place, "{}").unwrap();
            }),
            ("the spare is another file", &|| {
                fs::remove_file(&spare).unwrap();
                fs::write(&spare, "{}").unwrap();
            }),
            ("the spare is written to", &|| fs::write(&spare, "{}").unwrap()),
            ("the document is kept by a second name", &|| {
                let _ = fs::remove_file(&kept);
                fs::hard_link(&place, &kept).unwrap();
            }),
        ];
        let mut file = DirectoryFile::create(root.path(), at(100)).unwrap();
        let mut time = 100;
        for (what, deed) in deeds {
            for round in 0..5 {
                if round == 2 {
                    deed();
                }
                time += 1;
                // Where both are spoilt, whoever has the list writes it anew.
                if renew(&mut file, at(time)).is_err() {
                    write(&mut file, "[]", at(time));
                }
                assert_eq!(read(root.path())["discovered_timestamp"], time, "{what}, {round}");
                assert_eq!(read(root.path())["discovered_files"], serde_json::json!([]), "{what}");
            }
        }
        let kept: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(&kept).unwrap()).unwrap();
        assert_eq!(kept["discovered_timestamp"], time - 3, "what somebody keeps is left alone");
    }

    #[test]
    fn where_there_is_no_spare_what_was_written_to_is_not_copied() {
        let root = tempfile::tempdir().unwrap();
        let mut file = DirectoryFile::create(root.path(), at(100)).unwrap();
        let place = root.path().join(NAME);
        let spoilt = fs::read_to_string(&place).unwrap().replace("[]", "{}");
        let before = fs::metadata(&place).unwrap().modified().unwrap();
        fs::write(&place, &spoilt).unwrap();
        let later = before + Duration::from_secs(1);
        File::options().write(true).open(&place).unwrap().set_modified(later).unwrap();
        assert!(renew(&mut file, at(101)).is_err());
        write(&mut file, "[]", at(102));
        assert_eq!(read(root.path())["discovered_timestamp"], 102);
    }

    #[test]
    fn what_cannot_be_written_is_an_error_at_first_and_later_leaves_the_old_one() {
        let root = tempfile::tempdir().unwrap();
        let missing = root.path().join("missing");
        let error = DirectoryFile::create(&missing, at(1)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);

        let mut file = DirectoryFile::create(root.path(), at(1)).unwrap();
        fs::create_dir(root.path().join(NEW_NAME)).unwrap();
        write(&mut file, "[]", at(2));
        assert!(file.last_failure.is_some());
        assert_eq!(read(root.path())["discovered_timestamp"], 1);
        fs::remove_dir(root.path().join(NEW_NAME)).unwrap();
        write(&mut file, "[]", at(3));
        assert!(file.last_failure.is_none());
        assert_eq!(read(root.path())["discovered_timestamp"], 3);
    }

    #[test]
    fn a_link_in_its_place_is_replaced_and_never_written_through() {
        let root = tempfile::tempdir().unwrap();
        let victim = root.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        for link in [NAME, NEW_NAME] {
            std::os::unix::fs::symlink(&victim, root.path().join(link)).unwrap();
        }
        DirectoryFile::create(root.path(), at(1)).unwrap();
        fs::hard_link(&victim, root.path().join(NEW_NAME)).unwrap();
        DirectoryFile::create(root.path(), at(2)).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert_eq!(read(root.path())["discovered_timestamp"], 2);
    }

    #[test]
    fn a_pipe_in_its_place_holds_nothing_up() {
        let root = tempfile::tempdir().unwrap();
        for pipe in [NAME, NEW_NAME] {
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            let pipe = root.path().join(pipe);
            rustix::fs::mknodat(CWD, pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        }
        DirectoryFile::create(root.path(), at(1)).unwrap();
        assert_eq!(read(root.path())["discovered_timestamp"], 1);
    }
}
