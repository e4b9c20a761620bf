//! The crash rules of the core, answer by answer: which step follows which, and what becomes of a fetch
//! where one fails.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::time::Duration;

use sprat::content::state_chain::ChainHasher;
use sprat::content::{ContentId, ShareName};
use sprat::node::input::{
    Command, DiskFault, DiskFaultKind, Extent, FetchRequest, Gathering, NameLook, Naming,
    ShareSearch, StepOutcome, StoreOpening,
};
use sprat::node::output::{FetchEnding, GatherFrom, PublishStep};
use sprat::node::{FetchId, Input, Instant, Node, NodeConfig, Output};

const FETCH: FetchId = FetchId(1);
const SIZE: u64 = 1_000;

fn name(text: &str) -> ShareName {
    ShareName::parse(text).unwrap()
}

fn wanted() -> ShareName {
    name("animals/fox.txt")
}

fn content(size: u64) -> ContentId {
    let mut hasher = ChainHasher::new(size);
    hasher.update(&vec![7; size as usize]);
    hasher.finish().unwrap().0
}

fn fault(kind: DiskFaultKind) -> DiskFault {
    DiskFault { kind, message: "it would not".to_owned() }
}

/// What a fetch has in `share/` or in `chunks/`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Start {
    /// Its one block, in the first chunk file.
    Chunks,
    /// Nothing: it is the empty file.
    Empty,
    /// The content under another name.
    Elsewhere,
    /// The content under the wanted name.
    InPlace,
}

/// A fetch that has come to publishing.
struct Run {
    node: Node,
    now: Instant,
    /// What was asked for last, but for datagrams.
    asked: Vec<Output>,
}

impl Run {
    fn new(start: &Start) -> Self {
        let size = if *start == Start::Empty { 0 } else { SIZE };
        Self::of(start, content(size), size)
    }

    fn of(start: &Start, content: ContentId, size: u64) -> Self {
        let extents = match start {
            Start::Chunks => vec![Extent { start: 0, length: SIZE }],
            _ => Vec::new(),
        };
        let mut run = Self::searching(content, size, extents);
        let outcome = match start {
            Start::Chunks | Start::Empty => ShareSearch::Absent,
            Start::Elsewhere => ShareSearch::Elsewhere(name("other")),
            Start::InPlace => ShareSearch::InPlace,
        };
        run.input(Input::ShareSearched { fetch: FETCH, outcome });
        if *start == Start::Chunks {
            assert!(matches!(run.asked[..], [Output::CheckStored { block: 0, .. }]));
            run.checked(true, false);
        }
        run
    }

    /// Its share/ is being looked through.
    fn searching(content: ContentId, size: u64, extents: Vec<Extent>) -> Self {
        let config = NodeConfig::new([1; 32]);
        let now = Instant::from_micros(1_000_000);
        let mut run = Self { node: Node::new(config, now), now, asked: Vec::new() };
        let (sources, timeout) = (Vec::new(), None);
        run.input(Input::Command(Command::Fetch(FetchRequest {
            fetch: FETCH,
            content,
            size,
            name: wanted(),
            sources,
            timeout,
            alone: false,
        })));
        run.opened(extents);
        run
    }

    fn checked(&mut self, genuine: bool, collides: bool) {
        self.input(Input::StoredChecked { fetch: FETCH, block: 0, genuine, collides });
    }

    fn input(&mut self, input: Input<'_>) {
        self.node.handle_input(self.now, input);
        self.collect();
    }

    fn collect(&mut self) {
        self.node.check_invariants();
        let outputs = std::iter::from_fn(|| self.node.poll_output());
        self.asked = outputs.filter(|it| !matches!(it, Output::Transmit { .. })).collect();
        // Every state can be written down and taken up again.
        self.node = Node::restore(&self.node.snapshot()).unwrap();
    }

    fn opened(&mut self, extents: Vec<Extent>) {
        let outcome = StoreOpening::Ours { extents, chain: Some(Vec::new()) };
        self.input(Input::StoreOpened { fetch: FETCH, outcome });
    }

    fn answer(&mut self, outcome: StepOutcome) {
        self.input(Input::PublishStepped { fetch: FETCH, outcome });
    }

    /// The one step that was asked for, if nothing else was.
    fn step(&self) -> Option<&PublishStep> {
        match &self.asked[..] {
            [Output::Publish { fetch: FETCH, step }] => Some(step),
            _ => None,
        }
    }

    /// Answers as long as all goes well, until this step is asked for.
    fn go_to(&mut self, step: &PublishStep) {
        while self.step() != Some(step) {
            let done = success(self.step().expect("a step is asked for"));
            self.answer(done);
        }
    }

    fn ending(&self) -> Option<&FetchEnding> {
        self.asked.iter().find_map(|output| match output {
            Output::FetchEnded { ending, .. } => Some(ending),
            _ => None,
        })
    }

    /// Waits for the next deadline that has this reason.
    fn wait_for(&mut self, reason: &str) -> Duration {
        let deadline = self.node.poll_timeout().unwrap();
        assert_eq!(deadline.reason, reason);
        let waited = deadline.at.since(self.now);
        self.now = deadline.at;
        self.node.handle_timeout(self.now);
        self.collect();
        waited
    }
}

fn success(step: &PublishStep) -> StepOutcome {
    match step {
        PublishStep::LookAtName { .. } => StepOutcome::Looked(NameLook::Free),
        PublishStep::GatherWhole { .. } => StepOutcome::Gathered(Gathering::Whole),
        PublishStep::SyncWhole => StepOutcome::Synced(Ok(())),
        PublishStep::GiveName { .. } => StepOutcome::Named(Naming::Named),
        PublishStep::SyncShared { .. } => StepOutcome::Kept(Ok(())),
        PublishStep::ClearStore => StepOutcome::Cleared,
    }
}

fn failure(step: &PublishStep, fault: DiskFault) -> Option<StepOutcome> {
    Some(match step {
        PublishStep::LookAtName { .. } => StepOutcome::Looked(NameLook::Failed(fault)),
        PublishStep::GatherWhole { .. } => StepOutcome::Gathered(Gathering::Failed(fault)),
        PublishStep::SyncWhole => StepOutcome::Synced(Err(fault)),
        PublishStep::GiveName { .. } => StepOutcome::Named(Naming::Failed(fault)),
        PublishStep::SyncShared { .. } => StepOutcome::Kept(Err(fault)),
        PublishStep::ClearStore => return None,
    })
}

fn look(name: ShareName) -> PublishStep {
    PublishStep::LookAtName { name }
}

fn gather(from: GatherFrom) -> PublishStep {
    PublishStep::GatherWhole { from, name: wanted() }
}

fn give(name: ShareName) -> PublishStep {
    PublishStep::GiveName { name }
}

fn kept(name: ShareName, file_too: bool) -> PublishStep {
    PublishStep::SyncShared { name, file_too }
}

/// The steps where nothing goes wrong.
fn steps(start: &Start) -> Vec<PublishStep> {
    let from = match start {
        Start::Chunks => GatherFrom::Chunks,
        Start::Empty => GatherFrom::Nothing,
        Start::Elsewhere => GatherFrom::Shared(name("other")),
        Start::InPlace => {
            return vec![kept(wanted(), true), PublishStep::ClearStore];
        }
    };
    vec![
        look(wanted()),
        gather(from),
        PublishStep::SyncWhole,
        give(wanted()),
        // What was moved right after it was synced need not be synced again.
        kept(wanted(), *start != Start::Chunks),
        PublishStep::ClearStore,
    ]
}

const STARTS: [Start; 4] = [Start::Chunks, Start::Empty, Start::Elsewhere, Start::InPlace];

#[test]
fn synced_before_it_is_named_and_kept_before_anything_is_removed() {
    for start in &STARTS {
        let mut run = Run::new(start);
        for step in steps(start) {
            assert_eq!(run.step(), Some(&step), "{start:?}: {:?}", run.asked);
            run.answer(success(&step));
        }
        assert_eq!(run.ending(), Some(&FetchEnding::Done(wanted())), "{start:?}");
    }
}

#[test]
fn a_fault_at_each_step() {
    use DiskFaultKind::{Final, NoRoom, Vanished};
    for start in &STARTS {
        for step in steps(start) {
            for kind in [NoRoom, Vanished, Final] {
                let Some(failed) = failure(&step, fault(kind)) else { continue };
                let mut run = Run::new(start);
                run.go_to(&step);
                run.answer(failed);
                let what = format!("{start:?}, {kind:?} at {step:?}: {:?}", run.asked);
                if *start == Start::InPlace {
                    // It is there; what was fetched of it stays, in case a power cut takes it.
                    assert_eq!(run.ending(), Some(&FetchEnding::Done(wanted())), "{what}");
                    continue;
                }
                let cut = Output::TruncateExtent { fetch: FETCH, extent: 0, length: 0 };
                let is_cut = run.asked.first() == Some(&cut);
                assert_eq!(
                    is_cut,
                    *start == Start::Chunks && step == PublishStep::SyncWhole,
                    "the pages that a sync failed to write are never published: {what}"
                );
                if is_cut {
                    run.asked.remove(0);
                }
                match kind {
                    NoRoom if *start == Start::Elsewhere => {
                        assert_eq!(run.asked, [], "{what}");
                        run.wait_for("sources are called for");
                    }
                    NoRoom => {
                        assert_eq!(run.asked, [], "{what}");
                        let waited = run.wait_for("publishing is tried again");
                        assert_eq!(waited, Duration::from_secs(3));
                        assert_eq!(run.step(), Some(&look(wanted())), "{what}");
                        // Who has waited once has time.
                        let full = NameLook::Failed(fault(NoRoom));
                        run.answer(StepOutcome::Looked(full));
                        let waited = run.wait_for("publishing is tried again");
                        assert_eq!(waited, Duration::from_secs(5));
                        assert_eq!(run.step(), Some(&look(wanted())), "{what}");
                    }
                    Vanished => {
                        assert!(matches!(run.asked[..], [Output::OpenStore { .. }]), "{what}");
                    }
                    Final => {
                        let ending = FetchEnding::Failed("it would not".to_owned());
                        assert_eq!(run.ending(), Some(&ending), "{what}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_name_that_is_taken_in_the_last_moment() {
    for start in &STARTS[..3] {
        let mut run = Run::new(start);
        run.go_to(&give(wanted()));
        run.answer(StepOutcome::Named(Naming::Taken));
        assert_eq!(run.step(), Some(&look(wanted())));
        run.answer(StepOutcome::Looked(NameLook::Other));
        let beside = wanted().beside(content(if *start == Start::Empty { 0 } else { SIZE }), 1);
        assert_eq!(run.step(), Some(&look(beside.clone())));
        // What is gathered and synced is not gathered once more.
        run.answer(StepOutcome::Looked(NameLook::Free));
        assert_eq!(run.step(), Some(&give(beside.clone())));
        run.answer(StepOutcome::Named(Naming::Named));
        run.go_to(&PublishStep::ClearStore);
        run.answer(StepOutcome::Cleared);
        assert_eq!(run.ending(), Some(&FetchEnding::Done(beside)));
    }
}

#[test]
fn the_same_content_under_the_name_is_kept() {
    let mut run = Run::new(&Start::Chunks);
    run.answer(StepOutcome::Looked(NameLook::Same));
    assert_eq!(run.step(), Some(&kept(wanted(), true)));
    let mut run = Run::new(&Start::Elsewhere);
    run.answer(StepOutcome::Looked(NameLook::Other));
    let beside = wanted().beside(content(SIZE), 1);
    run.answer(StepOutcome::Looked(NameLook::Same));
    assert_eq!(run.step(), Some(&kept(beside, true)));
}

#[test]
fn a_thousand_names_beside_it_are_tried() {
    let mut run = Run::new(&Start::Chunks);
    for attempt in 1..=1000 {
        run.answer(StepOutcome::Looked(NameLook::Other));
        assert_eq!(run.step(), Some(&look(wanted().beside(content(SIZE), attempt))));
    }
    run.answer(StepOutcome::Looked(NameLook::Other));
    let Some(FetchEnding::Failed(why)) = run.ending() else { panic!("{:?}", run.asked) };
    assert!(why.contains("share/animals/fox.txt and all names beside it are taken"), "{why}");
}

#[test]
fn what_is_gone_is_gathered_anew_three_times() {
    let mut run = Run::new(&Start::Chunks);
    for _ in 0..3 {
        run.answer(StepOutcome::Looked(NameLook::Other));
        run.answer(StepOutcome::Looked(NameLook::Free));
        run.answer(StepOutcome::Gathered(Gathering::Whole));
        run.answer(StepOutcome::Synced(Ok(())));
        run.answer(StepOutcome::Named(Naming::Gone));
        assert_eq!(run.step(), Some(&look(wanted())), "from the wanted name on");
    }
    run.go_to(&give(wanted()));
    run.answer(StepOutcome::Named(Naming::Gone));
    assert!(matches!(run.asked[..], [Output::OpenStore { .. }]), "{:?}", run.asked);
    // It is looked at what is left, and that is checked before it is published.
    run.opened(vec![Extent { start: 0, length: SIZE }]);
    assert!(matches!(run.asked[..], [Output::CheckStored { block: 0, .. }]));
    run.checked(true, false);
    assert_eq!(run.step(), Some(&look(wanted())));
}

#[test]
fn on_another_file_system_a_copy_is_made_and_synced_as_well() {
    let crossed = || {
        let mut run = Run::new(&Start::Chunks);
        run.go_to(&give(wanted()));
        run.answer(StepOutcome::Named(Naming::OtherFileSystem));
        assert_eq!(run.step(), Some(&gather(GatherFrom::Gathered)));
        run
    };
    let mut run = crossed();
    run.answer(StepOutcome::Gathered(Gathering::Whole));
    assert_eq!(run.step(), Some(&PublishStep::SyncWhole));
    run.answer(StepOutcome::Synced(Ok(())));
    assert_eq!(run.step(), Some(&give(wanted())));
    run.answer(StepOutcome::Named(Naming::OtherFileSystem));
    assert!(matches!(run.ending(), Some(FetchEnding::Failed(why)) if why.contains("put both on")));

    let mut run = crossed();
    run.answer(StepOutcome::Gathered(Gathering::OtherFileSystem));
    assert!(matches!(run.ending(), Some(FetchEnding::Failed(why)) if why.contains("put both on")));

    // The chunk files are synced, whatever becomes of the copy; gone, it is made of them again.
    let mut run = crossed();
    run.answer(StepOutcome::Gathered(Gathering::Whole));
    run.answer(StepOutcome::Synced(Err(fault(DiskFaultKind::NoRoom))));
    assert_eq!(run.asked, []);
    let mut run = crossed();
    run.go_to(&give(wanted()));
    run.answer(StepOutcome::Named(Naming::Gone));
    run.answer(StepOutcome::Looked(NameLook::Free));
    assert_eq!(run.step(), Some(&gather(GatherFrom::Chunks)));
}

#[test]
fn what_was_lost_is_fetched_again() {
    for start in [Start::Chunks, Start::Elsewhere] {
        let mut run = Run::new(&start);
        let from = match start {
            Start::Chunks => GatherFrom::Chunks,
            _ => GatherFrom::Shared(name("other")),
        };
        run.go_to(&gather(from));
        run.answer(StepOutcome::Gathered(Gathering::Lost { extents: Vec::new() }));
        assert_eq!(run.asked, []);
        run.wait_for("sources are called for");
    }
    // What is left is checked first.
    let mut run = Run::new(&Start::Chunks);
    run.go_to(&gather(GatherFrom::Chunks));
    let extents = vec![Extent { start: 0, length: SIZE }];
    run.answer(StepOutcome::Gathered(Gathering::Lost { extents }));
    assert!(matches!(run.asked[..], [Output::CheckStored { block: 0, .. }]), "{:?}", run.asked);
    // The file that was to be copied is other content.
    let mut run = Run::new(&Start::Elsewhere);
    run.go_to(&gather(GatherFrom::Shared(name("other"))));
    run.answer(StepOutcome::Gathered(Gathering::Changed));
    run.wait_for("sources are called for");
}

/// Whatever a fetch has of a file that was made to collide, it comes to nothing.
#[test]
fn what_collides_is_never_published() {
    let searching = |extents| Run::searching(content(SIZE), SIZE, extents);
    let on_disk = || {
        let mut run = searching(vec![Extent { start: 0, length: SIZE }]);
        run.input(Input::ShareSearched { fetch: FETCH, outcome: ShareSearch::Absent });
        run
    };
    let mut run = on_disk();
    run.checked(true, true);
    assert_eq!(run.ending(), Some(&FetchEnding::Colliding));
    // What is not proven is wrong, and no more.
    let mut run = on_disk();
    run.checked(false, true);
    assert_eq!(run.ending(), None);
    // It lies in share/, under whichever name.
    let mut run = searching(Vec::new());
    run.input(Input::ShareSearched { fetch: FETCH, outcome: ShareSearch::Colliding });
    assert_eq!(run.ending(), Some(&FetchEnding::Colliding));
}

#[test]
fn a_store_that_vanishes_while_a_copy_is_made_does_not_keep_it_from_being_fetched() {
    let mut run = Run::new(&Start::Elsewhere);
    run.answer(StepOutcome::Looked(NameLook::Failed(fault(DiskFaultKind::Vanished))));
    run.opened(Vec::new());
    run.wait_for("sources are called for");
}

#[test]
fn an_answer_that_nobody_waits_for_changes_nothing() {
    let mut run = Run::new(&Start::Chunks);
    run.answer(StepOutcome::Cleared);
    run.answer(StepOutcome::Named(Naming::Named));
    assert_eq!(run.asked, []);
    run.answer(StepOutcome::Looked(NameLook::Free));
    assert_eq!(run.step(), Some(&gather(GatherFrom::Chunks)));
}

#[test]
fn no_other_content_has_no_bytes() {
    let mut run = Run::of(&Start::Empty, content(SIZE), 0);
    assert_eq!(run.asked, []);
    run.wait_for("sources are called for");
}
