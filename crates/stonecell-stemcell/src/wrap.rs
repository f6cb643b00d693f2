//! Wrapping a disk for an infrastructure: the stemcell tarball.
//!
//! Members, in this order and without `./` (the BOSH CLI refuses it): `stemcell.MF`, `packages.txt`,
//! `dev_tools_file_list.txt`, `sbom.spdx.json`, `sbom.cdx.json`, `stonecell.json`, `image`. What the inner
//! `image` holds depends on the infrastructure. Small members come first, so that a reader need not pass
//! the disk to find them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use bzip2::write::BzEncoder;
use ring::digest::{Algorithm, Context, SHA1_FOR_LEGACY_USE_ONLY as SHA1, SHA256, digest};
use rustix::fs::SeekFrom;
use serde_json::Value;
use stonecell_image::read_disk;
use stonecell_image::source::FilePart;
use stonecell_image::sparse::next_data;
use tar::{Builder, EntryType, Header};
use thiserror::Error;

use crate::digest::Of;
use crate::facts::{Facts, Output};
use crate::gzip::{Level, ParallelGzip};
use crate::tree_tar::{self, Layer, TreeTarError};
use crate::{ovf, parts, sbom};

/// SHA-1 of nothing: the `image` of a light stemcell.
pub const EMPTY_SHA1: &str = "da39a3ee5e6b4b0d3255bfef95601890afd80709";

/// Why a stemcell could not be written.
#[derive(Debug, Error)]
pub enum WrapError {
    /// A file cannot be read or written.
    #[error("cannot {action} {path}")]
    Io {
        /// For example `write`.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The root file system cannot be packed.
    #[error("cannot pack the root file system into {path}")]
    Tree {
        /// The archive.
        path: PathBuf,
        /// Why.
        source: TreeTarError,
    },
    /// Facts cannot be written as JSON.
    #[error("cannot write {0} as JSON")]
    Json(&'static str, #[source] serde_json::Error),
}

/// What goes into the `image` member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    /// A gzip tar of one disk file under this name.
    TarOfDisk {
        /// The disk, already in the infrastructure's format.
        disk: PathBuf,
        /// Its name in the tar, for example `root.img`.
        name: &'static str,
    },
    /// A gzip tar of descriptor, manifest and VMDK.
    TarOfOvf {
        /// The stream-optimised VMDK.
        vmdk: PathBuf,
        /// Bytes of the virtual disk.
        capacity: u64,
        /// Must the firmware verify the boot image?
        secure_boot: bool,
    },
    /// The bzip2-compressed file itself.
    Bzip2 {
        /// The disk, already in the infrastructure's format.
        disk: PathBuf,
    },
    /// A gzip tar of the root file system.
    TarOfRoot {
        /// The root and the trees that are mounted on it.
        layers: Vec<Layer>,
    },
    /// Nothing: the image is in the cloud already.
    Light,
}

/// Everything but the image.
#[derive(Debug, Clone)]
pub struct Members<'a> {
    /// Facts for the SBOMs.
    pub facts: &'a Facts,
    /// `dpkg -l`.
    pub packages: &'a str,
    /// One path a line: what the agent may delete on request.
    pub dev_tools: &'a str,
    /// What `inspect` shows beside the manifest: controls, partitions, mutable files.
    pub description: &'a Value,
}

/// Writes the stemcell to `path` by way of `work` (both on one file system, for the rename). `manifest`
/// gives `stemcell.MF` for the SHA-1 of the image member.
///
/// # Errors
/// [`WrapError`] that names the file.
pub fn write(
    path: &Path,
    work: &Path,
    members: &Members<'_>,
    image: &Image,
    name: &str,
    manifest: &dyn Fn(&str) -> String,
) -> Result<Output, WrapError> {
    let epoch = u64::try_from(members.facts.epoch).unwrap_or(0);
    let inner_path = work.join(format!("{name}.image"));
    let sha1 = write_image(&inner_path, image, name, epoch)?;
    let spdx = pretty("sbom.spdx.json", &sbom::spdx::document(members.facts))?;
    let cyclonedx = pretty("sbom.cdx.json", &sbom::cyclonedx::document(members.facts))?;
    let description = pretty("stonecell.json", members.description)?;

    let partial = work.join(format!("{name}.tgz"));
    let fail = |action| {
        let path = partial.clone();
        move |source| WrapError::Io { action, path, source }
    };
    let file = File::create(&partial).map_err(fail("create"))?;
    let hashing = Hashing::new(&SHA256, BufWriter::with_capacity(1 << 20, file));
    let gzip = ParallelGzip::new(hashing, Level::Store).map_err(fail("write"))?;
    let mut tar = Builder::new(gzip);
    let small: [(&str, &[u8]); 6] = [
        ("stemcell.MF", &manifest(&sha1).into_bytes()),
        ("packages.txt", members.packages.as_bytes()),
        ("dev_tools_file_list.txt", members.dev_tools.as_bytes()),
        ("sbom.spdx.json", &spdx),
        ("sbom.cdx.json", &cyclonedx),
        ("stonecell.json", &description),
    ];
    for (member, bytes) in &small {
        append(&mut tar, member, bytes.len() as u64, *bytes, epoch).map_err(fail("write"))?;
    }
    let parts = small
        .iter()
        .map(|(member, bytes)| (format!("member {member}"), hex::encode(digest(&SHA256, bytes))))
        .collect();
    let inner = File::open(&inner_path).map_err(|source| WrapError::Io {
        action: "read",
        path: inner_path.clone(),
        source,
    })?;
    let size = inner.metadata().map_err(fail("read"))?.len();
    append(&mut tar, "image", size, inner, epoch).map_err(fail("write"))?;
    let hashing = tar.into_inner().and_then(ParallelGzip::finish).map_err(fail("write"))?;
    let (sha256, size) = hashing.finish().map_err(fail("write"))?;
    std::fs::remove_file(&inner_path).map_err(|source| WrapError::Io {
        action: "remove",
        path: inner_path,
        source,
    })?;
    std::fs::rename(&partial, path).map_err(fail("rename"))?;
    Ok(Output { path: path.to_owned(), of: Of::File, sha256, size, parts })
}

/// Writes the `image` member and gives its SHA-1.
fn write_image(path: &Path, image: &Image, name: &str, epoch: u64) -> Result<String, WrapError> {
    let fail = |action| move |source| WrapError::Io { action, path: path.to_owned(), source };
    let file = File::create(path).map_err(fail("create"))?;
    let hashing = Hashing::new(&SHA1, BufWriter::with_capacity(1 << 20, file));
    let hashing = match image {
        Image::Light => hashing,
        Image::Bzip2 { disk } => {
            let mut source = open(disk)?;
            let mut encoder = BzEncoder::new(hashing, bzip2::Compression::fast());
            io::copy(&mut source, &mut encoder).map_err(fail("write"))?;
            encoder.finish().map_err(fail("write"))?
        }
        Image::TarOfDisk { disk, name } => {
            let gzip = ParallelGzip::new(hashing, Level::Fast).map_err(fail("write"))?;
            let mut tar = Builder::new(gzip);
            let source = open(disk)?;
            append_sparse(&mut tar, name, &source, epoch).map_err(fail("write"))?;
            tar.into_inner().and_then(ParallelGzip::finish).map_err(fail("write"))?
        }
        Image::TarOfOvf { vmdk, capacity, secure_boot } => {
            let source = open(vmdk)?;
            let file_size = source.metadata().map_err(fail("read"))?.len();
            let machine =
                ovf::Machine { name, file_size, capacity: *capacity, secure_boot: *secure_boot };
            let descriptor = ovf::descriptor(&machine);
            let disk_sha1 = sha1_of(vmdk)?;
            let descriptor_sha1 = hex::encode(digest(&SHA1, descriptor.as_bytes()));
            let manifest = ovf::manifest(&descriptor_sha1, &disk_sha1);
            let gzip = ParallelGzip::new(hashing, Level::Fast).map_err(fail("write"))?;
            let mut tar = Builder::new(gzip);
            for (member, text) in [(ovf::DESCRIPTOR, descriptor), (ovf::MANIFEST, manifest)] {
                append(&mut tar, member, text.len() as u64, text.as_bytes(), epoch)
                    .map_err(fail("write"))?;
            }
            append(&mut tar, ovf::DISK, file_size, source, epoch).map_err(fail("write"))?;
            tar.into_inner().and_then(ParallelGzip::finish).map_err(fail("write"))?
        }
        Image::TarOfRoot { layers } => {
            let gzip = ParallelGzip::new(hashing, Level::Fast).map_err(fail("write"))?;
            let gzip = tree_tar::write(gzip, layers, epoch)
                .map_err(|source| WrapError::Tree { path: path.to_owned(), source })?;
            gzip.finish().map_err(fail("write"))?
        }
    };
    let (sha1, _) = hashing.finish().map_err(fail("write"))?;
    Ok(sha1)
}

fn append<W: Write, R: Read>(
    tar: &mut Builder<W>,
    name: &str,
    size: u64,
    data: R,
    epoch: u64,
) -> io::Result<()> {
    tar.append_data(&mut header(size, epoch), name, data)
}

fn header(size: u64, epoch: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(epoch);
    header.set_size(size);
    header
}

/// As [`append`], without reading the holes of the file.
fn append_sparse<W: Write>(
    tar: &mut Builder<ParallelGzip<W>>,
    name: &str,
    file: &File,
    epoch: u64,
) -> io::Result<()> {
    let size = file.metadata()?.len();
    let mut header = header(size, epoch);
    header.set_path(name)?;
    header.set_cksum();
    let gzip = tar.get_mut();
    gzip.write_all(header.as_bytes())?;
    let mut at = 0;
    while let Some(data) = next_data(file, at..size)? {
        gzip.write_zeros(data.start - at)?;
        rustix::fs::seek(file, SeekFrom::Start(data.start))?;
        let length = data.end - data.start;
        let mut source = BufReader::with_capacity(1 << 20, file.take(length));
        if io::copy(&mut source, gzip)? != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        at = data.end;
    }
    // The last hole, and then: members fill whole records of 512 bytes.
    gzip.write_zeros(size.next_multiple_of(512) - at)
}

fn open(path: &Path) -> Result<File, WrapError> {
    File::open(path).map_err(|source| WrapError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    })
}

fn sha1_of(path: &Path) -> Result<String, WrapError> {
    let mut file = open(path)?;
    let mut hashing = Hashing::new(&SHA1, io::sink());
    io::copy(&mut file, &mut hashing)
        .and_then(|_| hashing.finish())
        .map(|(sha1, _)| sha1)
        .map_err(|source| WrapError::Io { action: "read", path: path.to_owned(), source })
}

/// Digest and size of a file: for outputs that were not written through this module. A raw disk is taken by
/// its pieces, any other file as it is.
///
/// # Errors
/// [`WrapError::Io`] when it cannot be read.
pub fn output(path: &Path) -> Result<Output, WrapError> {
    let file = open(path)?;
    let fail = |source| WrapError::Io { action: "read", path: path.to_owned(), source };
    let size = file.metadata().map_err(fail)?.len();
    let (of, parts) = match FilePart::whole(&file).map_err(fail).map(|disk| read_disk(&disk))? {
        Ok(view) => (Of::Pieces, parts::of_disk(&file, &view).map_err(fail)?),
        Err(_) => (Of::File, BTreeMap::new()),
    };
    let sha256 = hex::encode(of.take(path).map_err(fail)?);
    Ok(Output { path: path.to_owned(), of, sha256, size, parts })
}

fn pretty(name: &'static str, value: &Value) -> Result<Vec<u8>, WrapError> {
    let mut bytes =
        serde_json::to_vec_pretty(value).map_err(|source| WrapError::Json(name, source))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Hashes and counts what passes.
struct Hashing<W: Write> {
    hash: Context,
    size: u64,
    inner: W,
}

impl<W: Write> Hashing<W> {
    fn new(algorithm: &'static Algorithm, inner: W) -> Self {
        Self { hash: Context::new(algorithm), size: 0, inner }
    }

    fn finish(mut self) -> io::Result<(String, u64)> {
        self.inner.flush()?;
        Ok((hex::encode(self.hash.finish()), self.size))
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn holes_and_zeros_give_the_same_archive_and_it_is_that_of_the_tar_crate() {
        let (sparse, dense) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let size = (9 << 20) + 77;
        sparse.set_len(size).unwrap();
        dense.write_all_at(&vec![0; usize::try_from(size).unwrap()], 0).unwrap();
        for file in [&sparse, &dense] {
            file.write_all_at(b"here", 5000).unwrap();
            file.write_all_at(b"there", 4 << 20).unwrap();
        }
        type Tar = Builder<ParallelGzip<Vec<u8>>>;
        let packed = |fill: &dyn Fn(&mut Tar)| {
            let mut tar = Builder::new(ParallelGzip::new(Vec::new(), Level::Fast).unwrap());
            fill(&mut tar);
            tar.into_inner().unwrap().finish().unwrap()
        };
        let one = packed(&|tar| append_sparse(tar, "root.img", &sparse, 7).unwrap());
        let two = packed(&|tar| append_sparse(tar, "root.img", &dense, 7).unwrap());
        rustix::fs::seek(&sparse, SeekFrom::Start(0)).unwrap();
        let three = packed(&|tar| append(tar, "root.img", size, &sparse, 7).unwrap());
        assert!(one == two && one == three);
    }
}
