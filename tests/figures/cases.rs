//! The ways over which transfers are measured in virtual time: the figures of `docs/performance.md`, as far as they
//! are the core's alone. Hosts take no time to think; links, queues, loss and delay are the model's.

use std::net::SocketAddr;
use std::time::Duration;

use sprat::node::Input;
use sprat::node::output::FetchEnding;

use crate::model::clock::Clock;
use crate::model::contents::{bytes, request};
use crate::model::cubic::Cubic;
use crate::model::gate::{Gate, OVERHEAD};
use crate::model::host::Start;
use crate::model::link::Link;
use crate::model::network::{Network, by_v6, fetcher, machine, peer};

/// What the kernel grants where `net.core.rmem_max` is 4 MiB, as it charges it.
const SOCKET_BUFFER: u64 = 8 << 20;
const MEBIBYTE: usize = 1 << 20;
const LIMIT: Duration = Duration::from_secs(600);

/// One line of the table.
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) text: String,
}

impl Figure {
    /// As it stands in the table.
    pub(crate) fn line(&self) -> String {
        format!("{:<14} {}\n", self.name, self.text)
    }
}

/// A way to measure.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    run: fn(&'static str) -> Figure,
}

impl Case {
    /// Lets it run.
    pub(crate) fn run(&self) -> Figure {
        (self.run)(self.name)
    }
}

/// All of them, in the order of the table.
pub(crate) const CASES: &[Case] = &[
    Case { name: "lan", run: |name| one(name, LAN, 64) },
    Case { name: "wan", run: |name| one(name, WAN, 64) },
    Case { name: "wan-80", run: |name| one(name, Way { delay_us: 40_000, ..WAN }, 64) },
    Case { name: "wan-clean", run: |name| one(name, Way { lost: 0, ..WAN }, 64) },
    Case { name: "wifi", run: |name| one(name, WIFI, 64) },
    Case { name: "lossy", run: |name| one(name, LOSSY, 32) },
    Case { name: "narrow", run: |name| one(name, NARROW, 10) },
    Case { name: "satellite", run: |name| one(name, SATELLITE, 1) },
    Case { name: "outages", run: outages },
    Case { name: "shallow", run: |name| one(name, Way { queue: 40_000, lost: 0, ..WAN }, 64) },
    Case { name: "multi", run: multi },
    Case { name: "uneven", run: uneven },
    Case { name: "two-addresses", run: two_addresses },
    Case { name: "beside-cubic", run: |name| beside_cubic(name, false) },
    Case { name: "cubic-first", run: |name| beside_cubic(name, true) },
    Case { name: "pair", run: |name| pair(name, Duration::ZERO) },
    Case { name: "pair-late", run: |name| pair(name, Duration::from_secs(10)) },
];

/// A way from one source.
#[derive(Clone, Copy)]
struct Way {
    mbit: u64,
    /// One way, in microseconds.
    delay_us: u64,
    jitter_us: u64,
    /// In thousandths.
    lost: u64,
    /// In bytes.
    queue: u64,
}

const LAN: Way = Way { mbit: 1_000, delay_us: 100, jitter_us: 0, lost: 0, queue: 250_000 };
const WAN: Way = Way { mbit: 100, delay_us: 20_000, jitter_us: 0, lost: 5, queue: 500_000 };
const WIFI: Way = Way { mbit: 100, delay_us: 2_500, jitter_us: 3_000, lost: 10, queue: 125_000 };
const LOSSY: Way = Way { mbit: 50, delay_us: 10_000, jitter_us: 0, lost: 50, queue: 125_000 };
const NARROW: Way = Way { mbit: 10, delay_us: 15_000, jitter_us: 0, lost: 0, queue: 37_500 };
const SATELLITE: Way = Way { mbit: 10, delay_us: 750_000, jitter_us: 0, lost: 0, queue: 37_500 };
const SHARED: Way = Way { mbit: 50, delay_us: 15_000, jitter_us: 0, lost: 0, queue: 187_500 };

impl Way {
    fn gate(&self) -> Gate {
        Gate::new(self.mbit * 125_000, self.queue)
    }

    fn link(&self) -> Link {
        Link {
            delay: Duration::from_micros(self.delay_us),
            jitter: Duration::from_micros(self.jitter_us),
            lost: self.lost,
            rate: 0,
            longest: 1_472,
            ..Link::CLEAN
        }
    }
}

fn data(mebibytes: usize) -> Vec<u8> {
    bytes(7, mebibytes * MEBIBYTE)
}

/// A network in which all packets from these sources to these hosts go through one gate.
fn network(way: Way, sources: &[u8], data: &[u8]) -> Network {
    let mut network = Network::new(1, way.link());
    for &number in sources {
        network.add(peer(number)).put("file", data, None);
    }
    network.run_for(Duration::from_secs(3));
    network
}

fn lead_through(network: &mut Network, gate: Gate, ways: &[(SocketAddr, SocketAddr)]) -> usize {
    network.gates.push(gate);
    let number = network.gates.len() - 1;
    for (from, to) in ways {
        network.through.insert((machine(from.ip()), machine(to.ip())), number);
    }
    number
}

fn begin(network: &mut Network, number: u8, data: &[u8], sources: &[SocketAddr]) {
    network.add(fetcher(number));
    ask_for(network, number, data, sources);
}

fn ask_for(network: &mut Network, number: u8, data: &[u8], sources: &[SocketAddr]) {
    let host = network.host(fetcher(number));
    host.fetch(request(data, "got", sources));
    host.tell(Input::SocketBuffer { bytes: SOCKET_BUFFER });
    network.hosts.values_mut().for_each(|host| host.checks = false);
}

fn to_end(network: &mut Network, number: u8) -> Duration {
    let took = network.run_until(LIMIT, |network| network.hosts[&fetcher(number)].ending.is_some());
    let ending = &network.hosts[&fetcher(number)].ending;
    assert!(matches!(ending, Some(FetchEnding::Done(_))), "{ending:?}");
    took
}

fn percent(part: f64, whole: f64) -> String {
    format!("{:.1} %", part * 100.0 / whole)
}

fn goodput(bytes: usize, took: Duration, mbit: u64) -> String {
    percent(bytes as f64 / took.as_secs_f64(), mbit as f64 * 125_000.0)
}

/// What the gates have carried and dropped, and what was said upstream, against the file.
fn wire(network: &Network, number: u8, size: usize) -> String {
    let carried: u64 = network.gates.iter().map(|gate| gate.bytes).sum();
    let packets: u64 = network.gates.iter().map(|gate| gate.packets).sum();
    let dropped: u64 = network.gates.iter().map(|gate| gate.dropped).sum();
    let wait = network.gates.iter().map(|gate| gate.wait_percentile(95)).max().unwrap_or_default();
    let said = network.bytes_out.get(&fetcher(number)).copied().unwrap_or(0);
    let told = network.sent.get(&fetcher(number)).copied().unwrap_or(0) * OVERHEAD;
    format!(
        "wire {:.4}, upstream {}, queue drops {:.2} %, queue p95 {:.1} ms",
        carried as f64 / size as f64,
        format_args!("{:.2} %", (said + told) as f64 * 100.0 / size as f64),
        dropped as f64 * 100.0 / (packets + dropped).max(1) as f64,
        wait.as_secs_f64() * 1_000.0,
    )
}

/// One source, one fetch.
fn one(name: &'static str, way: Way, mebibytes: usize) -> Figure {
    let data = data(mebibytes);
    let mut network = network(way, &[1], &data);
    lead_through(&mut network, way.gate(), &[(peer(1), fetcher(100))]);
    begin(&mut network, 100, &data, &[peer(1)]);
    let took = to_end(&mut network, 100);
    let text = format!(
        "{} in {:.3} s, {}",
        goodput(data.len(), took, way.mbit),
        took.as_secs_f64(),
        wire(&network, 100, data.len())
    );
    Figure { name, text }
}

/// One source, and every five seconds nothing passes for two.
fn outages(name: &'static str) -> Figure {
    let data = data(10);
    let mut network = network(NARROW, &[1], &data);
    lead_through(&mut network, NARROW.gate(), &[(peer(1), fetcher(100))]);
    let start = network.now;
    begin(&mut network, 100, &data, &[peer(1)]);
    let (one, other) = (machine(peer(1).ip()), machine(fetcher(100).ip()));
    let mut passes = true;
    while network.hosts[&fetcher(100)].ending.is_none() {
        network.run_while(Duration::from_secs(if passes { 5 } else { 2 }), |network| {
            network.hosts[&fetcher(100)].ending.is_none()
        });
        for way in [(one, other), (other, one)] {
            if passes {
                network.cuts.insert(way)
            } else {
                network.cuts.remove(&way)
            };
        }
        passes = !passes;
    }
    let took = network.now.since(start);
    let text = format!(
        "{} in {:.3} s, {}",
        goodput(data.len(), took, NARROW.mbit),
        took.as_secs_f64(),
        wire(&network, 100, data.len())
    );
    Figure { name, text }
}

/// Four sources of 50 Mbit/s each.
fn multi(name: &'static str) -> Figure {
    let data = data(128);
    let way = Way { mbit: 50, delay_us: 5_000, jitter_us: 0, lost: 0, queue: 62_500 };
    let mut network = network(way, &[1, 2, 3, 4], &data);
    let sources: Vec<_> = (1..=4).map(peer).collect();
    for &source in &sources {
        lead_through(&mut network, way.gate(), &[(source, fetcher(100))]);
    }
    begin(&mut network, 100, &data, &sources);
    let took = to_end(&mut network, 100);
    let text = format!(
        "{} of the sum in {:.3} s, {}",
        goodput(data.len(), took, way.mbit * 4),
        took.as_secs_f64(),
        wire(&network, 100, data.len())
    );
    Figure { name, text }
}

/// One source that is reached by IPv4 and by IPv6, behind one bottleneck.
fn two_addresses(name: &'static str) -> Figure {
    let data = data(64);
    let way = Way { mbit: 100, delay_us: 5_000, jitter_us: 0, lost: 0, queue: 250_000 };
    let mut network = Network::new(1, way.link());
    for number in [1, 100] {
        let address = if number == 1 { peer(number) } else { fetcher(number) };
        network.start(Start {
            address,
            also: Some(by_v6(address).ip()),
            serves: number == 1,
            seed: [0; 32],
            peers: Vec::new(),
            trackers: Vec::new(),
            tracks: false,
            clock: Clock::of_the_world(),
            restraint: Default::default(),
        });
    }
    network.host(peer(1)).put("file", &data, None);
    network.run_for(Duration::from_secs(3));
    lead_through(&mut network, way.gate(), &[(peer(1), fetcher(100))]);
    ask_for(&mut network, 100, &data, &[peer(1), by_v6(peer(1))]);
    let took = to_end(&mut network, 100);
    let text = format!(
        "{} in {:.3} s, {}",
        goodput(data.len(), took, way.mbit),
        took.as_secs_f64(),
        wire(&network, 100, data.len())
    );
    Figure { name, text }
}

/// Two good sources beside a slow one, one that stalls at 99 hundredths and one that dies.
fn uneven(name: &'static str) -> Figure {
    let data = data(64);
    let way = Way { mbit: 50, delay_us: 5_000, jitter_us: 0, lost: 0, queue: 62_500 };
    let run = |others: bool| {
        let numbers: &[u8] = if others { &[1, 2, 3, 4, 5] } else { &[1, 2] };
        let mut network = network(way, numbers, &data);
        for &number in numbers {
            let gate = if number == 3 { Gate::new(62_500, 20_000) } else { way.gate() };
            lead_through(&mut network, gate, &[(peer(number), fetcher(100))]);
        }
        let sources: Vec<_> = numbers.iter().map(|&number| peer(number)).collect();
        let start = network.now;
        begin(&mut network, 100, &data, &sources);
        if others {
            network.run_for(Duration::from_secs(1));
            network.cut_off.push(peer(5));
            let nearly = data.len() as u64 / 100 * 99;
            network.run_until(LIMIT, |network| {
                let progress =
                    network.hosts[&fetcher(100)].node.fetch_progress(sprat::node::FetchId(1));
                progress.is_none_or(|progress| progress.received >= nearly)
            });
            network.cut_off.push(peer(4));
        }
        to_end(&mut network, 100);
        network.now.since(start)
    };
    let (alone, beside) = (run(false), run(true));
    let text = format!(
        "{:.3} times the good ones alone ({:.3} s and {:.3} s)",
        beside.as_secs_f64() / alone.as_secs_f64(),
        beside.as_secs_f64(),
        alone.as_secs_f64()
    );
    Figure { name, text }
}

/// One fetch and one transfer by CUBIC behind one bottleneck for a minute, after ten seconds.
fn beside_cubic(name: &'static str, cubic_first: bool) -> Figure {
    let data = data(480);
    let mut network = network(SHARED, &[1], &data);
    let (from, to) =
        (SocketAddr::from(([10, 0, 0, 50], 80)), SocketAddr::from(([10, 0, 0, 51], 81)));
    lead_through(&mut network, SHARED.gate(), &[(peer(1), fetcher(100)), (from, to)]);
    network.cubics.push(Cubic::new(from, to, network.now));
    if cubic_first {
        network.run_for(Duration::from_secs(10));
    }
    begin(&mut network, 100, &data, &[peer(1)]);
    let received = |network: &Network| {
        network.hosts[&fetcher(100)]
            .node
            .fetch_progress(sprat::node::FetchId(1))
            .map_or(0, |p| p.received)
    };
    network.run_for(Duration::from_secs(1));
    let before = (received(&network), network.cubics[0].delivered);
    network.run_for(Duration::from_secs(60));
    let ours = received(&network) - before.0;
    let theirs = network.cubics[0].delivered - before.1;
    let link = 50.0 * 125_000.0 * 60.0 * 0.9415;
    let text = format!(
        "ours {}, CUBIC {} of what fits, {}",
        percent(ours as f64, link),
        percent(theirs as f64, link),
        wire(&network, 100, ours as usize)
    );
    Figure { name, text }
}

/// Two fetches behind one bottleneck, the second perhaps later: Jain's index over a minute.
fn pair(name: &'static str, later: Duration) -> Figure {
    let data = data(480);
    let mut network = network(SHARED, &[1, 2], &data);
    let ways = [(peer(1), fetcher(100)), (peer(2), fetcher(101))];
    lead_through(&mut network, SHARED.gate(), &ways);
    for (one, other) in [(1, 101), (2, 100)] {
        network.cuts.insert((machine(peer(one).ip()), machine(fetcher(other).ip())));
    }
    begin(&mut network, 100, &data, &[peer(1)]);
    network.run_for(later);
    begin(&mut network, 101, &data, &[peer(2)]);
    let received = |network: &Network, number| {
        let host = &network.hosts[&fetcher(number)];
        host.node.fetch_progress(sprat::node::FetchId(1)).map_or(0, |p| p.received) as f64
    };
    let before = [received(&network, 100), received(&network, 101)];
    network.run_for(Duration::from_secs(60));
    let came = [received(&network, 100) - before[0], received(&network, 101) - before[1]];
    let jain = (came[0] + came[1]).powi(2) / (2.0 * (came[0].powi(2) + came[1].powi(2)));
    let link = 50.0 * 125_000.0 * 60.0 * 0.9415;
    let text = format!(
        "Jain's index {jain:.3}: {} and {} of what fits, {}",
        percent(came[0], link),
        percent(came[1], link),
        wire(&network, 100, (came[0] + came[1]) as usize)
    );
    Figure { name, text }
}
