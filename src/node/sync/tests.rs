//! Keeping in step where hosts list what they do not give, step by step.

use std::collections::VecDeque;

use super::*;
use crate::node::NodeConfig;
use crate::node::context::Interfaces;
use crate::node::counters::Counters;
use crate::node::input::{ShareSearch, StoreOpening};
use crate::node::random::Random;
use crate::wire::ListingDigest;

/// How long what is given takes.
const TAKES: Duration = Duration::from_millis(100);

/// A machine, the hosts that it hears of and the time.
struct Run {
    sync: Sync,
    now: Instant,
    shelf: Shelf,
    fetches: BTreeMap<FetchId, Fetch>,
    under_way: Vec<(FetchRequest, Instant)>,
    shown: BTreeMap<InstanceId, Shown>,
    /// Who gives what it lists.
    honest: BTreeSet<IpAddr>,
    /// What has come, and when.
    came: Vec<(String, Instant)>,
    /// How many downloads were begun of each host alone.
    begun: BTreeMap<Vec<SocketAddr>, usize>,
    random: Random,
    most_under_way: usize,
    /// Who it is, and who else is there, listing something or not.
    us: InstanceId,
    others: BTreeSet<(InstanceId, SocketAddr)>,
}

fn address(host: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host], 27_183))
}

fn content_of(name: &str) -> ContentId {
    ContentId(ListingDigest::of(name.as_bytes()).0)
}

impl Run {
    fn new(honest: &[u8]) -> Self {
        Self {
            sync: Sync::new(SyncRules::default(), Instant::ORIGIN),
            now: Instant::ORIGIN,
            shelf: Shelf::new(),
            fetches: BTreeMap::new(),
            under_way: Vec::new(),
            shown: BTreeMap::new(),
            honest: honest.iter().map(|&host| address(host).ip()).collect(),
            came: Vec::new(),
            begun: BTreeMap::new(),
            random: Random::new([1; 32]),
            most_under_way: 0,
            us: InstanceId([0xee; 16]),
            others: BTreeSet::new(),
        }
    }

    /// This host lists so many files, whose names begin with this.
    fn lists(&mut self, host: u8, prefix: &str, files: usize) {
        let mut names: Vec<String> = (0..files).map(|n| format!("{prefix}{n:06}")).collect();
        names.sort();
        self.lists_these(host, names.iter().map(|name| (content_of(name), name.as_str())));
    }

    /// This host lists these.
    fn lists_these<'a>(&mut self, host: u8, files: impl Iterator<Item = (ContentId, &'a str)>) {
        let entries = files.map(|(content, name)| {
            let name = ShareName::parse(name).unwrap();
            ListingEntry { content, size: 1, name }
        });
        let entries = ListingEntries::try_from(entries.collect::<Vec<_>>()).unwrap();
        let shown = Shown::new(address(host), entries);
        self.shown.insert(InstanceId([host; 16]), shown);
        self.sync.lists_changed(self.now, Some(self.now));
    }

    /// These hosts are there.
    fn knows(&mut self, hosts: impl Iterator<Item = u8>) {
        self.others = hosts.map(|host| (InstanceId([host; 16]), address(host))).collect();
    }

    /// How many copies this host has sent, where those that are asked send the same share each.
    fn copies_of(&self, host: u8) -> f64 {
        let asked = self.begun.iter().filter(|(sources, _)| sources.contains(&address(host)));
        asked.map(|(sources, &count)| count as f64 / sources.len() as f64).sum()
    }

    fn with<T>(&mut self, step: impl FnOnce(&mut Self, &mut Context<'_>) -> T) -> T {
        let config = NodeConfig { serves: true, ..NodeConfig::new([1; 32]) };
        let (interfaces, mut counters) = (Interfaces::default(), Counters::default());
        let (mut outputs, mut asking) = (VecDeque::new(), None);
        let mut random = self.random.clone();
        let mut ctx = Context {
            now: self.now,
            config: &config,
            interfaces: &interfaces,
            in_flight_max: 65_536,
            asking: &mut asking,
            outputs: &mut outputs,
            random: &mut random,
            counters: &mut counters,
        };
        step(self, &mut ctx)
    }

    /// Time goes on so far: what honest hosts were asked for comes.
    fn run_until(&mut self, end: Instant) {
        while self.now < end {
            let next = self.under_way.iter().map(|&(_, at)| at).chain([self.sync.look_at]).min();
            self.now = next.unwrap_or(end).max(self.now).min(end);
            self.with(Self::step);
            self.sync.check_invariants();
        }
    }

    fn step(&mut self, ctx: &mut Context<'_>) {
        let now = ctx.now;
        let (arrived, left) = self.under_way.drain(..).partition(|&(_, at)| at <= now);
        self.under_way = left;
        let arrived: Vec<(FetchRequest, Instant)> = arrived;
        for (request, _) in arrived {
            let from = request.sources.iter().map(SocketAddr::ip);
            let givers: Vec<IpAddr> = from.filter(|ip| self.honest.contains(ip)).collect();
            self.fetches.remove(&request.fetch);
            if givers.is_empty() {
                continue;
            }
            self.came.push((request.name.to_string(), now));
            self.sync.end(ctx, request.fetch, &FetchEnding::Done(request.name), givers);
        }
        if self.sync.is_due(now) {
            self.sync.lists_are(&self.shown);
            let others = self.others.clone();
            let around = Around { us: self.us, others: &others };
            for request in self.sync.work(ctx, around, &self.shelf, &mut self.fetches) {
                *self.begun.entry(request.sources.clone()).or_default() += 1;
                let mut fetch = Fetch::new(ctx, request.clone());
                fetch.store_opened(ctx, StoreOpening::Ours { extents: Vec::new(), chain: None });
                fetch.share_searched(ctx, ShareSearch::Absent);
                self.fetches.insert(request.fetch, fetch);
                if request.sources.iter().any(|host| self.honest.contains(&host.ip())) {
                    self.under_way.push((request, now + TAKES));
                }
            }
        }
        self.most_under_way = self.most_under_way.max(self.under_way.len());
        for (&id, fetch) in self.fetches.iter().filter(|(_, fetch)| fetch.has_ended()) {
            self.sync.ended(ctx, id, fetch);
        }
        self.fetches.retain(|_, fetch| !fetch.has_ended());
    }

    fn run_for(&mut self, seconds: u64) {
        self.run_until(self.now + Duration::from_secs(seconds));
    }

    fn came_of(&self, prefix: &str) -> usize {
        self.came.iter().filter(|(name, _)| name.starts_with(prefix)).count()
    }

    fn begun_of(&self, host: u8) -> usize {
        self.begun.get(&vec![address(host)]).copied().unwrap_or(0)
    }
}

#[test]
fn who_lists_much_and_gives_nothing_holds_nobody_up() {
    let mut run = Run::new(&[9]);
    run.lists(1, "lie", 100_000);
    run.run_for(5);
    assert_eq!(run.begun_of(1), 1, "it is tried with one download");
    // As a recording in the middle of it is taken up.
    let written = serde_json::to_string(&run.sync).unwrap();
    run.sync = serde_json::from_str(&written).unwrap();
    assert_eq!(serde_json::to_string(&run.sync).unwrap(), written);
    run.lists(9, "true", 1_000);
    // Four at a time of 100 ms each would take 25 s, and three 34.
    run.run_for(3);
    assert!(run.came_of("true") > 0, "nobody waits for the liar");
    run.run_for(37);
    assert_eq!(run.came_of("true"), 1_000);
    assert_eq!(run.most_under_way, DOWNLOADS_MAX, "but for the trials all places are theirs");
    // It is tried for 15 s each time, and rests for 10, 20, 40, ... s.
    let begun = run.begun_of(1);
    run.run_for(3_600);
    assert!(begun <= 3 && run.begun_of(1) - begun <= 12, "{begun}, {}", run.begun_of(1));
    // What comes new is not behind it either.
    run.lists(9, "late", 100);
    run.run_for(7);
    assert_eq!(run.came_of("late"), 100);
}

#[test]
fn what_a_liar_and_an_honest_host_list_arrives() {
    for late in [false, true] {
        let mut run = Run::new(&[9]);
        run.lists(1, "file", 5_000);
        if late {
            // By then all that is looked at waits behind, and some of it has failed.
            run.run_for(300);
        }
        // Not what comes first of the liar's.
        run.lists(9, "file", 5_000);
        run.run_for(180);
        assert_eq!(run.came_of("file"), 5_000, "late: {late}");
    }
}

#[test]
fn who_gives_again_is_taken_up_again() {
    let mut run = Run::new(&[]);
    run.lists(1, "file", 1_000);
    run.run_for(3_600);
    assert_eq!(run.came_of(""), 0);
    run.honest.insert(address(1).ip());
    // It is tried again after 10 minutes at the latest, and then once for each half of its let-downs.
    run.run_for(600 + 15);
    let before = run.came_of("");
    assert!(before > 0, "it is tried");
    run.run_for(30);
    assert_eq!(run.came_of(""), 1_000, "{before}");
}

#[test]
fn many_liars_leave_places_to_who_gives() {
    let mut run = Run::new(&[250]);
    for host in 1..=200 {
        run.lists(host, &format!("lie{host}-"), 1_000);
    }
    run.lists(250, "true", 2_000);
    // Until it is its turn to be tried.
    while run.came.is_empty() {
        run.run_for(15);
        assert!(run.now < Instant::ORIGIN + Duration::from_secs(17 * 201 / 3 + 30));
    }
    run.run_for(2_000 / 10 / 3 + 5);
    assert_eq!(run.came_of("true"), 2_000);
}

#[test]
fn what_is_behind_a_lost_host_comes_from_others_who_list_it() {
    let mut run = Run::new(&[1, 9]);
    run.lists(1, "file", 4_000);
    run.lists(9, "file", 4_000);
    run.run_for(10);
    let before = run.came_of("");
    assert!(before > 0 && before < 4_000);
    run.shown.remove(&InstanceId([1; 16]));
    run.run_for(4_000 / 40 + 5);
    assert_eq!(run.came_of(""), 4_000);
}

#[test]
fn the_queue_has_a_bound_and_what_is_beyond_comes_later() {
    let each = 2 * WAITING_EACH;
    let hosts = 1..=10;
    let mut run = Run::new(&hosts.clone().collect::<Vec<_>>());
    for host in hosts {
        run.lists(host, &format!("host{host:02}-"), each);
    }
    let mut most = 0;
    for _ in 0..20 {
        run.run_for(1);
        most = most.max(run.sync.turns.known());
    }
    let reserve = LISTS_MAX * WAITING_UNTRIED;
    assert_eq!(most, WAITING_MAX - reserve - DOWNLOADS_MAX, "full, but for who is new");
    // Who is new has room, and is taken up at once.
    run.honest.insert(address(99).ip());
    run.lists(99, "new", 50);
    run.run_for(4);
    assert!(run.came_of("new") > 0);
    assert!(run.sync.turns.len() <= WAITING_MAX);
    run.run_for((10 * each as u64 + 50) / 40 + 60);
    assert_eq!(run.came.len(), 10 * each + 50, "all of it");
}

#[test]
fn crowds_of_hosts_that_give_nothing_never_fill_the_queue() {
    let mut run = Run::new(&[]);
    for host in 1..=255 {
        for port in 0..5 {
            run.lists(host, &format!("lie{host}-{port}-"), WAITING_UNTRIED * 2);
            let shown = run.shown.remove(&InstanceId([host; 16])).unwrap();
            run.shown
                .insert(InstanceId([host, port, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]), shown);
        }
    }
    run.run_for(60);
    // And some that have failed.
    let full = WAITING_MAX / 2..WAITING_MAX / 2 + WAITING_UNTRIED;
    assert!(full.contains(&run.sync.turns.len()), "{}", run.sync.turns.len());
    // What nobody lists any more makes room.
    run.shown.clear();
    run.run_for(30);
    assert_eq!(run.sync.turns.len(), 0);
}

/// Ten machines keep in step with each other, and one more lists 100 files. What has come is listed a second later.
#[test]
fn the_first_of_all_sends_each_content_about_once() {
    const FIRST: u8 = 200;
    let hosts: Vec<u8> = (1..=10).collect();
    let all: Vec<u8> = hosts.iter().copied().chain([FIRST]).collect();
    let mut runs: Vec<Run> = hosts.iter().map(|_| Run::new(&all)).collect();
    for (&us, run) in hosts.iter().zip(&mut runs) {
        run.us = InstanceId([us; 16]);
        run.knows(all.iter().copied().filter(|&host| host != us));
        run.lists(FIRST, "file", 100);
    }
    let lag = Duration::from_secs(1);
    while runs.iter().any(|run| run.came.len() < 100) {
        let end = runs[0].now + TAKES;
        assert!(end < Instant::ORIGIN + Duration::from_secs(20), "{}", runs[0].came.len());
        runs.iter_mut().for_each(|run| run.run_until(end));
        for giver in 0..runs.len() {
            let came = &runs[giver].came;
            let until = |at: Instant| came.iter().filter(|&(_, came)| *came + lag <= at).count();
            if until(end) == came.len().min(until(Instant::from_micros(end.as_micros() - 100_000)))
            {
                continue;
            }
            let mut listed: Vec<String> =
                came[..until(end)].iter().map(|(name, _)| name.clone()).collect();
            listed.sort();
            for taker in (0..runs.len()).filter(|&taker| taker != giver) {
                let files = listed.iter().map(|name| (content_of(name), name.as_str()));
                runs[taker].lists_these(hosts[giver], files);
            }
        }
    }
    let copies = runs.iter().map(|run| run.copies_of(FIRST)).sum::<f64>() / 100.0;
    assert!((1.0..1.5).contains(&copies), "{copies} copies of each");
    let most = hosts.iter().map(|&host| runs.iter().map(|run| run.copies_of(host)).sum::<f64>());
    let most = most.fold(0.0, f64::max);
    assert!(most < 250.0, "{most} by one of the others");
}

#[test]
fn nobody_waits_for_long_and_in_a_network_of_two_not_at_all() {
    let mut run = Run::new(&[9]);
    run.knows([9].into_iter());
    run.lists(9, "file", 100);
    run.run_for(3 + 3);
    assert_eq!(run.came.len(), 100, "nobody else could fetch it");

    // Others are there, few or many, and do nothing.
    for others in [1..=4, 1..=250] {
        let mut run = Run::new(&[9, 10]);
        run.knows(others.filter(|&host| host != 9).chain([9]));
        run.lists(9, "file", 100);
        run.run_for(3 + 2);
        let at_once = run.came.len();
        assert!(at_once < 50, "{at_once}");
        // Of a host that is not known to give the rest is looked at when something has come.
        run.run_for(3 + 2 * 10 + 1);
        assert_eq!(run.came.len(), 100);
        // What another host lists as well does not wait.
        run.lists(9, "late", 100);
        run.lists(10, "late", 100);
        run.run_for(4);
        assert_eq!(run.came_of("late"), 100);
    }
}

#[test]
fn what_is_left_to_others_counts_as_waiting() {
    let mut run = Run::new(&[]);
    run.knows(1..=250);
    run.lists(9, "file", 1_000);
    run.run_for(5);
    assert!(run.sync.turns.len() <= WAITING_UNTRIED, "{}", run.sync.turns.len());
    run.shown.clear();
    run.run_for(40);
    assert_eq!(run.sync.turns.len(), 0);
}

/// Another host says that it has what the first lists, and gives nothing: then the first gives it.
#[test]
fn who_says_to_have_it_as_well_holds_it_up_for_moments() {
    let mut run = Run::new(&[9]);
    run.lists(9, "file", 1_000);
    run.run_for(10);
    run.lists(1, "file", 1_000);
    run.run_for(1_000 / 30 + 15 + 10);
    assert_eq!(run.came.len(), 1_000);
    assert!((1..=3).contains(&run.begun_of(1)), "{}", run.begun_of(1));
}

#[test]
fn of_one_content_a_few_names_are_taken() {
    let mut run = Run::new(&[9]);
    for round in 0..10 {
        let names: Vec<String> = (0..500).map(|n| format!("{round} {n:03}")).collect();
        let content = content_of("the only one");
        run.lists_these(9, names.iter().map(|name| (content, name.as_str())));
        run.run_for(5);
    }
    assert_eq!(run.came.len(), looking::NAMES_MAX);
    run.lists(9, "file", 20);
    run.run_for(5);
    assert_eq!(run.came_of("file"), 20, "others do not wait for it");
}
