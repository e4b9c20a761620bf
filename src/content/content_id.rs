//! The SHA-1 of a content, which is its name on the network and on the command line.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The SHA-1 of a whole content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContentId(#[serde(with = "super::hex")] pub [u8; 20]);

impl ContentId {
    /// The name of the empty content.
    pub const EMPTY: Self = Self([
        0xda, 0x39, 0xa3, 0xee, 0x5e, 0x6b, 0x4b, 0x0d, 0x32, 0x55, 0xbf, 0xef, 0x95, 0x60, 0x18,
        0x90, 0xaf, 0xd8, 0x07, 0x09,
    ]);
}

/// Why a text is no content id: it is not exactly 40 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAContentId;

impl fmt::Display for NotAContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a SHA-1 is exactly 40 hexadecimal digits")
    }
}

impl std::error::Error for NotAContentId {}

impl FromStr for ContentId {
    type Err = NotAContentId;

    /// Reads 40 hexadecimal digits of either case; nothing else is accepted, because the digits
    /// become part of file names.
    fn from_str(text: &str) -> Result<Self, NotAContentId> {
        let digits = text.as_bytes();
        if digits.len() != 40 {
            return Err(NotAContentId);
        }
        let mut bytes = [0; 20];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16).ok_or(NotAContentId);
            *byte = (digit(0)? * 16 + digit(1)?) as u8;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for ContentId {
    /// 40 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forty_digits_of_either_case_and_nothing_else() {
        let lower = "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12";
        let id: ContentId = lower.parse().unwrap();
        assert_eq!(id.to_string(), lower);
        assert_eq!(lower.to_uppercase().parse(), Ok(id));
        for bad in [
            "",
            &lower[1..],
            &format!("{lower}0"),
            "../../../../../../../../../../../../etc/pw",
            &lower.replace('2', "+"),
        ] {
            assert_eq!(bad.parse::<ContentId>(), Err(NotAContentId), "{bad}");
        }
    }
}
