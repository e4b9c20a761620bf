//! Writes the first inputs of the fuzzers, into `fuzz/corpus/TARGET/`: what this program itself says, writes and reads,
//! from the recordings in `tests/traces/`, the vectors of `tests/wire_vectors.rs` and the help texts. From there on the fuzzers
//! find their own; `docs/fuzzing.md` says how.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use sprat::content::{ContentId, ShareName};
use sprat::node::{Input, Random};
use sprat::trace::{Event, Reader, Record, Step};
use sprat::wire::listing::changes::StepWriter;
use sprat::wire::listing::encode_listing;

/// Recordings are taken up to here: their beginnings have all kinds of lines.
const TRACE_LENGTH: u64 = 6_000;
/// Inputs of nothing but chance, for targets that take bytes for choices.
const BY_CHANCE: u64 = 12;

/// Where the inputs of one target go.
struct Corpus {
    folder: PathBuf,
    count: usize,
}

impl Corpus {
    fn of(target: &str) -> io::Result<Self> {
        let folder = root().join("fuzz/corpus").join(target);
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, count: 0 })
    }

    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.count += 1;
        fs::write(self.folder.join(format!("seed-{:03}", self.count)), bytes)
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn main() -> io::Result<()> {
    let traces = traces()?;
    let datagrams = datagrams(&traces)?;
    let mut decode = Corpus::of("decode")?;
    for bytes in &datagrams {
        decode.add(bytes)?;
    }
    for (target, lengths) in [
        ("round_trip", 96),
        ("peer", 400),
        ("fetch", 400),
        ("pair", 120),
        ("limits", 120),
        ("ranges", 120),
    ] {
        by_chance(&mut Corpus::of(target)?, lengths)?;
    }
    machines(&traces)?;
    listings()?;
    names()?;
    chunk_names()?;
    arguments()?;
    let mut corpus = Corpus::of("trace")?;
    for (whole, _) in &traces {
        corpus.add(whole)?;
        // The header, and one line beside it.
        let mut lines = whole.split_inclusive(|byte| *byte == b'\n');
        let header = lines.next().unwrap_or_default();
        for line in lines.step_by(9) {
            corpus.add(&[header, line].concat())?;
        }
    }
    Ok(())
}

/// The beginning of each recording as it stands there, and the steps that it consists of.
fn traces() -> io::Result<Vec<(Vec<u8>, Vec<Step>)>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(root().join("tests/traces"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()?;
    paths.sort();
    let mut traces = Vec::new();
    for path in paths {
        let mut bytes = Vec::new();
        fs::File::open(&path)?.take(TRACE_LENGTH).read_to_end(&mut bytes)?;
        let whole_lines = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        bytes.truncate(whole_lines);
        let mut steps = Vec::new();
        if let Ok((_, mut reader)) = Reader::new(&bytes[..]) {
            while let Ok(Some(record)) = reader.next_record() {
                steps.extend(match record {
                    Record::Step(step) => Some(step),
                    _ => None,
                });
            }
        }
        traces.push((bytes, steps));
    }
    Ok(traces)
}

/// Datagrams as they were recorded, and those of the protocol's vectors.
fn datagrams(traces: &[(Vec<u8>, Vec<Step>)]) -> io::Result<Vec<Vec<u8>>> {
    let mut datagrams: Vec<Vec<u8>> = Vec::new();
    for (_, steps) in traces {
        datagrams.extend(steps.iter().filter_map(|step| match &step.event {
            Event::Datagram { bytes, .. } => Some(bytes.clone()),
            _ => None,
        }));
    }
    let vectors = fs::read_to_string(root().join("tests/wire_vectors.rs"))?;
    for vector in vectors.split("\"53 70").skip(1) {
        let text = vector.split('"').next().unwrap_or_default();
        let digits: String = text
            .lines()
            .flat_map(|line| line.split(';').next().unwrap_or_default().chars())
            .filter(|each| !each.is_whitespace())
            .collect();
        let bytes = sprat::content::hex::decode(&digits);
        datagrams.extend(bytes.map(|bytes| [&[0x53, 0x70], &bytes[..]].concat()));
    }
    datagrams.sort();
    datagrams.dedup();
    // One of each length and type will do.
    datagrams.dedup_by_key(|bytes| (bytes.get(3).copied(), bytes.len()));
    Ok(datagrams)
}

fn by_chance(corpus: &mut Corpus, length: u64) -> io::Result<()> {
    let mut random = Random::new([5; 32]);
    for _ in 0..BY_CHANCE {
        let length = length / 4 + random.below(length);
        let bytes: Vec<u8> = (0..length).map(|_| random.next_u64() as u8).collect();
        corpus.add(&bytes)?;
    }
    Ok(())
}

/// What was recorded, as acts of the targets `peer` and `fetch`: datagrams as they were, and time that passes.
fn machines(traces: &[(Vec<u8>, Vec<Step>)]) -> io::Result<()> {
    let mut corpora = ["peer", "fetch"].map(Corpus::of);
    for (_, steps) in traces {
        let mut acts = vec![0];
        for step in steps {
            match &step.event {
                Event::Datagram { bytes, .. } => {
                    acts.extend_from_slice(&[21, 0, 1 + (step.n % 3) as u8]);
                    acts.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
                    acts.extend_from_slice(bytes);
                }
                Event::Wake { .. } => acts.extend_from_slice(&[8, 199, 224, 0, 0, 0, 200]),
                // What waits is answered, and a host answers what it was asked.
                Event::Input(Input::Command(_)) => acts.extend_from_slice(&[19, 0, 0, 0]),
                Event::Input(_) => acts.extend_from_slice(&[11, 0, 0, 5, 0, 0]),
            }
        }
        for corpus in corpora.iter_mut().flatten() {
            // The name of an input is its number: those by chance have the first ones.
            corpus.count = corpus.count.max(BY_CHANCE as usize);
            corpus.add(&acts[..acts.len().min(3_000)])?;
        }
    }
    Ok(())
}

fn listings() -> io::Result<()> {
    let names = ["a", "animals/fox.txt", "animals/quick-fox.txt", "film.mov", "music/01 - süß.ogg"];
    let files: Vec<(ShareName, ContentId, u64)> = names
        .iter()
        .zip([0, 43, 127, 128, (1 << 53) - 1])
        .filter_map(|(name, size)| Some((ShareName::parse(name).ok()?, ContentId([9; 20]), size)))
        .collect();
    let listing = encode_listing(files.iter().map(|(name, content, size)| (name, *content, *size)));
    let mut step = StepWriter::new(10_000);
    step.gone(&files[0].0);
    step.gone(&files[1].0);
    step.come(&files[2].0, files[2].1, files[2].2);
    step.come(&files[4].0, files[4].1, files[4].2);
    let step = step.finish().unwrap_or_default();
    let mut corpus = Corpus::of("listing")?;
    corpus.add(&[&[0, 0, 1], &listing.bytes[..]].concat())?;
    corpus.add(&[&[0, 200, 0, 60, 1], &listing.bytes[..]].concat())?;
    corpus.add(&[&[1, 0, 1, 0], &step[..]].concat())?;
    corpus.add(&[&[1, 0, 2, 0], &step[..], &step[..], &[0; 40]].concat())?;
    let old = [2, 2, 7, 2, b'a', b'b', b'c', 9, 1, 3, 1, b'd', b'e', 60, 2];
    corpus.add(&old)?;
    corpus.add(&[&old[..], &[1, 0, 1], &old[1..], &old[1..]].concat())
}

fn names() -> io::Result<()> {
    let mut corpus = Corpus::of("names")?;
    for (text, pattern) in [
        ("animals/quick-fox.txt", "animals/*.txt"),
        ("film (2fd4e1c6).mov", "**/*.mov"),
        ("../outside", "[!a-z]?"),
        ("/etc/passwd", "folder/"),
        ("bell\u{7}\u{1b}[31m\u{202e}", "\\*"),
        ("می\u{200c}خواهم.tar.gz", "**"),
        ("192.0.2.4:30000", "a*b*c"),
        ("[fe80::1%eth0]:9", "[]"),
        ("2fd4e1c67a2d28fced849ee1bb76e7391b93eb12", "[^]-a]"),
        (".hidden/file.part", "file~"),
    ] {
        let length = (text.len() as u16).to_be_bytes();
        corpus.add(&[&[0, 0, 0, 2], &length[..], text.as_bytes(), pattern.as_bytes()].concat())?;
    }
    Ok(())
}

fn chunk_names() -> io::Result<()> {
    let mut corpus = Corpus::of("chunk_names")?;
    let id = ContentId::EMPTY;
    for (attrs, name) in [
        ("hackers.mov", format!("{id}:attrs")),
        ("{ \"name\": \"hackers.mov\", \"size\": 967632312 }", format!("{id}:chunk:0")),
        ("a \"b\"/süß.txt", format!("{id}:chunk:18446744073709551615")),
        ("{\"size\":1e3}", format!("{id}:join:65536")),
        ("", format!("{id}:new:7-1")),
        ("{", format!("{id}:whole")),
    ] {
        let length = (attrs.len() as u16).to_be_bytes();
        corpus.add(&[&[7], &length[..], attrs.as_bytes(), name.as_bytes()].concat())?;
    }
    Ok(())
}

/// The command lines of the help texts, and every option that they name.
fn arguments() -> io::Result<()> {
    use sprat::cli;
    let mut corpus = Corpus::of("arguments")?;
    let sha1 = "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12";
    for help in [
        cli::HELP,
        cli::PEER_HELP,
        cli::FETCH_HELP,
        cli::LS_HELP,
        cli::LOC_HELP,
        cli::GET_HELP,
        cli::ADD_HELP,
        cli::RM_HELP,
        cli::DOCTOR_HELP,
        cli::TRACKER_HELP,
        cli::REPLAY_HELP,
    ] {
        let lines = help.lines().map(str::trim);
        for line in lines.clone().filter_map(|line| line.strip_prefix("sprat ")) {
            let words: Vec<&str> = line
                .split(['[', ']', ' '])
                .filter(|word| !word.is_empty() && *word != "...")
                .map(|word| match word {
                    "SHA1" => sha1,
                    "SIZE" => "43",
                    "IP" => "192.0.2.4:30000",
                    word => word,
                })
                .collect();
            corpus.add(words.join("\n").as_bytes())?;
        }
        let options: Vec<&str> = lines.filter(|line| line.starts_with('-')).collect();
        let words: Vec<&str> =
            options.iter().flat_map(|line| line.split([' ', ','])).take(24).collect();
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        corpus.add(format!("fetch\n{sha1}\nname\n1\n{}", words.join("\n")).as_bytes())?;
    }
    corpus.add(b"peer\n\nSPRAT_PORT=1\nSPRAT_ROOT=/x\nSPRAT_LIMIT=3M\nSPRAT_PEER=192.0.2.1,[fe80::1%eth0]:5")?;
    corpus.add(format!("-vv\n--root=/x\n{sha1}\n--help\n1\n--timeout\n1.5\n::1").as_bytes())
}
