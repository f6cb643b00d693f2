//! The system that controls are applied to or checked on, seen through a narrow window.
//!
//! Paths are absolute as seen from inside the root, and nothing leads out of it: symbolic links, absolute ones too, are
//! followed inside the root only. [`DirectoryRoot`] is a tree on disk; [`MemoryRoot`] is a plain map with the same meaning.
//! A live machine or an image is one more implementation of [`Root`].

mod directory;
mod memory;
mod walk;

use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

pub use directory::{DirectoryRoot, OpenError};
pub use memory::MemoryRoot;
pub(crate) use walk::{Entry, glob, walk};

/// Files that the engine reads are settings; one larger than this (bytes) is refused rather than read into memory.
pub const READ_LIMIT: u64 = 16 * 1024 * 1024;

/// Links followed in one path before it is called a loop, as Linux counts.
pub(crate) const LINK_LIMIT: usize = 40;

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    Directory,
    Link,
    /// Device, pipe or socket.
    Other,
}

/// What is known of a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    pub kind: Kind,
    /// The twelve permission bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    /// Number of the file system, so that a walk can stay on one.
    pub device: u64,
}

/// Mode and owner of a file to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ownership {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

impl Ownership {
    /// `0644 root:root`.
    pub const PLAIN: Self = Self { mode: 0o644, uid: 0, gid: 0 };
}

/// Whether the last component of a path is followed when it is a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    Follow,
    Stay,
}

/// A file of the root could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    #[error("cannot {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is {size} bytes long; at most {READ_LIMIT} were expected of a settings file", path.display())]
    TooLarge { path: PathBuf, size: u64 },
    #[error("{} is not UTF-8 text", path.display())]
    NotText { path: PathBuf },
    #[error("too many symbolic links in {}", path.display())]
    Loop { path: PathBuf },
}

/// Reading a system. All methods take absolute paths and answer `None` when there is nothing at the path.
pub trait Root {
    /// Kind, mode, owner and size.
    ///
    /// # Errors
    /// When the path cannot be looked at for another reason than that it is not there.
    fn status(&self, path: &Path, links: Links) -> Result<Option<Status>, RootError>;

    /// The content of a regular file, following links.
    ///
    /// # Errors
    /// When it cannot be read or is larger than [`READ_LIMIT`].
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, RootError>;

    /// The first `length` bytes of a regular file, or fewer when it is shorter; links are not followed.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read_start(&self, path: &Path, length: usize) -> Result<Option<Vec<u8>>, RootError>;

    /// Sorted names in a directory, following links; `None` when it is not a directory.
    ///
    /// # Errors
    /// When it cannot be read.
    fn list(&self, path: &Path) -> Result<Option<Vec<OsString>>, RootError>;

    /// The text of a symbolic link; `None` when the path is not one.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read_link(&self, path: &Path) -> Result<Option<PathBuf>, RootError>;

    /// The extended attribute `security.capability`, links not followed.
    ///
    /// # Errors
    /// When it cannot be read.
    fn capability(&self, path: &Path) -> Result<Option<Vec<u8>>, RootError>;

    /// The words of the kernel command line with which this system boots, when they are known.
    fn command_line(&self) -> Option<Vec<String>>;

    /// The path without any link in it; `None` when nothing is there.
    ///
    /// # Errors
    /// On a loop of links, or when a part cannot be looked at.
    fn resolve(&self, path: &Path) -> Result<Option<PathBuf>, RootError> {
        let resolved = self.resolve_parent(path)?;
        Ok(self.status(&resolved, Links::Stay)?.map(|_| resolved))
    }

    /// As [`Root::resolve`], but a path whose last parts do not exist is answered too: where they would be.
    ///
    /// # Errors
    /// As [`Root::resolve`].
    fn resolve_parent(&self, path: &Path) -> Result<PathBuf, RootError> {
        follow(path, &mut |part| self.read_link(part))
    }

    /// The content of a file as text.
    ///
    /// # Errors
    /// As [`Root::read`], and when it is not UTF-8.
    fn text(&self, path: &Path) -> Result<Option<String>, RootError> {
        match self.read(path)? {
            None => Ok(None),
            Some(bytes) => String::from_utf8(bytes)
                .map(Some)
                .map_err(|_| RootError::NotText { path: path.to_owned() }),
        }
    }
}

/// Changing a system. Paths are taken literally in their last component: a link there is replaced, not followed.
pub trait RootMut: Root {
    /// Writes a regular file, making missing directories (`0755 root:root`). The new content appears by rename.
    ///
    /// # Errors
    /// When it cannot be written; the old content is then still there.
    fn write(&mut self, path: &Path, content: &[u8], ownership: Ownership)
    -> Result<(), RootError>;

    /// Makes a symbolic link, replacing a file or link at the path.
    ///
    /// # Errors
    /// When it cannot be made.
    fn link(&mut self, path: &Path, target: &Path) -> Result<(), RootError>;

    /// Removes a file, a link, or a directory with all that is in it.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn remove(&mut self, path: &Path) -> Result<(), RootError>;

    /// Sets the permission bits of something that is not a link.
    ///
    /// # Errors
    /// When they cannot be set.
    fn set_mode(&mut self, path: &Path, mode: u32) -> Result<(), RootError>;

    /// Sets the owner of something that is not a link. Linux clears set-id bits with this; set the mode afterwards.
    ///
    /// # Errors
    /// When it cannot be set.
    fn set_owner(&mut self, path: &Path, uid: u32, gid: u32) -> Result<(), RootError>;

    /// Removes the extended attribute `security.capability`.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn remove_capability(&mut self, path: &Path) -> Result<(), RootError>;
}

/// The components of a path, last one first; `..` is kept, the rest of the syntax is dropped.
fn parts(path: &Path) -> Vec<OsString> {
    path.components()
        .rev()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

/// Resolves a path component by component; `read_link` is asked only for paths whose parents hold no link.
fn follow(
    path: &Path,
    read_link: &mut dyn FnMut(&Path) -> Result<Option<PathBuf>, RootError>,
) -> Result<PathBuf, RootError> {
    let mut pending: Vec<OsString> = parts(path);
    let mut done = PathBuf::from("/");
    let mut links = 0;
    while let Some(part) = pending.pop() {
        if part == ".." {
            done.pop();
            continue;
        }
        let next = done.join(&part);
        let Some(target) = read_link(&next)? else {
            done = next;
            continue;
        };
        links += 1;
        if links > LINK_LIMIT {
            return Err(RootError::Loop { path: path.to_owned() });
        }
        if target.has_root() {
            done = PathBuf::from("/");
        }
        pending.extend(parts(&target));
    }
    Ok(done)
}
