//! Texts from strangers: names of files, patterns, hosts, and whatever is shown on a terminal.

use sprat::content::nearest::nearest;
use sprat::content::share_name::{COMPONENT_COUNT_MAX, COMPONENT_LENGTH_MAX, NAME_LENGTH_MAX};
use sprat::content::terminal_text::{Unprintable, printable};
use sprat::content::{ContentId, Pattern, ShareName, hex};
use sprat::wire::address::{canonical, format_host, parse_host};

use super::choices::Choices;

pub(crate) fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let attempt = choices.u32();
    let text = String::from_utf8_lossy(choices.chunk()).into_owned();
    let other = String::from_utf8_lossy(choices.rest()).into_owned();
    shown(&text);
    name(&text, attempt);
    patterns(&text, &other);
    host(&text);
    digits(&text);
}

/// What a terminal gets.
fn shown(text: &str) {
    let shown = printable(text).to_string();
    assert!(shown.chars().all(|character| Unprintable::of(character).is_none()));
    assert!(!shown.chars().any(char::is_control));
    if text.chars().all(|character| Unprintable::of(character).is_none()) {
        assert_eq!(shown, text);
    }
}

/// A name leads nowhere but below `share/`, and so does the one beside it.
fn name(text: &str, attempt: u32) {
    let name = match ShareName::parse(text) {
        Ok(name) => name,
        Err(error) => {
            let why = error.to_string();
            assert!(!why.is_empty() && why.chars().all(|each| Unprintable::of(each).is_none()));
            return;
        }
    };
    assert_eq!(name.as_str(), text);
    stays_below(&name);
    let beside = name.beside(ContentId([0xfe; 20]), attempt);
    assert_eq!(ShareName::parse(beside.as_str()).as_ref(), Ok(&beside));
    stays_below(&beside);
    assert_ne!(beside, name.beside(ContentId([0xfd; 20]), attempt), "other content, other name");
    let written = serde_round_trip(&name);
    assert_eq!(written, name);
    assert_eq!(name.borrowed().to_owned(), name);
}

fn stays_below(name: &ShareName) {
    let text = name.as_str();
    assert!((1..=NAME_LENGTH_MAX).contains(&text.len()) && !text.starts_with('/'));
    assert!(name.components().count() <= COMPONENT_COUNT_MAX);
    for component in name.components() {
        assert!(!["", ".", ".."].contains(&component) && component.len() <= COMPONENT_LENGTH_MAX);
    }
    assert!(text.chars().all(|each| each != '\\' && Unprintable::of(each).is_none()));
    assert_eq!(name.components().next_back(), Some(name.file_name()));
    let path = std::path::Path::new(text);
    assert!(path.components().all(|part| matches!(part, std::path::Component::Normal(_))));
    if name.is_offered() {
        assert!(name.components().all(|component| !component.starts_with('.')));
    }
}

fn serde_round_trip(name: &ShareName) -> ShareName {
    let text = serde_json::to_string(name).expect("a name is always JSON");
    serde_json::from_str(&text).expect("a name that was written can be read")
}

fn patterns(text: &str, other: &str) {
    // Matching takes as long as the one times the other.
    let end = |text: &str| (0..=text.len().min(300)).rev().find(|&at| text.is_char_boundary(at));
    let (text, other) = (&text[..end(text).unwrap_or(0)], &other[..end(other).unwrap_or(0)]);
    let pattern = Pattern::new(other);
    let matches = pattern.matches(text);
    if !pattern.is_open() && !other.contains('\\') {
        assert_eq!(matches, text == other, "a plain pattern is a name");
    }
    let plain: String = text.chars().flat_map(|each| ['\\', each]).collect();
    assert!(Pattern::new(&plain).matches(text) || text.ends_with('/'), "every name has a pattern");
    assert!(Pattern::new("**").matches(text));
    assert_eq!(Pattern::new("*").matches(text), !text.contains('/'));
    let near = nearest(other, [text, other, "share/a name"]);
    assert!(near.len() <= 3);
}

fn host(text: &str) {
    let Ok(host) = parse_host(text, |name| (name == "eth0").then_some(7)) else { return };
    assert_eq!(canonical(host), host);
    assert!(host.port() != 0 && !host.ip().is_unspecified() && !host.ip().is_multicast());
    for scope in [None, Some("eth0".to_owned())] {
        let shown = format_host(host, |number| scope.clone().filter(|_| number == 7));
        assert_eq!(parse_host(&shown, |name| (name == "eth0").then_some(7)), Ok(host), "{shown}");
    }
}

fn digits(text: &str) {
    if let Some(bytes) = hex::decode(text) {
        assert_eq!(hex::encode(&bytes), text.to_ascii_lowercase());
    }
    if let Ok(content) = text.parse::<ContentId>() {
        assert_eq!(content.to_string(), text.to_ascii_lowercase());
    }
}
