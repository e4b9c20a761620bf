//! What a fetch finds of its own in `chunks/`, put right: a join that was cut short can be gone on with, and
//! what can be no chunk file is removed. Only for who has the lock on the attrs.
//!
//! A file `SHA1:join:S` is being moved to the end of the first chunk file, block by block from its beginning: what
//! that has of it up to the last whole block may be gone from it, what that has not is there. So the first
//! chunk file is cut back to a whole block, and the rest of the other is a chunk like any
//! other, in a file with another name. One of which nothing was moved gets its own name again, and one of which
//! all was moved goes; no byte ever stands in two chunk files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;

use log::warn;
use rustix::fs::{Dir, OFlags};

use super::names::{self, ChunkFolderEntry};
use super::{Chunk, Rest, attrs};
use crate::content::{BlockLayout, ContentId};
use crate::driver::share_folder::{self, ShareFolder, entry};

/// The chunk files of a content of `size` bytes, by their starts.
pub(super) fn chunks(
    folder: &ShareFolder,
    content: ContentId,
    size: u64,
) -> io::Result<BTreeMap<u64, Chunk>> {
    let found = entries(folder, content)?;
    let mut starts = found.chunks;
    for name in &found.temporary {
        remove(folder, name, "it is left over");
    }
    let rest = settle_joins(folder, content, size, found.joining, &mut starts)?;
    starts.extend(rest.map(|(start, _)| start));
    starts.sort_unstable();
    starts.dedup();

    let mut chunks = BTreeMap::new();
    let mut end = 0;
    for start in starts {
        if let Some((_, chunk)) = rest.filter(|(at, _)| *at == start) {
            end = start + chunk.length();
            chunks.insert(start, chunk);
            continue;
        }
        let name = names::chunk(content, start);
        match look_at(folder, &name, start, end, size)? {
            Ok(chunk) => {
                end = start + chunk.length();
                chunks.insert(start, chunk);
            }
            Err(why) => remove(folder, &name, why),
        }
    }
    Ok(chunks)
}

/// Removes everything of this content but its attrs. What cannot be removed is told and left.
pub(super) fn remove_all(folder: &ShareFolder, content: ContentId) -> io::Result<()> {
    let found = entries(folder, content)?;
    let chunks = found.chunks.iter().map(|start| names::chunk(content, *start));
    let joining = found.joining.iter().map(|start| names::joining(content, *start));
    let mut outcome = Ok(());
    for name in chunks.chain(joining).chain(found.temporary) {
        if let Err(error) = entry::remove(folder.handle(), &name) {
            warn!("cannot remove chunks/{name}: {error}");
            outcome = Err(error);
        }
    }
    outcome
}

#[derive(Default)]
struct Found {
    chunks: Vec<u64>,
    joining: Vec<u64>,
    temporary: Vec<String>,
}

fn entries(folder: &ShareFolder, content: ContentId) -> io::Result<Found> {
    let mut found = Found::default();
    for item in Dir::read_from(folder.handle())? {
        let item = item?;
        let name = item.file_name();
        match names::parse(name.to_bytes()) {
            Some((id, kind)) if id == content => match kind {
                ChunkFolderEntry::Attrs => {}
                ChunkFolderEntry::Chunk { start } => found.chunks.push(start),
                ChunkFolderEntry::Joining { start } => found.joining.push(start),
                ChunkFolderEntry::Temporary => {
                    found.temporary.push(name.to_string_lossy().into_owned());
                }
            },
            _ => {}
        }
    }
    Ok(found)
}

/// Sees to what is being joined to the first chunk file. The one of which that has a part, and where what
/// it has not begins.
fn settle_joins(
    folder: &ShareFolder,
    content: ContentId,
    size: u64,
    mut joining: Vec<u64>,
    starts: &mut Vec<u64>,
) -> io::Result<Option<(u64, Chunk)>> {
    let mut rest = None;
    joining.sort_unstable();
    for start in joining {
        let (old, new) = (names::joining(content, start), names::chunk(content, start));
        if !(1..size).contains(&start) {
            remove(folder, &old, "it is no part of this file");
            continue;
        }
        let Some((file, length)) = own_file(folder, &old)? else {
            remove(folder, &old, "it is no file of ours");
            continue;
        };
        let base = own_file(folder, &names::chunk(content, 0))?;
        let end = base.as_ref().map_or(0, |(_, length)| *length);
        if end >= start + length {
            entry::remove(folder.handle(), &old)?;
            continue;
        }
        let whole_blocks = end - end % BlockLayout::new(size).block_length();
        let kept = whole_blocks.max(start);
        if let Some((base, _)) = base.filter(|_| end > kept) {
            base.set_len(kept)?;
        }
        if end > start && kept > start {
            if start + length > size {
                file.set_len(size - start)?;
            }
            let state = share_folder::signature(&file)?;
            let of = Rest { file: start, joined: kept - start };
            rest = Some((kept, Chunk { state, rest: Some(of) }));
            continue;
        }
        match entry::rename_to_free(folder.handle(), &old, folder.handle(), &new) {
            Ok(()) => starts.push(start),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                remove(folder, &old, "its place is taken");
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(rest)
}

/// A regular file that has no other name, and how long it is.
fn own_file(folder: &ShareFolder, name: &str) -> io::Result<Option<(File, u64)>> {
    let file = match entry::open_file(folder.handle(), name, OFlags::RDWR) {
        Ok(file) => file,
        Err(error) if attrs::is_no_file(&error) => return Ok(None),
        Err(error) => match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound => return Ok(None),
            _ => return Err(error),
        },
    };
    let metadata = file.metadata()?;
    Ok((metadata.nlink() == 1).then_some((file, metadata.len())))
}

/// The chunk file, cut to the size where it is longer; or why it is none.
fn look_at(
    folder: &ShareFolder,
    name: &str,
    start: u64,
    taken_to: u64,
    size: u64,
) -> io::Result<Result<Chunk, &'static str>> {
    if start >= size {
        return Ok(Err("it begins beyond the size"));
    }
    if start < taken_to {
        return Ok(Err("it overlaps another one"));
    }
    let file = match entry::open_file(folder.handle(), name, OFlags::RDWR) {
        Ok(file) => file,
        Err(error) if attrs::is_no_file(&error) => return Ok(Err("it is no regular file")),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Ok(Err("it cannot be opened"));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Err("it is gone")),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    if metadata.nlink() != 1 {
        // It may be in share/ as well: nothing may ever be written through this name again.
        return Ok(Err("it has another name elsewhere"));
    }
    if metadata.len() == 0 {
        return Ok(Err("it is empty"));
    }
    if metadata.len() > size - start {
        warn!("chunks/{name} is longer than the file it is a part of; it is cut");
        file.set_len(size - start)?;
    }
    Ok(Ok(Chunk::remember(share_folder::signature(&file)?)))
}

fn remove(folder: &ShareFolder, name: &str, why: &str) {
    match entry::remove(folder.handle(), name) {
        Ok(()) => warn!("chunks/{name} is removed: {why}"),
        Err(error) => warn!("chunks/{name} should go ({why}) but cannot be removed: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::{FileType, Mode};

    use super::*;

    const ID: ContentId = ContentId::EMPTY;

    fn folder() -> (tempfile::TempDir, ShareFolder) {
        let root = tempfile::tempdir().unwrap();
        let folder = ShareFolder::open_or_make(&root.path().join("chunks")).unwrap();
        (root, folder)
    }

    fn put(folder: &ShareFolder, name: &str, length: usize) {
        fs::write(folder.path().join(name), vec![b'x'; length]).unwrap();
    }

    fn extents(folder: &ShareFolder, size: u64) -> Vec<(u64, u64)> {
        let found = chunks(folder, ID, size).unwrap();
        found.iter().map(|(start, chunk)| (*start, chunk.length())).collect()
    }

    fn listing(folder: &ShareFolder) -> Vec<String> {
        let names = fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> =
            names.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_no_chunk_file_goes_and_the_rest_stays() {
        let (root, folder) = folder();
        let chunk = |start| names::chunk(ID, start);
        put(&folder, &chunk(0), 100);
        put(&folder, &chunk(50), 10);
        put(&folder, &chunk(100), 20);
        put(&folder, &chunk(200), 0);
        put(&folder, &chunk(900), 500);
        put(&folder, &chunk(1000), 1);
        put(&folder, &names::new_attrs(ID, 3), 4);
        put(&folder, &names::attrs(ID), 4);
        put(&folder, "notes.txt", 4);
        let other = names::chunk(ContentId([7; 20]), 0);
        put(&folder, &other, 4);
        let zero = format!("{ID}:chunk:0300");
        put(&folder, &zero, 4);
        fs::write(root.path().join("victim"), [1; 30]).unwrap();
        symlink(root.path().join("victim"), folder.path().join(chunk(300))).unwrap();
        fs::hard_link(root.path().join("victim"), folder.path().join(chunk(400))).unwrap();
        fs::create_dir(folder.path().join(chunk(500))).unwrap();
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(folder.handle(), chunk(600), FileType::Fifo, mode, 0).unwrap();

        assert_eq!(extents(&folder, 1000), [(0, 100), (100, 20), (900, 100)]);
        let mut left =
            [chunk(0), chunk(100), chunk(900), names::attrs(ID), "notes.txt".into(), other, zero];
        left.sort();
        assert_eq!(listing(&folder), left);
        assert_eq!(fs::read(root.path().join("victim")).unwrap(), [1; 30]);
        assert_eq!(extents(&folder, 0), []);
    }

    #[test]
    fn every_cut_in_a_join_is_settled() {
        for base_length in [0, 70, 100, 130, 150, 180, 200] {
            let (_root, folder) = folder();
            if base_length > 0 {
                put(&folder, &names::chunk(ID, 0), base_length);
            }
            put(&folder, &names::joining(ID, 100), 50);
            put(&folder, &names::joining(ID, 150), 30);
            put(&folder, &names::chunk(ID, 180), 20);
            put(&folder, &names::joining(ID, 0), 1);
            put(&folder, &names::joining(ID, 200), 1);
            // They are shorter than a block: of none a part can be gone.
            let base_end = base_length as u64;
            let mut expected = vec![(100, 50), (150, 30), (180, 20)];
            expected.retain(|(start, length)| start + length > base_end);
            if base_length > 0 {
                let next = expected.first().map_or(200, |(start, _)| *start);
                expected.insert(0, (0, base_end.min(next)));
            }
            assert_eq!(extents(&folder, 200), expected, "{base_length}");
            assert_eq!(listing(&folder).len(), expected.len());
        }
    }

    #[test]
    fn what_is_left_of_a_file_that_was_being_joined_is_a_chunk() {
        const BLOCK: usize = 65_536;
        let size = 6 * BLOCK as u64;
        let (_root, folder) = folder();
        put(&folder, &names::chunk(ID, 0), 3 * BLOCK + 70);
        put(&folder, &names::joining(ID, BLOCK as u64), 4 * BLOCK);
        put(&folder, &names::joining(ID, 5 * BLOCK as u64), BLOCK);
        let block = BLOCK as u64;
        let expected = [(0, 3 * block), (3 * block, 2 * block), (5 * block, block)];
        for _ in 0..2 {
            assert_eq!(extents(&folder, size), expected);
            let left = [0, 5].map(|at| names::chunk(ID, at * block));
            let [first, last] = left;
            assert_eq!(listing(&folder), [first, last, names::joining(ID, block)]);
        }
    }

    #[test]
    fn a_join_whose_place_is_taken_goes() {
        let (_root, folder) = folder();
        put(&folder, &names::chunk(ID, 100), 50);
        fs::hard_link(
            folder.path().join(names::chunk(ID, 100)),
            folder.path().join(names::joining(ID, 100)),
        )
        .unwrap();
        assert_eq!(extents(&folder, 200), [(100, 50)]);
    }

    #[test]
    fn all_goes_but_the_attrs_and_what_is_not_ours() {
        let (_root, folder) = folder();
        for name in [names::chunk(ID, 0), names::joining(ID, 5), names::whole(ID)] {
            put(&folder, &name, 3);
        }
        put(&folder, &names::attrs(ID), 3);
        put(&folder, "other", 3);
        remove_all(&folder, ID).unwrap();
        assert_eq!(listing(&folder), [names::attrs(ID), "other".to_owned()]);
    }
}
