//! Whether a packet filter of this machine throws away what hosts say to each other: judged from the
//! rules where they can be read, which mostly takes root; where they cannot, the command that shows them
//! is told. How a filter is felt on the network is [`hosts`](super::hosts)' affair.

pub mod iptables;
pub mod nft;
pub mod rules;

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use self::rules::{Direction, Fate, Packet, Ruleset, Where};
use super::finding::{Finding, Status};
use super::networks::Network;
use super::tools::{Printed, run_tool};

const CHECK: &str = "firewall";

/// What the machine's tools say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `nft list ruleset`.
    pub nft: Printed,
    /// `iptables -S`.
    pub iptables: Printed,
    /// `ip6tables -S`.
    pub ip6tables: Printed,
    /// Whether ufw is switched on, as its configuration says.
    pub ufw_on: bool,
    /// Whether firewalld runs.
    pub firewalld_on: bool,
}

/// Asks the tools that are here.
pub fn look() -> Facts {
    let ufw = fs::read_to_string("/etc/ufw/ufw.conf").unwrap_or_default();
    Facts {
        nft: run_tool("nft", &["list", "ruleset"]),
        iptables: run_tool("iptables", &["-S"]),
        ip6tables: run_tool("ip6tables", &["-S"]),
        ufw_on: ufw.lines().any(|line| line.trim().eq_ignore_ascii_case("ENABLED=yes")),
        firewalld_on: is_running("firewalld"),
    }
}

/// Whether a process has left its number where services do.
fn is_running(service: &str) -> bool {
    let number = fs::read_to_string(format!("/run/{service}.pid"));
    let process = |number: &str| Path::new(&format!("/proc/{}", number.trim())).exists();
    match number {
        Ok(number) => process(&number),
        Err(error) => {
            // Newer ones leave a folder only.
            error.kind() == io::ErrorKind::NotFound && Path::new("/run").join(service).is_dir()
        }
    }
}

/// What the rules do to datagrams between us and each network, to and from `port`.
pub fn judge(facts: &Facts, networks: &[Network], port: u16) -> Vec<Finding> {
    if networks.is_empty() {
        return vec![Finding::ok(CHECK, "without a network there is nothing to filter")];
    }
    let mut findings = Vec::new();
    for direction in [Direction::In, Direction::Out] {
        findings.extend(judge_direction(facts, networks, port, direction));
    }
    if findings.is_empty() {
        findings.push(judge_readable(facts, networks, port));
    }
    findings
}

fn judge_direction(
    facts: &Facts,
    networks: &[Network],
    port: u16,
    direction: Direction,
) -> Option<Finding> {
    let mut doubt = None;
    for network in networks {
        for to_many in [false, true] {
            let packet = packet(network, port, direction, to_many);
            for (tool, ruleset) in rulesets(facts, &packet) {
                match ruleset.fate(direction) {
                    Fate::Passes => {}
                    Fate::Dropped(at) => {
                        let what = match (direction, to_many) {
                            (Direction::In, false) => "what comes to",
                            (Direction::In, true) => "broadcasts that come to",
                            (Direction::Out, false) => "what goes to",
                            (Direction::Out, true) => "broadcasts that go to",
                        };
                        let meaning = match direction {
                            Direction::In => "we do not hear others",
                            Direction::Out => "others do not hear us",
                        };
                        let manager = facts.manager(tool, direction);
                        let text = format!(
                            "{manager} throws away {what} UDP port {port} on {}: {meaning} ({})",
                            network.interface,
                            at.rule.trim()
                        );
                        let commands = networks
                            .iter()
                            .map(|network| allow(manager, network, port, direction, &at));
                        return Some(Finding::problem(CHECK, text).with_all(commands));
                    }
                    Fate::Doubtful(at) => {
                        let text = format!(
                            "a rule of {tool} that doctor does not understand decides about UDP port \
                             {port}: {}",
                            at.rule.trim()
                        );
                        let show = if tool == "nft" { "nft list ruleset" } else { "iptables -S" };
                        let finding = Finding::unknown(CHECK, text).with(format!("sudo {show}"));
                        doubt = doubt.or(Some(finding));
                    }
                }
            }
        }
    }
    doubt
}

/// Nothing is dropped by what could be read: how much was that?
fn judge_readable(facts: &Facts, networks: &[Network], port: u16) -> Finding {
    let read = [&facts.nft, &facts.iptables].into_iter().any(|it| matches!(it, Printed::Text(_)));
    if read {
        return Finding::ok(CHECK, format!("the rules of this machine let UDP port {port} pass"));
    }
    let anywhere = Where { table: String::new(), chain: String::new(), rule: String::new() };
    let allows = |manager| {
        let direction = Direction::In;
        networks.iter().map(move |network| allow(manager, network, port, direction, &anywhere))
    };
    if facts.ufw_on {
        let text = format!("ufw is on, and only root can read whether it lets UDP port {port} in");
        let finding = Finding::warning(CHECK, text).with("sudo ufw status verbose");
        return finding.with_all(allows("ufw"));
    }
    if facts.firewalld_on {
        let text =
            format!("firewalld is on, and only root can read whether it lets UDP port {port} in");
        let finding = Finding::warning(CHECK, text).with("sudo firewall-cmd --list-all");
        return finding.with_all(allows("firewalld"));
    }
    match (&facts.nft, &facts.iptables) {
        (Printed::Absent, Printed::Absent) => {
            Finding::ok(CHECK, "neither nft nor iptables is installed: hardly any rules, then")
        }
        (Printed::Absent, _) => Finding::unknown(CHECK, "only root can read the rules of iptables")
            .with("sudo iptables -S"),
        _ => Finding::unknown(CHECK, "only root can read the rules of nft")
            .with("sudo nft list ruleset"),
    }
}

impl Facts {
    /// Whose rules these are: the program that people set them with.
    fn manager(&self, tool: &'static str, direction: Direction) -> &'static str {
        match direction {
            Direction::In if self.ufw_on => "ufw",
            Direction::In if self.firewalld_on => "firewalld",
            _ => tool,
        }
    }
}

/// The commands by which these networks' datagrams would pass, for who has seen that they do not: those that
/// follow from the rules, or else those of the program that is there to set them.
pub fn mend(facts: &Facts, networks: &[Network], port: u16, direction: Direction) -> Vec<String> {
    let judged = judge_direction(facts, networks, port, direction);
    if let Some(found) = judged.filter(|finding| finding.status == Status::Problem) {
        return found.commands;
    }
    let tool = if facts.nft == Printed::Absent { "iptables" } else { "nft" };
    let manager = facts.manager(tool, direction);
    if manager == "nft" {
        // Which chain it would be is to be seen first.
        return vec!["sudo nft list ruleset".to_owned()];
    }
    let anywhere = Where { table: String::new(), chain: String::new(), rule: String::new() };
    let allow = |network| allow(manager, network, port, direction, &anywhere);
    networks.iter().map(allow).collect()
}

fn packet(network: &Network, port: u16, direction: Direction, to_many: bool) -> Packet {
    let (own, other) = (network.own, network.another());
    let many = network.broadcast.unwrap_or(IpAddr::V4(Ipv4Addr::BROADCAST));
    let (source, destination) = match (direction, to_many) {
        (Direction::In, false) => (other, own),
        (Direction::In, true) => (other, many),
        (Direction::Out, false) => (own, other),
        (Direction::Out, true) => (own, many),
    };
    let interface = network.interface.clone();
    Packet { direction, interface, source, destination, to_many, port }
}

/// What each tool prints, read for this datagram. iptables speaks for the tables that it manages.
fn rulesets(facts: &Facts, packet: &Packet) -> Vec<(&'static str, Ruleset)> {
    let mut rulesets = Vec::new();
    let (tables, name) = if packet.source.is_ipv4() {
        (&facts.iptables, "iptables")
    } else {
        (&facts.ip6tables, "ip6tables")
    };
    if let Printed::Text(text) = &facts.nft {
        let skip_managed = matches!(tables, Printed::Text(_));
        rulesets.push(("nft", nft::read(text, packet, skip_managed)));
    }
    if let Printed::Text(text) = tables {
        rulesets.push((name, iptables::read(text, packet)));
    }
    rulesets
}

/// The command by which `manager` lets a network's datagrams pass, and no others.
pub fn allow(
    manager: &str,
    network: &Network,
    port: u16,
    direction: Direction,
    at: &Where,
) -> String {
    let range = network.range();
    let family = if network.own.is_ipv4() { "ipv4" } else { "ipv6" };
    let inward = direction == Direction::In;
    match manager {
        "ufw" => format!("sudo ufw allow from {range} to any port {port} proto udp"),
        "firewalld" => format!(
            "sudo firewall-cmd --permanent --add-rich-rule='rule family=\"{family}\" source \
             address=\"{range}\" port port=\"{port}\" protocol=\"udp\" accept' && sudo firewall-cmd \
             --reload"
        ),
        "nft" => {
            let family = if network.own.is_ipv4() { "ip" } else { "ip6" };
            let side = if inward { "saddr" } else { "daddr" };
            let Where { table, chain, .. } = at;
            format!(
                "sudo nft insert rule {table} {chain} {family} {side} {range} udp dport {port} accept"
            )
        }
        tables => {
            let (chain, side) = if inward { ("INPUT", "-s") } else { ("OUTPUT", "-d") };
            format!("sudo {tables} -I {chain} {side} {range} -p udp --dport {port} -j ACCEPT")
        }
    }
}

#[cfg(test)]
mod tests;
