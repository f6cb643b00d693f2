//! The modules that stay on the disk: what a role allows, what that needs, and nothing else.
//!
//! A module that is not there cannot be loaded, whoever asks for it; that is stronger than a
//! blacklist and makes the image smaller.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use globset::{GlobBuilder, GlobMatcher};
use serde::Serialize;

use crate::alias;
use crate::tree::{self, Tree, TreeError};

/// What was kept and what was not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// Names of the modules that are on the disk.
    pub kept: BTreeSet<String>,
    /// Number of modules deleted.
    pub removed: usize,
    /// Bytes of the deleted modules.
    pub removed_bytes: u64,
    /// Patterns that match no module of this kernel, as a file or built in.
    pub unmatched: BTreeSet<String>,
}

/// Why the modules cannot be cut down.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// The modules cannot be read.
    #[error("kernel modules")]
    Tree(#[from] TreeError),
    /// A pattern is not a glob.
    #[error("modules.allow: `{pattern}` is not a glob pattern")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Why.
        source: globset::Error,
    },
    /// A module is both allowed by its name and blocked.
    #[error(
        "module {0} is allowed by the role and blocked by a control; opt out of the control or drop it from modules.allow"
    )]
    Contradiction(String),
    /// An allowed module cannot load without a blocked one.
    #[error(
        "module {allowed} is allowed but needs {blocked}, which a control blocks; drop one of the two"
    )]
    NeedsBlocked {
        /// The allowed module.
        allowed: String,
        /// The blocked one.
        blocked: String,
    },
    /// A file cannot be deleted or written.
    #[error("cannot {what} {path}")]
    File {
        /// `delete` or `write`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// depmod could not be started.
    #[error("cannot start depmod; install the package kmod")]
    NoDepmod(#[source] io::Error),
    /// depmod failed.
    #[error("depmod {version} failed:\n{output}")]
    Depmod {
        /// Version of the kernel.
        version: String,
        /// What it said.
        output: String,
    },
}

/// Decides which modules stay. Pure; nothing is deleted.
///
/// `allow` are globs: with a slash over the path below the module directory without `.ko` and what
/// follows (`kernel/net/netfilter/**`), else over the module's name (`virtio_*`); a dash equals an
/// underscore. `blocked` are names. What an allowed module needs stays too, and so do its soft
/// dependencies unless they are blocked.
///
/// # Errors
/// A bad pattern, or an allowed module that is or needs a blocked one.
pub fn plan(
    tree: &Tree,
    allow: &[String],
    blocked: &BTreeSet<String>,
) -> Result<(BTreeSet<String>, BTreeSet<String>), PruneError> {
    let blocked: BTreeSet<String> = blocked.iter().map(|name| alias::normal(name)).collect();
    let mut unmatched = BTreeSet::new();
    let mut todo = Vec::new();
    for pattern in allow {
        let glob = Glob::new(pattern)?;
        if let Some(name) = glob.exact_name().filter(|name| blocked.contains(name)) {
            return Err(PruneError::Contradiction(name));
        }
        let matched = tree.modules.iter().filter(|(name, module)| glob.matches(name, &module.path));
        let before = todo.len();
        // A glob speaks of many modules; the blocked among them are not meant.
        let mut any = false;
        for (name, _) in matched {
            any = true;
            if !blocked.contains(name) {
                todo.push((name.clone(), name.clone()));
            }
        }
        if !any && todo.len() == before && !tree.builtin.iter().any(|name| glob.matches(name, "")) {
            unmatched.insert(pattern.clone());
        }
    }

    let mut keep = BTreeMap::<String, String>::new();
    while let Some((name, wanted_by)) = todo.pop() {
        let Some(module) = tree.modules.get(&name) else { continue };
        if blocked.contains(&name) {
            return Err(PruneError::NeedsBlocked { allowed: wanted_by, blocked: name });
        }
        if keep.contains_key(&name) {
            continue;
        }
        todo.extend(module.needs.iter().map(|needed| (needed.clone(), wanted_by.clone())));
        let soft = [&tree.before, &tree.after].into_iter().filter_map(|list| list.get(&name));
        for word in soft.flatten() {
            let meant = tree.meant_by(word);
            todo.extend(
                meant.into_iter().filter(|n| !blocked.contains(n)).map(|n| (n, wanted_by.clone())),
            );
        }
        keep.insert(name, wanted_by);
    }
    Ok((keep.into_keys().collect(), unmatched))
}

/// Deletes from the root what [`plan`] does not keep, and writes the module index anew.
///
/// # Errors
/// See [`PruneError`]. On an error before the first deletion the root is as it was.
pub fn prune(
    root: &Path,
    version: &str,
    allow: &[String],
    blocked: &BTreeSet<String>,
) -> Result<Report, PruneError> {
    if !tree::directory(root, version)?.join("modules.dep").exists() {
        depmod(root, version)?;
    }
    let tree = Tree::read(root, version)?;
    let (kept, unmatched) = plan(&tree, allow, blocked)?;
    let mut report = Report { kept, unmatched, ..Report::default() };
    for (name, module) in &tree.modules {
        if report.kept.contains(name) {
            continue;
        }
        let path = tree.directory.join(&module.path);
        let delete = || {
            let size = fs::symlink_metadata(&path)?.len();
            fs::remove_file(&path).map(|()| size)
        };
        let size = delete().map_err(|source| PruneError::File { what: "delete", path, source })?;
        report.removed += 1;
        report.removed_bytes += size;
    }
    delete_empty(&tree.directory.join("kernel")).map_err(|(path, source)| PruneError::File {
        what: "delete",
        path,
        source,
    })?;
    filter_order(&tree, &report.kept)?;
    depmod(root, version)?;
    Ok(report)
}

/// Writes the module index of a root with the host's depmod: `modules.dep`, `.alias`, `.symbols` and
/// their binary forms. The result depends on the modules alone.
///
/// # Errors
/// depmod is missing or fails.
pub fn depmod(root: &Path, version: &str) -> Result<(), PruneError> {
    let output = Command::new("depmod")
        .arg("-b")
        .arg(root)
        .arg(version)
        .env("LC_ALL", "C")
        // depmod lives in /sbin, which an ordinary user's PATH lacks.
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .output()
        .map_err(PruneError::NoDepmod)?;
    if output.status.success() {
        return Ok(());
    }
    let output = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
    Err(PruneError::Depmod { version: version.to_owned(), output })
}

/// Keeps the lines of `modules.order` whose modules are still there; depmod sorts by it.
fn filter_order(tree: &Tree, kept: &BTreeSet<String>) -> Result<(), PruneError> {
    let path = tree.directory.join("modules.order");
    let order = match fs::read_to_string(&path) {
        Ok(order) => order,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(TreeError::Read { path, source }.into()),
    };
    let stays = |line: &&str| alias::module_name(line).is_some_and(|name| kept.contains(&name));
    let order: String = order.lines().filter(stays).flat_map(|line| [line, "\n"]).collect();
    let new = path.with_extension("order.new");
    fs::write(&new, order)
        .and_then(|()| fs::rename(&new, &path))
        .map_err(|source| PruneError::File { what: "write", path, source })
}

/// Deletes directories that hold nothing; true if this one is gone.
fn delete_empty(directory: &Path) -> Result<bool, (PathBuf, io::Error)> {
    let here = |source| (directory.to_path_buf(), source);
    let mut empty = true;
    for entry in fs::read_dir(directory).map_err(here)? {
        let entry = entry.map_err(here)?;
        let is_directory = entry.file_type().map_err(here)?.is_dir();
        empty &= is_directory && delete_empty(&entry.path())?;
    }
    if empty {
        fs::remove_dir(directory).map_err(here)?;
    }
    Ok(empty)
}

/// One pattern of an allow-list.
struct Glob {
    by_path: bool,
    pattern: String,
    matcher: GlobMatcher,
}

impl Glob {
    fn new(pattern: &str) -> Result<Self, PruneError> {
        let by_path = pattern.contains('/');
        // In a path only the last part is a module's name, but directories are compared alike.
        let normal = alias::normal(pattern);
        let matcher = GlobBuilder::new(&normal)
            .literal_separator(true)
            .build()
            .map_err(|source| PruneError::Pattern { pattern: pattern.to_owned(), source })?
            .compile_matcher();
        Ok(Self { by_path, pattern: normal, matcher })
    }

    /// The name, if the pattern can match no other.
    fn exact_name(&self) -> Option<String> {
        let plain = !self.by_path && !self.pattern.contains(['*', '?', '[', '{']);
        plain.then(|| self.pattern.clone())
    }

    fn matches(&self, name: &str, path: &str) -> bool {
        if self.by_path {
            let path = path.rfind(".ko").and_then(|end| path.get(..end)).unwrap_or(path);
            self.matcher.is_match(alias::normal(path))
        } else {
            self.matcher.is_match(name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tests::fake;

    fn tree() -> (tempfile::TempDir, Tree) {
        let root = fake(
            "kernel/net/nf/a-one.ko.xz: kernel/lib/base.ko\nkernel/net/nf/a_two.ko:\n\
             kernel/net/b.ko: kernel/lib/bad.ko\nkernel/lib/base.ko:\nkernel/lib/bad.ko:\n\
             kernel/lib/soft.ko:\nkernel/lib/later.ko:\n",
            "kernel/fs/built.ko\n",
            "alias crypto-s soft\n",
            "softdep a_one pre: crypto-s post: later bad\n",
        );
        let tree = Tree::read(root.path(), "6.1").unwrap();
        (root, tree)
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|&name| name.to_owned()).collect()
    }

    fn keep(allow: &[&str], blocked: &[&str]) -> Result<Vec<String>, PruneError> {
        let blocked = names(blocked).into_iter().collect();
        plan(&tree().1, &names(allow), &blocked).map(|(keep, _)| keep.into_iter().collect())
    }

    #[test]
    fn keeps_what_is_allowed_and_what_that_needs() {
        assert_eq!(keep(&["a-two"], &[]).unwrap(), ["a_two"]);
        assert_eq!(keep(&["a*"], &["bad"]).unwrap(), ["a_one", "a_two", "base", "later", "soft"]);
        assert_eq!(keep(&["kernel/net/*"], &[]).unwrap(), ["b", "bad"]);
        assert_eq!(keep(&["kernel/net/**"], &["b"]).unwrap().len(), 6);
        assert!(keep(&[], &[]).unwrap().is_empty());
    }

    #[test]
    fn contradictions_are_errors() {
        let error = keep(&["b"], &["bad"]).unwrap_err();
        assert!(
            matches!(&error, PruneError::NeedsBlocked { allowed, blocked } if allowed == "b" && blocked == "bad"),
            "{error}"
        );
        assert!(matches!(keep(&["a-one"], &["a_one"]), Err(PruneError::Contradiction(_))));
        assert!(matches!(keep(&["a["], &[]), Err(PruneError::Pattern { .. })));
    }

    #[test]
    fn patterns_without_a_module_are_reported() {
        let allow = names(&["built", "gone", "kernel/gone/**", "a*"]);
        let (_, unmatched) = plan(&tree().1, &allow, &BTreeSet::new()).unwrap();
        assert_eq!(unmatched, names(&["gone", "kernel/gone/**"]).into_iter().collect());
    }

    #[test]
    fn a_contradiction_deletes_nothing() {
        let (root, before) = tree();
        prune(root.path(), "6.1", &names(&["b"]), &BTreeSet::from(["bad".into()])).unwrap_err();
        assert!(before.modules.values().all(|m| before.directory.join(&m.path).exists()));
    }
}
