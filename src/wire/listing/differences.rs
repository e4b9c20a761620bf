//! What came and what went between two listings of one host: two sorted rows gone through side by side, some
//! entries at a time.

use super::entries::{ListingEntries, ListingEntryRef};

/// The way from one listing to another.
#[derive(Clone, Debug)]
pub struct Differences {
    old: ListingEntries,
    new: ListingEntries,
    /// How far it has come in each.
    at: (usize, usize),
}

impl Differences {
    /// From `old` to `new`.
    pub fn between(old: ListingEntries, new: ListingEntries) -> Self {
        Self { old, new, at: (0, 0) }
    }

    /// Goes through up to `at_most` entries more, in order of name. Tells of those that are in one of both
    /// alone, and whether they came; one that is another file now went and then came. Whether there is more.
    pub fn go_on(
        &mut self,
        at_most: usize,
        mut tell: impl FnMut(bool, ListingEntryRef<'_>),
    ) -> bool {
        for _ in 0..at_most {
            match (self.old.get(self.at.0), self.new.get(self.at.1)) {
                (None, None) => return false,
                (Some(old), Some(new)) if old == new => self.at = (self.at.0 + 1, self.at.1 + 1),
                (Some(old), new) if new.is_none_or(|new| old.name <= new.name) => {
                    tell(false, old);
                    self.at.0 += 1;
                }
                (_, new) => {
                    new.into_iter().for_each(|new| tell(true, new));
                    self.at.1 += 1;
                }
            }
        }
        self.at.0 < self.old.len() || self.at.1 < self.new.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::{ContentId, ShareName};
    use crate::wire::listing::ListingEntry;

    fn listing(entries: &[(u8, &str)]) -> ListingEntries {
        let entry = |&(content, text): &(u8, &str)| ListingEntry {
            content: ContentId([content; 20]),
            size: 2,
            name: ShareName::parse(text).unwrap(),
        };
        ListingEntries::try_from(entries.iter().map(entry).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn what_came_and_went() {
        let old = listing(&[(1, "a"), (2, "b"), (9, "bb"), (5, "z")]);
        let new = listing(&[(1, "a"), (3, "b"), (4, "c"), (5, "z")]);
        let texts = |old: &ListingEntries, new: &ListingEntries, at_most: usize| {
            let mut differences = Differences::between(old.clone(), new.clone());
            let mut texts = Vec::new();
            let mut turns = 1;
            while differences.go_on(at_most, |came, entry| {
                let sign = if came { '+' } else { '-' };
                texts.push(format!("{sign}{}{}", entry.name, entry.content.0[0]));
            }) {
                turns += 1;
            }
            (texts.join(" "), turns)
        };
        for (at_most, turns) in [(1, 6), (2, 3), (100, 1)] {
            assert_eq!(texts(&old, &new, at_most), ("-b2 +b3 -bb9 +c4".to_owned(), turns));
        }
        let nothing = ListingEntries::default();
        assert_eq!(texts(&nothing, &new, 9).0, "+a1 +b3 +c4 +z5");
        assert_eq!(texts(&old, &nothing, 9).0, "-a1 -b2 -bb9 -z5");
        assert_eq!(texts(&old, &old, 9), (String::new(), 1));
        assert_eq!(texts(&nothing, &nothing, 1), (String::new(), 1));
    }
}
