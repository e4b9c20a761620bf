//! Serving real files over loopback, with change under the server's hands.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use super::*;
use crate::driver::receive_batch::ReceiveBatch;
use crate::driver::udp_socket::BindAddress;
use crate::wire::{self, Message};

const NONCE: u64 = 0x0123_4567_89ab_cdef;

struct Bench {
    folder: tempfile::TempDir,
    share: ShareFolder,
    serving: Serving,
    sender: UdpSocket,
    receiver: UdpSocket,
}

impl Bench {
    fn new(plain: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let share = ShareFolder::open_or_make(&folder.path().join("share")).unwrap();
        let at =
            BindAddress { address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), scope_id: 0, port: 0 };
        Self {
            folder,
            share,
            serving: Serving::new(),
            sender: UdpSocket::bind(at, plain).unwrap(),
            receiver: UdpSocket::bind(at, plain).unwrap(),
        }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join("share").join(name)
    }

    fn offer(&self, name: &str, bytes: &[u8]) -> ServeSource {
        fs::write(self.path(name), bytes).unwrap();
        let name = ShareName::parse(name).unwrap();
        let signature = self.share.signature_of(&name).unwrap();
        ServeSource::File { name, signature }
    }

    fn serve(&mut self, source: &ServeSource, offset: u64, length: u32) -> ServeOutcome {
        self.serve_in(source, offset, length, 1_408)
    }

    fn serve_in(
        &mut self,
        source: &ServeSource,
        offset: u64,
        length: u32,
        payload_length: u16,
    ) -> ServeOutcome {
        let order = ServeOrder {
            to: self.receiver.local_address(),
            nonce: NONCE,
            source: source.clone(),
            offset,
            length,
            payload_length,
        };
        let shelves = Shelves { share: &self.share, partials: None, cache: None, listings: None };
        self.serving.serve(Instant::ORIGIN, &order, shelves, &mut self.sender)
    }

    /// What came so far: offset to payload, all under the nonce and of this kind.
    fn received(&mut self, kind: DataKind) -> BTreeMap<u64, Vec<u8>> {
        let mut all = BTreeMap::new();
        let mut batch = ReceiveBatch::new();
        loop {
            let more = self.receiver.receive(&mut batch);
            while let Some((_, datagram)) = batch.take() {
                let Ok(Message::Data(data)) = wire::decode(datagram) else {
                    panic!("no data: {datagram:?}")
                };
                assert_eq!((data.header.kind, data.header.nonce), (kind, NONCE));
                all.insert(data.header.offset, data.payload.to_vec());
            }
            if !more {
                return all;
            }
        }
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 251) as u8).collect()
}

#[test]
fn a_range_arrives_in_packets_of_the_length_that_was_asked_for() {
    for plain in [false, true] {
        let mut bench = Bench::new(plain);
        let bytes = pattern(200_000);
        let source = bench.offer("file", &bytes);
        for (offset, length, payload) in
            [(0, 65_536, 1_408), (70_001, 65_536, 1_152), (199_999, 1, 1_408), (5, 65_536, 8_896)]
        {
            assert_eq!(bench.serve_in(&source, offset, length, payload), ServeOutcome::Sent);
            let came = bench.received(DataKind::Data);
            assert_eq!(came.len(), (length as usize).div_ceil(usize::from(payload)));
            assert!(came.values().rev().skip(1).all(|part| part.len() == usize::from(payload)));
            let joined: Vec<u8> = came.into_values().flatten().collect();
            let start = offset as usize;
            assert!(joined == bytes[start..start + length as usize], "{offset} {length} {plain}");
        }
    }
}

#[test]
fn bytes_from_memory_are_meta_and_end_where_they_end() {
    let mut bench = Bench::new(false);
    let bytes = pattern(3_000);
    let source = ServeSource::Bytes(bytes.clone().into());
    assert_eq!(bench.serve(&source, 100, 2_900), ServeOutcome::Sent);
    let came = bench.received(DataKind::Meta);
    assert_eq!(came.into_values().flatten().collect::<Vec<u8>>(), bytes[100..]);
    assert_eq!(bench.serve(&source, 100, 2_901), ServeOutcome::Changed);
    assert_eq!(bench.serve(&source, u64::MAX / 2, 1), ServeOutcome::Changed);
}

#[test]
fn what_happens_to_an_open_file_is_noticed() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 6] = [
        ("appended", |path| {
            use std::io::Write;
            let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
            file.write_all(b"more").unwrap();
        }),
        ("cut", |path| fs::OpenOptions::new().write(true).open(path).unwrap().set_len(9).unwrap()),
        ("removed", |path| fs::remove_file(path).unwrap()),
        ("replaced", |path| {
            let other = path.with_extension("new");
            fs::write(&other, pattern(9_000)).unwrap();
            fs::rename(other, path).unwrap();
        }),
        ("replaced by a folder", |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }),
        ("replaced by a link", |path| {
            let other = path.with_extension("old");
            fs::rename(path, &other).unwrap();
            std::os::unix::fs::symlink(other, path).unwrap();
        }),
    ];
    for (what, change) in changes {
        for opened_before in [false, true] {
            let mut bench = Bench::new(false);
            let source = bench.offer("file", &pattern(9_000));
            if opened_before {
                assert_eq!(bench.serve(&source, 0, 9_000), ServeOutcome::Sent);
                assert_eq!(bench.received(DataKind::Data).len(), 7);
            }
            change(&bench.path("file"));
            assert_eq!(bench.serve(&source, 0, 9_000), ServeOutcome::Changed, "{what}");
            assert_eq!(bench.received(DataKind::Data).len(), 0, "{what}: no byte of it is sent");
        }
    }
}

#[test]
fn what_is_not_there_is_changed_and_nonsense_fails() {
    let mut bench = Bench::new(false);
    let source = bench.offer("file", b"four");
    assert_eq!(bench.serve(&source, 2, 3), ServeOutcome::Changed, "beyond the end");
    let content = ContentId::EMPTY;
    assert_eq!(bench.serve(&ServeSource::Partial { content }, 0, 1), ServeOutcome::Changed);
    assert_eq!(bench.serve(&ServeSource::Chain { content }, 0, 1), ServeOutcome::Changed);
    assert_eq!(bench.serve_in(&source, 0, 4, 0), ServeOutcome::Failed);
    assert_eq!(bench.serve(&source, 0, u32::MAX), ServeOutcome::Failed);
}

#[test]
fn a_full_socket_blocks_and_counts_whole_packets() {
    let mut bench = Bench::new(false);
    let bytes = pattern(65_536);
    let source = bench.offer("file", &bytes);
    bench.sender.options().set_send_buffer_size(1).unwrap();
    // Loopback delivers at once, so that the socket is never full for long: it is told to be.
    assert!(!bench.sender.is_full_for_segments());
    bench.sender.pretend_full();
    assert_eq!(bench.serve(&source, 0, 65_536), ServeOutcome::Blocked { sent: 0 });
    assert!(bench.sender.flush(), "somebody waits for room");
    assert_ne!(bench.serve(&source, 0, 1_408), ServeOutcome::Blocked { sent: 0 });
}

#[test]
fn few_files_stay_open_and_none_for_long() {
    let mut bench = Bench::new(false);
    bench.serving.files.most = 3;
    let sources: Vec<_> = (0..5).map(|at| bench.offer(&format!("file{at}"), b"bytes")).collect();
    for source in sources.iter().chain(&sources[3..]) {
        assert_eq!(bench.serve(source, 0, 5), ServeOutcome::Sent);
    }
    let open = |bench: &Bench| -> Vec<String> {
        bench.serving.files.entries.iter().map(|entry| entry.name.to_string()).collect()
    };
    assert_eq!(open(&bench), ["file2", "file3", "file4"]);
    bench.serving.close_idle(Instant::ORIGIN + Duration::from_secs(1));
    assert_eq!(open(&bench).len(), 3);
    bench.serving.close_idle(Instant::ORIGIN + OPEN_IDLE_MAX);
    assert_eq!(open(&bench).len(), 0);
}
