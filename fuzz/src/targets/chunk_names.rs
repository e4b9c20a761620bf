//! What stands in `chunks/`: names of files there, and what attrs say. Both may be anybody's work.

use sprat::content::ShareName;
use sprat::content::block_layout::CONTENT_SIZE_MAX;
use sprat::driver::chunk_store::attrs_text;
use sprat::driver::chunk_store::names::{self, ChunkFolderEntry};

use super::choices::Choices;

pub(crate) fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let size = choices.number();
    let text = choices.chunk();
    check_name(choices.rest());
    check_attrs(text, size);
}

/// A name that is read is the one that is written: no two names mean the same file.
fn check_name(name: &[u8]) {
    let Some((content, entry)) = names::parse(name) else { return };
    assert!(
        !name.contains(&b'/')
            && !name.contains(&0)
            && name[..40].iter().all(|byte| byte.is_ascii_hexdigit())
    );
    match entry {
        ChunkFolderEntry::Attrs => assert_eq!(names::attrs(content).as_bytes(), name),
        ChunkFolderEntry::Chunk { start } => {
            assert_eq!(names::chunk(content, start).as_bytes(), name);
        }
        ChunkFolderEntry::Joining { start } => {
            assert!(name.ends_with(format!(":join:{start}").as_bytes()));
        }
        ChunkFolderEntry::Temporary => {}
    }
}

fn check_attrs(text: &[u8], size: u64) {
    if let Some(size) = attrs_text::size(text) {
        assert!(size <= CONTENT_SIZE_MAX);
    }
    let Some(name) = std::str::from_utf8(text).ok().and_then(|text| ShareName::parse(text).ok())
    else {
        return;
    };
    let size = size.min(CONTENT_SIZE_MAX);
    let written = attrs_text::text(&name, size);
    assert!(
        written.starts_with("{ \"name\": \"")
            && written.ends_with(&format!("\", \"size\": {size} }}"))
    );
    assert_eq!(attrs_text::size(written.as_bytes()), Some(size));
    assert!(written.len() as u64 <= attrs_text::ATTRS_LENGTH_MAX);
    let value: serde_json::Value = serde_json::from_str(&written).expect("attrs are JSON");
    assert_eq!(value["name"], name.as_str());
}
