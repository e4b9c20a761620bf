//! Networks of a few hosts. Each test runs in namespaces of its own (users, network, mounts,
//! processes), so that nothing it does can be seen outside and nothing of it is left behind: the test
//! program calls itself again under `unshare`, and the kernel ends whatever is still running there.

use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::host::{Host, run};
use super::watcher::Watcher;

const INSIDE: &str = "SPRAT_TEST_LAB";
const LIMIT: Duration = Duration::from_secs(200);
/// Ways to get namespaces, the best first: as anybody, as root; with processes, without.
const WAYS: [&[&str]; 4] = [
    &["-r", "-n", "-m", "-p", "-f", "--kill-child", "--mount-proc"],
    &["-n", "-m", "-p", "-f", "--kill-child", "--mount-proc"],
    &["-r", "-n", "-m"],
    &["-n", "-m"],
];

/// A bridge with hosts on it. The test itself stands on the bridge too, as 10.77.0.254.
pub struct Lab {
    pub hosts: Vec<Host>,
    pub watcher: Watcher,
    /// A file system in memory, the lab's own.
    pub root: PathBuf,
}

/// Runs a test in a network of that many hosts. Where the machine does not allow it, says so aloud on
/// standard error and passes, unless `SPRAT_REQUIRE_LAB` is set.
#[track_caller]
pub fn in_lab<F: FnOnce(&Lab)>(hosts: usize, body: F) {
    if let Some(root) = std::env::var_os(INSIDE) {
        inside(Path::new(&root), hosts, body);
        return;
    }
    let name = test_name::<F>();
    let Some(way) = way() else {
        skip(name, "no network namespaces here (unshare, ip and nsenter are needed)");
        return;
    };
    outside(name, way);
}

/// `contract::fetch::it_works` of the closure's type is the test `fetch::it_works`.
fn test_name<F>() -> &'static str {
    let name = std::any::type_name::<F>().trim_end_matches("::{{closure}}");
    name.split_once("::").unwrap().1
}

/// Says aloud that something could not be tested here.
pub fn skip(name: &str, why: &str) {
    let sentence = format!("SKIPPED: {name}: {why}");
    assert!(std::env::var_os("SPRAT_REQUIRE_LAB").is_none(), "{sentence}");
    // Not through eprintln: the test runner keeps that to itself.
    drop(writeln!(std::io::stderr(), "\n{sentence}"));
}

fn way() -> Option<&'static [&'static str]> {
    static WAY: OnceLock<Option<&[&str]>> = OnceLock::new();
    let script = "mount -t tmpfs lab /tmp && ip link add br0 type bridge \
        && ip link add v0 type veth peer name v1 && nsenter --net=/proc/self/ns/net true";
    let works = |way: &&&[&str]| {
        let mut command = Command::new("unshare");
        command.args(**way).args(["sh", "-c", script]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    *WAY.get_or_init(|| WAYS.iter().find(works).copied())
}

fn outside(name: &str, way: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("output");
    let mut command = Command::new("unshare");
    command.args(way).arg(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--include-ignored", "--nocapture", "--test-threads=1"]);
    let root = folder.path().join("lab");
    fs::create_dir(&root).unwrap();
    command.env(INSIDE, root).env("RUST_BACKTRACE", "0");
    let file = fs::File::create(&output).unwrap();
    command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
    let mut child = command.spawn().unwrap();
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if start.elapsed() > LIMIT {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let text = String::from_utf8_lossy(&fs::read(&output).unwrap()).into_owned();
    println!("{text}");
    let Some(status) = status else { panic!("{name} took more than {LIMIT:?}") };
    assert!(text.contains("running 1 test"), "no test is called {name}");
    let ending = (status.code(), status.signal());
    assert!(status.success(), "{name} failed in its namespaces: {ending:?}");
}

fn inside(root: &Path, hosts: usize, body: impl FnOnce(&Lab)) {
    let lab = Lab::build(root, hosts);
    let logs = Logs(lab.root.join("logs"));
    body(&lab);
    let violations = lab.watcher.finish();
    assert!(violations.is_empty(), "in share/ while not whole: {violations:#?}");
    drop(logs);
}

impl Lab {
    fn build(root: &Path, hosts: usize) -> Self {
        run(Command::new("mount").args(["-t", "tmpfs", "lab"]).arg(root));
        fs::create_dir(root.join("logs")).unwrap();
        run(Command::new("sh").args([
            "-c",
            "ip link set lo up; \
             ip link add br0 type bridge mcast_snooping 0 || ip link add br0 type bridge; \
             echo 0 > /proc/sys/net/ipv6/conf/br0/accept_dad; \
             ip link set br0 up; ip addr add 10.77.0.254/24 brd + dev br0",
        ]));
        let hosts = (1..=hosts).map(|number| Host::build(root, number)).collect::<Vec<_>>();
        hosts.iter().for_each(Host::wait_for_addresses);
        let folders = hosts.iter().map(Host::share).collect();
        Self { watcher: Watcher::start(folders), hosts, root: root.to_owned() }
    }

    /// The host with that number, the first being 0.
    pub fn host(&self, index: usize) -> &Host {
        &self.hosts[index]
    }

    /// Puts a content into a host's `share/`, whole from the first moment.
    pub fn put(&self, index: usize, name: &str, content: &super::Content) {
        self.watcher.allow(content);
        self.hosts[index].put(name, &content.bytes);
    }

    /// Starts `sprat fetch` for a content on a host.
    pub fn fetch(
        &self,
        index: usize,
        content: &super::Content,
        name: &str,
        sources: &[&str],
    ) -> super::Running {
        self.watcher.allow(content);
        self.hosts[index].fetch(content, name, sources)
    }

    /// Limits what a host sends to that many Mbit/s.
    pub fn limit(&self, index: usize, megabits: u32) {
        let rate = format!("{megabits}mbit");
        let arguments = ["qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", &rate];
        let mut command = self.hosts[index].enter("tc");
        run(command.args(arguments).args(["burst", "64kb", "latency", "50ms"]));
    }

    /// Takes a host's cable out, or puts it in again.
    pub fn plug(&self, index: usize, plugged: bool) {
        let port = format!("v{}", index + 1);
        let state = if plugged { "up" } else { "down" };
        run(Command::new("ip").args(["link", "set", &port, state]));
    }
}

/// Shows what the processes said, if the test fails, or `SPRAT_TEST_LOGS` is set.
struct Logs(PathBuf);

impl Drop for Logs {
    fn drop(&mut self) {
        if !std::thread::panicking() && std::env::var_os("SPRAT_TEST_LOGS").is_none() {
            return;
        }
        let Ok(entries) = fs::read_dir(&self.0) else {
            return;
        };
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            let lines: Vec<_> = text.lines().collect();
            let tail = &lines[lines.len().saturating_sub(60)..];
            println!("---- {} ({} lines)", path.display(), lines.len());
            println!("{}", tail.join("\n"));
        }
    }
}
