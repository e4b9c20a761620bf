//! What passed a link, counted, and written down as JSON.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use super::direction::Direction;
use super::spec::Spec;

/// A step of the table of delays, in nanoseconds, and how many steps there are: up to two seconds.
const STEP: u64 = 10_000;
const STEPS: usize = 200_000;
/// Flows that are counted each for itself, and for how many seconds.
const FLOWS: usize = 256;
const SECONDS: usize = 3_600;

/// Frames, and their bytes on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Frames {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
}

impl Frames {
    pub(crate) fn add(&mut self, bytes: u64) {
        self.frames += 1;
        self.bytes += bytes;
    }
}

/// Times, in steps of ten microseconds.
#[derive(Default)]
struct Times {
    steps: Vec<u64>,
    count: u64,
    sum: u64,
    most: u64,
}

impl Times {
    fn add(&mut self, nanoseconds: u64) {
        self.steps.resize(STEPS, 0);
        let step = usize::try_from(nanoseconds / STEP).unwrap_or(STEPS).min(STEPS - 1);
        self.steps[step] += 1;
        self.count += 1;
        self.sum += nanoseconds;
        self.most = self.most.max(nanoseconds);
    }

    /// The smallest step that at least this many percent do not exceed, in microseconds.
    fn percentile(&self, percent: u64) -> u64 {
        let mut seen = 0;
        for (step, count) in self.steps.iter().enumerate() {
            seen += count;
            if seen * 100 >= self.count * percent {
                return step as u64 * STEP / 1_000;
            }
        }
        0
    }

    fn summed_up(&self) -> Distribution {
        Distribution {
            mean: self.sum.checked_div(self.count).unwrap_or(0) / 1_000,
            p50: self.percentile(50),
            p95: self.percentile(95),
            p99: self.percentile(99),
            max: self.most / 1_000,
        }
    }
}

/// What was counted in one direction.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) offered: Frames,
    pub(crate) dropped_at_queue: Frames,
    pub(crate) lost: Frames,
    pub(crate) carried: Frames,
    pub(crate) held_back: u64,
    pub(crate) corrupted: u64,
    queueing: Times,
    lateness: Times,
    flows: BTreeMap<FlowKey, Flow>,
}

/// Protocol, source, destination; `None` for what is not IP.
type FlowKey = Option<(u8, IpAddr, IpAddr)>;

#[derive(Default)]
struct Flow {
    all: Frames,
    seconds: Vec<u64>,
}

impl Counts {
    /// How long a frame waited for its turn.
    pub(crate) fn queued_for(&mut self, nanoseconds: u64) {
        self.queueing.add(nanoseconds);
    }

    /// How long after its time a frame was handed over: the error of the emulator itself.
    pub(crate) fn delivered_late(&mut self, nanoseconds: u64) {
        self.lateness.add(nanoseconds);
    }

    /// Counts a frame for who sent it to whom.
    pub(crate) fn by_flow(&mut self, frame: &[u8], bytes: u64, now: u64) {
        let key = flow(frame);
        if self.flows.len() >= FLOWS && !self.flows.contains_key(&key) {
            return;
        }
        let flow = self.flows.entry(key).or_default();
        flow.all.add(bytes);
        let second = usize::try_from(now / 1_000_000_000).unwrap_or(SECONDS);
        if second < SECONDS {
            flow.seconds.resize(flow.seconds.len().max(second + 1), 0);
            flow.seconds[second] += bytes;
        }
    }

    /// How long frames waited for their turn.
    pub(crate) fn queueing(&self) -> Distribution {
        self.queueing.summed_up()
    }
}

/// What an Ethernet frame belongs to.
fn flow(frame: &[u8]) -> FlowKey {
    match frame.get(12..14)? {
        [0x08, 0x00] => {
            let address = |at: usize| -> Option<IpAddr> {
                let bytes: [u8; 4] = frame.get(at..at + 4)?.try_into().ok()?;
                Some(Ipv4Addr::from(bytes).into())
            };
            Some((*frame.get(23)?, address(26)?, address(30)?))
        }
        [0x86, 0xdd] => {
            let address = |at: usize| -> Option<IpAddr> {
                let bytes: [u8; 16] = frame.get(at..at + 16)?.try_into().ok()?;
                Some(Ipv6Addr::from(bytes).into())
            };
            Some((*frame.get(20)?, address(22)?, address(38)?))
        }
        _ => None,
    }
}

fn protocol_name(number: u8) -> String {
    match number {
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        number => number.to_string(),
    }
}

/// Times in microseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Distribution {
    pub(crate) mean: u64,
    pub(crate) p50: u64,
    pub(crate) p95: u64,
    pub(crate) p99: u64,
    pub(crate) max: u64,
}

/// The whole report.
#[derive(Serialize)]
pub(crate) struct Report {
    /// How long the link was there.
    microseconds: u64,
    seed: u64,
    /// Frames that a device refused to take.
    refused: u64,
    /// Frames for what its router has forgotten.
    forgotten: u64,
    forth: OneWay,
    back: OneWay,
}

#[derive(Serialize)]
struct OneWay {
    spec: Spec,
    /// What came; each frame of it is in one of the next three.
    offered: Frames,
    dropped_at_queue: Frames,
    lost: Frames,
    carried: Frames,
    held_back: u64,
    corrupted: u64,
    /// How long frames waited for their turn, in microseconds.
    queueing_delay: Distribution,
    /// How much later than computed they were handed over: the emulator's own error.
    lateness: Distribution,
    flows: Vec<ReportedFlow>,
}

#[derive(Serialize)]
struct ReportedFlow {
    protocol: String,
    from: Option<IpAddr>,
    to: Option<IpAddr>,
    #[serde(flatten)]
    carried: Frames,
    /// Bytes on the wire in each second of the run.
    seconds: Vec<u64>,
}

impl Report {
    pub(crate) fn new(
        now: u64,
        seed: u64,
        [forth, back]: &[Direction; 2],
        refused: u64,
        forgotten: u64,
    ) -> Self {
        Self {
            microseconds: now / 1_000,
            seed,
            refused,
            forgotten,
            forth: one_way(forth),
            back: one_way(back),
        }
    }
}

fn one_way(direction: &Direction) -> OneWay {
    let counts = &direction.counts;
    let flows = counts.flows.iter().map(|(key, flow)| ReportedFlow {
        protocol: key.map_or("other".to_owned(), |(number, ..)| protocol_name(number)),
        from: key.map(|(_, from, _)| from),
        to: key.map(|(.., to)| to),
        carried: flow.all,
        seconds: flow.seconds.clone(),
    });
    OneWay {
        spec: direction.spec.clone(),
        offered: counts.offered,
        dropped_at_queue: counts.dropped_at_queue,
        lost: counts.lost,
        carried: counts.carried,
        held_back: counts.held_back,
        corrupted: counts.corrupted,
        queueing_delay: counts.queueing(),
        lateness: counts.lateness.summed_up(),
        flows: flows.collect(),
    }
}
