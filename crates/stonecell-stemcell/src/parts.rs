//! Digests of the parts of an output. The signature says that a file was changed; these say where.
//!
//! A disk has a part for each partition and one for everything outside of them. Runs of zeros are left out of
//! a digest, so that a sparse disk costs what its content costs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use ring::digest::{Context, SHA256};
use stonecell_image::sparse::next_data;
use stonecell_image::{DiskView, lanes};

/// Unit in which zeros are left out.
const BLOCK: u64 = 64 << 10;
/// Blocks that are hashed side by side.
const BATCH: usize = 16;
/// Name of the part that lies in no partition: boot record, both tables, the gaps.
pub const OUTSIDE: &str = "partition tables and gaps";

/// SHA-256 (hex) of each part of a raw disk, by name.
///
/// # Errors
/// When the file cannot be read.
pub fn of_disk(disk: &File, view: &DiskView) -> io::Result<BTreeMap<String, String>> {
    let mut parts = BTreeMap::new();
    let mut outside = Context::new(&SHA256);
    let mut end = 0;
    for (partition, number) in view.partitions.iter().zip(1..) {
        zero_free(disk, end, partition.offset, &mut outside)?;
        end = end.max(partition.offset.saturating_add(partition.bytes));
        let mut digest = Context::new(&SHA256);
        zero_free(disk, partition.offset, partition.offset + partition.bytes, &mut digest)?;
        let name = format!("partition {number} ({})", partition.label);
        parts.insert(name, hex::encode(digest.finish()));
    }
    zero_free(disk, end, view.disk_bytes, &mut outside)?;
    parts.insert(OUTSIDE.to_owned(), hex::encode(outside.finish()));
    Ok(parts)
}

/// Hashes number and digest of each block from `start` to `end` that is not all zeros.
fn zero_free(disk: &File, start: u64, end: u64, digest: &mut Context) -> io::Result<()> {
    let block = usize::try_from(BLOCK).unwrap_or(1);
    let zeros = vec![0; block];
    let mut batch: Vec<u8> = Vec::with_capacity(block * BATCH);
    let mut numbers: Vec<u64> = Vec::with_capacity(BATCH);
    let mut number = 0;
    while let Some(data) = next_data(disk, start.saturating_add(number * BLOCK)..end)? {
        let after = (data.end - start).div_ceil(BLOCK);
        for block in (data.start - start) / BLOCK..after {
            let at = start + block * BLOCK;
            let before = batch.len();
            let length = usize::try_from((end - at).min(BLOCK)).unwrap_or(0);
            batch.resize(before + length, 0);
            let bytes = batch.get_mut(before..).unwrap_or_default();
            disk.read_exact_at(bytes, at)?;
            if Some(&*bytes) == zeros.get(..length) {
                batch.truncate(before);
            } else {
                numbers.push(block);
            }
            if numbers.len() == BATCH {
                add(digest, &mut numbers, &mut batch);
            }
        }
        number = after;
    }
    add(digest, &mut numbers, &mut batch);
    Ok(())
}

/// Takes the blocks of a batch into the digest; only the last of all may be shorter.
fn add(digest: &mut Context, numbers: &mut Vec<u64>, batch: &mut Vec<u8>) {
    let digests = lanes::digests(&[], batch, usize::try_from(BLOCK).unwrap_or(1));
    for (number, block) in numbers.drain(..).zip(digests) {
        digest.update(&number.to_le_bytes());
        digest.update(&block);
    }
    batch.clear();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digest(file: &File, start: u64, end: u64) -> String {
        let mut digest = Context::new(&SHA256);
        zero_free(file, start, end, &mut digest).unwrap();
        hex::encode(digest.finish())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn holes_and_zeros_are_alike_and_a_changed_byte_is_not(
            places in prop::collection::vec(0_u64..1 << 20, 1..6), start in 0_u64..5000,
        ) {
            let (sparse, dense) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
            sparse.set_len(1 << 20).unwrap();
            dense.write_all_at(&vec![0; 1 << 20], 0).unwrap();
            for place in &places {
                sparse.write_all_at(b"x", *place).unwrap();
                dense.write_all_at(b"x", *place).unwrap();
            }
            let before = digest(&sparse, start, 1 << 20);
            prop_assert_eq!(&before, &digest(&dense, start, 1 << 20));
            for place in places.iter().filter(|place| **place >= start) {
                dense.write_all_at(b"y", *place).unwrap();
                prop_assert_ne!(&before, &digest(&dense, start, 1 << 20));
                dense.write_all_at(b"x", *place).unwrap();
            }
        }
    }
}
