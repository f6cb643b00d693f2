//! A .deb file: deb(5), read from memory, never trusted.

use std::io::{self, Read};

use thiserror::Error;

use crate::ar::{self, ArError};
use crate::tarball::{self, Entry, Kind, Limits, TarError};

/// Why a .deb is refused.
#[derive(Debug, Error)]
pub enum DebError {
    /// The outer archive.
    #[error("the .deb container is damaged")]
    Container(#[from] ArError),
    /// A required member is absent or not where deb(5) puts it.
    #[error("the .deb has no member `{0}` where the format demands it")]
    Member(&'static str),
    /// `debian-binary` names a format that we do not know.
    #[error("the .deb has format version `{0}`; expected 2.x")]
    Version(String),
    /// The member's compression is unknown.
    #[error("the member `{0}` is compressed in a way that deb(5) does not allow")]
    Compression(String),
    /// The decompressor could not be started.
    #[error("cannot start decompressing the member `{member}`")]
    Decompress {
        /// `control.tar` or `data.tar`.
        member: &'static str,
        /// Its reason.
        source: io::Error,
    },
    /// A tar inside.
    #[error("`{member}` is refused")]
    Tar {
        /// `control.tar` or `data.tar`.
        member: &'static str,
        /// Why.
        source: TarError,
    },
}

/// How a member is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Xz,
    Zstd,
}

/// An opened .deb.
#[derive(Debug, Clone, Copy)]
pub struct Deb<'a> {
    control: (Compression, &'a [u8]),
    data: (Compression, &'a [u8]),
    limits: Limits,
}

/// A file of the control archive, for example `postinst`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ControlFile {
    /// Name without a directory.
    pub name: String,
    /// Permission bits.
    pub mode: u32,
    /// Content.
    #[serde(with = "hex::serde")]
    pub data: Vec<u8>,
}

/// The control archive: dpkg keeps the largest real one (symbols files) below 4 MiB.
const CONTROL: Limits = Limits { entries: 256, bytes: 32 << 20 };
/// Real packages reach 50:1; an xz bomb starts at 1000:1.
const MOST_RATIO: u64 = 200;
const FREE_BYTES: u64 = 64 << 20;
const MOST_BYTES: u64 = 16 << 30;
const MOST_ENTRIES: usize = 500_000;
/// Memory that the threaded xz decoder may take for its blocks.
const XZ_MEMORY: u64 = 400 << 20;

/// Opens a .deb and checks its three members.
///
/// # Errors
/// [`DebError`] when the container is not deb(5) version 2.
pub fn open(bytes: &[u8]) -> Result<Deb<'_>, DebError> {
    let mut members = ar::members(bytes)?.into_iter();
    let first = members.next().ok_or(DebError::Member("debian-binary"))?;
    if first.name != "debian-binary" {
        return Err(DebError::Member("debian-binary"));
    }
    let version = String::from_utf8_lossy(first.data).trim_end().to_owned();
    if !version.starts_with("2.") {
        return Err(DebError::Version(version));
    }
    // deb(5): members whose name starts with `_` may stand before data.tar and are ignored.
    let mut members = members.filter(|member| !member.name.starts_with('_'));
    let mut next = |stem: &'static str| {
        let member = members.next().ok_or(DebError::Member(stem))?;
        let suffix = member.name.strip_prefix(stem).ok_or(DebError::Member(stem))?;
        let compression = match suffix {
            "" => Compression::None,
            ".gz" => Compression::Gzip,
            ".xz" => Compression::Xz,
            ".zst" => Compression::Zstd,
            _ => return Err(DebError::Compression(member.name.to_owned())),
        };
        Ok((compression, member.data))
    };
    let control = next("control.tar")?;
    let data = next("data.tar")?;
    let allowed = (bytes.len() as u64).saturating_mul(MOST_RATIO).saturating_add(FREE_BYTES);
    let limits = Limits { entries: MOST_ENTRIES, bytes: allowed.min(MOST_BYTES) };
    Ok(Deb { control, data, limits })
}

impl Deb<'_> {
    /// The control archive's files, sorted by name.
    ///
    /// # Errors
    /// [`DebError`] when it is damaged, too large, or has no file `control`.
    pub fn control_files(&self) -> Result<Vec<ControlFile>, DebError> {
        let mut files = Vec::new();
        walk("control.tar", self.control, CONTROL, |entry, content| {
            if matches!(entry.kind, Kind::File { .. }) && !entry.path.contains('/') {
                let mut data = Vec::new();
                content.read_to_end(&mut data)?;
                files.push(ControlFile { name: entry.path.clone(), mode: entry.mode, data });
            }
            Ok(())
        })?;
        if !files.iter().any(|file| file.name == "control") {
            return Err(DebError::Member("control"));
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    /// Hands every entry of the data archive, with its content, to `visit` in order.
    ///
    /// # Errors
    /// [`DebError`] when it is damaged, outside the limits, or `visit` fails.
    pub fn data(
        &self,
        visit: impl FnMut(&Entry, &mut dyn Read) -> io::Result<()>,
    ) -> Result<(), DebError> {
        walk("data.tar", self.data, self.limits, visit)
    }
}

fn walk(
    member: &'static str,
    (compression, bytes): (Compression, &[u8]),
    limits: Limits,
    visit: impl FnMut(&Entry, &mut dyn Read) -> io::Result<()>,
) -> Result<(), DebError> {
    let start = |source| DebError::Decompress { member, source };
    let input: Box<dyn Read + '_> = match compression {
        Compression::None => Box::new(bytes),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(bytes)),
        Compression::Zstd => {
            Box::new(zstd::stream::read::Decoder::with_buffer(bytes).map_err(start)?)
        }
        Compression::Xz => {
            let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            let stream = liblzma::stream::MtStreamBuilder::new()
                .threads(u32::try_from(threads).unwrap_or(1))
                .memlimit_threading(XZ_MEMORY)
                .memlimit_stop(XZ_MEMORY)
                .decoder()
                .map_err(|source| start(source.into()))?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(bytes, stream))
        }
    };
    // One read call of the tar walk is 512 bytes for most entries: decompress in larger steps.
    let input = io::BufReader::with_capacity(256 << 10, input);
    tarball::read(input, limits, visit).map_err(|source| DebError::Tar { member, source })
}
