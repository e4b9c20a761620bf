//! `sprat doctor`: why do I see nobody?
//!
//! Each family of checks is a file: thin functions read facts, and a function from facts to
//! [`Finding`]s judges them, so that what is said is tested from tables of facts, without the system that
//! they would have to be found on. Nothing is changed: files that are made to try are gone at once, and on
//! the network only a question is asked that every host answers and forgets ([`asking`]). What mends
//! something is told as a command and left to people.

pub mod asking;
pub mod finding;
pub mod firewall;
pub mod folders;
pub mod hosts;
pub mod networks;
pub mod port;
pub mod system;
pub mod tools;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use rustix::rand::{GetRandomFlags, getrandom};
use serde_json::Value;

use self::asking::{Named, ask_around};
use self::finding::{Finding, Status};
use self::firewall::rules::Direction;
use self::networks::Network;
use super::clock::wall_now;
use super::interfaces::{Interfaces, prepare_multicast, scope_index};
use super::lines::complain;
use super::root_lock::is_taken;
use super::run::resolve;
use super::udp_socket::{BindAddress, UdpSocket};
use crate::config::{Config, DEFAULT_PORT, DoctorConfig};
use crate::wire::address::parse_host;

/// The exit code where something is wrong.
const FAILED: u8 = 1;
/// A `d.json` that is longer is not read, in bytes.
const DIRECTORY_LENGTH_MAX: u64 = 64 << 20;
/// Hosts of it that are asked, and neighbours.
const NAMED_MAX: usize = 256;

/// Runs every check and prints what it finds.
pub fn run_doctor(config: &Config, doctor: DoctorConfig) -> ExitCode {
    let mut findings = system::judge(&system::look(&config.root, wall_now()));
    findings.extend(folders::judge(&folders::look(&config.root)));
    if !doctor.json && config.verbosity > crate::config::Verbosity::Quiet {
        let _ = writeln!(io::stderr(), "sprat: asking the network, which takes up to 11 s");
    }
    match look_at_network(config) {
        // What people look for first stands last, where their eyes are.
        Ok(found) => findings.extend(found),
        Err(error) => findings.push(Finding::problem(
            "port",
            format!(
                "no UDP socket can be had at all ({error}), so nothing of the network was checked"
            ),
        )),
    }
    let wrong = findings.iter().any(|finding| finding.status == Status::Problem);
    match tell(&findings, doctor.json) {
        // Who reads no further has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(&format!("cannot write what was found: {error}"));
            ExitCode::from(FAILED)
        }
        _ if wrong => ExitCode::from(FAILED),
        _ => ExitCode::SUCCESS,
    }
}

fn tell(findings: &[Finding], json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for finding in findings {
        if json {
            writeln!(out, "{}", finding.for_programs()?)?;
        } else {
            writeln!(out, "{}", finding.for_people())?;
        }
    }
    out.flush()
}

/// Everything that has to do with the network.
fn look_at_network(config: &Config) -> io::Result<Vec<Finding>> {
    let at = |port| BindAddress {
        address: config.bind.map(|bind| bind.address),
        scope_id: config.bind.map_or(0, |bind| bind.scope_id),
        port,
    };
    let (socket, refused) = match UdpSocket::bind(at(config.port), false) {
        Ok(socket) => (socket, None),
        Err(error) => {
            let anywhere = BindAddress { address: None, scope_id: 0, port: 0 };
            let socket = UdpSocket::bind(at(0), false);
            let socket = socket.or_else(|_| UdpSocket::bind(anywhere, false))?;
            (socket, Some((error.kind(), error.to_string())))
        }
    };
    prepare_multicast(&socket);
    let machines = Interfaces::new().refresh(&socket).unwrap_or_default();
    let interfaces = networks::look(&machines);
    let links = interfaces.links.clone().unwrap_or_default();
    let networks = Network::all(&links);
    let mut port = port::Facts { port: config.port, refused, ..port::Facts::default() };
    port.peer_here = is_taken(&config.root);
    port.holder = port.refused.as_ref().and_then(|_| port::holder(config.port));
    let arp = fs::read_to_string("/proc/net/arp").unwrap_or_default();
    let heard = {
        let own = socket.own_addresses(machines);
        let mut nonce = [0; 8];
        // Without chance a stranger could answer, who would be told as a host: no harm.
        let _ = getrandom(&mut nonce, GetRandomFlags::empty());
        ask_around(socket, &own, &named(config, &arp), u64::from_ne_bytes(nonce))?
    };
    port.answers = heard.own_peer.is_some();
    let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let filters = firewall::look();
    let filter = firewall::judge(&filters, &networks, DEFAULT_PORT);
    let mend = |networks: &[Network], direction| {
        firewall::mend(&filters, networks, DEFAULT_PORT, direction)
    };
    let facts = hosts::Facts {
        let_in: mend(&networks, Direction::In),
        let_in_v6: mend(&Network::link_local(&links), Direction::In),
        let_out: mend(&networks, Direction::Out),
        heard,
        links,
        networks,
        arp,
        routes,
    };
    let mut findings = vec![port::judge(&port)];
    findings.extend(networks::judge(&interfaces));
    findings.extend(networks::judge_groups(&interfaces));
    findings.extend(filter);
    findings.extend(hosts::judge_ways(&facts));
    findings.extend(hosts::judge_isolation(&facts));
    findings.extend(hosts::judge_directions(&facts));
    findings.extend(hosts::judge_hosts(&facts));
    Ok(findings)
}

/// Whom to ask alone: those named with `--peer`, those in `d.json`, and the neighbours.
fn named(config: &Config, arp: &str) -> Named {
    let mut hosts: BTreeSet<SocketAddr> = resolve("--peer", &config.peers).into_iter().collect();
    hosts.extend(hosts_of_directory(&config.root.join("d.json")).into_iter().take(NAMED_MAX));
    let neighbours = hosts::neighbours(arp).into_iter().take(NAMED_MAX);
    let neighbours = neighbours.map(|(ip, _)| SocketAddr::new(ip, DEFAULT_PORT)).collect();
    Named { hosts: hosts.into_iter().collect(), neighbours }
}

/// The hosts that a `d.json` names; none where it is not to be read.
fn hosts_of_directory(path: &Path) -> BTreeSet<SocketAddr> {
    let short = fs::metadata(path).is_ok_and(|it| it.is_file() && it.len() <= DIRECTORY_LENGTH_MAX);
    let text = if short { fs::read_to_string(path).unwrap_or_default() } else { String::new() };
    let document: Value = serde_json::from_str(&text).unwrap_or_default();
    let files = document["discovered_files"].as_array().into_iter().flatten();
    let locations = files.flat_map(|file| file["locations"].as_array().into_iter().flatten());
    let texts: BTreeSet<&str> = locations.filter_map(|it| it["ip"].as_str()).collect();
    texts.into_iter().filter_map(|host| parse_host(host, scope_index).ok()).collect()
}
