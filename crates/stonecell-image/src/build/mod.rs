//! The whole image in one call, in the fastest order.
//!
//! `mkfs.erofs` has one thread and takes most of the time, so the state file systems are made beside it.
//! The hash tree goes straight to its place in the raw disk while the contents are copied to theirs. Only the
//! UKI has to wait for the root hash.

mod plan;

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use rayon::prelude::*;
use ring::digest::SHA256;
use ring::digest::digest;
use serde::Serialize;
use uuid::Uuid;

pub use plan::file_system_uuid;
pub use plan::partition_uuid;

use crate::disk::AssembleError;
use crate::disk::EspError;
use crate::disk::LayoutError;
use crate::disk::Partition;
use crate::disk::RawDisk;
use crate::disk::StateFileSystem;
use crate::disk::build_esp;
use crate::disk::layout;
use crate::erofs::Compression;
use crate::erofs::ErofsError;
use crate::erofs::ErofsInput;
use crate::erofs::build_erofs;
use crate::ext4::Ext4Error;
use crate::ext4::Ext4Input;
use crate::ext4::build_ext4;
use crate::secure_boot::SignError;
use crate::secure_boot::SigningKey;
use crate::secure_boot::sign_pe;
use crate::source::FilePart;
use crate::uki::UkiError;
use crate::uki::UkiInput;
use crate::uki::build_uki;
use crate::verity::BLOCK;
use crate::verity::BuildVerityError;
use crate::verity::Geometry;
use crate::verity::RootHash;
use crate::verity::build_verity;
use plan::Sizes;

/// Everything that the image is a function of.
#[derive(Debug)]
pub struct ImageInput<'a> {
    /// The finished root tree.
    pub root_dir: &'a Path,
    /// The kernel (bzImage).
    pub kernel: &'a Path,
    /// What `uname -r` will say.
    pub kernel_version: &'a str,
    /// The initrd.
    pub initrd: &'a [u8],
    /// `linuxx64.efi.stub` of systemd.
    pub stub: &'a [u8],
    /// Content of the image's `os-release`.
    pub os_release: &'a str,
    /// Kernel command line without `roothash=`, which is appended.
    pub command_line: &'a str,
    /// A boot picture (BMP).
    pub splash: Option<&'a [u8]>,
    /// Key for Secure Boot; unsigned without.
    pub signing: Option<&'a SigningKey>,
    /// Writable file systems, in their order on the disk.
    pub state: &'a [StateFileSystem],
    /// Leave room for the next image: a second, empty pair of root and verity partitions.
    pub ab: bool,
    /// Size of a root partition in bytes, when larger than the file system needs; room to grow with A/B.
    pub root_bytes: Option<u64>,
    /// Size of the EFI system partition in bytes, instead of the one that follows from the UKI.
    pub esp_bytes: Option<u64>,
    /// The disk is a multiple of this; 1 MiB at least. 1 GiB suits every cloud.
    pub disk_multiple: u64,
    /// How to compress the root.
    pub compression: Compression,
    /// Seconds since 1970 for every time in the image.
    pub epoch: u64,
    /// What every UUID and the salt follow from: version 5 of the stemcell's name and version.
    pub identity: Uuid,
    /// An existing directory for files of the moment and the UKI; on the same file system as `out_raw`.
    pub work_dir: &'a Path,
    /// The disk to write; the caller renames it to its final name.
    pub out_raw: &'a Path,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BuiltImage {
    /// Root hash of the dm-verity tree, 64 hexadecimal digits.
    pub root_hash: String,
    /// The disk.
    pub raw: PathBuf,
    /// Its size in bytes.
    pub disk_bytes: u64,
    /// GUID of the disk.
    pub disk_uuid: Uuid,
    /// The partitions in their order on the disk.
    pub partitions: Vec<Partition>,
    /// Bytes of the root file system.
    pub root_bytes: u64,
    /// The UKI (signed, if a key was given), in the work directory.
    pub uki: PathBuf,
    /// Its size in bytes.
    pub uki_bytes: u64,
    /// Its SHA-256, hexadecimal.
    pub uki_sha256: String,
    /// The kernel command line in it.
    pub command_line: String,
    /// Whether it is signed.
    pub signed: bool,
}

/// A step of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Packing the root tree.
    Root,
    /// Making the state file systems.
    State,
    /// Hashing the root file system.
    Verity,
    /// Copying contents into the disk.
    Assemble,
    /// Building and signing the UKI and its partition.
    Uki,
}

/// Progress. Phases overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A phase begins.
    Started(Phase),
    /// A phase ended, having made this many bytes.
    Finished {
        /// The phase.
        phase: Phase,
        /// Bytes that it made.
        bytes: u64,
    },
}

/// Why there is no image. What was written so far is left for the caller to remove.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The root file system.
    #[error("cannot make the root file system")]
    Root(#[source] ErofsError),
    /// A state file system.
    #[error("cannot make the file system for {mount}")]
    State {
        /// Where it is mounted.
        mount: String,
        /// Why not.
        #[source]
        source: Ext4Error,
    },
    /// The hash tree.
    #[error("cannot make the dm-verity tree")]
    Verity(#[source] BuildVerityError),
    /// The UKI.
    #[error("cannot build the unified kernel image")]
    Uki(#[source] UkiError),
    /// The signature.
    #[error("cannot sign the unified kernel image")]
    Sign(#[source] SignError),
    /// The EFI system partition.
    #[error("cannot make the EFI system partition")]
    Esp(#[source] EspError),
    /// The partitions.
    #[error("cannot lay out the disk")]
    Layout(#[source] LayoutError),
    /// The raw file.
    #[error("cannot write the disk")]
    Disk(#[source] AssembleError),
    /// A file of the input or the work directory.
    #[error("cannot use {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Builds the image.
pub fn build_image(
    input: &ImageInput<'_>,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<BuiltImage, ImageError> {
    let root_image = input.work_dir.join("root.erofs");
    let state_images: Vec<PathBuf> = (0..input.state.len())
        .map(|index| input.work_dir.join(format!("state-{index}.ext4")))
        .collect();
    let kernel = fs::read(input.kernel).map_err(file_error(input.kernel))?;

    let (root, state) = rayon::join(
        || make_root(input, &root_image, progress),
        || make_state(input, &state_images, progress),
    );
    let root_bytes = root?;
    state?;

    // Sizes and places do not depend on the root hash.
    let unsigned = uki_bytes(input, &kernel, &plan::UNKNOWN)?.len() as u64;
    let verity_bytes = Geometry::new(root_bytes / BLOCK).hash_bytes();
    let sizes = Sizes { uki: unsigned, root: root_bytes, verity: verity_bytes };
    let places = layout(&plan::disk(input, &sizes, &plan::UNKNOWN)).map_err(ImageError::Layout)?;
    let raw = RawDisk::create(input.out_raw, places.disk_bytes).map_err(ImageError::Disk)?;
    let partition = |label: &str| {
        let missing = || AssembleError::Missing { label: label.to_owned() };
        places.partition(label).ok_or_else(missing).map_err(ImageError::Disk)
    };
    let (root_part, verity_part, esp_part) =
        (partition(plan::ROOT)?, partition(plan::VERITY)?, partition(plan::ESP)?);

    let (hashed, copied) = rayon::join(
        || -> Result<_, ImageError> {
            progress(Event::Started(Phase::Verity));
            let file = fs::File::open(&root_image).map_err(file_error(&root_image))?;
            let data = FilePart::whole(&file).map_err(file_error(&root_image))?;
            let root_hash = build_verity(
                &data,
                raw.file(),
                verity_part.offset,
                &plan::salt(input.identity),
                plan::verity_uuid(input.identity),
            )
            .map_err(ImageError::Verity)?;
            progress(Event::Finished { phase: Phase::Verity, bytes: verity_bytes });

            progress(Event::Started(Phase::Uki));
            let mut uki = uki_bytes(input, &kernel, &root_hash)?;
            if let Some(key) = input.signing {
                uki = sign_pe(&uki, key).map_err(ImageError::Sign)?;
            }
            let volume_id = plan::volume_id(input.identity);
            let esp = build_esp(esp_part.bytes, &uki, volume_id).map_err(ImageError::Esp)?;
            raw.put_bytes(esp_part, &esp).map_err(ImageError::Disk)?;
            progress(Event::Finished { phase: Phase::Uki, bytes: uki.len() as u64 });
            Ok((root_hash, uki))
        },
        || -> Result<(), ImageError> {
            progress(Event::Started(Phase::Assemble));
            raw.put_file(root_part, &root_image).map_err(ImageError::Disk)?;
            for (state, image) in input.state.iter().zip(&state_images) {
                raw.put_file(partition(&state.label)?, image).map_err(ImageError::Disk)?;
            }
            progress(Event::Finished { phase: Phase::Assemble, bytes: root_bytes });
            Ok(())
        },
    );
    copied?;
    let (root_hash, uki) = hashed?;

    let places = layout(&plan::disk(input, &sizes, &root_hash)).map_err(ImageError::Layout)?;
    raw.put_table(&places).map_err(ImageError::Disk)?;
    for image in state_images.iter().chain([&root_image]) {
        fs::remove_file(image).map_err(file_error(image))?;
    }
    let uki_path = input.work_dir.join("uki.efi");
    fs::write(&uki_path, &uki).map_err(file_error(&uki_path))?;
    Ok(BuiltImage {
        root_hash: root_hash.to_string(),
        raw: input.out_raw.to_owned(),
        disk_bytes: places.disk_bytes,
        disk_uuid: places.disk_uuid,
        partitions: places.partitions,
        root_bytes,
        uki: uki_path,
        uki_bytes: uki.len() as u64,
        uki_sha256: hex::encode(digest(&SHA256, &uki)),
        command_line: plan::command_line(input.command_line, &root_hash),
        signed: input.signing.is_some(),
    })
}

fn file_error(path: &Path) -> impl Fn(io::Error) -> ImageError {
    let path = path.to_owned();
    move |source| ImageError::File { path: path.clone(), source }
}

fn make_root(
    input: &ImageInput<'_>,
    image: &Path,
    progress: &(dyn Fn(Event) + Sync),
) -> Result<u64, ImageError> {
    progress(Event::Started(Phase::Root));
    let bytes = build_erofs(&ErofsInput {
        root_dir: input.root_dir,
        image,
        uuid: plan::file_system_uuid(input.identity, plan::ROOT),
        epoch: input.epoch,
        compression: input.compression,
    })
    .map_err(ImageError::Root)?;
    progress(Event::Finished { phase: Phase::Root, bytes });
    Ok(bytes)
}

fn make_state(
    input: &ImageInput<'_>,
    images: &[PathBuf],
    progress: &(dyn Fn(Event) + Sync),
) -> Result<(), ImageError> {
    progress(Event::Started(Phase::State));
    input.state.par_iter().zip(images).try_for_each(|(state, image)| {
        build_ext4(&Ext4Input {
            image,
            size: plan::state_bytes(state),
            label: &state.label,
            uuid: plan::file_system_uuid(input.identity, &state.label),
            tree: state.tree.as_deref(),
            epoch: input.epoch,
            work_dir: input.work_dir,
        })
        .map_err(|source| ImageError::State { mount: state.mount.clone(), source })
    })?;
    let bytes = input.state.iter().map(plan::state_bytes).sum();
    progress(Event::Finished { phase: Phase::State, bytes });
    Ok(())
}

fn uki_bytes(
    input: &ImageInput<'_>,
    kernel: &[u8],
    root_hash: &RootHash,
) -> Result<Vec<u8>, ImageError> {
    build_uki(&UkiInput {
        stub: input.stub,
        os_release: input.os_release,
        command_line: &plan::command_line(input.command_line, root_hash),
        kernel_version: input.kernel_version,
        splash: input.splash,
        linux: kernel,
        initrd: input.initrd,
    })
    .map_err(ImageError::Uki)
}
