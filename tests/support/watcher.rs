//! Looks at `share/` as fast as it can and remembers every name whose content is not whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::files::{Content, identify};

/// What may be in the watched folders, and what was there besides.
#[derive(Default)]
struct Findings {
    /// Size and SHA-1 of every content that may be there.
    whole: BTreeSet<(u64, String)>,
    /// Folders whose changes are the test's own.
    paused: bool,
    /// One sentence for each sight of something else.
    violations: Vec<String>,
    rounds: u64,
}

/// One thread that watches the `share/` folders of a whole network.
pub struct Watcher {
    findings: Arc<Mutex<Findings>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Begins to watch.
    pub fn start(folders: Vec<PathBuf>) -> Self {
        let findings = Arc::new(Mutex::new(Findings::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (findings, stop) = (Arc::clone(&findings), Arc::clone(&stop));
            move || {
                let mut seen = BTreeMap::new();
                while !stop.load(Ordering::Relaxed) {
                    for folder in &folders {
                        look(folder, &mut seen, &findings);
                    }
                    findings.lock().unwrap().rounds += 1;
                    std::thread::sleep(Duration::from_micros(500));
                }
            }
        });
        Self { findings, stop, thread: Some(thread) }
    }

    /// From now on this content may appear, whole.
    pub fn allow(&self, content: &Content) {
        self.allow_named(content.size(), &content.sha1);
    }

    /// The same, for a content that nobody holds in memory.
    pub fn allow_named(&self, size: u64, sha1: &str) {
        self.findings.lock().unwrap().whole.insert((size, sha1.to_owned()));
    }

    /// From now on the test itself writes into `share/` in ways that it forbids to the program.
    pub fn pause(&self) {
        self.findings.lock().unwrap().paused = true;
    }

    /// Ends the watch and returns what was seen that must not be.
    pub fn finish(mut self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        std::mem::take(&mut self.findings.lock().unwrap().violations)
    }
}

/// What was found under a name: inode, size, time of the last change.
type Sight = (u64, u64, i64, i64);

fn look(folder: &Path, seen: &mut BTreeMap<PathBuf, Sight>, findings: &Mutex<Findings>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        if metadata.is_dir() {
            look(&path, seen, findings);
            continue;
        }
        let sight = (metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec());
        if seen.get(&path) == Some(&sight) || !metadata.is_file() {
            continue;
        }
        seen.insert(path.clone(), sight);
        if findings.lock().unwrap().paused {
            continue;
        }
        let Some((size, sha1)) = identify(&path) else {
            continue;
        };
        let mut findings = findings.lock().unwrap();
        let whole = findings.whole.contains(&(size, sha1.clone()));
        let good = findings.paused || (whole && size == metadata.len());
        if !good {
            let length = metadata.len();
            let sentence = format!("{}: {length}, then {size} bytes, {sha1}", path.display());
            findings.violations.push(sentence);
        }
    }
}
