//! The state partitions and the file systems in memory, mounted before systemd starts.
//!
//! systemd would wait for udev to look at every disk, and start a program for each mount. The table is the verified
//! root's own `/etc/fstab`. A file system is taken from the disk that the root is on, and from no other: a second disk
//! with a copied UUID does not get its place. When all is mounted, systemd need not read the table, which would make it
//! wait for udev all the same. When something cannot be mounted, it gets the whole table, tries again and says why.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, mkdirat, openat2};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use stonecell_init::fstab::{self, Mount, Source};

use crate::boot::{BootError, SYSROOT};
use crate::devices::{self, Pair};
use crate::kmsg;

/// A directory that hides generators of the same name in the image (systemd.generator(7)).
const GENERATORS: &str = "run/systemd/system-generators";

/// Mounts what the table of the root says, each line that can be.
pub(crate) fn mount_all(pair: &Pair) {
    let Ok(table) = fs::read_to_string(Path::new(SYSROOT).join("etc/fstab")) else { return };
    let mut complete = !fstab::leaves_some(&table);
    for entry in fstab::parse(&table) {
        if let Err(error) = one(&entry, pair) {
            kmsg::warning(&error);
            complete = false;
        }
    }
    if complete && let Err(error) = hide_generator() {
        kmsg::warning(&BootError::Generator { source: error });
    }
}

/// Hides the generator that would make units of the table. systemd knows what is mounted from the kernel.
fn hide_generator() -> io::Result<()> {
    let directory = Path::new(SYSROOT).join(GENERATORS);
    fs::DirBuilder::new().recursive(true).mode(0o755).create(&directory)?;
    std::os::unix::fs::symlink("/dev/null", directory.join("systemd-fstab-generator"))
}

fn one(entry: &Mount, pair: &Pair) -> Result<(), BootError> {
    let fail = |source: io::Error| BootError::State { target: entry.target.clone(), source };
    let place = open(&entry.target).map_err(|errno| fail(errno.into()))?;
    let mut flags = MountFlags::empty();
    for (wanted, flag) in [
        (entry.read_only, MountFlags::RDONLY),
        (entry.no_suid, MountFlags::NOSUID),
        (entry.no_dev, MountFlags::NODEV),
        (entry.no_exec, MountFlags::NOEXEC),
    ] {
        flags.set(flag, wanted);
    }
    let (what, kind) = match &entry.source {
        Source::Tmpfs => ("tmpfs".into(), "tmpfs"),
        Source::Ext4(uuid) => {
            let found = pair.partitions().into_iter().find(|partition| {
                devices::read_start(partition, fstab::EXT4_START)
                    .is_ok_and(|start| fstab::ext4_uuid(&start).as_ref() == Some(uuid))
            });
            let found = found.ok_or_else(|| fail(Errno::NODEV.into()))?;
            (devices::node(&found.name), "ext4")
        }
    };
    let data = std::ffi::CString::new(entry.data.as_str()).map_err(|error| fail(error.into()))?;
    // By descriptor: a name could have become a link in a state partition that was mounted before.
    let place = format!("/proc/self/fd/{}", place.as_raw_fd());
    mount(&what, place.as_str(), kind, flags, data.as_c_str()).map_err(|errno| fail(errno.into()))
}

/// The mount point, without following any link: state partitions hold what the last boot wrote. A directory is made
/// where a file system in memory lacks it (`/dev/shm`).
fn open(target: &str) -> Result<OwnedFd, Errno> {
    // /dev is moved into the new root later, with what is mounted in it.
    let root = open_at(CWD, if target.starts_with("/dev/") { "/" } else { SYSROOT })?;
    let relative = target.trim_start_matches('/');
    match open_at(&root, relative) {
        Err(Errno::NOENT) => {
            let (parent, name) = relative.rsplit_once('/').unwrap_or((".", relative));
            mkdirat(open_at(&root, parent)?, name, Mode::from_raw_mode(0o755))?;
            open_at(&root, relative)
        }
        other => other,
    }
}

fn open_at(directory: impl std::os::fd::AsFd, path: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat2(directory, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)
}
