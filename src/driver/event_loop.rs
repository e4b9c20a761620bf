//! The mio loop. One turn: wait, read the clock, take what the socket has, hand the core its answers and
//! its time, do a slice of slow work, wait again. No turn is to take longer than some milliseconds.
//!
//! The drive contract is kept in one place, the function `feed`: one input, every output until there is
//! none, only then the next input.

mod names;

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};

use super::clock::{Clock, Slice};
use super::executor::Executor;
use super::interfaces::Interfaces;
use super::naming::Naming;
use super::netlink::Changes;
use super::receive_batch::ReceiveBatch;
use super::recording::Recording;
use super::signals::{LoopSignals, SIGUSR1};
use super::turn_statistics::{TurnStatistics, TurnTimer};
use crate::node::input::Command;
use crate::node::{Input, Instant, Node};
use crate::trace::How;

const SOCKET: Token = Token(0);
const SIGNALS: Token = Token(1);
const SHARE: Token = Token(2);
const CHUNKS: Token = Token(3);
const ROUTES: Token = Token(4);
const NAMES: Token = Token(5);

/// What a turn spends on datagrams before it looks at anything else.
const RECEIVE_SLICE: Duration = Duration::from_micros(1_500);
/// What a turn spends on the inbox, each of the two times.
const INBOX_SLICE: Duration = Duration::from_millis(1);
/// What a turn spends on slow work.
const WORK_SLICE: Duration = Duration::from_micros(1_500);
/// A turn that has taken so long leaves slow work to the next one,
const WORK_WAITS_AFTER: Duration = Duration::from_millis(3);
/// but not more often in a row than this.
const WORK_WAITS_MAX: u32 = 4;

/// How often the loop looks after itself.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// Every how many times of these the interfaces are looked at where the kernel tells of no changes,
const INTERFACES_EVERY: u32 = 3;
/// and where it does: a group that could not be joined is tried again.
const INTERFACES_EVERY_TOLD: u32 = 30;
/// Changes that come one after the other (a link, its addresses) are looked at together.
const INTERFACES_GATHERING: Duration = Duration::from_millis(50);
/// How long the core may take to leave the network.
const STOP_WITHIN: Duration = Duration::from_millis(500);

/// The loop of one run.
pub struct EventLoop {
    /// The core.
    pub node: Node,
    /// What carries out.
    pub executor: Executor,
    /// The signal that ended the run, if one did.
    pub ended_by: Option<i32>,
    /// Where every input goes besides, where the run is recorded.
    pub recording: Option<Recording>,
    clock: Clock,
    /// When the current step began: the core's time.
    now: Instant,
    poll: Poll,
    events: Events,
    batch: ReceiveBatch,
    signals: LoopSignals,
    interfaces: Interfaces,
    names: Naming,
    /// None where the system does not tell.
    changes: Option<Changes>,
    /// Something about the interfaces has changed.
    interfaces_due: Option<Instant>,
    /// Readiness is edge-triggered: the socket has to be read until nothing comes.
    readable: bool,
    work_waited: u32,
    housekeeping_due: Instant,
    housekeepings: u32,
    stop_by: Option<Instant>,
    statistics: TurnStatistics,
}

/// What a look at the loop from outside, once a turn, says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Go on.
    On,
    /// Go on; a second has gone by.
    Housekeeping,
    /// It is over.
    Over,
}

impl EventLoop {
    /// A loop whose signals are caught from now on.
    ///
    /// # Errors
    /// The kernel has no room for the loop's handles.
    pub fn new(
        clock: Clock,
        node: Node,
        mut executor: Executor,
        recording: Option<Recording>,
        poll: Poll,
    ) -> io::Result<Self> {
        let registry = poll.registry();
        executor.socket.register(registry, SOCKET)?;
        let signals = LoopSignals::catch(registry, SIGNALS, recording.is_some())?;
        if let Some(peer) = &executor.peer {
            let watched = [(peer.watcher.fd(), SHARE), (peer.partials.fd(), CHUNKS)];
            for (fd, token) in watched {
                if let Some(fd) = fd {
                    let fd: BorrowedFd<'_> = fd;
                    registry.register(&mut SourceFd(&fd.as_raw_fd()), token, Interest::READABLE)?;
                }
            }
        }
        let changes = listen_for_changes(registry);
        let now = clock.now();
        Ok(Self {
            node,
            executor,
            ended_by: None,
            recording,
            clock,
            now,
            poll,
            events: Events::with_capacity(16),
            batch: ReceiveBatch::new(),
            signals,
            interfaces: Interfaces::new(),
            names: Naming::default(),
            changes,
            interfaces_due: None,
            readable: true,
            work_waited: 0,
            housekeeping_due: now + HOUSEKEEPING,
            housekeepings: 0,
            stop_by: None,
            statistics: TurnStatistics::default(),
        })
    }

    /// Tells the core what it has to know first, with `command` before all that could make it speak
    /// to the network.
    pub fn begin(&mut self, command: Option<Command>) {
        let bytes = self.executor.socket.receive_buffer();
        self.feed_now(Input::SocketBuffer { bytes });
        if let Some(command) = command {
            self.command(command);
        }
        self.look_at_interfaces();
        self.executor.begin_work(self.clock.now());
    }

    /// Hands in a command.
    pub fn command(&mut self, command: Command) {
        self.feed_now(Input::Command(command));
    }

    /// Asks the core to leave the network and stop; the loop is over when it has, or soon anyway.
    pub fn stop(&mut self) {
        if self.stop_by.is_none() {
            self.stop_by = Some(self.clock.now() + STOP_WITHIN);
            self.command(Command::Stop);
        }
    }

    /// The time of the current step.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// What the loop did so far.
    pub fn statistics(&self) -> TurnStatistics {
        self.statistics
    }

    /// One turn. An error of the poll itself is all that it fails with.
    pub fn turn(&mut self) -> io::Result<Turn> {
        self.executor.socket.renew_interest(self.poll.registry(), SOCKET)?;
        let timeout = self.timeout();
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let mut timer = TurnTimer::start(WORK_WAITS_AFTER);
        self.now = self.clock.now();
        self.take_events();
        timer.step("events");
        self.receive();
        timer.step("datagrams");
        self.answer();
        timer.step("answers");
        self.let_time_pass();
        timer.step("deadlines");
        if !timer.is_over() || self.work_waited >= WORK_WAITS_MAX {
            self.work_waited = 0;
            self.now = self.clock.now();
            self.executor.work(self.now, &Slice::of(WORK_SLICE));
            timer.step("slow work");
            self.answer();
            timer.step("answers of slow work");
        } else {
            self.work_waited += 1;
        }
        let housekeeping = self.keep_house();
        timer.step("housekeeping");
        timer.end(&mut self.statistics);
        let stop_is_over = self.stop_by.is_some_and(|by| by <= self.now);
        Ok(match () {
            () if self.executor.stopped || stop_is_over => Turn::Over,
            () if housekeeping => Turn::Housekeeping,
            () => Turn::On,
        })
    }

    /// Hands one input in, which is no datagram, and carries out all that the core asks for.
    fn feed(&mut self, input: Input<'_>) {
        let recording = &mut self.recording;
        feed(&mut self.node, &mut self.executor, recording, self.now, input, None);
    }

    fn feed_now(&mut self, input: Input<'_>) {
        self.now = self.clock.now();
        self.feed(input);
    }

    /// How long to wait: not at all while there is something to do.
    fn timeout(&self) -> Option<Duration> {
        let executor = &self.executor;
        if self.readable
            || !self.batch.is_empty()
            || executor.stopped
            || !executor.inbox.is_empty()
            || executor.buffers.has_some_to_prove()
            || executor.has_more_work()
        {
            return Some(Duration::ZERO);
        }
        let core = self.node.poll_timeout().map(|deadline| deadline.at);
        [core, executor.next_work(), Some(self.housekeeping_due), self.interfaces_due, self.stop_by]
            .into_iter()
            .flatten()
            .min()
            .map(|due| due.since(self.clock.now()))
    }

    fn take_events(&mut self) {
        let mut writable = false;
        let mut signalled = false;
        let mut named = false;
        for event in &self.events {
            match event.token() {
                SOCKET => {
                    self.readable |= event.is_readable() || event.is_error();
                    writable |= event.is_writable();
                }
                SIGNALS => signalled = true,
                NAMES => named = true,
                ROUTES => {
                    if self.changes.as_ref().is_some_and(Changes::take) {
                        self.interfaces_due.get_or_insert(self.now + INTERFACES_GATHERING);
                    }
                }
                token => {
                    if let Some(peer) = &mut self.executor.peer {
                        match token {
                            SHARE => peer.watcher.on_readable(self.now),
                            _ => peer.partials.on_readable(self.now),
                        }
                    }
                }
            }
        }
        if named {
            self.take_lookups();
        }
        if self.signals.have_come() || signalled {
            self.see_signals();
        }
        if writable && self.executor.socket.flush() {
            self.feed(Input::Writable);
        }
    }

    /// The first signal asks to stop, the second does not wait for that. SIGUSR1 asks for the recording.
    pub fn see_signals(&mut self) {
        for signal in self.signals.pending() {
            if signal == SIGUSR1 {
                self.recording.iter_mut().for_each(Recording::hand_out);
                continue;
            }
            if self.ended_by.is_some() {
                if let Some(recording) = self.recording.take() {
                    recording.end(How::Signal(signal));
                }
                super::signals::end_as_if_by(signal);
            }
            log::info!("stopping, by signal {signal}");
            self.ended_by = Some(signal);
            self.stop();
        }
    }

    /// Takes datagrams until there are none or the slice is over.
    fn receive(&mut self) {
        let slice = Slice::of(RECEIVE_SLICE);
        while self.readable || !self.batch.is_empty() {
            if self.batch.is_empty() {
                self.readable = self.executor.socket.receive(&mut self.batch);
            }
            self.now = self.clock.now();
            while let Some((from, to, bytes)) = self.batch.take_with_way() {
                log::trace!("from {from}: {} bytes", bytes.len());
                let is_heard = to.is_none_or(|to| self.node.hears(from, to));
                let input = if is_heard {
                    Input::Datagram { from, bytes }
                } else {
                    Input::Unheard { from }
                };
                let (executor, recording) = (&mut self.executor, &mut self.recording);
                feed(&mut self.node, executor, recording, self.now, input, Some(bytes));
                if slice.is_over() {
                    return;
                }
            }
            if self.executor.buffers.has_many_to_prove() {
                self.prove();
            }
        }
    }

    fn prove(&mut self) {
        let Executor { buffers, inbox, .. } = &mut self.executor;
        buffers.prove(&Slice::of(INBOX_SLICE), inbox);
    }

    /// Hands in what came of the core's wishes, and what comes of that in turn.
    fn answer(&mut self) {
        let slice = Slice::of(INBOX_SLICE);
        self.now = self.clock.now();
        loop {
            if self.executor.buffers.has_some_to_prove() {
                self.prove();
            }
            let Some(input) = self.executor.inbox.pop_front() else {
                break;
            };
            self.feed(input);
            if slice.is_over() {
                break;
            }
        }
    }

    /// Lets the core's deadlines pass that are due.
    fn let_time_pass(&mut self) {
        self.now = self.clock.now();
        let Some(deadline) = self.node.poll_timeout().filter(|deadline| deadline.at <= self.now)
        else {
            return;
        };
        log::trace!("{}: woke for {}", self.now, deadline.reason);
        if let Some(recording) = &mut self.recording {
            recording.recorder.before_wake(self.now, deadline.reason);
        }
        self.node.handle_timeout(self.now);
        drain(&mut self.node, &mut self.executor, &mut self.recording, self.now, None);
        let next = self.node.poll_timeout();
        debug_assert!(
            next.is_none_or(|next| next.at > self.now),
            "after {}, {next:?} is due at once",
            deadline.reason
        );
    }

    /// Whether it was time.
    fn keep_house(&mut self) -> bool {
        if self.interfaces_due.is_some_and(|due| due <= self.now) {
            self.look_at_interfaces();
        }
        if self.now < self.housekeeping_due {
            return false;
        }
        self.housekeeping_due = self.now + HOUSEKEEPING;
        self.housekeepings += 1;
        self.executor.tidy(self.now);
        self.take_lookups();
        self.begin_lookups();
        self.recording.take_if(|recording| !recording.keep());
        let every = self.changes.as_ref().map_or(INTERFACES_EVERY, |_| INTERFACES_EVERY_TOLD);
        if self.housekeepings % every == 0 {
            self.look_at_interfaces();
        }
        true
    }

    fn look_at_interfaces(&mut self) {
        self.interfaces_due = None;
        let socket = &mut self.executor.socket;
        if let Some(addresses) = self.interfaces.refresh(&*socket) {
            let addresses = socket.own_addresses(addresses);
            let own = addresses.iter().map(|own| own.address).collect();
            socket.set_own_addresses(own);
            self.feed_now(Input::Interfaces { addresses });
            self.names.network_changed(self.now);
        }
    }
}

/// Where the kernel does not tell of changes, the interfaces are looked at more often.
fn listen_for_changes(registry: &Registry) -> Option<Changes> {
    let listen = || {
        let changes = Changes::listen()?;
        registry.register(&mut SourceFd(&changes.fd().as_raw_fd()), ROUTES, Interest::READABLE)?;
        Ok::<_, io::Error>(changes)
    };
    match listen() {
        Ok(changes) => Some(changes),
        Err(error) => {
            log::info!("the kernel does not tell of changes of its interfaces: {error}");
            None
        }
    }
}

/// The drive contract. What is recorded is noted before the core sees it.
fn feed(
    node: &mut Node,
    executor: &mut Executor,
    recording: &mut Option<Recording>,
    now: Instant,
    input: Input<'_>,
    in_hand: Option<&[u8]>,
) {
    if let Some(recording) = recording {
        recording.recorder.before(node, now, &input);
    }
    node.handle_input(now, input);
    drain(node, executor, recording, now, in_hand);
}

fn drain(
    node: &mut Node,
    executor: &mut Executor,
    recording: &mut Option<Recording>,
    now: Instant,
    in_hand: Option<&[u8]>,
) {
    while let Some(output) = node.poll_output() {
        if let Some(recording) = recording {
            recording.recorder.output(&output);
        }
        executor.execute(now, output, in_hand);
    }
    if cfg!(debug_assertions) {
        if let Some(recording) = recording {
            recording.recorder.set_in_core(true);
        }
        node.check_invariants();
    }
    if let Some(recording) = recording {
        recording.recorder.after(node);
    }
}
