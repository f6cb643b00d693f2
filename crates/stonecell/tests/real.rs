//! Real packages, real kernels: each shipped Debian stemcell is built, verified, and booted under Secure Boot with a
//! probe that describes the running machine; then it is damaged, and must not come up.
//!
//! Minutes of software emulation, so ignored unless asked for (`make real`).
#![cfg(test)]

mod support;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use stonecell_image::read_disk;
use stonecell_image::secure_boot;
use stonecell_image::source::FilePart;
use stonecell_machine::variables::{self, Keys};
use stonecell_machine::{Boot, End, Firmware, Machine};

use support::{PATIENCE, STONECELL, machine, section, succeed};

struct Image {
    dir: tempfile::TempDir,
    raw: PathBuf,
    certificate: PathBuf,
}

/// Locks and builds the probe of a release in a directory of the moment.
fn build(release: &str) -> Image {
    let dir = tempfile::tempdir().unwrap();
    let definition = format!("{}/tests/probe/debian-{release}.toml", env!("CARGO_MANIFEST_DIR"));
    let lock = dir.path().join("lock").display().to_string();
    let out = dir.path().join("out").display().to_string();
    succeed(STONECELL, &["lock", &definition, "--output", &lock, "--quiet"]);
    succeed(STONECELL, &["build", &definition, "--lock", &lock, "--out", &out, "--quiet"]);
    let file =
        |extension: &str| dir.path().join("out").join(format!("probe-{release}-1.0.{extension}"));
    let (raw, certificate) = (file("raw"), file("crt"));
    Image { raw, certificate, dir }
}

/// Starts the disk with firmware that trusts `certificate`.
fn start(raw: &Path, certificate: &Path, dir: &Path) -> Machine {
    let firmware = Firmware::find(true).unwrap();
    let boot = firmware.boot(&dir.join("variables.fd")).unwrap();
    if let Boot::Uefi { variables, .. } = &boot {
        let pem = std::fs::read(certificate).unwrap();
        let empty = std::fs::read(variables).unwrap();
        let keys = Keys { pk: &pem, kek: &[&pem], db: &[&pem] };
        std::fs::write(variables, variables::enrol(&empty, &keys).unwrap()).unwrap();
    }
    Machine::start(&machine(boot, &[raw], None), dir).unwrap()
}

/// Boots and checks from inside what the README promises.
fn boots_sealed(image: &Image) {
    let work = tempfile::tempdir_in(image.dir.path()).unwrap();
    let mut machine = start(&image.raw, &image.certificate, work.path());
    machine.wait_for("@@ end", PATIENCE).unwrap();
    let report = machine.console();
    // The power button, by which clouds end a machine.
    assert_eq!(machine.power_off(PATIENCE).unwrap(), End::PowerOff);

    assert_eq!(section(&report, "state"), ["running"], "{report}");
    assert!(section(&report, "failed").is_empty(), "{:?}", section(&report, "failed"));
    // Every mount of the table was done by /init; what it cannot do it says and leaves to systemd.
    let init = section(&report, "init");
    assert!(init.last().is_some_and(|line| line.starts_with("file systems mounted")), "{init:?}");
    assert!(!init.iter().any(|line| line.contains("left to systemd")), "{init:?}");
    assert_eq!(section(&report, "generators"), ["systemd-fstab-generator /dev/null"]);
    // It has its driver, and systemd itself listens to it: no login manager runs, and no message bus.
    let power = section(&report, "power");
    assert!(power.contains(&"driver"), "{power:?}");
    assert!(power.iter().any(|line| line.contains(".socket loaded active listening")), "{power:?}");
    assert_eq!(section(&report, "idle"), ["inactive"; 3]);
    assert_eq!(section(&report, "secure-boot"), ["1"]);
    let lockdown = section(&report, "lockdown");
    assert!(lockdown.iter().any(|line| line.contains("[confidentiality]")), "{lockdown:?}");
    // System calls of other architectures are filtered from the first process on.
    assert_eq!(section(&report, "seccomp"), ["2"]);
    assert_eq!(section(&report, "apparmor"), ["Y"]);
    let dm = section(&report, "dm");
    assert_eq!(dm.first(), Some(&"root"));
    assert!(dm.iter().any(|line| line.starts_with("CRYPT-VERITY-")), "{dm:?}");
    assert_eq!(dm.last(), Some(&"1"), "the device is read-only");
    assert!(!section(&report, "write").contains(&"written"));
    assert!(section(&report, "sysctl").is_empty(), "{:?}", section(&report, "sysctl"));
    mounts(&section(&report, "mounts"));
    sockets(&section(&report, "sockets"));
    let audit = section(&report, "audit");
    assert!(audit.contains(&"enabled 2"), "{audit:?}");
    let dpkg = section(&report, "dpkg");
    assert_eq!(dpkg.last(), Some(&"verified"), "{dpkg:?}");
    assert_eq!(dpkg.len(), 2, "every package is installed and verifies: {dpkg:?}");
}

fn mounts(lines: &[&str]) {
    let options = |target: &str| -> Vec<&str> {
        let line = lines.iter().rfind(|line| line.split(' ').nth(1) == Some(target));
        let line = line.unwrap_or_else(|| panic!("{target} is not mounted: {lines:?}"));
        line.split(' ').nth(3).unwrap().split(',').collect()
    };
    assert!(options("/").contains(&"ro"));
    for (target, wanted) in [
        ("/tmp", ["nosuid", "nodev", "noexec"].as_slice()),
        ("/var/tmp", &["nosuid", "nodev", "noexec"]),
        ("/dev/shm", &["nosuid", "nodev", "noexec"]),
        ("/home", &["nosuid", "nodev"]),
        ("/var", &["nosuid", "nodev"]),
        ("/var/log", &["nosuid", "nodev", "noexec"]),
        ("/var/log/audit", &["nosuid", "nodev", "noexec"]),
        ("/run", &["nosuid", "nodev", "noexec"]),
    ] {
        let found = options(target);
        for option in wanted {
            assert!(found.contains(option), "{target} lacks {option}: {found:?}");
        }
    }
}

/// No TCP socket listens, and UDP only as the DHCP client's own (port 68, on its address).
fn sockets(lines: &[&str]) {
    for line in lines {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (protocol, local) = (fields[0], fields[2]);
        let state = fields[4];
        match protocol {
            "tcp" | "tcp6" => assert_ne!(state, "0A", "a socket listens: {line}"),
            "udp" | "udp6" => assert!(local.ends_with(":0044"), "a socket receives: {line}"),
            _ => {}
        }
    }
}

/// One changed byte in the root: dm-verity finds it, and the machine stops.
fn a_flipped_byte_stops_the_boot(image: &Image) {
    let work = tempfile::tempdir_in(image.dir.path()).unwrap();
    let copy = work.path().join("flipped.raw");
    let status =
        Command::new("cp").arg("--sparse=always").arg(&image.raw).arg(&copy).status().unwrap();
    assert!(status.success());
    let disk = File::options().read(true).write(true).open(&copy).unwrap();
    let view = read_disk(&FilePart::whole(&disk).unwrap()).unwrap();
    let offset = view.by_label("root").unwrap().offset + 1024;
    let mut byte = [0];
    disk.read_exact_at(&mut byte, offset).unwrap();
    disk.write_all_at(&[byte[0] ^ 1], offset).unwrap();
    let mut machine = start(&copy, &image.certificate, work.path());
    assert_eq!(machine.wait(PATIENCE).unwrap(), End::Panic);
    assert!(!machine.console().contains("@@ begin"));
}

/// Firmware that trusts somebody else does not start the image.
fn another_key_does_not_start_it(image: &Image) {
    let work = tempfile::tempdir_in(image.dir.path()).unwrap();
    let [_, _, other] = secure_boot::generate_development_keys(work.path(), "other").unwrap();
    let mut machine = start(&image.raw, &other.certificate, work.path());
    machine.wait_for("Access Denied", PATIENCE).unwrap();
    machine.kill().unwrap();
}

fn verifies(image: &Image) {
    let out = image.raw.parent().unwrap().display().to_string();
    let text = succeed(STONECELL, &["verify", &out, "--json", "--quiet"]);
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["ok"], true, "{text}");
}

#[test]
#[ignore = "real packages or machines: `make real`"]
fn debian_12_is_sealed_and_says_so_when_it_is_not() {
    let image = build("12");
    verifies(&image);
    boots_sealed(&image);
    a_flipped_byte_stops_the_boot(&image);
    another_key_does_not_start_it(&image);
}

#[test]
#[ignore = "real packages or machines: `make real`"]
fn debian_13_is_sealed() {
    let image = build("13");
    verifies(&image);
    boots_sealed(&image);
}
