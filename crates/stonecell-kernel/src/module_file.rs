//! Reading a module's file, compressed or not.
//!
//! The signature is appended to the uncompressed module, so it survives.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

/// More than any module; a compressed file cannot make us fill the memory.
const LIMIT: u64 = 256 << 20;

/// The bytes that the kernel loads.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = fs::read(path)?;
    let mut module = Vec::new();
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => {
            liblzma::read::XzDecoder::new(file.as_slice()).take(LIMIT).read_to_end(&mut module)?;
        }
        Some("zst") => {
            zstd::Decoder::new(file.as_slice())?.take(LIMIT).read_to_end(&mut module)?;
        }
        _ => return Ok(file),
    }
    Ok(module)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn every_form_gives_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let module = b"\x7fELF module ~Module signature appended~\n";
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 6);
        xz.write_all(module).unwrap();
        for (name, bytes) in [
            ("a.ko", module.to_vec()),
            ("a.ko.xz", xz.finish().unwrap()),
            ("a.ko.zst", zstd::encode_all(module.as_slice(), 3).unwrap()),
        ] {
            fs::write(dir.path().join(name), bytes).unwrap();
            assert_eq!(read(&dir.path().join(name)).unwrap(), module, "{name}");
        }
    }

    #[test]
    fn a_damaged_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.ko.xz", "a.ko.zst"] {
            fs::write(dir.path().join(name), b"damaged").unwrap();
            assert!(read(&dir.path().join(name)).is_err(), "{name}");
        }
    }
}
