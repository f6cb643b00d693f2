//! The mounts that a program inside a root sees.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, symlink};
use std::path::Path;

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use super::{SandboxError, set_up, stand_ins};

/// Nothing mounted from here on is seen outside.
pub(super) fn make_private() -> Result<(), SandboxError> {
    let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", flags)
        .map_err(|error| set_up("make the mounts private")(error.into()))
}

/// Mounts a /proc that shows this PID namespace only.
pub(super) fn own_proc(target: &str) -> Result<(), SandboxError> {
    mount("proc", target, "proc", "").map_err(set_up(
        "mount /proc (in a container, its masked paths forbid this: run it with an \
                         unmasked /proc)",
    ))
}

fn mount(source: &str, target: &str, kind: &str, options: &str) -> io::Result<()> {
    let flags =
        MountFlags::NOSUID | if kind == "devpts" { MountFlags::NOEXEC } else { MountFlags::NODEV };
    let options = std::ffi::CString::new(options)?;
    Ok(rustix::mount::mount(source, target, kind, flags, Some(options.as_c_str()))?)
}

/// Device nodes that a program may expect; bound from outside, since a user namespace cannot make any.
const NODES: [&str; 6] = ["full", "null", "random", "tty", "urandom", "zero"];
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("ptmx", "pts/ptmx"),
    ("stderr", "/proc/self/fd/2"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
];

/// Makes `root` the root of this process's mount namespace, with its own /proc, /dev, /tmp and /run.
/// /sys stays the empty directory of the tree: no maintainer script may depend on the build machine.
pub(super) fn pivot_into(root: &Path) -> Result<(), SandboxError> {
    let failed = |what: &str| set_up(format!("{what} in `{}`", root.display()));
    let bind =
        |from: &Path, to: &Path| -> io::Result<()> { Ok(rustix::mount::mount_bind(from, to)?) };
    bind(root, root).map_err(failed("bind the tree"))?;
    // Through the descriptor of the new mount, not the path, which still leads below it.
    rustix::process::chdir(root).map_err(|error| failed("enter the tree")(error.into()))?;
    for (name, mode) in [("dev", 0o755), ("proc", 0o555), ("run", 0o755), ("tmp", 0o1777)] {
        // A link here would take the mount out of the tree.
        match fs::symlink_metadata(name) {
            Ok(found) if found.is_dir() => {}
            Ok(found) => {
                let kind = found.mode();
                return Err(failed(&format!("`/{name}` is not a directory (mode {kind:o})"))(
                    io::ErrorKind::NotADirectory.into(),
                ));
            }
            Err(_) => fs::DirBuilder::new()
                .mode(mode)
                .create(name)
                .map_err(failed(&format!("make /{name}")))?,
        }
    }
    let devices = || -> io::Result<()> {
        mount("stonecell-dev", "dev", "tmpfs", "mode=0755,size=1m")?;
        for node in NODES {
            let target = Path::new("dev").join(node);
            fs::File::create(&target)?;
            bind(&Path::new("/dev").join(node), &target)?;
        }
        fs::create_dir("dev/pts")?;
        mount("devpts", "dev/pts", "devpts", "newinstance,ptmxmode=0666,mode=0620")?;
        fs::create_dir("dev/shm")?;
        LINKS.iter().try_for_each(|(name, target)| symlink(target, Path::new("dev").join(name)))
    };
    devices().map_err(failed("make /dev"))?;
    own_proc("proc")?;
    mount("stonecell-tmp", "tmp", "tmpfs", "mode=1777").map_err(failed("mount /tmp"))?;
    mount("stonecell-run", "run", "tmpfs", "mode=0755").map_err(failed("mount /run"))?;
    fs::create_dir_all("run/lock").map_err(failed("make /run/lock"))?;
    stand_ins::write(Path::new("."), Path::new("run")).map_err(failed("write the stand-ins"))?;

    // pivot_root(2): with both arguments the same directory the old root ends up stacked on top.
    let pivot = || -> rustix::io::Result<()> {
        rustix::process::pivot_root(".", ".")?;
        rustix::mount::unmount(".", UnmountFlags::DETACH)?;
        rustix::process::chdir("/")
    };
    pivot().map_err(|error| failed("change the root")(error.into()))
}
