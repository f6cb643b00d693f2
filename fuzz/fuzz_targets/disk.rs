//! What the machine's first program reads from a disk before dm-verity vouches for it: the partition
//! table and the verity superblock. First a logical block of 512 bytes, then what lies behind it.
#![no_main]

mod gpt_sums;
mod seed;

use libfuzzer_sys::fuzz_target;
use stonecell_init::cmdline::{OnCorruption, RootHash};
use stonecell_init::verity::Device;
use stonecell_init::{gpt, verity};

fuzz_target!(|disk: &[u8]| {
    let (block, rest) = disk.split_at(disk.len().min(512));
    let mut block = block.to_vec();
    gpt_sums::correct(&mut block, rest);
    let mut accepted = false;
    if let Ok(header) = gpt::header(&block) {
        assert!(header.entries_size() <= 128 << 10);
        let entries = rest.get(..header.entries_size()).unwrap_or(rest);
        for partition in gpt::partitions(&header, entries).unwrap_or_default() {
            assert!(partition.first <= partition.last);
            accepted = true;
        }
    }
    let Some(hash) = RootHash::parse(&"ab".repeat(32)) else { return };
    if let Ok(superblock) = verity::superblock(rest) {
        let device = Device { major: 1, minor: 2, bytes: 1 << 40 };
        let mode = OnCorruption::Panic;
        if let Ok(target) = verity::target(&superblock, device, device, &hash, mode) {
            assert!(target.sectors <= device.bytes / 512 && target.parameters.len() < 1024);
            accepted = true;
        }
    }
    seed::check(accepted);
});
