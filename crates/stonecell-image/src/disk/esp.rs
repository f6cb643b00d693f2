//! The EFI system partition: FAT32 with one file, `EFI/BOOT/BOOTX64.EFI`.
//!
//! Made in memory by `fatfs`. Without a clock it stamps 1980-01-01, the first FAT date, on everything,
//! which is what a reproducible image wants.

use std::io;
use std::io::Cursor;
use std::io::Write;

use fatfs::FatType;
use fatfs::FileSystem;
use fatfs::FormatVolumeOptions;
use fatfs::FsOptions;

/// Where UEFI firmware looks for what to start on a disk without boot entries.
pub const BOOT_FILE: &str = "EFI/BOOT/BOOTX64.EFI";
const MIB: u64 = 1 << 20;
/// The smallest FAT32 volume: 65,525 clusters of 512 bytes and two tables of them.
const LEAST: u64 = 33 * MIB;

/// Why there is no EFI system partition.
#[derive(Debug, thiserror::Error)]
pub enum EspError {
    /// More content than room.
    #[error("the UKI of {uki} bytes does not fit an EFI system partition of {esp} bytes")]
    TooSmall {
        /// Bytes of the UKI.
        uki: u64,
        /// Bytes of the partition.
        esp: u64,
    },
    /// The file system could not be made.
    #[error("cannot make the FAT32 file system of {esp} bytes")]
    Write {
        /// Bytes of the partition.
        esp: u64,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
}

/// Size of the partition: the UKI, twice when the next one has to fit beside it, and slack for the tables
/// and for a UKI that grows; in whole MiB.
pub fn esp_bytes(uki: u64, ab: bool) -> u64 {
    let content = uki.saturating_mul(if ab { 2 } else { 1 });
    let slack = content / 32 + 2 * MIB;
    content.saturating_add(slack).max(LEAST).next_multiple_of(MIB)
}

/// The bytes of the partition. `volume_id` is the serial number of the FAT.
pub fn build_esp(esp: u64, uki: &[u8], volume_id: u32) -> Result<Vec<u8>, EspError> {
    let write_error = |source| EspError::Write { esp, source };
    // The tables take 1/64 of the volume at the smallest cluster size.
    if uki.len() as u64 > esp - esp / 32 {
        return Err(EspError::TooSmall { uki: uki.len() as u64, esp });
    }
    let length = usize::try_from(esp).map_err(|e| write_error(io::Error::other(e)))?;
    let mut volume = vec![0; length];
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_cluster(cluster_bytes(esp))
        .volume_id(volume_id)
        .volume_label(*b"ESP        ");
    fatfs::format_volume(Cursor::new(&mut volume), options).map_err(write_error)?;
    fill(&mut volume, uki).map_err(write_error)?;
    Ok(volume)
}

fn fill(volume: &mut Vec<u8>, uki: &[u8]) -> io::Result<()> {
    let options = FsOptions::new().update_accessed_date(false);
    let file_system = FileSystem::new(Cursor::new(volume), options)?;
    {
        let mut directory = file_system.root_dir();
        let mut parts = BOOT_FILE.split('/').peekable();
        while let Some(name) = parts.next() {
            if parts.peek().is_some() {
                directory = directory.create_dir(name)?;
            } else {
                let mut file = directory.create_file(name)?;
                file.write_all(uki)?;
                file.flush()?;
            }
        }
    }
    file_system.unmount()
}

/// The largest cluster with which the volume is still FAT32 (65,525 clusters or more, with a margin).
fn cluster_bytes(esp: u64) -> u32 {
    let mut bytes = 512;
    while bytes < 4096 && esp / u64::from(bytes * 2) > 67_000 {
        bytes *= 2;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::disk::read_esp_file;

    #[test]
    fn sizes() {
        assert_eq!(esp_bytes(20 * MIB, false), 33 * MIB);
        assert_eq!(esp_bytes(40 * MIB, false), 44 * MIB);
        assert_eq!(esp_bytes(40 * MIB, true), 85 * MIB);
        assert!(matches!(
            build_esp(LEAST, &vec![0; 33 << 20], 1),
            Err(EspError::TooSmall { .. })
        ));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(6))]

        #[test]
        fn the_file_reads_back(megabytes in 0_u64..90, odd in 0_u64..5000, ab in any::<bool>()) {
            let size = (megabytes << 20) + odd;
            let uki: Vec<u8> = (0..size).map(|i| (i / 512 % 251) as u8).collect();
            let esp = build_esp(esp_bytes(size, ab), &uki, 7).unwrap();
            prop_assert!(read_esp_file(&esp, BOOT_FILE).unwrap() == uki);
        }
    }
}
