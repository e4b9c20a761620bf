//! What a direction of a link is like, as it is said on the command line.

use std::str::FromStr;

use serde::Serialize;

/// What happens to frames. All zero: nothing. Times are in nanoseconds, one way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Spec {
    /// Bits a second; 0 is without limit.
    pub(crate) rate: u64,
    /// Bytes that wait at most; 0 is without limit.
    pub(crate) queue: u64,
    pub(crate) delay: u64,
    /// The most that is added to the delay, and for how long one draw of it holds.
    pub(crate) jitter: u64,
    pub(crate) jitter_every: u64,
    /// The share of frames that are lost, and how many in a row in the mean.
    pub(crate) loss: f64,
    pub(crate) burst: f64,
    /// The share of frames that are held back, and for how long.
    pub(crate) reorder: f64,
    pub(crate) reorder_by: u64,
    /// The share of frames of which one bit is another one, under check sums that hold.
    pub(crate) corrupt: f64,
    /// How long everything passes, and then how long nothing does, in turns; zero: everything, always.
    pub(crate) passing: u64,
    pub(crate) outage: u64,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            rate: 0,
            queue: 0,
            delay: 0,
            jitter: 0,
            jitter_every: 10_000_000,
            loss: 0.0,
            burst: 1.0,
            reorder: 0.0,
            reorder_by: 1_000_000,
            corrupt: 0.0,
            passing: 0,
            outage: 0,
        }
    }
}

impl FromStr for Spec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut spec = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').ok_or(format!("{part}: no value"))?;
            let (value, second) = match value.split_once('/') {
                Some((value, second)) => (value, Some(second)),
                None => (value, None),
            };
            match name {
                "rate" => spec.rate = rate(value)?,
                "queue" => spec.queue = value.parse().map_err(|_| wrong(part))?,
                "delay" => spec.delay = time(value)?,
                "loss" => spec.loss = share(value)?,
                "burst" => spec.burst = number(value).filter(|&it| it >= 1.0).ok_or(wrong(part))?,
                "jitter" => {
                    spec.jitter = time(value)?;
                    spec.jitter_every = second.map_or(Ok(spec.jitter_every), time)?.max(1);
                }
                "reorder" => {
                    spec.reorder = share(value)?;
                    spec.reorder_by = second.map_or(Ok(spec.reorder_by), time)?;
                }
                "corrupt" => spec.corrupt = share(value)?,
                "outage" => {
                    spec.passing = time(value)?.max(1);
                    spec.outage = second.map_or_else(|| Err(wrong(part)), time)?;
                }
                _ => return Err(wrong(part)),
            }
        }
        Ok(spec)
    }
}

fn wrong(part: &str) -> String {
    format!("{part}: not understood")
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)
}

/// A number with one of these units, times what the unit stands for, rounded.
fn with_unit(text: &str, units: &[(&str, f64)]) -> Result<u64, String> {
    let of_unit = |&(unit, factor): &(&str, f64)| Some(number(text.strip_suffix(unit)?)? * factor);
    let value = units.iter().find_map(of_unit).ok_or_else(|| wrong(text))?;
    // A link of a terabit, a delay of a quarter of an hour: more is a mistake.
    if value > 1e12 {
        return Err(wrong(text));
    }
    format!("{value:.0}").parse().map_err(|_| wrong(text))
}

fn rate(text: &str) -> Result<u64, String> {
    with_unit(text, &[("gbit", 1e9), ("mbit", 1e6), ("kbit", 1e3), ("bit", 1.0)])
}

/// A time with its unit, in nanoseconds.
pub(crate) fn time(text: &str) -> Result<u64, String> {
    with_unit(text, &[("ms", 1e6), ("us", 1e3), ("s", 1e9)])
}

fn share(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').and_then(number).filter(|&percent| percent <= 100.0);
    percent.map(|percent| percent / 100.0).ok_or_else(|| wrong(text))
}
