//! Any bytes as a .deb: an error or a list of safe names, never a panic, never more than the limits.
#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(deb) = stonecell_root::deb::open(bytes) else { return };
    let _ = deb.control_files();
    let _ = deb.data(|entry, content| {
        assert!(!entry.path.starts_with('/'));
        assert!(entry.path.split('/').all(|part| part != ".."));
        let mut buffer = [0; 4096];
        while content.read(&mut buffer)? > 0 {}
        Ok(())
    });
});
