//! Peers and a fetch, whole, with disks and clocks, and between them somebody who drops, forges, repeats and flips.
//! When that has ended, the fetch comes to its end, and the file is what it should be.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use sprat::node::output::FetchEnding;

use super::choices::Choices;
use super::making::{Buffer, Seen, message};
use crate::model::contents::{bytes, hash, name, request};
use crate::model::disk::Path;
use crate::model::liar::Manner;
use crate::model::link::Link;
use crate::model::network::{Network, fetcher, peer};

/// Things that somebody does in one run.
const ACTS_MAX: usize = 64;
/// The longest that it takes after everything has become good: a host that was taken for a liar is
/// asked again within 300 s, and some questions wait twice as long each time.
const PATIENCE: Duration = Duration::from_secs(900);

pub(crate) fn run(input: &[u8]) {
    let mut choices = Choices::new(input);
    let sizes = [1, 1_000, 65_536, 100_000, 200_000];
    let data = bytes(1 + choices.byte() % 8, choices.pick(&sizes));
    let mut network = Network::new(u64::from(choices.byte()), link(&mut choices));
    network.listened_to = true;
    network.add(peer(1)).put("file", &data, None);
    if choices.flag() {
        let manner = choices.pick(&Manner::OF_SOURCES);
        let liar = network.add(peer(2));
        liar.liar.manner = manner;
        liar.put("file", &data, None);
    }
    network.run_for(Duration::from_millis(2_500));
    let sources: &[SocketAddr] = if choices.flag() { &[peer(1), peer(2)] } else { &[] };
    let fetch = request(&data, "got", sources);
    network.add(fetcher(100)).fetch(fetch.clone());
    let mut seen = Seen::default();
    for _ in 0..ACTS_MAX {
        if choices.is_over() {
            break;
        }
        act(&mut network, &mut choices, &mut seen, &data);
        if !network.hosts.contains_key(&fetcher(100)) {
            network.add(fetcher(100)).fetch(fetch.clone());
        }
        if !network.hosts.contains_key(&peer(1)) {
            network.add(peer(1));
        }
        whole_or_absent(&mut network, &data);
    }
    calm_down(&mut network, &data);
    network.run_until(PATIENCE, |network| network.hosts[&fetcher(100)].ending.is_some());
    let host = network.host(fetcher(100));
    assert!(matches!(host.ending, Some(FetchEnding::Done(_))), "{:?}", host.ending);
    assert!(!host.disk().has_remains_of(hash(&data).0));
    whole_or_absent(&mut network, &data);
    assert!(host_has(&mut network, &data));
}

fn link(choices: &mut Choices<'_>) -> Link {
    let flags = choices.byte();
    let thousandths = |choices: &mut Choices<'_>, most: u64| u64::from(choices.byte()) * most / 255;
    if flags & 1 == 0 {
        return Link::CLEAN;
    }
    Link {
        lost: thousandths(choices, 300),
        repeated: thousandths(choices, 500),
        corrupted: thousandths(choices, 50),
        delay: Duration::from_micros(choices.number() % 50_000),
        jitter: Duration::from_micros(choices.number() % 20_000),
        longest: if flags & 2 == 0 { 0 } else { 1_300 },
        ..Link::CLEAN
    }
}

/// The attacker does one thing.
fn act(network: &mut Network, choices: &mut Choices<'_>, seen: &mut Seen, data: &[u8]) {
    let processes = [peer(1), fetcher(100), peer(2)];
    let to = choices.pick(&processes[..2]);
    let from = choices.pick(&processes);
    match choices.byte() % 16 {
        0..=3 => network.run_for(Duration::from_micros(u64::from(choices.u16()) * 20)),
        4 | 5 => {
            network.overheard.iter().for_each(|flight| seen.passes(&flight.bytes));
            let mut buffer = Buffer::new();
            if let Some(message) = message(choices, seen, &mut buffer) {
                network.inject(from, to, message.encode());
            }
        }
        6 | 7 => {
            // From the latest back: as it was, or damaged, or to somebody else.
            let back = choices.below(network.overheard.len());
            let Some(mut flight) = network.overheard.iter().rev().nth(back).cloned() else {
                return;
            };
            for _ in 0..choices.below(4) {
                let at = choices.below(flight.bytes.len().max(1));
                flight.bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (at % 8));
            }
            let to = if choices.byte() < 192 { flight.to } else { to };
            let from = if choices.byte() < 192 { flight.from } else { from };
            network.inject(from, to, flight.bytes);
        }
        8 => {
            let way = (from.ip(), to.ip());
            if !network.cuts.remove(&way) {
                network.cuts.insert(way);
            }
        }
        9 => network.link = link(choices),
        10 => {
            let until = network.now + Duration::from_millis(choices.number() % 5_000);
            network.frozen.insert(to, until);
        }
        11 => network.crash(to),
        12 => network.cut_power(to.ip()),
        13 => {
            let disk = network.disk_of(fetcher(100));
            let chunk = Path::Chunk(hash(data).0, choices.number());
            if disk.borrow().file(&chunk).is_some() {
                disk.borrow_mut().damage(&chunk, |bytes| {
                    let at = choices.below(bytes.len().max(1));
                    bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1);
                });
            }
        }
        14 => {
            let noise = choices.chunk().to_vec();
            network.inject(from, to, noise);
        }
        _ => network.run_for(Duration::from_millis(choices.number() % 20_000)),
    }
}

/// A file that is not whole is in `share/` under no name, ever.
fn whole_or_absent(network: &mut Network, data: &[u8]) {
    let disk = network.disk_of(fetcher(100));
    let disk = disk.borrow();
    for (name, number) in disk.share() {
        assert!(*disk.files[&number].bytes == data, "{name:?} is not what was fetched");
    }
}

fn host_has(network: &mut Network, data: &[u8]) -> bool {
    let disk = network.disk_of(fetcher(100));
    let disk = disk.borrow();
    disk.share().any(|(_, number)| *disk.files[&number].bytes == data)
}

/// Nobody is in the way any more.
fn calm_down(network: &mut Network, data: &[u8]) {
    network.cuts.clear();
    network.link = Link::CLEAN;
    network.frozen.clear();
    if network.hosts.contains_key(&peer(2)) {
        network.crash(peer(2));
    }
    let keeper = network.disk_of(peer(1));
    let has_it =
        keeper.borrow().file(&Path::Share(name("file"))).is_some_and(|it| *it.bytes == data);
    if !has_it {
        keeper.borrow_mut().place(Path::Share(name("file")), Rc::new(data.to_vec()));
    }
    network.notice_everywhere();
}
