//! From the initrd to the root file system, and into systemd.

use std::convert::Infallible;
use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use rustix::fs::{FsWord, statfs};
use rustix::mount::mount_move;
use rustix::process::{chdir, chroot};

use crate::boot::{BootError, SYSROOT};

/// What process 1 becomes.
const INIT: &str = "/sbin/init";
/// `RAMFS_MAGIC` and `TMPFS_MAGIC` of `linux/magic.h`: what an initramfs can be.
const RAMFS: FsWord = 0x8584_58f6;
const TMPFS: FsWord = 0x0102_1994;

/// Gives the initrd's memory back, makes the mounted root the root, and becomes its `/sbin/init`.
pub(crate) fn to_sysroot() -> Result<Infallible, BootError> {
    let step = |step| move |source: io::Error| BootError::Switch { step, source };
    for (from, to) in [("/dev", "dev"), ("/proc", "proc"), ("/sys", "sys")] {
        mount_move(from, Path::new(SYSROOT).join(to))
            .map_err(|errno| step("its /dev, /proc or /sys is missing")(errno.into()))?;
    }
    empty_initrd().map_err(step("empty the initrd"))?;
    chdir(SYSROOT).map_err(|errno| step("enter it")(errno.into()))?;
    mount_move(".", "/").map_err(|errno| step("move it to /")(errno.into()))?;
    chroot(".").map_err(|errno| step("make it the root")(errno.into()))?;
    chdir("/").map_err(|errno| step("enter its /")(errno.into()))?;
    let source = Command::new(INIT).args(env::args_os().skip(1)).exec();
    Err(BootError::Exec { program: INIT, source })
}

/// Deletes what the initrd holds, so that its memory is free: only on a file system in memory, and
/// never beyond it.
fn empty_initrd() -> io::Result<()> {
    let root = Path::new("/");
    if !matches!(statfs(root)?.f_type, RAMFS | TMPFS) {
        return Ok(());
    }
    delete(root, fs::symlink_metadata(root)?.dev())
}

fn delete(directory: &Path, device: u64) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let meta = fs::symlink_metadata(&path)?;
        if !meta.is_dir() {
            fs::remove_file(&path)?;
        } else if meta.dev() == device && path != Path::new(SYSROOT) {
            delete(&path, device)?;
        }
    }
    Ok(())
}
