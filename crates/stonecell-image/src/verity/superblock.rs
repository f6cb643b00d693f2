//! The first 512 bytes of the hash device.

use uuid::Uuid;

use super::BLOCK;

const MAGIC: &[u8; 8] = b"verity\0\0";
const ALGORITHM: &[u8] = b"sha256";
/// Longest salt that the format holds.
const MAX_SALT: usize = 256;
/// Bytes of the superblock; the rest of its block is zeros.
pub(super) const SIZE: usize = 512;

/// What the superblock says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// UUID of the hash device.
    pub uuid: Uuid,
    /// Number of data blocks.
    pub data_blocks: u64,
    /// At most 256 bytes.
    pub salt: Vec<u8>,
}

/// Why the superblock is not one that this program writes.
#[derive(Debug, thiserror::Error)]
pub enum SuperblockError {
    /// Fewer than 512 bytes.
    #[error("the verity superblock is cut short")]
    Short,
    /// Other bytes than expected.
    #[error("the verity superblock has an unknown {field}; expected {expected}")]
    Unknown {
        /// The field.
        field: &'static str,
        /// What the field has to be.
        expected: &'static str,
    },
    /// A salt longer than its room.
    #[error("the verity salt of {length} bytes is longer than 256")]
    Salt {
        /// Its length.
        length: usize,
    },
}

impl Superblock {
    /// The bytes as `veritysetup` writes them.
    pub fn to_bytes(&self) -> Result<[u8; SIZE], SuperblockError> {
        let length = self.salt.len();
        let salt_size = match u16::try_from(length) {
            Ok(size) if length <= MAX_SALT => size,
            _ => return Err(SuperblockError::Salt { length }),
        };
        let block_size = 4096_u32.to_le_bytes();
        let fields: [(usize, &[u8]); 9] = [
            (0, MAGIC),
            (8, &1_u32.to_le_bytes()),
            (12, &1_u32.to_le_bytes()),
            (16, self.uuid.as_bytes()),
            (32, ALGORITHM),
            (64, &block_size),
            (68, &block_size),
            (72, &self.data_blocks.to_le_bytes()),
            (80, &salt_size.to_le_bytes()),
        ];
        let mut bytes = [0; SIZE];
        for (offset, field) in fields.into_iter().chain([(88, self.salt.as_slice())]) {
            for (to, from) in bytes.iter_mut().skip(offset).zip(field) {
                *to = *from;
            }
        }
        Ok(bytes)
    }

    /// Reads a superblock of hash type 1 with SHA-256 and blocks of 4096 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SuperblockError> {
        let expect = |offset, wanted: &[u8], field, expected| {
            if field_at(bytes, offset, wanted.len())? == wanted {
                Ok(())
            } else {
                Err(SuperblockError::Unknown { field, expected })
            }
        };
        expect(0, MAGIC, "signature", "\"verity\"")?;
        expect(8, &1_u32.to_le_bytes(), "version", "1")?;
        expect(12, &1_u32.to_le_bytes(), "hash type", "1")?;
        let mut algorithm = [0; 32];
        for (to, from) in algorithm.iter_mut().zip(ALGORITHM) {
            *to = *from;
        }
        expect(32, &algorithm, "algorithm", "sha256")?;
        expect(64, &4096_u32.to_le_bytes(), "data block size", "4096")?;
        expect(68, &4096_u32.to_le_bytes(), "hash block size", "4096")?;
        let uuid = Uuid::from_bytes(array_at(bytes, 16)?);
        let data_blocks = u64::from_le_bytes(array_at(bytes, 72)?);
        if data_blocks == 0 || data_blocks > u64::MAX / BLOCK / 2 {
            return Err(SuperblockError::Unknown {
                field: "number of data blocks",
                expected: "more than none and less than 2^51",
            });
        }
        let length = usize::from(u16::from_le_bytes(array_at(bytes, 80)?));
        if length > MAX_SALT {
            return Err(SuperblockError::Salt { length });
        }
        let salt = field_at(bytes, 88, length)?.to_vec();
        Ok(Self { uuid, data_blocks, salt })
    }
}

fn field_at(bytes: &[u8], offset: usize, length: usize) -> Result<&[u8], SuperblockError> {
    bytes.get(offset..).and_then(|rest| rest.get(..length)).ok_or(SuperblockError::Short)
}

fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> Result<[u8; N], SuperblockError> {
    let field = field_at(bytes, offset, N)?;
    field.try_into().map_err(|_| SuperblockError::Short)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            uuid in any::<[u8; 16]>(),
            data_blocks in 1_u64..1 << 50,
            salt in prop::collection::vec(any::<u8>(), 0..=256),
        ) {
            let block = Superblock { uuid: Uuid::from_bytes(uuid), data_blocks, salt };
            prop_assert_eq!(Superblock::from_bytes(&block.to_bytes().unwrap()).unwrap(), block);
        }

        #[test]
        fn foreign_bytes_do_not_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = Superblock::from_bytes(&bytes);
            for (to, from) in bytes.iter_mut().zip(MAGIC) {
                *to = *from;
            }
            let _ = Superblock::from_bytes(&bytes);
        }
    }

    #[test]
    fn a_long_salt_is_refused() {
        let block = Superblock { uuid: Uuid::nil(), data_blocks: 1, salt: vec![0; 257] };
        assert!(matches!(block.to_bytes(), Err(SuperblockError::Salt { length: 257 })));
    }
}
