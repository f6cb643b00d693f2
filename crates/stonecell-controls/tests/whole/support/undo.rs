//! A root that remembers what every change replaced and can take the changes back, so that thousands of ways to break a
//! system can be tried on one tree.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use stonecell_controls::{Kind, Links, Ownership, Root, RootError, RootMut, Status};

enum Before {
    Nothing,
    File(Vec<u8>, Ownership),
    Link(PathBuf),
    Attributes(Ownership),
}

/// Changes go to the inner root; [`Undo::back`] takes them back.
pub(crate) struct Undo<'a> {
    inner: &'a mut dyn RootMut,
    log: Vec<(PathBuf, Before)>,
    command_line: Option<Vec<String>>,
}

impl<'a> Undo<'a> {
    pub(crate) fn new(inner: &'a mut dyn RootMut) -> Self {
        let command_line = inner.command_line();
        Self { inner, log: Vec::new(), command_line }
    }

    pub(crate) fn set_command_line(&mut self, words: Vec<String>) {
        self.command_line = Some(words);
    }

    /// Takes back every change, the last one first.
    pub(crate) fn back(&mut self) {
        self.command_line = self.inner.command_line();
        while let Some((path, before)) = self.log.pop() {
            let done = match before {
                Before::Nothing => self.inner.remove(&path),
                Before::File(content, ownership) => self.inner.write(&path, &content, ownership),
                Before::Link(target) => self.inner.link(&path, &target),
                Before::Attributes(ownership) => self
                    .inner
                    .set_owner(&path, ownership.uid, ownership.gid)
                    .and_then(|()| self.inner.set_mode(&path, ownership.mode)),
            };
            done.expect("what could be changed can be changed back");
        }
    }

    fn remember(&mut self, path: &Path) -> Result<(), RootError> {
        let mut folder = path.parent();
        let mut made = None;
        while let Some(parent) = folder {
            if self.inner.status(parent, Links::Follow)?.is_some() {
                break;
            }
            made = Some(parent.to_owned());
            folder = parent.parent();
        }
        if let Some(made) = made {
            self.log.push((made, Before::Nothing));
            return Ok(());
        }
        let before = match self.inner.status(path, Links::Stay)? {
            None => Before::Nothing,
            Some(status) if status.kind == Kind::Link => {
                Before::Link(self.inner.read_link(path)?.expect("a link has a target"))
            }
            Some(status) if status.kind == Kind::File => Before::File(
                self.inner.read(path)?.expect("a file has content"),
                Ownership { mode: status.mode, uid: status.uid, gid: status.gid },
            ),
            Some(_) => panic!("{} is a directory: it is not broken by the tests", path.display()),
        };
        self.log.push((path.to_owned(), before));
        Ok(())
    }

    fn remember_attributes(&mut self, path: &Path) -> Result<(), RootError> {
        if let Some(status) = self.inner.status(path, Links::Stay)? {
            let ownership = Ownership { mode: status.mode, uid: status.uid, gid: status.gid };
            self.log.push((path.to_owned(), Before::Attributes(ownership)));
        }
        Ok(())
    }
}

impl Root for Undo<'_> {
    fn status(&self, path: &Path, links: Links) -> Result<Option<Status>, RootError> {
        self.inner.status(path, links)
    }
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, RootError> {
        self.inner.read(path)
    }
    fn read_start(&self, path: &Path, length: usize) -> Result<Option<Vec<u8>>, RootError> {
        self.inner.read_start(path, length)
    }
    fn list(&self, path: &Path) -> Result<Option<Vec<OsString>>, RootError> {
        self.inner.list(path)
    }
    fn read_link(&self, path: &Path) -> Result<Option<PathBuf>, RootError> {
        self.inner.read_link(path)
    }
    fn capability(&self, path: &Path) -> Result<Option<Vec<u8>>, RootError> {
        self.inner.capability(path)
    }
    fn command_line(&self) -> Option<Vec<String>> {
        self.command_line.clone()
    }
    fn resolve_parent(&self, path: &Path) -> Result<PathBuf, RootError> {
        self.inner.resolve_parent(path)
    }
}

impl RootMut for Undo<'_> {
    fn write(
        &mut self,
        path: &Path,
        content: &[u8],
        ownership: Ownership,
    ) -> Result<(), RootError> {
        self.remember(path)?;
        self.inner.write(path, content, ownership)
    }
    fn link(&mut self, path: &Path, target: &Path) -> Result<(), RootError> {
        self.remember(path)?;
        self.inner.link(path, target)
    }
    fn remove(&mut self, path: &Path) -> Result<(), RootError> {
        self.remember(path)?;
        self.inner.remove(path)
    }
    fn set_mode(&mut self, path: &Path, mode: u32) -> Result<(), RootError> {
        self.remember_attributes(path)?;
        self.inner.set_mode(path, mode)
    }
    fn set_owner(&mut self, path: &Path, uid: u32, gid: u32) -> Result<(), RootError> {
        self.remember_attributes(path)?;
        self.inner.set_owner(path, uid, gid)
    }
    fn remove_capability(&mut self, path: &Path) -> Result<(), RootError> {
        self.inner.remove_capability(path)
    }
}
