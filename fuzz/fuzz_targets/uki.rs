//! The readers of a disk, its EFI system partition and its UKI take any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stonecell_image::disk::BOOT_FILE;
use stonecell_image::disk::read_esp_file;
use stonecell_image::read_disk;
use stonecell_image::uki::read_uki;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(uki) = read_uki(bytes) {
        assert!(uki.sections.iter().all(|section| section.data.len() <= bytes.len()));
        let _ = uki.command_line();
    }
    let _ = read_disk(&bytes);
    let _ = read_esp_file(&bytes, BOOT_FILE);
});
