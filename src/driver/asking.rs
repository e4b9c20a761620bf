//! Questions to the network: what there is, who is there, what is known of a file. The answers go to standard
//! output, a line each, for people or for programs; what there is to say beside them, to standard error.

pub(super) mod answers;
pub(super) mod catalog;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;
use std::process::ExitCode;

use self::answers::{FileAnswer, HolderAnswer, HoldersAnswer, HostAnswer, InfoAnswer};
use self::catalog::{Catalog, Content};
use super::clock;
use super::event_loop::EventLoop;
use super::looking::{Look, locate, look, look_and};
use super::root_lock;
use super::run::{End, FAILED, Trouble, finish};
use crate::config::{AskConfig, Config, Question, Verbosity, Wanted};
use crate::content::Pattern;
use crate::content::nearest::nearest;
use crate::content::terminal_text::{printable, printable_json};
use crate::node::HolderSeen;
use crate::node::input::LocateRequest;

/// What is said where nobody is there.
const NOBODY: &str = "nobody answers: is sprat peer running anywhere, and is it this network? --peer HOST \
                      asks a host that broadcast does not reach";

/// Sizes of one content that are told of, where hosts contradict each other.
const SIZES_TOLD: usize = 4;

/// Asks, and prints the answer. Where a signal ends it, this does not return.
pub fn run_ask(config: &Config, ask: &AskConfig) -> ExitCode {
    finish(answer(config, ask))
}

fn answer(config: &Config, ask: &AskConfig) -> Result<End, Trouble> {
    let mut out = Answers::new(BufWriter::new(io::stdout().lock()), ask.json);
    match &ask.question {
        Question::Hosts => {
            let hosts = match look(config, ask.timeout)? {
                Look::Seen(hosts) => hosts,
                Look::Ended(signal) => return Ok(ended(signal)),
            };
            if hosts.is_empty() {
                tell(config, NOBODY);
            }
            let wall = clock::wall_now();
            out.all(hosts.iter().map(|host| HostAnswer::of(host, wall)))
        }
        Question::Files(wanted) => {
            let catalog = match files(config, ask)? {
                Found::Catalog(catalog) => catalog,
                Found::Nothing(end) => return Ok(end),
            };
            let rows = match wanted {
                Some(wanted) => catalog.wanted(wanted),
                None => catalog.all(),
            };
            if let (Some(wanted), true) = (wanted, rows.is_empty()) {
                return Err(no_match(wanted, &catalog));
            } else if catalog.has_no_hosts() {
                tell(config, NOBODY);
            }
            out.all(rows.iter().map(|row| FileAnswer::of(row, &catalog)))
        }
        Question::About(wanted) | Question::Holders(wanted) => {
            let searched = look_and(config, ask.timeout, |run, hosts| {
                holders(run, wanted, Catalog::of(&hosts), ask)
            })?;
            let (catalog, found) = match searched {
                Look::Seen(found) => found,
                Look::Ended(signal) => return Ok(ended(signal)),
            };
            if let Question::About(_) = &ask.question {
                return out.all(found.iter().map(|found| InfoAnswer::of(found, &catalog)));
            }
            let holders = found.iter().flat_map(|found| HolderAnswer::all_of(found, &catalog));
            let holders: Vec<HolderAnswer<'_>> = holders.collect();
            if holders.is_empty() {
                return Err("nobody holds any of it: who lists it does not answer"
                    .to_owned()
                    .into());
            } else if ask.json {
                return out.all(holders.into_iter());
            }
            out.all(found.iter().map(|found| HoldersAnswer::of(found, &catalog)))
        }
    }
}

/// A content, and who holds which blocks of it.
type Holders = (Content, Vec<HolderSeen>);

/// Who holds what of the contents that are meant, one content after the other.
fn holders(
    run: &mut EventLoop,
    wanted: &Wanted,
    catalog: Catalog,
    ask: &AskConfig,
) -> Result<Look<(Catalog, Vec<Holders>)>, Trouble> {
    let mut contents = catalog.contents(wanted);
    if let (Wanted::Content(content), true) = (wanted, contents.is_empty()) {
        // Nobody lists what nobody has whole, but some may hold parts.
        contents.insert((*content, 0));
    } else if contents.is_empty() {
        return Err(no_match(wanted, &catalog));
    }
    let mut found = Vec::new();
    for (content, size) in contents {
        let sources = catalog.addresses_of((content, size));
        let patience = ask.timeout;
        let holders = match locate(run, LocateRequest { content, size, sources, patience })? {
            Look::Seen(holders) => holders,
            Look::Ended(signal) => return Ok(Look::Ended(signal)),
        };
        let sizes = if size == 0 { sizes_told(&holders) } else { vec![size] };
        if sizes.is_empty() || (holders.is_empty() && catalog.locations((content, size)).is_empty())
        {
            return Err(no_match(wanted, &catalog));
        }
        for size in sizes {
            let holders = holders.iter().filter(|holder| holder.size == size).cloned().collect();
            found.push(((content, size), holders));
        }
    }
    Ok(Look::Seen((catalog, found)))
}

/// The sizes that hosts say where nobody lists the content: those first that most machines say.
fn sizes_told(holders: &[HolderSeen]) -> Vec<u64> {
    let mut machines: BTreeMap<u64, BTreeSet<IpAddr>> = BTreeMap::new();
    for holder in holders {
        machines.entry(holder.size).or_default().insert(holder.host.ip());
    }
    let mut sizes: Vec<(Reverse<usize>, u64)> =
        machines.iter().map(|(&size, machines)| (Reverse(machines.len()), size)).collect();
    sizes.sort_unstable();
    sizes.into_iter().map(|(_, size)| size).take(SIZES_TOLD).collect()
}

/// What there is, or how the run ends without.
enum Found {
    Catalog(Catalog),
    Nothing(End),
}

/// What there is: as the peer in this folder knows it, where one runs and knows something; else by a look.
fn files(config: &Config, ask: &AskConfig) -> Result<Found, Trouble> {
    // Who names a host wants that one asked.
    if config.peers.is_empty() && root_lock::is_taken(&config.root) {
        if let Some(catalog) = Catalog::read(&config.root).filter(|known| !known.has_no_hosts()) {
            return Ok(Found::Catalog(catalog));
        }
    }
    Ok(match look(config, ask.timeout)? {
        Look::Seen(hosts) => {
            let silent = hosts.iter().filter(|host| host.files().is_none()).count();
            if silent > 0 {
                tell(config, &format!("what {silent} of the hosts offer did not come in time"));
            }
            Found::Catalog(Catalog::of(&hosts))
        }
        Look::Ended(signal) => Found::Nothing(ended(signal)),
    })
}

fn ended(signal: Option<i32>) -> End {
    signal.map_or(End::Code(FAILED), End::BySignal)
}

/// The sentence for what matches nothing.
pub(super) fn no_match(wanted: &Wanted, catalog: &Catalog) -> Trouble {
    let sentence = match wanted {
        Wanted::Content(content) => format!("no host offers anything with the SHA-1 {content}"),
        Wanted::Name(text) => {
            let shown = printable(text);
            let below = format!("{text}/");
            if catalog.names().any(|name| name.starts_with(&below)) {
                let sentence = format!("{shown} is a folder: {shown}/ means all that is in it");
                return sentence.into();
            }
            let is_open = Pattern::new(text).is_open();
            let none = if is_open { "nothing fits" } else { "no file is called" };
            let near = nearest(text, catalog.names());
            let near: Vec<String> = near.iter().map(|name| printable(name).to_string()).collect();
            match near.split_last() {
                None if catalog.has_no_hosts() => format!("{none} {shown}: {NOBODY}"),
                None => format!("{none} {shown}: sprat ls lists all that there are"),
                Some((last, [])) => format!("{none} {shown}; there is {last}"),
                Some((last, others)) => {
                    let others = others.join(", ");
                    format!("{none} {shown}; there are {others} and {last}")
                }
            }
        }
    };
    sentence.into()
}

/// Tells people something beside the answer.
fn tell(config: &Config, sentence: &str) {
    if config.verbosity > Verbosity::Quiet {
        super::lines::complain(sentence);
    }
}

/// An answer, as people and as programs read it.
pub(super) trait Answer: serde::Serialize {
    /// One line or some, without the last line end, safe for a terminal.
    fn text(&self) -> String;
}

/// Where answers go.
pub(super) struct Answers<W> {
    out: W,
    json: bool,
}

impl<W: Write> Answers<W> {
    /// To this stream, for programs or for people.
    pub(super) const fn new(out: W, json: bool) -> Self {
        Self { out, json }
    }

    /// Writes them all. That nobody reads on is no error: enough was read.
    pub(super) fn all<A: Answer>(
        &mut self,
        answers: impl Iterator<Item = A>,
    ) -> Result<End, Trouble> {
        match self.write(answers) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(format!("cannot write to standard output ({error})").into())
            }
            _ => Ok(End::Code(0)),
        }
    }

    fn write<A: Answer>(&mut self, answers: impl Iterator<Item = A>) -> io::Result<()> {
        for answer in answers {
            if self.json {
                writeln!(self.out, "{}", printable_json(&serde_json::to_string(&answer)?))?;
            } else {
                writeln!(self.out, "{}", answer.text())?;
            }
        }
        self.out.flush()
    }
}

#[cfg(test)]
mod tests;
