//! The readers of the texts in a stemcell: lists of packages, bills of materials, the mount table, the command line.
#![no_main]

mod seed;

use libfuzzer_sys::fuzz_target;
use stonecell_stemcell::{disk, fstab, packages};

fuzz_target!(|text: &str| {
    let mounts = fstab::state_mounts(text);
    assert!(mounts.iter().all(|mount| mount.target.starts_with('/')));
    let mut accepted = !mounts.is_empty()
        || disk::root_hash(text).is_some()
        || packages::of_purl(text).is_some()
        || !packages::of_listing(text).is_empty()
        || !packages::of_status(text).is_empty();
    if let Ok(document) = serde_json::from_str(text) {
        let (spdx, cyclonedx) = (packages::of_spdx(&document), packages::of_cyclonedx(&document));
        accepted |= spdx.is_ok() || cyclonedx.is_ok();
    }
    seed::check(accepted);
});
