//! Writes `d.json`, which front ends read: always a whole document, replaced in one step.
//!
//! It does not sync: after a power cut the next start writes the document anew, and a sync every
//! two seconds would wear out an SD card.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The document's name in the root folder.
const NAME: &str = "d.json";
/// Where it is written before it gets its name. One peer owns the folder, so one name will do, and
/// what a killed one left goes first: it may be a pipe, or another file's second name.
const NEW_NAME: &str = ".d.json.new";

/// The `d.json` of one root folder.
#[derive(Debug)]
pub struct DirectoryFile {
    place: PathBuf,
    new_place: PathBuf,
    document: String,
    last_failure: Option<String>,
}

impl DirectoryFile {
    /// Writes the first document, with an empty list.
    ///
    /// # Errors
    /// The system's own: the folder cannot be written, or the disk is full.
    pub fn create(root: &Path, wall: SystemTime) -> io::Result<Self> {
        let mut file = Self {
            place: root.join(NAME),
            new_place: root.join(NEW_NAME),
            document: String::new(),
            last_failure: None,
        };
        file.replace("[]", wall)?;
        Ok(file)
    }

    /// For `Output::Directory`: replaces the document. A failure is logged when it is new or
    /// another than the last; the old document stays.
    pub fn write(&mut self, discovered_files: &str, wall: SystemTime) {
        let failure = self.replace(discovered_files, wall).err().map(|error| error.to_string());
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

    fn replace(&mut self, discovered_files: &str, wall: SystemTime) -> io::Result<()> {
        let timestamp =
            wall.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis());
        self.document.clear();
        self.document.push_str("{\n  \"discovered_timestamp\": ");
        self.document.push_str(&timestamp.to_string());
        self.document.push_str(",\n  \"discovered_files\": ");
        self.document.push_str(discovered_files);
        self.document.push_str("\n}\n");
        let renamed = self
            .open_new()
            .and_then(|mut new| new.write_all(self.document.as_bytes()))
            .and_then(|()| fs::rename(&self.new_place, &self.place));
        if renamed.is_err() {
            // Half a document on a full disk helps nobody; that it may not be there is no news.
            let _ = fs::remove_file(&self.new_place);
        }
        renamed
    }

    fn open_new(&self) -> io::Result<File> {
        match fs::remove_file(&self.new_place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => OpenOptions::new().write(true).create_new(true).open(&self.new_place),
        }
    }
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

    #[test]
    fn a_whole_document_stands_there_at_once_and_after_every_write() {
        let root = tempfile::tempdir().unwrap();
        let mut file = DirectoryFile::create(root.path(), at(1_498_596_074_226)).unwrap();
        let first = read(root.path());
        assert_eq!(first["discovered_timestamp"], 1_498_596_074_226_u64);
        assert_eq!(first["discovered_files"], serde_json::json!([]));

        file.write(r#"[{"sha1":"x"}]"#, at(2));
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
        file.write(&format!("[{}1]", "1,".repeat(10_000)), at(2));
        let mut text = String::new();
        old.read_to_string(&mut text).unwrap();
        let old: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(old["discovered_timestamp"], 1);
    }

    #[test]
    fn what_cannot_be_written_is_an_error_at_first_and_later_leaves_the_old_one() {
        let root = tempfile::tempdir().unwrap();
        let missing = root.path().join("missing");
        let error = DirectoryFile::create(&missing, at(1)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);

        let mut file = DirectoryFile::create(root.path(), at(1)).unwrap();
        fs::create_dir(root.path().join(NEW_NAME)).unwrap();
        file.write("[]", at(2));
        assert!(file.last_failure.is_some());
        assert_eq!(read(root.path())["discovered_timestamp"], 1);
        fs::remove_dir(root.path().join(NEW_NAME)).unwrap();
        file.write("[]", at(3));
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
            rustix::fs::mknodat(rustix::fs::CWD, pipe, rustix::fs::FileType::Fifo, mode, 0)
                .unwrap();
        }
        DirectoryFile::create(root.path(), at(1)).unwrap();
        assert_eq!(read(root.path())["discovered_timestamp"], 1);
    }
}
