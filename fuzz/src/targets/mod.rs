//! The targets. `docs/fuzzing.md` says what each is for and what has been found.

mod arguments;
pub(crate) mod choices;
mod chunk_names;
mod decode;
mod limits;
mod listing;
mod machine;
mod making;
mod names;
mod pair;
mod ranges;
mod round_trip;
mod trace;
mod world;

/// One of them.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) body: fn(&[u8]),
    /// Bytes of memory that it may take at a time, whatever it is handed.
    #[allow(
        dead_code,
        reason = "where there is no counting allocator, the whole process has a limit"
    )]
    pub(crate) memory: usize,
}

const MIB: usize = 1 << 20;

/// All of them.
pub(crate) const ALL: [Target; 12] = [
    Target { name: "decode", body: decode::run, memory: MIB },
    Target { name: "round_trip", body: round_trip::run, memory: MIB },
    Target { name: "listing", body: listing::run, memory: 4 * MIB },
    Target { name: "peer", body: machine::run_peer, memory: 16 * MIB },
    Target { name: "fetch", body: machine::run_fetch, memory: 16 * MIB },
    Target { name: "pair", body: pair::run, memory: 32 * MIB },
    Target { name: "limits", body: limits::run, memory: 32 * MIB },
    Target { name: "chunk_names", body: chunk_names::run, memory: MIB },
    Target { name: "arguments", body: arguments::run, memory: MIB },
    Target { name: "names", body: names::run, memory: MIB },
    Target { name: "trace", body: trace::run, memory: 16 * MIB },
    Target { name: "ranges", body: ranges::run, memory: MIB },
];
