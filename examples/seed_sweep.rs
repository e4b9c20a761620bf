//! Runs many seeds of the simulator, each a whole network in virtual time; `scripts/seed-sweep --help` tells how.
//! It is the simulator of `tests/simulation.rs`, and the core that ships, with all its debug assertions.

#![allow(clippy::print_stdout, reason = "it is a program for people")]
#![allow(clippy::disallowed_methods, reason = "it tells how long it takes; the core sees no clock")]

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[path = "../tests/simulation/chance/mod.rs"]
mod chance;
#[path = "../tests/simulation/model/mod.rs"]
mod model;

use chance::run::{Outcome, run, run_traced};
use model::trace::LAST_PANIC;

const HELP: &str = "\
Runs seeds of the simulator and says which fail.

usage: seed-sweep [--from N] [--count N] [--jobs N] [--log FILE] [--stop-after N] [--twice]
       seed-sweep --from N --count 1 [--trace [DIR]]
       seed-sweep --show SEED

  --from N        the first seed (0)
  --count N       how many seeds (10,000)
  --jobs N        how many at once (2)
  --log FILE      append a line for each failure, and one at the end
  --stop-after N  stop after so many failures (20)
  --twice         run each seed twice and compare the digests
  --trace [DIR]   run each failing seed again and record what each of its processes
                  learns (target/simulation); `sprat replay` understands it
  --show SEED     say in words what happens in a run
  --verbose       say what each seed came to
  --words         show what the core logs, with the time in the simulation

The exit code is 1 if any seed failed.
";

struct Arguments {
    from: u64,
    count: u64,
    jobs: u64,
    log: Option<PathBuf>,
    stop_after: u64,
    twice: bool,
    verbose: bool,
    words: bool,
    trace: Option<PathBuf>,
    show: Option<u64>,
}

fn arguments() -> Result<Option<Arguments>, Box<dyn std::error::Error>> {
    let mut given = pico_args::Arguments::from_env();
    if given.contains(["-h", "--help"]) {
        return Ok(None);
    }
    let traces = PathBuf::from("target/simulation");
    let trace = match given.opt_value_from_str("--trace") {
        Ok(folder) => folder,
        Err(_) => given.contains("--trace").then_some(traces),
    };
    let arguments = Arguments {
        from: given.opt_value_from_str("--from")?.unwrap_or(0),
        count: given.opt_value_from_str("--count")?.unwrap_or(10_000),
        jobs: given.opt_value_from_str("--jobs")?.unwrap_or(2),
        log: given.opt_value_from_str("--log")?,
        stop_after: given.opt_value_from_str("--stop-after")?.unwrap_or(20),
        twice: given.contains("--twice"),
        verbose: given.contains("--verbose"),
        words: given.contains("--words"),
        show: given.opt_value_from_str("--show")?,
        trace,
    };
    match given.finish().first() {
        Some(other) => Err(format!("{other:?} is not understood; see --help").into()),
        None => Ok(Some(arguments)),
    }
}

/// Shows what the core logs, with the world's time.
struct Words;

impl log::Log for Words {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let now = sprat::node::Instant::from_micros(model::network::NOW.get());
        println!("{now} {} {}", record.level(), record.args());
    }

    fn flush(&self) {}
}

/// What the sweep came to so far.
#[derive(Default)]
struct Tally {
    runs: u64,
    failures: Vec<(u64, String)>,
    lasted: Duration,
    datagrams: u64,
    operations: u64,
}

/// The first line of why the last panic of this thread came.
fn attempt(seed: u64, twice: bool) -> Result<Outcome, String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let outcome = run(seed);
        assert!(!twice || outcome == run(seed), "it runs differently the second time");
        outcome
    }));
    outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let place = PLACE.with(|place| place.take());
        let text = text.unwrap_or_else(|| "a panic without words".to_owned());
        let line = text.replace('\n', " ");
        format!("{place}: {line}")
    })
}

thread_local! {
    static PLACE: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
}

fn record(seed: u64, into: &std::path::Path) {
    let folder = into.join(format!("seed-{seed}"));
    let made = std::fs::create_dir_all(&folder);
    let _ = catch_unwind(AssertUnwindSafe(|| run_traced(seed, Some(&folder))));
    match made {
        Ok(()) => println!("  traces of seed {seed}: {}", folder.display()),
        Err(error) => println!("  no traces in {}: {error}", folder.display()),
    }
}

fn sweep(arguments: &Arguments) -> Tally {
    let next = AtomicU64::new(arguments.from);
    let end = arguments.from.saturating_add(arguments.count);
    let tally = Mutex::new(Tally::default());
    let began = Instant::now();
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return;
            }
            let seed_began = Instant::now();
            let outcome = attempt(seed, arguments.twice);
            let mut tally = tally.lock().expect("no thread panics with it");
            tally.runs += 1;
            match outcome {
                Ok(outcome) => {
                    tally.lasted += outcome.lasted;
                    tally.datagrams += outcome.datagrams;
                    tally.operations += outcome.operations;
                    if arguments.verbose {
                        println!("seed {seed}: {:?}, {outcome:?}", seed_began.elapsed());
                    }
                }
                Err(why) => {
                    println!("seed {seed} FAILED: {why}");
                    println!("  scripts/seed-sweep --from {seed} --count 1 --trace");
                    if tally.failures.len() as u64 + 1 >= arguments.stop_after {
                        next.store(end, Ordering::Relaxed);
                    }
                    tally.failures.push((seed, why));
                }
            }
            if tally.runs % 1_000 == 0 {
                tell(&tally, began);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs {
            scope.spawn(work);
        }
    });
    let tally = tally.into_inner().expect("all threads are done");
    tell(&tally, began);
    tally
}

fn tell(tally: &Tally, began: Instant) {
    let seconds = began.elapsed().as_secs_f64();
    let an_hour = tally.runs as f64 / seconds * 3_600.0;
    println!(
        "{} seeds in {seconds:.0} s ({an_hour:.0} an hour), {} failed; {:.1} hours simulated, {} \
         datagrams, {} file operations",
        tally.runs,
        tally.failures.len(),
        tally.lasted.as_secs_f64() / 3_600.0,
        tally.datagrams,
        tally.operations
    );
}

fn write_log(arguments: &Arguments, tally: &Tally) -> std::io::Result<()> {
    let Some(path) = &arguments.log else { return Ok(()) };
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    for (seed, why) in &tally.failures {
        writeln!(file, "seed {seed}: {why}")?;
    }
    let (from, failed) = (arguments.from, tally.failures.len());
    writeln!(file, "{} seeds from {from} on, {failed} failed", tally.runs)
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    if let Some(seed) = arguments.show {
        print!("{}", chance::draw::plan(seed));
        return ExitCode::SUCCESS;
    }
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(|place| format!("{}:{}", place.file(), place.line()));
        PLACE.with(|at| at.replace(place.unwrap_or_default()));
        let payload = info.payload();
        let said = payload.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or_default();
        LAST_PANIC.with(|last| last.replace(said.to_owned()));
    }));
    if arguments.words {
        log::set_logger(&Words).expect("there is no other one");
        log::set_max_level(log::LevelFilter::Debug);
    }
    let tally = sweep(&arguments);
    if let Some(into) = &arguments.trace {
        tally.failures.iter().for_each(|(seed, _)| record(*seed, into));
    }
    if let Err(error) = write_log(&arguments, &tally) {
        eprintln!("the log cannot be written: {error}");
    }
    if tally.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
