//! A whole run: `peer` until somebody ends it, `fetch` until the file is there.

use std::fs;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use mio::Poll;
use rustix::rand::{GetRandomFlags, getrandom};

use super::clock::{self, Clock};
use super::directory::DirectoryJobs;
use super::event_loop::{EventLoop, Turn};
use super::executor::{Executor, PeerWork};
use super::interfaces::prepare_multicast;
use super::lines::complain;
use super::naming::{ADDRESSES_MAX, Naming};
use super::progress::{Progress, bars};
use super::recording::Recording;
use super::root_lock::RootLock;
use super::share_folder::ShareFolder;
use super::signals::{end_as_if_by, outlive_file_size_limit};
use super::synced;
use super::udp_socket::{BindAddress, UdpSocket};
use crate::config::{Config, DEFAULT_PORT, FetchConfig, PeerHost, Verbosity};
use crate::node::input::{Command, FetchRequest};
use crate::node::output::FetchEnding;
use crate::node::{FetchId, Node, NodeConfig};
use crate::trace::How;

/// Exit codes of the contract.
pub(super) const FAILED: u8 = 1;
const WRONG_ARGUMENTS: u8 = 2;
pub(super) const NOT_NOW: u8 = 75;

/// Why a fetch ends where the content collides.
pub(super) const COLLIDING: &str = "this file was made so that another one has the same SHA-1, and nobody can tell \
    which of the two came: it is not kept; ask whoever made it for one that was not";

/// Why a run cannot begin or go on: one sentence.
pub(super) type Sentence = String;

/// Why a run cannot begin or go on.
pub(super) struct Trouble {
    pub(super) sentence: Sentence,
    pub(super) code: u8,
}

impl From<Sentence> for Trouble {
    /// For good, unless told otherwise.
    fn from(sentence: Sentence) -> Self {
        Self { sentence, code: FAILED }
    }
}

/// Runs a peer until it is stopped. Where a signal stops it, this does not return.
pub fn run_peer(config: &Config) -> ExitCode {
    outlive_file_size_limit();
    give_way(config);
    finish(peer(config))
}

/// Runs a fetch until it ends. Where a signal stops it, this does not return.
pub fn run_fetch(config: &Config, fetch: FetchConfig) -> ExitCode {
    outlive_file_size_limit();
    give_way(config);
    finish(fetch_one(config, fetch))
}

/// Runs a tracker until it is stopped. Where a signal stops it, this does not return.
pub fn run_tracker(config: &Config) -> ExitCode {
    give_way(config);
    finish(track(config))
}

/// In the background, the processor is left to others, and so is the disk: Linux derives the one's priority from the
/// other's where its scheduler has any.
pub(super) fn give_way(config: &Config) {
    if config.restraint.background {
        if let Err(error) = rustix::process::nice(19) {
            log::info!("the kernel gives no lower priority: {error}");
        }
    }
}

/// How a run ended.
pub(super) enum End {
    Code(u8),
    BySignal(i32),
}

pub(super) fn finish(result: Result<End, Trouble>) -> ExitCode {
    match result {
        Ok(End::Code(code)) => ExitCode::from(code),
        Ok(End::BySignal(signal)) => {
            end_as_if_by(signal);
            ExitCode::from(FAILED)
        }
        Err(trouble) => {
            complain(&trouble.sentence);
            ExitCode::from(trouble.code)
        }
    }
}

/// Lets a run take place. Where it is recorded, the recording is told how it ends, whatever happens.
pub(super) fn recorded(
    mut run: EventLoop,
    body: impl FnOnce(&mut EventLoop) -> Result<End, Trouble>,
) -> Result<End, Trouble> {
    let result = catch_unwind(AssertUnwindSafe(|| body(&mut run)));
    let recording = run.recording.take();
    let result = match result {
        Ok(result) => result,
        Err(panic) => {
            if let Some(recording) = recording {
                recording.end_by_panic(&*panic);
            }
            resume_unwind(panic);
        }
    };
    if let Some(recording) = recording {
        recording.end(match &result {
            Ok(End::Code(code)) => How::Exit(*code),
            Ok(End::BySignal(signal)) => How::Signal(*signal),
            Err(trouble) => How::Exit(trouble.code),
        });
    }
    result
}

fn peer(config: &Config) -> Result<End, Trouble> {
    let clock = Clock::start();
    Recording::check(config.trace.as_ref())?;
    make_folder(&config.root)?;
    let lock = RootLock::take(&config.root)?;
    let directory = DirectoryJobs::create(&config.root, clock::wall_now()).map_err(|error| {
        let advice = "start sprat in a folder that it may write to, or name one with --root";
        no_place("write", &config.root.join("d.json"), &error, advice)
    })?;
    make_folder(&config.root.join("chunks"))?;
    let share = open_share(&config.root)?;
    let socket = open_socket(config, config.port)?;
    log::info!("peer in {} on {}", config.root.display(), socket.local_address());
    let node_config = node_config(config, true, &socket)?;
    let work = PeerWork::new(&config.root, directory);
    let executor = Executor::new(&config.root, share, socket, Some(work));
    recorded(open_loop(config, clock, node_config, executor)?, |run| {
        if config.sync.is_some() {
            run.executor.inbox.extend(synced::read(&config.root));
        }
        peer_to_its_end(run, config, &lock)
    })
}

fn peer_to_its_end(run: &mut EventLoop, config: &Config, lock: &RootLock) -> Result<End, Trouble> {
    run.begin(None);
    run.look_up(Naming::new(&config.peers, &config.trackers));
    loop {
        let turn = run.turn().map_err(loop_failed)?;
        // The core knows how those ended that it started by itself.
        run.executor.endings.clear();
        match turn {
            Turn::On => {}
            Turn::Housekeeping => {
                if lock.somebody_knocks() {
                    log::info!("stopping, for a newer peer in this folder");
                    run.stop();
                }
            }
            Turn::Over => break,
        }
    }
    if let Some(peer) = &mut run.executor.peer {
        peer.cache.flush();
        peer.directory.close();
    }
    tell_statistics(run);
    Ok(run.ended_by.map_or(End::Code(0), End::BySignal))
}

fn track(config: &Config) -> Result<End, Trouble> {
    let clock = Clock::start();
    Recording::check(config.trace.as_ref())?;
    let socket = open_socket(config, config.port)?;
    log::info!("tracker on {}", socket.local_address());
    let node_config = NodeConfig { tracks: true, ..node_config(config, false, &socket)? };
    // Nothing is served, searched or published.
    let folder = ShareFolder::open_or_make(&config.root)
        .map_err(|error| format!("cannot open {}: {error}", config.root.display()))?;
    let executor = Executor::new(&config.root, folder, socket, None);
    recorded(open_loop(config, clock, node_config, executor)?, |run| {
        run.begin(None);
        while run.turn().map_err(loop_failed)? != Turn::Over {}
        tell_statistics(run);
        Ok(run.ended_by.map_or(End::Code(0), End::BySignal))
    })
}

fn fetch_one(config: &Config, fetch: FetchConfig) -> Result<End, Trouble> {
    let clock = Clock::start();
    Recording::check(config.trace.as_ref())?;
    let share = open_share(&config.root)?;
    let socket = open_socket(config, 0)?;
    let node_config = node_config(config, false, &socket)?;
    let executor = Executor::new(&config.root, share, socket, None);
    let quiet = config.verbosity == Verbosity::Quiet;
    let (name, bars) = (fetch.name.to_string(), bars());
    let progress = Progress::new(&name, fetch.size, quiet, &bars, clock.now());
    recorded(open_loop(config, clock, node_config, executor)?, |run| {
        fetch_to_its_end(run, config, fetch, progress)
    })
}

fn fetch_to_its_end(
    run: &mut EventLoop,
    config: &Config,
    fetch: FetchConfig,
    progress: Progress,
) -> Result<End, Trouble> {
    let mut progress = Some(progress);
    let wanted = fetch.name.clone();
    let id = FetchId(1);
    run.begin(Some(Command::Fetch(FetchRequest {
        fetch: id,
        content: fetch.content,
        size: fetch.size,
        name: fetch.name,
        sources: fetch.sources,
        timeout: fetch.timeout,
        alone: false,
    })));
    // Looking names up is network traffic, and the attrs stand there before any.
    run.look_up(Naming::new(&config.peers, &config.trackers));
    let mut ending = None;
    loop {
        let turn = run.turn().map_err(loop_failed)?;
        if let Some(known) = run.node.fetch_progress(id) {
            if let Some(progress) = &mut progress {
                progress.update(run.now(), known);
            }
        }
        if let Some((_, how)) = run.executor.endings.pop() {
            if let Some(progress) = progress.take() {
                progress.end(run.now(), matches!(how, FetchEnding::Done(_)));
            }
            ending = Some(how);
            run.stop();
        }
        if turn == Turn::Over {
            break;
        }
    }
    tell_statistics(run);
    let code = match ending {
        None => return Ok(run.ended_by.map_or(End::Code(FAILED), End::BySignal)),
        Some(FetchEnding::Done(name)) => {
            if name != wanted {
                log::warn!("share/{wanted} is another file, so this one is share/{name}");
            }
            0
        }
        Some(FetchEnding::WrongSize { size }) => {
            complain(&format!("the file with this SHA-1 has {size} bytes: give that as SIZE"));
            WRONG_ARGUMENTS
        }
        Some(FetchEnding::Colliding) => {
            complain(COLLIDING);
            FAILED
        }
        Some(FetchEnding::TimedOut | FetchEnding::GivenUp) => {
            complain("the time is over; the same call goes on from what is here");
            NOT_NOW
        }
        Some(FetchEnding::Failed(sentence)) => {
            complain(&sentence);
            FAILED
        }
    };
    Ok(End::Code(code))
}

pub(super) fn open_loop(
    config: &Config,
    clock: Clock,
    node_config: NodeConfig,
    executor: Executor,
) -> Result<EventLoop, Sentence> {
    let now = clock.now();
    let recording = match &config.trace {
        Some(trace) => Some(Recording::start(trace, &node_config, now)?),
        None => None,
    };
    let node = Node::new(node_config, now);
    let new = || EventLoop::new(clock, node, executor, recording, Poll::new()?);
    new().map_err(|error| format!("cannot wait for events ({error}): too many open files?"))
}

/// A place of ours is not to be had: for now where the disk is full, for good otherwise.
pub(super) fn no_place(tried: &str, place: &Path, error: &io::Error, advice: &str) -> Trouble {
    let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    let (advice, code) = match full {
        true => ("make room on the disk and start again", NOT_NOW),
        false => (advice, FAILED),
    };
    Trouble { sentence: format!("cannot {tried} {}: {error}; {advice}", place.display()), code }
}

pub(super) fn loop_failed(error: io::Error) -> Sentence {
    format!("cannot wait for events any more ({error})")
}

fn make_folder(path: &Path) -> Result<(), Trouble> {
    fs::create_dir_all(path)
        .map_err(|error| no_place("make the folder", path, &error, "give another with --root"))
}

pub(super) fn open_share(root: &Path) -> Result<ShareFolder, Trouble> {
    let path = root.join("share");
    ShareFolder::open_or_make(&path)
        .map_err(|error| no_place("open the folder", &path, &error, "see to its rights"))
}

pub(super) fn open_socket(config: &Config, port: u16) -> Result<UdpSocket, Sentence> {
    let at = BindAddress {
        address: config.bind.map(|bind| bind.address),
        scope_id: config.bind.map_or(0, |bind| bind.scope_id),
        port,
    };
    let plain = std::env::var_os("SPRAT_PLAIN_SOCKET").is_some_and(|value| value == "1");
    let socket = UdpSocket::bind(at, plain).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "UDP port {port} is taken, by the peer of another folder perhaps: stop it, or give \
             another port with --port"
        ),
        io::ErrorKind::AddrNotAvailable => {
            "the address given with --bind is not one of this machine's".to_owned()
        }
        _ => format!("cannot open a UDP socket on port {port} ({error})"),
    })?;
    prepare_multicast(&socket);
    Ok(socket)
}

pub(super) fn node_config(
    config: &Config,
    serves: bool,
    socket: &UdpSocket,
) -> Result<NodeConfig, Sentence> {
    let mut seed = [0; 32];
    // What has to be looked up follows while it runs.
    let named = Naming::new(&config.peers, &config.trackers).addresses();
    let filled = getrandom(&mut seed, GetRandomFlags::empty())
        .map_err(|error| format!("the kernel gives no random numbers ({error})"))?;
    debug_assert_eq!(filled, seed.len(), "so few are given at once");
    Ok(NodeConfig {
        serves,
        port: socket.local_address().port(),
        default_port: if serves { DEFAULT_PORT } else { config.port },
        peers: named.peers,
        trackers: named.trackers,
        sync: config.sync.clone(),
        restraint: config.restraint,
        ..NodeConfig::new(seed)
    })
}

/// The same for a look of seconds, which waits until names are looked up.
pub(super) fn looking_config(config: &Config, socket: &UdpSocket) -> Result<NodeConfig, Sentence> {
    Ok(NodeConfig {
        peers: resolve("--peer", &config.peers),
        trackers: resolve("--tracker", &config.trackers),
        ..node_config(config, false, socket)?
    })
}

/// The addresses of the hosts; a name that does not resolve now is told and left out.
pub(super) fn resolve(option: &str, hosts: &[PeerHost]) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    for host in hosts {
        match host {
            PeerHost::Address(address) => addresses.push(*address),
            PeerHost::Named { name, port } => match (name.as_str(), *port).to_socket_addrs() {
                Ok(found) => addresses.extend(found.take(ADDRESSES_MAX)),
                Err(error) => log::warn!("{option} {name} is left out: {error}"),
            },
        }
    }
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

pub(super) fn tell_statistics(run: &EventLoop) {
    let statistics = run.statistics();
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1_000.0;
    log::info!(
        "{} turns, the longest {:.1} ms ({}), by processor time {:.1} ms ({}); 99.9 % within {:.2} ms, {:.2} ms \
         of the processor",
        statistics.turns,
        milliseconds(statistics.longest),
        statistics.longest_step,
        milliseconds(statistics.busiest),
        statistics.busiest_step,
        milliseconds(statistics.spread.within(999)),
        milliseconds(statistics.processor_spread.within(999)),
    );
    log::info!("socket: {}", run.executor.socket.counters());
    log::info!("dropped: {}", run.node.counters());
}
