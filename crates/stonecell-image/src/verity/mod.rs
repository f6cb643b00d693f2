//! dm-verity: a hash tree over the root file system, and the check of one.
//!
//! The format is that of `veritysetup format` with its defaults (cryptsetup
//! `docs/on-disk-format-verity`, the kernel's `Documentation/admin-guide/device-mapper/verity.rst`): a
//! superblock of version 1, hash type 1 (salt before the block), SHA-256, blocks of 4096 bytes. For the same
//! salt and UUID the bytes are the same. Writing and checking read block by block on all processors; the
//! memory used does not grow with the image.

mod geometry;
mod superblock;
mod verify;
mod write;

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

pub use geometry::Geometry;
pub use superblock::Superblock;
pub use superblock::SuperblockError;
pub use verify::VerityError;
pub use verify::verify;
pub use write::BuildVerityError;
pub use write::build_verity;

/// Bytes of one data block and one hash block.
pub const BLOCK: u64 = 4096;
const BLOCK_BYTES: usize = 4096;
/// Bytes of one SHA-256 digest.
const DIGEST: usize = 32;
/// Digests in one hash block.
const FAN_OUT: u64 = 128;
/// Bytes of the blocks whose digests fill one hash block.
const SPAN: usize = 128 * BLOCK_BYTES;

/// The first `blocks` blocks of a buffer of [`SPAN`] bytes; all of it for more.
fn first_blocks(buffer: &mut [u8], blocks: u64) -> &mut [u8] {
    let bytes = usize::try_from(blocks * BLOCK).map_or(buffer.len(), |n| n.min(buffer.len()));
    buffer.get_mut(..bytes).unwrap_or_default()
}

/// The digest at the top of the tree, over everything below it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RootHash(pub [u8; DIGEST]);

impl RootHash {
    /// UUID of the root partition: the first 128 bits (Discoverable Partitions Specification).
    pub fn root_uuid(&self) -> Uuid {
        self.half(0)
    }

    /// UUID of the verity partition: the last 128 bits.
    pub fn verity_uuid(&self) -> Uuid {
        self.half(16)
    }

    fn half(&self, start: usize) -> Uuid {
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(self.0.iter().skip(start)) {
            *to = *from;
        }
        Uuid::from_bytes(bytes)
    }
}

impl fmt::Display for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootHash({self})")
    }
}

/// Text that is not 64 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("root hash {text:?} is not 64 hexadecimal digits")]
pub struct RootHashError {
    /// The text.
    text: String,
}

impl FromStr for RootHash {
    type Err = RootHashError;

    fn from_str(text: &str) -> Result<Self, RootHashError> {
        let mut bytes = [0; DIGEST];
        hex::decode_to_slice(text, &mut bytes)
            .map_err(|_| RootHashError { text: text.to_owned() })?;
        Ok(Self(bytes))
    }
}

/// Salted SHA-256 of one block (hash type 1: the salt comes first).
fn digest(salt: &[u8], block: &[u8]) -> [u8; DIGEST] {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(salt);
    context.update(block);
    let mut out = [0; DIGEST];
    for (to, from) in out.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_hash_splits_into_two_uuids() {
        let hash: RootHash =
            "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef".parse().unwrap();
        assert_eq!(hash.root_uuid().to_string(), "00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!(hash.verity_uuid().to_string(), "01234567-89ab-cdef-0123-456789abcdef");
        assert!("00".parse::<RootHash>().is_err());
    }
}
