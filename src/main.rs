//! Entry: arguments to a command, the command to an exit code.

use std::io::Write;
use std::process::ExitCode;

use log::LevelFilter;
use simplelog::{ConfigBuilder, WriteLogger};
use sprat::cli::{self, Command, Surroundings};
use sprat::config::Verbosity;
use sprat::driver::asking::run_ask;
use sprat::driver::doctor::run_doctor;
use sprat::driver::getting::run_get;
use sprat::driver::giving::{run_add, run_remove};
use sprat::driver::interfaces::scope_index;
use sprat::driver::lines::{SafeLines, complain};
use sprat::driver::naming::run_resolve;
use sprat::driver::replaying::run_replay;
use sprat::driver::run::{run_fetch, run_peer, run_tracker};

/// The exit code for arguments that are refused.
const WRONG_ARGUMENTS: u8 = 2;

fn main() -> ExitCode {
    let around =
        Surroundings { variable: &|name| std::env::var_os(name), scope_number: &scope_index };
    match cli::parse(std::env::args_os().skip(1), around) {
        Ok(Command::Peer(config)) => {
            start_logging(config.verbosity);
            run_peer(&config)
        }
        Ok(Command::Fetch(config, fetch)) => {
            start_logging(config.verbosity);
            run_fetch(&config, fetch)
        }
        Ok(Command::Ask(config, ask)) => {
            start_logging(config.verbosity);
            run_ask(&config, &ask)
        }
        Ok(Command::Doctor(config, doctor)) => {
            start_logging(config.verbosity);
            run_doctor(&config, doctor)
        }
        Ok(Command::Get(config, get)) => {
            start_logging(config.verbosity);
            run_get(&config, &get)
        }
        Ok(Command::Add(config, add)) => {
            start_logging(config.verbosity);
            run_add(&config, &add)
        }
        Ok(Command::Remove(config, remove)) => {
            start_logging(config.verbosity);
            run_remove(&config, &remove)
        }
        Ok(Command::Track(config)) => {
            start_logging(config.verbosity);
            run_tracker(&config)
        }
        Ok(Command::Replay(replay)) => {
            start_logging(Verbosity::Quiet);
            run_replay(&replay)
        }
        Ok(Command::Resolve(name)) => run_resolve(&name),
        Ok(Command::Help(text)) => say(text),
        Ok(Command::Version) => say(concat!("sprat ", env!("CARGO_PKG_VERSION"), "\n")),
        Err(refusal) => {
            complain(&refusal.0);
            ExitCode::from(WRONG_ARGUMENTS)
        }
    }
}

/// Writes what was asked for. A reader that is gone asked for no more.
fn say(text: &str) -> ExitCode {
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// Diagnostics go to standard error: the level and the message, with the time where they are many.
fn start_logging(verbosity: Verbosity) {
    let config = ConfigBuilder::new()
        .set_time_level(LevelFilter::Debug)
        .set_target_level(LevelFilter::Off)
        .set_thread_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off)
        .add_filter_ignore_str("mio")
        .build();
    let stderr = SafeLines::new(std::io::stderr());
    // It fails only where somebody else's logger stands, which would do as well.
    let _ = WriteLogger::init(verbosity.level(), config, stderr);
}
