//! What the black-box tests share: a small but complete output directory, made as the builder makes it.

#![allow(dead_code, reason = "each test program uses its own part")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use stonecell_definition::manifest::StemcellManifest;
use stonecell_image::build::file_system_uuid;
use stonecell_image::{
    BuiltImage, Compression, ImageInput, SigningKey, StateFileSystem, build_image,
    generate_development_keys,
};
use stonecell_stemcell::facts::{Facts, Package};
use stonecell_stemcell::outputs::with;
use stonecell_stemcell::tree_tar::Layer;
use stonecell_stemcell::wrap::{self, Image, Members};
use stonecell_stemcell::{provenance, signature};
use uuid::Uuid;

const MIB: u64 = 1 << 20;
const EPOCH: u64 = 1_700_000_000;
const IDENTITY: Uuid = Uuid::from_u128(0x1234);

/// An output directory and the trees that went into it.
pub(crate) struct Made {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) built: BuiltImage,
}

impl Made {
    pub(crate) fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }
    pub(crate) fn raw(&self) -> PathBuf {
        self.out().join("tiny-1.0.raw")
    }
    pub(crate) fn tgz(&self) -> PathBuf {
        self.out().join("bosh-stemcell-1.0-qemu-kvm-debian-bookworm.tgz")
    }
    pub(crate) fn warden(&self) -> PathBuf {
        self.out().join("bosh-stemcell-1.0-warden-boshlite-debian-bookworm.tgz")
    }
    pub(crate) fn light(&self) -> PathBuf {
        self.out().join("light-bosh-stemcell-1.0-aws-xen-hvm-debian-bookworm.tgz")
    }
    /// The tree of the root, and that of `/var`.
    pub(crate) fn trees(&self) -> (PathBuf, PathBuf) {
        (self.dir.path().join("root"), self.dir.path().join("var"))
    }
}

/// Runs a tool; fails with its words.
pub(crate) fn run(program: &str, arguments: &[&std::ffi::OsStr]) -> Vec<u8> {
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

/// What a test changes before the image is made.
#[derive(Default)]
pub(crate) struct Change {
    pub(crate) bash: Option<&'static str>,
    pub(crate) motd: Option<&'static str>,
    pub(crate) command_line: Option<&'static str>,
    pub(crate) controls: Option<Vec<&'static str>>,
}

pub(crate) fn package(name: &str, version: &str) -> Package {
    Package {
        name: name.into(),
        version: version.into(),
        architecture: "amd64".into(),
        source: name.into(),
        source_version: version.into(),
        sha256: if name == "own" { String::new() } else { "ab".repeat(32) },
        filename: format!("pool/main/{name}_{version}.deb"),
        maintainer: "Some \"Body\" <somebody@mirror.invalid>".into(),
        summary: "A summary: with a colon".into(),
        homepage: "https://mirror.invalid/home".into(),
        license: if name == "own" { "Apache-2.0".into() } else { "GPL-2.0-or-later".into() },
    }
}

fn status(packages: &[Package]) -> String {
    let stanza = |package: &Package| {
        format!(
            "Package: {}\nStatus: install ok installed\nArchitecture: {}\nVersion: {}\n",
            package.name, package.architecture, package.version
        )
    };
    packages.iter().map(stanza).collect::<Vec<_>>().join("\n")
}

fn listing(packages: &[Package]) -> String {
    let line = |package: &Package| {
        format!("ii  {}:amd64  {}  {}  text\n", package.name, package.version, package.architecture)
    };
    packages.iter().map(line).collect()
}

/// A root with every kind of file, and a `/var`.
fn trees(root: &Path, var: &Path, packages: &[Package], motd: &str) {
    for directory in ["etc", "usr/bin", "usr/lib/stonecell/dpkg", "var/log", "tmp", "home"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    fs::write(root.join("usr/lib/stonecell/dpkg/status"), status(packages)).unwrap();
    let uuid = file_system_uuid(IDENTITY, "var");
    fs::write(
        root.join("etc/fstab"),
        format!("UUID={uuid} /var ext4 nodev 0 0\ntmpfs /tmp tmpfs\n"),
    )
    .unwrap();
    fs::write(root.join("etc/motd"), motd).unwrap();
    fs::write(root.join("etc/shadow"), "root:!:\n").unwrap();
    fs::set_permissions(root.join("etc/shadow"), fs::Permissions::from_mode(0o640)).unwrap();
    let noise: Vec<u8> =
        (0..100_000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    fs::write(root.join("usr/bin/ping"), &noise).unwrap();
    fs::write(root.join("usr/bin/su"), "su").unwrap();
    fs::hard_link(root.join("usr/bin/su"), root.join("usr/bin/su-again")).unwrap();
    symlink("usr/bin", root.join("bin")).unwrap();
    symlink("/etc/../../../escape", root.join("etc/odd")).unwrap();
    for (path, mode) in [("usr/bin/ping", 0o755), ("usr/bin/su", 0o4755), ("tmp", 0o1777)] {
        fs::set_permissions(root.join(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::create_dir_all(var.join("lib/app")).unwrap();
    fs::write(var.join("lib/app/data"), "state ".repeat(9000)).unwrap();
    fs::write(var.join("lib/app/secret"), "s").unwrap();
    fs::set_permissions(var.join("lib/app/secret"), fs::Permissions::from_mode(0o400)).unwrap();
    fs::set_permissions(var.join("lib/app"), fs::Permissions::from_mode(0o2750)).unwrap();
    symlink("app", var.join("lib/link")).unwrap();
    fs::hard_link(var.join("lib/app/data"), var.join("lib/same")).unwrap();
    let list = ["-m", "g:4:r-x"].map(std::ffi::OsStr::new);
    run("setfacl", &[&list[..], &[var.join("lib/app").as_os_str()]].concat());
    run(
        "setfattr",
        &["-n".as_ref(), "user.note".as_ref(), "-v".as_ref(), "top".as_ref(), var.as_os_str()],
    );
    if rustix::process::geteuid().is_root() {
        chown(root.join("etc/shadow"), Some(0), Some(42)).unwrap();
        chown(var.join("lib/app/data"), Some(1000), Some(1001)).unwrap();
        run("setcap", &["cap_net_raw+ep".as_ref(), root.join("usr/bin/ping").as_os_str()]);
        run(
            "mknod",
            &[root.join("etc/null").as_os_str(), "c".as_ref(), "1".as_ref(), "3".as_ref()],
        );
        run("mkfifo", &[root.join("etc/fifo").as_os_str()]);
    }
    let note = ["-n", "user.note", "-v", "kept"].map(std::ffi::OsStr::new);
    run("setfattr", &[&note[..], &[root.join("etc/motd").as_os_str()]].concat());
}

/// Makes disk, stemcells (disk, root tar, light), signatures and provenance in `out/`.
pub(crate) fn make(change: &Change) -> Made {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["out", "work", "root", "var"] {
        fs::create_dir(at(name)).unwrap();
    }
    let packages = vec![
        package("bash", change.bash.unwrap_or("5.2-1")),
        package("own", "1"),
        package("zlib1g", "1:1.3"),
    ];
    trees(&at("root"), &at("var"), &packages, change.motd.unwrap_or("hello\n"));
    fs::write(at("kernel"), [b"MZ".as_slice(), &[0x5a; 300_000]].concat()).unwrap();

    let secure_boot = generate_development_keys(&at("keys"), "test").unwrap();
    let signing = SigningKey::from_files(&secure_boot[2].key, &secure_boot[2].certificate).unwrap();
    let stub = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";
    let stub =
        fs::read(stub).unwrap_or_else(|error| panic!("{stub}: {error}; see system-packages.txt"));
    let built = build_image(
        &ImageInput {
            root_dir: &at("root"),
            kernel: &at("kernel"),
            kernel_version: "6.1.0-test",
            initrd: &[0x21; 70_001],
            stub: &stub,
            os_release: "ID=debian\n",
            command_line: change.command_line.unwrap_or("quiet lockdown=integrity"),
            splash: None,
            signing: Some(&signing),
            state: &[StateFileSystem {
                mount: "/var".into(),
                label: "var".into(),
                size: 20 * MIB,
                tree: Some(at("var")),
            }],
            ab: false,
            root_bytes: Some(8 * MIB),
            esp_bytes: None,
            disk_multiple: MIB,
            compression: Compression::Lz4,
            epoch: EPOCH,
            identity: IDENTITY,
            work_dir: &at("work"),
            out_raw: &at("out/tiny-1.0.raw"),
        },
        &|_| {},
    )
    .unwrap();

    let facts = Facts {
        name: "tiny".into(),
        version: "1.0".into(),
        distribution: "debian".into(),
        release: "bookworm".into(),
        release_version: "12".into(),
        epoch: i64::try_from(EPOCH).unwrap(),
        root_hash: built.root_hash.clone(),
        packages,
        tools: vec![],
        indexes: vec![],
        sources: vec![],
        lock_sha256: "11".repeat(32),
        builder_version: "0.1.0".into(),
        builder_files: vec![],
        development_keys: true,
    };
    let description = json!({
        "name": "tiny", "version": "1.0", "kernel_version": "6.1.0-test",
        "root_hash": built.root_hash, "command_line": built.command_line,
        "partitions": built.partitions, "mutable_etc": ["/etc/hostname"], "roles": ["minimal"],
        "controls": { "profile": "strict",
            "applied": change.controls.clone().unwrap_or_else(|| vec!["a-1", "a-2"]), "left_out": [] },
    });
    let members = Members {
        facts: &facts,
        packages: &listing(&facts.packages),
        dev_tools: "",
        description: &description,
    };
    let layers = vec![
        Layer { prefix: PathBuf::new(), tree: at("root") },
        Layer { prefix: "var".into(), tree: at("var") },
    ];
    let mut outputs = vec![wrap::output(&at("out/tiny-1.0.raw")).unwrap()];
    for (file, name, image) in [
        (
            "bosh-stemcell-1.0-qemu-kvm-debian-bookworm.tgz",
            "bosh-qemu-kvm-debian-bookworm",
            Image::TarOfDisk { disk: built.raw.clone(), name: "root.img" },
        ),
        (
            "bosh-stemcell-1.0-warden-boshlite-debian-bookworm.tgz",
            "bosh-warden-boshlite-debian-bookworm",
            Image::TarOfRoot { layers },
        ),
        (
            "light-bosh-stemcell-1.0-aws-xen-hvm-debian-bookworm.tgz",
            "bosh-aws-xen-hvm-debian-bookworm",
            Image::Light,
        ),
    ] {
        let manifest = |sha1: &str| {
            StemcellManifest {
                name: name.into(),
                version: "1.0".into(),
                bosh_protocol: 1,
                api_version: 3,
                sha1: sha1.into(),
                operating_system: "debian-bookworm".into(),
                stemcell_formats: vec!["raw".into()],
                cloud_properties: BTreeMap::new(),
            }
            .to_yaml()
        };
        let path = at("out").join(file);
        outputs.push(wrap::write(&path, &at("work"), &members, &image, name, &manifest).unwrap());
    }

    let key = signature::SigningKey::generate_development(&at("stemcell-key")).unwrap();
    for output in &outputs {
        fs::write(with(&output.path, ".sig"), key.sign_output(output).unwrap()).unwrap();
    }
    let statement = provenance::statement(&facts, &outputs, &json!({}));
    let envelope = provenance::seal(&statement, &key).unwrap();
    fs::write(at("out/tiny-1.0.intoto.json"), serde_json::to_vec(&envelope).unwrap()).unwrap();
    fs::copy(at("stemcell-key.pub"), at("out/tiny-1.0.pub")).unwrap();
    fs::copy(&secure_boot[2].certificate, at("out/tiny-1.0.crt")).unwrap();
    Made { dir, built }
}
