//! Where each level of the hash tree lies.
//!
//! Block 0 of the hash device is the superblock; then come the levels, the top one first. A level has one
//! digest for each block of the level below it (or of the data).

use super::BLOCK;
use super::FAN_OUT;

/// The levels of a tree over a number of data blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Geometry {
    /// Number of data blocks.
    pub data_blocks: u64,
    /// Levels from the one just above the data to the top.
    levels: Vec<Level>,
}

/// One level, in blocks of the hash device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) first_block: u64,
    pub(super) blocks: u64,
}

impl Geometry {
    /// The tree over `data_blocks` blocks. A single data block has no level: its digest is the root hash.
    pub fn new(data_blocks: u64) -> Self {
        let mut sizes = Vec::new();
        let mut below = data_blocks;
        while below > 1 {
            below = below.div_ceil(FAN_OUT);
            sizes.push(below);
        }
        let mut next = 1;
        let mut levels: Vec<Level> = sizes
            .iter()
            .rev()
            .map(|&blocks| {
                let first_block = next;
                next += blocks;
                Level { first_block, blocks }
            })
            .collect();
        levels.reverse();
        Self { data_blocks, levels }
    }

    /// Bytes of the hash device: superblock and all levels.
    pub fn hash_bytes(&self) -> u64 {
        (1 + self.levels.iter().map(|level| level.blocks).sum::<u64>()) * BLOCK
    }

    pub(super) fn levels(&self) -> &[Level] {
        &self.levels
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn small_trees() {
        assert_eq!(Geometry::new(1).levels(), []);
        assert_eq!(Geometry::new(128).levels(), [Level { first_block: 1, blocks: 1 }]);
        assert_eq!(
            Geometry::new(129).levels(),
            [Level { first_block: 2, blocks: 2 }, Level { first_block: 1, blocks: 1 }]
        );
        assert_eq!(Geometry::new(129).hash_bytes(), 4 * BLOCK);
    }

    proptest! {
        #[test]
        fn levels_tile_the_hash_device(data_blocks in 1_u64..1 << 40) {
            let geometry = Geometry::new(data_blocks);
            let mut next = 1;
            for level in geometry.levels().iter().rev() {
                prop_assert_eq!(level.first_block, next);
                next += level.blocks;
            }
            prop_assert_eq!(next * BLOCK, geometry.hash_bytes());
            let mut below = data_blocks;
            for level in geometry.levels() {
                prop_assert!(level.blocks * FAN_OUT >= below && (level.blocks - 1) * FAN_OUT < below);
                below = level.blocks;
            }
            prop_assert_eq!(below, 1);
        }
    }
}
