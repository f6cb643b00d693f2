//! Splits what is written at run time off the root: each state partition gets the subtree below its mount
//! point, and the root (or the parent partition) keeps an empty directory to mount it on.
//!
//! Everything is done by rename inside one work directory, so that nothing is copied.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a state tree could not be split off.
#[derive(Debug, Error)]
pub enum SplitError {
    /// A mount point is not an absolute path without `..`.
    #[error("mount point {0} must be an absolute path without `.` or `..`")]
    MountPoint(String),
    /// A file operation failed.
    #[error("cannot {action} {path}")]
    Io {
        /// For example `move`.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// A mount point and the directory that holds what goes into its partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateTree {
    /// Absolute mount point.
    pub target: String,
    /// Directory with the partition's content.
    pub tree: PathBuf,
}

/// Moves the subtrees of `targets` out of `root` into directories below `into` (which must be on the same
/// file system). Deepest mount points go first, so that a parent is moved without its children.
///
/// # Errors
/// [`SplitError`] when a mount point is malformed or a rename fails.
pub fn split(root: &Path, targets: &[String], into: &Path) -> Result<Vec<StateTree>, SplitError> {
    let mut sorted: Vec<&String> = targets.iter().collect();
    sorted.sort_by_key(|target| std::cmp::Reverse(target.matches('/').count()));
    let mut trees = Vec::new();
    for target in sorted {
        let relative = relative(target)?;
        let from = root.join(&relative);
        let tree = into.join(relative.to_string_lossy().replace('/', "-"));
        if !from.exists() {
            at("create", &from, fs::create_dir_all(&from))?;
        }
        at("move", &from, fs::rename(&from, &tree))?;
        let metadata = at("read", &tree, fs::metadata(&tree))?;
        at("create", &from, fs::create_dir(&from))?;
        at("set the owner of", &from, chown(&from, Some(metadata.uid()), Some(metadata.gid())))?;
        let mode = fs::Permissions::from_mode(metadata.mode() & 0o7777);
        at("set the mode of", &from, fs::set_permissions(&from, mode))?;
        trees.push(StateTree { target: target.clone(), tree });
    }
    trees.sort_by(|a, b| a.target.cmp(&b.target));
    Ok(trees)
}

/// Puts the trees of an earlier [`split`] back: the next infrastructure's files are written into whole trees.
///
/// # Errors
/// [`SplitError`] when a rename fails.
pub fn join(root: &Path, trees: &[StateTree]) -> Result<(), SplitError> {
    for StateTree { target, tree } in trees {
        let place = root.join(relative(target)?);
        at("remove", &place, fs::remove_dir(&place))?;
        at("move", tree, fs::rename(tree, &place))?;
    }
    Ok(())
}

fn relative(target: &str) -> Result<PathBuf, SplitError> {
    let bad = || SplitError::MountPoint(target.to_owned());
    let rest = target.strip_prefix('/').ok_or_else(bad)?;
    if rest.is_empty() || rest.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(bad());
    }
    Ok(PathBuf::from(rest))
}

fn at<T>(action: &'static str, path: &Path, result: std::io::Result<T>) -> Result<T, SplitError> {
    result.map_err(|source| SplitError::Io { action, path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_do_not_travel_with_their_parent() {
        let work = tempfile::tempdir().unwrap();
        let root = work.path().join("root");
        let into = work.path().join("state");
        fs::create_dir_all(root.join("var/log/audit")).unwrap();
        fs::create_dir_all(&into).unwrap();
        fs::write(root.join("var/a"), "a").unwrap();
        fs::write(root.join("var/log/b"), "b").unwrap();
        fs::set_permissions(root.join("var/log"), fs::Permissions::from_mode(0o2755)).unwrap();
        let targets = ["/var".to_owned(), "/var/log".to_owned(), "/home".to_owned()];
        let trees = split(&root, &targets, &into).unwrap();
        assert_eq!(
            trees.iter().map(|t| t.target.as_str()).collect::<Vec<_>>(),
            ["/home", "/var", "/var/log"]
        );
        assert!(into.join("var/a").exists() && into.join("var-log/b").exists());
        assert_eq!(fs::read_dir(into.join("var/log")).unwrap().count(), 0);
        assert_eq!(fs::metadata(into.join("var/log")).unwrap().mode() & 0o7777, 0o2755);
        assert_eq!(fs::read_dir(root.join("var")).unwrap().count(), 0);
        join(&root, &trees).unwrap();
        assert!(root.join("var/a").exists() && root.join("var/log/b").exists());
    }

    #[test]
    fn refuses_mount_points_that_leave_the_root() {
        for bad in ["/", "var", "/var/../etc", "/var//log", ""] {
            assert!(relative(bad).is_err(), "{bad}");
        }
    }
}
