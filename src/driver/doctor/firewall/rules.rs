//! Packet filters as far as they matter here: chains of rules, walked for one datagram. The two readers
//! ([`nft`](super::nft), [`iptables`](super::iptables)) make [`Ruleset`]s of what the tools print.
//!
//! A rule that is not understood is never taken for one that matches or one that does not: where it could
//! change the outcome, the outcome is doubtful, and said to be.

use std::net::{IpAddr, Ipv4Addr};

/// Jumps that are followed; the kernel allows 16.
const DEPTH_MAX: usize = 32;

/// The datagram whose way is looked at: a first one, of no known conversation, from port to port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Whether it comes in or goes out.
    pub direction: Direction,
    /// The interface that it passes.
    pub interface: String,
    /// From where.
    pub source: IpAddr,
    /// To where; a broadcast address or a group, too.
    pub destination: IpAddr,
    /// Whether it goes to many.
    pub to_many: bool,
    /// The port on both sides.
    pub port: u16,
}

impl Packet {
    /// To whom it goes, as packet filters call it.
    pub fn kind(&self) -> &'static str {
        match self.to_many {
            false => "unicast",
            true if self.destination.is_multicast() => "multicast",
            true => "broadcast",
        }
    }
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the network.
    In,
    /// To the network.
    Out,
}

/// What a rule does with what it matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Lets it pass, as far as this chain is concerned.
    Accept,
    /// Throws it away, with or without a word.
    Drop,
    /// Goes through another chain and comes back.
    Jump(String),
    /// Goes through another chain and does not come back.
    Goto(String),
    /// Leaves the chain.
    Return,
    /// Counts, logs: nothing that decides.
    Nothing,
}

/// Whether a rule matches the datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It has a condition that is not understood.
    Perhaps,
}

impl Match {
    /// Both conditions.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, Self::Yes) => Self::Yes,
            _ => Self::Perhaps,
        }
    }

    /// The opposite, if wanted.
    pub fn negated(self, negated: bool) -> Self {
        match self {
            Self::Yes if negated => Self::No,
            Self::No if negated => Self::Yes,
            other => other,
        }
    }
}

impl From<bool> for Match {
    fn from(matches: bool) -> Self {
        if matches { Self::Yes } else { Self::No }
    }
}

/// A rule, already held against the datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// As the tool printed it.
    pub text: String,
    /// Whether it matches.
    pub matches: Match,
    /// What follows.
    pub action: Action,
}

/// A chain of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The table as its tool names it, such as `inet filter`; empty with iptables.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Which datagrams the kernel sends through it; none where only other chains do.
    pub hook: Option<Direction>,
    /// Whether what comes to its end is thrown away.
    pub drops_at_end: bool,
    /// In their order.
    pub rules: Vec<Rule>,
}

/// All chains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// In their order.
    pub chains: Vec<Chain>,
}

/// What becomes of the datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It passes.
    Passes,
    /// It is thrown away.
    Dropped(Where),
    /// A rule that is not understood may throw it away, or save it.
    Doubtful(Where),
}

/// The place in a ruleset that decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Where {
    /// The table of the chain that the kernel calls.
    pub table: String,
    /// That chain: where a rule that lets us pass has to stand.
    pub chain: String,
    /// The rule, or what the chain does at its end.
    pub rule: String,
}

impl Ruleset {
    /// What becomes of the datagram with which the rules were read.
    pub fn fate(&self, direction: Direction) -> Fate {
        let mut doubt = None;
        for chain in self.chains.iter().filter(|chain| chain.hook == Some(direction)) {
            let mut walk = Walk { ruleset: self, doubtful: Vec::new() };
            let end = walk.through(chain, 0);
            let at = |rule: String| Where {
                table: chain.table.clone(),
                chain: chain.name.clone(),
                rule,
            };
            let dropped = match &end {
                End::Dropped(_) => true,
                End::Accepted => false,
                End::Left => chain.drops_at_end,
            };
            let other = walk.doubtful.into_iter().find(|(_, drops)| *drops != dropped);
            match (other, dropped) {
                (None, true) => {
                    return Fate::Dropped(at(match end {
                        End::Dropped(rule) => rule,
                        _ => "policy drop".to_owned(),
                    }));
                }
                (Some((rule, _)), _) => doubt = doubt.or(Some(Fate::Doubtful(at(rule)))),
                (None, false) => {}
            }
        }
        doubt.unwrap_or(Fate::Passes)
    }
}

/// How a walk through a chain ends.
enum End {
    Accepted,
    Dropped(String),
    /// At its end, or by a return.
    Left,
}

struct Walk<'a> {
    ruleset: &'a Ruleset,
    /// Rules that may or may not match, and whether the datagram is thrown away if they do.
    doubtful: Vec<(String, bool)>,
}

impl Walk<'_> {
    fn through(&mut self, chain: &Chain, depth: usize) -> End {
        if depth > DEPTH_MAX {
            return End::Left;
        }
        // A rule by which the datagram may have left already.
        let mut perhaps_left: Option<String> = None;
        for rule in chain.rules.iter().filter(|rule| rule.matches != Match::No) {
            let (end, leaves) = self.follow(chain, rule, depth);
            if rule.matches == Match::Perhaps {
                match end {
                    End::Accepted => self.doubtful.push((rule.text.clone(), false)),
                    End::Dropped(_) => self.doubtful.push((rule.text.clone(), true)),
                    End::Left if leaves => perhaps_left = Some(rule.text.clone()),
                    End::Left => {}
                }
                continue;
            }
            match end {
                End::Left if !leaves => {}
                End::Left => break,
                end => {
                    let dropped = matches!(end, End::Dropped(_));
                    self.doubtful.extend(perhaps_left.map(|rule| (rule, !dropped)));
                    return end;
                }
            }
        }
        End::Left
    }

    /// What a rule leads to, and whether the chain is left if that decides nothing.
    fn follow(&mut self, chain: &Chain, rule: &Rule, depth: usize) -> (End, bool) {
        match &rule.action {
            Action::Accept => (End::Accepted, true),
            Action::Drop => (End::Dropped(rule.text.clone()), true),
            Action::Return => (End::Left, true),
            Action::Nothing => (End::Left, false),
            Action::Jump(name) | Action::Goto(name) => {
                let leaves = matches!(rule.action, Action::Goto(_));
                let mut chains = self.ruleset.chains.iter();
                let next = chains.find(|next| next.table == chain.table && next.name == *name);
                (next.map_or(End::Left, |next| self.through(next, depth + 1)), leaves)
            }
        }
    }
}

/// Whether `address` is in what a tool calls addresses: one, a prefix or a range.
pub fn address_matches(text: &str, address: IpAddr) -> Match {
    if let Some((low, high)) = text.split_once('-') {
        return match (low.parse::<IpAddr>(), high.parse::<IpAddr>()) {
            (Ok(low), Ok(high)) => (low <= address && address <= high).into(),
            _ => Match::Perhaps,
        };
    }
    let (network, prefix) = text.split_once('/').unwrap_or((text, ""));
    let Ok(network) = network.parse::<IpAddr>() else {
        return Match::Perhaps;
    };
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            // iptables may print a mask.
            let length = match prefix.parse::<Ipv4Addr>() {
                Ok(mask) => Some(mask.to_bits().leading_ones()),
                Err(_) if prefix.is_empty() => Some(32),
                Err(_) => prefix.parse().ok(),
            };
            let alike = (network.to_bits() ^ address.to_bits()).leading_zeros();
            length.map_or(Match::Perhaps, |length| (alike >= length).into())
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let length = if prefix.is_empty() { Some(128) } else { prefix.parse().ok() };
            let alike = (network.to_bits() ^ address.to_bits()).leading_zeros();
            length.map_or(Match::Perhaps, |length: u32| (alike >= length).into())
        }
        _ => Match::No,
    }
}

/// Whether `port` is the port, or in the range, that a tool prints. Names of services are not looked up.
pub fn port_matches(text: &str, port: u16) -> Match {
    let mut ends = text.splitn(2, ['-', ':']).map(str::parse::<u16>);
    match (ends.next(), ends.next()) {
        (Some(Ok(only)), None) => (only == port).into(),
        (Some(Ok(low)), Some(Ok(high))) => (low <= port && port <= high).into(),
        // A name: ours has none.
        (Some(Err(_)), None) => Match::No,
        _ => Match::Perhaps,
    }
}

/// Whether an interface has the name that a tool prints, a pattern with a star or a plus at its end.
pub fn interface_matches(pattern: &str, name: &str) -> Match {
    let pattern = pattern.trim_matches('"');
    match pattern.strip_suffix(['*', '+']) {
        Some(beginning) => name.starts_with(beginning).into(),
        None => (pattern == name).into(),
    }
}
