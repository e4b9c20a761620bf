//! What one machine with many ports, or a tracker that lies, can do to the table of hosts.

use std::collections::VecDeque;
use std::net::IpAddr;

use super::*;
use crate::content::{ContentId, ShareName};
use crate::node::NodeConfig;
use crate::node::input::InterfaceAddress;
use crate::node::listed::{Listed, each_of};
use crate::wire::listing::{ListingEntries, ListingEntry, ListingSize};
use crate::wire::{self, Answer, Cookie, Hosts, Message, Portions, ToldHost, ToldHosts};

/// A host's discovery and the time.
struct Run {
    discovery: Discovery,
    config: NodeConfig,
    now: Instant,
    interfaces: Interfaces,
    random: Random,
    counters: crate::node::counters::Counters,
    /// Where announcements went, and when.
    announced: Vec<(Instant, SocketAddr)>,
    /// Whether who answers says to keep in step.
    in_step: bool,
}

fn host(third: u8, machine: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([10, 77, third, machine], port))
}

impl Run {
    fn new(peers: &[SocketAddr]) -> Self {
        let mut random = Random::new([1; 32]);
        let now = Instant::from_micros(1);
        let mut interfaces = Interfaces::default();
        let own = |address: [u8; 4], prefix_length, loopback| InterfaceAddress {
            index: 1,
            address: address.into(),
            prefix_length,
            broadcast: None,
            loopback,
        };
        interfaces.replace(vec![own([127, 0, 0, 1], 8, true), own([10, 77, 0, 1], 16, false)]);
        let config = NodeConfig { serves: true, peers: peers.to_vec(), ..NodeConfig::new([1; 32]) };
        let discovery = Discovery::new(now, peers.iter(), &mut random);
        let counters = crate::node::counters::Counters::default();
        let (announced, in_step) = (Vec::new(), false);
        Self { discovery, config, now, interfaces, random, counters, announced, in_step }
    }

    /// The questions that are sent in one step.
    fn with(
        &mut self,
        step: impl FnOnce(&mut Discovery, &mut Context<'_>),
    ) -> Vec<(SocketAddr, Ask)> {
        let mut outputs = VecDeque::new();
        let mut ctx = Context {
            now: self.now,
            config: &self.config,
            interfaces: &self.interfaces,
            in_flight_max: 1 << 20,
            asking: &mut None,
            outputs: &mut outputs,
            random: &mut self.random,
            counters: &mut self.counters,
        };
        step(&mut self.discovery, &mut ctx);
        self.discovery.check_invariants(self.now, &self.interfaces);
        let asked = outputs.into_iter().filter_map(|output| {
            let Output::Transmit { to, bytes, .. } = output else { return None };
            match wire::decode(&bytes) {
                Ok(Message::Ask(ask)) => return Some((to, ask)),
                Ok(Message::Announce(_)) => self.announced.push((self.now, to)),
                _ => {}
            }
            None
        });
        asked.collect()
    }

    fn announces(&mut self, from: SocketAddr) {
        let announce =
            Announce { instance: instance(from), listing: listing(from, 0), again_within: 50 };
        self.with(|discovery, ctx| discovery.on_announce(ctx, from, &announce));
    }

    fn tells(&mut self, from: SocketAddr, ask: &Ask, length: u64) -> Vec<(SocketAddr, Ask)> {
        let in_step = self.in_step;
        let answer = Answer::Listing { listing: listing(from, length), changes: 0, in_step };
        let (nonce, cookie, instance) = (ask.nonce, Cookie([1; 16]), instance(from));
        let tell = Tell { nonce, cookie, instance, age: None, answer };
        let listing = listing(from, length);
        self.with(|discovery, ctx| discovery.on_tell(ctx, from, &tell, (listing, 0, in_step)))
    }

    /// A host announces itself, is asked and answers.
    fn comes(&mut self, from: SocketAddr, length: u64) {
        self.announces(from);
        self.now = self.now + ASK_JITTER;
        let nothing = ListingSummary { digest: ListingDigest::of(&[]), length: 0, files: 0 };
        let asked = self.with(|discovery, ctx| discovery.handle_timeout(ctx, nothing));
        for (_, ask) in asked.iter().filter(|(to, _)| *to == from) {
            self.tells(from, ask, length);
        }
    }

    fn is_there(&self, address: SocketAddr) -> bool {
        self.discovery.remotes.get(&address).is_some_and(Remote::is_proven)
    }

    fn of(&self, machine: SocketAddr) -> usize {
        self.discovery.remotes.range(self.interfaces.machine(machine.ip())).count()
    }

    /// Puts one there that has answered, without the steps that lead to it.
    fn put(&mut self, address: SocketAddr) {
        let mut remote = Remote::new(address, false, self.now, &mut self.random);
        self.with(|discovery, ctx| {
            let (listing, cookie) = (listing(address, 0), Cookie([1; 16]));
            remote.told(ctx, instance(address), cookie, listing, 0);
            remote.set_listed(Listed::empty(listing).unwrap());
            discovery.remotes.insert(address, remote);
            discovery.look_at_all(ctx);
        });
    }
}

fn instance(address: SocketAddr) -> InstanceId {
    let mut instance = InstanceId([7; 16]);
    let digest = ListingDigest::of(address.to_string().as_bytes());
    instance.0.copy_from_slice(&digest.0[..16]);
    instance
}

fn listing(address: SocketAddr, length: u64) -> ListingSummary {
    let bytes = if length == 0 { String::new() } else { address.to_string() };
    let digest = ListingDigest::of(bytes.as_bytes());
    ListingSummary { digest, length, files: u32::from(length > 0) }
}

/// From each of 200 ports it announces itself, answers, and keeps its listing to itself. Who comes then is there, and
/// his listing is fetched at once; who was there stays.
#[test]
fn many_ports_of_one_machine_take_nobodys_place() {
    let mut run = Run::new(&[]);
    let attacker = host(0, 66, 1);
    run.comes(host(0, 2, 27_183), 0);
    for port in 1..=200 {
        run.comes(host(0, 66, port), 1_000);
    }
    assert_eq!(run.of(attacker), REMOTES_EACH);
    assert_eq!(run.discovery.downloading.len(), DOWNLOADS_EACH);
    run.comes(host(0, 3, 27_183), 1_000);
    assert!(run.discovery.downloading.contains(&host(0, 3, 27_183)));
    assert!(run.is_there(host(0, 2, 27_183)) && run.is_there(host(0, 3, 27_183)));
}

/// On one's own machine, and of those that a person named, there may be more.
#[test]
fn this_machine_and_who_was_named_is_not_bounded() {
    let named: Vec<SocketAddr> = (1..=100).map(|port| host(0, 5, port)).collect();
    let mut run = Run::new(&named);
    for port in 1..=100 {
        run.announces(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    // Nor are the machines of a far network of 64 bits, as long as there is room.
    let far = |last: u16| SocketAddr::from(([0x2001, 0xdb8, 9, 0, 0, 0, 0, last], 27_183));
    for last in 1..=100 {
        run.with(|discovery, ctx| {
            assert!(discovery.remote(ctx, far(last)).is_some());
            discovery.look_at(ctx, far(last));
        });
    }
    assert_eq!(run.of(far(1)), 100);
    assert_eq!((run.of(SocketAddr::from(([127, 0, 0, 1], 1))), run.of(named[0])), (100, 100));
}

/// Where all places are taken by hosts that answer, the machine that has most gives one up; but one that has one keeps it.
#[test]
fn in_a_full_table_the_most_crowded_machine_makes_room() {
    let mut run = Run::new(&[]);
    for number in 0..REMOTES_MAX as u16 {
        run.put(host(1, (number / 64) as u8, number % 64 + 1));
    }
    for machine in 1..=20 {
        run.comes(host(2, machine, 27_183), 0);
        assert!(run.is_there(host(2, machine, 27_183)), "{machine}");
        assert_eq!(run.discovery.remotes.len(), REMOTES_MAX);
    }
    let mut full = Run::new(&[]);
    for number in 0..REMOTES_MAX as u16 {
        full.put(host(3 + (number / 256) as u8, (number % 256) as u8, 27_183));
    }
    full.comes(host(2, 1, 27_183), 0);
    assert!(!full.discovery.knows(host(2, 1, 27_183)));
}

/// A host that was named lies about who is there: nobody is asked on our own machine.
#[test]
fn what_must_not_be_told_is_not_asked() {
    for (teller, is_here) in [(host(0, 2, 27_183), false), (([127, 0, 0, 1], 9).into(), true)] {
        let mut run = Run::new(&[teller]);
        let nothing = listing(teller, 0);
        let asked = run.with(|discovery, ctx| discovery.handle_timeout(ctx, nothing));
        let (_, ask) = asked.iter().find(|(to, _)| *to == teller).unwrap();
        let asked = run.tells(teller, ask, 0);
        let nonce = asked.iter().find(|(_, ask)| ask.tell_hosts).unwrap().1.nonce;
        let near = SocketAddr::from(([127, 0, 0, 1], 5_555));
        let on_link = SocketAddr::from(([169, 254, 0, 1], 5_555));
        let far = host(0, 3, 27_183);
        let mut told = Vec::new();
        for address in [near, on_link, far] {
            ToldHosts::push(&mut told, &ToldHost { address, portions: Portions::NONE });
        }
        let hosts = Hosts { nonce, next: 0, hosts: ToldHosts::new(&told).unwrap() };
        run.with(|discovery, ctx| assert!(discovery.on_hosts(ctx, teller, &hosts)));
        let knows = |address| run.discovery.knows(address);
        assert_eq!((knows(near), knows(on_link), knows(far)), (is_here, false, true));
    }
}

/// An interface without a broadcast address, as many tunnels have: each announcement goes to the group, since each says within what
/// time the next one comes.
#[test]
fn where_there_is_no_broadcast_each_announcement_goes_to_the_group() {
    let mut run = Run::new(&[]);
    let nothing = listing(host(0, 1, 1), 0);
    for _ in 0..600 {
        run.with(|discovery, ctx| discovery.handle_timeout(ctx, nothing));
        run.now = run.now + Duration::from_millis(100);
    }
    assert!(run.announced.iter().all(|(_, to)| to.ip() == IpAddr::from(wire::GROUP_V4)));
    let gaps = run.announced.windows(2).map(|pair| pair[1].0.since(pair[0].0));
    assert!(run.announced.len() > 10 && gaps.max() < Some(Duration::from_secs(6)));
}

/// Who says nothing of it is not waited for. The last answer counts, and who is gone keeps in step no more.
#[test]
fn who_keeps_in_step_is_known_by_what_he_says() {
    let mut run = Run::new(&[]);
    run.comes(host(0, 2, 27_183), 0);
    run.in_step = true;
    run.comes(host(0, 3, 27_183), 0);
    run.comes(host(0, 4, 27_183), 0);
    let those = |run: &Run| run.discovery.in_step().iter().map(|&(_, at)| at).collect::<Vec<_>>();
    let mut both = those(&run);
    both.sort();
    assert_eq!(both, [host(0, 3, 27_183), host(0, 4, 27_183)]);
    // He is asked again, and does not any more.
    run.in_step = false;
    let asked = run.with(|discovery, ctx| {
        let remote = discovery.remotes.get_mut(&host(0, 3, 27_183)).unwrap();
        remote.ask(ctx, discovery.instance);
    });
    let (to, ask) = asked[0];
    run.tells(to, &ask, 0);
    assert_eq!(those(&run), [host(0, 4, 27_183)]);
    run.with(|discovery, ctx| discovery.forget(ctx, host(0, 4, 27_183)));
    assert!(those(&run).is_empty());
}

#[test]
fn who_is_heard_a_thousand_times_a_second_is_not_asked_more_often() {
    let mut run = Run::new(&[]);
    let from = host(9, 9, 5_000);
    let nothing = ListingSummary { digest: ListingDigest::of(&[]), length: 0, files: 0 };
    let mut asked = 0;
    for number in 0..3_000 {
        run.now = run.now + Duration::from_millis(1);
        // Each time with another listing, as whoever wants to have it asked would say.
        let announce = Announce {
            instance: instance(from),
            listing: listing(host(0, 0, number), 60),
            again_within: 50,
        };
        asked += run.with(|discovery, ctx| discovery.on_announce(ctx, from, &announce)).len();
        asked += run.with(|discovery, ctx| discovery.handle_timeout(ctx, nothing)).len();
    }
    assert!((1..=7).contains(&asked), "{asked} questions in three seconds");
}

/// A host lists so many files, whose names are so long.
fn lists(run: &mut Run, address: SocketAddr, files: usize, length: usize) {
    run.put(address);
    gives(run, address, files, length, listing(address, 0).digest);
}

/// They have come from there.
fn gives(run: &mut Run, address: SocketAddr, files: usize, length: usize, digest: ListingDigest) {
    let entry = |at| ListingEntry {
        content: ContentId([at as u8; 20]),
        size: 7,
        name: ShareName::parse(&format!("{at:0length$}")).unwrap(),
    };
    let entries: ListingEntries = (0..files).map(entry).collect::<Vec<_>>().try_into().unwrap();
    let (sizes, left_out) = (entries.sizes().to_vec(), ListingSize::default());
    let each = each_of(&host_text(address));
    run.with(|discovery, ctx| {
        let listed = Listed::new(digest, entries, sizes, left_out, each, true);
        discovery.remotes.get_mut(&address).unwrap().set_listed(listed);
        discovery.keep(ctx.now, ctx.interfaces, address);
        discovery.share_room(ctx);
    });
}

fn shown_of(run: &Run) -> Vec<(SocketAddr, usize, bool)> {
    let of = |(&address, remote): (&SocketAddr, &Remote)| {
        let listed = remote.listed.as_ref().unwrap();
        (address, listed.entries.len(), listed.weight == listed.whole)
    };
    run.discovery.remotes.iter().map(of).collect()
}

#[test]
fn who_lists_too_much_takes_room_from_those_alone_who_do_so_too() {
    let honest = host(0, 9, 27_183);
    let liars: Vec<_> = (1..=20).map(|at| host(1, at, 27_183)).collect();
    // One of them with four ports more.
    let ports: Vec<_> = (1..=4).map(|port| host(1, 1, port)).collect();
    let mut all: Vec<_> = liars.iter().chain(&ports).map(|&at| (at, 10_000, 120)).collect();
    all.push((honest, 100, 40));
    let mut runs = Vec::new();
    for _ in 0..2 {
        let mut run = Run::new(&[]);
        all.iter().for_each(|&(at, files, length)| lists(&mut run, at, files, length));
        // As at each sweep: of what was cut for those who came before, nothing is left to cut.
        run.with(|discovery, ctx| discovery.share_room(ctx));
        let weight = run.discovery.kept.weight();
        assert!(weight <= shares::ROOM && weight > shares::ROOM * 9 / 10, "{weight}");
        assert!(run.counters.dropped(DropReason::TooManyListings) > 0);
        runs.push(shown_of(&run));
        all.reverse();
        let (_, files, is_whole) = runs[0].iter().find(|(at, ..)| *at == honest).unwrap();
        assert!(*files == 100 && *is_whole, "the honest one is shown entirely");
    }
    assert_eq!(runs[0], runs[1], "whoever came first");
    let of = |machine: u8| -> usize {
        let those = runs[0].iter().filter(|(at, ..)| at.ip() == host(1, machine, 0).ip());
        those.map(|(_, files, _)| files).sum()
    };
    assert!(of(1) <= of(2) && of(1) + 5 * 64 > of(2), "ports share what one machine gets");
}

#[test]
fn when_there_is_room_again_more_is_fetched() {
    let mut run = Run::new(&[]);
    let (one, other) = (host(1, 1, 27_183), host(1, 2, 27_183));
    lists(&mut run, one, 50_000, 120);
    assert!(run.discovery.remotes[&one].listed.as_ref().unwrap().is_complete);
    lists(&mut run, other, 50_000, 120);
    let of = |run: &Run, at| run.discovery.remotes[&at].listed.as_ref().unwrap().entries.len();
    assert_eq!(of(&run, one), of(&run, other));
    assert!(!run.discovery.remotes[&one].lacks_listing());
    run.with(|discovery, ctx| {
        discovery.forget(ctx, other);
        discovery.share_room(ctx);
    });
    assert!(run.discovery.remotes[&one].lacks_listing(), "it is fetched again");
    let missing = |run: &Run, now| run.discovery.remotes[&one].missing_listing(now);
    assert_eq!(missing(&run, run.now), None, "not at once");
    assert!(missing(&run, run.now + Duration::from_secs(60)).is_some());
}

/// One host at two addresses, of which one learns later than the other that there is a file more. With both listings there
/// would not be room for either.
#[test]
fn a_long_listing_that_changes_is_one_listing_at_all_addresses() {
    let addresses = [host(0, 9, 27_183), "[fe80::9%1]:27183".parse().unwrap()];
    let summary = |files: u32| {
        let digest = ListingDigest::of(&files.to_be_bytes());
        ListingSummary { digest, length: 5 << 20, files }
    };
    let says = |run: &mut Run, address, files| {
        run.with(|discovery, ctx| {
            let remote = discovery.remotes.get_mut(&address).unwrap();
            remote.told(ctx, instance(addresses[0]), Cookie([1; 16]), summary(files), 0);
            discovery.look_at_all(ctx);
        });
    };
    let comes = |run: &mut Run, address, files| {
        gives(run, address, files as usize, 30, summary(files).digest);
        run.with(|discovery, ctx| discovery.make_directory(ctx));
    };
    for late in [0, 1] {
        let mut run = Run::new(&[]);
        for address in addresses {
            run.put(address);
            says(&mut run, address, 100_000);
            comes(&mut run, address, 100_000);
        }
        let of = |run: &Run, at: usize| -> (u32, bool) {
            let listed = run.discovery.remotes[&addresses[at]].listed.as_ref().unwrap();
            (listed.entries.len() as u32, listed.weight == listed.whole)
        };
        for files in 100_001..100_006 {
            run.now = run.now + Duration::from_secs(1);
            let (now, soon) = (run.now, addresses[1 - late]);
            says(&mut run, soon, files);
            assert!(run.discovery.may_fetch(now, soon, summary(files)), "it need not wait");
            comes(&mut run, soon, files);
            assert_eq!(of(&run, 0), (if late == 0 { files - 1 } else { files }, true));
            assert!(run.discovery.kept.weight() <= shares::ROOM);
            says(&mut run, addresses[late], files);
            if late == 0 {
                comes(&mut run, addresses[late], files);
            }
            let asked = run.with(|discovery, ctx| discovery.start_downloads(ctx));
            assert_eq!((of(&run, 0), of(&run, 1), asked.len()), ((files, true), (files, true), 0));
        }
        assert_eq!(run.counters.dropped(DropReason::TooManyListings), 0);
        assert!(run.discovery.remotes.values().all(|remote| !remote.is_downloading()));
        // Who goes on to list other files is another, and they share the room.
        comes(&mut run, addresses[late], 100_006);
        run.now = run.now + Duration::from_secs(7);
        run.with(|discovery, ctx| {
            discovery.make_directory(ctx);
            discovery.share_room(ctx);
        });
        let shown = shown_of(&run);
        assert!(shown.iter().any(|(_, _, is_whole)| !is_whole), "{shown:?}");
        assert!(run.discovery.kept.weight() <= shares::ROOM);
        assert!(run.counters.dropped(DropReason::TooManyListings) > 0);
    }
}

#[test]
fn what_has_no_room_is_fetched_slowly_and_holds_up_nobody() {
    let mut run = Run::new(&[]);
    for at in 1..=3 {
        lists(&mut run, host(1, at, 27_183), 60_000, 120);
    }
    let now = run.now;
    let long = ListingSummary { length: 5 << 20, files: 40_000, ..listing(host(2, 1, 1), 1) };
    let short = ListingSummary { length: 4_000, files: 100, ..long };
    let mut may = |address, listing, seconds| {
        run.discovery.may_fetch(now + Duration::from_secs(seconds), address, listing)
    };
    assert!(may(host(2, 1, 1), long, 10));
    assert!(!may(host(2, 2, 1), long, 10) && !may(host(2, 2, 1), long, 14));
    assert!(may(host(2, 3, 1), short, 10), "who lists little need not wait");
    assert!(may(host(2, 2, 1), long, 15));
}

#[test]
fn who_has_shown_a_cookie_is_not_pushed_out_by_announcements() {
    let mut run = Run::new(&[]);
    let shown = host(9, 9, 27_183);
    let nothing = ListingSummary { digest: ListingDigest::of(&[]), length: 0, files: 0 };
    run.with(|discovery, ctx| {
        let remote = discovery.remote(ctx, shown).unwrap();
        remote.introduced(ctx.now);
        discovery.look_at(ctx, shown);
    });
    let mut asked = 0;
    for number in 0..5_000_u32 {
        let [.., third, fourth] = number.to_be_bytes();
        run.now = run.now + Duration::from_micros(100);
        run.announces(host(100 + third, fourth, 5_000));
        let asks = run.with(|discovery, ctx| discovery.handle_timeout(ctx, nothing));
        asked += asks.iter().filter(|(to, _)| *to == shown).count();
    }
    assert!(run.discovery.knows(shown) && asked >= 2, "asked {asked} times");
}
