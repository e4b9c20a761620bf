//! A real chunks/, as a fetch leaves it from moment to moment.

use std::fs;

use super::*;

/// A watcher over a real folder, in a time of its own.
struct Watched {
    root: tempfile::TempDir,
    watcher: PartialWatcher,
    now: Instant,
    inputs: VecDeque<Input<'static>>,
}

const ID: &str = "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12";
const OTHER: &str = "de9f2c7fd25e1b3afad3e85a0bd17d9b100db4b3";

impl Watched {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let watcher = PartialWatcher::new(root.path());
        let mut watched =
            Self { root, watcher, now: Instant::from_micros(1_000_000), inputs: VecDeque::new() };
        watched.step();
        assert!(watched.inputs.is_empty());
        watched
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.root.path().join("chunks").join(name), bytes).unwrap();
    }

    fn step(&mut self) {
        for _ in 0..10_000 {
            if !self.watcher.step(self.now, &mut self.inputs) {
                assert!(self.watcher.next_due().unwrap() > self.now, "{:?}", self.watcher);
                return;
            }
        }
        panic!("it never ends: {:?}", self.watcher);
    }

    /// Reads events after this time, and says what was told.
    fn pass(&mut self, time: Duration) -> Vec<String> {
        self.watcher.on_readable(self.now);
        self.now = self.now + time;
        if time >= SECOND {
            // A listing that the machine made wait is rested from for longer.
            self.now = self.now.max(self.watcher.may_list_at);
        }
        self.step();
        self.inputs.drain(..).map(|input| describe(&input)).collect()
    }
}

fn describe(input: &Input<'_>) -> String {
    match input {
        Input::PartialSeen { content, size, extents, chain } => {
            let extents: Vec<_> = extents
                .iter()
                .map(|extent| format!(" {}+{}", extent.start, extent.length))
                .collect();
            let chain = chain.as_ref().map_or(String::new(), |chain| format!(" {chain:?}"));
            format!("+{}/{size}{}{chain}", &content.to_string()[..4], extents.concat())
        }
        Input::PartialGrown { content, extents } => {
            let extents: Vec<_> = extents
                .iter()
                .map(|extent| format!(" {}+{}", extent.start, extent.length))
                .collect();
            format!("~{}{}", &content.to_string()[..4], extents.concat())
        }
        Input::PartialGone { content } => format!("-{}", &content.to_string()[..4]),
        other => panic!("{other:?}"),
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_download_is_told_as_it_comes_grows_and_goes() {
    let mut watched = Watched::new();
    watched.write(&format!("{ID}:attrs"), br#"{ "name": "fox.txt", "size": 100 }"#);
    assert_eq!(watched.pass(SECOND), ["+2fd4/100"]);
    watched.write(&format!("{ID}:chunk:40"), &[1; 20]);
    watched.write(&format!("{ID}:chunk:0"), &[1; 10]);
    assert_eq!(watched.pass(SECOND), ["+2fd4/100 0+10 40+20"]);
    assert!(watched.pass(SECOND).is_empty(), "nothing new");
    assert_eq!(watched.watcher.size(ID.parse().unwrap()), Some(100));
    fs::remove_file(watched.root.path().join(format!("chunks/{ID}:chunk:40"))).unwrap();
    watched.write(&format!("{OTHER}:attrs"), br#"{ "name": "\u00e9", "size": 0 }"#);
    assert_eq!(watched.pass(SECOND), ["+2fd4/100 0+10", "+de9f/0"]);
    fs::remove_dir_all(watched.root.path().join("chunks")).unwrap();
    assert_eq!(watched.pass(SECOND), ["-2fd4", "-de9f"]);
    assert!(watched.root.path().join("chunks").is_dir(), "made again");
    watched.write(&format!("{ID}:attrs"), br#"{ "name": "fox.txt", "size": 100 }"#);
    assert_eq!(watched.pass(SECOND), ["+2fd4/100"]);
}

#[test]
fn growth_is_told_a_few_times_a_second() {
    let mut watched = Watched::new();
    watched.write(&format!("{ID}:attrs"), br#"{ "name": "fox.txt", "size": 100 }"#);
    watched.pass(SECOND);
    let mut told = 0;
    for length in 1..=100 {
        watched.write(&format!("{ID}:chunk:0"), &vec![1; length]);
        told += watched.pass(Duration::from_millis(10)).len();
    }
    // Fewer where a listing takes long.
    assert!((1..=21).contains(&told), "in a second: {told}");
    watched.pass(SECOND * 2);
    let idle = watched.watcher.next_due().unwrap().since(watched.now);
    assert!(idle > IDLE_INTERVAL / 2, "no wake-ups when nothing happens: {idle:?}");
}

#[test]
fn only_what_is_exactly_a_download_is_one() {
    let mut watched = Watched::new();
    watched.write(&format!("{}:attrs", ID.to_uppercase()), br#"{ "name": "a", "size": 1 }"#);
    watched.write(&format!("{OTHER}:attrs"), br#"{ "name": "a", "size": 10"#);
    watched.write(&format!("{OTHER}:chunk:0"), b"1");
    watched.write("readme", b"1");
    assert!(watched.pass(SECOND).is_empty());

    watched.write(&format!("{ID}:attrs"), br#"{ "name": "a", "size": 100 }"#);
    watched.write(&format!("{ID}:chunk:010"), b"12");
    watched.write(&format!("{ID}:chunk:100"), b"12");
    watched.write(&format!("{ID}:chunk:99"), b"12");
    watched.write(&format!("{ID}:chunk:5"), b"");
    watched.write(&format!("{ID}:join:7"), b"12");
    let chunks = watched.root.path().join("chunks");
    fs::create_dir(chunks.join(format!("{ID}:chunk:20"))).unwrap();
    std::os::unix::fs::symlink("readme", chunks.join(format!("{ID}:chunk:30"))).unwrap();
    assert_eq!(watched.pass(SECOND), ["+2fd4/100 99+1"]);

    fs::remove_file(chunks.join(format!("{ID}:attrs"))).unwrap();
    std::os::unix::fs::symlink("readme", chunks.join(format!("{ID}:attrs"))).unwrap();
    assert_eq!(watched.pass(SECOND), ["-2fd4"]);
    watched.write(&format!("{OTHER}:attrs"), br#"{"name":"a","size":9007199254740993}"#);
    assert!(watched.pass(SECOND).is_empty(), "larger than any content");
}

#[test]
fn the_chain_is_told_when_it_is_saved_and_when_it_is_another() {
    let mut watched = Watched::new();
    watched.write(&format!("{ID}:attrs"), br#"{ "name": "a", "size": 65537 }"#);
    assert_eq!(watched.pass(SECOND), ["+2fd4/65537"]);
    let folder = watched.root.path().join(".sprat/chains");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(format!("{ID}.partial")), [7; 20]).unwrap();
    watched.write(&format!("{ID}:chunk:0"), b"1");
    let told = watched.pass(SECOND);
    assert_eq!(told, [format!("+2fd4/65537 0+1 {:?}", [7; 20])]);
    assert!(watched.pass(SECOND).is_empty());
    watched.write(&format!("{ID}:chunk:0"), b"12");
    assert_eq!(watched.pass(SECOND), ["~2fd4 0+2"], "without the chain, which is known");
    fs::write(folder.join(format!("{ID}.partial")), [8; 20]).unwrap();
    watched.write(&format!("{ID}:chunk:0"), b"1");
    assert_eq!(watched.pass(SECOND), [format!("+2fd4/65537 0+1 {:?}", [8; 20])]);
    fs::write(folder.join(format!("{ID}.partial")), [8; 21]).unwrap();
    watched.write(&format!("{ID}:chunk:0"), b"1");
    assert_eq!(watched.pass(SECOND), ["+2fd4/65537 0+1"]);
}

#[test]
fn ranges_are_read_from_the_chunk_file_that_holds_them_whole() {
    let mut watched = Watched::new();
    watched.write(&format!("{ID}:attrs"), br#"{ "name": "a", "size": 100 }"#);
    watched.write(&format!("{ID}:chunk:10"), b"abcdefghij");
    watched.write(&format!("{ID}:chunk:20"), b"klm");
    assert_eq!(watched.pass(SECOND), ["+2fd4/100 10+10 20+3"]);
    let id = ID.parse().unwrap();
    for (position, length, start) in [(10, 10, 0), (12, 3, 2), (20, 3, 0), (19, 1, 9)] {
        let (mut file, at) = watched.watcher.open_range(id, position, length).unwrap();
        assert_eq!(at, start);
        let mut bytes = String::new();
        file.read_to_string(&mut bytes).unwrap();
        assert!(bytes.starts_with(if position < 20 { 'a' } else { 'k' }));
    }
    for (position, length) in [(9, 1), (19, 2), (22, 2), (50, 1), (10, u64::MAX)] {
        let error = watched.watcher.open_range(id, position, length).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{position}+{length}");
    }
    assert!(watched.watcher.open_range(OTHER.parse().unwrap(), 10, 1).is_err());
}

#[test]
fn overlaps_are_cut() {
    let extents = |list: &[(u64, u64)]| {
        list.iter().map(|&(start, length)| Extent { start, length }).collect::<Vec<_>>()
    };
    let cut = without_overlaps(extents(&[(30, 100), (0, 20), (10, 5), (200, 9), (12, 1)]), 100);
    assert_eq!(cut, extents(&[(0, 10), (10, 2), (12, 1), (30, 70)]));
    let far = extents(&[(u64::MAX, u64::MAX), (99, u64::MAX)]);
    assert_eq!(without_overlaps(far, 100), extents(&[(99, 1)]));
}

#[test]
fn without_events_it_is_looked_once_a_second() {
    let root = tempfile::tempdir().unwrap();
    let mut watcher = PartialWatcher::with_events(root.path(), None);
    let mut inputs = VecDeque::new();
    while watcher.step(Instant::ORIGIN, &mut inputs) {}
    let due = watcher.next_due().unwrap();
    assert!(due >= Instant::ORIGIN + SECOND && due < Instant::ORIGIN + IDLE_INTERVAL, "{due}");
    let attrs = root.path().join(format!("chunks/{ID}:attrs"));
    fs::write(attrs, br#"{ "name": "a", "size": 1 }"#).unwrap();
    while watcher.step(due, &mut inputs) {}
    assert_eq!(describe(&inputs[0]), "+2fd4/1");
}
