//! The readers of stemcells and of what lies in them: any bytes are read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stonecell_stemcell::{disk, fstab, open, packages, signer, tree};

fuzz_target!(|data: &[u8]| {
    if let Ok(root) = tree::Root::read(data, data.len() as u64) {
        if let Ok(entries) = root.entries() {
            for entry in entries.iter().take(100) {
                if let (tree::Kind::File { .. }, Ok(mut file)) = (&entry.kind, root.open(entry)) {
                    let _ = std::io::copy(&mut file, &mut std::io::sink());
                }
            }
        }
    }
    let _ = signer::certificate(data);
    if let Ok(text) = std::str::from_utf8(data) {
        for mount in fstab::state_mounts(text) {
            assert!(mount.target.starts_with('/'));
        }
        let _ = disk::root_hash(text);
        let _ = packages::of_purl(text);
        packages::of_listing(text);
        packages::of_status(text);
        if let Ok(value) = serde_json::from_str(text) {
            let _ = packages::of_spdx(&value);
            let _ = packages::of_cyclonedx(&value);
        }
    }
    // A stemcell, or the start of one: compressed here, so that the fuzzer reaches the tar within.
    let Ok(dir) = tempfile::tempdir() else { return };
    let path = dir.path().join("stemcell.tgz");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    if std::io::Write::write_all(&mut gzip, data).is_ok()
        && let Ok(bytes) = gzip.finish()
        && std::fs::write(&path, bytes).is_ok()
        && std::fs::create_dir(dir.path().join("work")).is_ok()
    {
        let _ = open::open(&path, &dir.path().join("work"));
    }
});
