//! File operations that cannot leave one directory, whatever paths and links an image holds.
//!
//! Every path is resolved by the kernel (`openat2`) below the directory and through no symbolic link; nothing
//! that exists is ever opened for writing or replaced.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags,
};

use crate::files::{Item, What};
use crate::tree::Kind;

const INSIDE: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// A directory that is being filled.
#[derive(Debug)]
pub(super) struct Confined {
    top: OwnedFd,
    /// The directory of the last entry: most entries are neighbours.
    parent: Option<(Vec<u8>, OwnedFd)>,
}

impl Confined {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self { top: rustix::fs::open(path, flags, Mode::empty())?, parent: None })
    }

    pub(super) fn make_directory(&mut self, path: &[u8]) -> io::Result<()> {
        let name = self.enter(path)?;
        Ok(rustix::fs::mkdirat(self.here()?, name, Mode::RWXU)?)
    }

    pub(super) fn make_file(&mut self, path: &[u8]) -> io::Result<File> {
        let name = self.enter(path)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(self.here()?, name, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(File::from(file))
    }

    pub(super) fn make_link(&mut self, path: &[u8], target: &[u8]) -> io::Result<()> {
        let name = self.enter(path)?;
        Ok(rustix::fs::symlinkat(OsStr::from_bytes(target), self.here()?, name)?)
    }

    pub(super) fn make_node(&mut self, item: &Item) -> io::Result<()> {
        let (kind, device) = match item.what {
            What::Own(Kind::Character(major, minor)) => {
                (FileType::CharacterDevice, rustix::fs::makedev(major, minor))
            }
            What::Own(Kind::Block(major, minor)) => {
                (FileType::BlockDevice, rustix::fs::makedev(major, minor))
            }
            _ => (FileType::Fifo, 0),
        };
        let name = self.enter(&item.path)?;
        Ok(rustix::fs::mknodat(self.here()?, name, kind, Mode::RUSR | Mode::WUSR, device)?)
    }

    /// Gives the file `first`, made before, another name.
    pub(super) fn make_same(&mut self, first: &[u8], path: &[u8]) -> io::Result<()> {
        let old = self.resolve(first, OFlags::PATH | OFlags::NOFOLLOW)?;
        if !FileType::from_raw_mode(rustix::fs::fstat(&old)?.st_mode).is_file() {
            return Err(io::Error::other("its first name is not a regular file"));
        }
        let name = self.enter(path)?;
        // The descriptor was resolved inside; its name in /proc is the way to link it without privilege.
        let old = format!("/proc/self/fd/{}", old.as_raw_fd());
        Ok(rustix::fs::linkat(
            rustix::fs::CWD,
            old.as_str(),
            self.here()?,
            name,
            AtFlags::SYMLINK_FOLLOW,
        )?)
    }

    /// A handle to set attributes of an entry that this made.
    pub(super) fn open_entry(&mut self, path: &[u8]) -> io::Result<Handle> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let fd =
            if path == b"/" { self.resolve(b"/.", flags)? } else { self.resolve(path, flags)? };
        Ok(Handle(fd))
    }

    fn resolve(&self, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
        // Through the parent, so that the last name may be a link that is not followed.
        let (parent, name) = split(path)?;
        let parent = if parent.is_empty() { b".".as_slice() } else { parent };
        let parent = rustix::fs::openat2(
            &self.top,
            OsStr::from_bytes(parent),
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
            INSIDE,
        )?;
        let name = OsStr::from_bytes(name);
        Ok(rustix::fs::openat(&parent, name, flags | OFlags::CLOEXEC, Mode::empty())?)
    }

    /// Makes the directory of `path` the current one and gives the last name.
    fn enter<'a>(&mut self, path: &'a [u8]) -> io::Result<&'a OsStr> {
        let (parent, name) = split(path)?;
        if self.parent.as_ref().is_none_or(|(known, _)| known != parent) {
            let relative = if parent.is_empty() { b".".as_slice() } else { parent };
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let relative = OsStr::from_bytes(relative);
            let fd = rustix::fs::openat2(&self.top, relative, flags, Mode::empty(), INSIDE)?;
            self.parent = Some((parent.to_vec(), fd));
        }
        Ok(OsStr::from_bytes(name))
    }

    fn here(&self) -> io::Result<impl AsFd + '_> {
        self.parent.as_ref().map(|(_, fd)| fd).ok_or_else(|| io::Error::other("no directory"))
    }
}

/// Parent (relative) and last name of an absolute path.
fn split(path: &[u8]) -> io::Result<(&[u8], &[u8])> {
    let bad = || io::Error::other("not an absolute path of plain names");
    let relative = path.strip_prefix(b"/").ok_or_else(bad)?;
    let slash = relative.iter().rposition(|byte| *byte == b'/');
    let (parent, name) = match slash {
        Some(at) => (relative.get(..at).ok_or_else(bad)?, relative.get(at + 1..).ok_or_else(bad)?),
        None => (b"".as_slice(), relative),
    };
    // The name `.` stands for the top itself.
    if name.is_empty() || name == b".." || (name == b"." && path != b"/.") {
        return Err(bad());
    }
    Ok((parent, name))
}

/// An entry whose attributes are being set.
#[derive(Debug)]
pub(super) struct Handle(OwnedFd);

impl Handle {
    pub(super) fn set_owner(&self, uid: u32, gid: u32) -> io::Result<()> {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        Ok(rustix::fs::chownat(&self.0, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?)
    }

    pub(super) fn set_mode(&self, mode: u32) -> io::Result<()> {
        Ok(rustix::fs::chmod(self.name().as_str(), Mode::from_raw_mode(mode))?)
    }

    pub(super) fn set_attribute(&self, name: &[u8], value: &[u8]) -> io::Result<()> {
        let name = OsStr::from_bytes(name);
        Ok(rustix::fs::setxattr(self.name().as_str(), name, value, XattrFlags::empty())?)
    }

    pub(super) fn set_time(&self, seconds: i64) -> io::Result<()> {
        let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        Ok(rustix::fs::utimensat(&self.0, "", &times, AtFlags::EMPTY_PATH)?)
    }

    /// The entry itself, even when it is a link: a descriptor of `O_PATH` is not resolved further.
    fn name(&self) -> String {
        format!("/proc/self/fd/{}", self.0.as_raw_fd())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_made_through_a_link_or_above_the_top() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        std::fs::create_dir(&top).unwrap();
        std::fs::write(dir.path().join("victim"), "safe").unwrap();
        let mut confined = Confined::open(&top).unwrap();
        confined.make_link(b"/out", b"..").unwrap();
        confined.make_link(b"/victim", b"../victim").unwrap();
        assert!(confined.make_file(b"/out/new").is_err());
        assert!(confined.make_directory(b"/out/new").is_err());
        assert!(confined.make_file(b"/../new").is_err());
        assert!(confined.make_file(b"/victim").is_err());
        assert!(confined.make_file(b"/..").is_err());
        assert!(confined.make_same(b"/victim", b"/same").is_err());
        assert!(confined.make_same(b"/out/victim", b"/same").is_err());
        assert!(confined.open_entry(b"/out/victim").is_err());
        confined.open_entry(b"/victim").unwrap().set_time(5).unwrap();
        assert!(!dir.path().join("new").exists());
        assert_eq!(std::fs::read(dir.path().join("victim")).unwrap(), b"safe");
    }
}
