//! The reader of a file on a FAT32 volume takes any bytes, and gives no more of them than there are.
#![no_main]

mod seed;

use libfuzzer_sys::fuzz_target;
use stonecell_image::disk::{BOOT_FILE, read_esp_file};

fuzz_target!(|bytes: &[u8]| {
    let file = read_esp_file(&bytes, BOOT_FILE);
    seed::check(file.is_ok());
    assert!(file.map_or(0, |file| file.len()) <= bytes.len());
});
