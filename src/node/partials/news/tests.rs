//! Who is told how much, and where it ends.

use super::*;
use crate::node::context::Interfaces;
use crate::node::output::Output;
use crate::node::{Counters, NodeConfig, Random};
use crate::wire::decode;

fn at(millis: u64) -> Instant {
    Instant::from_micros(millis * 1_000)
}

fn host(number: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], number))
}

/// To whom, under which nonce, which blocks.
type Told = (SocketAddr, u64, Vec<(u64, u64)>);

/// What is told at this time, to whom under which nonce.
fn told(listeners: &mut Listeners, millis: u64) -> Vec<Told> {
    let config = NodeConfig { serves: true, port: 1, default_port: 1, ..NodeConfig::new([0; 32]) };
    let mut outputs = VecDeque::new();
    listeners.tell(&mut Context {
        now: at(millis),
        config: &config,
        interfaces: &Interfaces::default(),
        outputs: &mut outputs,
        random: &mut Random::new([0; 32]),
        counters: &mut Counters::default(),
        in_flight_max: 0,
        asking: &mut None,
    });
    let read = |output| {
        let Output::Transmit { to, bytes, .. } = output else { panic!("{output:?}") };
        let Ok(Message::News(news)) = decode(&bytes) else { panic!("it is no news") };
        (to, news.nonce, news.blocks.iter().map(|it| (it.start, it.end)).collect())
    };
    outputs.into_iter().map(read).collect()
}

#[test]
fn what_comes_within_a_moment_is_told_together() {
    let mut listeners = Listeners::default();
    listeners.note(1);
    assert_eq!(listeners.due(), None, "nobody listens");
    listeners.listens(at(1_000), host(1), 7);
    listeners.listens(at(1_000), host(1), 8);
    listeners.note(5);
    assert_eq!(told(&mut listeners, 1_000), [(host(1), 8, vec![(5, 6)])]);
    listeners.note(6);
    listeners.note(9);
    listeners.note(7);
    assert!(told(&mut listeners, 1_024).is_empty());
    assert_eq!(listeners.due(), Some(at(1_025)));
    assert_eq!(told(&mut listeners, 1_025), [(host(1), 8, vec![(6, 8), (9, 10)])]);
    assert_eq!(listeners.due(), None);
}

#[test]
fn one_grant_opens_so_much_and_no_more() {
    let mut listeners = Listeners::default();
    listeners.listens(at(0), host(1), 1);
    let mut count = 0;
    for turn in 0..200 {
        listeners.note(turn * 2);
        count +=
            told(&mut listeners, 1_000 + turn).len() + told(&mut listeners, 1_030 + turn).len();
        listeners.told_at = None;
    }
    assert_eq!(count, usize::from(NEWS_EACH));

    listeners.listens(at(2_000), host(1), 2);
    listeners.note(1);
    assert_eq!(told(&mut listeners, 4_999).len(), 1);
    listeners.note(2);
    assert!(told(&mut listeners, 5_030).is_empty(), "it has not asked for three seconds");
}

#[test]
fn more_ranges_than_fit_are_told_one_after_the_other() {
    let mut listeners = Listeners::default();
    listeners.listens(at(0), host(1), 1);
    let blocks: Vec<u64> = (0..150).map(|number| number * 2).collect();
    blocks.iter().for_each(|&block| listeners.note(block));
    let mut heard = Vec::new();
    for turn in 0..4 {
        heard.extend(told(&mut listeners, 100 + turn * 25).into_iter().flat_map(|(.., it)| it));
    }
    assert_eq!(heard, blocks.iter().map(|&block| (block, block + 1)).collect::<Vec<_>>());
    listeners.note(u64::from(u32::MAX) + 1);
    assert!(told(&mut listeners, 1_000).is_empty());
    assert_eq!(listeners.due(), None, "a number that does not travel holds up nothing");
}

#[test]
fn the_tables_are_bounded() {
    let mut listeners = Listeners::default();
    for number in 0..=LISTENERS_MAX as u16 {
        listeners.listens(at(0), host(number), 1);
    }
    listeners.check_invariants();
    listeners.note(1);
    let told = told(&mut listeners, 1_000);
    assert_eq!(told.len(), LISTENERS_MAX);
    assert!(told.iter().all(|(who, ..)| *who != host(LISTENERS_MAX as u16)), "who came last");
    listeners.note(2);
    assert_eq!(listeners.due(), Some(at(1_000 + 4 * LISTENERS_MAX as u64)), "250 a second");

    let mut callers = Callers::default();
    let content = ContentId([1; 20]);
    for number in 0..=CALLERS_MAX as u16 {
        callers.called(at(1), content, host(number), u64::from(number));
        callers.called(at(1), content, host(number), 1_000 + u64::from(number));
    }
    callers.check_invariants();
    assert!(callers.take(at(2), ContentId([2; 20])).is_empty());
    let taken = callers.take(at(1_000), content);
    assert_eq!(taken.len(), CALLERS_MAX);
    assert_eq!(taken[0], (host(1), 1_001), "the oldest had to go, and the latest call counts");
    assert!(callers.take(at(1_000), content).is_empty(), "each is answered once");
    callers.called(at(1), content, host(1), 1);
    assert!(callers.take(at(1_001), content).is_empty(), "it has called again by then");
}
