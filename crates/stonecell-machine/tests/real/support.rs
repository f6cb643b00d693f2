//! A real kernel, the real first program, and a small verity disk for them.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

#[path = "../../../stonecell/tests/support/init.rs"]
mod init_program;

use init_program::init;
use stonecell_kernel::Tree;
use stonecell_kernel::initrd::{self, InitrdSpec};
use stonecell_kernel::prune;
use stonecell_machine::{Boot, Bus, Console, Disk, Format, MachineSpec, accelerator};

/// Generous: emulated, on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(240);
/// Where the partitions begin, in sectors.
const ROOT_START: u64 = 2048;
const VERITY_START: u64 = 18432;
const DISK_SECTORS: u64 = 24576;
/// Bytes of the file that the probe reads.
pub(crate) const DATA_SIZE: usize = 1 << 20;

/// What all tests of a run share.
pub(crate) struct Kernel {
    pub(crate) root: PathBuf,
    pub(crate) image: PathBuf,
    pub(crate) initrd: PathBuf,
    probe: PathBuf,
}

pub(crate) static KERNEL: LazyLock<Kernel> = LazyLock::new(prepare);

pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .env("LC_ALL", "C")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {text}{complaint}");
    text
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Fetches Debian's cloud kernel through the host's apt (once), unpacks it, builds the initrd.
fn prepare() -> Kernel {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("machine");
    fs::create_dir_all(&cache).unwrap();
    let depends = run("apt-cache", &["depends", "linux-image-cloud-amd64"]);
    let package = depends
        .split_whitespace()
        .find(|word| word.starts_with("linux-image-") && word.contains("-cloud-amd64"))
        .filter(|word| *word != "linux-image-cloud-amd64")
        .or_else(|| depends.split("Depends: ").nth(1)?.split_whitespace().next())
        .unwrap()
        .to_owned();
    let root = cache.join(&package);
    if !root.exists() {
        let new = cache.join(format!("{package}.new"));
        let _ = fs::remove_dir_all(&new);
        fs::create_dir_all(&new).unwrap();
        let status = Command::new("apt-get")
            .args(["-q", "-o", "APT::Sandbox::User=root", "download", &package])
            .current_dir(&new)
            .status()
            .unwrap();
        assert!(status.success(), "apt-get download {package}");
        let names = fs::read_dir(&new).unwrap().map(|entry| entry.unwrap().path());
        let deb = names.into_iter().find(|path| path.extension().is_some_and(|e| e == "deb"));
        run("dpkg-deb", &["-x", text(&deb.unwrap()), text(&new)]);
        prune::depmod(&new, &Tree::find_version(&new).unwrap()).unwrap();
        fs::rename(&new, &root).unwrap();
    }
    let version = Tree::find_version(&root).unwrap();
    let init = fs::read(init()).unwrap();
    let built = initrd::build(&InitrdSpec {
        root: &root,
        kernel_version: &version,
        init: &init,
        extra_drivers: &[],
        epoch: 1,
    })
    .unwrap();
    let initrd = cache.join("initrd");
    fs::write(&initrd, built.bytes).unwrap();
    let probe = cache.join("probe");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/probe.rs");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let args = ["--edition=2024", "-O", "-C", "target-feature=+crt-static", "-o"];
    run(&rustc, &[&args[..], &[text(&probe), text(&source)]].concat());
    let image = root.join("boot").join(format!("vmlinuz-{version}"));
    Kernel { root, image, initrd, probe }
}

/// A disk with a verity root that holds the probe, and its root hash.
pub(crate) struct VerityDisk {
    pub(crate) path: PathBuf,
    pub(crate) root_hash: String,
    /// Offset on the disk of a byte in the middle of the file that the probe reads.
    pub(crate) middle: u64,
}

pub(crate) fn verity_disk(directory: &Path) -> VerityDisk {
    let tree = directory.join("tree");
    for name in ["dev", "proc", "run", "sbin", "sys"] {
        fs::create_dir_all(tree.join(name)).unwrap();
    }
    fs::copy(&KERNEL.probe, tree.join("sbin/init")).unwrap();
    // Not compressible, so that it fills blocks of its own.
    let mut state = 1_u64;
    let data: Vec<u8> = std::iter::repeat_with(|| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    })
    .take(DATA_SIZE)
    .collect();
    fs::write(tree.join("data"), &data).unwrap();
    let (root, hashes) = (directory.join("root.erofs"), directory.join("root.verity"));
    run("mkfs.erofs", &["-zlz4", "-T1", text(&root), text(&tree)]);
    let said = run("/usr/sbin/veritysetup", &["format", "--salt=ab12", text(&root), text(&hashes)]);
    let root_hash = said.lines().find_map(|line| line.strip_prefix("Root hash:"));
    let root_hash = root_hash.unwrap().trim().to_owned();

    let path = directory.join("disk.raw");
    fs::File::create(&path).unwrap().set_len(DISK_SECTORS * 512).unwrap();
    let table = format!(
        "label: gpt\nstart={ROOT_START},size=16384,uuid={}\nstart={VERITY_START},size=4096,uuid={}\n",
        uuid(&root_hash[..32]),
        uuid(&root_hash[32..]),
    );
    let script = directory.join("table");
    fs::write(&script, table).unwrap();
    let status = Command::new("/usr/sbin/sfdisk")
        .args(["--quiet", text(&path)])
        .stdin(fs::File::open(&script).unwrap())
        .status()
        .unwrap();
    assert!(status.success(), "sfdisk");
    let root = fs::read(root).unwrap();
    let mut disk = fs::OpenOptions::new().write(true).open(&path).unwrap();
    for (start, bytes) in [(ROOT_START, &root), (VERITY_START, &fs::read(hashes).unwrap())] {
        disk.seek(SeekFrom::Start(start * 512)).unwrap();
        disk.write_all(bytes).unwrap();
    }
    let middle = &data[DATA_SIZE / 2..DATA_SIZE / 2 + 32];
    let middle = root.windows(middle.len()).position(|window| window == middle).unwrap();
    VerityDisk { path, root_hash, middle: ROOT_START * 512 + u64::try_from(middle).unwrap() }
}

fn uuid(digits: &str) -> String {
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    parts.join("-")
}

/// A machine that starts the real kernel and initrd directly.
pub(crate) fn machine(disks: Vec<Disk>, command_line: &str) -> MachineSpec {
    MachineSpec {
        boot: Boot::Kernel {
            kernel: KERNEL.image.clone(),
            initrd: KERNEL.initrd.clone(),
            command_line: format!("console=ttyS0 quiet panic=-1 {command_line}"),
        },
        disks,
        memory_mib: 512,
        cpus: 2,
        accelerator: accelerator(),
        network: None,
        console: Console::Captured,
        oem_strings: Vec::new(),
        reboot: false,
    }
}

pub(crate) fn disk(path: &Path, bus: Bus) -> Disk {
    Disk { path: path.into(), format: Format::Raw, bus, snapshot: true }
}
