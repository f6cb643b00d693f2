//! Any bytes as a .deb: an error or a list of safe names, never a panic, never more than the limits.
#![no_main]

mod seed;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let deb = stonecell_root::deb::open(bytes);
    seed::check(deb.is_ok());
    let Ok(deb) = deb else { return };
    let control = deb.control_files();
    seed::check(control.is_ok_and(|files| files.iter().any(|file| file.name == "control")));
    let data = deb.data(|entry, content| {
        assert!(!entry.path.starts_with('/'));
        assert!(entry.path.split('/').all(|part| part != ".."));
        let mut buffer = [0; 4096];
        while content.read(&mut buffer)? > 0 {}
        Ok(())
    });
    seed::check(data.is_ok());
});
