//! Definitions and locks that are wrong.

use std::fs;

use crate::archive::Archive;
use crate::program::Place;

const SIGNING: &str = "[signing]\ndevelopment = true\n";
const BASE: &str = "[base]\nrelease = \"bookworm\"\n";

/// `check` of a definition with this body, and roles by name.
#[track_caller]
fn refused(body: &str, roles: &[(&str, &str)], words: &[&str]) {
    let place = Place::new();
    place.define(body);
    fs::create_dir(place.path("roles")).unwrap();
    for (name, text) in roles {
        let role = format!("schema = 1\ndescription = \"d\"\n{text}");
        fs::write(place.path(&format!("roles/{name}.toml")), role).unwrap();
    }
    place.run(&["check", "DEFINITION"]).refused(3, words);
    // `build` says the same and begins nothing.
    place.run(&["build", "DEFINITION", "--out", "OUT"]).refused(3, words);
    place.assert_nothing_left();
}

#[test]
fn a_wrong_type_is_shown_in_its_line() {
    let body = format!("{BASE}[packages]\ninstall = \"bash\"\n{SIGNING}");
    let words = [
        "cell.toml:7:11",
        "7 | install = \"bash\"",
        "^^^^^^",
        "`packages.install` is a string",
        "expected a list",
    ];
    refused(&body, &[], &words);
}

#[test]
fn an_unknown_field_of_a_role_is_shown_with_a_suggestion() {
    let body = format!("roles = [\"cell\"]\n{BASE}{SIGNING}");
    let words = ["roles/cell.toml:4:1", "unknown field `instal`", "did you mean `install`?"];
    refused(&body, &[("cell", "[packages]\ninstal = [\"bash\"]\n")], &[words[1], words[2]]);
    let one_line = ("cell", "packages = { instal = [\"bash\"] }\n");
    refused(&body, &[one_line], &["roles/cell.toml:3:", words[1], words[2]]);
}

#[test]
fn roles_that_contradict_each_other_are_both_shown() {
    let body = format!("roles = [\"one\", \"two\"]\n{BASE}{SIGNING}");
    let roles = [
        ("one", "packages = { install = [\"nginx\"] }\n"),
        ("two", "packages = { remove = [\"nginx\"] }\n"),
    ];
    refused(&body, &roles, &["nginx", "roles/one.toml:3:", "roles/two.toml:3:", "help:"]);
}

#[test]
fn an_expired_opt_out_names_owner_and_day() {
    let opt_out = "[[controls.opt_out]]\ncontrol = \"SC-KRN-001\"\nreason = \"a reason that is long enough\"\n\
                   owner = \"ann\"\nexpires = \"2020-01-01\"\n";
    refused(
        &format!("{opt_out}{BASE}{SIGNING}"),
        &[],
        &["cell.toml:", "ann", "2020-01-01", "help:"],
    );
}

#[test]
fn a_light_stemcell_needs_its_infrastructure() {
    let light = "[output]\niaas = [\"qemu\"]\n[[output.light]]\niaas = \"aws\"\nami = { eu-west-1 = \"ami-1\" }\n";
    let words = ["cell.toml:10:1", "a light stemcell for aws", "add \"aws\" to `iaas`"];
    refused(&format!("{BASE}{SIGNING}{light}"), &[], &words);
}

#[test]
fn a_lock_of_another_definition_is_refused() {
    let place = Place::new();
    place.define(&format!("{BASE}{SIGNING}"));
    let mut archive = Archive::for_place(&place, &[]);
    archive.add("extra", "", &[]);
    archive.publish();
    let base = archive.base(&archive.file_url());
    place.define(&format!("{base}{SIGNING}"));
    place.run(&["lock", "DEFINITION"]).succeeded();
    place.define(&format!("{base}[packages]\ninstall = [\"extra\"]\n{SIGNING}"));
    let ended = place.run(&["build", "DEFINITION", "--out", "OUT"]);
    ended.refused(3, &["cell.lock", "does not match", "stonecell lock"]);
    fs::write(place.path("cell.lock"), "not a lock").unwrap();
    let ended = place.run(&["build", "DEFINITION", "--out", "OUT"]);
    ended.refused(3, &["cell.lock", "is damaged", "stonecell lock"]);
    place.assert_nothing_left();
}

#[test]
fn results_of_another_build_are_not_mixed_with_new_ones() {
    let place = Place::new();
    place.define(&format!("{BASE}{SIGNING}"));
    let archive = Archive::for_place(&place, &[]);
    archive.publish();
    place.define(&format!("{}{SIGNING}", archive.base(&archive.file_url())));
    place.run(&["lock", "DEFINITION"]).succeeded();
    fs::create_dir(place.out()).unwrap();
    fs::write(place.out().join("cell-1.0.vmdk"), "older").unwrap();
    let ended = place.run(&["build", "DEFINITION", "--out", "OUT", "--format", "raw"]);
    ended.refused(1, &["cell-1.0.vmdk", "another directory with --out"]);
    assert_eq!(crate::program::names(&place.out()), ["cell-1.0.vmdk"]);
}
