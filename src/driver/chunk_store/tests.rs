//! The store as the core uses it, on real folders.

use std::fs;

use super::*;
use crate::content::state_chain::{Chain, ChainHasher};

const BLOCK: usize = 64 * 1024;

struct Fixture {
    root: tempfile::TempDir,
    bytes: Vec<u8>,
    content: ContentId,
    states: Vec<u8>,
}

impl Fixture {
    /// A content of two and a half blocks.
    fn new() -> Self {
        let bytes: Vec<u8> = (0..BLOCK * 5 / 2).map(|at| (at * 31 % 251) as u8).collect();
        let mut hasher = ChainHasher::new(bytes.len() as u64);
        hasher.update(&bytes);
        let (content, states) = hasher.finish().unwrap();
        Self { root: tempfile::tempdir().unwrap(), bytes, content, states }
    }

    fn store(&self) -> ChunkStore {
        let name = ShareName::parse("animals/fox \"quick\".txt").unwrap();
        ChunkStore::new(self.root.path(), self.content, self.bytes.len() as u64, name)
    }

    fn opened(&self) -> ChunkStore {
        let mut store = self.store();
        assert!(matches!(store.open(), StoreOpening::Ours { .. }));
        store
    }

    fn put(&self, store: &mut ChunkStore, extent: usize, range: std::ops::Range<usize>) {
        store.store(extent as u64, range.start as u64, &self.bytes[range]).unwrap();
    }

    fn chunk(&self, start: u64) -> PathBuf {
        self.root.path().join("chunks").join(names::chunk(self.content, start))
    }

    fn left(&self) -> Vec<String> {
        let names = fs::read_dir(self.root.path().join("chunks")).unwrap();
        let mut names: Vec<_> =
            names.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn extent(start: usize, length: usize) -> Extent {
    Extent { start: start as u64, length: length as u64 }
}

fn ours(opening: StoreOpening) -> (Vec<Extent>, Option<Vec<u8>>) {
    match opening {
        StoreOpening::Ours { extents, chain } => (extents, chain),
        other => panic!("{other:?}"),
    }
}

fn kind(outcome: Result<(), DiskFault>) -> DiskFaultKind {
    outcome.unwrap_err().kind
}

#[test]
fn attrs_stand_there_at_once_and_a_run_goes_on_where_the_last_one_was_cut_off() {
    let it = Fixture::new();
    let mut store = it.store();
    assert!(!it.root.path().join("chunks").exists(), "nothing is touched before it is opened");
    assert_eq!(ours(store.open()), (vec![], None));
    let attrs = it.root.path().join("chunks").join(names::attrs(it.content));
    assert_eq!(
        fs::read_to_string(attrs).unwrap(),
        r#"{ "name": "animals/fox \"quick\".txt", "size": 163840 }"#
    );
    it.put(&mut store, BLOCK, BLOCK..2 * BLOCK);
    it.put(&mut store, 0, 0..BLOCK);
    it.put(&mut store, BLOCK, 2 * BLOCK..it.bytes.len());
    store.save_chain(&it.states);
    assert_eq!(fs::read(it.chunk(BLOCK as u64)).unwrap(), it.bytes[BLOCK..]);
    drop(store);

    let (extents, chain) = ours(it.store().open());
    assert_eq!(extents, [extent(0, BLOCK), extent(BLOCK, BLOCK * 3 / 2)]);
    assert_eq!(chain.as_ref(), Some(&it.states));
}

#[test]
fn a_second_one_waits_and_takes_over() {
    let it = Fixture::new();
    let mut first = it.opened();
    let mut second = it.store();
    assert_eq!(second.open(), StoreOpening::Taken);
    it.put(&mut first, 0, 0..BLOCK);
    assert_eq!(second.open(), StoreOpening::Taken);
    second.truncate_extent(0, 0);
    second.save_chain(&[]);
    assert_eq!(kind(second.store(0, 0, &it.bytes[..BLOCK])), DiskFaultKind::Vanished);
    drop(first);
    assert_eq!(ours(second.open()).0, [extent(0, BLOCK)]);
}

#[test]
fn blocks_are_checked_where_they_lie() {
    let it = Fixture::new();
    let mut store = it.opened();
    let chain = Chain::from_bytes(it.content, it.bytes.len() as u64, it.states.clone()).unwrap();
    let holds =
        |store: &mut ChunkStore, block, link| store.check_stored(block, &chain.link(link)).holds();
    it.put(&mut store, BLOCK, BLOCK..2 * BLOCK);
    it.put(&mut store, BLOCK, 2 * BLOCK..it.bytes.len());
    assert!(holds(&mut store, 1, 1) && holds(&mut store, 2, 2));
    assert!(!holds(&mut store, 0, 0), "not there");
    assert!(!holds(&mut store, 1, 0), "another block");
    store.truncate_extent(BLOCK as u64, BLOCK as u64 + 5);
    assert!(holds(&mut store, 1, 1));
    assert!(!holds(&mut store, 2, 2), "cut");
    let mut bytes = fs::read(it.chunk(BLOCK as u64)).unwrap();
    bytes[BLOCK - 1] ^= 1;
    fs::write(it.chunk(BLOCK as u64), bytes).unwrap();
    assert!(!holds(&mut store, 1, 1), "one bit is wrong");
}

#[test]
fn extents_are_cut_and_removed() {
    let it = Fixture::new();
    let mut store = it.opened();
    it.put(&mut store, 0, 0..BLOCK);
    store.truncate_extent(0, 2 * BLOCK as u64);
    assert_eq!(store.extents(), [extent(0, BLOCK)]);
    store.truncate_extent(0, 100);
    assert_eq!(store.extents(), [extent(0, 100)]);
    it.put(&mut store, 0, 100..200);
    assert_eq!(fs::read(it.chunk(0)).unwrap(), it.bytes[..200]);
    store.truncate_extent(0, 0);
    assert_eq!((store.extents(), it.chunk(0).exists()), (vec![], false));
    it.put(&mut store, 0, 0..BLOCK);
}

#[test]
fn what_does_not_belong_there_is_refused() {
    let it = Fixture::new();
    let mut store = it.opened();
    it.put(&mut store, BLOCK, BLOCK..2 * BLOCK);
    for (extent, position, length) in [
        (0, 0, BLOCK + 1),
        (0, 5, 5),
        (BLOCK, BLOCK, 5),
        (BLOCK + 5, BLOCK + 5, 5),
        (BLOCK, 2 * BLOCK, BLOCK / 2 + 1),
        (it.bytes.len(), it.bytes.len(), 1),
    ] {
        let bytes = vec![0; length];
        let outcome = store.store(extent as u64, position as u64, &bytes);
        assert_eq!(kind(outcome), DiskFaultKind::Final, "{extent} {position} {length}");
    }
    it.put(&mut store, 0, 0..BLOCK);
}

#[test]
fn a_folder_emptied_under_it_is_noticed_and_the_store_starts_anew() {
    let it = Fixture::new();
    let chunks = it.root.path().join("chunks");
    let cuts: [&dyn Fn(); 4] = [
        &|| fs::remove_dir_all(&chunks).unwrap(),
        &|| {
            fs::remove_dir_all(&chunks).unwrap();
            fs::create_dir(&chunks).unwrap();
        },
        &|| fs::remove_file(it.chunk(0)).unwrap(),
        &|| fs::remove_file(chunks.join(names::attrs(it.content))).unwrap(),
    ];
    for (which, cut) in cuts.iter().enumerate() {
        let mut store = it.opened();
        store.truncate_extent(0, 0);
        it.put(&mut store, 0, 0..BLOCK);
        cut();
        let outcome = store.store(0, BLOCK as u64, &it.bytes[BLOCK..2 * BLOCK]);
        assert_eq!(kind(outcome), DiskFaultKind::Vanished, "{which}");
        let kept = if which == 3 { vec![extent(0, BLOCK)] } else { vec![] };
        assert_eq!(ours(store.open()).0, kept, "{which}");
        assert!(it.left().contains(&names::attrs(it.content)));
        it.put(&mut store, BLOCK, BLOCK..2 * BLOCK);
        store.truncate_extent(BLOCK as u64, 0);
    }
}

#[test]
fn a_chunk_file_that_somebody_else_put_there_is_not_written_to() {
    let it = Fixture::new();
    let mut store = it.opened();
    let victim = it.root.path().join("victim");
    fs::write(&victim, vec![7; BLOCK]).unwrap();
    std::os::unix::fs::symlink(&victim, it.chunk(0)).unwrap();
    it.put(&mut store, 0, 0..BLOCK);
    fs::remove_file(it.chunk(0)).unwrap();
    fs::hard_link(&victim, it.chunk(0)).unwrap();
    let outcome = store.store(0, BLOCK as u64, &it.bytes[BLOCK..2 * BLOCK]);
    assert_eq!(kind(outcome), DiskFaultKind::Vanished);
    store.truncate_extent(0, 5);
    assert_eq!(fs::read(&victim).unwrap(), vec![7; BLOCK]);
    assert_eq!(ours(store.open()).0, []);
}

#[test]
fn a_chunk_file_that_is_not_as_it_was_left_is_not_written_to() {
    let it = Fixture::new();
    let elsewhere = it.root.path().join("elsewhere");
    let changes: [&dyn Fn(); 4] = [
        // Another file of the same length, under its name.
        &|| {
            fs::write(&elsewhere, vec![7; BLOCK]).unwrap();
            fs::rename(&elsewhere, it.chunk(0)).unwrap();
        },
        &|| fs::hard_link(it.chunk(0), &elsewhere).unwrap(),
        &|| fs::write(it.chunk(0), vec![7; BLOCK + 1]).unwrap(),
        &|| fs::rename(it.chunk(0), &elsewhere).unwrap(),
    ];
    for (which, change) in changes.iter().enumerate() {
        let mut store = it.opened();
        store.truncate_extent(0, 0);
        it.put(&mut store, 0, 0..BLOCK / 2);
        it.put(&mut store, 0, BLOCK / 2..BLOCK);
        change();
        let outcome = store.store(0, BLOCK as u64, &it.bytes[BLOCK..2 * BLOCK]);
        assert_eq!(kind(outcome), DiskFaultKind::Vanished, "{which}");
        let longest = [&elsewhere, &it.chunk(0)].map(|path| fs::metadata(path).map(|it| it.len()));
        assert!(longest.iter().flatten().all(|&length| length <= BLOCK as u64 + 1), "{which}");
        let _ = fs::remove_file(&elsewhere);
        let _ = fs::remove_file(it.chunk(0));
    }
}

#[test]
fn more_chunk_files_than_are_held_open_grow_side_by_side() {
    let it = Fixture::new();
    let mut store = it.opened();
    for round in 0..3 {
        for extent in (0..10).map(|at| at * 1_000) {
            let from = extent + round * 100;
            it.put(&mut store, extent, from..from + 100);
        }
    }
    for extent in (0..10).map(|at| at * 1_000) {
        assert_eq!(fs::read(it.chunk(extent as u64)).unwrap(), it.bytes[extent..extent + 300]);
    }
}

#[test]
fn what_stays_and_what_goes_at_the_end() {
    let it = Fixture::new();
    let done = FetchEnding::Done(ShareName::parse("fox.txt").unwrap());
    let filled = || {
        let mut store = it.opened();
        store.truncate_extent(0, 0);
        it.put(&mut store, 0, 0..BLOCK);
        store.save_chain(&it.states);
        store
    };
    let chain = || partial_chain::read(it.root.path(), it.content, it.bytes.len() as u64);
    filled().end(&FetchEnding::TimedOut);
    filled().end(&FetchEnding::Failed("no".to_owned()));
    filled().end(&done);
    assert_eq!(it.left().len(), 2, "what is to go was removed before");
    assert!(chain().is_some());

    filled().remove_all();
    assert_eq!(it.left(), [""; 0]);
    assert!(chain().is_none());
    for ending in [FetchEnding::WrongSize { size: 5 }, FetchEnding::Colliding] {
        filled().end(&ending);
        assert_eq!(it.left(), [""; 0]);
        assert!(chain().is_none());
    }

    // Who had the true size goes on as if nobody had come with another; who had the same wrong one does not.
    let mistaken = || {
        let size = it.bytes.len() as u64 + 1;
        let name = ShareName::parse("other").unwrap();
        let mut store = ChunkStore::new(it.root.path(), it.content, size, name);
        assert!(matches!(store.open(), StoreOpening::Ours { .. }));
        store
    };
    filled().end(&FetchEnding::TimedOut);
    let attrs = it.root.path().join("chunks").join(names::attrs(it.content));
    let (before, text) = (it.left(), fs::read_to_string(&attrs).unwrap());
    let true_size = FetchEnding::WrongSize { size: it.bytes.len() as u64 };
    mistaken().end(&true_size);
    assert_eq!(it.left(), before);
    assert_eq!(fs::read_to_string(&attrs).unwrap(), text);
    filled().remove_all();
    drop(mistaken());
    mistaken().end(&true_size);
    assert_eq!(it.left(), [""; 0]);

    // Whoever finds attrs fetches: those of what nobody waits for go, unless something has come, or they stood there.
    let given_up = |store: ChunkStore| {
        store.end(&FetchEnding::GivenUp);
        it.left().len()
    };
    assert_eq!(given_up(it.opened()), 0);
    assert_eq!(given_up(filled()), 2);
    assert_eq!(given_up(it.opened()), 2);
    filled().remove_all();
    drop(it.opened());
    assert_eq!(given_up(it.opened()), 1);

    let first = filled();
    let mut second = it.store();
    second.open();
    second.end(&FetchEnding::WrongSize { size: 5 });
    assert_eq!(it.left().len(), 2, "who does not have the lock removes nothing");
    drop(first);
}

#[test]
fn trouble_comes_as_a_sentence() {
    let it = Fixture::new();
    fs::write(it.root.path().join("chunks"), "a file").unwrap();
    let StoreOpening::Failed(fault) = it.store().open() else { panic!("it opened") };
    assert_eq!(fault.kind, DiskFaultKind::Final);
    assert!(fault.message.starts_with("cannot make ") && fault.message.contains("move away"));
}
