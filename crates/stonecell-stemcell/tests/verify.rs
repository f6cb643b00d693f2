//! One changed byte anywhere is found, and its place is named.

#![expect(clippy::tests_outside_test_module, reason = "the whole file is one test program")]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use stonecell_image::secure_boot::read_certificate;
use stonecell_stemcell::signature::VerifyingKey;
use stonecell_stemcell::verify::{FileReport, Trust, text, verify};
use support::{Change, Made, make};

fn one(path: &Path, trust: &Trust) -> FileReport {
    let mut report = verify(path, trust, &|_| {}).unwrap();
    assert_eq!(report.files.len(), 1);
    report.files.remove(0)
}

fn trust(made: &Made) -> Trust {
    Trust {
        key: Some(VerifyingKey::read(&made.out().join("tiny-1.0.pub")).unwrap()),
        certificate: Some(read_certificate(&made.out().join("tiny-1.0.crt")).unwrap()),
    }
}

fn failed(report: &FileReport) -> Vec<(&str, &str)> {
    report.checks.iter().filter(|c| !c.ok).map(|c| (c.name, c.detail.as_str())).collect()
}

/// Changes a bit of the byte at `at`, verifies, changes it back.
fn flipped(path: &Path, at: u64, trust: &Trust) -> FileReport {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
    let report = one(path, trust);
    file.write_all_at(&byte, at).unwrap();
    report
}

#[test]
fn a_sound_directory_is_good_and_says_who_vouched() {
    let made = make(&Change::default());
    let report = verify(&made.out(), &trust(&made), &|_| {}).unwrap();
    assert!(report.ok, "{}", text(&report));
    assert_eq!(report.files.len(), 4);
    assert!(report.files.iter().all(|file| file.vouched));
    let disk = report.files.iter().find(|file| file.file.ends_with(".raw")).unwrap();
    for name in [
        "signature",
        "provenance",
        "partition tables",
        "boot file",
        "command line",
        "root UUIDs",
        "root file system",
        "state file systems",
        "materials",
        "parts",
    ] {
        assert!(disk.checks.iter().any(|check| check.name == name), "{name}: {}", text(&report));
    }
    let stemcell = report.files.iter().find(|file| file.file.contains("qemu")).unwrap();
    for name in
        ["members", "manifest", "bills of materials", "installed packages", "root file system"]
    {
        assert!(stemcell.checks.iter().any(|check| check.name == name), "{name}");
    }

    let unvouched = verify(&made.tgz(), &Trust::default(), &|_| {}).unwrap();
    assert!(unvouched.ok && !unvouched.files[0].vouched);
    assert!(unvouched.files[0].checks[0].detail.contains("nobody vouched"));
}

#[test]
fn other_keys_missing_proof_and_stray_files_are_refused() {
    let made = make(&Change::default());
    let other = make(&Change::default());
    let foreign = one(&made.raw(), &trust(&other));
    let names: Vec<&str> = failed(&foreign).iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["signature", "provenance", "boot file"], "{foreign:?}");

    fs::copy(other.out().join("tiny-1.0.pub"), made.out().join("tiny-1.0.pub")).unwrap();
    assert!(!one(&made.raw(), &Trust::default()).ok);

    fs::write(made.out().join("stray"), "x").unwrap();
    fs::remove_file(made.out().join("tiny-1.0.intoto.json")).unwrap();
    let report = verify(&made.out(), &Trust::default(), &|_| {}).unwrap();
    assert!(report.files.iter().all(|file| !file.ok));
    assert!(report.files.iter().any(|file| file.file == "stray"));
}

#[test]
fn one_changed_byte_of_a_disk_is_found_and_named() {
    let made = make(&Change::default());
    let trust = trust(&made);
    let raw = made.raw();
    let size = fs::metadata(&raw).unwrap().len();
    let part = |label: &str| {
        made.built.partitions.iter().find(|partition| partition.label == label).unwrap()
    };
    let mut places: Vec<(u64, &str)> = vec![
        (440, "partition tables"),
        (512 + 60, "partition tables"),
        (1024 + 20, "partition tables"),
        (size - 512 + 30, "partition tables"),
        (size - 33 * 512 + 20, "partition tables"),
        (700 << 10, "partition tables and gaps"),
    ];
    let (esp, root) = (part("esp"), part("root"));
    let (tree, var) = (part("root-verity"), part("var"));
    places.extend([3, 11, 44, 70, 600].map(|at| (esp.offset + at, "esp")));
    // The boot file is the last megabyte or so of what is used of the EFI partition.
    places.extend((1..8).map(|n| (esp.offset + n * esp.bytes / 8, "esp")));
    let used = made.built.root_bytes;
    places.extend((0..10).map(|n| (root.offset + 1 + n * (used - 2) / 9, "root file system")));
    places.push((root.offset + root.bytes - 5, "root"));
    places.extend([8, 90, 4096 + 7, 4096 + 3000].map(|at| (tree.offset + at, "tree")));
    places.extend([1024 + 104, 1024 + 8].map(|at| (var.offset + at, "var")));
    places.extend((1..9).map(|n| (var.offset + n * var.bytes / 9, "var")));
    assert!(places.len() >= 40, "{}", places.len());
    for (at, wanted) in places {
        let report = flipped(&raw, at, &trust);
        let failed = failed(&report);
        assert!(failed.iter().any(|(name, _)| *name == "signature"), "{at}: {failed:?}");
        let named = failed.iter().any(|(name, detail)| match wanted {
            "esp" => *name == "boot file" || detail.contains("(esp)"),
            "var" => *name == "state file systems" || detail.contains("(var)"),
            "tree" => *name == "root file system" || *name == "parts",
            "root" => *name == "parts" || *name == "root file system",
            other => *name == other || detail.contains(other),
        });
        assert!(named, "byte {at} of {wanted}: {failed:#?}");
    }
    assert!(one(&raw, &trust).ok);
}

#[test]
fn one_changed_byte_of_a_stemcell_is_found_and_named() {
    let made = make(&Change::default());
    let trust = trust(&made);
    for path in [made.tgz(), made.warden()] {
        let size = fs::metadata(&path).unwrap().len();
        for n in 0..25 {
            let at = (n * (size - 1) / 24).min(size - 1);
            let report = flipped(&path, at, &trust);
            let failed = failed(&report);
            assert!(failed.iter().any(|(name, _)| *name == "signature"), "{at}: {failed:?}");
            // Four bytes of a gzip header say nothing; any other byte breaks a member.
            let members = ["archive", "manifest", "members", "parts"];
            let header = (4..10).contains(&at);
            assert!(
                header || failed.iter().any(|(name, _)| members.contains(name)),
                "byte {at} of {size}: {failed:#?}"
            );
        }
        assert!(one(&path, &trust).ok);
    }
}

#[test]
fn bytes_after_the_end_are_found() {
    let made = make(&Change::default());
    let mut bytes = fs::read(made.tgz()).unwrap();
    bytes.extend_from_slice(b"more");
    fs::write(made.tgz(), &bytes).unwrap();
    let report = one(&made.tgz(), &trust(&made));
    let failed = failed(&report);
    assert!(failed.iter().any(|(name, _)| *name == "archive"), "{failed:?}");
}
