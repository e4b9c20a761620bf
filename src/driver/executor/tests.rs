//! What the core would ask for, one output after the other, against a real folder.

use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use super::*;
use crate::content::state_chain::{Chain, ChainHasher};
use crate::content::{ContentId, ShareName};
use crate::driver::clock::Slice;
use crate::driver::udp_socket::BindAddress;
use crate::node::input::{Gathering, NameLook, Naming, StepOutcome, StoreOpening};
use crate::node::output::{GatherFrom, PublishStep};

const FETCH: FetchId = FetchId(1);
const SIZE: u64 = 200_000;

fn executor(root: &Path) -> Executor {
    let share = ShareFolder::open_or_make(&root.join("share")).unwrap();
    let at = BindAddress { address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), scope_id: 0, port: 0 };
    Executor::new(root, share, UdpSocket::bind(at, false).unwrap(), None)
}

fn content() -> (Vec<u8>, Chain) {
    let bytes: Vec<u8> = (0..SIZE).map(|at| (at / 3) as u8).collect();
    let mut hasher = ChainHasher::new(SIZE);
    hasher.update(&bytes);
    let (content, states) = hasher.finish().unwrap();
    (bytes, Chain::from_bytes(content, SIZE, states).unwrap())
}

fn open(executor: &mut Executor, content: ContentId) -> StoreOpening {
    let name = ShareName::parse("animals/fox").unwrap();
    let output = Output::OpenStore { fetch: FETCH, content, size: SIZE, name };
    executor.execute(Instant::ORIGIN, output, None);
    match executor.inbox.pop_front() {
        Some(Input::StoreOpened { fetch: FETCH, outcome }) => outcome,
        other => panic!("{other:?}"),
    }
}

/// Works until an answer comes.
fn work(executor: &mut Executor) -> Input<'static> {
    for _ in 0..10_000 {
        executor.work(Instant::ORIGIN, &Slice::of(Duration::from_millis(2)));
        if let Some(input) = executor.inbox.pop_front() {
            return input;
        }
        assert!(executor.has_more_work(), "nothing is left to do, and nothing was answered");
    }
    panic!("it takes for ever");
}

fn files_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_fetch_from_the_attrs_to_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut executor = executor(folder.path());
    let (bytes, chain) = content();
    let ours = StoreOpening::Ours { extents: Vec::new(), chain: None };
    assert_eq!(open(&mut executor, chain.content()), ours);
    assert!(folder.path().join(format!("chunks/{}:attrs", chain.content())).is_file());

    executor.execute(Instant::ORIGIN, Output::SearchShare { fetch: FETCH, effort: None }, None);
    let searched = work(&mut executor);
    assert!(matches!(searched, Input::ShareSearched { outcome: ShareSearch::Absent, .. }));

    for block in 0..chain.layout().block_count() {
        let range = chain.layout().block_range(block);
        let part = &bytes[range.start as usize..range.end as usize];
        let buffer = BufferId(block);
        let mut outputs = vec![Output::Reserve { buffer, length: part.len() as u32 }];
        for (piece, payload) in part.chunks(1_408).enumerate() {
            let datagram = [&[0; DATA_HEADER_LENGTH], payload].concat();
            outputs.push(Output::Keep { buffer, offset: piece as u32 * 1_408 });
            for output in outputs.drain(..) {
                executor.execute(Instant::ORIGIN, output, Some(&datagram));
            }
        }
        let verify = Output::Verify { fetch: FETCH, buffer, link: chain.link(block) };
        executor.execute(Instant::ORIGIN, verify, None);
        let Executor { buffers, inbox, .. } = &mut executor;
        buffers.prove(&Slice::of(Duration::ZERO), inbox);
        let verified = executor.inbox.pop_front();
        assert!(matches!(verified, Some(Input::Verified { genuine: true, .. })), "{verified:?}");
        let store = Output::Store { fetch: FETCH, buffer, extent: 0, position: range.start };
        executor.execute(Instant::ORIGIN, store, None);
        let stored = executor.inbox.pop_front();
        assert!(matches!(stored, Some(Input::Stored { outcome: Ok(()), .. })), "{stored:?}");
        executor.execute(Instant::ORIGIN, Output::Release { buffer }, None);
    }
    let check = Output::CheckStored { fetch: FETCH, block: 1, link: chain.link(1) };
    executor.execute(Instant::ORIGIN, check, None);
    let checked = executor.inbox.pop_front();
    assert!(matches!(checked, Some(Input::StoredChecked { genuine: true, .. })), "{checked:?}");

    let name = ShareName::parse("animals/fox").unwrap();
    for (step, expected) in [
        (PublishStep::LookAtName { name: name.clone() }, StepOutcome::Looked(NameLook::Free)),
        (
            PublishStep::GatherWhole { from: GatherFrom::Chunks, name: name.clone() },
            StepOutcome::Gathered(Gathering::Whole),
        ),
        (PublishStep::SyncWhole, StepOutcome::Synced(Ok(()))),
        (PublishStep::GiveName { name: name.clone() }, StepOutcome::Named(Naming::Named)),
        (
            PublishStep::SyncShared { name: name.clone(), file_too: false },
            StepOutcome::Kept(Ok(())),
        ),
        (PublishStep::ClearStore, StepOutcome::Cleared),
    ] {
        executor.execute(Instant::ORIGIN, Output::Publish { fetch: FETCH, step }, None);
        let Input::PublishStepped { fetch: FETCH, outcome } = work(&mut executor) else {
            panic!("no answer")
        };
        assert_eq!(outcome, expected);
    }
    let ending = FetchEnding::Done(name);
    executor.execute(Instant::ORIGIN, Output::FetchEnded { fetch: FETCH, ending }, None);
    assert!(fs::read(folder.path().join("share/animals/fox")).unwrap() == bytes);
    assert_eq!(files_in(&folder.path().join("chunks")), [""; 0]);
    assert_eq!(executor.endings.len(), 1);
    assert!(!executor.has_more_work());
}

#[test]
fn a_second_store_of_the_same_file_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = executor(folder.path());
    let mut second = executor(folder.path());
    let (_, chain) = content();
    assert!(matches!(open(&mut first, chain.content()), StoreOpening::Ours { .. }));
    assert_eq!(open(&mut second, chain.content()), StoreOpening::Taken);
    drop(first);
    assert!(matches!(open(&mut second, chain.content()), StoreOpening::Ours { .. }));
}

#[test]
fn a_wrong_size_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut executor = executor(folder.path());
    let (_, chain) = content();
    open(&mut executor, chain.content());
    let ending = FetchEnding::WrongSize { size: 5 };
    executor.execute(Instant::ORIGIN, Output::FetchEnded { fetch: FETCH, ending }, None);
    assert_eq!(files_in(&folder.path().join("chunks")), [""; 0]);
}
