//! What `inspect` and `diff` tell of a small stemcell.

#![expect(clippy::tests_outside_test_module, reason = "the whole file is one test program")]

mod support;

use stonecell_stemcell::diff::{self, diff};
use stonecell_stemcell::inspect::{inspect, text};
use support::{Change, make};

#[test]
fn inspect_tells_what_went_in() {
    let made = make(&Change::default());
    let all = inspect(&made.out(), &|_| {}).unwrap();
    let kinds: Vec<&str> = all.iter().map(|facts| facts.kind).collect();
    assert_eq!(kinds, ["stemcell", "root tar stemcell", "light stemcell", "disk image"]);
    for facts in &all {
        assert_eq!(facts.packages.len(), 3, "{}", facts.file);
        assert!(facts.signature.as_ref().unwrap().development);
        let json = serde_json::to_value(facts).unwrap();
        let name = if facts.kind == "disk image" { "sha256_of_pieces" } else { "sha256" };
        assert_eq!(json[name].as_str().unwrap().len(), 64);
    }
    let stemcell = &all[0];
    let told = text(stemcell);
    for wanted in [
        "kind          stemcell",
        "bosh-qemu-kvm-debian-bookworm 1.0",
        "kernel        6.1.0-test",
        "quiet lockdown=integrity roothash=",
        "(SPDX 3, CycloneDX 3)",
        "2 applied, profile strict",
        "/etc/hostname",
        "set-id        /usr/bin/su",
        "capabilities  /usr/bin/ping",
        "/var",
        "(DEVELOPMENT)",
    ] {
        assert!(told.contains(wanted), "{wanted}\n{told}");
    }
    let boot = stemcell.boot.as_ref().unwrap();
    assert!(boot.signer.as_ref().unwrap().development);
    assert!(boot.sections.iter().any(|(name, _)| name == ".cmdline"));
    assert_eq!(stemcell.root.as_ref().unwrap().hash.as_ref(), Some(&made.built.root_hash));
    let disk = stemcell.disk.as_ref().unwrap();
    let var = disk.partitions.iter().find(|p| p.label == "var").unwrap();
    assert_eq!(var.mount.as_deref(), Some("/var"));
}

#[test]
fn a_stemcell_does_not_differ_from_itself_nor_from_its_disk_in_files() {
    let made = make(&Change::default());
    let same = diff(&made.tgz(), &made.tgz(), &|_| {}).unwrap();
    assert!(same.is_empty(), "{}", diff::text(&same));
    assert_eq!(diff::text(&same), "no difference\n");
    let forms = diff(&made.raw(), &made.warden(), &|_| {}).unwrap();
    assert!(forms.files.is_empty() && forms.packages.is_empty(), "{}", diff::text(&forms));
}

#[test]
fn differences_are_listed() {
    let old = make(&Change::default());
    let new = make(&Change {
        bash: Some("5.2-2"),
        motd: Some("changed"),
        command_line: Some("quiet lockdown=confidentiality"),
        controls: Some(vec!["a-2", "a-3"]),
    });
    let found = diff(&old.tgz(), &new.tgz(), &|_| {}).unwrap();
    assert_eq!(found.packages.changed["bash:amd64"].new, "5.2-2");
    assert!(found.controls.added.contains_key("a-3") && found.controls.removed.contains_key("a-1"));
    assert!(found.command_line.added.contains_key("lockdown=confidentiality"));
    assert!(found.root_hash.is_some() && found.kernel.is_none());
    let paths: Vec<&str> = found.files.changed.keys().map(String::as_str).collect();
    assert_eq!(paths, ["/etc/motd", "/usr/lib/stonecell/dpkg/status"]);
    let told = diff::text(&found);
    for wanted in ["~ bash:amd64  5.2-1 -> 5.2-2", "+ a-3", "- lockdown=integrity", "~ /etc/motd"] {
        assert!(told.contains(wanted), "{wanted}\n{told}");
    }
}
