//! Package files that are damaged or made to do harm: each is refused with the place, and nothing is
//! left in the store.

#![expect(clippy::tests_outside_test_module, reason = "an integration test is one")]

mod crafted;

use std::path::Path;

use sha2::Digest;
use stonecell_definition::lock::LockedPackage;
use stonecell_definition::with_causes;
use stonecell_root::Store;
use tar::EntryType;

use crafted::{Member, ar, tarball};

const CONTROL: &str =
    "Package: evil\nVersion: 1\nArchitecture: all\nMaintainer: x\nDescription: x\n";

fn deb(control: &str, members: &[Member<'_>]) -> Vec<u8> {
    let data = zstd::bulk::compress(&tarball(members), 3).unwrap();
    crafted::deb(control, "data.tar.zst", &data)
}

fn lock(bytes: &[u8]) -> LockedPackage {
    LockedPackage {
        name: "evil".into(),
        version: "1".into(),
        architecture: "all".into(),
        source: "evil".into(),
        source_version: "1".into(),
        suite: "test".into(),
        filename: "pool/evil.deb".into(),
        size: bytes.len() as u64,
        sha256: hex::encode(sha2::Sha256::digest(bytes)),
        essential: false,
    }
}

fn files_below(dir: &Path) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        count += if entry.file_type().unwrap().is_dir() { files_below(&entry.path()) } else { 1 };
    }
    count
}

/// Tries to store a .deb; the whole chain of the error as one text.
fn refused(bytes: &[u8], lock: &LockedPackage) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("evil.deb");
    std::fs::write(&path, bytes).unwrap();
    let cache = dir.path().join("cache");
    let store = Store::open(&cache).unwrap();
    let error = store.prepare(lock, &path).expect_err("it must be refused");
    assert_eq!(files_below(&cache), 0, "something was left in the store");
    with_causes(&error)
}

#[test]
fn names_outside_the_root_are_refused_with_the_name() {
    for name in ["/etc/cron.d/x", "../../etc/cron.d/x", "./usr/../../x"] {
        let bytes = deb(CONTROL, &[(name, EntryType::Regular, "", b"x")]);
        let text = refused(&bytes, &lock(&bytes));
        assert!(text.contains(name) && text.contains("evil.deb"), "{text}");
    }
    let bytes = deb(CONTROL, &[("./x", EntryType::Link, "/etc/shadow", b"")]);
    assert!(refused(&bytes, &lock(&bytes)).contains("/etc/shadow"));
}

#[test]
fn a_bomb_is_refused_before_it_is_unpacked() {
    let zeros = vec![0; 200 << 20];
    let bytes = deb(CONTROL, &[("./zeros", EntryType::Regular, "", &zeros)]);
    assert!(bytes.len() < 100_000);
    let text = refused(&bytes, &lock(&bytes));
    assert!(text.contains("exhaust the machine"), "{text}");
}

#[test]
fn a_truncated_file_is_refused_at_every_length() {
    let whole = deb(CONTROL, &[("./x", EntryType::Regular, "", b"content")]);
    for length in (0..whole.len()).step_by(7) {
        let bytes = &whole[..length];
        refused(bytes, &lock(bytes));
    }
}

#[test]
fn a_file_that_is_not_what_the_lock_pins_is_refused() {
    let bytes = deb(CONTROL, &[("./x", EntryType::Regular, "", b"content")]);
    let mut other = bytes.clone();
    *other.last_mut().unwrap() ^= 1;
    let text = refused(&other, &lock(&bytes));
    assert!(text.contains(&lock(&bytes).sha256) && text.contains("the lock pins"), "{text}");
}

#[test]
fn a_name_that_would_leave_the_dpkg_database_is_refused() {
    for control in [
        CONTROL.replace("evil", "../../evil"),
        CONTROL.replace("all", "a/b"),
        CONTROL.replace("Version: 1\n", ""),
        "no colon\n".into(),
    ] {
        let bytes = deb(&control, &[]);
        let text = refused(&bytes, &lock(&bytes));
        assert!(text.contains("control file"), "{text}");
    }
}

#[test]
fn unknown_compression_and_missing_members_are_refused() {
    let bytes = ar(&[("debian-binary", b"2.0\n"), ("control.tar.lzma", b"")]);
    assert!(refused(&bytes, &lock(&bytes)).contains("control.tar.lzma"));
    let bytes = ar(&[("debian-binary", b"3.0\n")]);
    assert!(refused(&bytes, &lock(&bytes)).contains("3.0"));
    let bytes = ar(&[("debian-binary", b"2.0\n")]);
    assert!(refused(&bytes, &lock(&bytes)).contains("control.tar"));
}

#[test]
fn a_damaged_stored_form_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = deb(CONTROL, &[("./x", EntryType::Regular, "", b"content")]);
    let path = dir.path().join("good.deb");
    std::fs::write(&path, &bytes).unwrap();
    let store = Store::open(dir.path()).unwrap();
    let lock = lock(&bytes);
    assert!(store.prepare(&lock, &path).unwrap(), "the first time it is converted");
    assert!(!store.prepare(&lock, &path).unwrap(), "the second time it is there");
    let stored = dir.path().join("fast").join(&lock.sha256[..2]).join(&lock.sha256);
    let whole = std::fs::read(&stored).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        std::fs::write(&stored, &damaged).unwrap();
        assert!(store.prepare(&lock, &path).unwrap(), "byte {at} was not noticed");
        assert_eq!(std::fs::read(&stored).unwrap(), whole, "byte {at} was not repaired");
    }
}
