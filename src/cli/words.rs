//! The command line cut into its verb, its options and the words beside them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::{Refusal, VALUE_OPTIONS, VERBS, Verb, refuse, shown};
use crate::content::ContentId;

/// The command line, cut into options (each value a word after its option) and the rest.
#[derive(Default)]
pub(super) struct Words {
    pub(super) verb: Option<&'static Verb>,
    pub(super) options: Vec<OsString>,
    pub(super) positional: Vec<OsString>,
}

impl Words {
    pub(super) fn split(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Refusal> {
        let mut words = Self::default();
        let mut options_over = false;
        let mut rest = arguments.into_iter();
        while let Some(word) = rest.next() {
            let raw = words.verb.is_some_and(|verb| verb.raw.contains(&words.positional.len()));
            if raw || options_over || !looks_like_option(&word) {
                words.take_positional(word)?;
            } else if word == "--" {
                options_over = true;
            } else {
                words.take_option(word, &mut rest)?;
            }
        }
        Ok(words)
    }

    fn take_positional(&mut self, word: OsString) -> Result<(), Refusal> {
        if self.verb.is_some() {
            self.positional.push(word);
            return Ok(());
        }
        let text = word.to_str().unwrap_or("");
        let verb = |word: &str| VERBS.iter().find(|verb| verb.word == word);
        self.verb = verb(text);
        // A front end that leaves the word out is understood.
        if self.verb.is_none() && text.parse::<ContentId>().is_ok() {
            self.positional.push(word);
            self.verb = verb("fetch");
        } else if self.verb.is_none() {
            let known: Vec<&str> = VERBS.iter().map(|verb| verb.word).collect();
            let (last, others) = known.split_last().expect("there are verbs");
            let (shown, others) = (shown(&word), others.join(", "));
            let sentence = format!("{shown} is no command: there are {others} and {last}");
            return Err(refuse(sentence));
        }
        Ok(())
    }

    /// Takes `--option value`, `--option=value`, `-v` and `-qv`.
    fn take_option(
        &mut self,
        word: OsString,
        rest: &mut impl Iterator<Item = OsString>,
    ) -> Result<(), Refusal> {
        let bytes = word.as_bytes();
        if bytes.starts_with(b"--") {
            let equals = bytes.iter().position(|byte| *byte == b'=');
            let (name, glued) = match equals {
                Some(at) => (&bytes[..at], Some(OsStr::from_bytes(&bytes[at + 1..]).to_owned())),
                None => (bytes, None),
            };
            let name = OsStr::from_bytes(name);
            if VALUE_OPTIONS.iter().any(|(option, _)| name == *option) {
                let value = glued.or_else(|| rest.next()).unwrap_or_default();
                if value.is_empty() || looks_like_option(&value) {
                    let name = name.to_string_lossy();
                    return Err(refuse(format!("{name} needs a value after it")));
                }
                self.options.extend([name.to_owned(), value]);
                return Ok(());
            }
        } else if word == "-o" {
            let Some(value) = rest.next().filter(|value| !value.is_empty()) else {
                return Err(refuse("-o needs a value after it"));
            };
            self.options.extend([word, value]);
            return Ok(());
        } else if bytes.len() > 2 && bytes.is_ascii() {
            let flags = bytes[1..].iter().map(|flag| OsString::from(format!("-{}", *flag as char)));
            self.options.extend(flags);
            return Ok(());
        }
        self.options.push(word);
        Ok(())
    }
}

fn looks_like_option(word: &OsStr) -> bool {
    word.len() > 1 && word.as_bytes().starts_with(b"-")
}
