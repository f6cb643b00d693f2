//! The reader of `Packages` indexes and of the relationships in them: any text is read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stonecell_packages::{depends, index, version};

fuzz_target!(|text: &str| {
    let Ok(stanzas) = index::parse(text) else { return };
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
