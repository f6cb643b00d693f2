//! The cache of downloaded files, named by what they contain.
//!
//! `deb/<2 hex>/<sha256>.deb` holds packages, `index/<2 hex>/<sha256>` holds indexes as downloaded.
//! A name that exists is complete: files are written under another name beside it and renamed. Any
//! number of processes may use one cache at once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A cache directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    root: PathBuf,
}

/// Why the cache cannot be used.
#[derive(Debug, Error)]
#[error("cannot create the cache directory {path}; set STONECELL_CACHE to one that can be written")]
pub struct CacheError {
    /// The directory.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl Cache {
    /// Opens the cache in `root` and creates what is missing of it.
    ///
    /// # Errors
    ///
    /// When a directory cannot be created.
    pub fn open(root: &Path) -> Result<Self, CacheError> {
        for part in ["deb", "index"] {
            let path = root.join(part);
            fs::create_dir_all(&path).map_err(|source| CacheError { path, source })?;
        }
        Ok(Self { root: root.to_owned() })
    }

    /// Directory of the cache.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the package with this SHA-256 (64 hex digits) is, or would be.
    pub fn deb(&self, sha256: &str) -> PathBuf {
        self.path("deb", sha256, ".deb")
    }

    /// Where the index with this SHA-256 (64 hex digits) is, or would be.
    pub(crate) fn index(&self, sha256: &str) -> PathBuf {
        self.path("index", sha256, "")
    }

    fn path(&self, kind: &str, sha256: &str, suffix: &str) -> PathBuf {
        let prefix = sha256.get(..2).unwrap_or_default();
        self.root.join(kind).join(prefix).join(format!("{sha256}{suffix}"))
    }
}

/// The cache directory that a user expects, from the values of `STONECELL_CACHE`, `XDG_CACHE_HOME`
/// and `HOME`. Empty values and, as the XDG specification asks, a relative `XDG_CACHE_HOME` do not
/// count. `None` when nothing is left.
pub fn default_cache_dir(
    stonecell_cache: Option<&str>,
    xdg_cache_home: Option<&str>,
    home: Option<&str>,
) -> Option<PathBuf> {
    let set = |value: Option<&str>| value.filter(|value| !value.is_empty()).map(PathBuf::from);
    set(stonecell_cache)
        .or_else(|| {
            let absolute = set(xdg_cache_home).filter(|path| path.is_absolute());
            absolute.map(|path| path.join("stonecell"))
        })
        .or_else(|| set(home).map(|path| path.join(".cache/stonecell")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_follows_the_environment() {
        let dir =
            |own, xdg, home| default_cache_dir(own, xdg, home).map(|dir| dir.into_os_string());
        assert_eq!(dir(Some("/a"), Some("/b"), Some("/c")), Some("/a".into()));
        assert_eq!(dir(Some(""), Some("/b"), Some("/c")), Some("/b/stonecell".into()));
        assert_eq!(dir(None, Some("b"), Some("/c")), Some("/c/.cache/stonecell".into()));
        assert_eq!(dir(None, None, None), None);
    }

    #[test]
    fn files_are_named_by_content() {
        let root = tempfile::tempdir().expect("temporary directory");
        let cache = Cache::open(root.path()).expect("writable");
        let sha256 = "ab".repeat(32);
        let expected = root.path().join("deb/ab").join(format!("{sha256}.deb"));
        assert_eq!(cache.deb(&sha256), expected);
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let root = tempfile::tempdir().expect("temporary directory");
        let file = root.path().join("file");
        fs::write(&file, b"").expect("writable");
        let error = Cache::open(&file).expect_err("not a directory");
        assert!(error.to_string().contains("file/deb"), "{error}");
    }
}
