//! Hosts as text: what `d.json` says and `fetch` takes. Names are not looked up: an address, and a
//! port where it is not the default one.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use super::DEFAULT_PORT;

/// Why a text names no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostError {
    /// It is not `address`, `address:port`, `[address]` or `[address]:port`.
    Syntax,
    /// The port is not 1 to 65,535.
    Port,
    /// No interface has the name or number after the `%`.
    Scope,
    /// No single host can have this address: it is unspecified, a group or a broadcast.
    NotAHost,
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "a host is ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT",
            Self::Port => "a port is a number from 1 to 65535",
            Self::Scope => "there is no network interface of the name after the %",
            Self::NotAHost => "this address is not a single host's",
        })
    }
}

impl std::error::Error for HostError {}

/// The host as text. `scope_name` turns an interface's number into its name; where it knows none,
/// the number is written.
pub fn format_host(host: SocketAddr, mut scope_name: impl FnMut(u32) -> Option<String>) -> String {
    let host = canonical(host);
    let mut text = host.ip().to_string();
    if let SocketAddr::V6(v6) = host {
        if v6.scope_id() != 0 {
            let name = scope_name(v6.scope_id()).unwrap_or_else(|| v6.scope_id().to_string());
            text.push('%');
            text.push_str(&name);
        }
        if host.port() != DEFAULT_PORT {
            text.insert(0, '[');
            text.push(']');
        }
    }
    if host.port() != DEFAULT_PORT {
        text.push_str(&format!(":{}", host.port()));
    }
    text
}

/// The host that a text names. `scope_number` turns an interface's name into its number; a number
/// is taken as it is.
///
/// # Errors
/// The text is nothing that [`format_host`] writes, nor such with brackets or port added.
pub fn parse_host(
    text: &str,
    scope_number: impl FnMut(&str) -> Option<u32>,
) -> Result<SocketAddr, HostError> {
    let (address, port) = split_port(text)?;
    let host = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) if text.starts_with('[') => return Err(HostError::Syntax),
        Ok(ip) => SocketAddr::new(ip, port),
        Err(_) => parse_scoped(address, port, scope_number)?,
    };
    let host = canonical(host);
    let ip = host.ip();
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    if ip.is_unspecified() || ip.is_multicast() || broadcast {
        return Err(HostError::NotAHost);
    }
    Ok(host)
}

/// The address text and the port.
fn split_port(text: &str) -> Result<(&str, u16), HostError> {
    let (address, port) = if let Some(bracketed) = text.strip_prefix('[') {
        let (address, after) = bracketed.split_once(']').ok_or(HostError::Syntax)?;
        match after.strip_prefix(':') {
            Some(port) => (address, Some(port)),
            None if after.is_empty() => (address, None),
            None => return Err(HostError::Syntax),
        }
    } else {
        match text.split_once(':') {
            // More than one colon: an IPv6 address, which has a port only after brackets.
            Some((_, rest)) if rest.contains(':') => (text, None),
            Some((address, port)) => (address, Some(port)),
            None => (text, None),
        }
    };
    let Some(port) = port else {
        return Ok((address, DEFAULT_PORT));
    };
    let number = decimal(port).and_then(|number| u16::try_from(number).ok());
    match number {
        Some(number) if number != 0 => Ok((address, number)),
        _ => Err(HostError::Port),
    }
}

/// An IPv6 address with a scope.
fn parse_scoped(
    address: &str,
    port: u16,
    mut scope_number: impl FnMut(&str) -> Option<u32>,
) -> Result<SocketAddr, HostError> {
    let (address, scope) = address.split_once('%').ok_or(HostError::Syntax)?;
    let ip: Ipv6Addr = address.parse().map_err(|_| HostError::Syntax)?;
    let number = decimal(scope).or_else(|| scope_number(scope));
    match number {
        Some(number) if number != 0 => Ok(SocketAddrV6::new(ip, port, 0, number).into()),
        _ => Err(HostError::Scope),
    }
}

/// A number of digits alone: `parse` would take a sign.
fn decimal(text: &str) -> Option<u32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// One form for each host, so that equal hosts compare equal: IPv4 never mapped, no flow label, and
/// a scope only where it says something, which is on link-local addresses.
pub fn canonical(host: SocketAddr) -> SocketAddr {
    match host {
        SocketAddr::V4(_) => host,
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddr::new(v4.into(), v6.port()),
            None => {
                let scope = if v6.ip().is_unicast_link_local() { v6.scope_id() } else { 0 };
                SocketAddrV6::new(*v6.ip(), v6.port(), 0, scope).into()
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number_of(name: &str) -> Option<u32> {
        (name == "eth0").then_some(2)
    }

    fn name_of(number: u32) -> Option<String> {
        (number == 2).then(|| "eth0".to_owned())
    }

    #[test]
    fn what_is_written_is_read() {
        for text in [
            "192.0.2.4",
            "192.0.2.4:5000",
            "127.0.0.1:1",
            "2001:db8::7",
            "[2001:db8::7]:65535",
            "fe80::1%eth0",
            "[fe80::1%eth0]:5000",
            "fe80::1%7",
            "[fe80::1%7]:5000",
            "fe80::1",
        ] {
            let host = parse_host(text, number_of).unwrap();
            assert_eq!(format_host(host, name_of), text);
        }
    }

    #[test]
    fn other_spellings_become_the_one() {
        for (text, written) in [
            ("192.0.2.4:27183", "192.0.2.4"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:DB8:0::7]:27183", "2001:db8::7"),
            ("::ffff:192.0.2.4", "192.0.2.4"),
            ("[::ffff:192.0.2.4]:80", "192.0.2.4:80"),
            ("[fe80::1%2]", "fe80::1%eth0"),
            ("2001:db8::7%eth0", "2001:db8::7"),
        ] {
            let host = parse_host(text, number_of).unwrap();
            assert_eq!(format_host(host, name_of), written);
            assert_eq!(parse_host(written, number_of), Ok(host));
        }
    }

    #[test]
    fn a_socket_address_as_the_kernel_gives_it() {
        let kernel = SocketAddrV6::new("fe80::1".parse().unwrap(), DEFAULT_PORT, 77, 2);
        assert_eq!(format_host(kernel.into(), name_of), "fe80::1%eth0");
        assert_eq!(format_host(kernel.into(), |_| None), "fe80::1%2");
        assert_eq!(parse_host("fe80::1%2", |_| None), Ok(canonical(kernel.into())));
    }

    #[test]
    fn what_is_no_host() {
        for (text, error) in [
            ("", HostError::Syntax),
            ("host.example", HostError::Syntax),
            ("192.0.2", HostError::Syntax),
            ("192.0.2.4%eth0", HostError::Syntax),
            ("[192.0.2.4]:80", HostError::Syntax),
            ("[2001:db8::7", HostError::Syntax),
            ("[2001:db8::7]80", HostError::Syntax),
            ("2001:db8::7]:80", HostError::Syntax),
            (" 192.0.2.4", HostError::Syntax),
            ("192.0.2.4:", HostError::Port),
            ("192.0.2.4:0", HostError::Port),
            ("192.0.2.4:+80", HostError::Port),
            ("192.0.2.4:65536", HostError::Port),
            ("[2001:db8::7]:99999999999", HostError::Port),
            ("fe80::1%", HostError::Scope),
            ("fe80::1%0", HostError::Scope),
            ("fe80::1%wlan9", HostError::Scope),
            ("0.0.0.0", HostError::NotAHost),
            ("::", HostError::NotAHost),
            ("255.255.255.255", HostError::NotAHost),
            ("239.192.27.183", HostError::NotAHost),
            ("ff12::5370:7261", HostError::NotAHost),
        ] {
            assert_eq!(parse_host(text, number_of), Err(error), "{text:?}");
        }
    }
}
