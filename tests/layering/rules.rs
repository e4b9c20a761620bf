//! The rules. Each takes a file and gives back a sentence for every place that breaks it.

use super::source::{Source, is_identifier, item_end};

/// The layers that are handed everything and reach for nothing.
const CORE: [&str; 3] = ["content", "wire", "node"];

/// What the core must not name.
const FORBIDDEN: [&str; 22] = [
    "std::env",
    "std::fs",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "getrandom",
    "if_addrs",
    "indicatif",
    "libc",
    "mio",
    "pico_args",
    "quinn_udp",
    "rand",
    "rustix",
    "signal_hook",
    "socket2",
];

/// The modules of the node that speak to the driver; what has a capital is re-exported on purpose.
const NODE_FACE: [&str; 4] = ["ids", "input", "output", "time"];

/// The most lines of a file.
const FILE_LINES_MAX: usize = 500;
/// The most lines of a function, from `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;

/// What each layer may use of ours; a layer that is not here may use everything.
fn allowed(layer: &str) -> Option<&'static [&'static str]> {
    match layer {
        "content" => Some(&["content"]),
        "wire" => Some(&["wire", "content"]),
        "node" => Some(&["node", "wire", "content"]),
        "trace" => Some(&["trace", "node", "wire", "content"]),
        "config" => Some(&["config", "node", "wire", "content"]),
        "cli" => Some(&["cli", "config", "node", "wire", "content"]),
        "driver" => Some(&["driver", "config", "trace", "node", "wire", "content"]),
        _ => None,
    }
}

/// Whether a path names the forbidden thing, something in it, or all of what it stands in.
fn names(path: &str, forbidden: &str) -> bool {
    let below = |long: &str, short: &str| {
        long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    below(path, forbidden) || below(forbidden, path.trim_end_matches("::*"))
}

/// Names of the operating system, clocks and chance in the core.
pub(crate) fn forbidden_paths(source: &Source) -> Vec<String> {
    if !CORE.contains(&source.layer()) {
        return Vec::new();
    }
    let mut broken = Vec::new();
    for (line, path) in source.paths() {
        if FORBIDDEN.iter().any(|forbidden| names(&path, forbidden)) {
            broken.push(format!("{}:{line}: the core must not see {path}", source.path));
        }
    }
    broken
}

/// Uses of a layer by one that stands further in.
pub(crate) fn wrong_arrows(source: &Source) -> Vec<String> {
    let Some(allowed) = allowed(source.layer()) else {
        return Vec::new();
    };
    let mut broken = Vec::new();
    for (line, path) in source.paths() {
        let Some(ours) = path.strip_prefix("crate::").or_else(|| path.strip_prefix("sprat::"))
        else {
            continue;
        };
        let used = ours.split("::").next().unwrap_or_default();
        if !allowed.contains(&used) {
            let layer = source.layer();
            broken.push(format!("{}:{line}: {layer} must not use {path}", source.path));
        }
    }
    broken
}

/// Uses of the node's inner parts by the driver.
pub(crate) fn reaches_into_the_node(source: &Source) -> Vec<String> {
    if source.layer() != "driver" {
        return Vec::new();
    }
    let mut broken = Vec::new();
    for (line, path) in source.paths() {
        if path == "crate::node::*" {
            broken.push(format!("{}:{line}: the node's types are named one by one", source.path));
        }
        // After `use crate::node` it is `node` for short.
        let ours = path.strip_prefix("crate::").unwrap_or(&path);
        let Some(inner) = ours.strip_prefix("node::") else {
            continue;
        };
        let first = inner.split("::").next().unwrap_or_default();
        let is_type = first.starts_with(|letter: char| letter.is_ascii_uppercase());
        if !is_type && first != "*" && !NODE_FACE.contains(&first) {
            broken.push(format!("{}:{line}: the driver must not reach into {path}", source.path));
        }
    }
    broken
}

/// Files that are too long.
pub(crate) fn long_files(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    if lines <= FILE_LINES_MAX {
        return Vec::new();
    }
    vec![format!("{}: {lines} lines, at most {FILE_LINES_MAX} are allowed", source.path)]
}

/// Functions that are too long.
pub(crate) fn long_functions(source: &Source) -> Vec<String> {
    let code = source.code.as_bytes();
    let mut broken = Vec::new();
    for (start, _) in source.code.match_indices("fn ") {
        if start > 0 && is_identifier(code[start - 1]) {
            continue;
        }
        let end = item_end(code, start);
        let lines = source.code[start..end].matches('\n').count() + 1;
        if lines > FUNCTION_LINES_MAX {
            let name: String = source.code[start + 3..]
                .chars()
                .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
                .collect();
            let line = source.code[..start].matches('\n').count() + 1;
            broken.push(format!(
                "{}:{line}: {name} has {lines} lines, at most {FUNCTION_LINES_MAX} are allowed",
                source.path
            ));
        }
    }
    broken
}

/// Files that do not say first what they are.
pub(crate) fn missing_opening(source: &Source) -> Vec<String> {
    if source.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![format!("{}: opens without a //! line", source.path)]
}

/// Ways of giving up, outside tests.
pub(crate) fn giving_up(source: &Source) -> Vec<String> {
    let mut broken = Vec::new();
    for (number, line) in source.shipped.lines().enumerate() {
        for word in [".unwrap()", ".unwrap_err()", "panic!", "todo!", "unimplemented!", "dbg!"] {
            let found = line.match_indices(word).any(|(at, _)| {
                word.starts_with('.') || at == 0 || !is_identifier(line.as_bytes()[at - 1])
            });
            if found {
                broken.push(format!("{}:{}: {word} outside tests", source.path, number + 1));
            }
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many places of such a file break a rule.
    fn broken(rule: impl Fn(&Source) -> Vec<String>, path: &str, text: &str) -> usize {
        rule(&Source::new(path, text)).len()
    }

    #[test]
    fn forbidden_words_are_found_however_they_are_written() {
        for text in [
            "use std::fs;",
            "use std::fs::File;",
            "let x = std::fs::read(y);",
            "use std::{fmt, fs};",
            "use std::time::{Duration, Instant};",
            "use std::time::*;",
            "use std::time;\nuse x::y;",
            "use std::net::{IpAddr, UdpSocket as S};",
            "use mio::Poll;",
            "rand::random()",
            "fn f() -> std::\n    env::Args",
        ] {
            for path in ["node/a.rs", "wire/mod.rs", "content/b/c.rs"] {
                assert_eq!(broken(forbidden_paths, path, text), 1, "{path}: {text}");
            }
            assert_eq!(broken(forbidden_paths, "driver/a.rs", text), 0);
        }
    }

    #[test]
    fn what_is_allowed_is_not_found() {
        for text in [
            "use std::net::SocketAddr;",
            "use std::time::Duration;",
            "use super::random::Random;",
            "use crate::node::time::Instant;",
            "use std::fmt;",
            "// std::fs\nlet x = \"std::fs\";",
            "#[cfg(test)]\nmod tests { use std::fs; }",
            "use random::a;",
        ] {
            assert_eq!(broken(forbidden_paths, "node/a.rs", text), 0, "{text}");
        }
    }

    #[test]
    fn arrows() {
        for (path, text, count) in [
            ("content/a.rs", "use crate::content::B;", 0),
            ("content/a.rs", "use crate::wire::B;", 1),
            ("content/a.rs", "use super::super::wire::B;", 1),
            ("content/a.rs", "use crate::{content::A, node::B, driver::C};", 2),
            ("wire/a.rs", "use crate::content::B;", 0),
            ("wire/a.rs", "crate::node::B::new()", 1),
            ("node/a/b.rs", "use crate::wire::B;\nuse super::super::c;", 0),
            ("node/a/b.rs", "use crate::config::B;", 1),
            ("node/mod.rs", "use super::driver::B;", 1),
            ("config.rs", "use crate::driver::B;", 1),
            ("driver/a.rs", "use crate::{config::A, node::B};", 0),
            ("driver/a.rs", "use crate::cli::A;", 1),
            ("main.rs", "use crate::cli::A;", 0),
        ] {
            assert_eq!(broken(wrong_arrows, path, text), count, "{path}: {text}");
        }
    }

    #[test]
    fn the_node_s_face() {
        for (text, count) in [
            ("use crate::node::{Input, Node, Output};", 0),
            ("use crate::node::input::FileSignature;", 0),
            ("use crate::node::fetch::Fetch;", 1),
            ("use crate::node::{Input, serve::Server};", 1),
            ("use crate::node;\nnode::Instant::ORIGIN", 0),
            ("use crate::node;\nnode::fetch::begin()", 1),
            ("use crate::node::*;", 1),
            ("use crate::node::{self, Input};", 0),
        ] {
            assert_eq!(broken(reaches_into_the_node, "driver/a.rs", text), count, "{text}");
            assert_eq!(broken(reaches_into_the_node, "node/a.rs", text), 0);
        }
    }

    #[test]
    fn lengths() {
        let file = |lines: usize| "//! x\n".repeat(lines);
        assert_eq!(broken(long_files, "a.rs", &file(500)), 0);
        assert_eq!(broken(long_files, "a.rs", &file(501)), 1);
        let function = |lines: usize| {
            format!(
                "impl A {{\n    fn f(&self, x: [u8; 4]) {{\n{}    }}\n}}\n",
                "{ '{'; }\n".repeat(lines - 2)
            )
        };
        assert_eq!(broken(long_functions, "a.rs", &function(70)), 0);
        assert_eq!(broken(long_functions, "a.rs", &function(71)), 1);
        let declared =
            format!("trait A {{\n    fn f(&self);\n}}\n{}", "const X: u8 = 0;\n".repeat(99));
        assert_eq!(broken(long_functions, "a.rs", &declared), 0);
    }

    #[test]
    fn openings() {
        assert_eq!(broken(missing_opening, "a.rs", "//! What it owns.\n"), 0);
        assert_eq!(broken(missing_opening, "a.rs", "use a;\n//! Late.\n"), 1);
        assert_eq!(broken(missing_opening, "a.rs", ""), 1);
    }

    #[test]
    fn giving_up_is_for_tests() {
        for (text, count) in [
            ("a.unwrap();", 1),
            ("a.unwrap_or(b);", 0),
            ("panic!();", 1),
            ("fn a() {}\n#[cfg(test)]\nmod tests {\n    a.unwrap();\n}\nb.unwrap();", 1),
            ("// a.unwrap()\n\"panic!\";", 0),
            ("a.expect(\"the invariant\");", 0),
        ] {
            assert_eq!(broken(giving_up, "a.rs", text), count, "{text}");
        }
    }
}
