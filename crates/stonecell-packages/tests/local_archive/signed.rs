//! Which InRelease files and indexes are accepted.

use stonecell_definition::with_causes;
use stonecell_packages::{ArchiveError, Silent};

use crate::keys::Key;
use crate::repository::{NOW, Repository, open, request};

const IN_RELEASE: &str = "dists/bookworm/InRelease";

fn refused(repository: &Repository) -> String {
    with_causes(&repository.open().expect_err("not accepted"))
}

#[test]
fn a_signed_archive_is_read() {
    let repository = Repository::of(&[("a", "")]);
    repository.publish("bookworm", "Valid-Until: Fri, 20 Nov 2026 01:00:01 UTC\n");
    let archive = repository.open().expect("accepted");
    let resolution = archive.resolve(&request(&["a"]), &Silent).expect("a solution");
    let lock = archive.lock(&resolution, "d");
    assert_eq!(
        (lock.definition.as_str(), lock.epoch, lock.architecture.as_str()),
        ("d", NOW - 3600, "amd64")
    );
    assert_eq!(lock.index[0].date, "2026-11-20T00:00:00Z");
    assert_eq!(lock.index[0].origin, "Test");
    assert_eq!(lock.index[0].signed_by.len(), 1);
    assert_eq!(lock.package[0].filename, "pool/bookworm/a.deb");
}

#[test]
fn an_expired_release_is_refused() {
    let repository = Repository::of(&[("a", "")]);
    repository.publish("bookworm", "Valid-Until: Fri, 20 Nov 2026 00:59:59 UTC\n");
    let words = refused(&repository);
    assert!(words.contains("valid until 2026-11-20T00:59:59Z"), "{words}");
}

#[test]
fn a_dated_snapshot_is_measured_by_its_date() {
    let repository = Repository::of(&[("a", "")]);
    repository.publish("bookworm", "Valid-Until: Fri, 20 Nov 2026 00:30:00 UTC\n");
    for (date, accepted) in [("20261120T001500Z", true), ("20261120T004500Z", false)] {
        let path = repository.root.path().join(date);
        std::os::unix::fs::symlink(".", path).expect("writable");
        let base = repository.url().join(&format!("{date}/")).expect("a URL");
        let sources = repository.sources_at(&base, &["bookworm"]);
        assert_eq!(open(&sources, &repository.cache()).is_ok(), accepted, "{date}");
    }
}

#[test]
fn another_suite_is_refused() {
    let mut repository = Repository::of(&[("a", "")]);
    repository.add("trixie", "a", "");
    repository.publish("trixie", "");
    repository.write(IN_RELEASE, &repository.read("dists/trixie/InRelease"));
    let words = refused(&repository);
    assert!(words.contains("serves suite `trixie`"), "{words}");
}

#[test]
fn a_changed_text_is_refused() {
    let repository = Repository::of(&[("a", "")]);
    let text = String::from_utf8(repository.read(IN_RELEASE)).expect("text");
    repository.write(IN_RELEASE, text.replace("Origin: Test", "Origin: Tost").as_bytes());
    let words = refused(&repository);
    assert!(words.contains("does not match the text"), "{words}");
}

#[test]
fn text_around_the_signed_part_does_not_count() {
    let repository = Repository::of(&[("a", "")]);
    let text = String::from_utf8(repository.read(IN_RELEASE)).expect("text");
    repository.write(IN_RELEASE, format!("Origin: Evil\n{text}").as_bytes());
    let words = refused(&repository);
    assert!(words.contains("not one signed message"), "{words}");
    repository.write(IN_RELEASE, format!("{text}\nOrigin: Evil\n").as_bytes());
    if let Ok(archive) = repository.open() {
        let resolution = archive.resolve(&request(&["a"]), &Silent).expect("a solution");
        assert_eq!(archive.lock(&resolution, "").index[0].origin, "Test");
    }
}

#[test]
fn other_keys_are_refused() {
    let repository = Repository::of(&[("a", "")]);
    let release = repository.release("bookworm", "");
    let (unknown, expired, revoked) = (Key::new(), Key::expired(), Key::new());
    let messages = [&unknown, &expired, &revoked].map(|key| key.clearsign(&release, &[]));
    // A revoked key signs nothing any more, so this comes after its signature.
    revoked.revoke();
    let expected = [
        (repository.key.keyring(), "is not in the keyring"),
        (expired.keyring(), "has expired"),
        (revoked.keyring(), "was revoked"),
    ];
    for (message, (keyring, wanted)) in messages.iter().zip(expected) {
        repository.write(IN_RELEASE, message);
        let mut sources = repository.sources();
        sources.suites[0].keyring = keyring;
        let error = open(&sources, &repository.cache()).expect_err(wanted);
        assert!(matches!(error, ArchiveError::Signature { .. }), "{error:?}");
        assert!(with_causes(&error).contains(wanted), "{}", with_causes(&error));
    }
}

#[test]
fn a_weak_digest_is_refused() {
    let repository = Repository::of(&[("a", "")]);
    let release = repository.release("bookworm", "");
    let message = repository.key.clearsign(&release, &["--digest-algo", "SHA1"]);
    repository.write(IN_RELEASE, &message);
    let error = repository.open().expect_err("weak");
    assert!(matches!(error, ArchiveError::Signature { .. }), "{error:?}");
}

#[test]
fn a_missing_keyring_is_named() {
    let repository = Repository::of(&[("a", "")]);
    let mut sources = repository.sources();
    sources.suites[0].keyring = "/nonexistent/keyring.gpg".into();
    let error = open(&sources, &repository.cache()).expect_err("no keyring");
    assert!(with_causes(&error).contains("/nonexistent/keyring.gpg"), "{}", with_causes(&error));
}

#[test]
fn a_changed_index_is_refused() {
    let repository = Repository::of(&[("a", "")]);
    let path = "dists/bookworm/main/binary-amd64/Packages.gz";
    let mut index = repository.read(path);
    *index.last_mut().expect("not empty") ^= 1;
    repository.write(path, &index);
    let words = refused(&repository);
    assert!(words.contains("SHA-256") && words.contains("Packages.gz"), "{words}");
}

#[test]
fn a_missing_component_is_named() {
    let repository = Repository::of(&[("a", "")]);
    let mut sources = repository.sources();
    sources.suites[0].components = vec!["contrib".into()];
    let error = open(&sources, &repository.cache()).expect_err("no such component");
    assert!(matches!(error, ArchiveError::NoIndex { .. }), "{error:?}");
}
