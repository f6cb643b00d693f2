//! Every disk format: `qemu-img` reads the same disk back, and two conversions in different seconds are the
//! same bytes.

#![allow(clippy::tests_outside_test_module, reason = "the whole file is tests")]

mod support;

use std::fs;
use std::os::unix::fs::FileExt;
use std::time::Duration;
use std::time::SystemTime;

use stonecell_image::DiskFormat;
use stonecell_image::convert;
use support::run;
use uuid::Uuid;

/// Name for `qemu-img`, and the format.
const FORMATS: [(&str, DiskFormat); 7] = [
    ("raw", DiskFormat::Raw),
    ("qcow2", DiskFormat::Qcow2),
    ("qcow2", DiskFormat::Qcow2Zstd),
    ("qcow2", DiskFormat::Qcow2Compat010),
    ("vpc", DiskFormat::VhdFixed),
    ("vpc", DiskFormat::VhdDynamic),
    ("vmdk", DiskFormat::VmdkStream),
];

#[test]
fn every_format_holds_the_disk_and_is_the_same_each_time() {
    let dir = tempfile::tempdir().unwrap();
    let raw = dir.path().join("disk.raw");
    let file = fs::File::create(&raw).unwrap();
    file.set_len(24 << 20).unwrap();
    file.write_all_at(&[0x55; 300_000], 0).unwrap();
    let noise: Vec<u8> =
        (0..2_000_000_u32).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    file.write_all_at(&noise, 9 << 20).unwrap();
    drop(file);

    let make = |suffix: &str| {
        for (index, (_, format)) in FORMATS.iter().enumerate() {
            let out = dir.path().join(format!("{index}-{suffix}"));
            convert(&raw, &out, *format, Uuid::from_u128(7), 1_700_000_000).unwrap();
        }
    };
    let begin = SystemTime::now();
    make("one");
    // A time stamp counts whole seconds; go on in another one.
    while begin.elapsed().unwrap() < Duration::from_millis(1100) {
        std::thread::yield_now();
    }
    make("two");
    for (index, (name, format)) in FORMATS.iter().enumerate() {
        let [one, two] = ["one", "two"].map(|suffix| dir.path().join(format!("{index}-{suffix}")));
        assert!(fs::read(&one).unwrap() == fs::read(&two).unwrap(), "{format:?} differs");
        let force = if *name == "vpc" { ",force_size_calc=current_size" } else { "" };
        let source = format!("driver={name}{force},file.filename={}", one.display());
        run(
            "qemu-img",
            [
                "compare".as_ref(),
                "--image-opts".as_ref(),
                source.as_ref(),
                format!("driver=raw,file.filename={}", raw.display()).as_ref() as &std::ffi::OsStr,
            ],
        );
        if *name == "qcow2" {
            run("qemu-img", ["check".as_ref(), one.as_os_str()]);
        }
    }
    // Fixed VHD: the disk, then 512 bytes.
    let vhd = fs::read(dir.path().join("4-one")).unwrap();
    assert_eq!(vhd.len(), (24 << 20) + 512);
    assert!(vhd[..24 << 20] == fs::read(&raw).unwrap());
}
