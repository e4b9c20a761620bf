//! What is made of the asking around: do our own broadcasts work, who is there, which ways work in one
//! direction only, and does the access point keep its stations apart?

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};

use super::asking::{Evidence, Heard, Kind, Way};
use super::finding::Finding;
use super::firewall;
use super::firewall::rules::{Direction, Where};
use super::networks::{Link, Network};
use crate::wire::DEFAULT_PORT;
use crate::wire::address::format_host;

/// Hosts that are told by their address.
const SHOWN_MAX: usize = 10;

/// All that is judged here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// What came of asking.
    pub heard: Heard,
    /// The interfaces.
    pub links: Vec<Link>,
    /// The networks that they lead to.
    pub networks: Vec<Network>,
    /// The commands that let in what comes to our port from the IPv4 networks, or all where there are none,
    pub let_in: Vec<String>,
    /// from the link-local ones of IPv6,
    pub let_in_v6: Vec<String>,
    /// and that let out what goes there.
    pub let_out: Vec<String>,
    /// `/proc/net/arp`.
    pub arp: String,
    /// `/proc/net/route`.
    pub routes: String,
}

/// Does what goes to all come back to this machine, by every way?
pub fn judge_ways(facts: &Facts) -> Vec<Finding> {
    const CHECK: &str = "broadcast";
    let Facts { heard, links, .. } = facts;
    if heard.ways.is_empty() {
        return vec![
            Finding::problem(CHECK, "there is no network to send broadcasts to").with("ip address"),
        ];
    }
    let mut findings = Vec::new();
    let (mut fine, mut unseen, mut lost_some, mut lost_all) = (vec![], vec![], vec![], vec![]);
    for way in &heard.ways {
        let what = way.told(&name_of(links, way.index));
        // If another way to the same interface works, others find us all the same.
        let another = heard.ways.iter().any(|other| other.index == way.index && other.returned);
        match &way.refused {
            Some((kind, error)) => {
                findings.push(refused(facts, *kind, &format!("{what} cannot be sent: {error}")));
            }
            None if way.returned => fine.push(what),
            None if !heard.had_port && heard.own_peer.is_none() => unseen.push(what),
            None if another => lost_some.push((way.kind, what)),
            None => lost_all.push(what),
        }
    }
    if !fine.is_empty() {
        findings.insert(0, Finding::ok(CHECK, format!("{} comes back to us", fine.join(", "))));
    }
    if !unseen.is_empty() {
        let text = format!(
            "whether {} comes back cannot be seen: another program has UDP port {DEFAULT_PORT}",
            unseen.join(", ")
        );
        findings.push(Finding::unknown(CHECK, text));
    }
    if !lost_all.is_empty() {
        let text = lost(&lost_all);
        findings.push(Finding::problem(CHECK, text).with_all(facts.let_in.iter().cloned()));
    }
    for (kind, what) in lost_some {
        let v6 = kind == Kind::GroupV6;
        let commands = if v6 { &facts.let_in_v6 } else { &facts.let_in };
        findings.push(Finding::warning(CHECK, lost(&[what])).with_all(commands.iter().cloned()));
    }
    findings
}

/// The kernel does not even send.
fn refused(facts: &Facts, kind: io::ErrorKind, what: &str) -> Finding {
    if kind != io::ErrorKind::PermissionDenied {
        return Finding::problem("broadcast", what.to_owned()).with("ip route");
    }
    let text = format!("{what}: a firewall on this machine keeps it back");
    Finding::problem("broadcast", text).with_all(facts.let_out.iter().cloned())
}

/// It was sent and did not come back.
fn lost(what: &[String]) -> String {
    format!(
        "{} does not come back: a firewall on this machine throws away what comes to UDP port \
         {DEFAULT_PORT}",
        what.join(", ")
    )
}

/// Who is there?
pub fn judge_hosts(facts: &Facts) -> Vec<Finding> {
    const CHECK: &str = "hosts";
    let hosts = hosts(&facts.heard);
    let mut findings = Vec::new();
    let there: Vec<_> = hosts.iter().filter(|(_, host)| host.instance.is_some()).collect();
    if there.is_empty() {
        let text = format!(
            "nobody answers, and nobody was heard in {} s: start sprat peer on another machine of this \
             network, and sprat doctor there if that changes nothing",
            facts.heard.seconds
        );
        findings.push(Finding::warning(CHECK, text).with("sprat peer"));
    } else {
        let shown = there.iter().take(SHOWN_MAX).map(|(address, host)| {
            format!("{} ({} files)", host_text(facts, *address), host.files)
        });
        let mut text = shown.collect::<Vec<_>>().join(", ");
        if there.len() > SHOWN_MAX {
            text.push_str(", ...");
        }
        let number = there.len();
        let noun = if number == 1 { "host is" } else { "hosts are" };
        findings.push(Finding::ok(CHECK, format!("{number} {noun} there: {text}")));
    }
    for (address, _) in hosts.iter().filter(|(_, host)| host.named && host.instance.is_none()) {
        let host = host_text(facts, *address);
        let text = format!("{host} is known, from d.json or by --peer, and does not answer");
        findings.push(Finding::warning(CHECK, text).with(format!("ping {}", address.ip())));
    }
    findings
}

/// Is somebody heard who does not hear us, or the other way?
pub fn judge_directions(facts: &Facts) -> Vec<Finding> {
    const CHECK: &str = "one-way";
    let heard = &facts.heard;
    let mut findings = Vec::new();
    for (address, host) in hosts(heard) {
        let shown = host_text(facts, address);
        let answers = host.answered_alone || host.answered_to_many;
        if host.announced && !answers {
            let text = format!(
                "{shown} is heard, but answers nothing: it does not hear us, so its firewall is to let us \
                 in (the command is for that machine)"
            );
            findings.push(Finding::problem(CHECK, text).with_all(allowed_there(facts)));
        } else if answers && !host.announced && heard.had_port {
            let means = if host.answered_to_many {
                "hears us, but we do not hear it"
            } else {
                "is there, but hears our broadcasts as little as we hear its own"
            };
            let text = format!(
                "{shown} {means}: its announcements do not come in here in {} s",
                heard.seconds
            );
            findings.push(
                Finding::problem(CHECK, text)
                    .with_all(facts.let_in.iter().cloned())
                    .with(format!("sprat peer --peer {shown}")),
            );
        } else if host.answered_alone && !host.answered_to_many && is_near(facts, address) {
            let text = format!(
                "{shown} answers when it is asked alone, and not what goes to all: either our broadcasts \
                 do not reach it or a firewall here drops the answers"
            );
            findings.push(Finding::warning(CHECK, text).with(format!("sprat peer --peer {shown}")));
        }
    }
    if heard.hosts.values().all(|host| host.instance.is_none()) {
        return vec![Finding::unknown(CHECK, "nobody is heard with whom it could be tried")];
    }
    if findings.is_empty() {
        let text = if heard.had_port {
            "whoever is heard hears us, and the other way round"
        } else {
            "whoever hears us answers; what we hear, the peer that has the port knows"
        };
        findings.push(Finding::ok(CHECK, text));
    }
    findings
}

/// Does the access point keep its stations apart?
pub fn judge_isolation(facts: &Facts) -> Vec<Finding> {
    const CHECK: &str = "isolation";
    let nobody = facts.heard.hosts.values().all(|host| host.instance.is_none());
    let suspected = facts.links.iter().filter(|link| nobody && link.wireless && link.is_usable());
    let suspected = suspected.filter(|link| {
        let gateway = gateway(&facts.routes, &link.name);
        let known = neighbours(&facts.arp);
        let mut known = known.iter().filter(|(_, device)| *device == link.name).peekable();
        gateway.is_some() && known.peek().is_some() && known.all(|(ip, _)| Some(*ip) == gateway)
    });
    let findings: Vec<_> = suspected
        .map(|link| {
            let text = format!(
                "on {} the router answers and nobody else does: the access point may keep its stations \
                 apart (\"AP isolation\", \"guest network\"), which can be switched off there only",
                link.name
            );
            let show = format!("ip neighbour show dev {}", link.name);
            Finding::warning(CHECK, text).with(show).with("sprat peer --peer ADDRESS")
        })
        .collect();
    if findings.is_empty() {
        return vec![Finding::ok(CHECK, "nothing looks like an access point that isolates")];
    }
    findings
}

/// The machines that the kernel knows to be there, with the interface: from `/proc/net/arp`.
pub fn neighbours(arp: &str) -> Vec<(IpAddr, String)> {
    let lines = arp.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let complete = lines.filter_map(|words| {
        let flags = words.get(2)?.trim_start_matches("0x");
        let is_complete = u32::from_str_radix(flags, 16).ok()? & 0x2 != 0;
        let ip = words.first()?.parse().ok()?;
        is_complete.then(|| Some((ip, (*words.get(5)?).to_owned())))?
    });
    complete.collect()
}

/// The gateway of an interface's default route: from `/proc/net/route`.
fn gateway(routes: &str, name: &str) -> Option<IpAddr> {
    let mut lines = routes.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.find_map(|words| {
        let [device, destination, gateway, ..] = words.as_slice() else { return None };
        if *device != name || *destination != "00000000" {
            return None;
        }
        // The number's bytes lie in memory as those of the address.
        let number = u32::from_str_radix(gateway, 16).ok().filter(|number| *number != 0)?;
        Some(IpAddr::from(number.to_ne_bytes()))
    })
}

/// The hosts, each once with all that is known of its addresses; ourselves left out.
fn hosts(heard: &Heard) -> Vec<(SocketAddr, Evidence)> {
    let mut known: BTreeMap<_, (SocketAddr, Evidence)> = BTreeMap::new();
    for (address, host) in &heard.hosts {
        if host.instance.is_some() && host.instance == heard.own_peer {
            continue;
        }
        let nameless = host.instance.is_none().then_some(*address);
        let (_, all) =
            known.entry((host.instance, nameless)).or_insert((*address, Evidence::default()));
        all.instance = host.instance;
        all.announced |= host.announced;
        all.answered_alone |= host.answered_alone;
        all.answered_to_many |= host.answered_to_many;
        all.named |= host.named;
        all.files = all.files.max(host.files);
    }
    let mut hosts: Vec<_> = known.into_values().collect();
    hosts.sort_by_key(|(address, _)| *address);
    hosts
}

/// Whether what goes to all ought to reach this address.
fn is_near(facts: &Facts, address: SocketAddr) -> bool {
    let own = facts.links.iter().flat_map(|link| &link.addresses);
    own.into_iter().any(|own| !own.loopback && own.shares_network_with(address.ip()))
}

/// What another machine of our networks may have to be told; with which program it filters is not known.
fn allowed_there(facts: &Facts) -> impl Iterator<Item = String> {
    let anywhere = Where { table: String::new(), chain: String::new(), rule: String::new() };
    facts
        .networks
        .iter()
        .map(move |network| firewall::allow("ufw", network, DEFAULT_PORT, Direction::In, &anywhere))
}

fn name_of(links: &[Link], index: u32) -> String {
    let link = links.iter().find(|link| link.index == index);
    link.map_or_else(|| format!("interface {index}"), |link| link.name.clone())
}

fn host_text(facts: &Facts, address: SocketAddr) -> String {
    format_host(address, |index| Some(name_of(&facts.links, index)))
}

impl Way {
    fn told(&self, name: &str) -> String {
        let kind = match self.kind {
            Kind::Broadcast => "IPv4 broadcast",
            Kind::GroupV4 => "IPv4 multicast",
            Kind::GroupV6 => "IPv6 multicast",
        };
        format!("{kind} on {name}")
    }
}

#[cfg(test)]
mod tests;
