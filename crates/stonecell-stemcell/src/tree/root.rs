//! The root: erofs, held in memory.

use std::collections::BTreeSet;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use erofs_rs::EroFS;
use erofs_rs::backend::Image;

use super::{Entry, Kind, MAX_ENTRIES, TWICE, TreeError};

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
        let mut directories = BTreeSet::from([top.id()]);
        entries.push(self.entry(b"/".to_vec(), top)?);
        for found in self.fs.walk_dir("/").map_err(|error| damaged(b"/", error.to_string()))? {
            let found = found.map_err(|error| damaged(b"/", error.to_string()))?;
            let path = found.dir_entry.path().into_vec();
            if found.inode.is_dir() && !directories.insert(found.inode.id()) {
                return Err(damaged(&path, TWICE.to_owned()));
            }
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
