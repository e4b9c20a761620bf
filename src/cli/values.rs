//! The values of arguments: hosts, ports, sizes, times. Each reader returns what it wanted, for the
//! sentence that refuses.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::time::Duration;

use crate::config::{BindHost, PeerHost, Until};
use crate::content::block_layout::CONTENT_SIZE_MAX;
use crate::node::FETCHES_MAX;
use crate::wire::address::{self, HostError};

/// What turns the name of an interface into its number.
pub(crate) type Scopes<'a> = dyn Fn(&str) -> Option<u32> + 'a;

/// Reads a size in bytes: decimal digits and nothing else.
pub(crate) fn parse_size(text: &OsStr) -> Result<u64, String> {
    let wanted = || format!("a number of bytes up to {CONTENT_SIZE_MAX}");
    let text = text.to_str().ok_or_else(wanted)?;
    digits(text).filter(|size| *size <= CONTENT_SIZE_MAX).ok_or_else(wanted)
}

/// Reads a port.
pub(crate) fn parse_port(text: &OsStr) -> Result<u16, String> {
    text.to_str()
        .and_then(digits)
        .and_then(|port| u16::try_from(port).ok())
        .filter(|port| *port > 0)
        .ok_or_else(|| "a number from 1 to 65535".to_owned())
}

/// Reads a number of seconds, parts of a second included.
pub(crate) fn parse_timeout(text: &OsStr) -> Result<Duration, String> {
    text.to_str()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
        .and_then(|text| text.parse::<f64>().ok())
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "a number of seconds".to_owned())
}

/// Reads how many files are fetched at once.
pub(crate) fn parse_jobs(text: &OsStr) -> Result<usize, String> {
    let jobs = text.to_str().and_then(digits).and_then(|jobs| usize::try_from(jobs).ok());
    jobs.filter(|jobs| (1..=FETCHES_MAX).contains(jobs))
        .ok_or_else(|| format!("a number from 1 to {FETCHES_MAX}"))
}

/// The smallest ring, in bytes: with less there is hardly a state that fits.
const RING_MIN: u64 = 256 * 1024;

/// Reads the size of a ring: bytes, or K, M or G of them.
pub(crate) fn parse_ring(text: &OsStr) -> Result<u64, String> {
    let bytes = text.to_str().and_then(bytes_in_units).filter(|bytes| *bytes >= RING_MIN);
    bytes.ok_or_else(|| "a size from 256K on, such as 16M".to_owned())
}

/// The lowest limit, in bytes a second: with less, a packet takes so long that it is asked
/// for again.
const RATE_MIN: u64 = 16 * 1024;

/// Reads a rate in bytes a second, or K, M or G of them.
pub(crate) fn parse_rate(text: &OsStr) -> Result<u64, String> {
    let bytes = text.to_str().and_then(bytes_in_units).filter(|bytes| *bytes >= RATE_MIN);
    bytes.ok_or_else(|| "bytes a second from 16K on, such as 500K or 10M".to_owned())
}

/// Reads the size of the longest file.
pub(crate) fn parse_max_size(text: &OsStr) -> Result<u64, String> {
    let bytes = text.to_str().and_then(bytes_in_units);
    bytes.ok_or_else(|| "a number of bytes, such as 700M or 4G".to_owned())
}

/// A number, of KiB, MiB or GiB where the letter says so.
fn bytes_in_units(text: &str) -> Option<u64> {
    let (number, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1 << 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    digits(number)?.checked_mul(unit)
}

/// Reads a place in a trace: the number of an input, or a time in seconds, `1.5` or `2s`.
pub(crate) fn parse_until(text: &OsStr) -> Result<Until, String> {
    let wanted = || "the number of an input, or a time such as 1.5 or 2s".to_owned();
    let text = text.to_str().ok_or_else(wanted)?;
    if let Some(number) = digits(text) {
        return Ok(Until::Input(number));
    }
    let seconds = parse_timeout(OsStr::new(text.strip_suffix('s').unwrap_or(text)));
    let time = seconds.map_err(|_| wanted())?;
    u64::try_from(time.as_micros()).map(Until::Time).map_err(|_| wanted())
}

/// Reads an address of this machine.
pub(crate) fn parse_bind(text: &OsStr, scopes: &Scopes<'_>) -> Result<BindHost, String> {
    let host = text
        .to_str()
        .filter(|text| !names_port(text))
        .and_then(|text| address::parse_host(text, scopes).ok())
        .ok_or_else(|| "an address of this machine".to_owned())?;
    let scope_id = match host {
        SocketAddr::V6(v6) => v6.scope_id(),
        SocketAddr::V4(_) => 0,
    };
    Ok(BindHost { address: host.ip(), scope_id })
}

/// Reads a host of `--peer`: what [`parse_host`] takes, or a name.
pub(crate) fn parse_peer(
    text: &str,
    default_port: u16,
    scopes: &Scopes<'_>,
) -> Result<PeerHost, HostError> {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') => (name, parse_port(OsStr::new(port)).ok()),
        _ => (text, Some(default_port)),
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    // What ends in a number is an address or nothing: no name does.
    let last = name.trim_end_matches('.').rsplit('.').next().unwrap_or("");
    let is_name = !name.is_empty()
        && name.len() <= 253
        && name.bytes().all(plain)
        && !last.bytes().all(|byte| byte.is_ascii_digit());
    match port {
        Some(port) if is_name => Ok(PeerHost::Named { name: name.to_owned(), port }),
        _ => parse_host(text, default_port, scopes).map(PeerHost::Address),
    }
}

/// Reads `address`, `address:port`, `[v6]:port` and the like, each IPv6 address with `%scope` where it
/// is link-local. Refuses what is not one host.
pub(crate) fn parse_host(
    text: &str,
    default_port: u16,
    scopes: &Scopes<'_>,
) -> Result<SocketAddr, HostError> {
    let mut host = address::parse_host(text, scopes)?;
    if !names_port(text) {
        host.set_port(default_port);
    }
    Ok(host)
}

/// Whether a text that names a host names its port as well.
fn names_port(text: &str) -> bool {
    text.contains("]:") || text.matches(':').count() == 1
}

/// A number of decimal digits only: no sign, no space, no underscore.
fn digits(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}
