//! Decompression of indexes, bounded by what the Release file promised.

use std::io::{self, Read};

use sha2::{Digest, Sha256};
use thiserror::Error;

/// How an index is compressed, by the end of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// `.xz`
    Xz,
    /// `.zst`
    Zstd,
    /// `.gz`
    Gzip,
    /// None.
    Plain,
}

impl Compression {
    /// In the order of preference: the smallest that archives offer first.
    pub(crate) const ALL: [Self; 4] = [Self::Xz, Self::Zstd, Self::Gzip, Self::Plain];

    /// End of the file's name, with its dot.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Xz => ".xz",
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
            Self::Plain => "",
        }
    }
}

/// Why an index cannot be unpacked.
#[derive(Debug, Error)]
pub enum DecompressError {
    /// The compressed stream is damaged.
    #[error("the index cannot be unpacked")]
    Stream {
        /// Why.
        source: io::Error,
    },
    /// It unpacks to something else than the Release file says.
    #[error(
        "the unpacked index has {actual_size} bytes and SHA-256 {actual}; the Release file says \
         {size} bytes and {expected}"
    )]
    Content {
        /// Bytes it should have.
        size: u64,
        /// SHA-256 it should have (hex).
        expected: String,
        /// Bytes it has, at most one more than it should.
        actual_size: u64,
        /// SHA-256 of those (hex).
        actual: String,
    },
}

/// Unpacks `packed`; the result has exactly `size` bytes and the checksum `sha256`.
pub(crate) fn decompress(
    packed: impl Read,
    compression: Compression,
    size: u64,
    sha256: &[u8; 32],
) -> Result<Vec<u8>, DecompressError> {
    let stream = |source| DecompressError::Stream { source };
    let reader: Box<dyn Read + '_> = match compression {
        Compression::Xz => Box::new(liblzma::read::XzDecoder::new_multi_decoder(packed)),
        Compression::Zstd => Box::new(zstd::Decoder::new(packed).map_err(stream)?),
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(packed)),
        Compression::Plain => Box::new(packed),
    };
    let mut content = Vec::new();
    // One byte more shows that there is more; nothing beyond it is unpacked.
    reader.take(size.saturating_add(1)).read_to_end(&mut content).map_err(stream)?;
    let actual: [u8; 32] = Sha256::digest(&content).into();
    let actual_size = content.len() as u64;
    if actual_size != size || actual != *sha256 {
        return Err(DecompressError::Content {
            size,
            expected: hex::encode(sha256),
            actual_size,
            actual: hex::encode(actual),
        });
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn pack(content: &[u8], compression: Compression) -> Vec<u8> {
        match compression {
            Compression::Xz => {
                let mut writer = liblzma::write::XzEncoder::new(Vec::new(), 1);
                writer.write_all(content).expect("memory");
                writer.finish().expect("memory")
            }
            Compression::Zstd => zstd::encode_all(content, 1).expect("memory"),
            Compression::Gzip => {
                let level = flate2::Compression::fast();
                let mut writer = flate2::write::GzEncoder::new(Vec::new(), level);
                writer.write_all(content).expect("memory");
                writer.finish().expect("memory")
            }
            Compression::Plain => content.to_vec(),
        }
    }

    #[test]
    fn every_form_unpacks_to_what_was_promised() {
        let content = b"Package: a\n".repeat(1000);
        let size = content.len() as u64;
        let sha256: [u8; 32] = Sha256::digest(&content).into();
        for form in Compression::ALL {
            let packed = pack(&content, form);
            let unpacked = decompress(packed.as_slice(), form, size, &sha256);
            assert_eq!(unpacked.expect("promised"), content, "{form:?}");
            for (size, sha256) in [(size - 1, sha256), (size + 1, sha256), (size, [0; 32])] {
                let error = decompress(packed.as_slice(), form, size, &sha256);
                assert!(matches!(error, Err(DecompressError::Content { .. })), "{form:?}");
            }
            let cut = packed.get(..packed.len() / 2).expect("half");
            assert!(decompress(cut, form, size, &sha256).is_err(), "{form:?}");
        }
    }

    #[test]
    fn a_bomb_is_not_unpacked() {
        let bomb = pack(&vec![0; 64 << 20], Compression::Zstd);
        match decompress(bomb.as_slice(), Compression::Zstd, 100, &[0; 32]) {
            Err(DecompressError::Content { actual_size, .. }) => assert_eq!(actual_size, 101),
            other => panic!("{other:?}"),
        }
    }
}
