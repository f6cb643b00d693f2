//! The fast form of packages: decoded once, kept as zstd with an index, read many times.
//!
//! Decoding the xz inside .debs costs more than everything else that unpacking does (ADR 3). A stored
//! package is one file, named by the .deb's SHA-256 and the format's version, written by rename:
//!
//! | bytes | content |
//! |---|---|
//! | 8 | magic with the format version |
//! | 4 | CRC-32 of all that follows, little-endian |
//! | 4 | length of the head, little-endian |
//! | head | zstd of the JSON of [`Description`] |
//! | rest | one zstd frame for each [`Piece`] |
//!
//! The checksum finds decay, not malice: the cache is trusted as its owner is. A file that does not
//! check is made again from the .deb, whose SHA-256 is checked first.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use md5::Digest;
use rayon::prelude::*;
use sha2::Sha256;
use stonecell_definition::lock::LockedPackage;
use thiserror::Error;

use crate::control::{self, ControlError};
use crate::deb::{self, ControlFile, DebError};
use crate::package::{Content, Description, Package, Piece};
use crate::tarball::{Entry, Kind};

/// Why a package cannot be brought into or read from the store.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The store's directory or a file in it.
    #[error("cannot write `{path}` in the package cache")]
    Write {
        /// The path.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
    /// The .deb cannot be read.
    #[error("cannot read the package file `{path}`")]
    Read {
        /// The path.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
    /// The .deb is not what the lock pinned.
    #[error(
        "`{path}` has the SHA-256 {found}, but the lock pins {expected}; delete the file so that it is fetched again"
    )]
    Digest {
        /// The path.
        path: PathBuf,
        /// What the lock says.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The .deb is refused.
    #[error("package {package} is refused (its file is `{path}`)")]
    Deb {
        /// Name and version.
        package: String,
        /// The path.
        path: PathBuf,
        /// Why.
        source: DebError,
    },
    /// Its control file is refused.
    #[error("the control file of package {package} is refused (`{path}`)")]
    Control {
        /// Name and version.
        package: String,
        /// The path.
        path: PathBuf,
        /// Why.
        source: ControlError,
    },
    /// The control file names another package than the lock.
    #[error("`{path}` contains {found}, but the lock pins {expected}")]
    Identity {
        /// The path.
        path: PathBuf,
        /// Name and version in the lock.
        expected: String,
        /// Name and version in the file.
        found: String,
    },
}

/// The store.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

const MAGIC: &[u8; 8] = b"SCPKG\x00\x00\x01";
const HEAD: usize = 16;
/// Contents are compressed together up to this size; a larger file is a piece of its own.
const PIECE: u64 = 4 << 20;
const LEVEL: i32 = 3;
const MOST_HEAD: u64 = 256 << 20;

impl Store {
    /// Opens the store in `cache_dir/fast`, making it if need be.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    pub fn open(cache_dir: &Path) -> Result<Self, StoreError> {
        let dir = cache_dir.join("fast");
        fs::create_dir_all(&dir)
            .map_err(|source| StoreError::Write { path: dir.clone(), source })?;
        Ok(Self { dir })
    }

    /// Brings a .deb into the store, so that a later build finds it there; says whether it was not. Useful
    /// while other packages are still being fetched.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn prepare(&self, lock: &LockedPackage, deb: &Path) -> Result<bool, StoreError> {
        self.package(lock, deb).map(|(_, converted)| converted)
    }

    /// Reads all packages, converting those that are not stored yet; the largest start first. The
    /// result has the order of `packages`. `done` is called for each, with whether it was converted.
    ///
    /// # Errors
    /// The first [`StoreError`].
    pub(crate) fn packages(
        &self,
        packages: &[(LockedPackage, PathBuf)],
        done: &(dyn Fn(&LockedPackage, bool) + Sync),
    ) -> Result<Vec<Package>, StoreError> {
        let mut order: Vec<usize> = (0..packages.len()).collect();
        order.sort_by_key(|at| std::cmp::Reverse(packages.get(*at).map(|(lock, _)| lock.size)));
        let mut loaded: Vec<(usize, Package)> = order
            .par_iter()
            .with_max_len(1)
            .filter_map(|at| packages.get(*at).map(|package| (*at, package)))
            .map(|(at, (lock, deb))| {
                let (package, converted) = self.package(lock, deb)?;
                done(lock, converted);
                Ok((at, package))
            })
            .collect::<Result<_, StoreError>>()?;
        loaded.sort_by_key(|(at, _)| *at);
        Ok(loaded.into_iter().map(|(_, package)| package).collect())
    }

    /// Reads one package; converts it when it is absent or damaged. Says whether it converted.
    fn package(&self, lock: &LockedPackage, deb: &Path) -> Result<(Package, bool), StoreError> {
        let file = self.file(&lock.sha256);
        match read(&file) {
            Some(package) => identify(&package, lock, deb).map(|()| (package, false)),
            None => convert(&file, lock, deb).map(|package| (package, true)),
        }
    }

    fn file(&self, sha256: &str) -> PathBuf {
        // The digest comes from the lock, which is input: only hex may become a path.
        let safe: String = sha256.chars().filter(char::is_ascii_hexdigit).collect();
        self.dir.join(safe.get(..2).unwrap_or("00")).join(safe)
    }
}

/// The stored form, if it is whole. Anything else is as good as absent.
fn read(path: &Path) -> Option<Package> {
    let mut file = fs::File::open(path).ok()?;
    let mut head = [0_u8; HEAD];
    file.read_exact(&mut head).ok()?;
    let word = |at: usize| -> Option<u32> {
        Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?))
    };
    if head.get(..8)? != MAGIC {
        return None;
    }
    let (crc, length) = (word(8)?, word(12)?);
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head.get(12..)?);
    let mut description = Vec::new();
    (&mut file).take(u64::from(length)).read_to_end(&mut description).ok()?;
    hasher.update(&description);
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer).ok()? {
            0 => break,
            count => hasher.update(buffer.get(..count)?),
        }
    }
    if hasher.finalize() != crc {
        return None;
    }
    let json = zstd::stream::read::Decoder::with_buffer(description.as_slice()).ok()?;
    let mut text = Vec::new();
    json.take(MOST_HEAD).read_to_end(&mut text).ok()?;
    let description: Description = serde_json::from_slice(&text).ok()?;
    let start = HEAD as u64 + u64::from(length);
    Package::new(description, Content::Stored { file: path.to_owned(), start }).ok()
}

fn convert(target: &Path, lock: &LockedPackage, path: &Path) -> Result<Package, StoreError> {
    let bytes =
        fs::read(path).map_err(|source| StoreError::Read { path: path.to_owned(), source })?;
    let found = hex::encode(Sha256::digest(&bytes));
    if found != lock.sha256 {
        return Err(StoreError::Digest {
            path: path.to_owned(),
            expected: lock.sha256.clone(),
            found,
        });
    }
    let (description, frames) = decode(&bytes).map_err(|source| StoreError::Deb {
        package: named(lock),
        path: path.to_owned(),
        source,
    })?;
    let control =
        |source| StoreError::Control { package: named(lock), path: path.to_owned(), source };
    let description = description.map_err(control)?;
    let write = |source| StoreError::Write { path: target.to_owned(), source };
    let mut package = Package::new(description, Content::Memory(Vec::new())).map_err(control)?;
    identify(&package, lock, path)?;
    let start = save(target, &package.description, &frames).map_err(write)?;
    package.content = Content::Stored { file: target.to_owned(), start };
    Ok(package)
}

fn identify(package: &Package, lock: &LockedPackage, path: &Path) -> Result<(), StoreError> {
    if package.name == lock.name && package.version == lock.version {
        return Ok(());
    }
    Err(StoreError::Identity {
        path: path.to_owned(),
        expected: named(lock),
        found: format!("{} {}", package.name, package.version),
    })
}

/// Name and version in the lock.
fn named(lock: &LockedPackage) -> String {
    format!("{} {}", lock.name, lock.version)
}

type Decoded = (Result<Description, ControlError>, Vec<u8>);

/// Reads a whole .deb into its description and the compressed frames of its contents.
///
/// # Errors
/// [`DebError`]; a bad control file is in the inner result.
fn decode(bytes: &[u8]) -> Result<Decoded, DebError> {
    let deb = deb::open(bytes)?;
    let mut files = deb.control_files()?;
    let mut writer = PieceWriter::default();
    let mut entries: Vec<Entry> = Vec::new();
    let mut sums = String::new();
    deb.data(|entry, content| {
        if let Kind::File { size } = entry.kind {
            let sum = writer.add(entries.len(), size, content)?;
            sums.push_str(&format!("{sum}  {}\n", entry.path));
        }
        entries.push(entry.clone());
        Ok(())
    })?;
    let pieces_error = |source| DebError::Decompress { member: "data.tar", source };
    let (pieces, frames) = writer.finish().map_err(pieces_error)?;
    // dpkg makes the list itself for a package without one (lib/dpkg/db-fsys-digest.c).
    if !files.iter().any(|file| file.name == "md5sums") {
        files.push(ControlFile { name: "md5sums".into(), mode: 0o644, data: sums.into_bytes() });
    }
    let control = files
        .iter()
        .position(|file| file.name == "control")
        .map(|at| files.remove(at).data)
        .unwrap_or_default();
    let control = control::parse(&control)
        .and_then(|stanzas| stanzas.into_iter().next().ok_or(ControlError::Missing("Package")));
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((control.map(|control| Description { control, files, entries, pieces }), frames))
}

/// Writes the stored form; returns where its frames start.
fn save(target: &Path, description: &Description, frames: &[u8]) -> io::Result<u64> {
    let json = zstd::bulk::compress(&serde_json::to_vec(description)?, LEVEL)?;
    let length = u32::try_from(json.len()).map_err(io::Error::other)?;
    let mut hasher = crc32fast::Hasher::new();
    for part in [&length.to_le_bytes()[..], &json, frames] {
        hasher.update(part);
    }
    let dir = target.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    for part in [MAGIC, &hasher.finalize().to_le_bytes()[..], &length.to_le_bytes(), &json, frames]
    {
        file.write_all(part)?;
    }
    file.persist(target).map_err(|error| error.error)?;
    Ok((HEAD + json.len()) as u64)
}

/// Cuts contents into pieces and compresses each.
#[derive(Default)]
struct PieceWriter {
    pieces: Vec<Piece>,
    frames: Vec<u8>,
    open: Option<(Piece, u64, zstd::stream::write::Encoder<'static, Vec<u8>>)>,
}

impl PieceWriter {
    /// Adds a file's content; returns its MD5 (hex), which dpkg wants.
    fn add(&mut self, entry: usize, size: u64, content: &mut dyn Read) -> io::Result<String> {
        if self.open.as_ref().is_some_and(|(_, bytes, _)| bytes + size > PIECE) {
            self.close()?;
        }
        let (piece, bytes, encoder) = match &mut self.open {
            Some(open) => open,
            none => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), LEVEL)?;
                encoder.include_checksum(true)?;
                let offset = self.frames.len() as u64;
                none.insert((Piece { first: entry, end: entry, offset, length: 0 }, 0, encoder))
            }
        };
        piece.end = entry + 1;
        *bytes += size;
        let mut md5 = md5::Md5::new();
        let mut buffer = vec![0; usize::try_from(size.clamp(1, 128 << 10)).unwrap_or(1)];
        let mut left = size;
        while left > 0 {
            let count = content.read(&mut buffer)?;
            let part = buffer.get(..count).unwrap_or_default();
            if part.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            md5.update(part);
            encoder.write_all(part)?;
            left -= count as u64;
        }
        Ok(hex::encode(md5.finalize()))
    }

    fn close(&mut self) -> io::Result<()> {
        if let Some((mut piece, _, encoder)) = self.open.take() {
            let frame = encoder.finish()?;
            piece.length = frame.len() as u64;
            self.frames.extend(frame);
            self.pieces.push(piece);
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<(Vec<Piece>, Vec<u8>)> {
        self.close()?;
        Ok((self.pieces, self.frames))
    }
}
