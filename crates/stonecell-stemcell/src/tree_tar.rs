//! A root file system as a tar: owners, modes, links, extended attributes (PAX `SCHILY.xattr`), in sorted order
//! and with one time, so that equal trees give equal bytes.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{lgetxattr, llistxattr};
use tar::{Builder, EntryType, Header};
use thiserror::Error;

/// Why a tree could not be written.
#[derive(Debug, Error)]
pub enum TreeTarError {
    /// An entry cannot be read or written.
    #[error("cannot pack {path}")]
    Entry {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The archive cannot be written.
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
}

/// A directory and where it goes in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Path in the archive, relative, empty for the root.
    pub prefix: PathBuf,
    /// Directory on disk.
    pub tree: PathBuf,
}

/// Writes `layers` into `writer`: a later layer's directory takes the place of the earlier one's empty mount
/// point. Names have no leading `./`. All times are `epoch`.
///
/// # Errors
/// [`TreeTarError`] that names the entry.
pub fn write<W: Write>(writer: W, layers: &[Layer], epoch: u64) -> Result<W, TreeTarError> {
    let mut pack = Pack { builder: Builder::new(writer), epoch, links: HashMap::new() };
    for layer in layers {
        if layer.prefix.as_os_str().is_empty() {
            pack.directory(&layer.tree, Path::new(""), layers)?;
        }
    }
    pack.builder.into_inner().map_err(TreeTarError::Write)
}

struct Pack<W: Write> {
    builder: Builder<W>,
    epoch: u64,
    links: HashMap<(u64, u64), PathBuf>,
}

impl<W: Write> Pack<W> {
    fn directory(&mut self, dir: &Path, name: &Path, layers: &[Layer]) -> Result<(), TreeTarError> {
        let fail = |source| TreeTarError::Entry { path: dir.to_owned(), source };
        let mut names = fs::read_dir(dir)
            .and_then(|entries| {
                entries.map(|e| e.map(|e| e.file_name())).collect::<Result<Vec<_>, _>>()
            })
            .map_err(fail)?;
        names.sort();
        for entry in names {
            let member = name.join(&entry);
            let over = layers.iter().find(|layer| layer.prefix == member);
            let path = over.map_or_else(|| dir.join(&entry), |layer| layer.tree.clone());
            let metadata = fs::symlink_metadata(&path)
                .map_err(|source| TreeTarError::Entry { path: path.clone(), source })?;
            self.entry(&path, &member, &metadata)
                .map_err(|source| TreeTarError::Entry { path: path.clone(), source })?;
            if metadata.is_dir() {
                self.directory(&path, &member, layers)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, member: &Path, metadata: &Metadata) -> io::Result<()> {
        let kind = metadata.file_type();
        if kind.is_socket() {
            return Ok(());
        }
        let mut header = Header::new_ustar();
        header.set_mode(metadata.mode() & 0o7777);
        header.set_uid(u64::from(metadata.uid()));
        header.set_gid(u64::from(metadata.gid()));
        header.set_mtime(self.epoch);
        header.set_size(0);
        let attributes = attributes(path)?;
        let attributes: Vec<(&str, &[u8])> =
            attributes.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        if !attributes.is_empty() {
            self.builder.append_pax_extensions(attributes)?;
        }
        if kind.is_dir() {
            header.set_entry_type(EntryType::Directory);
            let mut name = member.as_os_str().to_owned();
            name.push("/");
            return self.builder.append_data(&mut header, name, io::empty());
        }
        if kind.is_symlink() {
            header.set_entry_type(EntryType::Symlink);
            return self.builder.append_link(&mut header, member, fs::read_link(path)?);
        }
        if kind.is_char_device() || kind.is_block_device() || kind.is_fifo() {
            header.set_entry_type(match () {
                () if kind.is_fifo() => EntryType::Fifo,
                () if kind.is_char_device() => EntryType::Char,
                () => EntryType::Block,
            });
            header.set_device_major(rustix::fs::major(metadata.rdev()))?;
            header.set_device_minor(rustix::fs::minor(metadata.rdev()))?;
            return self.builder.append_data(&mut header, member, io::empty());
        }
        if metadata.nlink() > 1 {
            let first = self.links.entry((metadata.dev(), metadata.ino()));
            if let std::collections::hash_map::Entry::Occupied(first) = &first {
                header.set_entry_type(EntryType::Link);
                return self.builder.append_link(&mut header, member, first.get());
            }
            first.or_insert_with(|| member.to_owned());
        }
        header.set_entry_type(EntryType::Regular);
        header.set_size(metadata.len());
        self.builder.append_data(&mut header, member, fs::File::open(path)?)
    }
}

/// Extended attributes as PAX records, sorted by name.
fn attributes(path: &Path) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut names = vec![0; 64 << 10];
    let length = match llistxattr(path, &mut names) {
        Ok(length) => length,
        Err(rustix::io::Errno::NOTSUP) => 0,
        Err(error) => return Err(error.into()),
    };
    let mut found = Vec::new();
    for name in names.get(..length).unwrap_or_default().split(|byte| *byte == 0) {
        if name.is_empty() {
            continue;
        }
        let mut value = vec![0; 64 << 10];
        let length = lgetxattr(path, OsStr::from_bytes(name), &mut value)?;
        value.truncate(length);
        found.push((format!("SCHILY.xattr.{}", String::from_utf8_lossy(name)), value));
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn packs_links_modes_and_the_layer_over_its_mount_point() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        let var = dir.path().join("var");
        fs::create_dir_all(root.join("var")).unwrap();
        fs::create_dir_all(root.join("tmp")).unwrap();
        fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        fs::create_dir_all(var.join("lib")).unwrap();
        fs::write(root.join("a"), "same").unwrap();
        fs::hard_link(root.join("a"), root.join("b")).unwrap();
        std::os::unix::fs::symlink("a", root.join("c")).unwrap();
        let layers = [
            Layer { prefix: PathBuf::new(), tree: root },
            Layer { prefix: "var".into(), tree: var },
        ];
        let bytes = write(Vec::new(), &layers, 7).unwrap();
        assert_eq!(bytes, write(Vec::new(), &layers, 7).unwrap());
        let mut archive = tar::Archive::new(bytes.as_slice());
        let found: Vec<(String, EntryType, u32)> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                assert_eq!(entry.header().mtime().unwrap(), 7);
                let path = entry.path().unwrap().to_string_lossy().into_owned();
                (path, entry.header().entry_type(), entry.header().mode().unwrap())
            })
            .collect();
        let names: Vec<&str> = found.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c", "tmp/", "var/", "var/lib/"]);
        assert_eq!(found[1].1, EntryType::Link);
        assert_eq!(found[2].1, EntryType::Symlink);
        assert_eq!(found[3].2, 0o1777);
    }
}
