//! A state file system: ext4, read where it lies.

use std::collections::BTreeMap;
use std::io::{self, Read};

use ext4_view::Ext4;

use super::{Entry, Kind, MAX_ENTRIES, MAX_PATH, TWICE, TreeError};
use crate::ext4_scan::{self, Unseen};

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
        self.walk("/", &mut entries, &mut 0)?;
        entries.sort_by(|a: &Entry, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    fn walk(
        &self,
        dir: &str,
        entries: &mut Vec<Entry>,
        directories: &mut usize,
    ) -> Result<(), TreeError> {
        let damaged = |error: ext4_view::Ext4Error| self.damaged(dir, &error.to_string());
        if dir.len() > MAX_PATH || entries.len() > MAX_ENTRIES {
            return Err(self.damaged(dir, "deeper or larger than any real file system"));
        }
        *directories += 1;
        if *directories > self.unseen.directories {
            return Err(self.damaged(dir, TWICE));
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
                self.walk(&path, entries, directories)?;
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
