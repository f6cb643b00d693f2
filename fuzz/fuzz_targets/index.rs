//! The reader of `Packages` indexes and of the relationships in them: any text is read or refused.
#![no_main]

mod seed;

use libfuzzer_sys::fuzz_target;
use stonecell_packages::{depends, index, version};

fuzz_target!(|text: &str| {
    let read = index::parse(text);
    seed::check(read.as_ref().is_ok_and(|stanzas| !stanzas.is_empty()));
    let Ok(stanzas) = read else { return };
    for stanza in stanzas {
        assert!(index::is_package_name(stanza.name));
        assert!(index::is_plain_path(stanza.filename));
        assert!(text.contains(stanza.text));
        for clause in depends::clauses(stanza.depends) {
            for alternative in depends::alternatives(clause) {
                alternative.allows(stanza.version);
            }
        }
        assert!(version::compare(stanza.version, stanza.version).is_eq());
    }
});
