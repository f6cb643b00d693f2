//! A lock is read back as written, and one with a value that no lock has is refused.

#![expect(clippy::tests_outside_test_module, reason = "the whole file is a test")]

use std::path::Path;

use jiff::civil::date;
use proptest::prelude::*;
use stonecell_definition::lock::{LOCK_SCHEMA, Lock, LockedIndex, LockedPackage};
use stonecell_definition::{LockError, load};

const PATH: &str = "debian-12.lock";

fn package(name: &str) -> LockedPackage {
    LockedPackage {
        name: name.to_owned(),
        version: "1:2.0~rc1-3+deb12u1".to_owned(),
        architecture: "amd64".to_owned(),
        source: name.to_owned(),
        source_version: "2.0~rc1-3".to_owned(),
        suite: "bookworm".to_owned(),
        filename: format!("pool/main/b/{name}/{name}_2.0_amd64.deb"),
        size: 1234,
        sha256: "ab".repeat(32),
        essential: name == "bash",
    }
}

fn lock() -> Lock {
    Lock {
        schema: LOCK_SCHEMA,
        definition: "cd".repeat(32),
        epoch: 1_700_000_000,
        architecture: "amd64".to_owned(),
        index: vec![LockedIndex {
            suite: "bookworm".to_owned(),
            origin: "Debian".to_owned(),
            date: "2026-01-01T00:00:00Z".to_owned(),
            sha256: "ef".repeat(32),
            signed_by: vec!["0123456789ABCDEF0123456789ABCDEF01234567".to_owned()],
        }],
        package: vec![package("zlib1g"), package("bash")],
        tool: vec![package("systemd-boot-efi")],
    }
}

#[test]
fn a_lock_is_read_back_sorted() {
    let text = lock().to_toml(Path::new(PATH)).unwrap();
    assert!(text.starts_with("# Written by `stonecell lock`"), "{text}");
    let read = Lock::from_toml(&text, Path::new(PATH)).unwrap();
    let names: Vec<_> = read.package.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(names, ["bash", "zlib1g"]);
    assert_eq!(read.to_toml(Path::new(PATH)).unwrap(), text);
}

/// The field that an error names, and what makes its value impossible.
type Spoiled = (&'static str, fn(&mut Lock));

#[test]
fn every_impossible_value_is_refused() {
    let cases: [Spoiled; 17] = [
        ("definition", |lock| lock.definition.make_ascii_uppercase()),
        ("epoch", |lock| lock.epoch = -1),
        ("architecture", |lock| lock.architecture.clear()),
        ("suite", |lock| lock.index[0].suite = "../x".to_owned()),
        ("sha256", |lock| lock.index[0].sha256.truncate(63)),
        ("date", |lock| lock.index[0].date = "yesterday".to_owned()),
        ("signed_by", |lock| lock.index[0].signed_by.clear()),
        ("signed_by", |lock| lock.index[0].signed_by[0].push('0')),
        ("name", |lock| lock.package[0].name = "../etc".to_owned()),
        ("version", |lock| lock.package[0].version = "1 2".to_owned()),
        ("suite", |lock| lock.package[0].suite = "sid".to_owned()),
        ("filename", |lock| lock.package[0].filename = "pool/../../x.deb".to_owned()),
        ("filename", |lock| lock.package[0].filename = "/pool/x.deb".to_owned()),
        ("filename", |lock| lock.package[0].filename = "pool/x.exe".to_owned()),
        ("size", |lock| lock.package[0].size = 0),
        ("size", |lock| lock.tool[0].size = u64::MAX),
        ("a package", |lock| lock.package.push(package("bash"))),
    ];
    for (field, spoil) in cases {
        let mut lock = lock();
        spoil(&mut lock);
        let text = toml::to_string(&lock).unwrap_or_default();
        let results =
            [lock.to_toml(Path::new(PATH)).err(), Lock::from_toml(&text, Path::new(PATH)).err()];
        // TOML has no number as large as u64::MAX, so that one fails earlier on reading.
        let refused = results[0].as_ref().map(ToString::to_string).unwrap_or_default();
        assert!(refused.starts_with(&format!("{PATH}: {field} ")), "{field}: {refused}");
        assert!(results[1].is_some(), "{field}");
    }
}

#[test]
fn syntax_errors_have_a_place_and_a_remedy() {
    let text = lock().to_toml(Path::new(PATH)).unwrap().replace("epoch = ", "epoche = ");
    let error = Lock::from_toml(&text, Path::new(PATH)).unwrap_err().to_string();
    assert!(error.starts_with("debian-12.lock:6:1: unknown field `epoche`"), "{error}");
    assert!(error.contains("stonecell lock"), "{error}");
}

#[test]
fn a_newer_lock_says_so() {
    let text = "schema = 2\nnew = true\n";
    let error = Lock::from_toml(text, Path::new(PATH)).unwrap_err();
    assert!(matches!(error, LockError::Schema { found: 2, .. }), "{error}");
}

#[test]
fn a_lock_of_another_package_set_is_stale() {
    let load = |packages: &str| {
        let text = format!(
            "schema = 1\nname = \"t\"\nversion = \"1\"\n[base]\nrelease = \"bookworm\"\n\
             [packages]\ninstall = [{packages}]\n"
        );
        load(Path::new("t.toml"), date(2026, 1, 1), &|_: &Path| Ok(text.clone())).unwrap()
    };
    let mut lock = lock();
    let one = load("\"bash\", \"nginx\"");
    lock.definition = one.lock_digest();
    lock.check(&one, Path::new(PATH)).unwrap();
    lock.check(&load("\"nginx\", \"bash\""), Path::new(PATH)).unwrap();
    let error = lock.check(&load("\"nginx\""), Path::new(PATH)).unwrap_err();
    assert!(matches!(error, LockError::Stale { .. }), "{error}");
}

proptest! {
    #[test]
    fn foreign_text_does_not_panic(text in "\\PC{0,300}") {
        let _ = Lock::from_toml(&text, Path::new(PATH));
    }

    #[test]
    fn a_changed_byte_does_not_panic(at in 0_usize..1200, byte in 0_u8..128) {
        let mut text = lock().to_toml(Path::new(PATH)).unwrap().into_bytes();
        let at = at % text.len();
        text[at] = byte;
        let _ = Lock::from_toml(&String::from_utf8(text).unwrap(), Path::new(PATH));
    }
}
