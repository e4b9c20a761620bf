//! Reads what `iptables -S` and `ip6tables -S` print, rule by rule, as far as one datagram is concerned.

use super::rules::{
    Action, Chain, Direction, Match, Packet, Rule, Ruleset, address_matches, interface_matches,
    port_matches,
};

/// Reads the chains of the filter table.
pub fn read(text: &str, packet: &Packet) -> Ruleset {
    let mut ruleset = Ruleset::default();
    for line in text.lines() {
        let words = words(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["-P", name, policy] => ruleset.chains.push(chain(name, *policy != "ACCEPT")),
            ["-N", name] => ruleset.chains.push(chain(name, false)),
            ["-A", name, conditions @ ..] => {
                let (matches, action) = rule(conditions, packet);
                let mut chains = ruleset.chains.iter_mut();
                if let Some(chain) = chains.find(|chain| chain.name == *name) {
                    chain.rules.push(Rule { text: line.to_owned(), matches, action });
                }
            }
            _ => {}
        }
    }
    ruleset
}

fn chain(name: &str, drops_at_end: bool) -> Chain {
    let hook = match name {
        "INPUT" => Some(Direction::In),
        "OUTPUT" => Some(Direction::Out),
        _ => None,
    };
    let (table, name) = (String::new(), name.to_owned());
    Chain { table, name, hook, drops_at_end, rules: Vec::new() }
}

fn rule(words: &[&str], packet: &Packet) -> (Match, Action) {
    let (mut matches, mut action) = (Match::Yes, Action::Nothing);
    let mut rest = words.iter().copied();
    let mut negated = false;
    let inward = packet.direction == Direction::In;
    let passes = |passes: bool, name| {
        if passes { interface_matches(name, &packet.interface) } else { Match::No }
    };
    while let Some(option) = rest.next() {
        if option == "!" {
            negated = true;
            continue;
        }
        let value = rest.next().unwrap_or_default();
        let any = |holds: &dyn Fn(&str) -> Match| {
            let found = value.split(',').map(holds);
            found.fold(Match::No, |one, other| match (one, other) {
                (Match::Yes, _) | (_, Match::Yes) => Match::Yes,
                (Match::No, Match::No) => Match::No,
                _ => Match::Perhaps,
            })
        };
        let one = match option {
            // What a target says beside itself decides nothing; the name of a match neither.
            "-m" | "--comment" | "--reject-with" => Match::Yes,
            option if option.starts_with("--log-") => Match::Yes,
            "-p" => matches!(value, "udp" | "all").into(),
            "-s" => address_matches(value, packet.source),
            "-d" => address_matches(value, packet.destination),
            "-i" => passes(inward, value),
            "-o" => passes(!inward, value),
            "--dport" | "--sport" | "--dports" | "--sports" | "--ports" => {
                any(&|value| port_matches(value, packet.port))
            }
            "--state" | "--ctstate" => any(&|value| (value == "NEW").into()),
            "--pkt-type" => (value == packet.kind()).into(),
            "--dst-type" if inward && !packet.to_many => (value == "LOCAL").into(),
            "--dst-type" => value.eq_ignore_ascii_case(packet.kind()).into(),
            "-j" | "-g" => {
                action = match value {
                    "ACCEPT" => Action::Accept,
                    "DROP" | "REJECT" => Action::Drop,
                    "RETURN" => Action::Return,
                    "LOG" | "NFLOG" | "MARK" | "CONNMARK" => Action::Nothing,
                    chain if option == "-g" => Action::Goto(chain.to_owned()),
                    chain => Action::Jump(chain.to_owned()),
                };
                Match::Yes
            }
            _ => Match::Perhaps,
        };
        matches = matches.and(one.negated(std::mem::take(&mut negated)));
    }
    (matches, action)
}

/// A line's words; quotes keep theirs together.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            letter => {
                if let Some(word) = words.last_mut() {
                    word.push(letter);
                }
            }
        }
    }
    words.retain(|word| !word.is_empty());
    words
}
