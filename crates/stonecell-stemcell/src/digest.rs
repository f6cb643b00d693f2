//! The digest by which an output is signed: of the whole file, or, for a raw disk, of its pieces.
//!
//! A raw disk is 1.5 GB of which nine tenths are holes; SHA-256 of all of it costs more than building it
//! (ADR 10). So a raw disk is signed by the list of the SHA-256 of each MiB. A hole's is known, the others are
//! taken on all processors. The list binds every byte, and any machine with coreutils makes it:
//!
//! ```text
//! split -b 1M --filter=sha256sum DISK
//! ```

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rayon::prelude::*;
use ring::digest::{SHA256, digest};
use serde::Serialize;
use stonecell_image::lanes;
use stonecell_image::sparse::next_data;

use crate::signature;

/// Bytes of a piece; the last may be shorter.
pub const PIECE: u64 = 1 << 20;
/// Pieces that are read together: as many as are hashed side by side.
const GROUP: usize = 16;

/// What was hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Of {
    /// The file.
    File,
    /// The list of its pieces' digests.
    Pieces,
}

impl Of {
    /// Its name in an in-toto digest set.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "sha256",
            Self::Pieces => "sha256OfPieces1MiB",
        }
    }

    /// The SSHSIG namespace: a list is never taken for a file with the same bytes.
    #[must_use]
    pub fn namespace(self) -> &'static str {
        match self {
            Self::File => signature::NAMESPACE,
            Self::Pieces => "stonecell-pieces",
        }
    }

    /// The one of this namespace.
    #[must_use]
    pub fn of_namespace(namespace: &str) -> Option<Self> {
        [Self::File, Self::Pieces].into_iter().find(|of| of.namespace() == namespace)
    }

    /// SHA-256 of the file at `path`, or of the list.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn take(self, path: &Path) -> io::Result<[u8; 32]> {
        let digest = match self {
            Self::File => signature::digest_of(path, &SHA256)?,
            Self::Pieces => digest(&SHA256, pieces(&File::open(path)?)?.as_bytes()),
        };
        digest.as_ref().try_into().map_err(io::Error::other)
    }
}

/// Digests of pieces, each with the number of its piece.
type Numbered = Vec<(u64, [u8; 32])>;

/// The list: for each piece what `sha256sum` prints of its standard input.
///
/// # Errors
/// When the file cannot be read.
pub fn pieces(file: &File) -> io::Result<String> {
    let size = file.metadata()?.len();
    let (whole, rest) = (size / PIECE, size % PIECE);
    let mut digests = vec![*hole(); usize::try_from(whole).map_err(io::Error::other)?];
    let taken: io::Result<Vec<Numbered>> = with_data(file, whole)?
        .par_chunks(GROUP)
        .map(|group| {
            let piece = usize::try_from(PIECE).map_err(io::Error::other)?;
            let mut bytes = vec![0; piece * group.len()];
            for (number, place) in group.iter().zip(bytes.chunks_exact_mut(piece)) {
                file.read_exact_at(place, number * PIECE)?;
            }
            let digests = lanes::digests(&[], &bytes, piece);
            Ok(group.iter().copied().zip(digests).collect())
        })
        .collect();
    for (number, digest) in taken?.into_iter().flatten() {
        if let Some(place) = usize::try_from(number).ok().and_then(|at| digests.get_mut(at)) {
            *place = digest;
        }
    }
    if rest > 0 {
        let mut bytes = vec![0; usize::try_from(rest).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, whole * PIECE)?;
        digests.extend(lanes::digests(&[], &bytes, bytes.len()));
    }
    Ok(digests.iter().flat_map(|digest| [hex::encode(digest), "  -\n".to_owned()]).collect())
}

/// Numbers of the whole pieces that are not altogether holes.
fn with_data(file: &File, whole: u64) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    let mut number = 0;
    while let Some(data) = next_data(file, number * PIECE..whole * PIECE)? {
        number = data.end.div_ceil(PIECE);
        found.extend(data.start / PIECE..number);
    }
    Ok(found)
}

/// The digest of a piece of zeros.
fn hole() -> &'static [u8; 32] {
    static HOLE: std::sync::LazyLock<[u8; 32]> = std::sync::LazyLock::new(|| {
        let zeros = vec![0; usize::try_from(PIECE).unwrap_or(0)];
        lanes::digests(&[], &zeros, zeros.len()).first().copied().unwrap_or_default()
    });
    &HOLE
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_list_is_that_of_coreutils_and_holes_do_not_show() {
        let dir = tempfile::tempdir().unwrap();
        let (sparse, dense) = (dir.path().join("sparse"), dir.path().join("dense"));
        let size = 19 * PIECE + 4321;
        for (path, holes) in [(&sparse, true), (&dense, false)] {
            let file = File::create(path).unwrap();
            file.set_len(size).unwrap();
            if !holes {
                file.write_all_at(&vec![0; usize::try_from(size).unwrap()], 0).unwrap();
            }
            for at in [5, 3 * PIECE - 1, 7 * PIECE, 19 * PIECE + 4000] {
                file.write_all_at(b"data", at).unwrap();
            }
        }
        let list = pieces(&File::open(&sparse).unwrap()).unwrap();
        assert_eq!(list, pieces(&File::open(&dense).unwrap()).unwrap());
        let told = Command::new("split")
            .args(["-b", "1M", "--filter=sha256sum"])
            .arg(&dense)
            .env("LC_ALL", "C")
            .output()
            .unwrap();
        assert_eq!(list, String::from_utf8(told.stdout).unwrap());
        let before = Of::Pieces.take(&sparse).unwrap();
        File::options().write(true).open(&sparse).unwrap().write_all_at(b"x", 11 * PIECE).unwrap();
        assert_ne!(before, Of::Pieces.take(&sparse).unwrap());
    }
}
