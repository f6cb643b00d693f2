//! OVMF with our keys: what they signed starts, anything else does not.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{KERNEL, LIMIT, disk, machine, run, text};
use stonecell_machine::variables::{Keys, enrol};
use stonecell_machine::{Boot, Bus, Firmware, Machine};

/// A disk whose only file is what the firmware starts.
fn esp(directory: &Path, program: &Path) -> PathBuf {
    let path = directory.join("esp.raw");
    fs::File::create(&path).unwrap().set_len(64 << 20).unwrap();
    run("/usr/sbin/mkfs.vfat", &["-F", "32", text(&path)]);
    run("mmd", &["-i", text(&path), "::/EFI", "::/EFI/BOOT"]);
    run("mcopy", &["-i", text(&path), text(program), "::/EFI/BOOT/BOOTX64.EFI"]);
    path
}

/// A new key and its certificate.
fn key(directory: &Path) -> (PathBuf, PathBuf) {
    let (key, certificate) = (directory.join("key.pem"), directory.join("certificate.pem"));
    run(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "3650",
            "-subj",
            "/CN=Stonecell test/",
            "-keyout",
            text(&key),
            "-out",
            text(&certificate),
        ],
    );
    (key, certificate)
}

/// Starts a firmware that trusts `certificate` on the program.
fn start(directory: &Path, certificate: &Path, program: &Path) -> Machine {
    let firmware = Firmware::find(true).unwrap();
    let variables = directory.join("variables.fd");
    let boot = firmware.boot(&variables).unwrap();
    assert!(matches!(boot, Boot::Uefi { secure: true, .. }));
    let certificate = fs::read(certificate).unwrap();
    let keys = Keys { pk: &certificate, kek: &[&certificate], db: &[&certificate] };
    let store = enrol(&fs::read(&firmware.variables).unwrap(), &keys).unwrap();
    fs::write(&variables, store).unwrap();
    let disks = vec![disk(&esp(directory, program), Bus::Virtio)];
    let mut spec = machine(disks, "");
    spec.boot = boot;
    Machine::start(&spec, directory).unwrap()
}

#[test]
#[ignore = "real packages or machines: `make real`"]
fn what_our_key_signed_starts() {
    let directory = tempfile::tempdir().unwrap();
    let (key, certificate) = key(directory.path());
    let signed = directory.path().join("signed.efi");
    // The kernel is a UEFI program; its stub says on the firmware's console what it finds.
    run(
        "sbsign",
        &[
            "--key",
            text(&key),
            "--cert",
            text(&certificate),
            "--output",
            text(&signed),
            text(&KERNEL.image),
        ],
    );
    let mut machine = start(directory.path(), &certificate, &signed);
    machine.wait_for("EFI stub: UEFI Secure Boot is enabled", LIMIT).unwrap();
    machine.kill().unwrap();
}

#[test]
#[ignore = "real packages or machines: `make real`"]
fn what_another_key_signed_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    let (_, certificate) = key(directory.path());
    // Debian's signature is good, but not ours.
    let mut machine = start(directory.path(), &certificate, &KERNEL.image);
    machine.wait_for("Access Denied", LIMIT).unwrap();
    assert!(!machine.console().contains("EFI stub"), "{}", machine.console());
    machine.kill().unwrap();
}

#[test]
#[ignore = "real packages or machines: `make real`"]
fn what_nobody_signed_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    let (_, certificate) = key(directory.path());
    let unsigned = directory.path().join("unsigned.efi");
    run("sbattach", &["--remove", text(&copy(&KERNEL.image, &unsigned))]);
    let mut machine = start(directory.path(), &certificate, &unsigned);
    machine.wait_for("Access Denied", LIMIT).unwrap();
    assert!(!machine.console().contains("EFI stub"), "{}", machine.console());
    machine.kill().unwrap();
}

fn copy(from: &Path, to: &Path) -> PathBuf {
    fs::copy(from, to).unwrap();
    to.to_owned()
}
