//! Answers from a document, and to readers that stop.

use std::fs;

use super::*;

const FOX: &str = "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12";

fn catalog() -> Catalog {
    let root = tempfile::tempdir().unwrap();
    let other = "01".repeat(20);
    let document = format!(
        r#"{{ "discovered_timestamp": 1, "discovered_files": [
        {{"sha1":"{other}","size":7,"locations":[{{"ip":"192.0.2.4","filename":"fox.txt"}}]}},
        {{"sha1":"{FOX}","size":43,"locations":[
            {{"ip":"192.0.2.4","filename":"a/fox.txt"}},
            {{"ip":"192.0.2.7:9","filename":"a/fox.txt"}},
            {{"ip":"192.0.2.7:9","filename":"fox.txt"}},
            {{"ip":"192.0.2.7:9","filename":"../fox.txt"}}]}}]}}"#
    );
    fs::write(root.path().join("d.json"), document).unwrap();
    Catalog::read(root.path()).unwrap()
}

fn shown(catalog: &Catalog, wanted: &str) -> Vec<String> {
    let wanted = Wanted::Name(wanted.to_owned());
    let rows = catalog.wanted(&wanted);
    rows.iter().map(|row| format!("{} {}", row.name, row.content.1)).collect()
}

#[test]
fn names_patterns_and_contents() {
    let catalog = catalog();
    assert_eq!(shown(&catalog, "fox.txt"), ["fox.txt 7", "fox.txt 43"]);
    assert_eq!(shown(&catalog, "a/"), ["a/fox.txt 43"]);
    assert_eq!(shown(&catalog, "**/f*"), ["a/fox.txt 43", "fox.txt 7", "fox.txt 43"]);
    assert_eq!(shown(&catalog, "../fox.txt"), [""; 0], "such a name is not taken from anybody");
    let content = (FOX.parse().unwrap(), 43);
    let rows = catalog.wanted(&Wanted::Content(content.0));
    assert_eq!(rows.iter().map(|row| row.name).collect::<Vec<_>>(), ["a/fox.txt", "fox.txt"]);
    assert_eq!(catalog.hosts_of(content), ["192.0.2.4", "192.0.2.7:9"]);
    assert_eq!(
        catalog.locations(content),
        [("192.0.2.4", "a/fox.txt"), ("192.0.2.7:9", "a/fox.txt"), ("192.0.2.7:9", "fox.txt")]
    );
}

#[test]
fn what_matches_nothing_is_told_with_what_is_near() {
    let catalog = catalog();
    for (wanted, sentence) in [
        ("fix.txt", "no file is called fix.txt; there are a/fox.txt and fox.txt"),
        ("a", "a is a folder: a/ means all that is in it"),
        ("zebra*", "nothing fits zebra*: sprat ls lists all that there are"),
        ("zebra", "no file is called zebra: sprat ls lists all that there are"),
        ("\u{1b}[2J", "no file is called \\u{1b}[2J: sprat ls lists all that there are"),
    ] {
        let trouble = no_match(&Wanted::Name(wanted.to_owned()), &catalog);
        assert_eq!((trouble.sentence.as_str(), trouble.code), (sentence, FAILED));
    }
}

/// A reader that takes so many bytes.
struct Reader(usize, io::ErrorKind);

impl Write for Reader {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(self.1.into());
        }
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_is_gone_is_no_error_and_a_full_disk_is_one() {
    let catalog = catalog();
    for (json, kind, good) in [
        (false, io::ErrorKind::BrokenPipe, true),
        (true, io::ErrorKind::BrokenPipe, true),
        (false, io::ErrorKind::StorageFull, false),
        (true, io::ErrorKind::StorageFull, false),
    ] {
        let mut answers = Answers { out: Reader(50, kind), json };
        let told = answers.all(catalog.all().iter().map(|row| FileAnswer::of(row, &catalog)));
        assert_eq!(told.is_ok(), good, "{kind:?}");
    }
}

/// An answer with what no host can say, as long as names and hosts are what they are.
#[derive(serde::Serialize)]
struct Hostile {
    text: &'static str,
}

impl Answer for Hostile {
    fn text(&self) -> String {
        printable(self.text).to_string()
    }
}

#[test]
fn no_answer_drives_a_terminal() {
    for json in [false, true] {
        let mut answers = Answers { out: Vec::new(), json };
        assert!(answers.all([Hostile { text: "\u{9b}31m\u{202e}" }].into_iter()).is_ok());
        let said = String::from_utf8(answers.out).unwrap();
        assert!(said.lines().count() == 1 && said.is_ascii(), "{said:?}");
    }
}
