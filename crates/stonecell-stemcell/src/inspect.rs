//! What is in a stemcell or a disk image. Nothing is verified here: [`crate::verify`] does that.

mod text;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use serde::Serialize;
use serde_json::Value;
use stonecell_definition::manifest::StemcellManifest;
use stonecell_image::uki::read_uki;
use thiserror::Error;
use uuid::Uuid;

use crate::digest::Of;
use crate::disk::{Disk, DiskError};
use crate::open::{Content, OpenError, Opened};
use crate::outputs::with;
use crate::packages::{self, Installed};
use crate::progress::{Event, Progress};
use crate::scratch::Scratch;
use crate::signature::VerifyingKey;
use crate::tree::{Kind, Root};
use crate::{files, outputs, signature, signer};

pub(crate) use text::bytes;
pub use text::text;

/// Why something could not be inspected.
#[derive(Debug, Error)]
pub enum InspectError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Its disk is damaged.
    #[error("cannot read the disk of {path}")]
    Disk {
        /// Which.
        path: PathBuf,
        /// Why.
        source: DiskError,
    },
    /// Its files are damaged.
    #[error("cannot read the files of {path}")]
    Files {
        /// Which.
        path: PathBuf,
        /// Why.
        source: files::FilesError,
    },
    /// A path cannot be read.
    #[error("cannot read {path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A directory without outputs.
    #[error("{path} holds no stemcell and no disk image")]
    Nothing {
        /// Which.
        path: PathBuf,
    },
}

/// One stemcell or disk.
#[derive(Debug, Clone, Serialize)]
pub struct Facts {
    /// File name.
    pub file: String,
    /// `stemcell`, `light stemcell`, `root tar stemcell` or `disk image`.
    pub kind: &'static str,
    /// Bytes of the file.
    pub bytes: u64,
    /// SHA-256 of the file, hex; of a raw disk only where it was signed as a whole.
    pub sha256: Option<String>,
    /// SHA-256 of the list of its pieces (see [`crate::digest`]), hex: of a raw disk.
    pub sha256_of_pieces: Option<String>,
    /// The key of the detached signature beside the file, if there is one.
    pub signature: Option<Signer>,
    /// `stemcell.MF`.
    pub manifest: Option<StemcellManifest>,
    /// `stonecell.json`.
    pub description: Option<Value>,
    /// Partitions and sizes.
    pub disk: Option<DiskFacts>,
    /// The root file system.
    pub root: Option<RootFacts>,
    /// The boot file.
    pub boot: Option<BootFacts>,
    /// Installed packages, sorted.
    pub packages: BTreeSet<Installed>,
    /// Packages in the SPDX document.
    pub spdx_packages: Option<usize>,
    /// Components in the CycloneDX document.
    pub cyclonedx_components: Option<usize>,
}

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signer {
    /// Fingerprint of a key, or subject of a certificate.
    pub name: String,
    /// Was the key made for development?
    pub development: bool,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiskFacts {
    /// GUID of the disk.
    pub uuid: Uuid,
    /// Bytes of the disk.
    pub bytes: u64,
    /// In the order of the table.
    pub partitions: Vec<PartitionFacts>,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionFacts {
    /// Name in the table.
    pub label: String,
    /// What it is for.
    pub kind: stonecell_image::disk::PartitionKind,
    /// Type UUID.
    pub type_uuid: Uuid,
    /// GUID.
    pub uuid: Uuid,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub bytes: u64,
    /// Where the image's fstab mounts it.
    pub mount: Option<String>,
}

/// The root file system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RootFacts {
    /// Root hash of its hash tree, from the boot file's command line.
    pub hash: Option<String>,
    /// Bytes, compressed.
    pub bytes: u64,
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Everything else.
    pub others: u64,
    /// Bytes of the regular files.
    pub content_bytes: u64,
    /// Files with a set-id bit.
    pub set_id: Vec<String>,
    /// Files with capabilities.
    pub capabilities: Vec<String>,
}

/// The unified kernel image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BootFacts {
    /// Bytes.
    pub bytes: u64,
    /// SHA-256, hex.
    pub sha256: String,
    /// Name and bytes of each section.
    pub sections: Vec<(String, u64)>,
    /// Kernel command line.
    pub command_line: String,
    /// What `uname -r` will say.
    pub kernel_version: String,
    /// Subject of the certificate in its signature.
    pub signer: Option<Signer>,
}

/// Reads a stemcell, a disk image, or every one of them in a directory.
///
/// # Errors
/// [`InspectError`] that names what cannot be read.
pub fn inspect(path: &Path, progress: Progress<'_>) -> Result<Vec<Facts>, InspectError> {
    let io_error = |source| InspectError::Io { path: path.to_owned(), source };
    let paths = if std::fs::metadata(path).map_err(io_error)?.is_dir() {
        outputs::of_directory(path).map_err(io_error)?
    } else {
        vec![path.to_owned()]
    };
    if paths.is_empty() {
        return Err(InspectError::Nothing { path: path.to_owned() });
    }
    paths.iter().map(|path| one(path, progress)).collect()
}

fn one(path: &Path, progress: Progress<'_>) -> Result<Facts, InspectError> {
    let io_error = |source| InspectError::Io { path: path.to_owned(), source };
    progress(Event::Phase(&format!("read {}", path.display())));
    let work = Scratch::new().map_err(io_error)?;
    let opened = crate::open::open_telling(path, work.path(), progress)?;
    let whole = opened.content != Content::Disk(path.to_owned())
        || (with(path, ".sig").exists()
            && signature::claimed_digest(&with(path, ".sig")) == Of::File);
    let of = if whole { Of::File } else { Of::Pieces };
    let taken = hex::encode(of.take(path).map_err(io_error)?);
    let (sha256, sha256_of_pieces) = if whole { (Some(taken), None) } else { (None, Some(taken)) };
    let mut facts = Facts {
        file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        kind: kind(&opened),
        bytes: std::fs::metadata(path).map_err(io_error)?.len(),
        sha256,
        sha256_of_pieces,
        signature: signature(path),
        manifest: member(&opened, "stemcell.MF")
            .and_then(|text| StemcellManifest::from_yaml(&text).ok()),
        description: json(&opened, "stonecell.json"),
        disk: None,
        root: None,
        boot: None,
        packages: member(&opened, "packages.txt")
            .map(|text| packages::of_listing(&text))
            .unwrap_or_default(),
        spdx_packages: json(&opened, "sbom.spdx.json")
            .and_then(|bill| Some(packages::of_spdx(&bill).ok()?.len())),
        cyclonedx_components: json(&opened, "sbom.cdx.json")
            .and_then(|bill| Some(packages::of_cyclonedx(&bill).ok()?.len())),
    };
    if let Content::Disk(raw) = &opened.content {
        let fail = |source| InspectError::Disk { path: path.to_owned(), source };
        of_disk(&Disk::open(raw).map_err(fail)?, &mut facts).map_err(fail)?;
    }
    if facts.packages.is_empty() {
        let status = files::file(&opened.content, packages::STATUS)
            .map_err(|source| InspectError::Files { path: path.to_owned(), source })?;
        let status = status.unwrap_or_default();
        facts.packages = packages::of_status(&String::from_utf8_lossy(&status));
    }
    Ok(facts)
}

fn kind(opened: &Opened) -> &'static str {
    match (&opened.content, &opened.image_sha1) {
        (Content::Light, _) => "light stemcell",
        (Content::RootTar(_), _) => "root tar stemcell",
        (Content::Disk(_), Some(_)) => "stemcell",
        (Content::Disk(_), None) => "disk image",
    }
}

fn member(opened: &Opened, name: &str) -> Option<String> {
    opened.texts.get(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

fn json(opened: &Opened, name: &str) -> Option<Value> {
    serde_json::from_slice(opened.texts.get(name)?).ok()
}

/// The key that a signature beside the file names, whether it holds or not.
fn signature(path: &Path) -> Option<Signer> {
    let signer = signature::claimed_signer(&outputs::with(path, ".sig")).ok()?;
    let name = signer.fingerprint();
    let development = outputs::beside(path, ".pub")
        .iter()
        .filter_map(|path| VerifyingKey::read(path).ok())
        .any(|key| key.is_development() && key.fingerprint() == name);
    Some(Signer { name, development })
}

fn of_disk(disk: &Disk, facts: &mut Facts) -> Result<(), DiskError> {
    let boot = of_boot_file(&disk.boot_file()?);
    let root = disk.root()?;
    let mut mounts = Vec::new();
    for state in disk.states(&root)? {
        mounts.push((state.offset, state.mount));
    }
    let view = disk.view();
    facts.disk = Some(DiskFacts {
        uuid: view.disk_uuid,
        bytes: view.disk_bytes,
        partitions: view
            .partitions
            .iter()
            .map(|partition| PartitionFacts {
                label: partition.label.clone(),
                kind: partition.kind,
                type_uuid: partition.kind.type_uuid(),
                uuid: partition.uuid,
                offset: partition.offset,
                bytes: partition.bytes,
                mount: mounts
                    .iter()
                    .find(|(offset, _)| *offset == partition.offset)
                    .map(|(_, mount)| mount.clone()),
            })
            .collect(),
    });
    facts.root = Some(RootFacts {
        hash: crate::disk::root_hash(&boot.command_line).map(|hash| hash.to_string()),
        bytes: disk.root_bytes()?,
        ..of_root(&root)?
    });
    facts.boot = Some(boot);
    Ok(())
}

fn of_root(root: &Root) -> Result<RootFacts, DiskError> {
    let mut facts = RootFacts::default();
    for entry in root.entries()? {
        let path = || String::from_utf8_lossy(&entry.path).into_owned();
        match &entry.kind {
            Kind::File { size } => {
                facts.files += 1;
                facts.content_bytes += size;
                if entry.mode & 0o6000 != 0 {
                    facts.set_id.push(path());
                }
                if entry.attributes.contains_key(b"security.capability".as_slice()) {
                    facts.capabilities.push(path());
                }
            }
            Kind::Directory => facts.directories += 1,
            _ => facts.others += 1,
        }
    }
    Ok(facts)
}

fn of_boot_file(program: &[u8]) -> BootFacts {
    let uki = read_uki(program).ok();
    let text = |name: &str| {
        let bytes = uki.as_ref().and_then(|uki| uki.section(name)).unwrap_or_default();
        String::from_utf8_lossy(bytes).trim_end_matches(['\0', '\n', ' ']).to_owned()
    };
    BootFacts {
        bytes: program.len() as u64,
        sha256: hex::encode(digest(&SHA256, program)),
        sections: uki
            .iter()
            .flat_map(|uki| &uki.sections)
            .map(|section| (section.name.clone(), section.data.len() as u64))
            .collect(),
        command_line: text(".cmdline"),
        kernel_version: text(".uname"),
        signer: signer::certificate(program).map(|certificate| Signer {
            name: signer::subject(&certificate),
            development: signer::is_development(&certificate),
        }),
    }
}
