//! Opening what somebody hands us: a stemcell of any infrastructure, or a bare disk image.
//!
//! Members are read once, in order, with their sizes checked; the disk is unwrapped into a sparse raw file in
//! a work directory of the caller, whatever format it came in. `qemu-img` converts formats; it is told the format
//! that the bytes have, and runs on a copy that nobody else can swap.

mod copy;
mod format;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bzip2::read::BzDecoder;
use flate2::read::MultiGzDecoder;
use tar::Archive;
use thiserror::Error;

use crate::progress::Progress;

use copy::{Counted, copy_hashed, copy_sparse, only_zeros};
use format::to_raw;

pub use copy::read_up_to;
pub use format::whole;

/// Largest text member that is read: far above any real one.
const TEXT_LIMIT: u64 = 256 << 20;
/// Members that are text; everything else but `image` is refused.
pub const TEXT_MEMBERS: [&str; 6] = [
    "stemcell.MF",
    "packages.txt",
    "dev_tools_file_list.txt",
    "sbom.spdx.json",
    "sbom.cdx.json",
    "stonecell.json",
];

/// Why something could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// A file cannot be read or written.
    #[error("cannot {action} {path}")]
    Io {
        /// For example `read`.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not a stemcell and not a disk image.
    #[error("{path} is neither a stemcell (.tgz) nor a disk image (raw, qcow2, vhd, vmdk)")]
    Unknown {
        /// Which.
        path: PathBuf,
    },
    /// The tar is damaged or holds what it should not.
    #[error("{path}: member {member}: {problem}")]
    Member {
        /// The stemcell.
        path: PathBuf,
        /// The member.
        member: String,
        /// What is wrong.
        problem: String,
    },
    /// A member is missing.
    #[error("{path} has no member {member}")]
    Missing {
        /// The stemcell.
        path: PathBuf,
        /// The member.
        member: &'static str,
    },
    /// A disk that is not whole by itself.
    #[error("{path} names {other} besides itself; only disks in one file are read")]
    OtherFiles {
        /// The disk.
        path: PathBuf,
        /// What it names.
        other: &'static str,
    },
    /// A tool failed.
    #[error("qemu-img cannot convert {path} from {format}: {message}")]
    Convert {
        /// The disk.
        path: PathBuf,
        /// Its format.
        format: &'static str,
        /// What it said.
        message: String,
    },
}

/// An opened stemcell or disk.
#[derive(Debug)]
pub struct Opened {
    /// Text members by name; empty for a bare disk.
    pub texts: BTreeMap<String, Vec<u8>>,
    /// SHA-1 (hex) of the `image` member, when there is one.
    pub image_sha1: Option<String>,
    /// What the image holds.
    pub content: Content,
}

/// What an image holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A raw disk (sparse) in the work directory, or the file itself when it was raw.
    Disk(PathBuf),
    /// A gzip tar of a root file system, in the work directory.
    RootTar(PathBuf),
    /// Nothing: a light stemcell.
    Light,
}

/// Opens `path`, unwrapping into `work`, which must be an empty directory of the caller's.
///
/// # Errors
/// [`OpenError`] that names the file or the member.
pub fn open(path: &Path, work: &Path) -> Result<Opened, OpenError> {
    open_telling(path, work, &|_| {})
}

/// As [`open`], telling how much of a stemcell was read.
///
/// # Errors
/// As [`open`].
pub fn open_telling(path: &Path, work: &Path, progress: Progress<'_>) -> Result<Opened, OpenError> {
    let mut head = [0; 512];
    let mut file = File::open(path).map_err(|s| io_error("read", path, s))?;
    let length = read_up_to(&mut file, &mut head).map_err(|s| io_error("read", path, s))?;
    if head.get(..length).is_some_and(|head| head.starts_with(&[0x1f, 0x8b])) {
        file.seek(SeekFrom::Start(0)).map_err(|s| io_error("read", path, s))?;
        return open_stemcell(path, file, work, progress);
    }
    let disk = to_raw(path, work)?;
    Ok(Opened { texts: BTreeMap::new(), image_sha1: None, content: Content::Disk(disk) })
}

fn open_stemcell(
    path: &Path,
    file: File,
    work: &Path,
    progress: Progress<'_>,
) -> Result<Opened, OpenError> {
    let member_error = |member: &str, problem: String| OpenError::Member {
        path: path.to_owned(),
        member: member.to_owned(),
        problem,
    };
    let total = file.metadata().map_err(|s| io_error("read", path, s))?.len();
    let reader =
        Counted { inner: BufReader::with_capacity(1 << 20, file), done: 0, total, progress };
    let mut archive = Archive::new(flate2::bufread::MultiGzDecoder::new(reader));
    let entries = archive.entries().map_err(|s| io_error("read", path, s))?;
    let mut texts = BTreeMap::new();
    let mut image = None;
    for entry in entries {
        let mut entry = entry.map_err(|s| io_error("read", path, s))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if !entry.header().entry_type().is_file() {
            return Err(member_error(&name, "expected a regular file".into()));
        }
        if name == "image" {
            let raw = work.join("image");
            let sha1 = copy_hashed(&mut entry, &raw)
                .map_err(|error| member_error("image", error.to_string()))?;
            if image.replace((raw, sha1)).is_some() {
                return Err(member_error("image", "is there twice".into()));
            }
        } else if TEXT_MEMBERS.contains(&name.as_str()) {
            if entry.size() > TEXT_LIMIT {
                let problem = format!("{} bytes, more than {TEXT_LIMIT}", entry.size());
                return Err(member_error(&name, problem));
            }
            let mut bytes = Vec::new();
            entry
                .by_ref()
                .take(TEXT_LIMIT)
                .read_to_end(&mut bytes)
                .map_err(|error| member_error(&name, error.to_string()))?;
            if texts.insert(name.clone(), bytes).is_some() {
                return Err(member_error(&name, "is there twice".into()));
            }
        } else {
            return Err(member_error(&name, "does not belong into a stemcell".into()));
        }
    }
    only_zeros(&mut archive.into_inner())
        .map_err(|error| member_error("(after the last)", error.to_string()))?;
    let (image, sha1) =
        image.ok_or_else(|| OpenError::Missing { path: path.to_owned(), member: "image" })?;
    let content = unwrap_image(path, &image, work)?;
    Ok(Opened { texts, image_sha1: Some(sha1), content })
}

/// Looks into the `image` member.
fn unwrap_image(path: &Path, image: &Path, work: &Path) -> Result<Content, OpenError> {
    let mut file = File::open(image).map_err(|s| io_error("read", image, s))?;
    let mut head = [0; 4];
    let length = read_up_to(&mut file, &mut head).map_err(|s| io_error("read", image, s))?;
    file.seek(SeekFrom::Start(0)).map_err(|s| io_error("read", image, s))?;
    match head.get(..length) {
        Some([]) | None => Ok(Content::Light),
        Some([b'B', b'Z', b'h', _]) => {
            let out = work.join("disk.inner");
            copy_sparse(&mut BzDecoder::new(BufReader::new(file)), &out)
                .map_err(|s| io_error("unpack", image, s))?;
            std::fs::remove_file(image).map_err(|s| io_error("remove", image, s))?;
            Ok(Content::Disk(to_raw(&out, work)?))
        }
        Some([0x1f, 0x8b, ..]) => {
            let mut archive =
                Archive::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 20, file)));
            let out = work.join("disk.inner");
            let entries = archive.entries().map_err(|s| io_error("read", image, s))?;
            for (count, entry) in entries.enumerate() {
                let mut entry = entry.map_err(|s| io_error("read", image, s))?;
                let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
                let is_disk = ["root.img", "root.qcow2", "root.vhd", "disk.raw"]
                    .contains(&name.as_str())
                    || name.ends_with(".vmdk");
                if is_disk {
                    copy_sparse(&mut entry, &out).map_err(|s| io_error("unpack", image, s))?;
                    std::fs::remove_file(image).map_err(|s| io_error("remove", image, s))?;
                    return Ok(Content::Disk(to_raw(&out, work)?));
                }
                // A descriptor and its manifest come before a disk; anything else is a root tree.
                if count >= 2 || !(name.ends_with(".ovf") || name.ends_with(".mf")) {
                    return Ok(Content::RootTar(image.to_owned()));
                }
            }
            Err(OpenError::Member {
                path: path.to_owned(),
                member: "image".into(),
                problem: "holds no disk".into(),
            })
        }
        Some(_) => Ok(Content::Disk(to_raw(image, work)?)),
    }
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> OpenError {
    OpenError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::format::tests::tiny_disk;
    use super::*;
    use crate::wrap::{self, Image, Members};

    fn round_trip(image: &dyn Fn(&Path) -> Image) -> (Opened, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("source.raw");
        tiny_disk(&disk);
        let facts = crate::facts::tests::sample();
        let members = Members {
            facts: &facts,
            packages: "ii  bash",
            dev_tools: "",
            description: &serde_json::json!({}),
        };
        let out = dir.path().join("s.tgz");
        let manifest = |sha1: &str| format!("sha1: {sha1}\n");
        wrap::write(&out, dir.path(), &members, &image(&disk), "s", &manifest).unwrap();
        let work = dir.path().join("work");
        std::fs::create_dir(&work).unwrap();
        let opened = open(&out, &work).unwrap();
        let sha1 = opened.image_sha1.clone().unwrap();
        assert_eq!(opened.texts["stemcell.MF"], format!("sha1: {sha1}\n").into_bytes());
        assert_eq!(opened.texts["packages.txt"], b"ii  bash");
        (opened, dir)
    }

    #[test]
    fn a_disk_comes_back_as_it_went_in() {
        let (opened, dir) =
            round_trip(&|disk| Image::TarOfDisk { disk: disk.to_owned(), name: "root.img" });
        let Content::Disk(raw) = opened.content else { panic!("{:?}", opened.content) };
        assert_eq!(
            std::fs::read(raw).unwrap(),
            std::fs::read(dir.path().join("source.raw")).unwrap()
        );
    }

    #[test]
    fn so_does_one_behind_bzip2_and_nothing_for_a_light_one() {
        let (opened, _dir) = round_trip(&|disk| Image::Bzip2 { disk: disk.to_owned() });
        assert!(matches!(opened.content, Content::Disk(_)));
        let (opened, _dir) = round_trip(&|_| Image::Light);
        assert_eq!(opened.content, Content::Light);
        assert_eq!(opened.image_sha1.unwrap(), wrap::EMPTY_SHA1);
    }

    #[test]
    fn foreign_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        for bytes in [b"".as_slice(), b"hello", &[0x1f, 0x8b, 0, 0], &[0; 2048]] {
            std::fs::write(&file, bytes).unwrap();
            assert!(open(&file, dir.path()).is_err());
        }
    }
}
