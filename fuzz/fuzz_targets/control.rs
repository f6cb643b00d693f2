//! Any bytes as a control file: what is accepted is written and read again unchanged.
#![no_main]

mod seed;

use libfuzzer_sys::fuzz_target;
use stonecell_root::control;

fuzz_target!(|bytes: &[u8]| {
    let read = control::parse(bytes);
    seed::check(read.as_ref().is_ok_and(|stanzas| !stanzas.is_empty()));
    let Ok(stanzas) = read else { return };
    for stanza in &stanzas {
        for (_, value) in &stanza.fields {
            if let Ok(groups) = control::relations(value) {
                assert!(groups.iter().flatten().all(|r| control::is_package_name(&r.name)));
            }
        }
        let again = control::parse(stanza.to_text().as_bytes()).expect("its own text is accepted");
        assert_eq!(again.len(), 1);
    }
});
