//! The GUID partition table of a disk, read to find two partitions by their UUIDs.
//!
//! The disk is hostile until dm-verity has spoken: the limits are those of the kernel's own reader
//! (`block/partitions/efi.c`), so a table that the kernel refuses is refused here too. Source: UEFI
//! specification 2.10, section 5.3.

/// Bytes of an entry; the kernel knows no other size.
const ENTRY_SIZE: usize = 128;
/// More entries than any tool writes; keeps what is read below 128 KiB.
const MAX_ENTRIES: u32 = 1024;

/// The part of the header that leads to the entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Byte offset of the entries on the disk.
    pub entries_offset: u64,
    /// Number of entries, used or not.
    pub entries: u32,
    entries_crc: u32,
}

impl Header {
    /// Bytes to read from [`Header::entries_offset`].
    pub fn entries_size(&self) -> usize {
        // At most 1024, so this fits everywhere.
        self.entries as usize * ENTRY_SIZE
    }
}

/// A used partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// The number that the kernel gives it: the place in the table, from 1.
    pub number: u32,
    /// Unique UUID in the order of its text form.
    pub uuid: [u8; 16],
    /// First logical block.
    pub first: u64,
    /// Last logical block, inclusive.
    pub last: u64,
}

/// Why a disk has no usable partition table.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum GptError {
    /// No header here: an unpartitioned disk or another kind of table.
    #[error("no GPT header")]
    NoHeader,
    /// The header's fields contradict each other or their checksum.
    #[error("GPT header: {0}")]
    BadHeader(&'static str),
    /// The entries do not match the header's checksum or length.
    #[error("GPT entries: {0}")]
    BadEntries(&'static str),
}

/// Reads the header from logical block 1. `block` is one logical block of the disk.
pub fn header(block: &[u8]) -> Result<Header, GptError> {
    let short = GptError::BadHeader("block is shorter than the header");
    if block.get(..8) != Some(b"EFI PART".as_slice()) {
        return Err(GptError::NoHeader);
    }
    let size = u32_at(block, 12).ok_or(short)? as usize;
    if !(92..=block.len()).contains(&size) {
        return Err(GptError::BadHeader("size is not between 92 and a block"));
    }
    let mut bytes = block.get(..size).unwrap_or_default().to_vec();
    if let Some(field) = bytes.get_mut(16..20) {
        field.fill(0);
    }
    if u32_at(block, 16) != Some(crc32fast::hash(&bytes)) {
        return Err(GptError::BadHeader("checksum does not match"));
    }
    if u64_at(block, 24) != Some(1) {
        return Err(GptError::BadHeader("does not say that it is block 1"));
    }
    let fields = (u64_at(block, 72), u32_at(block, 80), u32_at(block, 84), u32_at(block, 88));
    let (Some(lba), Some(entries), Some(entry_size), Some(entries_crc)) = fields else {
        return Err(GptError::BadHeader("block is shorter than the header"));
    };
    if entry_size as usize != ENTRY_SIZE {
        return Err(GptError::BadHeader("entries are not of 128 bytes"));
    }
    if !(1..=MAX_ENTRIES).contains(&entries) {
        return Err(GptError::BadHeader("number of entries is not between 1 and 1024"));
    }
    let entries_offset = u64::try_from(block.len())
        .ok()
        .and_then(|size| lba.checked_mul(size))
        .filter(|_| lba >= 2)
        .ok_or(GptError::BadHeader("entries lie outside of the disk"))?;
    Ok(Header { entries_offset, entries, entries_crc })
}

/// Reads the used entries; `bytes` are the [`Header::entries_size`] bytes at their offset.
pub fn partitions(header: &Header, bytes: &[u8]) -> Result<Vec<Partition>, GptError> {
    if bytes.len() != header.entries_size() {
        return Err(GptError::BadEntries("wrong length"));
    }
    if crc32fast::hash(bytes) != header.entries_crc {
        return Err(GptError::BadEntries("checksum does not match"));
    }
    let entry = |(number, entry): (u32, &[u8])| {
        let used = entry.get(..16)?.iter().any(|&b| b != 0);
        let (first, last) = (u64_at(entry, 32)?, u64_at(entry, 40)?);
        let uuid = text_order(entry.get(16..32)?.try_into().ok()?);
        (used && first <= last).then_some(Partition { number, uuid, first, last })
    };
    Ok((1..).zip(bytes.chunks_exact(ENTRY_SIZE)).filter_map(entry).collect())
}

/// A GUID on disk has its first three fields in little-endian order.
fn text_order(disk: [u8; 16]) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h, rest @ ..] = disk;
    let mut text = [d, c, b, a, f, e, h, g, 0, 0, 0, 0, 0, 0, 0, 0];
    for (to, from) in text.iter_mut().skip(8).zip(rest) {
        *to = from;
    }
    text
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use gptman::{GPT, GPTPartitionEntry};
    use proptest::prelude::*;

    use super::*;

    const UUID: [u8; 16] = [
        0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee,
        0xff,
    ];

    /// A disk with one partition in the third place, written by another implementation.
    fn disk(sector: u64) -> Vec<u8> {
        let mut disk = Cursor::new(vec![0; 1 << 20]);
        let mut gpt = GPT::new_from(&mut disk, sector, [7; 16]).unwrap();
        gpt[3] = GPTPartitionEntry {
            partition_type_guid: [1; 16],
            unique_partition_guid: text_order(UUID),
            starting_lba: 64,
            ending_lba: 99,
            attribute_bits: 0,
            partition_name: "root".into(),
        };
        gpt.write_into(&mut disk).unwrap();
        disk.into_inner()
    }

    fn read(disk: &[u8], sector: usize) -> Result<Vec<Partition>, GptError> {
        let header = header(&disk[sector..2 * sector])?;
        let from = usize::try_from(header.entries_offset).unwrap();
        partitions(&header, disk.get(from..from + header.entries_size()).unwrap_or_default())
    }

    #[test]
    fn finds_the_partition_with_both_block_sizes() {
        for sector in [512, 4096] {
            let found = read(&disk(sector), usize::try_from(sector).unwrap()).unwrap();
            assert_eq!(found, [Partition { number: 3, uuid: UUID, first: 64, last: 99 }]);
        }
    }

    #[test]
    fn refuses_a_disk_without_a_table() {
        assert_eq!(read(&[0; 8192], 512), Err(GptError::NoHeader));
        assert_eq!(
            header(b"EFI PART"),
            Err(GptError::BadHeader("block is shorter than the header"))
        );
    }

    #[test]
    fn refuses_sizes_that_would_read_without_end() {
        for (at, value) in [(80, u32::MAX), (80, 0), (84, 4096), (12, u32::MAX), (12, 91)] {
            let mut block = disk(512)[512..1024].to_vec();
            block[at..at + 4].copy_from_slice(&value.to_le_bytes());
            block[16..20].fill(0);
            let crc = crc32fast::hash(&block[..92]);
            block[16..20].copy_from_slice(&crc.to_le_bytes());
            assert!(matches!(header(&block), Err(GptError::BadHeader(_))), "field {at}");
        }
    }

    proptest! {
        #[test]
        fn one_changed_byte_is_refused(at in 512_usize..512 + 92, flip in 1_u8..) {
            let mut disk = disk(512);
            disk[at] ^= flip;
            prop_assert!(read(&disk, 512).is_err());
        }

        #[test]
        fn no_bytes_panic(block: Vec<u8>, entries: Vec<u8>, count in 0_u32..1025) {
            let _ = header(&block);
            let entries_crc = crc32fast::hash(&entries);
            let _ = partitions(&Header { entries_offset: 0, entries: count, entries_crc }, &entries);
        }
    }
}
