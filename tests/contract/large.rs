//! A file of more than 4 GiB. It takes as much memory and a minute, so it runs only where
//! `SPRAT_LONG_TESTS` is set.

use std::fs::{self, File};

use crate::support::*;

/// The SHA-1 of 4 GiB + 1 zeros.
const ZEROS: &str = "e7d747b75f76e0e41e83b75bce4642816136304f";
const SIZE: u64 = (4 << 30) + 1;

/// "So does a file of more than 4 GiB on a 32-bit machine": offsets beyond 32 bits, here with zeros, of
/// which the offering host stores none.
#[test]
fn a_file_of_more_than_4_gib() {
    if std::env::var_os("SPRAT_LONG_TESTS").is_none() {
        lab::skip("large::a_file_of_more_than_4_gib", "SPRAT_LONG_TESTS is not set");
        return;
    }
    in_lab(2, |lab| {
        let (a, b) = (lab.host(0), lab.host(1));
        fs::create_dir(a.share()).unwrap();
        lab.watcher.allow_named(SIZE, ZEROS);
        let file = File::create(a.root.join("sparse")).unwrap();
        file.set_len(SIZE).unwrap();
        fs::rename(a.root.join("sparse"), a.shared("zeros.bin")).unwrap();
        let _peers = (a.peer(), b.peer());
        wait_until("the listing", LONG * 2, || b.document().entry(ZEROS).is_some());
        assert_eq!(b.document().entry(ZEROS).unwrap().size, SIZE);
        let size = SIZE.to_string();
        b.run(&["fetch", ZEROS, "zeros.bin", &size, "10.77.0.1"]).succeeds(LONG * 2);
        assert_eq!(files::identify(&b.shared("zeros.bin")), Some((SIZE, ZEROS.to_owned())));
        assert_eq!(b.chunk_names(), Vec::<String>::new());
    });
}
