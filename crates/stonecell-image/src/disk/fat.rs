//! Reading one file of a FAT32 volume that may be hostile.
//!
//! Only short (8.3) names, because the EFI system partition has no others. Chains are followed at most as
//! far as the file is long, and no file is longer than its volume, so a loop ends; every place is inside the
//! volume or an error. (`fatfs` reads more, but trusts the volume.)

use std::io;

use crate::source::Source;

/// Directories larger than this are refused.
const MAX_DIRECTORY: u64 = 1 << 20;
/// Files larger than this are refused.
const MAX_FILE: u64 = 1 << 30;
/// Cluster numbers from here on end a chain.
const END_OF_CHAIN: u32 = 0x0fff_fff8;

/// Why the file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FatError {
    /// The volume's parameters make no sense.
    #[error("not a FAT32 volume: {reason}")]
    NotFat32 {
        /// What is wrong.
        reason: &'static str,
    },
    /// No such file or directory.
    #[error("the volume has no {path}")]
    NotFound {
        /// The path.
        path: String,
    },
    /// The chain of clusters is broken.
    #[error("the clusters of {path} are broken at cluster {cluster}")]
    Chain {
        /// The path.
        path: String,
        /// The cluster number.
        cluster: u32,
    },
    /// Larger than anything this program writes.
    #[error("{path} has {bytes} bytes; at most {limit} are read")]
    TooLarge {
        /// The path.
        path: String,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The volume could not be read.
    #[error("cannot read the volume")]
    Io(#[from] io::Error),
}

/// Reads a file of an EFI system partition, for example `EFI/BOOT/BOOTX64.EFI`.
pub fn read_esp_file(esp: &dyn Source, path: &str) -> Result<Vec<u8>, FatError> {
    let volume = Volume::open(esp)?;
    let not_found = || FatError::NotFound { path: path.to_owned() };
    let mut here = Entry { cluster: volume.root_cluster, size: 0, directory: true };
    for name in path.split('/') {
        if !here.directory {
            return Err(not_found());
        }
        let short = short_name(name).ok_or_else(not_found)?;
        let content = volume.read_chain(path, here.cluster, None)?;
        here = find(&content, &short).ok_or_else(not_found)?;
    }
    if here.directory {
        return Err(not_found());
    }
    volume.read_chain(path, here.cluster, Some(here.size.into()))
}

struct Volume<'a> {
    source: &'a dyn Source,
    cluster_bytes: u64,
    fat_offset: u64,
    data_offset: u64,
    clusters: u32,
    root_cluster: u32,
}

impl<'a> Volume<'a> {
    /// Reads the BIOS parameter block (Microsoft FAT specification, section 3).
    fn open(source: &'a dyn Source) -> Result<Self, FatError> {
        let boot = source.read_vec(0, 512)?;
        let wrong = |reason| FatError::NotFat32 { reason };
        if boot.get(510..512) != Some(&[0x55, 0xaa]) {
            return Err(wrong("no boot signature"));
        }
        let sector = u64::from(u16_at(&boot, 11));
        let per_cluster = u64::from(boot.get(13).copied().unwrap_or(0));
        if !matches!(sector, 512 | 1024 | 2048 | 4096) || !per_cluster.is_power_of_two() {
            return Err(wrong("bad sector or cluster size"));
        }
        if u16_at(&boot, 22) != 0 || u16_at(&boot, 17) != 0 {
            return Err(wrong("it is FAT12 or FAT16"));
        }
        let reserved = u64::from(u16_at(&boot, 14));
        let fats = u64::from(boot.get(16).copied().unwrap_or(0));
        let sectors = u64::from(u32_at(&boot, 32));
        let fat_sectors = u64::from(u32_at(&boot, 36));
        let data_sector = reserved + fats * fat_sectors;
        if reserved == 0 || fats == 0 || data_sector >= sectors {
            return Err(wrong("the tables leave no room for data"));
        }
        if sectors * sector > source.size() {
            return Err(wrong("it is larger than its partition"));
        }
        let clusters = (sectors - data_sector) / per_cluster;
        let clusters = u32::try_from(clusters).map_err(|_| wrong("too many clusters"))?;
        if fat_sectors * sector / 4 < u64::from(clusters) + 2 {
            return Err(wrong("the table is too short for its clusters"));
        }
        Ok(Self {
            source,
            cluster_bytes: per_cluster * sector,
            fat_offset: reserved * sector,
            data_offset: data_sector * sector,
            clusters,
            root_cluster: u32_at(&boot, 44),
        })
    }

    /// The bytes of a chain: `size` of them, or the whole chain for a directory.
    fn read_chain(&self, path: &str, first: u32, size: Option<u64>) -> Result<Vec<u8>, FatError> {
        // A chain that goes in a circle is not longer than all clusters.
        let all = u64::from(self.clusters) * self.cluster_bytes;
        let limit = size.map_or(MAX_DIRECTORY, |_| MAX_FILE).min(all);
        let wanted = size.unwrap_or(limit);
        if wanted > limit {
            return Err(FatError::TooLarge { path: path.to_owned(), bytes: wanted, limit });
        }
        let broken = |cluster| FatError::Chain { path: path.to_owned(), cluster };
        let mut content = Vec::new();
        let mut cluster = first;
        while (content.len() as u64) < wanted {
            if cluster >= END_OF_CHAIN && size.is_none() {
                break;
            }
            // The run of neighbours that the chain visits one after the other, read at once.
            let mut run: u32 = 0;
            let start = cluster;
            let left = (wanted - content.len() as u64).div_ceil(self.cluster_bytes);
            while u64::from(run) < left && cluster == start.wrapping_add(run) {
                cluster = self.next(cluster).ok_or_else(|| broken(cluster))??;
                run += 1;
            }
            let offset = self.data_offset + u64::from(start - 2) * self.cluster_bytes;
            let bytes = (u64::from(run) * self.cluster_bytes).min(wanted - content.len() as u64);
            content.extend_from_slice(&self.source.read_vec(offset, bytes)?);
        }
        if size.is_none() && content.len() as u64 >= limit {
            let bytes = content.len() as u64;
            return Err(FatError::TooLarge { path: path.to_owned(), bytes, limit });
        }
        Ok(content)
    }

    /// The entry after `cluster` in its chain; `None` for a number that is no cluster.
    fn next(&self, cluster: u32) -> Option<io::Result<u32>> {
        if cluster < 2 || cluster - 2 >= self.clusters {
            return None;
        }
        let mut entry = [0; 4];
        let offset = self.fat_offset + u64::from(cluster) * 4;
        let read = self.source.read_at(&mut entry, offset);
        Some(read.map(|()| u32::from_le_bytes(entry) & 0x0fff_ffff))
    }
}

struct Entry {
    cluster: u32,
    size: u32,
    directory: bool,
}

/// The entry with this short name.
fn find(directory: &[u8], name: &[u8; 11]) -> Option<Entry> {
    directory
        .chunks_exact(32)
        .take_while(|entry| entry.first() != Some(&0))
        .filter(|entry| entry.get(11).is_some_and(|attributes| attributes & 0x08 == 0))
        .find(|entry| entry.get(..11) == Some(name))
        .map(|entry| Entry {
            cluster: u32::from(u16_at(entry, 20)) << 16 | u32::from(u16_at(entry, 26)),
            size: u32_at(entry, 28),
            directory: entry.get(11).is_some_and(|attributes| attributes & 0x10 != 0),
        })
}

/// `BOOTX64.EFI` as the eleven bytes of a directory entry.
fn short_name(name: &str) -> Option<[u8; 11]> {
    let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
    if stem.is_empty() || stem.len() > 8 || extension.len() > 3 || !name.is_ascii() {
        return None;
    }
    let mut short = [b' '; 11];
    let (front, back) = short.split_at_mut(8);
    for (to, from) in
        front.iter_mut().zip(stem.bytes()).chain(back.iter_mut().zip(extension.bytes()))
    {
        *to = from.to_ascii_uppercase();
    }
    Some(short)
}

/// Little-endian at `offset`; zero past the end, which no check above accepts.
fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    let field = bytes.get(offset..).and_then(|rest| rest.first_chunk::<2>());
    field.map_or(0, |field| u16::from_le_bytes(*field))
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    let field = bytes.get(offset..).and_then(|rest| rest.first_chunk::<4>());
    field.map_or(0, |field| u32::from_le_bytes(*field))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::disk::BOOT_FILE;
    use crate::disk::esp::tests::Padded;

    #[test]
    fn what_is_not_there_is_named() {
        let esp = Padded::volume(33 << 20, b"content");
        assert_eq!(read_esp_file(&esp, BOOT_FILE).unwrap(), b"content");
        for path in ["EFI/BOOT/OTHER.EFI", "EFI/BOOT", "EFI/BOOT/BOOTX64.EFI/X", "", "a-long-name"]
        {
            assert!(matches!(read_esp_file(&esp, path), Err(FatError::NotFound { .. })), "{path}");
        }
    }

    #[test]
    fn a_chain_in_a_circle_gives_no_more_than_the_volume_holds() {
        let mut esp = Padded::volume(33 << 20, b"content");
        let entry = esp.bytes.windows(11).position(|name| name == b"BOOTX64 EFI").unwrap();
        let cluster = u16_at(&esp.bytes, entry + 26);
        let table = usize::from(u16_at(&esp.bytes, 14)) * 512 + usize::from(cluster) * 4;
        esp.bytes[table..table + 4].copy_from_slice(&u32::from(cluster).to_le_bytes());
        esp.bytes[entry + 28..entry + 32].copy_from_slice(&(40_u32 << 20).to_le_bytes());
        let read = read_esp_file(&esp, BOOT_FILE).map(|file| file.len());
        assert!(
            matches!(read, Err(FatError::TooLarge { limit, .. }) if limit < 33 << 20),
            "{read:?}"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn changed_parameters_and_tables_do_not_panic(
            changes in prop::collection::vec((0_usize..90, any::<u8>()), 0..4),
            table in prop::collection::vec((0_usize..64, any::<u8>()), 0..4),
        ) {
            let mut esp = Padded::volume(33 << 20, &[1; 3000]);
            let fat = usize::from(u16_at(&esp.bytes, 14)) * 512;
            for (at, value) in changes {
                esp.bytes[at] = value;
            }
            for (at, value) in table {
                esp.bytes[fat + at] = value;
            }
            let _ = read_esp_file(&esp, BOOT_FILE);
        }
    }
}
