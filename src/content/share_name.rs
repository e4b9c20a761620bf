//! A file's path below `share/`: the one rule for names from the network, from the command line and
//! from the disk. What passes it can neither leave `share/` nor drive a terminal.
//!
//! Not refused are the characters and names that only Windows reserves (`:`, `*`, `?`, `CON`): they
//! are good names here, and people have such files. A host on which they are not would refuse them
//! when it makes the file. Nor are names normalised: a name is the bytes that its host's disk has,
//! and two spellings of `é` are two names. Joiners and variation selectors stay allowed, because
//! scripts need them ([`terminal_text`](super::terminal_text) has the list).

use std::fmt;
use std::str::Split;
use std::sync::Arc;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, Error};

use super::ContentId;
use super::terminal_text::Unprintable;

/// The longest path, in bytes: a wire limit.
pub const NAME_LENGTH_MAX: usize = 1024;
/// The longest component, in bytes: what Linux file systems take.
pub const COMPONENT_LENGTH_MAX: usize = 255;
/// The most components of a path: it bounds the open folders of a walk.
pub const COMPONENT_COUNT_MAX: usize = 32;

/// Endings of files that somebody is still writing; compared without ASCII case.
const UNFINISHED_ENDINGS: [&str; 5] = [".part", ".crdownload", ".tmp", ".lefting", "~"];

/// An extension longer than this, dot included, is taken for part of the name.
const EXTENSION_LENGTH_MAX: usize = 32;

/// A path below `share/`, with `/` between folders. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ShareName(Arc<str>);

/// A [`ShareName`] whose text belongs to something larger. Written down it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename = "ShareName")]
pub struct ShareNameRef<'a>(&'a str);

impl<'de> Deserialize<'de> for ShareName {
    /// A text that keeps every rule.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

/// Which rule a text breaks, so that it is no [`ShareName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// There is nothing.
    Empty,
    /// More than [`NAME_LENGTH_MAX`] bytes.
    TooLong,
    /// It begins with `/`.
    Absolute,
    /// More than [`COMPONENT_COUNT_MAX`] components.
    TooDeep,
    /// `//`, or a `/` at the end.
    EmptyComponent,
    /// A component is `.` or `..`.
    DotComponent,
    /// A component has more than [`COMPONENT_LENGTH_MAX`] bytes.
    ComponentTooLong,
    /// A backslash, which other systems take for a separator.
    Backslash,
    /// A character that terminals obey or do not show.
    Character(char, Unprintable),
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a name cannot be empty"),
            Self::TooLong => write!(f, "a name has at most {NAME_LENGTH_MAX} bytes"),
            Self::Absolute => f.write_str("a name is relative to share/, it cannot begin with /"),
            Self::TooDeep => write!(f, "a name has at most {COMPONENT_COUNT_MAX} parts"),
            Self::EmptyComponent => f.write_str("a name has a part before and after every /"),
            Self::DotComponent => f.write_str("no part of a name can be . or .."),
            Self::ComponentTooLong => {
                write!(f, "each part of a name has at most {COMPONENT_LENGTH_MAX} bytes")
            }
            Self::Backslash => f.write_str("a name cannot contain a backslash"),
            Self::Character(character, kind) => {
                let kind = match kind {
                    Unprintable::Control => "control character",
                    Unprintable::Direction => "text direction character",
                    Unprintable::LineBreak => "line separator",
                    Unprintable::Invisible => "invisible character",
                    Unprintable::Noncharacter => "noncharacter",
                };
                write!(f, "a name cannot contain the {kind} U+{:04X}", u32::from(*character))
            }
        }
    }
}

impl std::error::Error for NameError {}

impl ShareName {
    /// Takes a text for a name if it keeps every rule. It is taken as it is, nothing is repaired.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        ShareNameRef::parse(text).map(ShareNameRef::to_owned)
    }

    /// The name, borrowed.
    pub fn borrowed(&self) -> ShareNameRef<'_> {
        ShareNameRef(&self.0)
    }

    /// The whole path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folders, outermost first, and then the file's own name.
    pub fn components(&self) -> Split<'_, char> {
        self.0.split('/')
    }

    /// The last component.
    pub fn file_name(&self) -> &str {
        self.borrowed().file_name()
    }

    /// Whether a file of this name in `share/` is offered to others: not if it or a folder on the
    /// way to it is hidden by a dot, nor if the name is one of a file that somebody is still
    /// writing.
    pub fn is_offered(&self) -> bool {
        self.borrowed().is_offered()
    }

    /// The name beside this one for content that cannot have it, because other content has:
    /// `movie (2fd4e1c6).mov`, and if that is taken too, `movie (2fd4e1c6-2).mov` for attempt 2,
    /// and so on. Attempts 0 and 1 are the same. The stem is shortened where there is no room;
    /// where the folders leave none, the file moves up.
    pub fn beside(&self, content: ContentId, attempt: u32) -> Self {
        let [a, b, c, d, ..] = content.0;
        let mut suffix = format!(" ({a:02x}{b:02x}{c:02x}{d:02x}");
        if attempt > 1 {
            suffix.push_str(&format!("-{attempt}"));
        }
        suffix.push(')');

        let name = self.file_name();
        let (stem, extension) = match name.rfind('.') {
            Some(dot) if dot > 0 && name.len() - dot <= EXTENSION_LENGTH_MAX => name.split_at(dot),
            _ => (name, ""),
        };
        let shortest =
            suffix.len() + extension.len() + stem.chars().next().map_or(0, char::len_utf8);
        let mut folder = &self.0[..self.0.len() - name.len()];
        while NAME_LENGTH_MAX - folder.len() < shortest {
            let inner = folder.trim_end_matches('/');
            folder = inner.rfind('/').map_or("", |slash| &inner[..=slash]);
        }
        let room = COMPONENT_LENGTH_MAX.min(NAME_LENGTH_MAX - folder.len());
        let mut kept = stem.len().min(room - suffix.len() - extension.len());
        while !stem.is_char_boundary(kept) {
            kept -= 1;
        }
        Self(format!("{folder}{}{suffix}{extension}", &stem[..kept]).into())
    }
}

impl<'a> ShareNameRef<'a> {
    /// As [`ShareName::parse`], without a copy.
    pub fn parse(text: &'a str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > NAME_LENGTH_MAX {
            return Err(NameError::TooLong);
        }
        if text.starts_with('/') {
            return Err(NameError::Absolute);
        }
        if text.split('/').count() > COMPONENT_COUNT_MAX {
            return Err(NameError::TooDeep);
        }
        for component in text.split('/') {
            match component {
                "" => return Err(NameError::EmptyComponent),
                "." | ".." => return Err(NameError::DotComponent),
                _ if component.len() > COMPONENT_LENGTH_MAX => {
                    return Err(NameError::ComponentTooLong);
                }
                _ => {}
            }
        }
        for character in text.chars() {
            if character == '\\' {
                return Err(NameError::Backslash);
            }
            if let Some(kind) = Unprintable::of(character) {
                return Err(NameError::Character(character, kind));
            }
        }
        Ok(Self(text))
    }

    /// A piece of text that was a name when it was put there.
    pub(crate) const fn known(text: &'a str) -> Self {
        Self(text)
    }

    /// The whole path.
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// The last component.
    pub fn file_name(self) -> &'a str {
        self.0.rsplit_once('/').map_or(self.0, |(_, name)| name)
    }

    /// As [`ShareName::is_offered`].
    pub fn is_offered(self) -> bool {
        let name = self.file_name().as_bytes();
        let unfinished = UNFINISHED_ENDINGS.iter().any(|ending| {
            let start = name.len().saturating_sub(ending.len());
            name[start..].eq_ignore_ascii_case(ending.as_bytes())
        });
        !unfinished && !self.0.split('/').any(|component| component.starts_with('.'))
    }

    /// A name of its own.
    pub fn to_owned(self) -> ShareName {
        ShareName(self.0.into())
    }
}

impl fmt::Display for ShareNameRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Display for ShareName {
    /// The path as it is, which is safe to show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ShareName {
        ShareName::parse(text).unwrap()
    }

    fn id() -> ContentId {
        "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12".parse().unwrap()
    }

    #[test]
    fn good_names_are_taken_as_they_are() {
        let deep = ["d"; COMPONENT_COUNT_MAX].join("/");
        let long = "x".repeat(COMPONENT_LENGTH_MAX);
        let longest = format!("{long}/{long}/{long}/{long}/");
        assert_eq!(longest.len(), NAME_LENGTH_MAX);
        for text in [
            "fox.txt",
            "animals/quick fox.txt",
            "--help",
            "-rf",
            "~",
            "a:b*c?d<e>|\"'",
            "CON",
            "...",
            ".hidden/..x",
            "Grüße/ж/日本",
            "می\u{200c}خواهم",
            "👩\u{200d}🚀",
            " ",
            &deep,
            &long,
            &longest[..NAME_LENGTH_MAX - 1],
        ] {
            assert_eq!(ShareName::parse(text).map(|name| name.to_string()), Ok(text.into()));
        }
    }

    #[test]
    fn each_rule_refuses_by_its_name() {
        let deep = ["d"; COMPONENT_COUNT_MAX + 1].join("/");
        for (text, error) in [
            ("", NameError::Empty),
            (&*"x/".repeat(513), NameError::TooLong),
            (&*"x".repeat(256), NameError::ComponentTooLong),
            (&*deep, NameError::TooDeep),
            ("/etc/passwd", NameError::Absolute),
            ("a//b", NameError::EmptyComponent),
            ("a/", NameError::EmptyComponent),
            (".", NameError::DotComponent),
            ("a/../b", NameError::DotComponent),
            ("a\\b", NameError::Backslash),
        ] {
            assert_eq!(ShareName::parse(text), Err(error), "{text}");
        }
        for (character, kind) in [
            ('\0', Unprintable::Control),
            ('\n', Unprintable::Control),
            ('\u{1b}', Unprintable::Control),
            ('\u{7f}', Unprintable::Control),
            ('\u{9b}', Unprintable::Control),
            ('\u{202e}', Unprintable::Direction),
            ('\u{2067}', Unprintable::Direction),
            ('\u{200f}', Unprintable::Direction),
            ('\u{61c}', Unprintable::Direction),
            ('\u{2029}', Unprintable::LineBreak),
            ('\u{200b}', Unprintable::Invisible),
            ('\u{feff}', Unprintable::Invisible),
            ('\u{e0061}', Unprintable::Invisible),
            ('\u{10ffff}', Unprintable::Noncharacter),
        ] {
            let text = format!("a/b{character}c");
            assert_eq!(ShareName::parse(&text), Err(NameError::Character(character, kind)));
        }
    }

    #[test]
    fn the_sentence_is_safe_to_print() {
        let error = ShareName::parse("a\u{1b}").unwrap_err();
        assert_eq!(error.to_string(), "a name cannot contain the control character U+001B");
    }

    #[test]
    fn its_parts() {
        let path = name("animals/small/fox.txt");
        assert_eq!(path.components().collect::<Vec<_>>(), ["animals", "small", "fox.txt"]);
        assert_eq!((path.file_name(), name("fox").file_name()), ("fox.txt", "fox"));
    }

    #[test]
    fn hidden_and_unfinished_files_are_not_offered() {
        for text in [".x", "a/.x", ".a/x", "a/.b/x", "x.part", "x.PART", "a/x.CrDownload", "x.tmp"]
        {
            assert!(!name(text).is_offered(), "{text}");
        }
        for text in ["x.lefting", "x~", "~", "é.Tmp"] {
            assert!(!name(text).is_offered(), "{text}");
        }
        for text in ["x", "x.party", "part", "tmp", "x.part/y", "x~/y", "a.b", "~x", "ätmp"] {
            assert!(name(text).is_offered(), "{text}");
        }
    }

    #[test]
    fn the_name_beside_it() {
        for (text, attempt, expected) in [
            ("movie.mov", 1, "movie (2fd4e1c6).mov"),
            ("movie.mov", 2, "movie (2fd4e1c6-2).mov"),
            ("a.b/movie", 0, "a.b/movie (2fd4e1c6)"),
            (".profile", 1, ".profile (2fd4e1c6)"),
            ("a/.config.toml", 3, "a/.config (2fd4e1c6-3).toml"),
            ("x.", 1, "x (2fd4e1c6)."),
        ] {
            assert_eq!(name(text).beside(id(), attempt).as_str(), expected);
        }
    }

    #[test]
    fn the_name_beside_a_long_one_is_a_name() {
        let long = format!("{}.mov", "é".repeat(125));
        let folder = "d".repeat(255);
        let deep = format!("{folder}/{folder}/{folder}/{}", "d".repeat(253));
        let dots = ".".repeat(255);
        for text in [&*long, &*dots, &*format!("{deep}/x"), &*format!("{folder}/{long}"), &*deep] {
            for attempt in [1, 2, u32::MAX] {
                let beside = name(text).beside(id(), attempt);
                assert_eq!(ShareName::parse(beside.as_str()), Ok(beside.clone()));
                assert!(beside.as_str().contains("(2fd4e1c6"), "{beside}");
                assert_ne!(beside, name(text));
            }
        }
        assert!(name(&long).beside(id(), 1).as_str().ends_with("é (2fd4e1c6).mov"));
        let moved = name(&format!("{deep}/x")).beside(id(), 1);
        assert_eq!(moved.as_str(), format!("{folder}/{folder}/{folder}/x (2fd4e1c6)"));
    }
}
