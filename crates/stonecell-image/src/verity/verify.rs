//! Checking data against its hash tree and root hash, naming the first byte range that is wrong.

use std::io;

use rayon::prelude::*;

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
use super::geometry::Level;
use super::superblock;
use crate::lanes;
use crate::source::Source;

/// Why data and tree are not what the root hash promises.
#[derive(Debug, thiserror::Error)]
pub enum VerityError {
    /// The hash device does not begin with a superblock of ours.
    #[error("the hash tree cannot be used")]
    Superblock(#[source] SuperblockError),
    /// The superblock promises more than there is.
    #[error("the {what} has {actual} bytes, but the superblock speaks of {expected}")]
    Short {
        /// Data or hash tree.
        what: &'static str,
        /// Bytes promised.
        expected: u64,
        /// Bytes there.
        actual: u64,
    },
    /// The top of the tree is not the one expected.
    #[error("the hash tree has root hash {actual}, expected {expected}")]
    RootHash {
        /// The one asked for.
        expected: RootHash,
        /// The one there.
        actual: RootHash,
    },
    /// A block of the tree was changed.
    #[error("the hash tree is corrupt in the 4096 bytes at {offset}")]
    HashBlock {
        /// Byte in the hash device.
        offset: u64,
    },
    /// A block of the data was changed.
    #[error("the data is corrupt in the 4096 bytes at {offset}")]
    DataBlock {
        /// Byte in the data.
        offset: u64,
    },
    /// The bytes could not be read.
    #[error("cannot read the {what} at byte {offset}")]
    Read {
        /// Data or hash tree.
        what: &'static str,
        /// Byte in it.
        offset: u64,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Checks the tree from the top down, then the data. The first fault in this order is the error.
pub fn verify(
    data: &dyn Source,
    hash: &dyn Source,
    root_hash: &RootHash,
) -> Result<(), VerityError> {
    let mut first = [0; superblock::SIZE];
    hash.read_at(&mut first, 0).map_err(|source| VerityError::Read {
        what: "hash tree",
        offset: 0,
        source,
    })?;
    let superblock = Superblock::from_bytes(&first).map_err(VerityError::Superblock)?;
    let geometry = Geometry::new(superblock.data_blocks);
    let enough = |what, expected, actual| {
        if actual < expected { Err(VerityError::Short { what, expected, actual }) } else { Ok(()) }
    };
    enough("data", superblock.data_blocks * BLOCK, data.size())?;
    enough("hash tree", geometry.hash_bytes(), hash.size())?;

    let salt = superblock.salt.as_slice();
    let top = match geometry.levels().last() {
        None => read_block(data, "data", 0)?,
        Some(level) => read_block(hash, "hash tree", level.first_block * BLOCK)?,
    };
    let actual = RootHash(digest(salt, &top));
    if actual != *root_hash {
        return Err(VerityError::RootHash { expected: *root_hash, actual });
    }
    for pair in geometry.levels().windows(2).rev() {
        if let [lower, upper] = pair {
            check_level(hash, upper, &HashLevel { hash, level: *lower }, lower.blocks, salt)?;
        }
    }
    if let Some(lowest) = geometry.levels().first() {
        check_level(hash, lowest, &DataLevel { data }, superblock.data_blocks, salt)?;
    }
    Ok(())
}

fn read_block(
    source: &dyn Source,
    what: &'static str,
    offset: u64,
) -> Result<[u8; BLOCK_BYTES], VerityError> {
    let mut block = [0; BLOCK_BYTES];
    source.read_at(&mut block, offset).map_err(|source| VerityError::Read {
        what,
        offset,
        source,
    })?;
    Ok(block)
}

/// The blocks whose digests a level holds.
trait Children: Sync {
    fn read(&self, buffer: &mut [u8], index: u64) -> Result<(), VerityError>;
    fn corrupt(&self, index: u64) -> VerityError;
}

struct HashLevel<'a> {
    hash: &'a dyn Source,
    level: Level,
}

impl Children for HashLevel<'_> {
    fn read(&self, buffer: &mut [u8], index: u64) -> Result<(), VerityError> {
        let offset = (self.level.first_block + index) * BLOCK;
        self.hash.read_at(buffer, offset).map_err(|source| VerityError::Read {
            what: "hash tree",
            offset,
            source,
        })
    }

    fn corrupt(&self, index: u64) -> VerityError {
        VerityError::HashBlock { offset: (self.level.first_block + index) * BLOCK }
    }
}

struct DataLevel<'a> {
    data: &'a dyn Source,
}

impl Children for DataLevel<'_> {
    fn read(&self, buffer: &mut [u8], index: u64) -> Result<(), VerityError> {
        let offset = index * BLOCK;
        self.data.read_at(buffer, offset).map_err(|source| VerityError::Read {
            what: "data",
            offset,
            source,
        })
    }

    fn corrupt(&self, index: u64) -> VerityError {
        VerityError::DataBlock { offset: index * BLOCK }
    }
}

/// Compares `count` children with the digests in `level`; the lowest fault wins whatever thread finds it.
fn check_level(
    hash: &dyn Source,
    level: &Level,
    children: &dyn Children,
    count: u64,
    salt: &[u8],
) -> Result<(), VerityError> {
    let fault = (0..level.blocks)
        .into_par_iter()
        .map_init(
            || vec![0; SPAN],
            |buffer, index| {
                let offset = (level.first_block + index) * BLOCK;
                let digests = read_block(hash, "hash tree", offset)?;
                let first = index * FAN_OUT;
                let here = FAN_OUT.min(count - first);
                let bytes = first_blocks(buffer, here);
                children.read(bytes, first)?;
                let found = lanes::digests(salt, bytes, BLOCK_BYTES);
                let pairs = found.iter().zip(digests.chunks_exact(DIGEST));
                for (child, (digest, wanted)) in (first..).zip(pairs) {
                    if digest.as_slice() != wanted {
                        return Err(children.corrupt(child));
                    }
                }
                Ok(())
            },
        )
        .find_first(Result::is_err);
    fault.unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::source::FilePart;
    use crate::verity::build_verity;

    /// Blocks that each hold their own number.
    fn numbered(blocks: usize) -> Vec<u8> {
        (0..blocks).flat_map(|n| [n.to_le_bytes()[0]; BLOCK_BYTES]).collect()
    }

    fn tree(data: &Vec<u8>, salt: &[u8]) -> (Vec<u8>, RootHash) {
        let file = tempfile::tempfile().unwrap();
        let root = build_verity(data, &file, 0, salt, Uuid::nil()).unwrap();
        let part = FilePart::whole(&file).unwrap();
        (part.read_vec(0, part.size()).unwrap(), root)
    }

    #[test]
    fn a_cut_tree_and_a_cut_image_are_named() {
        let data = vec![1; 300 * BLOCK_BYTES];
        let (hash, root) = tree(&data, b"salt");
        verify(&data, &hash, &root).unwrap();
        let cut = data[..299 * BLOCK_BYTES].to_vec();
        assert!(matches!(verify(&cut, &hash, &root), Err(VerityError::Short { what: "data", .. })));
        let cut = hash[..3 * BLOCK_BYTES].to_vec();
        assert!(matches!(
            verify(&data, &cut, &root),
            Err(VerityError::Short { what: "hash tree", .. })
        ));
        assert!(matches!(
            verify(&data, &hash, &RootHash([0; 32])),
            Err(VerityError::RootHash { .. })
        ));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn one_changed_byte_of_the_data_is_found_where_it_is(
            blocks in 1_usize..300, salt in prop::collection::vec(any::<u8>(), 0..40),
            place in any::<prop::sample::Index>(), change in 1_u8..,
        ) {
            let mut data: Vec<u8> = numbered(blocks);
            let (hash, root) = tree(&data, &salt);
            prop_assert!(verify(&data, &hash, &root).is_ok());
            let at = place.index(data.len());
            data[at] ^= change;
            match verify(&data, &hash, &root) {
                Err(VerityError::DataBlock { offset }) => {
                    prop_assert_eq!(offset, at as u64 / BLOCK * BLOCK);
                }
                // A single block has no level above it.
                Err(VerityError::RootHash { .. }) => prop_assert_eq!(blocks, 1),
                other => prop_assert!(false, "{:?}", other),
            }
        }

        #[test]
        fn one_changed_byte_of_the_tree_is_found(
            blocks in 2_usize..300, place in any::<prop::sample::Index>(), change in 1_u8..,
        ) {
            let data: Vec<u8> = numbered(blocks);
            let (mut hash, root) = tree(&data, b"0123");
            let at = BLOCK_BYTES + place.index(hash.len() - BLOCK_BYTES);
            hash[at] ^= change;
            match verify(&data, &hash, &root) {
                Err(VerityError::HashBlock { offset }) => {
                    prop_assert_eq!(offset, at as u64 / BLOCK * BLOCK);
                }
                Err(VerityError::RootHash { .. }) => prop_assert!(at < 2 * BLOCK_BYTES),
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}
