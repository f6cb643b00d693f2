//! The files of an image, read without mounting anything: the erofs root, and the ext4 file systems that are
//! mounted on it.
//!
//! Every byte is foreign. The readers are crates that check lengths; this module bounds what is held in
//! memory and gives both file systems one shape.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;

use erofs_rs::EroFS;
use erofs_rs::backend::Image;
use ext4_view::Ext4;
use thiserror::Error;

use crate::ext4_scan::{self, Unseen};

/// Why a file system could not be read.
#[derive(Debug, Error)]
pub enum TreeError {
    /// The erofs image is damaged.
    #[error("the root file system is damaged at {path}: {problem}")]
    Erofs {
        /// Where.
        path: String,
        /// What the reader says.
        problem: String,
    },
    /// An ext4 image is damaged.
    #[error("the file system on {mount} is damaged at {path}: {problem}")]
    Ext4 {
        /// Mount point.
        mount: String,
        /// Where.
        path: String,
        /// What the reader says.
        problem: String,
    },
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file of so many bytes.
    File {
        /// Bytes.
        size: u64,
    },
    /// A symbolic link.
    Link {
        /// Its target, as written.
        target: Vec<u8>,
    },
    /// A character device.
    Character(u32, u32),
    /// A block device.
    Block(u32, u32),
    /// A FIFO.
    Fifo,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Absolute path.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits with set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Extended attributes by full name.
    pub attributes: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Equal for the names of one file.
    pub inode: u64,
    /// Number of names; of an ext4 file with several, at least two.
    pub links: u32,
    /// Time of the last change, seconds since 1970.
    pub time: i64,
}

/// More entries than any root file system has: a small image can describe an endless one.
const MAX_ENTRIES: usize = 4_000_000;
/// Longest path, as for the kernel.
const MAX_PATH: usize = 4096;

/// An erofs image held in memory.
pub struct Root {
    fs: EroFS<Bytes>,
}

impl std::fmt::Debug for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Root").finish_non_exhaustive()
    }
}

struct Bytes(Vec<u8>);

impl Image for Bytes {
    fn get<R: std::ops::RangeBounds<u64>>(&self, range: R) -> Option<&[u8]> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let start = match range.start_bound() {
            Included(start) => *start,
            Excluded(start) => start.checked_add(1)?,
            Unbounded => 0,
        };
        let end = match range.end_bound() {
            Included(end) => end.checked_add(1)?,
            Excluded(end) => *end,
            Unbounded => self.len(),
        };
        self.0.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

impl Root {
    /// Reads an erofs image from `reader` (at most `size` bytes).
    ///
    /// # Errors
    /// When it cannot be read or is not erofs.
    pub fn read(reader: impl Read, size: u64) -> Result<Self, TreeError> {
        let damaged = |problem: String| TreeError::Erofs { path: "superblock".into(), problem };
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        reader.take(size).read_to_end(&mut bytes).map_err(|error| damaged(error.to_string()))?;
        let fs = EroFS::new(Bytes(bytes)).map_err(|error| damaged(error.to_string()))?;
        Ok(Self { fs })
    }

    /// Every entry below the root directory, sorted by path. The root directory itself is the first.
    ///
    /// # Errors
    /// [`TreeError::Erofs`] that names the path.
    pub fn entries(&self) -> Result<Vec<Entry>, TreeError> {
        let damaged = |path: &[u8], problem: String| TreeError::Erofs {
            path: String::from_utf8_lossy(path).into_owned(),
            problem,
        };
        let mut entries = Vec::new();
        let top = self
            .fs
            .get_inode(self.fs.super_block().root_inode_id())
            .map_err(|error| damaged(b"/", error.to_string()))?;
        entries.push(self.entry(b"/".to_vec(), top)?);
        for found in self.fs.walk_dir("/").map_err(|error| damaged(b"/", error.to_string()))? {
            let found = found.map_err(|error| damaged(b"/", error.to_string()))?;
            let path = found.dir_entry.path().into_vec();
            entries.push(self.entry(path, found.inode)?);
            if entries.len() > MAX_ENTRIES {
                return Err(damaged(b"/", format!("more than {MAX_ENTRIES} entries")));
            }
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    fn entry(&self, path: Vec<u8>, inode: erofs_rs::types::Inode) -> Result<Entry, TreeError> {
        let damaged = |problem: String| TreeError::Erofs {
            path: String::from_utf8_lossy(&path).into_owned(),
            problem,
        };
        let (major, minor) = inode.device().unwrap_or((0, 0));
        let file_type = format!("{:?}", inode.file_type());
        let kind = if inode.is_dir() {
            Kind::Directory
        } else if inode.is_file() {
            Kind::File { size: inode.data_size() }
        } else if inode.is_symlink() {
            let target =
                self.fs.read_link_inode(inode).map_err(|error| damaged(error.to_string()))?;
            Kind::Link { target: target.into_vec() }
        } else if file_type.contains("Char") {
            Kind::Character(major, minor)
        } else if file_type.contains("Block") {
            Kind::Block(major, minor)
        } else {
            Kind::Fifo
        };
        let attributes = self.fs.xattrs_inode(inode).map_err(|error| damaged(error.to_string()))?;
        Ok(Entry {
            kind,
            mode: inode.permissions().mode() & 0o7777,
            uid: inode.uid(),
            gid: inode.gid(),
            attributes,
            inode: inode.id(),
            links: inode.nlink(),
            time: inode.modified_unix().0,
            path,
        })
    }

    /// Opens a regular file that [`Root::entries`] listed.
    ///
    /// # Errors
    /// [`TreeError::Erofs`] when its data cannot be found.
    pub fn open(&self, entry: &Entry) -> Result<impl Read + '_, TreeError> {
        let damaged = |problem: String| TreeError::Erofs {
            path: String::from_utf8_lossy(&entry.path).into_owned(),
            problem,
        };
        let inode = self.fs.get_inode(entry.inode).map_err(|error| damaged(error.to_string()))?;
        self.fs.open_inode_file(inode).map_err(|error| damaged(error.to_string()))
    }

    /// The whole of a file by its path, without following links; `None` when there is none.
    ///
    /// # Errors
    /// [`TreeError::Erofs`] when it is damaged.
    pub fn file(&self, path: &str) -> Result<Option<Vec<u8>>, TreeError> {
        let damaged = |problem: String| TreeError::Erofs { path: path.to_owned(), problem };
        match self.fs.open(path) {
            Ok(mut file) => {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes).map_err(|error| damaged(error.to_string()))?;
                Ok(Some(bytes))
            }
            Err(erofs_rs::Error::PathNotFound(_) | erofs_rs::Error::NotAFile(_)) => Ok(None),
            Err(error) => Err(damaged(error.to_string())),
        }
    }
}

/// An ext4 file system and where it is mounted.
pub struct State {
    /// Absolute mount point.
    pub mount: String,
    /// First byte of its partition.
    pub offset: u64,
    /// What the reader does not show.
    unseen: Unseen,
    /// Paths of what it does not show, in the file system.
    unseen_names: BTreeMap<Vec<u8>, u64>,
    fs: Ext4,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("mount", &self.mount).finish_non_exhaustive()
    }
}

/// Part of a disk, as the ext4 reader wants it.
#[derive(Debug)]
pub struct Window {
    /// The disk.
    pub disk: std::fs::File,
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub size: u64,
}

impl ext4_view::Ext4Read for Window {
    fn read(
        &mut self,
        start_byte: u64,
        into: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync + 'static>> {
        use std::os::unix::fs::FileExt;
        let end = start_byte.checked_add(into.len() as u64);
        if end.is_none_or(|end| end > self.size) {
            return Err(Box::new(io::Error::from(io::ErrorKind::UnexpectedEof)));
        }
        self.disk.read_exact_at(into, self.start + start_byte).map_err(Into::into)
    }
}

impl State {
    /// Opens the file system in `window`, mounted on `mount`.
    ///
    /// # Errors
    /// When it is not ext4.
    pub fn open(mount: &str, mut window: Window) -> Result<Self, TreeError> {
        let offset = window.start;
        let scanned = ext4_scan::scan(&mut window).and_then(|unseen| {
            let names = ext4_scan::names(&window.disk, offset, &unseen.inodes())?;
            Ok((unseen, names))
        });
        let fs = Ext4::load(Box::new(window)).map_err(|error| TreeError::Ext4 {
            mount: mount.to_owned(),
            path: "superblock".into(),
            problem: error.to_string(),
        })?;
        let (unseen, unseen_names) = scanned.map_err(|error| TreeError::Ext4 {
            mount: mount.to_owned(),
            path: "inode tables".into(),
            problem: error.to_string(),
        })?;
        Ok(Self { mount: mount.to_owned(), offset, unseen, unseen_names, fs })
    }

    /// UUID of the file system, as fstab names it.
    #[must_use]
    pub fn uuid(&self) -> uuid::Uuid {
        uuid::Uuid::from_bytes(*self.fs.uuid().as_bytes())
    }

    /// Every entry, with absolute paths below the mount point; the mount point itself is the first.
    ///
    /// # Errors
    /// [`TreeError::Ext4`] that names the path.
    pub fn entries(&self) -> Result<Vec<Entry>, TreeError> {
        let mut entries = Vec::new();
        self.walk("/", &mut entries)?;
        entries.sort_by(|a: &Entry, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    fn walk(&self, dir: &str, entries: &mut Vec<Entry>) -> Result<(), TreeError> {
        let damaged = |error: ext4_view::Ext4Error| self.damaged(dir, &error.to_string());
        if dir.len() > MAX_PATH || entries.len() > MAX_ENTRIES {
            return Err(self.damaged(dir, "deeper or larger than any real file system"));
        }
        let metadata = self.fs.symlink_metadata(dir).map_err(damaged)?;
        entries.push(self.entry(dir, &metadata)?);
        for found in self.fs.read_dir(dir).map_err(damaged)? {
            let found = found.map_err(damaged)?;
            let name = found.file_name();
            let name = name.as_str().map_err(|error| self.damaged(dir, &error.to_string()))?;
            if matches!(name, "." | "..") || (dir == "/" && name == "lost+found") {
                continue;
            }
            let path = if dir == "/" { format!("/{name}") } else { format!("{dir}/{name}") };
            let metadata = self
                .fs
                .symlink_metadata(path.as_str())
                .map_err(|error| self.damaged(&path, &error.to_string()))?;
            if metadata.is_dir() {
                self.walk(&path, entries)?;
            } else {
                entries.push(self.entry(&path, &metadata)?);
            }
        }
        Ok(())
    }

    fn entry(&self, path: &str, metadata: &ext4_view::Metadata) -> Result<Entry, TreeError> {
        let kind = if metadata.is_dir() {
            Kind::Directory
        } else if metadata.is_symlink() {
            let target =
                self.fs.read_link(path).map_err(|error| self.damaged(path, &error.to_string()))?;
            Kind::Link { target: target.as_ref().to_vec() }
        } else if metadata.file_type() == ext4_view::FileType::Regular {
            Kind::File { size: metadata.len() }
        } else {
            Kind::Fifo
        };
        let full = if path == "/" { self.mount.clone() } else { format!("{}{path}", self.mount) };
        let inode = self.unseen_names.get(path.as_bytes()).copied().unwrap_or(0);
        Ok(Entry {
            path: full.into_bytes(),
            kind,
            mode: u32::from(metadata.mode()) & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
            attributes: self.unseen.attributes.get(&inode).cloned().unwrap_or_default(),
            inode,
            links: if self.unseen.linked.contains(&inode) { 2 } else { 1 },
            time: metadata.modified().seconds(),
        })
    }

    /// Opens a regular file that [`State::entries`] listed.
    ///
    /// # Errors
    /// [`TreeError::Ext4`] when it cannot be read.
    pub fn open_file(&self, entry: &Entry) -> Result<impl Read + use<>, TreeError> {
        let path = String::from_utf8_lossy(&entry.path).into_owned();
        let inside = path.strip_prefix(&self.mount).unwrap_or(&path);
        self.fs.open(inside).map_err(|error| self.damaged(inside, &error.to_string()))
    }

    fn damaged(&self, path: &str, problem: &str) -> TreeError {
        TreeError::Ext4 {
            mount: self.mount.clone(),
            path: path.to_owned(),
            problem: problem.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn sample(dir: &std::path::Path) -> std::path::PathBuf {
        let tree = dir.join("tree");
        std::fs::create_dir_all(tree.join("usr/bin")).unwrap();
        std::fs::write(tree.join("usr/bin/a"), "text ".repeat(50_000)).unwrap();
        std::fs::write(tree.join("small"), "small").unwrap();
        std::fs::hard_link(tree.join("small"), tree.join("other")).unwrap();
        std::os::unix::fs::symlink("usr/bin/a", tree.join("link")).unwrap();
        let mode = std::fs::Permissions::from_mode(0o4750);
        std::fs::set_permissions(tree.join("usr/bin/a"), mode).unwrap();
        tree
    }

    #[test]
    fn reads_what_mkfs_erofs_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let tree = sample(dir.path());
        let image = dir.path().join("image");
        let output = Command::new("mkfs.erofs")
            .args(["-zlz4hc", "-T0"])
            .arg(&image)
            .arg(&tree)
            .output()
            .unwrap();
        assert!(output.status.success());
        let size = std::fs::metadata(&image).unwrap().len();
        let root = Root::read(std::fs::File::open(&image).unwrap(), size).unwrap();
        let entries = root.entries().unwrap();
        let names: Vec<_> =
            entries.iter().map(|e| String::from_utf8_lossy(&e.path).into_owned()).collect();
        assert_eq!(names, ["/", "/link", "/other", "/small", "/usr", "/usr/bin", "/usr/bin/a"]);
        assert_eq!(entries[1].kind, Kind::Link { target: b"usr/bin/a".to_vec() });
        assert_eq!(entries[2].inode, entries[3].inode);
        assert_eq!(entries[6].mode, 0o4750);
        let mut text = String::new();
        root.open(&entries[6]).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "text ".repeat(50_000));
        assert_eq!(root.file("/small").unwrap().unwrap(), b"small");
        assert_eq!(root.file("/none").unwrap(), None);
    }

    #[test]
    fn reads_what_mke2fs_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let tree = sample(dir.path());
        let image = dir.path().join("image");
        let output = Command::new("mke2fs")
            .args(["-q", "-t", "ext4", "-d"])
            .arg(&tree)
            .arg(&image)
            .arg("8M")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let size = std::fs::metadata(&image).unwrap().len();
        let disk = std::fs::File::open(&image).unwrap();
        let state = State::open("/var", Window { disk, start: 0, size }).unwrap();
        let entries = state.entries().unwrap();
        assert_eq!(entries[0].path, b"/var");
        let big = entries.iter().find(|e| e.path == b"/var/usr/bin/a").unwrap();
        assert_eq!(big.mode, 0o4750);
        let mut text = String::new();
        state.open_file(big).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "text ".repeat(50_000));
    }

    #[test]
    fn noise_is_an_error_not_a_panic() {
        let noise: Vec<u8> =
            (0..8192_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
        assert!(Root::read(noise.as_slice(), 32768).is_err());
    }
}
