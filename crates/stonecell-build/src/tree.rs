//! Small writes into the root under construction, confined to it.
//!
//! Paths come from definitions and packages; a symbolic link in the root must not lead a write out of it, so
//! every parent directory is opened with `RESOLVE_IN_ROOT` (openat2(2)) and files are made by descriptor.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Gid, Mode, OFlags, ResolveFlags, Uid, fchmod, fchown, mkdirat, openat, openat2,
    symlinkat, unlinkat,
};
use rustix::io::Errno;
use thiserror::Error;

/// Why something could not be written into the root.
#[derive(Debug, Error)]
#[error("cannot {action} {path} in the root")]
pub struct TreeError {
    /// For example `write`.
    pub action: &'static str,
    /// Path in the root.
    pub path: String,
    /// Why.
    pub source: io::Error,
}

/// Who owns a file and what may be done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// Permission bits.
    pub mode: u32,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl Owner {
    /// Root's, with `mode`.
    #[must_use]
    pub const fn root(mode: u32) -> Self {
        Self { mode, uid: 0, gid: 0 }
    }
}

/// The root under construction.
#[derive(Debug)]
pub struct RootTree {
    top: OwnedFd,
    path: PathBuf,
}

impl RootTree {
    /// Opens the directory at `path`.
    ///
    /// # Errors
    /// When it is not a directory.
    pub fn open(path: &Path) -> Result<Self, TreeError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = openat(CWD, path, flags, Mode::empty()).map_err(|error| TreeError {
            action: "open",
            path: path.display().to_string(),
            source: error.into(),
        })?;
        Ok(Self { top, path: path.to_owned() })
    }

    /// The directory as the host sees it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads a file as text.
    ///
    /// # Errors
    /// When it is missing or not UTF-8.
    pub fn read(&self, path: &str) -> Result<String, TreeError> {
        let fail = |source| TreeError { action: "read", path: path.to_owned(), source };
        let file = self.resolve(path, OFlags::RDONLY).map_err(|error| fail(error.into()))?;
        io::read_to_string(std::fs::File::from(file)).map_err(fail)
    }

    /// Is there something at `path`, after links?
    #[must_use]
    pub fn exists(&self, path: &str) -> bool {
        self.resolve(path, OFlags::PATH).is_ok()
    }

    /// Writes a file, replacing what is there (a link itself, not its target). Makes parents as needed.
    ///
    /// # Errors
    /// [`TreeError`].
    pub fn write(&self, path: &str, content: &[u8], owner: Owner) -> Result<(), TreeError> {
        let fail = |source: io::Error| TreeError { action: "write", path: path.to_owned(), source };
        let (parent, name) = self.parent(path).map_err(|error| fail(error.into()))?;
        remove(&parent, &name).map_err(|error| fail(error.into()))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(&parent, &name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|error| fail(error.into()))?;
        own(&file, owner).map_err(|error| fail(error.into()))?;
        std::fs::File::from(file).write_all(content).map_err(fail)
    }

    /// Makes a symbolic link, replacing a file, a link or an empty directory that is there.
    ///
    /// # Errors
    /// [`TreeError`].
    pub fn link(&self, path: &str, target: &str) -> Result<(), TreeError> {
        let fail = |error: Errno| TreeError {
            action: "link",
            path: path.to_owned(),
            source: error.into(),
        };
        let (parent, name) = self.parent(path).map_err(fail)?;
        remove(&parent, &name).map_err(fail)?;
        symlinkat(target, &parent, &name).map_err(fail)
    }

    /// Makes a directory with its parents; one that exists gets the owner and mode.
    ///
    /// # Errors
    /// [`TreeError`].
    pub fn directory(&self, path: &str, owner: Owner) -> Result<(), TreeError> {
        let fail = |error: Errno| TreeError {
            action: "make directory",
            path: path.to_owned(),
            source: error.into(),
        };
        self.make_parents(path).map_err(fail)?;
        let dir = self.resolve(path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(fail)?;
        own(&dir, owner).map_err(fail)
    }

    /// Removes a file or link.
    ///
    /// # Errors
    /// [`TreeError`].
    pub fn remove(&self, path: &str) -> Result<(), TreeError> {
        let fail = |error: Errno| TreeError {
            action: "remove",
            path: path.to_owned(),
            source: error.into(),
        };
        let (parent, name) = self.parent(path).map_err(fail)?;
        remove(&parent, &name).map_err(fail)
    }

    /// Moves a file, link or directory, making the parents of its new place.
    ///
    /// # Errors
    /// [`TreeError`].
    pub fn rename(&self, from: &str, to: &str) -> Result<(), TreeError> {
        let fail = |error: Errno| TreeError {
            action: "move",
            path: from.to_owned(),
            source: error.into(),
        };
        let (old, old_name) = self.parent(from).map_err(fail)?;
        let (new, new_name) = self.parent(to).map_err(fail)?;
        rustix::fs::renameat(&old, &old_name, &new, &new_name).map_err(fail)
    }

    /// Names in a directory, sorted; empty when there is none.
    #[must_use]
    pub fn names(&self, path: &str) -> Vec<String> {
        let Ok(dir) = self.resolve(path, OFlags::RDONLY | OFlags::DIRECTORY) else {
            return Vec::new();
        };
        let Ok(entries) = rustix::fs::Dir::new(dir) else { return Vec::new() };
        let mut names: Vec<String> = entries
            .filter_map(Result::ok)
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name != "." && name != "..")
            .collect();
        names.sort();
        names
    }

    fn resolve(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let inside = path.trim_start_matches('/');
        let inside = if inside.is_empty() { "." } else { inside };
        openat2(&self.top, inside, flags | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::IN_ROOT)
    }

    fn parent(&self, path: &str) -> Result<(OwnedFd, String), Errno> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        if matches!(name, "" | "." | "..") {
            return Err(Errno::INVAL);
        }
        self.make_parents(parent)?;
        Ok((self.resolve(parent, OFlags::RDONLY | OFlags::DIRECTORY)?, name.to_owned()))
    }

    fn make_parents(&self, path: &str) -> Result<(), Errno> {
        match self.resolve(path, OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT) => {}
            other => return other.map(drop),
        }
        let (parent, name) = path.rsplit_once('/').ok_or(Errno::NOENT)?;
        self.make_parents(parent)?;
        let parent = self.resolve(parent, OFlags::RDONLY | OFlags::DIRECTORY)?;
        mkdirat(&parent, name, Mode::from_raw_mode(0o755))?;
        own(&self.resolve(path, OFlags::RDONLY | OFlags::DIRECTORY)?, Owner::root(0o755))
    }
}

fn own(file: &impl AsFd, owner: Owner) -> Result<(), Errno> {
    // Owner first: changing it clears set-id bits.
    fchown(file, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
    fchmod(file, Mode::from_raw_mode(owner.mode))
}

fn remove(parent: &OwnedFd, name: &str) -> Result<(), Errno> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR) => unlinkat(parent, name, AtFlags::REMOVEDIR),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> Owner {
        Owner {
            mode: 0o640,
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
        }
    }

    #[test]
    fn a_link_takes_the_place_of_an_empty_directory_only() {
        let dir = tempfile::tempdir().unwrap();
        let tree = RootTree::open(dir.path()).unwrap();
        std::fs::create_dir_all(dir.path().join("full/file")).unwrap();
        std::fs::create_dir(dir.path().join("empty")).unwrap();
        tree.link("/empty", "/run").unwrap();
        assert!(tree.link("/full", "/run").is_err());
        assert!(dir.path().join("full/file").is_dir());
    }

    #[test]
    fn writes_stay_inside_whatever_the_links_say() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        let root = dir.path().join("root");
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("escape")).unwrap();
        std::os::unix::fs::symlink("../../../../outside", root.join("etc/up")).unwrap();
        let tree = RootTree::open(&root).unwrap();
        // An absolute link is taken from the root of the tree: it points to nothing here.
        assert!(tree.write("/escape/file", b"x", owner()).is_err());
        assert!(tree.write("/etc/up/file", b"x", owner()).is_err());
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
        tree.link("/escape", "etc").unwrap();
        tree.write("/escape/file", b"x", owner()).unwrap();
        assert_eq!(tree.read("/etc/file").unwrap(), "x");
        for bad in ["/etc/..", "/", "/etc/."] {
            assert!(tree.write(bad, b"x", owner()).is_err(), "{bad}");
        }
    }
}
