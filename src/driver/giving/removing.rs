//! Taking files out of `share/`: never the only copy, unless told twice.

use std::fs::File;
use std::io::{self, BufWriter};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::DecimalBytes;
use rustix::fs::{FlockOperation, OFlags, fstat};
use serde::Serialize;

use super::proving::{has, tidy};
use super::{content_of, names_in};
use crate::config::{Config, RemoveConfig};
use crate::content::nearest::nearest;
use crate::content::terminal_text::printable;
use crate::content::{ContentId, ShareName};
use crate::driver::asking::catalog::Catalog;
use crate::driver::asking::{Answer, Answers};
use crate::driver::file_locks::{Held, Lock};
use crate::driver::lines::complain;
use crate::driver::looking::{Look, look};
use crate::driver::root_lock;
use crate::driver::run::{End, FAILED, Trouble, finish, open_share};
use crate::driver::share_folder::{ShareFolder, WritableParent, entry, signature};
use crate::node::HostSeen;
use crate::node::input::FileSignature;

/// Who locks a file is waited for so long: another of us has looked and removes.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// So many of the hosts that list it are asked to show that they have it.
const PROVEN_MAX: usize = 8;

/// A file that is not in `share/` any more.
#[derive(Serialize)]
struct RemoveAnswer<'a> {
    name: &'a str,
    size: u64,
    /// Nothing, where it was not needed to know.
    sha1: Option<String>,
    left: Left,
    hosts: Vec<String>,
}

/// Where its content still is.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Left {
    /// The same file has another name on this machine.
    Linked,
    /// Another host has it, and has given of it.
    Hosts,
    /// It was not looked for.
    Unknown,
}

impl Answer for RemoveAnswer<'_> {
    fn text(&self) -> String {
        let left = match (self.left, self.hosts.as_slice()) {
            (Left::Linked, _) => ": the same file has another name on this machine".to_owned(),
            (Left::Hosts, [one, ..]) => format!(": {one} still has it, and has just shown it"),
            (Left::Hosts, []) | (Left::Unknown, _) => String::new(),
        };
        format!("share/{} is removed{left}", self.name)
    }
}

/// What a look has found.
struct Network {
    elsewhere: Catalog,
    /// What this machine's peers offer: perhaps the very file that is to go.
    beside: Catalog,
    /// How many of those offer this folder.
    own_peers: usize,
}

impl Network {
    fn of(hosts: Vec<HostSeen>, root: &Path) -> Self {
        let is_here = |host: &HostSeen| host.addresses.iter().any(|address| address.is_here);
        let (beside, elsewhere): (Vec<_>, Vec<_>) = hosts.into_iter().partition(is_here);
        let own_peers = usize::from(root_lock::is_taken(root));
        Self { elsewhere: Catalog::of(&elsewhere), beside: Catalog::of(&beside), own_peers }
    }
}

/// Who else has a content.
#[derive(Default)]
struct Others {
    /// On other machines.
    lists: Vec<String>,
    /// Who of them has given of it.
    has: Option<String>,
    /// A peer of another folder on this machine lists it.
    beside: bool,
}

/// Takes files out of `share/`.
pub fn run_remove(config: &Config, remove: &RemoveConfig) -> ExitCode {
    finish(remove_all(config, remove))
}

fn remove_all(config: &Config, remove: &RemoveConfig) -> Result<End, Trouble> {
    let share = open_share(&config.root)?;
    tidy(&config.root);
    let mut out = Answers::new(BufWriter::new(io::stdout().lock()), remove.json);
    let mut network = None;
    let mut code = 0;
    for name in &remove.names {
        match remove_one(config, remove, name, &share, &mut network) {
            Ok(answer) => {
                out.all(std::iter::once(answer))?;
            }
            Err(Stop::Signal(signal)) => {
                return Ok(signal.map_or(End::Code(FAILED), End::BySignal));
            }
            Err(Stop::Trouble(trouble)) => {
                complain(&trouble.sentence);
                code = if code == FAILED { FAILED } else { trouble.code };
            }
        }
    }
    Ok(End::Code(code))
}

/// Why one is not removed.
enum Stop {
    Trouble(Trouble),
    Signal(Option<i32>),
}

impl<T: Into<Trouble>> From<T> for Stop {
    fn from(trouble: T) -> Self {
        Self::Trouble(trouble.into())
    }
}

fn remove_one<'a>(
    config: &Config,
    remove: &RemoveConfig,
    name: &'a ShareName,
    share: &ShareFolder,
    network: &mut Option<Network>,
) -> Result<RemoveAnswer<'a>, Stop> {
    let failed = |error: io::Error| format!("share/{name} stays: {error}");
    let file = match share.open(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(not_there(name, share).into());
        }
        file => file.map_err(failed)?,
    };
    let WritableParent { folder, .. } = share.parent_for_writing(name).map_err(failed)?;
    let linked = remove_linked(&file, &folder, name).map_err(failed)?;
    // What others remove of its names counts as a change, so that this comes after it.
    let before = signature(&file).map_err(failed)?;
    let mut answer = RemoveAnswer {
        name: name.as_str(),
        size: before.size,
        sha1: None,
        left: Left::Unknown,
        hosts: Vec::new(),
    };
    if linked == Linked::Removed {
        answer.left = Left::Linked;
    } else if remove.force {
        unlink(&before, &folder, name).map_err(failed)?;
    } else {
        let content = content_of(&file, before.size).map_err(failed)?;
        let others = others_with(config, remove, (content, before.size), network)?;
        let Some(host) = others.has else {
            return Err(only_copy(name, (content, before.size), linked, &others).into());
        };
        unlink(&before, &folder, name).map_err(failed)?;
        answer.hosts = vec![host];
        answer.left = Left::Hosts;
        answer.sha1 = Some(content.to_string());
    }
    Ok(answer)
}

/// What came of removing a file that has another name on this machine.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Linked {
    Removed,
    /// It has none.
    Not,
    /// It has one, and who else removes names of it cannot be told to wait.
    Unsure(Lock),
}

/// Removes the file if it has another name on this machine. Of several who do so at once, each
/// would take the name that another one removes for the one that stays: they come one after the
/// other. The lock is on the file, which is the same by all its names, in whatever folder they are.
fn remove_linked(file: &File, folder: impl AsFd, name: &ShareName) -> io::Result<Linked> {
    let exclusive = FlockOperation::NonBlockingLockExclusive;
    let held = Held::within(file, exclusive, LOCK_WAIT, || format!("who has share/{name} locked"))?;
    if fstat(file)?.st_nlink < 2 {
        return Ok(Linked::Not);
    } else if held.lock != Lock::Ours {
        return Ok(Linked::Unsure(held.lock));
    }
    // The other name keeps whatever is in it by now.
    unlink(&signature(file)?, folder, name)?;
    Ok(Linked::Removed)
}

/// Removes the file if it is still in this state, and no other that has its name by now.
fn unlink(state: &FileSignature, folder: impl AsFd, name: &ShareName) -> io::Result<()> {
    let now = entry::open_file(&folder, name.file_name(), OFlags::RDONLY)?;
    if signature(&now)? != *state {
        return Err(io::Error::other("it has been changed meanwhile"));
    }
    entry::remove(&folder, name.file_name())?;
    entry::sync_folder(folder)
}

/// Which other host has a content: only who has just given of it, and what was right, has it. What others list
/// costs them nothing.
fn others_with(
    config: &Config,
    remove: &RemoveConfig,
    content: (ContentId, u64),
    network: &mut Option<Network>,
) -> Result<Others, Stop> {
    if network.is_none() {
        match look(config, remove.timeout)? {
            Look::Seen(hosts) => *network = Some(Network::of(hosts, &config.root)),
            Look::Ended(signal) => return Err(Stop::Signal(signal)),
        }
    }
    let Some(network) = network else { return Ok(Others::default()) };
    let mut others = Others {
        lists: Vec::new(),
        has: None,
        beside: network.beside.hosts_of(content).len() > network.own_peers,
    };
    for host in network.elsewhere.hosts_of(content) {
        others.lists.push(host.to_owned());
        if others.lists.len() > PROVEN_MAX {
            continue;
        }
        let addresses = network.elsewhere.addresses_of_host(host);
        match has(config, content, addresses)? {
            Look::Seen(true) => {
                others.has = Some(host.to_owned());
                break;
            }
            Look::Seen(false) => {}
            Look::Ended(signal) => return Err(Stop::Signal(signal)),
        }
    }
    Ok(others)
}

/// Why it stays.
fn only_copy(
    name: &ShareName,
    (content, size): (ContentId, u64),
    linked: Linked,
    others: &Others,
) -> String {
    let size = DecimalBytes(size);
    let why = match (others.lists.as_slice(), others.beside) {
        ([], false) => {
            format!(
                "it is the only copy that is known of {content} ({size}), no other host offers it"
            )
        }
        ([], true) => format!(
            "no other machine offers {content} ({size}); another peer on this machine does, and whether \
             that is a copy cannot be seen from here"
        ),
        ([first, more @ ..], _) => {
            let (listed, gave) = match more.len() {
                0 => (format!("{first} lists"), "it has"),
                more => (format!("{first} and {more} more list"), "none has"),
            };
            let not = if more.is_empty() { " not" } else { "" };
            format!(
                "{listed} {content} ({size}), but {gave}{not} shown to have it: this may be the only copy"
            )
        }
    };
    let unsure = match linked {
        Linked::Removed | Linked::Not => "",
        Linked::Unsure(Lock::Unsupported) => {
            "its other name on this machine may go at the same moment, as this file system has no \
             locks; and "
        }
        Linked::Unsure(_) => {
            "its other name on this machine may go at the same moment, as another program has the \
             file locked; and "
        }
    };
    format!("share/{name} stays: {unsure}{why}; sprat rm --force deletes it for good")
}

fn not_there(name: &ShareName, share: &ShareFolder) -> String {
    let names = names_in(share);
    let near = nearest(name.as_str(), names.iter().map(String::as_str));
    match near.first() {
        Some(near) => format!("there is no share/{name}; there is share/{}", printable(near)),
        None => format!("there is no share/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn of_two_who_remove_the_two_names_of_a_file_at_once_one_leaves_it() {
        let root = tempfile::tempdir_in("/dev/shm").unwrap();
        let folder = File::open(root.path()).unwrap();
        let names = ["x", "y"].map(|name| ShareName::parse(name).unwrap());
        let [x, y] = ["x", "y"].map(|name| root.path().join(name));
        for round in 0..150 {
            drop(fs::remove_file(&x));
            drop(fs::remove_file(&y));
            fs::write(&x, "precious").unwrap();
            fs::hard_link(&x, &y).unwrap();
            let ready = AtomicU32::new(0);
            let remove = |name: &ShareName| {
                let file = File::open(root.path().join(name.as_str())).unwrap();
                // A barrier wakes the one long after the other.
                ready.fetch_add(1, Ordering::SeqCst);
                while ready.load(Ordering::SeqCst) < 2 {
                    std::hint::spin_loop();
                }
                remove_linked(&file, &folder, name).unwrap() == Linked::Removed
            };
            let removed = std::thread::scope(|scope| {
                let first = scope.spawn(|| remove(&names[0]));
                usize::from(remove(&names[1])) + usize::from(first.join().unwrap())
            });
            assert_eq!(removed, 1, "round {round}");
            assert!(x.exists() != y.exists());
        }
    }
}
