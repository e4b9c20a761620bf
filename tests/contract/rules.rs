//! "Rules of the game".

use std::fs;

use crate::support::*;

/// "One socket, one well-known port (27183 unless told otherwise; `fetch` takes any free one), one
/// thread": nothing but UDP is ever bound, not even while files move.
#[test]
fn one_thread_one_udp_socket_and_no_other() {
    in_lab(2, |lab| {
        let content = Content::random(600, 16 << 20);
        lab.put(0, "file.bin", &content);
        lab.limit(0, 60);
        let (peer, other) = (lab.host(0).peer(), lab.host(1).peer());
        let mut fetch = lab.fetch(1, &content, "file.bin", &["10.77.0.1"]);
        wait_until("a half", LONG, || lab.host(1).progress(&content) > 2 << 20);
        for (process, port) in [(&peer, Some(27183)), (&other, Some(27183)), (&fetch, None)] {
            let tasks = fs::read_dir(format!("/proc/{}/task", process.pid())).unwrap().count();
            assert_eq!(tasks, 1, "threads of process {}", process.pid());
            let sockets = sockets_of(process.pid());
            assert_eq!(sockets.len(), 1, "{sockets:?}");
            assert!(sockets[0].0.starts_with("udp"), "{sockets:?}");
            assert!(port.is_none_or(|port| port == sockets[0].1), "{sockets:?}");
            assert!(port.is_some() || sockets[0].1 != 27183, "{sockets:?}");
        }
        fetch.succeeds(LONG);
    });
}

/// The internet sockets of a process: the table each stands in, and its port.
fn sockets_of(pid: u32) -> Vec<(&'static str, u16)> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let targets = links.filter_map(|entry| fs::read_link(entry.path()).ok());
    let inodes: Vec<_> = targets
        .filter_map(|path| {
            let text = path.to_str()?;
            Some(text.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    let mut found = Vec::new();
    for table in ["tcp", "tcp6", "udp", "udp6", "raw", "raw6", "packet"] {
        let Ok(text) = fs::read_to_string(format!("/proc/{pid}/net/{table}")) else {
            continue;
        };
        for line in text.lines().skip(1) {
            let fields: Vec<_> = line.split_whitespace().collect();
            if fields.get(9).is_some_and(|inode| inodes.iter().any(|own| own == inode)) {
                let port = fields[1].rsplit(':').next().unwrap();
                found.push((table, u16::from_str_radix(port, 16).unwrap()));
            }
        }
    }
    found
}

/// "No web server, FTP, BitTorrent, QUIC or ready-made transfer library carries a file." Every package
/// that the program is built from is known by name; one that is new has to be looked at.
#[test]
fn no_transfer_library_is_linked() {
    let lock = include_str!("../../Cargo.lock");
    let names = lock.lines().filter_map(|line| line.strip_prefix("name = "));
    let forbidden = [
        "tokio",
        "async-std",
        "smol",
        "hyper",
        "reqwest",
        "ureq",
        "curl",
        "axum",
        "warp",
        "tonic",
        "rocket",
        "tiny_http",
        "actix",
        "suppaftp",
        "ftp",
        "quinn",
        "quinn-proto",
        "quiche",
        "s2n-quic",
        "libp2p",
        "iroh",
        "torrent",
        "cratetorrent",
        "librqbit",
        "rqbit",
        "ssh2",
        "russh",
        "zmq",
        "nng",
        "websocket",
        "tungstenite",
        "openssl",
        "rustls",
        "native-tls",
        "webrtc",
        "laminar",
        "enet",
        "raptorq",
    ];
    for name in names {
        let name = name.trim_matches('"');
        assert!(!forbidden.contains(&name), "{name} is in Cargo.lock");
        let carries =
            ["http", "torrent", "quic-", "websocket"].iter().any(|part| name.contains(part));
        assert!(!carries, "{name} is in Cargo.lock: what does it carry?");
    }
}
