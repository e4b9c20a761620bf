//! What has come by keeping in step: `.sprat/synced`, a line each, SHA-1 and name. Whoever deletes it loses nothing but
//! that what was deleted since comes again.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use rustix::fs::OFlags;

use super::share_folder::{ShareFolder, entry};
use crate::content::{ContentId, ShareName};
use crate::node::Input;

/// Never more of the file is read than this, in bytes.
const LENGTH_MAX: u64 = 256 << 20;
/// The longest line, in bytes: digits, a blank, a name and its end.
const LINE_MAX: u64 = 40 + 1 + 1_024 + 1;

/// Adds a line. Where the disk refuses, it comes again some time.
pub fn remember(root: &Path, content: ContentId, name: &ShareName) {
    if let Err(error) = append(root, content, name) {
        log::debug!("cannot remember that {name} came: {error}");
    }
}

fn append(root: &Path, content: ContentId, name: &ShareName) -> io::Result<()> {
    let mut file = open(root, OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND)?;
    // In one write: a line that was cut by a crash is none.
    file.write_all(format!("{content} {}\n", name.as_str()).as_bytes())
}

/// A link or a pipe that stands there is neither followed nor waited for.
fn open(root: &Path, mode: OFlags) -> io::Result<File> {
    let folder = ShareFolder::open_or_make(&root.join(".sprat"))?;
    entry::open_file(folder.handle(), "synced", mode)
}

/// All lines that are one, for the core.
pub fn read(root: &Path) -> Vec<Input<'static>> {
    let Ok(file) = open(root, OFlags::RDONLY) else { return Vec::new() };
    let mut lines = BufReader::new(file.take(LENGTH_MAX));
    let (mut inputs, mut line) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        match lines.by_ref().take(LINE_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return inputs,
            Ok(_) => inputs.extend(parse(&line)),
        }
    }
}

fn parse(line: &[u8]) -> Option<Input<'static>> {
    let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (content, name) = line.split_once(' ')?;
    let (content, name) = (content.parse().ok()?, ShareName::parse(name).ok()?);
    Some(Input::SyncedBefore { content, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_read_again_and_damage_is_skipped() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(read(root.path()).len(), 0);
        for name in ["a", "folder/with blank", "é"] {
            remember(root.path(), ContentId::EMPTY, &ShareName::parse(name).unwrap());
        }
        let path = root.path().join(".sprat/synced");
        let mut text = std::fs::read(&path).unwrap();
        text.extend_from_slice(b"\xff\nno line\n");
        text.extend_from_slice(&[b'x'; 3_000]);
        text.extend_from_slice(
            format!("\n{} ../out\n{} cut", ContentId::EMPTY, ContentId::EMPTY).as_bytes(),
        );
        std::fs::write(&path, text).unwrap();
        let names: Vec<String> = read(root.path())
            .into_iter()
            .map(|input| match input {
                Input::SyncedBefore { name, .. } => name.to_string(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(names, ["a", "folder/with blank", "é"]);
    }

    #[test]
    fn a_link_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let elsewhere = root.path().join("elsewhere");
        std::fs::write(&elsewhere, format!("{} a\n", ContentId::EMPTY)).unwrap();
        std::fs::create_dir(root.path().join(".sprat")).unwrap();
        std::os::unix::fs::symlink(&elsewhere, root.path().join(".sprat/synced")).unwrap();
        assert_eq!(read(root.path()).len(), 0);
        remember(root.path(), ContentId::EMPTY, &ShareName::parse("b").unwrap());
        assert_eq!(std::fs::read(&elsewhere).unwrap().len(), 40 + 3);
    }
}
