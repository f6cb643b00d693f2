//! The EFI system partition: FAT32 with one file, `EFI/BOOT/BOOTX64.EFI`.
//!
//! Written here because no tool makes the same bytes twice: `mtools` stamps the clock on directories, and
//! `fatfs` 0.3.6 puts their `.` and `..` where `fsck.fat` refuses them. With one file the volume is simple:
//! three directories of one cluster each, then the file in one run. Every time is 1980-01-01, the first that
//! FAT knows. Field names are those of Microsoft's FAT32 File System Specification.

/// Where UEFI firmware looks for what to start on a disk without boot entries.
pub const BOOT_FILE: &str = "EFI/BOOT/BOOTX64.EFI";
const MIB: u64 = 1 << 20;
/// The smallest FAT32 volume: 65,525 clusters of 512 bytes and two tables of them.
const LEAST: u64 = 33 * MIB;
const SECTOR: u32 = 512;
/// Sectors before the first table; boot sector, FSInfo and their copies are among them.
const RESERVED: u32 = 32;
const COPY: usize = 6;
/// Fewer clusters make a volume FAT16, whatever its boot sector says.
const LEAST_CLUSTERS: u32 = 65_525;
const END_OF_CHAIN: u32 = 0x0fff_ffff;
/// The clusters of the root directory, `EFI` and `BOOT`, and the first one of the file.
const ROOT: u32 = 2;
const EFI: u32 = 3;
const BOOT: u32 = 4;
const FILE: u32 = 5;
/// 1980-01-01 in a directory entry.
const DATE: u16 = 0x0021;
const DIRECTORY: u8 = 0x10;
const ARCHIVE: u8 = 0x20;
const VOLUME_ID: u8 = 0x08;
const LABEL: &[u8; 11] = b"ESP        ";

/// Why there is no EFI system partition.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EspError {
    /// More content than room.
    #[error("the UKI of {uki} bytes does not fit an EFI system partition of {esp} bytes")]
    TooSmall {
        /// Bytes of the UKI.
        uki: u64,
        /// Bytes of the partition.
        esp: u64,
    },
    /// Not a size for FAT32.
    #[error("an EFI system partition of {esp} bytes cannot be FAT32; 33 MiB to 32 GiB can")]
    Size {
        /// Bytes of the partition.
        esp: u64,
    },
}

/// Size of the partition: the UKI, twice when the next one has to fit beside it, and slack for the tables
/// and for a UKI that grows; in whole MiB.
pub fn esp_bytes(uki: u64, ab: bool) -> u64 {
    let content = uki.saturating_mul(if ab { 2 } else { 1 });
    let slack = content / 32 + 2 * MIB;
    content.saturating_add(slack).max(LEAST).next_multiple_of(MIB)
}

/// The bytes of a volume of `esp` bytes up to the end of the file; the rest is zeros. `volume_id` is the
/// serial number of the FAT.
pub fn build_esp(esp: u64, uki: &[u8], volume_id: u32) -> Result<Vec<u8>, EspError> {
    let shape = Shape::of(esp).ok_or(EspError::Size { esp })?;
    let too_small = || EspError::TooSmall { uki: uki.len() as u64, esp };
    let length = u32::try_from(uki.len()).map_err(|_| too_small())?;
    let file_clusters = length.div_ceil(shape.cluster_bytes());
    let used = FILE - ROOT + file_clusters;
    if used > shape.clusters {
        return Err(too_small());
    }

    let mut volume = reserved_sectors(&shape, used, volume_id);
    let table = table(&shape, file_clusters);
    for _ in 0..2 {
        volume.extend_from_slice(&table);
    }
    let directories = [
        [entry(LABEL, VOLUME_ID, 0, 0), entry(b"EFI        ", DIRECTORY, EFI, 0), [0; 32]],
        // The parent of a directory in the root directory is called cluster 0.
        [dot(EFI), dot_dot(0), entry(b"BOOT       ", DIRECTORY, BOOT, 0)],
        [dot(BOOT), dot_dot(EFI), entry(b"BOOTX64 EFI", ARCHIVE, file_start(length), length)],
    ];
    for directory in directories {
        let end = volume.len() + shape.cluster_bytes() as usize;
        volume.extend_from_slice(directory.as_flattened());
        volume.resize(end, 0);
    }
    volume.extend_from_slice(uki);
    Ok(volume)
}

/// An empty file has no cluster.
fn file_start(length: u32) -> u32 {
    if length == 0 { 0 } else { FILE }
}

/// The numbers of a volume, in sectors.
struct Shape {
    sectors: u32,
    per_cluster: u8,
    per_table: u32,
    clusters: u32,
}

impl Shape {
    /// The largest clusters, up to 4096 bytes, with which a volume of this size is FAT32.
    fn of(esp: u64) -> Option<Self> {
        let sectors = u32::try_from(esp / u64::from(SECTOR)).ok()?;
        [8_u8, 4, 2, 1].into_iter().find_map(|per_cluster| {
            // Tables for the clusters there would be without tables: never too short.
            let most = sectors.checked_sub(RESERVED)? / u32::from(per_cluster);
            let per_table = (most + 2).div_ceil(SECTOR / 4);
            let data = sectors.checked_sub(RESERVED + 2 * per_table)?;
            let clusters = data / u32::from(per_cluster);
            let fat32 = (LEAST_CLUSTERS..1 << 24).contains(&clusters);
            fat32.then_some(Self { sectors, per_cluster, per_table, clusters })
        })
    }

    fn cluster_bytes(&self) -> u32 {
        u32::from(self.per_cluster) * SECTOR
    }
}

/// Boot sector and FSInfo with their copies, and zeros up to the first table.
fn reserved_sectors(shape: &Shape, used: u32, volume_id: u32) -> Vec<u8> {
    let boot = sector(&[
        (0, b"\xeb\x58\x90STONECEL"),
        (11, &512_u16.to_le_bytes()),
        (13, &[shape.per_cluster]),
        (14, &32_u16.to_le_bytes()),
        (16, &[2]),
        // Fixed disk; sectors per track and heads as LBA translation has them.
        (21, &[0xf8]),
        (24, &63_u16.to_le_bytes()),
        (26, &255_u16.to_le_bytes()),
        (32, &shape.sectors.to_le_bytes()),
        (36, &shape.per_table.to_le_bytes()),
        (44, &ROOT.to_le_bytes()),
        // FSInfo sector and copy of the boot sector.
        (48, &[1, 0, 6, 0]),
        (64, &[0x80, 0, 0x29]),
        (67, &volume_id.to_le_bytes()),
        (71, LABEL),
        (82, b"FAT32   "),
    ]);
    let info = sector(&[
        (0, b"RRaA"),
        (484, b"rrAa"),
        (488, &(shape.clusters - used).to_le_bytes()),
        (492, &(ROOT + used).to_le_bytes()),
    ]);
    let mut sectors = vec![[0; SECTOR as usize]; RESERVED as usize];
    for (index, content) in [(0, boot), (1, info), (COPY, boot), (COPY + 1, info)] {
        if let Some(slot) = sectors.get_mut(index) {
            *slot = content;
        }
    }
    sectors.into_flattened()
}

/// A sector with these fields and the signature at its end.
fn sector(fields: &[(usize, &[u8])]) -> [u8; SECTOR as usize] {
    let mut bytes = [0; SECTOR as usize];
    for (offset, field) in fields.iter().copied().chain([(510, [0x55, 0xaa].as_slice())]) {
        for (to, from) in bytes.iter_mut().skip(offset).zip(field) {
            *to = *from;
        }
    }
    bytes
}

/// One file allocation table.
fn table(shape: &Shape, file_clusters: u32) -> Vec<u8> {
    let mut table = Vec::with_capacity((shape.per_table * SECTOR) as usize);
    for entry in [0x0fff_fff8, END_OF_CHAIN, END_OF_CHAIN, END_OF_CHAIN, END_OF_CHAIN] {
        table.extend_from_slice(&u32::to_le_bytes(entry));
    }
    for next in FILE + 1..FILE + file_clusters {
        table.extend_from_slice(&next.to_le_bytes());
    }
    if file_clusters > 0 {
        table.extend_from_slice(&END_OF_CHAIN.to_le_bytes());
    }
    table.resize((shape.per_table * SECTOR) as usize, 0);
    table
}

/// One entry of a directory.
fn entry(name: &[u8; 11], attributes: u8, cluster: u32, size: u32) -> [u8; 32] {
    let mut entry = [0; 32];
    let [low_0, low_1, high_0, high_1] = cluster.to_le_bytes();
    let date = DATE.to_le_bytes();
    let fields: [(usize, &[u8]); 8] = [
        (0, name),
        (11, &[attributes]),
        (16, &date),
        (18, &date),
        (20, &[high_0, high_1]),
        (24, &date),
        (26, &[low_0, low_1]),
        (28, &size.to_le_bytes()),
    ];
    for (offset, field) in fields {
        for (to, from) in entry.iter_mut().skip(offset).zip(field) {
            *to = *from;
        }
    }
    entry
}

fn dot(cluster: u32) -> [u8; 32] {
    entry(b".          ", DIRECTORY, cluster, 0)
}

fn dot_dot(cluster: u32) -> [u8; 32] {
    entry(b"..         ", DIRECTORY, cluster, 0)
}

#[cfg(test)]
pub(super) mod tests {
    use std::io;

    use proptest::prelude::*;

    use super::*;
    use crate::disk::read_esp_file;
    use crate::source::Source;

    /// A volume whose zeros at the end are not in memory.
    pub(in crate::disk) struct Padded {
        pub(in crate::disk) bytes: Vec<u8>,
        size: u64,
    }

    impl Padded {
        pub(in crate::disk) fn volume(size: u64, file: &[u8]) -> Self {
            Self { bytes: build_esp(size, file, 1).unwrap(), size }
        }
    }

    impl Source for Padded {
        fn size(&self) -> u64 {
            self.size
        }

        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
            if offset + buffer.len() as u64 > self.size {
                return Err(io::Error::other("past the end"));
            }
            buffer.fill(0);
            let rest = self.bytes.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
            let length = rest.len().min(buffer.len());
            buffer[..length].copy_from_slice(&rest[..length]);
            Ok(())
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(esp_bytes(20 * MIB, false), 33 * MIB);
        assert_eq!(esp_bytes(40 * MIB, false), 44 * MIB);
        assert_eq!(esp_bytes(40 * MIB, true), 85 * MIB);
        let too_small = EspError::TooSmall { uki: 33 << 20, esp: LEAST };
        assert_eq!(build_esp(LEAST, &vec![0; 33 << 20], 1), Err(too_small));
        assert_eq!(build_esp(32 * MIB, b"", 1), Err(EspError::Size { esp: 32 * MIB }));
        assert_eq!(build_esp(u64::MAX, b"", 1), Err(EspError::Size { esp: u64::MAX }));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn the_file_reads_back(megabytes in 0_u64..90, odd in 0_u64..5000, ab in any::<bool>()) {
            let size = (megabytes << 20) + odd;
            let pattern: Vec<u8> = (0..=250).collect();
            let mut uki = pattern.repeat(usize::try_from(size / 251 + 1).unwrap());
            uki.truncate(usize::try_from(size).unwrap());
            let volume = Padded::volume(esp_bytes(size, ab), &uki);
            prop_assert!(volume.bytes.len() as u64 <= volume.size);
            prop_assert!(read_esp_file(&volume, BOOT_FILE).unwrap() == uki);
        }
    }
}
