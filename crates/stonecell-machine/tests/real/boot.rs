//! The first program of the machine in a real kernel: from the disk's bytes to the root's program.

use std::fs;
use std::os::unix::fs::FileExt as _;

use crate::support::{DATA_SIZE, LIMIT, disk, machine, verity_disk};
use stonecell_machine::{Bus, End, Machine};

fn boots_from(bus: Bus) {
    let directory = tempfile::tempdir().unwrap();
    let image = verity_disk(directory.path());
    let spec = machine(
        vec![disk(&image.path, bus)],
        &format!("roothash={} dm-verity.x=1 rest", image.root_hash),
    );
    let mut machine = Machine::start(&spec, directory.path()).unwrap();
    let end = machine.wait(LIMIT);
    let console = machine.console();
    assert_eq!(end.unwrap(), End::PowerOff, "{console}");
    let says = |text: &str| assert!(console.contains(text), "no `{text}` in:\n{console}");
    says("probe: /sbin/init rest");
    says("probe: mount /dev/dm-0 / erofs ro,");
    says("probe: mount devtmpfs /dev devtmpfs rw,nosuid,noexec");
    says("probe: old root false");
    says(&format!("probe: read {DATA_SIZE} bytes"));
}

#[test]
#[ignore = "real packages or machines: `make real`"]
fn becomes_the_program_of_a_verity_root() {
    boots_from(Bus::Virtio);
}

#[test]
#[ignore = "real packages or machines: `make real`"]
fn finds_the_root_behind_a_scsi_host() {
    // Three drivers in a row, each named by a device that the one before made.
    boots_from(Bus::VirtioScsi);
}

#[test]
#[ignore = "real packages or machines: `make real`"]
fn one_flipped_bit_in_the_root_panics_the_kernel() {
    let directory = tempfile::tempdir().unwrap();
    let image = verity_disk(directory.path());
    let file = fs::OpenOptions::new().read(true).write(true).open(&image.path).unwrap();
    let at = image.middle;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();

    let roothash = format!("roothash={}", image.root_hash);
    let spec = machine(vec![disk(&image.path, Bus::Virtio)], &roothash);
    let mut stopped = Machine::start(&spec, directory.path()).unwrap();
    let end = stopped.wait(LIMIT);
    let console = stopped.console();
    assert_eq!(end.unwrap(), End::Panic, "{console}");
    assert!(console.contains("dm-verity device corrupted"), "{console}");
    assert!(!console.contains("probe: read"), "{console}");

    // With errors instead of a panic the read fails and the program goes on.
    fs::remove_file(directory.path().join("control")).unwrap();
    let io_error = format!("{roothash} stonecell.verity=io-error");
    let spec = machine(vec![disk(&image.path, Bus::Virtio)], &io_error);
    let mut reads = Machine::start(&spec, directory.path()).unwrap();
    let end = reads.wait(LIMIT);
    assert_eq!(end.unwrap(), End::PowerOff, "{}", reads.console());
    assert!(reads.console().contains("probe: cannot read: "), "{}", reads.console());
}

#[test]
#[ignore = "real packages or machines: `make real`"]
fn says_what_is_missing_and_panics() {
    let directory = tempfile::tempdir().unwrap();
    let other = directory.path().join("other.raw");
    // A hostile disk: a signature of a partition table and nothing that holds.
    let mut bytes = vec![0xff; 1 << 20];
    bytes[512..520].copy_from_slice(b"EFI PART");
    fs::write(&other, bytes).unwrap();
    let line = format!("roothash={} stonecell.timeout=2", "ab".repeat(32));
    let spec = machine(vec![disk(&other, Bus::Virtio)], &line);
    let mut machine = Machine::start(&spec, directory.path()).unwrap();
    let end = machine.wait(LIMIT);
    let console = machine.console();
    assert_eq!(end.unwrap(), End::Panic, "{console}");
    let message = "stonecell-init: after 2 s no disk has the partitions of this root hash";
    assert!(console.contains(message), "{console}");
    assert!(console.contains("disks seen: vda"), "{console}");
}

#[test]
#[ignore = "real packages or machines: `make real`"]
fn a_line_without_root_hash_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let spec = machine(Vec::new(), "stonecell.verity=panic");
    let mut machine = Machine::start(&spec, directory.path()).unwrap();
    let end = machine.wait(LIMIT);
    assert!(matches!(end, Ok(End::Reset | End::Panic)), "{end:?}");
    let message = "stonecell-init: kernel command line: no roothash=";
    assert!(machine.console().contains(message), "{}", machine.console());
}
