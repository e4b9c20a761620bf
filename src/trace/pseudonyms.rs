//! Pseudonyms for names of files: the same for the same name throughout a trace, and in the same order as
//! the names, because the core keeps names in order and the order of what it does hangs on it.
//!
//! A pseudonym is a row of parts of four characters. Between two neighbours it is the next part after
//! the one, or the one before the other; where these touch, it is the former with another part behind it.
//! So names that come in order have short pseudonyms, and those that come by chance have a few parts.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::content::{ContentId, ShareName};

/// Characters of a part.
const PART: usize = 4;
/// The first part of a row of its own: half way, so that there is room on both sides.
const MIDDLE: u32 = 18 * 36 * 36 * 36;
/// The longest pseudonym, so that it stays a name of a file with an ending behind it.
const LENGTH_MAX: usize = 60 * PART;
/// The most names of one trace.
const NAMES_MAX: usize = 1 << 20;
/// What a name ends in that is not offered, because it is hidden or somebody is still writing the file.
const NOT_OFFERED: &str = ".tmp";

/// All pseudonyms of a trace.
#[derive(Debug)]
pub(crate) struct Pseudonyms {
    labels: BTreeMap<String, String>,
    derives: bool,
    failed: bool,
}

impl Pseudonyms {
    /// None yet. `derives` says that the core itself makes names [beside](ShareName::beside) others: such a name's
    /// pseudonym is made in the same way.
    pub(crate) const fn new(derives: bool) -> Self {
        Self { labels: BTreeMap::new(), derives, failed: false }
    }

    /// Whether there was no room for one.
    pub(crate) const fn has_failed(&self) -> bool {
        self.failed
    }

    /// The pseudonym of a name.
    pub(crate) fn of(&mut self, name: &str) -> String {
        if self.derives {
            if let Some(pseudonym) = self.derived(name) {
                return pseudonym;
            }
        }
        let label = match self.labels.get(name) {
            Some(label) => label.clone(),
            None => self.add(name),
        };
        let offered = ShareName::parse(name).is_ok_and(|name| name.is_offered());
        if offered { label } else { label + NOT_OFFERED }
    }

    fn add(&mut self, name: &str) -> String {
        let below = (Bound::Unbounded, Bound::Excluded(name));
        let above = (Bound::Excluded(name), Bound::Unbounded);
        let before = self.labels.range::<str, _>(below).next_back().map(|(_, label)| &**label);
        let after = self.labels.range::<str, _>(above).next().map(|(_, label)| &**label);
        let label = between(before, after).filter(|_| self.labels.len() < NAMES_MAX);
        let Some(label) = label else {
            self.failed = true;
            return "lost".to_owned();
        };
        self.labels.insert(name.to_owned(), label.clone());
        label
    }

    /// `movie (2fd4e1c6-2).mov` where there is a `movie.mov`.
    fn derived(&mut self, name: &str) -> Option<String> {
        let (stem, rest) = name.rsplit_once(" (")?;
        let (inner, extension) = rest.split_once(')')?;
        let (digits, attempt) = inner.split_once('-').unwrap_or((inner, "1"));
        let digits = crate::content::hex::decode(digits)?;
        let mut content = ContentId([0; 20]);
        content.0[..4].copy_from_slice(digits.get(..4)?);
        let attempt = attempt.parse().ok()?;
        let beside = |name: &str| Some(ShareName::parse(name).ok()?.beside(content, attempt));
        let plain = format!("{stem}{extension}");
        // Where the stem was shortened, the name it was made of begins with it.
        let base = if self.labels.contains_key(&plain) {
            plain
        } else {
            let is_base = |known: &&String| beside(known).is_some_and(|it| it.as_str() == name);
            self.labels.keys().find(is_base)?.clone()
        };
        if beside(&base)?.as_str() != name {
            return None;
        }
        let base = self.of(&base);
        Some(beside(&base)?.to_string())
    }
}

/// A label between two, which are in order and not equal.
fn between(before: Option<&str>, after: Option<&str>) -> Option<String> {
    let fits = |label: &String| {
        label.len() <= LENGTH_MAX
            && before.is_none_or(|before| before < label.as_str())
            && after.is_none_or(|after| label.as_str() < after)
    };
    let behind = |label: &str| format!("{label}{}", part(MIDDLE));
    [
        before.and_then(|label| neighbour(label, 1)),
        after.and_then(|label| neighbour(label, -1)),
        Some(behind(before.unwrap_or(""))),
    ]
    .into_iter()
    .flatten()
    .find(fits)
}

/// The label whose last part is that much larger.
fn neighbour(label: &str, step: i32) -> Option<String> {
    let (front, last) = label.split_at_checked(label.len().checked_sub(PART)?)?;
    let number = u32::from_str_radix(last, 36).ok()?.checked_add_signed(step)?;
    (number < 36_u32.pow(PART as u32)).then(|| format!("{front}{}", part(number)))
}

fn part(number: u32) -> String {
    let digit = |place: u32| char::from_digit(number / 36_u32.pow(place) % 36, 36).unwrap_or('0');
    [digit(3), digit(2), digit(1), digit(0)].iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Random;

    /// Hands in names and looks whether all is as it should be; the longest pseudonym.
    fn check(names: &[String]) -> usize {
        let mut pseudonyms = Pseudonyms::new(false);
        let mut pairs: Vec<_> =
            names.iter().map(|name| (name.clone(), pseudonyms.of(name))).collect();
        assert!(!pseudonyms.has_failed());
        for (name, pseudonym) in &pairs {
            assert_eq!(pseudonyms.of(name), *pseudonym, "the same again");
            let offered = |name: &str| ShareName::parse(name).unwrap().is_offered();
            assert_eq!(offered(name), offered(pseudonym), "{name}");
        }
        pairs.sort();
        pairs.dedup();
        assert!(pairs.windows(2).all(|pair| pair[0].1 < pair[1].1), "in the same order");
        pairs.iter().map(|pair| pair.1.len()).max().unwrap()
    }

    #[test]
    fn names_in_any_order() {
        let name = |number: u64| match number % 7 {
            0 => format!("folder {number}/.hidden"),
            1 => format!("folder {}/{number}.part", number / 7),
            _ => format!("folder {}/{number:05}.txt", number % 50),
        };
        let mut names: Vec<_> = (0..3_000).map(name).collect();
        let mut random = Random::new([1; 32]);
        for at in (1..names.len()).rev() {
            names.swap(at, random.below(at as u64 + 1) as usize);
        }
        assert!(check(&names) <= 100);
        names.sort();
        assert_eq!(check(&names), PART + NOT_OFFERED.len());
        names.reverse();
        assert_eq!(check(&names), PART + NOT_OFFERED.len());
        // Between two that were there first.
        names.insert(0, "zoo".to_owned());
        names.insert(0, "folder".to_owned());
        assert!(check(&names) <= 3 * PART + NOT_OFFERED.len());
    }

    #[test]
    fn a_name_made_of_another_has_a_pseudonym_made_of_the_others() {
        let content: ContentId = "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12".parse().unwrap();
        let long = "é".repeat(125) + ".mov";
        for text in ["a/movie.mov", "plain", &long] {
            let name = ShareName::parse(text).unwrap();
            for attempt in [1, 2, 77] {
                let mut pseudonyms = Pseudonyms::new(true);
                let pseudonym = ShareName::parse(&pseudonyms.of(text)).unwrap();
                assert_eq!(
                    pseudonyms.of(name.beside(content, attempt).as_str()),
                    pseudonym.beside(content, attempt).as_str()
                );
            }
        }
        let mut pseudonyms = Pseudonyms::new(true);
        assert_eq!(pseudonyms.of("movie (2fd4e1c6).mov"), "i000");
    }

    #[test]
    fn who_nests_names_without_end_ends_the_trace_and_nothing_else() {
        let mut pseudonyms = Pseudonyms::new(false);
        let (mut low, mut high) = ("a".to_owned(), "b".to_owned());
        pseudonyms.of(&low);
        pseudonyms.of(&high);
        for round in 0..300 {
            let deeper = |zeros: usize| format!("{low}{}5", "0".repeat(zeros));
            let middle = (0..9).map(deeper).find(|name| *name < high).unwrap();
            pseudonyms.of(&middle);
            if round % 2 == 0 { low = middle } else { high = middle }
        }
        assert!(high > low && pseudonyms.has_failed());
    }
}
