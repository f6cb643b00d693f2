//! The order of the steps, and every way in which they can fail.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use stonecell_init::cmdline::{self, CmdlineError, OnCorruption};
use stonecell_init::index::{Index, IndexError};
use stonecell_init::verity::{self, VerityError};

use crate::devices::{Pair, Watch};
use crate::modules::Loader;
use crate::{devices, kmsg, mapper, state, switch};

/// The module list in the initrd.
const INDEX: &str = "/modules/index";
/// Where the root file system is mounted until it becomes the root.
pub(crate) const SYSROOT: &str = "/sysroot";

/// Why the machine does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BootError {
    #[error("cannot mount {kind} on {at}")]
    Mount { kind: &'static str, at: &'static str, source: Errno },
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("kernel command line")]
    Cmdline(#[from] CmdlineError),
    #[error("module list")]
    Index(#[from] IndexError),
    #[error("cannot load module {name}")]
    Module { name: String, source: io::Error },
    #[error("cannot listen to the kernel's device events")]
    Events(#[source] Errno),
    #[error(
        "after {} s no disk has the partitions of this root hash (root {root}, verity {verity}); disks seen: {seen}",
        waited.as_secs()
    )]
    NoDisk { waited: Duration, root: String, verity: String, seen: String },
    #[error("verity partition")]
    Verity(#[from] VerityError),
    #[error("device mapper: cannot {step}")]
    Mapper { step: &'static str, source: Errno },
    #[error("cannot mount {target}, left to systemd")]
    State { target: String, source: io::Error },
    #[error("cannot tell systemd that all is mounted; it reads /etc/fstab itself")]
    Generator { source: io::Error },
    #[error("cannot move to the root file system: {step}")]
    Switch { step: &'static str, source: io::Error },
    #[error("cannot start {program}")]
    Exec { program: &'static str, source: io::Error },
    #[error("cannot restart the machine")]
    Restart(#[source] Errno),
}

/// Brings the machine up; returns only on failure. `on_failure` is set as soon as it is known.
pub(crate) fn run(on_failure: &mut OnCorruption) -> Result<Infallible, BootError> {
    mount_kernel_file_systems()?;
    let options = cmdline::parse(&read("/proc/cmdline")?)?;
    *on_failure = options.on_corruption;
    let deadline = Instant::now() + options.timeout;

    // The socket is open before the first module, so no device can appear unnoticed.
    let mut watch = Watch::open()?;
    let mut loader = Loader::new(Index::parse(&read(INDEX)?)?, &options.module_options);
    // First: with the processor's own SHA-256 the kernel checks the signatures of all further modules in half the time.
    if let Some(alias) = devices::processor() {
        loader.load_for(&alias);
    }
    loader.load_always()?;
    let pair = wait_for(&options, &mut watch, &mut loader, deadline)?;
    kmsg::info(&format!("root {}, verity {}", pair.root.name, pair.verity.name));

    let superblock =
        verity::superblock(&devices::read_start(&pair.verity, verity::SUPERBLOCK_SIZE)?)?;
    let target = verity::target(
        &superblock,
        pair.root.device,
        pair.verity.device,
        &options.root_hash,
        options.on_corruption,
    )?;
    let device = mapper::open(&options.root_hash, &target)?;
    mount(device, SYSROOT, "erofs", MountFlags::RDONLY, None)
        .map_err(|source| BootError::Mount { kind: "erofs", at: SYSROOT, source })?;
    state::mount_all(&pair);
    kmsg::info("file systems mounted, starting the system");
    switch::to_sysroot()
}

fn mount_kernel_file_systems() -> Result<(), BootError> {
    let private = MountFlags::NOSUID | MountFlags::NOEXEC;
    for (kind, at, flags) in [
        ("devtmpfs", "/dev", private),
        ("proc", "/proc", private | MountFlags::NODEV),
        ("sysfs", "/sys", private | MountFlags::NODEV),
    ] {
        mount(kind, at, kind, flags, None).map_err(|source| BootError::Mount {
            kind,
            at,
            source,
        })?;
    }
    Ok(())
}

/// Loads drivers as devices appear until one disk has both partitions.
fn wait_for(
    options: &cmdline::Options,
    watch: &mut Watch,
    loader: &mut Loader,
    deadline: Instant,
) -> Result<Pair, BootError> {
    loop {
        // First, and again if messages were lost: what is there already.
        for alias in devices::modaliases() {
            loader.load_for(&alias);
        }
        loop {
            // Loading a driver makes messages at once; take them before looking at the disks.
            watch.drain(loader)?;
            if let Some(pair) = devices::find(&options.root_hash) {
                return Ok(pair);
            }
            if !watch.wait(deadline)? {
                return Err(BootError::NoDisk {
                    waited: options.timeout,
                    root: hyphenated(options.root_hash.root_uuid()),
                    verity: hyphenated(options.root_hash.verity_uuid()),
                    seen: devices::disk_names().join(" "),
                });
            }
            if watch.lost_messages() {
                break;
            }
        }
    }
}

fn hyphenated(uuid: [u8; 16]) -> String {
    let mut text = String::new();
    for (at, byte) in uuid.into_iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

fn read(path: &str) -> Result<String, BootError> {
    fs::read_to_string(path).map_err(|source| BootError::Read { path: path.into(), source })
}
