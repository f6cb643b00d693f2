//! VHD: time stamp and UUID in the footer, and in its copy at the start of a dynamic disk.
//!
//! Microsoft, "Virtual Hard Disk Image Format Specification", 1.0: the footer is the last 512 bytes; the time
//! stamp counts seconds since 2000-01-01; the checksum is the complement of the sum of the other bytes.

use std::fs::File;
use std::os::unix::fs::FileExt;

use uuid::Uuid;

use super::FixError;

const FOOTER: usize = 512;
const COOKIE: &[u8] = b"conectix";
/// 2000-01-01 in seconds since 1970.
const VHD_EPOCH: u64 = 946_684_800;

/// Replaces what varies in the footer and its copy.
pub(super) fn fix(file: &File, identity: Uuid, epoch: u64) -> Result<(), FixError> {
    let size = file.metadata()?.len();
    let end = size
        .checked_sub(FOOTER as u64)
        .ok_or(FixError::Unexpected("VHD with a footer of 512 bytes"))?;
    let mut footer = [0; FOOTER];
    file.read_exact_at(&mut footer, end)?;
    if !footer.starts_with(COOKIE) {
        return Err(FixError::Unexpected("VHD with a footer of 512 bytes"));
    }
    let mut start = [0; FOOTER];
    file.read_exact_at(&mut start, 0)?;
    let has_copy = start == footer;

    let seconds = u32::try_from(epoch.saturating_sub(VHD_EPOCH)).unwrap_or(u32::MAX);
    put(&mut footer, 24, &seconds.to_be_bytes());
    put(&mut footer, 68, Uuid::new_v5(&identity, b"vhd").as_bytes());
    put(&mut footer, 64, &[0; 4]);
    let sum = footer.iter().fold(0_u32, |sum, &byte| sum.wrapping_add(byte.into()));
    put(&mut footer, 64, &(!sum).to_be_bytes());

    file.write_all_at(&footer, end)?;
    if has_copy {
        file.write_all_at(&footer, 0)?;
    }
    Ok(())
}

fn put(footer: &mut [u8; FOOTER], offset: usize, bytes: &[u8]) {
    for (to, from) in footer.iter_mut().skip(offset).zip(bytes) {
        *to = *from;
    }
}
