//! What `sprat replay --print=json` would print, line by line, of runs that never were.

use std::net::SocketAddr;

use serde_json::{Value, json};

pub(crate) const SECOND: u64 = 1_000_000;

/// The peer with this number.
pub(crate) fn peer(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], 27_183))
}

/// A printed trace.
pub(crate) struct Events {
    lines: String,
    n: u64,
    t: u64,
    size: u64,
}

impl Events {
    fn new(command: &str, port: u16) -> Self {
        let mut events = Self { lines: String::new(), n: 0, t: 1_000, size: 0 };
        let config = json!({ "serves": command == "peer", "port": port, "default_port": 27_183 });
        let header = json!({
            "sprat_trace": 1, "program": "0.1.0", "commit": "0123456789abcdef", "command": command,
            "started": 1_795_167_031_277_u64, "begins": 1_000, "config": config,
            "platform": { "os": "linux", "arch": "x86_64", "pointer_width": 64 },
        });
        events.line("header", &header);
        let own = json!({ "index": 2, "address": "10.0.0.100", "prefix_length": 24,
            "broadcast": "10.0.0.255", "loopback": false });
        events.input(0, json!({ "kind": "interfaces", "addresses": [own] }));
        events
    }

    /// A peer that hears nothing yet.
    pub(crate) fn peer() -> Self {
        Self::new("peer", 27_183)
    }

    /// A fetch that has just asked its sources.
    pub(crate) fn fetch(name: &str, size: u64, sources: &[SocketAddr]) -> Self {
        let mut events = Self::new("fetch", 40_000);
        events.size = size;
        let request = json!({ "fetch": 1, "content": "ab".repeat(20), "size": size, "name": name,
            "sources": sources, "timeout": null });
        events.input(0, json!({ "kind": "command", "fetch": request }));
        let outcome = json!({ "ours": { "extents": [], "chain": null } });
        events.input(0, json!({ "kind": "store_opened", "fetch": 1, "outcome": outcome }));
        events.input(0, json!({ "kind": "share_searched", "fetch": 1, "outcome": "absent" }));
        for to in sources {
            events.output(json!({ "kind": "transmit", "to": to, "message": "ask", "length": 80,
                "about": { "content": { "content": "ab".repeat(20), "size": size } } }));
        }
        events
    }

    fn line(&mut self, subject: &str, about: &Value) {
        let (n, t) = (self.n, self.t);
        self.lines += &format!("{{\"n\":{n},\"t\":{t},\"{subject}\":{about}}}\n");
    }

    pub(crate) fn input(&mut self, after: u64, about: Value) -> &mut Self {
        self.n += 1;
        self.t += after;
        self.line("input", &about);
        self
    }

    pub(crate) fn output(&mut self, about: Value) -> &mut Self {
        self.line("output", &about);
        self
    }

    /// Time passes, and ends with a timer.
    pub(crate) fn after(&mut self, time: u64) -> &mut Self {
        self.input(time, json!({ "kind": "wake" }))
    }

    fn answered(&mut self, after: u64, from: SocketAddr, holding: &str) -> &mut Self {
        let instance = format!("{:0>32}", from.ip().to_string().replace('.', ""));
        let content = json!({ "holding": holding, "chain": "00".repeat(20), "size": self.size,
            "blocks_held": 7 });
        self.input(
            after,
            json!({ "kind": "datagram", "from": from, "length": 80,
            "message": "tell", "instance": instance, "answer": { "content": content } }),
        )
    }

    /// A source says that it has the file, and is asked for it.
    pub(crate) fn told(&mut self, after: u64, from: SocketAddr) -> &mut Self {
        self.answered(after, from, "whole");
        self.output(json!({ "kind": "transmit", "to": from, "message": "grant", "length": 64,
            "object": { "file": "ab".repeat(20) }, "nonce": "0000000000000001" }))
    }

    /// A source says that it has nothing of it.
    pub(crate) fn told_nothing(&mut self, after: u64, from: SocketAddr) -> &mut Self {
        self.answered(after, from, "nothing");
        let view = json!({ "fetch": 1, "address": from, "holds": "nothing", "received": 0 });
        self.line("source", &view);
        self
    }

    /// Bytes come and are kept.
    pub(crate) fn data(&mut self, after: u64, from: SocketAddr, offset: u64, length: u64) {
        let all = length + 20;
        self.input(
            after,
            json!({ "kind": "datagram", "from": from, "length": all, "message": "data",
            "nonce": "0000000000000001", "offset": offset, "left_out": length }),
        );
        self.output(json!({ "kind": "keep", "buffer": 1, "offset": offset }));
    }

    /// What a source looks like.
    pub(crate) fn view(&mut self, of: SocketAddr, received: u64, in_flight: u64, waits: &str) {
        let view = json!({ "fetch": 1, "address": of, "state": "open", "holds": "whole",
            "window": 20_000, "in_flight": in_flight, "rtt": 5_000, "min_rtt": 4_000,
            "rate": 400_000, "received": received, "lost": 0, "blamed": 0, "waits": waits });
        self.line("source", &view);
        let fetch = json!({ "fetch": 1, "phase": "fetching", "size": self.size, "held": received,
            "stored": received / 2, "in_memory": 65_536, "chains": 1 });
        self.line("fetch", &fetch);
    }

    pub(crate) fn refused(&mut self, after: u64, from: SocketAddr, reason: &str) {
        self.input(
            after,
            json!({ "kind": "datagram", "from": from, "length": 16,
            "message": "refuse", "reason": reason, "nonce": "0000000000000001" }),
        );
    }

    /// The file gets its name.
    pub(crate) fn publish(&mut self, took: u64) {
        let step = json!({ "sync_shared": { "name": "a" } });
        self.output(json!({ "kind": "publish", "fetch": 1, "step": step }));
        let outcome = json!({ "kept": { "Ok": null } });
        self.input(took, json!({ "kind": "publish_stepped", "fetch": 1, "outcome": outcome }));
        self.output(json!({ "kind": "fetch_ended", "fetch": 1, "ending": { "done": "a" } }));
    }

    /// What a host looks like.
    pub(crate) fn host(
        &mut self,
        after: u64,
        of: SocketAddr,
        state: &str,
        files: u64,
    ) -> &mut Self {
        self.after(after);
        let view =
            json!({ "host": of, "instance": null, "state": state, "files": files, "rtt": 400 });
        self.line("host", &view);
        self
    }

    /// All of it.
    pub(crate) fn end(&mut self) -> String {
        self.line("end", &json!({ "n": 1, "how": { "exit": 0 }, "endings": [] }));
        self.lines.clone()
    }
}
