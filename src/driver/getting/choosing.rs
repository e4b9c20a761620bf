//! Which files are meant. A person is asked where a name means several contents.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;

use indicatif::DecimalBytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::config::{GetConfig, Wanted};
use crate::content::ShareName;
use crate::content::terminal_text::printable;
use crate::driver::asking::answers::counted;
use crate::driver::asking::catalog::{Catalog, Content, Row};
use crate::driver::asking::no_match;
use crate::driver::event_loop::EventLoop;
use crate::driver::looking::Look;
use crate::driver::run::{Trouble, loop_failed};

/// Between two looks for signals while a person thinks.
const SIGNALS_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// The longest line that a terminal hands out.
const LINE_LENGTH: usize = 4096;
/// Hosts that are named in a question.
const HOSTS_TOLD: usize = 3;

/// One file that is to be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// Its name here.
    pub(super) name: ShareName,
    pub(super) content: Content,
    /// Who is said to have it.
    pub(super) sources: Vec<SocketAddr>,
    /// Its name below a folder where it is put besides: with those of its folders that were asked for.
    pub(super) below: ShareName,
}

/// What is to be fetched, and why some is not: nobody could be asked which content is meant.
pub(super) type Chosen = (Vec<Choice>, Vec<Trouble>);

/// Finds out what is wanted, in the order of asking, each name once.
pub(super) fn choose(
    run: &mut EventLoop,
    get: &GetConfig,
    catalog: &Catalog,
) -> Result<Look<Chosen>, Trouble> {
    let mut choices: Vec<Choice> = Vec::new();
    let (mut unclear, mut passed_over) = (Vec::new(), BTreeSet::new());
    let somebody_is_there = io::stdin().is_terminal() && io::stderr().is_terminal();
    for wanted in &get.wanted {
        let rows = catalog.wanted(wanted);
        if rows.is_empty() {
            return Err(no_match(wanted, catalog));
        }
        for (name, contents) in by_name(wanted, &rows, catalog) {
            let Ok(name) = ShareName::parse(name) else { continue };
            if choices.iter().any(|choice| choice.name == name) || passed_over.contains(&name) {
                continue;
            }
            let content = match contents[..] {
                [content] => content,
                _ if !somebody_is_there => {
                    let means = meanings(&name, &contents, catalog);
                    let sentence = format!("{means}\nsprat get SHA1 fetches the one that you mean");
                    unclear.push(Trouble::from(sentence));
                    passed_over.insert(name);
                    continue;
                }
                _ => match ask(run, &name, &contents, catalog)? {
                    Look::Seen(content) => content,
                    Look::Ended(signal) => return Ok(Look::Ended(signal)),
                },
            };
            let sources = catalog.addresses_of(content);
            let below = below(wanted, &name);
            choices.push(Choice { name, content, sources, below });
        }
    }
    Ok(Look::Seen((choices, unclear)))
}

/// The names, each with what it may mean. A SHA-1 gets one name: the one that most hosts use.
fn by_name<'a>(
    wanted: &Wanted,
    rows: &[Row<'a>],
    catalog: &Catalog,
) -> BTreeMap<&'a str, Vec<Content>> {
    let mut names: BTreeMap<&str, Vec<Content>> = BTreeMap::new();
    for row in rows {
        names.entry(row.name).or_default().push(row.content);
    }
    if let (Wanted::Content(_), Some(first)) = (wanted, rows.first()) {
        let locations = catalog.locations(first.content);
        let uses = |name: &str| locations.iter().filter(|(_, other)| *other == name).count();
        let most = names.keys().copied().max_by_key(|name| (uses(name), std::cmp::Reverse(*name)));
        names.retain(|name, _| Some(*name) == most);
    }
    names
}

/// `animals/cats/tom.jpg` is `cats/tom.jpg` below a folder if `animals/cats/` was asked for, else `tom.jpg`.
fn below(wanted: &Wanted, name: &ShareName) -> ShareName {
    let whole = name.as_str();
    let folder = match wanted {
        Wanted::Name(text) => text.strip_suffix('/').filter(|folder| whole.starts_with(folder)),
        Wanted::Content(_) => None,
    };
    let start = match folder {
        Some(folder) => folder.rfind('/').map_or(0, |at| at + 1),
        None => whole.rfind('/').map_or(0, |at| at + 1),
    };
    // The end of a name is a name.
    ShareName::parse(&whole[start..]).unwrap_or_else(|_| name.clone())
}

/// What a name means, all of it.
fn meanings(name: &ShareName, contents: &[Content], catalog: &Catalog) -> String {
    let mut lines = String::new();
    for (index, &(content, size)) in contents.iter().enumerate() {
        let hosts = catalog.hosts_of((content, size));
        let told = hosts.iter().take(HOSTS_TOLD).copied().collect::<Vec<_>>().join(", ");
        let more = if hosts.len() > HOSTS_TOLD { ", ..." } else { "" };
        let (number, size) = (index + 1, DecimalBytes(size));
        let hosts = counted(hosts.len(), "host");
        lines.push_str(&format!("\n  {number}  {content}  {size}  {hosts}: {told}{more}"));
    }
    format!("{} means {} contents:{lines}", printable(name.as_str()), contents.len())
}

/// Asks a person which content is meant.
fn ask(
    run: &mut EventLoop,
    name: &ShareName,
    contents: &[Content],
    catalog: &Catalog,
) -> Result<Look<Content>, Trouble> {
    say(&format!("{}\n", meanings(name, contents, catalog)));
    loop {
        say("which one? ");
        let line = match typed(run)? {
            Look::Seen(line) => line,
            Look::Ended(signal) => {
                say("\n");
                return Ok(Look::Ended(signal));
            }
        };
        let Some(line) = line else {
            say("\n");
            return Err("nothing was chosen".to_owned().into());
        };
        let number = line.trim().parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        if let Some(&content) = number.and_then(|index| contents.get(index)) {
            return Ok(Look::Seen(content));
        }
        say(&format!("a number from 1 to {}; Ctrl-C chooses nothing\n", contents.len()));
    }
}

/// Who cannot see the question answers with Ctrl-C.
fn say(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// A line that a person types; nothing, where there is no more. Signals are seen meanwhile.
fn typed(run: &mut EventLoop) -> Result<Look<Option<String>>, Trouble> {
    let stdin = io::stdin();
    loop {
        let mut polled = [PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN)];
        if matches!(poll(&mut polled, Some(&SIGNALS_EVERY)), Ok(1..)) {
            break;
        }
        run.see_signals();
        if let Some(signal) = run.ended_by {
            return Ok(Look::Ended(Some(signal)));
        }
    }
    // A terminal hands out a line at a time. One that is left behind in a buffer would be no answer to the next
    // question: nothing would be seen to come.
    let mut line = [0; LINE_LENGTH];
    let read = rustix::io::read(stdin, &mut line).map_err(|error| loop_failed(error.into()))?;
    let line = String::from_utf8_lossy(&line[..read]).into_owned();
    Ok(Look::Seen((read > 0).then_some(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_is_called_below_another_folder() {
        let name = |text: &str| Wanted::Name(text.to_owned());
        for (wanted, file, called) in [
            (name("fox.txt"), "fox.txt", "fox.txt"),
            (name("a/b/fox.txt"), "a/b/fox.txt", "fox.txt"),
            (name("a/*"), "a/fox.txt", "fox.txt"),
            (name("a/"), "a/b/fox.txt", "a/b/fox.txt"),
            (name("a/b/"), "a/b/c/fox.txt", "b/c/fox.txt"),
            (Wanted::Content(crate::content::ContentId::EMPTY), "a/fox.txt", "fox.txt"),
        ] {
            let file = ShareName::parse(file).unwrap();
            assert_eq!(below(&wanted, &file).as_str(), called);
        }
    }
}
