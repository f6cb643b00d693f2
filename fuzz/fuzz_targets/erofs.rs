//! The reader of a root file system: any bytes are a tree or an error.
#![no_main]

mod seed;

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use stonecell_stemcell::tree::{Kind, Root};

/// Files that are opened, and bytes that are read of each: more of the same teaches nothing.
const FILES: usize = 100;
const BYTES: u64 = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let root = Root::read(bytes, bytes.len() as u64);
    seed::check(root.is_ok());
    let Ok(root) = root else { return };
    let entries = root.entries();
    seed::check(entries.is_ok());
    for entry in entries.iter().flatten().take(FILES) {
        if let (Kind::File { .. }, Ok(file)) = (&entry.kind, root.open(entry)) {
            let read = std::io::copy(&mut file.take(BYTES), &mut std::io::sink());
            seed::check(read.is_ok());
        }
    }
});
