//! Strangers on the network, as `scripts/torture strangers` sends them against the program: questions from addresses that
//! nobody has, garbage, announcements by the thousand, hosts with endless listings, a downloader without measure.
//!
//! It speaks from any address that it is told, as a socket may that is set transparent (as root of a network namespace).
//! What it finds is printed at the end, a line of JSON.

#![allow(clippy::print_stdout, reason = "what it finds is for who started it")]
#![allow(clippy::disallowed_methods, reason = "it is no part of sprat")]

mod flood;
mod forms;
mod greedy;
mod liars;
mod speaker;
mod unproven;

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;

const HELP: &str = "\
A stranger on a network of its own.

usage: stranger WHAT NAME=VALUE ...

  unproven   to=ADDR:PORT sources=A.B.C.D/BITS port=N content=SHA1 size=N count=N rate=N [linger=MS]
             every message, and so much garbage, from addresses that have proven nothing; what comes back is counted
  flood      to=ADDR:PORT,... sources=A.B.C.D/BITS port=N rate=N seconds=S
             kind=garbage|announce|ask|call
  liars      to=ADDR:PORT first=A.B.C.D hosts=N files=N length=N seconds=S
             hosts with long listings of names of so many bytes, and of three times as many, in turns
  greedy     to=ADDR:PORT first=A.B.C.D hosts=N contents=SHA1:SIZE,... port=N rate=N seconds=S
             asks from addresses that it really has for more than it could ever take
  of all: seed=N
";

/// What was asked for on the command line.
pub(crate) struct Wanted(BTreeMap<String, String>);

impl Wanted {
    pub(crate) fn text(&self, name: &str) -> Result<&str, Box<dyn Error>> {
        self.0.get(name).map(String::as_str).ok_or_else(|| format!("no {name}=").into())
    }

    pub(crate) fn number(&self, name: &str) -> Result<u64, Box<dyn Error>> {
        Ok(self.text(name)?.parse()?)
    }

    pub(crate) fn number_or(&self, name: &str, other: u64) -> Result<u64, Box<dyn Error>> {
        self.0.get(name).map_or(Ok(other), |text| Ok(text.parse()?))
    }

    pub(crate) fn hosts(&self) -> Result<Vec<SocketAddr>, Box<dyn Error>> {
        self.text("to")?.split(',').map(|one| Ok(one.parse()?)).collect()
    }
}

fn go() -> Result<String, Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let what = words.next().unwrap_or_default();
    let pair = |word: String| {
        let (name, value) = word.split_once('=').ok_or_else(|| format!("no value: {word}"))?;
        Ok::<_, String>((name.to_owned(), value.to_owned()))
    };
    let wanted = Wanted(words.map(pair).collect::<Result<_, _>>()?);
    match what.as_str() {
        "unproven" => unproven::run(&wanted),
        "flood" => flood::run(&wanted),
        "liars" => liars::run(&wanted),
        "greedy" => greedy::run(&wanted),
        "-h" | "--help" => Ok(HELP.to_owned()),
        other => Err(format!("no such thing: {other:?}; see --help").into()),
    }
}

fn main() -> ExitCode {
    match go() {
        Ok(found) => {
            println!("{found}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("stranger: {error}");
            ExitCode::FAILURE
        }
    }
}
