//! From a seed to a plan. Each run draws which kinds of fault it has at all, so that most runs have few of them,
//! some have many, and each pair meets often enough (swarm testing, Groce et al. 2012).

use std::ops::Range;
use std::time::Duration;

use sprat::content::BlockLayout;
use sprat::node::Random;
use sprat::node::input::{DiskFaultKind, Extent};
use sprat::wire::DEFAULT_PORT;

use super::plan::{Already, Event, Fetching, FileSystems, Kind, Plan, Source, Who};
use crate::model::host::Death;
use crate::model::liar::Manner;
use crate::model::link::{Bursts, Link};
use crate::model::stranger::Mischief;

/// How often each number of kinds of fault is drawn, out of a hundred.
const QUIET: u64 = 25;
/// One run in so many has a large content.
const LARGE: u64 = 100;

/// The plan of a seed.
pub(crate) fn plan(seed: u64) -> Plan {
    let mut bytes = [0xc4; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    Draw { random: Random::new(bytes), faults: [false; FAULTS] }.plan(seed)
}

/// The kinds of fault that a run has or has not.
#[derive(Clone, Copy)]
enum Fault {
    Loss,
    Bursts,
    Repetition,
    Corruption,
    Deaths,
    PowerCuts,
    Stops,
    Clocks,
    Cuts,
    Weather,
    DiskFaults,
    Room,
    Sabotage,
    Files,
    Strangers,
    Lies,
    SlowDisks,
    Hiccups,
}

const FAULTS: usize = 18;

struct Draw {
    random: Random,
    faults: [bool; FAULTS],
}

impl Draw {
    fn from(&mut self, range: Range<u64>) -> u64 {
        range.start + self.random.below(range.end - range.start)
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.random.below(count) == 0
    }

    fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.random.below(among.len() as u64) as usize]
    }

    fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.from(range))
    }

    fn has(&self, fault: Fault) -> bool {
        self.faults[fault as usize]
    }

    fn plan(mut self, seed: u64) -> Plan {
        let chance = self.pick(&[5, 15, 30, 60]);
        if self.from(0..100) >= QUIET {
            for fault in 0..FAULTS {
                self.faults[fault] = self.random.below(100) < chance;
            }
        }
        let size = self.size();
        let link = self.link();
        let sources = self.sources(size as u64);
        let keeper = self.random.below(sources.len() as u64) as usize;
        let mut sources = sources;
        sources[keeper].kind = Kind::Honest;
        // So that whoever calls finds it.
        sources[keeper].port = DEFAULT_PORT;
        let fetches = self.fetches(size as u64, &sources);
        let links = self.links(&sources);
        let calm_at = self.millis(200..6_000);
        let notice = Duration::from_millis(self.pick(&[1, 30, 1_000]));
        let events = Vec::new();
        let mut plan =
            Plan { seed, size, link, links, sources, fetches, events, calm_at, keeper, notice };
        self.events(&mut plan);
        plan
    }

    fn size(&mut self) -> usize {
        if self.one_in(LARGE) {
            return self.from(4_000_000..16_000_000) as usize;
        }
        let size = match self.from(0..12) {
            0 => self.from(0..3),
            1 => self.from(1..200),
            2 | 3 => self.from(1..6) * 65_536,
            4 | 5 => self.from(1..6) * 65_536 + self.from(0..130) - 65,
            6..=9 => self.from(1_000..150_000),
            _ => self.from(100_000..700_000),
        };
        size as usize
    }

    fn link(&mut self) -> Link {
        let rate = self.pick(&[300_000, 1_000_000, 12_500_000, 125_000_000]);
        Link {
            lost: if self.has(Fault::Loss) { self.from(1..300) } else { 0 },
            bursts: self.has(Fault::Bursts).then(|| Bursts {
                begin: 1 + self.random.below(50),
                end: 20 + self.random.below(300),
                lost: 300 + self.random.below(700),
            }),
            repeated: if self.has(Fault::Repetition) { self.from(1..300) } else { 0 },
            corrupted: if self.has(Fault::Corruption) { self.from(1..50) } else { 0 },
            delay: Duration::from_micros(self.pick(&[30, 200, 3_000, 30_000, 150_000])),
            jitter: Duration::from_micros(self.pick(&[0, 0, 100, 3_000, 20_000])),
            rate,
            queue: self.from(20_000..500_000),
            longest: self.pick(&[0, 0, 1_472, 1_472, 1_252, 576]),
        }
    }

    fn links(&mut self, sources: &[Source]) -> Vec<(u8, u8, Link)> {
        let mut links = Vec::new();
        if self.one_in(3) {
            for _ in 0..self.from(1..4) {
                let other = sources[self.random.below(sources.len() as u64) as usize].number;
                let (from, to) = if self.one_in(2) { (other, 100) } else { (100, other) };
                links.push((from, to, self.link()));
            }
        }
        links
    }

    fn sources(&mut self, size: u64) -> Vec<Source> {
        let count = self.pick(&[1, 1, 2, 2, 3, 4, 6, 8]);
        (1..=count)
            .map(|number| {
                let kind = self.kind(size);
                let port = if self.one_in(8) { 5_000 } else { DEFAULT_PORT };
                Source {
                    number,
                    port,
                    v6: self.one_in(4),
                    kind,
                    slowness: self.slowness(),
                    hiccups: if self.has(Fault::Hiccups) { self.from(2..20) } else { 0 },
                    starts_at: if self.one_in(3) { self.millis(0..5_000) } else { Duration::ZERO },
                }
            })
            .collect()
    }

    fn slowness(&mut self) -> Duration {
        let most = if self.has(Fault::SlowDisks) { 40_000 } else { 300 };
        Duration::from_micros(self.from(0..most))
    }

    fn kind(&mut self, size: u64) -> Kind {
        let blocks = BlockLayout::new(size).block_count();
        if self.has(Fault::Lies) {
            return match self.from(0..8) {
                0..=2 if blocks > 0 => {
                    let to = self.from(0..blocks) + 1;
                    Kind::Forger(self.from(0..to), to)
                }
                3 => Kind::Honest,
                4 if size > 0 => Kind::Rotten,
                _ => Kind::Liar(self.manner(size)),
            };
        }
        match self.from(0..8) {
            0 | 1 if blocks > 0 => Kind::Part(self.extents(size)),
            2 => Kind::Other,
            _ => Kind::Honest,
        }
    }

    fn manner(&mut self, size: u64) -> Manner {
        match self.from(0..8) {
            0 => Manner::StallsAfter(size * 99 / 100),
            1 => Manner::TrueThenFalse(self.from(0..size + 1)),
            _ => self.pick(&Manner::OF_SOURCES),
        }
    }

    /// Runs of bytes, each somewhere in its part of the content.
    fn extents(&mut self, size: u64) -> Vec<Extent> {
        let blocks = BlockLayout::new(size).block_count();
        let mut extents = Vec::new();
        let mut from = 0;
        while from < blocks {
            let start = from + self.from(0..4);
            let end = (start + self.from(1..8)) * 65_536;
            let start = start * 65_536;
            if start < size {
                extents.push(Extent { start, length: end.min(size) - start });
            }
            from = end / 65_536 + 1;
        }
        extents
    }

    fn fetches(&mut self, size: u64, sources: &[Source]) -> Vec<Fetching> {
        let count = self.pick(&[1, 1, 1, 2, 3]);
        let mut fetches: Vec<Fetching> = Vec::new();
        for index in 0..count {
            // On a machine of its own, beside another fetch, or beside a peer.
            let beside = index > 0 && self.one_in(2);
            let number = match beside {
                true => fetches[0].number,
                false if self.one_in(4) => 0,
                false => 100 + index,
            };
            let empty_handed = sources.iter().find(|source| matches!(source.kind, Kind::Other));
            let number = match (number, empty_handed) {
                (0, Some(source)) => source.number,
                (0, None) => 100 + index,
                (number, _) => number,
            };
            let named = (0..sources.len()).filter(|_| self.one_in(2)).collect::<Vec<_>>();
            let named = named.into_iter().map(|source| {
                let v6 = sources[source].v6 && self.one_in(2);
                (source, v6)
            });
            let named: Vec<(usize, bool)> = named.collect();
            let said = if size > 0 && self.one_in(20) { size + 1 } else { size };
            let disk = match self.from(0..10) {
                0 => FileSystems::Two,
                1 => FileSystems::WithoutNameless,
                _ => FileSystems::One,
            };
            let disk = fetches.iter().find(|f| f.number == number).map_or(disk, |f| f.disk);
            fetches.push(Fetching {
                disk,
                number,
                port: 40_000 + u16::from(index),
                v6: true,
                named,
                starts_at: self.millis(0..2_500),
                name: self.pick(&["got", "got", "other", "folder/got", "a/b/c"]),
                said,
                slowness: self.slowness(),
                already: match self.from(0..12) {
                    0 => Already::Elsewhere,
                    1 => Already::Other,
                    _ => Already::Nothing,
                },
            });
        }
        fetches
    }

    fn events(&mut self, plan: &mut Plan) {
        let most = plan.calm_at.as_millis() as u64;
        let count = self.pick(&[0, 2, 5, 10, 20]);
        for _ in 0..count {
            let at = self.millis(0..most);
            if let Some(event) = self.event(plan) {
                plan.events.push((at, event));
            }
        }
        plan.events.sort_by_key(|(at, _)| *at);
    }

    fn event(&mut self, plan: &Plan) -> Option<Event> {
        let kinds: Vec<Fault> = [
            Fault::Deaths,
            Fault::PowerCuts,
            Fault::Stops,
            Fault::Clocks,
            Fault::Cuts,
            Fault::Weather,
            Fault::DiskFaults,
            Fault::Room,
            Fault::Sabotage,
            Fault::Files,
            Fault::Strangers,
        ]
        .into_iter()
        .filter(|kind| self.has(*kind))
        .collect();
        if kinds.is_empty() {
            return None;
        }
        let who = self.who(plan);
        let fetch = self.random.below(plan.fetches.len() as u64) as usize;
        let source = self.random.below(plan.sources.len() as u64) as usize;
        Some(match self.pick(&kinds) {
            Fault::Deaths => self.death(who, source, fetch, Death::Killed),
            Fault::PowerCuts => self.death(who, source, fetch, Death::PowerCut),
            Fault::Stops => Event::Stops(who, self.millis(10..60_000)),
            Fault::Clocks if self.one_in(2) => Event::ClockStands(who, self.millis(1..4_000)),
            Fault::Clocks => {
                let minutes = Duration::from_secs(60);
                Event::ClockJumps(
                    who,
                    match self.from(0..4) {
                        0 => self.millis(1..3_000),
                        1 => minutes * self.from(1..100) as u32,
                        2 => Duration::from_secs(86_400 * 50),
                        _ => Duration::from_secs(86_400 * 365 * 10),
                    },
                )
            }
            Fault::Cuts => self.cut(plan),
            Fault::Weather => Event::Weather(self.link()),
            Fault::DiskFaults => {
                let kinds = [DiskFaultKind::NoRoom, DiskFaultKind::Vanished, DiskFaultKind::Final];
                Event::Fault(fetch, self.from(0..40), self.pick(&kinds))
            }
            Fault::Room if self.one_in(3) => Event::Room(fetch, None),
            Fault::Room => Event::Room(fetch, Some(self.from(0..plan.size as u64 + 1))),
            Fault::Sabotage if self.one_in(2) => Event::Damages(fetch, self.from(0..8)),
            Fault::Sabotage => Event::Removes(fetch, self.from(0..8)),
            Fault::Files => match self.from(0..6) {
                0 => Event::Changes(source),
                1 => Event::Goes(source),
                2 => Event::ComesBack(source),
                3 => Event::TakesName(fetch),
                _ => Event::Adds(source, self.from(0..4) as u8),
            },
            _ => {
                let mischief = self.pick(&Mischief::ALL);
                Event::Strangers(mischief, self.from(1..8), who, Who::Source(source))
            }
        })
    }

    fn who(&mut self, plan: &Plan) -> Who {
        if self.one_in(2) {
            Who::Fetch(self.random.below(plan.fetches.len() as u64) as usize)
        } else {
            Who::Source(self.random.below(plan.sources.len() as u64) as usize)
        }
    }

    fn death(&mut self, who: Who, source: usize, fetch: usize, death: Death) -> Event {
        let back = self.millis(0..1_500);
        match self.from(0..6) {
            0 => Event::Dies(who, death, back),
            1 => Event::Leaves(source, back),
            2 | 3 => Event::DiesAtOutput(who, self.from(0..300), death, back),
            _ => Event::DiesAtOperation(fetch, self.from(0..40), death, back),
        }
    }

    fn cut(&mut self, plan: &Plan) -> Event {
        let number = |index: u64| plan.sources[index as usize].number;
        let source = number(self.random.below(plan.sources.len() as u64));
        let fetch = plan.fetches[self.random.below(plan.fetches.len() as u64) as usize].number;
        match self.from(0..5) {
            0 | 1 => Event::Cut(source, fetch),
            2 => Event::Cut(fetch, source),
            3 => Event::Open(Some((source, fetch))),
            _ => Event::Open(None),
        }
    }
}
