//! The partition table: writing it with `gptman`, and reading one that may be hostile.
//!
//! Sectors have 512 bytes. The reader wants the primary table and its backup whole and alike: a disk that
//! was changed in one of them is refused, because two programs could see two disks.

use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;

use gptman::GPT;
use gptman::GPTHeader;
use gptman::GPTPartitionEntry;
use serde::Serialize;
use uuid::Uuid;

use super::Layout;
use super::Partition;
use super::PartitionKind;
use crate::source::Source;

const SECTOR: u64 = 512;
/// Entries that the reader looks at; the usual table has 128.
const MAX_ENTRIES: u32 = 256;

/// Why the table could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum GptError {
    /// The table itself.
    #[error("the {which} partition table cannot be used")]
    Table {
        /// Primary or backup.
        which: &'static str,
        /// What is wrong with it.
        #[source]
        source: gptman::Error,
    },
    /// A number in the header that no sound table has.
    #[error("the {which} partition table has {field} {value}; expected {expected}")]
    Header {
        /// Primary or backup.
        which: &'static str,
        /// The field.
        field: &'static str,
        /// What it says.
        value: u64,
        /// What it may say.
        expected: String,
    },
    /// The backup says something else.
    #[error("the primary and the backup partition table differ")]
    Differ,
    /// A partition that is not on the disk.
    #[error(
        "partition {label:?} covers the sectors {first} to {last}; the usable ones are {usable}"
    )]
    Outside {
        /// Its label.
        label: String,
        /// First sector.
        first: u64,
        /// Last sector.
        last: u64,
        /// First and last usable sector.
        usable: String,
    },
    /// The disk could not be read or written.
    #[error("cannot read or write the disk")]
    Io(#[from] io::Error),
}

/// What is on a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiskView {
    /// GUID of the disk.
    pub disk_uuid: Uuid,
    /// Size of the disk in bytes.
    pub disk_bytes: u64,
    /// The partitions in the order of the table.
    pub partitions: Vec<Partition>,
}

impl DiskView {
    /// The partition with this label.
    pub fn by_label(&self, label: &str) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.label == label)
    }

    /// The first partition of this kind that is not an empty slot.
    pub fn by_kind(&self, kind: PartitionKind) -> Option<&Partition> {
        self.partitions.iter().find(|partition| {
            partition.kind == kind && partition.label != super::assemble::EMPTY_LABEL
        })
    }

    /// The partition with this GUID.
    pub fn by_uuid(&self, uuid: Uuid) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.uuid == uuid)
    }
}

/// Writes the protective MBR and both tables. The file already has its final size.
pub(super) fn write(mut disk: &File, layout: &Layout) -> Result<(), GptError> {
    let table_error = |source| GptError::Table { which: "new", source };
    let mut gpt =
        GPT::new_from(&mut disk, SECTOR, layout.disk_uuid.to_bytes_le()).map_err(table_error)?;
    for (partition, number) in layout.partitions.iter().zip(1_u32..) {
        gpt[number] = GPTPartitionEntry {
            partition_type_guid: partition.kind.type_uuid().to_bytes_le(),
            unique_partition_guid: partition.uuid.to_bytes_le(),
            starting_lba: partition.offset / SECTOR,
            ending_lba: (partition.offset + partition.bytes) / SECTOR - 1,
            attribute_bits: partition.attributes,
            partition_name: partition.label.as_str().into(),
        };
    }
    GPT::write_protective_mbr_into(&mut disk, SECTOR).map_err(table_error)?;
    gpt.write_into(&mut disk).map_err(table_error)?;
    Ok(())
}

/// Reads the partition table of a disk image.
pub fn read_disk(disk: &dyn Source) -> Result<DiskView, GptError> {
    let disk_bytes = disk.size();
    let sectors = disk_bytes / SECTOR;
    let (primary, entries) = read_table(disk, "primary", 1, sectors)?;
    let (backup, backup_entries) = read_table(disk, "backup", sectors.saturating_sub(1), sectors)?;
    let same = primary.disk_guid == backup.disk_guid
        && primary.first_usable_lba == backup.first_usable_lba
        && primary.last_usable_lba == backup.last_usable_lba
        && entries == backup_entries;
    if !same {
        return Err(GptError::Differ);
    }
    let usable = primary.first_usable_lba..=primary.last_usable_lba;
    let partitions = entries
        .iter()
        .filter(|entry| entry.is_used())
        .map(|entry| {
            let (first, last) = (entry.starting_lba, entry.ending_lba);
            let label = entry.partition_name.as_str().to_owned();
            if first > last || !usable.contains(&first) || !usable.contains(&last) {
                let usable = format!("{} to {}", usable.start(), usable.end());
                return Err(GptError::Outside { label, first, last, usable });
            }
            Ok(Partition {
                label,
                kind: PartitionKind::of_type(Uuid::from_bytes_le(entry.partition_type_guid)),
                uuid: Uuid::from_bytes_le(entry.unique_partition_guid),
                offset: first * SECTOR,
                bytes: (last - first + 1) * SECTOR,
                attributes: entry.attribute_bits,
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(DiskView { disk_uuid: Uuid::from_bytes_le(primary.disk_guid), disk_bytes, partitions })
}

fn read_table(
    disk: &dyn Source,
    which: &'static str,
    lba: u64,
    sectors: u64,
) -> Result<(GPTHeader, Vec<GPTPartitionEntry>), GptError> {
    let table_error = |source| GptError::Table { which, source };
    let mut reader = Cursor { source: disk, position: lba * SECTOR };
    let header = GPTHeader::read_from(&mut reader).map_err(table_error)?;
    // Checked before `gptman` allocates for the entries and multiplies their place.
    let checks = [
        ("its own sector", header.primary_lba, lba, lba),
        ("a first usable sector of", header.first_usable_lba, 2, sectors),
        ("a last usable sector of", header.last_usable_lba, 2, sectors.saturating_sub(2)),
        ("entries at sector", header.partition_entry_lba, 2, sectors),
        ("an entry size of", header.size_of_partition_entry.into(), 128, 128),
        (
            "a number of entries of",
            header.number_of_partition_entries.into(),
            1,
            MAX_ENTRIES.into(),
        ),
    ];
    for (field, value, least, most) in checks {
        if value < least || value > most {
            let expected = format!("{least} to {most}");
            return Err(GptError::Header { which, field, value, expected });
        }
    }
    let entries = header.read_partitions(&mut reader, SECTOR).map_err(table_error)?;
    Ok((header, entries))
}

/// Sequential reading of a [`Source`].
struct Cursor<'a> {
    source: &'a dyn Source,
    position: u64,
}

impl Read for Cursor<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.source.size().saturating_sub(self.position);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let part = buffer.get_mut(..count).unwrap_or_default();
        self.source.read_at(part, self.position)?;
        self.position += part.len() as u64;
        Ok(part.len())
    }
}

impl Seek for Cursor<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.source.size().checked_add_signed(by),
        };
        self.position = target.ok_or_else(|| io::Error::other("seek outside of the disk"))?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::disk::DiskSpec;
    use crate::disk::NO_AUTO;
    use crate::disk::PartitionSpec;
    use crate::disk::layout;
    use crate::source::FilePart;

    fn disk() -> (Layout, Vec<u8>) {
        let partitions = ["esp", "root"]
            .iter()
            .zip(1_u128..)
            .map(|(label, n)| PartitionSpec {
                label: (*label).to_owned(),
                kind: if n == 1 { PartitionKind::Esp } else { PartitionKind::Root },
                uuid: Uuid::from_u128(n),
                bytes: 1 << 20,
                attributes: NO_AUTO,
            })
            .collect();
        let spec = DiskSpec { disk_uuid: Uuid::from_u128(99), partitions, multiple: 1 << 20 };
        let layout = layout(&spec).unwrap();
        let file = tempfile::tempfile().unwrap();
        file.set_len(layout.disk_bytes).unwrap();
        write(&file, &layout).unwrap();
        let part = FilePart::whole(&file).unwrap();
        let bytes = part.read_vec(0, part.size()).unwrap();
        (layout, bytes)
    }

    #[test]
    fn what_is_written_reads_back() {
        let (layout, bytes) = disk();
        let view = read_disk(&bytes).unwrap();
        assert_eq!(view.partitions, layout.partitions);
        assert_eq!(view.disk_uuid, layout.disk_uuid);
        assert_eq!(view.by_kind(PartitionKind::Root).unwrap().label, "root");
        assert!(read_disk(&bytes[..bytes.len() - 512].to_vec()).is_err());
    }

    proptest! {
        #[test]
        fn a_changed_byte_in_either_table_is_refused(
            at in 0_usize..33 * 512, backup in any::<bool>(), change in 1_u8..,
        ) {
            let (_, mut bytes) = disk();
            // Header: the first 92 bytes of its sector count.
            let header_rest = 92..512;
            let at = if backup {
                let from_end = 33 * 512 - at;
                prop_assume!(!header_rest.contains(&(512_usize.wrapping_sub(from_end))));
                bytes.len() - from_end
            } else {
                prop_assume!(!header_rest.contains(&at));
                512 + at
            };
            bytes[at] ^= change;
            prop_assert!(read_disk(&bytes).is_err());
        }

        #[test]
        fn foreign_headers_do_not_panic(mut header in prop::collection::vec(any::<u8>(), 92)) {
            let (_, mut bytes) = disk();
            header[..16].copy_from_slice(b"EFI PART\0\0\x01\0\x5c\0\0\0");
            header[16..24].fill(0);
            let crc = gptman_crc(&header);
            header[16..20].copy_from_slice(&crc.to_le_bytes());
            bytes[512..604].copy_from_slice(&header);
            let _ = read_disk(&bytes);
        }
    }

    /// CRC-32 (IEEE), bit by bit.
    fn gptman_crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0_u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| {
                if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 }
            })
        })
    }
}
