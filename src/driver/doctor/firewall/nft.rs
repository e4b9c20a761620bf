//! Reads what `nft list ruleset` prints, rule by rule, as far as one datagram is concerned.
//!
//! The grammar of nft is large; known here are the conditions that stand in the rules of common firewalls
//! (ports, addresses, interfaces, states of connections, kinds of packets). All else is
//! [`Match::Perhaps`].

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::rules::{
    Action, Chain, Direction, Match, Packet, Rule, Ruleset, address_matches, interface_matches,
    port_matches,
};

/// Reads a whole ruleset. `skip_managed` leaves out the tables that nft says iptables manages: iptables
/// itself prints those better.
pub fn read(text: &str, packet: &Packet, skip_managed: bool) -> Ruleset {
    let mut reader = Reader { packet, sets: BTreeMap::new(), ruleset: Ruleset::default() };
    // Sets stand before the chains that use them.
    let (mut table, mut managed) = (String::new(), false);
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["#", ..] if line.contains("managed by iptables-nft") => managed = true,
            ["table", family, name, "{"] => {
                table = format!("{family} {name}");
                if std::mem::take(&mut managed) && skip_managed {
                    block(&mut lines);
                }
            }
            ["set" | "map", name, "{"] => {
                let body = block(&mut lines).join(" ");
                let elements = body.split_once("elements = {").map_or("", |(_, rest)| rest);
                let elements = elements.split('}').next().unwrap_or_default();
                reader.sets.insert((table.clone(), (*name).to_owned()), elements.to_owned());
            }
            ["chain", name, "{"] => {
                let body = block(&mut lines);
                reader.chain(&table, name, &body);
            }
            _ => {}
        }
    }
    reader.ruleset
}

/// By how much a line goes deeper. What stands in quotes is somebody's text.
fn opened(line: &str) -> i64 {
    let code = line.split('"').step_by(2);
    code.flat_map(str::chars).fold(0, |depth, letter| match letter {
        '{' => depth + 1,
        '}' => depth - 1,
        _ => depth,
    })
}

/// The lines up to the bracket that closes.
fn block<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut depth = 1;
    let mut body = Vec::new();
    for line in lines {
        depth += opened(line);
        if depth <= 0 {
            break;
        }
        body.push(line);
    }
    body
}

/// Whether one value that a rule names is the datagram's.
type Condition<'a> = Box<dyn FnMut(&str) -> Match + 'a>;

struct Reader<'a> {
    packet: &'a Packet,
    /// The elements of each set of each table, as printed.
    sets: BTreeMap<(String, String), String>,
    ruleset: Ruleset,
}

impl Reader<'_> {
    fn chain(&mut self, table: &str, name: &str, body: &[&str]) {
        let mut chain = Chain {
            table: table.to_owned(),
            name: name.to_owned(),
            hook: None,
            drops_at_end: false,
            rules: Vec::new(),
        };
        for line in body {
            if line.starts_with("type ") {
                let hook = line.split_whitespace().skip_while(|word| *word != "hook").nth(1);
                chain.hook = match hook {
                    Some("input" | "prerouting" | "ingress") => Some(Direction::In),
                    Some("output" | "postrouting" | "egress") => Some(Direction::Out),
                    _ => None,
                };
                // A chain of addresses to be rewritten drops nothing.
                if line.starts_with("type nat") {
                    chain.hook = None;
                }
                chain.drops_at_end = line.contains("policy drop");
            } else if !line.is_empty() && !line.starts_with('#') {
                chain.rules.extend(self.rule(table, line));
            }
        }
        self.ruleset.chains.push(chain);
    }

    /// The rules that a line stands for: one, or for a map of verdicts the one that holds here.
    fn rule(&self, table: &str, line: &str) -> Option<Rule> {
        let words = words(line);
        let mut rest = words.iter().map(String::as_str).peekable();
        let mut matches = Match::Yes;
        let mut action = Action::Nothing;
        while let Some(word) = rest.next() {
            match word {
                "accept" => action = Action::Accept,
                "drop" => action = Action::Drop,
                "reject" => {
                    action = Action::Drop;
                    break;
                }
                "return" => action = Action::Return,
                "continue" => {}
                "jump" => action = Action::Jump(rest.next()?.to_owned()),
                "goto" => action = Action::Goto(rest.next()?.to_owned()),
                "comment" => {
                    rest.next();
                }
                "counter" => {
                    if rest.next_if_eq(&"packets").is_some() {
                        rest.nth(2);
                    }
                }
                "log" => {
                    while rest.next_if(|word| ["prefix", "level", "flags"].contains(word)).is_some()
                    {
                        rest.next();
                    }
                }
                _ => {
                    let Some(mut condition) = self.condition(word, &mut rest) else {
                        matches = matches.and(Match::Perhaps);
                        continue;
                    };
                    let negated = rest.next_if_eq(&"!=").is_some();
                    if rest.next_if_eq(&"vmap").is_some() {
                        let map = rest.next()?.to_owned();
                        action = self.mapped(table, &map, &mut condition)?;
                        continue;
                    }
                    let values = rest.next()?;
                    let any = self.any(table, values, &mut condition);
                    matches = matches.and(any.negated(negated));
                }
            }
        }
        Some(Rule { text: line.to_owned(), matches, action })
    }

    /// The condition that begins with `word`, to be held against each value; none where it is not
    /// known.
    fn condition<'w>(
        &self,
        word: &str,
        rest: &mut std::iter::Peekable<impl Iterator<Item = &'w str>>,
    ) -> Option<Condition<'_>> {
        let packet = self.packet;
        let is = |wanted: &'static str| -> Condition<'_> {
            Box::new(move |value| (value == wanted).into())
        };
        let no = || -> Condition<'_> { Box::new(|_| Match::No) };
        let inward = packet.direction == Direction::In;
        let address =
            |of: IpAddr| -> Condition<'_> { Box::new(move |value| address_matches(value, of)) };
        let interface =
            |passes: bool| -> Condition<'_> {
                Box::new(move |value| {
                    if passes { interface_matches(value, &packet.interface) } else { Match::No }
                })
            };
        let v4 = packet.source.is_ipv4();
        if ["iif", "iifname", "oif", "oifname"].contains(&word) {
            return Some(interface(word.starts_with('i') == inward));
        }
        let field = rest.peek().copied()?;
        let condition = match (word, field) {
            ("udp" | "th", "dport" | "sport") => {
                let port = packet.port;
                Box::new(move |value: &str| port_matches(value, port))
            }
            ("tcp" | "sctp" | "dccp" | "icmp" | "icmpv6" | "igmp" | "esp" | "ah", _) => no(),
            ("ip", "saddr" | "daddr" | "protocol") if !v4 => no(),
            ("ip6", "saddr" | "daddr" | "nexthdr") if v4 => no(),
            ("ip" | "ip6", "saddr") => address(packet.source),
            ("ip" | "ip6", "daddr") => address(packet.destination),
            ("ip", "protocol") | ("ip6", "nexthdr") | ("meta", "l4proto") => is("udp"),
            ("meta", "nfproto") => is(if v4 { "ipv4" } else { "ipv6" }),
            ("meta", "iif" | "iifname") => interface(inward),
            ("meta", "oif" | "oifname") => interface(!inward),
            ("meta", "pkttype") => is(if packet.to_many { packet.kind() } else { "host" }),
            ("ct", "state") => is("new"),
            ("ct", "status") => no(),
            ("fib", "daddr") => {
                rest.next();
                rest.next_if_eq(&"type")?;
                let local = inward && !packet.to_many;
                return Some(is(if local { "local" } else { packet.kind() }));
            }
            _ => return None,
        };
        rest.next();
        Some(condition)
    }

    /// Whether one of the values holds: a single one, or those in brackets, or those of a set.
    fn any(&self, table: &str, values: &str, condition: &mut dyn FnMut(&str) -> Match) -> Match {
        let key = values.strip_prefix('@').map(|name| (table.to_owned(), name.to_owned()));
        let values = match key {
            Some(key) => match self.sets.get(&key) {
                Some(elements) => elements.as_str(),
                None => return Match::Perhaps,
            },
            None => values.trim_start_matches('{').trim_end_matches('}'),
        };
        let mut found = Match::No;
        for value in values.split(',').map(str::trim).filter(|value| !value.is_empty()) {
            // An element may have a time limit or a counter after it.
            let value = value.split_whitespace().next().unwrap_or_default();
            match condition(value) {
                Match::Yes => return Match::Yes,
                Match::Perhaps => found = Match::Perhaps,
                Match::No => {}
            }
        }
        found
    }

    /// What a map of verdicts says of the datagram.
    fn mapped(
        &self,
        table: &str,
        map: &str,
        condition: &mut dyn FnMut(&str) -> Match,
    ) -> Option<Action> {
        let elements = match map.strip_prefix('@') {
            Some(name) => self.sets.get(&(table.to_owned(), name.to_owned()))?.as_str(),
            None => map.trim_start_matches('{').trim_end_matches('}'),
        };
        for element in elements.split(',') {
            let (value, verdict) = element.rsplit_once(" : ")?;
            if condition(value.trim()) != Match::Yes {
                continue;
            }
            let mut verdict = verdict.split_whitespace();
            return Some(match (verdict.next()?, verdict.next()) {
                ("accept", _) => Action::Accept,
                ("drop", _) => Action::Drop,
                ("return", _) => Action::Return,
                ("jump", Some(chain)) => Action::Jump(chain.to_owned()),
                ("goto", Some(chain)) => Action::Goto(chain.to_owned()),
                _ => Action::Nothing,
            });
        }
        Some(Action::Nothing)
    }
}

/// A rule's words; what stands in quotes or in brackets is one, and so is a list with commas.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut quoted, mut depth) = (false, 0_u32);
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            '{' if !quoted => depth += 1,
            '}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        if letter.is_whitespace() && !quoted && depth == 0 {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
        } else {
            word.push(letter);
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}
