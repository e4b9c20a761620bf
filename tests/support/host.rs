//! One host of a lab: a network namespace, a folder, and the program in it.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::document::Document;
use super::files::Content;
use super::process::Running;
use super::wait::{SHORT, wait_for, wait_until};

/// The program under test.
pub const SPRAT: &str = env!("CARGO_BIN_EXE_sprat");

/// A host with its own network, addresses and folder.
pub struct Host {
    pub number: usize,
    pub root: PathBuf,
    pub ip: Ipv4Addr,
    logs: PathBuf,
    started: AtomicU32,
    /// Sleeps, and so keeps the network namespace.
    holder: Child,
}

impl Host {
    pub(super) fn build(lab: &Path, number: usize) -> Self {
        let mut holder = Command::new("unshare");
        holder.args(["--net", "--", "sleep", "infinity"]);
        holder.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let holder = holder.spawn().unwrap();
        let namespace = format!("/proc/{}/ns/net", holder.id());
        let own = fs::metadata("/proc/self/ns/net").unwrap().ino();
        wait_until("a network namespace", SHORT, || {
            fs::metadata(&namespace).is_ok_and(|its| its.ino() != own)
        });
        let root = lab.join(format!("host{number}"));
        fs::create_dir(&root).unwrap();
        let ip = Ipv4Addr::new(10, 77, 0, u8::try_from(number).unwrap());
        let logs = lab.join("logs");
        let host = Self { number, root, ip, logs, started: AtomicU32::new(0), holder };
        let pid = host.holder.id();
        let script = format!(
            "ip link add v{number} type veth peer name eth0 netns {pid} && \
             echo 1 > /proc/sys/net/ipv6/conf/v{number}/disable_ipv6; \
             ip link set v{number} master br0 up"
        );
        run(Command::new("sh").args(["-c", &script]));
        let script = format!(
            "ip link set lo up; echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad; \
             ip addr add {ip}/24 brd + dev eth0 && ip link set eth0 up"
        );
        run(host.enter("sh").args(["-c", &script]));
        host
    }

    pub(super) fn wait_for_addresses(&self) {
        wait_until("an IPv6 address", SHORT, || self.ipv6_of("eth0").is_some());
    }

    /// The process whose network namespace is this host's.
    pub fn namespace_of(&self) -> u32 {
        self.holder.id()
    }

    /// A command in this host's network.
    pub fn enter(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.holder.id())).arg("--").arg(program);
        command
    }

    /// The program in this host's network, working in this host's folder.
    pub fn sprat(&self) -> Command {
        let mut command = self.enter(SPRAT);
        command.current_dir(&self.root);
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"SPRAT_") {
                command.env_remove(name);
            }
        }
        command
    }

    /// Starts something made by [`Host::sprat`].
    pub fn start(&self, command: Command) -> Running {
        let count = self.started.fetch_add(1, Ordering::Relaxed) + 1;
        Running::start(command, &self.logs.join(format!("host{}-{count:03}", self.number)))
    }

    /// Starts the program with these arguments.
    pub fn run(&self, arguments: &[&str]) -> Running {
        let mut command = self.sprat();
        command.args(arguments);
        self.start(command)
    }

    /// Starts `sprat peer`, exactly so, and waits until it has written its document.
    pub fn peer(&self) -> Running {
        self.peer_with(&[])
    }

    /// Starts `sprat peer` with options, and waits until it has written its document.
    pub fn peer_with(&self, options: &[&str]) -> Running {
        let before = fs::metadata(self.root.join("d.json")).map(|metadata| metadata.ino()).ok();
        let mut peer = self.run(&[options, &["peer"]].concat());
        wait_until("the peer's document", SHORT, || {
            assert_eq!(peer.ending(), None, "{}", peer.stderr());
            fs::metadata(self.root.join("d.json"))
                .is_ok_and(|metadata| Some(metadata.ino()) != before && metadata.len() > 0)
        });
        peer
    }

    /// Starts `sprat fetch SHA1 NAME SIZE IP...`.
    pub fn fetch(&self, content: &Content, name: &str, sources: &[&str]) -> Running {
        self.fetch_with(&[], content, name, sources)
    }

    /// The same with options.
    pub fn fetch_with(
        &self,
        options: &[&str],
        content: &Content,
        name: &str,
        sources: &[&str],
    ) -> Running {
        let size = content.size().to_string();
        let contract: &[&str] = &["fetch", &content.sha1, name, &size];
        self.run(&[options, contract, sources].concat())
    }

    /// Its address as text.
    pub fn address(&self) -> String {
        self.ip.to_string()
    }

    /// The link-local address of one of its interfaces.
    pub fn ipv6_of(&self, interface: &str) -> Option<Ipv6Addr> {
        let text = fs::read_to_string(format!("/proc/{}/net/if_inet6", self.holder.id())).ok()?;
        // address, index, prefix length, scope (20: link), flags (40: tentative), name
        let fields = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let mut found = fields.filter(|fields| {
            let flags = u32::from_str_radix(fields[4], 16).unwrap();
            fields[5] == interface && fields[3] == "20" && flags & 0x40 == 0
        });
        Some(u128::from_str_radix(found.next()?[0], 16).unwrap().into())
    }

    /// The hardware address of its interface.
    pub fn mac(&self) -> String {
        let output = self.enter("ip").args(["-o", "link", "show", "eth0"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let mut words = text.split_whitespace().skip_while(|word| *word != "link/ether");
        words.nth(1).unwrap().to_owned()
    }

    /// Bytes that its interface has received and sent.
    pub fn traffic(&self) -> (u64, u64) {
        let text = fs::read_to_string(format!("/proc/{}/net/dev", self.holder.id())).unwrap();
        let line = text.lines().find_map(|line| line.trim().strip_prefix("eth0:")).unwrap();
        let numbers: Vec<u64> = line.split_whitespace().map(|word| word.parse().unwrap()).collect();
        (numbers[0], numbers[8])
    }

    /// How many UDP datagrams this host has ever tried to send.
    pub fn datagrams_sent(&self) -> u64 {
        let number = |text: &str| text.parse::<u64>().unwrap();
        let of = |file| {
            fs::read_to_string(format!("/proc/{}/net/{file}", self.holder.id())).unwrap_or_default()
        };
        // Udp: names..., then Udp: numbers...; OutDatagrams is the fourth.
        let v4 = of("snmp");
        let v4 = v4.lines().filter(|line| line.starts_with("Udp: ")).nth(1).unwrap();
        let v4 = number(v4.split_whitespace().nth(4).unwrap());
        let v6 = of("snmp6");
        let v6 = v6.lines().find(|line| line.starts_with("Udp6OutDatagrams"));
        v4 + v6.map_or(0, |line| number(line.split_whitespace().nth(1).unwrap()))
    }

    /// `share/`.
    pub fn share(&self) -> PathBuf {
        self.root.join("share")
    }

    /// `share/NAME`.
    pub fn shared(&self, name: &str) -> PathBuf {
        self.share().join(name)
    }

    /// `chunks/`.
    pub fn chunks(&self) -> PathBuf {
        self.root.join("chunks")
    }

    /// `chunks/SHA1:attrs`.
    pub fn attrs(&self, content: &Content) -> PathBuf {
        self.chunks().join(format!("{}:attrs", content.sha1))
    }

    /// Puts a file into `share/` in one step.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let staging = self.root.join("staging");
        fs::write(&staging, bytes).unwrap();
        let path = self.shared(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::rename(staging, path).unwrap();
    }

    /// The chunk files of a content: offset and length, sorted.
    pub fn extents(&self, content: &Content) -> Vec<(u64, u64)> {
        let prefix = format!("{}:chunk:", content.sha1);
        let Ok(entries) = fs::read_dir(self.chunks()) else {
            return Vec::new();
        };
        let mut extents = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name().into_string().unwrap();
            if let (Some(offset), Ok(metadata)) = (name.strip_prefix(&prefix), entry.metadata()) {
                assert!(offset == "0" || !offset.starts_with('0'), "{name}");
                extents.push((offset.parse().unwrap(), metadata.len()));
            }
        }
        extents.sort_unstable();
        extents
    }

    /// How much of a content is in its chunk files.
    pub fn progress(&self, content: &Content) -> u64 {
        self.extents(content).iter().map(|extent| extent.1).sum()
    }

    /// The names in `chunks/`, sorted, without those that begin with a dot.
    pub fn chunk_names(&self) -> Vec<String> {
        names_in(&self.chunks())
    }

    /// The document as it stands.
    pub fn document(&self) -> Document {
        wait_for("d.json", SHORT, || Document::read(&self.root.join("d.json")))
    }

    /// Waits until this host's document lists a content at that many locations.
    #[track_caller]
    pub fn sees(&self, content: &Content, locations: usize) -> Document {
        let what = format!("host {} to see {} {locations} times", self.number, content.sha1);
        wait_for(&what, SHORT, || {
            let document = self.document();
            let entry = document.entry(&content.sha1);
            (entry.map_or(0, |entry| entry.locations.len()) == locations).then_some(document)
        })
    }

    /// Fails unless `share/NAME` holds this content and nothing of the download is left.
    #[track_caller]
    pub fn has(&self, name: &str, content: &Content) {
        let bytes = fs::read(self.shared(name)).unwrap();
        assert!(bytes == content.bytes, "{name} is other content: {} bytes", bytes.len());
        assert_eq!(self.chunk_names(), Vec::<String>::new(), "left behind in chunks/");
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.holder.kill());
        drop(self.holder.wait());
    }
}

/// The names in a folder, sorted, without those that begin with a dot.
pub fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let names = entries.flatten().map(|entry| entry.file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

/// Runs a tool that must succeed.
#[track_caller]
pub fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{stderr}", output.status);
}
