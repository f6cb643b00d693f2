//! Going through many files of a root: everything, or what a glob names.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use globset::GlobBuilder;

use super::{Kind, Links, Root, RootError, Status};

/// One file met on a walk.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    pub(crate) status: Status,
}

/// Everything below a directory that lies on the same file system, parents before children, names sorted; links are not
/// followed. The directory itself is not among it.
pub(crate) fn walk(root: &dyn Root, top: &Path) -> Result<Vec<Entry>, RootError> {
    let mut found = Vec::new();
    let Some(top) = root.resolve(top)? else { return Ok(found) };
    let Some(status) = root.status(&top, Links::Stay)? else { return Ok(found) };
    let mut pending = vec![top];
    while let Some(folder) = pending.pop() {
        let mut folders = Vec::new();
        for name in root.list(&folder)?.unwrap_or_default() {
            let path = folder.join(name);
            let Some(inner) = root.status(&path, Links::Stay)? else { continue };
            if inner.device != status.device {
                continue;
            }
            if inner.kind == Kind::Directory {
                folders.push(path.clone());
            }
            found.push(Entry { path, status: inner });
        }
        pending.extend(folders.into_iter().rev());
    }
    Ok(found)
}

/// Paths that match an absolute glob (`*`, `?`, `[..]` within one component, `**` over many), sorted. Components without a
/// sign of a glob are taken as they are, through links too; a path without any is answered when it exists.
pub(crate) fn glob(root: &dyn Root, pattern: &str) -> Result<Vec<PathBuf>, RootError> {
    let mut paths = vec![PathBuf::from("/")];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        let mut next = Vec::new();
        if part == "**" {
            for path in &paths {
                next.push(path.clone());
                let inner = walk(root, path)?;
                next.extend(
                    inner
                        .into_iter()
                        .filter(|entry| entry.status.kind == Kind::Directory)
                        .map(|entry| entry.path),
                );
            }
            next.sort_unstable();
            next.dedup();
        } else if part.contains(['*', '?', '[', '{']) {
            let Ok(matcher) = GlobBuilder::new(part).literal_separator(true).build() else {
                return Ok(Vec::new());
            };
            let matcher = matcher.compile_matcher();
            for path in &paths {
                for name in root.list(path)?.unwrap_or_default() {
                    // As in a shell, a leading dot must be asked for.
                    let hidden = name.as_bytes().starts_with(b".") && !part.starts_with('.');
                    if !hidden && matcher.is_match(&name) {
                        next.push(path.join(name));
                    }
                }
            }
        } else {
            for path in &paths {
                let path = path.join(part);
                if root.status(&path, Links::Stay)?.is_some() {
                    next.push(path);
                }
            }
        }
        paths = next;
    }
    paths.sort_unstable();
    Ok(paths)
}
