//! The definitions and roles in the repository are valid, compose in every sensible way, and are as
//! small as they claim.

#![expect(clippy::tests_outside_test_module, reason = "the whole file is a test")]

use std::path::{Path, PathBuf};

use jiff::civil::date;
use stonecell_definition::{Definition, Disk, load};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn shipped(name: &str) -> Definition {
    let path = repository().join("stemcells").join(name);
    load(&path, date(2026, 1, 1), &Disk).unwrap_or_else(|errors| panic!("{errors}"))
}

/// A definition of Debian 12 that composes `roles`, next to the shipped one.
fn composed(roles: &[&str]) -> Definition {
    let path = repository().join("stemcells/of-a-test.toml");
    let text = format!(
        "schema = 1\nname = \"t\"\nversion = \"1\"\nroles = {roles:?}\n[base]\nrelease = \"bookworm\"\n"
    );
    let read = |asked: &Path| {
        if asked == path { Ok(text.clone()) } else { std::fs::read_to_string(asked) }
    };
    load(&path, date(2026, 1, 1), &read).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn every_shipped_definition_loads() {
    for (file, system) in [
        ("debian-12.toml", "debian-bookworm"),
        ("debian-13.toml", "debian-trixie"),
        ("ubuntu-22.04.toml", "ubuntu-jammy"),
        ("ubuntu-24.04.toml", "ubuntu-noble"),
    ] {
        let definition = shipped(file);
        assert_eq!(definition.base.release.operating_system(), system);
        assert_eq!(definition.roles, ["minimal"]);
        assert!(definition.signing.development);
        let mounts: Vec<_> = definition.image.partitions.iter().map(|p| p.mount.as_str()).collect();
        assert_eq!(mounts, ["/home", "/var", "/var/log", "/var/log/audit", "/var/tmp"]);
    }
}

#[test]
fn minimal_opens_nothing_and_lets_nobody_in() {
    let definition = shipped("debian-12.toml");
    assert!(definition.firewall.is_empty());
    assert!(definition.users.is_empty());
    assert!(definition.setuid.is_empty());
    for never in ["openssh-server", "sudo", "apt", "python3", "rsyslog", "cron"] {
        assert!(!definition.wanted_packages().contains(never), "{never}");
    }
}

#[test]
fn each_role_composes_with_minimal_and_the_bosh_set_together() {
    for role in ["ssh", "web", "container-host", "database", "bosh"] {
        assert_eq!(composed(&["minimal", role]).roles, ["minimal", role]);
    }
    let bosh = composed(&["minimal", "ssh", "bosh"]);
    assert_eq!(bosh.users.len(), 1);
    assert_eq!(bosh.packages.remove, ["systemd-timesyncd"]);
    assert!(bosh.services.enable.contains(&"chrony.service".to_owned()));
    assert!(bosh.services.disable.contains(&"systemd-timesyncd.service".to_owned()));
    assert_eq!(bosh.firewall.iter().map(|open| open.port).collect::<Vec<_>>(), [22]);
}

#[test]
fn every_role_file_is_composed_by_a_test() {
    let names = std::fs::read_dir(repository().join("roles")).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let known = ["bosh", "container-host", "database", "minimal", "ssh", "web"];
    assert_eq!(names, known.map(|name| std::ffi::OsString::from(format!("{name}.toml"))));
}

#[test]
fn no_denied_pattern_hits_a_library_that_everything_needs() {
    let definition = shipped("debian-12.toml");
    for needed in
        ["gcc-12-base", "gcc-14-base", "libgcc-s1", "perl-base", "libc6", "makedev", "cpio"]
    {
        assert_eq!(definition.packages.denied(needed), None, "{needed}");
    }
    for denied in ["gcc", "gcc-12", "g++-12", "clang-14", "libc6-dev", "gdb", "telnet", "make"] {
        assert!(definition.packages.denied(denied).is_some(), "{denied}");
    }
}
