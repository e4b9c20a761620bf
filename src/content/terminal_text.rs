//! Strangers' text made safe for a terminal: one line stays one line, in one colour, in one
//! direction.
//!
//! This is the project's one list of characters that show nothing themselves and change what else
//! is shown. [`ShareName`](super::ShareName) refuses them; [`printable`] spells them out.
//!
//! Kept, although they show nothing, are the joiners U+200C and U+200D and the variation selectors:
//! Persian, the scripts of India, Japanese names and emoji cannot be written without them.

use std::borrow::Cow;
use std::fmt::{self, Display, Write};

/// Why a character does not go to a terminal as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unprintable {
    /// C0, DEL or C1: moves the cursor, rings, colours, or talks to the terminal.
    Control,
    /// Changes the direction in which what follows is shown (UAX #9's formatting characters).
    Direction,
    /// Ends a line or a paragraph.
    LineBreak,
    /// Shows nothing and is part of no written word: zero-width space, soft hyphen, word joiner,
    /// byte order mark, annotation marks, tags.
    Invisible,
    /// Not a character at all (U+FFFE, U+FDD0 and their like).
    Noncharacter,
}

impl Unprintable {
    /// What is wrong with a character; nothing, with most.
    pub const fn of(character: char) -> Option<Self> {
        Some(match character {
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => Self::Control,
            '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => Self::Direction,
            '\u{2028}' | '\u{2029}' => Self::LineBreak,
            '\u{ad}'
            | '\u{200b}'
            | '\u{2060}'..='\u{2065}'
            | '\u{206a}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}' => Self::Invisible,
            '\u{fdd0}'..='\u{fdef}' => Self::Noncharacter,
            _ if character as u32 & 0xfffe == 0xfffe => Self::Noncharacter,
            _ => return None,
        })
    }
}

/// The text with every [`Unprintable`] character as `\u{..}`. It is for people: a backslash stays
/// one, so what is shown cannot be read back.
pub fn printable(text: &str) -> impl Display + '_ {
    Printable(text)
}

/// JSON on one line that means the same, with every [`Unprintable`] character as `\u....`: JSON itself spells out only
/// C0, and people look at what is meant for programs.
pub fn printable_json(json: &str) -> Cow<'_, str> {
    if json.chars().all(|character| Unprintable::of(character).is_none()) {
        return Cow::Borrowed(json);
    }
    let mut safe = String::with_capacity(json.len() + 20);
    for character in json.chars() {
        if Unprintable::of(character).is_none() {
            safe.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing to a string cannot fail.
            let _ = write!(safe, "\\u{unit:04x}");
        }
    }
    Cow::Owned(safe)
}

struct Printable<'a>(&'a str);

impl Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match Unprintable::of(character) {
                Some(_) => write!(f, "{}", character.escape_unicode())?,
                None => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drives_a_terminal_is_spelled_out() {
        for (text, shown) in [
            ("plain", "plain"),
            ("two\r\nlines", "two\\u{d}\\u{a}lines"),
            ("\u{1b}]0;title\u{7}", "\\u{1b}]0;title\\u{7}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("ann\u{202e}fdp.exe", "ann\\u{202e}fdp.exe"),
            ("a\u{2028}b", "a\\u{2028}b"),
            ("a\u{feff}b\u{e0041}", "a\\u{feff}b\\u{e0041}"),
            ("\u{ffff}\u{1fffe}\u{fdd0}", "\\u{ffff}\\u{1fffe}\\u{fdd0}"),
            ("C:\\x", "C:\\x"),
        ] {
            assert_eq!(printable(text).to_string(), shown);
        }
    }

    #[test]
    fn json_is_spelled_out_and_means_the_same() {
        for (text, written) in [
            ("plain é", "\"plain é\""),
            ("li\u{7f}nux\u{9b}31m", "\"li\\u007fnux\\u009b31m\""),
            ("a\u{202e}b\u{e0041}\u{1b}", "\"a\\u202eb\\udb40\\udc41\\u001b\""),
        ] {
            let json = serde_json::to_string(text).unwrap();
            let shown = printable_json(&json);
            assert_eq!(shown, written);
            assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        }
    }

    #[test]
    fn what_people_write_stays() {
        for text in
            ["Grüße", "می\u{200c}خواهم", "क्\u{200d}ष", "👩\u{200d}🚀", "❤\u{fe0f}", "葛\u{e0100}城"]
        {
            assert_eq!(printable(text).to_string(), text);
        }
    }

    #[test]
    fn no_control_of_any_kind_remains() {
        for character in '\0'..=char::MAX {
            let shown = printable(character.encode_utf8(&mut [0; 4])).to_string();
            assert!(!shown.chars().any(char::is_control), "{shown}");
            assert_eq!(shown.lines().count(), 1);
        }
    }
}
