//! The root tree, reached only through its own directory descriptor.
//!
//! Everything a package brings is foreign: a symbolic link in it must never lead a write out of the
//! tree. Every path here is resolved by the kernel with `RESOLVE_IN_ROOT` (openat2(2)), which reads
//! `/` and `..` as they would be after chroot(2). There is no other way to write into the tree.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps};

/// A directory that is the root of a system.
#[derive(Debug)]
pub(crate) struct Tree {
    root: OwnedFd,
    path: PathBuf,
}

/// What a name is, not following a link at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status {
    /// Type.
    pub kind: FileType,
    /// Permission bits.
    pub mode: u32,
    /// Seconds since 1970.
    pub mtime: i64,
}

impl Tree {
    /// Opens an existing directory as a root.
    ///
    /// # Errors
    /// That of open(2).
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(Self { root: fs::open(path, flags, Mode::empty())?, path: path.to_owned() })
    }

    /// The directory outside.
    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a path inside the tree, links followed inside it.
    ///
    /// # Errors
    /// That of openat2(2).
    pub(crate) fn openat(&self, path: &str, flags: OFlags, mode: u32) -> io::Result<OwnedFd> {
        let path = if path.is_empty() { "." } else { path };
        let mode = Mode::from_raw_mode(if flags.contains(OFlags::CREATE) { mode } else { 0 });
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        Ok(fs::openat2(&self.root, path, flags | OFlags::CLOEXEC, mode, resolve)?)
    }

    /// The directory that holds `path`, and the last component.
    fn parent<'p>(&self, path: &'p str) -> io::Result<(OwnedFd, &'p str)> {
        let (dir, name) = path.trim_end_matches('/').rsplit_once('/').unwrap_or(("", path));
        if matches!(name, "" | "." | "..") {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok((self.openat(dir, OFlags::PATH | OFlags::DIRECTORY, 0)?, name))
    }

    /// What is at `path`; `None` if nothing is. A link at the end is not followed.
    ///
    /// # Errors
    /// Any but "not found".
    pub(crate) fn status(&self, path: &str) -> io::Result<Option<Status>> {
        let found = self
            .parent(path)
            .and_then(|(dir, name)| Ok(fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)?));
        match found {
            Ok(stat) => Ok(Some(Status {
                kind: FileType::from_raw_mode(stat.st_mode),
                mode: stat.st_mode & 0o7777,
                mtime: stat.st_mtime,
            })),
            Err(error) if absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether anything is at `path`.
    ///
    /// # Errors
    /// Any but "not found".
    pub(crate) fn exists(&self, path: &str) -> io::Result<bool> {
        Ok(self.status(path)?.is_some())
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// That of readlinkat(2).
    pub(crate) fn read_link(&self, path: &str) -> io::Result<String> {
        let (dir, name) = self.parent(path)?;
        let target = fs::readlinkat(&dir, name, Vec::new())?;
        target.into_string().map_err(|_| io::ErrorKind::InvalidData.into())
    }

    /// The content of a file; empty if there is none.
    ///
    /// # Errors
    /// Any but "not found".
    pub(crate) fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match self.openat(path, OFlags::RDONLY, 0) {
            Ok(file) => std::fs::File::from(file).read_to_end(&mut bytes)?,
            Err(error) if absent(&error) => 0,
            Err(error) => return Err(error),
        };
        Ok(bytes)
    }

    /// Writes a file through a temporary name beside it, so that it is whole or absent.
    ///
    /// # Errors
    /// That of the system call.
    pub(crate) fn write(&self, path: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
        let temporary = format!("{path}.stonecell-new");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW;
        let mut file = std::fs::File::from(self.openat(&temporary, flags, mode)?);
        file.write_all(bytes)?;
        fs::fchmod(&file, Mode::from_raw_mode(mode))?;
        self.rename(&temporary, path)
    }

    /// Renames inside the tree.
    ///
    /// # Errors
    /// That of renameat(2).
    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from_dir, from_name) = self.parent(from)?;
        let (to_dir, to_name) = self.parent(to)?;
        Ok(fs::renameat(&from_dir, from_name, &to_dir, to_name)?)
    }

    /// Makes a directory; an existing one is left as it is. Says whether it made it.
    ///
    /// # Errors
    /// That of mkdirat(2).
    pub(crate) fn make_dir(&self, path: &str, mode: u32) -> io::Result<bool> {
        let (dir, name) = self.parent(path)?;
        match fs::mkdirat(&dir, name, Mode::from_raw_mode(mode)) {
            Ok(()) => {
                fs::chmodat(&dir, name, Mode::from_raw_mode(mode), AtFlags::empty())?;
                Ok(true)
            }
            Err(rustix::io::Errno::EXIST) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a directory and its parents with mode 0755 where they are absent.
    ///
    /// # Errors
    /// That of mkdirat(2).
    pub(crate) fn make_dirs(&self, path: &str) -> io::Result<()> {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for end in ends {
            self.make_dir(path.get(..end).unwrap_or(path), 0o755)?;
        }
        Ok(())
    }

    /// Makes a symbolic link.
    ///
    /// # Errors
    /// That of symlinkat(2).
    pub(crate) fn symlink(&self, target: &str, path: &str) -> io::Result<()> {
        let (dir, name) = self.parent(path)?;
        Ok(fs::symlinkat(target, &dir, name)?)
    }

    /// Makes a second name for a file.
    ///
    /// # Errors
    /// That of linkat(2).
    pub(crate) fn hardlink(&self, existing: &str, path: &str) -> io::Result<()> {
        let (from_dir, from_name) = self.parent(existing)?;
        let (to_dir, to_name) = self.parent(path)?;
        Ok(fs::linkat(&from_dir, from_name, &to_dir, to_name, AtFlags::empty())?)
    }

    /// Removes a file or link; nothing there is fine.
    ///
    /// # Errors
    /// Any but "not found".
    pub(crate) fn remove_file(&self, path: &str) -> io::Result<()> {
        let removed = self
            .parent(path)
            .and_then(|(dir, name)| Ok(fs::unlinkat(&dir, name, AtFlags::empty())?));
        removed.or_else(|error| if absent(&error) { Ok(()) } else { Err(error) })
    }

    /// Removes a directory if it is empty; says whether it did.
    ///
    /// # Errors
    /// Any but "not empty" and "not found".
    pub(crate) fn remove_empty_dir(&self, path: &str) -> io::Result<bool> {
        let (dir, name) = self.parent(path)?;
        match fs::unlinkat(&dir, name, AtFlags::REMOVEDIR) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::NOTEMPTY | rustix::io::Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes whatever is at `path`, with all that is in it.
    ///
    /// # Errors
    /// That of the system call.
    pub(crate) fn remove_all(&self, path: &str) -> io::Result<()> {
        match self.status(path)? {
            None => Ok(()),
            Some(status) if status.kind == FileType::Directory => {
                self.empty_dir(path)?;
                self.remove_empty_dir(path).map(|_| ())
            }
            Some(_) => self.remove_file(path),
        }
    }

    /// Removes all that is in a directory; an absent one is fine.
    ///
    /// # Errors
    /// That of the system call.
    pub(crate) fn empty_dir(&self, path: &str) -> io::Result<()> {
        for (name, _) in self.list(path)? {
            self.remove_all(&join(path, &name))?;
        }
        Ok(())
    }

    /// Names and types in a directory, sorted; an absent one has none.
    ///
    /// # Errors
    /// Any but "not found", and a name that is not UTF-8.
    pub(crate) fn list(&self, path: &str) -> io::Result<Vec<(String, FileType)>> {
        let dir = match self.openat(path, OFlags::RDONLY | OFlags::DIRECTORY, 0) {
            Ok(dir) => dir,
            Err(error) if absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in fs::Dir::new(dir)? {
            let entry = entry?;
            let name = entry.file_name().to_str().map_err(|_| io::ErrorKind::InvalidData)?;
            if name != "." && name != ".." {
                names.push((name.to_owned(), entry.file_type()));
            }
        }
        names.sort_by(|(a, _): &(String, FileType), (b, _)| a.cmp(b));
        Ok(names)
    }

    /// Lowers every modification time above `epoch` to it, so that the time of the build is nowhere.
    ///
    /// # Errors
    /// That of the system call.
    pub(crate) fn clamp_times(&self, epoch: i64) -> io::Result<()> {
        clamp(&self.root, epoch)?;
        fs::futimens(&self.root, &times(epoch))?;
        Ok(())
    }
}

fn clamp(dir: &OwnedFd, epoch: i64) -> io::Result<()> {
    for entry in fs::Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if entry.file_type() == FileType::Directory {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            clamp(&fs::openat(dir, name, flags, Mode::empty())?, epoch)?;
        }
        if fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mtime > epoch {
            fs::utimensat(dir, name, &times(epoch), AtFlags::SYMLINK_NOFOLLOW)?;
        }
    }
    Ok(())
}

/// Access and modification time, both `seconds`.
#[must_use]
pub(crate) fn times(seconds: i64) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

/// `dir/name`, or `name` in the root.
#[must_use]
pub(crate) fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
}

fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_point_out_stay_inside() {
        let outside = tempfile::tempdir().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.symlink(outside.path().to_str().unwrap(), "absolute").unwrap();
        tree.symlink("../../../../../../../../tmp", "climbing").unwrap();
        assert!(tree.write("absolute/x", b"", 0o644).is_err());
        assert!(tree.write("climbing/x", b"", 0o644).is_err());
        tree.make_dir("tmp", 0o755).unwrap();
        tree.write("climbing/x", b"in", 0o644).unwrap();
        assert_eq!(std::fs::read(dir.path().join("tmp/x")).unwrap(), b"in");
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn removing_does_not_follow_links() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("kept"), b"").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.make_dirs("var/cache").unwrap();
        tree.symlink(outside.path().to_str().unwrap(), "var/cache/link").unwrap();
        tree.remove_all("var").unwrap();
        assert!(!tree.exists("var").unwrap());
        assert!(outside.path().join("kept").exists());
    }

    #[test]
    fn times_are_lowered_and_never_raised() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        tree.write("old", b"", 0o644).unwrap();
        let old = std::fs::File::open(dir.path().join("old")).unwrap();
        old.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(5)).unwrap();
        tree.write("new", b"", 0o644).unwrap();
        tree.clamp_times(1000).unwrap();
        assert_eq!(tree.status("old").unwrap().unwrap().mtime, 5);
        assert_eq!(tree.status("new").unwrap().unwrap().mtime, 1000);
    }
}
