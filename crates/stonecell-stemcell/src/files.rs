//! Every file of an image in one order, whatever carries it: the erofs root with the state file systems over
//! their mount points, or the tar of a root.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use tar::{Archive, EntryType};
use thiserror::Error;

use crate::disk::{Disk, DiskError};
use crate::open::Content;
use crate::tree::{Entry, Kind, Root, State, TreeError};

/// Most extended attributes and longest value that a member of a tar may have.
const MAX_ATTRIBUTE: usize = 64 << 10;

/// Why the files could not be read.
#[derive(Debug, Error)]
pub enum FilesError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A file system.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The tar of the root.
    #[error("the root tar is damaged")]
    Tar(#[source] io::Error),
    /// A member of the tar that has no place in a root.
    #[error("the root tar has a member {name:?} {problem}")]
    Member {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A light stemcell.
    #[error("a light stemcell holds no files: its image is in the cloud")]
    Light,
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Something of its own.
    Own(Kind),
    /// Another name of a file that came before.
    Same {
        /// Its first name, absolute.
        first: Vec<u8>,
    },
}

/// One file of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Absolute path; `/` is the first of all.
    pub path: Vec<u8>,
    /// What it is.
    pub what: What,
    /// Permission bits with set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Extended attributes by full name.
    pub attributes: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Time of the last change, seconds since 1970.
    pub time: i64,
}

/// Shows every file of `content` to `see`, with a reader of its bytes (empty for anything but a regular file).
/// Directories come before what is in them, first names before further ones.
///
/// # Errors
/// [`FilesError`], or what `see` says.
pub fn walk<E: From<FilesError>>(
    content: &Content,
    see: &mut dyn FnMut(&Item, &mut dyn Read) -> Result<(), E>,
) -> Result<(), E> {
    match content {
        Content::Disk(path) => walk_disk(path, see),
        Content::RootTar(path) => walk_tar(path, see),
        Content::Light => Err(FilesError::Light.into()),
    }
}

/// One file of the root by its absolute path; `None` when there is none.
///
/// # Errors
/// [`FilesError`].
pub fn file(content: &Content, path: &str) -> Result<Option<Vec<u8>>, FilesError> {
    match content {
        Content::Disk(disk) => Ok(Disk::open(disk)?.root()?.file(path)?),
        Content::Light => Ok(None),
        Content::RootTar(tar) => {
            let mut archive = open_tar(tar)?;
            for entry in archive.entries().map_err(FilesError::Tar)? {
                let mut entry = entry.map_err(FilesError::Tar)?;
                if absolute(&entry.path_bytes())? == path.as_bytes()
                    && entry.header().entry_type().is_file()
                {
                    let mut bytes = Vec::new();
                    entry.read_to_end(&mut bytes).map_err(FilesError::Tar)?;
                    return Ok(Some(bytes));
                }
            }
            Ok(None)
        }
    }
}

fn walk_disk<E: From<FilesError>>(
    path: &Path,
    see: &mut dyn FnMut(&Item, &mut dyn Read) -> Result<(), E>,
) -> Result<(), E> {
    let disk = Disk::open(path).map_err(FilesError::from)?;
    let root = disk.root().map_err(FilesError::from)?;
    let states = disk.states(&root).map_err(FilesError::from)?;
    let mut links: HashMap<(u64, u64), Vec<u8>> = HashMap::new();
    for (entry, state) in merge(&root, &states)? {
        let file = (state.map_or(0, |state| state.offset), entry.inode);
        let what = match &entry.kind {
            Kind::File { .. } if entry.links > 1 => match links.get(&file) {
                Some(first) => What::Same { first: first.clone() },
                None => {
                    links.insert(file, entry.path.clone());
                    What::Own(entry.kind.clone())
                }
            },
            kind => What::Own(kind.clone()),
        };
        let item = Item {
            path: entry.path.clone(),
            what,
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            attributes: entry.attributes.clone(),
            time: entry.time,
        };
        match (&item.what, state) {
            (What::Own(Kind::File { .. }), None) => {
                see(&item, &mut root.open(&entry).map_err(FilesError::from)?)?;
            }
            (What::Own(Kind::File { .. }), Some(state)) => {
                see(&item, &mut state.open_file(&entry).map_err(FilesError::from)?)?;
            }
            _ => see(&item, &mut io::empty())?,
        }
    }
    Ok(())
}

/// The entries of the root and of the file systems over it, sorted by path.
fn merge<'a>(
    root: &Root,
    states: &'a [State],
) -> Result<Vec<(Entry, Option<&'a State>)>, FilesError> {
    let mut all: Vec<(Entry, Option<&State>)> =
        root.entries()?.into_iter().map(|entry| (entry, None)).collect();
    for state in states {
        // What lies below a mount point is hidden, and the mount point is that of the file system on it.
        let top = state.mount.as_bytes();
        all.retain(|(entry, _)| !is_at_or_below(&entry.path, top));
        all.extend(state.entries()?.into_iter().map(|entry| (entry, Some(state))));
    }
    all.sort_by(|a, b| a.0.path.cmp(&b.0.path));
    Ok(all)
}

fn is_at_or_below(path: &[u8], top: &[u8]) -> bool {
    path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

fn open_tar(path: &Path) -> Result<Archive<impl Read + use<>>, FilesError> {
    let file = File::open(path).map_err(FilesError::Tar)?;
    Ok(Archive::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 20, file))))
}

fn walk_tar<E: From<FilesError>>(
    path: &Path,
    see: &mut dyn FnMut(&Item, &mut dyn Read) -> Result<(), E>,
) -> Result<(), E> {
    let mut archive = open_tar(path)?;
    // The archive has no entry for the root itself.
    let top = Item {
        path: b"/".to_vec(),
        what: What::Own(Kind::Directory),
        mode: 0o755,
        uid: 0,
        gid: 0,
        attributes: BTreeMap::new(),
        time: 0,
    };
    see(&top, &mut io::empty())?;
    for entry in archive.entries().map_err(FilesError::Tar)? {
        let mut entry = entry.map_err(FilesError::Tar)?;
        let item = tar_item(&mut entry)?;
        match &item.what {
            What::Own(Kind::File { .. }) => see(&item, &mut entry)?,
            _ => see(&item, &mut io::empty())?,
        }
    }
    Ok(())
}

fn tar_item<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<Item, FilesError> {
    let path = absolute(&entry.path_bytes())?;
    let member =
        |problem| FilesError::Member { name: String::from_utf8_lossy(&path).into_owned(), problem };
    let mut attributes = BTreeMap::new();
    if let Some(records) = entry.pax_extensions().map_err(FilesError::Tar)? {
        for record in records {
            let record = record.map_err(FilesError::Tar)?;
            if let Some(name) = record.key_bytes().strip_prefix(b"SCHILY.xattr.") {
                if attributes.len() >= 64 || record.value_bytes().len() > MAX_ATTRIBUTE {
                    return Err(member("with too many or too long extended attributes"));
                }
                attributes.insert(name.to_vec(), record.value_bytes().to_vec());
            }
        }
    }
    let header = entry.header();
    let number = |value: io::Result<u64>| {
        value
            .ok()
            .and_then(|value| u32::try_from(value).ok())
            .ok_or_else(|| member("with a bad owner"))
    };
    let device = || match (header.device_major(), header.device_minor()) {
        (Ok(Some(major)), Ok(Some(minor))) => Ok((major, minor)),
        _ => Err(member("with a bad device number")),
    };
    let target = || entry.link_name_bytes().ok_or_else(|| member("without a target"));
    let what = match header.entry_type() {
        EntryType::Directory => What::Own(Kind::Directory),
        EntryType::Regular | EntryType::Continuous => What::Own(Kind::File { size: entry.size() }),
        EntryType::Symlink => What::Own(Kind::Link { target: target()?.into_owned() }),
        EntryType::Link => What::Same { first: absolute(&target()?)? },
        EntryType::Char => {
            device().map(|(major, minor)| What::Own(Kind::Character(major, minor)))?
        }
        EntryType::Block => device().map(|(major, minor)| What::Own(Kind::Block(major, minor)))?,
        EntryType::Fifo => What::Own(Kind::Fifo),
        _ => return Err(member("of an unknown type")),
    };
    Ok(Item {
        what,
        mode: header.mode().map_err(|_| member("with a bad mode"))? & 0o7777,
        uid: number(header.uid())?,
        gid: number(header.gid())?,
        attributes,
        time: header.mtime().ok().and_then(|time| i64::try_from(time).ok()).unwrap_or(0),
        path,
    })
}

/// The absolute path of a member: no `..`, no empty name, no leading `/`.
fn absolute(name: &[u8]) -> Result<Vec<u8>, FilesError> {
    let bad = || FilesError::Member {
        name: String::from_utf8_lossy(name).into_owned(),
        problem: "with a path that leaves the root",
    };
    let name_part = name.strip_suffix(b"/").unwrap_or(name);
    let mut path = Vec::new();
    for part in name_part.split(|byte| *byte == b'/') {
        if matches!(part, b"" | b"." | b"..") || part.contains(&0) {
            return Err(bad());
        }
        path.push(b'/');
        path.extend_from_slice(part);
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stay_in_the_root() {
        assert_eq!(absolute(b"usr/bin/").unwrap(), b"/usr/bin");
        for bad in [&b"../x"[..], b"/etc", b"a//b", b"a/./b", b"", b"a/..", b"a\0b"] {
            assert!(absolute(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_mount_point_hides_only_what_is_below_it() {
        assert!(is_at_or_below(b"/var", b"/var"));
        assert!(is_at_or_below(b"/var/log", b"/var"));
        assert!(!is_at_or_below(b"/variable", b"/var"));
    }
}
