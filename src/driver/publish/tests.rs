//! Publishing on real folders: the core's machine asks, and the steps are taken.

mod cuts;
mod troubles;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use super::*;
use crate::content::ContentId;
use crate::content::state_chain::ChainHasher;
use crate::node::input::{Extent, FetchRequest};
use crate::node::{FetchId, Next, Publishing};

const NAME: &str = "animals/fox.txt";

fn id(bytes: &[u8]) -> ContentId {
    let mut hasher = ChainHasher::new(bytes.len() as u64);
    hasher.update(bytes);
    hasher.finish().unwrap().0
}

/// One file being published.
struct Run {
    publishing: Publishing,
    publisher: Publisher,
    asked: Option<PublishStep>,
}

impl Run {
    fn of_chunks(store: &ChunkStore) -> Self {
        Self::new(Publishing::of_chunks(&request(store)))
    }

    fn of_copy(store: &ChunkStore, from: &str) -> Self {
        Self::new(Publishing::of_copy(&request(store), ShareName::parse(from).unwrap()))
    }

    /// What a fetch does whose file is found in `share/`.
    fn of_found(store: &ChunkStore, name: &ShareName) -> Self {
        match store.name() == name {
            true => Self::new(Publishing::in_place(&request(store))),
            false => Self::of_copy(store, name.as_str()),
        }
    }

    fn new(publishing: Publishing) -> Self {
        Self { publishing, publisher: Publisher::default(), asked: None }
    }

    /// A slice of what was asked for; the end, once it has come.
    fn step(&mut self, store: &mut ChunkStore, share: &ShareFolder) -> Option<Next> {
        let next = match self.asked {
            None => self.publishing.begin(),
            Some(_) => {
                let outcome = self.publisher.work(store, share)?;
                self.publishing.stepped(outcome).expect("it is what was asked for")
            }
        };
        if let Next::Ask(step) = next {
            self.asked = Some(step.clone());
            self.publisher.begin(step);
            return None;
        }
        Some(next)
    }
}

fn request(store: &ChunkStore) -> FetchRequest {
    FetchRequest {
        fetch: FetchId(1),
        content: store.content(),
        size: store.size(),
        name: store.name().clone(),
        sources: Vec::new(),
        timeout: None,
        alone: false,
    }
}

struct Fixture {
    root: tempfile::TempDir,
    /// Where `share/` is, if that is another file system.
    other: Option<tempfile::TempDir>,
    bytes: Vec<u8>,
}

impl Fixture {
    fn new(size: usize) -> Self {
        let bytes = (0..size).map(|at| (at * 31 % 251) as u8).collect();
        Self { root: tempfile::tempdir().unwrap(), other: None, bytes }
    }

    fn store(&self) -> ChunkStore {
        let name = ShareName::parse(NAME).unwrap();
        let content = id(&self.bytes);
        let mut store = ChunkStore::new(self.root.path(), content, self.bytes.len() as u64, name);
        if matches!(store.open(), StoreOpening::Taken) {
            // Another test has started a process, which has copies of all that is open here until it
            // becomes another program; of the lock that a dropped store held, too.
            let attrs = self.root.path().join("chunks").join(names::attrs(content));
            let attrs = File::open(attrs).unwrap();
            rustix::fs::flock(&attrs, rustix::fs::FlockOperation::LockExclusive).unwrap();
            drop(attrs);
            assert!(matches!(store.open(), StoreOpening::Ours { .. }));
        }
        store
    }

    /// Stores the extents between these places, the last ones first.
    fn fill(&self, store: &mut ChunkStore, places: &[usize]) {
        for range in places.windows(2).rev() {
            let bytes = &self.bytes[range[0]..range[1]];
            store.store(range[0] as u64, range[0] as u64, bytes).unwrap();
        }
    }

    /// What the core does: stores what is missing.
    fn complete(&self, store: &mut ChunkStore) {
        let mut position = 0;
        let end = self.bytes.len();
        let extents = store.extents();
        let bounds = extents.iter().map(|it| (it.start as usize, it.length as usize));
        for (start, length) in bounds.chain([(end, 0)]) {
            if position < start {
                let bytes = &self.bytes[position..start];
                store.store(position as u64, position as u64, bytes).unwrap();
            }
            position = start + length;
        }
    }

    fn share(&self) -> ShareFolder {
        let root = self.other.as_ref().unwrap_or(&self.root).path();
        ShareFolder::open_or_make(&root.join("share")).unwrap()
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.share().path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    fn run(&self, mut run: Run, store: &mut ChunkStore) -> Next {
        let share = self.share();
        loop {
            if let Some(answer) = run.step(store, &share) {
                return answer;
            }
        }
    }

    fn publish(&self, store: &mut ChunkStore) -> Next {
        self.run(Run::of_chunks(store), store)
    }

    fn copy(&self, store: &mut ChunkStore) -> Next {
        self.run(Run::of_copy(store, "other"), store)
    }

    /// All files in `share/` with what they hold.
    fn shared(&self) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        let share = self.share();
        let mut folders = vec![share.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for item in fs::read_dir(folder).unwrap() {
                let path = item.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(share.path()).unwrap().to_str().unwrap();
                    found.insert(name.to_owned(), fs::read(&path).unwrap());
                }
            }
        }
        found
    }

    fn left(&self) -> Vec<String> {
        names_in(&self.root.path().join("chunks"))
    }

    /// Chunk files hold true bytes and no byte twice.
    fn assert_chunks_are_true(&self) {
        let mut end = 0;
        let mut starts: Vec<u64> = Vec::new();
        for name in self.left() {
            if let Some((_, names::ChunkFolderEntry::Chunk { start })) =
                names::parse(name.as_bytes())
            {
                starts.push(start);
            }
        }
        starts.sort_unstable();
        for start in starts {
            let name = names::chunk(id(&self.bytes), start);
            let there = fs::read(self.root.path().join("chunks").join(name)).unwrap();
            assert!(start >= end, "no overlap");
            end = start + there.len() as u64;
            assert!(there == self.bytes[start as usize..end as usize]);
        }
    }

    fn assert_done(&self, answer: &Next, others: &[(&str, &[u8])]) {
        let Next::Done(name) = answer else { panic!("{answer:?}") };
        let mut expected: BTreeMap<String, Vec<u8>> =
            others.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect();
        // What stood under the name before is the same content, or it was overwritten.
        let before = expected.insert(name.to_string(), self.bytes.clone());
        assert!(before.is_none_or(|before| before == self.bytes), "{name} was another file's");
        assert!(self.shared() == expected, "{:?}", self.shared().keys());
        assert_eq!(self.left(), [""; 0]);
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        names.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Runs a job, dropped with its store after one step, after two, and so on, each time on new
/// folders; then does what a new process would do, and expects the same end. How many steps there
/// were.
fn cut_after_every_step(
    fixture: impl Fn() -> Fixture,
    prepare: impl Fn(&Fixture, &mut ChunkStore),
    job: impl Fn(&ChunkStore) -> Run,
    others: &[(&str, &[u8])],
) -> usize {
    for steps in 0.. {
        let it = fixture();
        let mut store = it.store();
        prepare(&it, &mut store);
        let filled: u64 = store.extents().iter().map(|extent| extent.length).sum();
        let mut first = job(&store);
        let share = it.share();
        let ended = (0..steps).any(|_| first.step(&mut store, &share).is_some());
        drop((first, store));

        let shared = it.shared();
        for (name, bytes) in &shared {
            let other = others.iter().any(|(other, theirs)| name == other && bytes == theirs);
            assert!(other || *bytes == it.bytes, "{name} after {steps} steps");
        }
        it.assert_chunks_are_true();

        let mut store = it.store();
        it.assert_chunks_are_true();
        let published = shared.len() > others.len();
        let kept: u64 = store.extents().iter().map(|extent| extent.length).sum();
        assert!(published || kept == filled, "nothing is lost after {steps} steps");
        if published {
            // The search finds it in place, and the fetch ends.
            let name = shared.keys().find(|name| others.iter().all(|other| other.0 != *name));
            let name = ShareName::parse(name.unwrap()).unwrap();
            it.assert_done(&it.run(Run::of_found(&store, &name), &mut store), others);
        } else {
            let again = job(&store);
            if !again.publishing.is_copy() {
                it.complete(&mut store);
            }
            it.assert_done(&it.run(again, &mut store), others);
        }
        if ended {
            return steps;
        }
    }
    unreachable!("it ended")
}

fn on_two_file_systems(size: usize) -> Option<Fixture> {
    let mut it = Fixture::new(size);
    let other = tempfile::tempdir_in("/dev/shm").ok()?;
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    if device(other.path()) == device(it.root.path()) {
        return None;
    }
    it.other = Some(other);
    Some(it)
}
