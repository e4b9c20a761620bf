//! Taking files out of `share/`: never the only copy, unless told twice.

use std::fs::File;
use std::io::{self, BufWriter};
use std::process::ExitCode;

use indicatif::DecimalBytes;
use rustix::fs::OFlags;
use serde::Serialize;

use super::{content_of, names_in};
use crate::config::{Config, RemoveConfig};
use crate::content::nearest::nearest;
use crate::content::terminal_text::printable;
use crate::content::{ContentId, ShareName};
use crate::driver::asking::catalog::Catalog;
use crate::driver::asking::{Answer, Answers};
use crate::driver::lines::complain;
use crate::driver::looking::{Look, look};
use crate::driver::root_lock;
use crate::driver::run::{End, FAILED, Trouble, finish, open_share};
use crate::driver::share_folder::{ShareFolder, WritableParent, entry, signature};

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
    /// Other hosts offer it.
    Hosts,
    /// It was not looked for.
    Unknown,
}

impl Answer for RemoveAnswer<'_> {
    fn text(&self) -> String {
        let left = match (self.left, self.hosts.as_slice()) {
            (Left::Linked, _) => ": the same file has another name on this machine".to_owned(),
            (Left::Hosts, [one]) => format!(": {one} still has it"),
            (Left::Hosts, [one, others @ ..]) => {
                format!(": {one} and {} more still have it", others.len())
            }
            (Left::Hosts, []) | (Left::Unknown, _) => String::new(),
        };
        format!("share/{} is removed{left}", self.name)
    }
}

/// Takes files out of `share/`.
pub fn run_remove(config: &Config, remove: &RemoveConfig) -> ExitCode {
    finish(remove_all(config, remove))
}

fn remove_all(config: &Config, remove: &RemoveConfig) -> Result<End, Trouble> {
    let share = open_share(&config.root)?;
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
                code = FAILED;
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
    network: &mut Option<Catalog>,
) -> Result<RemoveAnswer<'a>, Stop> {
    let failed = |error: io::Error| format!("share/{name} stays: {error}");
    let file = match share.open(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(not_there(name, share).into());
        }
        file => file.map_err(failed)?,
    };
    let WritableParent { folder, .. } = share.parent_for_writing(name).map_err(failed)?;
    let look = entry::look(&folder, name.file_name()).map_err(failed)?;
    let mut answer = RemoveAnswer {
        name: name.as_str(),
        size: look.state.size,
        sha1: None,
        left: Left::Unknown,
        hosts: Vec::new(),
    };
    if look.links > 1 {
        answer.left = Left::Linked;
    } else if !remove.force {
        let content = content_of(&file, look.state.size).map_err(failed)?;
        answer.hosts = others_with(config, remove, (content, look.state.size), network)?;
        answer.left = Left::Hosts;
        answer.sha1 = Some(content.to_string());
        if answer.hosts.is_empty() {
            let size = DecimalBytes(look.state.size);
            return Err(format!(
                "share/{name} stays: it is the only copy that is known of {content} ({size}), no other \
                 host offers it; sprat rm --force deletes it for good"
            )
            .into());
        }
    }
    unlink(&file, &folder, name).map_err(failed)?;
    Ok(answer)
}

/// Removes the file that was looked at, and no other that has its name by now.
fn unlink(file: &File, folder: &impl std::os::fd::AsFd, name: &ShareName) -> io::Result<()> {
    let now = entry::open_file(folder, name.file_name(), OFlags::RDONLY)?;
    if signature(&now)? != signature(file)? {
        return Err(io::Error::other("it has been changed meanwhile"));
    }
    entry::remove(folder, name.file_name())?;
    entry::sync_folder(folder)
}

/// Which other hosts offer a content: as the peer in this folder knows, or by a look.
fn others_with(
    config: &Config,
    remove: &RemoveConfig,
    content: (ContentId, u64),
    network: &mut Option<Catalog>,
) -> Result<Vec<String>, Stop> {
    if network.is_none() {
        let known = (config.peers.is_empty() && root_lock::is_taken(&config.root))
            .then(|| Catalog::read(&config.root).filter(|known| !known.has_no_hosts()));
        *network = known.flatten();
    }
    if network.is_none() {
        match look(config, remove.timeout)? {
            // What this machine offers is perhaps this very file.
            Look::Seen(mut hosts) => {
                hosts.retain(|host| !host.addresses.iter().any(|address| address.is_here));
                *network = Some(Catalog::of(&hosts));
            }
            Look::Ended(signal) => return Err(Stop::Signal(signal)),
        }
    }
    let hosts = network.as_ref().map(|known| known.hosts_of(content)).unwrap_or_default();
    Ok(hosts.into_iter().map(str::to_owned).collect())
}

fn not_there(name: &ShareName, share: &ShareFolder) -> String {
    let names = names_in(share);
    let near = nearest(name.as_str(), names.iter().map(String::as_str));
    match near.first() {
        Some(near) => format!("there is no share/{name}; there is share/{}", printable(near)),
        None => format!("there is no share/{name}"),
    }
}
