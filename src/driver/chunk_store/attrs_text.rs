//! What attrs say. Ours are the contract's to the letter; those that stand there may be anybody's.

use serde::Deserialize;

use crate::content::ShareName;
use crate::content::block_layout::CONTENT_SIZE_MAX;

/// The most bytes of attrs: a name of 1,024 bytes, each written as `\u0000`, and the rest.
pub const ATTRS_LENGTH_MAX: u64 = 8 * 1024;

#[derive(Deserialize)]
struct Attrs {
    size: u64,
}

/// What the attrs of this file hold, to the letter.
pub fn text(name: &ShareName, size: u64) -> String {
    let name = serde_json::Value::from(name.as_str());
    format!("{{ \"name\": {name}, \"size\": {size} }}")
}

/// The size that attrs tell, if they are attrs, and no content is too long for it.
pub fn size(text: &[u8]) -> Option<u64> {
    let attrs: Attrs = serde_json::from_slice(text).ok()?;
    Some(attrs.size).filter(|size| *size <= CONTENT_SIZE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_the_contracts_to_the_letter() {
        let name = |text: &str| ShareName::parse(text).unwrap();
        assert_eq!(
            text(&name("hackers.mov"), 967_632_312),
            r#"{ "name": "hackers.mov", "size": 967632312 }"#
        );
        assert_eq!(
            text(&name("a \"b\"/süß.txt"), 0),
            r#"{ "name": "a \"b\"/süß.txt", "size": 0 }"#
        );
    }

    #[test]
    fn a_size_is_read_if_a_content_can_have_it() {
        let text = text(&ShareName::parse("a").unwrap(), CONTENT_SIZE_MAX);
        assert_eq!(size(text.as_bytes()), Some(CONTENT_SIZE_MAX));
        for (text, told) in [
            ("{\"size\":9007199254740992}", None),
            ("{\"size\":-1}", None),
            ("{\"size\":1.5}", None),
            ("{\"name\":\"a\"}", None),
            ("{\"size\":7", None),
            ("{\"size\":7}", Some(7)),
        ] {
            assert_eq!(size(text.as_bytes()), told, "{text}");
        }
    }
}
