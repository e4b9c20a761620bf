//! Real folders under a watcher whose time is the test's.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path as DiskPath;

use super::*;
use crate::driver::clock::wall_now;
use crate::node::input::FileSignature;

/// A watcher over a real folder, in a time of its own.
struct Watched {
    root: tempfile::TempDir,
    share: ShareFolder,
    watcher: ShareWatcher,
    now: Instant,
    inputs: VecDeque<Input<'static>>,
}

impl Watched {
    fn new() -> Self {
        Self::with(ShareWatcher::new())
    }

    fn without_events() -> Self {
        Self::with(ShareWatcher::with_events(None))
    }

    fn with(watcher: ShareWatcher) -> Self {
        let root = tempfile::tempdir().unwrap();
        let share = ShareFolder::open_or_make(&root.path().join("share")).unwrap();
        let now = Instant::from_micros(1_000_000);
        Self { root, share, watcher, now, inputs: VecDeque::new() }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.root.path().join("share").join(name)
    }

    fn write(&self, name: &str, bytes: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Steps while there is something to do at once. How often.
    fn step(&mut self) -> usize {
        for steps in 1..10_000 {
            let inputs = &mut self.inputs;
            if !self.watcher.step(self.now, wall_now(), &mut self.share, inputs) {
                assert!(self.watcher.next_due().unwrap() > self.now, "{:?}", self.watcher);
                return steps;
            }
        }
        panic!("it never ends: {:?}", self.watcher);
    }

    /// What was told: `+name size` and `-name`.
    fn told(&mut self) -> Vec<String> {
        let mut told: Vec<_> = self.inputs.drain(..).map(|input| describe(&input)).collect();
        told.sort();
        told
    }

    /// Lets the events gather, reads them, and hands back what was told.
    fn after_events(&mut self) -> Vec<String> {
        self.watcher.on_readable(self.now);
        self.pass(Duration::from_millis(50))
    }

    fn pass(&mut self, time: Duration) -> Vec<String> {
        self.now = self.now + time;
        self.step();
        self.told()
    }
}

fn describe(input: &Input<'_>) -> String {
    match input {
        Input::FileSeen { name, signature, .. } => format!("+{name} {}", signature.size),
        Input::FileGone { name } => format!("-{name}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_scan_tells_regular_files_with_good_names_and_nothing_else() {
    let mut watched = Watched::new();
    for name in ["a", "deep/er/b", "deep/c.PART", "d~", ".hidden", ".git/e", "deep/x\\y", "f.tmp/g"]
    {
        watched.write(name, "12345");
    }
    fs::create_dir(watched.path("empty")).unwrap();
    symlink("a", watched.path("link")).unwrap();
    symlink("deep", watched.path("folder-link")).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(watched.share.handle(), "pipe", fifo, mode, 0).unwrap();
    std::os::unix::net::UnixListener::bind(watched.path("socket")).unwrap();

    watched.step();
    assert_eq!(watched.told(), ["+a 5", "+deep/er/b 5", "+f.tmp/g 5"]);
    assert!(watched.watcher.is_settled());
    let idle = watched.watcher.next_due().unwrap().since(watched.now);
    assert!(idle >= SCAN_INTERVAL, "no wake-ups when nothing happens: {idle:?}");
    assert!(watched.pass(SCAN_INTERVAL * 2).is_empty());
}

#[test]
fn the_signature_is_the_one_of_the_open_file_and_the_age_that_of_its_last_change() {
    let mut watched = Watched::new();
    watched.write("a", "1");
    let opened = fs::File::open(watched.path("a")).unwrap();
    let wall = wall_now() + Duration::from_secs(100);
    watched.watcher.step(watched.now, wall, &mut watched.share, &mut watched.inputs);
    let Some(Input::FileSeen { signature, unchanged_for, .. }) = watched.inputs.pop_front() else {
        panic!("nothing told");
    };
    let expected = crate::driver::share_folder::signature(&opened).unwrap();
    assert_eq!(signature, expected);
    assert!((99..=101).contains(&unchanged_for.as_secs()), "{unchanged_for:?}");

    // A change after now, as clocks that were set back have it.
    let inputs = &mut VecDeque::new();
    let mut step = Step::new(watched.now, SystemTime::UNIX_EPOCH, &watched.share, inputs);
    step.seen(crate::content::ShareName::parse("a").unwrap(), signature);
    let before = FileSignature { modified_ns: -1, changed_ns: i64::MIN, ..signature };
    step.seen(crate::content::ShareName::parse("b").unwrap(), before);
    for input in inputs {
        assert!(matches!(input, Input::FileSeen { unchanged_for: Duration::ZERO, .. }));
    }
}

#[test]
fn events_lead_to_what_came_changed_moved_and_went() {
    let mut watched = Watched::new();
    watched.write("a", "1");
    watched.step();
    watched.told();

    watched.write("b", "22");
    watched.write("new/folder/c", "333");
    assert_eq!(watched.after_events(), ["+b 2", "+new/folder/c 3"]);
    watched.write("new/folder/c", "4444");
    watched.now = watched.now + Duration::from_secs(1);
    assert_eq!(watched.after_events(), ["+new/folder/c 4"]);
    fs::rename(watched.path("b"), watched.path("new/b")).unwrap();
    fs::remove_file(watched.path("a")).unwrap();
    assert_eq!(watched.after_events(), ["+new/b 2", "-a", "-b"]);

    fs::rename(watched.path("new"), watched.path("old")).unwrap();
    assert_eq!(watched.after_events(), ["+old/b 2", "+old/folder/c 4", "-new/b", "-new/folder/c"]);
    // The folders' watches have moved along.
    watched.write("old/folder/d", "");
    assert_eq!(watched.after_events(), ["+old/folder/d 0"]);
    fs::remove_dir_all(watched.path("old")).unwrap();
    assert_eq!(watched.after_events(), ["-old/b", "-old/folder/c", "-old/folder/d"]);
}

#[test]
fn a_folder_in_the_place_of_another_or_of_a_file_is_seen_for_what_it_is() {
    let mut watched = Watched::new();
    watched.write("a/b/f", "1");
    watched.step();
    watched.told();
    fs::rename(watched.path("a"), watched.path("z")).unwrap();
    watched.write("a/b/g", "22");
    assert_eq!(watched.after_events(), ["+a/b/g 2", "+z/b/f 1", "-a/b/f"]);
    watched.write("a/b/h", "");
    watched.write("z/b/h", "");
    assert_eq!(watched.after_events(), ["+a/b/h 0", "+z/b/h 0"]);

    fs::remove_dir_all(watched.path("a")).unwrap();
    watched.write("a", "333");
    assert_eq!(watched.after_events(), ["+a 3", "-a/b/g", "-a/b/h"]);
    fs::remove_file(watched.path("a")).unwrap();
    watched.write("a/x", "4444");
    assert_eq!(watched.after_events(), ["+a/x 4", "-a"]);
    fs::remove_dir_all(watched.path("a")).unwrap();
    symlink("z", watched.path("a")).unwrap();
    assert_eq!(watched.after_events(), ["-a/x"]);
}

#[test]
fn a_file_that_changes_all_the_time_is_told_five_times_a_second() {
    let mut watched = Watched::new();
    watched.write("a", "");
    watched.step();
    let mut told = watched.told().len();
    assert_eq!(told, 1);
    for round in 1..=40 {
        watched.write("a", &"x".repeat(round));
        told += watched.after_events().len();
    }
    assert!((9..=11).contains(&told), "in two seconds: {told}");
    // What was held back is told at last, with nothing new happening.
    watched.pass(TELLING);
    watched.write("a", "the end");
    assert_eq!(watched.after_events(), ["+a 7"]);
    watched.write("a", "the very end");
    assert!(watched.after_events().is_empty());
    assert_eq!(watched.watcher.next_due(), Some(watched.now + TELLING - GATHERED));
    assert_eq!(watched.pass(TELLING), ["+a 12"]);
}

const TELLING: Duration = Duration::from_millis(200);
const GATHERED: Duration = Duration::from_millis(50);

#[test]
fn share_deleted_or_replaced_is_survived() {
    let mut watched = Watched::new();
    watched.write("a/f", "1");
    watched.step();
    watched.told();
    fs::remove_dir_all(watched.root.path().join("share")).unwrap();
    assert_eq!(watched.pass(PLACE_INTERVAL), ["-a/f"]);
    assert!(watched.root.path().join("share").is_dir(), "made again");
    watched.write("a/f", "22");
    assert_eq!(watched.after_events(), ["+a/f 2"]);

    let (share, other) = (watched.root.path().join("share"), watched.root.path().join("other"));
    fs::create_dir_all(other.join("a")).unwrap();
    fs::write(other.join("a/g"), "333").unwrap();
    fs::rename(&share, watched.root.path().join("old")).unwrap();
    fs::rename(&other, &share).unwrap();
    assert_eq!(watched.pass(PLACE_INTERVAL), ["+a/g 3", "-a/f"]);
    fs::write(watched.root.path().join("old/a/f"), "not ours any more").unwrap();
    watched.write("a/h", "");
    assert_eq!(watched.after_events(), ["+a/h 0"]);

    // Away for a moment: the core may have missed its files, so they are told again.
    fs::rename(&share, &other).unwrap();
    fs::create_dir(&share).unwrap();
    assert_eq!(watched.pass(PLACE_INTERVAL), ["-a/g", "-a/h"]);
    fs::remove_dir(&share).unwrap();
    fs::rename(&other, &share).unwrap();
    assert_eq!(watched.pass(PLACE_INTERVAL), ["+a/g 3", "+a/h 0"]);
}

#[test]
fn a_share_that_cannot_be_made_is_waited_for_without_a_busy_loop() {
    let mut watched = Watched::new();
    watched.write("f", "1");
    watched.step();
    watched.told();
    let share = watched.root.path().join("share");
    fs::remove_dir_all(&share).unwrap();
    fs::write(&share, "a file in its place").unwrap();
    assert_eq!(watched.pass(PLACE_INTERVAL), ["-f"]);
    for _ in 0..3 {
        let due = watched.watcher.next_due().unwrap().since(watched.now);
        assert!(due > Duration::ZERO && due <= PLACE_INTERVAL, "{due:?}");
        assert!(watched.pass(due).is_empty());
    }
    fs::remove_file(&share).unwrap();
    watched.write("g", "1");
    assert_eq!(watched.pass(PLACE_INTERVAL), ["+g 1"]);
}

#[test]
fn without_events_scans_find_everything() {
    let mut watched = Watched::without_events();
    watched.write("a/f", "1");
    watched.write("b", "1");
    watched.step();
    assert_eq!(watched.told(), ["+a/f 1", "+b 1"]);
    fs::remove_dir_all(watched.path("a")).unwrap();
    watched.write("b", "22");
    watched.write("c/d/e", "");
    let due = watched.watcher.next_due().unwrap().since(watched.now);
    assert!(due >= SCAN_INTERVAL_WITHOUT_EVENTS && due < SCAN_INTERVAL, "{due:?}");
    assert_eq!(watched.pass(due), ["+b 2", "+c/d/e 0", "-a/f"]);
}

#[test]
fn ten_thousand_files_take_many_short_steps_and_lost_events_one_more_scan() {
    let mut watched = Watched::new();
    for number in 0..10_000 {
        let path = watched.path(&format!("{}/{number}", number % 3));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    let steps = watched.step();
    assert!(steps >= 10, "at most 1,000 entries each: {steps}");
    assert_eq!(watched.told().len(), 10_000);

    // Many more events than the kernel keeps.
    for number in 0..10_000 {
        fs::remove_file(watched.path(&format!("{}/{number}", number % 3))).unwrap();
        watched.write(&format!("new/{}", number % 100), "");
    }
    let told = watched.after_events();
    let (seen, gone): (Vec<_>, Vec<_>) = told.iter().partition(|told| told.starts_with('+'));
    assert_eq!((seen.len(), gone.len()), (100, 10_000));
}

#[test]
fn files_that_come_and_go_while_a_folder_is_listed_are_told_right() {
    let mut watched = Watched::new();
    for number in 0..3_000 {
        watched.write(&format!("{number:04}"), "");
    }
    // In the middle of the listing.
    assert!(watched.watcher.step(watched.now, wall_now(), &mut watched.share, &mut watched.inputs));
    for number in 0..3_000 {
        if number % 2 == 0 {
            fs::remove_file(watched.path(&format!("{number:04}"))).unwrap();
        }
        watched.write(&format!("new {number:04}"), "");
    }
    watched.watcher.on_readable(watched.now);
    watched.now = watched.now + GATHERED;
    watched.step();
    let mut there = BTreeSet::new();
    for input in watched.inputs.drain(..) {
        match input {
            Input::FileSeen { name, .. } => assert!(there.insert(name)),
            Input::FileGone { name } => assert!(there.remove(&name)),
            other => panic!("{other:?}"),
        }
    }
    let on_disk = names_in(&watched.path(""));
    assert_eq!(there.iter().map(|name| name.to_string()).collect::<Vec<_>>(), on_disk);
}

fn names_in(folder: &DiskPath) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_look_at_everything_lists_each_folder_once_and_keeps_none_in_mind() {
    let mut watched = Watched::without_events();
    for folder in ["a", "a/b", "a/b/c", "a-b", "a-b/c", "b", "b/a"] {
        watched.write(&format!("{folder}/file"), folder);
    }
    watched.step();
    assert_eq!((watched.told().len(), watched.watcher.look), (7, 8));
    watched.pass(SCAN_INTERVAL);
    assert_eq!(watched.watcher.look, 16);
    // What came between two looks is found by the second, with all that is in it; so is what stands in another's place.
    watched.write("a/b/new/er/file", "new");
    fs::rename(watched.path("b"), watched.path("was b")).unwrap();
    watched.write("b/x/file", "other");
    let told = watched.pass(SCAN_INTERVAL);
    let wanted = [
        "+a/b/new/er/file 3",
        "+b/x/file 5",
        "+was b/a/file 3",
        "+was b/file 1",
        "-b/a/file",
        "-b/file",
    ];
    assert_eq!(told, wanted);
    assert!(watched.watcher.to_list.is_empty() && watched.watcher.scan.is_none());
}

#[test]
fn a_folder_that_comes_while_everything_is_looked_at_is_listed_wherever_the_look_is() {
    for (name, at) in [("a", "m"), ("z", "m"), ("m/in", "m"), ("l", "n")] {
        let mut watched = Watched::without_events();
        watched.write("m/file", "m");
        watched.write("n/file", "n");
        watched.step();
        watched.told();
        watched.now = watched.now + SCAN_INTERVAL;
        watched.watcher.begin_scan();
        let scan = watched.watcher.scan.as_mut().unwrap();
        scan.at = Some(at.into());
        watched.write(&format!("{name}/file"), "new");
        // An event would say so.
        watched.watcher.due.insert(name.into());
        watched.step();
        assert_eq!(watched.told(), [format!("+{name}/file 3")], "{name} at {at}");
    }
}
