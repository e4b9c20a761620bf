//! A source file as the rules see it: what is comment, text or test does not count as code.

use std::path::Path;

/// One file of `src/`.
pub(crate) struct Source {
    /// The path below `src/`, with `/`.
    pub(crate) path: String,
    /// All of it.
    pub(crate) text: String,
    /// All of it, comments and literals blanked; each line stands where it stood.
    pub(crate) code: String,
    /// The same without what is compiled for tests only; empty where that is the whole file.
    pub(crate) shipped: String,
}

impl Source {
    /// The file of this path with this text.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = blank_literals(text);
        let only_tests = path.ends_with("/tests.rs") || path.contains("/tests/");
        let shipped = if only_tests { String::new() } else { blank_tests(&code) };
        Self { path: path.to_owned(), text: text.to_owned(), code, shipped }
    }

    /// Every Rust file below a folder, in the order of their paths.
    pub(crate) fn all_below(root: &str) -> Vec<Self> {
        let (mut folders, mut sources) = (vec![Path::new(root).to_owned()], Vec::new());
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("a folder of src/ can be read") {
                let path = entry.expect("an entry of src/ can be read").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = std::fs::read_to_string(&path).expect("a source can be read");
                    let name = path.strip_prefix(root).expect("it is below the root");
                    let name = name.to_str().expect("sources have plain names");
                    sources.push(Self::new(&name.replace('\\', "/"), &text));
                }
            }
        }
        sources.sort_by(|one, other| one.path.cmp(&other.path));
        sources
    }

    /// The outermost module: `node` for `node/serve.rs` and for `node.rs`.
    pub(crate) fn layer(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// The module's own path: `node`, `fetch` for `node/fetch/mod.rs`.
    pub(crate) fn module(&self) -> Vec<&str> {
        let mut parts: Vec<&str> = self.path.trim_end_matches(".rs").split('/').collect();
        if parts.last().is_some_and(|last| matches!(*last, "mod" | "lib" | "main")) {
            parts.pop();
        }
        parts
    }

    /// Every path with at least one `::` in the shipped code, groups written out, `super` and
    /// `self` resolved, each with its line.
    pub(crate) fn paths(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for (number, line_paths) in collect_paths(&self.shipped) {
            found.push((number, self.resolve(&line_paths)));
        }
        found
    }

    fn resolve(&self, path: &str) -> String {
        let mut parts: Vec<&str> = path.split("::").collect();
        if !matches!(parts[0], "self" | "super") {
            return path.to_owned();
        }
        let mut module = self.module();
        while let Some(first) = parts.first() {
            match *first {
                "self" => {}
                "super" => drop(module.pop()),
                _ => break,
            }
            parts.remove(0);
        }
        ["crate"].into_iter().chain(module).chain(parts).collect::<Vec<_>>().join("::")
    }
}

/// Blanks comments, strings and characters; line ends stay.
fn blank_literals(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8(code).expect("whole literals were blanked")
}

/// Where the comment or literal that begins here ends; here, if none begins.
fn literal_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let in_identifier = at > 0 && is_identifier(bytes[at - 1]);
    let until = |pattern: &[u8], from: usize| {
        let found = rest[from..].windows(pattern.len()).position(|window| window == pattern);
        at + found.map_or(rest.len(), |found| from + found + pattern.len())
    };
    if rest.starts_with(b"//") {
        return rest.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| at + end);
    }
    if rest.starts_with(b"/*") {
        return until(b"*/", 2);
    }
    let raw = rest.strip_prefix(b"b").unwrap_or(rest);
    if !in_identifier && raw.starts_with(b"r") {
        let hashes = raw[1..].iter().take_while(|byte| **byte == b'#').count();
        if raw.get(1 + hashes) == Some(&b'"') {
            let start = rest.len() - raw.len() + 2 + hashes;
            return until(&[b"\"".as_slice(), &b"#".repeat(hashes)].concat(), start);
        }
    }
    match rest[0] {
        b'"' => at + quoted_length(rest, b'"'),
        // A lifetime has no second quote right after its first character.
        b'\'' if rest.get(1) == Some(&b'\\') => at + quoted_length(rest, b'\''),
        b'\'' => {
            let width = std::str::from_utf8(&rest[1..rest.len().min(5)])
                .or_else(|error| std::str::from_utf8(&rest[1..1 + error.valid_up_to()]))
                .ok()
                .and_then(|text| text.chars().next())
                .map_or(1, char::len_utf8);
            if rest.get(1 + width) == Some(&b'\'') { at + width + 2 } else { at }
        }
        _ => at,
    }
}

/// The length of a literal from its opening quote to its closing one.
fn quoted_length(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Blanks every item under `#[cfg(test)]`.
fn blank_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut shipped = code.as_bytes().to_vec();
    let mut from = 0;
    while let Some(found) = code[from..].find(MARK) {
        let start = from + found;
        let end = item_end(code.as_bytes(), start + MARK.len());
        for byte in &mut shipped[start..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        from = end;
    }
    String::from_utf8_lossy(&shipped).into_owned()
}

/// Where the item that begins here ends: at its `;`, or at the brace that closes its first one.
pub(crate) fn item_end(code: &[u8], start: usize) -> usize {
    let (mut braces, mut brackets) = (0usize, 0usize);
    for (at, byte) in code.iter().enumerate().skip(start) {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets = brackets.saturating_sub(1),
            b'{' => braces += 1,
            b'}' => {
                braces = braces.saturating_sub(1);
                if braces == 0 {
                    return at + 1;
                }
            }
            b';' if braces == 0 && brackets == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// Whether a byte can be part of a name.
pub(crate) fn is_identifier(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Every `a::b` of the code with its line, groups written out: `a::{b, c::d}` is `a::b` and
/// `a::c::d`.
fn collect_paths(code: &str) -> Vec<(usize, String)> {
    let bytes = code.as_bytes();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        if is_identifier(bytes[at]) {
            at = read_path(bytes, at, "", &mut found);
        } else {
            at += 1;
        }
    }
    found.retain(|(_, path): &(usize, String)| path.contains("::"));
    found
        .into_iter()
        .map(|(position, path)| (code[..position].matches('\n').count() + 1, path))
        .collect()
}

/// Reads the path that begins here, below a prefix; gives back where it ends.
fn read_path(bytes: &[u8], start: usize, prefix: &str, found: &mut Vec<(usize, String)>) -> usize {
    let (mut at, mut path) = (start, prefix.to_owned());
    loop {
        let name = bytes[at..].iter().take_while(|byte| is_identifier(**byte)).count();
        let name = if name == 0 && bytes.get(at) == Some(&b'*') { 1 } else { name };
        let text = std::str::from_utf8(&bytes[at..at + name]).unwrap_or_default();
        // `a::{self}` is `a`.
        if text != "self" || path.is_empty() {
            path = if path.is_empty() { text.to_owned() } else { format!("{path}::{text}") };
        }
        at += name;
        let next = skip_blanks(bytes, at);
        if !bytes[next..].starts_with(b"::") {
            break;
        }
        let next = skip_blanks(bytes, next + 2);
        match bytes.get(next) {
            Some(b'{') => return read_group(bytes, next + 1, &path, found),
            Some(byte) if is_identifier(*byte) || *byte == b'*' => at = next,
            _ => break,
        }
    }
    found.push((start, path));
    at.max(start + 1)
}

/// Reads the paths of a group up to its closing brace.
fn read_group(bytes: &[u8], start: usize, prefix: &str, found: &mut Vec<(usize, String)>) -> usize {
    let mut at = start;
    loop {
        at = skip_blanks(bytes, at);
        match bytes.get(at) {
            Some(byte) if is_identifier(*byte) || *byte == b'*' => {
                at = read_path(bytes, at, prefix, found);
                // What follows `as` is a new name, not a path.
                let next = skip_blanks(bytes, at);
                if bytes[next..].starts_with(b"as ") {
                    let name = skip_blanks(bytes, next + 3);
                    let length = bytes[name..].iter().take_while(|b| is_identifier(**b)).count();
                    at = name + length;
                }
            }
            Some(b'}') | None => return at + 1,
            Some(_) => at += 1,
        }
    }
}

fn skip_blanks(bytes: &[u8], at: usize) -> usize {
    at + bytes[at.min(bytes.len())..].iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        Source::new("node/fetch.rs", text).paths().into_iter().map(|(_, path)| path).collect()
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        let text = "a // std::fs\n/* std::fs\n */ b \"std::fs \\\" x\" c r#\"std::fs\"# d b\"x\" \
                    '\"' e \
                    '\\'' f 'é' g<'a> b'{' h";
        let code = blank_literals(text);
        let words: Vec<_> = code.split_whitespace().collect();
        assert_eq!(words, ["a", "b", "c", "d", "b", "e", "f", "g<'a>", "b", "h"]);
        assert_eq!(code.matches('\n').count(), 2);
    }

    #[test]
    fn tests_do_not_ship() {
        let source = Source::new(
            "node/a.rs",
            "fn a() { b() }\n#[cfg(test)]\nuse c;\nfn d() {}\n#[cfg(test)]\n\
             mod tests {\n fn e() {}\n}\n",
        );
        let shipped: Vec<_> = source.shipped.split_whitespace().collect();
        assert_eq!(shipped.join(" "), "fn a() { b() } fn d() {}");
        assert_eq!(Source::new("node/a/tests.rs", "fn a() {}").shipped, "");
    }

    #[test]
    fn groups_are_written_out() {
        assert_eq!(
            paths("use a::{b, c::{self, d as e, f::*}, g::h};\nlet x: i::J<k::L> = m::n();"),
            ["a::b", "a::c", "a::c::d", "a::c::f::*", "a::g::h", "i::J", "k::L", "m::n"]
        );
        assert_eq!(paths("use a::\n  b::\n  {c};\n"), ["a::b::c"]);
        assert_eq!(paths("Vec::<u8>::new()"), Vec::<String>::new());
    }

    #[test]
    fn supers_are_resolved() {
        assert_eq!(paths("use super::a::B;"), ["crate::node::a::B"]);
        assert_eq!(paths("use super::super::driver::C;"), ["crate::driver::C"]);
        assert_eq!(paths("use self::a::B;"), ["crate::node::fetch::a::B"]);
        assert_eq!(paths("use super::{a, super::driver};"), ["crate::node::a", "crate::driver"]);
    }

    #[test]
    fn lines_are_counted() {
        let source = Source::new("wire/a.rs", "\n\nuse a::b;\n");
        assert_eq!(source.paths(), [(3, "a::b".to_owned())]);
    }
}
