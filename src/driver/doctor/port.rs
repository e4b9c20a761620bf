//! The UDP port: is it free, does our own peer have it, or who else?

use std::fs;
use std::io;
use std::path::Path;

use super::finding::Finding;

const CHECK: &str = "port";
/// Processes that are looked at in search of the one that holds a socket.
const PROCESSES_MAX: usize = 65_536;

/// What is known of the port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Which.
    pub port: u16,
    /// Why it could not be bound, where it could not.
    pub refused: Option<(io::ErrorKind, String)>,
    /// Who holds it, as far as `/proc` shows.
    pub holder: Option<Holder>,
    /// A peer runs in this folder.
    pub peer_here: bool,
    /// A peer answered on the port.
    pub answers: bool,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub process: u32,
    /// What it is called.
    pub name: String,
}

/// The process that holds a UDP port. Those of others show their sockets to root alone.
pub fn holder(port: u16) -> Option<Holder> {
    let mut inodes = Vec::new();
    for file in ["/proc/net/udp", "/proc/net/udp6"] {
        inodes.extend(sockets_on(&fs::read_to_string(file).unwrap_or_default(), port));
    }
    let wanted: Vec<_> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let processes = fs::read_dir("/proc").ok()?.flatten().take(PROCESSES_MAX);
    for process in processes {
        let name = process.file_name();
        let Some(number) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        let folder = process.path();
        if holds(&folder, &wanted) {
            let name = fs::read_to_string(folder.join("comm")).unwrap_or_default();
            return Some(Holder { process: number, name: name.trim().to_owned() });
        }
    }
    None
}

fn holds(process: &Path, sockets: &[String]) -> bool {
    let Ok(handles) = fs::read_dir(process.join("fd")) else { return false };
    handles.flatten().any(|handle| {
        let target = fs::read_link(handle.path()).ok();
        target
            .and_then(|target| target.into_os_string().into_string().ok())
            .is_some_and(|target| sockets.contains(&target))
    })
}

/// The inodes of the sockets on a port, from a text like `/proc/net/udp`.
fn sockets_on(table: &str, port: u16) -> Vec<u64> {
    let on = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let (_, own) = words.get(1)?.rsplit_once(':')?;
        let inode = words.get(9)?.parse().ok()?;
        (u16::from_str_radix(own, 16).ok()? == port).then_some(inode)
    };
    table.lines().skip(1).filter_map(on).collect()
}

/// What it means.
pub fn judge(facts: &Facts) -> Finding {
    let Facts { port, refused, holder, peer_here, answers } = facts;
    let Some((kind, error)) = refused else {
        return if *peer_here {
            // It has another port then, or its own address.
            Finding::ok(
                CHECK,
                format!("UDP port {port} is free; the peer of this folder has another"),
            )
        } else {
            Finding::ok(CHECK, format!("UDP port {port} is free"))
        };
    };
    let who = holder.as_ref().map_or_else(
        || "another program".to_owned(),
        |holder| format!("{} (process {})", holder.name, holder.process),
    );
    match (kind, peer_here, answers) {
        (io::ErrorKind::AddrInUse, true, true) => {
            Finding::ok(CHECK, format!("the peer of this folder has UDP port {port} and answers"))
        }
        (io::ErrorKind::AddrInUse, false, true) => {
            let text = format!(
                "{who}, the peer of another folder, has UDP port {port}: a peer here needs another port, \
                 and is found by that one"
            );
            Finding::warning(CHECK, text).with(format!("sprat --port {} peer", port ^ 1))
        }
        (io::ErrorKind::AddrInUse, true, false) => {
            let text =
                format!("the peer of this folder runs, but does not answer on UDP port {port}");
            let finding = Finding::problem(CHECK, text);
            finding.with_all(holder.as_ref().map(|holder| format!("kill {}", holder.process)))
        }
        (io::ErrorKind::AddrInUse, false, false) => {
            let text = format!("{who} has UDP port {port}, so no peer can run on it");
            let finding = Finding::problem(CHECK, text);
            match holder {
                Some(holder) => finding.with(format!("kill {}", holder.process)),
                None => finding.with(format!("sudo ss -ulpn sport = :{port}")),
            }
        }
        (io::ErrorKind::AddrNotAvailable, ..) => {
            let text = "the address given with --bind is not one of this machine's";
            Finding::problem(CHECK, text).with("ip address")
        }
        _ => Finding::problem(CHECK, format!("UDP port {port} cannot be had: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_found_by_their_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  \
                     timeout inode ref pointer drops\n\
                     12: 00000000:6A2F 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000  \
                     0 4711 2 0000000000000000 0\n\
                     13: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000  0  \
                     0 99 2 0000000000000000 0\n13:\n";
        assert_eq!(sockets_on(table, 27_183), [4711]);
        assert_eq!(sockets_on("", 27_183), [0; 0]);
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let found = holder(socket.local_addr().unwrap().port()).unwrap();
        assert_eq!(found.process, std::process::id());
    }

    #[test]
    fn who_has_the_port_decides() {
        use super::super::finding::Status;
        let taken = Some((io::ErrorKind::AddrInUse, "in use".to_owned()));
        let holder = Some(Holder { process: 12, name: "dnsmasq".to_owned() });
        let all = Facts { port: 27_183, refused: taken, holder, peer_here: true, answers: true };
        for (facts, status, command) in [
            (Facts { refused: None, peer_here: false, ..all.clone() }, Status::Ok, None),
            (all.clone(), Status::Ok, None),
            (
                Facts { peer_here: false, ..all.clone() },
                Status::Warning,
                Some("sprat --port 27182 peer"),
            ),
            (Facts { answers: false, ..all.clone() }, Status::Problem, Some("kill 12")),
            (
                Facts { answers: false, peer_here: false, holder: None, ..all.clone() },
                Status::Problem,
                Some("sudo ss -ulpn sport = :27183"),
            ),
            (
                Facts { answers: false, peer_here: false, ..all.clone() },
                Status::Problem,
                Some("kill 12"),
            ),
        ] {
            let finding = judge(&facts);
            assert_eq!(finding.status, status, "{facts:?}");
            assert_eq!(finding.commands.first().map(String::as_str), command, "{facts:?}");
        }
    }
}
