//! Takes out of a configured root what belongs to a build or to one machine, not to an image.

use std::collections::BTreeSet;
use std::io;

use rustix::fs::FileType;
use thiserror::Error;

use crate::database::ADMIN;
use crate::filter::Filter;
use crate::tree::{Tree, join};

/// A step of the cleaning that failed.
#[derive(Debug, Error)]
#[error("cannot clean `/{path}`")]
pub struct CleanError {
    /// Where.
    pub path: String,
    /// The reason.
    pub source: io::Error,
}

/// Directories whose content goes: what only a running system fills.
const EMPTIED: [&str; 6] = ["dev", "proc", "run", "sys", "tmp", "var/tmp"];

/// Directories that keep their directories, which have owners of their own, and lose their files:
/// logs, and caches and package indexes that are made again.
const EMPTIED_OF_FILES: [&str; 3] = ["var/cache", "var/lib/apt/lists", "var/log"];

/// Files that must not be in any image: secrets, seeds, backups of lists, locks.
const REMOVED: [&str; 18] = [
    "etc/.pwd.lock",
    "etc/group-",
    "etc/gshadow-",
    "etc/hostname",
    "etc/passwd-",
    "etc/resolv.conf",
    "etc/shadow-",
    "etc/subgid-",
    "etc/subuid-",
    "var/lib/dbus/machine-id",
    "var/lib/dpkg/available-old",
    "var/lib/dpkg/diversions-old",
    "var/lib/dpkg/lock",
    "var/lib/dpkg/lock-frontend",
    "var/lib/dpkg/statoverride-old",
    "var/lib/dpkg/status-old",
    "var/lib/dpkg/triggers/Lock",
    "var/lib/systemd/random-seed",
];

/// Cleans a configured root and lowers all times to `epoch`.
///
/// # Errors
/// [`CleanError`] naming the path.
pub(crate) fn clean(tree: &Tree, filter: &Filter, epoch: i64) -> Result<(), CleanError> {
    let at = |path: &str| {
        let path = path.to_owned();
        move |source| CleanError { path, source }
    };
    for path in EMPTIED {
        tree.empty_dir(path).map_err(at(path))?;
    }
    for path in REMOVED {
        tree.remove_file(path).map_err(at(path))?;
    }
    for path in EMPTIED_OF_FILES {
        empty_of_files(tree, path).map_err(at(path))?;
    }
    remove_host_keys(tree).map_err(at("etc/ssh"))?;
    // An empty file, not an absent one: machine-id(5), the way an image says "make one at boot".
    tree.write("etc/machine-id", b"", 0o444).map_err(at("etc/machine-id"))?;
    if !filter.is_empty() {
        let mut pruned = BTreeSet::new();
        prune_empty_dirs(tree, "", filter, &mut pruned).map_err(at(""))?;
        forget_dirs(tree, &pruned).map_err(at("var/lib/dpkg/info"))?;
    }
    tree.clamp_times(epoch).map_err(at(""))
}

/// Host keys are made at first boot; an image that has some gives every machine the same.
fn remove_host_keys(tree: &Tree) -> io::Result<()> {
    for (name, _) in tree.list("etc/ssh")? {
        if name.starts_with("ssh_host_") {
            tree.remove_file(&join("etc/ssh", &name))?;
        }
    }
    Ok(())
}

/// Removes files and links, keeps directories: daemons expect theirs in `/var/log`.
fn empty_of_files(tree: &Tree, dir: &str) -> io::Result<()> {
    for (name, kind) in tree.list(dir)? {
        let path = join(dir, &name);
        if kind == FileType::Directory {
            empty_of_files(tree, &path)?;
        } else {
            tree.remove_file(&path)?;
        }
    }
    Ok(())
}

/// Directories that the filter left empty: made for the scripts' sake, of no use after them.
fn prune_empty_dirs(
    tree: &Tree,
    dir: &str,
    filter: &Filter,
    pruned: &mut BTreeSet<String>,
) -> io::Result<()> {
    for (name, kind) in tree.list(dir)? {
        let path = join(dir, &name);
        if kind == FileType::Directory {
            prune_empty_dirs(tree, &path, filter, pruned)?;
            if filter.excludes(&path) && tree.remove_empty_dir(&path)? {
                pruned.insert(format!("/{path}"));
            }
        }
    }
    Ok(())
}

/// Takes directories out of all file lists: `dpkg --verify` calls a listed one missing.
fn forget_dirs(tree: &Tree, dirs: &BTreeSet<String>) -> io::Result<()> {
    let info = format!("{ADMIN}/info");
    for (name, _) in tree.list(&info)? {
        if !name.ends_with(".list") {
            continue;
        }
        let path = join(&info, &name);
        let text = String::from_utf8_lossy(&tree.read(&path)?).into_owned();
        let kept: String = text
            .lines()
            .filter(|line| !dirs.contains(*line))
            .flat_map(|line| [line, "\n"])
            .collect();
        if kept != text {
            tree.write(&path, kept.as_bytes(), 0o644)?;
        }
    }
    Ok(())
}

/// Moves the dpkg database to `to` (for example `usr/lib/stonecell/dpkg`) and leaves a relative link.
///
/// # Errors
/// [`CleanError`] naming the path.
pub(crate) fn move_database(tree: &Tree, to: &str) -> Result<(), CleanError> {
    let at = |path: &str| {
        let path = path.to_owned();
        move |source| CleanError { path, source }
    };
    let (dir, _) = to.rsplit_once('/').unwrap_or(("", to));
    if !dir.is_empty() {
        tree.make_dirs(dir).map_err(at(dir))?;
    }
    tree.rename(ADMIN, to).map_err(at(to))?;
    let up = "../".repeat(ADMIN.matches('/').count());
    tree.symlink(&format!("{up}{to}"), ADMIN).map_err(at(ADMIN))
}
