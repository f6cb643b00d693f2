//! The whole image, checked by the tools that others use: `veritysetup`, `sfdisk`, `fsck.fat`, `e2fsck`,
//! `fsck.erofs`, `sbverify`.

#![allow(clippy::tests_outside_test_module, reason = "the whole file is tests")]

mod support;

use std::fs;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use stonecell_image::BuiltImage;
use stonecell_image::Compression;
use stonecell_image::Event;
use stonecell_image::ImageInput;
use stonecell_image::Phase;
use stonecell_image::SigningKey;
use stonecell_image::StateFileSystem;
use stonecell_image::build_image;
use stonecell_image::disk::BOOT_FILE;
use stonecell_image::disk::PartitionKind;
use stonecell_image::disk::read_esp_file;
use stonecell_image::read_disk;
use stonecell_image::source::FilePart;
use stonecell_image::uki::read_uki;
use stonecell_image::verity;
use stonecell_image::verity::VerityError;
use support::cut;
use support::run;
use support::signing_key;
use support::stub;
use support::tree;
use uuid::Uuid;

const MIB: u64 = 1 << 20;

/// Builds an image of a small tree in `dir`; `reversed` makes the files in another order.
fn image(dir: &Path, key: Option<&SigningKey>, reversed: bool) -> BuiltImage {
    let root = dir.join("root");
    tree(&root, reversed);
    let var = dir.join("var");
    tree(&var, reversed);
    fs::set_permissions(&var, fs::Permissions::from_mode(0o1777)).unwrap();
    let kernel = dir.join("kernel");
    fs::write(&kernel, [b"MZ".as_slice(), &[0x5a; 300_000]].concat()).unwrap();
    let work = dir.join("work");
    fs::create_dir(&work).unwrap();
    let state = |mount: &str, label: &str, tree| StateFileSystem {
        mount: mount.to_owned(),
        label: label.to_owned(),
        size: 20 * MIB,
        tree,
    };
    let input = ImageInput {
        root_dir: &root,
        kernel: &kernel,
        kernel_version: "6.1.0-test",
        initrd: &[0x21; 70_001],
        stub: &stub(),
        os_release: "ID=debian\n",
        command_line: "quiet lockdown=integrity",
        splash: None,
        signing: key,
        state: &[state("/var", "var", Some(var)), state("/home", "home", None)],
        ab: true,
        root_bytes: Some(64 * MIB),
        esp_bytes: None,
        disk_multiple: MIB,
        compression: Compression::Lz4,
        epoch: 1_700_000_000,
        identity: Uuid::from_u128(0x1234),
        work_dir: &work,
        out_raw: &dir.join("disk.raw"),
    };
    let events = std::sync::Mutex::new(Vec::new());
    let built = build_image(&input, &|event| events.lock().unwrap().push(event)).unwrap();
    let events = events.into_inner().unwrap();
    for phase in [Phase::Root, Phase::State, Phase::Verity, Phase::Uki, Phase::Assemble] {
        assert!(events.contains(&Event::Started(phase)), "{phase:?}");
    }
    built
}

#[test]
fn every_part_is_accepted_by_the_usual_tools() {
    let dir = tempfile::tempdir().unwrap();
    let key = signing_key(dir.path());
    let built = image(dir.path(), Some(&key.key), false);
    let raw = File::open(&built.raw).unwrap();
    let disk = FilePart::whole(&raw).unwrap();
    let view = read_disk(&disk).unwrap();
    assert_eq!(view.partitions, built.partitions);
    assert_eq!(view.disk_bytes, built.disk_bytes);

    let table: serde_json::Value =
        serde_json::from_slice(&run("sfdisk", [Path::new("--json"), &built.raw])).unwrap();
    let rows = table["partitiontable"]["partitions"].as_array().unwrap();
    assert_eq!(rows.len(), view.partitions.len());
    for (row, partition) in rows.iter().zip(&view.partitions) {
        assert_eq!(row["start"].as_u64().unwrap() * 512, partition.offset);
        assert_eq!(row["size"].as_u64().unwrap() * 512, partition.bytes);
        assert_eq!(row["name"], partition.label);
        let uuid = partition.uuid.hyphenated().to_string().to_uppercase();
        assert_eq!(row["uuid"], uuid);
        let kind = partition.kind.type_uuid().hyphenated().to_string().to_uppercase();
        assert_eq!(row["type"], kind);
    }
    let verified = String::from_utf8(run("sfdisk", [Path::new("--verify"), &built.raw])).unwrap();
    assert!(verified.contains("No errors"), "{verified}");

    let part = |label: &str| cut(dir.path(), &raw, view.by_label(label).unwrap());
    run("fsck.fat", [Path::new("-n"), &part("esp")]);
    run("e2fsck", [Path::new("-fn"), &part("var")]);
    run("e2fsck", [Path::new("-fn"), &part("home")]);
    let (root, hash) = (part("root"), part("root-verity"));
    run("fsck.erofs", [&root]);
    run("veritysetup", ["verify".as_ref(), root.as_path(), &hash, built.root_hash.as_ref()]);
    let root_uuid = view.by_kind(PartitionKind::Root).unwrap().uuid.simple().to_string();
    let hash_uuid = view.by_kind(PartitionKind::RootVerity).unwrap().uuid.simple().to_string();
    assert_eq!(format!("{root_uuid}{hash_uuid}"), built.root_hash);

    let esp = view.by_kind(PartitionKind::Esp).unwrap();
    let esp = FilePart::new(&raw, esp.offset, esp.bytes).unwrap();
    let uki = read_esp_file(&esp, BOOT_FILE).unwrap();
    assert!(uki == fs::read(&built.uki).unwrap());
    let wanted = format!("quiet lockdown=integrity roothash={}", built.root_hash);
    assert_eq!(read_uki(&uki).unwrap().command_line(), Some(wanted.as_str()));
    run("sbverify", ["--cert".as_ref(), key.certificate.as_path(), &built.uki]);
}

#[test]
fn owners_modes_and_attributes_of_the_state_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let built = image(dir.path(), None, false);
    let raw = File::open(&built.raw).unwrap();
    let view = read_disk(&FilePart::whole(&raw).unwrap()).unwrap();
    let var = cut(dir.path(), &raw, view.by_label("var").unwrap());
    let stat = |what: &str| {
        let request = format!("stat {what}");
        let out = run("debugfs", ["-R".as_ref(), request.as_ref(), var.as_path()]);
        String::from_utf8(out).unwrap()
    };
    assert!(stat("/").contains("Mode:  01777"), "{}", stat("/"));
    let file = stat("/etc/motd");
    assert!(file.contains("Mode:  0640"), "{file}");
    assert!(file.contains("user.note (4) = \"kept\""), "{file}");
    for time in ["ctime", "atime", "mtime", "crtime"] {
        let line = file.lines().find(|line| line.trim_start().starts_with(time)).unwrap();
        assert!(line.contains("0x6553f100:00000000"), "{line}");
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let key_dir = tempfile::tempdir().unwrap();
    let key = signing_key(key_dir.path());
    let first = tempfile::tempdir().unwrap();
    let second = tempfile::tempdir().unwrap();
    let one = image(first.path(), Some(&key.key), false);
    let two = image(second.path(), Some(&key.key), true);
    assert_eq!(one.root_hash, two.root_hash);
    assert_eq!(one.uki_sha256, two.uki_sha256);
    run("cmp", [&one.raw, &two.raw]);
}

#[test]
fn a_changed_byte_of_the_root_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let built = image(dir.path(), None, false);
    let raw = File::options().read(true).write(true).open(&built.raw).unwrap();
    let view = read_disk(&FilePart::whole(&raw).unwrap()).unwrap();
    let root = view.by_kind(PartitionKind::Root).unwrap().clone();
    let hash = view.by_kind(PartitionKind::RootVerity).unwrap().clone();
    let root_hash = built.root_hash.parse().unwrap();
    let verify = || {
        let data = FilePart::new(&raw, root.offset, root.bytes).unwrap();
        let hash = FilePart::new(&raw, hash.offset, hash.bytes).unwrap();
        verity::verify(&data, &hash, &root_hash)
    };
    verify().unwrap();
    std::os::unix::fs::FileExt::write_all_at(&raw, b"\xff", root.offset + 5000).unwrap();
    assert!(matches!(verify(), Err(VerityError::DataBlock { offset: 4096 })));
}
