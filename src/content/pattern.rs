//! Patterns for names, as a shell has them: `*` and `?` for any characters of one part of a name, `**` for any
//! at all, folders included, `[a-z]` for one of these. A pattern that ends in `/` means all below it.

use serde::{Deserialize, Serialize};

/// What a pattern is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Part {
    /// This character.
    Is(char),
    /// Any one, but not `/`.
    Any,
    /// One of these, from and to, or none of them; never `/`.
    OneOf { not: bool, ranges: Vec<(char, char)> },
    /// Any number of them, without `/`.
    Run,
    /// Any number of them, with `/`.
    All,
    /// Any number of whole folders, each with its `/`: `**/`.
    Folders,
}

/// A pattern for names. Matching takes as long as name times pattern, whatever they look like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pattern(Vec<Part>);

impl Pattern {
    /// Takes a text for a pattern; every text is one. A backslash takes the next character as it is.
    pub fn new(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            let after = &rest[character.len_utf8()..];
            let begins = matches!(parts.last(), None | Some(Part::Is('/') | Part::Folders));
            let (part, left) = match character {
                '*' if after.starts_with("*/") && begins => (Part::Folders, &after[2..]),
                '*' if after.starts_with('*') => (Part::All, after.trim_start_matches('*')),
                '*' => (Part::Run, after),
                '?' => (Part::Any, after),
                '[' => one_of(after).unwrap_or((Part::Is('['), after)),
                '\\' => match after.chars().next() {
                    Some(next) => (Part::Is(next), &after[next.len_utf8()..]),
                    None => (Part::Is('\\'), after),
                },
                other => (Part::Is(other), after),
            };
            parts.push(part);
            rest = left;
        }
        if parts.last() == Some(&Part::Is('/')) {
            parts.push(Part::All);
        }
        Self(parts)
    }

    /// Whether it can match more than one name.
    pub fn is_open(&self) -> bool {
        self.0.iter().any(|part| !matches!(part, Part::Is(_)))
    }

    /// Whether all of a name is as the pattern says.
    pub fn matches(&self, name: &str) -> bool {
        // All places in the pattern at which one can be after what was read.
        let mut places = vec![false; self.0.len() + 1];
        let mut next = places.clone();
        places[0] = true;
        self.go_past_empty(&mut places, true);
        for character in name.chars() {
            next.fill(false);
            for (at, part) in self.0.iter().enumerate().filter(|(at, _)| places[*at]) {
                match part {
                    Part::Run if character != '/' => next[at] = true,
                    Part::All | Part::Folders => next[at] = true,
                    part if part.takes(character) => next[at + 1] = true,
                    _ => {}
                }
            }
            std::mem::swap(&mut places, &mut next);
            self.go_past_empty(&mut places, character == '/');
        }
        places[self.0.len()]
    }

    /// Adds what can be reached without a character. `begins`: a part of the name begins here.
    fn go_past_empty(&self, places: &mut [bool], begins: bool) {
        for (at, part) in self.0.iter().enumerate() {
            let passes = match part {
                Part::Run | Part::All => true,
                Part::Folders => begins,
                Part::Is(_) | Part::Any | Part::OneOf { .. } => false,
            };
            places[at + 1] |= places[at] && passes;
        }
    }
}

impl Part {
    /// Whether it stands for this one character.
    fn takes(&self, character: char) -> bool {
        match self {
            Self::Is(own) => *own == character,
            Self::Any => character != '/',
            Self::OneOf { not, ranges } => {
                let among = ranges.iter().any(|&(from, to)| (from..=to).contains(&character));
                character != '/' && among != *not
            }
            Self::Run | Self::All | Self::Folders => false,
        }
    }
}

/// What stands in brackets, after the first of them, and what follows; nothing where they do not close.
fn one_of(text: &str) -> Option<(Part, &str)> {
    let inner = text.strip_prefix(['!', '^']);
    let (not, inner) = (inner.is_some(), inner.unwrap_or(text));
    // The first one may be a bracket itself.
    let first = inner.chars().next()?.len_utf8();
    let end = first + inner[first..].find(']')?;
    let mut characters = inner[..end].chars().peekable();
    let mut ranges = Vec::new();
    while let Some(from) = characters.next() {
        let mut ahead = characters.clone();
        match (ahead.next(), ahead.next()) {
            (Some('-'), Some(to)) => {
                ranges.push((from, to));
                characters = ahead;
            }
            _ => ranges.push((from, from)),
        }
    }
    Some((Part::OneOf { not, ranges }, &inner[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_a_shell_would() {
        for (pattern, yes, no) in [
            ("fox.txt", &["fox.txt"][..], &["a/fox.txt", "fox.txtx", "fox", ""][..]),
            ("*", &["a", "ä.txt", ""], &["a/b"]),
            ("*.txt", &["a.txt", ".txt"], &["a/b.txt", "a.txt2"]),
            ("a/*", &["a/b", "a/"], &["a/b/c", "b/b", "a"]),
            ("a/", &["a/b", "a/b/c"], &["a", "b/a/c"]),
            ("**", &["a", "a/b/c"], &[]),
            ("a**z", &["az", "a/b/z", "abz"], &["a/b"]),
            ("**/fox", &["fox", "a/fox", "a/b/fox"], &["afox", "a/bfox", "fox/a"]),
            ("a/**/z", &["a/z", "a/b/z", "a/b/c/z"], &["a/bz", "az"]),
            ("?ox", &["fox", "öox"], &["ox", "/ox"]),
            ("[a-c]x", &["ax", "cx"], &["dx", "x", "/x"]),
            ("[!a-c]x", &["dx"], &["ax", "/x"]),
            ("[]]x", &["]x"], &["x"]),
            ("[x", &["[x"], &["x"]),
            ("\\*", &["*"], &["a"]),
        ] {
            let pattern = Pattern::new(pattern);
            yes.iter().for_each(|name| assert!(pattern.matches(name), "{pattern:?} {name}"));
            no.iter().for_each(|name| assert!(!pattern.matches(name), "{pattern:?} {name}"));
        }
    }

    #[test]
    fn what_can_match_several() {
        for (text, open) in [("a", false), ("a*", true), ("a/", true), ("[x", false)] {
            assert_eq!(Pattern::new(text).is_open(), open, "{text}");
        }
    }

    /// Backtracking would take till doomsday.
    #[test]
    fn no_pattern_takes_long() {
        let pattern = Pattern::new(&"*a".repeat(200));
        assert!(!pattern.matches(&"a".repeat(1_000).replace("aaaa", "aaab")));
    }
}
