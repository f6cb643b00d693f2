//! The readers of a state file system: any bytes are a tree or an error. What has several names or attributes
//! is read only as far as this program reads it; the paths of it come from `debugfs`, a program each time.
#![no_main]

mod content;
mod seed;

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use stonecell_stemcell::ext4_scan;
use stonecell_stemcell::tree::{State, Window};

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut disk) = tempfile::tempfile() else { return };
    let size = bytes.len() as u64;
    if disk.write_all(bytes).is_err() {
        return;
    }
    let Ok(again) = disk.try_clone() else { return };
    let unseen = ext4_scan::scan(&mut Window { disk: again, start: 0, size });
    seed::check(unseen.is_ok());
    if !unseen.is_ok_and(|unseen| unseen.inodes().is_empty()) {
        return;
    }
    let state = State::open("/var", Window { disk, start: 0, size });
    seed::check(state.is_ok());
    let Ok(state) = state else { return };
    let entries = state.entries();
    seed::check(entries.is_ok());
    content::read(entries.as_deref().unwrap_or_default(), |entry| state.open_file(entry));
});
