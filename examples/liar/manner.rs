//! The manners of lying, as they are named on the command line.

use std::str::FromStr;
use std::time::Duration;

/// One way of misbehaving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Honest,
    /// One bit in one of so many packets.
    Flips(u64),
    /// So many hundredths of the beginning are invented.
    Front(u64),
    /// All behind so many hundredths is invented.
    Back(u64),
    /// The file is so much longer.
    Size(u64),
    /// After so many bytes all are false.
    TrueUntil(u64),
    /// A packet in this time.
    Drips(Duration),
    /// So many bytes at once, then so many a second.
    Paced {
        first: u64,
        rate: u64,
    },
    /// Silent once it is asked for what lies behind so many hundredths.
    Stalls(u64),
    Shifted,
    Beyond,
    Meta,
    Chains,
    HoldsAll,
    HoldsSilent,
    Refuses,
    Kinds,
}

impl FromStr for Manner {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let number =
            |text: &str| text.parse::<u64>().map_err(|error| format!("{name}={text}: {error}"));
        Ok(match name {
            "honest" => Self::Honest,
            "flips" => Self::Flips(number(value)?.max(1)),
            "front" => Self::Front(number(value)?.min(100)),
            "back" => Self::Back(number(value)?.min(100)),
            "size" => Self::Size(number(value)?),
            "true-until" => Self::TrueUntil(number(value)?),
            "drips" => Self::Drips(Duration::from_millis(number(value)?)),
            "pace" => Self::Paced { first: 0, rate: number(value)?.max(1) },
            "slows" => {
                let (first, rate) = value.split_once('/').ok_or("slows=BYTES/BYTES")?;
                Self::Paced { first: number(first)?, rate: number(rate)?.max(1) }
            }
            "stalls" => Self::Stalls(number(value)?.min(100)),
            "shifted" => Self::Shifted,
            "beyond" => Self::Beyond,
            "meta" => Self::Meta,
            "chains" => Self::Chains,
            "holds-all" => Self::HoldsAll,
            "holds-silent" => Self::HoldsSilent,
            "refuses" => Self::Refuses,
            "kinds" => Self::Kinds,
            _ => return Err(format!("no such manner: {name}")),
        })
    }
}
