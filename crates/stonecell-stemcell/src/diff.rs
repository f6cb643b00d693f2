//! What differs between two stemcells or disks: packages, controls, command line, kernel, files, sizes.

mod count;
mod explain;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};
use serde::Serialize;
use serde_json::Value;
use stonecell_image::uki::read_uki;
use thiserror::Error;

use crate::disk::{Disk, DiskError};
use crate::files::{self, FilesError, Item, What};
use crate::open::{Content, OpenError, Opened};
use crate::outputs;
use crate::packages::{self, Installed};
use crate::progress::{Event, Progress};
use crate::scratch::Scratch;
use crate::tree::Kind;

pub use count::Differing;
pub use explain::{explain, place};
pub use text::text;

/// Why two stemcells cannot be compared.
#[derive(Debug, Error)]
pub enum DiffError {
    /// One cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The files of one cannot be read.
    #[error("cannot read the files of {path}")]
    Files {
        /// Which.
        path: PathBuf,
        /// Why.
        source: FilesError,
    },
    /// The disk of one cannot be read.
    #[error("cannot read the disk of {path}")]
    Disk {
        /// Which.
        path: PathBuf,
        /// Why.
        source: DiskError,
    },
    /// A path cannot be read.
    #[error("cannot read {path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Old and new value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change<T> {
    /// Before.
    pub old: T,
    /// After.
    pub new: T,
}

/// What came, went and changed, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Names<T> {
    /// Only in the new one.
    pub added: BTreeMap<String, T>,
    /// Only in the old one.
    pub removed: BTreeMap<String, T>,
    /// In both, but different.
    pub changed: BTreeMap<String, Change<T>>,
}

/// Everything that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Versions by `name:architecture`.
    pub packages: Names<String>,
    /// Identifiers of controls that are applied in one only.
    pub controls: Names<()>,
    /// Words of the kernel command line, without the root hash.
    pub command_line: Names<()>,
    /// Kernel version, when it differs.
    pub kernel: Option<Change<String>>,
    /// Root hash, when it differs.
    pub root_hash: Option<Change<String>>,
    /// Files of the root and of the state file systems.
    pub files: Names<FileState>,
    /// Bytes of the whole file, the root file system, the boot file.
    pub sizes: BTreeMap<&'static str, Change<u64>>,
}

/// What is compared of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileState {
    /// `file`, `directory`, `link to …`, `same as …`, a device.
    pub kind: String,
    /// Permission bits, octal.
    pub mode: String,
    /// `UID:GID`.
    pub owner: String,
    /// SHA-256 of the content; empty for anything but a file.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// Extended attributes, value in hex.
    pub attributes: BTreeMap<String, String>,
}

impl Difference {
    /// Are both alike?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty()
            && self.controls.is_empty()
            && self.command_line.is_empty()
            && self.kernel.is_none()
            && self.root_hash.is_none()
            && self.files.is_empty()
            && self.sizes.is_empty()
    }
}

impl<T> Names<T> {
    /// Nothing came, went or changed?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// Compares two stemcells or disks (of a directory, its disk). Two light ones are compared by their members.
///
/// # Errors
/// [`DiffError`] that says which of the two cannot be read.
pub fn diff(old: &Path, new: &Path, progress: Progress<'_>) -> Result<Difference, DiffError> {
    let old = Summary::of(old, progress)?;
    let new = Summary::of(new, progress)?;
    Ok(compare(&old, &new))
}

/// What is compared of one stemcell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Summary {
    packages: BTreeMap<String, String>,
    controls: BTreeMap<String, ()>,
    command_line: BTreeMap<String, ()>,
    kernel: String,
    root_hash: String,
    files: BTreeMap<String, FileState>,
    sizes: BTreeMap<&'static str, u64>,
}

impl Summary {
    fn of(path: &Path, progress: Progress<'_>) -> Result<Self, DiffError> {
        let io_error = |source| DiffError::Io { path: path.to_owned(), source };
        let path = &outputs::one(path).map_err(io_error)?;
        let work = Scratch::new().map_err(io_error)?;
        progress(Event::Phase(&format!("unpack {}", path.display())));
        let opened = crate::open::open_telling(path, work.path(), progress)?;
        let mut summary = Self::default();
        summary.sizes.insert("file", std::fs::metadata(path).map_err(io_error)?.len());
        summary.members(&opened);
        if let Content::Disk(raw) = &opened.content {
            let fail = |source| DiffError::Disk { path: path.clone(), source };
            let disk = Disk::open(raw).map_err(fail)?;
            summary.boot(&disk.boot_file().map_err(fail)?);
            summary.sizes.insert("disk", disk.view().disk_bytes);
            summary.sizes.insert("root", disk.root_bytes().map_err(fail)?);
        }
        if opened.content != Content::Light {
            progress(Event::Phase(&format!("read the files of {}", path.display())));
            let fail = |source| DiffError::Files { path: path.clone(), source };
            summary.files(&opened.content).map_err(fail)?;
        }
        Ok(summary)
    }

    fn members(&mut self, opened: &Opened) {
        if let Some(listing) = opened.texts.get("packages.txt") {
            self.packages(packages::of_listing(&String::from_utf8_lossy(listing)));
        }
        let description: Value = opened
            .texts
            .get("stonecell.json")
            .and_then(|text| serde_json::from_slice(text).ok())
            .unwrap_or_default();
        let text = |name: &str| description[name].as_str().unwrap_or_default().to_owned();
        self.kernel = text("kernel_version");
        self.root_hash = text("root_hash");
        self.command_line(&text("command_line"));
        self.controls = description["controls"]["applied"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|id| Some((id.as_str()?.to_owned(), ())))
            .collect();
    }

    fn boot(&mut self, program: &[u8]) {
        self.sizes.insert("boot file", program.len() as u64);
        let Ok(uki) = read_uki(program) else { return };
        if let Some(version) = uki.section(".uname") {
            String::from_utf8_lossy(version)
                .trim_end_matches(['\0', '\n'])
                .clone_into(&mut self.kernel);
        }
        self.command_line(uki.command_line().unwrap_or_default());
    }

    fn command_line(&mut self, line: &str) {
        self.command_line.clear();
        for word in line.split_ascii_whitespace() {
            match word.strip_prefix("roothash=") {
                Some(hash) => hash.clone_into(&mut self.root_hash),
                None => {
                    self.command_line.insert(word.to_owned(), ());
                }
            }
        }
    }

    fn packages(&mut self, installed: BTreeSet<Installed>) {
        self.packages = installed
            .into_iter()
            .map(|package| (format!("{}:{}", package.name, package.architecture), package.version))
            .collect();
    }

    fn files(&mut self, content: &Content) -> Result<(), FilesError> {
        let mut status = None;
        let mut buffer = vec![0; 1 << 16];
        files::walk::<FilesError>(content, &mut |item, data| {
            let path = String::from_utf8_lossy(&item.path).into_owned();
            let keep = path == packages::STATUS;
            let mut bytes = Vec::new();
            let state = state(item, data, &mut buffer, |part| {
                if keep {
                    bytes.extend_from_slice(part);
                }
            })?;
            if keep {
                status = Some(bytes);
            }
            self.files.insert(path, state);
            Ok(())
        })?;
        if let Some(status) = status {
            self.packages(packages::of_status(&String::from_utf8_lossy(&status)));
        }
        Ok(())
    }
}

/// What is compared of a file, with the digest of its `data`, which are read through `buffer` and shown to `see`.
fn state(
    item: &Item,
    data: &mut dyn Read,
    buffer: &mut [u8],
    mut see: impl FnMut(&[u8]),
) -> Result<FileState, FilesError> {
    let mut digest = Context::new(&SHA256);
    if matches!(item.what, What::Own(Kind::File { .. })) {
        loop {
            let read = data.read(buffer).map_err(FilesError::Tar)?;
            match buffer.get(..read) {
                None | Some([]) => break,
                Some(part) => {
                    digest.update(part);
                    see(part);
                }
            }
        }
    }
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (kind, size, sha256) = match &item.what {
        What::Own(Kind::File { size }) => ("file".to_owned(), *size, hex::encode(digest.finish())),
        What::Own(Kind::Directory) => ("directory".to_owned(), 0, String::new()),
        What::Own(Kind::Link { target }) => {
            (format!("link to {}", lossy(target)), 0, String::new())
        }
        What::Own(Kind::Character(major, minor)) => {
            (format!("character device {major}:{minor}"), 0, String::new())
        }
        What::Own(Kind::Block(major, minor)) => {
            (format!("block device {major}:{minor}"), 0, String::new())
        }
        What::Own(Kind::Fifo) => ("fifo".to_owned(), 0, String::new()),
        What::Same { first } => (format!("same as {}", lossy(first)), 0, String::new()),
    };
    Ok(FileState {
        kind,
        mode: format!("{:04o}", item.mode),
        owner: format!("{}:{}", item.uid, item.gid),
        sha256,
        size,
        attributes: item
            .attributes
            .iter()
            .map(|(name, value)| (lossy(name), hex::encode(value)))
            .collect(),
    })
}

fn compare(old: &Summary, new: &Summary) -> Difference {
    Difference {
        packages: names(&old.packages, &new.packages),
        controls: names(&old.controls, &new.controls),
        command_line: names(&old.command_line, &new.command_line),
        kernel: change(&old.kernel, &new.kernel),
        root_hash: change(&old.root_hash, &new.root_hash),
        files: names(&old.files, &new.files),
        sizes: old
            .sizes
            .iter()
            .filter_map(|(name, old)| Some((*name, change(old, new.sizes.get(name)?)?)))
            .collect(),
    }
}

fn names<T: Clone + PartialEq>(old: &BTreeMap<String, T>, new: &BTreeMap<String, T>) -> Names<T> {
    let only = |one: &BTreeMap<String, T>, other: &BTreeMap<String, T>| {
        one.iter()
            .filter(|(name, _)| !other.contains_key(*name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    Names {
        added: only(new, old),
        removed: only(old, new),
        changed: old
            .iter()
            .filter_map(|(name, old)| Some((name.clone(), change(old, new.get(name)?)?)))
            .collect(),
    }
}

fn change<T: Clone + PartialEq>(old: &T, new: &T) -> Option<Change<T>> {
    (old != new).then(|| Change { old: old.clone(), new: new.clone() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn applying_a_difference_to_the_old_gives_the_new(
            old in prop::collection::btree_map("[a-d]", 0_u8..4, 0..5),
            new in prop::collection::btree_map("[a-d]", 0_u8..4, 0..5),
        ) {
            let found = names(&old, &new);
            prop_assert_eq!(found.is_empty(), old == new);
            let mut made = old.clone();
            made.retain(|name, _| !found.removed.contains_key(name));
            made.extend(found.added.clone());
            for (name, change) in &found.changed {
                prop_assert_eq!(made.insert(name.clone(), change.new), Some(change.old));
            }
            prop_assert_eq!(made, new);
        }
    }
}
