//! Two builds that should be equal and are not: what differs is named down to the line.

#![expect(clippy::tests_outside_test_module, reason = "the whole file is one test program")]

mod support;

use std::os::unix::fs::FileExt;

use stonecell_image::read_disk;
use stonecell_image::source::FilePart;
use stonecell_stemcell::diff::explain;
use support::{Change, make};

#[test]
fn files_and_parts_that_differ_are_named_with_the_place() {
    let one = make(&Change::default());
    let motd = Change { motd: Some("hello\nagain\n"), ..Change::default() };
    let other = make(&Change { command_line: Some("quiet lockdown=none"), ..motd });
    for (a, b) in [(one.raw(), other.raw()), (one.tgz(), other.tgz())] {
        let told = explain(&a, &b).unwrap();
        let has = |start: &str| told.iter().any(|line| line.starts_with(start));
        assert!(has("/etc/motd: size 6 against 12; line 2: nothing against `again`"), "{told:#?}");
        assert!(has("boot file, section .cmdline: line 1: `quiet lockdown=i"), "{told:#?}");
        assert!(has("partition root: "), "{told:#?}");
        assert!(!told.iter().any(|line| line.starts_with("/etc/shadow")), "{told:#?}");
    }
    let told = explain(&one.tgz(), &other.tgz()).unwrap();
    assert!(told.iter().any(|line| line.starts_with("member stonecell.json: ")), "{told:#?}");
    let told = explain(&one.warden(), &other.warden()).unwrap();
    assert!(told[0].starts_with("/etc/motd: "), "{told:#?}");
    assert!(explain(&one.raw(), &one.raw()).unwrap().is_empty());
}

#[test]
fn a_byte_that_no_file_holds_is_found_in_its_partition() {
    let one = make(&Change::default());
    let copy = one.dir.path().join("copy.raw");
    std::fs::copy(one.raw(), &copy).unwrap();
    let disk = std::fs::File::options().read(true).write(true).open(&copy).unwrap();
    let view = read_disk(&FilePart::whole(&disk).unwrap()).unwrap();
    let var = view.by_label("var").unwrap();
    // The first kilobyte of an ext4 file system belongs to boot loaders.
    disk.write_all_at(&[1], var.offset + 77).unwrap();
    let told = explain(&one.raw(), &copy).unwrap();
    assert_eq!(told, ["partition var: 1 bytes, the first at 77 in it"]);
}
