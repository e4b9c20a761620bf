//! Hosts that people named with `--peer` and `--tracker`, and the addresses that the names have by now.
//!
//! Looking a name up may take many seconds, and what does it (the system's resolver, with all that a machine has set up
//! for it) blocks. So a process of its own does it, the same program under [`RESOLVE_OPTION`], for one name at a
//! time: the loop goes on, in its one thread and with its one socket, and what the resolver has read of the system's
//! settings is never stale.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::io::ioctl_fionbio;

use crate::config::{PeerHost, RESOLVE_OPTION};
use crate::node::Instant;

/// A name that does not resolve is looked up again after this long, twice as long each time, up to the longest; one that
/// does, after the longest.
const AGAIN: Duration = Duration::from_secs(5);
const AGAIN_MAX: Duration = Duration::from_secs(300);
/// A lookup that takes longer has failed.
const LOOKUP_MAX: Duration = Duration::from_secs(30);
/// Addresses of one name that are used.
pub const ADDRESSES_MAX: usize = 2;
/// The longest answer that is read, in bytes.
const ANSWER_MAX: usize = 512;

/// The hosts that were named, with what is known of them.
#[derive(Debug, Default)]
pub struct Naming {
    hosts: Vec<Host>,
    lookup: Option<Lookup>,
}

#[derive(Debug)]
struct Host {
    option: &'static str,
    named: PeerHost,
    /// Its addresses, the last that were found.
    found: Vec<IpAddr>,
    due: Instant,
    wait: Duration,
    /// It was told that it does not resolve.
    is_missing: bool,
}

/// A lookup on its way.
#[derive(Debug)]
struct Lookup {
    host: usize,
    child: Child,
    answer: ChildStdout,
    text: Vec<u8>,
    over_at: Instant,
}

/// Where the named hosts are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Those of `--peer`.
    pub peers: Vec<SocketAddr>,
    /// Those of `--tracker`.
    pub trackers: Vec<SocketAddr>,
}

impl Naming {
    /// Of these hosts, none of which is looked up yet.
    pub fn new(peers: &[PeerHost], trackers: &[PeerHost]) -> Self {
        let of = |option, hosts: &[PeerHost]| -> Vec<Host> {
            let host = |named: &PeerHost| Host {
                option,
                named: named.clone(),
                found: Vec::new(),
                due: Instant::ORIGIN,
                wait: AGAIN,
                is_missing: false,
            };
            hosts.iter().map(host).collect()
        };
        let mut hosts = of("--peer", peers);
        hosts.extend(of("--tracker", trackers));
        Self { hosts, lookup: None }
    }

    /// Where they are, as far as that is known.
    pub fn addresses(&self) -> Addresses {
        let of = |option| {
            let hosts = self.hosts.iter().filter(move |host| host.option == option);
            hosts.flat_map(Host::addresses).collect()
        };
        Addresses { peers: of("--peer"), trackers: of("--tracker") }
    }

    /// Begins the next lookup that is due, if none is on its way; where its answer comes.
    pub fn begin(&mut self, now: Instant) -> Option<RawFd> {
        if self.lookup.is_some() {
            return None;
        }
        let is_due = |host: &Host| host.name().is_some() && host.due <= now;
        let place = self.hosts.iter().position(is_due)?;
        match Lookup::begin(place, self.hosts[place].name().unwrap_or_default(), now) {
            Ok(lookup) => {
                let answer = lookup.answer.as_raw_fd();
                self.lookup = Some(lookup);
                Some(answer)
            }
            Err(error) => {
                self.hosts[place].failed(now, &format!("cannot start a lookup: {error}"));
                None
            }
        }
    }

    /// Takes what has come of an answer. Whether the lookup is over: the next may begin.
    pub fn take(&mut self, now: Instant) -> bool {
        let Some(lookup) = &mut self.lookup else { return false };
        let is_late = lookup.over_at <= now;
        if !lookup.has_ended() && !is_late {
            return false;
        }
        let (host, text) = (lookup.host, std::mem::take(&mut lookup.text));
        self.lookup = None;
        let text = String::from_utf8_lossy(&text);
        let host = &mut self.hosts[host];
        let mut found: Vec<IpAddr> = text.lines().filter_map(|line| line.parse().ok()).collect();
        found.truncate(ADDRESSES_MAX);
        if !found.is_empty() {
            host.resolved(now, found);
        } else if is_late {
            host.failed(now, "no answer");
        } else {
            let why = text.lines().find_map(|line| line.strip_prefix('!'));
            host.failed(now, why.unwrap_or("the lookup failed"));
        }
        true
    }

    /// The machine has other addresses: other servers may answer now, and answer otherwise.
    pub fn network_changed(&mut self, now: Instant) {
        for host in &mut self.hosts {
            host.wait = AGAIN;
            host.due = host.due.min(now + AGAIN);
        }
    }
}

impl Host {
    fn name(&self) -> Option<&str> {
        match &self.named {
            PeerHost::Named { name, .. } => Some(name),
            PeerHost::Address(_) => None,
        }
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        match &self.named {
            PeerHost::Address(address) => vec![*address],
            PeerHost::Named { port, .. } => {
                self.found.iter().map(|&ip| SocketAddr::new(ip, *port)).collect()
            }
        }
    }

    fn resolved(&mut self, now: Instant, found: Vec<IpAddr>) {
        self.is_missing = false;
        (self.due, self.wait) = (now + AGAIN_MAX, AGAIN);
        if self.found != found {
            log::info!("{} {} is {found:?}", self.option, self.name().unwrap_or_default());
        }
        self.found = found;
    }

    /// What was found before stays: a server that is away says nothing of the host.
    fn failed(&mut self, now: Instant, why: &str) {
        if !std::mem::replace(&mut self.is_missing, true) {
            let name = self.name().unwrap_or_default();
            log::warn!("{} {name} does not resolve now ({why}): it is tried again", self.option);
        }
        self.due = now + self.wait;
        self.wait = (self.wait * 2).min(AGAIN_MAX);
    }
}

impl Lookup {
    fn begin(host: usize, name: &str, now: Instant) -> io::Result<Self> {
        let mut command = Command::new(own_program()?);
        command.args([RESOLVE_OPTION, name]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let answer = child.stdout.take().ok_or(ErrorKind::BrokenPipe)?;
        ioctl_fionbio(&answer, true)?;
        Ok(Self { host, child, answer, text: Vec::new(), over_at: now + LOOKUP_MAX })
    }

    /// Reads what is there. Whether nothing more comes.
    fn has_ended(&mut self) -> bool {
        let mut buffer = [0; ANSWER_MAX];
        loop {
            match self.answer.read(&mut buffer) {
                Ok(0) => return true,
                Ok(length) => self.text.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return error.kind() != ErrorKind::WouldBlock,
            }
            if self.text.len() > ANSWER_MAX {
                return true;
            }
        }
    }
}

impl Drop for Lookup {
    /// Nobody is left behind, alive or dead.
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// This program, even if another stands in its place by now.
fn own_program() -> io::Result<PathBuf> {
    let own = Path::new("/proc/self/exe");
    if own.exists() { Ok(own.to_owned()) } else { std::env::current_exe() }
}

/// The process that looks one name up, and prints an address a line, or why there is none.
pub fn run_resolve(name: &str) -> ExitCode {
    let mut text = String::new();
    let code = match (name, 0).to_socket_addrs() {
        Ok(found) => {
            for address in found.take(ADDRESSES_MAX) {
                text.push_str(&format!("{}\n", address.ip()));
            }
            0
        }
        Err(error) => {
            text = format!("!{error}\n");
            1
        }
    };
    // Whoever asked may be gone.
    drop(io::stdout().write_all(text.as_bytes()));
    ExitCode::from(code)
}
