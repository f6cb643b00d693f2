//! A system in memory: a map from path to file. It means the same as a tree on disk, without a disk.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::{Kind, Links, Ownership, READ_LIMIT, Root, RootError, RootMut, Status, follow};

#[derive(Clone, Debug, PartialEq, Eq)]
enum Body {
    File(Vec<u8>),
    Directory(BTreeSet<OsString>),
    Link(PathBuf),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    body: Body,
    mode: u32,
    uid: u32,
    gid: u32,
    capability: Option<Vec<u8>>,
}

impl Node {
    fn directory() -> Self {
        Self {
            body: Body::Directory(BTreeSet::new()),
            mode: 0o755,
            uid: 0,
            gid: 0,
            capability: None,
        }
    }
}

/// A system whose files are entries of a map. Equal systems compare equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryRoot {
    nodes: BTreeMap<PathBuf, Node>,
    command_line: Option<Vec<String>>,
}

impl Default for MemoryRoot {
    fn default() -> Self {
        let nodes = BTreeMap::from([(PathBuf::from("/"), Node::directory())]);
        Self { nodes, command_line: None }
    }
}

impl MemoryRoot {
    /// An empty system: a top directory and nothing else.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says with which command line the system boots.
    pub fn set_command_line(&mut self, words: Option<Vec<String>>) {
        self.command_line = words;
    }

    /// Makes a directory (and those above it) with a mode.
    ///
    /// # Errors
    /// When a part of the path is a file.
    pub fn directory(&mut self, path: &Path, ownership: Ownership) -> Result<(), RootError> {
        let place = self.resolve_parent(path)?;
        self.make_directories(&place)?;
        let node = self.node_mut(&place, "make")?;
        (node.mode, node.uid, node.gid) = (ownership.mode, ownership.uid, ownership.gid);
        Ok(())
    }

    /// Sets the extended attribute `security.capability` of a file.
    ///
    /// # Errors
    /// When the file does not exist.
    pub fn set_capability(&mut self, path: &Path, value: &[u8]) -> Result<(), RootError> {
        let place = self.place(path)?;
        self.node_mut(&place, "set the capability of")?.capability = Some(value.to_vec());
        Ok(())
    }

    /// The path with all links resolved but the last component.
    fn place(&self, path: &Path) -> Result<PathBuf, RootError> {
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => Ok(self.resolve_parent(parent)?.join(name)),
            _ => self.resolve_parent(path),
        }
    }

    fn node(&self, path: &Path, links: Links) -> Result<Option<&Node>, RootError> {
        let place = match links {
            Links::Follow => self.resolve_parent(path)?,
            Links::Stay => self.place(path)?,
        };
        Ok(self.nodes.get(&place))
    }

    fn node_mut(&mut self, place: &Path, action: &'static str) -> Result<&mut Node, RootError> {
        self.nodes.get_mut(place).ok_or_else(|| RootError::Io {
            action,
            path: place.to_owned(),
            source: io::ErrorKind::NotFound.into(),
        })
    }

    fn link_at(&self, place: &Path) -> Option<PathBuf> {
        match self.nodes.get(place).map(|node| &node.body) {
            Some(Body::Link(target)) => Some(target.clone()),
            _ => None,
        }
    }

    /// Enters a node under its parent, which must be there.
    fn enter(&mut self, place: &Path, node: Node) {
        if let (Some(parent), Some(name)) = (place.parent(), place.file_name())
            && let Some(Body::Directory(names)) =
                self.nodes.get_mut(parent).map(|parent| &mut parent.body)
        {
            names.insert(name.to_owned());
        }
        self.nodes.insert(place.to_owned(), node);
    }

    fn make_directories(&mut self, place: &Path) -> Result<(), RootError> {
        let mut parts: Vec<&Path> = place.ancestors().collect();
        parts.reverse();
        for part in parts {
            match self.nodes.get(part).map(|node| &node.body) {
                Some(Body::Directory(_)) => {}
                None => self.enter(part, Node::directory()),
                Some(_) => {
                    return Err(RootError::Io {
                        action: "make a directory below",
                        path: part.to_owned(),
                        source: io::ErrorKind::NotADirectory.into(),
                    });
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, path: &Path, node: Node) -> Result<(), RootError> {
        let place = self.place(path)?;
        self.make_directories(place.parent().unwrap_or_else(|| Path::new("/")))?;
        if self.nodes.get(&place).is_some_and(|old| matches!(old.body, Body::Directory(_))) {
            return Err(RootError::Io {
                action: "replace",
                path: place,
                source: io::ErrorKind::IsADirectory.into(),
            });
        }
        self.enter(&place, node);
        Ok(())
    }
}

impl Root for MemoryRoot {
    fn status(&self, path: &Path, links: Links) -> Result<Option<Status>, RootError> {
        Ok(self.node(path, links)?.map(|node| {
            let (kind, size) = match &node.body {
                Body::File(content) => (Kind::File, content.len()),
                Body::Directory(_) => (Kind::Directory, 0),
                Body::Link(target) => (Kind::Link, target.as_os_str().len()),
            };
            let size = u64::try_from(size).unwrap_or(u64::MAX);
            Status { kind, mode: node.mode, uid: node.uid, gid: node.gid, size, device: 0 }
        }))
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, RootError> {
        match self.node(path, Links::Follow)?.map(|node| &node.body) {
            Some(Body::File(content)) => match u64::try_from(content.len()) {
                Ok(size) if size > READ_LIMIT => {
                    Err(RootError::TooLarge { path: path.to_owned(), size })
                }
                _ => Ok(Some(content.clone())),
            },
            _ => Ok(None),
        }
    }

    fn read_start(&self, path: &Path, length: usize) -> Result<Option<Vec<u8>>, RootError> {
        match self.node(path, Links::Stay)?.map(|node| &node.body) {
            Some(Body::File(content)) => Ok(Some(content.iter().copied().take(length).collect())),
            _ => Ok(None),
        }
    }

    fn list(&self, path: &Path) -> Result<Option<Vec<OsString>>, RootError> {
        let place = self.resolve_parent(path)?;
        Ok(match self.nodes.get(&place).map(|node| &node.body) {
            Some(Body::Directory(names)) => Some(names.iter().cloned().collect()),
            _ => None,
        })
    }

    fn read_link(&self, path: &Path) -> Result<Option<PathBuf>, RootError> {
        let place = self.place(path)?;
        Ok(self.link_at(&place))
    }

    fn resolve_parent(&self, path: &Path) -> Result<PathBuf, RootError> {
        follow(path, &mut |part| Ok(self.link_at(part)))
    }

    fn capability(&self, path: &Path) -> Result<Option<Vec<u8>>, RootError> {
        Ok(self.node(path, Links::Stay)?.and_then(|node| node.capability.clone()))
    }

    fn command_line(&self) -> Option<Vec<String>> {
        self.command_line.clone()
    }
}

impl RootMut for MemoryRoot {
    fn write(
        &mut self,
        path: &Path,
        content: &[u8],
        ownership: Ownership,
    ) -> Result<(), RootError> {
        let Ownership { mode, uid, gid } = ownership;
        self.put(
            path,
            Node { body: Body::File(content.to_vec()), mode, uid, gid, capability: None },
        )
    }

    fn link(&mut self, path: &Path, target: &Path) -> Result<(), RootError> {
        let body = Body::Link(target.to_owned());
        self.put(path, Node { body, mode: 0o777, uid: 0, gid: 0, capability: None })
    }

    fn remove(&mut self, path: &Path) -> Result<(), RootError> {
        let place = self.place(path)?;
        self.node_mut(&place, "remove")?;
        let inside: Vec<PathBuf> = self
            .nodes
            .range(place.clone()..)
            .map(|(inner, _)| inner.clone())
            .take_while(|inner| inner.starts_with(&place))
            .collect();
        for inner in &inside {
            self.nodes.remove(inner);
        }
        if let (Some(parent), Some(name)) = (place.parent(), place.file_name())
            && let Some(Body::Directory(names)) =
                self.nodes.get_mut(parent).map(|parent| &mut parent.body)
        {
            names.remove(name);
        }
        Ok(())
    }

    fn set_mode(&mut self, path: &Path, mode: u32) -> Result<(), RootError> {
        let place = self.place(path)?;
        self.node_mut(&place, "set the mode of")?.mode = mode;
        Ok(())
    }

    fn set_owner(&mut self, path: &Path, uid: u32, gid: u32) -> Result<(), RootError> {
        let place = self.place(path)?;
        let node = self.node_mut(&place, "set the owner of")?;
        (node.uid, node.gid) = (uid, gid);
        if !matches!(node.body, Body::Directory(_)) {
            node.mode &= !0o6000;
        }
        Ok(())
    }

    fn remove_capability(&mut self, path: &Path) -> Result<(), RootError> {
        let place = self.place(path)?;
        self.node_mut(&place, "remove the capability of")?.capability = None;
        Ok(())
    }
}
