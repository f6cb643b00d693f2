//! The parts of a raw disk: partition table, boot file, root file system and the state that is mounted on it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use stonecell_image::disk::{
    BOOT_FILE, EMPTY_LABEL, FatError, GptError, Partition, PartitionKind, read_esp_file,
};
use stonecell_image::source::{FilePart, Source};
use stonecell_image::verity::{BLOCK, Superblock};
use stonecell_image::{DiskView, RootHash, read_disk};
use thiserror::Error;

use crate::fstab;
use crate::tree::{Root, State, TreeError, Window};

/// Bytes of a dm-verity superblock.
const SUPERBLOCK: u64 = 512;

/// Why a disk could not be read.
#[derive(Debug, Error)]
pub enum DiskError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Io {
        /// The disk.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The partition table is damaged.
    #[error("the partition table is damaged")]
    Table(#[source] GptError),
    /// A partition is missing.
    #[error("the disk has no {0} partition")]
    NoPartition(&'static str),
    /// The boot file cannot be read.
    #[error("cannot read {BOOT_FILE} on the EFI system partition")]
    BootFile(#[source] FatError),
    /// A file system is damaged.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// fstab names what is not there.
    #[error("/etc/fstab mounts {wanted} on {target}, but the disk has no such file system")]
    NoFileSystem {
        /// For example `UUID=…`.
        wanted: String,
        /// The mount point.
        target: String,
    },
}

/// A raw disk with a sound partition table.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    file: File,
    view: DiskView,
}

impl Disk {
    /// Opens a raw disk and reads both partition tables.
    ///
    /// # Errors
    /// [`DiskError::Io`] and [`DiskError::Table`].
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        let fail = |source| DiskError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(fail)?;
        let view = read_disk(&FilePart::whole(&file).map_err(fail)?).map_err(DiskError::Table)?;
        Ok(Self { path: path.to_owned(), file, view })
    }

    /// Its partitions.
    #[must_use]
    pub fn view(&self) -> &DiskView {
        &self.view
    }

    /// Its file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The first partition of a kind that is not an empty slot; `what` names it in the error.
    ///
    /// # Errors
    /// [`DiskError::NoPartition`].
    pub fn partition(
        &self,
        kind: PartitionKind,
        what: &'static str,
    ) -> Result<&Partition, DiskError> {
        self.view.by_kind(kind).ok_or(DiskError::NoPartition(what))
    }

    /// The bytes of a partition.
    ///
    /// # Errors
    /// [`DiskError::Io`] when the file is shorter.
    pub fn part(&self, partition: &Partition) -> Result<FilePart<'_>, DiskError> {
        FilePart::new(&self.file, partition.offset, partition.bytes).map_err(self.io())
    }

    /// The unified kernel image that firmware starts.
    ///
    /// # Errors
    /// When there is no EFI system partition or the file cannot be read from it.
    pub fn boot_file(&self) -> Result<Vec<u8>, DiskError> {
        let esp = self.partition(PartitionKind::Esp, "EFI system")?;
        read_esp_file(&self.part(esp)?, BOOT_FILE).map_err(DiskError::BootFile)
    }

    /// The partition of the root file system and that of its hash tree.
    ///
    /// # Errors
    /// [`DiskError::NoPartition`].
    pub fn root_partitions(&self) -> Result<(&Partition, &Partition), DiskError> {
        Ok((
            self.partition(PartitionKind::Root, "root")?,
            self.partition(PartitionKind::RootVerity, "root verity")?,
        ))
    }

    /// Bytes of the root file system: what the hash tree covers, which may be less than the partition.
    ///
    /// # Errors
    /// [`DiskError::NoPartition`] and [`DiskError::Io`].
    pub fn root_bytes(&self) -> Result<u64, DiskError> {
        let (root, verity) = self.root_partitions()?;
        let bytes = self.part(verity)?.read_vec(0, SUPERBLOCK).map_err(self.io())?;
        let covered = Superblock::from_bytes(&bytes)
            .ok()
            .and_then(|superblock| superblock.data_blocks.checked_mul(BLOCK));
        Ok(covered.map_or(root.bytes, |covered| covered.min(root.bytes)))
    }

    /// The root file system, in memory.
    ///
    /// # Errors
    /// When it cannot be read or is not erofs.
    pub fn root(&self) -> Result<Root, DiskError> {
        let (root, _) = self.root_partitions()?;
        let size = self.root_bytes()?;
        let bytes = self.part(root)?.read_vec(0, size).map_err(self.io())?;
        Ok(Root::read(bytes.as_slice(), size)?)
    }

    /// The file systems that `/etc/fstab` of `root` mounts from this disk, parents first.
    ///
    /// # Errors
    /// [`DiskError::NoFileSystem`] when one is missing, [`DiskError::Tree`] when one is damaged.
    pub fn states(&self, root: &Root) -> Result<Vec<State>, DiskError> {
        let mounts = root.file("/etc/fstab")?.unwrap_or_default();
        let mounts = fstab::state_mounts(&String::from_utf8_lossy(&mounts));
        let mut states = Vec::new();
        for partition in self.state_partitions() {
            states.push((partition, Some(self.state(partition)?)));
        }
        let mut found = Vec::new();
        for mount in mounts {
            let (tag, value) = mount.source.split_once('=').unwrap_or(("", mount.source.as_str()));
            let value = value.trim_matches('"');
            let state = states.iter_mut().find_map(|(partition, state)| {
                let here = match tag {
                    "UUID" => state.as_ref()?.uuid().to_string().eq_ignore_ascii_case(value),
                    "PARTUUID" => partition.uuid.to_string().eq_ignore_ascii_case(value),
                    "PARTLABEL" => partition.label == value,
                    _ => false,
                };
                if here { state.take() } else { None }
            });
            let Some(mut state) = state else {
                return Err(DiskError::NoFileSystem { wanted: mount.source, target: mount.target });
            };
            state.mount = mount.target;
            found.push(state);
        }
        Ok(found)
    }

    /// The partitions that hold neither the boot file, nor a root, nor its hash tree.
    pub fn state_partitions(&self) -> impl Iterator<Item = &Partition> {
        use PartitionKind::{Esp, Root, RootVerity};
        self.view.partitions.iter().filter(|partition| {
            !matches!(partition.kind, Esp | Root | RootVerity) && partition.label != EMPTY_LABEL
        })
    }

    fn state(&self, partition: &Partition) -> Result<State, DiskError> {
        let disk = self.file.try_clone().map_err(self.io())?;
        let window = Window { disk, start: partition.offset, size: partition.bytes };
        Ok(State::open(&format!("partition {}", partition.label), window)?)
    }

    fn io(&self) -> impl Fn(io::Error) -> DiskError {
        let path = self.path.clone();
        move |source| DiskError::Io { path: path.clone(), source }
    }
}

/// The root hash in a kernel command line; `None` when it is missing, malformed or there twice.
#[must_use]
pub fn root_hash(command_line: &str) -> Option<RootHash> {
    let mut words =
        command_line.split_ascii_whitespace().filter_map(|w| w.strip_prefix("roothash="));
    let hash = words.next()?.parse().ok()?;
    words.next().is_none().then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_has_one_root_hash_or_none() {
        let hash = "ab".repeat(32);
        assert_eq!(root_hash(&format!("quiet roothash={hash} x")).unwrap().to_string(), hash);
        assert!(root_hash(&format!("roothash={hash} roothash={hash}")).is_none());
        assert!(root_hash("quiet").is_none());
        assert!(root_hash("roothash=12").is_none());
    }
}
