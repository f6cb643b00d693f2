//! The unfinished file of a download.
//!
//! It is `NAME.part` beside the final name, locked while a process works on it. It stays when a
//! transfer fails, so that the next run goes on where this one stopped.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::download::{CHUNK, Object, Stop, TransferError, disk};

/// How often a lock that another process holds is tried.
const LOCK_INTERVAL: Duration = Duration::from_millis(200);

/// The unfinished file, locked.
pub(crate) struct Part {
    file: File,
    path: PathBuf,
    hash: Sha256,
    /// Bytes that are there.
    pub(crate) have: u64,
}

impl Part {
    /// Opens and locks the part of `object` and reads what it has. `None` when another process has
    /// finished the file meanwhile.
    pub(crate) fn lock(object: &Object, stop: &Stop) -> Result<Option<Self>, TransferError> {
        let mut name = object.path.clone().into_os_string();
        name.push(".part");
        let path = PathBuf::from(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(disk("create", parent))?;
        }
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(disk("open", &path))?;
            loop {
                match file.try_lock() {
                    Ok(()) => break,
                    Err(TryLockError::WouldBlock) => stop.pause(LOCK_INTERVAL)?,
                    Err(TryLockError::Error(source)) => return Err(disk("lock", &path)(source)),
                }
            }
            // The holder of the lock may have renamed the file to its final name.
            if is_same_file(&file, &path).map_err(disk("examine", &path))? {
                if is_complete(object, false)? {
                    fs::remove_file(&path).map_err(disk("remove", &path))?;
                    return Ok(None);
                }
                let mut part = Self { file, path, hash: Sha256::new(), have: 0 };
                part.read_existing(object.size)?;
                return Ok(Some(part));
            }
            if is_complete(object, false)? {
                return Ok(None);
            }
        }
    }

    fn read_existing(&mut self, size: u64) -> Result<(), TransferError> {
        let length = self.file.metadata().map_err(disk("examine", &self.path))?.len();
        if length > size {
            return self.clear();
        }
        let (hash, have) = hash_file(&mut self.file).map_err(disk("read", &self.path))?;
        (self.hash, self.have) = (hash, have);
        Ok(())
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), TransferError> {
        self.file.write_all(bytes).map_err(disk("write", &self.path))?;
        self.hash.update(bytes);
        self.have += bytes.len() as u64;
        Ok(())
    }

    pub(crate) fn clear(&mut self) -> Result<(), TransferError> {
        self.file.set_len(0).map_err(disk("empty", &self.path))?;
        self.file.seek(SeekFrom::Start(0)).map_err(disk("empty", &self.path))?;
        (self.hash, self.have) = (Sha256::new(), 0);
        Ok(())
    }

    pub(crate) fn digest(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }

    /// Gives the complete file its final name. It is on the disk before the name is, so that a name
    /// never stands for half a file after a power failure.
    pub(crate) fn keep(self, path: &Path) -> Result<(), TransferError> {
        self.file.sync_data().map_err(disk("write", &self.path))?;
        fs::rename(&self.path, path).map_err(disk("rename", &self.path))
    }
}

/// Whether the file is in the cache. A damaged one is removed.
pub(crate) fn is_complete(object: &Object, trust: bool) -> Result<bool, TransferError> {
    let path = &object.path;
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(disk("open", path)(source)),
    };
    let mut good = file.metadata().map_err(disk("examine", path))?.len() == object.size;
    if good && !trust {
        let (hash, _) = hash_file(&mut file).map_err(disk("read", path))?;
        good = <[u8; 32]>::from(hash.finalize()) == object.sha256;
    }
    if !good {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(disk("remove the damaged", path)(error));
            }
            _ => {}
        }
    }
    Ok(good)
}

fn hash_file(file: &mut File) -> io::Result<(Sha256, u64)> {
    let mut hash = Sha256::new();
    let mut have = 0;
    let mut buffer = vec![0; CHUNK];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((hash, have)),
            Ok(read) => {
                hash.update(buffer.get(..read).unwrap_or_default());
                have += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn is_same_file(file: &File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) => Ok(open.dev() == named.dev() && open.ino() == named.ino()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
