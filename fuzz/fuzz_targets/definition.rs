//! Definitions, roles and included files of any text: the reader gives a definition or errors, never a
//! panic, and a definition that loads is the same when it is loaded again. So with locks and manifests.
#![no_main]

mod seed;

use std::path::Path;

use jiff::civil::date;
use libfuzzer_sys::fuzz_target;
use stonecell_definition::load;
use stonecell_definition::lock::Lock;
use stonecell_definition::manifest::StemcellManifest;

fuzz_target!(|data: &str| {
    // The first part is the definition, the second everything that it names.
    let (definition, other) = data.split_once('\0').unwrap_or((data, ""));
    let read = |path: &Path| {
        Ok(if path.ends_with("fuzz.toml") { definition.to_owned() } else { other.to_owned() })
    };
    let today = date(2026, 1, 1);
    let loaded = load(Path::new("fuzz.toml"), today, &read);
    match &loaded {
        Ok(loaded) => {
            let again = load(Path::new("fuzz.toml"), today, &read);
            assert_eq!(again.ok().map(|again| again.lock_digest()), Some(loaded.lock_digest()));
        }
        Err(errors) => assert!(!errors.to_string().is_empty()),
    }
    let lock = Lock::from_toml(data, Path::new("fuzz.lock"));
    if let Ok(lock) = &lock {
        assert!(lock.to_toml(Path::new("fuzz.lock")).is_ok());
    }
    let manifest = StemcellManifest::from_yaml(data);
    if let Ok(manifest) = &manifest {
        let again = StemcellManifest::from_yaml(&manifest.to_yaml());
        assert_eq!(&again.expect("its own text is accepted"), manifest);
    }
    seed::check(loaded.is_ok() || lock.is_ok() || manifest.is_ok());
});
