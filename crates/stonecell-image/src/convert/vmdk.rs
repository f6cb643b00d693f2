//! VMDK: the content id (`CID=`) in the text descriptor is a random number.
//!
//! VMware, "Virtual Disk Format 5.0": the sparse header names the sectors of the embedded descriptor.

use std::fs::File;
use std::os::unix::fs::FileExt;

use uuid::Uuid;

use super::FixError;

const SECTOR: u64 = 512;
/// `CID=` with eight hexadecimal digits on a line of its own.
const FIELD: &[u8] = b"\nCID=";
const DIGITS: usize = 8;
/// More than any descriptor has.
const MAX_SECTORS: u64 = 256;
/// A content id that means "none".
const NONE: u32 = u32::MAX;

/// Replaces the content id.
pub(super) fn fix(file: &File, identity: Uuid, _epoch: u64) -> Result<(), FixError> {
    let unexpected = FixError::Unexpected("VMDK with an embedded descriptor");
    let mut header = [0; SECTOR as usize];
    file.read_exact_at(&mut header, 0)?;
    let word = |offset: usize| {
        let field = header.get(offset..).and_then(|rest| rest.first_chunk::<8>());
        field.map_or(0, |field| u64::from_le_bytes(*field))
    };
    // Descriptor offset and size, in sectors.
    let (first, count) = (word(28), word(36));
    if !header.starts_with(b"KDMV") || first == 0 || count == 0 || count > MAX_SECTORS {
        return Err(unexpected);
    }
    let mut descriptor = vec![0; usize::try_from(count * SECTOR).unwrap_or(0)];
    file.read_exact_at(&mut descriptor, first * SECTOR)?;
    let place = descriptor.windows(FIELD.len()).position(|window| window == FIELD);
    let Some(start) = place.map(|place| place + FIELD.len()) else { return Err(unexpected) };
    let old = descriptor.get(start..).map(|rest| {
        rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count()
    });
    let Some(old) = old else { return Err(unexpected) };
    let mut id = Uuid::new_v5(&identity, b"vmdk").as_fields().0;
    if id == NONE {
        id -= 1;
    }
    // qemu-img does not pad the number: the rest of the text moves, the last bytes are padding.
    let length = descriptor.len();
    descriptor.splice(start..start + old, format!("{id:0DIGITS$x}").into_bytes());
    descriptor.resize(length, 0);
    file.write_all_at(&descriptor, first * SECTOR)?;
    Ok(())
}
