//! A host that lies: it says it has a content, answers what it is asked, fast, and each answer is wrong in the manner
//! that it was started for. `scripts/torture liars` puts seven of it beside one honest host.
//!
//! One thread and one socket, as in the program itself. At the end it reports what it was asked for and what it gave,
//! so that it can be seen from the liar's side when it was left alone.

#![allow(clippy::print_stdout, reason = "its help is for people")]
#![allow(clippy::disallowed_methods, reason = "it is a host of its own; no part of sprat")]

mod forgery;
mod framing;
mod manner;
mod report;
mod teller;

use std::error::Error;
use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use sprat::wire::{InstanceId, decode};

use manner::Manner;
use teller::Teller;

const HELP: &str = "\
A host that has a file and lies about it.

usage: liar --file FILE [--bind ADDRESS] [--as MANNER] [--seed N] [--instance HEX] [--report FILE]
       liar --frame ADDRESS --to ADDRESS[,ADDRESS...] --with KIND[,KIND...] [--rate N] [--replay FILE] [--report FILE]

  --bind ADDRESS    where it is (0.0.0.0:27183)
  --as MANNER       how it lies (honest)
  --seed N          of what it invents: liars of one seed tell the same lie (1)
  --instance HEX    the host that it says to be
  --report FILE     where it says, as JSON, what it was asked for; at SIGINT or SIGTERM

MANNER:
  honest            not at all
  flips=N           one bit in one of N packets of the file
  front=PERCENT     invents so much of the beginning, with states that fit; the rest is true
  back=PERCENT      so much of the beginning is true, and the rest invented
  size=N            says that the file is N bytes longer
  true-until=N      gives so many true bytes, and then false ones
  drips=MS          a packet in so many milliseconds
  pace=BYTES        true bytes, so many a second
  slows=N/BYTES     true bytes: N of them as fast as it can, then so many a second
  stalls=PERCENT    silent as soon as it is asked for what lies further behind
  shifted           gives the bytes that come after those that it is asked for
  beyond            gives what it was not asked for as well
  meta              true blocks under a chain that is not the one it told of
  chains            tells of another chain each time it is asked
  holds-all         says that it has each block of a part, and refuses them
  holds-silent      the same, and says nothing
  refuses           all that it is asked for, with each reason in turn
  kinds             right bytes as those of another kind

With --frame it is no host, but says things in the name of one, --rate of them a second (10000):
  data              bytes of the file under nonces by chance
  counts            under nonces that count, as ours do
  offsets           under one nonce, at all offsets
  replay            what --replay FILE holds: datagrams, each after its length as two bytes
  refuse, tell, farewell, news, meta
";

/// How long it waits for a datagram before it looks at its clock.
const WAIT: Duration = Duration::from_millis(1);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "liar: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut given = pico_args::Arguments::from_env();
    if given.contains(["-h", "--help"]) {
        print!("{HELP}");
        return Ok(());
    }
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&ended))?;
    }
    let seed: u64 = given.opt_value_from_str("--seed")?.unwrap_or(1);
    let report: Option<String> = given.opt_value_from_str("--report")?;
    let told = match given.opt_value_from_str("--frame")? {
        Some(victim) => {
            let framing = framing::Framing::new(victim, seed, &mut given)?;
            finish(given)?;
            serde_json::to_value(framing.run(&ended)?)?
        }
        None => {
            let bind = given.opt_value_from_str("--bind")?;
            let bind: SocketAddr = bind.unwrap_or_else(|| ([0, 0, 0, 0], 27_183).into());
            let file: String = given.value_from_str("--file")?;
            let manner: Manner = given.opt_value_from_str("--as")?.unwrap_or(Manner::Honest);
            let instance: Option<String> = given.opt_value_from_str("--instance")?;
            finish(given)?;
            let instance = instance.map(|text| instance_of(&text)).transpose()?;
            let mut teller = Teller::new(socket(bind)?, std::fs::read(file)?, manner, seed);
            if let Some(instance) = instance {
                teller.say_to_be(instance);
            }
            println!("ready");
            lie(&mut teller, &ended)?;
            serde_json::to_value(teller.report())?
        }
    };
    match report {
        Some(path) => Ok(std::fs::write(path, serde_json::to_string_pretty(&told)? + "\n")?),
        None => Ok(()),
    }
}

fn finish(given: pico_args::Arguments) -> Result<(), Box<dyn Error>> {
    match given.finish().first() {
        None => Ok(()),
        Some(unknown) => Err(format!("no such option: {}", unknown.to_string_lossy()).into()),
    }
}

fn socket(bind: SocketAddr) -> Result<UdpSocket, Box<dyn Error>> {
    let socket = Socket::new(Domain::for_address(bind), Type::DGRAM, None)?;
    socket.set_recv_buffer_size(4 << 20)?;
    socket.set_send_buffer_size(4 << 20)?;
    socket.set_read_timeout(Some(WAIT))?;
    socket.bind(&bind.into())?;
    Ok(socket.into())
}

fn instance_of(text: &str) -> Result<InstanceId, Box<dyn Error>> {
    let digits = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32);
    let number = digits.ok_or("an instance is 32 hexadecimal digits")?;
    Ok(InstanceId(number.to_be_bytes()))
}

/// Answers until it is told to end.
fn lie(teller: &mut Teller, ended: &AtomicBool) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let mut buffer = vec![0; 65_536];
    while !ended.load(Ordering::Relaxed) {
        match teller.receive(&mut buffer) {
            Ok((length, from)) => {
                if let Ok(message) = decode(&buffer[..length]) {
                    teller.answer(start.elapsed(), &message, from);
                }
            }
            // An answer came back as unreachable; a signal; nothing came.
            Err(error) if is_harmless(&error) => {}
            Err(error) => return Err(error.into()),
        }
        teller.work(start.elapsed());
    }
    Ok(())
}

fn is_harmless(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionRefused, Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), ConnectionRefused | Interrupted | TimedOut | WouldBlock)
}
