//! A link between two networks, in user space: rate, delay, jitter, loss, bursts, reordering, a queue.
//! `scripts/lib/bench_network.py` gives it two TAP devices as its standard input and output; what is read
//! from one is written to the other, later or never, and at the end all of it is counted in a report.
//!
//! One thread and one loop: read what is there, hand over what is due, sleep until more is. When a frame
//! arrives is computed, not slept: a late waking delays that frame, never the rate of the link.

#![allow(clippy::print_stdout, reason = "its help is for people")]
#![allow(clippy::disallowed_methods, reason = "it is a clock that delays frames; no part of sprat")]

mod chance;
mod direction;
mod packet;
mod rebinding;
mod report;
mod spec;

use std::error::Error;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

use direction::Direction;
use rebinding::{Rebinding, Router};
use spec::Spec;

const HELP: &str = "\
A link between two networks that each have a TAP device.

usage: link_emulator --report FILE [OPTION...]  <>TAP-A  1<>TAP-B

  --forth SPEC   what happens to frames from standard input to standard output
  --back SPEC    and the other way (as --forth, unless given)
  --rebind WHAT  hosts at standard output are behind a router that forgets: port/5s,
                 address/5s (to the last byte 100 is added, and then one more each time)
  --seed N       where all chance comes from (1)
  --report FILE  where the counts go as JSON, at SIGINT or SIGTERM

SPEC is a list with commas; what is not said is without limit or without fault:
  rate=100mbit      a frame takes its length, at least 60 bytes, and 24 more
                    (check sum, preamble, gap between frames)
  queue=250000      bytes of frames, so counted, that wait at most; what comes then is dropped
  delay=20ms        one way
  jitter=3ms/10ms   up to 3 ms more, drawn anew every 10 ms; the order is kept
  loss=0.5%         of what has passed the rate
  burst=4           frames that are lost in a row, in the mean (1: each for itself)
  reorder=1%/2ms    of the frames are held back by 2 ms and are overtaken
  corrupt=2%        of the UDP packets one bit is turned, under a check sum that holds
  outage=5s/2s      for 5 s all passes, then for 2 s nothing, and so on
";

/// Frames taken from one side before the other has its turn.
const FRAMES_A_TURN: usize = 64;
/// After frames have come it sleeps for so many nanoseconds at least.
const PAUSE: i64 = 50_000;
/// Longer than any frame of a device whose MTU is at most 9,000.
const LONGEST_FRAME: usize = 9_216;

struct Arguments {
    forth: Spec,
    back: Spec,
    rebind: Option<Rebinding>,
    seed: u64,
    report: String,
}

fn arguments() -> Result<Option<Arguments>, Box<dyn Error>> {
    let mut given = pico_args::Arguments::from_env();
    if given.contains(["-h", "--help"]) {
        return Ok(None);
    }
    let forth: Spec = given.opt_value_from_str("--forth")?.unwrap_or_default();
    let arguments = Arguments {
        back: given.opt_value_from_str("--back")?.unwrap_or_else(|| forth.clone()),
        forth,
        rebind: given.opt_value_from_str("--rebind")?,
        seed: given.opt_value_from_str("--seed")?.unwrap_or(1),
        report: given.value_from_str("--report")?,
    };
    match given.finish().first() {
        None => Ok(Some(arguments)),
        Some(unknown) => Err(format!("no such option: {}", unknown.to_string_lossy()).into()),
    }
}

fn main() -> ExitCode {
    let outcome = arguments().and_then(|arguments| match arguments {
        Some(arguments) => run(&arguments),
        None => {
            print!("{HELP}");
            Ok(())
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "link_emulator: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// One end of the link.
struct Side {
    device: File,
    /// Frames that the device did not take.
    refused: u64,
}

impl Side {
    fn new(device: impl AsFd) -> Result<Self, Box<dyn Error>> {
        let device = device.as_fd().try_clone_to_owned()?;
        fcntl_setfl(&device, fcntl_getfl(&device)? | OFlags::NONBLOCK)?;
        Ok(Self { device: File::from(device), refused: 0 })
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    // Wakings may be this many nanoseconds late, instead of 50,000.
    drop(std::fs::write("/proc/self/timerslack_ns", "1000"));
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&ended))?;
    }
    let mut sides = [Side::new(std::io::stdin())?, Side::new(std::io::stdout())?];
    let mut directions = [
        Direction::new(arguments.forth.clone(), arguments.seed),
        Direction::new(arguments.back.clone(), arguments.seed ^ 0x9e37_79b9_7f4a_7c15),
    ];
    let mut router = arguments.rebind.map(Router::new);
    let start = Instant::now();
    let now = || u64::try_from(start.elapsed().as_nanos()).expect("584 years");
    let mut spare = Vec::new();
    while !ended.load(Ordering::Relaxed) {
        let (mut more, taken) = (false, directions.each_ref().map(|it| it.counts.offered));
        for (index, (side, direction)) in sides.iter_mut().zip(&mut directions).enumerate() {
            // What passes the router, and what does not.
            let mut passes = |frame: &mut [u8]| match &mut router {
                Some(router) if index == 1 => {
                    router.outwards(now(), frame);
                    true
                }
                Some(router) => router.inwards(now(), frame),
                None => true,
            };
            more |= receive(side, direction, &mut spare, &now, &mut passes)?;
        }
        for (index, direction) in directions.iter_mut().enumerate() {
            while let Some((due, frame)) = direction.take_due(now()) {
                hand_over(&mut sides[1 - index], &frame)?;
                direction.counts.delivered_late(now() - due);
                spare.push(frame);
            }
        }
        if !more {
            // Wakings cost more than frames, above all in virtual machines: like a network card, it lets
            // a few frames come together.
            if taken != directions.each_ref().map(|it| it.counts.offered) {
                poll(&mut [], Some(&Timespec { tv_sec: 0, tv_nsec: PAUSE }))
                    .or_else(interrupted)?;
            }
            wait(&sides, &directions, now())?;
        }
    }
    let refused = sides[0].refused + sides[1].refused;
    let forgotten = router.map_or(0, |router| router.forgotten);
    let report = report::Report::new(now(), arguments.seed, &directions, refused, forgotten);
    std::fs::write(&arguments.report, serde_json::to_string_pretty(&report)? + "\n")?;
    Ok(())
}

/// Takes what has come from one side; true if there may be more.
fn receive(
    side: &mut Side,
    direction: &mut Direction,
    spare: &mut Vec<Vec<u8>>,
    now: &impl Fn() -> u64,
    passes: &mut impl FnMut(&mut [u8]) -> bool,
) -> Result<bool, Box<dyn Error>> {
    for _ in 0..FRAMES_A_TURN {
        let mut frame = spare.pop().unwrap_or_default();
        frame.resize(LONGEST_FRAME, 0);
        match side.device.read(&mut frame) {
            Ok(0) => return Err("a device has ended".into()),
            Ok(length) => frame.truncate(length),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                spare.push(frame);
                return Ok(false);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(true),
            // EIO: the device is down.
            Err(error) => return Err(error.into()),
        }
        if passes(&mut frame) {
            spare.extend(direction.offer(now(), frame));
        } else {
            spare.push(frame);
        }
    }
    Ok(true)
}

/// Hands a frame to the network behind a side. Where that takes no frames, it has lost this one.
fn hand_over(side: &mut Side, frame: &[u8]) -> Result<(), Box<dyn Error>> {
    match side.device.write(frame) {
        Ok(_) => Ok(()),
        Err(error) if error.raw_os_error() == Some(Errno::BADFD.raw_os_error()) => {
            Err(error.into())
        }
        Err(_) => {
            side.refused += 1;
            Ok(())
        }
    }
}

/// Sleeps until a frame comes or is due.
fn wait(sides: &[Side; 2], directions: &[Direction; 2], now: u64) -> Result<usize, Errno> {
    let due = directions.iter().filter_map(Direction::next_due).min();
    let timeout = due.map(|due| {
        let nanoseconds = due.saturating_sub(now).min(1_000_000_000);
        let nanoseconds = i64::try_from(nanoseconds).expect("at most a second");
        Timespec { tv_sec: nanoseconds / 1_000_000_000, tv_nsec: nanoseconds % 1_000_000_000 }
    });
    let mut descriptors =
        [0, 1].map(|index: usize| PollFd::new(&sides[index].device, PollFlags::IN));
    poll(&mut descriptors, timeout.as_ref()).or_else(interrupted)
}

/// A signal ends a sleep early, which is no error.
fn interrupted(error: Errno) -> Result<usize, Errno> {
    if error == Errno::INTR { Ok(0) } else { Err(error) }
}
