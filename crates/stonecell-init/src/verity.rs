//! The dm-verity superblock on the hash partition, and the mapping that follows from it.
//!
//! Nothing in the superblock is trusted: whatever it says, a block is only readable if its hashes
//! lead to the root hash. The checks keep the mapping inside the two partitions and to the one
//! algorithm that Stonecell writes. Source: `cryptsetup`, `docs/on-disk-format-verity`.

use crate::cmdline::{OnCorruption, RootHash};

/// Data and hash blocks, in bytes; the page size, and the only size that Stonecell writes.
pub const BLOCK_SIZE: u32 = 4096;
/// Bytes of the superblock.
pub const SUPERBLOCK_SIZE: usize = 512;
/// Bytes of a sector, the device mapper's unit whatever the disk's.
const SECTOR: u64 = 512;

/// What the superblock says and the root hash does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// Number of data blocks.
    pub data_blocks: u64,
    /// 0 to 256 bytes, hashed before each block.
    pub salt: Vec<u8>,
}

/// Why a hash partition cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum VerityError {
    /// Not a verity partition.
    #[error("verity superblock: {0}")]
    Superblock(&'static str),
    /// The mapping would reach beyond a partition.
    #[error("verity: {blocks} blocks of {what} do not fit in its partition of {bytes} bytes")]
    TooBig {
        /// `data` or `hashes`.
        what: &'static str,
        /// Blocks of 4096 bytes.
        blocks: u64,
        /// Size of the partition.
        bytes: u64,
    },
}

/// Reads the superblock, the first 512 bytes of the hash partition.
pub fn superblock(bytes: &[u8]) -> Result<Superblock, VerityError> {
    let field = |at: usize, size: usize| {
        bytes
            .get(at..at.saturating_add(size))
            .ok_or(VerityError::Superblock("shorter than 512 bytes"))
    };
    let check = |good: bool, what| if good { Ok(()) } else { Err(VerityError::Superblock(what)) };
    let number = |at: usize, size: usize| {
        field(at, size).map(|b| b.iter().rev().fold(0_u64, |n, &byte| n << 8 | u64::from(byte)))
    };
    field(0, SUPERBLOCK_SIZE)?;
    check(field(0, 8)? == b"verity\0\0", "no signature")?;
    check(number(8, 4)? == 1, "version is not 1")?;
    check(number(12, 4)? == 1, "hash type is not 1")?;
    let algorithm = field(32, 32)?;
    let name = algorithm.split(|&b| b == 0).next().unwrap_or_default();
    check(name == b"sha256", "algorithm is not sha256")?;
    check(number(64, 4)? == u64::from(BLOCK_SIZE), "data block size is not 4096")?;
    check(number(68, 4)? == u64::from(BLOCK_SIZE), "hash block size is not 4096")?;
    let data_blocks = number(72, 8)?;
    check(data_blocks > 0, "no data blocks")?;
    let salt_size = usize::try_from(number(80, 2)?).unwrap_or(usize::MAX);
    check(salt_size <= 256, "salt is longer than 256 bytes")?;
    Ok(Superblock { data_blocks, salt: field(88, salt_size)?.to_vec() })
}

/// One line of a device-mapper table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Length of the mapped device, in sectors of 512 bytes.
    pub sectors: u64,
    /// Parameters of the `verity` target.
    pub parameters: String,
}

/// A partition as the device mapper sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// Device numbers.
    pub major: u32,
    /// See `major`.
    pub minor: u32,
    /// Size in bytes.
    pub bytes: u64,
}

/// The mapping of `data` by `hashes` under `root_hash`.
///
/// Source: kernel, `Documentation/admin-guide/device-mapper/verity.rst`. The hashes begin at block 1,
/// behind the superblock.
pub fn target(
    superblock: &Superblock,
    data: Device,
    hashes: Device,
    root_hash: &RootHash,
    on_corruption: OnCorruption,
) -> Result<Target, VerityError> {
    let fits = |what, blocks: u64, bytes| match blocks.checked_mul(u64::from(BLOCK_SIZE)) {
        Some(need) if need <= bytes => Ok(()),
        _ => Err(VerityError::TooBig { what, blocks, bytes }),
    };
    let blocks = superblock.data_blocks;
    fits("data", blocks, data.bytes)?;
    fits("hashes", hash_blocks(blocks).saturating_add(1), hashes.bytes)?;
    let salt = match superblock.salt.as_slice() {
        [] => "-".to_owned(),
        salt => hex::encode(salt),
    };
    let mode = match on_corruption {
        OnCorruption::Panic => " 1 panic_on_corruption",
        OnCorruption::Restart => " 1 restart_on_corruption",
        OnCorruption::IoError => "",
    };
    let parameters = format!(
        "1 {}:{} {}:{} {BLOCK_SIZE} {BLOCK_SIZE} {blocks} 1 sha256 {} {salt}{mode}",
        data.major,
        data.minor,
        hashes.major,
        hashes.minor,
        root_hash.hex(),
    );
    Ok(Target { sectors: blocks.saturating_mul(u64::from(BLOCK_SIZE) / SECTOR), parameters })
}

/// Blocks of a hash tree over `data_blocks`: 128 digests of 32 bytes in a block, level by level.
fn hash_blocks(data_blocks: u64) -> u64 {
    let mut level = data_blocks;
    let mut total = 0_u64;
    while level > 1 {
        level = level.div_ceil(u64::from(BLOCK_SIZE) / 32);
        total = total.saturating_add(level);
    }
    total
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HASH: &str = "00112233445566778899aabbccddeefff0e0d0c0b0a090807060504030201000";

    fn good() -> Vec<u8> {
        let mut bytes = vec![0; 512];
        bytes[..8].copy_from_slice(b"verity\0\0");
        bytes[8] = 1;
        bytes[12] = 1;
        bytes[32..38].copy_from_slice(b"sha256");
        bytes[64..68].copy_from_slice(&4096_u32.to_le_bytes());
        bytes[68..72].copy_from_slice(&4096_u32.to_le_bytes());
        bytes[72..80].copy_from_slice(&256_u64.to_le_bytes());
        bytes[80] = 2;
        bytes[88..90].copy_from_slice(&[0xab, 0xcd]);
        bytes
    }

    fn device(minor: u32, bytes: u64) -> Device {
        Device { major: 254, minor, bytes }
    }

    #[test]
    fn the_table_line_is_the_kernels() {
        let block = superblock(&good()).unwrap();
        let hash = RootHash::parse(HASH).unwrap();
        let line =
            |mode| target(&block, device(2, 1 << 20), device(3, 4 * 4096), &hash, mode).unwrap();
        assert_eq!(
            line(OnCorruption::Panic),
            Target {
                sectors: 2048,
                parameters: format!(
                    "1 254:2 254:3 4096 4096 256 1 sha256 {HASH} abcd 1 panic_on_corruption"
                ),
            }
        );
        assert!(line(OnCorruption::Restart).parameters.ends_with(" abcd 1 restart_on_corruption"));
        assert!(line(OnCorruption::IoError).parameters.ends_with(" abcd"));
    }

    #[test]
    fn a_mapping_beyond_a_partition_is_refused() {
        let block = superblock(&good()).unwrap();
        let hash = RootHash::parse(HASH).unwrap();
        let mode = OnCorruption::Panic;
        let small = target(&block, device(2, (1 << 20) - 1), device(3, 1 << 20), &hash, mode);
        assert!(matches!(small, Err(VerityError::TooBig { what: "data", .. })));
        // 256 data blocks need 2 + 1 hash blocks and the superblock's.
        let small = target(&block, device(2, 1 << 20), device(3, 4 * 4096 - 1), &hash, mode);
        assert!(matches!(small, Err(VerityError::TooBig { what: "hashes", .. })));
        let huge = Superblock { data_blocks: u64::MAX, salt: vec![] };
        assert!(target(&huge, device(2, u64::MAX), device(3, u64::MAX), &hash, mode).is_err());
    }

    #[test]
    fn every_field_is_checked() {
        for at in [0, 8, 12, 32, 37, 38, 64, 68] {
            let mut bytes = good();
            bytes[at] ^= 0x41;
            assert!(superblock(&bytes).is_err(), "byte {at}");
        }
        let mut bytes = good();
        bytes[80..82].copy_from_slice(&257_u16.to_le_bytes());
        assert_eq!(
            superblock(&bytes),
            Err(VerityError::Superblock("salt is longer than 256 bytes"))
        );
        assert!(superblock(&good()[..511]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = superblock(&bytes);
        }

        #[test]
        fn no_fields_panic(fields in proptest::collection::vec(any::<u8>(), 440), size: u64) {
            let mut bytes = good();
            bytes[72..512].copy_from_slice(&fields[..440]);
            if let Ok(block) = superblock(&bytes) {
                let hash = RootHash::parse(HASH).unwrap();
                let _ = target(&block, device(1, size), device(2, size), &hash, OnCorruption::Panic);
            }
        }
    }
}
