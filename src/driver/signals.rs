//! Signals as events of the loop: those that end a run, and the one that asks for its recording.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mio::{Interest, Registry, Token};
pub use signal_hook::consts::SIGUSR1;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook_mio::v1_0::Signals;

/// The signals that ask a run to end: someone's Ctrl-C, the system's stop, a front end or terminal
/// that goes away. And SIGUSR1, where the run is recorded.
pub struct LoopSignals {
    /// They wake the loop through a pair of sockets. Where the system has no room for that one byte, or
    /// one comes before the pair is there, this does not tell.
    signals: Signals,
    /// Which of them came.
    came: Vec<(i32, Arc<AtomicBool>)>,
}

/// From now on a file that grows past a limit (`ulimit -f`) is an error of the write, which has its
/// sentence, and not the end of the process.
pub fn outlive_file_size_limit() {
    if let Err(error) = signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))) {
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
        let mut came = Vec::new();
        for signal in &caught {
            let flag = Arc::new(AtomicBool::new(false));
            signal_hook::flag::register(*signal, Arc::clone(&flag))?;
            came.push((*signal, flag));
        }
        let mut signals = Signals::new(caught)?;
        registry.register(&mut signals, token, Interest::READABLE)?;
        Ok(Self { signals, came })
    }

    /// Whether there are some that [`pending`](Self::pending) has not told. One interrupts a wait, so a
    /// look after each wait is enough.
    pub fn have_come(&self) -> bool {
        self.came.iter().any(|(_, flag)| flag.load(Ordering::Relaxed))
    }

    /// Those that came since the last look.
    pub fn pending(&mut self) -> Vec<i32> {
        // What wakes is taken first, so that one that comes meanwhile wakes again.
        self.signals.pending().for_each(drop);
        let came = self.came.iter().filter(|(_, flag)| flag.swap(false, Ordering::Relaxed));
        came.map(|(signal, _)| *signal).collect()
    }
}

/// Ends the process as one ended by this signal, which is what shells and supervisors look at.
pub fn end_as_if_by(signal: i32) {
    if let Err(error) = signal_hook::low_level::emulate_default_handler(signal) {
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
