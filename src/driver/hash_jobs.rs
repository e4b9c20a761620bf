//! Reading and computing for `Output::Hash` and `Output::CheckPartial`, a slice a turn. Checks come
//! first: they are short, and a file may take minutes. Then comes the file that was asked for last.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, SystemTime};

use crate::content::state_chain::{ChainHasher, Link, LinkCheck, Proof};
use crate::content::{BlockLayout, ContentId, ShareName};
use crate::driver::clock::{Slice, wall_now};
use crate::driver::hash_cache::HashCache;
use crate::driver::partial_watcher::PartialWatcher;
use crate::driver::share_folder::{ShareFolder, is_gone, signature};
use crate::node::Input;
use crate::node::input::{FileSignature, HashOutcome};

/// How long a step works at most, one read more or less.
const STEP: Duration = Duration::from_micros(1_500);
/// How many bytes are read and hashed between two looks at the clock: less than a millisecond's
/// worth on a Pi, unless the disk is slow.
const READ_LENGTH: usize = 128 * 1024;
/// After how many bytes a file is looked at, whether it is still there and the same: a second's worth
/// or less.
const LOOK_LENGTH: u64 = 128 * 1024 * 1024;
/// Checks that wait; the core asks for far fewer at a time.
const CHECKS_MAX: usize = 1_024;

/// What was asked for and is not answered yet.
#[derive(Debug, Default)]
pub struct HashJobs {
    files: VecDeque<(ShareName, FileSignature)>,
    /// What was begun; the last one goes on.
    hashing: Vec<Hashing>,
    checks: VecDeque<Check>,
    buffer: Vec<u8>,
}

/// A file that is being hashed.
#[derive(Debug)]
struct Hashing {
    name: ShareName,
    signature: FileSignature,
    file: File,
    hasher: ChainHasher,
    /// With how many bytes done it is looked at again.
    look_at: u64,
    begun: SystemTime,
    /// Whether the core waits for it. If not, the cache lost its chain.
    is_asked: bool,
}

/// A block of an unfinished download that is to be checked.
#[derive(Debug)]
struct Check {
    content: ContentId,
    block: u64,
    link: Link,
}

impl HashJobs {
    /// Nothing to do.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes an `Output::Hash`.
    pub fn hash(&mut self, name: ShareName, signature: FileSignature) {
        self.files.push_back((name, signature));
    }

    /// Takes an `Output::CheckPartial`.
    pub fn check_partial(&mut self, content: ContentId, block: u64, link: Link) {
        if self.checks.len() < CHECKS_MAX {
            self.checks.push_back(Check { content, block, link });
        } else {
            log::error!("too many blocks of {content} are to be checked at once");
        }
    }

    /// Works for 1.5 ms, one piece more or less, and appends `Hashed` and `PartialChecked`. Whether there is more to
    /// do.
    pub fn step(
        &mut self,
        share: &ShareFolder,
        partials: &PartialWatcher,
        cache: &mut HashCache,
        inputs: &mut VecDeque<Input<'static>>,
    ) -> bool {
        let slice = Slice::of(STEP);
        while !slice.is_over() {
            if let Some(check) = self.checks.pop_front() {
                inputs.push_back(self.check(partials, &check));
            // All are begun, in the order of asking: so the last one is above the others, however many came together.
            } else if let Some((name, signature)) = self.files.pop_front() {
                if let Some(outcome) = cache.lookup(&name, &signature) {
                    inputs.push_back(Input::Hashed { name, signature, outcome });
                } else {
                    match begin(share, &name, signature, true) {
                        Ok(hashing) => self.hashing.push(hashing),
                        Err(error) => inputs.push_back(failed(name, signature, &error)),
                    }
                }
            } else if let Some(hashing) = self.hashing.pop() {
                match self.go_on(share, hashing) {
                    Progress::Reading(hashing) => self.hashing.push(hashing),
                    Progress::Over(hashing) => inputs.extend(end(hashing, cache)),
                    Progress::Failed(hashing, error) => {
                        let answer = failed(hashing.name, hashing.signature, &error);
                        inputs.extend(hashing.is_asked.then_some(answer));
                    }
                }
            } else if let Some((name, signature)) = cache.take_lost() {
                self.hashing.extend(begin(share, &name, signature, false));
            } else {
                self.buffer = Vec::new();
                return false;
            }
        }
        let is_busy = !self.hashing.is_empty() || cache.has_lost();
        is_busy || !self.checks.is_empty() || !self.files.is_empty()
    }

    fn go_on(&mut self, share: &ShareFolder, mut hashing: Hashing) -> Progress {
        if hashing.hasher.taken() >= hashing.look_at {
            hashing.look_at = hashing.hasher.taken() + LOOK_LENGTH;
            match share.signature_of(&hashing.name) {
                Ok(there) if there == hashing.signature => {}
                Ok(_) => return Progress::Failed(hashing, io::ErrorKind::NotFound.into()),
                Err(error) => return Progress::Failed(hashing, error),
            }
        }
        self.buffer.resize(READ_LENGTH, 0);
        match hashing.file.read(&mut self.buffer) {
            Ok(0) => Progress::Over(hashing),
            // A file that grows while it is read is another one: no need to follow it to its end.
            Ok(length) if hashing.hasher.taken() + length as u64 > hashing.signature.size => {
                hashing.hasher.update(&self.buffer[..length]);
                Progress::Over(hashing)
            }
            Ok(length) => {
                hashing.hasher.update(&self.buffer[..length]);
                Progress::Reading(hashing)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Progress::Reading(hashing),
            Err(error) => Progress::Failed(hashing, error),
        }
    }

    /// A block is a mebibyte at most, so it is read in one go.
    fn check(&mut self, partials: &PartialWatcher, check: &Check) -> Input<'static> {
        let genuine = self.try_check(partials, check).unwrap_or_else(|error| {
            log::debug!("block {} of {} cannot be read: {error}", check.block, check.content);
            false
        });
        Input::PartialChecked { content: check.content, block: check.block, genuine }
    }

    fn try_check(&mut self, partials: &PartialWatcher, check: &Check) -> io::Result<bool> {
        let size = partials.size(check.content).ok_or(io::ErrorKind::NotFound)?;
        let range = BlockLayout::new(size).block_range(check.block);
        let (file, start) =
            partials.open_range(check.content, range.start, range.end - range.start)?;
        self.buffer.resize(READ_LENGTH, 0);
        let mut link = LinkCheck::new(check.link);
        let mut position = range.start;
        while position < range.end {
            let length = (range.end - position).min(READ_LENGTH as u64) as usize;
            let bytes = &mut self.buffer[..length];
            file.read_exact_at(bytes, start + (position - range.start))?;
            link.update(bytes);
            position += length as u64;
        }
        // What was made to collide is not handed on.
        Ok(link.finish() == Proof::Genuine)
    }
}

#[derive(Debug)]
enum Progress {
    Reading(Hashing),
    Over(Hashing),
    Failed(Hashing, io::Error),
}

fn begin(
    share: &ShareFolder,
    name: &ShareName,
    expected: FileSignature,
    is_asked: bool,
) -> io::Result<Hashing> {
    let file = share.open(name)?;
    if signature(&file)? != expected {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(Hashing {
        name: name.clone(),
        signature: expected,
        file,
        hasher: ChainHasher::new(expected.size),
        look_at: LOOK_LENGTH,
        begun: wall_now(),
        is_asked,
    })
}

/// The answer, where somebody waits for one.
fn end(hashing: Hashing, cache: &mut HashCache) -> Option<Input<'static>> {
    let Hashing { name, signature: expected, file, mut hasher, begun, is_asked, .. } = hashing;
    let collides = hasher.collides();
    let outcome = match (signature(&file), hasher.finish()) {
        (Ok(now), Some((content, _))) if now == expected && collides => {
            cache.store_colliding(&name, &expected, content, begun);
            HashOutcome::Colliding { content }
        }
        (Ok(now), Some((content, states))) if now == expected => {
            let chain = cache.store(&name, &expected, content, states, begun);
            HashOutcome::Whole { content, chain }
        }
        _ => HashOutcome::Changed,
    };
    is_asked.then_some(Input::Hashed { name, signature: expected, outcome })
}

fn failed(name: ShareName, signature: FileSignature, error: &io::Error) -> Input<'static> {
    if is_gone(error) {
        return Input::Hashed { name, signature, outcome: HashOutcome::Changed };
    }
    // The core warns; here is the reason.
    log::info!("cannot read share/{name}: {error}");
    Input::Hashed { name, signature, outcome: HashOutcome::Failed }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::content::ChainId;
    use crate::content::state_chain::{ChainState, LinkEnd};
    use crate::node::Instant;

    struct Desk {
        root: tempfile::TempDir,
        share: ShareFolder,
        partials: PartialWatcher,
        cache: HashCache,
        jobs: HashJobs,
        inputs: VecDeque<Input<'static>>,
    }

    fn name() -> ShareName {
        ShareName::parse("folder/file").unwrap()
    }

    fn desk() -> Desk {
        let root = tempfile::tempdir().unwrap();
        let share = ShareFolder::open_or_make(&root.path().join("share")).unwrap();
        fs::create_dir(root.path().join("share/folder")).unwrap();
        let partials = PartialWatcher::new(root.path());
        let cache = HashCache::open(root.path());
        let (jobs, inputs) = (HashJobs::new(), VecDeque::new());
        Desk { root, share, partials, cache, jobs, inputs }
    }

    impl Desk {
        fn path(&self) -> std::path::PathBuf {
            self.root.path().join("share/folder/file")
        }

        fn write(&self, bytes: &[u8]) -> FileSignature {
            fs::write(self.path(), bytes).unwrap();
            self.share.signature_of(&name()).unwrap()
        }

        fn step(&mut self) -> bool {
            self.jobs.step(&self.share, &self.partials, &mut self.cache, &mut self.inputs)
        }

        fn outcome(&mut self, expected: FileSignature) -> HashOutcome {
            self.jobs.hash(name(), expected);
            while self.step() {}
            match self.inputs.pop_front() {
                Some(Input::Hashed { name: told, signature, outcome }) => {
                    assert_eq!((told, signature), (name(), expected));
                    outcome
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_file_is_hashed_with_its_chain() {
        let mut desk = desk();
        let bytes: Vec<u8> = (0..300_001_u32).map(|at| (at % 251) as u8).collect();
        let state = desk.write(&bytes);
        let mut hasher = ChainHasher::new(300_001);
        hasher.update(&bytes);
        let (content, states) = hasher.finish().unwrap();
        let chain = ChainId::of(&states);
        assert_eq!(desk.outcome(state), HashOutcome::Whole { content, chain });
        assert_eq!(desk.cache.chain(content).as_deref(), Some(&*states));
        assert_eq!(states.len(), 4 * 20);

        let empty = desk.write(b"");
        let chain = ChainId::of(&[]);
        let content = ContentId::EMPTY;
        assert_eq!(desk.outcome(empty), HashOutcome::Whole { content, chain });
    }

    #[test]
    fn what_was_made_to_collide_is_told_and_remembered() {
        let mut desk = desk();
        let attack = include_bytes!("../../tests/collisions/shattered-2.bin");
        let state = desk.write(&[&attack[..], &[5; 200_000]].concat());
        let first = desk.outcome(state);
        assert!(matches!(first, HashOutcome::Colliding { .. }), "{first:?}");
        let HashOutcome::Colliding { content } = first else { return };
        assert_eq!(desk.cache.chain(content), None, "nobody is served");
        // Another file in its place is read; this one need not be.
        let later = wall_now() + Duration::from_secs(60);
        desk.cache.store_colliding(&name(), &state, content, later);
        fs::remove_file(desk.path()).unwrap();
        assert_eq!(desk.outcome(state), first);
    }

    #[test]
    fn a_known_state_is_answered_without_reading() {
        let mut desk = desk();
        let state = desk.write(b"what is there is not this content");
        let content = ContentId([1; 20]);
        let later = wall_now() + Duration::from_secs(60);
        let chain = desk.cache.store(&name(), &state, content, vec![], later);
        assert_eq!(desk.outcome(state), HashOutcome::Whole { content, chain });
    }

    #[test]
    fn a_chain_that_was_deleted_is_made_again_once_somebody_asks_for_it() {
        let mut desk = desk();
        let state = desk.write(&[1; 200_000]);
        let HashOutcome::Whole { content, .. } = desk.outcome(state) else {
            panic!("not hashed");
        };
        let states = desk.cache.chain(content).unwrap();
        desk.cache.flush();
        let sprat = desk.root.path().join(".sprat");
        fs::remove_dir_all(&sprat).unwrap();
        assert_eq!(desk.cache.chain(content), None);
        assert!(desk.cache.has_lost());
        while desk.step() {}
        assert!(desk.inputs.is_empty(), "nobody asked for an answer");
        assert_eq!(desk.cache.chain(content), Some(states));

        desk.cache.flush();
        fs::remove_dir_all(&sprat).unwrap();
        fs::remove_file(desk.path()).unwrap();
        assert_eq!(desk.cache.chain(content), None);
        assert!(!desk.step() && desk.inputs.is_empty() && !desk.cache.has_lost());
    }

    #[test]
    fn what_is_not_the_file_that_was_meant_is_changed() {
        let mut desk = desk();
        let before = desk.write(b"before");
        let after = desk.write(b"after, and longer");
        assert_eq!(desk.outcome(before), HashOutcome::Changed);
        fs::remove_file(desk.path()).unwrap();
        assert_eq!(desk.outcome(after), HashOutcome::Changed);
        std::os::unix::fs::symlink("/etc/passwd", desk.path()).unwrap();
        assert_eq!(desk.outcome(after), HashOutcome::Changed);
        fs::remove_file(desk.path()).unwrap();
        fs::create_dir(desk.path()).unwrap();
        assert_eq!(desk.outcome(after), HashOutcome::Changed);
        fs::remove_dir_all(desk.path().parent().unwrap()).unwrap();
        assert_eq!(desk.outcome(after), HashOutcome::Changed);
    }

    #[test]
    fn what_was_asked_last_goes_first_and_a_file_that_is_gone_is_given_up() {
        let mut desk = desk();
        // Holes: nobody writes this much, and nobody waits until it is hashed.
        File::create(desk.path()).unwrap().set_len(1 << 40).unwrap();
        let long = desk.share.signature_of(&name()).unwrap();
        desk.jobs.hash(name(), long);
        assert!(desk.step() && desk.inputs.is_empty());

        fs::write(desk.root.path().join("share/short"), "short").unwrap();
        let short = ShareName::parse("short").unwrap();
        desk.jobs.hash(short.clone(), desk.share.signature_of(&short).unwrap());
        assert!(desk.step(), "the long one goes on");
        let answer = desk.inputs.pop_front();
        let Some(Input::Hashed { name: told, outcome: HashOutcome::Whole { .. }, .. }) = answer
        else {
            panic!("{answer:?}");
        };
        assert_eq!(told, short);

        fs::rename(desk.path(), desk.root.path().join("elsewhere")).unwrap();
        while desk.step() {}
        let answer = desk.inputs.pop_front();
        let Some(Input::Hashed { name: told, signature, outcome }) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!((told, signature, outcome), (name(), long, HashOutcome::Changed));
    }

    /// However long the other one is: nothing but a terabyte of zeros, say.
    #[test]
    fn of_two_that_are_asked_for_together_the_last_is_hashed_first() {
        let mut desk = desk();
        desk.write(b"");
        File::options().write(true).open(desk.path()).unwrap().set_len(1 << 30).unwrap();
        let long = desk.share.signature_of(&name()).unwrap();
        let short = ShareName::parse("short").unwrap();
        fs::write(desk.root.path().join("share/short"), "short").unwrap();
        let state = desk.share.signature_of(&short).unwrap();
        desk.jobs.hash(name(), long);
        desk.jobs.hash(short.clone(), state);
        assert!(desk.step());
        let answer = desk.inputs.pop_front();
        assert!(
            matches!(&answer, Some(Input::Hashed { name, .. }) if *name == short),
            "{answer:?}"
        );
    }

    #[test]
    fn a_file_that_changes_while_it_is_hashed_is_changed() {
        let bytes = vec![1; 64 << 20];
        for change in [0, 1, 2] {
            let mut desk = desk();
            let state = desk.write(&bytes);
            desk.jobs.hash(name(), state);
            assert!(desk.step(), "64 MiB take more than one slice");
            assert!(desk.inputs.is_empty());
            let file = File::options().write(true).open(desk.path()).unwrap();
            match change {
                0 => file.set_len(1).unwrap(),
                1 => file.set_len(65 << 20).unwrap(),
                // In place, and its time put back: the change time remains.
                _ => {
                    let modified = file.metadata().unwrap().modified().unwrap();
                    file.write_all_at(b"x", 0).unwrap();
                    file.set_modified(modified).unwrap();
                }
            }
            while desk.step() {}
            let Some(Input::Hashed { outcome, .. }) = desk.inputs.pop_front() else {
                panic!("no answer");
            };
            assert_eq!(outcome, HashOutcome::Changed, "{change}");
            assert_eq!(desk.cache.lookup(&name(), &state), None);
        }
    }

    #[test]
    fn blocks_of_an_unfinished_download_are_checked_before_a_long_file_goes_on() {
        let mut desk = desk();
        let bytes: Vec<u8> = (0..100_000_u32).map(|at| (at % 253) as u8).collect();
        let mut hasher = ChainHasher::new(100_000);
        hasher.update(&bytes);
        let (content, states) = hasher.finish().unwrap();
        let inner = ChainState::from_bytes(states[..].try_into().unwrap());
        let chunks = desk.root.path().join("chunks");
        fs::create_dir(&chunks).unwrap();
        let attrs = r#"{ "name": "f", "size": 100000 }"#;
        fs::write(chunks.join(format!("{content}:attrs")), attrs).unwrap();
        // The first block is whole in one chunk file, the second is damaged at its very end.
        fs::write(chunks.join(format!("{content}:chunk:0")), &bytes[..70_000]).unwrap();
        let mut seen = VecDeque::new();
        while desk.partials.step(Instant::ORIGIN, &mut seen) {}
        assert_eq!(seen.len(), 1, "{seen:?}");

        let first = Link { from: ChainState::INITIAL, to: LinkEnd::State(inner), length: 65_536 };
        let to = LinkEnd::Name { content, size: 100_000 };
        let second = Link { from: inner, to, length: 100_000 - 65_536 };
        let long = desk.write(&vec![1; 8 << 20]);
        desk.jobs.hash(name(), long);
        for (block, link) in [(0, first), (1, second), (0, second), (7, first)] {
            desk.jobs.check_partial(content, block, link);
        }
        desk.jobs.check_partial(ContentId::EMPTY, 0, first);
        while desk.step() {}
        let told: Vec<_> = desk
            .inputs
            .iter()
            .map_while(|input| match input {
                Input::PartialChecked { block, genuine, .. } => Some((*block, *genuine)),
                _ => None,
            })
            .collect();
        assert_eq!(told, [(0, true), (1, false), (0, false), (7, false), (0, false)]);
        assert!(matches!(desk.inputs.back(), Some(Input::Hashed { .. })));
        assert_eq!(desk.inputs.len(), 6);
    }
}
