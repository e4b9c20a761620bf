//! What one machine with many ports can do to a tracker.

use std::collections::VecDeque;

use super::*;
use crate::content::ContentId;
use crate::node::NodeConfig;
use crate::node::context::Interfaces;
use crate::node::counters::Counters;
use crate::wire::{self, Portions};

/// A tracker and the time.
struct Run {
    tracker: Tracker,
    now: Instant,
    interfaces: Interfaces,
    random: Random,
    counters: Counters,
}

fn host(machine: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, machine], port))
}

const ASKER: ([u8; 4], u16) = ([198, 51, 100, 1], 27_183);
/// So many of whom nothing is known are told.
const UNKNOWN: usize = 8;
const CONTENT: ContentId = ContentId([9; 20]);

impl Run {
    fn new() -> Self {
        let mut random = Random::new([1; 32]);
        Self {
            tracker: Tracker::new(&mut random),
            now: Instant::from_micros(1),
            interfaces: Interfaces::default(),
            random,
            counters: Counters::default(),
        }
    }

    /// What is sent to whom, after one step.
    fn with(
        &mut self,
        step: impl FnOnce(&mut Tracker, &mut Context<'_>),
    ) -> Vec<(SocketAddr, Vec<u8>)> {
        let config = NodeConfig { tracks: true, ..NodeConfig::new([1; 32]) };
        let mut outputs = VecDeque::new();
        let mut ctx = Context {
            now: self.now,
            config: &config,
            interfaces: &self.interfaces,
            in_flight_max: 1 << 20,
            asking: &mut None,
            outputs: &mut outputs,
            random: &mut self.random,
            counters: &mut self.counters,
        };
        step(&mut self.tracker, &mut ctx);
        self.tracker.check_invariants();
        let sent = outputs.into_iter().filter_map(|output| match output {
            Output::Transmit { to, bytes, .. } => Some((to, bytes)),
            _ => None,
        });
        sent.collect()
    }

    fn asks(&mut self, from: SocketAddr, about: About) -> Vec<(SocketAddr, Vec<u8>)> {
        let port = from.port().to_be_bytes();
        let mut instance = InstanceId([7; 16]);
        instance.0[..2].copy_from_slice(&port);
        let ask = Ask {
            about,
            to_many: false,
            tell_hosts: true,
            hosts_from: 0,
            tell_age: false,
            nonce: 5,
            instance: if from == ASKER.into() { InstanceId::NONE } else { instance },
            cookie: Cookie::NONE,
        };
        self.with(|tracker, ctx| tracker.on_ask(ctx, from, &ask))
    }

    /// A host comes, and says that its listing is so long.
    fn comes(&mut self, from: SocketAddr, length: u64) {
        let sent = self.asks(from, About::Listing { has: ListingDigest::NONE });
        let nonce = sent.iter().filter(|(to, _)| *to == from).find_map(|(_, bytes)| {
            let Ok(Message::Ask(ask)) = wire::decode(bytes) else { return None };
            Some(ask.nonce)
        });
        let Some(nonce) = nonce else { return };
        let digest = ListingDigest::of(&from.port().to_be_bytes());
        let listing = ListingSummary { digest, length, files: 1 };
        let answer = Answer::Listing { listing, changes: 0, in_step: false };
        let (cookie, instance) = (Cookie([1; 16]), InstanceId([8; 16]));
        let tell = Tell { nonce, cookie, instance, age: None, answer };
        self.with(|tracker, ctx| tracker.on_tell(ctx, from, &tell));
    }

    /// Whom the tracker tells of who asks for the content.
    fn who_has(&mut self) -> Vec<SocketAddr> {
        let sent = self.asks(ASKER.into(), About::Content { content: CONTENT, size: 1 });
        let told = sent.iter().find_map(|(_, bytes)| match wire::decode(bytes) {
            Ok(Message::Hosts(hosts)) => {
                Some(hosts.hosts.iter().map(|host| host.address).collect())
            }
            _ => None,
        });
        told.unwrap_or_default()
    }

    fn arriving(&self) -> Vec<SocketAddr> {
        self.tracker.arriving.iter().map(|arriving| arriving.host).collect()
    }
}

/// Those of whom it is not known what they have are told in turns: the ninth, too.
#[test]
fn of_nine_hosts_with_long_listings_each_is_told() {
    for on_one_machine in [false, true] {
        let mut run = Run::new();
        for number in 1..=9 {
            let from = if on_one_machine { host(1, number) } else { host(number as u8, 27_183) };
            run.comes(from, LISTING_MAX + 1);
        }
        let answers: Vec<_> = (0..20).map(|_| run.who_has()).collect();
        assert!(answers.iter().all(|told| told.len() == UNKNOWN), "{answers:?}");
        let told: BTreeSet<SocketAddr> = answers.into_iter().flatten().collect();
        assert_eq!(told.len(), 9, "{told:?}");
    }
}

/// Whom the asker may not be told of takes nobody's place.
#[test]
fn hosts_that_may_not_be_told_hide_nobody() {
    let mut run = Run::new();
    for number in 1..=20 {
        run.comes(SocketAddr::from(([127, 0, 0, number], 27_183)), LISTING_MAX + 1);
        run.comes(SocketAddr::from(([169, 254, 0, number], 27_183)), LISTING_MAX + 1);
    }
    run.comes(host(1, 27_183), LISTING_MAX + 1);
    let told: Vec<_> = (0..4).flat_map(|_| run.who_has()).collect();
    assert!(told.contains(&host(1, 27_183)), "{told:?}");
}

/// A machine registers with 300 ports and keeps its listings to itself: whoever is there is told, and his listing
/// is fetched at once.
#[test]
fn many_ports_of_one_machine_hide_nobody_and_have_one_download() {
    let mut run = Run::new();
    for port in 1..=300 {
        run.comes(host(1, port), 1 << 20);
    }
    assert_eq!(run.tracker.hosts.len(), HOSTS_EACH);
    assert_eq!(run.arriving(), [host(1, 1)]);
    run.comes(host(2, 27_183), 100);
    assert_eq!(run.arriving(), [host(1, 1), host(2, 27_183)]);
    assert!(run.who_has().contains(&host(2, 27_183)));
}

/// The same with what they say they have.
#[test]
fn many_ports_of_one_machine_that_claim_a_content_hide_nobody() {
    for honest in [1, 20] {
        let mut run = Run::new();
        for port in 1..=HOSTS_EACH as u16 {
            run.comes(host(3, port), 1 << 20);
            run.tracker.holdings.set(host(3, port), [CONTENT].into_iter());
            run.tracker.unknown.remove(&host(3, port));
        }
        for machine in 4..4 + honest {
            let from = host(machine, 27_183);
            run.comes(from, 1 << 20);
            let hold =
                Hold { cookie: Cookie::NONE, content: CONTENT, size: 1, portions: Portions(1) };
            run.with(|tracker, ctx| tracker.on_hold(ctx, from, &hold));
        }
        let told = run.who_has();
        for machine in 4..4 + honest {
            assert!(told.contains(&host(machine, 27_183)), "{machine}: {told:?}");
        }
    }
}

/// Whose listing stalled comes behind those whose listings were never asked for, whatever port it comes from.
#[test]
fn who_kept_the_tracker_waiting_comes_last() {
    let mut run = Run::new();
    for machine in 1..=4 {
        for port in 1..=50 {
            run.comes(host(machine, port), 1 << 20);
        }
    }
    run.comes(host(5, 1), 100);
    assert_eq!(run.arriving().len(), DOWNLOADS_MAX);
    assert!(!run.arriving().contains(&host(5, 1)));
    run.now = run.now + Duration::from_secs(6);
    run.with(|tracker, ctx| tracker.handle_timeout(ctx));
    assert!(run.arriving().contains(&host(5, 1)), "{:?}", run.arriving());
    // And who comes anew from one of those machines does not come before others.
    run.comes(host(1, 1_000), 1 << 20);
    run.comes(host(6, 1), 100);
    let order: Vec<_> = run.tracker.waiting.iter().map(|(.., host)| *host).collect();
    let place = |host| order.iter().position(|waiting| *waiting == host);
    assert!(place(host(6, 1)) < place(host(1, 1_000)), "{order:?}");
}

/// Forty machines with 256 ports each have all places: who comes gets one of theirs.
#[test]
fn in_a_full_table_the_most_crowded_machine_makes_room() {
    let mut run = Run::new();
    let now = run.now;
    for machine in 1..=(HOSTS_MAX / HOSTS_EACH) as u8 {
        for port in 1..=HOSTS_EACH as u16 {
            let registered = Registered {
                instance: InstanceId([7; 16]),
                heard_at: now,
                wanted: None,
                known: None,
                listing_not_before: now,
                listings_failed: 0,
                waits: None,
                cookie: Cookie::NONE,
                nonce: None,
                asked: 0,
                asked_at: now,
                ask_at: None,
            };
            run.tracker.due.insert((registered.due(), host(machine, port)));
            run.tracker.hosts.insert(host(machine, port), registered);
            run.tracker.unknown.insert(host(machine, port));
        }
    }
    assert_eq!(run.tracker.hosts.len(), HOSTS_MAX);
    for machine in 101..=120 {
        run.comes(host(machine, 27_183), 100);
        assert!(run.tracker.hosts.contains_key(&host(machine, 27_183)), "{machine}");
        assert_eq!(run.tracker.hosts.len(), HOSTS_MAX);
    }
}
