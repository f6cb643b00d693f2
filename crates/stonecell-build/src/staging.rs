//! Directories of a build that is under way, and how they go: all of them, whatever happened, also those that a
//! user without root made in a namespace and cannot remove outside of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use stonecell_root::sandbox::{self, Inner, SandboxError};
use tempfile::TempDir;

use crate::BuildError;
use crate::inner::io_at;

/// Where one build works: disks and what is finished lie on the file system of the results (they are renamed), the
/// tree where the user wants it.
#[derive(Debug)]
pub(crate) struct Staging {
    /// For disks and the plan.
    pub(crate) dir: PathBuf,
    /// For what is finished.
    pub(crate) done: PathBuf,
    /// For the tree.
    pub(crate) work: PathBuf,
    guards: Vec<TempDir>,
}

impl Staging {
    /// Makes the directories.
    ///
    /// # Errors
    /// [`BuildError::Io`].
    pub(crate) fn new(work: Option<&Path>, out: &Path) -> Result<Self, BuildError> {
        let mut guards = Vec::new();
        let mut make = |parent: &Path, prefix: &str| {
            let dir = tempfile::Builder::new()
                .prefix(prefix)
                .tempdir_in(parent)
                .map_err(io_at("make a directory in", parent))?;
            let path = std::path::absolute(dir.path()).map_err(io_at("find", dir.path()))?;
            guards.push(dir);
            Ok::<_, BuildError>(path)
        };
        let dir = make(out, ".stonecell-work-")?;
        let done = make(out, ".stonecell-done-")?;
        let work = match work {
            Some(parent) => make(parent, ".stonecell-tree-")?,
            None => dir.join("tree"),
        };
        Ok(Self { dir, done, work, guards })
    }

    /// Removes the directories. (Dropping them does so as far as one user can.)
    ///
    /// # Errors
    /// [`BuildError::Io`] with the directory that stays.
    pub(crate) fn remove(mut self) -> Result<(), BuildError> {
        for guard in self.guards.drain(..) {
            let path = guard.keep();
            remove(&path)?;
        }
        Ok(())
    }
}

/// Removes a tree. Built without root and on disk it holds directories of subordinate ids, which only the namespace
/// that has these ids may empty.
fn remove(path: &Path) -> Result<(), BuildError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => return other.map_err(io_at("remove", path)),
    }
    let inner = Inner {
        program: "rm".into(),
        args: vec!["-rf".into(), "--".into(), path.into()],
        env: Vec::new(),
    };
    loop {
        match sandbox::respawn(&inner, &AtomicBool::new(false)) {
            // A signal ends the namespace, and what was made must go all the same.
            Err(SandboxError::Interrupted(_)) => {}
            Ok(status) if status.success() => return Ok(()),
            Ok(_) => {
                let kind = io::Error::from(io::ErrorKind::PermissionDenied);
                return Err(io_at("remove", path)(kind));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// A directory that is made with the parents that it lacks; what was made goes again, as long as it is empty, when
/// this is dropped.
#[derive(Debug)]
pub(crate) struct Made(Vec<PathBuf>);

impl Made {
    /// Makes `dir`.
    ///
    /// # Errors
    /// [`BuildError::Io`].
    pub(crate) fn directory(dir: &Path) -> Result<Self, BuildError> {
        let dir = std::path::absolute(dir).map_err(io_at("find", dir))?;
        let missing: Vec<PathBuf> =
            dir.ancestors().take_while(|path| !path.exists()).map(Path::to_owned).collect();
        let made = Self(missing);
        fs::create_dir_all(&dir).map_err(io_at("make", &dir))?;
        Ok(made)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for path in &self.0 {
            // Results are in it, or something of somebody else: then it stays.
            if fs::remove_dir(path).is_err() {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_goes_when_it_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let (deep, top) = (dir.path().join("a/b/c"), dir.path().join("a"));
        drop(Made::directory(&deep).unwrap());
        assert!(!top.exists() && dir.path().exists());
        let made = Made::directory(&deep).unwrap();
        fs::write(deep.join("result"), "").unwrap();
        drop(made);
        assert!(deep.join("result").exists());
        drop(Made::directory(&deep).unwrap());
        assert!(deep.exists(), "it was there before");
    }

    #[test]
    fn all_directories_go() {
        let dir = tempfile::tempdir().unwrap();
        let (out, work) = (dir.path().join("out"), dir.path().join("work"));
        fs::create_dir_all(&out).unwrap();
        fs::create_dir_all(&work).unwrap();
        let staging = Staging::new(Some(&work), &out).unwrap();
        fs::write(staging.dir.join("disk"), "").unwrap();
        fs::create_dir(staging.work.join("root")).unwrap();
        staging.remove().unwrap();
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
        assert_eq!(fs::read_dir(&work).unwrap().count(), 0);
    }
}
