//! What the black-box tests share: outside tools, a tree, a stub, a key.

#![allow(dead_code, reason = "each test program uses its own part")]

use std::ffi::OsStr;
use std::fs;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use stonecell_image::SigningKey;
use stonecell_image::disk::Partition;
use stonecell_image::generate_development_keys;

/// Runs a tool and returns what it printed; fails with its words.
pub(crate) fn run<S: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = S>,
) -> Vec<u8> {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", path)
        .env("LC_ALL", "C")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; see system-packages.txt"));
    assert!(
        output.status.success(),
        "{program} failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// A small tree: directories, files, a link, a hard link, an extended attribute, modes.
pub(crate) fn tree(root: &Path, reversed: bool) {
    let mut names: Vec<String> = (0..40).map(|n| format!("usr/lib/part-{n}")).collect();
    names.push("etc/motd".to_owned());
    if reversed {
        names.reverse();
    }
    for name in &names {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let content: Vec<u8> = (0..30_000_u32).map(|i| (i * 7).to_le_bytes()[0]).collect();
        fs::write(&path, [name.as_bytes(), &content].concat()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    let motd = root.join("etc/motd");
    fs::set_permissions(&motd, fs::Permissions::from_mode(0o640)).unwrap();
    run("setfattr", ["-n", "user.note", "-v", "kept", motd.to_str().unwrap()]);
    fs::hard_link(root.join("usr/lib/part-3"), root.join("usr/lib/same")).unwrap();
    std::os::unix::fs::symlink("usr/lib", root.join("lib")).unwrap();
    for directory in ["", "etc", "usr", "usr/lib"] {
        fs::set_permissions(root.join(directory), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// The systemd-stub of the machine.
pub(crate) fn stub() -> Vec<u8> {
    let path = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";
    fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}; see system-packages.txt"))
}

/// A fresh development key and the file of its certificate.
pub(crate) struct TestKey {
    pub(crate) key: SigningKey,
    pub(crate) certificate: PathBuf,
}

pub(crate) fn signing_key(dir: &Path) -> TestKey {
    let keys = generate_development_keys(&dir.join("keys"), "test").unwrap();
    let db = &keys[2];
    let key = SigningKey::from_files(&db.key, &db.certificate).unwrap();
    TestKey { key, certificate: db.certificate.clone() }
}

/// A partition as a file of its own.
pub(crate) fn cut(dir: &Path, raw: &File, partition: &Partition) -> PathBuf {
    let path = dir.join(format!("{}.part", partition.label));
    let mut bytes = vec![0; usize::try_from(partition.bytes).unwrap()];
    raw.read_exact_at(&mut bytes, partition.offset).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}
