//! `e.json` is what `d.json` looks like.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::*;

const EXAMPLE: &str = include_str!("../../e.json");

/// The keys and types of a value; all elements of a list must have the same.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let shapes: BTreeMap<_, _> =
                map.iter().map(|(key, v)| (key.clone(), shape(v))).collect();
            serde_json::json!(shapes)
        }
        Value::Array(list) => {
            let shapes: Vec<_> = list.iter().map(shape).collect();
            assert!(shapes.windows(2).all(|pair| pair[0] == pair[1]), "{shapes:?}");
            Value::Array(shapes.into_iter().take(1).collect())
        }
        Value::Number(number) => format!("number, whole: {}", number.is_u64()).into(),
        Value::String(_) => "string".into(),
        other => panic!("neither in the contract: {other}"),
    }
}

/// `e.json`: "an example of what `d.json` looks like"; it is the contract's own.
#[test]
fn the_example_is_the_contracts() {
    let document: Document = serde_json::from_str(EXAMPLE).unwrap();
    assert_eq!(document.discovered_timestamp, 1_498_596_074_226);
    assert_eq!(document.discovered_files.len(), 1);
    let entry = &document.discovered_files[0];
    assert_eq!(entry.sha1, files::sha1_of(b"The quick brown fox jumps over the lazy dog"));
    assert_eq!(entry.size, 43);
    assert_eq!(document.filenames(), ["fox.txt", "animals/quick-fox.txt"]);
}

/// "`e.json` shows the format, and a test holds what `peer` writes against it" (issue 2, 8): the same
/// keys, the same types.
#[test]
fn what_peer_writes_has_the_shape_of_the_example() {
    in_lab(2, |lab| {
        let content = Content::of("The quick brown fox jumps over the lazy dog");
        lab.put(0, "fox.txt", &content);
        lab.put(0, "animals/quick-fox.txt", &content);
        let _peers = (lab.host(0).peer(), lab.host(1).peer());
        lab.host(1).sees(&content, 2);
        let text = std::fs::read_to_string(lab.host(1).root.join("d.json")).unwrap();
        let written: Value = serde_json::from_str(&text).unwrap();
        let example: Value = serde_json::from_str(EXAMPLE).unwrap();
        assert_eq!(shape(&written), shape(&example));
    });
}
