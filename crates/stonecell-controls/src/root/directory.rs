//! A tree on disk. Every look-up is an `openat2` with `RESOLVE_IN_ROOT`: the kernel itself keeps it inside, whatever the
//! links of the tree say, and even when the tree changes meanwhile.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Uid, XattrFlags, fchmod,
    fchown, fstat, mkdirat, openat2, readlinkat, renameat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::{Kind, Links, Ownership, READ_LIMIT, Root, RootError, RootMut, Status};

/// The directory cannot serve as a root.
#[derive(Debug, thiserror::Error)]
#[error("cannot open {} as the root of a system", path.display())]
pub struct OpenError {
    path: PathBuf,
    source: io::Error,
}

/// A system whose files lie in a directory.
#[derive(Debug)]
pub struct DirectoryRoot {
    top: OwnedFd,
    command_line: Option<Vec<String>>,
}

impl DirectoryRoot {
    /// Opens the directory.
    ///
    /// # Errors
    /// When it cannot be opened or is not a directory.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = rustix::fs::openat(CWD, path, flags, Mode::empty())
            .map_err(|error| OpenError { path: path.to_owned(), source: error.into() })?;
        Ok(Self { top, command_line: None })
    }

    /// Says with which command line the system boots: it is not in the tree but in the signed kernel image.
    #[must_use]
    pub fn with_command_line(mut self, words: Vec<String>) -> Self {
        self.command_line = Some(words);
        self
    }

    fn open_inside(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let inside = path.strip_prefix("/").unwrap_or(path);
        let inside = if inside.as_os_str().is_empty() { Path::new(".") } else { inside };
        let flags = flags | OFlags::CLOEXEC;
        // The kernel answers EAGAIN when something was renamed meanwhile and `..` could not be proven harmless.
        for _ in 0..16 {
            match openat2(&self.top, inside, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }

    /// Opens the directory that holds the last component, and gives that component.
    fn parent<'p>(&self, path: &'p Path) -> Result<(OwnedFd, &'p OsStr), Errno> {
        let name = path.file_name().ok_or(Errno::INVAL)?;
        let parent = path.parent().unwrap_or_else(|| Path::new("/"));
        Ok((self.open_inside(parent, OFlags::PATH | OFlags::DIRECTORY)?, name))
    }

    fn make_directories(&self, path: &Path) -> Result<(), Errno> {
        match self.open_inside(path, OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT) => {}
            other => return other.map(drop),
        }
        let Some(parent) = path.parent() else { return Err(Errno::NOENT) };
        self.make_directories(parent)?;
        let (folder, name) = self.parent(path)?;
        mkdirat(&folder, name, Mode::from_raw_mode(0o755))?;
        let made = self.open_inside(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW)?;
        // Neither the umask nor a set-group-id parent decides.
        own(&made, Ownership { mode: 0o755, uid: 0, gid: 0 })
    }

    /// Opens a file or directory, not a link, for changes of its attributes.
    fn changeable(&self, path: &Path) -> Result<OwnedFd, Errno> {
        self.open_inside(
            path,
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY,
        )
    }

    fn remove_in(folder: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
        match unlinkat(folder, name, AtFlags::empty()) {
            Err(Errno::ISDIR | Errno::PERM) => {}
            other => return other,
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let inner = rustix::fs::openat(folder, name, flags, Mode::empty())?;
        for name in names(&inner)? {
            Self::remove_in(&inner, &name)?;
        }
        unlinkat(folder, name, AtFlags::REMOVEDIR)
    }
}

/// A name for the new file beside the old one; nothing else writes in a tree that is being built.
fn beside(name: &OsStr) -> OsString {
    let mut fresh = OsString::from(".");
    fresh.push(name);
    fresh.push(".stonecell-new");
    fresh
}

fn own(file: &OwnedFd, ownership: Ownership) -> Result<(), Errno> {
    let status = fstat(file)?;
    if (status.st_uid, status.st_gid) != (ownership.uid, ownership.gid) {
        fchown(file, Some(Uid::from_raw(ownership.uid)), Some(Gid::from_raw(ownership.gid)))?;
    }
    fchmod(file, Mode::from_raw_mode(ownership.mode))
}

fn names(folder: &OwnedFd) -> Result<Vec<OsString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name.to_vec()));
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn described(status: &Stat) -> Status {
    let kind = match FileType::from_raw_mode(status.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Link,
        _ => Kind::Other,
    };
    Status {
        kind,
        mode: status.st_mode & 0o7777,
        uid: status.st_uid,
        gid: status.st_gid,
        size: u64::try_from(status.st_size).unwrap_or(0),
        device: status.st_dev,
    }
}

/// Absence is an answer, not a failure.
fn absent_or<T>(
    result: Result<T, Errno>,
    action: &'static str,
    path: &Path,
) -> Result<Option<T>, RootError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(Errno::LOOP) => Err(RootError::Loop { path: path.to_owned() }),
        Err(error) => Err(RootError::Io { action, path: path.to_owned(), source: error.into() }),
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(Errno) -> RootError {
    let path = path.to_owned();
    move |error| RootError::Io { action, path, source: error.into() }
}

impl Root for DirectoryRoot {
    fn status(&self, path: &Path, links: Links) -> Result<Option<Status>, RootError> {
        let flags = match links {
            Links::Follow => OFlags::PATH,
            Links::Stay => OFlags::PATH | OFlags::NOFOLLOW,
        };
        let looked = self.open_inside(path, flags).and_then(|file| fstat(&file));
        Ok(absent_or(looked, "look at", path)?.as_ref().map(described))
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, RootError> {
        let opened = self.open_inside(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY);
        let Some(file) = absent_or(opened, "open", path)? else { return Ok(None) };
        let status = described(&fstat(&file).map_err(failed("look at", path))?);
        if status.kind != Kind::File {
            return Ok(None);
        }
        let mut content = Vec::new();
        std::fs::File::from(file)
            .take(READ_LIMIT + 1)
            .read_to_end(&mut content)
            .map_err(|source| RootError::Io { action: "read", path: path.to_owned(), source })?;
        match u64::try_from(content.len()) {
            Ok(size) if size <= READ_LIMIT => Ok(Some(content)),
            _ => Err(RootError::TooLarge { path: path.to_owned(), size: status.size }),
        }
    }

    fn read_start(&self, path: &Path, length: usize) -> Result<Option<Vec<u8>>, RootError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let Some(file) = absent_or(self.open_inside(path, flags), "open", path)? else {
            return Ok(None);
        };
        let mut content = Vec::with_capacity(length);
        std::fs::File::from(file)
            .take(u64::try_from(length).unwrap_or(u64::MAX))
            .read_to_end(&mut content)
            .map_err(|source| RootError::Io { action: "read", path: path.to_owned(), source })?;
        Ok(Some(content))
    }

    fn list(&self, path: &Path) -> Result<Option<Vec<OsString>>, RootError> {
        let opened = self.open_inside(path, OFlags::RDONLY | OFlags::DIRECTORY);
        absent_or(opened.and_then(|folder| names(&folder)), "list", path)
    }

    fn read_link(&self, path: &Path) -> Result<Option<PathBuf>, RootError> {
        let read = self.open_inside(path, OFlags::PATH | OFlags::NOFOLLOW).and_then(|link| {
            // An empty name reads the opened link itself; ENOENT says that it is none.
            match readlinkat(&link, "", Vec::new()) {
                Ok(target) => Ok(Some(PathBuf::from(OsStr::from_bytes(target.as_bytes())))),
                Err(Errno::INVAL | Errno::NOENT) => Ok(None),
                Err(error) => Err(error),
            }
        });
        Ok(absent_or(read, "read the link", path)?.flatten())
    }

    fn capability(&self, path: &Path) -> Result<Option<Vec<u8>>, RootError> {
        let mut buffer = [0_u8; 64];
        let read = self
            .changeable(path)
            .and_then(|file| rustix::fs::fgetxattr(&file, CAPABILITY, &mut buffer[..]));
        match read {
            Ok(length) => Ok(Some(buffer.iter().copied().take(length).collect())),
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                Ok(None)
            }
            Err(error) => Err(failed("read the capability of", path)(error)),
        }
    }

    fn command_line(&self) -> Option<Vec<String>> {
        self.command_line.clone()
    }
}

const CAPABILITY: &str = "security.capability";

impl RootMut for DirectoryRoot {
    fn write(
        &mut self,
        path: &Path,
        content: &[u8],
        ownership: Ownership,
    ) -> Result<(), RootError> {
        let written = || -> io::Result<()> {
            self.make_directories(path.parent().unwrap_or_else(|| Path::new("/")))?;
            let (folder, name) = self.parent(path)?;
            let fresh = beside(name);
            match unlinkat(&folder, fresh.as_os_str(), AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
            let flags =
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let file =
                rustix::fs::openat(&folder, fresh.as_os_str(), flags, Mode::from_raw_mode(0o600))?;
            let mut file = std::fs::File::from(file);
            let finished = file
                .write_all(content)
                .and_then(|()| Ok(own(&OwnedFd::from(file), ownership)?))
                .and_then(|()| Ok(renameat(&folder, fresh.as_os_str(), &folder, name)?));
            if finished.is_err() {
                // The first error is the one to report; a leftover is removed by the next write.
                let _ = unlinkat(&folder, fresh.as_os_str(), AtFlags::empty());
            }
            finished
        };
        written().map_err(|source| RootError::Io { action: "write", path: path.to_owned(), source })
    }

    fn link(&mut self, path: &Path, target: &Path) -> Result<(), RootError> {
        let made = || -> Result<(), Errno> {
            self.make_directories(path.parent().unwrap_or_else(|| Path::new("/")))?;
            let (folder, name) = self.parent(path)?;
            let fresh = beside(name);
            match unlinkat(&folder, fresh.as_os_str(), AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error),
            }
            symlinkat(target, &folder, fresh.as_os_str())?;
            let status = rustix::fs::statat(&folder, fresh.as_os_str(), AtFlags::SYMLINK_NOFOLLOW)?;
            if (status.st_uid, status.st_gid) != (0, 0) {
                let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
                rustix::fs::chownat(
                    &folder,
                    fresh.as_os_str(),
                    Some(uid),
                    Some(gid),
                    AtFlags::SYMLINK_NOFOLLOW,
                )?;
            }
            renameat(&folder, fresh.as_os_str(), &folder, name)
        };
        made().map_err(failed("link", path))
    }

    fn remove(&mut self, path: &Path) -> Result<(), RootError> {
        self.parent(path)
            .and_then(|(folder, name)| Self::remove_in(&folder, name))
            .map_err(failed("remove", path))
    }

    fn set_mode(&mut self, path: &Path, mode: u32) -> Result<(), RootError> {
        self.changeable(path)
            .and_then(|file| fchmod(&file, Mode::from_raw_mode(mode)))
            .map_err(failed("set the mode of", path))
    }

    fn set_owner(&mut self, path: &Path, uid: u32, gid: u32) -> Result<(), RootError> {
        self.changeable(path)
            .and_then(|file| fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))))
            .map_err(failed("set the owner of", path))
    }

    fn remove_capability(&mut self, path: &Path) -> Result<(), RootError> {
        self.changeable(path)
            .and_then(|file| rustix::fs::fremovexattr(&file, CAPABILITY))
            .map_err(failed("remove the capability of", path))
    }
}

impl DirectoryRoot {
    /// Sets the extended attribute `security.capability` (for tools that build trees; the engine itself only removes it).
    ///
    /// # Errors
    /// When it cannot be set.
    pub fn set_capability(&mut self, path: &Path, value: &[u8]) -> Result<(), RootError> {
        self.changeable(path)
            .and_then(|file| {
                rustix::fs::fsetxattr(file.as_fd(), CAPABILITY, value, XattrFlags::empty())
            })
            .map_err(failed("set the capability of", path))
    }
}
