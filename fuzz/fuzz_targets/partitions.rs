//! The reader of a whole disk's partition tables takes any bytes; what it gives lies on the disk.
#![no_main]

mod gpt_sums;
mod seed;

use libfuzzer_sys::fuzz_target;
use stonecell_image::read_disk;

const SECTOR: usize = 512;

/// Corrects the checksums of the table whose header is in the sector that begins at `at`.
fn correct(disk: &mut [u8], at: usize) {
    let Some(header) = disk.get(at..at + SECTOR) else { return };
    let mut header = header.to_vec();
    let first = u64::from_le_bytes(header[72..80].try_into().unwrap_or_default());
    let first = usize::try_from(first).ok().and_then(|first| first.checked_mul(SECTOR));
    let entries = first.and_then(|first| disk.get(first..)).unwrap_or_default();
    gpt_sums::correct(&mut header, entries);
    disk[at..at + SECTOR].copy_from_slice(&header);
}

fuzz_target!(|bytes: &[u8]| {
    let mut disk = bytes.to_vec();
    correct(&mut disk, SECTOR);
    let last = (disk.len() / SECTOR).saturating_sub(1) * SECTOR;
    correct(&mut disk, last);
    let view = read_disk(&disk);
    seed::check(view.as_ref().is_ok_and(|view| !view.partitions.is_empty()));
    for partition in view.map(|view| view.partitions).unwrap_or_default() {
        assert!(partition.bytes > 0 && partition.offset + partition.bytes <= disk.len() as u64);
    }
});
