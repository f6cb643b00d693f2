//! Opening what somebody hands us: a stemcell of any infrastructure, or a bare disk image.
//!
//! Members are read once, in order, with their sizes checked; the disk is unwrapped into a sparse raw file in
//! a work directory of the caller, whatever format it came in. `qemu-img` converts formats; it is told the format
//! that the bytes have, and runs on a copy that nobody else can swap.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use bzip2::read::BzDecoder;
use flate2::read::MultiGzDecoder;
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use tar::Archive;
use thiserror::Error;

use crate::progress::{Event, Progress};

/// Largest text member that is read: far above any real one.
const TEXT_LIMIT: u64 = 256 << 20;
/// Largest disk that is unwrapped.
const DISK_LIMIT: u64 = 256 << 30;
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

/// The raw form of a disk: itself when it is raw, else converted into `work`.
fn to_raw(disk: &Path, work: &Path) -> Result<PathBuf, OpenError> {
    let format = sniff(disk)
        .map_err(|s| io_error("read", disk, s))?
        .ok_or_else(|| OpenError::Unknown { path: disk.to_owned() })?;
    if format == "raw" {
        return Ok(disk.to_owned());
    }
    if let Some(other) = names_other_files(disk, format).map_err(|s| io_error("read", disk, s))? {
        return Err(OpenError::OtherFiles { path: disk.to_owned(), other });
    }
    let raw = work.join("disk.raw");
    let mut source = serde_json::json!({
        "driver": format,
        "file": { "driver": "file", "filename": disk.to_string_lossy() },
    });
    if let (true, Some(map)) = (matches!(format, "qcow2" | "vmdk"), source.as_object_mut()) {
        map.insert("backing".into(), serde_json::Value::Null);
    }
    let output = Command::new("qemu-img")
        .env("LC_ALL", "C")
        .args(["convert", "-O", "raw", "--"])
        .arg(format!("json:{source}"))
        .arg(plain(&raw))
        .output()
        .map_err(|s| io_error("run qemu-img (package qemu-utils) on", disk, s))?;
    if output.status.success() {
        return Ok(raw);
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(OpenError::Convert { path: disk.to_owned(), format, message })
}

/// Refuses a disk that makes QEMU open further files, which whoever made it has chosen.
///
/// # Errors
/// [`OpenError::OtherFiles`], and others when it cannot be read or is no disk.
pub fn whole(disk: &Path) -> Result<(), OpenError> {
    let format = sniff(disk)
        .map_err(|s| io_error("read", disk, s))?
        .ok_or_else(|| OpenError::Unknown { path: disk.to_owned() })?;
    match names_other_files(disk, format).map_err(|s| io_error("read", disk, s))? {
        Some(other) => Err(OpenError::OtherFiles { path: disk.to_owned(), other }),
        None => Ok(()),
    }
}

/// What in a disk's header makes qemu-img open further files: a stranger's disk must not choose them.
fn names_other_files(disk: &Path, format: &str) -> io::Result<Option<&'static str>> {
    let mut head = [0; 80];
    let mut file = File::open(disk)?;
    read_up_to(&mut file, &mut head)?;
    let field = |at: usize| head.get(at..).and_then(|rest| rest.first_chunk::<8>()).copied();
    Ok(match format {
        // Version 2 ends its header at byte 72; the feature bits follow in version 3.
        "qcow2" => {
            let backing = field(8).map(u64::from_be_bytes) != Some(0);
            let version = field(0).map(u64::from_be_bytes).unwrap_or(0) & 0xffff_ffff;
            let data = field(72).map(u64::from_be_bytes).is_some_and(|bits| bits & 4 != 0);
            match (backing, version > 2 && data) {
                (true, _) => Some("a backing file"),
                (false, true) => Some("an external data file"),
                (false, false) => None,
            }
        }
        // Without a capacity the extents come from the descriptor's text.
        "vmdk" if !head.starts_with(b"KDMV") || field(12) == Some([0; 8]) => Some("extents"),
        _ => None,
    })
}

/// `qemu-img` takes a name with a colon for a protocol; one with a slash before it is a file.
fn plain(path: &Path) -> PathBuf {
    if path.is_absolute() { path.to_owned() } else { Path::new(".").join(path) }
}

/// Which format a disk has, by its bytes: a raw disk has a GPT in its second sector.
fn sniff(disk: &Path) -> io::Result<Option<&'static str>> {
    let mut file = File::open(disk)?;
    let mut head = [0; 1024];
    let length = read_up_to(&mut file, &mut head)?;
    let head = head.get(..length).unwrap_or_default();
    let size = file.metadata()?.len();
    Ok(if head.starts_with(b"QFI\xfb") {
        Some("qcow2")
    } else if head.starts_with(b"KDMV") || head.starts_with(b"# Disk DescriptorFile") {
        Some("vmdk")
    } else if head.starts_with(b"conectix")
        || (size >= 512 && tail(&mut file)?.starts_with(b"conectix"))
    {
        Some("vpc")
    } else if head.get(512..520) == Some(b"EFI PART".as_slice()) {
        Some("raw")
    } else {
        None
    })
}

fn tail(file: &mut File) -> io::Result<[u8; 8]> {
    let mut bytes = [0; 8];
    file.seek(SeekFrom::End(-512))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// What follows the end of a tar is padding.
fn only_zeros(rest: &mut impl Read) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = rest.read(&mut buffer)?;
        match buffer.get(..read) {
            None | Some([]) => return Ok(()),
            Some(bytes) if bytes.iter().all(|byte| *byte == 0) => {}
            Some(_) => return Err(io::Error::other("bytes after the end of the archive")),
        }
    }
}

/// Reports how much of a file was read, once every 16 MiB.
struct Counted<'a, R> {
    inner: R,
    done: u64,
    total: u64,
    progress: Progress<'a>,
}

impl<R: BufRead> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count(read);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.inner.consume(amount);
        self.count(amount);
    }
}

impl<R> Counted<'_, R> {
    fn count(&mut self, bytes: usize) {
        let before = self.done >> 24;
        self.done += bytes as u64;
        if self.done >> 24 != before {
            (self.progress)(Event::Bytes { done: self.done, total: self.total });
        }
    }
}

fn copy_hashed(from: &mut impl Read, to: &Path) -> io::Result<String> {
    let mut file = File::create(to)?;
    let mut hash = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    let mut buffer = vec![0; 1 << 18];
    loop {
        let read = from.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        hash.update(bytes);
        file.write_all(bytes)?;
    }
    Ok(hex::encode(hash.finish()))
}

/// Copies, leaving holes where there are zeros.
fn copy_sparse(from: &mut impl Read, to: &Path) -> io::Result<()> {
    let mut file = File::create(to)?;
    let mut buffer = vec![0; 1 << 16];
    let mut size = 0;
    loop {
        let read = read_up_to(from, &mut buffer)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        if bytes.iter().fold(0, |sum, byte| sum | byte) == 0 {
            file.seek(SeekFrom::Current(i64::try_from(read).unwrap_or(0)))?;
        } else {
            file.write_all(bytes)?;
        }
        size += read as u64;
        if size > DISK_LIMIT {
            return Err(io::Error::other(format!("disk is larger than {DISK_LIMIT} bytes")));
        }
    }
    file.set_len(size)
}

/// Fills `buffer` as far as `from` has bytes; gives how many.
///
/// # Errors
/// When reading fails.
pub fn read_up_to(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> OpenError {
    OpenError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wrap::{self, Image, Members};

    /// A disk that is a GPT header and nothing else: enough to be told apart.
    fn tiny_disk(path: &Path) {
        let mut bytes = vec![0; 1 << 20];
        bytes[512..520].copy_from_slice(b"EFI PART");
        bytes[4096] = 7;
        std::fs::write(path, bytes).unwrap();
    }

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
    fn every_format_comes_back_raw_and_none_may_name_other_files() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let disk = at("source.raw");
        tiny_disk(&disk);
        let qemu_img = |arguments: &[&str]| {
            let status = Command::new("qemu-img")
                .current_dir(dir.path())
                .args(arguments)
                .stdout(std::process::Stdio::null())
                .status()
                .unwrap();
            assert!(status.success(), "{arguments:?}");
        };
        let forms = [
            ("a.qcow2", ["qcow2", "compat=1.1"]),
            ("b.qcow2", ["qcow2", "compat=0.10"]),
            ("c.vhd", ["vpc", "subformat=fixed,force_size=on"]),
            ("d.vhd", ["vpc", "subformat=dynamic,force_size=on"]),
            ("e.vmdk", ["vmdk", "subformat=streamOptimized"]),
        ];
        for (name, [format, options]) in forms {
            qemu_img(&["convert", "-O", format, "-o", options, "source.raw", name]);
            let work = at(&format!("{name}.work"));
            std::fs::create_dir(&work).unwrap();
            let Content::Disk(raw) = open(&at(name), &work).unwrap().content else { panic!() };
            assert_eq!(std::fs::read(raw).unwrap(), std::fs::read(&disk).unwrap(), "{name}");
        }
        qemu_img(&["create", "-q", "-f", "qcow2", "-b", "source.raw", "-F", "raw", "f.qcow2"]);
        let data = "data_file=secret.data,data_file_raw=on";
        qemu_img(&["create", "-q", "-f", "qcow2", "-o", data, "g.qcow2", "1M"]);
        std::fs::write(at("h.vmdk"), "# Disk DescriptorFile\nRW 1 FLAT \"source.raw\" 0\n")
            .unwrap();
        for name in ["f.qcow2", "g.qcow2", "h.vmdk"] {
            let error = open(&at(name), dir.path()).unwrap_err();
            assert!(matches!(error, OpenError::OtherFiles { .. }), "{name}: {error}");
        }
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
