//! The reader of a root file system: any bytes are a tree or an error.
#![no_main]

mod content;
mod seed;

use libfuzzer_sys::fuzz_target;
use stonecell_stemcell::tree::Root;

fuzz_target!(|bytes: &[u8]| {
    let root = Root::read(bytes, bytes.len() as u64);
    seed::check(root.is_ok());
    let Ok(root) = root else { return };
    let entries = root.entries();
    seed::check(entries.is_ok());
    content::read(entries.as_deref().unwrap_or_default(), |entry| root.open(entry));
});
