//! Making the hash tree.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rayon::prelude::*;
use uuid::Uuid;

use super::BLOCK;
use super::BLOCK_BYTES;
use super::DIGEST;
use super::FAN_OUT;
use super::Geometry;
use super::RootHash;
use super::SPAN;
use super::Superblock;
use super::SuperblockError;
use super::digest;
use super::first_blocks;
use crate::lanes;
use crate::source::Source;

/// Why there is no hash tree.
#[derive(Debug, thiserror::Error)]
pub enum BuildVerityError {
    /// The data is not whole blocks.
    #[error("the data of {size} bytes is not a positive multiple of 4096")]
    Size {
        /// Bytes of data.
        size: u64,
    },
    /// A salt that the superblock cannot hold.
    #[error("cannot write the verity superblock")]
    Superblock(#[source] SuperblockError),
    /// The data could not be read.
    #[error("cannot read the data at byte {offset}")]
    Read {
        /// Byte in the data.
        offset: u64,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The tree could not be written or read again.
    #[error("cannot write the hash tree at byte {offset}")]
    Write {
        /// Byte in the hash tree.
        offset: u64,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Writes the superblock and the hash tree over `data` into `hash`, from `hash_offset` on.
///
/// The range of [`Geometry::hash_bytes`] bytes must read as zeros before or be new.
pub fn build_verity(
    data: &dyn Source,
    hash: &File,
    hash_offset: u64,
    salt: &[u8],
    uuid: Uuid,
) -> Result<RootHash, BuildVerityError> {
    let size = data.size();
    if size == 0 || !size.is_multiple_of(BLOCK) {
        return Err(BuildVerityError::Size { size });
    }
    let geometry = Geometry::new(size / BLOCK);
    let superblock = Superblock { uuid, data_blocks: geometry.data_blocks, salt: salt.to_vec() };
    let superblock = superblock.to_bytes().map_err(BuildVerityError::Superblock)?;
    let write_error = |offset| move |source| BuildVerityError::Write { offset, source };
    // The whole block, so that a new file is never shorter than the superblock promises.
    let mut first = [0; BLOCK_BYTES];
    for (to, from) in first.iter_mut().zip(superblock) {
        *to = from;
    }
    hash.write_all_at(&first, hash_offset).map_err(write_error(0))?;

    // The digests of one hash block's children, written as that block. The top level's own digest remains.
    let mut below: Option<(u64, u64)> = None;
    for level in geometry.levels() {
        let children = below.map_or(geometry.data_blocks, |(_, blocks)| blocks);
        (0..level.blocks).into_par_iter().try_for_each_init(
            || vec![0; SPAN],
            |buffer, index| {
                let first = index * FAN_OUT;
                let count = FAN_OUT.min(children - first);
                let bytes = first_blocks(buffer, count);
                match below {
                    None => data.read_at(bytes, first * BLOCK).map_err(|source| {
                        BuildVerityError::Read { offset: first * BLOCK, source }
                    })?,
                    Some((first_block, _)) => {
                        let offset = (first_block + first) * BLOCK;
                        hash.read_exact_at(bytes, hash_offset + offset)
                            .map_err(write_error(offset))?;
                    }
                }
                let offset = (level.first_block + index) * BLOCK;
                hash.write_all_at(&hash_block(salt, bytes), hash_offset + offset)
                    .map_err(write_error(offset))
            },
        )?;
        below = Some((level.first_block, level.blocks));
    }
    let mut top = [0; BLOCK_BYTES];
    match below {
        None => data
            .read_at(&mut top, 0)
            .map_err(|source| BuildVerityError::Read { offset: 0, source })?,
        Some((first_block, _)) => hash
            .read_exact_at(&mut top, hash_offset + first_block * BLOCK)
            .map_err(write_error(first_block * BLOCK))?,
    }
    Ok(RootHash(digest(salt, &top)))
}

/// One hash block: the digests of `children`, then zeros.
fn hash_block(salt: &[u8], children: &[u8]) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    let digests = lanes::digests(salt, children, BLOCK_BYTES);
    for (slot, digest) in block.chunks_exact_mut(DIGEST).zip(digests) {
        slot.copy_from_slice(&digest);
    }
    block
}
