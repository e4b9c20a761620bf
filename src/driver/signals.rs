//! Signals as events of the loop: those that end a run, and the one that asks for its recording.

use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
pub use signal_hook::consts::SIGUSR1;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::{flag, low_level};

/// The signals that ask a run to end: someone's Ctrl-C, the system's stop, a front end or terminal
/// that goes away. And SIGUSR1, where the run is recorded.
pub struct LoopSignals {
    /// Which of them came.
    came: Vec<(i32, Arc<AtomicBool>)>,
    /// Becomes readable by each of them, to wake the loop. That is all: where the system has no room for that
    /// one byte, or a signal comes before this is set up, the flag still tells.
    wakes: UnixStream,
}

/// From now on a file that grows past a limit (`ulimit -f`) is an error of the write, which has its
/// sentence, and not the end of the process.
pub fn outlive_file_size_limit() {
    if let Err(error) = flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))) {
        log::debug!("a file size limit will end this process: {error}");
    }
}

impl LoopSignals {
    /// Catches them from now on. A hang-up that was being ignored (`nohup`) stays ignored. SIGUSR1 keeps
    /// its default, which ends the process, in a run that is not recorded.
    pub fn catch(registry: &Registry, token: Token, recorded: bool) -> io::Result<Self> {
        let mut caught = vec![SIGINT, SIGTERM];
        if !is_ignored(SIGHUP) {
            caught.push(SIGHUP);
        }
        if recorded {
            caught.push(SIGUSR1);
        }
        Self::of(&caught, registry, token)
    }

    fn of(caught: &[i32], registry: &Registry, token: Token) -> io::Result<Self> {
        let (wakes, waker) = UnixStream::pair()?;
        wakes.set_nonblocking(true)?;
        let mut came = Vec::new();
        for &signal in caught {
            let flag = Arc::new(AtomicBool::new(false));
            // What is registered first is done first: who is woken finds the flag.
            flag::register(signal, Arc::clone(&flag))?;
            low_level::pipe::register(signal, waker.try_clone()?)?;
            came.push((signal, flag));
        }
        registry.register(&mut SourceFd(&wakes.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self { came, wakes })
    }

    /// Whether there are some that [`pending`](Self::pending) has not told. One interrupts a wait, so a
    /// look after each wait is enough.
    pub fn have_come(&self) -> bool {
        self.came.iter().any(|(_, flag)| flag.load(Ordering::Relaxed))
    }

    /// Those that came since the last look.
    pub fn pending(&mut self) -> Vec<i32> {
        // What wakes is taken first, so that one that comes meanwhile wakes again.
        while matches!((&self.wakes).read(&mut [0; 64]), Ok(1..)) {}
        let came = self.came.iter().filter(|(_, flag)| flag.swap(false, Ordering::Relaxed));
        came.map(|(signal, _)| *signal).collect()
    }
}

/// Ends the process as one ended by this signal, which is what shells and supervisors look at.
pub fn end_as_if_by(signal: i32) {
    if let Err(error) = low_level::emulate_default_handler(signal) {
        log::error!("ending by signal {signal}: {error}");
    }
}

/// Whether the process was started with this signal ignored. Linux tells in `/proc`; elsewhere, no.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| (mask >> (signal - 1)) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use std::net::Shutdown;

    use super::*;

    #[test]
    fn one_that_cannot_wake_the_loop_is_seen_all_the_same_and_once() {
        let poll = mio::Poll::new().unwrap();
        let mut signals = LoopSignals::of(&[SIGUSR1], poll.registry(), Token(0)).unwrap();
        assert!(!signals.have_come() && signals.pending().is_empty());
        for wakes in [true, false] {
            if !wakes {
                signals.wakes.shutdown(Shutdown::Both).unwrap();
            }
            low_level::raise(SIGUSR1).unwrap();
            assert!(signals.have_come());
            assert_eq!(signals.pending(), [SIGUSR1]);
            assert!(!signals.have_come() && signals.pending().is_empty());
        }
    }
}
