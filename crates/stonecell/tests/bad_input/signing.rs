//! Keys that are missing, exposed or of somebody else: refused before anything is fetched or built.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::archive::Archive;
use crate::program::Place;

/// A place with a lock, two sets of keys (`a`, `b`) and an archive that has no packages any more: whatever gets as
/// far as fetching fails with exit code 4.
fn place() -> (Place, String) {
    let place = Place::new();
    place.define("[base]\nrelease = \"bookworm\"\n[signing]\ndevelopment = true\n");
    let archive = Archive::for_place(&place, &[]);
    archive.publish();
    let base = archive.base(&archive.file_url());
    place.define(&format!("{base}[signing]\ndevelopment = true\n"));
    place.run(&["lock", "DEFINITION"]).succeeded();
    for name in ["a", "b"] {
        let keys = place.path(name);
        place.run(&["keys", keys.to_str().unwrap(), "--development"]).succeeded();
    }
    (place, base)
}

fn signing(stemcell: &str, key: &str, certificate: &str) -> String {
    format!(
        "[signing]\nstemcell_key = \"{stemcell}\"\n\
         secure_boot = {{ key = \"{key}\", certificate = \"{certificate}\" }}\n"
    )
}

#[track_caller]
fn refused(place: &Place, base: &str, signing: &str, words: &[&str]) {
    place.define(&format!("{base}{signing}"));
    place.run(&["build", "DEFINITION", "--out", "OUT"]).refused(1, words);
    place.assert_nothing_left();
}

#[test]
fn a_definition_without_keys_is_refused() {
    let (place, base) = place();
    refused(&place, &base, "", &["names no stemcell_key", "[signing]", "development = true"]);
    let half = "[signing]\nstemcell_key = \"a/stemcell\"\n";
    refused(&place, &base, half, &["names no secure_boot key", "[signing]"]);
}

#[test]
fn keys_that_are_not_there_are_named() {
    let (place, base) = place();
    let bad = signing("none/stemcell", "a/db.key", "a/db.pem");
    refused(&place, &base, &bad, &["none/stemcell", "No such file", "stonecell keys"]);
    let bad = signing("a/stemcell", "none/db.key", "a/db.pem");
    refused(&place, &base, &bad, &["none/db.key", "No such file"]);
    let bad = signing("a/stemcell", "a/db.key", "none/db.pem");
    refused(&place, &base, &bad, &["none/db.pem", "No such file"]);
}

#[test]
fn keys_that_others_may_read_are_refused() {
    let (place, base) = place();
    let good = signing("a/stemcell", "a/db.key", "a/db.pem");
    let open = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    for name in ["a/stemcell", "a/db.key"] {
        open(&place.path(name), 0o640);
        refused(&place, &base, &good, &[name, "0640", "chmod 0600"]);
        open(&place.path(name), 0o600);
    }
}

#[test]
fn keys_that_do_not_belong_together_are_refused() {
    let (place, base) = place();
    let foreign = signing("a/stemcell", "a/db.key", "b/db.pem");
    refused(&place, &base, &foreign, &["b/db.pem", "a/db.key", "certificate"]);
}
